"""What corrections in force do to the verified findings of another contract. Pure: code does it, never a model.

A model is shown what people changed and may word its findings by it; it cannot make one milder "because of" anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from countersign.learning.lesson import Kind
from countersign.learning.likeness import figures
from countersign.review.payloads import Correction, Finding
from countersign.words import Position, Severity

DOUBT = 0.8
"""Share of its confidence that a finding keeps when one like it was rejected."""
HINTS = frozenset({Kind.ADDED, Kind.REWORDED, Kind.REJECTED})
"""Kinds a model may name as its reason: they change words, never a severity for the milder."""


@dataclass(frozen=True)
class Clause:
    """The clause of one correction against the quotations of one finding.

    `least` and `most` say by how much the finding's least and most alike quotation passes for the corrected clause
    (`likeness.margins`): below 0 it does not. `figures` are those of the corrected clause.
    """

    least: float
    most: float
    figures: frozenset[str]


Clauses = Mapping[tuple[str, int], Clause]
"""By finding id and correction id; a pair with nothing to compare is not in it."""


def applied(findings: Sequence[Finding], corrections: Sequence[Correction], clauses: Clauses) -> tuple[Finding, ...]:
    """The findings with every correction made that is about their clause, the oldest first.

    A correction concerns a finding of its clause family, at its position, of the severity that it changed, on a clause
    that is alike. One for the milder wants every quotation of the finding to be alike, and no figure or negation in it
    that the corrected clause does not have. What was taken away stays as `info`, so that a person sees why it is quiet;
    an absence is never taken away, nor anything critical.
    """
    known = {correction.correction_id: correction for correction in corrections}
    return tuple(_corrected(_named(finding, known), corrections, clauses) for finding in findings)


def _named(finding: Finding, known: Mapping[int, Correction]) -> Finding:
    """The finding without corrections that its author may not name: unknown ones, and those that code applies."""
    kept = tuple(number for number in finding.corrections if number in known and known[number].kind in HINTS)
    return finding if kept == finding.corrections else finding.model_copy(update={"corrections": kept})


def _corrected(finding: Finding, corrections: Sequence[Correction], clauses: Clauses) -> Finding:
    for correction in sorted(corrections, key=lambda one: one.correction_id):
        change = _change(finding, correction, clauses.get((finding.id, correction.correction_id)))
        if change:
            number = correction.correction_id
            before = finding.uncorrected or (finding.severity if "severity" in change else None)
            finding = finding.model_copy(
                update={
                    "uncorrected": before,
                    "statement": f"{finding.statement} (because of correction {number})",
                    "corrections": tuple(dict.fromkeys((*finding.corrections, number))),
                    **change,
                }
            )
    return finding


def _change(finding: Finding, correction: Correction, clause: Clause | None) -> dict[str, object]:
    """The fields of a finding that a correction changes; empty when it does not concern it."""
    if (
        correction.clause != finding.clause
        or correction.position not in (None, finding.position)
        or correction.before not in (None, finding.severity)
    ):
        return {}
    if correction.kind == Kind.REJECTED:
        return {"confidence": round(finding.confidence * DOUBT, 4)} if _touched(finding, clause) else {}
    after = _severity(finding, correction)
    concerns = _touched if after.rank > finding.severity.rank else _covered
    return {"severity": after} if after is not finding.severity and concerns(finding, clause) else {}


def _severity(finding: Finding, correction: Correction) -> Severity:
    """The severity that a correction gives to a finding it concerns."""
    match correction.kind:
        case Kind.SEVERITY if correction.before and correction.after:
            return correction.after
        case Kind.ADDED if correction.before and correction.after:
            return max(finding.severity, correction.after, key=lambda severity: severity.rank)
        case Kind.REMOVED if finding.position is not Position.ABSENT and finding.severity is not Severity.CRITICAL:
            return Severity.INFO
    return finding.severity


def _touched(finding: Finding, clause: Clause | None) -> bool:
    """Whether the corrected clause is among what the finding quotes; two absences are the same one."""
    if not finding.evidence:
        return True
    return clause is not None and clause.most >= 0


def _covered(finding: Finding, clause: Clause | None) -> bool:
    """Whether the finding quotes nothing but the corrected clause, as far as that can be told without judging it."""
    if not finding.evidence:
        return True
    stated = figures([evidence.quote for evidence in finding.evidence])
    return clause is not None and clause.least >= 0 and stated <= clause.figures
