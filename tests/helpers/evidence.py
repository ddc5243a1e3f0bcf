"""Evidence and shadow runs without a database: the real state machine, and the answers of the real stores."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from countersign.errors import DecisionRefused, NotFound
from countersign.evidence.arms import Arm, CellKey
from countersign.evidence.audit_sample import AuditPolicy
from countersign.evidence.course import course
from countersign.evidence.level import CellState, EvidencePolicy, demote, observe, propose, sign, start
from countersign.evidence.observation import Observation
from countersign.store.evidence_dossier import Dossier, digest_of, no_such_cell
from countersign.store.evidence_rows import CellRow, HistoryRow
from countersign.store.shadow import RunRow
from countersign.words import Autonomy

CELL = CellKey("acme", "nda", "nda")
ARM = Arm(models={"plan": "offline"}, prompts={"plan": "p"}, playbook_digest="d", code_version="1")
POLICY = EvidencePolicy()


@dataclass
class FakeEvidence:
    """One cell of tenant acme with 92 agreements: enough for the next level, and not signed for."""

    items: list[Observation] = field(default_factory=lambda: [Observation(agreement=1.0)] * 92)
    state: CellState = field(default_factory=lambda: start(ARM.fingerprint, POLICY))
    still_open: int = 0
    signed: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for item in self.items:
            self.state, _ = observe(self.state, item, POLICY)

    def seen(self, item: Observation) -> None:
        """One more item, as when a colleague decides while somebody looks at the page."""
        self.items.append(item)
        self.state, _ = observe(self.state, item, POLICY)

    async def cells(self, tenant: str) -> tuple[CellRow, ...]:
        given = {"tenant": CELL.tenant, "playbook": CELL.playbook, "contract_type": CELL.contract_type}
        given |= {
            "autonomy": self.state.level,
            "pairs": 0,
            "agreed": 0,
            "arm": self.state.arm,
            "granted": None,
            "still_open": self.still_open,
        }
        row = CellRow.of(
            {**given, "confidence": None, "state": self.state.model_dump(mode="json")}, POLICY, AuditPolicy()
        )
        return (row,) if tenant == CELL.tenant else ()

    async def dossier(self, cell: CellKey) -> Dossier:
        if cell != CELL:
            raise no_such_cell(cell)
        [row] = await self.cells(cell.tenant)
        return Dossier(
            row=row,
            state=self.state,
            policy=POLICY,
            arm=ARM,
            confidence=None,
            share=1.0,
            agreement=1.0,
            at_least=0.95,
            points=course(ARM.fingerprint, self.items, POLICY),
            sources={"labels": len(self.items)},
            history=tuple(self._past()),
            digest=digest_of(self.state, POLICY),
        )

    def _past(self) -> list[HistoryRow]:
        given = {"level_before": "supervised", "level": "semi_autonomous", "rule": "signed"}
        at = datetime(2026, 3, 4, tzinfo=UTC)
        return [
            HistoryRow.model_validate({**given, "by_hash": by, "reason": why, "changed_at": at})
            for by, why in self.signed
        ]

    async def approve(self, cell: CellKey, level: Autonomy | None, *, by_hash: str, reason: str, shown: str) -> Any:
        if cell != CELL:
            raise no_such_cell(cell)
        if shown != digest_of(self.state, POLICY):
            raise DecisionRefused("the evidence has changed since it was shown", rule="stale")
        proposal = propose(self.state, POLICY, self.still_open)
        if proposal is None or proposal.after is not level:
            raise DecisionRefused("the evidence is not enough", rule="evidence")
        self.state = sign(self.state, proposal, POLICY)
        self.signed.append((by_hash, reason))

    async def demote(self, cell: CellKey, level: Autonomy, *, by_hash: str, reason: str) -> Any:
        self.state, _ = demote(self.state, level, reason)

    async def item(self, workflow_id: str) -> None:
        return None

    async def items_of_run(self, tenant: str, run_id: str) -> tuple[()]:
        return ()

    async def live_shadow(self, tenant: str) -> tuple[()]:
        return ()


class FakeShadow:
    """One run of tenant acme in which nothing could be compared."""

    async def runs(self, tenant: str) -> tuple[RunRow, ...]:
        return (await self.run(tenant, "q3"),) if tenant == CELL.tenant else ()

    async def run(self, tenant: str, run_id: str) -> RunRow:
        if (tenant, run_id) != (CELL.tenant, "q3"):
            raise NotFound("there is no such run")
        return RunRow(
            tenant, run_id, {"playbook": "nda"}, 3, 0, {"open": 2, "blocked": 1}, datetime(2026, 3, 4, tzinfo=UTC)
        )

    async def note(self, tenant: str, run_id: str, figures: Any) -> None:
        return None
