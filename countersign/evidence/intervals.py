"""Intervals for measured figures: Wilson's for a share, the bootstrap over groups for everything else."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

SAMPLES, SEED = 2000, 20_260

Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From totals of counts, one row a sample, to the figure of each row; nan where it is not defined."""


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval. None where it is not defined, as precision when nothing was claimed."""

    value: float | None
    low: float | None = None
    high: float | None = None


def wilson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson score interval of a share of `k` in `n`, as (low, high) in [0, 1]; (0, 1) when nothing was counted.

    Unlike the normal approximation it stays honest at 0 % and 100 % (Wilson 1927).

    Raises:
        ValueError: `k` is not between 0 and `n`, or `confidence` not between 0 and 1.
    """
    if not 0 <= k <= n or not 0 < confidence < 1:
        raise ValueError(f"expected 0 <= k <= n and 0 < confidence < 1, got k={k}, n={n}, confidence={confidence}")
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = k / n
    centre = share + z * z / (2 * n)
    spread = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((centre + sign * spread) / (1 + z * z / n) for sign in (-1, 1))
    return (0.0 if k == 0 else low), (1.0 if k == n else high)


def totals_by_group(groups: Iterable[Hashable], counts: ArrayLike) -> NDArray[np.float64]:
    """Counts (items x columns) summed over each group (groups x columns), groups in order of first appearance."""
    rows = np.asarray(counts, dtype=np.float64)
    places: dict[Hashable, int] = {}
    index = np.asarray([places.setdefault(group, len(places)) for group in groups], dtype=np.intp)
    sums = np.zeros((len(places), rows.shape[1] if rows.ndim == 2 else 0))
    np.add.at(sums, index, rows)
    return sums


def drawn(groups: int, samples: int = SAMPLES, seed: int = SEED) -> NDArray[np.int64]:
    """How often each group is in each sample (samples x groups), every sample as many groups as there are."""
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=samples)


def bootstrap(  # noqa: PLR0913 - each has a default
    totals: NDArray[np.float64],
    statistic: Statistic,
    *,
    confidence: float = 0.95,
    samples: int = SAMPLES,
    seed: int = SEED,
    share: bool = False,
) -> Estimate:
    """A figure of summed counts with its percentile bootstrap interval, drawing whole groups (Efron 1979; Field and
    Welsh, JRSS-B 69:369, 2007, for groups).

    `totals` has one row a group. Items of one contract share their causes, so contracts are drawn and not items.
    Samples in which the figure is not defined are left out. The seed is fixed: the same data give the same interval.
    With fewer than two groups there is no interval. `share` says that the figure is a share: where it is 0 or 1 every
    draw is the same, which proves nothing, so the end that it leaves open is Wilson's for as many groups.
    """
    whole = statistic(totals.sum(axis=0, keepdims=True)) if len(totals) else np.asarray([np.nan])
    if not np.isfinite(whole[0]):
        return Estimate(None)
    if len(totals) < 2:
        return Estimate(float(whole[0]))
    figures = statistic(drawn(len(totals), samples, seed) @ totals)
    figures = figures[np.isfinite(figures)]
    low, high = np.quantile(figures, [(1 - confidence) / 2, (1 + confidence) / 2])
    if share and low == high and whole[0] in (0.0, 1.0):
        low, high = wilson(int(whole[0]) * len(totals), len(totals), confidence)
    return Estimate(float(whole[0]), float(low), float(high))


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    """above / below, nan where below is 0."""
    found: NDArray[np.float64] = np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)
    return found
