"""Where schedules are played: one embedded stack, and lanes on it that share its servers and nothing else.

A lane has a Temporal namespace, a database, a Redis database, a provider lab and worker processes of its own, so that a
killed worker of one is no news to the others.
"""

import asyncio
import json
import multiprocessing
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import monotonic

import asyncpg
from google.protobuf.duration_pb2 import Duration
from provider_lab.record import Seen
from provider_lab.script import CallTool, Rule
from provider_lab.server import Lab
from redis.exceptions import RedisError
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client

from chaos import worker
from countersign.agents.sentinel import SENTINEL_TOOL
from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.services import Services
from countersign.settings import ROOT, Settings
from workers.embedded import EmbeddedStack
from workers.embedded.postgres import DATABASE, ROLE, SUPERUSER
from workers.endpoints import Endpoints, connect_temporal
from workers.plugin import client_plugin
from workers.register import register_search_attributes

CLAUDE = "anthropic:claude-sonnet-5"
HARMLESS = Rule(
    tool=SENTINEL_TOOL,
    answer=(CallTool(tool=SENTINEL_TOOL, arguments={"passages": [], "verdict": "harmless", "risk": 0.0}),),
)
"""The lab's own model does not play the sentinel agent."""
POLL_S = 0.01
SOON_S = 60.0
_ROOM = {"user_per_hour": 1_000_000, "tenant_per_hour": 10_000_000, "in_flight": 1000, "in_flight_all": 1000}


async def until(what: str, condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = SOON_S) -> None:
    """Return once `condition` holds; TimeoutError that names `what` after `timeout_s` seconds."""
    deadline = monotonic() + timeout_s
    while not (await holds if isinstance(holds := condition(), Awaitable) else holds):
        if monotonic() >= deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        await asyncio.sleep(POLL_S)


@dataclass
class Lane:
    """One lane. Its workers are kept at one that is neither dead nor frozen while `keeping` lasts."""

    name: str
    environment: dict[str, str]
    client: Client
    services: Services
    lab: Lab
    log: Path
    workers: list[ForkServerProcess] = field(default_factory=list)
    strikes: int = 0
    """Workers that died or froze since `fresh`."""

    def start(self, orders: worker.Orders | None = None) -> ForkServerProcess:
        """One more worker, with orders or without."""
        process = multiprocessing.get_context("forkserver").Process(
            target=worker.main, args=(self.environment, orders, self.log), daemon=True
        )
        process.start()
        self.workers.append(process)
        return process

    def fresh(self, *rules: Rule) -> None:
        """No worker, an empty lab with these rules and the sentinel's."""
        self.clear()
        self.strikes = 0
        self.lab.reset()
        self.lab.script(HARMLESS, *rules)

    def clear(self) -> None:
        """Kill all workers, frozen ones too."""
        for process in self.workers:
            process.kill()
        for process in self.workers:
            process.join()
        self.workers.clear()

    @property
    def standing(self) -> list[ForkServerProcess]:
        """Workers that are neither dead nor frozen."""
        return [process for process in self.workers if process.is_alive() and not is_frozen(process)]

    def strike(self, do: signal.Signals) -> None:
        """Do it to every worker that stands."""
        for process in self.standing:
            os.kill(process.pid or 0, do)

    def thaw(self) -> None:
        """Let frozen workers go on."""
        for process in self.workers:
            if process.is_alive() and is_frozen(process):
                os.kill(process.pid or 0, signal.SIGCONT)

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Start a worker without orders whenever none stands."""

        async def keep() -> None:
            while True:
                if not self.standing:
                    self.strikes += 1
                    self.start()
                await asyncio.sleep(POLL_S)

        task = asyncio.create_task(keep())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def request(self, number: int) -> Seen:
        """The lab's so-many-th request since `fresh`, once it has come."""

        def seen() -> Seen | None:
            return next((one for one in self.lab.memory.requests if one.number == number), None)

        await until(f"request {number}", lambda: seen() is not None)
        found = seen()
        assert found is not None
        return found

    async def answers(self) -> bool:
        """Whether Postgres does."""
        try:
            await self.services.db.ping()
        except ServiceUnavailable:
            return False
        return True

    async def redis_answers(self) -> bool:
        """Whether Redis does."""
        try:
            await self.services.redis.ping()
        except RedisError:
            return False
        return True

    async def projected(self, workflow_id: str) -> bool:
        """Whether Postgres knows that the review has ended."""
        row = await self.services.db.fetchrow("SELECT outcome FROM reviews WHERE workflow_id = $1", workflow_id)
        return row is not None and row["outcome"] is not None


def is_frozen(process: ForkServerProcess) -> bool:
    """Whether the process has been stopped by a signal."""
    try:
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] in {"T", "t"}


@dataclass
class Stand:
    """The stack and its lanes."""

    stack: EmbeddedStack
    lanes: Sequence[Lane]


@asynccontextmanager
async def standing(lanes: int) -> AsyncIterator[Stand]:
    """A stack in a new home with so many lanes; everything ends with the block."""
    _preload()
    async with AsyncExitStack() as held:
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True))
        home = Path(folder, "home")
        settings = Settings(home=home, playbooks=ROOT / "playbooks")
        stack = await held.enter_async_context(EmbeddedStack(home, settings))
        held.callback(_stop_forks)
        made = [await held.enter_async_context(_lane(f"lane-{number}", number, stack)) for number in range(lanes)]
        yield Stand(stack, made)


def _preload() -> None:
    """Have the fork server import what a worker needs. It looks for modules where this variable says."""
    paths = [str(ROOT / "tests"), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["chaos.worker", "chaos.preload"])
    warm = context.Process(target=_nothing, daemon=True)
    warm.start()  # does not wait until the imports are done


def _nothing() -> None:
    """What the first child does: it makes the fork server start."""


def _stop_forks() -> None:
    from multiprocessing import forkserver

    forkserver._forkserver._stop()  # type: ignore[attr-defined]  # nothing public ends it before this process does


@asynccontextmanager
async def _lane(name: str, number: int, stack: EmbeddedStack) -> AsyncIterator[Lane]:
    endpoints = stack.endpoints
    await _make_database(stack, name)
    own = Endpoints(
        temporal_address=endpoints.temporal_address,
        temporal_namespace=name,
        temporal_ui=None,
        database_url=endpoints.database_url.rpartition("/")[0] + f"/{name}",
        redis_url=endpoints.redis_url.rpartition("/")[0] + f"/{number}",
    )
    async with AsyncExitStack() as held:
        lab = await held.enter_async_context(Lab(playbooks=stack.settings.playbooks))
        environment = {
            "COUNTERSIGN_HOME": str(stack.home),
            "COUNTERSIGN_PLAYBOOKS": str(stack.settings.playbooks),
            "COUNTERSIGN_TEMPORAL_ADDRESS": own.temporal_address,
            "COUNTERSIGN_TEMPORAL_NAMESPACE": name,
            "COUNTERSIGN_DATABASE_URL": own.database_url,
            "COUNTERSIGN_REDIS_URL": own.redis_url,
            "COUNTERSIGN_MODEL": CLAUDE,
            "COUNTERSIGN_SENTINEL_MODEL": CLAUDE,
            "COUNTERSIGN_PROBES": "false",  # drawn by chance, and a review that has one is not like one that has none
            "ANTHROPIC_BASE_URL": lab.url,
            "ANTHROPIC_API_KEY": "lab",
        }
        settings = Settings(
            home=stack.home,
            playbooks=stack.settings.playbooks,
            temporal_address=own.temporal_address,
            temporal_namespace=name,
        )
        await _make_namespace(await connect_temporal(stack.settings, endpoints), name)
        client = await connect_temporal(settings, own, plugins=[client_plugin()])
        await _registered(client)
        services = await held.enter_async_context(Services.open(settings, own))
        await services.limits.change(
            None, None, _ROOM, by_hash="p1:chaos", reason="schedules follow each other quickly"
        )
        lane = Lane(name, environment, client, services, lab, stack.logs / f"{name}.log")
        held.callback(lane.clear)
        yield lane


async def _make_database(stack: EmbeddedStack, name: str) -> None:
    """A copy of the stack's own, with schema and extension."""
    state = json.loads((stack.home / "stack.json").read_text(encoding="utf-8"))
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=state["ports"]["postgres"],
        user=SUPERUSER,
        password=state["passwords"]["postgres"],
        database="postgres",
    )
    try:
        await connection.execute(f'CREATE DATABASE "{name}" OWNER {ROLE} TEMPLATE {DATABASE}')
    finally:
        await connection.close()


async def _make_namespace(client: Client, name: str) -> None:
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace=name, workflow_execution_retention_period=Duration(seconds=int(timedelta(days=1).total_seconds()))
        )
    )


async def _registered(client: Client) -> None:
    """A namespace is known to all parts of the server a moment after it was made."""

    async def known() -> bool:
        try:
            await register_search_attributes(client)
        except (ServiceUnavailable, InvalidRequest):
            return False
        return True

    await until(f"namespace {client.namespace} takes search attributes", known)
