"""What a workflow test touches, and what it does most."""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment

from countersign.review.payloads import Decision, Receipt, ReviewStatus
from countersign.services import Services
from countersign.words import Stage, Verdict
from workflows.review import ReviewWorkflow

HISTORIES = Path(__file__).parent.parent / "replay" / "histories"

Handle = WorkflowHandle[ReviewWorkflow, ReviewStatus]


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


async def ended(handle: Handle, route: str) -> ReviewStatus:
    """The final status; the history becomes a stored one when COUNTERSIGN_SAVE_HISTORIES is set."""
    status = await handle.result()
    if os.environ.get("COUNTERSIGN_SAVE_HISTORIES"):
        history = portable(json.loads((await handle.fetch_history()).to_json()))
        (HISTORIES / f"{route}.json").write_text(json.dumps(history, indent=1) + "\n")
    return status


async def finished(world: World, handle: Handle, route: str) -> ReviewStatus:
    """The final status of a review that was admitted, which its row tells too; the history is stored as by `ended`."""
    status = await ended(handle, route)
    assert status.stage is Stage.DONE
    row = await world.services.reviews.row(status.review_id)
    assert (row.outcome, row.stage) == (status.outcome, Stage.DONE)
    return status


def portable(history: Any) -> Any:  # any JSON
    """A history without what belongs to the machine it was made on: paths in stack traces, process identities."""
    if isinstance(history, dict):
        return {key: portable(value) for key, value in history.items() if key not in ("stackTrace", "identity")}
    return [portable(value) for value in history] if isinstance(history, list) else history
