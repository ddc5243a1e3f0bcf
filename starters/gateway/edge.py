"""The outermost layer, plain ASGI: request id, safety headers, metrics, and a definite answer whatever happens inside.

An answer may be given before the body was read (a refusal). A client that is still sending would then meet a closed
connection and never see it; so what is left is read and thrown away for a moment, or, when it is much, the connection
is said to end and closed only after the client has had the time to notice.
"""

import asyncio
import logging
import secrets
import traceback
from time import perf_counter

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countersign.errors import Overloaded
from starters.gateway.bodies import ClientGone
from starters.gateway.metrics import Metrics
from starters.gateway.problems import Unexpected, problem_response

MAX_REQUESTS = 1_000
"""Requests worked on at once, open streams included: beyond, the answer is 503."""
SMALL_REST = 1_000_000
"""Bytes of an unread body that are read and thrown away, to keep the connection."""
LINGER_S = 5.0
LINGER_BYTES = 32_000_000
"""How long, and how much of a larger one, before the connection is closed."""

_log = logging.getLogger("countersign.gateway")

_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]


class Edge:
    """Wraps the application. `metrics` counts every answer."""

    def __init__(self, app: ASGIApp, metrics: Metrics, max_requests: int = MAX_REQUESTS) -> None:
        self._app = app
        self._metrics = metrics
        self._max_requests = max_requests
        self._active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        exchange = _Exchange(scope, receive, send)
        self._active += 1
        try:
            if self._active > self._max_requests:
                full = Overloaded("too many requests at once", remedy="Ask again in a moment", retry_after_s=1)
                await exchange.answer(problem_response(full, exchange.request_id))
            else:
                await self._run(exchange)
        finally:
            self._active -= 1
            route = scope.get("route")
            self._metrics.answered(
                scope["method"], getattr(route, "path", "other"), exchange.status, perf_counter() - began
            )

    async def _run(self, exchange: "_Exchange") -> None:
        try:
            await self._app(exchange.scope, exchange.receive, exchange.send)
        except ClientGone:
            exchange.status = 499  # nobody to answer; the number that proxies count this under
        except Exception as error:
            # Whatever it is: the client gets an answer, the log where it was, and nobody the content.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("request %s: %s\n%s", exchange.request_id, type(error).__name__, where)
            if exchange.status:
                raise _Broken(exchange.request_id) from None
            await exchange.answer(problem_response(Unexpected("unexpected"), exchange.request_id))


class _Broken(Exception):
    """An answer broke off in its middle: the server must cut the connection, so that nobody takes it for whole."""


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.request_id = secrets.token_hex(8)
        self.status = 0
        self._receive = receive
        self._send = send
        headers = {name: value for name, value in scope["headers"] if name in _OF_BODY}
        # Told no, a client that waits for "100 Continue" may never send its body: what comes next is not to be thrown.
        self._waits = b"expect" in headers
        self._rest = int(headers.get(b"content-length", b"0")) if b"transfer-encoding" not in headers else None
        """Bytes of the body not read yet; None when nobody said how many."""
        self._unread = self._rest != 0
        self._linger = False
        scope.setdefault("state", {})["request_id"] = self.request_id

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            if self._rest is not None:
                self._rest -= len(message.get("body", b""))
            self._unread = message.get("more_body", False)
        elif message["type"] == "http.disconnect":
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            much = self._rest is None or self._rest > SMALL_REST
            self._linger = self._unread and (much or self._waits or self.status == 408)
            given = message["headers"]
            # A page of the console says for itself what it may load.
            names = {name.lower() for name, _ in given}
            safety = [header for header in _ALWAYS if header[0] not in names]
            message = {**message, "headers": [*given, *safety, *self._own_headers()]}
        elif self._linger and not message.get("more_body", False):
            # The answer is out, in full; only its end, which closes the connection, waits.
            await self._send({**message, "more_body": True})
            await self._discard()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def answer(self, response: Response) -> None:
        await response(self.scope, self.receive, self.send)

    def _own_headers(self) -> list[tuple[bytes, bytes]]:
        own = [(b"x-request-id", self.request_id.encode())]
        return [*own, (b"connection", b"close")] if self._linger else own

    async def _discard(self) -> None:
        thrown = 0
        try:
            async with asyncio.timeout(LINGER_S):
                while self._unread and thrown < LINGER_BYTES:
                    thrown += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return


_OF_BODY = frozenset((b"content-length", b"transfer-encoding", b"expect"))


def request_id_of(scope: Scope) -> str:
    """The id of this request, as in X-Request-Id and the log."""
    found: str = scope["state"]["request_id"]
    return found
