"""Warm memory: profiles, evidence of agreement, and the autonomy granted to each cell."""

import json
from collections.abc import Sequence
from datetime import datetime

import asyncpg
from pydantic import BaseModel, ConfigDict

from countersign.learning.book import Prepared, store
from countersign.review.payloads import ReviewKey
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.words import Autonomy, Route, Verdict


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True)


class Pair(_Fact):
    """What the agents said against what the person decided. `agent_confidence` is in [0, 1], `edits` a count."""

    agent_route: Route
    agent_confidence: float
    verdict: Verdict
    agreed: bool
    edits: int = 0


class Cell(_Fact):
    """A cell's autonomy, and the evidence so far: `pairs` decided by people, of which `agreed` with the agents."""

    tenant: str
    playbook: str
    contract_type: str
    autonomy: Autonomy
    pairs: int
    agreed: int


class CellChange(_Fact):
    """One change of a cell's autonomy: by whom (a pseudonym), why, and when."""

    level_before: Autonomy
    level: Autonomy
    by_hash: str
    reason: str
    changed_at: datetime


_PAIR = """
INSERT INTO pairs (workflow_id, tenant, review_id, playbook, contract_type, agent_route, agent_confidence, verdict,
                   agreed, edits, reviewer_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (workflow_id) DO NOTHING RETURNING true
"""

_CELLS = """
SELECT tenant, playbook, contract_type, coalesce(c.level, 'supervised') AS autonomy,
       coalesce(p.pairs, 0) AS pairs, coalesce(p.agreed, 0) AS agreed
FROM cells c
FULL JOIN (
    SELECT tenant, playbook, contract_type, count(*) AS pairs, count(*) FILTER (WHERE agreed) AS agreed
    FROM pairs GROUP BY tenant, playbook, contract_type
) p USING (tenant, playbook, contract_type)
WHERE $1::text IS NULL OR tenant = $1
ORDER BY tenant, playbook, contract_type
"""


class ProfileMemory:
    """Tables `profiles`, `pairs` and `cells`. What people wrote is sealed with a key of their tenant."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault

    async def profile(self, tenant: str, user_hash: str) -> dict[str, str]:
        """What is known of the user's preferences; empty when nothing is."""
        row = await self._db.fetchrow(
            "SELECT sealed FROM profiles WHERE tenant = $1 AND user_hash = $2", tenant, user_hash
        )
        return self._open(tenant, row["sealed"], "profile", user_hash) if row else {}

    async def set_profile(self, tenant: str, user_hash: str, facts: dict[str, str]) -> None:
        """Replace the user's profile."""
        await self._db.execute(
            "INSERT INTO profiles (tenant, user_hash, sealed) VALUES ($1, $2, $3) "
            "ON CONFLICT (tenant, user_hash) DO UPDATE SET sealed = excluded.sealed, updated_at = now()",
            tenant,
            user_hash,
            self._seal(tenant, facts, "profile", user_hash),
        )

    async def learn(  # noqa: PLR0913 - one transaction, so one call
        self,
        key: ReviewKey,
        *,
        playbook: str,
        contract_type: str,
        corrections: Sequence[Prepared],
        pair: Pair,
        reviewer_hash: str,
        playbook_version: str = "",
    ) -> int:
        """Store the pair and its corrections, all or nothing and once per workflow; returns the corrections stored.

        Learning the same workflow again stores nothing and returns what was stored then.
        """
        async with self._db.transaction() as connection:
            new = await connection.fetchval(
                _PAIR,
                key.workflow_id,
                key.tenant,
                key.review_id,
                playbook,
                contract_type,
                pair.agent_route,
                pair.agent_confidence,
                pair.verdict,
                pair.agreed,
                pair.edits,
                reviewer_hash,
            )
            if not new:
                stored: int = await connection.fetchval(
                    "SELECT count(*) FROM corrections WHERE workflow_id = $1", key.workflow_id
                )
                return stored
            await store(
                connection,
                key,
                corrections,
                playbook=playbook,
                playbook_version=playbook_version,
                contract_type=contract_type,
            )
        return len(corrections)

    async def autonomy(self, tenant: str, playbook: str, contract_type: str) -> Autonomy:
        """What the cell may do without a person; supervised unless more was granted."""
        row = await self._db.fetchrow(
            "SELECT level FROM cells WHERE tenant = $1 AND playbook = $2 AND contract_type = $3",
            tenant,
            playbook,
            contract_type,
        )
        return Autonomy(row["level"]) if row else Autonomy.SUPERVISED

    async def grant(  # noqa: PLR0913 - a cell is three words
        self, tenant: str, playbook: str, contract_type: str, level: Autonomy, *, by_hash: str, reason: str
    ) -> None:
        """Override the cell's level, up or down, and write that to its history. The level it has is no change.

        It is bound to the arm of the first review that meets it (`countersign.store.evidence`).
        """
        cell = (tenant, playbook, contract_type)
        async with self._db.transaction() as connection:
            await _ensure_cell(connection, cell)
            # The row lock orders two grants at once, so that each change starts from the level before it.
            before: str = await connection.fetchval(
                "SELECT level FROM cells WHERE tenant = $1 AND playbook = $2 AND contract_type = $3 FOR UPDATE", *cell
            )
            if before == level:
                return
            await connection.execute(
                "UPDATE cells SET level = $4, granted = $4, updated_at = now() "
                "WHERE tenant = $1 AND playbook = $2 AND contract_type = $3",
                *cell,
                level,
            )
            await connection.execute(
                "INSERT INTO cell_history (tenant, playbook, contract_type, level_before, level, by_hash, reason) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7)",
                *cell,
                before,
                level,
                by_hash,
                reason,
            )

    async def cells(self, tenant: str | None = None) -> tuple[Cell, ...]:
        """Every cell that was granted something or has evidence."""
        return tuple(Cell.model_validate(dict(row)) for row in await self._db.fetch(_CELLS, tenant))

    async def history(self, tenant: str, playbook: str, contract_type: str) -> tuple[CellChange, ...]:
        """How the cell's autonomy changed, oldest first."""
        rows = await self._db.fetch(
            "SELECT level_before, level, by_hash, reason, changed_at FROM cell_history "
            "WHERE tenant = $1 AND playbook = $2 AND contract_type = $3 ORDER BY change_id",
            tenant,
            playbook,
            contract_type,
        )
        return tuple(CellChange.model_validate(dict(row)) for row in rows)

    def _seal(self, tenant: str, facts: dict[str, str], *place: str) -> bytes:
        key = self._vault.derive(f"profile/{tenant}")
        return self._vault.seal(key, json.dumps(facts).encode(), context(tenant, *place))

    def _open(self, tenant: str, sealed: bytes, *place: str) -> dict[str, str]:
        key = self._vault.derive(f"profile/{tenant}")
        facts: dict[str, str] = json.loads(self._vault.open(key, sealed, context(tenant, *place)))
        return facts


async def _ensure_cell(connection: asyncpg.Connection, cell: tuple[str, str, str]) -> None:
    await connection.execute(
        "INSERT INTO cells (tenant, playbook, contract_type, level) VALUES ($1, $2, $3, 'supervised') "
        "ON CONFLICT DO NOTHING",
        *cell,
    )
