"""The spike's own arithmetic: its plan, its HTTP client's answers, Jain's index and quantiles."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from benchmarks.spike import jain, quantile
from benchmarks.spike_load import EXPECT_ABOVE, Planned, Pool, send
from benchmarks.spike_plan import HOSTILE, plan_requests, tenants, users, write_bodies

START = datetime(2026, 11, 22, tzinfo=UTC)


def served(*tenants_of: str) -> list[tuple[str, datetime, datetime]]:
    """Reviews that all came at the start and were dispatched in this order, one every ten seconds."""
    return [(tenant, START, START + timedelta(seconds=10 * (n + 1))) for n, tenant in enumerate(tenants_of)]


def test_jain_is_one_for_turns_and_low_for_one_who_takes_all() -> None:
    assert jain(served(*"abababababab"), least=3) == (1.0, 2)
    unfair, demanding = jain(served(*"aaaaaaaaab", *"bb"), least=3)
    assert demanding == 2
    assert unfair is not None
    assert unfair < 0.7
    assert jain(served(*"aaaa")) == (None, 0)


def test_quantiles() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.99, 1.0)] == [2.0, 4.0, 4.0]
    assert quantile([], 0.5) == 0.0


def test_the_plan_is_the_one_announced(tmp_path: Path) -> None:
    names = tenants(20)
    tokens = {(t, u): f"{t}-{u}-secret" for n, t in enumerate(names) for u in users(n)}
    bodies = {kind: index for kind, (index, _, _) in write_bodies(tmp_path, "spike", 1).items()}
    plan = [Planned(**one) for one in plan_requests(2_000, 10, names, tokens, bodies)]  # type: ignore[arg-type]
    assert 0.87 < sum(one.tenant == names[0] for one in plan) / 2_000 < 0.93
    assert 0.003 < sum(one.kind in HOSTILE for one in plan) / 2_000 < 0.02
    assert {one.tenant for one in plan} == set(names)
    assert len({one.idempotency_key for one in plan}) == 2_000
    assert plan == [Planned(**one) for one in plan_requests(2_000, 10, names, tokens, bodies)]  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [10, EXPECT_ABOVE + 1])
async def test_a_request_nobody_took_is_sent_again_with_its_key(size: int) -> None:
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        heads.append(head)
        if len(heads) == 1:  # dies without a word
            writer.transport.abort()
            return
        if "100-continue" in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await reader.readexactly(size)
        writer.write(b'HTTP/1.1 202 Accepted\r\nContent-Length: 20\r\n\r\n{"review_id": "r-1"}')
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        planned = Planned(0, 0.0, "t", "small", "secret", "key-1", 0)
        answered = await send(
            Pool("127.0.0.1", port), planned, "text/plain", b"x" * size, asyncio.get_running_loop().time()
        )
    assert (answered.status, answered.attempts) == (202, 2)
    assert all("Idempotency-Key: key-1\r\n" in head for head in heads)
    assert ("100-continue" in heads[1]) == (size > EXPECT_ABOVE)
