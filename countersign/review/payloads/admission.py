"""What is fixed when a review is admitted, and who may sign it."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from countersign.review.payloads.base import Payload
from countersign.review.payloads.request import DocumentRef, ReviewKey
from countersign.words import Severity


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
    blind: bool = False
    """Whether who decides states a view before they are told how sure the machine is."""
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
