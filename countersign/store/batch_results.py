"""What came of a batch's items, for reports: sealed parts opened. Only read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

import asyncpg

from countersign.batch.payloads import BatchKey, Rerun
from countersign.review.payloads import ReviewStatus
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.words import Outcome


@dataclass(frozen=True)
class ItemResult:
    """One item with where its review stands now, for the report. `name` is None when its content was erased.

    `machine_s` runs from its turn to when the machine was done with it.
    """

    position: int
    review_id: str
    name: str | None
    ended: str | None
    failure: str
    message: str
    outcome: str | None
    route: str | None
    waiting_for: str | None
    contract_type: str
    findings: int
    worst_severity: str | None
    confidence: float | None
    cost_microusd: int
    machine_s: float | None
    ended_at: datetime | None


@dataclass(frozen=True)
class Progress:
    """How far a batch is: items that have ended, by how; how many of them did `since` the time asked for; how many
    wait for a person now."""

    ended: Mapping[str, int]
    lately: int
    waiting: int


@dataclass(frozen=True)
class Compared:
    """A review analysed again: what was stored, what the other arm says (None while it has not, or could not)."""

    review_id: str
    ended: str | None
    stored: ReviewStatus | None
    again: Rerun | None
    corrected: frozenset[str] = frozenset()
    """Clauses in which people changed the stored analysis."""


_RESULTS = """
SELECT i.position, i.review_id, i.name, i.ended, i.failure, i.failure_message, i.ended_at, k.wrapped, r.outcome,
    r.route, r.waiting_for, coalesce(r.contract_type, '') AS contract_type, coalesce(r.findings, 0) AS findings,
    r.worst_severity, r.confidence, coalesce(r.cost_microusd, 0) AS cost_microusd, r.detail,
    extract(epoch FROM i.ended_at - r.dispatched_at)::float8 AS machine_s
FROM batch_items i
LEFT JOIN reviews r USING (tenant, review_id)
LEFT JOIN data_keys k USING (tenant, review_id)
WHERE (i.tenant, i.batch_id) = ($1, $2) AND ($3::text[] IS NULL OR i.ended = ANY($3)) ORDER BY i.position LIMIT $4
"""

_PROGRESS = """
SELECT i.batch_id, i.ended, count(*) AS items, count(*) FILTER (WHERE i.ended_at >= $3) AS lately,
    count(*) FILTER (WHERE r.waiting_for IS NOT NULL AND b.kind = 'review') AS waiting
FROM batch_items i
JOIN batches b USING (tenant, batch_id)
LEFT JOIN reviews r USING (tenant, review_id)
WHERE i.tenant = $1 AND i.batch_id = ANY($2) AND i.ended IS NOT NULL
GROUP BY i.batch_id, i.ended ORDER BY i.batch_id, i.ended
"""

_COMPARED = """
SELECT i.position, i.review_id, i.ended, i.result, k.wrapped, r.detail, ARRAY(
    SELECT DISTINCT c.clause FROM corrections c WHERE c.workflow_id = r.workflow_id
) AS corrected
FROM batch_items i
LEFT JOIN reviews r USING (tenant, review_id)
LEFT JOIN data_keys k USING (tenant, review_id)
WHERE (i.tenant, i.batch_id) = ($1, $2) ORDER BY i.position
"""


class BatchResults:
    """Items with where their reviews stand now, and with what a rerun found."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault

    async def progress(self, tenant: str, batch_ids: Collection[str], since: datetime) -> dict[str, Progress]:
        """How far these batches are, by id; one of which nothing has ended is missing."""
        rows = await self._db.fetch(_PROGRESS, tenant, list(batch_ids), since)
        return {
            batch_id: Progress(
                {row["ended"]: row["items"] for row in of_batch},
                sum(row["lately"] for row in of_batch),
                sum(row["waiting"] for row in of_batch),
            )
            for batch_id, group in groupby(rows, key=lambda row: row["batch_id"])
            if (of_batch := list(group))
        }

    async def of(
        self, key: BatchKey, *, ended: Collection[str] | None = None, limit: int | None = None
    ) -> tuple[ItemResult, ...]:
        """Items with where their reviews stand now, in order: all of them, or those that `ended` so."""
        wanted = None if ended is None else list(ended)
        rows = await self._db.fetch(_RESULTS, key.tenant, key.batch_id, wanted, limit)
        return tuple(self._result(key, row) for row in rows)

    async def compared(self, key: BatchKey) -> tuple[Compared, ...]:
        """Every item of a rerun with the stored status and the new result; None in either's place when erased."""
        return tuple(self._compared(key, row) for row in await self._db.fetch(_COMPARED, key.tenant, key.batch_id))

    def _result(self, key: BatchKey, row: asyncpg.Record) -> ItemResult:
        name, message = None, row["failure_message"]
        if row["wrapped"] is not None:
            data_key = self._vault.unwrap(row["wrapped"])
            if row["name"] is not None:
                name = self._vault.open(data_key, row["name"], name_place(key.tenant, row["review_id"])).decode()
            if not message and row["outcome"] in (Outcome.FAILED, Outcome.BLOCKED) and row["detail"] is not None:
                status = self._status(key.tenant, row["review_id"], data_key, row["detail"])
                message = status.failure.message if status.failure else ""
        fields = {field: row[field] for field in ItemResult.__dataclass_fields__ if field not in ("name", "message")}
        return ItemResult(**fields, name=name, message=message)

    def _compared(self, key: BatchKey, row: asyncpg.Record) -> Compared:
        if row["wrapped"] is None:
            return Compared(row["review_id"], row["ended"], None, None)
        data_key = self._vault.unwrap(row["wrapped"])
        stored = self._status(key.tenant, row["review_id"], data_key, row["detail"]) if row["detail"] else None
        again = None
        if row["result"] is not None:
            place = result_place(key, row["position"])
            again = Rerun.model_validate_json(self._vault.open(data_key, row["result"], place))
        return Compared(row["review_id"], row["ended"], stored, again, frozenset(row["corrected"]))

    def _status(self, tenant: str, review_id: str, data_key: bytes, sealed: bytes) -> ReviewStatus:
        opened = self._vault.open(data_key, sealed, context("status", tenant, review_id))
        return ReviewStatus.model_validate_json(opened)


def name_place(tenant: str, review_id: str) -> bytes:
    """Where an item's name is sealed."""
    return context("batch item", tenant, review_id)


def result_place(key: BatchKey, position: int) -> bytes:
    """Where a rerun's result is sealed."""
    return context("rerun", key.tenant, key.batch_id, str(position))
