"""What an older version wrote is read by this one: running reviews outlive every deployment."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from countersign.batch import payloads as batches
from countersign.review import payloads, steps
from countersign.review.gate import GateDecision
from countersign.review.payloads import Admission, Decision, Payload, ReviewRequest, ReviewStatus
from countersign.settings import ROOT
from countersign.words import Outcome, Severity, Stage, Verdict

BASELINE = Path(__file__).with_name("payload_baseline.json")
"""Required fields by payload. A payload may be added to it; a required field may not be added to a payload in it."""

REQUEST = {
    "tenant": "acme",
    "user": "ana",
    "playbook": "nda",
    "ask": "Which law governs?",
    "document": {"document_id": "doc-1", "sha256": "ab", "media_type": "text/plain", "size": 7},
    "review_id": "r-1",
}
DECISION = {"verdict": "amend", "reviewer": "bob", "edits": [{"action": "set", "finding_id": "F1", "severity": "low"}]}
ADMISSION = {
    "key": {"tenant": "acme", "review_id": "r-1", "workflow_id": "review-acme-r-1"},
    "document": {"document_id": "doc-1", "sha256": "ab", "media_type": "text/plain", "size": 7},
    "playbook": "nda",
    "playbook_version": "1",
    "playbook_digest": "cd",
    "user_hash": "p1:u",
    "tenant_hash": "p1:t",
    "sla": {"remind_s": 60.0, "escalate_s": 120.0, "expire_s": 180.0},
    "signing": {"reviewers": ["bob"], "four_eyes_at": "never", "review_at": "high", "confidence": 0.5},
}
STATUS = {
    "review_id": "r-1",
    "workflow_id": "review-acme-r-1",
    "tenant": "acme",
    "stage": "done",
    "outcome": "approved",
    "route": "review",
    "screening": {
        "risk_score": 0.1,
        "band": "clean",
        "signals": [{"name": "s", "channel": "document", "score": 0.1, "explanation": "e"}],
    },
    "analysis": {
        "summary": "One finding.",
        "key_findings": [
            {
                "id": "F1",
                "clause": "term",
                "severity": "high",
                "statement": "It never ends.",
                "evidence": [{"quote": "for ever", "start": 3, "end": 11, "page": 1}],
            }
        ],
        "confidence": 0.9,
        "requires_human_review": True,
    },
    "decision": {"verdict": "approve", "reviewer": "bob", "at": "2026-11-22T12:00:00Z"},
    "usage": {"requests": 7, "input_tokens": 10, "output_tokens": 2, "cost_microusd": 0},
    "timings_ms": {"read": 12},
    "submitted_at": "2026-11-22T11:00:00Z",
}
STORED: tuple[tuple[type[Payload], dict[str, Any]], ...] = (
    (ReviewRequest, REQUEST),
    (Decision, DECISION),
    (Admission, ADMISSION),
    (ReviewStatus, STATUS),
)
"""As version 0.1.0 wrote them. Never edited: a new version gets entries of its own."""


def strangers(value: Any) -> Any:  # any JSON value
    """The same JSON with a field nobody knows in every object that a model stands for."""
    if isinstance(value, list):
        return [strangers(item) for item in value]
    if isinstance(value, dict) and not all(isinstance(item, int) for item in value.values()):
        return {"of_a_later_version": {"any": "thing"}, **{name: strangers(item) for name, item in value.items()}}
    return value


def parts(annotation: Any) -> list[type[Payload]]:  # whatever stands behind a colon
    """The payloads that a field's type names, at any depth."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, Payload) else []
    return [part for inner in get_args(annotation) for part in parts(inner)]


def reached() -> dict[str, type[Payload]]:
    """Every payload of the modules that workflow and activities exchange, and all that those are made of."""
    found: dict[str, type[Payload]] = {}
    waiting = [
        member
        for module in (payloads, steps, batches)
        for member in vars(module).values()
        if isinstance(member, type) and issubclass(member, Payload) and member is not Payload
    ]
    waiting.append(GateDecision)
    while waiting:
        model = waiting.pop()
        if model.__name__ not in found:
            found[model.__name__] = model
            waiting += [part for field in model.model_fields.values() for part in parts(field.annotation)]
    return found


def required(model: type[Payload]) -> list[str]:
    return sorted(name for name, field in model.model_fields.items() if field.is_required())


@pytest.mark.parametrize(("model", "stored"), STORED, ids=lambda given: getattr(given, "__name__", ""))
def test_what_the_last_version_wrote_is_read(model: type[Payload], stored: dict[str, Any]) -> None:
    read = model.model_validate_json(json.dumps(stored))
    assert read.model_dump(mode="json", exclude_unset=True) == stored
    assert model.model_validate_json(read.model_dump_json()) == read


@pytest.mark.parametrize(("model", "stored"), STORED, ids=lambda given: getattr(given, "__name__", ""))
def test_what_a_later_version_adds_is_ignored(model: type[Payload], stored: dict[str, Any]) -> None:
    assert model.model_validate_json(json.dumps(strangers(stored))) == model.model_validate(stored)


def test_fields_left_out_have_the_meaning_they_had() -> None:
    request = ReviewRequest.model_validate({"tenant": "acme", "user": "ana"})
    assert (request.playbook, request.ask, request.text) == ("nda", "", None)
    status = ReviewStatus.model_validate(STATUS)
    assert (status.stage, status.outcome, status.waiting_for) == (Stage.DONE, Outcome.APPROVED, None)
    decision = Decision.model_validate(DECISION)
    assert (decision.verdict, decision.edits[0].severity, decision.digest) == (Verdict.AMEND, Severity.LOW, None)


def test_no_payload_wants_a_field_that_running_reviews_do_not_have() -> None:
    baseline: dict[str, list[str]] = json.loads(BASELINE.read_text())
    models = reached()
    gone = sorted(baseline.keys() - models.keys())
    assert not gone, f"{', '.join(gone)}: stored histories hold them; keep the class, or its name as an alias"
    for name, known in baseline.items():
        new = sorted(set(required(models[name])) - set(known))
        assert not new, (
            f"{name}: {', '.join(new)} is a new required field, which no stored history has: every running review "
            "would fail to decode. Add a default that means what its absence meant"
        )


def test_the_baseline_knows_every_payload() -> None:
    new = sorted(reached().keys() - json.loads(BASELINE.read_text()).keys())
    lines = "".join(f"\n  {json.dumps(name)}: {json.dumps(required(reached()[name]))}," for name in new)
    assert not new, f"New payloads. Add them to {BASELINE.name}:{lines}"


def test_the_walk_goes_through_containers_and_unions() -> None:
    assert parts(tuple[payloads.Finding, ...]) == [payloads.Finding]
    assert parts(dict[str, payloads.Recall] | None) == [payloads.Recall]
    assert {"Evidence", "SlaPolicy", "Tier"} & reached().keys() == {"Evidence", "SlaPolicy"}


def test_the_readme_names_every_field_of_a_request() -> None:
    """A raw start with a bad input is told to look there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [name for name in ReviewRequest.model_fields if f"`{name}`" not in readme] == []
