"""Who is notified of what, in the browser: subscriptions, how they do, and trying again what was given up."""

import secrets

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import CountersignError, InvalidRequest, NotFound, ServiceUnavailable
from countersign.store.subscriptions import Subscription
from starters.console.forms import Fields
from starters.console.page import go, render, signed_in
from starters.console.views import notifications as views
from starters.console.visit import HOME, Visit, form_of
from starters.gateway.problems import kind_of, person_words
from starters.gateway.reviews import backend_of, derived_id
from starters.notifying import send_test

PAGE = f"{HOME}/notifications"
DONE = {
    "tested": "The test was delivered.",
    "retried": "What was given up is tried again.",
    "removed": "They are told no more. What still waited is not sent.",
    "added": "They are told from now on.",
}


@signed_in(Action.READ_SUBSCRIPTIONS)
async def notifications(request: Request, visit: Visit) -> Response:
    """The tenant's subscriptions and how each does."""
    return await _show(request, visit)


@signed_in(Action.MANAGE_SUBSCRIPTIONS)
async def act(request: Request, visit: Visit) -> Response:
    """Add a subscription, or test, retry or remove one."""
    fields = await form_of(request, visit)
    typed = views.Typed.of(fields) if fields.get("do") == "add" else views.NOTHING
    try:
        return await _act(request, visit, fields, typed)
    except (InvalidRequest, NotFound, ServiceUnavailable) as error:
        return await _show(request, visit, typed, error, once=fields.get("once", ""))


async def _act(request: Request, visit: Visit, fields: Fields, typed: views.Typed) -> Response:
    backend, tenant, number = backend_of(request), visit.who.tenant, fields.get("id", "")
    book = (await backend.services()).subscriptions
    match fields.get("do"):
        case "add":
            made = await book.add(
                tenant,
                typed.target,
                typed.by,
                typed.address,
                events=typed.events,
                private=backend.settings.private_webhooks,
                # Sent twice by an impatient finger, it is one; and its secret is not lost with the first answer.
                once=derived_id(visit.who, "subscription", fields.get("once") or secrets.token_hex(8)),
            )
            if made.channel == "webhook":
                return await _show(request, visit, made=made)
            return go(f"{PAGE}?done=added")
        case "test":
            await send_test(backend.client, tenant, number)
            return go(f"{PAGE}?done=tested")
        case "retry":
            await book.get(tenant, number)
            await book.revive(tenant, number)
            return go(f"{PAGE}?done=retried")
        case "remove":
            await book.remove(tenant, number)
            return go(f"{PAGE}?done=removed")
        case _:
            raise InvalidRequest("do: is none of this page's", remedy="Press one of its buttons")


async def _show(  # noqa: PLR0913 - one parameter for everything that can have happened
    request: Request,
    visit: Visit,
    typed: views.Typed = views.NOTHING,
    error: CountersignError | None = None,
    *,
    made: Subscription | None = None,
    once: str = "",
) -> Response:
    book = (await backend_of(request).services()).subscriptions
    tenant = visit.who.tenant
    detail, remedy = person_words(error) if error is not None else ("", "")
    return render(
        request,
        "notifications.html",
        visit,
        status=200 if error is None else kind_of(error).status,
        rows=views.subscriptions_of(await book.of(tenant), await book.standings(tenant)),
        typed=typed,
        events=views.EVENTS,
        channels=views.CHANNEL_WORDS,
        whom=views.WHOM,
        made=made,
        once=once or secrets.token_hex(16),
        done="" if error is not None else DONE.get(request.query_params.get("done", ""), ""),
        open=error is not None and typed != views.NOTHING,
        detail=detail,
        remedy=remedy,
    )
