"""Where a review stands and what this person may do about it; why a decision did not count, said kindly."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from countersign.access.permissions import Action, allowed
from countersign.access.principal import Principal
from countersign.errors import DecisionRefused
from countersign.review.desk import same_person
from countersign.review.payloads import ReviewStatus
from countersign.store.reviews import ReviewRow
from countersign.trail.chain import TrailRow
from countersign.words import Channel, Outcome, Route, Verdict
from starters.console.views.clock import Clock, due, until
from starters.console.views.document import Span
from starters.console.views.words import GOOD, OUTCOMES, STAGES, human, visible

VERDICTS = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.AMEND: "signed with changes",
    Verdict.ASK: "asked",
    Verdict.WITHDRAW: "withdrew it",
}


@dataclass(frozen=True)
class ClaimView:
    """Who has the review to themselves. `mine`: the person who looks. `token` is then what decisions must name."""

    by: str
    mine: bool
    clock: Clock
    token: int | None


@dataclass(frozen=True)
class Entry:
    """One thing that people said or did."""

    who: str
    what: str
    at: datetime | None
    text: str = ""
    edits: tuple[str, ...] = ()


@dataclass(frozen=True)
class StandingView:
    """The head of a review's page."""

    headline: str
    tone: str
    """`open`, `good` or `bad`."""
    waits: str
    due: Clock | None
    escalated: bool
    reminded: bool
    claim: ClaimView | None
    signatures_missing: int
    four_eyes: bool
    own: bool
    may_claim: bool
    may_decide: bool
    may_answer: bool
    why_not: str
    """Why this person cannot decide, though their role could; "" otherwise."""
    lapsed: bool
    """This person's claim has lapsed, and nobody has taken it since."""


def standing_of(status: ReviewStatus, row: ReviewRow, who: Principal, now: datetime) -> StandingView:
    """Where the review stands for this person."""
    own = row.user_hash == who.user_hash
    claim, lapsed = _claim(status, who, now)
    waits_for_reviewer = status.outcome is None and status.analysis is not None and status.waiting_for is not None
    decides = allowed(who, Action.DECIDE) and waits_for_reviewer
    taken = claim is not None and not claim.mine
    why_not = ""
    if decides and own:
        why_not = "You asked for this review, so somebody else signs it."
    elif decides and taken and claim is not None:
        why_not = f"{claim.by} has claimed it. You can decide once the claim is given back or lapses."
    may_decide = decides and not own and not taken
    return StandingView(
        headline=OUTCOMES[status.outcome] if status.outcome else STAGES[status.stage],
        tone="open" if status.outcome is None else "good" if status.outcome in GOOD else "bad",
        waits=_waits(status, row),
        due=due(status.sla_due, now) if status.outcome is None and status.waiting_for else None,
        escalated=status.escalated and status.outcome is None,
        reminded=status.reminded and status.outcome is None,
        claim=claim,
        signatures_missing=status.signatures_missing,
        four_eyes=status.route is Route.FOUR_EYES,
        own=own,
        may_claim=allowed(who, Action.CLAIM) and waits_for_reviewer and not own and not taken,
        may_decide=may_decide,
        may_answer=own and allowed(who, Action.ANSWER) and bool(status.question) and status.outcome is None,
        why_not=why_not,
        lapsed=lapsed and may_decide,
    )


def _claim(status: ReviewStatus, who: Principal, now: datetime) -> tuple[ClaimView | None, bool]:
    """The claim in force, and whether this person's own has lapsed."""
    if status.claimed_by is None or status.claimed_until is None or status.outcome is not None:
        return None, False
    mine = same_person(status.claimed_by, who.user)
    clock = until(status.claimed_until, now)
    if clock.state == "late":
        return None, mine
    token = status.claim_token if mine else None
    return ClaimView("You" if mine else visible(status.claimed_by), mine, clock, token), False


def _waits(status: ReviewStatus, row: ReviewRow) -> str:
    if status.outcome is not None:
        return ""
    if status.waiting_for == "requester":
        return "Waits for the requester's answer"
    if status.waiting_for == "reviewer":
        missing = status.signatures_missing
        return "Waits for a signature" if missing <= 1 else f"Waits for {missing} signatures, of different people"
    if status.pending is not None and status.pending_until is not None:
        moment = f"{status.pending_until:%Y-%m-%d %H:%M} UTC"
        return f"{OUTCOMES[status.pending]} from {moment}; until then whoever decided may withdraw it"
    if row.waits_for_its_turn:
        ahead = status.ahead or 0
        return f"Waits for its turn, {ahead} ahead of it" if ahead else "Waits for its turn"
    return "The machine works on it"


def history_of(status: ReviewStatus) -> tuple[Entry, ...]:
    """What people said and did, in order. Answers carry no time; each follows the question it answers."""
    entries: list[Entry] = []
    answers = list(status.answers)
    for decision in status.decisions:
        asked = decision.verdict is Verdict.ASK
        entries.append(
            Entry(
                visible(decision.reviewer),
                VERDICTS[decision.verdict],
                decision.at,
                visible(decision.question if asked else decision.note),
                tuple(
                    _edit_words(edit.action, edit.finding_id, edit.severity, edit.statement) for edit in decision.edits
                ),
            )
        )
        if asked and answers:
            answer = answers.pop(0)
            entries.append(Entry(visible(answer.user), "answered", None, visible(answer.text)))
    entries += [Entry(visible(answer.user), "answered", None, visible(answer.text)) for answer in answers]
    return tuple(entries)


def _edit_words(action: str, finding_id: str | None, severity: object, statement: str | None) -> str:
    if action == "remove":
        return f"{finding_id} removed"
    what = [f"severity {severity}"] if severity else []
    what += [f"“{visible(statement)}”"] if statement else []
    return f"{finding_id or 'added'}: {', '.join(what)}"


@dataclass(frozen=True)
class Explanation:
    """Why something did not count, and what to do now."""

    title: str
    text: str
    then: str


_KEPT = "Nothing you typed is lost: it is in the form below."


def explain(refused: DecisionRefused, status: ReviewStatus, who: Principal) -> Explanation:
    """A refused decision in words, from the rule it broke and where the review stands now."""
    last = status.decisions[-1] if status.decisions else None
    by = visible(last.reviewer) if last is not None else ""
    if last is not None and same_person(last.reviewer, who.user):
        by = "you"
    match refused.rule:
        case "claimed":
            name = visible(status.claimed_by or "") or "Another reviewer"
            return Explanation(
                f"{name} was quicker",
                f"{name} claimed this review while you were looking at it. {_KEPT}",
                "You can decide once the claim is given back or lapses; this page will tell you.",
            )
        case "claim_lapsed":
            return Explanation(
                "Your claim lapsed",
                f"The time for which you had this review to yourself ran out before you signed. {_KEPT}",
                "Look at it once more, then decide again or claim it anew.",
            )
        case "stale":
            what = f"{by or 'Somebody'} {VERDICTS[last.verdict]}" if last is not None else "An answer came"
            return Explanation(
                "This review changed while you were looking",
                f"{what[:1].upper()}{what[1:]}, so what you saw is no longer what would be signed. {_KEPT}",
                "This is the version that stands now. Compare it with what you typed, then decide again.",
            )
        case "decided":
            how = OUTCOMES[status.outcome] if status.outcome else "decided"
            return Explanation(
                f"It was {how} already",
                f"{by[:1].upper()}{by[1:]} decided this review before you did." if by else "It ended before you did.",
                "There is nothing left to sign; the history below says what was decided.",
            )
        case "signed_twice":
            return Explanation(
                "You have signed this already",
                "Two different people have to sign it.",
                "Ask a colleague to look at it.",
            )
        case _:
            text = f"{refused.message[:1].upper()}{refused.message[1:]}. {_KEPT}"
            return Explanation("This did not count", text, refused.remedy)


@dataclass(frozen=True)
class SignalView:
    """Something that made the sentinel suspicious. `span` is where it stands in the document, where it does."""

    id: str
    words: str
    span: Span | None


def signals_of(status: ReviewStatus) -> tuple[SignalView, ...]:
    """The screening's signals, the strongest first."""
    if status.screening is None:
        return ()
    views = []
    signals = sorted(status.screening.signals, key=lambda signal: -signal.score)
    for number, signal in enumerate(signals, start=1):
        span = None
        if signal.channel is Channel.DOCUMENT and signal.start is not None and (signal.end or 0) > signal.start:
            span = Span(f"s-{number}", f"signal-{number}", "signal", signal.start, signal.end or 0)
        where = f"in the {signal.channel}" + (f", page {signal.page}" if signal.page else "")
        name = human(signal.name).capitalize()
        views.append(SignalView(f"signal-{number}", f"{name} {where}: {visible(signal.explanation)}", span))
    return tuple(views)


@dataclass(frozen=True)
class Step:
    """One row of the trail for people."""

    sequence: int
    stage: str
    event: str
    at: datetime
    actor: str
    facts: tuple[tuple[str, str], ...]


def steps_of(rows: Sequence[TrailRow]) -> tuple[Step, ...]:
    """The trail in words."""
    return tuple(
        Step(
            row.sequence,
            human(row.stage),
            human(row.event),
            row.created_at,
            row.actor_hash or "",
            tuple((human(name), fact_words(value)) for name, value in row.facts.items()),
        )
        for row in rows
    )


def fact_words(value: object) -> str:
    """A fact of the trail on a line: numbers to three digits, long hashes by their beginning."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return ", ".join(fact_words(item) for item in value) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{human(name)} {fact_words(item)}" for name, item in value.items()) or "none"
    text = visible(str(value))
    return f"{text[:12]}…" if len(text) == 64 and " " not in text else text


def ended_badly(status: ReviewStatus) -> bool:
    """Whether it ended without anybody having looked at what was found."""
    return status.outcome in {Outcome.BLOCKED, Outcome.FAILED, Outcome.RATE_LIMITED, Outcome.OVERLOADED}
