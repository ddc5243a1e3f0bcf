"""What is remembered, in the browser: corrections and what is done to them, and passages of the knowledge base."""

import re

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import CountersignError, DecisionRefused, InvalidRequest, NotFound
from countersign.learning.lesson import Event
from countersign.learning.policy import State
from starters import corrections
from starters.console.page import go, render, signed_in
from starters.console.views import memory as views
from starters.console.visit import HOME, Visit, form_of
from starters.gateway.problems import kind_of, person_words
from starters.gateway.reviews import backend_of

PAGE = f"{HOME}/memory"
HITS = 10
_NUMBER = re.compile(r"[1-9][0-9]{0,15}")


@signed_in(Action.READ_MEMORY)
async def memory(request: Request, visit: Visit) -> Response:
    """Corrections with what each is worth now, and what a search of the knowledge base finds."""
    return await _show(request, visit)


@signed_in(Action.MANAGE_MEMORY)
async def act(request: Request, visit: Visit) -> Response:
    """Withdraw, restore or confirm a correction, for a reason."""
    fields = await form_of(request, visit)
    number, did = fields.get("number", ""), fields.get("do", "")
    if not _NUMBER.fullmatch(number) or did not in list(Event):
        raise InvalidRequest("correction: names none, or nothing to do with it", remedy="Load the page again")
    reason = fields.get("reason", "")
    try:
        await corrections.record(
            backend_of(request).client,
            int(number),
            Event(did),
            by=visit.who.user,
            reason=reason,
            tenant=visit.who.tenant,
        )
    except (InvalidRequest, NotFound, DecisionRefused) as error:
        return await _show(request, visit, error, typed=(int(number), reason))
    return go(f"{PAGE}#correction-{number}")


async def _show(
    request: Request, visit: Visit, error: CountersignError | None = None, *, typed: tuple[int, str] = (0, "")
) -> Response:
    backend, tenant = backend_of(request), visit.who.tenant
    services = await backend.services()
    query = request.query_params.get("q", "").strip()[:500]
    given = request.query_params.get("state", "")
    wanted = State(given) if error is None and given in list(State) else None
    found = await corrections.standings(backend.client, tenant)
    detail, remedy = person_words(error) if error is not None else ("", "")
    return render(
        request,
        "memory.html",
        visit,
        status=200 if error is None else kind_of(error).status,
        query=query,
        hits=views.hits_of(await services.knowledge.search(tenant, query, HITS) if query else ()),
        rows=views.corrections_of(found, wanted),
        counts=views.counts_of(found),
        total=len(found),
        wanted=wanted,
        states=views.STATES,
        acts=views.ACTS,
        why=views.WHY,
        typed=typed,
        detail=detail,
        remedy=remedy,
    )
