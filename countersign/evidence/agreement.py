"""What agents said against what people decided, clause by clause: agreement, precision, recall, kappa, disagreements.

Every interval draws whole contracts, as clauses of one contract share their causes; Wilson's interval, which takes
clauses for independent, stands beside it for the agreement.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from countersign.evidence.intervals import Estimate, bootstrap, ratio, totals_by_group, wilson
from countersign.evidence.raters import kappa_of_tables
from countersign.words import Severity

NOTHING = frozenset({"absent"})
"""Labels that say there is nothing to report; every other label is a positive."""

_WEIGHTS = {Severity.INFO: 0.5, Severity.LOW: 1.0, Severity.MEDIUM: 2.0, Severity.HIGH: 4.0, Severity.CRITICAL: 8.0}
"""How much a clause counts in a review's agreement: each step up counts twice as much."""


@dataclass(frozen=True)
class Judged:
    """One clause of one contract as the agents and a person labelled it. Labels are positions or any other words."""

    contract: str
    clause: str
    agent: str
    person: str
    agent_severity: Severity = Severity.MEDIUM
    person_severity: Severity = Severity.MEDIUM

    @property
    def agreed(self) -> bool:
        """The same label and the same severity: severity decides who signs, so it is part of what was said."""
        return self.agent == self.person and self.agent_severity is self.person_severity

    @property
    def weight(self) -> float:
        """By the graver of the two severities: a grave clause counts whoever thought it grave."""
        return max(_WEIGHTS[self.agent_severity], _WEIGHTS[self.person_severity])

    @property
    def critical_error(self) -> bool:
        """A severity-1 error: a person found a critical clause that the agents had missed, mistaken or understated.

        The other way round (agents too careful) is a disagreement, but sends the contract to people and harms nobody.
        """
        return self.person_severity is Severity.CRITICAL and not self.agreed


@dataclass(frozen=True)
class Agreement:
    """The figures of one clause, or of all. `agreement_wilson` takes the n clauses for independent."""

    clause: str
    n: int
    contracts: int
    agreed: int
    agreement: Estimate
    agreement_wilson: tuple[float, float]
    precision: Estimate
    recall: Estimate
    f1: Estimate
    kappa: Estimate


@dataclass(frozen=True)
class AgreementReport:
    """A comparison: all clauses together, each by itself in order of its name, and where they differ."""

    overall: Agreement
    clauses: tuple[Agreement, ...]
    disagreements: tuple[Judged, ...]
    """The gravest first."""


def review_agreement(clauses: Collection[Judged]) -> float:
    """A review's agreement in [0, 1]: the share of its clauses that agree, weighted by severity. 1 without clauses."""
    total = sum(item.weight for item in clauses)
    if total == 0:
        return 1.0
    return min(1.0, sum(item.weight for item in clauses if item.agreed) / total)


def compare(
    judged: Iterable[Judged], *, nothing: Collection[str] = NOTHING, samples: int = 2000, seed: int = 20_260
) -> AgreementReport:
    """All figures of a set of labelled clauses.

    Precision and recall are about finding something: a positive is a label outside `nothing`, and the agents are right
    where the person has a positive too. Whether it is the same one is what agreement and kappa say.
    """
    items = sorted(judged, key=lambda item: (item.clause, item.contract))
    return AgreementReport(
        overall=_figures("all", items, nothing, samples, seed),
        clauses=tuple(
            _figures(clause, list(group), nothing, samples, seed)
            for clause, group in groupby(items, key=lambda item: item.clause)
        ),
        disagreements=tuple(sorted((item for item in items if not item.agreed), key=lambda item: -item.weight)),
    )


def _figures(clause: str, items: Sequence[Judged], nothing: Collection[str], samples: int, seed: int) -> Agreement:
    contracts = [item.contract for item in items]
    counts = np.asarray(
        [
            (
                1,
                item.agreed,
                item.agent not in nothing and item.person not in nothing,
                item.agent not in nothing,
                item.person not in nothing,
            )
            for item in items
        ],
        dtype=np.float64,
    ).reshape(len(items), 5)
    totals = totals_by_group(contracts, counts)
    tables = totals_by_group(contracts, _one_hot(items))
    agreed = int(counts[:, 1].sum())

    def estimate(above: int, *below: int) -> Estimate:
        return bootstrap(
            totals,
            lambda sums: ratio(sums[:, above] * len(below), sums[:, list(below)].sum(axis=1)),
            samples=samples,
            seed=seed,
            share=True,
        )

    return Agreement(
        clause=clause,
        n=len(items),
        contracts=len(totals),
        agreed=agreed,
        agreement=estimate(1, 0),
        agreement_wilson=wilson(agreed, len(items)),
        precision=estimate(2, 3),
        recall=estimate(2, 4),
        # 2 hits / (claims + truths) is the harmonic mean of precision and recall.
        f1=estimate(2, 3, 4),
        kappa=bootstrap(tables, kappa_of_tables, samples=samples, seed=seed),
    )


def _one_hot(items: Sequence[Judged]) -> NDArray[np.float64]:
    """Each item as a cell of the flat square table of labels, agents by people."""
    labels = {
        label: place for place, label in enumerate(sorted({x for item in items for x in (item.agent, item.person)}))
    }
    rows = np.zeros((len(items), max(1, len(labels) ** 2)))
    for row, item in enumerate(items):
        rows[row, labels[item.agent] * len(labels) + labels[item.person]] = 1
    return rows
