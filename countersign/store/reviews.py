"""The projection of reviews that lists, queue and console read. The workflow is the authority; this follows it."""

import asyncio
from datetime import UTC, datetime
from typing import Literal

import asyncpg
from pydantic import BaseModel, ConfigDict

from countersign.errors import InvalidRequest, NotFound
from countersign.review.blind import listed_confidence
from countersign.review.payloads import Failure, ReviewRequest, ReviewStatus
from countersign.store.database import Database
from countersign.store.datakeys import DataKeys
from countersign.store.vault import Vault, context
from countersign.words import Autonomy, EffectState, Outcome, RiskBand, Route, Severity, Stage

MAX_LIMIT = 1000
OPEN_EFFECTS = (EffectState.PENDING, EffectState.ALLOWED, EffectState.APPROVED, EffectState.DENIED)
"""States of a proposed effect that a person, or a change of the policy, may still move."""
WaitingFor = Literal["reviewer", "requester"]


class ReviewRow(BaseModel):
    """One line of a list or queue: where a review stands, without a word of its document.

    `confidence` is in [0, 1], `cost_microusd` in millionths of a dollar, `findings` a count.
    """

    model_config = ConfigDict(frozen=True)

    tenant: str
    review_id: str
    workflow_id: str
    run_id: str | None = None
    """Of the run that was admitted as this review; None before."""
    stage: Stage
    outcome: Outcome | None = None
    route: Route | None = None
    autonomy: Autonomy = Autonomy.SUPERVISED
    playbook: str = ""
    contract_type: str = ""
    risk_band: RiskBand | None = None
    waiting_for: WaitingFor | None = None
    sla_due: datetime | None = None
    escalated: bool = False
    findings: int = 0
    worst_severity: Severity | None = None
    confidence: float | None = None
    cost_microusd: int = 0
    effects_open: int = 0
    user_hash: str = ""
    submitted_at: datetime
    dispatched_at: datetime | None = None
    updated_at: datetime
    ended_at: datetime | None = None

    @property
    def waits_for_its_turn(self) -> bool:
        """Whether it is in the waiting room: accepted, and not begun yet."""
        return self.dispatched_at is None and self.outcome is None


def worst_severity(status: ReviewStatus) -> Severity | None:
    """The highest severity among the findings; None when there are none (yet)."""
    findings = status.analysis.key_findings if status.analysis else ()
    return max((finding.severity for finding in findings), key=lambda severity: severity.rank, default=None)


_PROJECT = """
INSERT INTO reviews AS r (
    tenant, review_id, workflow_id, version, detail, stage, outcome, route, autonomy, playbook, contract_type,
    risk_band, waiting_for, sla_due, escalated, findings, worst_severity, confidence, cost_microusd, document_id,
    submitted_at, ended_at, effects_open, dispatched_at, started_at
)
SELECT
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    now(), now()
WHERE NOT EXISTS (SELECT FROM reviews WHERE workflow_id = $3 AND (tenant, review_id) <> ($1, $2))
ON CONFLICT (tenant, review_id) DO UPDATE SET
    version = excluded.version, detail = excluded.detail, stage = excluded.stage, outcome = excluded.outcome,
    route = excluded.route, autonomy = excluded.autonomy, contract_type = excluded.contract_type,
    playbook = coalesce(nullif(excluded.playbook, ''), r.playbook), risk_band = excluded.risk_band,
    waiting_for = excluded.waiting_for, sla_due = excluded.sla_due, escalated = excluded.escalated,
    findings = excluded.findings, worst_severity = excluded.worst_severity, confidence = excluded.confidence,
    cost_microusd = excluded.cost_microusd, document_id = coalesce(r.document_id, excluded.document_id),
    ended_at = excluded.ended_at, effects_open = excluded.effects_open, updated_at = now()
WHERE r.workflow_id = excluded.workflow_id AND r.version < excluded.version
"""

_LIST = """
SELECT * FROM reviews
WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR stage = $2) AND ($3::text IS NULL OR outcome = $3)
    AND ($4::text IS NULL OR user_hash = $4)
ORDER BY submitted_at DESC, tenant, review_id LIMIT $5
"""

# No parameter in the condition, or the index of those that wait for a reviewer could not be used.
_QUEUES = {
    who: f"""
SELECT * FROM reviews
WHERE waiting_for = '{who}' AND ($1::text IS NULL OR tenant = $1)
ORDER BY escalated DESC, sla_due NULLS LAST, submitted_at, tenant, review_id LIMIT $2
"""  # noqa: S608 - a constant
    for who in ("reviewer", "requester")
}


_DESK = """
SELECT r.*, k.wrapped FROM reviews r JOIN data_keys k USING (tenant, review_id)
WHERE r.waiting_for = 'reviewer' AND r.tenant = $1
ORDER BY r.escalated DESC, r.sla_due NULLS LAST, r.submitted_at, r.review_id LIMIT $2
"""


class ReviewStore:
    """Table `reviews`. Columns carry ids, enum words and numbers; the full status is sealed with the review's key."""

    def __init__(self, db: Database, vault: Vault) -> None:
        self._db = db
        self._vault = vault
        self._keys = DataKeys(db, vault)

    async def request(self, tenant: str, review_id: str) -> ReviewRequest | None:
        """What was asked; None of a review whose workflow was started by hand. Raises `NotFound` when it was erased."""
        row = await self._db.fetchrow(
            "SELECT r.request, k.wrapped FROM reviews r LEFT JOIN data_keys k USING (tenant, review_id) "
            "WHERE r.tenant = $1 AND r.review_id = $2",
            tenant,
            review_id,
        )
        if row is None or row["request"] is None:
            return None
        key = self._keys.unwrap(review_id, row["wrapped"])
        opened = self._vault.open(key, row["request"], context("request", tenant, review_id))
        return ReviewRequest.model_validate_json(opened)

    async def knows(self, tenant: str) -> bool:
        """Whether the tenant has any review."""
        return bool(await self._db.fetch("SELECT FROM reviews WHERE tenant = $1 LIMIT 1", tenant))

    async def exists(self, tenant: str, review_id: str) -> bool:
        """Whether the tenant has a review of this id."""
        return bool(await self._db.fetch("SELECT FROM reviews WHERE tenant = $1 AND review_id = $2", tenant, review_id))

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
            listed_confidence(status),
            status.usage.cost_microusd,
            status.document.document_id if status.document else None,
            status.submitted_at or datetime.now(UTC),
            status.ended_at,
            sum(effect.state in OPEN_EFFECTS for effect in status.effects),
        )

    async def with_effects(self, tenant: str | None = None, limit: int = MAX_LIMIT) -> tuple[ReviewRow, ...]:
        """Reviews with proposed effects that are still open, the oldest first."""
        rows = await self._db.fetch(
            "SELECT * FROM reviews WHERE effects_open > 0 AND ($1::text IS NULL OR tenant = $1) "
            "ORDER BY submitted_at, review_id LIMIT $2",
            tenant,
            _checked(limit),
        )
        return tuple(_row(row) for row in rows)

    async def under_way(self, tenant: str) -> tuple[tuple[str, str | None], ...]:
        """Workflow ids and playbooks of the tenant's reviews that have begun and have not ended, the oldest first."""
        rows = await self._db.fetch(
            "SELECT workflow_id, playbook FROM reviews WHERE tenant = $1 AND outcome IS NULL "
            "AND started_at IS NOT NULL ORDER BY submitted_at, review_id",
            tenant,
        )
        return tuple((row["workflow_id"], row["playbook"]) for row in rows)

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
            why = found["closed_because"]
            return ReviewStatus(
                review_id=row.review_id,
                workflow_id=row.workflow_id,
                tenant=row.tenant,
                stage=row.stage,
                outcome=row.outcome,
                playbook=row.playbook,
                failure=Failure(type="Closed", message=why, remedy="Submit it again") if why else None,
                submitted_at=row.submitted_at,
                ended_at=row.ended_at,
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
        user_hash: str | None = None,
        limit: int = 50,
    ) -> tuple[ReviewRow, ...]:
        """Reviews that match all that is given, newest first, at most `limit` (1 to 1000) of them."""
        rows = await self._db.fetch(_LIST, tenant, stage, outcome, user_hash, _checked(limit))
        return tuple(_row(row) for row in rows)

    async def queue(
        self, *, tenant: str | None = None, waiting_for: WaitingFor = "reviewer", limit: int = 50
    ) -> tuple[ReviewRow, ...]:
        """Reviews that wait for somebody: escalated ones first, then by when their SLA is due."""
        rows = await self._db.fetch(_QUEUES[waiting_for], tenant, _checked(limit))
        return tuple(_row(row) for row in rows)

    async def desk(self, *, tenant: str, limit: int = 50) -> tuple[tuple[ReviewRow, ReviewStatus | None], ...]:
        """The queue as `queue` gives it, each row with its status opened; None where its content was erased."""
        rows = await self._db.fetch(_DESK, tenant, _checked(limit))
        return await asyncio.to_thread(lambda: tuple((_row(row), self._opened(row)) for row in rows))

    def _opened(self, row: asyncpg.Record) -> ReviewStatus | None:
        if row["wrapped"] is None or row["detail"] is None:
            return None
        data_key = self._vault.unwrap(row["wrapped"])
        detail = self._vault.open(data_key, row["detail"], context("status", row["tenant"], row["review_id"]))
        return ReviewStatus.model_validate_json(detail)

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
