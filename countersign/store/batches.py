"""Batches and their items, from taking in to their end; `batch_results` reads what came of them.

Sealed is what was asked for and how files are called; ids, numbers, enum words are not.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from pydantic import BaseModel, ConfigDict

from countersign.batch.payloads import (
    CANCELLED,
    STUCK,
    WAITING,
    BatchKey,
    BatchKind,
    BatchOrder,
    BatchStanding,
    BatchState,
    Ended,
    Rerun,
)
from countersign.errors import InvalidRequest, NotFound
from countersign.review.payloads import DocumentRef, Failure, ReviewKey
from countersign.store.batch_results import name_place, result_place
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault, context
from countersign.words import Outcome

STUCK_AFTER = timedelta(hours=24)
"""An item of which nothing was written for so long has no workflow any more; the batch goes on without it."""
SILENT_AFTER = timedelta(minutes=1)
"""After this Temporal is asked whether an item's workflow is still there."""
RERUN_OUTCOMES = (Outcome.RELEASED, Outcome.APPROVED, Outcome.AMENDED, Outcome.REJECTED, Outcome.EXPIRED)
"""Reviews with an analysis to compare with; those that wait for a person have one too."""


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class BatchRow(_Row):
    """One batch. `state` is as projected last."""

    tenant: str
    batch_id: str
    kind: BatchKind
    digest: str
    playbook: str
    items: int
    window_size: int
    state: BatchState
    waits_for: str = ""
    created_at: datetime
    ready_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def key(self) -> BatchKey:
        """Its key."""
        return BatchKey(tenant=self.tenant, batch_id=self.batch_id)


@dataclass(frozen=True)
class NewItem:
    """An item as it is entered. `failure` (a type and a message without names) when it can be no review at all."""

    position: int
    review_id: str
    name: str
    document: DocumentRef | None
    failure: Failure | None = None


@dataclass(frozen=True)
class Item:
    """One item, sealed parts closed."""

    position: int
    review_id: str
    document_id: str | None
    ended: str | None
    failure: str


@dataclass(frozen=True)
class Silent:
    """An item under way of which nothing was heard for a while, with the workflow of its review."""

    position: int
    review_id: str
    workflow_id: str


_OPEN = """
INSERT INTO batches (tenant, batch_id, kind, digest, user_hash, playbook, sealed, items, window_size, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING
"""

_ADD = """
INSERT INTO batch_items (tenant, batch_id, position, review_id, document_id, name, ended, failure, failure_message,
    ended_at)
VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, $8, NULL) ON CONFLICT DO NOTHING
"""

_CHOSEN = """
SELECT r.review_id FROM reviews r
WHERE r.tenant = $1 AND r.submitted_at >= $2 AND ($3::text IS NULL OR r.playbook = $3)
    AND (r.outcome = ANY($4) OR (r.outcome IS NULL AND r.waiting_for IS NOT NULL)) AND r.submitted_at <= $6
ORDER BY r.submitted_at DESC, r.review_id LIMIT $5
"""

# For the machine a review has ended when it has an outcome or waits for a person. Of one nobody has heard of for a day
# the workflow was taken away by hand.
_SETTLED = """
UPDATE batch_items i SET ended_at = r.updated_at, ended = CASE
        WHEN r.outcome IS NOT NULL THEN r.outcome WHEN r.waiting_for IS NOT NULL THEN $4 ELSE $5 END
FROM reviews r
WHERE (i.tenant, i.batch_id) = ($1, $2) AND i.position = ANY($3) AND i.ended IS NULL
    AND (r.tenant, r.review_id) = (i.tenant, i.review_id)
    AND (r.outcome IS NOT NULL OR r.waiting_for IS NOT NULL
        OR (r.dispatched_at IS NOT NULL AND r.updated_at < now() - $6::interval))
"""

# A rerun writes nothing of its own while it runs, so its review is what is looked at: silent nearly always.
_SILENT = """
SELECT i.position, i.review_id, r.workflow_id FROM batch_items i JOIN reviews r USING (tenant, review_id)
WHERE (i.tenant, i.batch_id) = ($1, $2) AND i.position = ANY($3) AND i.ended IS NULL
    AND r.started_at IS NOT NULL AND r.updated_at < now() - $4::interval
ORDER BY i.position
"""

_END = """
UPDATE batch_items SET ended = $4, failure = $5, failure_message = $6, result = coalesce($7, result), ended_at = now()
WHERE (tenant, batch_id, position) = ($1, $2, $3) AND ended IS NULL
"""

_PROJECT = """
UPDATE batches SET state = $3, version = $4, waits_for = $5,
    ended_at = CASE WHEN $6 THEN coalesce(ended_at, now()) END
WHERE (tenant, batch_id) = ($1, $2) AND version < $4
"""


class BatchStore:
    """Tables `batches` and `batch_items`. Every change may be repeated with the effect of once."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    # --- taking in ---

    async def open(  # noqa: PLR0913 - what a batch is made of
        self,
        key: BatchKey,
        kind: BatchKind,
        order: BatchOrder,
        *,
        digest: str,
        user_hash: str,
        items: int,
        window: int,
    ) -> BatchRow:
        """Enter a batch whose items come next; the one that is there when it was entered before.

        Raises `InvalidRequest` when the id is already that of another order.
        """
        sealed = self._vault.seal(self._key(key), order.model_dump_json().encode(), _order_place(key))
        row = (kind, digest, user_hash, order.playbook, sealed, items, window, BatchState.STORING)
        await self._db.execute(_OPEN, key.tenant, key.batch_id, *row)
        found = await self.row(key)
        if (found.kind, found.digest) != (kind, digest):
            raise InvalidRequest(
                f"batch {key.batch_id}: is already the batch of other contracts, or of another order",
                remedy="Give another --id, or none: then one is made from the contracts",
            )
        return found

    async def stored(self, key: BatchKey) -> frozenset[int]:
        """Positions of the items that are there."""
        rows = await self._db.fetch(
            "SELECT position FROM batch_items WHERE (tenant, batch_id) = ($1, $2)", key.tenant, key.batch_id
        )
        return frozenset(row["position"] for row in rows)

    async def add(self, key: BatchKey, item: NewItem) -> None:
        """Enter one item; its document is stored already."""
        data_key = await self._keys.obtain(key.tenant, item.review_id)
        failure = item.failure or Failure(type="", message="")
        await self._db.execute(
            _ADD,
            key.tenant,
            key.batch_id,
            item.position,
            item.review_id,
            item.document.document_id if item.document else None,
            self._vault.seal(data_key, item.name.encode(), name_place(key.tenant, item.review_id)),
            failure.type,
            failure.message,
        )

    async def choose(
        self, tenant: str, since: datetime, until: datetime, playbook: str | None, limit: int
    ) -> list[str]:
        """Ids of the tenant's reviews that have an analysis, newest first, at most `limit`."""
        outcomes = [str(outcome) for outcome in RERUN_OUTCOMES]
        rows = await self._db.fetch(_CHOSEN, tenant, since, playbook, outcomes, limit, until)
        return [row["review_id"] for row in rows]

    async def open_rerun(  # noqa: PLR0913 - what a rerun is made of
        self, key: BatchKey, order: BatchOrder, reviews: Sequence[str], *, digest: str, user_hash: str, window: int
    ) -> None:
        """Enter a rerun of these reviews, all or nothing, ready to begin; nothing when its id is taken already."""
        sealed = self._vault.seal(self._key(key), order.model_dump_json().encode(), _order_place(key))
        row = (BatchKind.RERUN, digest, user_hash, order.playbook, sealed, len(reviews), window, BatchState.READY)
        async with self._db.transaction() as connection:
            if await connection.execute(_OPEN, key.tenant, key.batch_id, *row) != "INSERT 0 1":
                return
            await connection.execute(
                "INSERT INTO batch_items (tenant, batch_id, position, review_id) SELECT $1, $2, place - 1, review_id "
                "FROM unnest($3::text[]) WITH ORDINALITY AS chosen (review_id, place)",
                key.tenant,
                key.batch_id,
                list(reviews),
            )
            await connection.execute(
                "UPDATE batches SET ready_at = now() WHERE (tenant, batch_id) = ($1, $2)", key.tenant, key.batch_id
            )

    async def ready(self, key: BatchKey) -> None:
        """Every item is there: it may begin. Durable when this returns."""
        await self._db.execute(
            "UPDATE batches SET ready_at = now(), state = $3 "
            "WHERE (tenant, batch_id) = ($1, $2) AND ready_at IS NULL "
            "AND items = (SELECT count(*) FROM batch_items WHERE (tenant, batch_id) = ($1, $2))",
            key.tenant,
            key.batch_id,
            BatchState.READY,
        )

    # --- running ---

    async def unstarted(self, limit: int = 20) -> list[BatchKey]:
        """Batches that may begin and are not in Temporal's hands yet."""
        rows = await self._db.fetch(
            "SELECT tenant, batch_id FROM batches WHERE ready_at IS NOT NULL AND started_at IS NULL "
            "ORDER BY ready_at LIMIT $1",
            limit,
        )
        return [BatchKey(tenant=row["tenant"], batch_id=row["batch_id"]) for row in rows]

    async def started(self, key: BatchKey) -> None:
        """Temporal has it."""
        await self._db.execute(
            "UPDATE batches SET started_at = coalesce(started_at, now()) WHERE (tenant, batch_id) = ($1, $2)",
            key.tenant,
            key.batch_id,
        )

    async def row(self, key: BatchKey) -> BatchRow:
        """The batch. Raises `NotFound`, also for one of another tenant."""
        row = await self._db.fetchrow(
            "SELECT * FROM batches WHERE (tenant, batch_id) = ($1, $2)", key.tenant, key.batch_id
        )
        if row is None:
            raise NotFound(
                f"there is no batch {key.batch_id!r} of tenant {key.tenant!r}",
                remedy="`countersign batch list` shows the batches there are",
            )
        return _batch(row)

    async def order(self, key: BatchKey) -> BatchOrder:
        """What was asked for. Raises `NotFound`."""
        row = await self._db.fetchrow(
            "SELECT sealed FROM batches WHERE (tenant, batch_id) = ($1, $2)", key.tenant, key.batch_id
        )
        if row is None:
            raise NotFound(f"batch {key.batch_id}: not found", remedy="Check the id and the tenant")
        return BatchOrder.model_validate_json(self._vault.open(self._key(key), row["sealed"], _order_place(key)))

    async def newest(self, tenant: str | None = None, limit: int = 50) -> tuple[BatchRow, ...]:
        """Batches, newest first."""
        rows = await self._db.fetch(
            "SELECT * FROM batches WHERE $1::text IS NULL OR tenant = $1 ORDER BY created_at DESC, batch_id LIMIT $2",
            tenant,
            limit,
        )
        return tuple(_batch(row) for row in rows)

    async def items(self, key: BatchKey, positions: Collection[int]) -> list[Item]:
        """These items, in order."""
        rows = await self._db.fetch(
            "SELECT position, review_id, document_id, ended, failure FROM batch_items "
            "WHERE (tenant, batch_id) = ($1, $2) AND position = ANY($3) ORDER BY position",
            key.tenant,
            key.batch_id,
            list(positions),
        )
        return [Item(**dict(row)) for row in rows]

    async def settled(self, key: BatchKey, positions: Collection[int]) -> tuple[Ended, ...]:
        """Which of these items of reviews the machine is done with; written down the first time it is seen."""
        wanted = list(positions)
        await self._db.execute(_SETTLED, key.tenant, key.batch_id, wanted, WAITING, STUCK, STUCK_AFTER)
        rows = await self._db.fetch(
            "SELECT position, ended FROM batch_items WHERE (tenant, batch_id) = ($1, $2) AND position = ANY($3) "
            "AND ended IS NOT NULL ORDER BY position",
            key.tenant,
            key.batch_id,
            wanted,
        )
        return tuple(Ended(position=row["position"], how=row["ended"]) for row in rows)

    async def silent(self, key: BatchKey, positions: Collection[int]) -> tuple[Silent, ...]:
        """Which of these items have not ended, and nothing was written of their reviews for `SILENT_AFTER`."""
        rows = await self._db.fetch(_SILENT, key.tenant, key.batch_id, list(positions), SILENT_AFTER)
        return tuple(Silent(**dict(row)) for row in rows)

    async def ended(self, key: BatchKey, positions: Collection[int]) -> tuple[Ended, ...]:
        """Which of these items have ended, by what was written of them."""
        return tuple(
            Ended(position=item.position, how=item.ended)
            for item in await self.items(key, positions)
            if item.ended is not None
        )

    async def end(self, key: BatchKey, position: int, how: str, failure: Failure | None = None) -> None:
        """An item ended without a review of its own."""
        why = failure or Failure(type="", message="")
        await self._db.execute(_END, key.tenant, key.batch_id, position, how, why.type, why.message, None)

    async def keep(self, key: BatchKey, position: int, result: Rerun) -> None:
        """What a rerun found, sealed with its review's key. An erased review's is not kept: it ends as `erased`."""
        [item] = await self.items(key, [position])
        data_key = await self._keys.obtain(key.tenant, item.review_id)
        sealed = self._vault.seal(data_key, result.model_dump_json().encode(), result_place(key, position))
        why = result.failure or Failure(type="", message="")
        await self._db.execute(_END, key.tenant, key.batch_id, position, result.outcome, why.type, why.message, sealed)

    async def destroy_key(self, own: ReviewKey) -> None:
        """Destroy the data key of a rerun itself, if it needed one; the review's is another."""
        await self._keys.destroy(own.tenant, own.review_id)

    async def forget(self, key: BatchKey, first: int) -> int:
        """Items from `first` on will not begin: they end as cancelled, and the contracts taken in for them are erased.

        Returns how many. Only for batches of reviews: a rerun's items are other reviews' documents.
        """
        row = await self.row(key)
        if row.kind is BatchKind.REVIEW:
            await self._db.execute(
                "UPDATE data_keys k SET wrapped = NULL, destroyed_at = now() FROM batch_items i "
                "WHERE (i.tenant, i.batch_id) = ($1, $2) AND i.position >= $3 AND i.ended IS NULL "
                "AND (k.tenant, k.review_id) = (i.tenant, i.review_id) AND k.wrapped IS NOT NULL "
                "AND NOT EXISTS (SELECT FROM reviews r WHERE (r.tenant, r.review_id) = (i.tenant, i.review_id))",
                key.tenant,
                key.batch_id,
                first,
            )
        return await self._db.execute(
            "UPDATE batch_items i SET ended = $4, ended_at = now() WHERE (tenant, batch_id) = ($1, $2) "
            "AND position >= $3 AND ended IS NULL",
            key.tenant,
            key.batch_id,
            first,
            CANCELLED,
        )

    async def project(self, standing: BatchStanding) -> None:
        """Make the row say where the batch stands, unless a version as high is there already."""
        await self._db.execute(
            _PROJECT,
            standing.tenant,
            standing.batch_id,
            standing.state,
            standing.version,
            standing.waits_for,
            standing.state.is_over,
        )

    # --- looking ---

    async def counts(self, key: BatchKey) -> Mapping[str, int]:
        """Items that have ended, by how."""
        rows = await self._db.fetch(
            "SELECT ended, count(*) AS items FROM batch_items WHERE (tenant, batch_id) = ($1, $2) "
            "AND ended IS NOT NULL GROUP BY ended ORDER BY ended",
            key.tenant,
            key.batch_id,
        )
        return {row["ended"]: row["items"] for row in rows}

    async def people_wait(self, key: BatchKey) -> int:
        """Items that wait for a person now."""
        row = await self._db.fetchrow(
            "SELECT count(*) AS items FROM reviews WHERE tenant = $1 AND batch_id = $2 AND waiting_for IS NOT NULL",
            key.tenant,
            key.batch_id,
        )
        return row["items"] if row else 0

    def _key(self, key: BatchKey) -> bytes:
        return self._vault.derive(f"batches/{key.tenant}")


def _batch(row: asyncpg.Record) -> BatchRow:
    return BatchRow.model_validate({name: row[name] for name in BatchRow.model_fields})


def _order_place(key: BatchKey) -> bytes:
    return context("batch", key.tenant, key.batch_id)
