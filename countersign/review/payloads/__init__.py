"""What travels through Temporal: frozen Pydantic models. Fields are only ever added, with defaults.

Documents travel by reference (`DocumentRef`). Offsets are characters of the extracted text, end-exclusive. Money is
integer micro-dollars, durations are integer milliseconds unless named otherwise.
"""

from countersign.review.payloads.admission import (
    Absence,
    Admission,
    Probe,
    ProbeSeed,
    SigningPolicy,
    SigningTerms,
    SlaPolicy,
    VerifyingKey,
)
from countersign.review.payloads.analysis import AgentMetrics, AnalysisResult, SpecialistReport, Usage
from countersign.review.payloads.base import Payload
from countersign.review.payloads.decisions import (
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    DecisionRecord,
    Edit,
    Receipt,
    View,
    ViewRecord,
)
from countersign.review.payloads.effects import (
    Effect,
    EffectApproval,
    EffectDecision,
    EffectReceipt,
    EffectStanding,
    EffectTerms,
    ProposedEffect,
    ToolUse,
)
from countersign.review.payloads.findings import DraftFinding, Evidence, Finding
from countersign.review.payloads.request import DocumentRef, ReviewKey, ReviewRequest
from countersign.review.payloads.stages import (
    CellStanding,
    Correction,
    GateEvidence,
    Intent,
    KnowledgeHit,
    Plan,
    PlannedTask,
    ReadReport,
    Recall,
    Screening,
    Signal,
)
from countersign.review.payloads.status import Failure, ReviewStatus, TrailEntry

__all__ = [
    "Absence",
    "Admission",
    "AgentMetrics",
    "AnalysisResult",
    "Answer",
    "CellStanding",
    "Claim",
    "ClaimReceipt",
    "Correction",
    "Decision",
    "DecisionRecord",
    "DocumentRef",
    "DraftFinding",
    "Edit",
    "Effect",
    "EffectApproval",
    "EffectDecision",
    "EffectReceipt",
    "EffectStanding",
    "EffectTerms",
    "Evidence",
    "Failure",
    "Finding",
    "GateEvidence",
    "Intent",
    "KnowledgeHit",
    "Payload",
    "Plan",
    "PlannedTask",
    "Probe",
    "ProbeSeed",
    "ProposedEffect",
    "ReadReport",
    "Recall",
    "Receipt",
    "ReviewKey",
    "ReviewRequest",
    "ReviewStatus",
    "Screening",
    "Signal",
    "SigningPolicy",
    "SigningTerms",
    "SlaPolicy",
    "SpecialistReport",
    "ToolUse",
    "TrailEntry",
    "Usage",
    "VerifyingKey",
    "View",
    "ViewRecord",
]
