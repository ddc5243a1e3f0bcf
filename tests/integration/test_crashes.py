"""SIGKILL, to the worker in the middle of its work and to each server: every review still ends, once, with its trail.

The supervisor of `countersign dev` starts again what was killed; nothing else helps. A killed worker's step is given to
its successor when its heartbeat times out, so these tests take about as long as the longest of those timeouts
(`workflows/options.py`).
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from helpers.stack import EXAMPLES, SIGNED, Dev, running_dev
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

from countersign.errors import ServiceUnavailable
from countersign.review.ids import workflow_id_of
from countersign.review.payloads import ReviewRequest, ReviewStatus
from countersign.words import Outcome
from starters.client import ReviewClient
from workers.endpoints import connect_temporal, resolve
from workers.plugin import client_plugin
from workflows.options import AGENT

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually

pytestmark = pytest.mark.timeout(420)

RECOVERED_S = AGENT["heartbeat_timeout"].total_seconds() + 120  # type: ignore[union-attr]  # it is set
"""Until a step of a killed worker has timed out, been given to another and done, on a busy machine."""
LONG = EXAMPLES / "msa-long.md"
"""A contract that the specialists need a second or more for."""
ONCE = ("intent", "plan", "reconcile")
"""Calls of every review, beside one a specialist."""

Handle = WorkflowHandle[object, ReviewStatus]


@pytest.fixture(scope="module")
def own() -> Iterator[Dev]:
    """A stack that may be broken."""
    with running_dev() as running:
        yield running


@dataclass
class Ways:
    """The ways into the stack that these tests take; the Temporal client reconnects by itself."""

    dev: Dev
    temporal: Client
    eventually: "Eventually"

    async def submit(self, review_id: str) -> Handle:
        """Submit the long contract, again while a server is away; returns once the review is accepted."""
        request = ReviewRequest(tenant="acme", user="ana", playbook="msa", review_id=review_id)

        async def accepted() -> bool:
            try:
                async with ReviewClient.open(self.dev.settings) as client:
                    await client.submit(LONG.read_bytes(), LONG.name, request)
            except ServiceUnavailable:
                return False
            return True

        await self.eventually(f"{review_id} is accepted", accepted)
        return self.temporal.get_workflow_handle(workflow_id_of("acme", review_id), result_type=ReviewStatus)

    async def approve(self, handle: Handle) -> None:
        """Sign by signal, which Temporal keeps when no worker is there to take it."""
        await handle.signal("approve", {"reviewer": "bob"})


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ways(own: Dev, eventually: "Eventually") -> Ways:
    temporal = await connect_temporal(own.settings, resolve(own.settings), plugins=[client_plugin()])
    return Ways(own, temporal, eventually)


async def at_work(handle: Handle, activity: str) -> bool:
    """Whether a worker holds this activity, as far as Temporal knows; it knows nothing before the review's turn."""
    try:
        pending = (await handle.describe()).raw_description.pending_activities
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    started = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    return any(one.activity_type.name == activity and one.state == started for one in pending)


async def waits(handle: Handle) -> bool:
    """Whether the review waits for a person; False while nobody can tell."""
    try:
        status: ReviewStatus = await handle.query("status", result_type=ReviewStatus)
    except RPCError:
        return False
    assert status.outcome is None, status.failure
    return status.waiting_for == "reviewer"


async def assert_whole(ways: Ways, handle: Handle) -> None:
    """One trail row a stage, verified; one ledger row an agent call; the outcome, settled to their sum."""
    async with asyncio.timeout(RECOVERED_S):
        status = await handle.result()
    assert status.outcome is Outcome.APPROVED
    async with ReviewClient.open(ways.dev.settings) as client:
        rows, check = await client.trail("acme", status.review_id)
        assert check.ok, check.problem
        stages = [f"{row.stage}:{row.event}" for row in rows]
        assert [stage for stage in stages if stage in SIGNED] == list(SIGNED)  # proposed effects have rows besides
        specialists = next(row.facts["specialists"] for row in rows if row.event == "planned")
        database = (await client.services()).db
        calls = await database.fetch("SELECT call_id, requests FROM ledger WHERE workflow_id = $1", handle.id)
        assert Counter(call["call_id"] for call in calls) == Counter([*ONCE, *(f"analyse:{s}" for s in specialists)])
        assert status.usage.requests == sum(call["requests"] for call in calls)
        pairs = await database.fetch("SELECT verdict FROM pairs WHERE workflow_id = $1", handle.id)
        assert [pair["verdict"] for pair in pairs] == ["approve"]
        assert await client.rows(tenant="acme", outcome=Outcome.APPROVED)


async def attempts(handle: Handle, activity: str) -> int:
    """The most attempts that one activity of this name took."""
    events = (await handle.fetch_history()).events
    ours = {
        event.event_id
        for event in events
        if event.activity_task_scheduled_event_attributes.activity_type.name == activity
    }
    started = [event.activity_task_started_event_attributes for event in events]
    return max(one.attempt for one in started if one.scheduled_event_id in ours)


@dataclass(frozen=True)
class Crash:
    """What is killed as soon as the review is at a step; without a step, as soon as it is accepted."""

    victim: str
    step: str | None

    @property
    def review_id(self) -> str:
        return f"{self.victim}-at-{self.step or 'once'}"


CRASHES = (
    Crash("worker", "analyse"),
    Crash("postgres", "read"),
    Crash("postgres", "analyse"),
    Crash("temporal", "analyse"),
    Crash("valkey", None),
    # While it is given its turn, or before: the dispatcher with its worker, and what it works on.
    Crash("worker", None),
    Crash("temporal", None),
    Crash("postgres", None),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crashed(ways: Ways, eventually: "Eventually") -> dict[Crash, Handle]:
    """One crash after the other, each in the middle of a review; what it takes to recover passes for all together."""
    handles: dict[Crash, Handle] = {}
    for crash in CRASHES:
        handle = handles[crash] = await ways.submit(crash.review_id)
        if crash.step is not None:
            await eventually(f"{crash.step} is at work", partial(at_work, handle, crash.step))
        dead = ways.dev.kill(crash.victim)
        await eventually(f"{crash.victim} is started again", partial(restarted, ways.dev, crash.victim, dead))
    return handles


async def restarted(dev: Dev, name: str, dead: int) -> bool:
    return dev.is_restarted(name, dead)


@pytest.mark.parametrize("crash", CRASHES, ids=lambda crash: crash.review_id)
async def test_a_review_outlives_a_crash(
    ways: Ways, crashed: dict[Crash, Handle], crash: Crash, eventually: "Eventually"
) -> None:
    handle = crashed[crash]
    await eventually("the review waits for a person", partial(waits, handle), RECOVERED_S)
    if crash == CRASHES[0]:
        assert await attempts(handle, "analyse") > 1, "the worker was not killed in the middle of the analysis"
    await ways.approve(handle)
    await assert_whole(ways, handle)


async def test_a_signature_given_while_everything_dies_counts_once(ways: Ways, eventually: "Eventually") -> None:
    handle = await ways.submit("all-at-sign")
    await eventually("the review waits for a person", partial(waits, handle), RECOVERED_S)
    dead = {"worker": ways.dev.kill("worker")}
    await ways.approve(handle)
    dead |= {server: ways.dev.kill(server) for server in ("postgres", "valkey", "temporal")}

    async def done() -> bool:
        try:
            return (await handle.describe()).close_time is not None
        except RPCError:
            return False

    await eventually("the review is done", done, RECOVERED_S)
    assert all([await restarted(ways.dev, name, pid) for name, pid in dead.items()])
    await assert_whole(ways, handle)
