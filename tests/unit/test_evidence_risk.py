"""The review threshold and the risk-coverage curve."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.evidence.risk_control import (
    DOUBTS,
    STARTS,
    betting_p_value,
    binomial_p_value,
    review_threshold,
    risk_coverage,
)

SHARES = st.floats(0, 1)
PAIRS = st.lists(st.tuples(SHARES, SHARES), max_size=50)
TARGETS = st.floats(0.01, 0.5)


@given(st.integers(0, 40), st.integers(0, 40), TARGETS)
def test_binomial_tail_as_by_definition(one: int, other: int, target: float) -> None:
    errors, n = sorted((one, other))
    exact = sum(comb(n, k) * target**k * (1 - target) ** (n - k) for k in range(errors + 1))
    assert binomial_p_value(errors, n, target) == pytest.approx(exact)


@given(PAIRS, TARGETS, st.randoms(use_true_random=False))
def test_a_betting_p_value_is_one_and_has_no_order(
    pairs: list[tuple[float, float]], target: float, random: object
) -> None:
    losses = [loss for loss, _ in pairs]
    p = betting_p_value(losses, target)
    assert 0 < p <= 1
    random.shuffle(losses)  # type: ignore[attr-defined]
    assert betting_p_value(losses, target) == pytest.approx(p)
    assert betting_p_value([*losses, 0.0], target) <= p + 1e-12 or p < 1
    assert betting_p_value([min(1.0, loss + 0.1) for loss in losses], target) >= p - 1e-12


def test_p_values_are_valid_at_the_target() -> None:
    """At a mean error of exactly the target, P(p <= d) is at most d."""
    rng = np.random.default_rng(1)
    losses = rng.random((2000, 200)) < 0.1
    exact = np.asarray([binomial_p_value(int(each.sum()), 200, 0.1) for each in losses])
    bets = np.asarray([betting_p_value(each, 0.1) for each in losses])
    for delta in (0.05, 0.2):
        assert (exact <= delta).mean() <= delta + 0.02 and (bets <= delta).mean() <= delta
    assert np.median(exact) < np.median(bets)  # what the exact test is for


@settings(deadline=None)
@given(PAIRS, TARGETS)
def test_a_threshold_reports_what_it_releases(pairs: list[tuple[float, float]], target: float) -> None:
    sure, losses = (np.asarray([each[at] for each in pairs]) for at in (0, 1))
    found = review_threshold(sure, losses, target=target)
    kept = sure >= (2.0 if found.threshold is None else found.threshold)
    assert (found.n, found.released) == (len(pairs), kept.sum())
    assert found.coverage == pytest.approx(kept.mean() if pairs else 0.0)
    if found.threshold is None:
        assert found.error is None and found.p_value is None
    else:
        assert found.p_value is not None and found.p_value <= found.delta
        assert found.error == pytest.approx(losses[kept].mean()) and found.error < target


@settings(deadline=None)
@given(st.integers(0, 400), st.floats(0.02, 0.2), st.floats(0.02, 0.2))
def test_a_looser_target_or_more_agreement_releases_no_less(n: int, one: float, other: float) -> None:
    """With confidence no finer than yes or no, so that the candidates of both targets hold the same items."""
    low, high = sorted((one, other))
    sure = np.ones(n)
    strict, loose = (review_threshold(sure, np.zeros(n), target=target, binary=True).released for target in (low, high))
    assert strict <= loose


def test_edges() -> None:
    assert review_threshold([], [], target=0.1).threshold is None
    assert review_threshold([1.0], [0.0], target=0.1, binary=True).threshold is None
    assert review_threshold([0.9] * 500, [1.0] * 500, target=0.1, binary=True).threshold is None
    found = review_threshold([0.99] * 300, [0.0] * 300, target=0.05, binary=True)
    assert found.coverage == 1.0 and found.error == 0.0
    unsure = review_threshold([0.1] * 500, [0.0] * 500, target=0.05, binary=True)
    assert unsure.threshold is None  # it never agrees to release what is stated to be wrong


def test_the_true_error_is_above_the_target_in_at_most_delta_of_the_runs() -> None:
    rng = np.random.default_rng(2)
    target, delta = 0.1, 0.2
    broken, coverages = 0, []
    world = rng.beta(0.5, 2, 100_000)
    for _ in range(300):
        wrong = rng.beta(0.5, 2, 400)
        losses = rng.random(400) < wrong
        found = review_threshold(1 - wrong, losses, target=target, delta=delta, binary=True)
        kept = 1 - world >= (2.0 if found.threshold is None else found.threshold)
        coverages.append(kept.mean())
        broken += bool(kept.any()) and float(world[kept].mean()) > target
    assert broken <= 300 * delta + 3 * (300 * delta * (1 - delta)) ** 0.5
    assert np.mean(coverages) > 0.4


def test_the_fallback_spends_delta_once() -> None:
    assert set(STARTS) <= set(DOUBTS)
    rng = np.random.default_rng(3)
    falsely = 0
    for _ in range(1500):
        losses = rng.random(300) < 0.1  # at every threshold the error is exactly the target
        found = review_threshold(rng.uniform(0.6, 1, 300), losses, target=0.1, delta=0.1, binary=True)
        falsely += found.threshold is not None
    assert falsely <= 1500 * 0.1 + 3 * (1500 * 0.1 * 0.9) ** 0.5


def test_uneven_sampling_is_weighted() -> None:
    """Wrong items looked at four times as seldom: without weights the error looks like 1 %, with them it is 4 %."""
    rng = np.random.default_rng(4)
    hard = rng.random(12_000) < 0.3
    propensity = np.where(hard, 0.1, 0.8)
    losses = (rng.random(12_000) < np.where(hard, 0.13, 0.0)).astype(float)
    looked = rng.random(12_000) < propensity
    sure = np.full(12_000, 0.99)[looked]
    weights = (0.1 / propensity)[looked]
    assert review_threshold(sure, losses[looked], target=0.025).threshold is not None
    weighted = review_threshold(sure, losses[looked], target=0.025, weights=weights)
    assert weighted.threshold is None
    kept = review_threshold(sure, losses[looked], target=0.08, weights=weights)
    assert kept.error == pytest.approx(0.039, abs=0.01) and kept.coverage == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"target": 0.0}, "target"),
        ({"delta": 1.0}, "delta"),
        ({"losses": [0.5, 0.5]}, "binary"),
        ({"weights": [1.0, 1.0]}, "binary"),
        ({"losses": [0.0]}, "lengths"),
        ({"confidences": [2.0, 0.0]}, "confidences"),
        ({"doubts": (2.0, 1.0)}, "doubts"),
        ({"starts": (0.3,)}, "starts"),
        ({"starts": ()}, "starts"),
        ({"starts": (1.0, 1.0)}, "starts"),
        ({"binary": False, "weights": [0.0, 1.0]}, "weights"),
    ],
)
def test_bad_input_is_refused(wrong: dict[str, object], words: str) -> None:
    good: dict[str, object] = {"confidences": [0.9, 0.8], "losses": [0.0, 1.0], "target": 0.1, "binary": True}
    with pytest.raises(ValueError, match=words):
        review_threshold(**{**good, **wrong})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected"):
        binomial_p_value(3, 2, 0.1)


@given(PAIRS.filter(len))
def test_the_curve_ends_at_the_mean_error_of_all(pairs: list[tuple[float, float]]) -> None:
    sure, losses = [a for a, _ in pairs], [b for _, b in pairs]
    curve = risk_coverage(sure, losses)
    assert curve.risk[-1] == pytest.approx(np.mean(losses)) and curve.coverage[-1] == pytest.approx(1.0)
    assert list(curve.coverage) == sorted(set(curve.coverage)) and len(curve.risk) == len(set(sure))
    assert list(curve.threshold) == sorted(set(sure), reverse=True)
    assert curve.aurc is not None and min(curve.risk) - 1e-9 <= curve.aurc <= max(curve.risk) + 1e-9
    turned = risk_coverage(sure[::-1], losses[::-1])
    assert turned.risk == pytest.approx(curve.risk) and turned.aurc == pytest.approx(curve.aurc)


def test_curve_by_hand() -> None:
    curve = risk_coverage([0.9, 0.8, 0.8, 0.1], [0.0, 1.0, 0.0, 1.0])
    assert curve.coverage == (0.25, 0.75, 1.0) and curve.risk == pytest.approx((0.0, 1 / 3, 0.5))
    assert curve.aurc == pytest.approx(0.0 / 4 + 2 / 4 / 3 + 0.5 / 4)
    assert risk_coverage([], []).aurc is None
    good = risk_coverage([0.9, 0.1], [0.0, 1.0]).aurc
    bad = risk_coverage([0.1, 0.9], [0.0, 1.0]).aurc
    assert good is not None and bad is not None and good < bad
