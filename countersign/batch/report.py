"""What came of a batch, and what that is worth against the baseline that the user states. Pure.

Nothing about the work by hand is assumed: without stated minutes or money there is no return to tell. Where people's
time for signing is not stated it is not measured either, and the return is a range between two honest ends.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from statistics import median
from typing import Any

from countersign.batch.payloads import Baseline
from countersign.store.batch_results import ItemResult
from countersign.words import Outcome

COLUMNS = (
    *("position", "file", "review", "machine", "now", "route", "contract_type", "findings", "worst_severity"),
    *("confidence", "cost_usd", "machine_s", "failure", "message"),
)
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""How a cell must not begin that a spreadsheet would take for a formula (OWASP, CSV injection)."""
_REVIEWED = frozenset({Outcome.RELEASED, Outcome.APPROVED, Outcome.AMENDED, Outcome.REJECTED, Outcome.EXPIRED})


@dataclass(frozen=True)
class Range:
    """Between two ends; the same twice where it is known."""

    low: float
    high: float


@dataclass(frozen=True)
class Return:
    """What was saved against the stated baseline. None where its half of the baseline was not stated.

    `low`: signing took as long as the work by hand, so only what no person touched is saved. `high`: it took no time.
    With stated `signing_minutes` both are the figure that follows.
    """

    baseline: Baseline
    by_hand_minutes: float | None
    by_hand_usd: float | None
    saved_minutes: Range | None
    saved_usd: Range | None
    """Net of what the models cost."""


@dataclass(frozen=True)
class BatchReport:
    """A batch in numbers. `machine`: how items ended for the machine. `now`: where their reviews stand.

    Attributes:
        reviewed: items with an analysis; only these count as work done.
        released: of those, what no person touches.
        with_people: of those, what waits for a person or was decided by one.
        waiting: what waits for a person now.
        wall_minutes: from the first turn to the last end; None while nothing has ended.
        machine_s: median and 95th percentile of one item.
    """

    batch_id: str
    items: int
    machine: dict[str, int]
    now: dict[str, int]
    reviewed: int
    released: int
    with_people: int
    waiting: int
    findings: int
    worst: dict[str, int]
    cost_usd: float
    wall_minutes: float | None
    contracts_per_minute: float | None
    machine_s: tuple[float, float] | None
    worth: Return


def report(
    batch_id: str, results: Sequence[ItemResult], baseline: Baseline, *, started: datetime | None
) -> BatchReport:
    """The report on these items; `started` is when the batch began."""
    reviewed = [one for one in results if one.waiting_for is not None or one.outcome in _REVIEWED]
    released = sum(one.outcome == Outcome.RELEASED for one in reviewed)
    cost_usd = sum(one.cost_microusd for one in results) / 1e6
    ends = [one.ended_at for one in results if one.ended_at is not None]
    wall = (max(ends) - started).total_seconds() / 60 if ends and started is not None else None
    times = sorted(one.machine_s for one in results if one.machine_s is not None)
    return BatchReport(
        batch_id=batch_id,
        items=len(results),
        machine=_counts(one.ended or "under way" for one in results),
        now=_counts(_now(one) for one in results),
        reviewed=len(reviewed),
        released=released,
        with_people=len(reviewed) - released,
        waiting=sum(one.waiting_for is not None for one in results),
        findings=sum(one.findings for one in reviewed),
        worst=_counts(one.worst_severity or "none" for one in reviewed),
        cost_usd=round(cost_usd, 6),
        wall_minutes=None if wall is None else round(wall, 2),
        contracts_per_minute=round(len(ends) / wall, 1) if wall else None,
        machine_s=(round(median(times), 2), round(times[min(len(times) - 1, int(0.95 * len(times)))], 2))
        if times
        else None,
        worth=worth(baseline, reviewed=len(reviewed), released=released, cost_usd=cost_usd),
    )


def worth(baseline: Baseline, *, reviewed: int, released: int, cost_usd: float) -> Return:
    """What `reviewed` contracts, of which no person touches `released`, save against the work by hand."""
    minutes, usd, signing = baseline.manual_minutes, baseline.manual_cost, baseline.signing_minutes
    people = reviewed - released
    saved_minutes = saved_usd = None
    # The share of the work by hand that signing costs: unknown, it is anything from nothing to all of it.
    least, most = (0.0, 1.0) if signing is None or minutes is None else (signing / minutes,) * 2
    if minutes is not None:
        total = reviewed * minutes
        saved_minutes = Range(total - people * minutes * most, total - people * minutes * least)
    if usd is not None:
        total = reviewed * usd
        saved_usd = Range(total - people * usd * most - cost_usd, total - people * usd * least - cost_usd)
    return Return(
        baseline=baseline,
        by_hand_minutes=None if minutes is None else reviewed * minutes,
        by_hand_usd=None if usd is None else reviewed * usd,
        saved_minutes=saved_minutes,
        saved_usd=saved_usd,
    )


def rows(results: Sequence[ItemResult]) -> list[dict[str, Any]]:
    """The items, one a row, under `COLUMNS`."""
    return [
        {
            "position": one.position + 1,
            "file": one.name if one.name is not None else "",
            "review": one.review_id,
            "machine": one.ended or "under way",
            "now": _now(one),
            "route": one.route or "",
            "contract_type": one.contract_type,
            "findings": one.findings,
            "worst_severity": one.worst_severity or "",
            "confidence": one.confidence,
            "cost_usd": one.cost_microusd / 1e6,
            "machine_s": None if one.machine_s is None else round(one.machine_s, 2),
            "failure": one.failure,
            "message": one.message,
        }
        for one in results
    ]


def as_json(found: BatchReport, results: Sequence[ItemResult]) -> dict[str, Any]:
    """The whole report as JSON knows it."""
    document = asdict(found)
    document["worth"]["baseline"] = found.worth.baseline.model_dump()
    return {**document, "contracts": rows(results)}


def as_csv(results: Sequence[ItemResult]) -> str:
    """The items as CSV with a header; no cell that a spreadsheet would compute."""
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(results):
        writer.writerow({name: _inert(value) for name, value in row.items()})
    return out.getvalue()


def _now(one: ItemResult) -> str:
    if one.waiting_for is not None:
        return f"waits for {one.waiting_for}"
    return one.outcome or one.ended or "under way"


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_RISKY) else value


def _counts(words: "Sequence[str] | Any") -> dict[str, int]:
    return dict(Counter(words).most_common())
