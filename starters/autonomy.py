"""Why a review went where it went: what it used of the evidence, and what it became of it. No terminal in here."""

from dataclasses import dataclass

from countersign.evidence.arms import CellKey
from countersign.review.payloads import GateEvidence, ReviewStatus
from countersign.store.evidence import EvidenceBook
from countersign.words import Autonomy, Outcome, Route
from starters.client import ReviewClient


@dataclass(frozen=True)
class Explanation:
    """A review's route with its reasons, the evidence used for it, and the cell as it stands now.

    `agreement`, `counted` and `weight` are those of the review as evidence; None while nobody has judged it.
    """

    review_id: str
    cell: tuple[str, str, str]
    route: Route | None
    reasons: tuple[str, ...]
    autonomy: Autonomy
    outcome: Outcome | None
    used: GateEvidence | None
    source: str | None
    agreement: float | None
    critical: bool
    counted: bool | None
    weight: float | None
    cell_now: tuple[str, ...]


async def explained(client: ReviewClient, tenant: str, review_id: str) -> Explanation:
    """The explanation of a review. Raises NotFound."""
    return await explanation_of((await client.services()).evidence, (await client.status(tenant, review_id)).status)


async def explanation_of(evidence: EvidenceBook, status: ReviewStatus) -> Explanation:
    """The explanation of a review that stands like this."""
    item = await evidence.item(status.workflow_id)
    cell = CellKey(status.tenant, status.playbook, status.contract_type or "other")
    arm = status.evidence.arm if status.evidence else (item.arm if item else None)
    now = await evidence.explained(cell, arm) if arm else ()
    return Explanation(
        review_id=status.review_id,
        cell=(cell.tenant, cell.playbook, cell.contract_type),
        route=status.route,
        reasons=status.route_reasons,
        autonomy=status.autonomy,
        outcome=status.outcome,
        used=status.evidence,
        source=item.source if item else None,
        agreement=item.agreement if item else None,
        critical=bool(item and item.critical),
        counted=item.counted if item else None,
        weight=item.least / item.propensity if item else None,
        cell_now=now,
    )
