"""For those who run it: is the process alive, can it take reviews in, what does Prometheus want to know."""

from typing import Annotated

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.access.principal import Principal
from starters.gateway.answers import Health, json_response
from starters.gateway.metrics import CONTENT_TYPE
from starters.gateway.openapi import operation_id, problems
from starters.gateway.reviews import backend_of, caller

router = APIRouter(generate_unique_id_function=operation_id)


@router.get("/healthz", response_model=Health)
async def healthz() -> Response:
    """Whether the process lives."""
    return json_response(Health(status="ok"))


@router.get(
    "/readyz",
    response_model=Health,
    responses={503: {"model": Health, "description": "Postgres does not answer: nothing can be taken in."}},
)
async def readyz(request: Request) -> Response:
    """Whether reviews can be taken in, which needs Postgres; `degraded` names what is away.

    Without `redis` the gateway admits by itself, without `temporal` or a `dispatcher` (of a worker) reviews wait.
    """
    backend = backend_of(request)
    if not backend.up["postgres"]:
        return json_response(Health(status="unavailable", degraded=backend.degraded), 503, {"Retry-After": "2"})
    return json_response(Health(status="ready", degraded=backend.degraded))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 403, 503)},
)
async def metrics(request: Request, who: Annotated[Principal, caller(Action.READ_METRICS)]) -> Response:
    """Counters and gauges for Prometheus, which sends a key in `authorization: {credentials_file: …}`."""
    backend = backend_of(request)
    kept = backend.metrics
    kept.streams.set(request.app.state.streams.open)
    kept.body_bytes.set(backend.incoming.held)
    services = await backend.services()
    standing = await services.door.standing()
    for gauge, counts in ((kept.waiting, standing.waiting), (kept.in_flight, standing.in_flight)):
        gauge.clear()
        for tenant, count in counts.items():
            gauge.labels(services.pseudonyms.of("tenant", tenant)).set(count)
    kept.rate.set(standing.rate)
    kept.degraded.set(standing.degraded)
    kept.circuits.show(await services.circuits.standing(), degraded=services.circuits.degraded)
    return Response(kept.exposition(), media_type=CONTENT_TYPE)
