"""What agents propose to do, and what people say to it."""

from datetime import datetime
from typing import Any

from pydantic import Field

from countersign.review.payloads.base import Payload
from countersign.review.payloads.findings import Evidence
from countersign.words import EffectState, ToolVerdict


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
