"""Where a review stands and what this person may do about it; why a decision did not count, said kindly."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from countersign.access.permissions import Action, allowed
from countersign.access.principal import Principal
from countersign.errors import DecisionRefused
from countersign.review.blind import conceals, view_of
from countersign.review.desk import same_person
from countersign.review.payloads import DecisionRecord, ReviewStatus
from countersign.store.reviews import ReviewRow
from countersign.trail.chain import TrailRow
from countersign.words import Channel, Mode, Outcome, Route, Verdict
from starters.console.views.clock import Clock, due, until
from starters.console.views.document import Span
from starters.console.views.rights import ANYBODY, PendingView, Rights, pending_of
from starters.console.views.words import GOOD, OUTCOMES, STAGES, human, visible

VERDICTS = {
    Verdict.APPROVE: "approved",
    Verdict.REJECT: "rejected",
    Verdict.AMEND: "signed with changes",
    Verdict.ASK: "asked",
    Verdict.WITHDRAW: "withdrew it",
}
VIEWS = {
    Verdict.APPROVE: "would sign",
    Verdict.AMEND: "would sign with changes",
    Verdict.REJECT: "would not sign",
}
"""A view stated before the machine's confidence was shown."""


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
    rights: Rights
    pending: PendingView | None
    shadow: bool
    concealed: bool
    """Whether this person is not told how sure the machine is, yet."""
    may_view: bool
    """Whether they are to state a view before they decide."""
    view: str
    """The view that they have stated, or ""."""
    may_take_back: bool
    may_assign: bool
    no_effects: str
    """Why they may sign and yet approve no effect; "" otherwise."""


def standing_of(
    status: ReviewStatus, row: ReviewRow, who: Principal, now: datetime, rights: Rights = ANYBODY
) -> StandingView:
    """Where the review stands for this person."""
    own = row.user_hash == who.user_hash
    claim, lapsed = _claim(status, who, now)
    waits_for_reviewer = status.outcome is None and status.analysis is not None and status.waiting_for is not None
    decides = allowed(who, Action.DECIDE) and waits_for_reviewer
    taken = claim is not None and not claim.mine
    why_not = ""
    if decides and own:
        why_not = "You asked for this review, so somebody else signs it."
    elif decides and not rights.may_sign:
        why_not = "Under its playbook others sign this review: you are in none of the groups that do."
    elif decides and taken and claim is not None:
        why_not = f"{claim.by} has claimed it. You can decide once the claim is given back or lapses."
    may_decide = decides and not own and not taken and rights.may_sign
    concealed = conceals(status, who.user, decides=allowed(who, Action.DECIDE) and not own)
    stated = view_of(status.views, who.user)
    leads = rights.lead and not own and allowed(who, Action.CLAIM) and waits_for_reviewer
    away = ", ".join(visible(name) for name in rights.signs_for)
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
        may_claim=allowed(who, Action.CLAIM) and waits_for_reviewer and not own and not taken and rights.may_sign,
        may_decide=may_decide,
        may_answer=own and allowed(who, Action.ANSWER) and bool(status.question) and status.outcome is None,
        why_not=why_not,
        lapsed=lapsed and may_decide,
        rights=rights,
        pending=pending_of(status, who.user, now),
        shadow=status.mode is Mode.SHADOW,
        concealed=concealed,
        may_view=may_decide and status.blind and stated is None,
        view=VIEWS[stated] if stated is not None else "",
        may_take_back=leads and taken,
        may_assign=leads,
        no_effects=(
            f"You sign here for {away}. Effects are approved by who may sign by their own right: a delegation is for "
            "the review alone."
            if may_decide and not rights.own
            else ""
        ),
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
        return f"{OUTCOMES[status.pending].capitalize()} from {moment}, unless it is withdrawn before"
    if row.waits_for_its_turn:
        ahead = status.ahead or 0
        return f"Waits for its turn, {ahead} ahead of it" if ahead else "Waits for its turn"
    return "The machine works on it"


def history_of(status: ReviewStatus, *, concealed: bool = False) -> tuple[Entry, ...]:
    """What people said and did, in order. Answers carry no time; each follows the question it answers.

    Where the machine's confidence is `concealed` from who looks, so are the views of others.
    """
    entries: list[Entry] = []
    answers = list(status.answers)
    for view in () if concealed else status.views:
        entries.append(
            Entry(visible(view.reviewer), f"{VIEWS[view.verdict]}, not knowing how sure the machine is", view.at)
        )
    for decision in status.decisions:
        asked = decision.verdict is Verdict.ASK
        entries.append(
            Entry(
                visible(decision.reviewer),
                _decision_words(decision),
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


def _decision_words(decision: DecisionRecord) -> str:
    words = VERDICTS[decision.verdict]
    if decision.on_behalf_of:
        words += f" for {visible(decision.on_behalf_of)}"
    if decision.void == "withdrawn":
        return f"{words}, and withdrew it later"
    return f"{words} (counts no more: {human(decision.void)})" if decision.void else words


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


def explain(  # noqa: PLR0911 - one for each rule
    refused: DecisionRefused, status: ReviewStatus, who: Principal
) -> Explanation:
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
        case "no_view":
            return Explanation(
                "Your view comes first",
                f"This playbook asks what you would do before you are told how sure the machine is. {_KEPT}",
                "State your view below, then decide; it may differ.",
            )
        case "pending":
            return Explanation(
                "It has been decided",
                f"{by[:1].upper()}{by[1:] or 'Somebody'} decided before you did; it has not taken effect yet.",
                "Whoever decided may still withdraw it.",
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
