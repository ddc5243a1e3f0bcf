"""The gateway on a real socket: slow and silent clients, heads without end, bodies that are refused while they come."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from helpers.gateway import World

from countersign.admission.entry import Entry, Refused
from countersign.admission.intake import refusal
from countersign.errors import InvalidRequest
from countersign.settings import Settings
from starters.gateway import bodies, edge, serve

PATIENCE_S = 20.0
"""A test that waits this long has failed."""


class Talk:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next answer, its body read."""
        async with asyncio.timeout(PATIENCE_S):
            first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
            await self._reader.readexactly(int(headers.get("content-length", "0")))
            return int(first.split()[1]), headers

    async def ended(self) -> bytes:
        """What still comes until the other side closes."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[tuple[serve.Server, int]]:
    with serve._listen("127.0.0.1", 0) as listener:
        server = serve.server_of(world.app)
        task = asyncio.create_task(server.serve([listener]))
        await server.ready.wait()
        try:
            yield server, listener.getsockname()[1]
        finally:
            server.should_exit = True
            async with asyncio.timeout(PATIENCE_S):
                await task


@asynccontextmanager
async def talking(world: World) -> AsyncIterator[Talk]:
    async with serving(world) as (_, port):
        talk = Talk(*await asyncio.open_connection("127.0.0.1", port))
        yield talk
        talk.close()


@pytest.fixture
def world() -> World:
    return World()


def post(length: int | None, *more: str) -> bytes:
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = (
        "POST /v1/reviews HTTP/1.1",
        "Host: gateway",
        "Authorization: Bearer ana",
        "Content-Type: application/json",
        size,
        *more,
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


GET = b"GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n"
FULL = Entry(None, refused=Refused.ROOM, retry_after_s=3)


async def test_a_small_refused_body_costs_no_connection(world: World) -> None:
    world.intake.refusal = refusal(FULL)
    async with talking(world) as talk:
        for _ in range(3):
            await talk.say(post(100_000))
            assert (await talk.answer())[0] == 503
            await talk.say(b"x" * 100_000)
        await talk.say(GET)
        assert (await talk.answer())[0] == 200


async def test_a_client_in_the_middle_of_a_large_body_gets_its_answer(world: World) -> None:
    world.intake.refusal = refusal(FULL)

    def sends_all_then_listens(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
            connection.sendall(post(1_900_000) + b"x" * 1_900_000)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    async with serving(world) as (_, port):
        answer = await asyncio.to_thread(sends_all_then_listens, port)
    head = answer.partition(b"\r\n\r\n")[0].splitlines()
    assert head[0] == b"HTTP/1.1 503 Service Unavailable"
    assert {b"connection: close", b"retry-after: 3"} <= set(head)


async def test_an_answer_does_not_wait_for_the_clients_acknowledgement(world: World) -> None:
    async with serving(world) as (server, port):
        talk = Talk(*await asyncio.open_connection("127.0.0.1", port))
        await talk.say(GET)
        assert (await talk.answer())[0] == 200
        [connection] = server.server_state.connections
        inside = connection.transport.get_extra_info("socket")
        assert inside.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        talk.close()


async def test_who_waits_for_a_go_ahead_is_told_no_before_the_body(world: World) -> None:
    world.intake.refusal = refusal(FULL)
    async with talking(world) as talk:
        await talk.say(post(500_000, "Expect: 100-continue"))
        status, headers = await talk.answer()
        assert (status, headers["connection"]) == (503, "close")
        talk.close()


async def test_a_body_that_trickles_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies.Body.__init__, "__defaults__", (0.2, 50_000))
    async with talking(world) as talk:
        await talk.say(post(1_000) + b'{"text"')
        status, _ = await talk.answer()
    assert status == 408
    assert world.intake.left == 1
    assert world.backend.incoming.held == 0


async def test_a_head_that_does_not_come_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HEAD_S", 0.2)
    async with talking(world) as talk:
        await talk.say(GET[:-2])
        assert await talk.ended() == b""


async def test_what_is_left_of_an_unread_body_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "HEAD_S", 0.2)
    monkeypatch.setattr(serve, "KEEP_ALIVE_S", 1)
    world.intake.refusal = refusal(FULL)
    async with talking(world) as talk:
        await talk.say(post(100_000))
        assert (await talk.answer())[0] == 503
        await talk.say(b"x")
        assert await talk.ended() == b""


async def test_a_client_that_never_stops_is_not_listened_to_for_ever(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "LINGER_S", 0.2)
    world.intake.refusal = refusal(FULL)
    async with talking(world) as talk:
        await talk.say(post(1_900_000) + b"x")
        assert (await talk.answer())[0] == 503
        assert await talk.ended() == b""


@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(GET[:-2] + b"X-Long: ", id="header"),
        pytest.param(b"GET /", id="path"),
        pytest.param(post(None) + b"1;", id="chunk extension"),
        pytest.param(post(None) + b"0\r\nX-Trailer: ", id="trailer"),
    ],
)
async def test_bytes_that_bring_nothing_end_the_connection(world: World, endless: bytes) -> None:
    async with talking(world) as talk:
        await talk.say(endless)
        sent = 0
        try:
            while sent < 32_000_000:
                await talk.say(b"a" * 8_192)
                sent += 8_192
        except ConnectionError:
            pass
        await talk.ended()
        assert sent < 16_000_000  # what socket buffers hold, and no more


async def test_a_chunked_body_in_small_pieces_is_no_offence(world: World) -> None:
    text = b'{"text": "' + b"a" * 60_000 + b'"}'
    async with talking(world) as talk:
        await talk.say(post(None) + b"".join(b"1\r\n%c\r\n" % byte for byte in text) + b"0\r\n\r\n")
        assert (await talk.answer())[0] == 202
    assert len(world.intake.only[1].data) == 60_000


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(5, "Transfer-Encoding: chunked") + b"0\r\n\r\n",
        post(5, "Content-Length: 6") + b"hello",
        b"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Bad\x00: 1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_could_be_read_in_two_ways_is_refused(world: World, request_bytes: bytes) -> None:
    async with talking(world) as talk:
        await talk.say(request_bytes)
        assert (await talk.answer())[0] == 400
        assert await talk.ended() == b""
    assert not world.intake.taken


async def test_at_the_end_streams_end_and_the_rest_is_finished(world: World) -> None:
    async with serving(world) as (server, port):
        stream = Talk(*await asyncio.open_connection("127.0.0.1", port))
        await stream.say(b"GET /v1/reviews/r-1/events HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer bob\r\n\r\n")
        assert (await stream.answer())[0] == 200
        upload = Talk(*await asyncio.open_connection("127.0.0.1", port))
        await upload.say(post(16) + b'{"text": ')
        while world.intake.entered == 0:  # noqa: ASYNC110 - until the server has got there
            await asyncio.sleep(0.01)
        server.should_exit = True
        assert b"event: stage" in await stream.ended()
        await upload.say(b'"late"}')
        assert (await upload.answer())[0] == 202
    for talk in (stream, upload):
        talk.close()


def elsewhere(home: Path) -> Settings:
    """Settings that name servers, none of which is there."""
    return Settings.model_validate(
        {
            "home": home,
            "temporal_address": "127.0.0.1:1",
            "database_url": "postgresql://127.0.0.1:1/x",
            "redis_url": "redis://127.0.0.1:1",
        }
    )


async def test_beyond_this_machine_somebody_must_be_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def nobody(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr(serve, "_any_key", nobody)
    with pytest.raises(InvalidRequest, match="keys create"):
        await serve.serve(elsewhere(tmp_path), "0.0.0.0", 0, asyncio.Event(), lambda *_: None)  # noqa: S104 - refused


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),  # noqa: S104
        ("::", False),
        ("10.0.0.1", False),
        ("127.0.0.1.example.org", False),
    ],
)
def test_which_addresses_are_this_machine_alone(host: str, loopback: bool) -> None:
    assert serve.is_loopback(host) is loopback


async def test_a_half_set_issuer_is_said_so_at_the_start(tmp_path: Path) -> None:
    settings = elsewhere(tmp_path).model_copy(update={"oidc_issuer": "https://login.example"})
    with pytest.raises(InvalidRequest, match="AUDIENCE"):
        await serve.serve(settings, "127.0.0.1", 0, asyncio.Event(), lambda *_: None)


async def test_a_taken_port_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidRequest, match="--port"):
        port = taken.getsockname()[1]
        await serve.serve(elsewhere(tmp_path), "127.0.0.1", port, asyncio.Event(), lambda *_: None)


async def test_with_every_server_away_it_serves_and_says_so(tmp_path: Path) -> None:
    stop, told = asyncio.Event(), asyncio.Queue[tuple[str, bool | None]]()
    task = asyncio.create_task(
        serve.serve(elsewhere(tmp_path), "127.0.0.1", 0, stop, lambda *given: told.put_nowait(given))
    )
    async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as client:
        url, someone = await told.get()
        assert someone is None
        assert (await client.get(f"{url}/healthz")).status_code == 200
        assert (await client.get(f"{url}/readyz")).status_code == 503
        answer = await client.post(f"{url}/v1/reviews", headers={"Authorization": "Bearer x"}, json={"text": "1."})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        stop.set()
        await task
