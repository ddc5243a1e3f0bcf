"""HTTP/1.1 with hands on the wire: pieces, pauses and cuts, and the news that the client has gone."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import h11

_READ = 65_536
MAX_BODY = 64 * 2**20


class GoneError(Exception):
    """The client has closed the connection."""


@dataclass(frozen=True)
class Request:
    """One request, its body whole."""

    method: str
    path: str
    """Without the query."""
    body: bytes


class Exchange:
    """One request on its connection, to be answered once."""

    def __init__(self, protocol: h11.Connection, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self._protocol = protocol
        self._writer = writer
        self._gone = gone

    async def respond(self, status: int, body: bytes | object, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer; anything but bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.start(status, {"content-type": "application/json", **(headers or {})}, length=len(data))
        await self.send(data)
        await self.end()

    async def start(self, status: int, headers: Mapping[str, str], *, length: int | None = None) -> None:
        """The head; without a length the body is chunked."""
        framing = ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        await self._write(h11.Response(status_code=status, headers=[*headers.items(), framing]))

    async def send(self, data: bytes) -> None:
        """A part of the body, on the wire when this returns. Raises `GoneError`."""
        await self._write(h11.Data(data=data))

    async def end(self) -> None:
        """The end of the body."""
        await self._write(h11.EndOfMessage())

    async def hold(self, seconds: float | None) -> None:
        """Wait; None: until the client leaves. Raises `GoneError` as soon as it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        if self._gone.is_set():
            raise GoneError

    def cut(self, *, reset: bool = False) -> None:
        """End the connection now, whatever has been promised; with `reset` so that the client's system reports it."""
        if reset:
            raw: socket.socket = self._writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _write(self, event: h11.Event) -> None:
        if self._gone.is_set():
            raise GoneError
        data = self._protocol.send(event)
        if data:
            self._writer.write(data)
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise GoneError from error


Handler = Callable[[Request, Exchange], Awaitable[None]]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Answer the requests of one connection until either side ends it."""
    protocol = h11.Connection(h11.SERVER)
    writer.transport.set_write_buffer_limits(0)  # `drain` then means: the system has it
    try:
        while (request := await _request(protocol, reader)) is not None:
            gone = asyncio.Event()
            watch = asyncio.create_task(_watch(protocol, reader, gone))
            try:
                await handler(request, Exchange(protocol, writer, gone))
            finally:
                watch.cancel()
                await asyncio.wait([watch])
            if writer.transport.is_closing() or protocol.our_state is not h11.DONE or gone.is_set():
                return
            if protocol.their_state is not h11.DONE:
                return
            protocol.start_next_cycle()
    except (GoneError, ConnectionError, h11.RemoteProtocolError):
        return
    finally:
        writer.close()


async def _request(protocol: h11.Connection, reader: asyncio.StreamReader) -> Request | None:
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event: Any = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(await reader.read(_READ))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Request(head.method.decode(), head.target.decode().partition("?")[0], bytes(body))
        else:  # the connection is closed, or paused by something other than HTTP
            return None


async def _watch(protocol: h11.Connection, reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    """Set `gone` when the client leaves; what it sends instead is its next request, early."""
    try:
        while data := await reader.read(_READ):
            protocol.receive_data(data)
    except ConnectionError:
        pass
    gone.set()
