"""Who polls a task queue, as Temporal knows it."""

from datetime import timedelta
from typing import TYPE_CHECKING

from countersign.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.api.taskqueue.v1 import PollerInfo
    from temporalio.client import Client

ASK = timedelta(seconds=10)


async def pollers(client: "Client", queue: str) -> "Sequence[PollerInfo]":
    """Whoever has polled the queue for activities within the last minutes. Raises RPCError."""
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest

    found = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        ),
        timeout=ASK,
    )
    return found.pollers


async def require_polling(client: "Client", queues: "Sequence[str]", pid: int | None) -> None:
    """Raise `ServiceUnavailable` unless the worker of this process polls each queue, RPCError as `pollers` does."""
    for queue in queues:
        # "PID@HOST" is the SDK's own name for a worker.
        if not any(poller.identity.startswith(f"{pid}@") for poller in await pollers(client, queue)):
            raise ServiceUnavailable(f"The worker does not poll {queue} yet")
