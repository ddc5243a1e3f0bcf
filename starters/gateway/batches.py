"""Batches over HTTP: how far they are. They are submitted, paused and exported with `countersign batch`."""

import re
from typing import Annotated

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.access.principal import Principal
from countersign.batch.payloads import BatchKey
from countersign.errors import NotFound
from starters.batches import look
from starters.gateway.answers import BatchList, BatchProgress, BatchSummary, json_response
from starters.gateway.openapi import operation_id, problems
from starters.gateway.reviews import Limit, backend_of, caller

_BATCH_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")

router = APIRouter(generate_unique_id_function=operation_id)


@router.get("/v1/batches", response_model=BatchList, responses=problems(401, 403, 422, 503))
async def list_batches(
    request: Request, who: Annotated[Principal, caller(Action.READ_QUEUE)], limit: Limit = 50
) -> Response:
    """List your tenant's batches, newest first."""
    rows = await (await backend_of(request).services()).batches.newest(who.tenant, limit)
    return json_response(BatchList(batches=tuple(BatchSummary.model_validate(row.model_dump()) for row in rows)))


@router.get("/v1/batches/{batch_id}", response_model=BatchProgress, responses=problems(401, 403, 404, 503))
async def read_batch(request: Request, batch_id: str, who: Annotated[Principal, caller(Action.READ_QUEUE)]) -> Response:
    """Show how far a batch is, and how its items ended."""
    if not _BATCH_ID.fullmatch(batch_id):
        raise _no_such_batch()
    try:
        view = await look(backend_of(request).client, BatchKey(tenant=who.tenant, batch_id=batch_id))
    except NotFound:
        raise _no_such_batch() from None
    standing = view.standing
    return json_response(
        BatchProgress.model_validate(
            {
                **view.batch.model_dump(),
                **standing.model_dump(include={"state", "begun", "in_flight", "ended", "waits_for"}),
                "done": standing.done,
                "waiting": view.waiting,
                "live": view.live,
            }
        )
    )


def _no_such_batch() -> NotFound:
    return NotFound("there is no such batch", remedy="GET /v1/batches lists those of your tenant")
