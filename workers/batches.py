"""Starts the workflows of batches that are stored whole, once each, in every worker that serves `batch`."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from countersign.batch.payloads import BatchInput, BatchKey
from countersign.batch.rerun import batch_workflow_id
from countersign.errors import CountersignError
from countersign.services import Services
from workflows import options
from workflows.batch import BatchWorkflow

LOOK_S = 1.0
REST_S = 5.0
"""After a failure."""
START_TIMEOUT = timedelta(seconds=5)
_log = logging.getLogger(__name__)


async def start_batches(client: Client, services: Services) -> int:
    """Start what is ready and not started; how many. Two who do it at once start each batch once.

    Raises RPCError while Temporal takes no starts, `ServiceUnavailable` while Postgres is away.
    """
    keys = await services.batches.unstarted()
    for key in keys:
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await _start(client, services, key)
        await services.batches.started(key)
    return len(keys)


async def _start(client: Client, services: Services, key: BatchKey) -> None:
    limits = await services.limits.tenant(key.tenant)
    tenant_hash = services.pseudonyms.of("tenant", key.tenant)
    await client.start_workflow(
        BatchWorkflow.run,
        BatchInput(tenant=key.tenant, batch_id=key.batch_id),
        id=batch_workflow_id(key),
        task_queue=options.BATCH_QUEUE,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        priority=options.priority(tenant_hash, limits.weight, options.BATCH_KEY),
        rpc_timeout=START_TIMEOUT,
    )


async def _run(client: Client, services: Services) -> None:
    away = False
    while True:
        try:
            await start_batches(client, services)
        except (CountersignError, RPCError) as error:
            if not away:
                _log.warning("batches cannot be started for now: %s", type(error).__name__)
            away = True
            await asyncio.sleep(REST_S)
        else:
            away = False
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def starting_batches(client: Client, services: Services) -> AsyncIterator[None]:
    """Batches are started for as long as the block lasts."""
    task = asyncio.create_task(_run(client, services), name="batches")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
