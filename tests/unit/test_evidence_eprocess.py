"""Growth and Watch: what may be looked at after every item, and what it promises."""

from math import exp, isfinite, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from countersign.evidence.eprocess import (
    BETS,
    DROPS,
    HEAD_START,
    Growth,
    Watch,
    log_path,
    lower_bound,
    suspicions,
    watched,
)
from countersign.evidence.observation import Observation

BARS = st.floats(0.05, 0.99)
SHARES = st.floats(0, 1)


@st.composite
def observations(draw: st.DrawFn) -> Observation:
    propensity = draw(st.floats(0.01, 1))
    return Observation(agreement=draw(SHARES), propensity=propensity, least=min(propensity, draw(st.floats(0.01, 1))))


ITEMS = st.lists(observations(), max_size=40)


def after(bar: float, items: list[Observation]) -> Growth:
    state = Growth(bar=bar)
    for item in items:
        state = state.seen(item)
    return state


def right(count: int, wrong: int = 0) -> list[Observation]:
    return [Observation(agreement=1.0)] * count + [Observation(agreement=0.0)] * wrong


def test_shares_of_the_stakes_sum_to_one_and_no_bet_is_all_or_nothing() -> None:
    for table in (BETS, DROPS):
        assert sum(share for _, share in table) == pytest.approx(1.0)
        assert all(0 < stake < 1 and share > 0 for stake, share in table)


def test_nothing_seen_is_no_evidence() -> None:
    state = Growth(bar=0.95)
    assert (state.e_value, state.log_e, state.agreement, state.items) == (1.0, pytest.approx(0.0), None, 0)
    assert not state.reached(20)


@given(BARS, ITEMS)
def test_state_and_path_are_one_and_capital_is_positive(bar: float, items: list[Observation]) -> None:
    path = log_path([each.agreement for each in items], bar, [each.weight for each in items])
    state = Growth(bar=bar)
    for item, expected in zip(items, path.tolist(), strict=True):
        state = state.seen(item)
        assert state.log_e == pytest.approx(expected, abs=1e-9)
        assert isfinite(state.log_e) and state.e_value >= 0
    assert state.items == len(items)


@given(BARS, ITEMS)
def test_a_state_survives_storage_to_the_bit(bar: float, items: list[Observation]) -> None:
    state = after(bar, items)
    assert Growth.model_validate_json(state.model_dump_json()) == state
    watch = Watch(bar=bar)
    for item in items:
        watch = watch.seen(item)
    assert Watch.model_validate_json(watch.model_dump_json()) == watch


@given(BARS, ITEMS, st.randoms(use_true_random=False))
def test_where_evidence_ends_does_not_depend_on_the_order(bar: float, items: list[Observation], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert after(bar, shuffled).log_e == pytest.approx(after(bar, items).log_e, abs=1e-9)


@given(BARS, ITEMS, observations(), SHARES)
def test_more_agreement_is_never_less_evidence(
    bar: float, items: list[Observation], last: Observation, other: float
) -> None:
    low, high = sorted((last.agreement, other))
    state, watch = after(bar, items), Watch(bar=bar)
    worse, better = (last.model_copy(update={"agreement": value}) for value in (low, high))
    assert state.seen(worse).log_e <= state.seen(better).log_e
    assert watch.seen(worse).suspicion(400) >= watch.seen(better).suspicion(400)


@given(ITEMS, BARS, BARS)
def test_a_higher_bar_is_never_easier(items: list[Observation], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert after(high, items).log_e <= after(low, items).log_e + 1e-9


@given(BARS, st.floats(0.01, 1), st.floats(0.01, 1))
def test_on_average_a_bet_at_the_bar_is_worth_nothing(bar: float, one: float, other: float) -> None:
    """The supermartingale property, exactly: an arm at the bar that is right or wrong, looked at by chance."""
    least, propensity = sorted((one, other))
    for begun in (Growth(bar=bar), after(bar, right(3, 1))):
        outcomes = [
            (share, begun.seen(Observation(agreement=agreement, propensity=propensity, least=least)).log_e)
            for share, agreement in ((bar, 1.0), (1 - bar, 0.0))
        ]
        mean = propensity * sum(share * exp(value) for share, value in outcomes) + (1 - propensity) * begun.e_value
        assert mean == pytest.approx(begun.e_value)


@given(BARS, st.floats(0.01, 1), st.floats(0.01, 1), st.lists(st.floats(0, 1e6), min_size=2, max_size=2))
def test_on_average_a_watch_at_the_bar_grows_by_one_an_item(
    bar: float, one: float, other: float, values: list[float]
) -> None:
    weight = min(one, other) / max(one, other)
    mean = sum(
        share * watched(np.asarray(values), agreement, bar, weight) for share, agreement in ((bar, 1.0), (1 - bar, 0.0))
    )
    assert mean == pytest.approx(np.asarray(values) + 1.0)


@given(BARS, st.floats(0, 1))
def test_weights_undo_uneven_sampling(bar: float, easy: float) -> None:
    """E[looked w (x - bar)] = least E[x - bar], whatever the propensities."""
    hard, least, often = 1.0 - easy, 0.1, 0.7
    mean = sum(
        0.5 * propensity * (least / propensity) * (agreement - bar)
        for agreement, propensity in ((easy, often), (hard, least))
    )
    assert mean == pytest.approx(least * ((easy + hard) / 2 - bar))
    given_ = Observation(agreement=easy, propensity=often, least=least)
    assert given_.weight == pytest.approx(least / often)


def test_false_promotions_are_rare_under_continuous_looking() -> None:
    """Ville's inequality, by simulation with a fixed seed: 3,000 arms exactly at the bar, 1,500 looks each."""
    rng = np.random.default_rng(7)
    for bar in (0.9, 0.95):
        reached = log_path(rng.random((3000, 1500)) < bar, bar).max(axis=1) >= log(20)
        assert 0.02 < reached.mean() <= 0.05 + 3 * (0.05 * 0.95 / 3000) ** 0.5


def test_drift_below_the_bar_that_depends_on_the_past_wins_nothing() -> None:
    """The mean may follow the past as it likes as long as it never exceeds the bar: here it falls after success."""
    rng = np.random.default_rng(8)
    items = np.ones((2000, 800))
    for item in range(1, 800):
        streak = items[:, max(0, item - 20) : item].all(axis=1)
        items[:, item] = rng.random(2000) < np.where(streak, 0.93, 0.95)
    items[:, 0] = rng.random(2000) < 0.95
    assert (log_path(items, 0.95).max(axis=1) >= log(20)).mean() <= 0.05


def test_what_it_takes_when_all_agree_and_that_nothing_helps_when_none_does() -> None:
    state = Growth(bar=0.95)
    needed = state.still_needed(20)
    assert needed == 86
    assert after(0.95, right(needed)).reached(20) and not after(0.95, right(needed - 1)).reached(20)
    assert after(0.95, right(needed)).still_needed(20) == 0
    wrong = after(0.95, right(0, 50))
    assert wrong.log_e < -13 and wrong.still_needed(20) > needed


@given(BARS, ITEMS)
def test_forfeiting_takes_and_never_gives(bar: float, items: list[Observation]) -> None:
    state = after(bar, items)
    left = state.forfeited()
    assert left.log_e <= min(state.log_e, 0.0) + 1e-12
    assert (left.items, left.agreement) == (state.items, state.agreement)
    assert left.forfeited() == left
    assert state.restarted() == Growth(bar=bar)


@given(st.lists(SHARES, max_size=60), st.floats(0.01, 0.5))
def test_the_lower_bound_is_beaten_by_the_sequence_and_below_its_mean(items: list[float], alpha: float) -> None:
    bound = lower_bound(items, alpha)
    assert 0 <= bound < 1
    if bound > 1e-6:
        assert log_path(items, bound)[-1] >= -log(alpha) - 1e-6
        assert bound <= np.mean(items)
    assert lower_bound(items, alpha / 2) <= bound


def test_the_lower_bound_says_how_far_the_evidence_reaches() -> None:
    assert lower_bound([]) == 0.0
    assert lower_bound([1.0] * 86) == pytest.approx(0.95, abs=0.001)
    assert lower_bound([0.0] * 50) == pytest.approx(0.0)


def test_a_watch_goes_off_soon_after_a_fall_and_seldom_without_one() -> None:
    rng = np.random.default_rng(9)

    def steps(share: float, limit: int) -> list[int]:
        values = np.full((len(DROPS), 400), HEAD_START)
        went_off = np.full(400, limit)
        for item in range(limit):
            values = watched(values, rng.random(400) < share, 0.95)
            went_off = np.minimum(went_off, np.where(suspicions(values, 100) >= 1, item + 1, limit))
        return went_off.tolist()

    assert np.median(steps(0.85, 300)) <= 40
    assert np.mean(steps(0.95, 1500)) >= 100  # the guarantee, at exactly the bar
    assert np.median(steps(0.99, 1500)) == 1500


def test_a_watch_stays_finite_whatever_comes() -> None:
    watch = Watch(bar=0.98)
    for _ in range(1000):
        watch = watch.seen(Observation(agreement=0.0))
    assert all(isfinite(value) for value in watch.values) and watch.suspicion(400) > 1
    assert watch.items == 1000


@pytest.mark.parametrize(
    "wrong",
    [
        {"agreement": 1.1},
        {"agreement": float("nan")},
        {"agreement": 1, "propensity": 0.0, "least": 0.0},
        {"agreement": 1, "propensity": 0.2, "least": 0.3},
        {"agreement": 1, "propensity": 0.2},
        {"agreement": 1, "colour": "red"},
    ],
)
def test_impossible_observations_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Observation.model_validate(wrong)


def test_impossible_sequences_are_refused() -> None:
    for values, bar, weights in (([1.2], 0.9, 1.0), ([0.5], 1.0, 1.0), ([0.5], 0.9, 2.0), ([float("nan")], 0.9, 1.0)):
        with pytest.raises(ValueError, match="must lie"):
            log_path(values, bar, weights)
    with pytest.raises(ValidationError):
        Growth(bar=1.0)
