"""Three tiers of memory: what is learned once is recalled in its own cell, session and tenant."""

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import asyncpg
import pytest
from helpers.store import KEY, MARK, VAULT, learn

from countersign.errors import InvalidRequest
from countersign.memory.embedding import HashingEmbedder
from countersign.memory.knowledge import KnowledgeMemory
from countersign.memory.profile import Cell, ProfileMemory
from countersign.memory.session import SessionMemory
from countersign.store.database import Database
from countersign.store.vault import Vault, VaultError
from countersign.words import Autonomy

if TYPE_CHECKING:
    from redis.asyncio import Redis


async def test_what_a_person_decided_is_a_pair_of_its_cell_once(db: Database) -> None:
    memory = ProfileMemory(db, VAULT)
    assert await asyncio.gather(*(learn(db) for _ in range(5))) == [2] * 5
    second = KEY.model_copy(update={"workflow_id": "w2"})
    assert await learn(db, second, agreed=True) == 2
    supervised = Cell(
        tenant="acme", playbook="nda", contract_type="nda", autonomy=Autonomy.SUPERVISED, pairs=2, agreed=1
    )
    assert await memory.cells() == (supervised,)
    assert await memory.cells("other") == ()


async def test_a_profile_is_its_tenants_and_users(db: Database) -> None:
    memory = ProfileMemory(db, VAULT)
    for tone in ("long", "brief"):
        await memory.set_profile("acme", "p1:u", {"tone": tone})
    assert await memory.profile("acme", "p1:u") == {"tone": "brief"}
    assert await memory.profile("other", "p1:u") == await memory.profile("acme", "p1:v") == {}


async def test_autonomy_is_supervised_until_granted_and_each_change_is_on_record(db: Database) -> None:
    memory = ProfileMemory(db, VAULT)
    cell = ("acme", "nda", "nda")
    assert await memory.autonomy(*cell) is Autonomy.SUPERVISED
    for level in (Autonomy.AUTONOMOUS, Autonomy.AUTONOMOUS, Autonomy.SUPERVISED):
        await memory.grant(*cell, level, by_hash="p1:b", reason="evidence")
    await asyncio.gather(*(memory.grant(*cell, Autonomy.SEMI_AUTONOMOUS, by_hash="p1:b", reason="r") for _ in range(4)))
    assert await memory.autonomy(*cell) is Autonomy.SEMI_AUTONOMOUS
    assert await memory.autonomy("other", "nda", "nda") is Autonomy.SUPERVISED
    assert [(change.level_before, change.level) for change in await memory.history(*cell)] == [
        (Autonomy.SUPERVISED, Autonomy.AUTONOMOUS),
        (Autonomy.AUTONOMOUS, Autonomy.SUPERVISED),
        (Autonomy.SUPERVISED, Autonomy.SEMI_AUTONOMOUS),
    ]
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await db.execute("DELETE FROM cell_history")


async def test_a_session_is_bounded_sealed_and_expires(redis: "Redis") -> None:
    memory = SessionMemory(redis, VAULT, ttl_s=60)
    assert await memory.recall("acme", "p1:u", "s") == ()
    for number in range(25):
        for _ in range(2):  # a retried write
            await memory.remember("acme", "p1:u", "s", f"{MARK} {number}")
    assert await memory.recall("acme", "p1:u", "s") == tuple(f"{MARK} {number}" for number in range(5, 25))
    await memory.remember("acme", "p1:u", "s", "x" * 9000)
    assert len((await memory.recall("acme", "p1:u", "s"))[-1]) == 2000
    for place in (("other", "p1:u", "s"), ("acme", "p1:v", "s"), ("acme", "p1:u", "t")):
        assert await memory.recall(*place) == ()
    (name,) = cast("list[bytes]", await redis.keys("*"))
    assert re.fullmatch(rb"countersign:session:[0-9a-f]{32}", name)
    assert 0 < await redis.ttl(name) <= 60
    assert not any(MARK.encode() in element for element in cast("list[bytes]", await redis.lrange(name, 0, -1)))


async def test_a_session_of_another_master_key_or_a_server_away_is_an_error_to_degrade_on(
    redis: "Redis", tmp_path: Path
) -> None:
    from redis.asyncio import Redis as Client
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    place = ("acme", "p1:u", "s")
    await SessionMemory(redis, VAULT, ttl_s=60).remember(*place, MARK)
    (name,) = await redis.keys("*")
    other = SessionMemory(redis, Vault(bytes(32)), ttl_s=60)
    await other.remember(*place, MARK)
    (others_name,) = {*await redis.keys("*")} - {name}
    await redis.rename(name, others_name)
    with pytest.raises(VaultError):
        await other.recall(*place)
    client = Client(unix_socket_path=str(tmp_path / "none"), retry=Retry(NoBackoff(), 0))
    away = SessionMemory(client, VAULT, ttl_s=60)
    with pytest.raises(RedisError):
        await away.recall(*place)
    with pytest.raises(RedisError):
        await away.remember(*place, MARK)


LIABILITY = "Neither party's aggregate liability may exceed the fees paid in the preceding twelve months."
RENEWAL = "This agreement renews automatically for one year unless notice is given ninety days before its end."


async def test_knowledge_is_added_once_and_found_by_its_tenant(db: Database) -> None:
    memory = KnowledgeMemory(db, HashingEmbedder())
    text = f"{LIABILITY}\n\n{'Filler about nothing at all. ' * 26}\n\n{RENEWAL}"
    assert [await memory.add("acme", "guide", text) for _ in range(2)] == [3, 0]
    assert await memory.add(None, "shared", "Cap on liability: shared advice on fees.") == 1
    assert await memory.add("other", "secret", LIABILITY) == 1
    hits = await memory.search("acme", "limit of liability to fees paid")
    assert {hit.source for hit in hits} == {"guide", "shared"}
    assert LIABILITY in [hit.passage for hit in hits[:2]]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert hits[0].score <= 2 / 61
    assert (await memory.search("acme", "does it renew automatically?", limit=1))[0].passage == RENEWAL
    assert {hit.source for hit in await memory.search("third", "liability")} == {"shared"}
    for nothing in ("", "—", "the of and"):
        assert len(await memory.search("fourth", nothing)) <= 1
    with pytest.raises(InvalidRequest, match="empty"):
        await memory.add("acme", "guide", " \n\n ")


class _Reversed(HashingEmbedder):
    """Another embedder: its vectors must not be compared with those of the first."""

    name = "reversed"

    def embed(self, texts: Any) -> list[list[float]]:
        return [vector[::-1] for vector in super().embed(texts)]


async def test_only_vectors_of_ones_own_embedder_are_compared(db: Database) -> None:
    first, second = KnowledgeMemory(db, HashingEmbedder()), KnowledgeMemory(db, _Reversed())
    await first.add("acme", "guide", LIABILITY)
    (both,) = await first.search("acme", LIABILITY)
    (words_only,) = await second.search("acme", LIABILITY)
    assert words_only.score == pytest.approx(1 / 61)
    assert both.score == pytest.approx(2 / 61)
    assert await second.add("acme", "guide", LIABILITY) == 0
    assert (await second.search("acme", LIABILITY))[0].score == pytest.approx(2 / 61)
