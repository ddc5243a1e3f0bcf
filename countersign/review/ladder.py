"""The SLA ladder: remind, reassign, escalate, expire, each once, from the moment a review waits. Pure."""

from datetime import datetime, timedelta
from enum import StrEnum

from countersign.review.payloads import SlaPolicy


class Rung(StrEnum):
    """What falls due; the values are events on the trail."""

    REMINDED = "reminded"
    REASSIGNED = "reassigned"
    """A claim that sleeps is given back. There is no such rung where the playbook names no time for it."""
    ESCALATED = "escalated"
    EXPIRED = "expired"


class Ladder:
    """The rungs still to come."""

    def __init__(self, policy: SlaPolicy, opened: datetime) -> None:
        after = {Rung.REMINDED: policy.remind_s, Rung.REASSIGNED: policy.reassign_s}
        after |= {Rung.ESCALATED: policy.escalate_s, Rung.EXPIRED: policy.expire_s}
        self._rungs = [(opened + timedelta(seconds=s), rung) for rung, s in after.items() if s is not None]

    @property
    def next_due(self) -> datetime | None:
        """When the next rung falls due; None after the last."""
        return self._rungs[0][0] if self._rungs else None

    def climb(self, now: datetime) -> tuple[Rung, ...]:
        """The rungs that are due by now, in order; they do not come again."""
        due = tuple(rung for at, rung in self._rungs if at <= now)
        self._rungs = self._rungs[len(due) :]
        return due
