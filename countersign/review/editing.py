"""Typed edits of an analysis, and what a decision has to say for itself. Pure."""

from collections.abc import Sequence

from countersign.errors import DecisionRefused
from countersign.review.payloads import AnalysisResult, Decision, Edit, Finding
from countersign.words import Verdict


def apply_edits(analysis: AnalysisResult, edits: Sequence[Edit]) -> AnalysisResult:
    """The analysis with the edits made, in order. Raises `DecisionRefused` that names the edit that cannot be made."""
    findings = {finding.id: finding for finding in analysis.key_findings}
    added = 0
    for number, edit in enumerate(edits, start=1):
        if edit.action == "add":
            if not (edit.clause and edit.severity and edit.statement):
                raise DecisionRefused(
                    f"edit {number} adds a finding without clause, severity and statement",
                    rule="edit",
                    remedy="Give all three, for example add:governing_law:high:The law named is not ours",
                )
            added += 1
            while f"H{added}" in findings:
                added += 1
            findings[f"H{added}"] = Finding(
                id=f"H{added}",
                clause=edit.clause,
                severity=edit.severity,
                statement=edit.statement,
                specialist="reviewer",
            )
            continue
        finding = findings.get(edit.finding_id or "")
        if finding is None:
            raise DecisionRefused(
                f"edit {number} names a finding that is not there",
                rule="edit",
                remedy=f"The findings are {', '.join(findings) or 'none'}",
            )
        if edit.action == "remove":
            del findings[finding.id]
            continue
        changes = edit.model_dump(include={"clause", "severity", "statement"}, exclude_none=True)
        if not changes:
            raise DecisionRefused(
                f"edit {number} of {finding.id} changes nothing",
                rule="edit",
                remedy="Give severity, statement or clause",
            )
        findings[finding.id] = finding.model_copy(update=changes)
    return analysis.model_copy(update={"key_findings": tuple(findings.values())})


def check_content(decision: Decision, analysis: AnalysisResult | None, *, is_question_open: bool) -> None:
    """Raise `DecisionRefused` unless the decision says what one of its kind says, and no more."""
    nothing = analysis is not None and not analysis.key_findings and analysis.confidence == 0
    if decision.verdict is Verdict.APPROVE and nothing:
        raise DecisionRefused(
            "no agent has analysed this contract, so there is nothing to approve",
            rule="nothing_analysed",
            remedy="Add your own findings with amend, or reject it",
        )
    if decision.verdict is Verdict.AMEND:
        if not decision.edits or analysis is None:
            raise DecisionRefused(
                "an amendment needs at least one edit", rule="no_edits", remedy="Name a finding and its change"
            )
        apply_edits(analysis, decision.edits)
    elif decision.edits:
        raise DecisionRefused(f"{decision.verdict} takes no edits", rule="edits", remedy="Use amend to change findings")
    if decision.verdict is Verdict.ASK:
        if not decision.question.strip():
            raise DecisionRefused("ask needs a question", rule="no_text", remedy="Give the question's text")
        if is_question_open:
            raise DecisionRefused(
                "a question is already open", rule="question_open", remedy="Wait for the answer, or decide without it"
            )
