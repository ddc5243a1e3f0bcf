"""Confidence as a probability: from pairs (stated confidence, was it right) to a monotone map, one for each arm.

Isotonic regression by pooling adjacent violators (Ayer et al., Ann. Math. Stat. 26:641, 1955; Zadrozny and Elkan, KDD
2002) needs many pairs; Platt's sigmoid (Advances in Large Margin Classifiers, 1999) makes do with few. Which one it is,
cross-validation says, and below a size nobody has to ask. Pairs that were looked at with different propensities are
weighted by their inverse.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from countersign.evidence.observation import Frozen

FEWEST = 20
"""Pairs below which confidence is left as stated: a map drawn through them would be noise."""
FEW = 200
"""Pairs below which only Platt's two parameters are fitted (isotonic regression overfits: Niculescu-Mizil and Caruana,
ICML 2005)."""
FOLDS = 5

_EDGE = 1e-6
"""Confidence is kept this far from 0 and 1, where the logit is infinite."""

Floats = NDArray[np.float64]


class Calibration(Frozen):
    """A map from stated to calibrated confidence, both in [0, 1]; it never falls where the stated confidence rises.

    `kind` `stated` leaves it as it is; `platt` is sigmoid(slope x logit(stated) + intercept); `isotonic` is linear
    between the points (`stated`, `calibrated`) and level beyond them. `pairs` is what it was fitted on, of arm `arm`.
    """

    arm: str
    kind: Literal["stated", "platt", "isotonic"]
    pairs: int
    slope: float = 1.0
    intercept: float = 0.0
    stated: tuple[float, ...] = ()
    calibrated: tuple[float, ...] = ()

    def apply(self, confidence: float) -> float:
        """The calibrated confidence of one item."""
        return float(self.apply_all([confidence])[0])

    def apply_all(self, confidences: ArrayLike) -> Floats:
        """The calibrated confidences of many items."""
        given = np.clip(np.asarray(confidences, dtype=np.float64), 0.0, 1.0)
        if self.kind == "platt":
            return _sigmoid(self.slope * _logit(given) + self.intercept)
        if self.kind == "isotonic":
            return np.interp(given, self.stated, self.calibrated)
        return given


def fit(
    arm: str,
    confidences: ArrayLike,
    right: ArrayLike,
    propensities: ArrayLike | None = None,
    *,
    kind: Literal["platt", "isotonic"] | None = None,
) -> Calibration:
    """Calibrate an arm from its pairs. `right` is in [0, 1]: 0 or 1, or the severity-weighted agreement.

    Without a `kind`: the stated confidence below `FEWEST` pairs, Platt below `FEW`, else whichever has the smaller
    Brier score in cross-validation by interleaved folds.

    Raises:
        ValueError: lengths differ, a value is outside [0, 1], a propensity outside (0, 1].
    """
    stated, outcome = _checked("confidences", confidences), _checked("right", right)
    looked = np.ones_like(stated) if propensities is None else _checked("propensities", propensities)
    if not stated.shape == outcome.shape == looked.shape:
        raise ValueError(
            f"lengths differ: {stated.size} confidences, {outcome.size} outcomes, {looked.size} propensities"
        )
    if looked.size and looked.min() <= 0:
        raise ValueError("propensities: must be above 0")
    weights = 1.0 / looked
    if kind is None:
        kind = _chosen(stated, outcome, weights)
    if kind is None or not stated.size:
        return Calibration(arm=arm, kind="stated", pairs=stated.size)
    if kind == "platt":
        slope, intercept = _platt(stated, outcome, weights)
        return Calibration(arm=arm, kind="platt", pairs=stated.size, slope=slope, intercept=intercept)
    points, levels = _isotonic(stated, outcome, weights)
    return Calibration(
        arm=arm, kind="isotonic", pairs=stated.size, stated=tuple(points.tolist()), calibrated=tuple(levels.tolist())
    )


def _checked(name: str, values: ArrayLike) -> Floats:
    given = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if given.size and not (given.min() >= 0 and given.max() <= 1):
        raise ValueError(f"{name}: must lie in [0, 1]")
    return given


def _chosen(stated: Floats, outcome: Floats, weights: Floats) -> Literal["platt", "isotonic"] | None:
    if stated.size < FEWEST:
        return None
    if stated.size < FEW:
        return "platt"
    fold = np.arange(stated.size) % FOLDS
    scores = {"platt": 0.0, "isotonic": 0.0}
    for held in range(FOLDS):
        train, test = fold != held, fold == held
        slope, intercept = _platt(stated[train], outcome[train], weights[train])
        curve = _sigmoid(slope * _logit(stated[test]) + intercept)
        steps = np.interp(stated[test], *_isotonic(stated[train], outcome[train], weights[train]))
        for name, guess in (("platt", curve), ("isotonic", steps)):
            scores[name] += float((weights[test] * (guess - outcome[test]) ** 2).sum())
    return "isotonic" if scores["isotonic"] < scores["platt"] else "platt"


def _isotonic(stated: Floats, outcome: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Pool adjacent violators; each block as one or two points, its ends. Ties in x are one observation."""
    points, where = np.unique(stated, return_inverse=True)
    weight = np.bincount(where, weights=weights)
    means = np.bincount(where, weights=weights * outcome) / weight
    blocks: list[tuple[float, float, float, float]] = []
    """(mean, weight, first x, last x) of each block so far, means rising."""
    for point, mean, heavy in zip(points.tolist(), means.tolist(), weight.tolist(), strict=True):
        block = (mean, heavy, point, point)
        while blocks and blocks[-1][0] >= block[0]:
            level, mass, first, _ = blocks.pop()
            total = mass + block[1]
            block = ((level * mass + block[0] * block[1]) / total, total, first, block[3])
        blocks.append(block)
    xs, ys = [], []
    for level, _, first, last in blocks:
        for end in dict.fromkeys((first, last)):
            xs.append(end)
            ys.append(min(1.0, max(0.0, level)))
    return np.asarray(xs), np.asarray(ys)


def _platt(stated: Floats, outcome: Floats, weights: Floats) -> tuple[float, float]:
    """(slope, intercept) by Newton's method with halved steps (Lin, Lin and Weng, Machine Learning 68:267, 2007).

    Targets are Platt's (N+ + 1)/(N+ + 2) and 1/(N- + 2), so that nothing is certain. A slope below 0 would say that the
    agents are surest where they are wrong; it is 0 then, and the map is level at the base rate.
    """
    effective = weights.sum() ** 2 / (weights**2).sum() / weights.sum()
    above, below = float((weights * outcome).sum() * effective), float((weights * (1 - outcome)).sum() * effective)
    target = outcome * (above + 1) / (above + 2) + (1 - outcome) / (below + 2)
    scaled = weights / weights.mean()
    for columns in (np.stack([_logit(stated), np.ones_like(stated)]), np.ones((1, stated.size))):
        found = _newton(columns, target, scaled)
        if len(found) == 1:
            return 0.0, float(found[0])
        if found[0] >= 0:
            break
    return float(found[0]), float(found[1])


def _newton(columns: Floats, target: Floats, weights: Floats) -> Floats:
    ridge = 1e-6 * np.eye(len(columns))
    found = np.zeros(len(columns))

    def loss(at: Floats) -> float:
        z = at @ columns
        return float((weights * (np.logaddexp(0, z) - target * z)).sum() + at @ ridge @ at / 2)

    for _ in range(100):
        guess = _sigmoid(found @ columns)
        slope = columns @ (weights * (guess - target)) + ridge @ found
        if np.abs(slope).max() < 1e-8 * weights.size:
            break
        step = np.linalg.solve((columns * (weights * guess * (1 - guess))) @ columns.T + ridge, slope)
        size = 1.0
        while size > 1e-10 and loss(found - size * step) > loss(found) - 1e-4 * size * float(slope @ step):
            size /= 2
        found -= size * step
    return found


def _logit(share: Floats) -> Floats:
    inside = np.clip(share, _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))


def _sigmoid(z: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -z))
