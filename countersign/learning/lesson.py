"""Corrections as they are learned and as they are kept: plain data, shared by policy, application and store."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from countersign.words import Position, Severity

QUOTE_CHARS = 1200
"""A quotation of the corrected clause is kept up to this length."""
MOST_QUOTES = 3
WORDS_CHARS = 300
"""So much of a person's words may reach a prompt, of the change and of the note each."""


class Kind(StrEnum):
    """What a person did to a finding. Stored: a value is never renamed."""

    SEVERITY = "severity"
    REMOVED = "removed"
    ADDED = "added"
    REWORDED = "reworded"
    REJECTED = "rejected"


class Event(StrEnum):
    """What was done to a correction afterwards. Stored."""

    WITHDRAWN = "withdrawn"
    RESTORED = "restored"
    CONFIRMED = "confirmed"


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Draft(_Fact):
    """One change as a decided review teaches it. `by` and `signed_by` are names; pseudonyms of them are kept."""

    kind: Kind
    clause: str
    """Clause family; empty for a rejection that names no finding."""
    finding_id: str
    by: str
    signed_by: tuple[str, ...] = ()
    position: Position | None = None
    before: Severity | None = None
    after: Severity | None = None
    change: str
    """In words: "severity high -> low", "removed", "statement: …"."""
    note: str = ""
    quotes: tuple[str, ...] = ()
    """The clause as the corrected finding quoted it; empty for an absence."""


class Happened(_Fact):
    """One thing done to a correction: by whom (a pseudonym), why and when."""

    event: Event
    by_hash: str
    reason: str
    at: datetime


class Lesson(_Fact):
    """A correction as it is kept. Its content never changes, but goes with its contract; what is done to it is added to
    `events`, oldest first."""

    correction_id: int
    tenant: str
    playbook: str
    playbook_version: str
    contract_type: str
    clause: str
    finding_id: str
    review_id: str
    workflow_id: str
    by_hash: str
    signed_by: tuple[str, ...] = ()
    kind: Kind | None
    """None for one of before kinds were kept: it is listed and never applied."""
    position: Position | None = None
    before: Severity | None = None
    after: Severity | None = None
    risk: float = 0.0
    """The sentinel's risk of its words, in [0, 1]."""
    change: str
    note: str = ""
    quotes: tuple[str, ...] = ()
    erased: bool = False
    """The contract that it was made on was erased, and with it `change`, `note` and `quotes`."""
    made_at: datetime
    events: tuple[Happened, ...] = ()

    @property
    def version(self) -> int:
        """1 when it was made, one more with everything done to it since."""
        return 1 + len(self.events)

    @property
    def withdrawn(self) -> bool:
        """Whether it was withdrawn and not restored since."""
        last = [done.event for done in self.events if done.event is not Event.CONFIRMED]
        return bool(last) and last[-1] is Event.WITHDRAWN

    @property
    def confirmed_by(self) -> frozenset[str]:
        """Pseudonyms of those who confirmed it."""
        return frozenset(done.by_hash for done in self.events if done.event is Event.CONFIRMED)

    @property
    def renewed_at(self) -> datetime:
        """When somebody last stood up for it: made, confirmed or restored."""
        return max([self.made_at, *(done.at for done in self.events if done.event is not Event.WITHDRAWN)])

    @property
    def direction(self) -> int:
        """-1 for one that makes a finding milder or takes it away, 1 for one that makes it graver, 0 for neither."""
        if self.kind is Kind.REMOVED:
            return -1
        if self.before is None or self.after is None:
            return 1 if self.kind is Kind.ADDED else 0
        moved = (self.after.rank > self.before.rank) - (self.after.rank < self.before.rank)
        if self.kind is Kind.ADDED:
            return max(moved, 0)  # what a person adds beside a finding takes nothing from it
        return moved if self.kind is Kind.SEVERITY else 0
