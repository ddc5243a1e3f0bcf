"""What the agents propose to do once a review is signed, item by item, and what this person may say to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from countersign.document.model import DocumentText
from countersign.review.payloads import Effect, EffectStanding, ReviewStatus
from countersign.words import EffectState
from starters.console.views.clock import Clock, until
from starters.console.views.document import Span
from starters.console.views.findings import Quote
from starters.console.views.words import human, visible

STATES: Mapping[EffectState, tuple[str, str]] = {
    EffectState.PENDING: ("waits for an approval of its own", "open"),
    EffectState.ALLOWED: ("happens when the review is signed", "open"),
    EffectState.APPROVED: ("approved; happens when the review is signed", "good"),
    EffectState.DENIED: ("the policy does not let it happen", "bad"),
    EffectState.DECLINED: ("will not happen", "bad"),
    EffectState.DONE: ("done", "good"),
    EffectState.REFUSED: ("did not happen: something it was bound to had changed", "bad"),
}
OPEN = frozenset({EffectState.PENDING, EffectState.ALLOWED, EffectState.APPROVED})
_SHOWN_ELSEWHERE = frozenset({"quote"})


@dataclass(frozen=True)
class EffectView:
    """One proposed effect. `bound` is what a decision on it names."""

    id: str
    summary: str
    arguments: tuple[tuple[str, str], ...]
    quotes: tuple[Quote, ...]
    state: str
    tone: str
    approver: str
    expires: Clock | None
    reason: str
    bound: str
    may_approve: bool
    may_decline: bool


def effects_of(
    status: ReviewStatus, document: DocumentText | None, now: datetime, *, may_decide: bool
) -> tuple[EffectView, ...]:
    """The effects in their order."""
    proposed = {effect.id: effect for effect in (status.analysis.effects if status.analysis else ())}
    decides = may_decide and status.outcome is None
    return tuple(_effect(one, proposed.get(one.item), document, now, decides=decides) for one in status.effects)


def _effect(
    standing: EffectStanding, effect: Effect | None, document: DocumentText | None, now: datetime, *, decides: bool
) -> EffectView:
    words, tone = STATES[standing.state]
    args = effect.args if effect is not None else {}
    holds = standing.state is EffectState.APPROVED and standing.expires_at is not None
    return EffectView(
        id=standing.item,
        summary=_summary(standing),
        arguments=tuple(
            (human(name).capitalize(), visible(str(value)))
            for name, value in args.items()
            if value is not None and name not in _SHOWN_ELSEWHERE
        ),
        quotes=tuple(
            Quote(
                _quote_id(standing.item, number),
                visible(quoted.quote),
                quoted.page,
                document.section_of(quoted.start) if document else None,
            )
            for number, quoted in enumerate(effect.evidence if effect is not None else (), start=1)
        ),
        state=words,
        tone=tone,
        approver=visible(standing.approver or ""),
        expires=until(standing.expires_at, now) if holds and standing.expires_at is not None else None,
        reason=visible(standing.reason),
        bound=f"{standing.version}:{standing.digest}",
        may_approve=decides and standing.state is EffectState.PENDING,
        may_decline=decides and standing.state in OPEN,
    )


def _summary(standing: EffectStanding) -> str:
    name = human(standing.tool).capitalize()
    return visible(name + standing.summary.removeprefix(standing.tool)) if standing.summary else name


def spans_of(status: ReviewStatus) -> tuple[Span, ...]:
    """What the effects rest on, as stretches of the document."""
    return tuple(
        Span(_quote_id(effect.id, number), effect.id, "effect", quoted.start, quoted.end)
        for effect in (status.analysis.effects if status.analysis else ())
        for number, quoted in enumerate(effect.evidence, start=1)
        if quoted.end > quoted.start
    )


def _quote_id(item: str, number: int) -> str:
    return f"e-{item}-{number}"
