"""The worker that is struck: a process of its own, the product's `run_worker`, and orders when to die or to freeze.

It is forked from a server that has imported everything already (`multiprocessing`'s fork server, which has no threads
and has connected to nothing), so that a worker is there in a fraction of a second, as often as one is killed.

What the product's options give minutes to (a heartbeat, a workflow task), it gives seconds, at the seams that Temporal
has for it: interceptors and worker options. Nothing of the product is changed.
"""

import asyncio
import ctypes
import faulthandler
import logging
import os
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio import client, worker, workflow
from temporalio.plugin import SimplePlugin

import workers.run
from countersign.settings import Settings
from workers.embedded.launch import PR_SET_PDEATHSIG
from workers.endpoints import connect_temporal

TASK = timedelta(seconds=2)
"""A workflow task, and the wait of one for the worker that knows the workflow."""
HEARTBEAT = timedelta(seconds=2)
"""Of an agent's step: the lab answers in a fraction of it."""
BUSY = {"read": timedelta(seconds=6)}
"""How long a try of another step may take, where that is not `QUICK`: to read a document starts a process."""
QUICK = timedelta(seconds=3)
POLLS, TASK_POLLS = worker.PollerBehaviorSimpleMaximum(1), worker.PollerBehaviorSimpleMaximum(2)
"""As many steps, or workflow tasks, the server may hand to a frozen worker, and wait for, before it learns better."""


@dataclass(frozen=True)
class Orders:
    """`do` it to yourself when the `nth` call of `activity` in this process has returned."""

    do: signal.Signals
    activity: str
    nth: int


class _Struck(worker.ActivityInboundInterceptor):
    def __init__(self, next: worker.ActivityInboundInterceptor, orders: Orders, calls: Counter[str]) -> None:  # noqa: A002
        super().__init__(next)
        self._orders = orders
        self._calls = calls

    async def execute_activity(self, input: worker.ExecuteActivityInput) -> Any:  # noqa: A002
        result = await super().execute_activity(input)
        name = str(getattr(input.fn, "__name__", ""))
        self._calls[name] += 1
        if (name, self._calls[name]) == (self._orders.activity, self._orders.nth):
            os.kill(os.getpid(), self._orders.do)
        return result


class _Sooner(worker.WorkflowOutboundInterceptor):
    def start_activity(self, input: worker.StartActivityInput) -> workflow.ActivityHandle[Any]:  # noqa: A002
        if input.task_queue == "agents" and input.heartbeat_timeout is not None:
            input.heartbeat_timeout = HEARTBEAT
        elif input.start_to_close_timeout is not None:
            input.start_to_close_timeout = min(input.start_to_close_timeout, BUSY.get(input.activity, QUICK))
        return super().start_activity(input)


class _Inside(worker.WorkflowInboundInterceptor):
    def init(self, outbound: worker.WorkflowOutboundInterceptor) -> None:
        super().init(_Sooner(outbound))


class _Starting(client.OutboundInterceptor):
    async def start_workflow(self, input: client.StartWorkflowInput) -> client.WorkflowHandle[Any, Any]:  # noqa: A002
        input.task_timeout = TASK
        return await super().start_workflow(input)


class _Interceptor(client.Interceptor, worker.Interceptor):
    def __init__(self, orders: Orders | None) -> None:
        self._orders = orders
        self._calls: Counter[str] = Counter()

    def intercept_client(self, next: client.OutboundInterceptor) -> client.OutboundInterceptor:  # noqa: A002
        return _Starting(next)

    def intercept_activity(self, next: worker.ActivityInboundInterceptor) -> worker.ActivityInboundInterceptor:  # noqa: A002
        return next if self._orders is None else _Struck(next, self._orders, self._calls)

    def workflow_interceptor_class(
        self,
        input: worker.WorkflowInterceptorClassInput,  # noqa: A002
    ) -> type[worker.WorkflowInboundInterceptor]:
        return _Inside


class Chaos(SimplePlugin):
    """Shorter timeouts, and the orders."""

    def __init__(self, orders: Orders | None) -> None:
        super().__init__("chaos", interceptors=[_Interceptor(orders)])

    def configure_worker(self, config: worker.WorkerConfig) -> worker.WorkerConfig:
        config = super().configure_worker(config)
        config["sticky_queue_schedule_to_start_timeout"] = TASK
        config["workflow_task_poller_behavior"] = TASK_POLLS
        config["activity_task_poller_behavior"] = POLLS
        return config


def die_with_parent() -> None:
    """Linux: be killed when the fork server ends, however that comes about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def main(environment: Mapping[str, str], orders: Orders | None, log: Path) -> None:
    """A worker process, until it is killed."""
    die_with_parent()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    faulthandler.enable()
    os.environ.update(environment)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(name)s %(message)s")

    async def connect(*arguments: Any, plugins: Any = (), **options: Any) -> client.Client:
        return await connect_temporal(*arguments, plugins=[*plugins, Chaos(orders)], **options)

    workers.run.connect_temporal = connect  # type: ignore[attr-defined]  # the worker's name for it
    asyncio.run(workers.run.run_worker(Settings(), workers.run.QUEUES, asyncio.Event()))
