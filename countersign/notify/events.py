"""What people are told of a review, and who is: from rows of its trail. Pure.

A notification is never the authority: it says that something waits, and where to look. It carries ids, the playbook and
counts, no name and no word of a document.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from countersign.review.payloads import ReviewStatus, SigningPolicy, TrailEntry
from countersign.words import EffectState, Severity


class Event(StrEnum):
    """What somebody may be told of."""

    WAITING = "waiting"
    """The review waits for a person."""
    REMINDED = "reminded"
    REASSIGNED = "reassigned"
    """Its claim slept and was given back."""
    ESCALATED = "escalated"
    ASKED = "asked"
    ANSWERED = "answered"
    DECIDED = "decided"
    REOPENED = "reopened"
    """A decision was withdrawn or counts no more."""
    EFFECTS_WAITING = "effects_waiting"
    TEST = "test"


_OF_ROW: Mapping[str, Event] = {
    "waiting": Event.WAITING,
    "reminded": Event.REMINDED,
    "reassigned": Event.REASSIGNED,
    "escalated": Event.ESCALATED,
    "asked": Event.ASKED,
    "answered": Event.ANSWERED,
    "decided": Event.DECIDED,
    "withdrawn": Event.REOPENED,
    "reopened": Event.REOPENED,
    "proposed": Event.EFFECTS_WAITING,
}
SUBSCRIBED = tuple(event for event in Event if event is not Event.TEST)
_TO_REQUESTER = (Event.ASKED, Event.DECIDED)
_NOT_TO_SIGNERS = (Event.ASKED,)
_SAID: Mapping[Event, str] = {
    Event.WAITING: "waits for a person",
    Event.REMINDED: "still waits for a person",
    Event.REASSIGNED: "is free again: its claim slept",
    Event.ESCALATED: "is escalated: nobody has decided in time",
    Event.ASKED: "has a question for its requester",
    Event.ANSWERED: "has its answer, and waits for a person",
    Event.DECIDED: "was decided on",
    Event.REOPENED: "waits again: a decision was taken back",
    Event.EFFECTS_WAITING: "proposes effects that wait for an approval",
    Event.TEST: "is no review: this is a test",
}


class Message(BaseModel):
    """What is sent. `severities` counts findings by severity; `at` is when it happened."""

    model_config = ConfigDict(frozen=True)

    event: Event
    tenant: str
    review_id: str
    playbook: str = ""
    severities: dict[str, int] = {}
    signatures_missing: int = 0
    due: datetime | None = None
    link: str | None = None
    at: datetime

    @property
    def headline(self) -> str:
        """One line."""
        return f"Review {self.review_id} {_SAID[self.event]}"

    @property
    def text(self) -> str:
        """A few lines for people."""
        lines = [self.headline]
        if self.playbook:
            found = ", ".join(f"{count} {severity}" for severity, count in self.severities.items()) or "none"
            lines.append(f"Playbook {self.playbook}; findings: {found}")
        if self.due is not None:
            lines.append(f"Due {self.due:%Y-%m-%d %H:%M} UTC")
        if self.link:
            lines.append(self.link)
        return "\n".join(lines)


@dataclass(frozen=True)
class Audience:
    """Whom an event concerns. `anyone`: the playbook names nobody, so whoever has subscribed as a person or group."""

    groups: frozenset[str]
    people: frozenset[str]
    """Pseudonyms; the members of the groups are among them."""
    anyone: bool = False

    def includes(self, target: str) -> bool:
        """Whether a subscription's target ("all", "group:NAME", "person:PSEUDONYM") is among them."""
        kind, _, name = target.partition(":")
        match kind:
            case "all":
                return True
            case "group":
                return self.anyone or name in self.groups
            case "person":
                return self.anyone or name in self.people
            case _:
                return False


def event_of(entry: TrailEntry) -> Event | None:
    """The event that a row of the trail is, if it is one."""
    if entry.event == "proposed" and entry.facts.get("state") != EffectState.PENDING:
        return None
    return _OF_ROW.get(entry.event)


def audience_of(
    event: Event,
    policy: SigningPolicy,
    *,
    members: Mapping[str, Collection[str]],
    reviewers: Iterable[str],
    requester: str,
) -> Audience:
    """Whom an event concerns: those who may sign, leads once it is escalated, the requester of what is theirs.

    `members` are pseudonyms by group, `reviewers` those of the people that the playbook names, `requester` one too.
    """
    groups, people, anyone = set[str](), set[str](), False
    if event not in _NOT_TO_SIGNERS:
        groups |= set(policy.groups)
        people |= set(reviewers)
        anyone = not policy.groups and not policy.reviewers
    if event is Event.ESCALATED:
        groups |= set(policy.leads)
    for group in groups:
        people |= set(members.get(group, ()))
    if event in _TO_REQUESTER:
        people.add(requester)
    return Audience(frozenset(groups), frozenset(people), anyone)


def message_of(event: Event, entry: TrailEntry, status: ReviewStatus, console_url: str | None) -> Message:
    """What is said of the event."""
    findings = status.analysis.key_findings if status.analysis else ()
    count = Counter(finding.severity for finding in findings)
    return Message(
        event=event,
        tenant=status.tenant,
        review_id=status.review_id,
        playbook=status.playbook,
        severities={str(severity): count[severity] for severity in reversed(Severity) if count[severity]},
        signatures_missing=status.signatures_missing,
        due=status.sla_due if status.outcome is None else None,
        link=f"{console_url.rstrip('/')}/console/reviews/{status.review_id}" if console_url else None,
        at=entry.at,
    )
