"""Which reviews may be signed together, and what a preview is bound to."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from countersign.review.bulk import against, clauses_of, digest_of_all, item_of
from countersign.review.payloads import AnalysisResult, Effect, Finding, ReviewStatus, Screening
from countersign.words import Outcome, RiskBand, Route, Severity, Stage

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def analysis(**changes: Any) -> AnalysisResult:
    findings = (
        Finding(id="F1", clause="term", severity=Severity.LOW, statement="Two years"),
        Finding(id="F2", clause="governing_law", severity=Severity.INFO, statement="Ours"),
    )
    given = {"summary": "s", "key_findings": findings, "confidence": 0.9, "requires_human_review": True}
    return AnalysisResult.model_validate({**given, **changes})


def status(**changes: Any) -> ReviewStatus:
    given: dict[str, Any] = {
        "review_id": "r1",
        "workflow_id": "w",
        "tenant": "acme",
        "stage": Stage.SIGN,
        "playbook": "nda",
        "contract_type": "nda",
        "route": Route.REVIEW,
        "analysis": analysis(),
        "screening": Screening(risk_score=0.0, band=RiskBand.CLEAN),
        "digest": "a" * 64,
        "waiting_for": "reviewer",
        "signatures_missing": 1,
    }
    return ReviewStatus.model_validate({**given, **changes})


def judged(found: ReviewStatus, most: Severity = Severity.LOW, clause: str | None = None) -> str:
    return against(found, playbook="nda", kinds=("nda",), most=most, clause=clause, at=NOW)


def test_a_mild_review_that_one_person_may_sign_can_be_signed_in_bulk() -> None:
    assert judged(status()) == ""
    assert judged(status(), clause="term") == ""
    assert judged(status(claimed_by="bob", claimed_until=NOW - timedelta(minutes=1))) == ""
    assert clauses_of(status()) == ("term",)


WORSE = analysis(key_findings=(Finding(id="F1", clause="term", severity=Severity.MEDIUM, statement="Ten years"),))
MILDER = Finding(id="F1", clause="term", severity=Severity.LOW, uncorrected=Severity.HIGH, statement="As learned")
EFFECT = Effect(id="E1", tool="record_obligation", args={}, args_digest="d")


@pytest.mark.parametrize(
    "changes",
    [
        {"playbook": "msa"},
        {"outcome": Outcome.APPROVED},
        {"waiting_for": "requester"},
        {"waiting_for": None},
        {"analysis": None},
        {"route": Route.FOUR_EYES},
        {"signatures_missing": 2},
        {"analysis": WORSE},
        {"analysis": analysis(key_findings=(MILDER,))},
        {"analysis": analysis(effects=(EFFECT,))},
        {"analysis": analysis(degraded=("specialist term",))},
        {"analysis": analysis(confidence=0)},
        {"degraded": ("memory: session",)},
        {"screening": None},
        {"screening": Screening(risk_score=0.5, band=RiskBand.ELEVATED)},
        {"contract_type": "supply"},
        {"claimed_by": "bob", "claimed_until": NOW + timedelta(minutes=1)},
    ],
)
def test_what_speaks_against_it(changes: dict[str, Any]) -> None:
    assert judged(status(**changes)) != ""


def test_a_clause_that_was_named_is_the_only_one() -> None:
    assert judged(status(), clause="governing_law") == "findings on other clauses"


def test_a_preview_is_bound_to_every_digest_in_it() -> None:
    one, two = item_of(status()), item_of(status(review_id="r2"))
    changed = item_of(status(review_id="r2", digest="b" * 64))
    assert digest_of_all([one, two]) == digest_of_all([two, one])
    assert len({digest_of_all(items) for items in ([one, two], [one, changed], [one], [])}) == 4
