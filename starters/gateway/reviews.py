"""Looking at reviews and acting on them. Each endpoint: who asks, may they, is it theirs to see, then the answer."""

import hashlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action, allowed, require, sees_only_own
from countersign.access.principal import Principal
from countersign.errors import InvalidRequest, NotFound
from countersign.review.blind import conceals
from countersign.review.ids import base32
from countersign.review.payloads import (
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    EffectDecision,
    EffectReceipt,
    Receipt,
    View,
)
from countersign.trail.chain import verify_chain
from countersign.words import Outcome, Stage
from starters.gateway.answers import (
    AnswerBody,
    ClaimBody,
    DecisionBody,
    DocumentView,
    Download,
    EffectBody,
    ReviewList,
    ReviewView,
    TrailView,
    ViewBody,
    json_response,
    review_response,
)
from starters.gateway.backend import Backend
from starters.gateway.bodies import read_json
from starters.gateway.openapi import FILE, body_of, operation_id, problems

MAX_IDEMPOTENCY_KEY = 255
_EFFECT = re.compile(r"E[1-9][0-9]{0,3}")
SUFFIXES = {"application/pdf": "pdf", "text/plain": "txt", "text/markdown": "md"}

router = APIRouter(generate_unique_id_function=operation_id)


def backend_of(request: Request) -> Backend:
    """The backend of the application."""
    backend: Backend = request.app.state.backend
    return backend


async def authenticated(request: Request, action: Action) -> Principal:
    """Who asks, if they may do `action`. Raises as the authenticator does, and `Forbidden`."""
    given = request.headers.getlist("authorization")
    who = await backend_of(request).authenticate(given[0] if len(given) == 1 else None)
    require(who, action)
    return who


def caller(action: Action) -> Any:  # what FastAPI calls a dependency
    """Who asks, if they may do `action`. Before anything else of the request is looked at."""

    async def dependency(request: Request) -> Principal:
        return await authenticated(request, action)

    return Depends(dependency)


def idempotency_key(request: Request) -> str | None:
    """The Idempotency-Key, 1 to 255 visible ASCII characters, or None. Raises `InvalidRequest`."""
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not 1 <= len(given[0]) <= MAX_IDEMPOTENCY_KEY or not all("!" <= c <= "~" for c in given[0]):
        raise InvalidRequest(
            f"Idempotency-Key: is not 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters",
            remedy="A random UUID is a good one",
        )
    return given[0]


def derived_id(who: Principal, *parts: str) -> str:
    """An id that is the same whenever this person gives the same `parts`, and tells nothing of either."""
    text = "\0".join((who.tenant, who.user_hash, *parts))
    return "k" + base32(int.from_bytes(hashlib.sha256(text.encode()).digest()[:20], "big"), 32)


Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/v1/reviews", response_model=ReviewList, responses=problems(401, 403, 422, 503))
async def list_reviews(
    request: Request,
    who: Annotated[Principal, caller(Action.LIST_REVIEWS)],
    stage: Stage | None = None,
    outcome: Outcome | None = None,
    limit: Limit = 50,
) -> Response:
    """List reviews, newest first: your own, or (with a role that reads all) those of your tenant."""
    services = await backend_of(request).services()
    rows = await services.reviews.list(
        tenant=who.tenant,
        stage=stage,
        outcome=outcome,
        limit=limit,
        user_hash=who.user_hash if sees_only_own(who, Action.LIST_REVIEWS) else None,
    )
    return json_response(ReviewList(reviews=rows))


@router.get("/v1/queue", response_model=ReviewList, responses=problems(401, 403, 422, 503))
async def queue(request: Request, who: Annotated[Principal, caller(Action.READ_QUEUE)], limit: Limit = 50) -> Response:
    """List what waits for a reviewer: escalated reviews first, then by when they are due."""
    services = await backend_of(request).services()
    return json_response(ReviewList(reviews=await services.reviews.queue(tenant=who.tenant, limit=limit)))


@router.get("/v1/reviews/{review_id}", response_model=ReviewView, responses=problems(401, 403, 404, 503))
async def read_review(
    request: Request, review_id: str, who: Annotated[Principal, caller(Action.READ_REVIEW)]
) -> Response:
    """Show where a review stands, with its findings and their quotations."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.READ_REVIEW)
    reviews = allowed(who, Action.DECIDE) and row.user_hash != who.user_hash
    standing = await backend.standing(row, as_reviewer=reviews)
    concealed = conceals(standing.status, who.user, decides=reviews)
    view = ReviewView(**{**dict(standing.status), "live": standing.live, "concealed": concealed})
    return review_response(view if backend.knows_why(who) else without_signals(view))


def without_signals(view: ReviewView) -> ReviewView:
    """The review for who may not know what fired and how strongly; the remedy still says in which channel."""
    failure = view.failure
    if failure is not None and view.outcome is Outcome.BLOCKED:
        failure = failure.model_copy(update={"message": "the sentinel blocked it; who reviews or audits can see why"})
    return view.model_copy(update={"screening": None, "failure": failure})


@router.get(
    "/v1/reviews/{review_id}/document",
    response_model=DocumentView,
    responses={200: FILE, **problems(401, 403, 404, 422, 503)},
)
async def read_document(
    request: Request, review_id: str, who: Annotated[Principal, caller(Action.READ_DOCUMENT)], *, raw: bool = False
) -> Response:
    """Get a review's document as text with pages and sections, or (`raw=true`) the bytes as they were submitted."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.READ_DOCUMENT)
    services = await backend.services()
    status = await services.reviews.status(row.review_id, tenant=row.tenant)
    document = status.document
    if document is None or (status.read is None and not raw):
        raise NotFound("the review has no text (yet)", remedy="Its stage and failure say why: GET /v1/reviews/ID")
    suffix = SUFFIXES.get(document.media_type, "bin")
    # Sealed and plain, it is in memory twice while it is opened.
    with backend.outgoing.reserve(row.tenant, 2 * document.size):
        if raw:
            content = await services.documents.get(row.tenant, document.document_id)
        else:
            text = await services.documents.get_text(row.tenant, document.document_id)
            view = DocumentView(document=document, **dict(text))
            content, suffix = view.model_dump_json().encode(), "json"
    kind = "application/json" if suffix == "json" else document.media_type
    return Download(content, kind, f"{row.review_id}.{suffix}", backend.outgoing, row.tenant)


@router.get("/v1/reviews/{review_id}/trail", response_model=TrailView, responses=problems(401, 403, 404, 503))
async def read_trail(
    request: Request, review_id: str, who: Annotated[Principal, caller(Action.READ_TRAIL)]
) -> Response:
    """Show a review's audit trail, and whether it holds together. Empty before its turn has come."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.READ_TRAIL)
    rows = await (await backend.services()).trail.rows(row.workflow_id)
    check = verify_chain(rows)
    return json_response(TrailView(rows=rows, verified=check.ok, problem=check.problem))


@router.post(
    "/v1/reviews/{review_id}/claim",
    response_model=ClaimReceipt,
    responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(ClaimBody, required=False),
)
async def claim(request: Request, review_id: str, who: Annotated[Principal, caller(Action.CLAIM)]) -> Response:
    """Take a review to yourself for a while, so that two do not do the same work; or give it back."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.CLAIM)
    body = await _optional(request)
    given = Claim(reviewer=who.user, lease_s=body.lease_s, release=body.release, assign_to=body.assign_to)
    return json_response(await backend.client.claim(row.tenant, row.review_id, given))


@router.post(
    "/v1/reviews/{review_id}/decision",
    response_model=Receipt,
    responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(DecisionBody, idempotent=True),
)
async def decide(request: Request, review_id: str, who: Annotated[Principal, caller(Action.DECIDE)]) -> Response:
    """Approve, reject, amend, ask, or withdraw. The reviewer is who asks; nobody signs a request of their own."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.DECIDE)
    key = idempotency_key(request)
    body = await read_json(request, DecisionBody)
    given = Decision(
        reviewer=who.user,
        decision_id=derived_id(who, "decision", row.review_id, key) if key is not None else None,
        **dict(body),
    )
    return json_response(await backend.client.decide(row.tenant, row.review_id, given))


@router.post(
    "/v1/reviews/{review_id}/view",
    response_model=Receipt,
    responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(ViewBody),
)
async def state_view(request: Request, review_id: str, who: Annotated[Principal, caller(Action.DECIDE)]) -> Response:
    """Say what you would do, where the playbook captures views: only then are you told how sure the machine is."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.DECIDE)
    body = await read_json(request, ViewBody)
    given = View(reviewer=who.user, **dict(body))
    return json_response(await backend.client.view(row.tenant, row.review_id, given))


@router.post(
    "/v1/reviews/{review_id}/effects/{effect}",
    response_model=EffectReceipt,
    responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(EffectBody, idempotent=True),
)
async def decide_effect(
    request: Request, review_id: str, effect: str, who: Annotated[Principal, caller(Action.DECIDE)]
) -> Response:
    """Approve or decline one proposed effect (`E1`). It happens once, when the review is signed."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.DECIDE)
    if not _EFFECT.fullmatch(effect):
        raise NotFound("the review has no such effect", remedy="GET /v1/reviews/ID lists its effects, E1 and on")
    key = idempotency_key(request)
    body = await read_json(request, EffectBody)
    given = EffectDecision(
        item=effect,
        reviewer=who.user,
        # Not of the verdict: another one under the same key is refused, and not taken for a second decision.
        decision_id=derived_id(who, "effect", row.review_id, effect, key) if key is not None else None,
        **body.model_dump(exclude={"verdict"}),
    )
    receipt = await backend.client.decide_effect(row.tenant, row.review_id, given, approve=body.verdict == "approve")
    return json_response(receipt)


@router.post(
    "/v1/reviews/{review_id}/answer",
    response_model=Receipt,
    responses=problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    openapi_extra=body_of(AnswerBody),
)
async def answer(request: Request, review_id: str, who: Annotated[Principal, caller(Action.ANSWER)]) -> Response:
    """Answer a reviewer's question about your own request."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.ANSWER)
    body = await read_json(request, AnswerBody)
    given = Answer(user=who.user, text=body.text)
    return json_response(await backend.client.answer(row.tenant, row.review_id, given))


async def _optional(request: Request) -> ClaimBody:
    """The body of a claim, which may be left out."""
    if request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return ClaimBody()
    return await read_json(request, ClaimBody)
