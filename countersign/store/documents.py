"""Documents and their text, sealed with the data key of their review. Elsewhere they travel as `DocumentRef`."""

import asyncio
import hashlib
import zlib

import asyncpg

from countersign.document.model import DocumentText
from countersign.errors import NotFound
from countersign.review.payloads import DocumentRef
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault, context

_SEALED_DATA = (
    "SELECT k.wrapped, d.review_id, d.data AS sealed FROM documents d JOIN data_keys k USING (tenant, review_id) "
    "WHERE d.tenant = $1 AND d.document_id = $2"
)
_SEALED_TEXT = (
    "SELECT k.wrapped, d.review_id, d.text AS sealed FROM documents d JOIN data_keys k USING (tenant, review_id) "
    "WHERE d.tenant = $1 AND d.document_id = $2"
)


def document_id_of(tenant: str, review_id: str, sha256: str) -> str:
    """The id of these bytes in this review: the same whenever and wherever they are stored again."""
    return "doc-" + hashlib.sha256(context(tenant, review_id, sha256)).hexdigest()[:32]


class DocumentStore:
    """Table `documents`. Sealing and opening run in a thread: 20 MB would hold the event loop for long."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

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
        return await self._open(row, context("document", tenant, document_id))

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
