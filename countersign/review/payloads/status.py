"""Where a review stands, and the rows its trail gets."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from countersign.review.payloads.analysis import AnalysisResult, Usage
from countersign.review.payloads.base import Payload
from countersign.review.payloads.decisions import Answer, DecisionRecord, Receipt, ViewRecord
from countersign.review.payloads.effects import EffectStanding
from countersign.review.payloads.request import DocumentRef
from countersign.review.payloads.stages import GateEvidence, Intent, ReadReport, Screening
from countersign.words import Autonomy, Mode, Outcome, Route, Stage


class Failure(Payload):
    """Why a review failed, was refused or was blocked; never with document text."""

    type: str
    message: str
    remedy: str = ""


class ReviewStatus(Payload):
    """Everything a person may see of a review: the `status` query, the CLI's JSON and the projection's detail."""

    review_id: str
    workflow_id: str
    tenant: str
    stage: Stage
    outcome: Outcome | None = None
    route: Route | None = None
    route_reasons: tuple[str, ...] = ()
    autonomy: Autonomy = Autonomy.SUPERVISED
    mode: Mode = Mode.LIVE
    evidence: GateEvidence | None = None
    """What the gate used of the cell's evidence."""
    blind: bool = False
    """Whether who decides states a view before they are told how sure the machine is."""
    views: tuple[ViewRecord, ...] = ()
    """The views stated so far."""
    playbook: str = ""
    contract_type: str = ""
    document: DocumentRef | None = None
    read: ReadReport | None = None
    screening: Screening | None = None
    intent: Intent | None = None
    analysis: AnalysisResult | None = None
    digest: str | None = None
    """Digest of what a person is shown now; a decision may name it to be bound to it."""
    waiting_for: Literal["reviewer", "requester"] | None = None
    question: str | None = None
    answers: tuple[Answer, ...] = ()
    decision: DecisionRecord | None = None
    """The decision that ended the review, or the latest one that counted."""
    decisions: tuple[DecisionRecord, ...] = ()
    receipts: dict[str, Receipt] = Field(default_factory=dict)
    """What decisions with an id were answered, by that id: who repeats one is answered the same."""
    signatures_missing: int = 0
    effects: tuple[EffectStanding, ...] = ()
    claimed_by: str | None = None
    claimed_until: datetime | None = None
    pending: Outcome | None = None
    """What it ends as unless the decision is withdrawn by `pending_until`."""
    pending_until: datetime | None = None
    signed_only: bool = False
    """Whether a decision counts only with a proof of who made it."""
    claim_token: int | None = None
    """Fencing token of that claim."""
    ahead: int | None = None
    """Reviews that will be dispatched before this one, while it waits for its turn."""
    estimate_s: float | None = None
    """Seconds until its turn, while it waits for it."""
    sla_due: datetime | None = None
    reminded: bool = False
    escalated: bool = False
    failure: Failure | None = None
    degraded: tuple[str, ...] = ()
    usage: Usage = Usage()
    timings_ms: dict[str, int] = Field(default_factory=dict)
    submitted_at: datetime | None = None
    ended_at: datetime | None = None


class TrailEntry(Payload):
    """One row of the trail as the workflow states it. `facts` carry ids, numbers and enum words, no names or text."""

    sequence: int
    stage: Stage
    event: str
    """What happened: "admitted", "read", "screened", "decision", "reminded", … one word or two."""
    at: datetime
    actor_hash: str | None = None
    """Pseudonym of the person who acted, when one did; the activity computes it from `actor` and drops that."""
    actor: str | None = None
    concerns: str | None = None
    """Somebody else whom it concerns (signed for, assigned to): written as a pseudonym in the fact `concerns`."""
    facts: dict[str, Any] = Field(default_factory=dict)
