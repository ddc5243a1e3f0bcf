"""Clause presence scored against experts: precision, recall and F1 by family, pooled and averaged, with intervals.

Decisions on one contract depend on each other, so pooled figures and F1 carry bootstrap intervals over contracts;
the precision and recall of one family are shares of independent contracts and carry Wilson intervals.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.intervals import wilson

MEASURED_FROM = 20
"""A family with fewer positive contracts has no figure of its own that means much: such families are pooled."""
DRAWS = 1000
SEED = 7

Bools = NDArray[np.bool_]
Numbers = NDArray[np.float64]
Interval = tuple[float, float] | None


def bootstrap(values: Sequence[float], statistic: Callable[[Numbers], Numbers]) -> Interval:
    """The 95 % percentile interval of `statistic` over draws of `values` with replacement; None without values.

    `statistic` takes (draws, n) values and gives (draws,) figures.
    """
    if not values:
        return None
    given = np.asarray(values, dtype=np.float64)
    draws = given[np.random.default_rng(SEED).integers(0, len(given), (DRAWS, len(given)))]
    low, high = np.quantile(statistic(draws), [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def score(said: Bools, present: Bools, families: Sequence[str]) -> dict[str, object]:
    """The figures of decisions `said` against labels `present`, both (contracts, families).

    `micro` pools all families; `macro` averages, and `micro_frequent` pools, those with at least 20 positives; `rare`
    pools the others. A figure that nothing was counted for is None.
    """
    contracts = len(said)
    draws = np.random.default_rng(SEED).multinomial(contracts, np.full(contracts, 1 / max(contracts, 1)), DRAWS)
    counts = [part.astype(np.int64) for part in (said & present, said, present)]
    drawn = [draws @ part for part in counts]
    totals = [part.sum(axis=0) for part in counts]
    often = present.sum(axis=0) >= MEASURED_FROM

    def pooled(columns: Bools) -> dict[str, object]:
        point = _figures(*(part[columns].sum() for part in totals))
        spread = _figures(*(part[:, columns].sum(axis=1) for part in drawn))
        return {
            "families": int(columns.sum()),
            "positives": int(totals[2][columns].sum()),
            **{name: _rounded(value) for name, value in point.items()},
            **{f"{name}_interval": _quantiles(spread[name]) for name in point},
        }

    each, spread = _figures(*totals), _figures(*drawn)
    per_family = {}
    for column, family in enumerate(families):
        hits, claims, truths = (int(part[column]) for part in totals)
        per_family[family] = {
            "positives": truths,
            "claims": claims,
            **{name: _rounded(values[column]) for name, values in each.items()},
            "precision_interval": _shown(wilson(hits, claims)),
            "recall_interval": _shown(wilson(hits, truths)),
            "f1_interval": _quantiles(spread["f1"][:, column]),
        }
    return {
        "micro": pooled(np.ones(len(families), dtype=bool)),
        "micro_frequent": pooled(often),
        "macro": _macro(each, spread, often),
        "rare": pooled(~often),
        "per_family": per_family,
    }


def _macro(each: dict[str, Numbers], spread: dict[str, Numbers], often: Bools) -> dict[str, object]:
    """Means over the frequent families. A family that nothing was claimed of counts as precision 0."""
    if not often.any():
        return {"families": 0, "precision": None, "recall": None, "f1": None, "f1_interval": None}
    return {
        "families": int(often.sum()),
        **{name: _rounded(np.nan_to_num(values[often]).mean()) for name, values in each.items()},
        "f1_interval": _quantiles(np.nan_to_num(spread["f1"][:, often]).mean(axis=1)),
    }


def _figures(hits: NDArray[np.int64], claims: NDArray[np.int64], truths: NDArray[np.int64]) -> dict[str, Numbers]:
    """Precision, recall and F1; NaN where nothing was counted."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "precision": np.divide(hits, claims),
            "recall": np.divide(hits, truths),
            "f1": np.divide(2 * hits, claims + truths),
        }


def _quantiles(values: Numbers) -> Interval:
    known = values[~np.isnan(values)]
    if not len(known):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return round(float(low), 4), round(float(high), 4)


def _shown(interval: tuple[float, float]) -> tuple[float, float]:
    return round(interval[0], 4), round(interval[1], 4)


def _rounded(value: Numbers | np.float64) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
