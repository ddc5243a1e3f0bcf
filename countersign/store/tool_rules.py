"""The tool policy as data: table `tool_rules` with its history. Read anew for every run and at every execution."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg
from pydantic import BaseModel, ConfigDict

from countersign.errors import InvalidRequest
from countersign.playbook.model import Playbook
from countersign.store.database import Database
from countersign.tools.names import NATURES, known_tool
from countersign.tools.policy import Bounds, Restriction, Rule, ToolPolicy
from countersign.words import Nature, ToolVerdict

_READ = "SELECT tenant, tool, role, playbook, verdict FROM tool_rules WHERE tenant IN ('', $1) ORDER BY 1, 2, 3, 4"


class RuleChange(BaseModel):
    """One change of one rule, by whom (a pseudonym) and why. None: there is (or was) no such rule."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    tool: str
    role: str
    playbook: str
    before: ToolVerdict | None
    after: ToolVerdict | None
    by_hash: str
    reason: str
    changed_at: datetime


def restriction_of(playbook: Playbook | None) -> Restriction:
    """What a playbook's `[tools]` takes away."""
    return Restriction() if playbook is None else Restriction.model_validate(playbook.tools.model_dump())


class ToolRules:
    """Table `tool_rules`. Safe to use from concurrent tasks and processes; nothing is kept in memory."""

    def __init__(self, db: Database, bounds: Bounds | None = None) -> None:
        self._db = db
        self._bounds = bounds or Bounds()

    async def policy(self, tenant: str, playbook: Playbook | None = None) -> ToolPolicy:
        """The policy in force for a tenant's reviews under a playbook."""
        return self._policy(tenant, playbook, await self._db.fetch(_READ, tenant))

    async def policy_within(self, connection: asyncpg.Connection, tenant: str, playbook: Playbook | None) -> ToolPolicy:
        """The same inside a transaction, in which it then cannot change any more."""
        await connection.execute("LOCK TABLE tool_rules IN SHARE MODE")
        return self._policy(tenant, playbook, await connection.fetch(_READ, tenant))

    async def change(  # noqa: PLR0913 - a change states all of this
        self,
        tenant: str | None,
        tool: str,
        verdict: ToolVerdict | None,
        *,
        role: str = "",
        playbook: str = "",
        by_hash: str,
        reason: str,
    ) -> bool:
        """Set one rule (None: remove it), and write who did it and why; False when it said so already.

        Raises `InvalidRequest` for an unknown tool, an empty reason, or an approval asked for a tool that only reads.
        """
        known_tool(tool)
        if verdict is ToolVerdict.NEEDS_APPROVAL and NATURES[tool] is Nature.READ_ONLY:
            raise InvalidRequest(
                f"{tool}: only reads, and no run waits for a person in its midst", remedy="Allow it or deny it"
            )
        if not reason.strip():
            raise InvalidRequest("reason: is empty", remedy="A change of the policy says why, for the record")
        place = (tenant or "", tool, role, playbook)
        async with self._db.transaction() as connection:
            await connection.execute("LOCK TABLE tool_rules IN SHARE ROW EXCLUSIVE MODE")
            before = await connection.fetchval(
                "SELECT verdict FROM tool_rules WHERE (tenant, tool, role, playbook) = ($1, $2, $3, $4)", *place
            )
            if before == verdict:
                return False
            if verdict is None:
                await connection.execute(
                    "DELETE FROM tool_rules WHERE (tenant, tool, role, playbook) = ($1, $2, $3, $4)", *place
                )
            else:
                await connection.execute(
                    "INSERT INTO tool_rules (tenant, tool, role, playbook, verdict) VALUES ($1, $2, $3, $4, $5) "
                    "ON CONFLICT (tenant, tool, role, playbook) DO UPDATE "
                    "SET verdict = excluded.verdict, changed_at = now()",
                    *place,
                    verdict,
                )
            await connection.execute(
                "INSERT INTO tool_rule_changes (tenant, tool, role, playbook, before, after, by_hash, reason) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                *place,
                before,
                verdict,
                by_hash,
                reason.strip(),
            )
        return True

    async def history(self, tenant: str | None = None, limit: int = 100) -> tuple[RuleChange, ...]:
        """The last changes, newest first: of one tenant, or of all."""
        rows = await self._db.fetch(
            "SELECT tenant, tool, role, playbook, before, after, by_hash, reason, changed_at FROM tool_rule_changes "
            "WHERE $1::text IS NULL OR tenant = $1 ORDER BY change_id DESC LIMIT $2",
            tenant,
            limit,
        )
        return tuple(RuleChange.model_validate(dict(row)) for row in rows)

    def _policy(self, tenant: str, playbook: Playbook | None, rows: Sequence[asyncpg.Record]) -> ToolPolicy:
        """Rules of a newer version about tools that are not known here are left out: such tools are denied anyway."""
        return ToolPolicy(
            tenant=tenant,
            playbook=playbook.name if playbook else "",
            rules=tuple(
                Rule(
                    tool=row["tool"],
                    verdict=ToolVerdict(row["verdict"]),
                    tenant=row["tenant"] or None,
                    role=row["role"] or None,
                    playbook=row["playbook"] or None,
                )
                for row in rows
                if row["tool"] in NATURES
            ),
            restriction=restriction_of(playbook),
            bounds=self._bounds,
        )
