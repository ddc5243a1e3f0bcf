"""POST /v1/reviews: who asks, may they, the door, and only then the body, straight into the document store."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.access.principal import Principal
from countersign.admission.intake import Accepted as Taken
from countersign.errors import CountersignError, InvalidRequest, KeyReused
from countersign.review.ids import new_review_id
from countersign.review.payloads import ReviewRequest
from starters.gateway.answers import Accepted, SubmitJson, json_response
from starters.gateway.backend import Backend
from starters.gateway.bodies import MAX_FORM_TEXT, MAX_JSON, Body, is_json, parse_json, refused
from starters.gateway.forms import boundary_of, read_form
from starters.gateway.openapi import (
    FORM_SCHEMA,
    KEY_HEADER,
    operation_id,
    problems,
    rate_limited,
    review_links,
    schema_of,
)
from starters.gateway.problems import UnsupportedMedia, rate_headers
from starters.gateway.reviews import backend_of, caller, derived_id, idempotency_key

FORM_OVERHEAD = MAX_FORM_TEXT + 131_072
"""Bytes of a form besides its file: the text fields, boundaries and headers of parts."""
HELD_BY_FORM = 640_000
"""Memory of a form under way: the chunk that is filled, its sealed copy, and what the server buffers."""
HELD_BY_JSON = 4
"""Times its size, that a JSON body is in memory: raw, parsed, encoded, sealed."""

router = APIRouter(generate_unique_id_function=operation_id)

_ACCEPTED = rate_limited(
    {
        "description": "Taken in, durably. A repeat of the same request is answered the same, with `existing` true.",
        "headers": {"Location": {"description": "Where it stands.", "schema": {"type": "string"}}},
        "links": review_links(
            "read_review",
            "read_document",
            "read_trail",
            "follow",
            "claim",
            "decide",
            "decide_effect",
            "answer",
            review="/review_id",
        ),
    }
)
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": FORM_SCHEMA},
            "application/json": {"schema": schema_of(SubmitJson)},
        },
    },
    "parameters": [KEY_HEADER],
}


@router.post(
    "/v1/reviews",
    status_code=202,
    response_model=Accepted,
    responses={202: _ACCEPTED, **problems(400, 401, 403, 408, 413, 415, 422, 429, 503)},
    openapi_extra=_BODY,
)
async def submit(request: Request, who: Annotated[Principal, caller(Action.SUBMIT)]) -> Response:
    """Submit a contract: a form with the file, or JSON with its text."""
    backend = backend_of(request)
    taken = await take_in(backend, request, who, idempotency_key(request))
    url = f"/v1/reviews/{taken.review_id}"
    body = Accepted(
        review_id=taken.review_id,
        workflow_id=taken.workflow_id,
        status_url=url,
        events_url=f"{url}/events",
        playbook=taken.playbook,
        document=taken.document,
        existing=taken.existing,
        ahead=taken.ahead,
        estimate_s=taken.estimate_s,
    )
    return json_response(body, 202, {"Location": url, **rate_headers(taken.entry)})


@dataclass(frozen=True)
class Besides:
    """Text fields that a form has besides those of a request.

    Attributes:
        names: what they are called.
        check: sees the form's text fields before anything is taken in for good, takes these out, and raises what is
            wrong with them.
    """

    names: tuple[str, ...]
    check: Callable[[dict[str, str]], None]


async def take_in(
    backend: Backend, request: Request, who: Principal, key: str | None, besides: Besides | None = None
) -> Taken:
    """Take a request's document in, and count how that was answered."""
    try:
        taken = await _take_in(backend, request, who, key, besides)
    except CountersignError as error:
        backend.metrics.submitted(error.type)
        raise
    backend.metrics.submitted("existing" if taken.existing else "accepted")
    return taken


async def _take_in(
    backend: Backend, request: Request, who: Principal, key: str | None, besides: Besides | None
) -> Taken:
    """Past the door and into the store. Nothing of the body is read before the door has let the review in."""
    content_type = request.headers.get("content-type", "")
    boundary = boundary_of(content_type)
    extra = besides.names if besides is not None else ()
    max_file = int(backend.settings.max_document_mb * 1_000_000)
    if boundary is not None:
        file_limit = f"A file may have {max_file:,} bytes; who runs the gateway sets COUNTERSIGN_MAX_DOCUMENT_MB"
        body = Body(request, max_file + FORM_OVERHEAD, "a form", file_limit)
        held = HELD_BY_FORM
    elif is_json(request) and besides is None:  # in JSON there is nothing besides
        body = Body(request, MAX_JSON, "a JSON body", "Send it as the file of a form")
        held = HELD_BY_JSON * (MAX_JSON if body.stated is None else body.stated)
    else:
        raise UnsupportedMedia(
            "the body is neither multipart/form-data nor application/json", remedy="Send a form with a part 'file'"
        )
    review_id = new_review_id() if key is None else derived_id(who, "review", key)
    intake = (await backend.services()).intake
    # Memory first: what cannot be received is not charged at the door.
    with backend.incoming.reserve(who.tenant, held):
        async with intake.entering(who.tenant, who.user, review_id, fresh=key is None) as place:
            upload = intake.upload(who.tenant, review_id)
            if boundary is not None:
                form = await read_form(body.chunks(), boundary, upload.write, max_file=max_file, extra=extra)
                if besides is not None:
                    besides.check(form.fields)
                fields, name = form.fields, f"document{form.suffix}"
            else:
                given = parse_json(await body.whole(), SubmitJson)
                await upload.write(given.text.encode())
                fields, name = given.model_dump(exclude={"text"}), ""  # plain or Markdown, as its lines say
            try:
                asked = ReviewRequest.model_validate(
                    {**fields, "tenant": who.tenant, "user": who.user, "review_id": review_id}
                )
            except ValidationError as error:
                raise refused(error) from None
            try:
                return await place.accept(asked, upload, name)
            except InvalidRequest as error:
                if key is not None and error.message.startswith("review_id"):
                    raise KeyReused(
                        "the Idempotency-Key was used for another document, playbook, ask, session or mode",
                        remedy="Use a new key for another review",
                    ) from None
                raise
