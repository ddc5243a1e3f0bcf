"""One review on a lane: submitted, signed as often as it takes, and what is found of it afterwards."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import WorkflowHandle, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from chaos.laws import Asked, Facts, LedgerRow
from chaos.stand import Lane, until
from countersign.errors import NotFound, ServiceUnavailable
from countersign.review.ids import workflow_id_of
from countersign.review.payloads import Decision, Edit, EffectDecision, EffectStanding, ReviewRequest, ReviewStatus
from countersign.settings import ROOT
from countersign.words import EffectState, Severity, Verdict

DOCUMENT = ROOT / "examples" / "nda-one-sided.md"
PLAYBOOK = "nda"
REQUESTER, REVIEWER, SECOND = "ana", "bob", "eve"
ASK = "Please check what we give away here."
GIVE_UP_S = 90.0
"""A review that has not ended by then is lost. Undisturbed it takes two seconds, and a blow costs it a few."""
SHORT, UPDATE = timedelta(seconds=1), timedelta(seconds=5)
"""How long a query or an update is waited for before it is asked again."""
_NOT_NOW = frozenset(
    {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.NOT_FOUND,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.RESOURCE_EXHAUSTED,
    }
)


@dataclass
class Review:
    """A review under way."""

    lane: Lane
    tenant: str
    review_id: str

    @property
    def workflow_id(self) -> str:
        return workflow_id_of(self.tenant, self.review_id)

    @property
    def handle(self) -> "WorkflowHandle[object, ReviewStatus]":
        return self.lane.client.get_workflow_handle(self.workflow_id, result_type=ReviewStatus)

    async def submit(self, reference: str = "") -> None:
        """As the command line does, again while a server is away. `reference` makes its questions to models its own."""
        request = ReviewRequest(
            tenant=self.tenant, user=REQUESTER, playbook=PLAYBOOK, review_id=self.review_id, ask=ASK + reference
        )
        while True:
            try:
                await self.lane.services.intake.submit(request, DOCUMENT.read_bytes(), DOCUMENT.name)
            except ServiceUnavailable:
                await asyncio.sleep(0.2)
            else:
                return

    async def sign(self) -> None:
        """Sign whenever it waits for a person, until it is over: one amends the first finding, another approves."""
        while True:
            try:
                status = await self.handle.query("status", result_type=ReviewStatus, rpc_timeout=SHORT)
                if status.outcome is not None:
                    return
                if status.waiting_for == "reviewer":
                    await self._allow(status.effects)
                    await self._decide(len(status.decisions))
            except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
                if isinstance(error, RPCError) and error.status not in _NOT_NOW:
                    raise
            await asyncio.sleep(0.05)

    async def _allow(self, effects: Sequence[EffectStanding]) -> None:
        """Approve each proposed effect, as it was shown."""
        for effect in effects:
            if effect.state is not EffectState.PENDING:
                continue
            decision = EffectDecision(
                item=effect.item,
                reviewer=REVIEWER,
                version=effect.version,
                digest=effect.digest,
                decision_id=f"e-{effect.item}-{effect.version}-{self.workflow_id}",
            )
            try:
                await self.handle.execute_update(
                    "approve_effect", decision, id=decision.decision_id, rpc_timeout=UPDATE
                )
            except WorkflowUpdateFailedError as error:
                status = await self.handle.query("status", result_type=ReviewStatus, rpc_timeout=SHORT)
                if any(one.item == effect.item and one.state is EffectState.PENDING for one in status.effects):
                    raise RuntimeError(f"the approval of {effect.item} is refused") from error

    async def _decide(self, signed: int) -> None:
        """The decision after so many. Asked again under the same id until it counted."""
        given: dict[str, object] = {"verdict": Verdict.APPROVE, "reviewer": SECOND}
        if signed == 0:
            edit = Edit(action="set", finding_id="F1", severity=Severity.LOW)
            given = {"verdict": Verdict.AMEND, "reviewer": REVIEWER, "edits": (edit,)}
        decision = Decision.model_validate({**given, "decision_id": f"d{signed}-{self.workflow_id}"})
        try:
            await self.handle.execute_update("decide", decision, id=decision.decision_id, rpc_timeout=UPDATE)
        except WorkflowUpdateFailedError as error:
            # It may have counted, unheard, and others after it.
            status = await self.handle.query("status", result_type=ReviewStatus, rpc_timeout=SHORT)
            if len(status.decisions) <= signed:
                raise RuntimeError("the decision is refused") from error

    async def facts(self) -> Facts:
        """What is found of it; the requests at the lab are all of the lane's, since its last reset."""
        await until("Postgres answers", self.lane.answers)
        db = self.lane.services.db
        status = await self._status()
        rows = await self.lane.services.trail.rows(self.workflow_id)
        check = await self.lane.services.trail.verify(self.workflow_id)
        ledger = await db.fetch("SELECT * FROM ledger WHERE workflow_id = $1 ORDER BY call_id", self.workflow_id)
        pairs = await db.fetch("SELECT verdict FROM pairs WHERE workflow_id = $1", self.workflow_id)
        corrections = await db.fetch("SELECT finding_id FROM corrections WHERE workflow_id = $1", self.workflow_id)
        done = await db.fetch("SELECT item, tool FROM effects WHERE workflow_id = $1", self.workflow_id)
        register = await db.fetch(
            "SELECT item FROM obligations WHERE (tenant, review_id) = ($1, $2)", self.tenant, self.review_id
        )
        left = await db.fetch("SELECT call_id FROM agent_runs WHERE workflow_id = $1", self.workflow_id)
        return Facts(
            outcome=status.outcome if status else None,
            findings=_findings(status),
            degraded=status.degraded if status else (),
            trail=tuple(f"{row.stage}:{row.event}" for row in rows),
            trail_problem=None if check.ok else check.problem,
            projected=await self._projected(),
            ledger=tuple(
                LedgerRow(
                    call_id=row["call_id"],
                    known=row["requests"],
                    unseen=row["unseen_requests"],
                    input_tokens=row["input_tokens"],
                    output_tokens=row["output_tokens"],
                    success=row["success"],
                )
                for row in ledger
            ),
            settled_requests=status.usage.requests if status else 0,
            asked=asked(self.lane),
            effects=(
                *(f"pair {row['verdict']}" for row in pairs),
                *(f"correction of {row['finding_id']}" for row in corrections),
                *(f"{row['tool']} for {row['item']}" for row in done),
                *(f"obligation {row['item']} in the register" for row in register),
                *(f"{one.item} {one.state} {one.reason}".rstrip() for one in (status.effects if status else ())),
            ),
            left_over=tuple(f"journal of {row['call_id']}" for row in left),
        )

    async def _status(self) -> ReviewStatus | None:
        """The final status; None while there is none."""
        try:
            described = await self.handle.describe()
            return None if described.close_time is None else await self.handle.result()
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise

    async def _projected(self) -> str | None:
        try:
            row = await self.lane.services.reviews.row(self.review_id, tenant=self.tenant)
        except NotFound:
            return None
        return row.outcome


def _findings(status: ReviewStatus | None) -> tuple[str, ...]:
    if status is None or status.analysis is None:
        return ()
    return tuple(
        f"{one.id} {one.clause} {one.severity} {hashlib.sha256(one.model_dump_json().encode()).hexdigest()[:12]}"
        for one in status.analysis.key_findings
    )


def asked(lane: Lane) -> tuple[Asked, ...]:
    """Every request that the lab has seen and did not turn away."""
    bills = {one.request_id: one.tokens for one in lane.lab.memory.billed}
    return tuple(
        Asked(
            question=seen.prompt_sha256,
            outcome=seen.outcome,
            input_tokens=bills[seen.request_id].input if seen.request_id in bills else 0,
            output_tokens=bills[seen.request_id].output if seen.request_id in bills else 0,
        )
        for seen in lane.lab.memory.requests
        if seen.outcome != "refused"
    )
