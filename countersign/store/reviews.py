"""The projection of reviews that lists, queue and console read. The workflow is the authority; this follows it."""

from datetime import UTC, datetime
from typing import Literal

import asyncpg
from pydantic import BaseModel, ConfigDict

from countersign.errors import InvalidRequest, NotFound
from countersign.review.payloads import DocumentRef, ReviewKey, ReviewStatus
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault, context
from countersign.words import Autonomy, Outcome, RiskBand, Route, Severity, Stage

MAX_LIMIT = 1000


class ReviewRow(BaseModel):
    """One line of a list or queue: where a review stands, without a word of its document.

    `confidence` is in [0, 1], `cost_microusd` in millionths of a dollar, `findings` a count.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    review_id: str
    workflow_id: str
    stage: Stage
    outcome: Outcome | None = None
    route: Route | None = None
    autonomy: Autonomy = Autonomy.SUPERVISED
    playbook: str = ""
    contract_type: str = ""
    risk_band: RiskBand | None = None
    waiting_for: Literal["reviewer", "requester"] | None = None
    sla_due: datetime | None = None
    escalated: bool = False
    findings: int = 0
    worst_severity: Severity | None = None
    confidence: float | None = None
    cost_microusd: int = 0
    user_hash: str = ""
    submitted_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


def worst_severity(status: ReviewStatus) -> Severity | None:
    """The highest severity among the findings; None when there are none (yet)."""
    findings = status.analysis.key_findings if status.analysis else ()
    return max((finding.severity for finding in findings), key=lambda severity: severity.rank, default=None)


_PROJECT = """
INSERT INTO reviews AS r (
    tenant, review_id, workflow_id, version, detail, stage, outcome, route, autonomy, playbook, contract_type,
    risk_band, waiting_for, sla_due, escalated, findings, worst_severity, confidence, cost_microusd, document_id,
    submitted_at, ended_at
)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
WHERE NOT EXISTS (SELECT FROM reviews WHERE workflow_id = $3 AND (tenant, review_id) <> ($1, $2))
ON CONFLICT (tenant, review_id) DO UPDATE SET
    version = excluded.version, detail = excluded.detail, stage = excluded.stage, outcome = excluded.outcome,
    route = excluded.route, autonomy = excluded.autonomy, contract_type = excluded.contract_type,
    playbook = coalesce(nullif(excluded.playbook, ''), r.playbook), risk_band = excluded.risk_band,
    waiting_for = excluded.waiting_for, sla_due = excluded.sla_due, escalated = excluded.escalated,
    findings = excluded.findings, worst_severity = excluded.worst_severity, confidence = excluded.confidence,
    cost_microusd = excluded.cost_microusd, document_id = coalesce(r.document_id, excluded.document_id),
    ended_at = excluded.ended_at, updated_at = now()
WHERE r.workflow_id = excluded.workflow_id AND r.version < excluded.version
"""

_LIST = """
SELECT * FROM reviews
WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR stage = $2) AND ($3::text IS NULL OR outcome = $3)
ORDER BY submitted_at DESC, tenant, review_id LIMIT $4
"""

_QUEUE = """
SELECT * FROM reviews
WHERE waiting_for = 'reviewer' AND ($1::text IS NULL OR tenant = $1)
ORDER BY escalated DESC, sla_due NULLS LAST, submitted_at, tenant, review_id LIMIT $2
"""


class ReviewStore:
    """Table `reviews`. Columns carry ids, enum words and numbers; the full status is sealed with the review's key."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    async def admit(  # noqa: PLR0913 - a row is all of this
        self,
        key: ReviewKey,
        document: DocumentRef,
        *,
        playbook: str,
        user_hash: str,
        at: datetime,
        run_id: str | None = None,
    ) -> None:
        """Enter the review; entering the same one again changes nothing. A starter has no `run_id` yet, a workflow has.

        Raises `InvalidRequest` when the review id is already another workflow's, another run's or another document's:
        rows of its trail are there, and cannot be written a second time.
        """
        await self._db.execute(
            "INSERT INTO reviews (tenant, review_id, workflow_id, document_id, stage, playbook, user_hash, "
            "submitted_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
            key.tenant,
            key.review_id,
            key.workflow_id,
            document.document_id,
            Stage.SUBMIT,
            playbook,
            user_hash,
            at,
        )
        await self._db.execute(
            "UPDATE reviews SET run_id = $3 "
            "WHERE tenant = $1 AND review_id = $2 AND workflow_id = $4 AND run_id IS NULL",
            key.tenant,
            key.review_id,
            run_id,
            key.workflow_id,
        )
        rows = await self._db.fetch(
            "SELECT tenant, review_id, workflow_id, document_id, run_id FROM reviews "
            "WHERE (tenant = $1 AND review_id = $2) OR workflow_id = $3",
            key.tenant,
            key.review_id,
            key.workflow_id,
        )
        ours = (key.tenant, key.review_id, key.workflow_id, document.document_id)
        if [tuple(row)[:4] for row in rows] != [ours] or (run_id is not None and rows[0]["run_id"] != run_id):
            raise InvalidRequest(
                f"review_id: {key.review_id} is already the review of another document, workflow or run",
                remedy="Start with a new workflow id and leave review_id out",
            )

    async def project(self, status: ReviewStatus, version: int) -> None:
        """Make the row say what `status` says, unless a version as high is there already.

        A status of a workflow that does not own its review id (its admission was refused) leaves the owner's row alone.
        """
        place = context("status", status.tenant, status.review_id)
        data_key = await self._keys.obtain(status.tenant, status.review_id)
        await self._db.execute(
            _PROJECT,
            status.tenant,
            status.review_id,
            status.workflow_id,
            version,
            self._vault.seal(data_key, status.model_dump_json().encode(), place),
            status.stage,
            status.outcome,
            status.route,
            status.autonomy,
            status.playbook,
            status.contract_type,
            status.screening.band if status.screening else None,
            status.waiting_for,
            status.sla_due,
            status.escalated,
            len(status.analysis.key_findings) if status.analysis else 0,
            worst_severity(status),
            status.analysis.confidence if status.analysis else None,
            status.usage.cost_microusd,
            status.document.document_id if status.document else None,
            status.submitted_at or datetime.now(UTC),
            status.ended_at,
        )

    async def row(self, id: str, tenant: str | None = None) -> ReviewRow:  # noqa: A002 - the word of the interface
        """The row of a review id or workflow id.

        Raises `NotFound` when there is none, or it is not `tenant`'s (the answer does not tell which); `InvalidRequest`
        when no tenant is given and several have a review of this id.
        """
        return _row(await self._find(id, tenant))

    async def status(self, id: str, tenant: str | None = None) -> ReviewStatus:  # noqa: A002
        """The last status projected; of a review only admitted so far, what admission knows. Raises as `row` does."""
        found = await self._find(id, tenant)
        row = _row(found)
        if found["detail"] is None:
            return ReviewStatus(
                review_id=row.review_id,
                workflow_id=row.workflow_id,
                tenant=row.tenant,
                stage=row.stage,
                playbook=row.playbook,
                submitted_at=row.submitted_at,
            )
        data_key = await self._keys.obtain(row.tenant, row.review_id)
        detail = self._vault.open(data_key, found["detail"], context("status", row.tenant, row.review_id))
        return ReviewStatus.model_validate_json(detail)

    async def list(
        self,
        *,
        tenant: str | None = None,
        stage: Stage | None = None,
        outcome: Outcome | None = None,
        limit: int = 50,
    ) -> tuple[ReviewRow, ...]:
        """Reviews that match all that is given, newest first, at most `limit` (1 to 1000) of them."""
        rows = await self._db.fetch(_LIST, tenant, stage, outcome, _checked(limit))
        return tuple(_row(row) for row in rows)

    async def queue(self, *, tenant: str | None = None, limit: int = 50) -> tuple[ReviewRow, ...]:
        """Reviews that wait for a reviewer: escalated ones first, then by when their SLA is due."""
        rows = await self._db.fetch(_QUEUE, tenant, _checked(limit))
        return tuple(_row(row) for row in rows)

    async def _find(self, wanted: str, tenant: str | None) -> asyncpg.Record:
        rows = await self._db.fetch(
            "SELECT * FROM reviews WHERE (workflow_id = $1 OR review_id = $1) AND ($2::text IS NULL OR tenant = $2) "
            "ORDER BY workflow_id = $1 DESC LIMIT 2",
            wanted,
            tenant,
        )
        if not rows:
            raise NotFound(f"review {wanted}: not found", remedy="`countersign list` shows the reviews there are")
        if len(rows) > 1 and rows[0]["workflow_id"] != wanted:
            raise InvalidRequest(
                f"review {wanted}: more than one tenant has a review of this id",
                remedy="Give the tenant, or the workflow id",
            )
        return rows[0]


def _row(row: asyncpg.Record) -> ReviewRow:
    return ReviewRow.model_validate({name: row[name] for name in ReviewRow.model_fields})


def _checked(limit: int) -> int:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit: {limit} is not between 1 and {MAX_LIMIT}")
    return limit
