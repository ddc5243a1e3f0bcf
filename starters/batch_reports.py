"""What came of batches and reruns, for every way in: read from the store, computed by the domain."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from countersign.batch.compare import Comparison, compare
from countersign.batch.compare_page import arm_name
from countersign.batch.payloads import Baseline, BatchKey, BatchOrder
from countersign.batch.report import BatchReport, report
from countersign.playbook.load import load_playbook
from countersign.store.batch_results import Compared, ItemResult
from countersign.store.batches import BatchRow
from starters.client import ReviewClient


@dataclass(frozen=True)
class Reported:
    """A batch's report and its items."""

    batch: BatchRow
    report: BatchReport
    results: tuple[ItemResult, ...]


@dataclass(frozen=True)
class Reran:
    """A rerun's order, what its other arm is called, and the comparison."""

    order: BatchOrder
    arm: str
    comparison: Comparison


async def reported(client: ReviewClient, key: BatchKey, given: Mapping[str, float | None]) -> Reported:
    """The report as things stand now. `given`, by field of `Baseline`, goes before what was stated with the batch.

    Raises `NotFound`.
    """
    services = await client.services()
    store = services.batches
    row, order, results = await store.row(key), await store.order(key), await services.batch_results.of(key)
    stated = {name: value for name, value in given.items() if value is not None}
    baseline = Baseline.model_validate({**order.baseline.model_dump(), **stated})
    return Reported(row, report(row.batch_id, results, baseline, started=row.started_at), results)


async def compared(client: ReviewClient, key: BatchKey) -> Reran:
    """The comparison of a rerun as things stand now. Raises `NotFound`, and `PlaybookError`."""
    services = await client.services()
    order, items = await services.batches.order(key), await services.batch_results.compared(key)
    shared = _shared(client.settings.playbooks, order.other_playbook, items)
    # Intervals are drawn a thousand times over: not in the loop that answers others.
    found = await asyncio.to_thread(compare, items, shared)
    return Reran(order, arm_name(order.model, order.other_playbook), found)


def comparison_json(key: BatchKey, found: Reran) -> dict[str, Any]:
    """The whole comparison as JSON knows it."""
    arm = {"batch_id": key.batch_id, "model": found.order.model, "playbook": found.order.other_playbook}
    return {**arm, **to_jsonable_python(asdict(found.comparison))}


def _shared(folder: Path, other: str | None, items: Sequence[Compared]) -> dict[str, frozenset[str]]:
    """By stored playbook, the clauses that the other arm's playbook asks about too; the same playbook shares all."""
    if other is None:
        return {}
    asked = frozenset(family.key for family in load_playbook(folder, other).families)
    names = {item.stored.playbook for item in items if item.stored is not None} - {other, ""}
    return {name: asked & {family.key for family in load_playbook(folder, name).families} for name in names}
