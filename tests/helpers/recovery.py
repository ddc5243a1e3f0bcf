"""Half an hour's outage on a simulated clock: the product's own circuit and waits, steps and a provider as events.

Everything that decides is the product's: `Circuit` lets requests through, `judged` says what a failed one means to it,
`model_failure` when its step comes back, `options.AGENT` how often a failed one does. Simulated are the clock, the
reviews (each asks a few times, one request after the other, so many at a time as the door lets in) and the provider.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic_ai.exceptions import ModelAPIError, ModelRateLimitError, ModelUnavailableError
from temporalio.exceptions import ApplicationErrorCategory

from activities.agents import model_failure
from countersign.agents.guarded import ModelSkipped, judged
from countersign.breaker.config import MODEL_DEFAULTS, SECOND, Config, Rules
from countersign.breaker.model import Circuit
from countersign.breaker.words import Kind
from workflows import options

ANSWER_S, REFUSAL_S = 3.0, 0.1
REQUESTS = 4
"""Of one review, one after the other."""
AT_WORK = 16
"""Reviews that the door lets be worked on at once (`Limits.in_flight_all`)."""


@dataclass
class Review:
    """One review: answers it still needs, and how often its present step was tried."""

    left: int = REQUESTS
    attempt: int = 1


@dataclass
class Sim:
    """One provider, one circuit, reviews that come evenly."""

    every_s: float
    down: Callable[[float], Callable[[str], ModelAPIError] | None]
    """The error that the provider answers with at a time, or None while it is well."""
    config: Config = MODEL_DEFAULTS
    seed: int = 1
    done: list[float] = field(default_factory=list)
    """When each review was through."""
    sent: list[float] = field(default_factory=list)
    """When each request reached the provider."""
    most_in_flight: int = 0
    failed: int = 0
    now: float = 0.0

    def __post_init__(self) -> None:
        self.circuit = Circuit.new(0)
        self._rules = Rules.of(self.config)
        self._chance = random.Random(self.seed)  # noqa: S311  a seed's play
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._room: deque[Review] = deque()
        self._working = 0
        self._tokens = itertools.count()

    def run(self, until: float) -> None:
        """Reviews come and are worked on until then."""
        self._at(0.0, self._come)
        while self._events and self._events[0][0] <= until:
            self.now, _, happen = heapq.heappop(self._events)
            happen()

    def _at(self, when: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _come(self) -> None:
        self._room.append(Review())
        self._begin()
        self._at(self.now + self.every_s, self._come)

    def _begin(self) -> None:
        while self._room and self._working < AT_WORK:
            self._working += 1
            self._ask(self._room.popleft())

    def _micros(self) -> int:
        return round(self.now * SECOND)

    def _ask(self, review: Review) -> None:
        token = str(next(self._tokens))
        admission = self.circuit.admit(self._micros(), self._chance.random(), self._rules, token)
        if admission.refused:
            throttled = admission.refused == "throttled"
            self._again(review, ModelSkipped("m", retry_after=admission.wait / SECOND, throttled=throttled))
            return
        self.sent.append(self.now)
        self.most_in_flight = max(self.most_in_flight, len(self.circuit.leases))
        error = self.down(self.now)
        takes = ANSWER_S if error is None else REFUSAL_S
        self._at(
            self.now + takes,
            lambda: self._answered(review, token, admission.probe, error and error("m"), takes),
        )

    def _answered(self, review: Review, token: str, probe: bool, error: ModelAPIError | None, took: float) -> None:
        kind = Kind.SUCCESS if error is None else judged(error, took).kind
        retry_after = round((error.retry_after or 0) * SECOND) if error else 0
        micros = round(took * SECOND)
        self.circuit.done(self._micros(), self._chance.random(), self._rules, token, kind, micros, retry_after)
        if error is not None:
            if probe and kind is Kind.FAILURE:
                error = ModelSkipped("m", retry_after=error.retry_after)  # as `GuardedModel` has it
            self._again(review, error)
            return
        review.left -= 1
        review.attempt = 1
        if review.left:
            self._ask(review)
            return
        self.done.append(self.now)
        self._working -= 1
        self._begin()

    def _again(self, review: Review, error: ModelAPIError) -> None:
        """As Temporal does: the delay that the error names, else the policy's."""
        failure = model_failure([error], self._chance.random(), review.attempt)
        if failure.non_retryable:
            self.failed += 1
            return
        policy = options.AGENT["retry_policy"]
        assert policy is not None
        assert policy.maximum_interval is not None
        delay = failure.next_retry_delay or min(
            policy.maximum_interval, policy.initial_interval * policy.backoff_coefficient ** min(review.attempt - 1, 20)
        )
        assert failure.category is ApplicationErrorCategory.BENIGN or not isinstance(error, ModelSkipped)
        review.attempt += 1
        self._at(self.now + delay.total_seconds(), lambda: self._ask(review))


def unavailable(name: str) -> ModelAPIError:
    """A 503."""
    return ModelUnavailableError(name, "")


def limited(name: str) -> ModelAPIError:
    """A 429 that does not say for how long."""
    return ModelRateLimitError(name, "")
