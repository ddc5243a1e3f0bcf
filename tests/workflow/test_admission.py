"""Admission as the workflow sees it: what was accepted begins at once, a raw start takes the same door as everyone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from helpers.contracts import HOSTILE, nda
from helpers.gate import limit
from helpers.stack import MACHINE, WAITING
from helpers.world import World, ended, finished
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle

from countersign.review.payloads import ReviewRequest, ReviewStatus
from countersign.words import Outcome, Stage, Verdict
from workers.dispatcher import Dispatcher
from workflows.review import ReviewWorkflow


@asynccontextmanager
async def limits(world: World, tenant: str | None = None, **fields: object) -> AsyncIterator[None]:
    """Other limits for as long as the block lasts: the world is all tests' own."""
    await limit(world.services.limits, tenant, **fields)
    try:
        yield
    finally:
        await limit(world.services.limits, tenant, **dict.fromkeys(fields))


async def submit(world: World, tenant: str, review_id: str) -> str:
    """Accepted by the intake, as gateway and command line do; the workflow id."""
    request = ReviewRequest(tenant=tenant, user="ana", playbook="lenient", review_id=review_id)
    return (await world.services.intake.submit(request, nda().encode(), "nda.md")).workflow_id


async def in_flight(world: World, tenant: str) -> int:
    return (await world.services.door.standing()).in_flight.get(tenant, 0)


async def events(handle: WorkflowHandle[ReviewWorkflow, ReviewStatus]) -> set["EventType.ValueType"]:
    return {event.event_type for event in (await handle.fetch_history()).events}


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in servers
            await asyncio.sleep(0.05)


async def until_in_the_room(world: World, tenant: str, review_id: str) -> None:
    async def waits() -> bool:
        return await world.services.intake.turn(tenant, review_id) is not None

    await until(waits)


async def test_what_was_accepted_begins_when_it_is_dispatched_and_gives_its_lease_back(world: World) -> None:
    workflow_id = await submit(world, "gate", "r-1")
    await Dispatcher(world.client, world.services).step()
    assert await in_flight(world, "gate") == 1
    handle: WorkflowHandle[ReviewWorkflow, ReviewStatus] = world.client.get_workflow_handle(
        workflow_id, result_type=ReviewStatus
    )
    await world.until_signing(handle)

    async def people_hold_no_lease() -> bool:
        return await in_flight(world, "gate") == 0

    await until(people_hold_no_lease)
    assert await world.events(workflow_id) == list(WAITING)
    row = await world.services.reviews.row("r-1", "gate")
    assert row.user_hash == world.services.pseudonyms.of("user", "ana")
    assert not row.waits_for_its_turn
    history = await handle.fetch_history()
    assert EventType.EVENT_TYPE_TIMER_STARTED not in {event.event_type for event in history.events[:8]}


async def test_a_raw_start_over_the_rate_is_refused_with_a_definite_answer(world: World) -> None:
    async with limits(world, "rate", user_per_hour=1):
        first = await world.start("review-rate-1", tenant="rate", text=nda())
        await world.until_signing(first)
        status = await ended(await world.start("review-rate-2", tenant="rate", text=nda()), "rate_limited")
    assert (status.outcome, status.stage) == (Outcome.RATE_LIMITED, Stage.DONE)
    assert status.failure is not None
    assert (status.failure.type, "an hour (1)" in status.failure.message) == ("RateLimited", True)
    assert "Submit again in" in status.failure.remedy
    assert [row.review_id for row in await world.services.reviews.list(tenant="rate")] == ["1"]


async def test_a_raw_start_into_a_full_room_is_overloaded(world: World) -> None:
    await submit(world, "full", "waits")
    async with limits(world, room=2):
        status = await ended(await world.start("review-full-1", tenant="full", text=nda()), "overloaded")
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.OVERLOADED, "Overloaded")
    await Dispatcher(world.client, world.services).step()


async def test_a_raw_start_waits_for_its_turn_in_a_durable_timer(world: World) -> None:
    await submit(world, "line", "before")
    handle = await world.start("review-line-behind", tenant="line", text=nda(), ask="Can we sign?")
    await until_in_the_room(world, "line", "behind")

    async def sleeps() -> bool:
        return EventType.EVENT_TYPE_TIMER_STARTED in await events(handle)

    await until(sleeps)
    assert (await handle.query(ReviewWorkflow.status)).stage is Stage.SUBMIT
    # It is not let in just because it asks again.
    await world.env.sleep(timedelta(minutes=1))
    assert (await handle.query(ReviewWorkflow.status)).stage is Stage.SUBMIT
    await Dispatcher(world.client, world.services).step()
    await world.env.sleep(timedelta(minutes=2))
    await world.until_signing(handle)
    assert (await world.events(handle.id))[: len(MACHINE)] == list(MACHINE)
    await world.decide(handle, Verdict.APPROVE, "bob")
    assert (await finished(world, handle, "waited")).outcome is Outcome.APPROVED


async def test_a_raw_start_that_waited_a_day_in_vain_is_overloaded(world: World) -> None:
    await submit(world, "day", "before")
    handle = await world.start("review-day-behind", tenant="day", text=nda())
    await until_in_the_room(world, "day", "behind")
    await world.services.db.execute(
        "UPDATE reviews SET submitted_at = now() - interval '25 hours' WHERE workflow_id = $1", handle.id
    )
    status = await handle.result()
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.OVERLOADED, "Overloaded")
    assert (await world.services.reviews.row("behind", "day")).outcome is Outcome.OVERLOADED
    assert await world.services.intake.turn("day", "behind") is None
    await Dispatcher(world.client, world.services).step()
    assert (await world.services.door.standing()).waiting.get("day") is None


async def test_blocked_reviews_make_their_user_pause(world: World) -> None:
    async with limits(world, "hostile", abuse_strikes=6, blocked_strikes=3):
        for number in range(2):
            handle = await world.start(f"review-hostile-{number}", tenant="hostile", text=HOSTILE)
            assert (await handle.result()).outcome is Outcome.BLOCKED
        status = await (await world.start("review-hostile-2", tenant="hostile", text=nda())).result()
        assert status.outcome is Outcome.RATE_LIMITED
        assert status.failure is not None
        assert "has to pause" in status.failure.message
        other = await world.start("review-hostile-3", tenant="hostile", user="bob", text=nda())
        await world.until_signing(other)


async def test_a_workflow_cannot_take_what_another_user_submitted(world: World) -> None:
    workflow_id = await submit(world, "theft", "r-1")
    document = await world.services.documents.ref(
        "theft",
        await world.services.db.pool.fetchval("SELECT document_id FROM reviews WHERE workflow_id = $1", workflow_id),
    )
    thief = await world.start(
        workflow_id, tenant="theft", user="mallory", review_id="r-1", document=document.model_dump(mode="json")
    )
    status = await thief.result()
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.FAILED, "InvalidRequest")
    await Dispatcher(world.client, world.services).step()
    handle: WorkflowHandle[ReviewWorkflow, ReviewStatus] = world.client.get_workflow_handle(
        workflow_id, result_type=ReviewStatus
    )
    await world.until_signing(handle)


async def test_the_door_away_fails_no_review(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from redis.exceptions import ConnectionError as RedisAway

    async def away(*_: object) -> None:
        raise RedisAway("away")

    for question in ("renew", "release", "strike"):
        monkeypatch.setattr(world.services.door, question, away)
    handle = await world.start("review-acme-no-door", text=nda())
    await world.until_signing(handle)
