"""The audit trail: append-only, chained by hashes per workflow, kept as long as retention says."""

from datetime import datetime, timedelta

from pydantic_core import to_jsonable_python

from countersign.errors import CountersignError, InvalidRequest
from countersign.review.payloads import ReviewKey, TrailEntry
from countersign.store.database import Database
from countersign.trail.chain import FIRST_SEQUENCE, GENESIS, TrailCheck, TrailRow, hash_of, plain, verify_chain
from countersign.trail.pseudonym import Pseudonyms

__all__ = ["AuditTrail", "TrailCheck", "TrailConflict", "TrailRow", "verify_chain"]

_COLUMNS = tuple(TrailRow.model_fields)

_INSERT = """
INSERT INTO audit_trails (workflow_id, sequence, tenant, review_id, stage, event, user_hash, input_hash, actor_hash,
                          facts, created_at, expires_at, prev_hash, row_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (workflow_id, sequence) DO NOTHING RETURNING true
"""

# Newest first. A pseudonym matches who acted and who asked; the beginning of one is enough.
_FIND = """
SELECT * FROM audit_trails
WHERE tenant = $1 AND ($2::text IS NULL OR review_id = $2) AND ($3::text IS NULL OR event = $3)
    AND ($4::text IS NULL OR starts_with(actor_hash, $4) OR starts_with(user_hash, $4))
    AND ($5::timestamptz IS NULL OR created_at >= $5)
ORDER BY created_at DESC, workflow_id, sequence DESC LIMIT $6
"""

# Whole workflows only: a chain that lost its beginning could not be verified any more.
_PURGE = """
DELETE FROM audit_trails gone
WHERE expires_at <= least($1, now()) AND NOT EXISTS (
    SELECT FROM audit_trails kept WHERE kept.workflow_id = gone.workflow_id AND kept.expires_at > least($1, now())
)
"""


class TrailConflict(CountersignError):
    """A trail row cannot be appended: its number holds other content, or the row before it is not there."""

    type = "TrailConflict"


def _same_event(one: TrailRow, other: TrailRow) -> bool:
    """Whether two rows state the same. Retention may have changed between a write and its retry; the event has not."""
    return hash_of(one) == hash_of(other.model_copy(update={"expires_at": one.expires_at}))


class AuditTrail:
    """The article's ComplianceAuditTrail: table `audit_trails`, whose triggers refuse what is not appending or purging.

    A row is fixed by the row before it, which cannot change, so two writers of one row write the same without a lock.
    """

    def __init__(self, db: Database, pseudonyms: Pseudonyms, retention_days: int) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._retention = timedelta(days=retention_days)

    async def append(self, key: ReviewKey, entry: TrailEntry, *, user_hash: str, input_hash: str) -> None:
        """Append `entry`; appending the same again changes nothing. Sequences count from 1.

        `entry.actor` is written as a pseudonym of kind "user", so that an auditor can see that the person who signed
        (`actor_hash`) is not the one who asked (`user_hash`). Raises `TrailConflict` when the sequence holds another
        event or the one before it is missing, and `InvalidRequest` when the facts are not JSON or the time has no zone.
        """
        found = {row.sequence: row for row in await self._rows(key.workflow_id, entry.sequence - 1, entry.sequence)}
        previous = found.get(entry.sequence - 1)
        if previous is None and entry.sequence != FIRST_SEQUENCE:
            raise TrailConflict(
                f"trail of {key.workflow_id}: row {entry.sequence} comes before row {entry.sequence - 1}",
                remedy=f"Append in order, from {FIRST_SEQUENCE} and without gaps",
            )
        row = self._row(key, entry, user_hash, input_hash, previous.row_hash if previous else GENESIS)
        stored = found.get(entry.sequence)
        if stored is None:
            if await self._db.fetchrow(_INSERT, *(getattr(row, name) for name in _COLUMNS)):
                return
            # Another attempt was quicker, or this one was repeated on a fresh connection after it had succeeded.
            (stored,) = await self._rows(key.workflow_id, entry.sequence, entry.sequence)
        if not _same_event(stored, row):
            raise TrailConflict(
                f"trail of {key.workflow_id}: row {entry.sequence} is already there with other content",
                remedy=f"`countersign trail {key.review_id}` shows it; it cannot be changed, append a new row instead",
            )

    async def rows(self, workflow_id: str) -> tuple[TrailRow, ...]:
        """The workflow's rows in order; empty when there are none."""
        return await self._rows(workflow_id, None, None)

    async def find(  # noqa: PLR0913 - one parameter a filter
        self,
        tenant: str,
        *,
        review_id: str | None = None,
        event: str | None = None,
        person: str | None = None,
        since: datetime | None = None,
        limit: int = 100,
    ) -> tuple[TrailRow, ...]:
        """A tenant's rows that match all that is given, newest first. `person` is a pseudonym or how one begins."""
        rows = await self._db.fetch(_FIND, tenant, review_id, event, person, since, limit)
        return tuple(TrailRow.model_validate(dict(row)) for row in rows)

    async def verify(self, workflow_id: str) -> TrailCheck:
        """Whether the workflow's rows are all there, in order and unchanged."""
        return verify_chain(await self.rows(workflow_id))

    async def purge_expired(self, now: datetime) -> int:
        """Delete the trails whose every row has expired, by `now` and the database's clock; returns the rows gone."""
        async with self._db.transaction() as connection:
            await connection.execute("SELECT set_config('countersign.purge_before', $1, true)", now.isoformat())
            tag: str = await connection.execute(_PURGE, now)
        return int(tag.rsplit(maxsplit=1)[-1])

    def _row(self, key: ReviewKey, entry: TrailEntry, user_hash: str, input_hash: str, prev_hash: str) -> TrailRow:
        if entry.at.tzinfo is None:
            raise InvalidRequest("trail entry: `at` has no time zone", remedy="Give an aware time, in UTC")
        actor_hash = self._pseudonyms.of("user", entry.actor) if entry.actor is not None else entry.actor_hash
        facts = entry.facts
        if entry.concerns is not None:
            facts = {**facts, "concerns": self._pseudonyms.of("user", entry.concerns)}
        row = TrailRow(
            workflow_id=key.workflow_id,
            sequence=entry.sequence,
            tenant=key.tenant,
            review_id=key.review_id,
            stage=entry.stage.value,
            event=entry.event,
            user_hash=user_hash,
            input_hash=input_hash,
            actor_hash=actor_hash,
            facts=plain(to_jsonable_python(facts)),
            created_at=entry.at,
            expires_at=entry.at + self._retention,
            prev_hash=prev_hash,
            row_hash="",
        )
        try:
            return row.model_copy(update={"row_hash": hash_of(row)})
        except ValueError as error:
            raise InvalidRequest(f"trail entry {entry.sequence}: its facts are not JSON") from error

    async def _rows(self, workflow_id: str, first: int | None, last: int | None) -> tuple[TrailRow, ...]:
        rows = await self._db.fetch(
            "SELECT * FROM audit_trails WHERE workflow_id = $1 AND ($2::int IS NULL OR sequence >= $2) "
            "AND ($3::int IS NULL OR sequence <= $3) ORDER BY sequence",
            workflow_id,
            first,
            last,
        )
        return tuple(TrailRow.model_validate(dict(row)) for row in rows)
