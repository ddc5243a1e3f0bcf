"""Accepting a review: its row and document in one statement, and the run of its workflow that may have the row."""

from dataclasses import dataclass

import asyncpg

from countersign.errors import InvalidRequest
from countersign.review.payloads import DocumentRef, ReviewKey, ReviewRequest
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.documents import SealedDocument, Upload
from countersign.store.vault import Vault, context
from countersign.words import Outcome, Stage


@dataclass(frozen=True)
class NewReview:
    """What is entered for a review when it is accepted.

    Attributes:
        request: what the dispatcher starts the workflow with; None when the workflow runs already (a raw start).
        run_id: of the workflow that runs already.
        in_flight: it holds a lease, so its turn has come; otherwise it waits for it.
        estimate_s: seconds until its turn, as the requester is told.
        batch_id: the batch it is one of; None when somebody waits for it.
    """

    key: ReviewKey
    user_hash: str
    playbook: str
    request: ReviewRequest | None = None
    run_id: str | None = None
    in_flight: bool = False
    estimate_s: float = 0.0
    batch_id: str | None = None


@dataclass(frozen=True)
class Entered:
    """A review's row once it is there; `existing` when it had been entered before."""

    document: DocumentRef
    existing: bool
    in_flight: bool


@dataclass(frozen=True)
class Held:
    """The row of a review whose workflow asks to be admitted. `waited_s` and `estimate_s` count from its acceptance."""

    in_flight: bool = False
    outcome: Outcome | None = None
    waited_s: float = 0.0
    estimate_s: float = 0.0
    batch_id: str | None = None


# The whole of an acceptance in one statement, so that it is there or not. A new data key (no $3: it is stored already)
# that finds another in its place enters nothing: what was sealed with it could not be opened. The same holds for a
# review that is there; one whose workflow id is another's raises UniqueViolationError.
_ACCEPT = """
WITH key AS (
    INSERT INTO data_keys (tenant, review_id, wrapped) SELECT $1, $2, $3::bytea WHERE $3::bytea IS NOT NULL
    ON CONFLICT DO NOTHING RETURNING 1
), go AS (
    SELECT WHERE ($3::bytea IS NULL OR EXISTS (SELECT FROM key))
        AND NOT EXISTS (SELECT FROM reviews WHERE tenant = $1 AND review_id = $2)
), document AS (
    INSERT INTO documents (tenant, document_id, review_id, sha256, media_type, size, data, upload_id)
    SELECT $1, $4, $2, $5, $6, $7, $8, $9 FROM go WHERE $8::bytea IS NOT NULL OR $9::text IS NOT NULL
    ON CONFLICT DO NOTHING
), review AS (
    INSERT INTO reviews (
        tenant, review_id, document_id, workflow_id, run_id, user_hash, stage, playbook, request, estimate_s,
        submitted_at, dispatched_at, started_at, batch_id
    )
    SELECT $1, $2, $4, $10, $11, $12, $13, $14, $15, $16, now(), CASE WHEN $17 THEN now() END,
        CASE WHEN $17 THEN now() END, $18
    FROM go RETURNING 1
)
SELECT EXISTS (SELECT FROM review) AS entered
"""

_ENTERED = """
SELECT r.tenant, r.review_id, r.workflow_id, r.document_id, r.dispatched_at, d.sha256, d.media_type, d.size,
    r.playbook, r.request, k.wrapped
FROM reviews r LEFT JOIN documents d USING (tenant, document_id)
    LEFT JOIN data_keys k ON (k.tenant, k.review_id) = (r.tenant, r.review_id)
WHERE (r.tenant = $1 AND r.review_id = $2) OR r.workflow_id = $3
"""

_TAKE = """
WITH taken AS (
    UPDATE reviews SET run_id = $6, updated_at = now()
    WHERE tenant = $1 AND review_id = $2 AND workflow_id = $3 AND document_id = $4 AND user_hash = $5 AND run_id IS NULL
    RETURNING 1
)
SELECT tenant, review_id, workflow_id, document_id, user_hash,
    CASE WHEN EXISTS (SELECT FROM taken) THEN $6 ELSE run_id END AS run_id,
    dispatched_at IS NOT NULL AS in_flight, outcome,
    extract(epoch FROM now() - submitted_at)::float8 AS waited_s, coalesce(estimate_s, 0) AS estimate_s,
    batch_id
FROM reviews WHERE (tenant = $1 AND review_id = $2) OR workflow_id = $3
"""


class Acceptances:
    """How rows of `reviews` come to be. From then on `ReviewStore` and `WaitingStore` move them."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    async def accept(self, review: NewReview, source: Upload | DocumentRef, media_type: str = "") -> Entered:
        """Enter a review with its document, all in one statement: when this returns, both are durable.

        Entering the same one again changes nothing. Raises `InvalidRequest` when the review id is already another
        document's, another workflow's or another request's (playbook, ask, session), and `NotFound` when the review's
        content was erased.
        """
        document = await self._try_accept(review, source, media_type)
        if document is None and (found := await self._entered(review, source, media_type)) is not None:
            return found
        if document is None and isinstance(source, Upload):
            # A key is there without a review: of an earlier attempt that got no further.
            await source.take_stored_key()
            document = await self._try_accept(review, source, media_type)
        if document is None:
            found = await self._entered(review, source, media_type)
            if found is None:
                raise _taken(review.key.review_id)
            return found
        return Entered(document, existing=False, in_flight=review.in_flight)

    async def _try_accept(self, review: NewReview, source: Upload | DocumentRef, media_type: str) -> DocumentRef | None:
        """The document, now entered with its review; None when something was there that has to be looked at first."""
        key, wrapped, request, plain = review.key, None, None, None
        sealed = SealedDocument(source) if isinstance(source, DocumentRef) else await source.sealed(media_type)
        document = sealed.ref
        if isinstance(source, Upload):
            plain, wrapped = source.key
        elif review.request is not None:
            plain = await self._keys.obtain(key.tenant, key.review_id)
        if review.request is not None and plain is not None:
            whole = review.request.model_copy(update={"document": document, "text": None})
            place = context("request", key.tenant, key.review_id)
            request = self._vault.seal(plain, whole.model_dump_json().encode(), place)
        try:
            row = await self._db.fetchrow(
                _ACCEPT,
                key.tenant,
                key.review_id,
                wrapped,
                document.document_id,
                document.sha256,
                document.media_type,
                document.size,
                sealed.data,
                sealed.upload_id,
                key.workflow_id,
                review.run_id,
                review.user_hash,
                Stage.SUBMIT,
                review.playbook,
                request,
                review.estimate_s,
                review.in_flight,
                review.batch_id,
            )
        except asyncpg.UniqueViolationError:
            return None
        return document if row is not None and row["entered"] else None

    async def _entered(self, review: NewReview, source: Upload | DocumentRef, media_type: str) -> Entered | None:
        """The review as it was entered before. Raises `InvalidRequest` when it is another one."""
        key = review.key
        rows = await self._db.fetch(_ENTERED, key.tenant, key.review_id, key.workflow_id)
        if not rows:
            return None
        document = source if isinstance(source, DocumentRef) else (await source.sealed(media_type)).ref
        ours = (key.tenant, key.review_id, key.workflow_id, document.document_id)
        if [tuple(row)[:4] for row in rows] != [ours]:
            raise _taken(key.review_id)
        [row] = rows
        if row["playbook"] != review.playbook or self._asks_otherwise(review, row):
            raise InvalidRequest(
                f"review_id: {key.review_id} is already a review with another playbook, ask, session or mode",
                remedy="Submit it under a new id",
            )
        if row["sha256"] is not None:  # the media type first given stays
            document = document.model_copy(update={"media_type": row["media_type"]})
        return Entered(document, existing=True, in_flight=row["dispatched_at"] is not None)

    def _asks_otherwise(self, review: NewReview, row: asyncpg.Record) -> bool:
        """Whether what was asked with a stored review differs; what was erased, or never stored, is not compared."""
        if review.request is None or row["request"] is None or row["wrapped"] is None:
            return False
        place = context("request", review.key.tenant, review.key.review_id)
        stored = self._vault.open(self._vault.unwrap(row["wrapped"]), row["request"], place)
        asked = ReviewRequest.model_validate_json(stored)
        return (asked.ask, asked.session, asked.mode) != (
            review.request.ask,
            review.request.session,
            review.request.mode,
        )

    async def take(self, key: ReviewKey, *, document_id: str, user_hash: str, run_id: str) -> Held | None:
        """Let a workflow's run have its review's row; None when there is none.

        Raises `InvalidRequest` when the review id is already another workflow's, another run's, another requester's or
        another document's: rows of its trail are there, and cannot be written a second time.
        """
        ours = (key.tenant, key.review_id, key.workflow_id, document_id, user_hash, run_id)
        rows = await self._db.fetch(_TAKE, *ours)
        if not rows:
            return None
        if [tuple(row)[:6] for row in rows] != [ours]:
            raise _taken(key.review_id)
        [row] = rows
        outcome = Outcome(row["outcome"]) if row["outcome"] else None
        return Held(row["in_flight"], outcome, row["waited_s"], row["estimate_s"], row["batch_id"])


def _taken(review_id: str) -> InvalidRequest:
    return InvalidRequest(
        f"review_id: {review_id} is already the review of another document, workflow or run",
        remedy="Start with a new workflow id and leave review_id out",
    )
