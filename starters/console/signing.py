"""Signing in with an API key or a token that is typed, and signing out however one came."""

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import Forbidden, InvalidRequest, Unauthenticated
from starters.console.by_issuer import sign_out_there
from starters.console.door import door, there_of
from starters.console.forms import read_fields
from starters.console.page import SIGN_IN, go, signed_in
from starters.console.visit import HOME, SignedOut, Visit, check_origin, forget, form_of, keep, visit_of
from starters.gateway.reviews import backend_of

MAX_FORM = 16_384


async def sign_in_page(request: Request) -> Response:
    """The form, or for who is signed in already, where they wanted to go."""
    there = there_of(request.query_params.get("next", ""))
    try:
        await visit_of(request)
    except (SignedOut, Forbidden):
        return await door(request, there)
    return go(there)


async def sign_in(request: Request) -> Response:
    """Take the credentials, once, and give a session for them. A wrong key is told apart from nothing else."""
    check_origin(request)
    fields = await read_fields(request, limit=MAX_FORM)
    backend = backend_of(request)
    there = there_of(fields.get("next", ""))
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
        return await door(request, there, status=401, problem=problem)
    response = go(there)
    keep(response, request, sessions, session)
    return response


@signed_in()
async def sign_out(request: Request, visit: Visit) -> Response:
    """End the session, here and for every copy of it, and at the issuer that gave it, if it offers that."""
    await form_of(request, visit, limit=MAX_FORM)
    await visit.sessions.end(visit.session)
    response = await sign_out_there(request, visit.session) or go(SIGN_IN)
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
