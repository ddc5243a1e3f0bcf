"""The queue and the list of reviews."""

from datetime import UTC, datetime
from typing import cast, get_args

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action, sees_only_own
from countersign.words import Outcome, Severity
from starters.console.page import render, signed_in
from starters.console.views import lists, words
from starters.console.visit import Visit
from starters.gateway.reviews import backend_of

QUEUE_ROWS = 200
LIST_ROWS = 200


@signed_in(Action.READ_QUEUE)
async def queue(request: Request, visit: Visit) -> Response:
    """What waits for a reviewer, the most pressing first."""
    services = await backend_of(request).services()
    who, asked = visit.who, request.query_params
    seen: frozenset[str] = frozenset()
    if visit.may(Action.READ_REVIEW) and not sees_only_own(who, Action.READ_REVIEW):
        rows = await services.reviews.desk(tenant=who.tenant, limit=QUEUE_ROWS)
        seen = await services.marks.seen(who.tenant, who.user_hash, lists.digests_of(rows))
    else:
        rows = tuple((row, None) for row in await services.reviews.queue(tenant=who.tenant, limit=QUEUE_ROWS))
    waiting = len(rows)
    asking = await services.reviews.queue(tenant=who.tenant, waiting_for="requester", limit=QUEUE_ROWS)
    rows = (*rows, *((row, None) for row in asking))
    everything = lists.queue_of(rows, seen, who, datetime.now(UTC))
    show = asked.get("show", "all")
    filters = lists.Filters(
        show=cast("lists.Show", show) if show in get_args(lists.Show) else "all",
        playbook=asked.get("playbook", ""),
        severity=asked.get("severity", ""),
    )
    return render(
        request,
        "queue.html",
        visit,
        rows=lists.narrowed(everything, filters),
        total=waiting,
        full=waiting == QUEUE_ROWS,
        filters=filters,
        tabs=lists.SHOWN,
        counts=lists.counts(everything),
        playbooks=sorted({row.playbook for row in everything if row.playbook}),
        severities=tuple(reversed(Severity)),
        knows_claims=visit.may(Action.READ_REVIEW),
    )


@signed_in(Action.LIST_REVIEWS)
async def reviews(request: Request, visit: Visit) -> Response:
    """A person's own reviews, or with a role that reads all, those of the tenant."""
    services = await backend_of(request).services()
    own = sees_only_own(visit.who, Action.LIST_REVIEWS)
    given = request.query_params.get("outcome", "")
    outcome = Outcome(given) if given in list(Outcome) else None
    rows = await services.reviews.list(
        tenant=visit.who.tenant,
        outcome=outcome,
        limit=LIST_ROWS,
        user_hash=visit.who.user_hash if own or request.query_params.get("own") else None,
    )
    return render(
        request,
        "reviews.html",
        visit,
        rows=lists.list_of(rows),
        full=len(rows) == LIST_ROWS,
        own=own,
        only_own=bool(request.query_params.get("own")),
        outcome=outcome,
        outcomes=words.OUTCOMES,
    )
