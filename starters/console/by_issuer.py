"""Signing in at the OIDC issuer by redirect: off to it, back from it, and out of it again.

A link leads there and not a form, so that the policy of the pages (form-action 'self') stands as it is; and out of it
a page of ours that moves on by itself.
"""

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.redirect import FLOW_S, CodeFlow, SignInFailed, Why
from countersign.access.sessions import Session
from countersign.errors import Forbidden, InvalidRequest, NotFound, ServiceUnavailable
from starters.console.door import door, there_of
from starters.console.page import go, render
from starters.console.views.standing import Explanation
from starters.console.visit import HOME, keep
from starters.gateway.reviews import backend_of

PLAIN_FLOW, SECURE_FLOW = "countersign-sign-in", "__Host-countersign-sign-in"
"""The cookie of a sign-in under way, without TLS and with it."""

_AGAIN = "Start it again below"
_FAILED: dict[Why, tuple[int, Explanation]] = {
    "denied": (403, Explanation("Your organisation did not sign you in", "It was declined there.", _AGAIN)),
    "expired": (400, Explanation("That took too long", "A sign-in is good for ten minutes.", _AGAIN)),
    "other_browser": (
        400,
        Explanation(
            "This sign-in was not begun here",
            "It was begun in another browser or window, or is over already.",
            _AGAIN,
        ),
    ),
    "refused": (
        401,
        Explanation(
            "The answer of your organisation's sign-in does not hold",
            "It was used before, has run out, or was made for somebody or something else.",
            f"{_AGAIN}; if it happens again, tell whoever runs Countersign",
        ),
    ),
    "issuer": (
        502,
        Explanation(
            "Your organisation's sign-in reports a problem",
            "It did not say who you are.",
            f"{_AGAIN}; if it happens again, tell whoever runs Countersign",
        ),
    ),
}
_AWAY = Explanation(
    "Your organisation's sign-in does not answer",
    "Nothing is wrong with your account.",
    "Try again in a moment, or sign in with an API key",
)
_NO_ROLE = Explanation(
    "You are known, but have no role here",
    "Your organisation signed you in, and gave you nothing to do in Countersign.",
    "Ask whoever runs Countersign for a role",
)
_TOO_LARGE = Explanation(
    "Your organisation's answer is too large to keep",
    "Its ID token holds more than a cookie does.",
    "Have less put into it, or sign in with an API key",
)


async def begin(request: Request) -> Response:
    """Off to the issuer. Only from a page of ours: no other site begins a sign-in in somebody's name."""
    there = there_of(request.query_params.get("next", ""))
    flow = await _flow(request)
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return await door(request, there)
    try:
        url, kept = await flow.begin(there)
    except ServiceUnavailable:
        return await _told(request, there, 503, _AWAY)
    answer = go(url)
    answer.set_cookie(
        _cookie(flow),
        kept,
        max_age=int(FLOW_S),
        path="/",
        secure=_is_secure(flow),
        httponly=True,
        # Lax and not strict: it must come back with a person whom another site sends.
        samesite="lax",
    )
    return answer


async def callback(request: Request) -> Response:
    """Back from the issuer. Whatever comes of it, this sign-in is over."""
    flow = await _flow(request)
    answer = await _finished(request, flow)
    answer.delete_cookie(_cookie(flow), path="/", secure=_is_secure(flow), httponly=True, samesite="lax")
    return answer


async def _finished(request: Request, flow: CodeFlow) -> Response:
    sessions = (await backend_of(request).services()).sessions
    try:
        token, there = await flow.finish(request.cookies.get(_cookie(flow), ""), request.query_params.multi_items())
        session = sessions.begin(token, from_issuer=True)
    except SignInFailed as failed:
        return await _told(request, HOME, *_FAILED[failed.why])
    except Forbidden:
        return await _told(request, HOME, 403, _NO_ROLE)
    except InvalidRequest:
        return await _told(request, HOME, 502, _TOO_LARGE)
    except ServiceUnavailable:
        return await _told(request, HOME, 503, _AWAY)
    # Not a redirect: along one that another site began, the browser would keep the session's cookie to itself.
    answer = render(request, "resume.html", None, to=there_of(there))
    keep(answer, request, sessions, session, secure=_is_secure(flow))
    return answer


async def sign_out_there(request: Request, session: Session) -> Response | None:
    """The page on the way to the issuer, which ends its own session too; None when it is not asked to."""
    flow = (await backend_of(request).services()).code_flow
    if flow is None or not session.from_issuer:
        return None
    url = await flow.sign_out_url(session.credentials)
    words = "You are signed out here. Go on to sign out of your organisation"
    return None if url is None else render(request, "resume.html", None, to=url, words=words)


async def _flow(request: Request) -> CodeFlow:
    flow = (await backend_of(request).services()).code_flow
    if flow is None:
        raise NotFound("there is no signing in by redirect here", remedy="Sign in with an API key or a token")
    return flow


async def _told(request: Request, there: str, status: int, told: Explanation) -> Response:
    answer = await door(request, there, status=status, told=told)
    if status == 503:
        answer.headers["Retry-After"] = "2"
    return answer


def _is_secure(flow: CodeFlow) -> bool:
    return flow.policy.public_url.startswith("https:")


def _cookie(flow: CodeFlow) -> str:
    return SECURE_FLOW if _is_secure(flow) else PLAIN_FLOW
