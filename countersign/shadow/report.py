"""The figures of a shadow run: agreement, calibration, what would be released at which risk, time and money. Pure.

Intervals are 95 %, by the bootstrap over contracts (`countersign.evidence.intervals`). Two confidences are looked at:
that of each claim (is the clause there, as the agents say?), on which calibration is shown, and that of the whole
review, which is what the gate goes by: the risk-coverage curve orders reviews by it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from countersign.evidence.agreement import NOTHING, Agreement, compare
from countersign.evidence.intervals import Estimate, bootstrap, ratio
from countersign.evidence.raters import alpha_estimate
from countersign.evidence.reliability import Reliability, reliability
from countersign.evidence.risk_control import CurveBand, RiskCoverage, risk_coverage, risk_coverage_band
from countersign.shadow.judging import APPROVE, DECISION, Compared

NO_CLAIM = NOTHING | {APPROVE}
"""Labels that find nothing: the clause is not there, or the review can be signed as it stands."""


@dataclass(frozen=True)
class Reviewed:
    """One contract of the run. `clauses` None: its content was erased, and only its figures are left.

    `confidence` is the review's as stated, `agreement` weighted by severity, `machine_s` seconds.
    """

    contract: str
    clauses: tuple[Compared, ...] | None
    confidence: float
    agreement: float
    critical: bool = False
    route: str | None = None
    machine_s: float = 0.0
    cost_microusd: int = 0


@dataclass(frozen=True)
class Baseline:
    """What one contract costs by hand, as stated by whoever asks; nothing is assumed."""

    minutes: float | None = None
    usd: float | None = None


@dataclass(frozen=True)
class Effort:
    """Time and money of the machine, and against the stated baseline. Hours and dollars are of all contracts."""

    contracts: int
    machine_s_median: float | None
    machine_hours: float
    cost_usd: float
    baseline: Baseline
    by_hand_hours: float | None
    by_hand_usd: float | None


@dataclass(frozen=True)
class Disagreement:
    """One clause on which agents and person differ, with what each of them quotes."""

    contract: str
    clause: str
    agent: str
    person: str
    agent_severity: str
    person_severity: str
    agent_quote: str
    person_quote: str
    confidence: float | None
    critical: bool


@dataclass(frozen=True)
class ShadowReport:
    """All figures of a run. `cases` were given, `contracts` gave a pair, `failures` says why the others did not."""

    title: str
    facts: dict[str, Any]  # JSON
    cases: int
    contracts: int
    erased: int
    failures: dict[str, int]
    overall: Agreement
    clauses: tuple[Agreement, ...]
    review_agreement: Estimate
    criticals: int
    alpha: Estimate
    claims: Reliability
    reviews: Reliability
    curve: RiskCoverage
    band: CurveBand
    effort: Effort
    disagreements: tuple[Disagreement, ...] = field(default=())

    def document(self) -> dict[str, Any]:
        """As one JSON object; a figure is [value, low, high] under `intervals`, and its value under its own name."""
        overall = self.overall
        named = {
            "agreement": overall.agreement,
            "kappa": overall.kappa,
            "precision": overall.precision,
            "recall": overall.recall,
            "f1": overall.f1,
            "ece": self.claims.ece,
            "ece_reviews": self.reviews.ece,
            "review_agreement": self.review_agreement,
            "krippendorff_alpha": self.alpha,
        }
        intervals = {**named, "aurc": self.band.aurc}
        return {
            "run": self.title,
            **self.facts,
            "n": overall.n,
            "cases": self.cases,
            "contracts": self.contracts,
            "erased": self.erased,
            "failures": self.failures,
            **{name: estimate.value for name, estimate in named.items()},
            "intervals": {name: [estimate.low, estimate.high] for name, estimate in intervals.items()},
            "agreement_wilson": list(overall.agreement_wilson),
            "criticals": self.criticals,
            "risk_coverage": {
                "coverage": list(self.curve.coverage),
                "risk": list(self.curve.risk),
                "risk_intervals": [list(ends) for ends in zip(self.band.low, self.band.high, strict=True)],
                "threshold": list(self.curve.threshold),
                "aurc": self.curve.aurc,
            },
            "reliability": [vars(one) for one in self.claims.bins],
            "clauses": [_clause(one) for one in self.clauses],
            "effort": {**vars(self.effort), "baseline": vars(self.effort.baseline)},
            "disagreements": [vars(one) for one in self.disagreements],
        }


def report(  # noqa: PLR0913 - each is a fact of the run
    title: str,
    reviewed: Sequence[Reviewed],
    *,
    facts: dict[str, Any] | None = None,  # JSON
    cases: int | None = None,
    failures: dict[str, int] | None = None,
    baseline: Baseline | None = None,
) -> ShadowReport:
    """The report on these reviews; with none every figure is undefined and says so."""
    readable = [one for one in reviewed if one.clauses is not None]
    pairs = [(one.contract, clause) for one in readable for clause in one.clauses or ()]
    compared = compare((clause.judged(contract) for contract, clause in pairs), nothing=NO_CLAIM)
    claims = [(contract, clause) for contract, clause in pairs if clause.confidence is not None]
    confidences = [one.confidence for one in reviewed]
    agreements = [one.agreement for one in reviewed]
    losses = [1.0 - agreement for agreement in agreements]
    twice = [(contract, (clause.person, *clause.others)) for contract, clause in pairs if clause.others]
    return ShadowReport(
        title=title,
        facts=facts or {},
        cases=len(reviewed) if cases is None else cases,
        contracts=len(reviewed),
        erased=len(reviewed) - len(readable),
        failures=failures or {},
        overall=compared.overall,
        clauses=compared.clauses,
        review_agreement=bootstrap(
            np.asarray([(agreement, 1.0) for agreement in agreements]).reshape(-1, 2),
            lambda totals: ratio(totals[:, 0], totals[:, 1]),
            share=True,
        ),
        criticals=sum(one.critical for one in reviewed),
        alpha=alpha_estimate([labels for _, labels in twice], [contract for contract, _ in twice]),
        claims=reliability(
            [clause.confidence or 0.0 for _, clause in claims],
            [float(clause.person not in NO_CLAIM) for _, clause in claims],
            [contract for contract, _ in claims],
        ),
        reviews=reliability(confidences, agreements),
        curve=risk_coverage(confidences, losses),
        band=risk_coverage_band(confidences, losses),
        effort=_effort(reviewed, baseline or Baseline()),
        disagreements=_disagreements(pairs),
    )


def _disagreements(pairs: Sequence[tuple[str, Compared]]) -> tuple[Disagreement, ...]:
    """The gravest first, then what the agents were surest of."""
    found = []
    for contract, clause in pairs:
        judged = clause.judged(contract)
        if judged.agreed:
            continue
        row = Disagreement(
            contract=contract,
            clause=clause.clause,
            agent=clause.agent,
            person=clause.person,
            agent_severity=clause.agent_severity,
            person_severity=clause.person_severity,
            agent_quote=clause.agent_quote,
            person_quote=clause.person_quote,
            confidence=clause.confidence,
            critical=judged.critical_error,
        )
        found.append(((not judged.critical_error, -judged.weight, -(clause.confidence or 0.0)), row))
    return tuple(row for _, row in sorted(found, key=lambda one: one[0]))


def _effort(reviewed: Sequence[Reviewed], baseline: Baseline) -> Effort:
    n = len(reviewed)
    return Effort(
        contracts=n,
        machine_s_median=median(one.machine_s for one in reviewed) if reviewed else None,
        machine_hours=sum(one.machine_s for one in reviewed) / 3600,
        cost_usd=sum(one.cost_microusd for one in reviewed) / 1e6,
        baseline=baseline,
        by_hand_hours=None if baseline.minutes is None else n * baseline.minutes / 60,
        by_hand_usd=None if baseline.usd is None else n * baseline.usd,
    )


def _clause(found: Agreement) -> dict[str, Any]:
    figures = ("agreement", "precision", "recall", "f1", "kappa")
    estimates: dict[str, Estimate] = {name: getattr(found, name) for name in figures}
    return {
        "clause": found.clause,
        "n": found.n,
        "agreed": found.agreed,
        **{name: estimate.value for name, estimate in estimates.items()},
        "agreement_wilson": list(found.agreement_wilson),
    }


def kinds(found: ShadowReport) -> dict[str, int]:
    """What the disagreements are: missed by the agents, claimed without reason, or another position or severity."""
    counts: Counter[str] = Counter()
    for one in found.disagreements:
        if one.clause == DECISION:
            counts["another decision"] += 1
        elif one.agent in NO_CLAIM and one.person not in NO_CLAIM:
            counts["missed by the agents"] += 1
        elif one.person in NO_CLAIM and one.agent not in NO_CLAIM:
            counts["claimed by the agents alone"] += 1
        else:
            counts["another position or severity"] += 1
    return dict(counts)
