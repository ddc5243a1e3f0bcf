"""Corrections as the policy sees them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from countersign.learning.lesson import Event, Happened, Kind, Lesson
from countersign.words import Position, Severity

NOW = datetime(2026, 3, 4, tzinfo=UTC)
FIVE = ("The obligations of confidentiality survive for five (5) years from disclosure.",)
LAW = ("This Agreement is governed by the laws of Ruritania, whose courts have jurisdiction.",)


def lesson(number: int = 1, before: str | None = "high", after: str | None = "low", **changes: Any) -> Lesson:
    given = Lesson(
        correction_id=number,
        tenant="acme",
        playbook="nda",
        playbook_version="1",
        contract_type="nda",
        clause="term",
        finding_id="F1",
        review_id=f"r{number}",
        workflow_id=f"w{number}",
        by_hash="bob",
        kind=Kind.SEVERITY,
        position=Position.FALLBACK,
        before=Severity(before) if before else None,
        after=Severity(after) if after else None,
        change="",
        quotes=FIVE,
        made_at=NOW - timedelta(days=30),
    )
    return given.model_copy(update=changes)


def done(event: Event, by: str = "eve", days_ago: float = 1) -> Happened:
    return Happened(event=event, by_hash=by, reason="r", at=NOW - timedelta(days=days_ago))
