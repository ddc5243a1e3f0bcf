"""What is on record beside single reviews: costs, limits and the trail."""

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from starters.console.page import render, signed_in
from starters.console.views import records, standing
from starters.console.views.circuits import circuits_of
from starters.console.visit import Visit
from starters.gateway.reviews import backend_of

TRAIL_ROWS = 200
CHANGES = 50


@signed_in(Action.READ_CIRCUITS)
async def circuits(request: Request, visit: Visit) -> Response:
    """Which models and tools may be called now, and why not."""
    kept = (await backend_of(request).services()).circuits
    rows = await kept.standing()
    return render(request, "circuits.html", visit, circuits=circuits_of(rows), degraded=kept.degraded)


@signed_in(Action.READ_COSTS)
async def costs(request: Request, visit: Visit) -> Response:
    """Tokens and money by agent and model."""
    span = request.query_params.get("since", "30")
    since = records.SPANS.get(span)
    rows = await (await backend_of(request).services()).ledger.costs(
        tenant=visit.who.tenant, since=None if since is None else datetime.now(UTC) - timedelta(days=since)
    )
    return render(request, "costs.html", visit, costs=records.costs_of(rows), span=span, spans=records.SPAN_WORDS)


@signed_in(Action.READ_LIMITS)
async def limits(request: Request, visit: Visit) -> Response:
    """What holds at the door for this tenant, who set it, and what was changed."""
    book = (await backend_of(request).services()).limits
    tenant = visit.who.tenant
    in_force = await book.explain(tenant)
    changes = await book.history(tenant, limit=CHANGES)
    return render(
        request, "limits.html", visit, limits=records.limits_of(in_force), changes=records.changes_of(changes)
    )


@signed_in(Action.READ_TRAIL)
async def trail(request: Request, visit: Visit) -> Response:
    """The tenant's audit trail, searched."""
    wanted = records.TrailSearch.of(request.query_params, datetime.now(UTC))
    rows = await (await backend_of(request).services()).trail.find(
        visit.who.tenant,
        review_id=wanted.review or None,
        event=wanted.event or None,
        person=wanted.person or None,
        since=wanted.since,
        limit=TRAIL_ROWS,
    )
    return render(
        request,
        "trail.html",
        visit,
        rows=list(zip(rows, standing.steps_of(rows), strict=True)),
        wanted=wanted,
        full=len(rows) == TRAIL_ROWS,
        events=records.EVENTS,
        spans=records.SPAN_WORDS,
    )
