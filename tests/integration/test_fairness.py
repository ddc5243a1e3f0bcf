"""Fair turns by effect, on the real embedded server: a tenant's backlog does not hold up another's few steps."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from temporalio import activity, workflow
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.common import Priority
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from countersign.settings import Settings
from workers.embedded.home import LOOPBACK, StackState
from workers.embedded.process import Child
from workers.embedded.servers import temporal_command

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Backlog:
    """`count` steps of one tenant, of this weight."""

    tenant: str
    count: int
    weight: float = 1.0


@workflow.defn
class Crowd:
    """One tenant's steps, all scheduled at once."""

    @workflow.run
    async def run(self, queue: str, backlog: Backlog) -> None:
        await asyncio.gather(
            *(
                workflow.execute_activity(
                    "serve",
                    backlog.tenant,
                    task_queue=queue,
                    start_to_close_timeout=timedelta(seconds=10),
                    schedule_to_close_timeout=timedelta(minutes=2),
                    priority=Priority(priority_key=3, fairness_key=backlog.tenant, fairness_weight=backlog.weight),
                )
                for _ in range(backlog.count)
            )
        )


@dataclass
class Server:
    """A worker with one slot: what it served, in order."""

    served: list[str] = field(default_factory=list)

    @activity.defn
    async def serve(self, tenant: str) -> None:
        self.served.append(tenant)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(homes: Path) -> AsyncIterator[Client]:
    """A client of the embedded Temporal server, started as the stack starts it, with nothing beside it."""
    (homes / "logs").mkdir()
    state = StackState()
    port, ui_port = state.port("temporal", homes), state.port("temporal_ui", homes)
    command = temporal_command(homes, port, ui_port, Settings(home=homes))
    # Otherwise the count of waiting steps is up to five seconds old.
    uncached = ("--dynamic-config-value", 'matching.taskQueueInfoByBuildIdTTL="1ms"')
    child = Child(replace(command, argv=(*command.argv, *uncached)))
    await child.start()
    yield await Client.connect(f"{LOOPBACK}:{port}")
    await child.stop()


async def waiting(client: Client, queue: str) -> int:
    """How many steps the server holds for `queue`."""
    described = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            report_stats=True,
        )
    )
    return described.stats.approximate_backlog_count


async def served(client: Client, eventually: "Eventually", queue: str, *backlogs: Backlog) -> list[str]:
    """The tenants in the order in which one slot served them; each tenant's backlog was there before the next's."""
    crowds: list[WorkflowHandle[Crowd, None]] = []
    total = 0
    runner = UnsandboxedWorkflowRunner()
    async with Worker(client, task_queue=f"{queue}-crowd", workflows=[Crowd], workflow_runner=runner):
        for backlog in backlogs:
            crowds.append(
                await client.start_workflow(
                    Crowd.run, args=[queue, backlog], id=f"{queue}-{backlog.tenant}", task_queue=f"{queue}-crowd"
                )
            )
            total += backlog.count

            async def all_wait(wanted: int = total) -> bool:
                return await waiting(client, queue) == wanted

            await eventually(f"{total} steps wait", all_wait)
        server = Server()
        async with Worker(client, task_queue=queue, activities=[server.serve], max_concurrent_activities=1):
            for crowd in crowds:
                await crowd.result()
    assert len(server.served) == total
    return server.served


async def test_a_light_tenant_does_not_wait_behind_a_heavy_one(client: Client, eventually: "Eventually") -> None:
    order = await served(client, eventually, "turns", Backlog("heavy", 45), Backlog("light", 5))
    last = len(order) - 1 - order[::-1].index("light")
    assert last < 13, f"five steps in turns are through after about ten: {order}"


async def test_weights_are_shares(client: Client, eventually: "Eventually") -> None:
    order = await served(client, eventually, "shares", Backlog("three", 30, weight=3), Backlog("one", 30, weight=1))
    among_first = order[:24].count("three")
    assert 16 <= among_first <= 20, f"three of four: {order}"
