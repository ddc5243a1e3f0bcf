"""Shadow runs: the agents beside people, with nothing released."""

import json

from markupsafe import Markup
from pydantic_core import to_jsonable_python
from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.shadow import sections
from countersign.shadow.page import page
from countersign.words import Mode
from starters.console.page import HEADERS, render, signed_in
from starters.console.views import lists
from starters.console.views.shadow import runs_of
from starters.console.visit import HOME, Visit
from starters.gateway.problems import NoSuchPath
from starters.gateway.reviews import backend_of
from starters.shadowing import Gathered, gather, gather_live

WAITING = 200


@signed_in(Action.READ_SHADOW)
async def runs(request: Request, visit: Visit) -> Response:
    """Runs, newest first, and shadow reviews that wait for somebody who judges blind."""
    services = await backend_of(request).services()
    rows = await services.shadow.runs(visit.who.tenant)
    waiting = [
        (row.review_id, lists.title_of(row), row.submitted_at)
        for row, status in await services.reviews.desk(tenant=visit.who.tenant, limit=WAITING)
        if status is not None and status.mode is Mode.SHADOW
    ]
    judged = await services.evidence.live_shadow(visit.who.tenant)
    return render(request, "shadow.html", visit, runs=runs_of(rows), waiting=waiting, judged=len(judged))


@signed_in(Action.READ_SHADOW)
async def run(request: Request, visit: Visit) -> Response:
    """A run's report within the console."""
    found = await _gathered(request, visit)
    target = backend_of(request).settings.target_error

    def link(contract: str) -> str | None:
        review_id = found.reviews.get(contract)
        return f"{HOME}/reviews/{review_id}" if review_id else None

    return render(
        request,
        "shadow_run.html",
        visit,
        run=found.report.title,
        live="run" not in request.path_params,
        lead=sections.lead(found.report),
        title=sections.TITLE,
        # Made by us, every word of others in it escaped.
        body=Markup(sections.body(found.report, target, link)),  # noqa: S704
    )


@signed_in(Action.READ_SHADOW)
async def download(request: Request, visit: Visit) -> Response:
    """The report as one self-contained page, or as JSON."""
    kind = request.path_params["kind"]
    if kind not in ("html", "json"):
        raise NoSuchPath("there is no such file", remedy="Take one of those that the report offers")
    found = (await _gathered(request, visit)).report
    if kind == "html":
        content, media = page(found, backend_of(request).settings.target_error), "text/html"
    else:
        content, media = json.dumps(to_jsonable_python(found.document()), indent=2), "application/json"
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="shadow-{found.title}.{kind}"'}
    return Response(content, media_type=media, headers=headers)


async def _gathered(request: Request, visit: Visit) -> Gathered:
    services = await backend_of(request).services()
    name = request.path_params.get("run")
    return await (gather(services, visit.who.tenant, name) if name else gather_live(services, visit.who.tenant))
