"""For those who run it: is the process alive, can it take reviews in, what does Prometheus want to know."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from starters.gateway.answers import Health, json_response
from starters.gateway.metrics import CONTENT_TYPE
from starters.gateway.openapi import operation_id, problems
from starters.gateway.reviews import authenticated, backend_of

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


async def scraper(request: Request) -> str | None:
    """The tenant whose series are to be shown; None for all, to who has the token of the machine's own Prometheus."""
    given = request.headers.getlist("authorization")
    token = backend_of(request).settings.metrics_token
    if token is not None and len(given) == 1:
        expected = f"Bearer {token.get_secret_value()}"
        if hmac.compare_digest(given[0].encode(), expected.encode()):
            return None
    return (await authenticated(request, Action.READ_METRICS)).tenant


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 403, 503)},
)
async def metrics(request: Request, tenant: Annotated[str | None, Depends(scraper)]) -> Response:
    """Counters and gauges for Prometheus, which sends a key in `authorization: {credentials_file: …}`.

    Series of a tenant are shown to its own keys; with the gateway's `COUNTERSIGN_METRICS_TOKEN` all of them.
    """
    backend = backend_of(request)
    kept = backend.metrics
    services = await backend.services()
    standing = await services.door.standing()
    circuits = await services.circuits.standing()
    # From here to the text nothing is waited for: the gauges are this scrape's alone.
    kept.streams.set(request.app.state.streams.open)
    kept.body_bytes.set(backend.incoming.held)
    for gauge, counts in ((kept.waiting, standing.waiting), (kept.in_flight, standing.in_flight)):
        gauge.clear()
        for name, count in counts.items():
            if tenant in (None, name):
                gauge.labels(services.pseudonyms.of("tenant", name)).set(count)
    kept.rate.set(standing.rate)
    kept.degraded.set(standing.degraded)
    kept.circuits.show(circuits, degraded=services.circuits.degraded)
    return Response(kept.exposition(), media_type=CONTENT_TYPE)
