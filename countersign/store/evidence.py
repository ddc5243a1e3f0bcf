"""The evidence of cells and arms, and the autonomy it carries: the only writer of `cell_states` and what hangs on them.

A cell's row is locked while anything of it changes, so that items, signatures and demotions come one after the other.
Items count in the order in which their reviews were submitted, whatever the order of the decisions: one that comes in
late has the state rebuilt from the stored items.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from countersign.errors import DecisionRefused, NotFound
from countersign.evidence.arms import Arm, CellKey
from countersign.evidence.audit_sample import AuditPolicy, draw, share_looked_at
from countersign.evidence.confidence import Confidence, due, learned
from countersign.evidence.level import (
    CellState,
    Change,
    EvidencePolicy,
    Proposal,
    demote,
    explain,
    observe,
    override,
    propose,
    sign,
    start,
)
from countersign.evidence.observation import Observation
from countersign.evidence.replay import ByPerson
from countersign.review.payloads import CellStanding, ReviewKey
from countersign.shadow.judging import Compared
from countersign.store import cell_states
from countersign.store.cell_states import Stored
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.evidence_dossier import Dossier, digest_of, dossier, no_such_cell
from countersign.store.evidence_rows import CellRow, HistoryRow, ItemRow
from countersign.store.vault import Vault, context
from countersign.words import Autonomy

SYSTEM = "countersign"
"""In whose name a change stands that no person made."""

_STATE = """
SELECT c.level, c.arm, c.granted, s.state, s.policy, s.confidence
FROM (VALUES ($1::text, $2::text, $3::text)) AS cell (tenant, playbook, contract_type)
LEFT JOIN cells c USING (tenant, playbook, contract_type)
LEFT JOIN cell_states s ON (s.tenant, s.playbook, s.contract_type, s.arm) = ($1, $2, $3, $4)
"""

_ITEM = """
INSERT INTO evidence_items (workflow_id, tenant, review_id, playbook, contract_type, arm, source, run_id, submitted_at,
    document_sha256, stated, agreement, propensity, least, critical, counted, route, verdict, reviewer_hash, machine_s,
    cost_microusd, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)
"""


@dataclass(frozen=True)
class NewItem:
    """One review as it was judged, ready to be counted. `stated` is the analysis' confidence as stated."""

    arm: str
    source: str
    submitted_at: datetime
    document_sha256: str
    stated: float
    observation: Observation
    clauses: tuple[Compared, ...]
    route: str | None = None
    verdict: str | None = None
    view: str | None = None
    """What the reviewer had said that they would do, before they knew how sure the agents are; sealed as well."""
    reviewer_hash: str | None = None
    machine_s: float = 0.0
    cost_microusd: int = 0
    run_id: str | None = None
    name: str = ""
    """What the contract is called in a report; sealed with the clauses."""
    counts: bool = True
    """False: kept for the report, and no evidence."""


@dataclass(frozen=True)
class Said:
    """What was said of a contract, clause by clause, and what it is called."""

    name: str
    clauses: tuple[Compared, ...]
    view: str | None = None
    """What the reviewer had said that they would do, where views were captured."""


@dataclass(frozen=True)
class Observed:
    """What became of an item; `change` when the cell's level was taken back by it."""

    counted: bool
    change: Change | None = None


class EvidenceBook:
    """Tables `evidence_items`, `cell_states`, `cell_marks`, `arms`; of `cells` the level in force."""

    def __init__(
        self, db: Database, vault: Vault, policy: EvidencePolicy, audit: AuditPolicy, target_error: float
    ) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)
        self._secret = vault.derive("audit sample")
        self.policy = policy
        self.audit = audit
        self.target_error = target_error

    # --- used by a review ---

    async def standing(self, cell: CellKey, arm: Arm, review_id: str) -> CellStanding:
        """What a review of this cell and arm may do by evidence, its number in the audit sample drawn.

        An override that waits for its first review is bound to this arm, and a new arm starts supervised.
        """
        fingerprint = arm.fingerprint
        row = await self._db.fetchrow(_STATE, *cell, fingerprint)
        if row is not None and row["level"] is not None and (row["granted"] or row["arm"] != fingerprint):
            async with self._db.transaction() as connection:
                await self._settle(connection, cell, arm)
            row = await self._db.fetchrow(_STATE, *cell, fingerprint)
        state = start(fingerprint, self.policy)
        confidence = None
        if row is not None and row["state"] is not None:
            state = CellState.model_validate(row["state"])
            confidence = Confidence.model_validate(row["confidence"]) if row["confidence"] else None
        else:
            await cell_states.know(self._db, arm)
        share = share_looked_at(state.level, state.suspicion(self.policy), self.audit)
        number = draw(cell.tenant, review_id, self._secret, share=share).drawn
        known = {} if confidence is None or confidence.target != self.target_error else _as_used(confidence)
        return CellStanding(
            arm=fingerprint,
            level=state.level,
            items=state.items,
            share=share,
            drawn=number,
            target_error=self.target_error,
            **known,
        )

    async def observe(self, key: ReviewKey, cell: CellKey, item: NewItem) -> Observed:
        """Count a judged review, once per workflow; a repeat changes nothing and returns what was counted then."""
        data_key = await self._keys.obtain(key.tenant, key.review_id)
        said = {"name": item.name, "clauses": [clause.model_dump(mode="json") for clause in item.clauses]}
        if item.view is not None:
            said["view"] = item.view
        sealed = self._vault.seal(data_key, json.dumps(said).encode(), context(key.tenant, "evidence", key.workflow_id))
        async with self._db.transaction() as connection:
            await cell_states.lock(connection, cell)
            known = await connection.fetchval(
                "SELECT counted FROM evidence_items WHERE workflow_id = $1", key.workflow_id
            )
            if known is not None:
                return Observed(counted=known)
            current = await connection.fetchrow(
                "SELECT arm, granted FROM cells WHERE (tenant, playbook, contract_type) = ($1, $2, $3)", *cell
            )
            if current["arm"] is None or (current["granted"] and current["arm"] == item.arm):
                await self._bind(connection, cell, item.arm)
            counted = item.counts and (item.observation.critical or not await self._known(connection, cell, item))
            await self._insert(connection, key, cell, item, counted=counted, sealed=sealed)
            if not counted:
                return Observed(counted=False)
            stored = await cell_states.load(connection, cell, item.arm, self.policy)
            change = await self._count(connection, cell, stored, item)
            await cell_states.save(connection, cell, stored)
            if change is not None:
                await cell_states.record(connection, cell, item.arm, change, SYSTEM, stored.state)
        return Observed(counted=True, change=change)

    async def _known(self, connection: asyncpg.Connection, cell: CellKey, item: NewItem) -> bool:
        """Whether the same document has counted with this arm: looking at it twice is no new evidence."""
        known: bool = await connection.fetchval(
            "SELECT EXISTS (SELECT FROM evidence_items WHERE (tenant, playbook, contract_type, arm) "
            "= ($1, $2, $3, $4) AND document_sha256 = $5 AND counted)",
            *cell,
            item.arm,
            item.document_sha256,
        )
        return known

    async def _count(
        self, connection: asyncpg.Connection, cell: CellKey, stored: Stored, item: NewItem
    ) -> Change | None:
        """The state after the item: one step where it is the latest submitted, else rebuilt."""
        before = stored.state.level
        change: Change | None
        if stored.policy == self.policy and (stored.last_item is None or item.submitted_at >= stored.last_item):
            stored.state, change = observe(stored.state, item.observation, self.policy)
            stored.last_item = item.submitted_at
        else:
            level = Autonomy.SUPERVISED if item.observation.critical else before
            stored.state = await cell_states.rebuild(connection, cell, item.arm, level, self.policy)
            stored.policy = self.policy
            stored.last_item = max(item.submitted_at, stored.last_item or item.submitted_at)
            change = None
            if stored.state.level is not before:
                rule = "critical" if item.observation.critical else "watch"
                reason = "the evidence in the order of submission, an item that came late among it, does not carry it"
                change = Change(before=before, after=stored.state.level, rule=rule, reason=reason)
        if due(stored.state.items, stored.fitted):
            stored.confidence = learned(
                item.arm, await cell_states.pairs(connection, cell, item.arm), self.target_error
            )
            stored.fitted = stored.state.items
        return change

    # --- what people do ---

    async def approve(
        self, cell: CellKey, level: Autonomy | None, *, by_hash: str, reason: str, shown: str | None = None
    ) -> tuple[Proposal, CellState]:
        """Sign the present proposal of the cell's arm. Raises DecisionRefused where there is none (of this level).

        `shown` is the digest of the evidence that the person saw (`evidence_dossier.Dossier`): evidence that has
        changed since is refused by the rule `stale`.
        """
        async with self._db.transaction() as connection:
            arm = await self._current(connection, cell)
            stored = await cell_states.load(connection, cell, arm, self.policy)
            await self._under_policy(connection, cell, arm, stored)
            if shown is not None and shown != digest_of(stored.state, self.policy):
                raise DecisionRefused(
                    "the evidence has changed since it was shown",
                    remedy="Look at the present evidence, and sign anew",
                    rule="stale",
                )
            still_open = await cell_states.still_open(connection, cell, stored.last_item)
            proposal = propose(stored.state, self.policy, still_open)
            if proposal is None and propose(stored.state, self.policy) is not None:
                raise DecisionRefused(
                    f"{still_open} of the reviews that were submitted before the last one counted are not decided yet, "
                    "and the evidence is not enough should people disagree with them",
                    remedy="Decide them first (`countersign queue`); what takes long is often what is wrong",
                    rule="open",
                )
            if proposal is None or (level is not None and proposal.after is not level):
                raise DecisionRefused(
                    f"the evidence is not enough for {level or 'a higher level'} than {stored.state.level}",
                    remedy="See `countersign autonomy show`; a level without evidence takes `autonomy grant`",
                    rule="evidence",
                )
            before = stored.state.level
            stored.state = sign(stored.state, proposal, self.policy)
            await cell_states.save(connection, cell, stored)
            change = Change(before=before, after=stored.state.level, rule="signed", reason=reason)
            await cell_states.record(connection, cell, arm, change, by_hash, stored.state)
        return proposal, stored.state

    async def demote(self, cell: CellKey, level: Autonomy, *, by_hash: str, reason: str) -> CellState:
        """Take levels back. Raises DecisionRefused when the level is not below the present one."""
        async with self._db.transaction() as connection:
            arm = await self._current(connection, cell)
            stored = await cell_states.load(connection, cell, arm, self.policy)
            stored.state, change = demote(stored.state, level, reason)
            await cell_states.mark(connection, cell, arm, ByPerson(level=level, raised=False), stored.last_item)
            await cell_states.save(connection, cell, stored)
            await cell_states.record(connection, cell, arm, change, by_hash, stored.state)
        return stored.state

    # --- what people look at ---

    async def cells(self, tenant: str | None = None) -> tuple[CellRow, ...]:
        """Every cell that has evidence or was given a level, with its present arm."""
        rows = await self._db.fetch(
            "SELECT c.tenant, c.playbook, c.contract_type, c.level AS autonomy, c.arm, c.granted, s.state, "  # noqa: S608 - of a constant
            "s.confidence, coalesce(p.pairs, 0) AS pairs, coalesce(p.agreed, 0) AS agreed, "
            f"({cell_states.STILL_OPEN} (c.tenant, c.playbook, c.contract_type) AND r.submitted_at <= s.last_item) "
            "AS still_open FROM cells c "
            "LEFT JOIN cell_states s USING (tenant, playbook, contract_type, arm) LEFT JOIN (SELECT tenant, playbook, "
            "contract_type, count(*) AS pairs, count(*) FILTER (WHERE agreed) AS agreed FROM pairs "
            "GROUP BY tenant, playbook, contract_type) p USING (tenant, playbook, contract_type) "
            "WHERE $1::text IS NULL OR tenant = $1 ORDER BY tenant, playbook, contract_type",
            tenant,
        )
        return tuple(CellRow.of(row, self.policy, self.audit) for row in rows)

    async def history(self, cell: CellKey) -> tuple[HistoryRow, ...]:
        """How the cell's autonomy changed, oldest first."""
        rows = await self._db.fetch(
            "SELECT level_before, level, by_hash, reason, rule, arm, evidence, changed_at FROM cell_history "
            "WHERE (tenant, playbook, contract_type) = ($1, $2, $3) ORDER BY change_id",
            *cell,
        )
        return tuple(HistoryRow.model_validate(dict(row)) for row in rows)

    async def dossier(self, cell: CellKey) -> Dossier:
        """Everything about a cell for a person who decides about it. Raises NotFound."""
        rows = [row for row in await self.cells(cell.tenant) if (row.playbook, row.contract_type) == cell[1:]]
        if not rows:
            raise no_such_cell(cell)
        return await dossier(self._db, cell, rows[0], await self.history(cell), self.policy, self.audit)

    async def item(self, workflow_id: str) -> ItemRow | None:
        """What was counted of a review; None when nothing was."""
        row = await self._db.fetchrow("SELECT * FROM evidence_items WHERE workflow_id = $1", workflow_id)
        return ItemRow.model_validate(dict(row)) if row else None

    async def items_of_run(self, tenant: str, run_id: str) -> tuple[ItemRow, ...]:
        """The pairs of a shadow run, in the order of their reviews."""
        rows = await self._db.fetch(
            "SELECT * FROM evidence_items WHERE tenant = $1 AND run_id = $2 ORDER BY submitted_at, workflow_id",
            tenant,
            run_id,
        )
        return tuple(ItemRow.model_validate(dict(row)) for row in rows)

    async def live_shadow(self, tenant: str) -> tuple[ItemRow, ...]:
        """The pairs of shadow reviews that people judged blind."""
        rows = await self._db.fetch(
            "SELECT * FROM evidence_items WHERE tenant = $1 AND source = 'shadow' ORDER BY submitted_at, workflow_id",
            tenant,
        )
        return tuple(ItemRow.model_validate(dict(row)) for row in rows)

    async def said(self, item: ItemRow) -> Said | None:
        """What agents and person said, clause by clause; None when the review's content was erased."""
        try:
            key = await self._keys.obtain(item.tenant, item.review_id)
        except NotFound:
            return None
        opened = self._vault.open(key, item.sealed, context(item.tenant, "evidence", item.workflow_id))
        said = json.loads(opened)
        return Said(
            said["name"], tuple(Compared.model_validate(clause) for clause in said["clauses"]), said.get("view")
        )

    async def explained(self, cell: CellKey, arm: str) -> tuple[str, ...]:
        """Where the cell stands with an arm, in words and numbers."""
        row = await self._db.fetchrow(_STATE, *cell, arm)
        state = CellState.model_validate(row["state"]) if row and row["state"] else start(arm, self.policy)
        return explain(state, self.policy)

    # --- parts ---

    async def _settle(self, connection: asyncpg.Connection, cell: CellKey, arm: Arm) -> None:
        """Make this the cell's arm."""
        await cell_states.lock(connection, cell)
        await cell_states.know(connection, arm)
        before = await connection.fetchrow(
            "SELECT level, arm, granted FROM cells WHERE (tenant, playbook, contract_type) = ($1, $2, $3)", *cell
        )
        state = await self._bind(connection, cell, arm.fingerprint)
        if before["granted"] is None and before["level"] != state.level:
            parts = await connection.fetchval("SELECT parts FROM arms WHERE fingerprint = $1", before["arm"])
            what = ", ".join(arm.changed_from(Arm.model_validate(parts))) if parts else "the arm"
            change = Change(
                before=Autonomy(before["level"]), after=state.level, rule="arm", reason=f"another arm: {what} changed"
            )
            await cell_states.record(connection, cell, arm.fingerprint, change, SYSTEM, state)

    async def _bind(self, connection: asyncpg.Connection, cell: CellKey, arm: str) -> CellState:
        """Make this the cell's arm, give it an override that waits, and return where it stands."""
        stored = await cell_states.load(connection, cell, arm, self.policy)
        await self._under_policy(connection, cell, arm, stored)
        granted = await connection.fetchval(
            "SELECT granted FROM cells WHERE (tenant, playbook, contract_type) = ($1, $2, $3)", *cell
        )
        if granted is not None and Autonomy(granted) is not stored.state.level:
            level = Autonomy(granted)
            raised = list(Autonomy).index(level) > list(Autonomy).index(stored.state.level)
            stored.state = override(stored.state, level)
            await cell_states.mark(connection, cell, arm, ByPerson(level=level, raised=raised), stored.last_item)
        await cell_states.save(connection, cell, stored)
        await connection.execute(
            "UPDATE cells SET arm = $4, level = $5, granted = NULL, updated_at = now() "
            "WHERE (tenant, playbook, contract_type) = ($1, $2, $3)",
            *cell,
            arm,
            stored.state.level,
        )
        return stored.state

    async def _under_policy(self, connection: asyncpg.Connection, cell: CellKey, arm: str, stored: Stored) -> None:
        """Evidence gathered against other bars is read anew against these."""
        if stored.policy != self.policy:
            stored.state = await cell_states.rebuild(connection, cell, arm, stored.state.level, self.policy)
            stored.policy = self.policy

    async def _current(self, connection: asyncpg.Connection, cell: CellKey) -> str:
        """The cell's arm, the cell locked. Raises NotFound for a cell without evidence."""
        await cell_states.lock(connection, cell, make=False)
        arm = await connection.fetchval(
            "SELECT arm FROM cells WHERE (tenant, playbook, contract_type) = ($1, $2, $3)", *cell
        )
        if arm is None:
            raise no_such_cell(cell)
        found: str = arm
        return found

    async def _insert(  # noqa: PLR0913 - a row
        self,
        connection: asyncpg.Connection,
        key: ReviewKey,
        cell: CellKey,
        item: NewItem,
        *,
        counted: bool,
        sealed: bytes,
    ) -> None:
        await connection.execute(
            _ITEM,
            key.workflow_id,
            key.tenant,
            key.review_id,
            cell.playbook,
            cell.contract_type,
            item.arm,
            item.source,
            item.run_id,
            item.submitted_at,
            item.document_sha256,
            item.stated,
            item.observation.agreement,
            item.observation.propensity,
            item.observation.least,
            item.observation.critical,
            counted,
            item.route,
            item.verdict,
            item.reviewer_hash,
            item.machine_s,
            item.cost_microusd,
            sealed,
        )


def _as_used(confidence: Confidence) -> dict[str, Any]:  # fields of CellStanding
    return {
        "calibrated": confidence.grid,
        "calibration": confidence.kind,
        "calibration_pairs": confidence.pairs,
        "threshold": confidence.threshold,
        "threshold_pairs": confidence.threshold_pairs,
    }
