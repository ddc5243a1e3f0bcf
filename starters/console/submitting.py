"""Asking for a review in the browser: the same door, the same stream into the store as the API's."""

import re
import secrets
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import CountersignError, DocumentError, InvalidRequest, Overloaded, PlaybookError, RateLimited
from countersign.playbook.load import list_playbooks, load_playbook
from countersign.settings import Settings
from countersign.words import Mode
from starters.console.page import go, render, signed_in
from starters.console.visit import HOME, Visit, check_form, check_origin
from starters.gateway.problems import kind_of, person_words
from starters.gateway.reviews import backend_of
from starters.gateway.submitting import Besides, take_in

FORM_FIELD = "csrf"
MODE_FIELD = "mode"
_ONCE = re.compile(r"[0-9a-f]{16,64}")


@dataclass
class _Asked:
    """What came with the file, for when the file itself is refused."""

    playbook: str = ""
    ask: str = ""
    shadow: bool = False


@signed_in(Action.SUBMIT)
async def submit_page(request: Request, visit: Visit) -> Response:
    """The form."""
    return _form(request, visit, _Asked())


@signed_in(Action.SUBMIT)
async def submit(request: Request, visit: Visit) -> Response:
    """Take a contract in. The form's name is in its address, so that it is known before the file is: sent twice, one.

    Where it came from is looked at before the body is read, and its token before anything is taken in for good.
    """
    check_origin(request)
    once = request.query_params.get("once", "")
    asked = _Asked()

    def check(fields: dict[str, str]) -> None:
        check_form(request, visit, fields.pop(FORM_FIELD, ""))
        asked.playbook, asked.ask = fields.get("playbook", ""), fields.get("ask", "")
        asked.shadow = fields.get(MODE_FIELD) == Mode.SHADOW

    try:
        key = f"console-{once}" if _ONCE.fullmatch(once) else None
        taken = await take_in(backend_of(request), request, visit.who, key, Besides((FORM_FIELD, MODE_FIELD), check))
    except (InvalidRequest, DocumentError, PlaybookError, RateLimited, Overloaded) as error:
        return _form(request, visit, asked, error)
    return go(f"{HOME}/reviews/{taken.review_id}")


def _form(request: Request, visit: Visit, asked: _Asked, error: CountersignError | None = None) -> Response:
    settings = backend_of(request).settings
    detail, remedy = person_words(error) if error is not None else ("", "")
    return render(
        request,
        "submit.html",
        visit,
        status=200 if error is None else kind_of(error).status,
        playbooks=_playbooks(settings),
        asked=asked,
        once=secrets.token_hex(16),
        largest=f"{settings.max_document_mb:g}",
        detail=detail,
        remedy=remedy,
    )


def _playbooks(settings: Settings) -> list[tuple[str, str]]:
    """Names and titles of the playbooks that can be used."""
    found = []
    for name in list_playbooks(settings.playbooks):
        try:
            found.append((name, load_playbook(settings.playbooks, name).title))
        except PlaybookError:
            continue  # the command line says what is wrong with it
    return found
