"""What the gateway answers with: the shapes of the OpenAPI document, and how they are sent."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from countersign.batch.payloads import BatchKind, BatchState
from countersign.document.model import Page, Section
from countersign.review.blind import CONCEALED
from countersign.review.payloads import DocumentRef, Edit, ReviewStatus
from countersign.store.reviews import ReviewRow
from countersign.trail.chain import TrailRow
from countersign.words import Mode, Verdict
from starters.gateway.bodies import GRACE_S, MIN_BYTES_PER_S, ClientGone, Memory

PIECE = 65_536


EXAMPLE = (
    "MUTUAL NON-DISCLOSURE AGREEMENT\n\n1. Term\nThis Agreement continues for two (2) years.\n\n"
    "2. Governing Law\nThis Agreement is governed by the laws of Ireland.\n"
)


class _Body(BaseModel):
    """Base of what comes in: fields of ours only; errors hide values."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SubmitJson(_Body):
    """A contract as text. Files go into a form."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": EXAMPLE, "playbook": "nda", "ask": "We are Halden. May we sign?", "session": "deal-7"}
            ]
        }
    )

    text: str = Field(min_length=1, max_length=1_500_000)
    playbook: str = Field(default="nda", pattern=r"^[a-z][a-z0-9_]{1,47}$")
    ask: str = Field(default="", max_length=4000)
    session: str | None = Field(default=None, max_length=200)
    mode: Mode = Mode.LIVE
    """`shadow`: a person judges it without seeing the analysis, and nothing is released."""


class ClaimBody(_Body):
    """A reviewer takes the review to themselves for a while, or gives it back."""

    lease_s: float = Field(default=900, ge=1, le=86_400)
    release: bool = False
    assign_to: str | None = Field(default=None, min_length=1, max_length=200)
    """Give it to this person, whoever has it now; for leads."""


class DecisionBody(_Body):
    """A decision. Who decides is who asks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "approve", "note": "as agreed in March"}]})

    verdict: Verdict
    note: str = Field(default="", max_length=4000)
    edits: tuple[Edit, ...] = Field(default=(), max_length=500)
    question: str = Field(default="", max_length=4000)
    digest: str | None = Field(default=None, max_length=128)
    """Of what was looked at; refused when something else is under review by now."""
    claim: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Token of the claim under which it was looked at."""
    on_behalf_of: str | None = Field(default=None, min_length=1, max_length=200)
    """The absent person whose delegate decides."""


class ViewBody(_Body):
    """What a reviewer would do, said before they are told how sure the machine is."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "approve"}]})

    verdict: Literal[Verdict.APPROVE, Verdict.AMEND, Verdict.REJECT]
    digest: str | None = Field(default=None, max_length=128)
    """Of what was looked at; refused when something else is under review by now."""


class EffectBody(_Body):
    """What becomes of one proposed effect. Who decides is who asks."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"verdict": "approve", "note": "as agreed in March"}]})

    verdict: Literal["approve", "decline"]
    note: str = Field(default="", max_length=4000)
    version: int | None = Field(default=None, ge=1, le=2**31 - 1)
    digest: str | None = Field(default=None, max_length=128)
    """Of the effect as it was looked at; refused when it is another by now."""


class AnswerBody(_Body):
    """The requester's answer to a question."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "The Irish company signs"}]})

    text: str = Field(min_length=1, max_length=8000)


class Accepted(BaseModel):
    """A review that was taken in, durably. `existing`: this very one had been taken before."""

    review_id: str
    workflow_id: str
    status_url: str
    events_url: str
    playbook: str
    document: DocumentRef
    existing: bool
    ahead: int
    """Reviews that will be dispatched before it."""
    estimate_s: float
    """Seconds until its turn, as far as can be told."""


class ReviewView(ReviewStatus):
    """Where a review stands. `live` is False when its workflow could not be asked, and this is what was last stored."""

    live: bool = True
    concealed: bool = False
    """Whether all that tells how sure the machine is has been left out, because the review is judged blind: state a
    view first (POST …/view), or, of a shadow review, decide."""


class ReviewList(BaseModel):
    """Rows, without a word of any document."""

    reviews: tuple[ReviewRow, ...]


class BatchProgress(BaseModel):
    """Where a batch stands. `live` is False when its workflow could not be asked, and this is what was last stored."""

    batch_id: str
    kind: BatchKind
    playbook: str
    state: BatchState
    items: int
    begun: int
    in_flight: int
    done: int
    """Items the machine is done with."""
    ended: dict[str, int]
    """The same by how they ended."""
    waiting: int
    """Items that wait for people."""
    waits_for: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    live: bool


class BatchSummary(BaseModel):
    """One batch, as last stored."""

    batch_id: str
    kind: BatchKind
    playbook: str
    state: BatchState
    items: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class BatchList(BaseModel):
    """Batches, newest first."""

    batches: tuple[BatchSummary, ...]


class DocumentView(BaseModel):
    """A document as text. Offsets are characters of `text`, end-exclusive."""

    document: DocumentRef
    text: str
    pages: tuple[Page, ...]
    sections: tuple[Section, ...]
    hidden: tuple[tuple[int, int], ...]


class TrailView(BaseModel):
    """A review's trail, and whether it holds together."""

    rows: tuple[TrailRow, ...]
    verified: bool
    problem: str | None = None


class Health(BaseModel):
    """Whether the gateway can take reviews in, and what it has to do without."""

    status: Literal["ok", "ready", "unavailable"]
    degraded: tuple[str, ...] = ()


def review_response(view: ReviewView) -> Response:
    """A review as JSON, without what is concealed from who asks."""
    if not view.concealed:
        return json_response(view)
    return Response(view.model_dump_json(exclude=CONCEALED), media_type="application/json")


def json_response(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`body` as JSON. It was validated when it was made, and is not again."""
    return Response(body.model_dump_json(), status, headers=headers, media_type="application/json")


class Download(Response):
    """A document on its way out: an attachment, in pieces, no faster than the reader takes them.

    It holds a reservation of `memory` until it has gone; a reader slower than the slowest sender is cut off.
    """

    def __init__(self, content: bytes, media_type: str, name: str, memory: Memory, tenant: str) -> None:
        super().__init__(
            content,
            headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Download-Options": "noopen"},
            media_type=media_type,
        )
        self._memory = memory
        self._tenant = tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        size = len(self.body)
        with self._memory.reserve(self._tenant, size):
            try:
                async with asyncio.timeout(GRACE_S + size / MIN_BYTES_PER_S):
                    await self._send(send)
            except TimeoutError:
                raise ClientGone from None

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for piece in self._pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, len(self.body), PIECE):
            yield bytes(self.body[start : start + PIECE])
