"""What a requester gives, and which review it becomes."""

from pydantic import Field

from countersign.review.payloads.base import Payload
from countersign.words import Mode


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
