"""Batches in Postgres and at the door: interrupted and repeated, sealed, and on an account of their own."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from helpers.contracts import nda
from helpers.gate import limit, services_on
from helpers.store import MARK, dump

from countersign.admission.entry import Ask
from countersign.batch.payloads import BatchOrder, BatchState, BeginInput, BeginResult
from countersign.errors import InvalidRequest, NotFound, PlaybookError
from countersign.services import Services
from countersign.store.batch_results import Progress
from starters.batches import NewContract, TakenIn, batch_id_of, take_in
from starters.client import ReviewClient

if TYPE_CHECKING:
    from redis.asyncio import Redis

LAWS = ("Ireland", "France", "Chile", "Norway")


@pytest.fixture
async def services(url: str, valkey: Path, redis: "Redis", tmp_path: Path) -> AsyncIterator[Services]:
    async with services_on(url, valkey, tmp_path) as opened:
        yield opened


class Client:
    """As much of a client as taking in needs."""

    def __init__(self, services: Services) -> None:
        self.settings = services.settings
        self._services = services

    async def services(self) -> Services:
        return self._services


def contracts(*, fails_at: int | None = None) -> list[NewContract]:
    def read(number: int, data: bytes) -> bytes:
        if number == fails_at:
            raise InvalidRequest(f"{number}.md: there is no such file")
        return data

    made = [nda(law=law).encode() for law in LAWS]
    return [
        NewContract(f"{MARK} {n}.md", sha256(data).hexdigest(), partial(read, n, data)) for n, data in enumerate(made)
    ]


async def submit(services: Services, given: Sequence[NewContract], **fields: Any) -> TakenIn:
    batch_id = fields.pop("batch_id", None)
    order = BatchOrder.model_validate({"user": "ana", "playbook": "lenient", **fields})
    return await take_in(cast(ReviewClient, Client(services)), "acme", order, given, window=4, batch_id=batch_id)


async def count(services: Services, table: str) -> int:
    return len(await services.db.fetch(f"SELECT FROM {table}"))


async def begin(services: Services, key: Any, positions: Sequence[int]) -> BeginResult:
    from temporalio.testing import ActivityEnvironment

    from activities.batch import Batches

    given = BeginInput(key=key, positions=tuple(positions))
    return cast(BeginResult, await ActivityEnvironment().run(Batches(services).begin, given))


async def test_interrupted_and_repeated_it_is_one_batch_and_starts_only_when_it_is_whole(services: Services) -> None:
    with pytest.raises(InvalidRequest, match="no such file"):
        await submit(services, contracts(fails_at=3))
    [row] = await services.batches.newest()
    assert (row.state, row.ready_at) == (BatchState.STORING, None)
    assert await services.batches.unstarted() == []
    taken = await submit(services, contracts())
    assert (taken.batch.key, taken.existing, taken.batch.state) == (row.key, False, BatchState.READY)
    assert [await count(services, name) for name in ("batches", "batch_items", "documents")] == [1, 4, 4]
    assert await services.batches.unstarted() == [row.key]
    again = await submit(services, contracts())
    assert (again.existing, await count(services, "documents")) == (True, 4)
    await services.batches.started(row.key)
    assert await services.batches.unstarted() == []


async def test_names_words_and_contents_are_sealed(services: Services) -> None:
    taken = await submit(services, contracts(), ask=f"What of {MARK}?", user="Zelda Quux")
    tables = await dump(services.db)
    assert not any(word in tables for word in (MARK, "Zelda", "Ireland"))
    assert not any(word.encode().hex() in tables for word in (MARK, "Zelda", "Ireland"))
    order = await services.batches.order(taken.batch.key)
    assert (order.user, order.ask) == ("Zelda Quux", f"What of {MARK}?")
    results = await services.batch_results.of(taken.batch.key)
    assert [one.name for one in results] == [f"{MARK} {n}.md" for n in range(4)]


async def test_another_order_cannot_take_an_id(services: Services) -> None:
    await submit(services, contracts(), batch_id="q4")
    with pytest.raises(InvalidRequest, match="q4: is already"):
        await submit(services, contracts()[:2], batch_id="q4")
    with pytest.raises(InvalidRequest, match=r"^id: "):
        await submit(services, contracts(), batch_id="Not An Id")
    with pytest.raises(PlaybookError):
        await submit(services, contracts(), playbook="unheard_of")
    assert await count(services, "batches") == 1


async def test_a_file_that_changes_meanwhile_is_refused(services: Services) -> None:
    other = NewContract("moving.md", sha256(b"before").hexdigest(), lambda: b"after")
    with pytest.raises(InvalidRequest, match=r"moving.md: changed"):
        await submit(services, [*contracts(), other])


async def test_another_tenants_batch_is_not_there(services: Services) -> None:
    taken = await submit(services, contracts())
    with pytest.raises(NotFound):
        await services.batches.row(taken.batch.key.model_copy(update={"tenant": "other"}))


async def test_beginning_again_is_beginning_once_and_a_crash_in_between_loses_nothing(services: Services) -> None:
    key = (await submit(services, contracts())).batch.key
    first = await begin(services, key, (0, 1))
    assert (first.begun, first.ended, first.retry_after_s) == ((0, 1), (), 0)
    assert await begin(services, key, (0, 1, 2)) == BeginResult(begun=(0, 1, 2))
    rows = await services.db.fetch("SELECT batch_id, request FROM reviews")
    assert [row["batch_id"] for row in rows] == [key.batch_id] * 3
    await services.waiting.dispatched([("acme", f"{key.batch_id}-00001")])
    [due] = await services.waiting.unstarted(10)
    request = services.waiting.request(due)
    assert (due.batch, request.user, request.document is not None) == (True, "ana", True)


async def test_the_door_asks_for_patience_and_nobody_is_charged_or_struck(services: Services) -> None:
    await limit(services.limits, "acme", batch_per_hour=2, abuse_strikes=3, user_per_hour=5)
    key = (await submit(services, contracts())).batch.key
    result = await begin(services, key, (0, 1, 2, 3))
    assert (result.begun, result.ended) == ((0, 1), ())
    assert 1700 < result.retry_after_s <= 1800
    assert "hour" in result.waits_for
    for _ in range(10):
        assert (await begin(services, key, (2, 3))).begun == ()
    user_hash = services.pseudonyms.of("user", "ana")
    entry = await services.door.enter(Ask("acme", user_hash, "mine"))
    assert (entry.admitted, entry.remaining) == (True, 4)


async def test_without_redis_a_batch_still_has_its_own_account(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        return None

    await limit(services.limits, "acme", batch_per_hour=10, user_per_hour=10)
    user_hash = services.pseudonyms.of("user", "ana")
    monkeypatch.setattr(services.door._script, "run", away)
    for number in range(2):
        assert (await services.door.enter(Ask("acme", user_hash, f"b{number}", batch=True))).admitted
    assert not (await services.door.enter(Ask("acme", user_hash, "b2", batch=True))).admitted
    assert (await services.door.enter(Ask("acme", user_hash, "mine"))).admitted


async def test_an_erased_contract_is_one_item_and_stops_no_other(services: Services) -> None:
    key = (await submit(services, contracts())).batch.key
    await services.db.execute(
        "UPDATE data_keys SET wrapped = NULL, destroyed_at = now() WHERE review_id = $1", f"{key.batch_id}-00002"
    )
    result = await begin(services, key, (0, 1, 2))
    assert result.begun == (0, 2)
    assert [(one.position, one.how) for one in result.ended] == [(1, "erased")]


async def test_an_item_whose_workflow_was_taken_away_does_not_hold_the_batch(services: Services) -> None:
    key = (await submit(services, contracts())).batch.key
    await begin(services, key, (0, 1))
    assert await services.batches.settled(key, (0, 1)) == ()
    await services.db.execute(
        "UPDATE reviews SET dispatched_at = now(), updated_at = now() - interval '25 hours' WHERE review_id = $1",
        f"{key.batch_id}-00001",
    )
    assert [(one.position, one.how) for one in await services.batches.settled(key, (0, 1))] == [(0, "stuck")]


async def test_a_cancelled_batch_erases_only_what_never_began(services: Services) -> None:
    key = (await submit(services, contracts())).batch.key
    await begin(services, key, (0,))
    # The second one was begun by a step whose answer was lost.
    await begin(services, key, (1,))
    assert await services.batches.forget(key, 1) == 3
    gone = [
        row["review_id"] for row in await services.db.fetch("SELECT review_id FROM data_keys WHERE wrapped IS NULL")
    ]
    assert sorted(gone) == [f"{key.batch_id}-00003", f"{key.batch_id}-00004"]


def test_ids_are_made_of_the_whole_order() -> None:
    assert batch_id_of("0" * 64) == "b" + "0" * 11
    assert batch_id_of("f" * 64) != batch_id_of("e" * 64)
    assert len(batch_id_of(sha256(b"x").hexdigest())) == 12


async def test_progress_counts_by_end_and_what_ended_lately(services: Services) -> None:
    key = (await submit(services, contracts())).batch.key
    began = datetime.now(UTC) - timedelta(minutes=1)
    assert await services.batch_results.progress("acme", [key.batch_id], began) == {}
    await services.batches.end(key, 0, "failed")
    await services.batches.end(key, 1, "failed")
    await services.batches.end(key, 2, "blocked")
    assert await services.batch_results.progress("acme", [key.batch_id], began) == {
        key.batch_id: Progress({"blocked": 1, "failed": 2}, lately=3, waiting=0)
    }
    later = await services.batch_results.progress(
        "acme", [key.batch_id, "none"], datetime.now(UTC) + timedelta(minutes=1)
    )
    assert later[key.batch_id].lately == 0
    assert await services.batch_results.progress("other", [key.batch_id], began) == {}
    wrong = await services.batch_results.of(key, ended=["failed"], limit=1)
    assert [(one.position, one.ended) for one in wrong] == [(0, "failed")]
