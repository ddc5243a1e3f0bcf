"""Documents and their text, sealed with the data key of their review. Elsewhere they travel as `DocumentRef`.

A document of up to one chunk is sealed as a whole, in the statement that accepts its review (`acceptances.accept`). A
larger one arrives in chunks, each sealed and stored as it comes in, so that no process holds more of it than one.
"""

import asyncio
import hashlib
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from countersign.document.model import DocumentText
from countersign.errors import DocumentError, NotFound
from countersign.review.payloads import DocumentRef
from countersign.store.database import Database
from countersign.store.datakeys import DataKey, DataKeys
from countersign.store.vault import Vault, VaultError, context

CHUNK_BYTES = 262_144
"""Size of every stored chunk but the last."""
LEFTOVER_AFTER = timedelta(hours=1)
"""Chunks of an upload that has not become a document by then never will."""

_SEALED_DATA = (
    "SELECT k.wrapped, d.review_id, d.data AS sealed, d.upload_id, d.sha256 "
    "FROM documents d JOIN data_keys k USING (tenant, review_id) WHERE d.tenant = $1 AND d.document_id = $2"
)
# An upload's document is looked for by the review: of that there is an index.
_DROP_LEFTOVERS = """
WITH leftover AS (
    SELECT DISTINCT tenant, upload_id FROM document_chunks c
    WHERE c.created_at <= now() - $2::interval AND ($1::timestamptz IS NULL OR c.created_at > $1)
        AND NOT EXISTS (
            SELECT FROM document_chunks later
            WHERE (later.tenant, later.upload_id) = (c.tenant, c.upload_id) AND later.created_at > now() - $2::interval
        )
        AND NOT EXISTS (
            SELECT FROM documents d
            WHERE (d.tenant, d.review_id, d.upload_id) = (c.tenant, c.review_id, c.upload_id)
        )
), dropped AS (
    DELETE FROM document_chunks c USING leftover l
    WHERE (c.tenant, c.upload_id) = (l.tenant, l.upload_id) RETURNING 1
)
SELECT count(*) AS dropped, now() - $2::interval AS until FROM dropped
"""
_SEALED_TEXT = (
    "SELECT k.wrapped, d.review_id, d.text AS sealed FROM documents d JOIN data_keys k USING (tenant, review_id) "
    "WHERE d.tenant = $1 AND d.document_id = $2"
)


def document_id_of(tenant: str, review_id: str, sha256: str) -> str:
    """The id of these bytes in this review: the same whenever and wherever they are stored again."""
    return "doc-" + hashlib.sha256(context(tenant, review_id, sha256)).hexdigest()[:32]


@dataclass(frozen=True)
class SealedDocument:
    """A document as its row will hold it: `data`, or the `upload_id` of its chunks."""

    ref: DocumentRef
    data: bytes | None = None
    upload_id: str | None = None


class Upload:
    """One document on its way in. Holds at most one chunk; what came before it is sealed and stored already."""

    def __init__(self, db: Database, vault: Vault, place: tuple[str, str], *, max_bytes: int | None) -> None:
        self.tenant, self.review_id = place
        self.size = 0
        """Bytes so far."""
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)
        self._max_bytes = max_bytes
        self._upload_id = f"up-{secrets.token_hex(12)}"
        self._key: DataKey | None = None
        self._stored = 0
        self._head = b""
        self._tail = bytearray()
        self._hash = hashlib.sha256()

    @property
    def chunked(self) -> bool:
        """Whether it is larger than one chunk."""
        return self._stored > 0

    @property
    def head(self) -> bytes:
        """Its first bytes, to tell the type by: the first chunk, or all that came of a smaller one."""
        return self._head if self.chunked else bytes(self._tail)

    @property
    def key(self) -> DataKey:
        """What it is sealed with: the stored key when a chunk needed one, else a new one that is not stored yet."""
        if self._key is None:
            self._key = self._keys.new()
        return self._key

    async def take_stored_key(self) -> None:
        """Seal with the key that the review has already (made when there is none)."""
        self._key = DataKey(await self._keys.obtain(self.tenant, self.review_id), None)

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes, any number of them.

        Raises `DocumentError` when they would make it larger than the limit, before any of them is kept; `NotFound`
        when the review's content was erased.
        """
        if self._max_bytes is not None and self.size + len(chunk) > self._max_bytes:
            raise DocumentError(
                f"the file is larger than the limit of {self._max_bytes / 1e6:g} MB",
                remedy="Split it, or raise COUNTERSIGN_MAX_DOCUMENT_MB",
            )
        self.size += len(chunk)
        self._hash.update(chunk)
        self._tail += chunk
        # Only once there is more: a document of exactly one chunk stays whole.
        while len(self._tail) > CHUNK_BYTES:
            await self._store()

    async def sealed(self, media_type: str) -> SealedDocument:
        """What is left to commit once all bytes are there: a small document whole, of a chunked one the reference."""
        sha256 = self._hash.hexdigest()
        document_id = document_id_of(self.tenant, self.review_id, sha256)
        ref = DocumentRef(document_id=document_id, sha256=sha256, media_type=media_type, size=self.size)
        if self.chunked:
            if self._tail:
                await self._store()
            return SealedDocument(ref, upload_id=self._upload_id)
        place = context("document", self.tenant, document_id)
        return SealedDocument(ref, data=self._vault.seal(self.key.plain, bytes(self._tail), place))

    async def _store(self) -> None:
        """Seal and store the first chunk of what is held."""
        chunk = bytes(self._tail[:CHUNK_BYTES])
        if not self.chunked:
            # The chunks' rows refer to the key's.
            await self.take_stored_key()
            self._head = chunk
        await self._db.execute(
            "INSERT INTO document_chunks (tenant, upload_id, position, review_id, sealed) VALUES ($1, $2, $3, $4, $5) "
            "ON CONFLICT DO NOTHING",
            self.tenant,
            self._upload_id,
            self._stored,
            self.review_id,
            self._vault.seal(self.key.plain, chunk, _chunk_place(self.tenant, self._upload_id, self._stored)),
        )
        self._stored += 1
        del self._tail[:CHUNK_BYTES]


def _chunk_place(tenant: str, upload_id: str, position: int) -> bytes:
    return context("chunk", tenant, upload_id, str(position))


class DocumentStore:
    """Table `documents`. Sealing and opening run in a thread: 20 MB would hold the event loop for long."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    def upload(self, tenant: str, review_id: str, *, max_bytes: int | None = None) -> Upload:
        """Begin to take in a document of a review; it counts once `acceptances.accept` has committed it."""
        return Upload(self._db, self._vault, (tenant, review_id), max_bytes=max_bytes)

    async def put(self, tenant: str, review_id: str, data: bytes, media_type: str) -> DocumentRef:
        """Store `data`; the same bytes for the same review are stored once, with the media type first given.

        Raises `NotFound` when the review's content was erased.
        """
        sha256 = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        document_id = document_id_of(tenant, review_id, sha256)
        stored = await self._stored(tenant, document_id)
        if stored is None:
            key = await self._keys.obtain(tenant, review_id)
            sealed = await asyncio.to_thread(self._vault.seal, key, data, context("document", tenant, document_id))
            await self._db.execute(
                "INSERT INTO documents (tenant, document_id, review_id, sha256, media_type, size, data) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                tenant,
                document_id,
                review_id,
                sha256,
                media_type,
                len(data),
                sealed,
            )
            stored = await self._stored(tenant, document_id)
        if stored is None:
            raise _unknown(document_id)
        return DocumentRef.model_validate(dict(stored))

    async def get(self, tenant: str, document_id: str) -> bytes:
        """The bytes as submitted. Raises `NotFound` when the tenant has no such document or it was erased."""
        row = await self._row(_SEALED_DATA, tenant, document_id)
        if row["upload_id"] is None:
            return await self._open(row, context("document", tenant, document_id))
        key = self._keys.unwrap(row["review_id"], row["wrapped"])
        chunks = await self._db.fetch(
            "SELECT position, sealed FROM document_chunks WHERE tenant = $1 AND upload_id = $2 ORDER BY position",
            tenant,
            row["upload_id"],
        )

        def join() -> bytes:
            places = ((chunk["sealed"], _chunk_place(tenant, row["upload_id"], chunk["position"])) for chunk in chunks)
            data = b"".join(self._vault.open(key, sealed, place) for sealed, place in places)
            # Each chunk is bound to its position; that the last ones are there, only the whole tells.
            if hashlib.sha256(data).hexdigest() != row["sha256"]:
                raise VaultError(
                    f"document {document_id}: its chunks are not whole", remedy="Restore them from a backup"
                )
            return data

        return await asyncio.to_thread(join)

    async def ref(self, tenant: str, document_id: str) -> DocumentRef:
        """The reference of a stored document. Raises `NotFound` when the tenant has none of this id."""
        stored = await self._stored(tenant, document_id)
        if stored is None:
            raise _unknown(document_id)
        return DocumentRef.model_validate(dict(stored))

    async def drop_leftovers(self, since: datetime | None = None) -> tuple[int, datetime]:
        """Remove chunks of uploads that came to nothing, an hour after their last byte.

        Looks only for uploads with a chunk newer than `since`. Returns how many chunks went, and the next `since`.
        """
        [row] = await self._db.fetch(_DROP_LEFTOVERS, since, LEFTOVER_AFTER)
        return row["dropped"], row["until"]

    async def put_text(self, tenant: str, document_id: str, text: DocumentText) -> None:
        """Store the extracted text; reading again replaces it. Raises `NotFound` as `get` does."""
        row = await self._row(_SEALED_TEXT, tenant, document_id)
        key = self._keys.unwrap(row["review_id"], row["wrapped"])

        def seal() -> bytes:
            packed = zlib.compress(text.model_dump_json().encode())
            return self._vault.seal(key, packed, context("text", tenant, document_id))

        sealed = await asyncio.to_thread(seal)
        await self._db.execute(
            "UPDATE documents SET text = $3 WHERE tenant = $1 AND document_id = $2", tenant, document_id, sealed
        )

    async def get_text(self, tenant: str, document_id: str) -> DocumentText:
        """The extracted text. Raises `NotFound` as `get` does, and when the document was not read yet."""
        row = await self._row(_SEALED_TEXT, tenant, document_id)
        if row["sealed"] is None:
            raise NotFound(f"document {document_id}: has no text yet", remedy="It appears when the review has read it")
        packed = await self._open(row, context("text", tenant, document_id))
        return await asyncio.to_thread(lambda: DocumentText.model_validate_json(zlib.decompress(packed)))

    async def _open(self, row: asyncpg.Record, place: bytes) -> bytes:
        key = self._keys.unwrap(row["review_id"], row["wrapped"])
        return await asyncio.to_thread(self._vault.open, key, row["sealed"], place)

    async def _stored(self, tenant: str, document_id: str) -> asyncpg.Record | None:
        return await self._db.fetchrow(
            "SELECT document_id, sha256, media_type, size FROM documents WHERE tenant = $1 AND document_id = $2",
            tenant,
            document_id,
        )

    async def _row(self, sql: str, tenant: str, document_id: str) -> asyncpg.Record:
        row = await self._db.fetchrow(sql, tenant, document_id)
        if row is None:
            raise _unknown(document_id)
        return row


def _unknown(document_id: str) -> NotFound:
    return NotFound(f"document {document_id}: not found", remedy="Check the id and the tenant")
