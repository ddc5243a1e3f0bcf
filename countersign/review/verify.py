"""From what specialists claim to what stands in the document: quotations looked up, findings merged. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from countersign.document.model import DocumentText
from countersign.review.payloads import DraftFinding, Evidence, Finding, SpecialistReport
from countersign.words import Position

_ALIKE = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‑": "-", "\u00a0": " "})
"""Characters that models and keyboards exchange; each maps to exactly one character, so offsets are kept."""


class QuoteIndex:
    """Finds quotations in one text although blanks, line ends, typographic quotes and dashes may differ.

    What is found is always a slice of the text itself, so the evidence is verbatim whatever the model wrote.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        folded: list[str] = []
        self._offsets: list[int] = []
        blank = True
        for offset, character in enumerate(text.translate(_ALIKE)):
            if character.isspace():
                if not blank:
                    folded.append(" ")
                    self._offsets.append(offset)
                blank = True
            else:
                folded.append(character)
                self._offsets.append(offset)
                blank = False
        self._folded = "".join(folded)

    def find(self, quote: str) -> tuple[int, int] | None:
        """(start, end) of the first place the quotation stands at, or None. Blank quotations stand nowhere."""
        if not quote.strip():
            return None
        exact = self._text.find(quote)
        if exact >= 0:
            stripped = quote.strip()
            start = exact + quote.index(stripped)
            return start, start + len(stripped)
        wanted = " ".join(quote.translate(_ALIKE).split())
        at = self._folded.find(wanted)
        if at < 0:
            return None
        return self._offsets[at], self._offsets[at + len(wanted) - 1] + 1


@dataclass(frozen=True)
class Verified:
    """Findings that stand, ordered by severity and place, and how many claims did not."""

    findings: tuple[Finding, ...]
    dropped: int


def verify_reports(
    reports: Sequence[SpecialistReport], document: DocumentText, suggestions: dict[str, tuple[str, str]]
) -> Verified:
    """Look up every quotation, drop what does not stand in the document, merge duplicates, number the rest F1, F2, ….

    `suggestions` maps a clause family to its (preferred, fallback) text. A claim of absence is dropped when another
    specialist quotes the clause. Absences without sections named are given all the document's.
    """
    index = QuoteIndex(document.text)
    everywhere = tuple(section.label for section in document.sections) or ("the whole document",)
    kept: list[Finding] = []
    dropped = 0
    for report in reports:
        for draft in report.findings:
            evidence = _evidence(draft, index, document)
            if evidence is None:
                dropped += 1
                continue
            kept.append(_finding(draft, evidence, report.specialist, everywhere, suggestions))
    quoted = {finding.clause for finding in kept if finding.evidence}
    standing = [finding for finding in kept if finding.evidence or finding.clause not in quoted]
    return Verified(findings=numbered(_merge(standing)), dropped=dropped)


def numbered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings by severity and place, as F1, F2, …"""
    ordered = sorted(findings, key=_order)
    return tuple(finding.model_copy(update={"id": f"F{n}"}) for n, finding in enumerate(ordered, start=1))


def _evidence(draft: DraftFinding, index: QuoteIndex, document: DocumentText) -> tuple[Evidence, ...] | None:
    """The draft's quotations as evidence, in order of place; None when one of them does not stand in the text."""
    found: list[Evidence] = []
    for quote in draft.quotes:
        place = index.find(quote)
        if place is None:
            return None
        start, end = place
        found.append(Evidence(quote=document.text[start:end], start=start, end=end, page=document.page_of(start)))
    return tuple(sorted(found, key=lambda evidence: evidence.start))


def _finding(
    draft: DraftFinding,
    evidence: tuple[Evidence, ...],
    specialist: str,
    everywhere: tuple[str, ...],
    suggestions: dict[str, tuple[str, str]],
) -> Finding:
    preferred, fallback = suggestions.get(draft.clause, ("", ""))
    position = draft.position if evidence else Position.ABSENT
    suggestion = "" if position is Position.PREFERRED else preferred or fallback
    return Finding(
        id="F0",
        clause=draft.clause,
        severity=draft.severity,
        statement=draft.statement,
        position=position,
        evidence=evidence,
        searched=() if evidence else (draft.searched or everywhere),
        confidence=draft.confidence,
        specialist=specialist,
        suggestion=suggestion,
        corrections=draft.corrections,
    )


def _merge(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for claims on the same clause whose evidence overlaps, or that say the same in the same words."""
    merged: list[Finding] = []
    for finding in findings:
        for place, other in enumerate(merged):
            if finding.clause == other.clause and _same_claim(finding, other):
                merged[place] = _combine(other, finding)
                break
        else:
            merged.append(finding)
    return merged


def _same_claim(one: Finding, other: Finding) -> bool:
    if not one.evidence and not other.evidence:
        return True
    if one.statement.casefold().split() == other.statement.casefold().split():
        return True
    return any(a.start < b.end and b.start < a.end for a in one.evidence for b in other.evidence)


def _combine(one: Finding, other: Finding) -> Finding:
    """The graver of two like findings, with the evidence of both."""
    graver, milder = (one, other) if one.severity.rank >= other.severity.rank else (other, one)
    spans = {(evidence.start, evidence.end): evidence for evidence in (*graver.evidence, *milder.evidence)}
    outermost = [
        evidence
        for (start, end), evidence in spans.items()
        if not any(s <= start and end <= e and (s, e) != (start, end) for s, e in spans)
    ]
    return graver.model_copy(
        update={
            "evidence": tuple(sorted(outermost, key=lambda evidence: evidence.start)),
            "confidence": max(one.confidence, other.confidence),
            "corrections": tuple(sorted({*one.corrections, *other.corrections})),
        }
    )


def _order(finding: Finding) -> tuple[int, int, str]:
    first = finding.evidence[0].start if finding.evidence else 1 << 60
    return -finding.severity.rank, first, finding.clause


def calibrated(confidence: float, verified: Verified, *, failed_specialists: int, specialists: int) -> float:
    """The team's confidence after verification, in [0, 1]: dropped claims and silent specialists take their share."""
    claims = len(verified.findings) + verified.dropped
    standing = len(verified.findings) / claims if claims else 1.0
    heard = (specialists - failed_specialists) / specialists if specialists else 0.0
    return round(max(0.0, min(1.0, confidence * standing * heard)), 4)
