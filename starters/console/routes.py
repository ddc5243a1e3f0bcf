"""Every address of the console."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from countersign.access.redirect import CALLBACK
from starters.console import (
    acting,
    autonomy,
    batches,
    bulk,
    by_issuer,
    listing,
    live,
    memory,
    notifications,
    people,
    records,
    reviewing,
    shadow,
    signing,
    submitting,
)
from starters.console.assets import PREFIX, asset
from starters.console.door import BEGIN
from starters.console.page import SIGN_IN, anyone, signed_in
from starters.console.visit import HOME, Visit
from starters.gateway.problems import NoSuchPath


@signed_in()
async def _nothing_here(request: Request, visit: Visit) -> Response:
    raise NoSuchPath("there is no such page", remedy="Choose one from the menu")


def routes() -> list[Route]:
    """The console's routes, most of them pages; the last one answers for every other address below `/console`."""
    one = f"{HOME}/reviews/{{review_id}}"
    return [
        Route("/", signing.root, methods=["GET"]),
        Route(HOME, signing.home, methods=["GET"]),
        Route(f"{PREFIX}/{{version}}/{{name}}", anyone(asset), methods=["GET"]),
        Route(SIGN_IN, anyone(signing.sign_in_page), methods=["GET"]),
        Route(SIGN_IN, anyone(signing.sign_in), methods=["POST"]),
        Route(BEGIN, anyone(by_issuer.begin), methods=["GET"]),
        Route(CALLBACK, anyone(by_issuer.callback), methods=["GET"]),
        Route(f"{HOME}/sign-out", signing.sign_out, methods=["POST"]),
        Route(f"{HOME}/queue", listing.queue, methods=["GET"]),
        Route(f"{HOME}/queue/events", live.queue_events, methods=["GET"]),
        Route(f"{HOME}/bulk", bulk.preview_page, methods=["GET"]),
        Route(f"{HOME}/bulk", bulk.sign_these, methods=["POST"]),
        Route(f"{HOME}/submit", submitting.submit_page, methods=["GET"]),
        Route(f"{HOME}/submit", submitting.submit, methods=["POST"]),
        Route(f"{HOME}/reviews", listing.reviews, methods=["GET"]),
        Route(one, reviewing.review, methods=["GET"]),
        Route(f"{one}/events", live.review_events, methods=["GET"]),
        # Who loads the answer to a form once more, or comes back to it from signing in, wants the page.
        *(
            Route(f"{one}/{act}", acting.back, methods=["GET"])
            for act in ("claim", "view", "decision", "effect", "answer")
        ),
        Route(f"{one}/claim", acting.claim, methods=["POST"]),
        Route(f"{one}/view", acting.state_view, methods=["POST"]),
        Route(f"{one}/decision", acting.decide, methods=["POST"]),
        Route(f"{one}/effect", acting.effect, methods=["POST"]),
        Route(f"{one}/answer", acting.answer, methods=["POST"]),
        Route(f"{one}/why", autonomy.why, methods=["GET"]),
        Route(f"{HOME}/autonomy", autonomy.cells, methods=["GET"]),
        Route(f"{HOME}/autonomy/{{playbook}}/{{contract_type}}", autonomy.cell, methods=["GET"]),
        Route(f"{HOME}/autonomy/{{playbook}}/{{contract_type}}", autonomy.change, methods=["POST"]),
        Route(f"{HOME}/shadow", shadow.runs, methods=["GET"]),
        Route(f"{HOME}/shadow/live", shadow.run, methods=["GET"]),
        Route(f"{HOME}/shadow/live/report.{{kind}}", shadow.download, methods=["GET"]),
        Route(f"{HOME}/shadow/runs/{{run}}", shadow.run, methods=["GET"]),
        Route(f"{HOME}/shadow/runs/{{run}}/report.{{kind}}", shadow.download, methods=["GET"]),
        Route(f"{HOME}/circuits", records.circuits, methods=["GET"]),
        Route(f"{HOME}/costs", records.costs, methods=["GET"]),
        Route(f"{HOME}/limits", records.limits, methods=["GET"]),
        Route(f"{HOME}/trail", records.trail, methods=["GET"]),
        Route(f"{HOME}/memory", memory.memory, methods=["GET"]),
        Route(f"{HOME}/memory", memory.act, methods=["POST"]),
        Route(f"{HOME}/batches", batches.batches, methods=["GET"]),
        Route(f"{HOME}/batches/events", live.batches_events, methods=["GET"]),
        Route(f"{HOME}/batches/{{batch_id}}", batches.batch, methods=["GET"]),
        Route(f"{HOME}/batches/{{batch_id}}", batches.command, methods=["POST"]),
        Route(f"{HOME}/batches/{{batch_id}}/events", live.batches_events, methods=["GET"]),
        Route(f"{HOME}/batches/{{batch_id}}/report.{{kind}}", batches.download, methods=["GET"]),
        Route(f"{HOME}/people", people.people, methods=["GET"]),
        *(Route(f"{HOME}/people/{form}", people.back, methods=["GET"]) for form in ("groups", "absences")),
        Route(f"{HOME}/people/groups", people.groups, methods=["POST"]),
        Route(f"{HOME}/people/absences", people.absences, methods=["POST"]),
        Route(f"{HOME}/notifications", notifications.notifications, methods=["GET"]),
        Route(f"{HOME}/notifications", notifications.act, methods=["POST"]),
        Route(f"{HOME}/{{rest:path}}", _nothing_here, methods=["GET"]),
    ]
