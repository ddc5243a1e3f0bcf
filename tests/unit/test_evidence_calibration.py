"""Calibration and reliability."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.evidence.calibration import FEW, FEWEST, Calibration, fit
from countersign.evidence.reliability import reliability

SHARES = st.floats(0, 1)
PAIRS = st.lists(st.tuples(SHARES, SHARES), max_size=60)
KINDS = st.sampled_from(["platt", "isotonic"])
GRID = np.linspace(0, 1, 101)


def too_sure(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of an arm that says c and is right with c squared."""
    rng = np.random.default_rng(seed)
    stated = rng.uniform(0.3, 1, n)
    return stated, (rng.random(n) < stated**2).astype(float)


@settings(deadline=None)
@given(PAIRS, KINDS)
def test_a_map_stays_in_range_and_never_falls(pairs: list[tuple[float, float]], kind: str) -> None:
    stated, right = [a for a, _ in pairs], [b for _, b in pairs]
    found = fit("arm", stated, right, kind=kind)  # type: ignore[arg-type]
    values = found.apply_all(GRID)
    assert ((values >= 0) & (values <= 1)).all() and (np.diff(values) >= -1e-12).all()
    assert Calibration.model_validate_json(found.model_dump_json()) == found
    assert (found.arm, found.pairs) == ("arm", len(pairs))


@settings(deadline=None)
@given(PAIRS.filter(len), st.randoms(use_true_random=False))
def test_the_order_of_pairs_is_no_matter(pairs: list[tuple[float, float]], random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (fit("arm", *zip(*each, strict=True), kind="isotonic").apply_all(GRID) for each in (pairs, shuffled))
    assert one == pytest.approx(other, abs=1e-9)


@settings(deadline=None)
@given(PAIRS.filter(len))
def test_isotonic_is_the_best_monotone_fit(pairs: list[tuple[float, float]]) -> None:
    """Least squares: no worse than the constant mean nor than the stated confidence, and right on average."""
    stated, right = (np.asarray(column) for column in zip(*pairs, strict=True))
    fitted = fit("arm", stated, right, kind="isotonic").apply_all(stated)
    score = ((fitted - right) ** 2).sum()
    assert score <= ((right.mean() - right) ** 2).sum() + 1e-9
    assert score <= ((stated - right) ** 2).sum() + 1e-9
    assert fitted.mean() == pytest.approx(right.mean())


def test_pooling_by_hand() -> None:
    found = fit("arm", [0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 1.0], kind="isotonic")
    assert found.apply_all([0.0, 0.1, 0.2, 0.3, 0.4, 1.0]).tolist() == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]


def test_the_kind_follows_the_size() -> None:
    assert fit("arm", [], []).kind == "stated"
    assert fit("arm", [0.7], [1.0]).apply(0.7) == 0.7
    for n, kinds in ((FEWEST - 1, {"stated"}), (FEWEST, {"platt"}), (FEW - 1, {"platt"}), (FEW, {"platt", "isotonic"})):
        assert fit("arm", *too_sure(n)).kind in kinds


@pytest.mark.parametrize("kind", ["platt", "isotonic", None])
def test_a_boast_is_corrected(kind: str | None) -> None:
    found = fit("arm", *too_sure(3000), kind=kind)  # type: ignore[arg-type]
    assert found.apply_all([0.5, 0.7, 0.9]) == pytest.approx([0.25, 0.49, 0.81], abs=0.06)
    stated, right = too_sure(3000, seed=2)
    before = reliability(stated, right).ece.value
    after = reliability(found.apply_all(stated), right).ece.value
    assert before is not None and after is not None and after < 0.05
    assert before > 0.15


def test_a_step_is_for_isotonic_and_a_sigmoid_for_platt() -> None:
    rng = np.random.default_rng(4)
    stated = rng.random(2000)
    step = (rng.random(2000) < np.where(stated < 0.8, 0.5, 0.98)).astype(float)
    assert fit("arm", stated, step).kind == "isotonic"
    logit = np.log(stated / (1 - stated))
    curve = (rng.random(2000) < 1 / (1 + np.exp(-0.5 * logit - 1))).astype(float)
    found = fit("arm", stated, curve)
    assert found.kind == "platt" and (found.slope, found.intercept) == pytest.approx((0.5, 1.0), abs=0.2)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_all_of_one_kind(kind: str, value: float) -> None:
    found = fit("arm", np.linspace(0.1, 0.9, 50), np.full(50, value), kind=kind)  # type: ignore[arg-type]
    assert found.apply(0.5) == pytest.approx(value, abs=0.03)
    assert kind == "isotonic" or 0 < found.apply(0.5) < 1  # Platt is never certain


def test_confidence_that_points_the_wrong_way_becomes_the_base_rate() -> None:
    stated = np.linspace(0.05, 0.95, 100)
    found = fit("arm", stated, (stated < 0.5).astype(float), kind="platt")
    assert found.slope == 0.0 and found.apply_all(GRID) == pytest.approx(np.full(101, 0.5), abs=0.01)


@pytest.mark.parametrize("kind", ["platt", "isotonic"])
def test_rarely_looked_at_items_count_for_those_nobody_saw(kind: str) -> None:
    stated = np.full(300, 0.8)
    right = np.asarray([1.0] * 200 + [0.0] * 100)
    looked = np.asarray([1.0] * 200 + [0.25] * 100)  # the wrong ones stand for four each
    assert fit("arm", stated, right, looked, kind=kind).apply(0.8) == pytest.approx(1 / 3, abs=0.02)  # type: ignore[arg-type]


def test_bad_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="lengths differ"):
        fit("arm", [0.5], [1.0, 0.0])
    with pytest.raises(ValueError, match="confidences"):
        fit("arm", [1.5], [1.0])
    with pytest.raises(ValueError, match="propensities"):
        fit("arm", [0.5], [1.0], [0.0])
    with pytest.raises(ValueError, match="must lie in"):
        reliability([0.5], [2.0])
    with pytest.raises(ValueError, match="same length"):
        reliability([0.5], [1.0], ["a", "b"])


@settings(deadline=None, max_examples=40)
@given(PAIRS, st.integers(1, 12))
def test_bins_hold_every_item_once_and_the_error_is_a_share(pairs: list[tuple[float, float]], bins: int) -> None:
    found = reliability([a for a, _ in pairs], [b for _, b in pairs], bins=bins)
    assert sum(each.n for each in found.bins) == found.n == len(pairs)
    for each in found.bins:
        assert (each.confidence is None) == (each.n == 0)
        assert each.confidence is None or each.low - 1e-9 <= each.confidence <= each.high + 1e-9
    if not pairs:
        assert found.ece.value is None
        return
    assert found.ece.value is not None and 0 <= found.ece.value <= 1
    by_hand = sum(each.n / found.n * abs((each.right or 0) - (each.confidence or 0)) for each in found.bins if each.n)
    assert found.ece.value == pytest.approx(by_hand)


def test_an_honest_arm_has_a_small_error_and_groups_widen_its_interval() -> None:
    rng = np.random.default_rng(6)
    stated = np.repeat(rng.random(100), 10)
    right = np.repeat((rng.random(100) < stated[::10]).astype(float), 10)  # a contract's ten clauses share their fate
    alone, together = reliability(stated, right), reliability(stated, right, np.repeat(np.arange(100), 10).tolist())
    assert alone.ece.value == pytest.approx(together.ece.value)
    assert alone.ece.low is not None and alone.ece.high is not None
    assert together.ece.low is not None and together.ece.high is not None
    assert together.ece.high - together.ece.low > 1.5 * (alone.ece.high - alone.ece.low)
    assert reliability([0.25] * 4, [1.0, 0.0, 0.0, 0.0]).ece.value == 0.0
