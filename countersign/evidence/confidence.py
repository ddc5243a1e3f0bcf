"""What an arm's stated confidence is worth: a calibrated map and the threshold for it, from the arm's own pairs.

The older half of the pairs calibrates, the newer half sets the threshold, as a map judged on what it was fitted to
would look better than it is. With fewer than `FEWEST` of each there is no evidence to go by.

It is done when the pairs have doubled, at 240, 480, 960 and so on: the half that sets a threshold is then new to every
fit before it. The k-th fit may be wrong with 6 DELTA / (pi k)^2, which sums to DELTA: so with 1 - DELTA no threshold
that was ever in force has a mean error above the target (alpha spending over looks, as in Lan and DeMets, Biometrika
70:659, 1983; a threshold chosen anew with each pair at the full DELTA would be wrong sooner or later).

What that mean is of: items as sure or surer, in arrival as in those pairs, each with its propensity. What else sends an
item to a person (a grave finding, an effect) is not part of it, so what is really released may err more or less.
"""

from collections.abc import Sequence
from math import pi
from typing import NamedTuple

import numpy as np

from countersign.evidence.calibration import fit
from countersign.evidence.observation import Frozen
from countersign.evidence.risk_control import review_threshold

FEWEST = 120
"""Pairs of each half below which nothing is said."""
STEPS = 100
DELTA = 0.05


class Pair(NamedTuple):
    """Stated confidence and agreement in [0, 1], the propensity and weight with which it was looked at."""

    stated: float
    agreement: float
    propensity: float = 1.0
    weight: float = 1.0


class Confidence(Frozen):
    """The map as its values at 0, 1/STEPS, ... 1, and the threshold; None: nothing may be released.

    `target` is the mean error allowed of items as sure, broken with a probability of at most `delta` by this fit; it is
    the fit's part of `DELTA`. `coverage`
    and `error` are of the pairs that set the threshold.
    """

    kind: str
    pairs: int
    grid: tuple[float, ...]
    threshold: float | None
    threshold_pairs: int
    target: float
    delta: float = DELTA
    coverage: float = 0.0
    error: float | None = None


def due(pairs: int, fitted: int) -> bool:
    """Whether so many pairs want a new fit, the last having been at `fitted` (0: none so far)."""
    return pairs >= 2 * max(FEWEST, fitted)


def part_of_delta(pairs: int) -> float:
    """What the fit at so many pairs, the k-th at 2^k `FEWEST` or more, may spend of `DELTA`."""
    k = max(1, (pairs // FEWEST).bit_length() - 1)
    return 6 * DELTA / (pi * k) ** 2


def learned(arm: str, pairs: Sequence[Pair], target: float) -> Confidence | None:
    """Fit to an arm's pairs in the order of submission; None while there are too few to say anything.

    Without a threshold that is safe there are two cases. Where the newer pairs err more than the target allows, nothing
    may be released. Where they do not, they are too few to show it: then nothing is said, and what guards the cell is
    its level, which was earned by the same pairs.
    """
    half = len(pairs) // 2
    if half < FEWEST:
        return None
    delta = part_of_delta(len(pairs))
    older, newer = pairs[:half], pairs[half:]
    calibration = fit(arm, [p.stated for p in older], [p.agreement for p in older], [p.propensity for p in older])
    steps = np.linspace(0.0, 1.0, STEPS + 1)
    grid = np.round(calibration.apply_all(steps), 6)
    # By the map as the gate applies it, between its points.
    sure = np.interp([p.stated for p in newer], steps, grid)
    losses, weights = [1.0 - p.agreement for p in newer], [p.weight for p in newer]
    found = review_threshold(sure, losses, target=target, delta=delta, weights=weights)
    if found.threshold is None and float(np.average(losses, weights=weights)) <= target:
        return None
    return Confidence(
        kind=calibration.kind,
        pairs=half,
        grid=tuple(grid.tolist()),
        threshold=found.threshold,
        threshold_pairs=len(newer),
        target=target,
        delta=delta,
        coverage=found.coverage,
        error=found.error,
    )
