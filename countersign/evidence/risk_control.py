"""The confidence from which the machine may release by itself, so that its share of errors stays below a target.

Each candidate threshold t is a hypothesis "the mean error of items with a confidence of t or more is above the target"
with a valid p-value; those rejected with family-wise error control are safe (Learn then Test: Angelopoulos, Bates,
Candes, Jordan and Lei, Ann. Appl. Stat. 19:1641, 2025). Errors of items above a fixed threshold are independent with
one mean, so no correction for choosing them is needed (Geifman and El-Yaniv, NeurIPS 2017). Thresholds are tested from
strict to lax by the fallback procedure (Wiens, Pharm. Stat. 2:211, 2003): each has a share of delta, and hands all it
had to the next once it is rejected, which takes no assumption about how they hang together.

The confidences must come from a map that was not fitted on the same pairs, or the errors above a threshold are no fair
sample: calibrate on the older pairs, set the threshold on the newer ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from countersign.evidence.eprocess import log_path
from countersign.evidence.intervals import Estimate, drawn, ratio, wilson

Floats = NDArray[np.float64]

DOUBTS: tuple[float, ...] = tuple(0.25 * step for step in range(2, 61))
"""Candidates, strict to lax, as doubt in units of the target: the threshold is 1 - doubt x target. They are fixed
beforehand: a grid taken from the data would be one more choice."""
STARTS: tuple[float, ...] = (1.0, 2.5)
"""Where delta is spent, in equal parts. At 1 every item's doubt is below the target, so with an honest confidence the
mean is well below; there are more items above the second, in case nearly none is that sure."""


@dataclass(frozen=True)
class ReviewThreshold:
    """The result. `threshold` None means that nothing may be released. `error` and `coverage` are of the pairs.

    Items with a confidence of `threshold` or more are released: `released` of `n`, their mean error `error`.
    """

    threshold: float | None
    target: float
    delta: float
    n: int
    released: int
    coverage: float
    error: float | None
    p_value: float | None


@dataclass(frozen=True)
class RiskCoverage:
    """Mean error of the items kept when the least sure are left out. Points rise in coverage; ties are one point."""

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    threshold: tuple[float, ...]
    aurc: float | None
    """Area under the curve: the mean of its risk over 1, 2, ... n items (Geifman, Uziel and El-Yaniv, ICLR 2019)."""


@dataclass(frozen=True)
class CurveBand:
    """Interval of the area under a risk-coverage curve, and of its risk at each point; None where there is none."""

    aurc: Estimate
    low: tuple[float | None, ...]
    high: tuple[float | None, ...]


def binomial_p_value(errors: int, n: int, target: float) -> float:
    """P(Binomial(n, target) <= errors): against "the share of errors is above the target", exact for yes or no.

    Raises:
        ValueError: `errors` is not between 0 and `n`, or the target not between 0 and 1.
    """
    if not 0 <= errors <= n or not 0 < target < 1:
        raise ValueError(f"expected 0 <= errors <= n and 0 < target < 1, got {errors}, {n}, {target}")
    if errors == n:
        return 1.0
    k = np.arange(errors + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    logs = factorials[n] - factorials[k] - factorials[n - k] + k * np.log(target) + (n - k) * np.log1p(-target)
    return float(min(1.0, np.exp(np.logaddexp.reduce(logs))))


def betting_p_value(losses: ArrayLike, target: float, weights: ArrayLike = 1.0) -> float:
    """1 / e-value of a bet that the mean loss is below the target, for losses in [0, 1] (Waudby-Smith and Ramdas 2024).

    `weights` are `Observation.weight` where items were looked at with different propensities. Their order is no matter.
    """
    values = np.asarray(losses, dtype=np.float64)
    if not values.size:
        return 1.0
    return float(np.exp(min(0.0, -log_path(1.0 - values, 1.0 - target, weights)[-1])))


def review_threshold(  # noqa: PLR0913 - each has a default
    confidences: ArrayLike,
    losses: ArrayLike,
    *,
    target: float,
    delta: float = 0.05,
    weights: ArrayLike | None = None,
    binary: bool = False,
    doubts: Sequence[float] = DOUBTS,
    starts: Sequence[float] = STARTS,
) -> ReviewThreshold:
    """The laxest threshold whose mean error is at most `target`, wrong with a probability of at most `delta`.

    `losses` are in [0, 1], 1 - agreement. `binary` promises that they can only be 0 or 1, which allows the exact test;
    it must follow from what they are, not from a look at them. `weights` as in `betting_p_value`.

    Raises:
        ValueError: lengths differ, a number is out of its range, `binary` is not true or comes with weights, `doubts`
            do not rise or a start is not among them.
    """
    sure, loss, weighing = _checked(confidences, losses, weights)
    if not 0 < target < 1 or not 0 < delta < 1:
        raise ValueError(f"target, delta: must lie between 0 and 1, not {target} and {delta}")
    if binary and (weights is not None or not np.isin(loss, (0.0, 1.0)).all()):
        raise ValueError("binary: losses are not all 0 or 1, or have weights")
    if any(strict >= lax for strict, lax in pairwise(doubts)):
        raise ValueError("doubts: must rise from strict to lax")
    if not starts or len(set(starts)) != len(starts) or not set(starts) <= set(doubts):
        raise ValueError("starts: must be some of the doubts, each once")
    found: tuple[float, float] | None = None
    carried = 0.0
    for doubt in doubts:
        threshold = 1.0 - doubt * target
        level = carried + (delta / len(starts) if doubt in starts else 0.0)
        kept = sure >= threshold
        if binary:
            p = binomial_p_value(int(loss[kept].sum()), int(kept.sum()), target) if kept.any() else 1.0
        else:
            p = betting_p_value(loss[kept], target, weighing[kept])
        carried = level if level > 0 and p <= level else 0.0
        if carried:
            found = threshold, p
    kept = sure >= (found[0] if found else np.inf)
    mass = weighing.sum()
    return ReviewThreshold(
        threshold=found[0] if found else None,
        target=target,
        delta=delta,
        n=sure.size,
        released=int(kept.sum()),
        coverage=float(weighing[kept].sum() / mass) if mass else 0.0,
        error=float(np.average(loss[kept], weights=weighing[kept])) if kept.any() else None,
        p_value=found[1] if found else None,
    )


def risk_coverage(confidences: ArrayLike, losses: ArrayLike, weights: ArrayLike | None = None) -> RiskCoverage:
    """The risk-coverage curve, most sure items first (El-Yaniv and Wiener, JMLR 11:1605, 2010).

    Raises:
        ValueError: lengths differ or a value is outside [0, 1].
    """
    sure, loss, weighing = _checked(confidences, losses, weights)
    if not sure.size:
        return RiskCoverage((), (), (), None)
    levels, where = np.unique(-sure, return_inverse=True)
    mass = np.cumsum(np.bincount(where, weights=weighing))
    risk = np.minimum(1.0, np.cumsum(np.bincount(where, weights=weighing * loss)) / mass)
    shares = np.diff(np.concatenate([[0.0], mass])) / mass[-1]
    return RiskCoverage(
        coverage=tuple((mass / mass[-1]).tolist()),
        risk=tuple(risk.tolist()),
        threshold=tuple((-levels).tolist()),
        aurc=float((risk * shares).sum()),
    )


def risk_coverage_band(confidences: ArrayLike, losses: ArrayLike, *, confidence: float = 0.95) -> CurveBand:
    """How sure the curve of `risk_coverage` is, by the percentile bootstrap over items.

    At each threshold the mean error of what lies at or above it is drawn anew; samples with nothing there are left out.
    With fewer than two items there is no interval. Where all errors are 0 or all are 1, which no draw changes, the end
    left open is Wilson's. Raises as `risk_coverage` does.
    """
    curve = risk_coverage(confidences, losses)
    sure, loss, _ = _checked(confidences, losses, None)
    if sure.size < 2:
        return CurveBand(Estimate(curve.aurc), (None,) * len(curve.risk), (None,) * len(curve.risk))
    order = np.argsort(-sure, kind="stable")
    last = np.flatnonzero(np.diff(-sure[order], append=np.inf))
    draws = drawn(sure.size)[:, order].astype(np.float64)
    mass = np.cumsum(draws, axis=1)[:, last]
    risks = ratio(np.cumsum(draws * loss[order], axis=1)[:, last], mass)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.nanquantile(risks, ends, axis=0)
    for place in np.flatnonzero((low == high) & np.isin(curve.risk, (0.0, 1.0))):
        kept = int(last[place]) + 1
        low[place], high[place] = wilson(round(curve.risk[place]) * kept, kept, confidence)
    shares = np.diff(mass, axis=1, prepend=0.0) / sure.size
    areas = np.quantile((np.nan_to_num(risks) * shares).sum(axis=1), ends)
    return CurveBand(Estimate(curve.aurc, *areas.tolist()), tuple(low.tolist()), tuple(high.tolist()))


def _checked(confidences: ArrayLike, losses: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    sure = np.atleast_1d(np.asarray(confidences, dtype=np.float64))
    loss = np.atleast_1d(np.asarray(losses, dtype=np.float64))
    weighing = np.ones_like(sure) if weights is None else np.atleast_1d(np.asarray(weights, dtype=np.float64))
    if not sure.shape == loss.shape == weighing.shape:
        raise ValueError(f"lengths differ: {sure.size} confidences, {loss.size} losses, {weighing.size} weights")
    for name, values in (("confidences", sure), ("losses", loss), ("weights", weighing)):
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"{name}: must lie in [0, 1]")
    if weighing.size and weighing.min() <= 0:
        raise ValueError("weights: must be above 0")
    return sure, loss, weighing
