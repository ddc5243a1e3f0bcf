"""What people decide, claim, ask and answer."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from countersign.review.payloads.base import Payload
from countersign.words import Outcome, Severity, Stage, Verdict


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


class View(Payload):
    """What a reviewer would do, said before they are told how sure the machine is."""

    verdict: Literal[Verdict.APPROVE, Verdict.AMEND, Verdict.REJECT]
    reviewer: str = Field(min_length=1, max_length=200)
    digest: str | None = None
    """Of what was shown; if given, it must be that of what is under review now."""
    view_id: str | None = None
    proof: str | None = Field(default=None, max_length=4000)


class ViewRecord(Payload):
    """A view as it was stated. Nothing changes it."""

    verdict: Verdict
    reviewer: str
    digest: str = ""
    at: datetime
    signed_with: str = ""


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
    view: Verdict | None = None
    """What the same person said that they would do, before they knew how sure the machine is (blind capture)."""
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
    """What the reviewer is to know beside: of effects that nobody approved, of a vigilance probe and its fate."""
    counted: bool = True
    """False for a decision that must be given again, because it may be owed to a vigilance probe."""
