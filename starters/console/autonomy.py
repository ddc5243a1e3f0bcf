"""What each kind of contract may do without a person: the evidence, and signing for a level or taking it back."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action, require
from countersign.errors import DecisionRefused, InvalidRequest
from countersign.evidence.arms import CellKey
from countersign.words import Autonomy
from starters.autonomy import explanation_of
from starters.console.forms import Fields
from starters.console.page import go, render, signed_in
from starters.console.views import autonomy as views
from starters.console.views import why as reasons
from starters.console.visit import Visit, form_of
from starters.gateway.reviews import backend_of

MAX_REASON = 500
DONE = {"sign": "Signed: the level is in force for reviews that begin from now on", "demote": "Taken back, at once"}


@dataclass(frozen=True)
class Told:
    """Why something did not count, and what to do about it."""

    title: str
    text: str
    then: str = ""


@signed_in(Action.READ_AUTONOMY)
async def cells(request: Request, visit: Visit) -> Response:
    """Every cell of the tenant: those that wait for a signature first, then those with most evidence."""
    rows = await (await backend_of(request).services()).evidence.cells(visit.who.tenant)
    rows = tuple(sorted(rows, key=lambda row: (not row.proposed, -row.items)))
    bare = [row for row in rows if not row.items and not row.granted and row.autonomy is Autonomy.SUPERVISED]
    return render(
        request,
        "autonomy.html",
        visit,
        cells=[views.card_of(row) for row in rows if row not in bare],
        bare=[views.card_of(row) for row in bare],
        waiting=sum(row.proposed for row in rows),
    )


@signed_in(Action.READ_AUTONOMY)
async def cell(request: Request, visit: Visit) -> Response:
    """One cell with its evidence."""
    return await _show(request, visit)


@signed_in(Action.MANAGE_AUTONOMY)
async def change(request: Request, visit: Visit) -> Response:
    """Sign for the level that was shown as proposed, on the evidence that was shown; or take levels back."""
    fields = await form_of(request, visit)
    try:
        act = await _change(request, visit, fields)
    except DecisionRefused as refused:
        stale = refused.rule == "stale"
        title = "The evidence has changed" if stale else "This does not count"
        then = "It is shown below as it is now, and what you typed is kept" if stale else refused.remedy
        return await _show(request, visit, fields, Told(title, refused.message, then), 409)
    except InvalidRequest as error:
        return await _show(request, visit, fields, Told("This is not complete", error.message, error.remedy), 422)
    return go(f"{views.page_of(*_cell(request, visit)[1:])}?done={act}")


async def _change(request: Request, visit: Visit, fields: Fields) -> str:
    act, reason = fields.get("act", ""), fields.get("reason", "")
    if act not in DONE:
        raise InvalidRequest("nothing was chosen", remedy="Press one of the buttons")
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidRequest(f"reason: is not 1 to {MAX_REASON} characters", remedy="Say why, for the record")
    try:
        level = Autonomy(fields.get("level", ""))
    except ValueError:
        raise InvalidRequest("level: is none", remedy="Choose one of those on the page") from None
    book = (await backend_of(request).services()).evidence
    where, by_hash = _cell(request, visit), visit.who.user_hash
    if act == "sign":
        await book.approve(where, level, by_hash=by_hash, reason=reason, shown=fields.get("shown", ""))
    else:
        await book.demote(where, level, by_hash=by_hash, reason=reason)
    return act


async def _show(
    request: Request, visit: Visit, typed: Fields | None = None, told: Told | None = None, status: int = 200
) -> Response:
    found = await (await backend_of(request).services()).evidence.dossier(_cell(request, visit))
    return render(
        request,
        "cell.html",
        visit,
        status=status,
        cell=views.cell_page(found),
        typed={"act": "", "level": "", "reason": "", **(typed or {})},
        told=told,
        done=DONE.get(request.query_params.get("done", "")),
        max_reason=MAX_REASON,
    )


def _cell(request: Request, visit: Visit) -> CellKey:
    return CellKey(visit.who.tenant, request.path_params["playbook"], request.path_params["contract_type"])


@signed_in(Action.READ_AUTONOMY)
async def why(request: Request, visit: Visit) -> Response:
    """Why a review went where it went: what `countersign autonomy explain` says, in plain words."""
    require(visit.who, Action.READ_REVIEW)
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.READ_REVIEW)
    standing = await backend.standing(row, as_reviewer=False)
    found = await explanation_of((await backend.services()).evidence, standing.status)
    return render(request, "why.html", visit, why=reasons.why_of(found))
