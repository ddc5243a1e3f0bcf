"""BatchWorkflow and RerunWorkflow with real activities and databases: each contract once, whatever happens between."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, cast

import pytest
from helpers.contracts import HOSTILE, nda
from helpers.gate import limit
from helpers.world import HISTORIES, World, portable
from temporalio import workflow
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.testing import ActivityEnvironment
from temporalio.worker import Worker

from activities.batch import Batches
from countersign.batch.compare import compare
from countersign.batch.payloads import (
    BatchInput,
    BatchKey,
    BatchOrder,
    BatchStanding,
    BatchState,
    BeginInput,
    RerunInput,
    WatchInput,
    WatchResult,
)
from countersign.batch.rerun import batch_workflow_id, rerun_workflow_id
from countersign.review.payloads import ReviewRequest, ReviewStatus
from countersign.store.batch_results import ItemResult
from countersign.store.waiting import InLine
from countersign.words import Outcome, Verdict
from starters.batches import NewContract, choose, take_in
from starters.client import ReviewClient
from workers.batches import start_batches
from workers.dispatcher import Dispatcher, dispatching
from workflows import options

Batch = WorkflowHandle[Any, BatchStanding]
LAWS = ("Ireland", "France", "Chile", "Norway", "Japan", "Kenya", "Peru", "Spain")


def _suffix(data: bytes) -> str:
    return "pdf" if data.startswith(b"%PDF") else "md"


@dataclass
class Bench:
    """A client of the world's services, and its batches."""

    world: World

    @property
    def client(self) -> ReviewClient:
        """As far as taking in needs one."""
        services, settings = self.world.services, self.world.services.settings

        class OfTheWorld:
            def __init__(self) -> None:
                self.settings = settings

            async def services(self) -> Any:
                return services

        return cast(ReviewClient, OfTheWorld())

    async def submit(self, tenant: str, contracts: Sequence[str | bytes], **given: Any) -> BatchKey:
        """Take contracts in; `given` are fields of the order, `window` and `batch_id`."""
        data = [one.encode() if isinstance(one, str) else one for one in contracts]
        new = [
            NewContract(f"{n}.{_suffix(one)}", sha256(one).hexdigest(), partial(bytes, one))
            for n, one in enumerate(data)
        ]
        window, batch_id = given.pop("window", 4), given.pop("batch_id", None)
        order = BatchOrder.model_validate({"user": "ana", "playbook": "lenient", **given})
        taken = await take_in(self.client, tenant, order, new, window=window, batch_id=batch_id)
        return taken.batch.key

    async def start(self, key: BatchKey, **given: Any) -> Batch:
        """Start its workflow by hand, with fields of its input that a worker leaves alone."""
        await self.world.services.batches.started(key)
        return await self.world.client.start_workflow(
            "BatchWorkflow",
            BatchInput(tenant=key.tenant, batch_id=key.batch_id, **given),
            id=batch_workflow_id(key),
            task_queue=options.BATCH_QUEUE,
            result_type=BatchStanding,
        )

    def handle(self, key: BatchKey) -> Batch:
        return self.world.client.get_workflow_handle(batch_workflow_id(key), result_type=BatchStanding)

    async def results(self, key: BatchKey) -> tuple[ItemResult, ...]:
        return await self.world.services.batch_results.of(key)

    async def until(self, handle: Batch, condition: Any) -> BatchStanding:
        async with asyncio.timeout(60):
            while True:
                standing = await handle.query("status", result_type=BatchStanding)
                if condition(standing):
                    return standing
                await asyncio.sleep(0.05)

    async def ended(self, handle: Batch, route: str | None = None) -> BatchStanding:
        """The last standing; the last run's history becomes a stored one when COUNTERSIGN_SAVE_HISTORIES is set."""
        standing = await handle.result()
        if route is not None and os.environ.get("COUNTERSIGN_SAVE_HISTORIES"):
            await self.save(handle, route)
        return standing

    async def save(self, handle: WorkflowHandle[Any, Any], route: str) -> None:
        history = portable(json.loads((await handle.fetch_history()).to_json()))
        (HISTORIES / f"{route}.json").write_text(json.dumps(history, indent=1) + "\n")


@pytest.fixture
async def bench(world: World) -> AsyncIterator[Bench]:
    """With a dispatcher for as long as the test lasts."""
    async with dispatching(world.client, world.services):
        yield Bench(world)


@asynccontextmanager
async def limits(world: World, tenant: str | None, **fields: object) -> AsyncIterator[None]:
    await limit(world.services.limits, tenant, **fields)
    try:
        yield
    finally:
        await limit(world.services.limits, tenant, **dict.fromkeys(fields))


async def test_a_batch_goes_to_its_end_and_a_broken_contract_is_one_failed_item(bench: Bench) -> None:
    contracts = [*(nda(law=law) for law in LAWS[:5]), b"%PDF-1.4 broken", HOSTILE, b"\x89PNG\r\n\x1a\n"]
    key = await bench.submit("crate", contracts, ask="Which law governs?", window=3)
    assert await start_batches(bench.world.client, bench.world.services) == 1
    assert await start_batches(bench.world.client, bench.world.services) == 0
    standing = await bench.ended(bench.handle(key), "batch_done")
    assert (standing.state, standing.items, standing.in_flight) == (BatchState.DONE, 8, 0)
    assert standing.ended == {"blocked": 1, "failed": 2, "waiting": 5}
    results = await bench.results(key)
    assert [one.ended for one in results] == [*["waiting"] * 5, "failed", "blocked", "failed"]
    assert [one.name for one in results][5:] == ["5.pdf", "6.md", "7.md"]
    assert "PNG" in results[7].message
    row = await bench.world.services.batches.row(key)
    assert (row.state, row.ended_at is not None) == (BatchState.DONE, True)
    # It waits for a person, and is signed as any other; the batch's requester may not.
    review: WorkflowHandle[Any, Any] = bench.world.client.get_workflow_handle(f"review-crate-{results[0].review_id}")
    await bench.world.decide(review, Verdict.APPROVE, "bob")
    assert (await review.result())["outcome"] == "approved"
    assert (await bench.results(key))[0].outcome == Outcome.APPROVED


async def test_reviews_of_a_batch_go_below_interactive_work_with_all_their_steps(bench: Bench) -> None:
    key = await bench.submit("below", [nda()])
    await start_batches(bench.world.client, bench.world.services)
    await bench.handle(key).result()
    [result] = await bench.results(key)
    handle: WorkflowHandle[Any, Any] = bench.world.client.get_workflow_handle(f"review-below-{result.review_id}")
    events = (await handle.fetch_history()).events
    started = events[0].workflow_execution_started_event_attributes.priority
    tenant_hash = bench.world.services.pseudonyms.of("tenant", "below")
    assert (started.priority_key, started.fairness_key) == (options.BATCH_KEY, tenant_hash[:64])
    scheduled = "activity_task_scheduled_event_attributes"
    steps = [getattr(one, scheduled) for one in events if one.HasField(scheduled)]
    assert len(steps) > 5
    assert {step.priority.priority_key for step in steps} == {options.BATCH_KEY}


async def test_the_same_contracts_again_are_the_same_batch_and_double_nothing(bench: Bench) -> None:
    contracts = [nda(law=law) for law in LAWS[:3]]
    first = await bench.submit("twice", contracts)
    assert await bench.submit("twice", contracts) == first
    assert await bench.submit("twice", contracts, ask="Something else?") != first
    await start_batches(bench.world.client, bench.world.services)
    await bench.handle(first).result()
    assert await bench.submit("twice", contracts) == first
    assert await start_batches(bench.world.client, bench.world.services) == 0
    # Started a second time by hand, it finds every item begun and ended.
    again = await bench.world.client.start_workflow(
        "BatchWorkflow",
        {"tenant": "twice", "batch_id": first.batch_id},
        id="by-hand",
        task_queue=options.BATCH_QUEUE,
        result_type=BatchStanding,
    )
    assert (await again.result()).ended == {"waiting": 3}
    rows = await bench.world.services.db.fetch("SELECT review_id FROM reviews WHERE batch_id = $1", first.batch_id)
    assert len(rows) == 3


async def test_a_batch_goes_on_in_new_runs_and_loses_no_count(bench: Bench) -> None:
    key = await bench.submit("long", [nda(law=law) for law in LAWS], window=1)
    handle = await bench.start(key, renew_at=60)
    standing = await bench.ended(handle, "batch_renewed")
    assert (standing.state, standing.ended) == (BatchState.DONE, {"waiting": 8})
    assert standing.runs >= 2
    first = bench.world.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
    events = (await first.fetch_history()).events
    assert events[-1].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW
    assert 60 <= len(events) < 120
    carried = events[-1].workflow_execution_continued_as_new_event_attributes.input.payloads[0]
    assert len(carried.data) < 1000


async def test_pause_resume_and_cancel_by_update_and_by_the_plain_cli_signals(bench: Bench) -> None:
    key = await bench.submit("stop", [nda(law=law) for law in LAWS], window=2)
    handle = await bench.start(key)
    await bench.until(handle, lambda one: one.begun >= 2)
    await handle.signal("pause")
    paused = await bench.until(handle, lambda one: one.state is BatchState.PAUSED and one.in_flight == 0)
    assert 2 <= paused.begun < 8

    async def is_stored() -> bool:
        return (await bench.world.services.batches.row(key)).state is BatchState.PAUSED

    async with asyncio.timeout(60):
        while not await is_stored():  # noqa: ASYNC110 - what is waited for happens in a server
            await asyncio.sleep(0.05)
    resumed = await handle.execute_update("resume", result_type=BatchStanding)
    assert resumed.state is BatchState.RUNNING
    await bench.until(handle, lambda one: one.begun > paused.begun)
    cancelling = await handle.execute_update("cancel", result_type=BatchStanding)
    assert cancelling.state in (BatchState.CANCELLING, BatchState.CANCELLED)
    standing = await bench.ended(handle, "batch_cancelled")
    assert standing.state is BatchState.CANCELLED
    assert standing.begun < 8
    assert standing.ended["cancelled"] == 8 - standing.begun
    results = await bench.results(key)
    assert [one.ended for one in results] == ["waiting"] * standing.begun + ["cancelled"] * (8 - standing.begun)
    # What was only taken in is erased with its name; what was begun is there.
    assert [one.name is None for one in results] == [False] * standing.begun + [True] * (8 - standing.begun)
    wrapped = await bench.world.services.db.fetch("SELECT FROM data_keys WHERE tenant = 'stop' AND wrapped IS NULL")
    assert len(wrapped) == 8 - standing.begun


async def test_temporals_own_cancel_tears_nothing_off(bench: Bench) -> None:
    key = await bench.submit("halt", [nda(law=law) for law in LAWS], window=2)
    handle = await bench.start(key)
    await bench.until(handle, lambda one: one.begun >= 2)
    await handle.cancel()
    standing = await handle.result()
    assert (standing.state, standing.in_flight) == (BatchState.CANCELLED, 0)
    assert sum(standing.ended.values()) == 8
    counts = await bench.world.services.batches.counts(key)
    assert counts == standing.ended


async def test_a_batch_waits_for_its_allowance_and_takes_nothing_of_its_users(bench: Bench) -> None:
    async with limits(bench.world, "slow", batch_per_hour=2, user_per_hour=1):
        key = await bench.submit("slow", [nda(law=law) for law in LAWS[:4]])
        handle = await bench.start(key)
        waits = await bench.until(handle, lambda one: one.waits_for and one.in_flight == 0)
        assert (waits.state, waits.begun, waits.ended) == (BatchState.RUNNING, 2, {"waiting": 2})
        # The user's own hour is untouched, and the batch's patience was nobody's strike.
        request = ReviewRequest(tenant="slow", user="ana", playbook="lenient", review_id="mine")
        await bench.world.services.intake.submit(request, nda().encode(), "nda.md")
        await bench.world.env.sleep(1800)
        await handle.execute_update("cancel", result_type=BatchStanding)
        assert (await handle.result()).state is BatchState.CANCELLED


async def test_batches_leave_room_for_those_who_wait_for_an_answer(world: World) -> None:
    bench = Bench(world)
    async with limits(world, None, in_flight_all=4, batch_share=0.5):
        key = await bench.submit("room", [nda(law=law) for law in LAWS[:6]], window=6)
        handle = await bench.start(key)
        await bench.until(handle, lambda one: one.in_flight == 6)
        request = ReviewRequest(tenant="room", user="eve", playbook="lenient", review_id="late")
        await world.services.intake.submit(request, nda().encode(), "nda.md")
        assert (await world.services.waiting.in_line("room", "late")) == InLine(0, batch=False), (
            "it came last, and is next"
        )
        await Dispatcher(world.client, world.services).step()
        row = await world.services.reviews.row("late", "room")
        assert row.dispatched_at is not None
        of_batches = await world.services.db.fetch(
            "SELECT FROM reviews WHERE batch_id = $1 AND dispatched_at IS NOT NULL", key.batch_id
        )
        assert len(of_batches) == 2, "half of four leases"
        async with dispatching(world.client, world.services):
            assert (await handle.result()).ended == {"waiting": 6}


async def test_an_unknown_batch_fails_and_says_why(bench: Bench) -> None:
    handle = await bench.world.client.start_workflow(
        "BatchWorkflow",
        {"tenant": "none", "batch_id": "b-none"},
        id="batch-none-b-none",
        task_queue=options.BATCH_QUEUE,
        result_type=BatchStanding,
    )
    standing = await handle.result()
    assert (standing.state, standing.failure and standing.failure.type) == (BatchState.FAILED, "NotFound")


async def test_a_rerun_compares_and_changes_nothing_of_what_is_stored(bench: Bench) -> None:
    world, services = bench.world, bench.world.services
    key = await bench.submit("again", [nda(law=law) for law in LAWS[:3]])
    await start_batches(world.client, services)
    await bench.handle(key).result()
    ids = [one.review_id for one in await bench.results(key)]
    first: WorkflowHandle[Any, Any] = world.client.get_workflow_handle(f"review-again-{ids[0]}")
    shown = await first.query("status", result_type=ReviewStatus)
    assert shown.analysis is not None
    changed = shown.analysis.key_findings[0]
    edit = {"action": "set", "finding_id": changed.id, "severity": "critical"}
    await world.decide(first, Verdict.AMEND, "bob", edits=[edit])
    await first.result()
    await services.db.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE tenant = 'again' AND review_id = $1", ids[2]
    )
    tables = ("reviews", "audit_trails", "pairs", "corrections", "profiles")
    of_ours = "SELECT * FROM {} WHERE tenant = 'again' ORDER BY 1, 2, 3"  # reviews of other tests may still run
    before = {name: await services.db.fetch(of_ours.format(name)) for name in tables}

    order = BatchOrder(user="lead", playbook="lenient", other_playbook="strict")
    submitted = [(await services.reviews.row(one, "again")).submitted_at for one in ids]
    rerun = await choose(
        bench.client, "again", order, since=min(submitted), until=max(submitted), of_playbook=None, limit=10, window=2
    )
    assert rerun.items == 3
    await start_batches(world.client, services)
    standing = await bench.ended(bench.handle(rerun.key), "batch_rerun")
    assert (standing.state, standing.ended) == (BatchState.DONE, {"done": 2, "erased": 1})
    position = next(
        n for n, one in enumerate(await services.batch_results.compared(rerun.key)) if one.again is not None
    )
    child: WorkflowHandle[Any, Any] = world.client.get_workflow_handle(rerun_workflow_id(rerun.key, position))
    if os.environ.get("COUNTERSIGN_SAVE_HISTORIES"):
        await bench.save(child, "rerun")

    after = {name: await services.db.fetch(of_ours.format(name)) for name in tables}
    assert after == before
    found = compare(await services.batch_results.compared(rerun.key))
    assert (found.chosen, found.pairs, found.left_out) == (3, 2, {"erased": 1})
    assert found.people is not None
    assert found.people.reviews == 1
    assert found.people.stored.value == pytest.approx(1 - 1 / found.people.clauses), "what a person corrected was wrong"
    assert [flip.clause for flip in found.flips if flip.person == "corrected"] == [changed.clause]
    ledger = await services.db.fetch("SELECT DISTINCT workflow_id FROM ledger WHERE workflow_id LIKE 'rerun-again-%'")
    assert len(ledger) == 2, "what it costs is entered as its own"
    in_flight = (await services.door.standing()).in_flight
    assert in_flight.get("again", 0) == 0, "leases are given back"


async def test_the_same_arm_again_says_the_same(bench: Bench) -> None:
    world, services = bench.world, bench.world.services
    key = await bench.submit("same", [nda(law=law) for law in LAWS[:2]])
    await start_batches(world.client, services)
    await bench.handle(key).result()
    rows = [await services.reviews.row(one.review_id, "same") for one in await bench.results(key)]
    times = [row.submitted_at for row in rows]
    order = BatchOrder(user="lead", playbook="lenient", model="offline")
    rerun = await choose(
        bench.client, "same", order, since=min(times), until=max(times), of_playbook="lenient", limit=10, window=1
    )
    await start_batches(world.client, services)
    await bench.handle(rerun.key).result()
    found = compare(await services.batch_results.compared(rerun.key))
    assert (found.pairs, found.flips, found.route_flips) == (2, (), ())
    assert found.clauses_same.value == 1.0


async def test_a_rerun_of_something_else_is_kept_as_failed(bench: Bench) -> None:
    key = await bench.submit("wrong", [nda()])
    handle = await bench.world.client.start_workflow(
        "RerunWorkflow", RerunInput(key=key, position=0), id="rerun-wrong", task_queue=options.BATCH_QUEUE
    )
    await handle.result()
    [item] = await bench.world.services.batches.items(key, [0])
    assert item.ended == "failed"


@workflow.defn(sandboxed=False)
class Idle:
    """Under way until it is ended by hand."""

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)


async def idle(world: World, workflow_id: str) -> WorkflowHandle[Any, Any]:
    """An idle workflow. Its first task is done: while one is open, the server's clock would skip for nobody."""
    async with Worker(world.client, task_queue="idle", workflows=[Idle]):
        handle = await world.client.start_workflow(Idle.run, id=workflow_id, task_queue="idle")
        await handle.query("__stack_trace")
    return handle


async def watched(world: World, key: BatchKey, positions: tuple[int, ...]) -> WatchResult:
    """One look without patience."""
    environment = ActivityEnvironment(client=world.client)
    given = WatchInput(key=key, positions=positions, patience_s=0)
    return cast(WatchResult, await environment.run(Batches(world.services).watch, given))


async def test_reviews_that_were_terminated_by_hand_are_failed_items_and_the_batch_ends(world: World) -> None:
    bench = Bench(world)
    key = await bench.submit("ended", [nda(law=law) for law in LAWS[:3]], window=3)
    given = BeginInput(key=key, positions=(0, 1, 2))
    await ActivityEnvironment(client=world.client).run(Batches(world.services).begin, given)
    ids = [one.review_id for one in await bench.results(key)]
    workflows = [f"review-ended-{review_id}" for review_id in ids]
    first, other = [await idle(world, one) for one in workflows[:2]]  # the third was deleted
    await first.terminate("by hand")
    # Of what was written a moment ago nobody asks.
    await world.services.db.execute(
        "UPDATE reviews SET dispatched_at = now(), started_at = now(), updated_at = now() WHERE batch_id = $1",
        key.batch_id,
    )
    assert (await watched(world, key, (0, 1, 2))).ended == ()
    await world.services.db.execute(
        "UPDATE reviews SET updated_at = now() - interval '2 minutes' WHERE batch_id = $1", key.batch_id
    )
    assert [one.position for one in (await watched(world, key, (0, 1, 2))).ended] == [0, 2], "the other runs"
    await other.terminate("by hand")
    standing = await (await bench.start(key)).result()
    assert (standing.state, standing.ended) == (BatchState.DONE, {"failed": 3})
    results = await bench.results(key)
    assert [one.message for one in results] == [
        "terminated outside Countersign",
        "terminated outside Countersign",
        "its workflow was deleted outside Countersign",
    ]
    assert {one.failure for one in results} == {"WorkflowLost"}


async def test_a_rerun_that_was_terminated_by_hand_is_a_failed_item_and_gives_its_lease_back(bench: Bench) -> None:
    world, services = bench.world, bench.world.services
    key = await bench.submit("rerun", [nda(law=law) for law in LAWS[:2]])
    await start_batches(world.client, services)
    await bench.handle(key).result()
    times = [(await services.reviews.row(one.review_id, "rerun")).submitted_at for one in await bench.results(key)]
    order = BatchOrder(user="lead", playbook="lenient", model="offline")
    rerun = await choose(
        bench.client, "rerun", order, since=min(times), until=max(times), of_playbook=None, limit=10, window=2
    )
    given = BeginInput(key=rerun.key, positions=(0, 1))
    begun = await ActivityEnvironment(client=world.client).run(Batches(services).begin, given)
    assert begun.begun == (0, 1)
    gone, other = [await idle(world, rerun_workflow_id(rerun.key, position)) for position in (0, 1)]
    await gone.terminate("by hand")
    await services.db.execute("UPDATE reviews SET updated_at = now() - interval '2 minutes' WHERE tenant = 'rerun'")
    assert (await services.door.standing()).in_flight["rerun"] == 2
    result = await watched(world, rerun.key, (0, 1))
    assert [(one.position, one.how) for one in result.ended] == [(0, "failed")]
    assert [one.message for one in await services.batch_results.of(rerun.key)] == ["terminated outside Countersign", ""]
    assert (await services.door.standing()).in_flight["rerun"] == 1
    await other.terminate("by hand")
