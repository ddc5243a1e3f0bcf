"""Who signs, in the browser: groups and members, who is away and who signs for them, and catch rates.

Every change goes the command line's way (`starters.people`): it says who made it, and reaches the reviews that wait.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action, require
from countersign.errors import CountersignError, Forbidden, InvalidRequest, NotFound, PlaybookError
from countersign.playbook.load import list_playbooks, load_playbook
from countersign.review.same import same_person
from countersign.vigilance.rates import catch_rates
from starters.console.page import go, render, signed_in
from starters.console.views import people as views
from starters.console.visit import HOME, Visit, form_of
from starters.gateway.problems import kind_of, person_words
from starters.gateway.reviews import backend_of
from starters.people import Changed, Work, change, check_group

if TYPE_CHECKING:
    from countersign.playbook.model import Playbook

PAGE = f"{HOME}/people"
CHANGES = 30


@signed_in(Action.READ_PEOPLE)
async def people(request: Request, visit: Visit) -> Response:
    """Groups, absences, catch rates, and what was changed lately."""
    return await _show(request, visit)


@signed_in()
async def back(request: Request, visit: Visit) -> Response:
    """From the address of a form to the page it stands on."""
    return go(PAGE)


@signed_in(Action.MANAGE_PEOPLE)
async def groups(request: Request, visit: Visit) -> Response:
    """Put somebody into a group, or take them out."""
    fields = await form_of(request, visit)
    tenant, group, name = visit.who.tenant, fields.get("group", ""), fields.get("name", "")
    remove = fields.get("do") == "remove"

    def work() -> Work:
        check_group(group)
        if remove:
            return lambda book, by: book.remove_member(tenant, group, name, by_hash=by)
        return lambda book, by: book.add_member(tenant, group, name, by_hash=by)

    return await _change(request, visit, views.Typed.of("" if remove else "group", fields), work)


@signed_in(Action.READ_PEOPLE)
async def absences(request: Request, visit: Visit) -> Response:
    """Say that somebody is away, or back: of oneself, or with the right to manage people, of anybody."""
    fields = await form_of(request, visit)
    tenant, name = visit.who.tenant, fields.get("name", "") or visit.who.user
    require(visit.who, Action.OWN_ABSENCE)
    if not visit.may(Action.MANAGE_PEOPLE) and not same_person(name, visit.who.user):
        raise Forbidden("absence: is somebody else's", remedy="Ask them, or an admin, to set it")
    end = fields.get("do") == "end"

    def work() -> Work:
        if end:
            return lambda book, by: book.end_absence(tenant, name, by_hash=by)
        until = views.until_of(fields.get("until", ""))
        delegate = fields.get("delegate") or None
        return lambda book, by: book.set_absence(tenant, name, until, delegate, by_hash=by)

    return await _change(request, visit, views.Typed.of("" if end else "absence", fields), work, all_concerned=True)


async def _change(
    request: Request, visit: Visit, typed: views.Typed, work: Callable[[], Work], *, all_concerned: bool = False
) -> Response:
    """Make the change, and show the page with what came of it, or with why not and what was typed."""
    try:
        client, who = backend_of(request).client, visit.who
        done = await change(client, who.tenant, who.user, work(), all_concerned=all_concerned)
    except (InvalidRequest, NotFound) as error:
        return await _show(request, visit, typed, error)
    return go(f"{PAGE}?done={int(done.changed)}&told={done.told}&missed={done.missed}")


async def _show(
    request: Request, visit: Visit, typed: views.Typed = views.NOTHING, error: CountersignError | None = None
) -> Response:
    backend, who = backend_of(request), visit.who
    services = await backend.services()
    everybody = visit.may(Action.READ_VIGILANCE)
    sees_rates = everybody or visit.may(Action.DECIDE)
    rates = await catch_rates(services.db, who.tenant) if sees_rates else ()
    members = await services.people.groups(who.tenant)
    detail, remedy = person_words(error) if error is not None else ("", "")
    return render(
        request,
        "people.html",
        visit,
        status=200 if error is None else kind_of(error).status,
        groups=views.groups_of(members, _playbooks(backend.settings.playbooks)),
        absences=views.absences_of(await services.people.absences(who.tenant), who),
        sees_rates=sees_rates,
        everybody=everybody,
        rates=views.rates_of(rates, who, everybody=everybody),
        changes=views.changes_of(await services.people.changes(who.tenant, CHANGES)),
        typed=typed,
        done=_done(request) if error is None else None,
        detail=detail,
        remedy=remedy,
    )


def _done(request: Request) -> Changed | None:
    """What came of the change that led here."""
    asked = request.query_params
    told, missed = (asked.get(name, "0") for name in ("told", "missed"))
    if asked.get("done") not in ("0", "1") or not all(one.isascii() and one.isdigit() for one in (told, missed)):
        return None
    return Changed(asked["done"] == "1", int(told[:6]), int(missed[:6]))


def _playbooks(folder: Path) -> "Iterator[Playbook]":
    for name in list_playbooks(folder):
        try:
            yield load_playbook(folder, name)
        except PlaybookError:
            continue  # the command line says what is wrong with it
