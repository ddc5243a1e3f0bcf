"""The application: endpoints, errors as problems, and the layer around it all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from countersign.errors import CountersignError, InvalidRequest
from countersign.settings import Settings
from starters.console import routes as console
from starters.gateway import batches, events, health, openapi, reviews, submitting
from starters.gateway.backend import Backend
from starters.gateway.edge import Edge, request_id_of
from starters.gateway.metrics import Metrics
from starters.gateway.problems import MethodNotAllowed, NoSuchPath, Unexpected, problem_response

DESCRIPTION = """\
Contracts in, decisions out. Every request but the health checks carries `Authorization: Bearer`, an API key or a token
of the configured issuer, and sees only its own tenant. Errors are problem details (RFC 9457) with stable types.
`POST /v1/reviews` answers 202 once the review is durably accepted; repeat it with the same `Idempotency-Key` whenever
in doubt. 429 and 503 say in `Retry-After` when it is worth asking again.
"""


def build_app(settings: Settings, backend: Backend | None = None) -> FastAPI:
    """The application. It opens its own backend when it starts, unless it is given one."""
    metrics = backend.metrics if backend is not None else Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if backend is not None:
            yield
            return
        async with Backend.open(settings, metrics) as opened:
            app.state.backend = opened
            yield

    app = FastAPI(
        title="Countersign",
        version=version("countersign"),
        description=DESCRIPTION,
        lifespan=lifespan,
        # FastAPI's documentation pages load scripts of third parties; its own redirects repeat the Host header.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            CountersignError: _expected,
            HTTPException: _http,
            RequestValidationError: _invalid,
        },
    )
    app.add_middleware(Edge, metrics=metrics)
    app.state.streams = events.Streams()
    app.state.backend = backend
    for module in (submitting, reviews, batches, events, health):
        # One flat table: found in one pass, and to be walked by who wants to know every endpoint.
        app.router.routes.extend(module.router.routes)
    app.router.routes.extend(console.routes())

    @app.get("/openapi.json", include_in_schema=False)
    async def document() -> JSONResponse:
        return JSONResponse(openapi.document(app))

    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # as FastAPI's documentation has it
    return app


async def _expected(request: Request, error: Any) -> Response:
    return problem_response(error, request_id_of(request.scope))


async def _http(request: Request, error: Any) -> Response:
    """What the router has to say."""
    problem: CountersignError
    if error.status_code == 404:
        problem = NoSuchPath("there is no such endpoint", remedy="GET /openapi.json lists them")
    elif error.status_code == 405:
        problem = MethodNotAllowed("the endpoint does not take this method", remedy="GET /openapi.json lists them")
    else:
        problem = Unexpected("unexpected")
    answer = problem_response(problem, request_id_of(request.scope))
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    """What the endpoints of this path take; the router itself names only the first one's."""
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in matching for method in getattr(route, "methods", None) or ()}


async def _invalid(request: Request, error: Any) -> Response:
    """A parameter that does not validate: its name and what is wrong, never its value."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    problem = InvalidRequest(f"{where}: {first['msg']}", remedy="GET /openapi.json lists the parameters")
    return problem_response(problem, request_id_of(request.scope))
