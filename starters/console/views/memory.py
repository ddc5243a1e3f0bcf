"""Corrections and knowledge as people see them: what was changed, what it is worth now, and what can be done to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from countersign.learning.lesson import Event
from countersign.learning.policy import Standing, State
from countersign.review.payloads import KnowledgeHit
from starters.console.views.words import human, visible

STATES: Mapping[State, tuple[str, str]] = {
    State.IN_FORCE: ("Active", "good"),
    State.WAITING: ("Needs quorum", "open"),
    State.SUSPENDED: ("Contradicted", "bad"),
    State.SUPERSEDED: ("Superseded", ""),
    State.EXPIRED: ("Expired", ""),
    State.WITHDRAWN: ("Withdrawn", ""),
    State.ERASED: ("Erased", ""),
    State.UNKNOWN: ("Not applied", ""),
}
ACTS = {Event.CONFIRMED: "Confirm", Event.WITHDRAWN: "Withdraw", Event.RESTORED: "Restore"}
WHY = {
    Event.CONFIRMED: "You stand behind it too: it counts for its quorum, and does not expire for another term.",
    Event.WITHDRAWN: "The next analysis is what it was before it. Nothing is deleted.",
    Event.RESTORED: "It gets back its place among the others.",
}


@dataclass(frozen=True)
class CorrectionView:
    """One correction; people as pseudonyms, texts safe to show."""

    number: int
    clause: str
    playbook: str
    contract_type: str
    change: str
    note: str
    quotes: tuple[str, ...]
    state: str
    tone: str
    why: str
    against: tuple[int, ...]
    review_id: str
    finding_id: str
    made_at: datetime
    people: tuple[str, ...]
    events: tuple[tuple[str, str, str, datetime], ...]
    """What was done to it since: what, by whom, why, when."""
    acts: tuple[Event, ...]

    @property
    def offer(self) -> str:
        """What can be done to it, in words."""
        return " or ".join(ACTS[act] for act in self.acts).capitalize()


def corrections_of(standings: Sequence[Standing], wanted: State | None = None) -> tuple[CorrectionView, ...]:
    """Corrections in the order given; with `wanted`, those that stand so."""
    return tuple(_view(one) for one in standings if wanted in (None, one.state))


def counts_of(standings: Sequence[Standing]) -> dict[State, int]:
    """How many stand how, in the order of `STATES`."""
    count = Counter(one.state for one in standings)
    return {state: count[state] for state in STATES if count[state]}


def _view(standing: Standing) -> CorrectionView:
    lesson = standing.lesson
    words, tone = STATES[standing.state]
    return CorrectionView(
        number=lesson.correction_id,
        clause=human(visible(lesson.clause)).capitalize() or "The whole review",
        playbook=lesson.playbook,
        contract_type=lesson.contract_type,
        change=visible(lesson.change),
        note=visible(lesson.note),
        quotes=tuple(visible(quote) for quote in lesson.quotes),
        state=words,
        tone=tone,
        why=visible(standing.why),
        against=standing.against,
        review_id=lesson.review_id,
        finding_id=lesson.finding_id,
        made_at=lesson.made_at,
        people=(lesson.by_hash, *lesson.signed_by),
        events=tuple((str(done.event), done.by_hash, visible(done.reason), done.at) for done in lesson.events),
        acts=(Event.RESTORED,) if lesson.withdrawn else (Event.CONFIRMED, Event.WITHDRAWN),
    )


def hits_of(hits: Sequence[KnowledgeHit]) -> tuple[tuple[str, str], ...]:
    """Source and passage of each hit, best first."""
    return tuple((visible(hit.source), visible(hit.passage)) for hit in hits)
