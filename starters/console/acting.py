"""What people do on a review's page: claim, give back, decide, answer. The workflow judges, as it judges the API's."""

import re
import secrets
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.errors import DecisionRefused, InvalidRequest, ServiceUnavailable
from countersign.review.blind import FORMED, view_of
from countersign.review.payloads import Answer, Claim, Decision, EffectDecision, Receipt, View
from countersign.words import Mode, Verdict
from starters.console.forms import Fields
from starters.console.page import go, render, signed_in
from starters.console.reviewing import Look, look_at, show
from starters.console.views import findings as shown
from starters.console.views import standing
from starters.console.visit import HOME, Visit, form_of
from starters.gateway.backend import Backend
from starters.gateway.problems import person_words
from starters.gateway.reviews import backend_of, derived_id

LEASE_S = 900
LOOK = "look"
"""The button that shows the newest version and keeps what was typed."""
NOT_CERTAIN = "Nothing you typed is lost. Look at the history below in a moment; repeated, a decision counts once."
MAX_TEXT = 4_000
MAX_ANSWER = 8_000
MAX_NAME = 200
_ITEM = re.compile(r"E[1-9][0-9]{0,3}")
_NUMBER = re.compile(r"[0-9]{1,9}")


def _page_of(review_id: str) -> str:
    return f"{HOME}/reviews/{review_id}"


@signed_in()
async def back(request: Request, visit: Visit) -> Response:
    """From the address of a form to the page it stands on."""
    return go(_page_of(request.path_params["review_id"]))


@signed_in(Action.CLAIM)
async def claim(request: Request, visit: Visit) -> Response:
    """Take the review, prolong the claim, or give it back. What was typed beside it comes back with the page."""
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.CLAIM)
    fields = await form_of(request, visit)
    typed = shown.Typed.of(fields)
    assigned = fields.get("claim") == "assign"

    async def act() -> None:
        given = Claim(
            reviewer=visit.who.user,
            lease_s=LEASE_S,
            release=fields.get("claim") == "release",
            assign_to=_name(fields.get("assign_to", ""), "assign to") if assigned else None,
        )
        await backend.client.claim(row.tenant, row.review_id, given)

    return await _beside(request, visit, typed, act())


async def _beside(
    request: Request, visit: Visit, typed: shown.Typed, act: Awaitable[object], anchor: str = ""
) -> Response:
    """Do something that is not yet the decision, then show the page again, with what was typed on it."""
    review_id = request.path_params["review_id"]
    try:
        await act
    except DecisionRefused as refused:
        return await _refused(request, visit, review_id, refused, typed)
    except InvalidRequest as error:
        return await _incomplete(request, visit, review_id, error, typed)
    if typed != shown.NOTHING:
        return show(request, visit, await look_at(backend_of(request), visit, review_id), typed=typed)
    return go(_page_of(review_id) + anchor)


def _name(given: str, field: str) -> str:
    if not 1 <= len(given) <= MAX_NAME:
        raise InvalidRequest(f"{field}: is no name of 1 to {MAX_NAME} characters", remedy="Choose a colleague")
    return given


@signed_in(Action.DECIDE)
async def state_view(request: Request, visit: Visit) -> Response:
    """Keep what the reviewer would do, then show the rest. What was typed comes back with it."""
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.DECIDE)
    fields = await form_of(request, visit)
    typed = shown.Typed.of(fields)

    async def act() -> None:
        await backend.client.view(row.tenant, row.review_id, _view(visit, fields))

    return await _beside(request, visit, typed, act(), "#decide")


def _view(visit: Visit, fields: Fields) -> View:
    """The view that a form stands for. Raises `InvalidRequest`."""
    digest = fields.get("digest", "")
    verdict = next((one for one in FORMED if one == fields.get("view")), None)
    if verdict is None:
        raise InvalidRequest("view: is none", remedy="Press one of the buttons below the findings")
    if not digest:
        raise InvalidRequest("view: names no version of the analysis", remedy="Load the page again")
    return View.model_validate({"verdict": verdict, "reviewer": visit.who.user, "digest": digest})


@signed_in(Action.DECIDE)
async def decide(request: Request, visit: Visit) -> Response:
    """Approve, reject, sign with changes or ask, bound to the very version and claim that the form was made for."""
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.DECIDE)
    fields = await form_of(request, visit)
    typed = shown.Typed.of(fields)
    if fields.get("verdict") == LOOK:
        return show(request, visit, await look_at(backend, visit, row.review_id), typed=typed)
    try:
        look = await look_at(backend, visit, row.review_id)
        decision = _decision(look, visit, fields, typed)
        receipt = await backend.client.decide(row.tenant, row.review_id, decision)
    except DecisionRefused as refused:
        return await _refused(request, visit, row.review_id, refused, typed)
    except InvalidRequest as error:
        return await _incomplete(request, visit, row.review_id, error, typed)
    except ServiceUnavailable as error:
        look = await look_at(backend, visit, row.review_id)
        detail, _ = person_words(error)
        told = standing.Explanation("This is not certain", f"{detail[:1].upper()}{detail[1:]}.", NOT_CERTAIN)
        # Under the same name: should the first one count after all, the second does not count again.
        return show(request, visit, look, typed=typed, told=told, status=503, once=fields.get("once", ""))
    return await _decided(request, visit, look, decision, receipt)


async def _decided(request: Request, visit: Visit, look: Look, decision: Decision, receipt: Receipt) -> Response:
    """What came of a decision."""
    backend, row = backend_of(request), look.row
    if not receipt.counted:
        look = await look_at(backend, visit, row.review_id)
        told = standing.Explanation(
            "This was a test of attention", f"{receipt.notice}.", "Look at what is left, and decide"
        )
        return show(request, visit, look, told=told, status=409)
    if decision.verdict is Verdict.WITHDRAW:
        return go(_page_of(row.review_id))
    return render(
        request,
        "decided.html",
        visit,
        review_id=row.review_id,
        verdict=decision.verdict,
        words=standing.VERDICTS[decision.verdict],
        receipt=receipt,
        edits=len(decision.edits),
        shadow=look.status.mode is Mode.SHADOW,
        changed_mind=_changed_mind(look, visit, decision.verdict),
        next=await _next_in_queue(backend, visit, row.review_id),
    )


async def _refused(
    request: Request, visit: Visit, review_id: str, refused: DecisionRefused, typed: shown.Typed
) -> Response:
    """The page as it is now, with why this does not count and with what was typed."""
    look = await look_at(backend_of(request), visit, review_id)
    return show(request, visit, look, typed=typed, told=standing.explain(refused, look.status, visit.who), status=409)


async def _incomplete(
    request: Request, visit: Visit, review_id: str, error: InvalidRequest, typed: shown.Typed
) -> Response:
    """The same for a form that lacks something."""
    look = await look_at(backend_of(request), visit, review_id)
    told = standing.Explanation("This is not complete", f"{error.message}.", error.remedy)
    return show(request, visit, look, typed=typed, told=told, status=422)


def _changed_mind(look: Look, visit: Visit, verdict: Verdict) -> str:
    """The view that they had stated and have not decided by, in words; "" otherwise."""
    stated = view_of(look.status.views, visit.who.user)
    return "" if stated is None or stated is verdict or verdict not in FORMED else standing.VIEWS[stated]


def _decision(look: Look, visit: Visit, fields: Fields, typed: shown.Typed) -> Decision:
    """The decision that a form stands for. Raises `InvalidRequest` and `DecisionRefused`."""
    try:
        verdict = Verdict(fields.get("verdict", ""))
    except ValueError:
        raise InvalidRequest("decision: is none", remedy="Press one of the buttons below the findings") from None
    for name, text in (("note", typed.note), ("question", typed.question)):
        if len(text) > MAX_TEXT:
            raise InvalidRequest(f"{name}: more than {MAX_TEXT:,} characters", remedy="Shorten it")
    digest, token = fields.get("digest", ""), fields.get("token", "")
    if not digest:
        raise InvalidRequest("decision: names no version of the analysis", remedy="Load the page again")
    if look.status.outcome is None and look.status.digest not in (None, digest):
        # What was typed is about findings that may not be there any more: never judged against others.
        raise DecisionRefused("the decision is for an earlier version of the analysis", rule="stale")
    edits = shown.edits_of(typed, look.status.analysis) if look.status.analysis else ()
    if edits and verdict is not Verdict.AMEND:
        raise InvalidRequest(
            f"{standing.VERDICTS[verdict].capitalize()}: you changed {len(edits)} of the findings",
            remedy="Sign with these changes, or undo them first: they would be lost",
        )
    return Decision(
        reviewer=visit.who.user,
        verdict=verdict,
        note=typed.note,
        question=typed.question if verdict is Verdict.ASK else "",
        edits=edits,
        on_behalf_of=_name(typed.behalf, "sign for") if typed.behalf else None,
        digest=digest,
        claim=int(token) if _NUMBER.fullmatch(token) else None,
        # Sent twice by an impatient finger, it counts once.
        decision_id=derived_id(visit.who, "decision", look.row.review_id, fields.get("once") or secrets.token_hex(8)),
    )


@signed_in(Action.DECIDE)
async def effect(request: Request, visit: Visit) -> Response:
    """Approve or decline one proposed effect, bound to what was shown of it. What was typed beside it comes back."""
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.DECIDE)
    fields = await form_of(request, visit)
    typed = shown.Typed.of(fields)
    word, _, item = fields.get("effect", "").partition("-")
    version, _, digest = fields.get(f"bound-{item}", "").partition(":")
    if word not in ("approve", "decline") or not _ITEM.fullmatch(item) or not _NUMBER.fullmatch(version) or not digest:
        raise InvalidRequest("effect: names no item and version of it", remedy="Load the page again")
    decision = EffectDecision(
        item=item,
        reviewer=visit.who.user,
        note=typed.note[:MAX_TEXT],
        version=int(version),
        digest=digest,
        decision_id=derived_id(visit.who, "effect", row.review_id, item, word, fields.get("once", "")),
    )
    act = backend.client.decide_effect(row.tenant, row.review_id, decision, approve=word == "approve")
    return await _beside(request, visit, typed, act, f"#{item}")


async def _next_in_queue(backend: Backend, visit: Visit, done: str) -> str | None:
    """The id of the most pressing review that is still there, if this person may see the queue."""
    if not visit.may(Action.READ_QUEUE):
        return None
    rows = await (await backend.services()).reviews.queue(tenant=visit.who.tenant, limit=10)
    left = (row.review_id for row in rows if row.review_id != done and row.user_hash != visit.who.user_hash)
    return next(left, None)


@signed_in(Action.ANSWER)
async def answer(request: Request, visit: Visit) -> Response:
    """The requester's answer to a question."""
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.ANSWER)
    fields = await form_of(request, visit)
    text = fields.get("answer", "")
    typed = shown.Typed(note=text[:MAX_ANSWER])
    try:
        await backend.client.answer(row.tenant, row.review_id, _answer(visit, text))
    except DecisionRefused as refused:
        return await _refused(request, visit, row.review_id, refused, typed)
    except InvalidRequest as error:
        return await _incomplete(request, visit, row.review_id, error, typed)
    return go(_page_of(row.review_id))


def _answer(visit: Visit, text: str) -> Answer:
    if not 1 <= len(text) <= MAX_ANSWER:
        raise InvalidRequest(f"answer: is not 1 to {MAX_ANSWER:,} characters", remedy="Write one, of that length")
    return Answer(user=visit.who.user, text=text)
