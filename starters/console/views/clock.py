"""Times and how long they are away. All in UTC; the browser keeps the clocks going."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

SOON = timedelta(hours=4)
"""An SLA that is due within this is shown as pressing."""

State = Literal["ok", "soon", "late"]


@dataclass(frozen=True)
class Clock:
    """A time that something falls due, and how that stands."""

    at: datetime
    text: str
    state: State


def moment(at: datetime | None) -> str:
    """A time to the minute: "4 Mar 2026, 05:06"."""
    if at is None:
        return "–"
    here = at.astimezone(UTC)
    return f"{here.day} {here:%b %Y, %H:%M}"


def iso(at: datetime) -> str:
    """A time as machines read it."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def span(delta: timedelta) -> str:
    """A length of time in its two largest units: "2 d 3 h", "15 min", "under 1 min"."""
    minutes = int(abs(delta).total_seconds()) // 60
    parts = ((minutes // 1440, "d"), (minutes // 60 % 24, "h"), (minutes % 60, "min"))
    shown = [f"{number} {unit}" for number, unit in parts if number]
    return " ".join(shown[:2]) or "under 1 min"


def due(at: datetime | None, now: datetime) -> Clock | None:
    """A clock of an SLA; None without one."""
    if at is None:
        return None
    left = at - now
    if left <= timedelta(0):
        return Clock(at, f"overdue by {span(left)}", "late")
    return Clock(at, f"due in {span(left)}", "soon" if left <= SOON else "ok")


def until(at: datetime, now: datetime) -> Clock:
    """A clock of a lease."""
    left = at - now
    if left <= timedelta(0):
        return Clock(at, "has lapsed", "late")
    return Clock(at, f"{span(left)} left", "soon" if left <= timedelta(minutes=3) else "ok")
