"""Everything about one cell for a person who decides about it, and the digest that binds a signature to it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from countersign.errors import NotFound
from countersign.evidence.arms import Arm, CellKey
from countersign.evidence.audit_sample import AuditPolicy, share_looked_at
from countersign.evidence.confidence import Confidence
from countersign.evidence.course import Point, course
from countersign.evidence.eprocess import lower_bound
from countersign.evidence.level import CellState, EvidencePolicy, start
from countersign.evidence.observation import Observation
from countersign.evidence.replay import rebuilt
from countersign.store import cell_states
from countersign.store.database import Database
from countersign.store.evidence_rows import CellRow, HistoryRow


@dataclass(frozen=True)
class Dossier:
    """A cell with its present arm: where it stands, how it got there, what it is made of and what was decided.

    `arm` is None where the cell has none yet, or one from before its parts were kept. `share` is the part of what could
    be released that a person looks at now. `agreement` is the weighted mean of all the arm's items, `at_least` what the
    true one is above with 95 % confidence at all times at once. `digest` is of the evidence as shown.
    """

    row: CellRow
    state: CellState
    policy: EvidencePolicy
    arm: Arm | None
    confidence: Confidence | None
    share: float
    agreement: float | None
    at_least: float
    points: tuple[Point, ...]
    sources: dict[str, int]
    history: tuple[HistoryRow, ...]
    digest: str


async def dossier(  # noqa: PLR0913, PLR0917 - one reading of one cell
    db: Database,
    cell: CellKey,
    row: CellRow,
    history: Sequence[HistoryRow],
    policy: EvidencePolicy,
    audit: AuditPolicy,
) -> Dossier:
    """Read what belongs to the cell's row. Evidence that was gathered against other bars is read against these."""
    kept = await db.fetchrow(
        "SELECT state, policy, confidence FROM cell_states "
        "WHERE (tenant, playbook, contract_type, arm) = ($1, $2, $3, $4)",
        *cell,
        row.arm,
    )
    events = await cell_states.events(db, cell, row.arm)
    items = [event for event in events if isinstance(event, Observation)]
    agreements, weights = [item.agreement for item in items], [item.weight for item in items]
    state, confidence = start(row.arm, policy), None
    if kept is not None:
        state = CellState.model_validate(kept["state"])
        if EvidencePolicy.model_validate(kept["policy"]) != policy:
            state = rebuilt(row.arm, events, state.level, policy)
        confidence = Confidence.model_validate(kept["confidence"]) if kept["confidence"] else None
    made_of = await db.fetchrow("SELECT parts FROM arms WHERE fingerprint = $1", row.arm)
    sources = await db.fetch(
        "SELECT source, count(*) AS items FROM evidence_items "
        "WHERE (tenant, playbook, contract_type, arm) = ($1, $2, $3, $4) AND counted GROUP BY source",
        *cell,
        row.arm,
    )
    return Dossier(
        row=row,
        state=state,
        policy=policy,
        arm=Arm.model_validate(made_of["parts"]) if made_of else None,
        confidence=confidence,
        share=share_looked_at(state.level, state.suspicion(policy), audit),
        agreement=float(np.average(agreements, weights=weights)) if items else None,
        at_least=lower_bound(agreements, weights=weights),
        points=course(row.arm, events, policy),
        sources={one["source"]: one["items"] for one in sources},
        history=tuple(history),
        digest=digest_of(state, policy),
    )


def digest_of(state: CellState, policy: EvidencePolicy) -> str:
    """SHA-256 over a cell's evidence and the bars it is held against: another item, arm, level or bar is another."""
    return hashlib.sha256(f"{state.model_dump_json()}\0{policy.model_dump_json()}".encode()).hexdigest()


def no_such_cell(cell: CellKey) -> NotFound:
    """What is said of a cell that has neither evidence nor an override."""
    return NotFound(
        f"cell {cell.tenant} / {cell.playbook} / {cell.contract_type}: has no evidence yet",
        remedy="See `countersign autonomy show`; it begins with the first review that a person judges",
    )
