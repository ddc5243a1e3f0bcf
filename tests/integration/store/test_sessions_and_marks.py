"""Ended sessions and read marks in a real Valkey, and without it."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.store import VAULT

from countersign.access.sessions import LONGEST_S, Sessions
from countersign.store.marks import KEEP_S, ReadMarks

if TYPE_CHECKING:
    from redis.asyncio import Redis


@pytest.fixture
async def nowhere(tmp_path: Path) -> "Redis":
    from redis.asyncio import Redis

    return Redis(unix_socket_path=str(tmp_path / "none"))


async def test_signing_out_is_known_as_long_as_the_session_could_last(redis: "Redis") -> None:
    here, there = Sessions(VAULT, redis), Sessions(VAULT, redis)
    session = here.begin("cs_key")
    await here.end(session)
    assert await there.has_ended(session)
    [name] = await redis.keys("*")
    assert session.credentials not in name.decode()
    assert LONGEST_S - 60 <= await redis.ttl(name) <= LONGEST_S + 1


async def test_what_was_looked_at_is_known_until_it_changes(redis: "Redis") -> None:
    marks = ReadMarks(redis, VAULT)
    await marks.put("acme", "p1:bob", "r-1", "a" * 64)
    shown = [("r-1", "a" * 64), ("r-2", "a" * 64)]
    assert await marks.seen("acme", "p1:bob", shown) == {"r-1"}
    assert await marks.seen("acme", "p1:bob", [("r-1", "b" * 64)]) == set()
    assert await marks.seen("acme", "p1:ann", shown) == await marks.seen("other", "p1:bob", shown) == set()
    assert await marks.seen("acme", "p1:bob", []) == set()
    [name] = await redis.keys("*")
    assert b"r-1" not in name and b"bob" not in name
    assert 0 < await redis.ttl(name) <= KEEP_S


async def test_without_redis_nothing_is_new_and_nobody_is_kept_out(nowhere: "Redis") -> None:
    marks, sessions = ReadMarks(nowhere, VAULT), Sessions(VAULT, nowhere)
    await marks.put("acme", "p1:bob", "r-1", "a")
    assert await marks.seen("acme", "p1:bob", [("r-1", "a"), ("r-2", "b")]) == {"r-1", "r-2"}
    session = sessions.begin("cs_key")
    assert not await sessions.has_ended(session)
    await sessions.end(session)
    assert await sessions.has_ended(session)
