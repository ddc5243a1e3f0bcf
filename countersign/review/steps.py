"""Inputs and outputs of the activities, one pair a step; results that are words of the domain stand in `payloads`."""

from datetime import datetime

from pydantic import Field

from countersign.review.capability import Capability
from countersign.review.payloads import (
    Admission,
    AgentMetrics,
    AnalysisResult,
    DecisionRecord,
    Edit,
    Effect,
    EffectApproval,
    EffectTerms,
    Finding,
    GateEvidence,
    Intent,
    Payload,
    Plan,
    PlannedTask,
    Recall,
    ReviewRequest,
    ReviewStatus,
    Screening,
    SpecialistReport,
    TrailEntry,
)
from countersign.words import EffectState, Mode, Route, Verdict


class AdmitInput(Payload):
    """`request` as submitted, and the id of the workflow that asks to be admitted."""

    workflow_id: str
    request: ReviewRequest
    run_id: str | None = None


class StepInput(Payload):
    """What every step after admission needs to know."""

    admission: Admission
    ask: str = ""


class JudgeInput(Payload):
    """What the sentinel agent is to judge, and what patterns and scorer say of it."""

    admission: Admission
    screening: Screening
    ask: str = ""


class JudgeResult(Payload):
    """The screening with the agent's verdict in it, how many characters of the document it read, what that took.

    `degraded`, here and below, names models that failed or were skipped before another answered.
    """

    screening: Screening
    chars: int
    metrics: AgentMetrics
    degraded: tuple[str, ...] = ()


class IntentResult(Payload):
    """The intent and what it took to find."""

    intent: Intent
    metrics: AgentMetrics
    degraded: tuple[str, ...] = ()


class RecallInput(Payload):
    """Memory is asked for this requester, session, cell and focus."""

    admission: Admission
    intent: Intent
    session: str | None = None
    ask: str = ""


class PlanInput(Payload):
    """What the planner knows."""

    admission: Admission
    intent: Intent
    recall: Recall
    ask: str = ""
    by_rule: bool = False
    """No model may plan: the playbook's division of labour is the plan."""


class PlanResult(Payload):
    """The plan and what it took to make; without `metrics` it was made by rule: no model answered, or none might."""

    plan: Plan
    metrics: AgentMetrics | None = None
    degraded: tuple[str, ...] = ()


class AnalyseInput(Payload):
    """One specialist's task and everything it may use."""

    admission: Admission
    intent: Intent
    recall: Recall
    task: PlannedTask
    ask: str = ""
    left: Capability | None = None
    """What screening left the review, for the tools; None: the specialist has none."""


class ReconcileInput(Payload):
    """The specialists' reports; `degraded` names what the review had to do without so far."""

    admission: Admission
    intent: Intent
    recall: Recall
    reports: tuple[SpecialistReport, ...]
    degraded: tuple[str, ...] = ()
    ask: str = ""
    by_rule: bool = False
    """No model may conclude: the conclusion is a plain count."""


class ReconcileResult(Payload):
    """The team's verdict and what the last agent took."""

    analysis: AnalysisResult
    metrics: AgentMetrics | None = None


class AuditInput(Payload):
    """Rows for the trail in order, and the status to project; only a higher `version` replaces a projection."""

    admission: Admission
    entries: tuple[TrailEntry, ...]
    status: ReviewStatus
    version: int


class AuditResult(Payload):
    """Pseudonym of the last reviewer whose decision or question was written, if any."""

    actor_hash: str | None = None


class LearnInput(Payload):
    """What a person decided against what the team had said."""

    admission: Admission
    contract_type: str
    route: Route
    confidence: float
    verdict: Verdict
    reviewer: str
    note: str = ""
    before: tuple[Finding, ...] = ()
    edits: tuple[Edit, ...] = ()
    session: str | None = None
    decisions: tuple[DecisionRecord, ...] = ()
    """Every decision that counted, in order; `edits` are theirs."""


class LearnResult(Payload):
    """How many corrections were stored."""

    corrections: int = 0
    degraded: tuple[str, ...] = ()


class TermsInput(Payload):
    """Which effects the policy in force is asked about, and what screening left the review."""

    admission: Admission
    effects: tuple[Effect, ...]
    left: Capability = Capability()


class TermsResult(Payload):
    """The policy's word on each, in their order."""

    terms: tuple[EffectTerms, ...]


class EffectOrder(Payload):
    """One effect that is to happen now, as it was last shown, and the approval it has if it needed one."""

    effect: Effect
    version: int
    approval: EffectApproval | None = None


class ActInput(Payload):
    """What is to happen after the review was signed. `findings` are those that were signed."""

    admission: Admission
    requester: str
    orders: tuple[EffectOrder, ...]
    findings: tuple[Finding, ...] = ()
    left: Capability = Capability()


class EffectResult(Payload):
    """What came of one order: `done`, or `refused` with the rule that stood against it."""

    item: str
    state: EffectState
    rule: str = ""
    reason: str = ""


class ActResult(Payload):
    """What came of each order."""

    results: tuple[EffectResult, ...]


class ObserveInput(Payload):
    """What the agents said and, unless labels do, what a person decided about it. `confidence` is as stated."""

    admission: Admission
    contract_type: str
    evidence: GateEvidence
    mode: Mode = Mode.LIVE
    route: Route
    confidence: float = Field(ge=0, le=1)
    findings: tuple[Finding, ...] = ()
    verdict: Verdict | None = None
    """None: nobody has decided; a shadow review whose labels were given with it."""
    edits: tuple[Edit, ...] = ()
    reviewer: str = ""
    view: Verdict | None = None
    """What the reviewer had said that they would do, before they knew how sure the agents are."""
    submitted_at: datetime
    machine_s: float = 0.0
    cost_microusd: int = 0


class ObserveResult(Payload):
    """What became of it. `judged` False: there is no judgement to compare with yet, a person has to give one."""

    judged: bool = True
    agreement: float | None = None
    critical: bool = False
    counted: bool = False
    before: str = ""
    after: str = ""
    rule: str = ""
    """When the cell's level was taken back by it: from what, to what and by which rule."""
