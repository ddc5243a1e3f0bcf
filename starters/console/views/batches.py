"""Batches as people see them: a bar of how items ended, the pace, and when it will be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite

from countersign.batch.payloads import BatchKind, BatchState
from countersign.errors import InvalidRequest
from countersign.store.batch_results import ItemResult, Progress
from countersign.store.batches import BatchRow
from starters.console.views.words import human, visible

LATELY = timedelta(minutes=10)
"""The pace is that of this time."""
WRONG = ("failed", "blocked", "stuck", "erased")
"""How items end that are no review."""
KINDS = {BatchKind.REVIEW: "Reviews", BatchKind.RERUN: "Rerun"}
STATES = {
    BatchState.STORING: ("Being taken in", ""),
    BatchState.READY: ("About to begin", "open"),
    BatchState.RUNNING: ("Running", "open"),
    BatchState.PAUSED: ("Paused", ""),
    BatchState.CANCELLING: ("Being cancelled", ""),
    BatchState.CANCELLED: ("Cancelled", "bad"),
    BatchState.DONE: ("Done", "good"),
    BatchState.FAILED: ("Failed", "bad"),
}
_ENDS = {
    "released": ("released", "good"),
    "approved": ("approved", "good"),
    "amended": ("signed with changes", "good"),
    "done": ("analysed again", "good"),
    "waiting": ("for people", "open"),
    "rejected": ("rejected", "plain"),
    "expired": ("expired", "plain"),
    "cancelled": ("not begun", "plain"),
    "erased": ("erased", "plain"),
    "blocked": ("blocked", "bad"),
    "stuck": ("stuck", "bad"),
    "failed": ("failed", "bad"),
}
"""How items end for the machine, in the order of the bar."""
BASELINE = {
    "manual_minutes": "Minutes a contract takes by hand",
    "manual_cost": "US dollars it costs by hand",
    "signing_minutes": "Minutes to look and sign",
}


@dataclass(frozen=True)
class Part:
    """One stretch of a bar that is 1,000 wide."""

    words: str
    count: int
    tone: str
    x: float
    width: float


@dataclass(frozen=True)
class BatchLine:
    """A batch in numbers. `pace` is items a minute; None while it cannot be told, as is `expected`."""

    batch_id: str
    kind: str
    is_rerun: bool
    playbook: str
    state: str
    tone: str
    is_over: bool
    items: int
    done: int
    per_cent: int
    parts: tuple[Part, ...]
    waiting: int
    pace: float | None
    expected: datetime | None
    waits_for: str
    created_at: datetime
    ended_at: datetime | None

    @property
    def summary(self) -> str:
        """How items ended, in words."""
        return ", ".join(f"{part.count:,} {part.words}" for part in self.parts) or "nothing has ended yet"


def line_of(row: BatchRow, progress: Progress | None, now: datetime, state: BatchState | None = None) -> BatchLine:
    """A batch; `state` is its workflow's, where that was asked."""
    stands = state or row.state
    found = progress or Progress({}, 0, 0)
    done = sum(found.ended.values())
    pace = pace_of(row, found, now) if stands is BatchState.RUNNING else None
    words, tone = STATES[stands]
    return BatchLine(
        batch_id=row.batch_id,
        kind=KINDS[row.kind],
        is_rerun=row.kind is BatchKind.RERUN,
        playbook=row.playbook,
        state=words,
        tone=tone,
        is_over=stands.is_over,
        items=row.items,
        done=done,
        per_cent=100 * done // row.items if row.items else 0,
        parts=parts_of(found.ended, row.items),
        waiting=found.waiting,
        pace=pace,
        expected=now + timedelta(minutes=(row.items - done) / pace) if pace and done < row.items else None,
        waits_for=visible(row.waits_for) if not stands.is_over else "",
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def pace_of(row: BatchRow, progress: Progress, now: datetime) -> float | None:
    """Items a minute over the last `LATELY`, or since it began where that is less; None while nothing ended."""
    if row.started_at is None or not progress.lately:
        return None
    minutes = min(LATELY, now - row.started_at).total_seconds() / 60
    return progress.lately / minutes if minutes > 0 else None


def parts_of(ended: Mapping[str, int], items: int) -> tuple[Part, ...]:
    """The bar's stretches, from its left end."""
    order = [*_ENDS, *(how for how in ended if how not in _ENDS)]
    parts, x = list[Part](), 0.0
    for how in order:
        if not (count := ended.get(how, 0)):
            continue
        words, tone = _ENDS.get(how, (human(how), "plain"))
        width = round(1000 * count / max(items, 1), 1)
        parts.append(Part(words, count, tone, round(x, 1), width))
        x += width
    return tuple(parts)


@dataclass(frozen=True)
class WrongItem:
    """An item that came to nothing, and why."""

    number: int
    name: str
    review_id: str
    ended: str
    why: str


def wrong_of(results: tuple[ItemResult, ...]) -> tuple[WrongItem, ...]:
    """Items that came to nothing, in words. Their files' names are somebody else's text."""
    return tuple(
        WrongItem(
            number=one.position + 1,
            name=visible(one.name) if one.name is not None else "(erased)",
            review_id=one.review_id,
            ended=human(one.ended),
            why=visible(one.message or one.failure) or "no reason was kept",
        )
        for one in results
    )


def baseline_of(asked: Mapping[str, str]) -> dict[str, float]:
    """What the same work costs by hand, from a query string. Raises `InvalidRequest`, which names the field."""
    given = {}
    for name, words in BASELINE.items():
        text = asked.get(name, "").strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not (isfinite(value) and value > 0):
            raise InvalidRequest(f"{words}: is no number above 0", remedy="Write it like 45 or 7.5, or leave it empty")
        given[name] = value
    return given
