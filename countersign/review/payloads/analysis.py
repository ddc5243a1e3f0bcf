"""What the agents found, and what it took."""

from pydantic import Field

from countersign.review.payloads.base import Payload
from countersign.review.payloads.effects import Effect, ProposedEffect, ToolUse
from countersign.review.payloads.findings import DraftFinding, Finding


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
