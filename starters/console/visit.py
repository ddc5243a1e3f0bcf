"""Who is looking: from the cookie to a person, and whether what they send came from a page of ours."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action, allowed
from countersign.access.principal import Principal
from countersign.access.sessions import LONGEST_S, Session, Sessions
from countersign.errors import Forbidden, Unauthenticated
from starters.console.forms import Fields, read_fields
from starters.gateway.bodies import MAX_ACTION_JSON
from starters.gateway.reviews import backend_of

HOME = "/console"
PLAIN, SECURE = "countersign", "__Host-countersign"
"""The cookie's name without TLS and with it; the browser lets no other host and no plain page set the second one."""


class SignedOut(Exception):
    """There is no session, or none that still counts."""


@dataclass(frozen=True)
class Visit:
    """One request of a person who is signed in."""

    who: Principal
    session: Session
    sessions: Sessions

    def may(self, action: str) -> bool:
        """Whether their roles allow this, by the one table."""
        return allowed(self.who, Action(action))

    @property
    def form_token(self) -> str:
        """What their forms carry."""
        return self.sessions.form_token(self.session)


async def visit_of(request: Request) -> Visit:
    """Who asks. Raises `SignedOut`, and what the authenticator raises."""
    value = request.cookies.get(SECURE) or request.cookies.get(PLAIN) or ""
    backend = backend_of(request)
    sessions = (await backend.services()).sessions
    session = sessions.open(value)
    if session is None or await sessions.has_ended(session):
        raise SignedOut
    try:
        who = await backend.person_of(session)
    except Unauthenticated:
        raise SignedOut from None
    return Visit(who, session, sessions)


def keep(
    response: Response, request: Request, sessions: Sessions, session: Session, *, secure: bool | None = None
) -> None:
    """Have the browser keep the session: out of reach of scripts and of other sites, and with TLS of plain pages.

    `secure` where it is known whether the browser talks TLS.
    """
    secure = is_secure(request) if secure is None else secure
    response.set_cookie(
        SECURE if secure else PLAIN,
        sessions.seal(session),
        max_age=int(session.began + LONGEST_S - session.seen),
        path="/" if secure else HOME,
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def forget(response: Response) -> None:
    """Have the browser forget the session."""
    response.delete_cookie(SECURE, path="/", secure=True, httponly=True, samesite="strict")
    response.delete_cookie(PLAIN, path=HOME, httponly=True, samesite="strict")


def is_secure(request: Request) -> bool:
    """Whether the browser talks TLS, to us or a proxy in front. Who lies here only makes their own cookie useless."""
    origin = request.headers.get("origin", "")
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    # Only a page with TLS could set the cookie of that name; a GET names no origin.
    kept = SECURE in request.cookies
    return kept or request.url.scheme == "https" or origin.startswith("https:") or forwarded == "https"


def check_origin(request: Request) -> None:
    """Raises `Forbidden` unless the browser says that a page of ours sends this.

    Sec-Fetch-Site is believed first: no script can set it, and no proxy rewrites it. Browsers leave it out where there
    is neither TLS nor loopback; there Origin must name the host that was asked.
    """
    site = request.headers.get("sec-fetch-site")
    if site is None:
        try:
            ours = urlsplit(request.headers.get("origin", "")).netloc == request.headers.get("host", "") != ""
        except ValueError:
            ours = False
    else:
        ours = site == "same-origin"
    if not ours:
        raise Forbidden("this was not sent from a page of the console", remedy="Open the console, and do it there")


def check_form(request: Request, visit: Visit, token: str) -> None:
    """Raises `Forbidden` unless the form was given out to this very session, and is sent from a page of ours."""
    check_origin(request)
    if not visit.sessions.is_form_token(visit.session, token):
        raise Forbidden(
            "the form is of another session than the one you are signed in with",
            remedy="Go back, load the page again, and repeat it",
        )


async def form_of(request: Request, visit: Visit, *, limit: int = MAX_ACTION_JSON) -> Fields:
    """The fields of a form that was given out to this very session. Raises as `read_fields` and `check_form` do."""
    fields = await read_fields(request, limit=limit)
    check_form(request, visit, fields.get("csrf", ""))
    return fields
