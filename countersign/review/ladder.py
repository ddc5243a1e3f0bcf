"""The SLA ladder: remind, escalate, expire, each once, counted from the moment a review waits. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum

from countersign.review.payloads import SlaPolicy


class Rung(StrEnum):
    """What falls due; the values are events on the trail."""

    REMINDED = "reminded"
    ESCALATED = "escalated"
    EXPIRED = "expired"


class Ladder:
    """The rungs still to come."""

    def __init__(self, policy: SlaPolicy, opened: datetime) -> None:
        self._rungs = [
            (opened + timedelta(seconds=policy.remind_s), Rung.REMINDED),
            (opened + timedelta(seconds=policy.escalate_s), Rung.ESCALATED),
            (opened + timedelta(seconds=policy.expire_s), Rung.EXPIRED),
        ]

    @property
    def next_due(self) -> datetime | None:
        """When the next rung falls due; None after the last."""
        return self._rungs[0][0] if self._rungs else None

    def climb(self, now: datetime) -> tuple[Rung, ...]:
        """The rungs that are due by now, in order; they do not come again."""
        due = tuple(rung for at, rung in self._rungs if at <= now)
        self._rungs = self._rungs[len(due) :]
        return due
