"""Signing several reviews at once: the same preview as `countersign bulk approve`, then exactly what it showed."""

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import InvalidRequest
from countersign.playbook.load import list_playbooks
from countersign.review.bulk import MOST
from countersign.words import Severity
from starters.bulk import Signed, Wanted, preview, sign
from starters.console.acting import MAX_TEXT
from starters.console.forms import Fields
from starters.console.page import render, signed_in
from starters.console.views.words import visible
from starters.console.visit import Visit, form_of
from starters.gateway.backend import Backend
from starters.gateway.reviews import backend_of, derived_id

CHANGED = "Since you looked, something has changed: this is what would be signed now. Nothing was signed."


@signed_in(Action.DECIDE)
async def preview_page(request: Request, visit: Visit) -> Response:
    """What would be signed together, and what not and why; or, before anything was chosen, the choice."""
    backend = backend_of(request)
    asked = request.query_params
    wanted = _wanted(backend, visit, {name: asked.get(name, "") for name in ("playbook", "severity", "clause")})
    return await _page(request, visit, wanted)


@signed_in(Action.DECIDE)
async def sign_these(request: Request, visit: Visit) -> Response:
    """Sign exactly what was shown; where that is not what would be signed now, nothing."""
    backend = backend_of(request)
    fields = await form_of(request, visit)
    wanted, note, only = _wanted(backend, visit, fields), fields.get("note", ""), fields.get("only", "")
    if wanted is None or not only or len(note) > MAX_TEXT:
        raise InvalidRequest("bulk: names nothing that was shown", remedy="Load the page again")
    shown = await preview(backend.client, wanted)
    if shown.digest != only:
        return await _page(request, visit, wanted, problem=CHANGED, note=note, status=409)
    signed = await sign(backend.client, wanted, shown, note, lambda review: derived_id(visit.who, "bulk", review, only))
    return await _page(request, visit, wanted, signed=signed)


def _wanted(backend: Backend, visit: Visit, fields: Fields) -> Wanted | None:
    """What a form asks for; None where it names no playbook or bound of ours."""
    playbook, severity = fields.get("playbook", ""), fields.get("severity", "")
    if playbook not in list_playbooks(backend.settings.playbooks) or severity not in list(MOST):
        return None
    clause = fields.get("clause", "").strip().lower().replace(" ", "_").replace("-", "_")[:48]
    return Wanted(visit.who.tenant, visit.who.user, playbook, Severity(severity), clause or None)


async def _page(  # noqa: PLR0913 - all of this is on the page
    request: Request,
    visit: Visit,
    wanted: Wanted | None,
    *,
    signed: tuple[Signed, ...] = (),
    problem: str = "",
    note: str = "",
    status: int = 200,
) -> Response:
    backend = backend_of(request)
    return render(
        request,
        "bulk.html",
        visit,
        status=status,
        wanted=wanted,
        shown=None if wanted is None or signed else await preview(backend.client, wanted),
        signed=[(one.review_id, one.outcome, visible(one.why)) for one in signed],
        problem=problem,
        note=note,
        playbooks=list_playbooks(backend.settings.playbooks),
        severities=MOST,
    )
