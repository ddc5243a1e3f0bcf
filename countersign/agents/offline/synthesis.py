"""The conclusion, offline: counted, weighed and written from the verified findings of the prompt."""

import json
from collections.abc import Sequence
from itertools import combinations

from pydantic import BaseModel, ConfigDict

from countersign.agents.offline.request import Prompt
from countersign.agents.outputs import Synthesis
from countersign.review.payloads import Intent
from countersign.words import Position, Severity

_WEIGHT = {Severity.INFO: 1, Severity.LOW: 1, Severity.MEDIUM: 2, Severity.HIGH: 3, Severity.CRITICAL: 4}
_PER_CONTRADICTION = 0.85
_PER_ABSENCE = 0.98
NOTHING_FOUND = 0.3
"""Confidence when there is no finding at all: the contract is probably not of the playbook's kind."""
FOREIGN = 0.5
"""Confidence is at most this for a document that is not in English, which the clause finder reads."""
_REVIEW_BELOW = 0.8
_KINDS = {"nda": "non-disclosure agreement", "msa": "master agreement", "lease": "lease", "other": "not recognised"}
_NAMED = 6
"""How many risks the summary names one by one."""


class Row(BaseModel):
    """A finding as the synthesis prompt shows it."""

    model_config = ConfigDict(frozen=True)

    id: str
    clause: str
    title: str
    severity: Severity
    position: Position
    statement: str
    confidence: float
    suggestion: str = ""
    severity_before_corrections: Severity | None = None

    @property
    def judged(self) -> Severity:
        """The severity that confidence and the need for a person go by: corrections make nobody surer."""
        return self.severity_before_corrections or self.severity


def synthesis_answer(prompt: Prompt) -> Synthesis:
    """Summary, confidence, contradictions, and whether a person must look."""
    rows = [Row.model_validate(row) for row in json.loads(prompt.body("findings") or "[]")]
    opposed = contradictions(rows)
    sure = confidence(rows, len(opposed), prompt.intent.language)
    return Synthesis(
        summary=_summary(rows, prompt.intent, opposed, prompt.task.get("families", [])),
        confidence=sure,
        contradictions=opposed,
        requires_human_review=sure < _REVIEW_BELOW
        or bool(opposed)
        or any(Severity.CRITICAL in (row.severity, row.judged) for row in rows),
    )


def contradictions(rows: Sequence[Row]) -> tuple[str, ...]:
    """Pairs of findings on one clause that cannot both be right: preferred and walk-away, there and absent."""
    opposed = []
    for one, other in combinations(rows, 2):
        positions = {one.position, other.position}
        if one.clause == other.clause and (
            positions == {Position.PREFERRED, Position.WALK_AWAY}
            or (Position.ABSENT in positions and len(positions) == 2)
        ):
            opposed.append(f"{one.id} and {other.id}: {one.title} cannot be both {one.position} and {other.position}")
    return tuple(opposed)


def confidence(rows: Sequence[Row], opposed: int, language: str) -> float:
    """Mean of the findings' confidences, weighted by severity, less for contradictions and absences; in [0, 1]."""
    if not rows:
        return NOTHING_FOUND
    weights = [_WEIGHT[row.judged] for row in rows]
    mean = sum(weight * row.confidence for weight, row in zip(weights, rows, strict=True)) / sum(weights)
    absent = sum(row.position is Position.ABSENT for row in rows)
    sure = mean * _PER_CONTRADICTION**opposed * _PER_ABSENCE**absent
    return round(min(sure, FOREIGN) if language != "en" else sure, 4)


def _summary(rows: Sequence[Row], intent: Intent, opposed: Sequence[str], families: Sequence[str]) -> str:
    kind = _KINDS.get(intent.contract_type, f"{intent.contract_type.replace('_', ' ')} agreement")
    side = "" if intent.our_side == "unknown" else f" We are the {intent.our_side}."
    paragraphs = [f"Kind of contract: {kind}.{side} {_counts(rows, len(families))}"]
    risks = sorted(
        (row for row in rows if row.severity.rank >= Severity.MEDIUM.rank),
        key=lambda row: row.severity.rank,
        reverse=True,
    )
    if risks:
        paragraphs.append("\n".join(_line(row) for row in risks[:_NAMED]))
    if len(risks) > _NAMED:
        paragraphs.append(f"{len(risks) - _NAMED} more of medium severity or above are listed in the findings.")
    if opposed:
        paragraphs.append(f"To be settled first: {'; '.join(opposed)}.")
    paragraphs.append(_advice(risks))
    return "\n\n".join(paragraphs)


def _counts(rows: Sequence[Row], families: int) -> str:
    if not rows:
        return f"None of the playbook's {families} clause families was found, so nothing can be said for it."
    by_severity = [
        f"{count} {severity}"
        for severity in reversed(Severity)
        if (count := sum(row.severity is severity for row in rows))
    ]
    absent = sum(row.position is Position.ABSENT for row in rows)
    missing = f" {absent} required by the playbook {'is' if absent == 1 else 'are'} missing." if absent else ""
    return f"{len(rows)} findings: {', '.join(by_severity)}.{missing}"


def _line(row: Row) -> str:
    ask_for = f" Ask for: {row.suggestion}" if row.suggestion and row.suggestion not in row.statement else ""
    return f"- {row.severity} ({row.id}) {row.statement}{ask_for}"


def _advice(risks: Sequence[Row]) -> str:
    worst = risks[0].severity if risks else Severity.INFO
    if worst is Severity.CRITICAL:
        return "Do not sign before the critical points are changed."
    if worst is Severity.HIGH:
        return "Negotiate the high points before signing."
    if worst is Severity.MEDIUM:
        return "Signing is possible; try to improve the points above."
    return "No point against signing was found in what was read."
