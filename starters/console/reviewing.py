"""A review's page: everything a signature stands on, side by side."""

import contextlib
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.document.model import DocumentText
from countersign.errors import NotFound, PlaybookError
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Playbook
from countersign.review.payloads import ReviewStatus, SigningPolicy
from countersign.review.signing import Authority
from countersign.store.reviews import ReviewRow
from countersign.trail.chain import TrailRow, verify_chain
from countersign.words import Severity
from starters.console.page import render, signed_in
from starters.console.views import document as layout
from starters.console.views import effects, lists, standing
from starters.console.views import findings as shown
from starters.console.views.rights import rights_of
from starters.console.visit import Visit
from starters.gateway.answers import ReviewView
from starters.gateway.backend import Backend
from starters.gateway.reviews import backend_of, without_signals


@dataclass(frozen=True)
class Look:
    """What there is to see of one review, for one person, now."""

    row: ReviewRow
    status: ReviewStatus
    live: bool
    text: DocumentText | None
    playbook: Playbook | None
    trail: tuple[TrailRow, ...]
    authority: Authority | None = None
    """Who may sign it, as the data say now; None where this person decides nothing, or nobody can tell."""


async def look_at(backend: Backend, visit: Visit, review_id: str) -> Look:
    """Everything of a review that this person may see. Raises `NotFound` as the API does."""
    who = visit.who
    row = await backend.row(who, review_id, Action.READ_REVIEW)
    reviews = visit.may(Action.DECIDE) and row.user_hash != who.user_hash
    now = await backend.standing(row, as_reviewer=reviews)
    status = now.status
    if not backend.knows_why(who):
        status = without_signals(ReviewView(**{**dict(status), "live": now.live}))
    services = await backend.services()
    text: DocumentText | None = None
    playbook: Playbook | None = None
    trail: tuple[TrailRow, ...] = ()
    if status.document is not None and status.read is not None and visit.may(Action.READ_DOCUMENT):
        with contextlib.suppress(NotFound), backend.outgoing.reserve(row.tenant, 2 * status.read.chars):
            text = await services.documents.get_text(row.tenant, status.document.document_id)
    if status.playbook:
        # A review outlives its playbook; the findings stand for themselves.
        with contextlib.suppress(PlaybookError):
            playbook = load_playbook(backend.settings.playbooks, status.playbook)
    if visit.may(Action.READ_TRAIL):
        trail = await services.trail.rows(row.workflow_id)
    authority = None
    if reviews and status.outcome is None and playbook is not None:
        rules = playbook.signing
        policy = SigningPolicy(reviewers=rules.reviewers, groups=rules.groups, leads=rules.leads)
        authority = Authority("", policy, await services.people.terms(row.tenant, policy))
    return Look(row, status, now.live, text, playbook, trail, authority)


@signed_in(Action.READ_REVIEW)
async def review(request: Request, visit: Visit) -> Response:
    """The page, which is then read by this person."""
    backend = backend_of(request)
    look = await look_at(backend, visit, request.path_params["review_id"])
    if look.status.digest is not None:
        services = await backend.services()
        await services.marks.put(visit.who.tenant, visit.who.user_hash, look.row.review_id, look.status.digest)
    return show(request, visit, look)


def show(  # noqa: PLR0913 - all of this is on the page
    request: Request,
    visit: Visit,
    look: Look,
    *,
    typed: shown.Typed = shown.NOTHING,
    told: standing.Explanation | None = None,
    status: int = 200,
    once: str = "",
) -> Response:
    """The page with what was typed and not taken, and why."""
    now = datetime.now(UTC)
    rights = rights_of(look.authority, visit.who.user, look.status, now)
    view = standing.standing_of(look.status, look.row, visit.who, now, rights)
    analysis = look.status.analysis
    signals = standing.signals_of(look.status)
    spans = shown.spans_of(analysis) if analysis else ()
    suspicious = tuple(signal.span for signal in signals if signal.span is not None)
    findings = shown.findings_of(analysis, look.playbook, look.text, typed) if analysis else ()
    used = {one.number for one in typed.added}
    blank = next(number for number in range(shown.MAX_ADDED + 1) if number not in used)
    return render(
        request,
        "review.html",
        visit,
        status=status,
        review=look.status,
        row=look.row,
        live=look.live,
        title=lists.title_of(look.row),
        standing=view,
        findings=[one for one in findings if one.severity is not Severity.INFO or one.changed],
        settled=[one for one in findings if one.severity is Severity.INFO and not one.changed],
        counts=shown.counts_of(findings),
        summary=shown.summary_of(analysis.summary) if analysis else shown.Summary(),
        signals=signals,
        effects=effects.effects_of(look.status, look.text, now, may_decide=view.may_decide and rights.own),
        leaves=layout.lay_out(look.text, (*spans, *effects.spans_of(look.status), *suspicious)) if look.text else (),
        unread=look.text.unread if look.text else (),
        history=standing.history_of(look.status, concealed=view.concealed),
        steps=standing.steps_of(look.trail),
        chain=verify_chain(look.trail) if look.trail else None,
        playbook=look.playbook,
        playbook_then=_version_then(look.trail),
        typed=replace(typed, added=(*typed.added, shown.Addition(blank))),
        told=told,
        once=once or secrets.token_hex(8),
        severities=tuple(reversed(Severity)),
        last_event=look.trail[-1].sequence if look.trail else 0,
        bad_end=standing.ended_badly(look.status),
    )


def _version_then(trail: tuple[TrailRow, ...]) -> str:
    """The playbook's version that the review was admitted under; "" where it is not known."""
    admitted = next((row.facts.get("version") for row in trail if row.event == "admitted"), None)
    return str(admitted) if admitted is not None else ""
