"""The data key of each review: made with the review's first sealed value, destroyed to erase all of them."""

from typing import NamedTuple

from countersign.errors import NotFound
from countersign.store.database import Database
from countersign.store.vault import Vault

# What people corrected is sealed with a key of the tenant, since it is used in later reviews: its words are cleared
# here. Of a correction stays what quotes no contract: number, pseudonyms, kind, clause family and severities.
_DESTROY = """
WITH erased AS (
    UPDATE data_keys SET wrapped = NULL, destroyed_at = now()
    WHERE (tenant, review_id) = ($1, $2) AND wrapped IS NOT NULL RETURNING 1
), words AS (
    UPDATE corrections SET sealed = '' WHERE (tenant, review_id) = ($1, $2) AND sealed <> ''
), vectors AS (
    DELETE FROM correction_vectors v USING corrections c
    WHERE (c.tenant, c.review_id) = ($1, $2) AND v.correction_id = c.correction_id
)
SELECT count(*) FROM erased
"""


class DataKey(NamedTuple):
    """A review's data key: `plain` for immediate use; `wrapped` when it is new and has yet to be stored, else None."""

    plain: bytes
    wrapped: bytes | None


class DataKeys:
    """Table `data_keys`. Plain keys are for immediate use and kept nowhere, so that destroying one is final."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault

    def new(self) -> DataKey:
        """A key for a review that has none yet; whoever seals with it stores it in the same transaction."""
        return DataKey(*self._vault.new_data_key())

    async def obtain(self, tenant: str, review_id: str) -> bytes:
        """The review's data key, made when there is none yet. Raises `NotFound` when it was destroyed."""
        row = await self._db.fetchrow(
            "SELECT wrapped FROM data_keys WHERE tenant = $1 AND review_id = $2", tenant, review_id
        )
        if row is None:
            _, wrapped = self._vault.new_data_key()
            # Of two at once, one insert wins and both read the winner's key.
            await self._db.execute(
                "INSERT INTO data_keys (tenant, review_id, wrapped) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                tenant,
                review_id,
                wrapped,
            )
            row = await self._db.fetchrow(
                "SELECT wrapped FROM data_keys WHERE tenant = $1 AND review_id = $2", tenant, review_id
            )
        return self.unwrap(review_id, row["wrapped"] if row else None)

    def unwrap(self, review_id: str, wrapped: bytes | None) -> bytes:
        """The plain key of a row's `wrapped`; `NotFound` when the row says that it was destroyed."""
        if wrapped is None:
            raise NotFound(f"review {review_id}: its content was erased", remedy="Only its trail and figures remain")
        return self._vault.unwrap(wrapped)

    async def destroy(self, tenant: str, review_id: str) -> bool:
        """Erase the review's document, text and status detail by destroying their key, and with them the words and the
        clause of every correction that came from it; False when nothing was left.

        The wrapped key and the corrections' words leave the tables' files with the next vacuum, and backups as they age
        out.
        """
        row = await self._db.fetchrow(_DESTROY, tenant, review_id)
        return row is not None and row["count"] > 0
