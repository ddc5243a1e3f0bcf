"""A state rebuilt from its pairs, overrides, and what stated confidence is worth."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.evidence.confidence import DELTA, FEWEST, Pair, due, learned, part_of_delta
from countersign.evidence.level import LADDER, EvidencePolicy, observe, override, propose, start
from countersign.evidence.observation import Observation
from countersign.evidence.replay import rebuilt
from countersign.review.payloads import CellStanding
from countersign.review.sureness import interpolated, sureness
from countersign.words import Autonomy

POLICY = EvidencePolicy(semi_bar=0.8, autonomous_bar=0.9)
SUP, SEMI, AUTO = LADDER
observations = st.builds(
    Observation, agreement=st.sampled_from([0.0, 0.5, 1.0, 1.0, 1.0]), critical=st.sampled_from([False] * 9 + [True])
)


@settings(max_examples=60)
@given(st.lists(observations, max_size=120))
def test_rebuilt_in_the_same_order_is_the_same(items: list[Observation]) -> None:
    state = start("arm", POLICY)
    for item in items:
        state, _ = observe(state, item, POLICY)
    assert rebuilt("arm", items, state.level, POLICY) == state


@settings(max_examples=60)
@given(st.lists(observations, max_size=150), st.sampled_from(LADDER))
def test_no_level_stands_without_a_watch_over_it(items: list[Observation], wanted: Autonomy) -> None:
    state = rebuilt("arm", items, wanted, POLICY)
    assert all(state.track(level).watch for level in LADDER[1 : LADDER.index(state.level) + 1])


def test_a_signed_level_survives_a_late_agreement_and_falls_with_late_errors() -> None:
    good = [Observation(agreement=1.0)] * 60
    assert propose(rebuilt("arm", good, SUP, POLICY), POLICY) is not None
    assert rebuilt("arm", [Observation(agreement=1.0), *good], SEMI, POLICY).level is SEMI
    assert rebuilt("arm", [*[Observation(agreement=0.0)] * 10, *good], SEMI, POLICY).level is SUP


def test_an_override_is_watched_and_taken_back_without_a_new_chance() -> None:
    poor = rebuilt("arm", [Observation(agreement=0.0)] * 3, SUP, POLICY)
    given_level = override(poor, SEMI)
    assert (given_level.level, given_level.semi.overridden) == (SEMI, True)
    fallen, change = observe(given_level, Observation(agreement=0.0, critical=True), POLICY)
    assert change is not None
    assert fallen.level is SUP
    # An earned level that falls starts anew with the whole capital; this one keeps its losses.
    assert fallen.semi.growth.log_e < poor.semi.growth.log_e
    watched = override(start("arm", POLICY), AUTO)
    changes = []
    for _ in range(60):
        watched, change = observe(watched, Observation(agreement=0.0), POLICY)
        changes += [change] if change else []
    assert changes[-1].after is SUP


def test_an_override_that_evidence_overtakes_is_one_no_more() -> None:
    state = override(start("arm", POLICY), SEMI)
    for _ in range(60):
        state, _ = observe(state, Observation(agreement=1.0), POLICY)
    assert (state.level, state.semi.overridden) == (SEMI, False)


def test_an_override_downwards_takes_back_and_one_to_the_same_level_does_nothing() -> None:
    state = override(start("arm", POLICY), AUTO)
    assert override(state, AUTO) == state
    assert (override(state, SEMI).level, override(state, SUP).level) == (SEMI, SUP)
    assert override(state, SUP).semi.watch is None


# --- confidence ---


def pairs(n: int, seed: int = 1) -> list[Pair]:
    """An arm that is right as often as it says, but for very sure items, and wrong below."""
    rng = np.random.default_rng(seed)
    stated = rng.uniform(0.3, 1.0, n)
    return [Pair(float(sure), float(rng.random() < (0.999 if sure > 0.6 else 0.4))) for sure in stated]


def test_too_few_pairs_say_nothing() -> None:
    assert learned("arm", pairs(2 * FEWEST - 2), 0.05) is None
    # Without an error, but too few to show that there is less than one in twenty.
    assert learned("arm", [Pair(0.9, 1.0)] * 2 * FEWEST, 0.02) is None


def test_the_threshold_lies_where_the_errors_end() -> None:
    found = learned("arm", pairs(1200), 0.05)
    assert found is not None
    assert found.threshold is not None
    grid = found.grid
    assert list(grid) == sorted(grid)
    standing = CellStanding(
        arm="arm", calibrated=grid, calibration_pairs=found.pairs, threshold=found.threshold, threshold_pairs=600
    )
    assert sureness(0.95, 0.5, standing).enough
    low = sureness(0.4, 0.2, standing)
    assert not low.enough
    assert "is below" in low.shortfall
    assert "calibrated on 600 pairs" in low.note


def test_fits_share_delta_and_judge_on_new_pairs() -> None:
    fitted, at = 0, []
    for number in range(1, 10_000):
        if due(number, fitted):
            at.append(number)
            fitted = number
    assert at == [240, 480, 960, 1920, 3840, 7680]
    assert all(later - later // 2 <= later - before for before, later in pairwise(at)), "the newer half is new"
    assert sum(part_of_delta(number) for number in at) <= DELTA


def test_no_threshold_that_was_ever_in_force_is_wrong_more_often_than_promised() -> None:
    """An arm that errs in 7 % of everything, whatever it says of itself, against a target of 5 %: none is right."""
    rng = np.random.default_rng(5)
    runs, wrong = 300, 0
    for _ in range(runs):
        stated, right = rng.uniform(0.5, 1.0, 1920), rng.random(1920) < 0.93
        history = [Pair(float(sure), float(good)) for sure, good in zip(stated, right, strict=True)]
        fits = [learned("arm", history[:number], 0.05) for number in (240, 480, 960, 1920)]
        wrong += any(fit is not None and fit.threshold is not None for fit in fits)
    assert wrong / runs <= DELTA + 0.03


def test_where_nothing_is_safe_nothing_is_sure_enough() -> None:
    wrong = [Pair(0.9, float(number % 3 > 0)) for number in range(400)]
    found = learned("arm", wrong, 0.05)
    assert found is not None
    assert found.threshold is None
    standing = CellStanding(arm="arm", calibrated=found.grid, calibration_pairs=found.pairs, threshold=None)
    sure = sureness(0.99, 0.1, standing)
    assert not sure.enough
    assert sure.shortfall.startswith("no confidence is high enough")


def test_without_evidence_the_playbooks_threshold_holds_and_that_is_said() -> None:
    sure = sureness(0.7, 0.8, CellStanding(arm="arm"))
    assert (sure.value, sure.threshold, sure.enough) == (0.7, 0.8, False)
    assert "too few pairs" in sure.note
    assert sureness(0.7, 0.8, None).note == ""


@given(st.lists(st.floats(0, 1), min_size=2, max_size=101), st.floats(0, 1))
def test_interpolation_stays_between_its_points(values: list[float], at: float) -> None:
    grid = tuple(sorted(values))
    assert grid[0] - 1e-6 <= interpolated(grid, at) <= grid[-1] + 1e-6
    assert interpolated(grid, 0.0) == pytest.approx(grid[0], abs=1e-6)
    assert interpolated(grid, 1.0) == pytest.approx(grid[-1], abs=1e-6)
