"""What the agents answer with, beyond the payloads, and the names of the output tools they answer through."""

from pydantic import BaseModel, ConfigDict, Field

from countersign.review.payloads import DraftFinding

INTENT_TOOL = "state_intent"
PLAN_TOOL = "state_plan"
FINDINGS_TOOL = "report_findings"
SYNTHESIS_TOOL = "state_synthesis"


class SpecialistFindings(BaseModel):
    """Everything one specialist claims about its clause families."""

    model_config = ConfigDict(frozen=True)

    findings: tuple[DraftFinding, ...] = Field(
        default=(),
        description="One per clause found, with verbatim quotes, and one without quotes per required clause absent",
    )
    confidence: float = Field(
        default=1.0, ge=0, le=1, description="How sure you are of the whole report; no single finding counts as surer"
    )


class Synthesis(BaseModel):
    """The team's conclusion from verified findings."""

    model_config = ConfigDict(frozen=True)

    summary: str = Field(
        min_length=1, description="For a business reader: what the contract is, the main risks by severity, what to do"
    )
    confidence: float = Field(ge=0, le=1, description="How sure the team is of the findings as a whole")
    contradictions: tuple[str, ...] = Field(
        default=(), description="Findings that cannot both be right, by id and in one sentence each"
    )
    requires_human_review: bool = Field(description="Whether a person must look before anything is released")
