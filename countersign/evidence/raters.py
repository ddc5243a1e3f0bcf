"""Agreement beyond chance between people, or between people and the agents."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from countersign.evidence.intervals import Estimate, bootstrap, ratio, totals_by_group


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Cohen's kappa of two raters on the same items, in [-1, 1] (Cohen, Educ. Psychol. Meas. 20:37, 1960).

    None where it is not defined: no items, or both gave one and the same label to all.

    Raises:
        ValueError: the two have different lengths.
    """
    labels = {label: place for place, label in enumerate(dict.fromkeys([*first, *second]))}
    table = np.zeros((len(labels), len(labels)))
    for mine, theirs in zip(first, second, strict=True):
        table[labels[mine], labels[theirs]] += 1
    if not labels:
        return None
    kappa = kappa_of_tables(table.reshape(1, -1))[0]
    return float(kappa) if np.isfinite(kappa) else None


def kappa_of_tables(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Kappa of each row, a square table of counts laid flat; nan where it is not defined. For the bootstrap."""
    side = round(tables.shape[1] ** 0.5)
    square = tables.reshape(-1, side, side)
    count = square.sum(axis=(1, 2))
    seen = ratio(np.trace(square, axis1=1, axis2=2), count)
    chance = ratio((square.sum(axis=1) * square.sum(axis=2)).sum(axis=1), count * count)
    # Where chance alone explains everything there is nothing beyond it to measure.
    room = np.where(np.isclose(chance, 1.0), 0.0, 1.0 - np.nan_to_num(chance, nan=1.0))
    return ratio(seen - chance, room)


def krippendorff_alpha(
    units: Sequence[Sequence[Hashable | None]],
    measure: Literal["nominal", "ordinal"] = "nominal",
    order: Sequence[Hashable] = (),
) -> float | None:
    """Krippendorff's alpha, at most 1 (Krippendorff, Computing Krippendorff's Alpha-Reliability, 2011).

    `units` holds the values that raters gave to each item, None where one gave none; an item with fewer than two values
    says nothing. `order` is the scale from least to most, for the ordinal measure. None where alpha is not defined:
    nothing to pair, or one value throughout.

    Raises:
        ValueError: the measure is ordinal and a value is not in `order`, or `order` names one twice.
    """
    if len(set(order)) != len(order):
        raise ValueError("order: names a value twice")
    kept = [[value for value in unit if value is not None] for unit in units]
    kept = [unit for unit in kept if len(unit) >= 2]
    scale = list(order) if measure == "ordinal" else list(dict.fromkeys(value for unit in kept for value in unit))
    places = {value: place for place, value in enumerate(scale)}
    if any(value not in places for unit in kept for value in unit):
        raise ValueError("order: does not name every value; the ordinal measure needs the whole scale")
    pairs = np.zeros((len(scale), len(scale)))
    for unit in kept:
        pairs += _coincidences(unit, places)
    margins = pairs.sum(axis=0)
    total = margins.sum()
    apart = _nominal(len(scale)) if measure == "nominal" else _ordinal(margins)
    expected = float((np.outer(margins, margins) * apart).sum())
    if total < 2 or expected == 0:
        return None
    return float(1.0 - (total - 1) * (pairs * apart).sum() / expected)


def alpha_estimate(units: Sequence[Sequence[Hashable]], groups: Sequence[Hashable]) -> Estimate:
    """Nominal alpha of the units, with its interval by the bootstrap over groups; one group to each unit.

    Raises:
        ValueError: `units` and `groups` have different lengths.
    """
    kept = [(unit, group) for unit, group in zip(units, groups, strict=True) if len(unit) >= 2]
    places = {value: place for place, value in enumerate(dict.fromkeys(value for unit, _ in kept for value in unit))}
    tables = np.asarray([_coincidences(unit, places).ravel() for unit, _ in kept]).reshape(len(kept), len(places) ** 2)
    return bootstrap(totals_by_group([group for _, group in kept], tables), alpha_of_tables)


def alpha_of_tables(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nominal alpha of each row, a matrix of coincidences laid flat; nan where it is not defined. For the bootstrap."""
    side = round(tables.shape[1] ** 0.5)
    square = tables.reshape(-1, side, side)
    margins = square.sum(axis=1)
    total = margins.sum(axis=1)
    seen = total - np.trace(square, axis1=1, axis2=2)
    expected = total * total - (margins * margins).sum(axis=1)
    return 1.0 - ratio((total - 1) * seen, np.where(np.isclose(expected, 0.0), 0.0, expected))


def _coincidences(unit: Sequence[Hashable], places: Mapping[Hashable, int]) -> NDArray[np.float64]:
    """Pairs of values that two raters gave to one item, each rater counted once."""
    counts = np.bincount([places[value] for value in unit], minlength=len(places)).astype(np.float64)
    pairs: NDArray[np.float64] = (np.outer(counts, counts) - np.diag(counts)) / (len(unit) - 1)
    return pairs


def _nominal(values: int) -> NDArray[np.float64]:
    return 1.0 - np.eye(values)


def _ordinal(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared differences of mid-ranks: values between two that many chose are further apart."""
    ends = np.concatenate([[0.0], np.cumsum(margins)])
    middle = np.asarray([(low + high) / 2 for low, high in pairwise(ends)])
    distance: NDArray[np.float64] = (middle[:, None] - middle[None, :]) ** 2
    return distance
