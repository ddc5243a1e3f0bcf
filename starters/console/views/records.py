"""Costs, limits and trail searches as rows for people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from countersign.admission.limits import LimitChange, LimitInForce
from countersign.ledger.ledger import CostRow
from starters.console.views.words import human, visible

SPANS: Mapping[str, int | None] = {"1": 1, "7": 7, "30": 30, "all": None}
SPAN_WORDS = {"1": "Last 24 hours", "7": "Last 7 days", "30": "Last 30 days", "all": "All time"}
EVENTS = (
    "admitted", "read", "screened", "understood", "recalled", "planned", "analysed", "reconciled", "routed",
    "waiting", "claimed", "unclaimed", "asked", "answered", "viewed", "decided", "withdrawn", "took_effect",
    "refused", "reminded", "escalated", "expired", "revealed", "learned", "ended",
)  # fmt: skip
"""Events of the trail, in the order they happen."""


@dataclass(frozen=True)
class Costs:
    """Rows and their sums. `share` is a row's part of all money, in per cent."""

    rows: tuple[tuple[CostRow, int], ...]
    calls: int
    failed: int
    tokens_in: int
    tokens_out: int
    money: int
    unpriced: int


def costs_of(rows: Sequence[CostRow]) -> Costs:
    """What the calls of a time cost together, and what each agent's share is."""
    money = sum(row.cost_microusd for row in rows)
    return Costs(
        rows=tuple((row, round(100 * row.cost_microusd / money) if money else 0) for row in rows),
        calls=sum(row.calls for row in rows),
        failed=sum(row.failed_calls for row in rows),
        tokens_in=sum(row.input_tokens for row in rows),
        tokens_out=sum(row.output_tokens for row in rows),
        money=money,
        unpriced=sum(row.unpriced_calls for row in rows),
    )


LIMIT_WORDS = {
    "user_per_hour": "Reviews a person may submit in an hour",
    "tenant_per_hour": "Reviews all together may submit in an hour",
    "abuse_strikes": "Strikes in an hour that begin a cooldown",
    "blocked_strikes": "Strikes that a blocked review counts for",
    "cooldown_s": "First cooldown, in seconds",
    "cooldown_cap_s": "Longest cooldown, in seconds",
    "in_flight": "Reviews the machine works on at once",
    "attention": "Reviews that may wait for reviewers",
    "weight": "Share against other tenants",
    "in_flight_all": "Reviews at once, of all tenants",
    "room": "Reviews that may wait for their turn, of all tenants",
    "local_fraction": "Share of the limits that holds while Redis is away",
}
SET_FOR = {"default": "as shipped", "everyone": "for everyone", "tenant": "for this tenant", "user": "for one person"}


@dataclass(frozen=True)
class LimitView:
    """One limit in force."""

    name: str
    words: str
    value: str
    set_for: str
    is_default: bool


def limits_of(limits: Sequence[LimitInForce]) -> tuple[LimitView, ...]:
    """Limits in words."""
    return tuple(
        LimitView(
            one.name, LIMIT_WORDS.get(one.name, human(one.name)), f"{one.value:,.10g}", SET_FOR[one.set_for],
            one.set_for == "default",
        )
        for one in limits
    )  # fmt: skip


@dataclass(frozen=True)
class ChangeView:
    """One change of limits."""

    at: datetime
    before: str
    after: str
    by: str
    reason: str


def changes_of(changes: Sequence[LimitChange]) -> tuple[ChangeView, ...]:
    """Changes in words."""
    return tuple(
        ChangeView(one.changed_at, _fields(one.before), _fields(one.after), one.by_hash, visible(one.reason))
        for one in changes
    )


def _fields(fields: Mapping[str, float] | None) -> str:
    return ", ".join(f"{human(name)} {value:,.10g}" for name, value in (fields or {}).items()) or "nothing of its own"


@dataclass(frozen=True)
class TrailSearch:
    """What a search of the trail asks for; "" asks for nothing."""

    review: str
    event: str
    person: str
    span: str
    since: datetime | None

    @classmethod
    def of(cls, asked: Mapping[str, str], now: datetime) -> "TrailSearch":
        """From a query string; what it cannot mean is left out."""
        span = asked.get("since", "30")
        days = SPANS.get(span, 30)
        return cls(
            review=asked.get("review", "").strip()[:64],
            event=asked.get("event", "") if asked.get("event", "") in EVENTS else "",
            person=asked.get("person", "").strip()[:64],
            span=span if span in SPANS else "30",
            since=None if days is None else now - timedelta(days=days),
        )
