"""Agent runs that are not over: the conversation so far, sealed, and a count of what was sent, failed and cost.

A row belongs to one attempt at a time. The next attempt takes it over (`begin`), and from then on what the former one
writes is refused: an attempt that only seemed dead sends nothing more, and overwrites nothing.

One that was frozen before its `begin` and thaws after its successor's is refused too: it began earlier, by Temporal's
clock. Numbers of attempts would not do (a step that is asked again or reset begins at 1).
"""

import asyncio
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from countersign.errors import CountersignError
from countersign.review.payloads import AgentMetrics, ReviewKey
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault, VaultError, context

# A step can be handed to a worker that is frozen just then. When that one wakes up its review may be settled, and the
# journals are gone: nothing begins anew then, or it would be paid again and stand in no ledger.
_BEGIN = """
INSERT INTO agent_runs (workflow_id, call_id, tenant, review_id, agent, begun_at)
SELECT $1, $2, $3, $4, $5, $6
WHERE EXISTS (SELECT FROM agent_runs WHERE workflow_id = $1 AND call_id = $2) OR NOT (
    EXISTS (SELECT FROM ledger WHERE workflow_id = $1 AND call_id = $2)
    OR EXISTS (SELECT FROM reviews WHERE workflow_id = $1 AND outcome IS NOT NULL)
)
ON CONFLICT (workflow_id, call_id) DO UPDATE SET
    epoch = agent_runs.epoch + 1, failures = agent_runs.failures + agent_runs.in_flight::integer, in_flight = false,
    begun_at = excluded.begun_at, updated_at = now()
WHERE agent_runs.begun_at IS NULL OR agent_runs.begun_at <= excluded.begun_at
RETURNING epoch, sent, refused, failures, digest, sealed, metrics
"""
# Values, never increments: a statement may be given twice when a connection dies (`Database`).
_SENDING = """
UPDATE agent_runs SET sent = $4, in_flight = $5, updated_at = now()
WHERE workflow_id = $1 AND call_id = $2 AND epoch = $3
"""
_ENDED = """
UPDATE agent_runs SET refused = $4, in_flight = false, updated_at = now()
WHERE workflow_id = $1 AND call_id = $2 AND epoch = $3
"""
_SAVE = """
UPDATE agent_runs SET digest = $4, sealed = $5, metrics = $6, in_flight = false, updated_at = now()
WHERE workflow_id = $1 AND call_id = $2 AND epoch = $3
"""
_FAILED = """
UPDATE agent_runs SET failures = $4, in_flight = false, updated_at = now(),
    digest = CASE WHEN $5 THEN NULL ELSE digest END, sealed = CASE WHEN $5 THEN NULL ELSE sealed END
WHERE workflow_id = $1 AND call_id = $2 AND epoch = $3
"""
# A run that never came to an end of its own (its step ran out of time) is entered with what it took until then.
_SETTLE = """
WITH over AS (
    DELETE FROM agent_runs WHERE workflow_id = $1 RETURNING *
)
INSERT INTO ledger (workflow_id, call_id, tenant, review_id, agent, model, requests, input_tokens, output_tokens,
                    cache_read_tokens, cost_microusd, priced, execution_time_ms, success, unseen_requests)
SELECT workflow_id, call_id, tenant, review_id, agent, coalesce(metrics->>'model', ''),
       coalesce((metrics->>'requests')::integer, 0), coalesce((metrics->>'input_tokens')::bigint, 0),
       coalesce((metrics->>'output_tokens')::bigint, 0), coalesce((metrics->>'cache_read_tokens')::bigint, 0),
       coalesce((metrics->>'cost_microusd')::bigint, 0), coalesce((metrics->>'priced')::boolean, true),
       coalesce((metrics->>'execution_time_ms')::bigint, 0), false,
       sent - refused - coalesce((metrics->>'requests')::integer, 0)
FROM over WHERE sent > 0
ON CONFLICT (workflow_id, call_id) DO NOTHING
"""


class Superseded(CountersignError):
    """Another attempt has taken the run over, or its review is settled; whatever this one does counts no more."""

    type = "Superseded"


@dataclass(frozen=True)
class Held:
    """A run as the attempt found it that has it now.

    Attributes:
        key, call_id: which run of which review.
        epoch: what this attempt writes with.
        sent: requests of former attempts that were about to be sent; `refused` of them were turned away.
        failures: real failures of former attempts, a request that was out when an attempt died among them.
        digest: of the question that `conversation` answers; None when there is nothing to go on with.
        conversation: what was saved last; None when nothing was, or when it does not open any more.
        damaged: it was there and does not open: another key, or changed bytes.
        metrics: of every complete response so far.
    """

    key: ReviewKey
    call_id: str
    epoch: int
    sent: int
    refused: int
    failures: int
    digest: str | None
    conversation: bytes | None
    damaged: bool
    metrics: AgentMetrics | None


class AgentRuns:
    """Table `agent_runs`. Every writing method raises `Superseded` when the run is another attempt's by now."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    async def begin(self, key: ReviewKey, call_id: str, agent: str, *, at: datetime) -> Held:
        """Take the run over from whatever earlier attempt had it, or begin it; `at` is when this attempt began.

        Raises `NotFound` when the review was erased, `Superseded` when it is settled or a later attempt has the run.
        """
        data_key = await self._keys.obtain(key.tenant, key.review_id)
        row = await self._db.fetchrow(_BEGIN, key.workflow_id, call_id, key.tenant, key.review_id, agent, at)
        if row is None:
            raise _superseded(call_id)
        conversation: bytes | None = None
        if row["sealed"] is not None:
            conversation = await asyncio.to_thread(self._opened, data_key, row["sealed"], _place(key, call_id))
        return Held(
            key=key,
            call_id=call_id,
            epoch=row["epoch"],
            sent=row["sent"],
            refused=row["refused"],
            failures=row["failures"],
            digest=row["digest"],
            conversation=conversation,
            damaged=row["sealed"] is not None and conversation is None,
            metrics=_read(row["metrics"]),
        )

    async def sending(self, held: Held, *, sent: int, counts: bool) -> None:
        """A request is about to be sent, the `sent`-th of the run. `counts`: should it never be answered, it failed."""
        await self._write(_SENDING, held, sent, counts)

    async def ended(self, held: Held, *, refused: int) -> None:
        """The request that was out has ended without a response; `refused` of the run's were turned away so far."""
        await self._write(_ENDED, held, refused)

    async def save(self, held: Held, *, digest: str, conversation: bytes, metrics: AgentMetrics) -> None:
        """Keep the conversation up to a complete response, and what all of them took."""
        data_key = await self._keys.obtain(held.key.tenant, held.key.review_id)
        place = _place(held.key, held.call_id)
        sealed = await asyncio.to_thread(lambda: self._vault.seal(data_key, zlib.compress(conversation), place))
        await self._write(_SAVE, held, digest, sealed, metrics.model_dump(mode="json"))

    async def failed(self, held: Held, *, failures: int, drop: bool) -> None:
        """A real failure, the `failures`-th. `drop`: the conversation led nowhere, the next attempt begins anew."""
        await self._write(_FAILED, held, failures, drop)

    async def settle(self, workflow_id: str) -> None:
        """Drop the review's runs. Those that are not in the ledger are entered there, as calls without success."""
        await self._db.execute(_SETTLE, workflow_id)

    async def _write(self, sql: str, held: Held, *values: object) -> None:
        if not await self._db.execute(sql, held.key.workflow_id, held.call_id, held.epoch, *values):
            raise _superseded(held.call_id)

    def _opened(self, data_key: bytes, sealed: bytes, place: bytes) -> bytes | None:
        try:
            return zlib.decompress(self._vault.open(data_key, sealed, place))
        except (VaultError, zlib.error):
            return None  # the caller says so, and begins anew


def _superseded(call_id: str) -> Superseded:
    return Superseded(f"agent run {call_id}: a later attempt has taken it over, or its review is settled")


def _place(key: ReviewKey, call_id: str) -> bytes:
    return context("agent run", key.tenant, key.workflow_id, call_id)


def _read(metrics: Any) -> AgentMetrics | None:  # any JSON
    return None if metrics is None else AgentMetrics.model_validate(metrics)
