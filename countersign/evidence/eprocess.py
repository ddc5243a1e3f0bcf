"""Tests of agreement against a bar that may be looked at after every item: one for promotion, one for demotion.

*Growth* bets against "agreement is at most the bar". Its capital is a mixture over constant bets u of

    prod_i (1 + w_i u (x_i / bar - 1)),   x_i the agreement in [0, 1], 0 < u < 1, w_i in (0, 1],

one side of the capital process of Waudby-Smith and Ramdas ("Estimating means of bounded random variables by betting",
JRSS-B 86:1, 2024) with lambda = u / bar. While E[x_i | past] <= bar it is a nonnegative supermartingale that starts at
1, so by Ville's inequality it ever reaches 1 / alpha with a probability of at most alpha, however often one looks. For
items that are right or wrong, u is the Kelly bet when the true share is bar + u (1 - bar).

*Watch* looks for a fall below the bar. Its value is a mixture over v of Shiryaev-Roberts recursions

    M_i = (M_{i-1} + 1) (1 + w_i v (bar - x_i) / (1 - bar)),   0 < v < 1,

an e-detector (Shin, Ramdas and Rinaldo, "E-detectors", NEJSDS 2:229, 2024). While E[x_i | past] >= bar, M_i - i is a
supermartingale, so the mean number of items until the value reaches A + M_0 is at least A. The start M_0 is above 0, as
an arm is least known when it was just promoted (Moustakides, Polunchenko and Tartakovsky, Statistica Sinica 21:571,
2011). For items that are right or wrong, v is the Kelly bet after a fall to bar (1 - v).

Items that were looked at with different propensities enter with the weight w = least / propensity, which has
E[looked w (x - bar)] = least E[x - bar], so that both statements hold for all items and not only for those looked at;
as w <= 1 no bet can lose more than its stake (cf. Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro, "Anytime-valid
off-policy inference for contextual bandits", 2022).
"""

from collections.abc import Sequence
from math import exp, inf, log, log1p

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from countersign.evidence.observation import Frozen, Observation

Floats = NDArray[np.float64]

BETS: tuple[tuple[float, float], ...] = ((0.2, 0.1), (0.45, 0.6), (0.9, 0.3))
"""(u, share of the starting capital): for an arm just above the bar, clearly above it, and nearly without fault.

Chosen on simulated right-or-wrong items against a bar of 0.95 for short medians at shares of 0.97 to 0.99 without long
tails, and so that an arm of 0.96 gets there too; `benchmarks/autonomy.py` measures with other random numbers.
"""

DROPS: tuple[tuple[float, float], ...] = ((0.1, 0.8), (0.5, 0.2))
"""(v, share). A fall of ten points, and a collapse."""

HEAD_START = 10.0
"""M_0, in items: what a watch begins with."""

_FULL = 1e15
"""A watch's value is cut here: far above any threshold, far below the largest float."""


class Growth(Frozen):
    """Evidence that agreement is above `bar`. A value: `seen` returns the next one.

    `items` is how many were seen, `weighted` and `agreed` the sums of their weights and weighted agreements,
    `log_capitals` the natural logarithm of each bet's capital, in the order of `BETS`.
    """

    bar: float = Field(gt=0, lt=1)
    items: int = 0
    weighted: float = 0.0
    agreed: float = 0.0
    log_capitals: tuple[float, ...] = (0.0,) * len(BETS)

    def seen(self, observation: Observation) -> "Growth":
        """The evidence after one more item."""
        edge = observation.weight * (observation.agreement / self.bar - 1.0)
        return self.model_copy(
            update={
                "items": self.items + 1,
                "weighted": self.weighted + observation.weight,
                "agreed": self.agreed + observation.weight * observation.agreement,
                "log_capitals": tuple(
                    capital + log1p(bet * edge) for capital, (bet, _) in zip(self.log_capitals, BETS, strict=True)
                ),
            }
        )

    @property
    def agreement(self) -> float | None:
        """The weighted mean agreement; None before the first item."""
        return self.agreed / self.weighted if self.items else None

    @property
    def log_e(self) -> float:
        """Natural logarithm of the capital: the e-value against "agreement is at most the bar"."""
        return _log_mix(self.log_capitals)

    @property
    def e_value(self) -> float:
        """The capital; 1 at the start. Infinite where a float cannot hold it."""
        return exp(self.log_e) if self.log_e < 700 else inf

    def reached(self, threshold: float) -> bool:
        """Whether the capital is at least the threshold, which is 1 / alpha."""
        return self.log_e >= log(threshold)

    def forfeited(self) -> "Growth":
        """Gains are lost, losses stay. Taking capital away never spoils the guarantee; giving some back would."""
        return self.model_copy(update={"log_capitals": tuple(min(capital, 0.0) for capital in self.log_capitals)})

    def restarted(self) -> "Growth":
        """A new test with the starting capital. Only for one that had reached its threshold: see `level`."""
        return Growth(bar=self.bar)

    def doubted(self, items: int) -> "Growth":
        """The least that the evidence can come to with so many items more: as if nothing in them agreed."""
        capitals = tuple(at + items * log1p(-bet) for at, (bet, _) in zip(self.log_capitals, BETS, strict=True))
        return self.model_copy(update={"log_capitals": capitals})

    def still_needed(self, threshold: float) -> int:
        """Items that would still be needed if every one agreed; each makes the capital grow, so bisection finds it."""
        if self.reached(threshold):
            return 0
        steps = [log1p(bet * (1.0 / self.bar - 1.0)) for bet, _ in BETS]

        def enough(items: int) -> bool:
            later = [capital + items * step for capital, step in zip(self.log_capitals, steps, strict=True)]
            return _log_mix(later) >= log(threshold)

        high = 1
        while not enough(high):
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high


class Watch(Frozen):
    """Evidence that agreement fell below `bar` at some time. `values` are the recursions, in the order of `DROPS`."""

    bar: float = Field(gt=0, lt=1)
    items: int = 0
    values: tuple[float, ...] = (HEAD_START,) * len(DROPS)

    def seen(self, observation: Observation) -> "Watch":
        """The evidence after one more item."""
        values = watched(np.asarray(self.values), observation.agreement, self.bar, observation.weight)
        return self.model_copy(update={"items": self.items + 1, "values": tuple(values.tolist())})

    def suspicion(self, run_length: float) -> float:
        """The e-detector as a share of what sets it off; at 1 it goes off, on average after `run_length` items or more
        where nothing fell."""
        return float(suspicions(np.asarray(self.values), run_length))


def watched(values: Floats, agreements: ArrayLike, bar: float, weights: ArrayLike = 1.0) -> Floats:
    """`Watch.values` after one more item; axis 0 is that of `DROPS`, the others may hold many arms at once."""
    edge = np.asarray(weights) * (bar - np.asarray(agreements)) / (1.0 - bar)
    return np.minimum(_FULL, (values + 1.0) * (1.0 + np.multiply.outer([drop for drop, _ in DROPS], edge)))


def suspicions(values: Floats, run_length: float) -> Floats:
    """`Watch.suspicion` of values as `watched` returns them."""
    return np.tensordot([share for _, share in DROPS], values, axes=1) / (run_length + HEAD_START)


def log_path(agreements: ArrayLike, bar: float, weights: ArrayLike = 1.0) -> Floats:
    """`Growth.log_e` after every item, for sequences along the last axis; any number of them at once.

    Raises:
        ValueError: an agreement outside [0, 1], a weight outside [0, 1], or a bar outside (0, 1).
    """
    values = np.asarray(agreements, dtype=np.float64)
    weighing = np.asarray(weights, dtype=np.float64)
    if not 0 < bar < 1:
        raise ValueError(f"bar: must lie between 0 and 1, not {bar}")
    for name, given in (("agreements", values), ("weights", weighing)):
        if given.size and not (given.min() >= 0 and given.max() <= 1):
            raise ValueError(f"{name}: must lie in [0, 1]")
    edge = weighing * (values / bar - 1.0)
    total = np.full(edge.shape, -np.inf)
    for bet, share in BETS:
        total = np.logaddexp(total, log(share) + np.cumsum(np.log1p(bet * edge), axis=-1))
    return total


def lower_bound(agreements: ArrayLike, alpha: float = 0.05, weights: ArrayLike = 1.0) -> float:
    """The largest bar that the sequence has beaten at level `alpha`, in [0, 1): with 1 - alpha the mean is above it.

    The end of the betting confidence sequence (Waudby-Smith and Ramdas 2024): the bars whose capital is below
    1 / alpha. It holds at all times at once. Every factor falls as the bar rises, so bisection finds it.
    """
    values = np.asarray(agreements, dtype=np.float64)
    low, high = 0.0, 1.0
    if not values.size:
        return low
    for _ in range(40):
        middle = (low + high) / 2
        beaten = log_path(values, middle, weights)[-1] >= -log(alpha)
        low, high = (middle, high) if beaten else (low, middle)
    return low


def _log_mix(log_capitals: Sequence[float]) -> float:
    parts = [log(share) + capital for capital, (_, share) in zip(log_capitals, BETS, strict=True)]
    top = max(parts)
    return top + log(sum(exp(part - top) for part in parts))
