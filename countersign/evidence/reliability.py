"""How honest confidence is: a reliability diagram and the expected calibration error with its interval."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from countersign.evidence.intervals import Estimate, bootstrap, ratio, totals_by_group, wilson

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Items whose confidence lies in [low, high), the last bin with its end. Means are None where there are none.

    `interval` is Wilson's, of `right` as a share of n.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    right: float | None
    interval: tuple[float, float]


@dataclass(frozen=True)
class Reliability:
    """The diagram's bins and the expected calibration error in [0, 1]."""

    n: int
    bins: tuple[Bin, ...]
    ece: Estimate


def reliability(
    confidences: ArrayLike,
    right: ArrayLike,
    groups: Sequence[Hashable] | None = None,
    *,
    bins: int = BINS,
    seed: int = 20_260,
) -> Reliability:
    """Bins of equal width and ECE = sum over bins of n_b / n |mean right - mean confidence| (Naeini, Cooper and
    Hauskrecht, AAAI 2015; Guo et al., ICML 2017).

    `right` is in [0, 1]. `groups` names each item's contract; without it each item stands alone. The interval is the
    percentile bootstrap's over groups. With few items a bin's chance deviation is counted as error, so a small n gives
    too high an ECE, and the bootstrap does not undo that.

    Raises:
        ValueError: lengths differ or a value is outside [0, 1].
    """
    stated, outcome = np.atleast_1d(np.asarray(confidences, float)), np.atleast_1d(np.asarray(right, float))
    if stated.shape != outcome.shape or (groups is not None and len(groups) != stated.size):
        raise ValueError("confidences, right and groups: must have the same length")
    if stated.size and not (min(stated.min(), outcome.min()) >= 0 and max(stated.max(), outcome.max()) <= 1):
        raise ValueError("confidences, right: must lie in [0, 1]")
    place = np.minimum((stated * bins).astype(np.intp), bins - 1)
    counts = np.zeros((stated.size, 3 * bins))
    for column, values in enumerate((np.ones_like(stated), stated, outcome)):
        counts[np.arange(stated.size), place + column * bins] = values
    totals = totals_by_group(range(stated.size) if groups is None else groups, counts)

    def error(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        n, sure, hits = sums[:, :bins], sums[:, bins : 2 * bins], sums[:, 2 * bins :]
        return ratio(np.abs(hits - sure).sum(axis=1), n.sum(axis=1))

    n, sure, hits = counts.sum(axis=0).reshape(3, bins)
    return Reliability(
        n=stated.size,
        bins=tuple(
            Bin(
                low=at / bins,
                high=(at + 1) / bins,
                n=int(n[at]),
                confidence=float(sure[at] / n[at]) if n[at] else None,
                right=float(hits[at] / n[at]) if n[at] else None,
                interval=wilson(round(hits[at]), int(n[at])),
            )
            for at in range(bins)
        ),
        ece=bootstrap(totals, error, seed=seed),
    )
