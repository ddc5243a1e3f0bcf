"""What becomes of a step when no model answered: wait, try again, or give up."""

from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelServerError,
)
from temporalio.exceptions import ApplicationErrorCategory

from activities.agents import (
    LEAST_WAIT_S,
    MAX_CIRCUIT_WAIT_S,
    MAX_PATIENCE_S,
    MAX_RETRY_AFTER_S,
    MAX_SPREAD_S,
    model_failure,
)
from countersign.agents.guarded import ModelSkipped

WAITS = st.none() | st.floats(0, 1e6)
OPEN = st.builds(lambda wait: ModelSkipped("a", retry_after=wait), WAITS)
FULL = st.builds(lambda wait: ModelSkipped("b", retry_after=wait, throttled=True), WAITS)
LIMITED = st.builds(lambda wait: ModelRateLimitError("c", "secret words", retry_after=wait), WAITS)
REJECTED = st.sampled_from([ModelAuthenticationError, ModelQuotaExceededError]).map(
    lambda kind: kind("d", "secret words")
)
FAILED = st.builds(lambda wait: ModelServerError("e", "secret words", retry_after=wait), WAITS)
CHANCE = st.floats(0, 1, exclude_max=True)


def some(*kinds: st.SearchStrategy[ModelAPIError]) -> st.SearchStrategy[list[ModelAPIError]]:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=4)


@given(some(OPEN, FULL, LIMITED, REJECTED), CHANCE)
def test_a_step_waits_while_somebody_may_be_asked_later(causes: list[ModelAPIError], chance: float) -> None:
    error = model_failure(causes, chance)
    waiting = [cause for cause in causes if isinstance(cause, ModelSkipped | ModelRateLimitError)]
    if not waiting:
        assert (error.type, error.non_retryable, error.next_retry_delay) == ("ModelRejected", True, None)
        return
    assert error.type in {"CircuitOpen", "Throttled"}
    assert (error.non_retryable, error.category) == (False, ApplicationErrorCategory.BENIGN)
    assert error.next_retry_delay is not None
    wait = error.next_retry_delay.total_seconds()
    assert LEAST_WAIT_S <= wait <= MAX_RETRY_AFTER_S + MAX_SPREAD_S
    for cause in waiting:
        wanted = cause.retry_after or 0
        is_open = isinstance(cause, ModelSkipped) and not cause.throttled
        assert (
            wait <= max(LEAST_WAIT_S, min(wanted, MAX_CIRCUIT_WAIT_S if is_open else MAX_RETRY_AFTER_S)) + MAX_SPREAD_S
        )
        if is_open:
            assert error.type == "CircuitOpen"
    earliest = min(cause.retry_after or 0 for cause in waiting)
    assert wait >= min(earliest, MAX_CIRCUIT_WAIT_S) - 1e-6, "nobody is asked before the time"


@given(st.lists(st.one_of(OPEN, FULL, LIMITED, REJECTED), max_size=3), FAILED, CHANCE)
def test_a_real_failure_is_tried_again_and_is_no_wait(
    causes: list[ModelAPIError], failed: ModelAPIError, chance: float
) -> None:
    error = model_failure([*causes, failed], chance)
    assert (error.type, error.non_retryable) == ("ModelUnavailable", False)
    assert error.category is ApplicationErrorCategory.UNSPECIFIED
    if error.next_retry_delay is not None:
        assert error.next_retry_delay.total_seconds() <= MAX_RETRY_AFTER_S


@given(some(OPEN, FULL, LIMITED, REJECTED, FAILED), CHANCE)
def test_no_error_repeats_what_a_model_said(causes: list[ModelAPIError], chance: float) -> None:
    assert "secret" not in str(model_failure(causes, chance))


def test_a_429_that_names_no_time_is_waited_out_for_longer_each_time() -> None:
    def waits(attempt: int, error: ModelAPIError) -> float:
        delay = model_failure([error], 0.0, attempt).next_retry_delay
        assert delay is not None
        return delay.total_seconds()

    unnamed = ModelRateLimitError("c", "slower")
    assert [waits(attempt, unnamed) for attempt in (1, 2, 3, 4, 5, 100)] == [1, 2, 4, 8, MAX_PATIENCE_S, MAX_PATIENCE_S]
    assert waits(100, ModelRateLimitError("c", "slower", retry_after=7)) == 7
    assert waits(100, ModelSkipped("a", retry_after=3, throttled=True)) == 3
