"""PostgreSQL: one connection pool, numbered migrations, and errors a person can act on."""

import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg

from countersign.errors import CountersignError, InvalidRequest, ServiceUnavailable

T = TypeVar("T")

MIGRATIONS = Path(__file__).parent / "migrations"
_FILE_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_MIGRATION_LOCK = 7_203_114_882
"""Any constant of our own: the key of the advisory lock that lets one starter migrate at a time."""
_CONNECT_S = 10.0
_COMMAND_S = 60.0
_MIGRATE_S = 600.0
"""A migration may build an index, or wait for another process that does."""

_SERVER_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
)
_NOT_LET_IN = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class MigrationError(CountersignError):
    """The schema cannot be brought to this version: an applied migration was changed, or one does not run."""

    type = "MigrationError"


class _NoAnswer(ServiceUnavailable):
    """The server is there, and gave no answer in time: to ask it once more would only take that long again."""


@dataclass(frozen=True)
class Migration:
    """One file of `migrations/`; `checksum` is the SHA-256 of its text."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """All migrations of `folder` in order. Raises `MigrationError` for a badly named file or a number used twice."""
    files = sorted(folder.glob("*.sql"))
    numbers = [match.group(1) if (match := _FILE_NAME.match(file.name)) else None for file in files]
    for file, number in zip(files, numbers, strict=True):
        if number is None or numbers.count(number) > 1:
            raise MigrationError(f"migration {file.name}: the name must be NNNN_words.sql with a number of its own")
    return tuple(Migration(file.name, file.read_text(encoding="utf-8")) for file in files)


def unapplied(migrations: tuple[Migration, ...], applied: dict[str, str]) -> tuple[Migration, ...]:
    """The migrations not yet in `applied` (name to checksum).

    Rows of `applied` without a file are those of a newer version, and are left alone: migrations only ever add.
    Raises `MigrationError` when an applied file was changed since.
    """
    for migration in migrations:
        if applied.get(migration.name, migration.checksum) != migration.checksum:
            raise MigrationError(
                f"migration {migration.name}: was changed after it had been applied",
                remedy="Restore the file and put the change into a new migration",
            )
    return tuple(migration for migration in migrations if migration.name not in applied)


def server_of(url: str) -> str:
    """Where `url` points, as `host:port/database`: never the user or password. Raises `InvalidRequest` for no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
        query = parse_qs(parts.query)
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in {"postgresql", "postgres"}:
        raise InvalidRequest(
            "COUNTERSIGN_DATABASE_URL: is not a PostgreSQL URL", remedy="Write postgresql://user:password@host/database"
        )
    host = parts.hostname or next(iter(query.get("host", ())), "localhost")
    return f"{host}:{port}{parts.path}" if port else f"{host}{parts.path}"


async def _prepare(connection: asyncpg.Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(name, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep(_: asyncpg.Connection) -> None:
    """Nothing of a session is changed here, so a connection is given back as it is: that saves each use a round trip.

    An open transaction is rolled back by asyncpg itself before this.
    """


class Database:
    """The pool, and three ways to use it that turn a server's absence into `ServiceUnavailable`.

    Every single statement of this project may be given twice with the effect of once, so `fetch`, `fetchrow` and
    `execute` try again, once and on a fresh connection, when the one they were given died with a restarted server.
    """

    def __init__(self, pool: asyncpg.Pool, probe: asyncpg.Pool, server: str, patience_s: float) -> None:
        self.pool = pool
        self._probe = probe
        self._server = server
        self._patience_s = patience_s

    @classmethod
    async def open(cls, url: str, *, max_size: int = 10, patience_s: float | None = None) -> "Database":
        """Connect. Raises `ServiceUnavailable` when the server does not answer or does not let us in.

        `patience_s` is the time for a connection, and for a statement; without it they are 10 and 60 s.
        """
        server, connect_s = server_of(url), patience_s or _CONNECT_S
        options: dict[str, Any] = {
            "init": _prepare,
            "reset": _keep,
            "timeout": connect_s,
            "command_timeout": patience_s or _COMMAND_S,
            "server_settings": {"application_name": "countersign"},
        }
        try:
            pool = await asyncpg.create_pool(url, min_size=1, max_size=max_size, **options)
            probe = await asyncpg.create_pool(url, min_size=0, max_size=1, **options)
        except (*_SERVER_AWAY, *_NOT_LET_IN) as error:
            # `from None`: a driver's message may quote the URL.
            raise _away(server, error) from None
        except asyncpg.ClientConfigurationError:
            raise InvalidRequest("COUNTERSIGN_DATABASE_URL: names an option that cannot be used") from None
        return cls(pool, probe, server, connect_s)

    async def close(self) -> None:
        """Wait for running statements and disconnect."""
        await self._probe.close()
        await self.pool.close()

    @asynccontextmanager
    async def connection(self, pool: asyncpg.Pool | None = None) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the pool. Raises `ServiceUnavailable` when there is none, or when it dies in use."""
        try:
            async with (pool or self.pool).acquire(timeout=self._patience_s) as connection:
                try:
                    yield connection
                except asyncpg.InterfaceError as error:
                    if _is_lost(connection):
                        raise _away(self._server, error) from None
                    raise
        except (*_SERVER_AWAY, *_NOT_LET_IN) as error:
            raise _away(self._server, error) from None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection inside a transaction, committed at the end and rolled back on any error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """All rows of one statement."""
        return await self._twice(lambda connection: connection.fetch(sql, *args))

    async def fetchrow(self, sql: str, *args: object) -> asyncpg.Record | None:
        """The first row of one statement, or None."""
        return await self._twice(lambda connection: connection.fetchrow(sql, *args))

    async def execute(self, sql: str, *args: object) -> int:
        """Run one statement; returns the number of rows it touched."""
        tag: str = await self._twice(lambda connection: connection.execute(sql, *args))
        last = tag.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    async def _twice(self, work: Callable[[asyncpg.Connection], Awaitable[T]], pool: asyncpg.Pool | None = None) -> T:
        try:
            async with self.connection(pool) as connection:
                return await work(connection)
        except _NoAnswer:
            raise
        except ServiceUnavailable:
            await (pool or self.pool).expire_connections()
            async with self.connection(pool) as connection:
                return await work(connection)

    async def ping(self) -> None:
        """Raises `ServiceUnavailable` unless the server answers a query, on a connection that nothing else waits for.

        May be cancelled at any moment; a connection that hangs is then given up.
        """

        async def ask(connection: asyncpg.Connection) -> None:
            try:
                await connection.execute("SELECT 1")
            except BaseException:
                connection.terminate()
                raise

        await self._twice(ask, self._probe)

    async def pending(self) -> tuple[str, ...]:
        """Names of the migrations that this version has and the database does not."""
        async with self.connection() as connection:
            return tuple(migration.name for migration in unapplied(read_migrations(), await _applied(connection)))

    async def migrate(self) -> tuple[str, ...]:
        """Apply what is pending, all or nothing, and return the names. Safe when several processes start at once.

        Raises `MigrationError` when an applied file was changed, or the database refuses a statement.
        """
        migrations = read_migrations()
        async with self.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock($1)", _MIGRATION_LOCK, timeout=_MIGRATE_S)
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migrations (name text PRIMARY KEY, checksum text NOT NULL, "
                "applied_at timestamptz NOT NULL DEFAULT now())"
            )
            missing = unapplied(migrations, await _applied(connection))
            for migration in missing:
                try:
                    await connection.execute(migration.sql, timeout=_MIGRATE_S)
                except asyncpg.PostgresError as error:
                    raise MigrationError(
                        f"migration {migration.name}: {error}",
                        remedy="The role needs CREATE on the database, and PostgreSQL needs the pgvector extension",
                    ) from error
                await connection.execute(
                    "INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)", migration.name, migration.checksum
                )
        return tuple(migration.name for migration in missing)


def _is_lost(connection: asyncpg.Connection) -> bool:
    try:
        lost: bool = connection.is_closed()
    except asyncpg.InterfaceError:  # the pool has taken it back already, as it does with a dead one
        return True
    return lost


async def _applied(connection: asyncpg.Connection) -> dict[str, str]:
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
        return {}
    return {
        row["name"]: row["checksum"] for row in await connection.fetch("SELECT name, checksum FROM schema_migrations")
    }


def _away(server: str, error: BaseException) -> ServiceUnavailable:
    if isinstance(error, _NOT_LET_IN):
        return ServiceUnavailable(
            f"PostgreSQL at {server} does not let us in ({type(error).__name__})",
            remedy="Check user, password and database name in COUNTERSIGN_DATABASE_URL",
        )
    kind = _NoAnswer if isinstance(error, TimeoutError) else ServiceUnavailable
    return kind(
        f"PostgreSQL at {server} does not answer ({type(error).__name__})",
        remedy="Start it (`countersign dev`), or check COUNTERSIGN_DATABASE_URL",
    )
