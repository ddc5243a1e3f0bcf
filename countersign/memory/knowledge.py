"""Cold memory: reference texts in passages, found by vectors and by words together."""

import asyncio
import hashlib
import re

from countersign.errors import InvalidRequest
from countersign.memory.embedding import DIMENSIONS, Embedder
from countersign.review.payloads import KnowledgeHit
from countersign.store.database import Database

PASSAGE_CHARS = 800
MAX_QUERY_CHARS = 4000
_PARAGRAPH = re.compile(r"\n\s*\n")
_SENTENCE = re.compile(r"(?<=[.;:!?])\s+")

# Reciprocal rank fusion (Cormack et al. 2009) with their k = 60, over the 50 best of each list. Words are joined by
# "or": a question rarely has every word of its answer. A distance of 1 or more means: nothing in common.
_SEARCH = """
WITH mine AS NOT MATERIALIZED (
    SELECT passage_id, words FROM knowledge WHERE tenant IS NULL OR tenant = $1
), near AS (
    SELECT passage_id, row_number() OVER (ORDER BY distance, passage_id) AS rank FROM (
        SELECT passage_id, v.embedding <=> $2::text::vector AS distance
        FROM mine JOIN knowledge_vectors v USING (passage_id)
        WHERE v.embedder = $3 AND $2::text IS NOT NULL
    ) d WHERE distance < 1 ORDER BY rank LIMIT 50
), question AS (
    SELECT replace(plainto_tsquery('english', $4)::text, ' & ', ' | ')::tsquery AS words
), worded AS (
    SELECT passage_id, row_number() OVER (ORDER BY ts_rank_cd(mine.words, question.words, 1) DESC, passage_id) AS rank
    FROM mine, question WHERE mine.words @@ question.words ORDER BY rank LIMIT 50
)
SELECT source, passage, sum(1.0 / (60 + rank))::float8 AS score
FROM (SELECT * FROM near UNION ALL SELECT * FROM worded) ranked JOIN knowledge USING (passage_id)
GROUP BY passage_id, source, passage ORDER BY score DESC, passage_id LIMIT $5
"""

_ADD = """
INSERT INTO knowledge (tenant, source, passage, passage_hash)
SELECT $1, $2, passage, hash FROM unnest($3::text[], $4::text[]) AS new (passage, hash)
ON CONFLICT DO NOTHING
"""

_WITHOUT_VECTOR = """
SELECT passage_id, passage FROM knowledge k
WHERE tenant IS NOT DISTINCT FROM $1 AND source = $2 AND passage_hash = ANY($3)
  AND NOT EXISTS (SELECT FROM knowledge_vectors v WHERE v.passage_id = k.passage_id AND v.embedder = $4)
ORDER BY passage_id
"""


def split_passages(text: str, size: int = PASSAGE_CHARS) -> tuple[str, ...]:
    """`text` in passages of about `size` characters, at most that many unless one word is longer.

    Paragraphs stay together where they fit; a longer one is cut at sentences, a longer sentence at spaces.
    """
    passages: list[str] = []
    current = ""
    for piece, joint in _pieces(text, size):
        if current and len(current) + len(joint) + len(piece) > size:
            passages.append(current)
            current = piece
        else:
            current = f"{current}{joint}{piece}" if current else piece
    return (*passages, current) if current else tuple(passages)


def _pieces(text: str, size: int) -> list[tuple[str, str]]:
    """What passages are made of, each with the white space that joins it to the piece before."""
    pieces: list[tuple[str, str]] = []
    for paragraph in (" ".join(raw.split()) for raw in _PARAGRAPH.split(text)):
        if not paragraph:
            continue
        parts = [paragraph] if len(paragraph) <= size else _SENTENCE.split(paragraph)
        words = [word for part in parts for word in ([part] if len(part) <= size else part.split(" "))]
        pieces += [(word, "\n\n" if index == 0 else " ") for index, word in enumerate(words)]
    return pieces


def vector_text(vector: list[float]) -> str | None:
    """pgvector's way to write a vector; None for zeros, which have no direction to compare."""
    return "[" + ",".join(f"{value:.7g}" for value in vector) + "]" if any(vector) else None


class KnowledgeMemory:
    """Tables `knowledge` and `knowledge_vectors`. A tenant sees its own passages and the shared ones (tenant None)."""

    def __init__(self, db: Database, embedder: Embedder) -> None:
        if embedder.dimensions != DIMENSIONS:
            raise ValueError(
                f"embedder {embedder.name}: {embedder.dimensions} dimensions, the table holds {DIMENSIONS}"
            )
        self._db = db
        self._embedder = embedder

    async def add(self, tenant: str | None, source: str, text: str) -> int:
        """Add `text` under the name `source`; returns how many of its passages are new.

        Adding the same again adds nothing, except vectors where this embedder has none yet. Raises `InvalidRequest`
        when there is no text.
        """
        passages = split_passages(text.replace("\x00", " "))
        if not passages:
            raise InvalidRequest("knowledge: the text is empty", remedy="Give a file with text in it")
        hashes = [hashlib.sha256(passage.encode()).hexdigest() for passage in passages]
        added = await self._db.execute(_ADD, tenant, source, list(passages), hashes)
        rows = await self._db.fetch(_WITHOUT_VECTOR, tenant, source, hashes, self._embedder.name)
        vectors = await asyncio.to_thread(self._embedder.embed, [row["passage"] for row in rows])
        written = [(row["passage_id"], vector_text(vector)) for row, vector in zip(rows, vectors, strict=True)]
        known = [(passage_id, vector) for passage_id, vector in written if vector is not None]
        await self._db.execute(
            "INSERT INTO knowledge_vectors (passage_id, embedder, embedding) "
            "SELECT id, $2, vector::vector FROM unnest($1::bigint[], $3::text[]) AS new (id, vector) "
            "ON CONFLICT DO NOTHING",
            [passage_id for passage_id, _ in known],
            self._embedder.name,
            [vector for _, vector in known],
        )
        return added

    async def search(self, tenant: str, query: str, limit: int = 5) -> tuple[KnowledgeHit, ...]:
        """The passages nearest to `query`, best first; none when nothing is in common.

        `score` is a sum of 1 / (60 + rank) over both lists, at most 2/61. Only the first 4,000 characters of
        the query count.
        """
        question = query[:MAX_QUERY_CHARS].replace("\x00", " ")
        (vector,) = await asyncio.to_thread(self._embedder.embed, [question])
        rows = await self._db.fetch(_SEARCH, tenant, vector_text(vector), self._embedder.name, question, limit)
        return tuple(KnowledgeHit.model_validate(dict(row)) for row in rows)
