"""Signing in with an API key or a token, and signing out."""

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import Forbidden, InvalidRequest, Unauthenticated
from starters.console.forms import read_fields
from starters.console.page import SIGN_IN, go, render, signed_in
from starters.console.visit import HOME, SignedOut, Visit, check_form, check_origin, forget, keep, visit_of
from starters.gateway.reviews import backend_of

MAX_FORM = 16_384


def _next(path: str) -> str:
    """Where to go after signing in: a page of the console, whatever a link may say."""
    fine = path.startswith(f"{HOME}/") and path.isascii() and path.isprintable() and "\\" not in path
    return path if fine and "//" not in path and not path.startswith(SIGN_IN) else HOME


async def sign_in_page(request: Request) -> Response:
    """The form, or for who is signed in already, where they wanted to go."""
    there = _next(request.query_params.get("next", ""))
    try:
        await visit_of(request)
    except (SignedOut, Forbidden):
        return render(request, "sign_in.html", None, next=there, problem="", sign_in=SIGN_IN)
    return go(there)


async def sign_in(request: Request) -> Response:
    """Take the credentials, once, and give a session for them. A wrong key is told apart from nothing else."""
    check_origin(request)
    fields = await read_fields(request, limit=MAX_FORM)
    backend = backend_of(request)
    there = _next(fields.get("next", ""))
    given = fields.get("credentials", "")
    credentials = given.removeprefix("Bearer ").strip()
    try:
        sessions = (await backend.services()).sessions
        session = sessions.begin(credentials)
        await backend.authenticate(f"Bearer {credentials}")
    except (Unauthenticated, InvalidRequest, Forbidden) as error:
        problem = {
            Unauthenticated: "That key or token is not valid here, or no longer.",
            Forbidden: "You are known here, but have been given no role.",
        }.get(type(error), "That is no key or token.")
        return render(request, "sign_in.html", None, status=401, next=there, problem=problem, sign_in=SIGN_IN)
    response = go(there)
    keep(response, request, sessions, session)
    return response


@signed_in()
async def sign_out(request: Request, visit: Visit) -> Response:
    """End the session, here and for every copy of it."""
    check_form(request, visit, (await read_fields(request, limit=MAX_FORM)).get("csrf", ""))
    await visit.sessions.end(visit.session)
    response = go(SIGN_IN)
    forget(response)
    # The browser's own memory of this site goes too: pages kept for the back button, drafts.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


@signed_in()
async def home(request: Request, visit: Visit) -> Response:
    """The page that this person needs first."""
    return go(f"{HOME}/queue" if visit.may(Action.READ_QUEUE) else f"{HOME}/reviews")


async def root(request: Request) -> Response:
    """What a browser gets that was given no path. Programs are told that there is nothing here."""
    from starters.gateway.problems import NoSuchPath

    if "text/html" in request.headers.get("accept", ""):
        return go(HOME)
    raise NoSuchPath("there is no such endpoint", remedy="GET /openapi.json lists them")
