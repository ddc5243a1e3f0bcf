"""Documents and reviews: stored once, each tenant its own, sealed at rest, erased with their key."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from helpers.store import AT, KEY, MARK, NDA, TEXT, VAULT, admitted, dump, learn, status

from countersign.errors import InvalidRequest, NotFound
from countersign.memory.profile import ProfileMemory
from countersign.review.payloads import AnalysisResult, Finding, ReviewKey, Screening, Usage
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.documents import DocumentStore
from countersign.store.reviews import ReviewStore
from countersign.store.vault import VaultError
from countersign.words import Outcome, RiskBand, Route, Severity, Stage

if TYPE_CHECKING:
    pass


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


async def test_admission_is_idempotent_and_guards_the_id(db: Database) -> None:
    store, ref = await admitted(db)
    await store.admit(KEY, ref, playbook="nda", user_hash="p1:u", at=AT + timedelta(hours=1))
    row = await store.row("r-1")
    assert (row.submitted_at, row.playbook, row.user_hash, row.stage) == (AT, "nda", "p1:u", Stage.SUBMIT)
    assert (await store.status("r-1")).stage is Stage.SUBMIT

    stranger = KEY.model_copy(update={"workflow_id": "another"})
    other_id = KEY.model_copy(update={"review_id": "r-2"})
    changed = ref.model_copy(update={"document_id": "doc-2"})
    for key, document in ((stranger, ref), (other_id, ref), (KEY, changed)):
        with pytest.raises(InvalidRequest, match="review_id"):
            await store.admit(key, document, playbook="nda", user_hash="p1:u", at=AT)
    assert len(await store.list()) == 1


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
    assert await store.queue(tenant="other") == await store.list(stage=Stage.READ) == ()
    assert len(await store.list(stage=Stage.SIGN, limit=1)) == 1
    with pytest.raises(InvalidRequest, match="limit"):
        await store.list(limit=0)


async def test_nothing_that_people_wrote_is_readable_at_rest(db: Database) -> None:
    store, ref = await admitted(db)
    await DocumentStore(db, VAULT).put_text("acme", ref.document_id, TEXT)
    analysis = AnalysisResult(summary=MARK, confidence=1, requires_human_review=False)
    await store.project(status(analysis=analysis, question=MARK), 1)
    memory = ProfileMemory(db, VAULT)
    await memory.set_profile("acme", "p1:u", {"note": MARK})
    await learn(memory)
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
