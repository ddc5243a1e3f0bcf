"""Documents and reviews: stored once, each tenant its own, sealed at rest, erased with their key."""

import asyncio
import hashlib
from datetime import timedelta

import pytest
from helpers.store import AT, KEY, MARK, NDA, TEXT, VAULT, admitted, dump, learn, new_review, status, uploaded

from countersign.errors import DocumentError, InvalidRequest, NotFound
from countersign.memory.profile import ProfileMemory
from countersign.review.payloads import AnalysisResult, Finding, ReviewKey, Screening, Usage
from countersign.store.acceptances import Acceptances
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.documents import CHUNK_BYTES, DocumentStore
from countersign.store.reviews import ReviewStore
from countersign.store.vault import VaultError
from countersign.words import Outcome, RiskBand, Route, Severity, Stage


async def test_a_document_is_stored_once_and_read_back(db: Database) -> None:
    store = DocumentStore(db, VAULT)
    refs = await asyncio.gather(*(store.put("acme", "r-1", NDA, "application/pdf") for _ in range(8)))
    assert set(refs) == {refs[0]}
    assert (refs[0].size, refs[0].media_type) == (len(NDA), "application/pdf")
    assert len(await db.fetch("SELECT FROM documents")) == len(await db.fetch("SELECT FROM data_keys")) == 1
    assert await store.get("acme", refs[0].document_id) == NDA

    with pytest.raises(NotFound, match="no text yet"):
        await store.get_text("acme", refs[0].document_id)
    for _ in range(2):
        await store.put_text("acme", refs[0].document_id, TEXT)
    assert await store.get_text("acme", refs[0].document_id) == TEXT


async def test_another_tenants_document_is_as_unknown_as_none(db: Database) -> None:
    store = DocumentStore(db, VAULT)
    ref = await store.put("acme", "r-1", NDA, "application/pdf")
    other = await store.put("other", "r-1", NDA, "application/pdf")
    assert other.document_id != ref.document_id
    for tenant, document_id in (("other", ref.document_id), ("acme", "doc-none")):
        message = f"document {document_id}: not found"
        with pytest.raises(NotFound, match=message):
            await store.get(tenant, document_id)
        with pytest.raises(NotFound, match=message):
            await store.get_text(tenant, document_id)
        with pytest.raises(NotFound, match=message):
            await store.put_text(tenant, document_id, TEXT)


async def test_a_sealed_row_moved_to_another_place_does_not_open(db: Database) -> None:
    store = DocumentStore(db, VAULT)
    one = await store.put("acme", "r-1", NDA, "application/pdf")
    two = await store.put("acme", "r-1", b"other bytes", "text/plain")
    await db.execute(
        "UPDATE documents SET data = (SELECT data FROM documents WHERE document_id = $1) WHERE document_id = $2",
        one.document_id,
        two.document_id,
    )
    with pytest.raises(VaultError):
        await store.get("acme", two.document_id)


async def test_a_document_in_chunks_is_whole_again_and_readable_nowhere(db: Database) -> None:
    store = DocumentStore(db, VAULT)
    data = MARK.encode() * (3 * CHUNK_BYTES // len(MARK))
    upload = store.upload("acme", "r-1")
    for start in range(0, len(data), 100_000):
        await upload.write(data[start : start + 100_000])
        assert len(await db.fetch("SELECT FROM document_chunks")) >= upload.size // CHUNK_BYTES - 1
    assert upload.chunked
    assert upload.head == data[:CHUNK_BYTES]
    entered = await Acceptances(db, VAULT).accept(new_review(), upload, "text/plain")
    assert (entered.document.size, entered.document.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert await store.get("acme", entered.document.document_id) == data
    assert MARK.encode().hex() not in await dump(db)

    await db.execute("DELETE FROM document_chunks WHERE position = 2")
    with pytest.raises(VaultError, match="not whole"):
        await store.get("acme", entered.document.document_id)


async def test_a_chunk_does_not_open_at_another_position(db: Database) -> None:
    upload = await uploaded(db, bytes(3 * CHUNK_BYTES))
    entered = await Acceptances(db, VAULT).accept(new_review(), upload, "text/plain")
    await db.execute("UPDATE document_chunks SET position = 1 - position + 9 WHERE position < 2")
    await db.execute("UPDATE document_chunks SET position = position - 9 WHERE position > 2")
    with pytest.raises(VaultError):
        await DocumentStore(db, VAULT).get("acme", entered.document.document_id)


@pytest.mark.parametrize(("size", "chunks"), [(1, 0), (CHUNK_BYTES, 0), (CHUNK_BYTES + 1, 2), (2 * CHUNK_BYTES, 2)])
async def test_chunks_are_made_only_of_what_is_larger_than_one(db: Database, size: int, chunks: int) -> None:
    entered = await Acceptances(db, VAULT).accept(new_review(), await uploaded(db, bytes(size)), "text/plain")
    assert len(await db.fetch("SELECT FROM document_chunks")) == chunks
    assert await DocumentStore(db, VAULT).get("acme", entered.document.document_id) == bytes(size)


async def test_an_upload_over_the_limit_ends_there(db: Database) -> None:
    upload = DocumentStore(db, VAULT).upload("acme", "r-1", max_bytes=CHUNK_BYTES * 2)
    await upload.write(bytes(CHUNK_BYTES * 2))
    with pytest.raises(DocumentError, match=r"larger than the limit of 0\.524288 MB"):
        await upload.write(b"x")
    assert upload.size == CHUNK_BYTES * 2


async def test_what_an_upload_left_behind_is_removed_when_it_is_old(db: Database) -> None:
    store = DocumentStore(db, VAULT)
    kept = await uploaded(db, bytes(2 * CHUNK_BYTES))
    await Acceptances(db, VAULT).accept(new_review(), kept, "text/plain")
    for _ in range(2):
        await uploaded(db, bytes(3 * CHUNK_BYTES))
    assert (await store.drop_leftovers())[0] == 0
    old = "UPDATE document_chunks SET created_at = now() - interval '2 hours' WHERE upload_id = $1"
    [abandoned, slow] = [
        row["upload_id"]
        for row in await db.fetch(
            "SELECT DISTINCT upload_id FROM document_chunks WHERE upload_id NOT IN (SELECT upload_id FROM documents)"
        )
    ]
    await db.execute(old, abandoned)
    await db.execute(f"{old} AND position = 0", slow)
    await db.execute(old, await db.pool.fetchval("SELECT upload_id FROM documents"))
    dropped, since = await store.drop_leftovers()
    assert dropped == 2, "the chunks of the one that is abandoned; the slow one is still under way"
    await db.execute("UPDATE document_chunks SET created_at = now() - interval '61 minutes' WHERE upload_id = $1", slow)
    assert (await store.drop_leftovers(since - timedelta(minutes=2)))[0] == 2
    assert len(await db.fetch("SELECT FROM document_chunks")) == 2


async def test_a_review_is_accepted_once_with_its_document(db: Database) -> None:
    store = Acceptances(db, VAULT)
    sources = [await uploaded(db) for _ in range(8)]
    entered = await asyncio.gather(*(store.accept(new_review(), source, "application/pdf") for source in sources))
    assert [one.existing for one in entered].count(False) == 1
    assert {one.document for one in entered} == {entered[0].document}
    for table in ("reviews", "documents", "data_keys"):
        assert len(await db.fetch(f"SELECT FROM {table}")) == 1
    assert await DocumentStore(db, VAULT).get("acme", entered[0].document.document_id) == NDA
    row = await ReviewStore(db, VAULT).row("r-1")
    assert (row.playbook, row.user_hash, row.stage, row.waits_for_its_turn) == ("nda", "p1:u", Stage.SUBMIT, True)
    assert (await ReviewStore(db, VAULT).status("r-1")).stage is Stage.SUBMIT


async def test_large_documents_of_one_review_are_accepted_once(db: Database) -> None:
    store, data = Acceptances(db, VAULT), MARK.encode() * 20_000
    sources = await asyncio.gather(*(uploaded(db, data) for _ in range(4)))
    entered = await asyncio.gather(*(store.accept(new_review(), source, "text/plain") for source in sources))
    assert [one.existing for one in entered].count(False) == 1
    assert await DocumentStore(db, VAULT).get("acme", entered[0].document.document_id) == data


async def test_a_key_without_a_review_is_used_by_the_next_attempt(db: Database) -> None:
    """What an attempt leaves behind that died after its first chunk."""
    await uploaded(db, bytes(2 * CHUNK_BYTES))
    entered = await Acceptances(db, VAULT).accept(new_review(), await uploaded(db), "application/pdf")
    assert not entered.existing
    assert await DocumentStore(db, VAULT).get("acme", entered.document.document_id) == NDA


async def test_an_id_stands_for_one_document_and_one_workflow(db: Database) -> None:
    store, ref = await admitted(db)
    stranger = KEY.model_copy(update={"workflow_id": "another"})
    other_id = KEY.model_copy(update={"review_id": "r-2"})
    for key, data in ((stranger, NDA), (other_id, NDA), (KEY, b"%PDF another")):
        with pytest.raises(InvalidRequest, match="review_id"):
            await Acceptances(db, VAULT).accept(new_review(key), await uploaded(db, data, key), "application/pdf")
    assert len(await store.list()) == 1
    assert await DocumentStore(db, VAULT).get("acme", ref.document_id) == NDA
    assert len(await db.fetch("SELECT FROM documents")) == 1

    taken = {"document_id": ref.document_id, "user_hash": "p1:u", "run_id": "run-1"}
    for _ in range(2):
        held = await Acceptances(db, VAULT).take(KEY, **taken)
        assert held is not None
        assert held.in_flight
    wrong: dict[str, str]
    for wrong in ({"run_id": "run-2"}, {"document_id": "doc-2"}, {"user_hash": "p1:other"}):
        with pytest.raises(InvalidRequest, match="review_id"):
            await Acceptances(db, VAULT).take(KEY, **{**taken, **wrong})
    for key in (stranger, other_id):
        with pytest.raises(InvalidRequest, match="review_id"):
            await Acceptances(db, VAULT).take(key, **taken)
    unknown = ReviewKey(tenant="acme", review_id="r-3", workflow_id="review-acme-r-3")
    assert await Acceptances(db, VAULT).take(unknown, **taken) is None


async def test_an_erased_review_is_not_accepted_again(db: Database) -> None:
    await uploaded(db, bytes(2 * CHUNK_BYTES))
    await DataKeys(db, VAULT).destroy("acme", "r-1")
    with pytest.raises(NotFound, match="erased"):
        await Acceptances(db, VAULT).accept(new_review(), await uploaded(db), "application/pdf")


async def test_only_a_newer_status_wins(db: Database) -> None:
    store, _ = await admitted(db)
    finding = Finding(id="F1", clause="liability", severity=Severity.HIGH, statement=MARK)
    full = status(
        route=Route.REVIEW,
        contract_type="nda",
        screening=Screening(risk_score=0.1, band=RiskBand.CLEAN),
        analysis=AnalysisResult(
            summary=MARK,
            key_findings=(finding.model_copy(update={"severity": Severity.LOW}), finding),
            confidence=0.7,
            requires_human_review=True,
        ),
        waiting_for="reviewer",
        sla_due=AT + timedelta(days=2),
        usage=Usage(cost_microusd=42),
    )
    await store.project(full, 5)
    for stale in (5, 4):
        await store.project(status(Stage.READ), stale)
    row = await store.row(KEY.workflow_id, "acme")
    assert await store.status("r-1", "acme") == full
    assert (row.stage, row.findings, row.worst_severity, row.confidence) == (Stage.SIGN, 2, Severity.HIGH, 0.7)
    assert (row.risk_band, row.cost_microusd, row.waiting_for) == (RiskBand.CLEAN, 42, "reviewer")
    assert (row.user_hash, row.playbook) == ("p1:u", "nda")

    await store.project(status(Stage.DONE, outcome=Outcome.APPROVED, ended_at=AT), 6)
    assert (await store.row("r-1")).outcome is Outcome.APPROVED
    assert await store.queue() == ()

    await store.project(status(Stage.READ, workflow_id="another"), 9)
    await store.project(status(Stage.READ, review_id="r-9"), 9)
    assert [(row.workflow_id, row.stage) for row in await store.list()] == [(KEY.workflow_id, Stage.DONE)]


async def test_another_tenants_review_is_as_unknown_as_none(db: Database) -> None:
    store, _ = await admitted(db)
    for wanted in (store.row, store.status):
        for identifier in ("r-1", KEY.workflow_id, "r-7"):
            with pytest.raises(NotFound) as caught:
                await wanted(identifier, "other")
            assert str(caught.value).startswith(f"review {identifier}: not found")
    await admitted(db, ReviewKey(tenant="other", review_id="r-1", workflow_id="review-other-r-1"))
    with pytest.raises(InvalidRequest, match="more than one tenant"):
        await store.row("r-1")
    assert (await store.row("r-1", "other")).workflow_id == "review-other-r-1"
    assert [row.tenant for row in await store.list(tenant="acme")] == ["acme"]


async def test_lists_are_newest_first_and_the_queue_is_most_urgent_first(db: Database) -> None:
    store = ReviewStore(db, VAULT)
    for number, (due, escalated) in enumerate([(9, False), (1, False), (5, True), (None, False)]):
        key = ReviewKey(tenant="acme", review_id=f"r-{number}", workflow_id=f"w-{number}")
        await admitted(db, key, AT + timedelta(minutes=number))
        sla_due = None if due is None else AT + timedelta(days=due)
        waiting = status(review_id=key.review_id, workflow_id=key.workflow_id, waiting_for="reviewer", sla_due=sla_due)
        await store.project(waiting.model_copy(update={"escalated": escalated}), 1)
    assert [row.review_id for row in await store.list(limit=3)] == ["r-3", "r-2", "r-1"]
    assert [row.review_id for row in await store.queue(tenant="acme")] == ["r-2", "r-1", "r-0", "r-3"]
    asked = status(review_id="r-1", workflow_id="w-1", waiting_for="requester")
    await store.project(asked, 2)
    assert [row.review_id for row in await store.queue(tenant="acme", waiting_for="requester")] == ["r-1"]
    assert [row.review_id for row in await store.queue(tenant="acme")] == ["r-2", "r-0", "r-3"]
    assert (await store.knows("acme"), await store.knows("zz")) == (True, False)
    assert await store.queue(tenant="other") == await store.list(stage=Stage.READ) == ()
    assert len(await store.list(stage=Stage.SIGN, limit=1)) == 1
    with pytest.raises(InvalidRequest, match="limit"):
        await store.list(limit=0)


async def test_the_desk_is_the_queue_with_every_status_opened(db: Database) -> None:
    store, _ = await admitted(db)
    erased = ReviewKey(tenant="acme", review_id="r-2", workflow_id="w-2")
    elsewhere = ReviewKey(tenant="other", review_id="r-1", workflow_id="w-other")
    for key in (erased, elsewhere):
        await admitted(db, key, AT + timedelta(minutes=1))
    for key in (KEY, erased, elsewhere):
        waiting = status(
            review_id=key.review_id, workflow_id=key.workflow_id, tenant=key.tenant, waiting_for="reviewer"
        )
        await store.project(waiting.model_copy(update={"claimed_by": key.workflow_id, "sla_due": AT}), 1)
    await DataKeys(db, VAULT).destroy("acme", "r-2")
    desk = await store.desk(tenant="acme")
    assert tuple(row for row, _ in desk) == await store.queue(tenant="acme")
    assert [found and found.claimed_by for _, found in desk] == [KEY.workflow_id, None]
    assert len(await store.desk(tenant="acme", limit=1)) == 1


async def test_nothing_that_people_wrote_is_readable_at_rest(db: Database) -> None:
    store, ref = await admitted(db)
    await DocumentStore(db, VAULT).put_text("acme", ref.document_id, TEXT)
    analysis = AnalysisResult(summary=MARK, confidence=1, requires_human_review=False)
    await store.project(status(analysis=analysis, question=MARK), 1)
    memory = ProfileMemory(db, VAULT)
    await memory.set_profile("acme", "p1:u", {"note": MARK})
    await learn(db)
    rows = await dump(db)
    assert ref.document_id in rows
    assert MARK not in rows
    assert MARK.encode().hex() not in rows


async def test_destroying_the_data_key_erases_document_text_and_detail(db: Database) -> None:
    reviews, ref = await admitted(db)
    documents, keys = DocumentStore(db, VAULT), DataKeys(db, VAULT)
    await documents.put_text("acme", ref.document_id, TEXT)
    await reviews.project(status(), 1)
    assert [await keys.destroy("acme", "r-1") for _ in range(2)] == [True, False]
    for read in (documents.get, documents.get_text):
        with pytest.raises(NotFound, match="erased"):
            await read("acme", ref.document_id)
    with pytest.raises(NotFound, match="erased"):
        await reviews.status("r-1")
    assert (await reviews.row("r-1")).stage is Stage.SIGN
