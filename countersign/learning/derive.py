"""What a decided review teaches: its decisions against what the machine had said, as corrections. Pure."""

import re
from collections.abc import Sequence

from countersign.learning.lesson import MOST_QUOTES, QUOTE_CHARS, Draft, Kind
from countersign.review.desk import apply_edits
from countersign.review.payloads import AnalysisResult, DecisionRecord, Finding
from countersign.words import Verdict

_NAMED = re.compile(r"\b[FH]\d{1,3}\b")


def drafts(before: Sequence[Finding], decisions: Sequence[DecisionRecord]) -> tuple[Draft, ...]:
    """The corrections of a review, in the order of its findings.

    Each finding gives one at most: what it was against what was signed in the end, in the name of the last who changed
    it. Whoever signed afterwards stands behind it too. A rejected review teaches nothing but the rejection: one for
    each finding its note names, or one for the whole.
    """
    analysis = AnalysisResult(summary="", key_findings=tuple(before), confidence=0, requires_human_review=True)
    touched: dict[str, int] = {}
    for place, decision in enumerate(decisions):
        if decision.verdict is not Verdict.AMEND:
            continue
        edited = apply_edits(analysis, decision.edits)
        was = {finding.id: finding for finding in analysis.key_findings}
        now = {finding.id: finding for finding in edited.key_findings}
        touched |= {key: place for key in was | now if was.get(key) != now.get(key)}
        analysis = edited
    if decisions and decisions[-1].verdict is Verdict.REJECT:
        return _rejected(analysis.key_findings, decisions[-1])
    first = {finding.id: finding for finding in before}
    last = {finding.id: finding for finding in analysis.key_findings}
    made = (
        _change(first.get(key), last.get(key), decisions[place], _signers(decisions[place:]), before)
        for key, place in touched.items()
    )
    return tuple(draft for draft in made if draft is not None)


def _signers(decisions: Sequence[DecisionRecord]) -> tuple[str, ...]:
    """Who signed the analysis with the change in it, other than by making it."""
    signing = (Verdict.APPROVE, Verdict.AMEND)
    return tuple(dict.fromkeys(decision.reviewer for decision in decisions[1:] if decision.verdict in signing))


def _change(
    was: Finding | None,
    now: Finding | None,
    decision: DecisionRecord,
    signers: tuple[str, ...],
    before: Sequence[Finding],
) -> Draft | None:
    """One finding's way from the machine's word to the signed one; None when both are the same in the end."""
    if now is None:
        return None if was is None else _draft(Kind.REMOVED, was, decision, signers, change="removed")
    if was is None:
        near = next((finding for finding in before if finding.clause == now.clause), None)
        change = f"added {now.severity}: {now.statement}"
        added = _draft(Kind.ADDED, near or now, decision, signers, change=change)
        return added.model_copy(
            update={"finding_id": now.id, "before": near.severity if near else None, "after": now.severity}
        )
    words = []
    if now.severity != was.severity:
        words.append(f"severity {was.severity} -> {now.severity}")
    if now.statement != was.statement:
        words.append(f"statement: {now.statement}")
    if now.clause != was.clause:
        words.append(f"clause {was.clause} -> {now.clause}")
    if not words:
        return None
    kind = Kind.REWORDED if now.severity == was.severity else Kind.SEVERITY
    draft = _draft(kind, was, decision, signers, change="; ".join(words))
    return draft.model_copy(update={"after": now.severity})


def _rejected(findings: Sequence[Finding], decision: DecisionRecord) -> tuple[Draft, ...]:
    named = set(_NAMED.findall(decision.note))
    about = [finding for finding in findings if finding.id in named]
    if about:
        return tuple(_draft(Kind.REJECTED, finding, decision, (), change="rejected") for finding in about)
    return (
        Draft(
            kind=Kind.REJECTED, clause="", finding_id="", by=decision.reviewer, change="rejected", note=decision.note
        ),
    )


def _draft(kind: Kind, finding: Finding, decision: DecisionRecord, signers: tuple[str, ...], *, change: str) -> Draft:
    return Draft(
        kind=kind,
        clause=finding.clause,
        finding_id=finding.id,
        by=decision.reviewer,
        signed_by=signers,
        position=finding.position,
        before=finding.severity,
        change=change,
        note=decision.note,
        quotes=tuple(evidence.quote[:QUOTE_CHARS] for evidence in finding.evidence[:MOST_QUOTES]),
    )
