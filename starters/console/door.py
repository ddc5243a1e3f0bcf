"""The page one signs in on, whichever way, and where one goes from there."""

from starlette.requests import Request
from starlette.responses import Response

from starters.console.page import SIGN_IN, render
from starters.console.views.standing import Explanation
from starters.console.visit import HOME
from starters.gateway.reviews import backend_of

BEGIN = f"{SIGN_IN}/start"
MAX_PATH = 1_000


def there_of(path: str) -> str:
    """Where to go after signing in: a page of the console, whatever a link may say."""
    fine = path.startswith(f"{HOME}/") and path.isascii() and path.isprintable() and "\\" not in path
    return path if fine and len(path) <= MAX_PATH and "//" not in path and not path.startswith(SIGN_IN) else HOME


async def door(
    request: Request, there: str, *, status: int = 200, problem: str = "", told: Explanation | None = None
) -> Response:
    """The page. `problem` is about a key that was typed, `told` about the issuer."""
    flow = (await backend_of(request).services()).code_flow
    return render(
        request,
        "sign_in.html",
        None,
        status=status,
        next=there,
        problem=problem,
        told=told,
        sign_in=SIGN_IN,
        # At the address that the issuer sends people back to: a cookie set at another one would not be found there.
        begin=flow.policy.public_url + BEGIN if flow is not None else None,
        organisation=flow.host if flow is not None else "",
    )
