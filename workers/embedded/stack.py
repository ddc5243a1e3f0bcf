"""The embedded stack: real servers from installed packages, their state in one directory, kept alive."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.request import urlopen

import psutil

from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.settings import Settings
from workers.embedded import lab, servers
from workers.embedded.home import LOOPBACK, StackState, hold, is_free, write_private
from workers.embedded.postgres import ABANDONED_SIGNAL, Postgres
from workers.embedded.process import Child, Command, end_leftover
from workers.endpoints import ENDPOINTS_FILE, Endpoints, combine, connect_temporal, is_external

if TYPE_CHECKING:
    from temporalio.client import Client

ABANDONED = {
    "temporal": servers.TEMPORAL_ABANDONED_SIGNAL,
    "valkey": servers.VALKEY_ABANDONED_SIGNAL,
    "postgres": ABANDONED_SIGNAL,
}
POLLS_WITHIN_S = 60.0
"""A worker that does not poll by then is started again. It loads a model of language first."""
ATTEMPTS = 3
"""Starts of a server with a port that was free a moment before."""
_MAIN = "from starters.cli.main import main; main()"


class EmbeddedStack:
    """Temporal, PostgreSQL with pgvector and Valkey in `home`, each unless the settings name an external one.

    An asynchronous context manager. While it is entered, a server that dies is started again on its port and data, and
    `workers.endpoints.resolve` finds the servers from any process. The servers end with this process, even when it is
    killed. Enter it in a thread that lives as long as the stack does (the main one): Linux ties children to a thread.
    """

    def __init__(self, home: Path, settings: Settings, *, ui_port: int | None = None) -> None:
        self.home = home.expanduser().resolve()
        self.settings = settings
        self.gateway: str | None = None
        """URL of the gateway, while it runs."""
        self.lab: str | None = None
        """URL of the provider lab, while it runs."""
        self._ui_port = ui_port
        self._children: dict[str, Child] = {}
        self._state = StackState()
        self._endpoints: Endpoints | None = None
        self._held = contextlib.AsyncExitStack()
        self._client: Client | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def endpoints(self) -> Endpoints:
        """Where everything is. Raises `ServiceUnavailable` before the start."""
        if self._endpoints is None:
            raise ServiceUnavailable("The embedded stack is not up", remedy="Call start()")
        return self._endpoints

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now, by name."""
        return {name: child.pid for name, child in self._children.items() if child.pid is not None}

    @property
    def logs(self) -> Path:
        """The directory of the log files, one a process."""
        return self.home / "logs"

    async def start(self) -> Endpoints:
        """Start and prepare everything; when it returns, each server has answered a real request.

        Raises `InvalidRequest` when another stack runs on this home or the UI's port is taken, `ServiceUnavailable`
        when a server is not installed or does not come up.
        """
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._held.enter_async_context(hold(self.home))
        try:
            self.logs.mkdir(mode=0o700, exist_ok=True)
            (self.home / ENDPOINTS_FILE).unlink(missing_ok=True)
            self._state = StackState.load(self.home)
            await asyncio.to_thread(self._end_leftovers)
            await self._start_servers()
            embedded = self._embedded()
            self._endpoints = combine(self.settings, embedded)
            await self._prepare()
            write_private(self.home / ENDPOINTS_FILE, json.dumps(embedded, indent=1))
        except BaseException:
            await self.stop()
            raise
        return self._endpoints

    async def run_worker(self) -> None:
        """Run `countersign worker` as a further child of the stack, and keep it alive like the servers.

        When it returns, the worker polls. When the provider lab runs, it is who the worker's models ask; when the
        gateway does, the links in notifications lead there, unless COUNTERSIGN_CONSOLE_URL says where else.
        """
        asked = lab.worker_environment(self.lab, self.settings.model) if self.lab else {}
        command = Command(
            name="worker",
            argv=(sys.executable, "-c", _MAIN, "worker"),
            log=self.logs / "worker.log",
            env={**self._console(), **os.environ, "COUNTERSIGN_HOME": str(self.home), **asked},
            ready=self._worker_polls,
            niceness=servers.BEHIND,
            ready_s=POLLS_WITHIN_S,
            stop_s=30,
        )
        self._children["worker"] = Child(command, self._remember)
        await self._children["worker"].start()

    def _console(self) -> Mapping[str, str]:
        url = self.settings.console_url or self.gateway
        return {"COUNTERSIGN_CONSOLE_URL": url} if url else {}

    async def _worker_polls(self) -> None:
        from workers.pollers import require_polling
        from workflows.options import AGENTS_QUEUE, BATCH_QUEUE, REVIEWS_QUEUE

        if self._client is None:
            self._client = await connect_temporal(self.settings, self.endpoints)
        await require_polling(self._client, (REVIEWS_QUEUE, AGENTS_QUEUE, BATCH_QUEUE), self.pids.get("worker"))

    async def run_lab(self) -> str:
        """Run the provider lab as a further child, kept alive like the servers, on a free port. Returns its URL.

        Raises `ServiceUnavailable` when it is not installed. Started again, it has forgotten its script.
        """
        lab.require_lab()
        port = self._state.port("lab", self.home)
        url = f"http://{LOOPBACK}:{port}"
        command = Command(
            name="lab",
            argv=(sys.executable, str(lab.FOLDER), "--port", str(port)),
            log=self.logs / "lab.log",
            env={**os.environ, "COUNTERSIGN_HOME": str(self.home)},
            ready=lambda: self._listens("lab", port, f"{url}/lab"),
        )
        self._children["lab"] = Child(command, self._remember)
        await self._children["lab"].start()
        self.lab = url
        return url

    async def run_gateway(self) -> str:
        """Run `countersign gateway` as a further child, kept alive like the servers. Returns its URL.

        It has the settings' port when that is free, else one of its own.
        """
        for attempt in range(ATTEMPTS):
            port = self._choose_gateway_port()
            child = self._children["gateway"] = Child(self._gateway_command(port), self._remember)
            try:
                await child.start()
                break
            except ServiceUnavailable:
                # As in `_start`.
                if attempt == ATTEMPTS - 1 or is_free(port):
                    raise
        self.gateway = self._gateway_url(port)
        write_private(self.home / ENDPOINTS_FILE, json.dumps({**self._embedded(), "gateway": self.gateway}, indent=1))
        return self.gateway

    def _gateway_command(self, port: int) -> Command:
        arguments = ("gateway", "--host", self.settings.gateway_host, "--port", str(port))
        return Command(
            name="gateway",
            argv=(sys.executable, "-c", _MAIN, *arguments),
            log=self.logs / "gateway.log",
            env={**os.environ, "COUNTERSIGN_HOME": str(self.home)},
            ready=lambda: self._listens("gateway", port, f"{self._gateway_url(port)}/healthz"),
            stop_s=30,
        )

    async def _listens(self, name: str, port: int, url: str) -> None:
        """Raises unless the child answers: the port may be another program's, which was quicker and answers as well."""
        pid = self.pids.get(name)
        listening = psutil.Process(pid).net_connections("inet") if pid is not None else ()
        if not any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in listening):
            raise ServiceUnavailable(f"The {name} does not listen on port {port} yet")
        await asyncio.to_thread(_get, url)

    def _gateway_url(self, port: int) -> str:
        """Where this machine reaches it, whatever it listens on."""
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.settings.gateway_host, self.settings.gateway_host)  # noqa: S104
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def _choose_gateway_port(self) -> int:
        wanted = self.settings.gateway_port
        if wanted == 0 or not is_free(wanted):
            return self._state.port("gateway", self.home)
        self._state.ports["gateway"] = wanted
        return wanted

    async def stop(self) -> None:
        """Stop in order: gateway, worker, lab, Temporal, Valkey, PostgreSQL; each is killed when it takes too long."""
        if self._endpoints is not None:
            (self.home / ENDPOINTS_FILE).unlink(missing_ok=True)
            self._endpoints = None
        self.gateway = self.lab = self._client = None
        for name in ("gateway", "worker", "lab", "temporal", "valkey", "postgres"):
            if (child := self._children.pop(name, None)) is not None:
                await child.stop()
        await self._held.aclose()

    async def _start_servers(self) -> None:
        starts = [self._start(name) for name in self._wanted()]
        failures = [result for result in await asyncio.gather(*starts, return_exceptions=True) if result is not None]
        if failures:
            raise failures[0]

    async def _start(self, name: str) -> None:
        for attempt in range(ATTEMPTS):
            child = Child(self._command(name), self._remember)
            self._children[name] = child
            try:
                return await child.start()
            except ServiceUnavailable:
                # Another program may have been quicker to take the port; then it is not free any more.
                if attempt == ATTEMPTS - 1 or is_free(self._state.ports[name]):
                    raise
        return None

    def _wanted(self) -> list[str]:
        wanted = {
            "temporal": not is_external(self.settings),
            "valkey": self.settings.redis_url is None,
            "postgres": self.settings.database_url is None,
        }
        return [name for name, embedded in wanted.items() if embedded]

    def _command(self, name: str) -> Command:
        """How a server is run on its port; both are remembered before it starts."""
        try:
            port = self._state.port(name, self.home)
            if name == "temporal":
                command = servers.temporal_command(self.home, port, self._choose_ui_port(), self.settings)
            elif name == "valkey":
                command = servers.valkey_command(self.home, port, self._state.password("valkey"))
            else:
                command = self._postgres().command()
        except (ImportError, PackageNotFoundError) as error:
            raise ServiceUnavailable(
                f"The embedded {name} is not installed ({error})",
                remedy="Install `countersign[embedded]`, or set the address of an external server",
            ) from error
        self._state.save(self.home)
        return command

    def _postgres(self) -> Postgres:
        made = (self.home / "postgres" / "PG_VERSION").exists()
        if made and "postgres" not in self._state.passwords:
            raise ServiceUnavailable(
                f"The password of {self.home / 'postgres'} is lost (stack.json)",
                remedy="Bring the file back, or move the directory away to start anew",
            )
        return Postgres(
            self.home,
            self._state.ports["postgres"],
            superuser_password=self._state.password("postgres"),
            role_password=self._state.password("countersign"),
        )

    def _choose_ui_port(self) -> int:
        if self._ui_port is None:
            return self._state.port("temporal_ui", self.home)
        if not is_free(self._ui_port):
            raise InvalidRequest(f"Port {self._ui_port} is taken", remedy="Give --ui-port another one, or leave it out")
        self._state.ports["temporal_ui"] = self._ui_port
        return self._ui_port

    def _embedded(self) -> Mapping[str, str]:
        """The fields of `Endpoints` that this stack serves itself."""
        fields: dict[str, str] = {}
        ports = self._state.ports
        if "temporal" in self._children:
            fields["temporal_address"] = f"{LOOPBACK}:{ports['temporal']}"
            fields["temporal_namespace"] = self.settings.temporal_namespace
            fields["temporal_ui"] = f"http://{LOOPBACK}:{ports['temporal_ui']}"
        if "postgres" in self._children:
            fields["database_url"] = self._postgres().url
        if "valkey" in self._children:
            fields["redis_url"] = servers.valkey_url(ports["valkey"], self._state.password("valkey"))
        return fields

    async def _prepare(self) -> None:
        from workers.register import prepare

        await prepare(self.settings, self.endpoints)

    def _remember(self, name: str, pid: int) -> None:
        self._state.pids[name] = pid
        self._state.save(self.home)

    def _end_leftovers(self) -> None:
        for name, stop in ABANDONED.items():
            if (pid := self._state.pids.get(name)) is not None:
                end_leftover(name, pid, str(self.home), stop)
        self._state.pids.clear()


def _get(url: str) -> None:
    """Raises `OSError` unless the URL answers with success."""
    with urlopen(url, timeout=2):  # noqa: S310  a loopback URL of our own making
        pass
