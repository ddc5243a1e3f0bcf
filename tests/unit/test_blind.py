"""Blind capture: a view first, one of each person, kept with the decision; nobody is told more before."""

from datetime import UTC, datetime
from typing import Any

import pytest
from helpers.gateway import World

from countersign.errors import DecisionRefused
from countersign.review.blind import CONCEALED, conceals, listed_confidence
from countersign.review.bulk import against
from countersign.review.desk import Desk
from countersign.review.payloads import (
    AnalysisResult,
    Decision,
    Finding,
    GateEvidence,
    ReviewStatus,
    SigningPolicy,
    View,
    ViewRecord,
)
from countersign.review.progress import details
from countersign.words import Autonomy, Mode, Outcome, Route, Severity, Stage, Verdict

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SURE = 0.8765
ANALYSIS = AnalysisResult(
    summary="s",
    key_findings=(Finding(id="F1", clause="term", severity=Severity.LOW, statement="Long", confidence=SURE),),
    confidence=SURE,
    requires_human_review=True,
)


def desk(**policy: Any) -> Desk:
    made = Desk("ana", SigningPolicy(blind=True, **policy), "1")
    made.open(ANALYSIS, Route.REVIEW)
    return made


def view(verdict: Verdict = Verdict.REJECT, reviewer: str = "bob", **fields: Any) -> View:
    return View.model_validate({"verdict": verdict, "reviewer": reviewer, **fields})


def decision(verdict: Verdict = Verdict.APPROVE, reviewer: str = "bob", **fields: Any) -> Decision:
    return Decision.model_validate({"verdict": verdict, "reviewer": reviewer, **fields})


def status(**changes: Any) -> ReviewStatus:
    used = GateEvidence(
        arm="a", level=Autonomy.SUPERVISED, items=0, stated=SURE, confidence=SURE, threshold=None, note=f"{SURE}"
    )
    return ReviewStatus(
        review_id="r-1", workflow_id="w", tenant="acme", stage=Stage.SIGN, route=Route.REVIEW, blind=True,
        analysis=ANALYSIS, waiting_for="reviewer", signatures_missing=1, evidence=used,
        route_reasons=(f"confidence {SURE}",), digest="d" * 64,
    ).model_copy(update=changes)  # fmt: skip


def rule(refused: pytest.ExceptionInfo[DecisionRefused]) -> str:
    return refused.value.rule


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.REJECT])
def test_a_decision_needs_a_view_and_keeps_it(verdict: Verdict) -> None:
    made = desk()
    with pytest.raises(DecisionRefused) as refused:
        made.decide(decision(verdict), NOW)
    assert rule(refused) == "no_view"
    assert made.view(view(), NOW)
    assert made.decide(decision(verdict, reviewer=" BOB "), NOW) is not None
    assert made.decisions[-1].view is Verdict.REJECT


def test_anothers_view_serves_nobody_and_a_question_needs_none() -> None:
    made = desk()
    made.view(view(reviewer="eve"), NOW)
    with pytest.raises(DecisionRefused) as refused:
        made.check(decision(), NOW)
    assert rule(refused) == "no_view"
    made.decide(decision(Verdict.ASK, question="Why?"), NOW)
    assert made.decisions[-1].view is None


def test_a_view_is_stated_once() -> None:
    made = desk()
    assert made.view(view(), NOW)
    assert not made.view(view(), NOW)
    with pytest.raises(DecisionRefused) as refused:
        made.view(view(Verdict.APPROVE), NOW)
    assert rule(refused) == "viewed"
    assert [one.verdict for one in made.views.stated] == [Verdict.REJECT]


@pytest.mark.parametrize(
    ("given", "policy", "broken"),
    [
        (view(reviewer="ana"), {}, "requester"),
        (view(), {"reviewers": ("eve",)}, "not_allowed"),
        (view(digest="other"), {}, "stale"),
        (view(), {"require_signed": True}, "unsigned"),
    ],
)
def test_a_view_is_judged_like_a_decision(given: View, policy: dict[str, Any], broken: str) -> None:
    with pytest.raises(DecisionRefused) as refused:
        desk(**policy).view(given, NOW)
    assert rule(refused) == broken


def test_where_no_views_are_captured_none_is_taken() -> None:
    plain = Desk("ana", SigningPolicy(), "1")
    plain.open(ANALYSIS, Route.REVIEW)
    with pytest.raises(DecisionRefused) as refused:
        plain.view(view(), NOW)
    assert rule(refused) == "not_blind"
    assert plain.decide(decision(), NOW) is Outcome.APPROVED


def test_the_confidence_is_kept_from_who_could_sign_until_their_view_or_the_end() -> None:
    mine = ViewRecord(verdict=Verdict.APPROVE, reviewer="Bob", at=NOW)
    assert conceals(status(), "bob", decides=True)
    assert not conceals(status(), "aud", decides=False)
    assert not conceals(status(views=(mine,)), "bob", decides=True)
    assert conceals(status(views=(mine,)), "eve", decides=True)
    assert not conceals(status(outcome=Outcome.APPROVED), "bob", decides=True)
    shadow = status(blind=False, mode=Mode.SHADOW)
    assert conceals(shadow, "aud", decides=False)
    assert not conceals(shadow.model_copy(update={"outcome": Outcome.SHADOWED}), "bob", decides=True)


def test_lists_the_temporal_ui_and_bulk_know_nothing_of_it_while_it_is_open() -> None:
    for one in (status(), status(blind=False, mode=Mode.SHADOW)):
        assert listed_confidence(one) is None
        assert "confidence" not in details(one)
        why = against(one, playbook="", kinds=(), most=Severity.MEDIUM, clause=None, at=NOW)
        assert why == "is judged blind"
        assert listed_confidence(one.model_copy(update={"outcome": Outcome.APPROVED})) == SURE
    assert listed_confidence(status(blind=False)) == SURE


def test_nothing_that_is_left_of_a_concealed_status_tells_it() -> None:
    assert f"{SURE}" not in status().model_dump_json(exclude=CONCEALED)


async def test_the_api_and_the_page_say_it_only_after_the_view() -> None:
    world = World()
    world.projected = status(document=world.projected.document, read=world.projected.read)
    async with world.browser("bob") as api, world.console("bob") as page:
        before = await api.get("/v1/reviews/r-1")
        assert before.json()["concealed"]
        assert f"{SURE}" not in before.text
        shown = (await page.get("/console/reviews/r-1")).text
        assert "88 % sure" not in shown
        assert f"{SURE}" not in shown
        form = {"csrf": world.form_token(page), "digest": "d" * 64, "view": "amend"}
        answer = await page.post("/console/reviews/r-1/view", data=form)
        assert answer.status_code == 303
        assert [(what, given.verdict) for what, given in world.given] == [("view", Verdict.AMEND)]
        after = await api.get("/v1/reviews/r-1")
        assert after.json()["analysis"]["confidence"] == SURE
        assert "88 % sure" in (await page.get("/console/reviews/r-1")).text


@pytest.mark.parametrize("given", [{"view": "ask"}, {"view": ""}, {"view": "approve", "digest": ""}])
async def test_a_form_without_a_view_is_told_so(given: dict[str, str]) -> None:
    world = World()
    world.projected = status(document=world.projected.document, read=world.projected.read)
    async with world.console("bob") as page:
        form = {"csrf": world.form_token(page), "digest": "d" * 64, **given}
        answer = await page.post("/console/reviews/r-1/view", data=form)
        assert answer.status_code == 422
        assert not world.given
