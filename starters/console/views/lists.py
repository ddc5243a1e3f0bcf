"""The queue and lists of reviews as rows for people."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from countersign.access.principal import Principal
from countersign.review.blind import is_blind
from countersign.review.desk import same_person
from countersign.review.payloads import ReviewStatus
from countersign.store.reviews import ReviewRow
from countersign.words import Mode, Severity
from starters.console.views.clock import Clock, due
from starters.console.views.words import GOOD, OUTCOMES, STAGES, name_of, visible

Show = Literal["all", "mine", "unread", "free", "overdue", "questions"]
SHOWN: dict[Show, str] = {
    "all": "All",
    "mine": "Mine",
    "unread": "Unread",
    "free": "Unclaimed",
    "overdue": "Overdue",
    "questions": "Questions",
}


@dataclass(frozen=True)
class QueueRow:
    """One review that waits for a reviewer. `claimed` is "" where nobody has it, or nobody may know."""

    review_id: str
    title: str
    playbook: str
    severity: Severity | None
    findings: int
    confidence: int | None
    clock: Clock | None
    escalated: bool
    claimed: str
    mine: bool
    unread: bool
    own: bool
    signatures: int
    submitted_at: datetime
    asks: bool = False
    """It waits for its requester's answer, not for a reviewer."""
    blind: bool = False
    """It is judged without being told how sure the machine is."""
    hidden: bool = False
    """Nothing of what the agents found may be shown: a shadow review."""


@dataclass(frozen=True)
class Filters:
    """What a queue is narrowed to; "" narrows nothing."""

    show: Show = "all"
    playbook: str = ""
    severity: str = ""


def title_of(row: ReviewRow | ReviewStatus) -> str:
    """What a review is called, which has no name of its own: the kind of contract, or of playbook."""
    kind = row.contract_type if row.contract_type != "other" else ""
    return name_of(kind or row.playbook or "review")


def digests_of(rows: Iterable[tuple[ReviewRow, ReviewStatus | None]]) -> list[tuple[str, str]]:
    """Review ids with the digest of what they show now."""
    return [(row.review_id, status.digest) for row, status in rows if status is not None and status.digest is not None]


def queue_of(
    rows: Sequence[tuple[ReviewRow, ReviewStatus | None]], seen: Collection[str], who: Principal, now: datetime
) -> tuple[QueueRow, ...]:
    """Rows as this person sees them. A status of None says: they may not know more than the row."""
    return tuple(_queue_row(row, status, seen, who, now) for row, status in rows)


def _queue_row(
    row: ReviewRow, status: ReviewStatus | None, seen: Collection[str], who: Principal, now: datetime
) -> QueueRow:
    claimed, mine = "", False
    if status is not None and status.claimed_by and status.claimed_until and status.claimed_until > now:
        mine = same_person(status.claimed_by, who.user)
        claimed = "you" if mine else visible(status.claimed_by)
    return QueueRow(
        review_id=row.review_id,
        title=title_of(row),
        playbook=row.playbook,
        severity=row.worst_severity,
        findings=row.findings,
        confidence=None if row.confidence is None else round(row.confidence * 100),
        clock=due(row.sla_due, now),
        escalated=row.escalated,
        claimed=claimed,
        mine=mine,
        unread=status is not None and status.digest is not None and row.review_id not in seen,
        own=row.user_hash == who.user_hash,
        signatures=status.signatures_missing if status is not None else 0,
        submitted_at=row.submitted_at,
        asks=row.waiting_for == "requester",
        blind=status is not None and is_blind(status),
        hidden=status is not None and status.mode is Mode.SHADOW,
    )


def narrowed(rows: Sequence[QueueRow], filters: Filters) -> tuple[QueueRow, ...]:
    """The rows that match all filters."""
    return tuple(
        row
        for row in rows
        if _shown(row, filters.show)
        and filters.playbook in ("", row.playbook)
        and filters.severity in ("", row.severity or "none")
    )


def _shown(row: QueueRow, show: Show) -> bool:
    match show:
        case "mine":
            return row.mine
        case "unread":
            return row.unread
        case "free":
            return not (row.claimed or row.asks)
        case "overdue":
            return row.clock is not None and row.clock.state == "late"
        case "questions":
            return row.asks
        case _:
            return not row.asks


def counts(rows: Sequence[QueueRow]) -> dict[Show, int]:
    """How many rows each tab has."""
    return {show: sum(_shown(row, show) for row in rows) for show in SHOWN}


@dataclass(frozen=True)
class ListRow:
    """One review of a list."""

    review_id: str
    title: str
    playbook: str
    state: str
    tone: str
    severity: Severity | None
    findings: int
    submitted_at: datetime
    asks: bool
    """It waits for the requester's answer."""


def list_of(rows: Iterable[ReviewRow]) -> tuple[ListRow, ...]:
    """Rows of a list, in the order given."""
    return tuple(
        ListRow(
            review_id=row.review_id,
            title=title_of(row),
            playbook=row.playbook,
            state=_state(row),
            tone="open" if row.outcome is None else "good" if row.outcome in GOOD else "bad",
            severity=row.worst_severity,
            findings=row.findings,
            submitted_at=row.submitted_at,
            asks=row.waiting_for == "requester" and row.outcome is None,
        )
        for row in rows
    )


def _state(row: ReviewRow) -> str:
    if row.outcome is not None:
        return OUTCOMES[row.outcome]
    if row.waits_for_its_turn:
        return "waits for its turn"
    return "waits for an answer" if row.waiting_for == "requester" else STAGES[row.stage]
