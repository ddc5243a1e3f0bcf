"""A world for workflow tests: the time-skipping Temporal server, real PostgreSQL and Valkey, the app's own worker."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from helpers.gate import patient_door
from helpers.world import World
from temporalio.testing import WorkflowEnvironment

from countersign.services import Services
from countersign.settings import Settings
from workers.embedded import EmbeddedStack
from workers.plugin import countersign_plugin
from workers.run import QUEUES, build_workers

TEST_SERVER = Path(sys.executable).parent / "temporal-test-server"
PLAYBOOKS = Path(__file__).parent.parent / "playbooks"


@pytest.fixture(scope="session")
async def world() -> AsyncIterator[World]:
    """One world a test process. Its home is no folder of pytest's: another run closes those to PostgreSQL's user."""
    async with AsyncExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True)))
        stack.enter_context(patient_door())
        env = await stack.enter_async_context(
            await WorkflowEnvironment.start_time_skipping(
                test_server_existing_path=str(TEST_SERVER), plugins=[countersign_plugin()]
            )
        )
        address = env.client.service_client.config.target_host
        settings = Settings(home=home, temporal_address=address, playbooks=PLAYBOOKS, probes=True)
        embedded = await stack.enter_async_context(EmbeddedStack(home, settings))
        services = await stack.enter_async_context(Services.open(settings, embedded.endpoints))
        # All tests submit as one user, and many a review of theirs is blocked.
        await services.limits.change(
            None, None, {"abuse_strikes": 100_000, "probe_share": 0}, by_hash="p1:test", reason="one user"
        )
        for worker in build_workers(env.client, services, QUEUES):
            await stack.enter_async_context(worker)
        yield World(env=env, client=env.client, services=services)
