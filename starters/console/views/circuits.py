"""Circuits of models and tools as cards for people."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from countersign.breaker.words import BREAKER, Standing, State
from starters.console.views.clock import span
from starters.console.views.words import visible

STATES = {
    State.CLOSED: ("Closed: calls go through", "good"),
    State.OPEN: ("Open: no call goes through", "bad"),
    State.HALF_OPEN: ("Half-open: a few calls try it out", "open"),
}


@dataclass(frozen=True)
class CircuitView:
    """One circuit. `by` is a pseudonym, or "" for the breaker itself."""

    name: str
    state: str
    tone: str
    since: datetime
    calls: int
    failures: int
    slow: int
    in_flight: str
    opened_at: datetime | None
    by: str
    why: str
    then: str


def circuits_of(rows: Sequence[Standing]) -> tuple[CircuitView, ...]:
    """Circuits, those that let nothing through first."""
    order = {State.OPEN: 0, State.HALF_OPEN: 1, State.CLOSED: 2}
    return tuple(_circuit(row) for row in sorted(rows, key=lambda row: (order[row.state], row.name)))


def _circuit(row: Standing) -> CircuitView:
    words, tone = STATES[row.state]
    return CircuitView(
        name=row.name,
        state=words,
        tone=tone,
        since=row.since,
        calls=row.calls,
        failures=row.failures,
        slow=row.slow,
        in_flight=f"{row.in_flight} of at most {row.limit}",
        opened_at=row.opened_at,
        by="" if row.opened_by == BREAKER else row.opened_by,
        why=visible(row.opened_why),
        then=_then(row),
    )


def _then(row: Standing) -> str:
    if row.state is State.OPEN and row.probe_in_s is None:
        return "It stays open until somebody resets it."
    if row.probe_in_s is not None:
        return f"The next probe goes through in {_seconds(row.probe_in_s)}."
    if row.paused_s > 0:
        return f"The provider asked for a pause of {_seconds(row.paused_s)}."
    return ""


def _seconds(seconds: float) -> str:
    return f"{ceil(seconds)} s" if seconds < 60 else span(timedelta(seconds=seconds))
