"""Signing many reviews at once: which may be, and what a person is shown before. Pure.

Only what one person may sign as it stands, and what nothing speaks against: the machine's gravest word is mild, nothing
was done without, screening is clean, nothing happens outside. Each review is then signed by a decision of its own,
bound to the digest that was shown; what has changed in between is refused like any stale decision.
"""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from countersign.review.blind import is_blind
from countersign.review.payloads import ReviewStatus
from countersign.words import RiskBand, Route, Severity

MOST = (Severity.INFO, Severity.LOW, Severity.MEDIUM)
"""Bounds that may be asked for: nothing graver is signed without having been looked at by itself."""


@dataclass(frozen=True)
class Item:
    """One review as the preview shows it."""

    review_id: str
    playbook: str
    clauses: tuple[str, ...]
    findings: int
    worst: Severity
    confidence: float
    digest: str


def worst_of(status: ReviewStatus) -> Severity:
    """The gravest finding, corrections not believed."""
    findings = status.analysis.key_findings if status.analysis else ()
    return max((finding.gravest for finding in findings), key=lambda s: s.rank, default=Severity.INFO)


def clauses_of(status: ReviewStatus) -> tuple[str, ...]:
    """The clauses of all findings that are more than information, sorted: the rule by which reviews are alike."""
    findings = status.analysis.key_findings if status.analysis else ()
    return tuple(sorted({finding.clause for finding in findings if finding.gravest is not Severity.INFO}))


def against(  # noqa: PLR0911, PLR0913 - a list of reasons
    status: ReviewStatus, *, playbook: str, kinds: Collection[str], most: Severity, clause: str | None, at: datetime
) -> str:
    """Why a review is not signed in bulk; "" when it may be. `kinds` of contract are those the playbook is for."""
    if status.playbook != playbook:
        return "another playbook"
    if status.outcome is not None or status.waiting_for != "reviewer" or status.analysis is None:
        return "does not wait for a reviewer"
    if is_blind(status):
        return "is judged blind"
    if status.route is not Route.REVIEW or status.signatures_missing != 1:
        return "more than one person signs"
    if worst_of(status).rank > most.rank:
        return f"a finding above {most}"
    if status.analysis.effects or status.effects:
        return "proposes effects"
    if status.degraded or status.analysis.degraded or status.analysis.confidence == 0:
        return "the analysis is degraded"
    if status.screening is None or status.screening.band is not RiskBand.CLEAN:
        return "screening is not clean"
    if kinds and status.contract_type not in kinds:
        return "a contract the playbook is not for"
    if status.claimed_until is not None and at < status.claimed_until:
        return "claimed"
    if clause is not None and any(found != clause for found in clauses_of(status)):
        return "findings on other clauses"
    return ""


def item_of(status: ReviewStatus) -> Item:
    """A review as it is shown. It has an analysis and a digest, which `against` has seen to."""
    analysis = status.analysis
    return Item(
        review_id=status.review_id,
        playbook=status.playbook,
        clauses=clauses_of(status),
        findings=len(analysis.key_findings) if analysis else 0,
        worst=worst_of(status),
        confidence=analysis.confidence if analysis else 0.0,
        digest=status.digest or "",
    )


def digest_of_all(items: Iterable[Item]) -> str:
    """SHA-256 (hex) of a preview: of which reviews, each with its digest. Their order does not matter."""
    lines = sorted(f"{item.review_id} {item.digest}\n" for item in items)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
