"""One agent's step by itself on real servers: a review that is ready for it, and a workflow of that one step.

The workflow gives the step the product's own options (`workflows/options.py`) but for a shorter heartbeat timeout: an
activity takes its timeouts from whoever asks for it, so nothing of the product is changed for it.
"""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():
    from countersign.review.payloads import Admission, Intent, PlannedTask, Recall, ReviewKey
    from countersign.review.steps import AnalyseInput, PlanInput
    from countersign.services import Services
    from countersign.settings import Settings
    from helpers.contracts import nda
    from workers.embedded import EmbeddedStack
    from workers.endpoints import connect_temporal
    from workers.plugin import countersign_plugin
    from workers.run import agent_activities
    from workflows import options

STEPS_QUEUE = "steps"
TASK = PlannedTask(specialist="term", families=("governing_law",))


@workflow.defn(sandboxed=False)
class Step:
    """Runs one activity of the agents' queue."""

    @workflow.run
    async def run(self, name: str, given: Any, heartbeat_s: float) -> Any:
        """The activity's result as JSON."""
        profile = {**options.AGENT, "heartbeat_timeout": timedelta(seconds=heartbeat_s)}
        return await workflow.execute_activity(name, given, **profile)  # type: ignore[call-overload]


@dataclass
class Bench:
    """Real servers with one worker for the workflow of a step; the agents' workers are the tests'."""

    home: Path
    settings: Settings
    services: Services
    client: Client

    async def admitted(self, name: str, text: str | None = None) -> Admission:
        """A review whose document is stored and read; its agents' steps may begin."""
        key = ReviewKey(tenant="acme", review_id=name, workflow_id=f"step-{name}")
        data = (text or nda()).encode()
        ref = await self.services.documents.put(key.tenant, key.review_id, data, "text/plain")
        read = await self.services.sandbox.read(data, "text/plain", max_bytes=1_000_000)
        await self.services.documents.put_text(key.tenant, ref.document_id, read)
        return Admission(
            key=key,
            document=ref,
            playbook="lenient",
            playbook_version="1",
            playbook_digest="d",
            user_hash="p1:u",
            tenant_hash="p1:t",
        )

    async def step(
        self, name: str, given: AnalyseInput | PlanInput, *, heartbeat_s: float = 30
    ) -> WorkflowHandle[Any, Any]:
        """Start the step; the workflow's id is the review's, as its activities know it."""
        return await self.client.start_workflow(
            Step.run,
            args=[name, given, heartbeat_s],
            id=given.admission.key.workflow_id,
            task_queue=STEPS_QUEUE,
        )

    async def analyse(self, name: str, *, heartbeat_s: float = 30) -> WorkflowHandle[Any, Any]:
        """Start the specialist's step of a new review."""
        given = AnalyseInput(admission=await self.admitted(name), intent=Intent(), recall=Recall(), task=TASK)
        return await self.step("analyse", given, heartbeat_s=heartbeat_s)

    @asynccontextmanager
    async def agents(self) -> AsyncIterator[None]:
        """A worker of this process for the agents' queue, wired as the product's."""
        async with Worker(
            self.client,
            task_queue=options.AGENTS_QUEUE,
            activities=agent_activities(self.services),
            max_heartbeat_throttle_interval=timedelta(seconds=5),
            default_heartbeat_throttle_interval=timedelta(seconds=5),
        ):
            yield

    @contextmanager
    def worker(self, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
        """`countersign worker` for the agents' queue as a process of its own; killed at the end, if not before."""
        process = subprocess.Popen(
            (str(Path(sys.executable).parent / "countersign"), "worker", "--queues", options.AGENTS_QUEUE),
            env={
                **os.environ,
                "COUNTERSIGN_HOME": str(self.home),
                "COUNTERSIGN_PLAYBOOKS": str(self.settings.playbooks),
                **environment,
            },
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.wait()

    async def run_row(self, workflow_id: str) -> Mapping[str, Any]:
        """The row of the review's one agent run; empty when there is none."""
        row = await self.services.db.fetchrow("SELECT * FROM agent_runs WHERE workflow_id = $1", workflow_id)
        return dict(row) if row else {}

    async def ledger_row(self, workflow_id: str) -> Mapping[str, Any]:
        """The row of the review's one agent call in the ledger; empty when there is none."""
        row = await self.services.db.fetchrow("SELECT * FROM ledger WHERE workflow_id = $1", workflow_id)
        return dict(row) if row else {}


async def attempt(handle: WorkflowHandle[Any, Any]) -> tuple[int, str]:
    """(attempt that the pending activity is at, type of its last failure); (0, "") when none is pending."""
    pending = (await handle.describe()).raw_description.pending_activities
    if not pending:
        return 0, ""
    return pending[0].attempt, pending[0].last_failure.application_failure_info.type


async def attempts(handle: WorkflowHandle[Any, Any]) -> int:
    """How many attempts the step took."""
    events = [event async for event in handle.fetch_history_events()]
    return max(event.activity_task_started_event_attributes.attempt for event in events)


@asynccontextmanager
async def bench(home: Path, **settings: Any) -> AsyncIterator[Bench]:
    """Servers, services and a client."""
    given = Settings(home=home, **settings)
    async with AsyncExitStack() as stack:
        embedded = await stack.enter_async_context(EmbeddedStack(home, given))
        services = await stack.enter_async_context(Services.open(given, embedded.endpoints))
        client = await connect_temporal(given, embedded.endpoints, plugins=[countersign_plugin()])
        await stack.enter_async_context(Worker(client, task_queue=STEPS_QUEUE, workflows=[Step]))
        yield Bench(home, given, services, client)
