"""A cell's evidence with one arm, as it is stored: the statements that read and write it within a transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from countersign.evidence.arms import Arm, CellKey
from countersign.evidence.confidence import Confidence, Pair
from countersign.evidence.level import CellState, Change, EvidencePolicy, start
from countersign.evidence.observation import Observation
from countersign.evidence.replay import ByPerson, rebuilt
from countersign.store.database import Database
from countersign.words import Autonomy

_HISTORY = """
INSERT INTO cell_history (tenant, playbook, contract_type, level_before, level, by_hash, reason, arm, rule, evidence)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""

_SAVE = """
INSERT INTO cell_states (tenant, playbook, contract_type, arm, policy, state, last_item, confidence, fitted)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (tenant, playbook, contract_type, arm) DO UPDATE SET policy = excluded.policy, state = excluded.state,
    last_item = excluded.last_item, confidence = excluded.confidence, fitted = excluded.fitted, updated_at = now()
"""

STILL_OPEN = (
    "SELECT count(*) FROM reviews r WHERE r.outcome IS NULL AND r.waiting_for IS NOT NULL "
    "AND (r.tenant, r.playbook, r.contract_type) ="
)
"""Of any arm, as the projection does not have it: more than there are can only delay a promotion."""


@dataclass
class Stored:
    """A cell's evidence with one arm, as it is in the table."""

    state: CellState
    policy: EvidencePolicy
    last_item: datetime | None = None
    confidence: Confidence | None = None
    fitted: int = 0


async def rebuild(
    connection: asyncpg.Connection, cell: CellKey, arm: str, level: Autonomy, policy: EvidencePolicy
) -> CellState:
    """The state of everything stored, in the order of submission."""
    return rebuilt(arm, await events(connection, cell, arm), level, policy)


async def events(connection: Database | asyncpg.Connection, cell: CellKey, arm: str) -> list[Observation | ByPerson]:
    """Every item that counts and everything that people did between them, in the order of submission."""
    of_arm = "WHERE (tenant, playbook, contract_type, arm) = ($1, $2, $3, $4)"
    items = await connection.fetch(
        f"SELECT submitted_at, agreement, propensity, least, critical FROM evidence_items {of_arm} AND counted "  # noqa: S608
        "ORDER BY submitted_at, workflow_id",
        *cell,
        arm,
    )
    marks = await connection.fetch(
        f"SELECT level, raised, after_item FROM cell_marks {of_arm} ORDER BY mark_id",  # noqa: S608
        *cell,
        arm,
    )
    timed: list[tuple[datetime | None, int, Observation | ByPerson]] = [
        (
            row["submitted_at"],
            0,
            Observation(
                agreement=row["agreement"],
                propensity=row["propensity"],
                least=row["least"],
                critical=row["critical"],
            ),
        )
        for row in items
    ]
    timed += [(row["after_item"], 1, ByPerson(level=Autonomy(row["level"]), raised=row["raised"])) for row in marks]
    timed.sort(key=lambda one: (one[0] is not None, one[0].timestamp() if one[0] else 0.0, one[1]))
    return [event for _, _, event in timed]


async def pairs(connection: asyncpg.Connection, cell: CellKey, arm: str) -> list[Pair]:
    """Every counted pair of the arm, in the order of submission."""
    rows = await connection.fetch(
        "SELECT stated, agreement, propensity, least FROM evidence_items WHERE (tenant, playbook, contract_type, "
        "arm) = ($1, $2, $3, $4) AND counted ORDER BY submitted_at, workflow_id",
        *cell,
        arm,
    )
    return [Pair(row["stated"], row["agreement"], row["propensity"], row["least"] / row["propensity"]) for row in rows]


async def still_open(connection: asyncpg.Connection, cell: CellKey, last_item: datetime | None) -> int:
    """How many reviews of the cell wait for people that were submitted before the last item that counted."""
    found: int = await connection.fetchval(f"{STILL_OPEN} ($1, $2, $3) AND r.submitted_at <= $4", *cell, last_item)
    return found


async def lock(connection: asyncpg.Connection, cell: CellKey, *, make: bool = True) -> None:
    """Lock the cell's row, which is made where there is none, until the transaction ends."""
    if make:
        await connection.execute(
            "INSERT INTO cells (tenant, playbook, contract_type, level) VALUES ($1, $2, $3, 'supervised') "
            "ON CONFLICT DO NOTHING",
            *cell,
        )
    await connection.execute(
        "SELECT 1 FROM cells WHERE (tenant, playbook, contract_type) = ($1, $2, $3) FOR UPDATE", *cell
    )


async def know(connection: Database | asyncpg.Connection, arm: Arm) -> None:
    """Remember what an arm is made of."""
    await connection.execute(
        "INSERT INTO arms (fingerprint, parts) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        arm.fingerprint,
        arm.model_dump(mode="json"),
    )


async def load(connection: asyncpg.Connection, cell: CellKey, arm: str, policy: EvidencePolicy) -> Stored:
    """The cell's evidence with an arm; that of a new arm where there is none."""
    row = await connection.fetchrow(
        "SELECT state, policy, last_item, confidence, fitted FROM cell_states "
        "WHERE (tenant, playbook, contract_type, arm) = ($1, $2, $3, $4)",
        *cell,
        arm,
    )
    if row is None:
        return Stored(start(arm, policy), policy)
    return Stored(
        state=CellState.model_validate(row["state"]),
        policy=EvidencePolicy.model_validate(row["policy"]),
        last_item=row["last_item"],
        confidence=Confidence.model_validate(row["confidence"]) if row["confidence"] else None,
        fitted=row["fitted"],
    )


async def save(connection: asyncpg.Connection, cell: CellKey, stored: Stored) -> None:
    """Write the state."""
    await connection.execute(
        _SAVE,
        *cell,
        stored.state.arm,
        stored.policy.model_dump(mode="json"),
        stored.state.model_dump(mode="json"),
        stored.last_item,
        stored.confidence.model_dump(mode="json") if stored.confidence else None,
        stored.fitted,
    )


async def mark(connection: asyncpg.Connection, cell: CellKey, arm: str, done: ByPerson, after: datetime | None) -> None:
    """Note what a person did, and after which item."""
    await connection.execute(
        "INSERT INTO cell_marks (tenant, playbook, contract_type, arm, level, raised, after_item) "
        "VALUES ($1, $2, $3, $4, $5, $6, $7)",
        *cell,
        arm,
        done.level,
        done.raised,
        after,
    )


async def record(  # noqa: PLR0913, PLR0917 - a change states all of this
    connection: asyncpg.Connection,
    cell: CellKey,
    arm: str,
    change: Change,
    by_hash: str,
    state: CellState,
) -> None:
    """Write a change to the history; where the arm is the cell's present one, its level is in force from now on."""
    growth = state.semi.growth if change.after is not Autonomy.AUTONOMOUS else state.autonomous.growth
    evidence: dict[str, Any] = {  # any JSON value
        "items": state.items,
        "criticals": state.criticals,
        "agreement": growth.agreement,
        "log_e": growth.log_e,
    }
    await connection.execute(
        _HISTORY, *cell, change.before, change.after, by_hash, change.reason, arm, change.rule, evidence
    )
    await connection.execute(
        "UPDATE cells SET level = $5, updated_at = now() WHERE (tenant, playbook, contract_type) = ($1, $2, $3) "
        "AND arm = $4",
        *cell,
        arm,
        change.after,
    )
