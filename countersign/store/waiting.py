"""The waiting room's rows: what waits for its turn, what has had it and is not started, and what occupies people.

The room is those rows of `reviews` that have neither been dispatched nor ended. Every change here may be repeated, and
made by two dispatchers at once, with the effect of once.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta

from countersign.errors import NotFound
from countersign.review.payloads import ReviewRequest
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault, context
from countersign.words import Autonomy, Outcome, Stage

SILENT_AFTER = timedelta(minutes=30)
"""A review of which nothing was written for so long is not counted as at work: its workflow is gone, or waits."""

Id = tuple[str, str]
"""Tenant and review id."""


@dataclass(frozen=True)
class Waiting:
    """A review that waits for its turn. `trusted`: some cell of its playbook may release without a person.

    `batch`: it is one of a batch, and goes after those that somebody waits for.
    """

    tenant: str
    review_id: str
    trusted: bool
    batch: bool = False

    @property
    def id(self) -> Id:
        return self.tenant, self.review_id


@dataclass(frozen=True)
class InLine:
    """How many of its tenant's reviews have their turn before one that waits, and whether that one is of a batch."""

    before: int
    batch: bool


@dataclass(frozen=True)
class Due:
    """A review whose turn has come and which is not started yet. What is sealed stays so until it is opened.

    `sealed` is None for one whose workflow was started by hand; `run_id` is of the run that holds the review's row.
    """

    tenant: str
    review_id: str
    workflow_id: str
    run_id: str | None
    wrapped: bytes | None = field(repr=False)
    sealed: bytes | None = field(repr=False)
    batch: bool = False

    @property
    def id(self) -> Id:
        return self.tenant, self.review_id


_TRUSTED = "EXISTS (SELECT FROM cells c WHERE (c.tenant, c.playbook) = (r.tenant, r.playbook) AND c.level <> $1)"

_HEADS = f"""
SELECT tenant, review_id, trusted, batch FROM (
    SELECT tenant, review_id, trusted, batch,
        row_number() OVER (PARTITION BY tenant, batch ORDER BY submitted_at, review_id) AS place
    FROM (
        SELECT tenant, review_id, submitted_at, batch_id IS NOT NULL AS batch, {_TRUSTED} AS trusted FROM reviews r
        WHERE dispatched_at IS NULL AND outcome IS NULL
    ) waiting
    WHERE trusted OR tenant <> ALL($3)
) heads
WHERE place <= $2 ORDER BY tenant, batch, place
"""  # noqa: S608 - made of constants

_BEFORE = """
SELECT (
    SELECT count(*) FROM reviews other
    WHERE other.tenant = mine.tenant AND other.dispatched_at IS NULL AND other.outcome IS NULL
        AND (other.batch_id IS NOT NULL, other.submitted_at, other.review_id)
            < (mine.batch_id IS NOT NULL, mine.submitted_at, mine.review_id)
) AS before, mine.batch_id IS NOT NULL AS batch
FROM reviews mine WHERE tenant = $1 AND review_id = $2 AND dispatched_at IS NULL AND outcome IS NULL
"""

_UNSTARTED = """
SELECT r.tenant, r.review_id, r.workflow_id, r.run_id, k.wrapped, r.request AS sealed, r.batch_id IS NOT NULL AS batch
FROM reviews r LEFT JOIN data_keys k USING (tenant, review_id)
WHERE r.dispatched_at IS NOT NULL AND r.started_at IS NULL AND r.outcome IS NULL
ORDER BY r.batch_id IS NOT NULL, r.dispatched_at LIMIT $1
"""

_AT_WORK = "dispatched_at IS NOT NULL AND outcome IS NULL AND waiting_for IS NULL"

_DEMAND = f"""
SELECT tenant, count(*) AS reviews FROM (
    SELECT tenant FROM reviews WHERE waiting_for = 'reviewer'
    UNION ALL
    SELECT tenant FROM reviews r WHERE {_AT_WORK} AND updated_at > now() - $2::interval AND NOT {_TRUSTED}
) demand GROUP BY tenant
"""  # noqa: S608 - made of constants

_DISPATCH = """
UPDATE reviews r SET dispatched_at = now(), updated_at = now() FROM unnest($1::text[], $2::text[]) AS due (tenant, id)
WHERE (r.tenant, r.review_id) = (due.tenant, due.id) AND r.dispatched_at IS NULL AND r.outcome IS NULL
"""

_STARTED = """
UPDATE reviews r SET started_at = now() FROM unnest($1::text[], $2::text[]) AS due (tenant, id)
WHERE (r.tenant, r.review_id) = (due.tenant, due.id) AND r.started_at IS NULL
"""

_CLOSE = """
UPDATE reviews SET outcome = $3, stage = $4, closed_because = $6, ended_at = now(), updated_at = now()
WHERE tenant = $1 AND review_id = $2 AND outcome IS NULL AND version < 0 AND ($5 OR dispatched_at IS NULL)
"""

ANY = """
SELECT EXISTS (SELECT FROM reviews WHERE dispatched_at IS NULL AND outcome IS NULL) AS waiting,
    EXISTS (
        SELECT FROM reviews WHERE dispatched_at IS NOT NULL AND started_at IS NULL AND outcome IS NULL
    ) AS unstarted
"""
"""Whether any review waits for its turn, and whether any has had it and is not started."""


DISPATCHER_LOCK = 7_203_114_883
"""Key of the advisory lock of the dispatcher that leads; the one before it is the migrations'."""
_LED = """
SELECT EXISTS (
    SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
        AND (l.classid::bigint << 32) + l.objid::bigint = $1
) AS led
"""


class WaitingStore:
    """The waiting room in Postgres: the truth that the door's counts follow."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    async def heads(self, per_tenant: int, held: Collection[str]) -> dict[str, list[Waiting]]:
        """The first `per_tenant` reviews of each tenant, the longest waiting first, and as many of its batches after.

        Of `held` tenants trusted ones alone.
        """
        found: dict[str, list[Waiting]] = {}
        for row in await self._db.fetch(_HEADS, Autonomy.SUPERVISED, per_tenant, list(held)):
            found.setdefault(row["tenant"], []).append(Waiting(**dict(row)))
        return found

    async def ids(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Every review that waits, by tenant, the longest waiting first: those of no batch, and those of batches."""
        rows = await self._db.fetch(
            "SELECT tenant, batch_id IS NOT NULL AS batch, "
            "array_agg(review_id ORDER BY submitted_at, review_id) AS ids "
            "FROM reviews WHERE dispatched_at IS NULL AND outcome IS NULL GROUP BY tenant, batch_id IS NOT NULL"
        )
        interactive, batches = (
            {row["tenant"]: row["ids"] for row in rows if row["batch"] is batch} for batch in (False, True)
        )
        return interactive, batches

    async def in_line(self, tenant: str, review_id: str) -> InLine | None:
        """Where a review stands among its tenant's own; None when it does not wait (any more)."""
        row = await self._db.fetchrow(_BEFORE, tenant, review_id)
        return None if row is None else InLine(row["before"], row["batch"])

    async def dispatched(self, reviews: Collection[Id]) -> None:
        """Their turn has come."""
        await self._db.execute(_DISPATCH, *_columns(reviews))

    async def unstarted(self, limit: int) -> tuple[Due, ...]:
        """Those whose turn has come and that are not started yet, the first dispatched first."""
        return tuple(Due(**dict(row)) for row in await self._db.fetch(_UNSTARTED, limit))

    def request(self, due: Due) -> ReviewRequest:
        """What to start its workflow with. Raises `NotFound` when its content was erased."""
        if due.sealed is None:
            raise NotFound(f"review {due.review_id}: has no stored request", remedy="Its workflow was started by hand")
        key = self._keys.unwrap(due.review_id, due.wrapped)
        opened = self._vault.open(key, due.sealed, context("request", due.tenant, due.review_id))
        return ReviewRequest.model_validate_json(opened)

    async def started(self, reviews: Collection[Id]) -> None:
        """Temporal has them."""
        await self._db.execute(_STARTED, *_columns(reviews))

    async def close(
        self, tenant: str, review_id: str, outcome: Outcome, *, reason: str = "", dispatched: bool = False
    ) -> bool:
        """End a review of which no stage was written; False when there is none such.

        `reason` says why in words of ours, and is shown where no workflow says it. A review whose turn has come is left
        alone unless `dispatched`.
        """
        given = (tenant, review_id, outcome, Stage.DONE, dispatched, reason or None)
        return await self._db.execute(_CLOSE, *given) > 0

    async def is_dispatched(self) -> bool:
        """Whether a dispatcher leads: else what waits goes on waiting."""
        row = await self._db.fetchrow(_LED, DISPATCHER_LOCK)
        return row is not None and bool(row["led"])

    async def at_work(self) -> dict[str, int]:
        """Reviews the machine works on, by tenant, as the projection knows them."""
        rows = await self._db.fetch(
            f"SELECT tenant, count(*) AS reviews FROM reviews WHERE {_AT_WORK} "  # noqa: S608 - a constant
            "AND updated_at > now() - $1::interval GROUP BY tenant",
            SILENT_AFTER,
        )
        return {row["tenant"]: row["reviews"] for row in rows}

    async def batches_at_work(self) -> int:
        """Reviews of batches, of all tenants, that the machine works on as the projection knows them."""
        row = await self._db.fetchrow(
            f"SELECT count(*) AS reviews FROM reviews WHERE batch_id IS NOT NULL AND {_AT_WORK} "  # noqa: S608
            "AND updated_at > now() - $1::interval",
            SILENT_AFTER,
        )
        return row["reviews"] if row else 0

    async def demand(self) -> dict[str, int]:
        """Reviews that occupy a tenant's reviewers: those that wait for one, and those at work that will need one."""
        rows = await self._db.fetch(_DEMAND, Autonomy.SUPERVISED, SILENT_AFTER)
        return {row["tenant"]: row["reviews"] for row in rows}

    async def run_id(self, tenant: str, review_id: str) -> str | None:
        """The run that was admitted as this review; None while none was."""
        row = await self._db.fetchrow(
            "SELECT run_id FROM reviews WHERE tenant = $1 AND review_id = $2", tenant, review_id
        )
        return row["run_id"] if row else None


def _columns(reviews: Collection[Id]) -> tuple[list[str], list[str]]:
    return [tenant for tenant, _ in reviews], [review_id for _, review_id in reviews]
