"""Making pages: templates that escape everything, headers that let a page do nothing it need not, errors in words."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from countersign.access.permissions import Action, require
from countersign.errors import CountersignError
from starters.console.assets import address_of
from starters.console.views import clock, words
from starters.console.views.menu import menu_of
from starters.console.visit import HOME, SignedOut, Visit, forget, keep, visit_of
from starters.gateway.edge import request_id_of
from starters.gateway.problems import SERVER_RETRY_S, kind_of, person_words

SIGN_IN = f"{HOME}/sign-in"
HEADERS = {
    # Scripts and styles are files of ours; nothing inline, nothing from elsewhere, no text that becomes markup.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    # Not none at all: browsers then leave out the Origin of a form as well, by which we know our own.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "X-Frame-Options": "DENY",
}

Handler = Callable[[Request, Visit], Awaitable[Response]]

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates"), encoding="utf-8"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_templates.globals.update(asset=address_of, home=HOME)
_templates.filters.update(
    moment=clock.moment,
    iso=clock.iso,
    money=words.money,
    human=words.human,
    named=words.name_of,
    count=words.count,
    visible=words.visible,
)


def render(request: Request, template: str, visit: Visit | None, *, status: int = 200, **given: Any) -> Response:
    """A page. `given` is what its template names, view models and numbers."""
    menu = menu_of(visit.may, request.url.path, HOME) if visit is not None else None
    text = _templates.get_template(template).render(visit=visit, menu=menu, now=datetime.now(UTC), **given)
    return HTMLResponse(text, status, headers=HEADERS)


def go(path: str) -> Response:
    """Have the browser ask for another page, with GET."""
    return RedirectResponse(path, 303, headers=HEADERS)


def signed_in(action: Action | None = None) -> Callable[[Handler], Callable[[Request], Awaitable[Response]]]:
    """A page for people who are signed in and may do `action`. Everything expected that goes wrong becomes a page."""

    def wrap(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            visit: Visit | None = None
            try:
                visit = await visit_of(request)
                if action is not None:
                    require(visit.who, action)
                response = await handler(request, visit)
            except SignedOut:
                return _to_sign_in(request)
            except CountersignError as error:
                response = failed(request, error, visit)
            if visit is not None and "set-cookie" not in response.headers:
                renewed = visit.sessions.renewed(visit.session)
                # A stream asks by itself; only a person who asks keeps a session going.
                if renewed is not None and "text/html" in request.headers.get("accept", ""):
                    keep(response, request, visit.sessions, renewed)
            return response

        return endpoint

    return wrap


def anyone(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """A page for everybody, with errors as pages."""

    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request)
        except CountersignError as error:
            return failed(request, error, None)

    return endpoint


def failed(request: Request, error: CountersignError, visit: Visit | None) -> Response:
    """What went wrong, in the words and with the status that the API has for it."""
    kind = kind_of(error)
    detail, remedy = person_words(error)
    answer = render(
        request,
        "error.html",
        visit,
        status=kind.status,
        title=kind.title,
        detail=detail,
        remedy=remedy,
        request_id=request_id_of(request.scope),
    )
    if kind.status in (429, 503):
        answer.headers["Retry-After"] = str(max(1, round(getattr(error, "retry_after_s", SERVER_RETRY_S))))
    return answer


def _to_sign_in(request: Request) -> Response:
    # With the query: a queue's filters are part of where somebody wanted to go.
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET":
        return render(request, "lapsed.html", None, status=401, sign_in=SIGN_IN)
    if "text/html" not in request.headers.get("accept", ""):
        return Response(status_code=401, headers=HEADERS)
    if request.headers.get("sec-fetch-site") == "cross-site":
        # A link in a mail: the browser kept the cookie to itself. Asked by a page of ours, it sends it.
        return render(request, "resume.html", None, to=path)
    there = "" if request.url.path == HOME else f"?next={quote(path)}"
    answer = go(SIGN_IN + there)
    forget(answer)
    return answer
