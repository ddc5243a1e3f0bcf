"""Running the gateway: who may listen where, and a server that no slow or silent client can hold on to."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import resource
import socket
from collections.abc import Callable, Generator

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from countersign.access.oidc import OidcPolicy
from countersign.access.redirect import FlowPolicy
from countersign.errors import InvalidRequest, ServiceUnavailable
from countersign.services import Services
from countersign.settings import Settings
from starters.gateway.app import build_app
from starters.gateway.edge import MAX_REQUESTS
from workers.endpoints import resolve

HEAD_S = 10.0
"""Time for a request's head to come, once a connection is open or the last answer is out and the next has begun."""
HEAD_BYTES = 32_768
KEEP_ALIVE_S = 30
STOP_S = 20
"""Time for what is under way, when the process is to end."""
MAX_CONNECTIONS = 4 * MAX_REQUESTS
OTHER_FILES = 200
"""Files and connections to servers that the process has open besides."""
BACKLOG = 2_048
WAIT_FOR_KEYS_S = 2.0
_HEAD_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

_log = logging.getLogger("countersign.gateway")


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol with two bounds that it lacks: on the time that a head takes, and on bytes that bring nothing.

    A head without end, chunk extensions and trailers without end: the parser keeps them, and no limit on the body sees
    them. So what arrives must become a head or a piece of body within `HEAD_BYTES`.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _barren_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_head(HEAD_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._barren_bytes += len(data)
        super().data_received(data)
        if self._barren_bytes > HEAD_BYTES and not self.transport.is_closing():
            if self._head_timer is not None:
                self.transport.write(_HEAD_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._barren_bytes = 0
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._barren_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._barren_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.transport.is_closing() and self.cycle.response_complete:
            # By then the next head must be there, and before it what is left of a body that was answered unread.
            self._await_head(KEEP_ALIVE_S + HEAD_S)

    def _await_head(self, seconds: float) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class Server(uvicorn.Server):
    """uvicorn's server, told to stop by an event instead of by signals of its own."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        """Set once it listens."""
        self._app = app

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Streams then end themselves; else they would be waited for to the last second.
        self._app.state.backend.closing.set()
        await super().shutdown(sockets)


def server_of(app: FastAPI, connections: int = MAX_CONNECTIONS) -> Server:
    """A server for the application."""
    # A line for each request that cannot be parsed would let anybody fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # it would write query strings
        server_header=False,
        proxy_headers=False,
        limit_concurrency=connections,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    return Server(config, app)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def serve(
    settings: Settings, host: str, port: int, stop: asyncio.Event, started: Callable[[str, bool | None], None]
) -> None:
    """Serve until `stop` is set, then finish what was taken on.

    `started` is told the URL, and whether anybody can come in (None: Postgres does not say yet). Raises
    `InvalidRequest` when the port is taken, the issuer is half set, or it would listen beyond this machine while there
    is neither a key nor an issuer of tokens; `ServiceUnavailable` when no address is known for a server.
    """
    resolve(settings)
    if settings.oidc_issuer:
        OidcPolicy.of(settings)  # what is half set is said here, and not to everyone who asks
    if settings.oidc_client_id:
        FlowPolicy.of(settings)
    _log.info("pid %d", os.getpid())
    someone = True if settings.oidc_issuer else await _any_key(settings, stop, wait=not is_loopback(host))
    if stop.is_set():
        return
    if not someone and not is_loopback(host):
        raise InvalidRequest(
            f"--host: the gateway does not listen on {host} while there is no key that it could tell people by",
            remedy="Make one with 'countersign keys create', or set COUNTERSIGN_OIDC_ISSUER",
        )
    connections = _allow_connections()
    with _listen(host, port) as listener:
        server = server_of(build_app(settings), connections)
        serving = asyncio.create_task(server.serve([listener]))
        stopped = asyncio.create_task(stop.wait())
        ready = asyncio.create_task(server.ready.wait())
        await asyncio.wait([serving, stopped, ready], return_when=asyncio.FIRST_COMPLETED)
        if ready.done():
            started(_url(listener), someone)
        await asyncio.wait([serving, stopped], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        for waiting in (stopped, ready):
            waiting.cancel()
        await serving


async def _any_key(settings: Settings, stop: asyncio.Event, *, wait: bool) -> bool | None:
    """Whether there is a key that works. None when Postgres does not say; with `wait` it is asked until it does."""
    while not stop.is_set():
        try:
            async with Services.open(settings, resolve(settings)) as services:
                await services.bring_up_to_date()
                return await services.keys.any_active()
        except ServiceUnavailable as error:
            if not wait:
                return None
            _log.warning("waiting for Postgres, to see who may come in: %s", error.message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_FOR_KEYS_S):
                await stop.wait()
    return None


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise InvalidRequest(
            f"--host, --port: cannot listen on {host} port {port} ({error.strerror or type(error).__name__})",
            remedy="Give a free port (0 takes any), and an address of this machine",
        ) from None
    # asyncio does it for sockets of its own only. Without it, an answer of two writes waits 40 ms for the client's ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _allow_connections() -> int:
    """How many connections there may be: raises the soft limit of open files, as far as the hard one lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, max(64, soft - OTHER_FILES))
