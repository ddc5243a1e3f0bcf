"""The intake on real Postgres and Valkey: accepted means durable, refused means nothing is kept, once means once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from helpers.contracts import nda
from helpers.gate import limit, services_on

from countersign.admission.entry import Ask, Place
from countersign.admission.intake import Running
from countersign.errors import (
    CountersignError,
    DocumentError,
    InvalidRequest,
    NotFound,
    Overloaded,
    PlaybookError,
    RateLimited,
    ServiceUnavailable,
)
from countersign.review.payloads import DocumentRef, ReviewRequest
from countersign.services import Services
from countersign.store.documents import CHUNK_BYTES
from countersign.words import Stage

if TYPE_CHECKING:
    from redis.asyncio import Redis

DATA = nda().encode()


@pytest.fixture
async def services(url: str, valkey: Path, redis: "Redis", tmp_path: Path) -> AsyncIterator[Services]:
    async with services_on(url, valkey, tmp_path) as opened:
        yield opened


def ask(review_id: str | None = None, tenant: str = "acme", user: str = "ana", **fields: str) -> ReviewRequest:
    return ReviewRequest.model_validate(
        {"tenant": tenant, "user": user, "playbook": "lenient", "review_id": review_id, **fields}
    )


async def count(services: Services, table: str) -> int:
    return len(await services.db.fetch(f"SELECT FROM {table}"))


async def waiting(services: Services) -> dict[str, int]:
    return dict((await services.door.standing()).waiting)


async def test_what_is_accepted_is_durable_and_waits_for_its_turn(services: Services) -> None:
    taken = await services.intake.submit(ask(ask="Can we sign?"), DATA, "a/nda.md")
    assert (taken.workflow_id, taken.existing, taken.in_flight) == (f"review-acme-{taken.review_id}", False, False)
    assert (taken.entry.place, taken.document.media_type) == (Place.ROOM, "text/markdown")
    assert taken.document.sha256 == hashlib.sha256(DATA).hexdigest()
    assert await services.documents.get("acme", taken.document.document_id) == DATA
    row = await services.reviews.row(taken.review_id)
    assert (row.stage, row.waits_for_its_turn) == (Stage.SUBMIT, True)
    assert row.user_hash == services.pseudonyms.of("user", "ana")
    await services.waiting.dispatched([("acme", taken.review_id)])
    [due] = await services.waiting.unstarted(10)
    assert services.waiting.request(due) == ask(taken.review_id, ask="Can we sign?").model_copy(
        update={"document": taken.document}
    )


async def test_a_repeat_is_the_same_review_however_many_come_at_once(services: Services) -> None:
    taken = await asyncio.gather(*(services.intake.submit(ask("r-1"), DATA, "nda.md") for _ in range(10)))
    assert [one.existing for one in taken].count(False) == 1
    assert {one.document for one in taken} == {taken[0].document}
    assert (await count(services, "reviews"), await waiting(services)) == (1, {"acme": 1})
    with pytest.raises(InvalidRequest, match="r-1 is already"):
        await services.intake.submit(ask("r-1"), nda(law="Chile").encode(), "nda.md")
    assert await waiting(services) == {"acme": 1}, "the first one's place is not given back"


async def test_a_large_document_comes_in_chunks(services: Services) -> None:
    data = (nda() * 500).encode()
    assert len(data) > 2 * CHUNK_BYTES
    async with services.intake.entering("acme", "ana", "r-1") as place:
        upload = services.intake.upload("acme", "r-1")
        for start in range(0, len(data), 65_536):
            await upload.write(data[start : start + 65_536])
        taken = await place.accept(ask("r-1"), upload, "nda.md")
    assert taken.document.size == len(data)
    assert await services.documents.get("acme", taken.document.document_id) == data


async def test_the_type_is_told_by_a_first_chunk_that_ends_inside_a_character(services: Services) -> None:
    data = b"x" + "\u00c1".encode() * CHUNK_BYTES  # no Windows-1252 either: its second byte stands for nothing there
    assert (await services.intake.submit(ask("r-1"), data, "nda.txt")).document.media_type == "text/plain"


@pytest.mark.parametrize(
    ("data", "playbook", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "lenient", DocumentError),
        (b"", "lenient", DocumentError),
        (DATA, "unheard_of", PlaybookError),
    ],
)
async def test_what_is_not_accepted_leaves_nothing_and_gives_its_place_back(
    services: Services, data: bytes, playbook: str, kind: type[CountersignError]
) -> None:
    with pytest.raises(kind):
        await services.intake.submit(ask("r-1", playbook=playbook), data, "nda")
    assert [await count(services, table) for table in ("reviews", "documents", "data_keys")] == [0, 0, 0]
    assert await waiting(services) == {}
    assert not (await services.intake.submit(ask("r-1"), DATA, "nda.md")).existing


async def test_more_than_the_limit_is_refused_as_it_comes(
    url: str, valkey: Path, redis: "Redis", tmp_path: Path
) -> None:
    async with services_on(url, valkey, tmp_path, max_document_mb=0.6) as services:
        with pytest.raises(DocumentError, match=r"limit of 0\.6 MB"):
            await services.intake.submit(ask("r-1"), bytes(700_000), "nda.txt")
        async with services.intake.entering("acme", "ana", "r-2"):
            upload = services.intake.upload("acme", "r-2")
            await upload.write(bytes(500_000))
            with pytest.raises(DocumentError):
                await upload.write(bytes(200_000))
        assert await waiting(services) == {}
        assert await count(services, "reviews") == 0


async def test_postgres_away_after_the_door_gives_the_place_back(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise ServiceUnavailable("PostgreSQL does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(services.acceptances, "accept", away)
        with pytest.raises(ServiceUnavailable):
            await services.intake.submit(ask("r-1"), DATA, "nda.md")
        assert await waiting(services) == {}
    assert not (await services.intake.submit(ask("r-1"), DATA, "nda.md")).existing


async def test_an_upload_that_breaks_off_gives_the_place_back(services: Services) -> None:
    with pytest.raises(asyncio.CancelledError):
        async with services.intake.entering("acme", "ana", "r-1"):
            raise asyncio.CancelledError
    assert await waiting(services) == {}


async def test_over_the_rate_is_refused_with_reason_wait_and_remedy(services: Services) -> None:
    await limit(services.limits, user_per_hour=2)
    for number in range(2):
        await services.intake.submit(ask(f"r-{number}"), DATA, "nda.md")
    with pytest.raises(RateLimited) as caught:
        await services.intake.submit(ask("r-2"), DATA, "nda.md")
    assert caught.value.reason == "user_rate"
    assert caught.value.entry is not None
    assert (caught.value.entry.limit, caught.value.entry.remaining) == (2, 0)
    assert 1790 < caught.value.retry_after_s <= 1800
    assert str(caught.value) == (
        "this user has used up the reviews of an hour (2). "
        "Submit again in 30 min; an administrator can change it with `countersign limits`"
    )
    assert (await services.intake.submit(ask("r-1"), DATA, "nda.md")).existing, "what was accepted stays accepted"
    assert not (await services.intake.submit(ask("r-3", user="bob"), DATA, "nda.md")).existing


async def test_a_full_room_is_refused_as_overloaded(services: Services) -> None:
    await limit(services.limits, room=2)
    await services.intake.submit(ask("r-1"), DATA, "nda.md")
    with pytest.raises(Overloaded) as caught:
        await services.intake.submit(ask("r-2"), DATA, "nda.md")
    assert caught.value.retry_after_s >= 1
    assert await count(services, "reviews") == 1
    await services.intake.submit(ask("r-1", tenant="other"), DATA, "nda.md")


async def test_what_was_accepted_is_known_though_the_door_has_forgotten_it(services: Services, redis: "Redis") -> None:
    first = await services.intake.submit(ask("r-1"), DATA, "nda.md")
    await redis.flushdb()
    await limit(services.limits, user_per_hour=1)
    await services.intake.submit(ask("r-2"), DATA, "nda.md")
    again = await services.intake.submit(ask("r-1"), DATA, "nda.md")
    assert (again.existing, again.document) == (True, first.document)
    assert (await services.door.enter(Ask("acme", services.pseudonyms.of("user", "ana"), "r-3"))).refused == "user_rate"


async def test_a_running_workflow_enters_with_its_own_id_and_flies_at_once(services: Services) -> None:
    running = Running("by-hand", "run-1")
    async with services.intake.entering("acme", "ana", "r-1", running=running) as place:
        upload = services.intake.upload("acme", "r-1")
        await upload.write(DATA)
        taken = await place.accept(ask("r-1"), upload)
    assert (taken.in_flight, taken.workflow_id) == (True, "by-hand")
    assert not (await services.reviews.row("r-1")).waits_for_its_turn
    assert await services.waiting.unstarted(9) == ()

    async with services.intake.entering("acme", "ana", "r-2", running=Running("again", "run-2")) as place:
        taken = await place.accept(ask("r-2"), taken.document)
    assert (await services.reviews.row("r-2")).workflow_id == "again"
    missing = DocumentRef(document_id="doc-none", sha256="0" * 64, media_type="text/plain", size=1)
    with pytest.raises(NotFound):
        async with services.intake.entering("acme", "ana", "r-3", running=Running("third", "run-3")) as place:
            await place.accept(ask("r-3"), missing)
    assert (await services.door.standing()).in_flight == {"acme": 2}


async def test_its_turn_is_told_as_things_stand_now(services: Services) -> None:
    for tenant, number in (("acme", 0), ("acme", 1), ("other", 0), ("acme", 2)):
        await services.intake.submit(ask(f"r-{number}", tenant=tenant), DATA, "nda.md")
    turn = await services.intake.turn("acme", "r-2")
    assert turn is not None
    assert turn.ahead == 3, "two of its own tenant, and the other's one"
    await services.waiting.dispatched([("acme", "r-0")])
    await services.door.grant("acme", "r-0")
    turn = await services.intake.turn("acme", "r-2")
    assert turn is not None
    assert turn.ahead == 2
    assert await services.intake.turn("acme", "r-0") is None
    assert await services.intake.turn("other", "r-2") is None


async def test_who_waits_for_an_answer_is_told_of_no_batch(services: Services) -> None:
    for tenant in ("acme", "other"):
        await services.intake.submit(ask(f"b-{tenant}", tenant=tenant), DATA, "nda.md", batch_id="b1")
    taken = await services.intake.submit(ask("r-1"), DATA, "nda.md")
    assert (taken.ahead, taken.estimate_s) == (0, 0)
    turn, of_batch = [await services.intake.turn("acme", name) for name in ("r-1", "b-acme")]
    assert turn is not None
    assert of_batch is not None
    assert (turn.ahead, of_batch.ahead) == (0, 2)
    # As Postgres tells it, the same.
    waiting, batches = await services.waiting.ids()
    await services.door.sync(waiting, [], batches)
    assert (await services.door.standing()).batches == {"acme": 1, "other": 1}
    again = await services.intake.submit(ask("r-2"), DATA, "nda.md")
    assert again.ahead == 1
