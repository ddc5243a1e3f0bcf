"""Tables `corrections`, `correction_events` and `correction_vectors`: corrections kept, found again, and taken back.

What people wrote and the clause they wrote it about are sealed with a key of their tenant. The vectors of a clause must
be compared by Postgres, so they cannot be sealed: their coordinates are shuffled and signed by a key of the tenant,
which keeps every distance and lets nobody without that key ask whether a word is in the clause. It is a veil, not
encryption: who has some of the texts and their vectors can work the shuffle out.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from countersign.document.model import DocumentText
from countersign.errors import DecisionRefused, NotFound
from countersign.learning.apply import Clause
from countersign.learning.lesson import Draft, Event, Lesson
from countersign.learning.likeness import figures, margins
from countersign.learning.policy import Standing, State, disputed, judged
from countersign.learning.words import words_for_prompt
from countersign.memory.embedding import DIMENSIONS, Embedder
from countersign.memory.knowledge import vector_text
from countersign.playbook.model import Learning
from countersign.review.payloads import Correction, Finding, ReviewKey
from countersign.store.database import Database
from countersign.store.vault import Vault, context
from countersign.trail.pseudonym import Pseudonyms

MOST_JUDGED = 500
"""The newest corrections of a playbook that are judged against each other; older ones rest."""
MOST_RECALLED = 50
ERASED = {"change": "", "erased": True}
"""What is left of a correction's words when the contract that it was made on was erased (`DataKeys.destroy`)."""
_NO_DOCUMENT = DocumentText(text="", pages=())

_COLUMNS = """
correction_id, tenant, playbook, playbook_version, contract_type, clause, finding_id, review_id, workflow_id, by_hash,
signed_by, kind, position, severity_before, severity_after, risk, sealed, created_at
"""
_ADD = """
INSERT INTO corrections (workflow_id, tenant, review_id, playbook, playbook_version, contract_type, clause, finding_id,
                         by_hash, signed_by, kind, position, severity_before, severity_after, risk, sealed)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
RETURNING correction_id
"""
_ADD_VECTORS = """
INSERT INTO correction_vectors (correction_id, embedder, part, embedding)
SELECT id, $2, part, vector::vector FROM unnest($1::bigint[], $3::integer[], $4::text[]) AS new (id, part, vector)
JOIN corrections ON correction_id = id AND sealed <> '' FOR SHARE OF corrections
ON CONFLICT DO NOTHING
"""
_LIST = f"""
SELECT {_COLUMNS} FROM corrections
WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR playbook = $2)
ORDER BY correction_id DESC LIMIT $3
"""  # noqa: S608 - a constant of this module
_EVENTS = """
SELECT correction_id, event, by_hash, reason, at FROM correction_events
WHERE correction_id = ANY($1::bigint[]) ORDER BY event_id
"""
# While the pair is stored nobody may destroy the key; where somebody was quicker, no words are kept.
_IS_ERASED = "SELECT wrapped IS NULL FROM data_keys WHERE (tenant, review_id) = ($1, $2) FOR SHARE"
# For every quotation of the question, how alike the nearest quotation of each correction is: exact, since what decides
# is a threshold, and there are at most 150 vectors to compare with.
_NEAREST = """
SELECT correction_id, question.part, max(1 - (v.embedding <=> question.vector::vector))::float8 AS alike
FROM correction_vectors v, unnest($3::integer[], $4::text[]) AS question (part, vector)
WHERE correction_id = ANY($1::bigint[]) AND embedder = $2
GROUP BY correction_id, question.part
"""


@dataclass(frozen=True)
class Prepared:
    """A correction ready to be stored: sealed, screened, its clause as vectors."""

    draft: Draft
    by_hash: str
    signed_by: tuple[str, ...]
    risk: float
    sealed: bytes
    embedder: str
    vectors: tuple[str | None, ...]


@dataclass(frozen=True)
class Recalled:
    """The corrections in force for a review, and what is to be said of those that contradict each other."""

    corrections: tuple[Correction, ...] = ()
    disputed: tuple[str, ...] = ()


class CorrectionBook:
    """Safe to use from concurrent tasks."""

    def __init__(self, db: Database, vault: Vault, embedder: Embedder, pseudonyms: Pseudonyms) -> None:
        self._db = db
        self._vault = vault
        self._embedder = embedder
        self._pseudonyms = pseudonyms

    # --- learning ---

    async def prepare(self, key: ReviewKey, drafts: Sequence[Draft]) -> tuple[Prepared, ...]:
        """Seal, screen and embed what a review teaches. Touches no table."""
        return await asyncio.to_thread(lambda: tuple(self._prepared(key, draft) for draft in drafts))

    def _prepared(self, key: ReviewKey, draft: Draft) -> Prepared:
        # The words are a known person's, so they are judged as an instruction; the clause was screened as a document.
        # Its rules are compiled when it is imported, and most processes learn nothing.
        from countersign.sentinel.screen import screen

        screening = screen(f"{draft.change}\n{draft.note}", _NO_DOCUMENT)
        content = {"change": draft.change, "note": draft.note, "quotes": list(draft.quotes)}
        return Prepared(
            draft=draft,
            by_hash=self._pseudonyms.of("user", draft.by),
            signed_by=tuple(self._pseudonyms.of("user", name) for name in draft.signed_by),
            risk=screening.risk_score,
            sealed=self._vault.seal(
                self._key(key.tenant), json.dumps(content).encode(), context(key.tenant, "correction", key.workflow_id)
            ),
            embedder=self._embedder.name,
            vectors=self._vectors(key.tenant, draft.quotes),
        )

    # --- recalling ---

    async def recall(
        self,
        tenant: str,
        playbook: str,
        *,
        policy: Learning,
        now: datetime,
        clauses: Sequence[str] | None = None,
    ) -> Recalled:
        """What is in force under a playbook, newest first, on these clause families (None: all), and what is disputed.

        For any kind of contract: a clause that is alike is the same clause wherever it stands.
        """
        standings = await self.standings(tenant, playbook, policy=policy, now=now)
        wanted = [one for one in standings if clauses is None or one.lesson.clause in {*clauses, ""}]
        in_force = [one.lesson for one in wanted if one.state is State.IN_FORCE]
        return Recalled(
            corrections=tuple(_correction(lesson) for lesson in in_force[:MOST_RECALLED]),
            disputed=disputed(wanted),
        )

    async def standings(self, tenant: str, playbook: str, *, policy: Learning, now: datetime) -> tuple[Standing, ...]:
        """Every correction under a tenant's playbook and what it is worth at `now`, newest first."""
        lessons = await self.lessons(tenant, playbook=playbook, limit=MOST_JUDGED)
        return await asyncio.to_thread(judged, lessons, policy, now)

    async def lessons(
        self,
        tenant: str | None = None,
        *,
        playbook: str | None = None,
        limit: int = MOST_JUDGED,
    ) -> tuple[Lesson, ...]:
        """Corrections as they are kept, newest first."""
        return await self._lessons(await self._db.fetch(_LIST, tenant, playbook, limit))

    async def get(self, correction_id: int, tenant: str | None = None) -> Lesson:
        """One correction. Raises `NotFound`, also for another tenant's."""
        query = (
            f"SELECT {_COLUMNS} FROM corrections "  # noqa: S608 - a constant of this module
            "WHERE correction_id = $1 AND ($2::text IS NULL OR tenant = $2)"
        )
        found = await self._lessons(await self._db.fetch(query, correction_id, tenant))
        if not found:
            raise NotFound(f"correction {correction_id}: there is none", remedy="See 'countersign corrections list'")
        return found[0]

    async def compare(
        self, tenant: str, findings: Sequence[Finding], correction_ids: Sequence[int]
    ) -> dict[tuple[str, int], Clause]:
        """How alike the quotations of each finding are to the clause of each correction (`countersign.learning.apply`).

        Vectors that this process's embedder has not made yet are made and kept.
        """
        quoted = [finding for finding in findings if finding.evidence]
        if not quoted or not correction_ids:
            return {}
        lessons = await self._lessons(
            await self._db.fetch(
                f"SELECT {_COLUMNS} FROM corrections WHERE tenant = $1 AND correction_id = ANY($2::bigint[])",  # noqa: S608
                tenant,
                list(correction_ids),
            )
        )
        await self._complete(tenant, lessons)
        clauses: dict[tuple[str, int], Clause] = {}
        for finding in quoted:
            own = {one.correction_id: one for one in lessons if one.clause == finding.clause and one.quotes}
            if own:
                nearest = await self._nearest(tenant, finding, list(own))
                clauses |= {
                    (finding.id, number): await asyncio.to_thread(self._clause, finding, own[number], nearest[number])
                    for number in nearest
                }
        return clauses

    async def _nearest(self, tenant: str, finding: Finding, correction_ids: Sequence[int]) -> dict[int, list[float]]:
        """By correction, the cosine of each quotation of the finding to the nearest of the corrected clause."""
        vectors = await asyncio.to_thread(self._vectors, tenant, [evidence.quote for evidence in finding.evidence])
        parts = [(part, vector) for part, vector in enumerate(vectors) if vector is not None]
        rows = await self._db.fetch(
            _NEAREST, correction_ids, self._embedder.name, [part for part, _ in parts], [vector for _, vector in parts]
        )
        nearest: dict[int, list[float]] = {}
        for row in rows:
            # A quotation without words is like nothing.
            nearest.setdefault(row["correction_id"], [0.0] * len(vectors))[row["part"]] = row["alike"]
        return nearest

    def _clause(self, finding: Finding, lesson: Lesson, nearest: Sequence[float]) -> Clause:
        quotes = [evidence.quote for evidence in finding.evidence]
        passed = margins(quotes, lesson.quotes, nearest, self._embedder.name)
        return Clause(least=min(passed), most=max(passed), figures=figures(lesson.quotes))

    # --- taking back ---

    async def record(
        self, correction_id: int, event: Event, *, by: str, reason: str, tenant: str | None = None
    ) -> Lesson:
        """Withdraw, restore or confirm a correction, and write who did it and why; the correction as it is then.

        Raises `NotFound`, and `DecisionRefused` for what it is already, and for a confirmation by somebody who stands
        behind it anyway or whose own contract it was made on.
        """
        by_hash = self._pseudonyms.of("user", by)
        async with self._db.transaction() as connection:
            requester = await connection.fetchval(
                "SELECT r.user_hash FROM corrections c LEFT JOIN reviews r USING (workflow_id) "
                "WHERE correction_id = $1 AND ($2::text IS NULL OR c.tenant = $2) FOR UPDATE OF c",
                correction_id,
                tenant,
            )
            lesson = await self.get(correction_id, tenant)
            _check(lesson, event, by_hash, requester)
            await connection.execute(
                "INSERT INTO correction_events (correction_id, event, by_hash, reason) VALUES ($1, $2, $3, $4)",
                correction_id,
                event,
                by_hash,
                reason,
            )
        return await self.get(correction_id, tenant)

    # --- rows ---

    async def _lessons(self, rows: Sequence[asyncpg.Record]) -> tuple[Lesson, ...]:
        events: dict[int, list[dict[str, Any]]] = {}
        for row in await self._db.fetch(_EVENTS, [row["correction_id"] for row in rows]) if rows else ():
            events.setdefault(row["correction_id"], []).append(dict(row))
        return tuple(self._lesson(row, events.get(row["correction_id"], [])) for row in rows)

    def _lesson(self, row: asyncpg.Record, events: Sequence[dict[str, Any]]) -> Lesson:
        tenant, sealed = row["tenant"], row["sealed"]
        place = context(tenant, "correction", row["workflow_id"])
        return Lesson.model_validate(
            {
                **{name: value for name, value in row.items() if name != "sealed"},
                **(json.loads(self._vault.open(self._key(tenant), sealed, place)) if sealed else ERASED),
                "kind": row["kind"] or None,
                "before": row["severity_before"],
                "after": row["severity_after"],
                "made_at": row["created_at"],
                "events": events,
            }
        )

    async def _complete(self, tenant: str, lessons: Sequence[Lesson]) -> None:
        """Make the vectors of corrections that this embedder has not seen yet."""
        rows = await self._db.fetch(
            "SELECT DISTINCT correction_id FROM correction_vectors WHERE correction_id = ANY($1::bigint[]) "
            "AND embedder = $2",
            [lesson.correction_id for lesson in lessons],
            self._embedder.name,
        )
        there = {row["correction_id"] for row in rows}
        for lesson in lessons:
            if lesson.correction_id not in there and lesson.quotes:
                vectors = await asyncio.to_thread(self._vectors, tenant, lesson.quotes)
                await self._db.execute(_ADD_VECTORS, *vector_rows(lesson.correction_id, self._embedder.name, vectors))

    def _key(self, tenant: str) -> bytes:
        return self._vault.derive(f"profile/{tenant}")

    def _vectors(self, tenant: str, quotes: Sequence[str]) -> tuple[str | None, ...]:
        """The quotations as pgvector writes them, shuffled by the tenant's key; None for one without words."""
        if not quotes:
            return ()
        stream = hashlib.shake_256(self._vault.derive(f"correction vectors/{tenant}")).digest(DIMENSIONS * 9)
        order = sorted(range(DIMENSIONS), key=lambda place: stream[place * 8 : place * 8 + 8])
        signs = [1.0 if byte & 1 else -1.0 for byte in stream[DIMENSIONS * 8 :]]
        return tuple(
            vector_text([vector[place] * sign for place, sign in zip(order, signs, strict=True)])
            for vector in self._embedder.embed(list(quotes))
        )


def vector_rows(
    correction_id: int, embedder: str, vectors: Sequence[str | None]
) -> tuple[list[int], str, list[int], list[str]]:
    """The arguments that store a correction's vectors, one a quotation."""
    known = [(part, vector) for part, vector in enumerate(vectors) if vector is not None]
    return [correction_id] * len(known), embedder, [part for part, _ in known], [vector for _, vector in known]


async def store(  # noqa: PLR0913 - a cell is three words
    connection: asyncpg.Connection,
    key: ReviewKey,
    prepared: Sequence[Prepared],
    *,
    playbook: str,
    playbook_version: str,
    contract_type: str,
) -> None:
    """Store corrections within the transaction that stores their pair; without words when the review was erased."""
    erased = await connection.fetchval(_IS_ERASED, key.tenant, key.review_id)
    for item in prepared:
        draft = item.draft
        correction_id = await connection.fetchval(
            _ADD,
            key.workflow_id,
            key.tenant,
            key.review_id,
            playbook,
            playbook_version,
            contract_type,
            draft.clause,
            draft.finding_id,
            item.by_hash,
            list(item.signed_by),
            draft.kind,
            draft.position,
            draft.before,
            draft.after,
            item.risk,
            b"" if erased else item.sealed,
        )
        await connection.execute(_ADD_VECTORS, *vector_rows(correction_id, item.embedder, item.vectors))


def _check(lesson: Lesson, event: Event, by_hash: str, requester: str | None) -> None:
    """Raise `DecisionRefused` when this may not be done to the correction."""
    number = lesson.correction_id
    if lesson.erased and event is not Event.WITHDRAWN:
        raise DecisionRefused(
            f"correction {number}: the contract that it was made on was erased", rule="erased", remedy=_CORRECT_AGAIN
        )
    if event is Event.RESTORED:
        if not lesson.withdrawn:
            raise DecisionRefused(f"correction {number}: was not withdrawn", rule="not_withdrawn", remedy=_SHOW)
        return
    if lesson.withdrawn:
        raise DecisionRefused(f"correction {number}: was withdrawn", rule="withdrawn", remedy="Restore it first")
    if event is Event.CONFIRMED and by_hash in (lesson.by_hash, *lesson.signed_by):
        raise DecisionRefused(
            f"correction {number}: this person stands behind it already", rule="own", remedy="Ask another person"
        )
    if event is Event.CONFIRMED and by_hash == requester:
        raise DecisionRefused(
            f"correction {number}: was made on a contract of this person's", rule="requester", remedy=_ASK
        )


_SHOW = "See 'countersign corrections show'"
_CORRECT_AGAIN = "Correct the finding where it comes up next"
_ASK = "Ask somebody who did not submit that contract"


def _correction(lesson: Lesson) -> Correction:
    """What travels to the agents and to the code that applies it."""
    change, note = words_for_prompt(lesson)
    return Correction(
        correction_id=lesson.correction_id,
        clause=lesson.clause,
        change=change,
        note=note,
        kind=lesson.kind or "",
        position=lesson.position,
        before=lesson.before,
        after=lesson.after,
    )
