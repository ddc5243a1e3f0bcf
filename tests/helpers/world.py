"""What a workflow test touches, and what it does most."""

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from countersign.review.payloads import Decision, Receipt, ReviewStatus
from countersign.services import Services
from countersign.words import Verdict
from workflows.review import ReviewWorkflow


@dataclass
class World:
    """Everything a workflow test touches."""

    env: WorkflowEnvironment
    client: Client
    services: Services

    async def start(self, workflow_id: str, **request: Any) -> WorkflowHandle[ReviewWorkflow, ReviewStatus]:
        """Start a review of the tenant `acme` by `ana`, with the plain JSON that the `temporal` CLI would send."""
        given = {"tenant": "acme", "user": "ana", "playbook": "lenient", **request}
        return await self.client.start_workflow(
            "ReviewWorkflow", given, id=workflow_id, task_queue="reviews", result_type=ReviewStatus
        )

    async def until_signing(self, handle: WorkflowHandle[ReviewWorkflow, ReviewStatus]) -> ReviewStatus:
        """The status once the review waits for a person."""
        while True:
            status = await handle.query(ReviewWorkflow.status)
            assert status.outcome is None, status.failure
            if status.waiting_for is not None:
                return status
            await asyncio.sleep(0.02)

    async def decide(
        self, handle: WorkflowHandle[ReviewWorkflow, ReviewStatus], verdict: Verdict, reviewer: str, **fields: Any
    ) -> Receipt:
        """Decide by update."""
        decision = Decision.model_validate({"verdict": verdict, "reviewer": reviewer, **fields})
        return await handle.execute_update(ReviewWorkflow.decide, decision)

    async def events(self, workflow_id: str) -> list[str]:
        """The review's trail as `stage:event`, verified."""
        check = await self.services.trail.verify(workflow_id)
        assert check.ok, check.problem
        return [f"{row.stage}:{row.event}" for row in await self.services.trail.rows(workflow_id)]
