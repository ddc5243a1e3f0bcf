"""The embedded stack on its real servers: data survives, killed servers come back, nothing is left behind."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import psutil  # type: ignore[import-untyped]
import pytest
import pytest_asyncio
from redis.asyncio import Redis
from redis.exceptions import RedisError
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from countersign.errors import CountersignError, InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from workers.embedded import EmbeddedStack
from workers.endpoints import ENDPOINTS_FILE, LOCK_FILE, Endpoints, connect_temporal, resolve
from workers.register import missing_search_attributes, register_search_attributes

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
AWAY = (OSError, TimeoutError, CountersignError, RPCError, RedisError, asyncpg.PostgresError, asyncpg.InterfaceError)
SERVERS = {"temporal", "valkey", "postgres"}


@pytest.fixture(scope="module", autouse=True)
def no_environment() -> None:
    for name in [name for name in os.environ if name.startswith(("COUNTERSIGN_", "TEMPORAL_"))]:
        del os.environ[name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(homes: Path) -> AsyncIterator[EmbeddedStack]:
    """One stack for the tests that do not stop it, with a datum on every server."""
    home = homes / "first"
    async with EmbeddedStack(home, Settings(home=home)) as running:
        await put(running.endpoints, "first")
        yield running


@pytest.fixture(scope="module")
def other(homes: Path) -> Path:
    """A second home: longer than the 107 bytes of a socket's path, and with blanks."""
    return homes / ("a long name " * 12)


async def client_of(endpoints: Endpoints) -> Client:
    return await connect_temporal(Settings(temporal_address=endpoints.temporal_address), endpoints)


async def put(endpoints: Endpoints, value: str) -> None:
    """Leave `value` on every server."""
    database = await asyncpg.connect(endpoints.database_url)
    await database.execute("CREATE TABLE kept (value text, place vector(2))")
    await database.execute("INSERT INTO kept VALUES ($1, '[1,2]')", value)
    await database.close()
    async with Redis.from_url(endpoints.redis_url) as redis:
        await redis.set("kept", value)
    await (await client_of(endpoints)).start_workflow("Unserved", id=f"kept-{value}", task_queue="nobody")


async def kept(endpoints: Endpoints) -> tuple[str, str, int]:
    """What is on Postgres and on Redis, and how many workflows Temporal has."""
    database = await asyncpg.connect(endpoints.database_url, timeout=5)
    row = await database.fetchval("SELECT value FROM kept WHERE place <-> '[1,2]' = 0")
    await database.close()
    async with Redis.from_url(endpoints.redis_url, socket_timeout=5) as redis:
        cached = await redis.get("kept")
    client = await client_of(endpoints)
    status = (await client.get_workflow_handle(f"kept-{row}").describe()).status
    assert isinstance(cached, bytes)
    return row, cached.decode(), int(status is not None)


def alive(pids: Mapping[str, int]) -> set[str]:
    """Those that still run; a zombie does not."""
    return {
        name
        for name, pid in pids.items()
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    }


async def test_every_server_is_ready_when_start_returns(stack: EmbeddedStack) -> None:
    assert stack.pids.keys() == SERVERS
    assert await kept(stack.endpoints) == ("first", "first", 1)
    client = await client_of(stack.endpoints)
    assert await missing_search_attributes(client) == ()
    assert await register_search_attributes(client) == ()
    described = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    assert described.config.workflow_execution_retention_ttl.ToTimedelta().days == 30


async def test_the_schema_is_there_and_its_owner_is_no_superuser(stack: EmbeddedStack) -> None:
    database = await asyncpg.connect(stack.endpoints.database_url)
    assert await database.fetchval("SELECT count(*) FROM schema_migrations") > 0
    assert await database.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    await database.close()


async def test_other_processes_find_it_and_secrets_are_private(stack: EmbeddedStack) -> None:
    assert resolve(Settings(home=stack.home)) == stack.endpoints
    for name in (ENDPOINTS_FILE, "stack.json"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600
    listening = [
        connection.laddr.ip
        for pid in stack.pids.values()
        for connection in psutil.Process(pid).net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert set(listening) == {"127.0.0.1"}
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(stack.endpoints.database_url, password="guessed")


async def test_a_second_supervisor_is_refused(stack: EmbeddedStack) -> None:
    second = EmbeddedStack(stack.home, stack.settings)
    with pytest.raises(InvalidRequest, match=f"pid {os.getpid()}"):
        await second.start()
    assert alive(stack.pids) == SERVERS
    assert resolve(stack.settings) == stack.endpoints


@pytest.mark.parametrize("name", sorted(SERVERS))
async def test_a_killed_server_comes_back_with_its_data(
    stack: EmbeddedStack, name: str, eventually: "Eventually"
) -> None:
    before = stack.pids[name]
    os.kill(before, signal.SIGKILL)

    async def is_back() -> bool:
        return stack.pids.get(name, before) != before and await answers(stack.endpoints)

    await eventually(f"{name} is back", is_back)
    assert await kept(stack.endpoints) == ("first", "first", 1)


async def answers(endpoints: Endpoints) -> bool:
    try:
        await kept(endpoints)
    except AWAY:
        return False
    return True


async def test_dev_stops_cleanly_and_starts_again_beside_another_stack(stack: EmbeddedStack, other: Path) -> None:
    settings = Settings(home=other)
    process, shown = await run_dev(other)
    first, pids = resolve(settings), shown["pids"]
    assert pids.keys() == SERVERS
    assert "***" in shown["database"]
    await put(first, "second")
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert alive(pids) == set()
    assert not (other / ENDPOINTS_FILE).exists()

    # What a killed supervisor and a reused pid would leave: files that name a living process which is not ours.
    (other / ENDPOINTS_FILE).write_text((stack.home / ENDPOINTS_FILE).read_text())
    (other / LOCK_FILE).write_text(str(os.getpid()))
    (other / "postgres" / "postmaster.pid").write_text(f"{os.getpid()}\n{other / 'postgres'}\n")
    with pytest.raises(ServiceUnavailable):
        resolve(settings)

    async with EmbeddedStack(other, settings) as again:
        assert again.endpoints == first
        assert await kept(again.endpoints) == ("second", "second", 1)
        assert await kept(stack.endpoints) == ("first", "first", 1)


async def test_servers_die_with_a_killed_supervisor(other: Path, eventually: "Eventually") -> None:
    process, shown = await run_dev(other)
    process.kill()
    await process.wait()
    # At once, while the old servers may still be on their way out.
    async with EmbeddedStack(other, Settings(home=other)) as adopted:
        assert adopted.endpoints.temporal_address == shown["temporal_address"]

        async def only_ours() -> bool:
            return not alive(shown["pids"])

        await eventually("the servers of the killed supervisor are gone", only_ours)


async def run_dev(home: Path) -> tuple[asyncio.subprocess.Process, dict[str, Any]]:
    """`countersign dev --no-worker --no-gateway --json` once it is up, and its line."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-c",
            "from starters.cli.main import main; main()",
            "dev",
            "--no-worker",
            "--no-gateway",
            "--json",
        ),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "COUNTERSIGN_HOME": str(home)},
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    return process, json.loads(line)


async def test_a_worker_without_its_servers_ends_when_it_is_told_to(homes: Path) -> None:
    home = homes / "gone"
    settings = Settings(home=home)
    async with EmbeddedStack(home, settings) as alone:
        worker = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "countersign"),
            "worker",
            env={**os.environ, "COUNTERSIGN_HOME": str(home)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert worker.stderr is not None
        async for line in worker.stderr:
            if b"worker is up" in line:
                break
        await alone.stop()
    worker.send_signal(signal.SIGTERM)
    _, complaints = await asyncio.wait_for(worker.communicate(), 120)
    assert worker.returncode in (0, 5), complaints
    assert b"Traceback" not in complaints.splitlines()[-1]
