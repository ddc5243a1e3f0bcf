"""The dispatcher on real Postgres and Valkey, with a stand-in for Temporal that can fail before and after it acted.

Whatever dies at whatever moment: every accepted review is started, once, in fair order, within the bounds.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from helpers.contracts import nda
from helpers.gate import limit, services_on
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import Priority, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from countersign.admission.intake import Running
from countersign.review.payloads import ReviewKey, ReviewRequest, ReviewStatus
from countersign.services import Services
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault
from countersign.words import Autonomy, Outcome, Stage
from workers import dispatcher as dispatcher_module
from workers.dispatcher import Dispatcher, dispatching

if TYPE_CHECKING:
    from redis.asyncio import Redis

DATA = nda().encode()
AWAY = RPCError("no route", RPCStatusCode.UNAVAILABLE, b"")
LATE = RPCError("deadline", RPCStatusCode.DEADLINE_EXCEEDED, b"")
WRONG = RPCError("bad", RPCStatusCode.INVALID_ARGUMENT, b"")
RUNNING, CLOSED = WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.TERMINATED


@dataclass
class Temporal:
    """Workflows by id, each with its runs, as a Temporal server would have them."""

    runs: dict[str, list[WorkflowExecutionStatus]] = field(default_factory=dict)
    requests: list[ReviewRequest] = field(default_factory=list)
    priorities: dict[str, Priority] = field(default_factory=dict)
    before: dict[str, RPCError] = field(default_factory=dict)
    """Raised instead of starting, by workflow id; "" means any."""
    after: dict[str, RPCError] = field(default_factory=dict)
    """Raised once after the start has been made."""

    async def start_workflow(
        self,
        _: object,
        request: ReviewRequest,
        *,
        id: str,  # noqa: A002 - the SDK's word
        id_reuse_policy: WorkflowIDReusePolicy,
        priority: Priority,
        **__: object,
    ) -> None:
        await asyncio.sleep(0)
        if error := self.before.get(id) or self.before.get(""):
            raise error
        runs = self.runs.setdefault(id, [])
        if runs and (id_reuse_policy is WorkflowIDReusePolicy.REJECT_DUPLICATE or runs[-1] is RUNNING):
            raise WorkflowAlreadyStartedError(id, "ReviewWorkflow")
        runs.append(RUNNING)
        self.requests.append(request)
        self.priorities[id] = priority
        if error := self.after.pop(id, None):
            raise error

    def get_workflow_handle(self, workflow_id: str) -> Any:  # a stand-in for WorkflowHandle
        async def describe(**_: object) -> Any:
            if workflow_id not in self.runs:
                raise RPCError("none", RPCStatusCode.NOT_FOUND, b"")
            return SimpleNamespace(status=self.runs[workflow_id][-1])

        return SimpleNamespace(describe=describe)

    @property
    def tenants(self) -> list[str]:
        """Whose reviews were started, in order."""
        return [request.tenant for request in self.requests]


@pytest.fixture
async def services(url: str, valkey: Path, redis: "Redis", tmp_path: Path) -> AsyncIterator[Services]:
    async with services_on(url, valkey, tmp_path) as opened:
        yield opened


@pytest.fixture
def temporal() -> Temporal:
    return Temporal()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again by the very next look, and every look tells the door."""
    for name in ("AWAY_S", "ROW_S"):
        monkeypatch.setattr(dispatcher_module, name, (0.0, 0.0))
    monkeypatch.setattr(dispatcher_module, "SYNC_S", 0.0)
    for name in ("BUSY_S", "IDLE_S", "TAKE_OVER_S"):
        monkeypatch.setattr(dispatcher_module, name, 0.01)


def new(temporal: Temporal, services: Services) -> Dispatcher:
    """A dispatcher, as it is in a new process."""
    return Dispatcher(cast("Client", temporal), services)


async def submit(services: Services, *names: str, playbook: str = "lenient") -> None:
    """Reviews named "tenant/id"."""
    for name in names:
        tenant, review_id = name.split("/")
        request = ReviewRequest(tenant=tenant, user="ana", playbook=playbook, review_id=review_id)
        await services.intake.submit(request, DATA, "nda.md")


async def enter_by_hand(services: Services, review_id: str) -> bool:
    """A raw start's admission; whether it flies at once."""
    request = ReviewRequest(tenant="acme", user="ana", playbook="lenient", text="x")
    running = Running(f"by-hand-{review_id}", "run-1")
    async with services.intake.entering("acme", "ana", review_id, running=running) as place:
        upload = services.intake.upload("acme", review_id)
        await upload.write(DATA)
        return (await place.accept(request, upload)).in_flight


async def finish(services: Services, name: str, waiting_for: str | None = None) -> None:
    """The machine's part of a review is over: it waits for somebody, or has ended."""
    tenant, review_id = name.split("/")
    status = ReviewStatus(
        review_id=review_id,
        workflow_id=f"review-{tenant}-{review_id}",
        tenant=tenant,
        stage=Stage.SIGN if waiting_for else Stage.DONE,
        outcome=None if waiting_for else Outcome.RELEASED,
    )
    version = 1 + await services.db.pool.fetchval(
        "SELECT version FROM reviews WHERE tenant = $1 AND review_id = $2", tenant, review_id
    )
    await services.reviews.project(status.model_copy(update={"waiting_for": waiting_for}), version)
    await services.door.release(tenant, review_id)


async def states(services: Services) -> Counter[str]:
    """How many reviews wait, have had their turn, and are started."""
    rows = await services.db.fetch("SELECT dispatched_at, started_at, outcome FROM reviews")
    return Counter(
        row["outcome"] or ("started" if row["started_at"] else "due" if row["dispatched_at"] else "waiting")
        for row in rows
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110 - Postgres raises no event here
            await asyncio.sleep(0.01)


async def test_what_was_accepted_is_started_once_with_its_own_request(services: Services, temporal: Temporal) -> None:
    await limit(services.limits, "acme", weight=2.5)
    await submit(services, "acme/a", "acme/b")
    dispatcher = new(temporal, services)
    assert await dispatcher.step()
    assert set(temporal.runs) == {"review-acme-a", "review-acme-b"}
    [first, _] = temporal.requests
    assert (first.review_id, first.user, first.text) == ("a", "ana", None)
    assert first.document is not None
    assert await services.documents.get("acme", first.document.document_id) == DATA
    priority = temporal.priorities["review-acme-a"]
    assert (priority.fairness_key, priority.fairness_weight) == (services.pseudonyms.of("tenant", "acme"), 2.5)
    assert await states(services) == {"started": 2}
    assert (await services.door.standing()).in_flight == {"acme": 2}
    assert not await dispatcher.step(), "nothing is left to do"
    assert len(temporal.requests) == 2


async def fails(*_: object, **__: object) -> None:
    raise OSError("died here")


CRASHES = {
    "between two grants": ("door", "grant"),
    "before dispatched_at": ("waiting", "dispatched"),
    "before the start": ("waiting", "unstarted"),
    "before started_at": ("waiting", "started"),
}


@pytest.mark.parametrize("part", CRASHES.values(), ids=CRASHES)
@pytest.mark.parametrize("successor", ["itself", "another"])
async def test_a_crash_at_any_moment_starts_everything_once(
    services: Services, temporal: Temporal, monkeypatch: pytest.MonkeyPatch, part: tuple[str, str], successor: str
) -> None:
    """With as many leases in the house as reviews: those out at the crash must not be lost either."""
    await limit(services.limits, in_flight_all=3)
    await submit(services, "acme/a", "other/b", "acme/c")
    one, (owner, method) = new(temporal, services), part
    real = getattr(getattr(services, owner), method)

    async def once(*given: object) -> object:
        """The second lease is given, and nobody hears of it."""
        done = await real(*given)
        if given != ("acme", "a"):
            raise OSError("died here")
        return done

    with monkeypatch.context() as patch:
        patch.setattr(getattr(services, owner), method, once if method == "grant" else fails)
        with pytest.raises(OSError, match="died here"):
            await one.step()
    then = one if successor == "itself" else new(temporal, services)
    await then.step()
    await then.step()
    assert await states(services) == {"started": 3}
    assert {name: len(runs) for name, runs in temporal.runs.items()} == dict.fromkeys(
        ("review-acme-a", "review-other-b", "review-acme-c"), 1
    )


async def test_a_start_that_nobody_knows_of_is_not_made_again(services: Services, temporal: Temporal) -> None:
    temporal.after["review-acme-a"] = LATE
    await submit(services, "acme/a")
    await new(temporal, services).step()
    assert await states(services) == {"due": 1}
    await new(temporal, services).step()
    assert await states(services) == {"started": 1}
    assert temporal.runs == {"review-acme-a": [RUNNING]}


async def test_two_dispatchers_at_once_start_everything_once(services: Services, temporal: Temporal) -> None:
    await submit(services, *(f"t{number % 3}/r{number}" for number in range(12)))
    pair = [new(temporal, services), new(temporal, services)]
    for _ in range(3):
        await asyncio.gather(*(one.step() for one in pair))
    assert await states(services) == {"started": 12}
    assert {len(runs) for runs in temporal.runs.values()} == {1}
    assert len(temporal.runs) == 12


async def test_one_leads_and_another_takes_over_when_its_connection_dies(
    services: Services, temporal: Temporal
) -> None:
    client = cast("Client", temporal)
    # The server has a database for each test, and shows the locks of all of them.
    holders = (
        "SELECT pid FROM pg_locks JOIN pg_database ON oid = database "
        "WHERE locktype = 'advisory' AND granted AND datname = current_database()"
    )

    async def leader() -> list[int]:
        return [row["pid"] for row in await services.db.fetch(holders)]

    async def all_started() -> bool:
        return (await states(services)).keys() == {"started"}

    async def led() -> bool:
        return len(await leader()) == 1

    async def free() -> bool:
        return await leader() == []

    async with dispatching(client, services), dispatching(client, services):
        await until(led)
        await submit(services, "acme/a")
        await until(all_started)
        [pid] = await leader()
        await services.db.execute("SELECT pg_terminate_backend($1)", pid)
        await submit(services, "acme/b")
        await until(all_started)
        assert await leader() != [pid]
    assert {name: len(runs) for name, runs in temporal.runs.items()} == {"review-acme-a": 1, "review-acme-b": 1}
    await until(free)  # a dispatcher that is stopped leads no more


async def test_bounds_of_house_and_tenant_hold_and_the_light_tenant_is_not_behind_the_heavy_one(
    services: Services, temporal: Temporal
) -> None:
    await limit(services.limits, in_flight_all=5, in_flight=4)
    await submit(services, *(f"heavy/r{number}" for number in range(9)), "light/r0", "light/r1")
    dispatcher = new(temporal, services)
    await dispatcher.step()
    assert Counter(temporal.tenants) == {"heavy": 3, "light": 2}
    await dispatcher.step()
    assert len(temporal.requests) == 5, "the house is full"
    for name in ("light/r0", "light/r1"):
        await finish(services, name)
    await dispatcher.step()
    assert Counter(temporal.tenants) == {"heavy": 4, "light": 2}, "a tenant's own bound holds in an empty house too"
    assert [request.review_id for request in temporal.requests if request.tenant == "heavy"] == ["r0", "r1", "r2", "r3"]


async def test_work_that_would_need_a_person_waits_while_the_reviewers_are_overrun(
    services: Services, temporal: Temporal
) -> None:
    await limit(services.limits, "acme", attention=2)
    await services.profile.grant("acme", "strict", "nda", Autonomy.SEMI_AUTONOMOUS, by_hash="p1:t", reason="test")
    await submit(services, "acme/a", "acme/b", "acme/c", "other/d")
    dispatcher = new(temporal, services)
    await dispatcher.step()
    assert set(temporal.runs) == {"review-acme-a", "review-acme-b", "review-other-d"}, "two occupy the reviewers"
    await finish(services, "acme/a", "reviewer")
    await submit(services, "acme/e", playbook="strict")
    await new(temporal, services).step()
    assert set(temporal.runs) - {"review-acme-a", "review-acme-b", "review-other-d"} == {"review-acme-e"}
    assert not await enter_by_hand(services, "f"), "a raw start waits too"
    await finish(services, "acme/a", "requester")
    await dispatcher.step()
    assert "review-acme-c" in temporal.runs
    assert await states(services) == {"started": 5, "waiting": 1}


async def test_temporal_away_loses_nothing_and_gives_no_more_turns(services: Services, temporal: Temporal) -> None:
    await limit(services.limits, in_flight_all=2)
    await submit(services, "acme/a", "acme/b", "acme/c")
    temporal.before[""] = AWAY
    dispatcher = new(temporal, services)
    for _ in range(3):
        await dispatcher.step()
    assert await states(services) == {"due": 2, "waiting": 1}
    temporal.before.clear()
    await dispatcher.step()
    assert await states(services) == {"started": 2, "waiting": 1}


async def test_while_temporal_takes_no_starts_it_is_not_asked_for_each_review(
    services: Services, temporal: Temporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "AWAY_S", (60.0, 60.0))
    monkeypatch.setattr(dispatcher_module, "AT_ONCE", 1)
    asked: list[str] = []

    async def away(*_: object, **options: Any) -> None:
        asked.append(options["id"])
        raise AWAY

    monkeypatch.setattr(temporal, "start_workflow", away)
    await submit(services, "acme/a", "acme/b")
    dispatcher = new(temporal, services)
    await dispatcher.step()
    await submit(services, "acme/c")
    await dispatcher.step()
    assert asked == ["review-acme-a"]
    assert await states(services) == {"due": 2, "waiting": 1}


async def test_one_that_cannot_be_started_keeps_no_other_waiting(
    services: Services, temporal: Temporal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher_module, "BATCH", 1)
    await submit(services, "acme/a", "acme/b", "acme/c", "acme/d")
    await DataKeys(services.db, Vault(bytes(32))).destroy("acme", "b")
    await services.db.execute("UPDATE reviews SET request = 'garbled' WHERE review_id = 'c'")
    temporal.before["review-acme-a"] = WRONG
    dispatcher = new(temporal, services)
    for _ in range(4):
        await dispatcher.step()
    assert set(temporal.runs) == {"review-acme-d"}
    assert await states(services) == {"started": 1, "due": 1, "failed": 2}
    for review_id, why in (("b", "erased"), ("c", "does not open")):
        closed = await services.reviews.status(review_id)
        assert (closed.stage, closed.outcome) == (Stage.DONE, Outcome.FAILED)
        assert closed.failure is not None
        assert why in closed.failure.message
    assert (await services.door.standing()).in_flight == {"acme": 2}
    temporal.before.clear()
    await dispatcher.step()
    assert (await states(services))["started"] == 2


async def test_an_id_that_somebody_else_used_up_still_serves_the_review_it_belongs_to(
    services: Services, temporal: Temporal
) -> None:
    await submit(services, "acme/a", "acme/b", "acme/c")
    taken = services.acceptances.take
    rows = {row.review_id: row for row in await services.reviews.list()}
    document_id = await services.db.pool.fetchval("SELECT document_id FROM reviews WHERE review_id = 'c'")
    ours = {"document_id": document_id, "user_hash": rows["c"].user_hash, "run_id": "run-1"}
    await taken(ReviewKey(tenant="acme", review_id="c", workflow_id="review-acme-c"), **ours)
    temporal.runs = {"review-acme-a": [CLOSED], "review-acme-b": [RUNNING], "review-acme-c": [CLOSED]}
    await new(temporal, services).step()
    assert temporal.runs == {
        "review-acme-a": [CLOSED, RUNNING],
        "review-acme-b": [RUNNING],
        "review-acme-c": [CLOSED],
    }, "only a run that was never admitted gives its id back"
    assert await states(services) == {"started": 3}


async def test_a_raw_start_waits_for_its_turn_and_one_that_was_stopped_is_over(
    services: Services, temporal: Temporal
) -> None:
    await limit(services.limits, in_flight_all=1)
    await submit(services, "other/a")
    dispatcher = new(temporal, services)
    await dispatcher.step()
    assert [await enter_by_hand(services, name) for name in ("b", "c")] == [False, False]
    temporal.runs |= {"by-hand-b": [CLOSED], "by-hand-c": [RUNNING]}
    await finish(services, "other/a")
    await dispatcher.step()
    assert (await services.reviews.row("b")).outcome is Outcome.FAILED
    await dispatcher.step()
    row = await services.reviews.row("c")
    assert (row.outcome, row.waits_for_its_turn) == (None, False)
    assert [request.review_id for request in temporal.requests] == ["a"], "it runs already"


async def test_redis_emptied_starts_nothing_twice_and_forgets_nobody(
    services: Services, temporal: Temporal, redis: "Redis"
) -> None:
    await limit(services.limits, in_flight_all=2)
    await submit(services, *(f"acme/r{number}" for number in range(5)))
    dispatcher = new(temporal, services)
    await dispatcher.step()
    await redis.flushdb()
    for name in ("acme/r0", "acme/r1"):
        await services.door.renew(*name.split("/"))
    await dispatcher.step()
    standing = await services.door.standing()
    assert (standing.in_flight, standing.waiting) == ({"acme": 2}, {"acme": 3})
    for number in range(5):
        await finish(services, f"acme/r{number}")
        await dispatcher.step()
    assert {name: len(runs) for name, runs in temporal.runs.items()} == {f"review-acme-r{n}": 1 for n in range(5)}


async def test_without_redis_it_goes_on_at_a_part_of_the_bounds(url: str, temporal: Temporal, tmp_path: Path) -> None:
    async with services_on(url, tmp_path / "no-valkey", tmp_path) as services:
        await limit(services.limits, in_flight_all=10, in_flight=10, local_fraction=0.3)
        await submit(services, *(f"t{number}/r{number}" for number in range(6)))
        dispatcher = new(temporal, services)
        for _ in range(3):
            await dispatcher.step()
        assert await states(services) == {"started": 3, "waiting": 3}
        another = new(temporal, services)
        await another.step()
        assert await states(services) == {"started": 3, "waiting": 3}, "what is in flight stands in Postgres"
        await finish(services, f"{temporal.tenants[0]}/{temporal.requests[0].review_id}")
        await another.step()
        assert (await states(services))["waiting"] == 2


async def test_what_uploads_left_behind_is_cleaned_up(services: Services, temporal: Temporal) -> None:
    upload = services.intake.upload("acme", "r-1")
    await upload.write(bytes(600_000))
    await services.db.execute("UPDATE document_chunks SET created_at = now() - interval '2 hours'")
    await new(temporal, services).step()
    assert await services.db.fetch("SELECT FROM document_chunks") == []


async def test_a_failing_dispatcher_goes_on_and_stops_cleanly(
    services: Services, temporal: Temporal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = 0
    real = services.waiting.ids

    async def twice() -> dict[str, list[str]]:
        nonlocal failures
        failures += 1
        if failures <= 2:
            raise RuntimeError("mishap")
        return await real()

    async def started() -> bool:
        return (await states(services)) == {"started": 1}

    monkeypatch.setattr(services.waiting, "ids", twice)
    await submit(services, "acme/a")
    async with dispatching(cast("Client", temporal), services):
        await until(started)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["the dispatcher rests"] * 2
