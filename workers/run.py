"""One worker process: it hosts the queues it is told to, until it is told to stop."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.act import Act
from activities.admit import Admit
from activities.agents import Team
from activities.analyse import Analyse
from activities.audit import Audit
from activities.batch import Batches
from activities.evidence import Evidence
from activities.intent import Understand
from activities.judge import Judge
from activities.learn import Learn
from activities.plan import MakePlan
from activities.read import Read
from activities.recall import RecallMemory
from activities.reconcile import Reconcile
from activities.rerun import Reruns
from activities.screen import Screen
from activities.settle import Settle
from activities.signing import Signing
from countersign.agents.models import check_models
from countersign.errors import InvalidRequest
from countersign.services import Services
from countersign.settings import Settings
from workers.batches import starting_batches
from workers.dispatcher import dispatching
from workers.endpoints import connect_temporal, resolve
from workers.outages import log_outages_once
from workers.outbox import delivering
from workers.plugin import countersign_plugin
from workers.register import prepare
from workflows import options

QUEUES = (options.REVIEWS_QUEUE, options.AGENTS_QUEUE, options.BATCH_QUEUE)
MAX_BATCH_STEPS = 50
_log = logging.getLogger(__name__)


def light_activities(services: Services) -> list[Callable[..., Any]]:
    """What the `reviews` queue runs beside the workflows."""
    return [
        Admit(services).admit,
        Read(services).read,
        Screen(services).screen,
        RecallMemory(services).recall,
        Audit(services).audit,
        Learn(services).learn,
        Act(services).effect_terms,
        Act(services).act,
        Evidence(services).observe,
        Settle(services).settle,
        Signing(services).signing_terms,
    ]


def agent_activities(services: Services) -> list[Callable[..., Any]]:
    """What the `agents` queue runs."""
    agents = Team(services)
    return [
        Judge(agents).judge,
        Understand(agents).understand,
        MakePlan(agents).plan,
        Analyse(agents).analyse,
        Reconcile(agents, services).reconcile,
    ]


def batch_activities(services: Services) -> list[Callable[..., Any]]:
    """What the `batch` queue runs beside its workflows."""
    batches, reruns = Batches(services), Reruns(services)
    return [
        batches.open_batch,
        batches.begin,
        batches.watch,
        batches.project_batch,
        batches.forget,
        reruns.prepare_rerun,
        reruns.keep,
    ]


def build_workers(client: Client, services: Services, queues: Sequence[str]) -> list[Worker]:
    """One `Worker` a queue. The client carries the plugin."""
    settings = services.settings
    common: dict[str, Any] = {
        "graceful_shutdown_timeout": timedelta(seconds=10),
        # At the default of 60 s a cancellation would take too long to reach a running step.
        "max_heartbeat_throttle_interval": timedelta(seconds=5),
        "default_heartbeat_throttle_interval": timedelta(seconds=5),
    }
    workers = []
    for queue in queues:
        if queue == options.REVIEWS_QUEUE:
            workers.append(
                Worker(
                    client,
                    task_queue=queue,
                    activities=light_activities(services),
                    max_concurrent_workflow_tasks=settings.workflow_task_slots,
                    max_cached_workflows=settings.max_cached_workflows,
                    max_concurrent_activities=settings.workflow_task_slots,
                    max_concurrent_local_activities=50,
                    **common,
                )
            )
        elif queue == options.AGENTS_QUEUE:
            workers.append(
                Worker(
                    client,
                    task_queue=queue,
                    activities=agent_activities(services),
                    max_concurrent_activities=settings.agent_slots,
                    **common,
                )
            )
        elif queue == options.BATCH_QUEUE:
            workers.append(
                Worker(
                    client,
                    task_queue=queue,
                    activities=batch_activities(services),
                    # Bulk work need not have many.
                    max_concurrent_workflow_tasks=4,
                    max_cached_workflows=settings.max_cached_workflows,
                    # One look at a batch's items lasts long, and costs nothing while it does.
                    max_concurrent_activities=MAX_BATCH_STEPS,
                    **common,
                )
            )
        else:
            raise InvalidRequest(f"queues: {queue!r} is not a queue", remedy=f"The queues are {', '.join(QUEUES)}")
    return workers


async def run_worker(settings: Settings, queues: Sequence[str], stop: asyncio.Event) -> None:
    """Run a worker on these queues until `stop` is set; running steps get ten seconds to finish.

    Brings schema and search attributes up to date first, so that a worker is all that external servers need. One that
    serves `reviews` also dispatches what was accepted, or is ready to.
    """
    endpoints = resolve(settings)
    if options.AGENTS_QUEUE in queues:
        check_models(settings.model, settings.playbooks, settings.sentinel_model)
    await prepare(settings, endpoints)
    log_outages_once()
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(Services.open(settings, endpoints))
        client = await connect_temporal(settings, endpoints, plugins=[countersign_plugin()])
        # Left in reverse: `reviews` stops first, so that no step is handed to agents that have stopped asking for work.
        # Such a step would count as started, and wait for its heartbeat timeout.
        for worker in reversed(build_workers(client, services, sorted(queues, reverse=True))):
            await stack.enter_async_context(worker)
        if options.REVIEWS_QUEUE in queues:
            await stack.enter_async_context(dispatching(client, services))
            await stack.enter_async_context(delivering(services))
        if options.BATCH_QUEUE in queues:
            await stack.enter_async_context(starting_batches(client, services))
        _log.info("worker is up on %s", ", ".join(queues))
        await stop.wait()
