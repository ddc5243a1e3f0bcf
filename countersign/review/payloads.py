"""What travels through Temporal: frozen Pydantic models. Fields are only ever added, with defaults.

Documents travel by reference (`DocumentRef`). Offsets are characters of the extracted text, end-exclusive. Money is
integer micro-dollars, durations are integer milliseconds unless named otherwise.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from countersign.words import (
    Autonomy,
    Channel,
    EffectState,
    Mode,
    Outcome,
    Position,
    RiskBand,
    Route,
    Severity,
    Stage,
    Tier,
    ToolVerdict,
    Verdict,
)


class Payload(BaseModel):
    """Base of all that a history stores: immutable; fields of a newer version are ignored; errors hide values."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


# --- the request ---------------------------------------------------------------------------------------------------


class DocumentRef(Payload):
    """A stored document. `sha256` is of the bytes as submitted, `size` in bytes."""

    document_id: str
    sha256: str
    media_type: str
    size: int


class ReviewRequest(Payload):
    """A validated request. Either `document` (already stored) or `text` (inline, for the plain `temporal` CLI)."""

    tenant: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    user: str = Field(min_length=1, max_length=200)
    playbook: str = Field(default="nda", pattern=r"^[a-z][a-z0-9_]{1,47}$")
    ask: str = Field(default="", max_length=4000)
    """What the requester wants, in their words. Screened before any model sees it."""
    session: str | None = Field(default=None, max_length=200)
    document: DocumentRef | None = None
    text: str | None = Field(default=None, max_length=1_500_000)
    review_id: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")
    mode: Mode = Mode.LIVE
    """`shadow`: everything is analysed and nothing released; a person judges blind, or has judged before."""


class ReviewKey(Payload):
    """Which review an activity works for."""

    tenant: str
    review_id: str
    workflow_id: str


# --- stages --------------------------------------------------------------------------------------------------------


class SlaPolicy(Payload):
    """The SLA ladder in seconds from the moment the review waits for a person."""

    remind_s: float = 86_400
    escalate_s: float = 172_800
    expire_s: float = 604_800
    reassign_s: float | None = None
    """When a claim that sleeps is given back; None: never, it lapses by itself."""


class SigningPolicy(Payload):
    """The part of the playbook that the gate and the desk need, fixed when the review is admitted."""

    reviewers: tuple[str, ...] = ()
    four_eyes_at: Severity | Literal["never"] = Severity.CRITICAL
    review_at: Severity = Severity.HIGH
    confidence: float = 0.8
    contract_types: tuple[str, ...] = ()
    """Kinds of contract the playbook is for; empty means any."""
    groups: tuple[str, ...] = ()
    """Groups whose members may sign, beside `reviewers`."""
    leads: tuple[str, ...] = ()
    """Groups whose members may take claims back and give them to somebody, and may sign once it is escalated."""
    quorum: dict[Severity, int] = Field(default_factory=dict)
    """How many people sign when a finding is as grave as this, or graver."""
    undo_s: float = 0
    """Seconds for which a decision that ends the review may be withdrawn, before anything follows from it."""
    require_signed: bool = False
    """Whether a decision counts only with a proof of who made it."""
    governed: bool = False
    """Whether `SigningTerms` are asked for: who may sign is data, or a decision is judged when it takes effect."""


class Absence(Payload):
    """Somebody is away; `delegate` may sign for them until then."""

    person: str
    until: datetime
    delegate: str | None = None


class VerifyingKey(Payload):
    """The public half of a key that decisions are signed with: raw Ed25519, base64."""

    key_id: str
    public_key: str
    person: str | None = None
    """Whose key it is; None: the gateway's, which signs for whoever has signed in there."""
    until: datetime | None = None
    """A retired key: what it signed before still counts. One that was revoked is not in the terms at all."""


class SigningTerms(Payload):
    """Who may sign, as the tenant's data say at one moment."""

    policy: SigningPolicy | None = None
    """The playbook's rules now; None: it cannot be read, and those of admission hold."""
    members: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """People by group; only the groups that the policy names."""
    absences: tuple[Absence, ...] = ()
    keys: tuple[VerifyingKey, ...] = ()
    require_signed: bool = False
    """The tenant's word; the playbook's counts as well."""


class ProbeSeed(Payload):
    """A finding that the playbook makes plausible and that will be wrong: it gets a quotation about something else."""

    clause: str
    specialist: str
    severity: Severity
    statement: str
    suggestion: str = ""


class Probe(Payload):
    """A vigilance probe that admission drew for this review: what may be planted, in order of preference."""

    seeds: tuple[ProbeSeed, ...] = ()


class Admission(Payload):
    """What admission fixed for the whole review."""

    key: ReviewKey
    document: DocumentRef
    playbook: str
    playbook_version: str
    playbook_digest: str
    user_hash: str
    tenant_hash: str
    sla: SlaPolicy = SlaPolicy()
    signing: SigningPolicy = SigningPolicy()
    weight: float = 1.0
    """The tenant's share against the others', as Temporal's fairness weight."""
    sentinel_model: str | None = None
    """Model of the sentinel agent; None where none is configured: patterns and scorer alone."""
    probe: Probe | None = None
    """What to test the reviewer's attention with; None for nearly all reviews."""
    batch_id: str | None = None
    """The batch the review is one of; None when somebody waits for it."""
    model: str | None = None
    """Model of every agent but the sentinel, in the place of playbook and settings: a rerun with another arm."""


class ReadReport(Payload):
    """What reading gave; the text itself stays in the document store."""

    chars: int
    pages: int
    sections: int
    text_sha256: str
    hidden_chars: int = 0
    unread: tuple[str, ...] = ()
    """What the document carries beside its pages and nobody has reviewed, as "embedded files: 2"."""


class Signal(Payload):
    """One explained reason for suspicion. `score` in [0, 1]; offsets are into the text of `channel`."""

    name: str
    channel: Channel
    score: float
    explanation: str
    start: int | None = None
    end: int | None = None
    page: int | None = None


class Screening(Payload):
    """The sentinel's verdict over instruction and document."""

    risk_score: float = Field(ge=0, le=1)
    band: RiskBand
    signals: tuple[Signal, ...] = ()


class Intent(Payload):
    """What is asked, about which kind of contract; typed before anything acts on it."""

    task: Literal["review", "summarise", "question"] = "review"
    contract_type: str = "other"
    """Kebab or snake word for the kind of contract: "nda", "msa", "license", "supply", … or "other"."""
    our_side: str = "unknown"
    """Our role as the contract names it ("Receiving Party", "Supplier"), or "unknown"."""
    focus: tuple[str, ...] = ()
    """Clause families the requester asked about; empty means all."""
    language: str = "en"
    """ISO 639-1 code of the document's language."""


class Correction(Payload):
    """What a person changed in an earlier analysis, recalled because it concerns the same clause family."""

    correction_id: int
    clause: str
    change: str
    """What was changed, in words: "severity high -> low", "removed", "statement: …"."""
    note: str = ""
    kind: str = ""
    """What a person did to the finding (`countersign.learning.lesson.Kind`); empty in what older versions recalled."""
    position: Position | None = None
    before: Severity | None = None
    after: Severity | None = None


class KnowledgeHit(Payload):
    """A passage of the knowledge base near to what is under review."""

    source: str
    passage: str
    score: float


class CellStanding(Payload):
    """What the evidence says of the review's cell and arm, as the review uses it.

    `share` is the propensity with which an item that nothing else sends to a person is looked at, `drawn` this review's
    number in [0, 1): below the share it is. `calibrated` maps stated confidence at equal steps from 0 to 1; it is empty
    while there are too few pairs. `threshold` None with a map means that nothing may be released.
    """

    arm: str
    """Fingerprint of models, prompts, playbook and code."""
    level: Autonomy = Autonomy.SUPERVISED
    items: int = 0
    share: float = Field(default=1.0, gt=0, le=1)
    drawn: float = Field(default=0.0, ge=0, lt=1)
    calibrated: tuple[float, ...] = ()
    calibration: str = "stated"
    calibration_pairs: int = 0
    threshold: float | None = None
    threshold_pairs: int = 0
    target_error: float = 0.05


class GateEvidence(Payload):
    """What the gate used of the evidence, and whether the review was drawn to be looked at all the same.

    `propensity` is the probability with which a person looks at this review, `least` the smallest any could have had.
    """

    arm: str
    level: Autonomy
    items: int
    stated: float
    confidence: float
    threshold: float | None
    note: str
    audited: bool = False
    propensity: float = 1.0
    least: float = 1.0


class Recall(Payload):
    """What the three tiers of memory remembered. A tier that failed is named in `degraded` and left empty."""

    session: tuple[str, ...] = ()
    profile: dict[str, str] = Field(default_factory=dict)
    corrections: tuple[Correction, ...] = ()
    knowledge: tuple[KnowledgeHit, ...] = ()
    autonomy: Autonomy = Autonomy.SUPERVISED
    degraded: tuple[Tier, ...] = ()
    disputed: tuple[str, ...] = ()
    """Corrections that contradict each other and are therefore not in force, one line a clause."""
    standing: CellStanding | None = None
    """What the evidence says of the cell; None where it could not be asked, or before there was any."""


class PlannedTask(Payload):
    """One specialist's share of the work."""

    specialist: str
    families: tuple[str, ...]
    sections: tuple[str, ...] = ()
    """Labels of the sections to read; empty means the whole document."""
    reason: str = ""


class Plan(Payload):
    """Which specialists look at what, and why."""

    tasks: tuple[PlannedTask, ...]
    reason: str = ""


class Evidence(Payload):
    """A verbatim quotation: `text[start:end] == quote`, on page `page` (from 1)."""

    quote: str
    start: int
    end: int
    page: int


class Finding(Payload):
    """One claim about the document: with verbatim evidence, or, for an absence, the sections searched."""

    id: str
    """Unique within the review and stable: "F1", "F2", …"""
    clause: str
    severity: Severity
    statement: str
    position: Position = Position.UNCLEAR
    evidence: tuple[Evidence, ...] = ()
    searched: tuple[str, ...] = ()
    confidence: float = Field(default=1.0, ge=0, le=1)
    specialist: str = ""
    suggestion: str = ""
    """What the playbook would rather have: the text of the preferred or fallback position."""
    corrections: tuple[int, ...] = ()
    """Corrections that changed this finding ("because of correction 17")."""
    uncorrected: Severity | None = None
    """The severity before corrections changed it. The gate goes by the graver of the two."""

    @model_serializer(mode="wrap")
    def _as_ever(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `uncorrected` while it is unset: it is younger than digests of findings that people have signed."""
        dumped: dict[str, Any] = handler(self)
        if self.uncorrected is None:
            dumped.pop("uncorrected", None)
        return dumped

    @property
    def gravest(self) -> Severity:
        """The severity that decides who must look: no correction takes a person away."""
        return max(self.severity, self.uncorrected or self.severity, key=lambda severity: severity.rank)


class DraftFinding(Payload):
    """A finding as a specialist wrote it, before its quotations were looked up in the text."""

    clause: str
    statement: str
    severity: Severity
    position: Position = Position.UNCLEAR
    quotes: tuple[str, ...] = ()
    """Verbatim passages of the document; empty claims that the clause is absent."""
    searched: tuple[str, ...] = ()
    confidence: float = Field(default=1.0, ge=0, le=1)
    corrections: tuple[int, ...] = ()
    """Ids of recalled corrections that changed this finding."""


class AgentMetrics(Payload):
    """What one agent run took and cost. `call_id` is unique in the review, so a retried write counts once."""

    call_id: str
    agent: str
    model: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost_microusd: int = 0
    priced: bool = True
    """False when the model's price is unknown: the cost then counts as 0 and says so."""
    execution_time_ms: int = 0
    success: bool = True
    unseen_requests: int = 0
    """Requests sent whose answer was never seen: a provider may bill them, and no usage of them is known."""


class ProposedEffect(Payload):
    """An effect as an agent asked for it: a tool and its arguments. Nothing was done."""

    tool: str
    args: dict[str, Any]


class ToolUse(Payload):
    """How often a run was answered so by a tool: `verdict` is "ran", "proposed", "failed" or the rule that refused."""

    tool: str
    verdict: str
    calls: int = 1


class Effect(Payload):
    """One thing that is to happen outside once the review is signed, as a person is shown it."""

    id: str
    """Unique within the review and stable: "E1", "E2", …"""
    tool: str
    args: dict[str, Any]
    args_digest: str
    """SHA-256 (hex) of tool and arguments as canonical JSON."""
    summary: str = ""
    clause: str = ""
    specialist: str = ""
    evidence: tuple[Evidence, ...] = ()


class SpecialistReport(Payload):
    """What one specialist found. `degraded` says what it had to do without."""

    specialist: str
    families: tuple[str, ...] = ()
    findings: tuple[DraftFinding, ...] = ()
    metrics: AgentMetrics | None = None
    degraded: tuple[str, ...] = ()
    proposals: tuple[ProposedEffect, ...] = ()
    tools: tuple[ToolUse, ...] = ()


class AnalysisResult(Payload):
    """The team's verdict, every quotation verified."""

    summary: str
    key_findings: tuple[Finding, ...] = ()
    confidence: float = Field(ge=0, le=1)
    requires_human_review: bool
    dropped: int = 0
    """Findings left out because a quotation of theirs does not stand in the document."""
    degraded: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    """What the agents propose to do once the review is signed; none of it happens without a person."""


class Usage(Payload):
    """Tokens and money of one review so far."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_microusd: int = 0
    unpriced_calls: int = 0


# --- people --------------------------------------------------------------------------------------------------------


class Edit(Payload):
    """One typed change: `set` replaces the fields given, `remove` drops the finding, `add` needs all three fields."""

    action: Literal["set", "remove", "add"]
    finding_id: str | None = None
    clause: str | None = None
    severity: Severity | None = None
    statement: str | None = Field(default=None, max_length=2000)


class Decision(Payload):
    """A named person's decision. `digest`, if given, must be that of what is under review now."""

    verdict: Verdict
    reviewer: str = Field(min_length=1, max_length=200)
    note: str = Field(default="", max_length=4000)
    edits: tuple[Edit, ...] = ()
    question: str = Field(default="", max_length=4000)
    digest: str | None = None
    decision_id: str | None = None
    """Makes a retried decision count once; the update id where there is none."""
    content: str | None = None
    """Digest of the decision as its sender gave it (`desk.content_of`), since `digest` may be filled in on the way."""
    claim: int | None = None
    """Fencing token of the reviewer's claim; one that has lapsed or passed to another is refused."""
    on_behalf_of: str | None = Field(default=None, min_length=1, max_length=200)
    """The absent person whose delegate the reviewer is."""
    proof: str | None = Field(default=None, max_length=4000)
    """Who decided, signed (`countersign.review.proof`)."""


class Claim(Payload):
    """A reviewer takes a review to themselves for a while, so that two do not do the same work."""

    reviewer: str = Field(min_length=1, max_length=200)
    lease_s: float = Field(default=900, ge=1, le=86_400)
    release: bool = False
    """Give it back instead; a lead gives back anybody's."""
    assign_to: str | None = Field(default=None, min_length=1, max_length=200)
    """A lead gives the review to this person, whoever has it now."""


class ClaimReceipt(Payload):
    """The claim as it stands: `token` grows with each new one; a decision that names an older token is refused."""

    review_id: str
    token: int
    until: datetime | None = None
    """None when it was given back."""


class EffectDecision(Payload):
    """A named person approves or declines one effect. What it names of item, version and digest must be in force."""

    item: str = Field(pattern=r"^E[1-9][0-9]{0,3}$")
    reviewer: str = Field(min_length=1, max_length=200)
    note: str = Field(default="", max_length=4000)
    version: int | None = None
    digest: str | None = None
    """Of what the item was bound to when it was shown; None binds to what it is bound to now."""
    decision_id: str | None = None
    """Makes a retried decision count once."""
    proof: str | None = Field(default=None, max_length=4000)


class EffectApproval(Payload):
    """One approval, bound to all that the approver was shown. Good for one execution, until `expires_at`."""

    approval_id: str
    review_id: str
    item: str
    version: int
    args_digest: str
    evidence_digest: str
    policy_version: str
    approver: str
    at: datetime
    expires_at: datetime


class EffectStanding(Payload):
    """Where one effect stands; `version` and `digest` are what an approval is bound to."""

    item: str
    tool: str
    state: EffectState
    summary: str = ""
    version: int = 1
    digest: str = ""
    policy_version: str = ""
    approver: str | None = None
    expires_at: datetime | None = None
    reason: str = ""


class EffectReceipt(Payload):
    """The reply to an approval or a refusal of an effect; `pending` counts what still waits for one."""

    review_id: str
    item: str
    state: EffectState
    version: int = 1
    digest: str = ""
    pending: int = 0


class EffectTerms(Payload):
    """What the policy in force says of one item."""

    item: str
    verdict: ToolVerdict
    policy_version: str
    approval_s: float = 259_200
    """Seconds for which an approval holds."""
    reason: str = ""


class Answer(Payload):
    """The requester's answer to a question."""

    user: str = Field(min_length=1, max_length=200)
    text: str = Field(min_length=1, max_length=8000)
    digest: str | None = None
    """Of what was shown when the question was read."""
    answer_id: str | None = None
    proof: str | None = Field(default=None, max_length=4000)


class DecisionRecord(Payload):
    """A decision that counted, as history and status show it."""

    verdict: Verdict
    reviewer: str
    note: str = ""
    edits: tuple[Edit, ...] = ()
    question: str = ""
    digest: str = ""
    at: datetime
    on_behalf_of: str | None = None
    signed_with: str = ""
    """Id of the key that proved who decided; empty: it was not asked for."""
    void: str = ""
    """Why it counts no more: `withdrawn`, or the rule that it broke when it was judged again."""


class Receipt(Payload):
    """The reply to a decision or answer: where the review stands now and how many signatures are still wanted."""

    review_id: str
    stage: Stage
    outcome: Outcome | None = None
    signatures_missing: int = 0
    findings: int = 0
    worst: Severity | None = None
    digest: str = ""
    """Of what the decision was bound to; with the number of findings and the gravest it says what was signed."""
    pending: Outcome | None = None
    """What the review ends as unless the decision is withdrawn by `pending_until`."""
    pending_until: datetime | None = None
    verdict: Verdict | None = None
    """What was decided; None for an answer."""
    content: str = ""
    """Digest of the decision as it was given: what comes again under its id must have the same."""
    notice: str = ""
    """What the reviewer is to know beside: that a vigilance probe was in what they were shown, and its fate."""
    counted: bool = True
    """False for a decision that must be given again, because it may be owed to a vigilance probe."""


class Failure(Payload):
    """Why a review failed, was refused or was blocked; never with document text."""

    type: str
    message: str
    remedy: str = ""


# --- status --------------------------------------------------------------------------------------------------------


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


# --- audit ---------------------------------------------------------------------------------------------------------


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
