"""What playbook and data let this person do with a review: sign, for whom, and lead. The desk has the last word."""

from dataclasses import dataclass
from datetime import datetime

from countersign.review.payloads import DecisionRecord, ReviewStatus
from countersign.review.same import same_person
from countersign.review.signing import Authority, stand_for
from countersign.words import Outcome
from starters.console.views.clock import Clock, until
from starters.console.views.words import OUTCOMES, visible


@dataclass(frozen=True)
class Rights:
    """Attributes:
    own: may sign by their own right.
    signs_for: absent people in whose name they may sign.
    lead: may take claims back, and give the review to somebody.
    colleagues: who could be given it, where that is known.
    """

    own: bool = True
    signs_for: tuple[str, ...] = ()
    lead: bool = False
    colleagues: tuple[str, ...] = ()

    @property
    def may_sign(self) -> bool:
        """Whether any signature of theirs could count."""
        return self.own or bool(self.signs_for)


ANYBODY = Rights()
"""Of whom nothing is known: the desk says no, where it must."""


def rights_of(authority: Authority | None, person: str, status: ReviewStatus, now: datetime) -> Rights:
    """What `person` may do; without an authority to ask, what anybody may."""
    if authority is None:
        return ANYBODY
    escalated = status.escalated
    names = authority.names(escalated=escalated) or ()
    return Rights(
        own=authority.has_right(person, escalated=escalated),
        signs_for=authority.signs_for(person, now, escalated=escalated),
        lead=authority.is_lead(person),
        colleagues=tuple(dict.fromkeys(name for name in names if not same_person(name, person))),
    )


@dataclass(frozen=True)
class PendingView:
    """A decision that has not taken effect yet. `may_withdraw`: one of those in force is this person's."""

    words: str
    clock: Clock
    may_withdraw: bool


def pending_of(status: ReviewStatus, person: str, now: datetime) -> PendingView | None:
    """The outcome that waits for its time, if one does."""
    if status.pending is None or status.pending_until is None or status.outcome is not None:
        return None
    own = any(_stands(one) and any(same_person(person, name) for name in stand_for(one)) for one in status.decisions)
    return PendingView(_words(status.pending), until(status.pending_until, now), own)


def _stands(decision: DecisionRecord) -> bool:
    return not decision.void and decision.verdict in ("approve", "amend", "reject")


def _words(outcome: Outcome) -> str:
    return visible(OUTCOMES[outcome])
