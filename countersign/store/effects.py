"""Effects that people approved: done once, in one transaction with the record that they were.

The key of an effect is (tenant, review, item). Whoever executes it again, with the same arguments or others, finds it
done; an approval is good for one row only, by a constraint of the table.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg

from countersign.playbook.model import Playbook
from countersign.review.payloads import Effect, ReviewKey
from countersign.review.steps import EffectOrder, EffectResult
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.tool_rules import ToolRules
from countersign.store.vault import Vault, context
from countersign.tools.effects import NoticeArguments, ObligationArguments, typed
from countersign.tools.policy import ToolPolicy
from countersign.words import EffectState

RETRY_S = (5.0, 3_600.0)
"""A notice that was not taken is tried again after the first, at last after the second."""


@dataclass(frozen=True)
class Obligation:
    """One entry of the register."""

    tenant: str
    review_id: str
    item: str
    kind: str
    clause: str
    due_on: date | None
    duty: str
    period: str
    quote: str
    recorded_at: datetime


@dataclass(frozen=True)
class Notice:
    """One notice of the outbox; `content` is its subject and body, kind, and the role it goes to."""

    tenant: str
    review_id: str
    item: str
    kind: str
    recipient: str
    queued_at: datetime
    attempts: int
    delivered_at: datetime | None
    last_error: str | None
    content: dict[str, Any]

    @property
    def key(self) -> str:
        """What the receiver can tell a repeated delivery by."""
        return f"{self.tenant}-{self.review_id}-{self.item}"


Objection = Callable[[ToolPolicy, datetime], tuple[str, str] | None]
"""(rule, reason) against an order under the policy in force and the database's own clock; None when it may happen."""


_DONE = "SELECT args_digest, approval_id FROM effects WHERE (tenant, review_id, item) = ($1, $2, $3)"


class EffectStore:
    """Tables `effects`, `obligations` and `outbox`."""

    def __init__(self, db: Database, vault: Vault, rules: ToolRules) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)
        self._rules = rules

    async def execute(
        self,
        key: ReviewKey,
        order: EffectOrder,
        *,
        playbook: Playbook,
        approver_hash: str | None,
        objection: Objection,
    ) -> EffectResult:
        """Do what was ordered, once, unless something stands against it at this moment.

        Policy, check and effect are one transaction: the policy cannot change in between. An item that is done already
        is `done` for the same arguments and `refused` for others. Raises `ServiceUnavailable` and `NotFound` (the
        review's content was erased).
        """
        effect, approval = order.effect, order.approval
        data_key = await self._keys.obtain(key.tenant, key.review_id)
        async with self._db.transaction() as connection:
            policy = await self._rules.policy_within(connection, key.tenant, playbook)
            done = await connection.fetchrow(_DONE, key.tenant, key.review_id, effect.id)
            if done is not None:
                return _again(effect, done, approval.approval_id if approval else None)
            against = objection(policy, await connection.fetchval("SELECT now()"))
            if against is not None:
                rule, reason = against
                return EffectResult(item=effect.id, state=EffectState.REFUSED, rule=rule, reason=reason)
            entered = await connection.fetchrow(
                "INSERT INTO effects (tenant, review_id, item, workflow_id, tool, args_digest, policy_version, "
                "approval_id, approver_hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
                "ON CONFLICT DO NOTHING RETURNING true",
                key.tenant,
                key.review_id,
                effect.id,
                key.workflow_id,
                effect.tool,
                effect.args_digest,
                policy.version(effect.tool),
                approval.approval_id if approval else None,
                approver_hash,
            )
            if entered is None:
                return await self._lost(connection, key, order)
            await self._perform(connection, key, effect, data_key)
        return EffectResult(item=effect.id, state=EffectState.DONE)

    async def _lost(self, connection: asyncpg.Connection, key: ReviewKey, order: EffectOrder) -> EffectResult:
        """Another was quicker with this item, or this approval was used for another item."""
        effect, approval = order.effect, order.approval
        done = await connection.fetchrow(_DONE, key.tenant, key.review_id, effect.id)
        if done is not None:
            return _again(effect, done, approval.approval_id if approval else None)
        return EffectResult(
            item=effect.id, state=EffectState.REFUSED, rule="used", reason="its approval was used for another item"
        )

    async def _perform(self, connection: asyncpg.Connection, key: ReviewKey, effect: Effect, data_key: bytes) -> None:
        given = typed(effect.tool, effect.args)
        place = (key.tenant, key.review_id, effect.id)
        sealed = self._vault.seal(data_key, given.model_dump_json().encode(), context("effect", *place))
        if isinstance(given, ObligationArguments):
            await connection.execute(
                "INSERT INTO obligations (tenant, review_id, item, kind, clause, due_on, sealed) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                *place,
                given.kind,
                given.clause,
                given.due_on,
                sealed,
            )
        else:
            await connection.execute(
                "INSERT INTO outbox (tenant, review_id, item, kind, recipient, sealed) VALUES ($1, $2, $3, $4, $5, $6)",
                *place,
                given.kind,
                given.to,
                sealed,
            )

    async def obligations(self, tenant: str | None = None, limit: int = 100) -> tuple[Obligation, ...]:
        """The register (of one tenant), by when they are due. Entries of erased reviews are left out."""
        rows = await self._db.fetch(
            "SELECT o.*, k.wrapped FROM obligations o JOIN data_keys k USING (tenant, review_id) "
            "WHERE ($1::text IS NULL OR o.tenant = $1) AND k.wrapped IS NOT NULL "
            "ORDER BY o.due_on NULLS LAST, o.recorded_at LIMIT $2",
            tenant,
            limit,
        )
        found = []
        for row in rows:
            given = ObligationArguments.model_validate_json(self._open(row))
            found.append(
                Obligation(
                    tenant=row["tenant"],
                    review_id=row["review_id"],
                    item=row["item"],
                    kind=row["kind"],
                    clause=row["clause"],
                    due_on=row["due_on"],
                    duty=given.duty,
                    period=given.period or "",
                    quote=given.quote,
                    recorded_at=row["recorded_at"],
                )
            )
        return tuple(found)

    async def notices(self, tenant: str | None = None, limit: int = 100) -> tuple[Notice, ...]:
        """The outbox, newest first. Notices of erased reviews are left out."""
        rows = await self._db.fetch(
            "SELECT o.*, k.wrapped FROM outbox o JOIN data_keys k USING (tenant, review_id) "
            "WHERE ($1::text IS NULL OR o.tenant = $1) AND o.subscription_id IS NULL AND k.wrapped IS NOT NULL "
            "ORDER BY o.queued_at DESC LIMIT $2",
            tenant,
            limit,
        )
        return tuple(self._notice(row) for row in rows)

    async def deliver_next(self, take: Callable[[Notice], str | None]) -> bool:
        """Hand the next due notice to `take`, which says what went wrong or None; False when none is due.

        The row is held while `take` works, so that two workers never hand over the same one at once. A crash after
        `take` and before the commit hands it over again: the receiver tells it by `Notice.key`.
        """
        async with self._db.transaction() as connection:
            row = await connection.fetchrow(
                "SELECT o.*, k.wrapped FROM outbox o JOIN data_keys k USING (tenant, review_id) "
                "WHERE o.delivered_at IS NULL AND o.subscription_id IS NULL AND o.next_at <= now() "
                "AND k.wrapped IS NOT NULL ORDER BY o.next_at LIMIT 1 FOR UPDATE OF o SKIP LOCKED"
            )
            if row is None:
                return False
            problem = take(self._notice(row))
            first, last = RETRY_S
            await connection.execute(
                "UPDATE outbox SET attempts = attempts + 1, last_error = $4, "
                "delivered_at = CASE WHEN $4::text IS NULL THEN now() END, next_at = now() + $5::interval "
                "WHERE (tenant, review_id, item) = ($1, $2, $3)",
                row["tenant"],
                row["review_id"],
                row["item"],
                problem,
                timedelta(seconds=min(first * 2.0 ** min(row["attempts"], 20), last)),
            )
        return True

    def _notice(self, row: asyncpg.Record) -> Notice:
        given = NoticeArguments.model_validate_json(self._open(row))
        return Notice(
            tenant=row["tenant"],
            review_id=row["review_id"],
            item=row["item"],
            kind=row["kind"],
            recipient=row["recipient"],
            queued_at=row["queued_at"],
            attempts=row["attempts"],
            delivered_at=row["delivered_at"],
            last_error=row["last_error"],
            content=json.loads(given.model_dump_json()),
        )

    def _open(self, row: asyncpg.Record) -> bytes:
        data_key = self._keys.unwrap(row["review_id"], row["wrapped"])
        place = context("effect", row["tenant"], row["review_id"], row["item"])
        return self._vault.open(data_key, row["sealed"], place)


def _again(effect: Effect, done: asyncpg.Record, approval_id: str | None) -> EffectResult:
    """The answer to an order whose item is done."""
    if done["args_digest"] == effect.args_digest and done["approval_id"] == approval_id:
        return EffectResult(item=effect.id, state=EffectState.DONE)
    return EffectResult(
        item=effect.id, state=EffectState.REFUSED, rule="used", reason="this item was done before, with other arguments"
    )
