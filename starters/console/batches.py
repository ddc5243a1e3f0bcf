"""Batches and reruns in the browser: how far they are, what came of them, and pausing, resuming, cancelling them."""

import asyncio
import json
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action, require, sees_only_own
from countersign.batch import report as reports
from countersign.batch.compare import Comparison
from countersign.batch.compare_page import comparison_page, sentences
from countersign.batch.payloads import BatchKey, BatchKind, BatchState
from countersign.batch.report_page import report_page, worth_lines
from countersign.errors import CountersignError, DecisionRefused, InvalidRequest, ServiceUnavailable
from starters import batch_reports
from starters import batches as work
from starters.console.page import HEADERS, go, render, signed_in
from starters.console.views import batches as views
from starters.console.visit import HOME, Visit, form_of
from starters.gateway.problems import NoSuchPath, kind_of, person_words
from starters.gateway.reviews import backend_of

ROWS = 100
WRONG_ROWS = 200
FLIPS = 15
COMMANDS = ("pause", "resume", "cancel")
KINDS = {"html": "text/html", "csv": "text/csv", "json": "application/json"}
DOWNLOAD_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"


def _key(request: Request, visit: Visit) -> BatchKey:
    return BatchKey(tenant=visit.who.tenant, batch_id=request.path_params["batch_id"])


def _knows_contents(visit: Visit) -> bool:
    """Whether they may know how files are called and what was found in them."""
    return visit.may(Action.READ_REVIEW) and not sees_only_own(visit.who, Action.READ_REVIEW)


@signed_in(Action.READ_BATCHES)
async def batches(request: Request, visit: Visit) -> Response:
    """The tenant's batches, newest first."""
    services = await backend_of(request).services()
    now = datetime.now(UTC)
    rows = await services.batches.newest(visit.who.tenant, ROWS)
    progress = await services.batch_results.progress(
        visit.who.tenant, [row.batch_id for row in rows], now - views.LATELY
    )
    lines = [views.line_of(row, progress.get(row.batch_id), now) for row in rows]
    return render(request, "batches.html", visit, lines=lines, full=len(lines) == ROWS)


@signed_in(Action.READ_BATCHES)
async def batch(request: Request, visit: Visit) -> Response:
    """One batch."""
    try:
        views.baseline_of(request.query_params)
    except InvalidRequest as error:
        return await _show(request, visit, error)
    return await _show(request, visit)


@signed_in(Action.MANAGE_BATCHES)
async def command(request: Request, visit: Visit) -> Response:
    """Pause, resume or cancel."""
    fields = await form_of(request, visit)
    what, key = fields.get("do", ""), _key(request, visit)
    if what not in COMMANDS:
        raise InvalidRequest("do: is none of pause, resume, cancel", remedy="Press one of the buttons of the page")
    try:
        await work.command(backend_of(request).client, key, what)
    except (DecisionRefused, ServiceUnavailable) as error:
        return await _show(request, visit, error)
    return go(f"{HOME}/batches/{key.batch_id}")


async def _show(request: Request, visit: Visit, error: CountersignError | None = None) -> Response:
    """The page; with an error, why something was not done, beside what was typed."""
    backend, key, now = backend_of(request), _key(request, visit), datetime.now(UTC)
    view = await work.look(backend.client, key)
    results = (await backend.services()).batch_results
    progress = await results.progress(key.tenant, [key.batch_id], now - views.LATELY)
    row = view.batch.model_copy(update={"waits_for": view.standing.waits_for})
    line = views.line_of(row, progress.get(key.batch_id), now, view.standing.state)
    wrong: tuple[views.WrongItem, ...] = ()
    told: list[str] = []
    comparison: Comparison | None = None
    arm = ""
    if _knows_contents(visit):
        wrong = views.wrong_of(await results.of(key, ended=views.WRONG, limit=WRONG_ROWS))
        # The whole of it is opened and counted for this: once there is something to tell, or somebody asks.
        if line.is_over or request.query_params.get("report"):
            if line.is_rerun:
                again = await batch_reports.compared(backend.client, key)
                arm, comparison, told = again.arm, again.comparison, sentences(again.comparison)
            else:
                given = {} if error is not None else views.baseline_of(request.query_params)
                told = worth_lines((await batch_reports.reported(backend.client, key, given)).report)
    detail, remedy = person_words(error) if error is not None else ("", "")
    return render(
        request,
        "batch.html",
        visit,
        status=200 if error is None else kind_of(error).status,
        line=line,
        live=view.live,
        in_flight=view.standing.in_flight,
        failure=view.standing.failure,
        window=row.window_size,
        actions=_actions(view.standing.state) if visit.may(Action.MANAGE_BATCHES) else (),
        knows_contents=_knows_contents(visit),
        wrong=wrong,
        wrong_full=len(wrong) == WRONG_ROWS,
        told=told,
        arm=arm,
        comparison=comparison,
        flips_shown=FLIPS,
        baseline=views.BASELINE,
        asked={name: request.query_params.get(name, "") for name in views.BASELINE},
        query=request.url.query if error is None else "",
        detail=detail,
        remedy=remedy,
    )


def _actions(state: BatchState) -> tuple[str, ...]:
    """What can be done with a batch that stands so."""
    match state:
        case BatchState.READY | BatchState.RUNNING:
            return ("pause", "cancel")
        case BatchState.PAUSED:
            return ("resume", "cancel")
        case _:
            return ()


@signed_in(Action.READ_BATCHES)
async def download(request: Request, visit: Visit) -> Response:
    """The report as the command line writes it: a page, CSV or JSON. Of a rerun there is no CSV."""
    require(visit.who, Action.READ_REVIEW)
    if not _knows_contents(visit):
        raise NoSuchPath("there is no such report", remedy="A report takes a role that reads all reviews")
    client, key, kind = backend_of(request).client, _key(request, visit), request.path_params["kind"]
    row = await (await client.services()).batches.row(key)
    if kind not in KINDS or (row.kind, kind) == (BatchKind.RERUN, "csv"):
        raise NoSuchPath("there is no such report", remedy="Choose one on the page of the batch")
    if row.kind is BatchKind.RERUN:
        again = await batch_reports.compared(client, key)
        if kind == "html":
            text = comparison_page(again.comparison, again.arm, key.batch_id)
        else:
            text = json.dumps(batch_reports.comparison_json(key, again), indent=2)
    else:
        done = await batch_reports.reported(client, key, views.baseline_of(request.query_params))
        text = await asyncio.to_thread(_written, done, kind)
    name = f"{'rerun' if row.kind is BatchKind.RERUN else 'batch'}-{key.batch_id}.{kind}"
    headers = {
        **HEADERS,
        "Content-Security-Policy": DOWNLOAD_POLICY,
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return Response(text.encode("utf-8", "replace"), headers=headers, media_type=KINDS[kind])


def _written(done: batch_reports.Reported, kind: str) -> str:
    match kind:
        case "html":
            return report_page(done.report, done.results, done.batch.playbook)
        case "csv":
            return reports.as_csv(done.results)
        case _:
            return json.dumps(reports.as_json(done.report, done.results), indent=2)
