"""The load of the spike, as a process of its own: sends a plan of requests over HTTP on time, and notes every answer.

    python benchmarks/spike_load.py PLAN.json ANSWERS.json

The load is open: a request is sent when its time has come, however slow the answers are, and its time to answer runs
from that moment. One that finds nobody (the gateway was killed) is sent again with the same Idempotency-Key, as a
careful client does.
"""

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ANSWER_S = 30.0
"""A single attempt without an answer after this long has failed."""
GIVE_UP_S = 120.0
"""A request without any answer after this long stays unanswered."""
EXPECT_ABOVE = 1_000_000
"""Bytes of a body from which on the client asks first whether it is wanted."""
PAUSE_S = (0.1, 1.0)
"""Between attempts, at first and at last."""


@dataclass(frozen=True)
class Planned:
    """One request. `at` in seconds from the start; `body` is an index into the plan's bodies."""

    number: int
    at: float
    tenant: str
    kind: str
    token: str
    idempotency_key: str
    body: int


@dataclass
class Answered:
    """What came back: `status` 0 when nothing did. `ms` run from the planned moment to the last byte of the answer."""

    number: int
    tenant: str
    kind: str
    status: int = 0
    ms: float = 0.0
    attempts: int = 0
    late_ms: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.open = True

    async def ask(self, head: bytes, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send a request and read its answer. A large body is sent only when it is wanted, as curl does."""
        if len(body) > EXPECT_ABOVE:
            self._writer.write(head + b"Expect: 100-continue\r\n\r\n")
            status, headers = await self._head()
            if status == 100:
                self._writer.write(body)
                status, headers = await self._head()
        else:
            self._writer.write(head + b"\r\n" + body)
            status, headers = await self._head()
        content = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close" or len(body) > EXPECT_ABOVE:
            self.close()
        return status, headers, content

    async def _head(self) -> tuple[int, dict[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split(" ", 2)[1]), {name.lower(): value.strip() for name, _, value in pairs}

    def close(self) -> None:
        """End it without a word."""
        self.open = False
        self._writer.transport.abort()


class Pool:
    """Connections to one server, as many as are in use at once; the last used is used again first."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._idle: list[Connection] = []

    async def ask(self, head: bytes, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """One attempt. Raises OSError, TimeoutError or EOFError when there is no answer."""
        while self._idle:
            if (connection := self._idle.pop()).open:
                break
        else:
            connection = Connection(*await asyncio.open_connection(self.host, self.port))
        try:
            async with asyncio.timeout(ANSWER_S):
                answer = await connection.ask(head, body)
        except BaseException:
            connection.close()
            raise
        if connection.open:
            self._idle.append(connection)
        return answer


async def send(pool: Pool, planned: Planned, content_type: str, body: bytes, start: float) -> Answered:
    """Send one request when its time has come, again until somebody answers."""
    answered = Answered(planned.number, planned.tenant, planned.kind)
    due = start + planned.at
    await asyncio.sleep(due - time.monotonic())
    answered.late_ms = round((time.monotonic() - due) * 1000, 2)
    head = (
        f"POST /v1/reviews HTTP/1.1\r\nHost: {pool.host}:{pool.port}\r\nAuthorization: Bearer {planned.token}\r\n"
        f"Idempotency-Key: {planned.idempotency_key}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
    ).encode()
    pause = PAUSE_S[0]
    while time.monotonic() < due + GIVE_UP_S:
        answered.attempts += 1
        try:
            answered.status, answered.headers, content = await pool.ask(head, body)
        except (OSError, TimeoutError, EOFError):
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_S[1])
            continue
        answered.ms = round((time.monotonic() - due) * 1000, 2)
        with contextlib.suppress(ValueError):  # an answer that is no JSON has no document
            answered.document = json.loads(content)
        break
    return answered


async def run(plan: dict[str, Any], bodies: list[tuple[str, bytes]]) -> list[Answered]:
    """Send the whole plan; `bodies` are content types and bytes."""
    pool = Pool(plan["host"], plan["port"])
    start = time.monotonic() + 0.5
    planned = [Planned(**one) for one in plan["requests"]]
    return await asyncio.gather(*(send(pool, one, *bodies[one.body], start) for one in planned))


def main() -> None:
    """Read the plan, run it, write the answers."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    bodies = [(content_type, Path(path).read_bytes()) for content_type, path in plan["bodies"]]
    answers = asyncio.run(run(plan, bodies))
    Path(sys.argv[2]).write_text(json.dumps([asdict(answer) for answer in answers]))


if __name__ == "__main__":
    main()
