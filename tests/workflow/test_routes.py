"""Every route of ReviewWorkflow, with real activities, real databases and the time-skipping Temporal server."""

from datetime import timedelta
from typing import Any

import pytest
from helpers.contracts import HOSTILE, nda
from helpers.stack import MACHINE, SIGNED
from helpers.world import Handle, World, finished
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError

from countersign.learning.lesson import Event
from countersign.review.payloads import Answer, Claim, ReviewStatus
from countersign.words import Autonomy, Outcome, RiskBand, Route, Severity, Verdict
from workflows.review import ReviewWorkflow


async def refusal(world: World, handle: Handle, verdict: Verdict, reviewer: str, **fields: Any) -> str:
    """The type of the error with which a decision is refused."""
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await world.decide(handle, verdict, reviewer, **fields)
    assert isinstance(refused.value.cause, ApplicationError)
    return str(refused.value.cause.type)


async def test_released(world: World) -> None:
    await world.services.profile.grant(
        "free", "lenient", "nda", Autonomy.SEMI_AUTONOMOUS, by_hash="p1:test", reason="test"
    )
    handle = await world.start("review-free-released", tenant="free", text=nda())
    status = await finished(world, handle, "released")
    assert (status.outcome, status.route, status.autonomy) == (
        Outcome.RELEASED,
        Route.RELEASE,
        Autonomy.SEMI_AUTONOMOUS,
    )
    assert await world.events(handle.id) == [*MACHINE, "settle:ended"]


async def test_approved(world: World) -> None:
    handle = await world.start("review-acme-approved", text=nda(), ask="Which law governs?", session="s1")
    waiting = await world.until_signing(handle)
    assert waiting.waiting_for == "reviewer"
    receipt = await world.decide(handle, Verdict.APPROVE, "bob", digest=waiting.digest)
    assert receipt.outcome is Outcome.APPROVED
    status = await finished(world, handle, "approved")
    assert (status.outcome, status.route) == (Outcome.APPROVED, Route.REVIEW)
    assert status.decision is not None
    assert status.decision.reviewer == "bob"
    assert await world.events(handle.id) == list(SIGNED)
    assert status.usage.requests >= 4
    assert status.usage.input_tokens > 0
    text = (await world.services.documents.get_text("acme", status.document.document_id)).text  # type: ignore[union-attr]
    evidence = [e for finding in status.analysis.key_findings for e in finding.evidence]  # type: ignore[union-attr]
    assert evidence
    assert all(text[e.start : e.end] == e.quote for e in evidence)
    rows = await world.services.trail.rows(handle.id)
    assert all((row.expires_at - row.created_at) == timedelta(days=2555) for row in rows)


async def test_amended_and_learned(world: World) -> None:
    handle = await world.start("review-acme-amended", text=nda("five (5) years"))
    waiting = await world.until_signing(handle)
    finding = next(f for f in waiting.analysis.key_findings if f.clause == "confidentiality_term")  # type: ignore[union-attr]
    edit = {"action": "set", "finding_id": finding.id, "severity": Severity.HIGH}
    await world.decide(handle, Verdict.AMEND, "bob", edits=[edit], note="five years is long here")
    status = await finished(world, handle, "amended")
    assert status.outcome is Outcome.AMENDED
    assert next(f for f in status.analysis.key_findings if f.id == finding.id).severity is Severity.HIGH  # type: ignore[union-attr]
    (kept,) = await world.services.corrections.lessons("acme", playbook="lenient")
    assert (kept.change, kept.by_hash) == (
        f"severity {finding.severity} -> high",
        world.services.pseudonyms.of("user", "bob"),
    )
    again = await world.start("review-acme-after-correction", text=nda("five (5) years", law="England"))
    recalled = await world.until_signing(again)
    corrected = next(f for f in recalled.analysis.key_findings if f.clause == "confidentiality_term")  # type: ignore[union-attr]
    assert (corrected.severity, corrected.corrections) == (Severity.HIGH, (kept.correction_id,))
    assert f"because of correction {kept.correction_id}" in corrected.statement
    await world.decide(again, Verdict.REJECT, "bob")
    assert (await again.result()).outcome is Outcome.REJECTED
    await world.services.corrections.record(
        kept.correction_id, Event.WITHDRAWN, by="bob", reason="was made by a test", tenant="acme"
    )


async def test_rejected_by_signal(world: World) -> None:
    handle = await world.start("review-acme-rejected", text=nda(law="Ruritania"))
    await world.until_signing(handle)
    await handle.signal("reject", {"reviewer": "bob", "note": "not this law"})
    status = await finished(world, handle, "rejected")
    assert status.outcome is Outcome.REJECTED
    assert await world.events(handle.id) == list(SIGNED)


async def test_asked_and_answered(world: World) -> None:
    handle = await world.start("review-acme-asked", text=nda())
    shown = await world.until_signing(handle)
    await world.decide(handle, Verdict.ASK, "bob", question="Which of our companies signs?")
    asked = await handle.query(ReviewWorkflow.status)
    assert (asked.waiting_for, asked.question) == ("requester", "Which of our companies signs?")
    await handle.execute_update(ReviewWorkflow.answer, Answer(user="ana", text="The Irish one"))
    assert await refusal(world, handle, Verdict.APPROVE, "bob", digest=shown.digest) == "DecisionRefused"
    await world.decide(handle, Verdict.APPROVE, "bob")
    status = await finished(world, handle, "asked")
    assert [answer.text for answer in status.answers] == ["The Irish one"]
    assert await world.events(handle.id) == [
        *MACHINE,
        "sign:waiting",
        "sign:asked",
        "sign:answered",
        "sign:decided",
        "learn:learned",
        "settle:ended",
    ]


async def test_four_eyes(world: World) -> None:
    handle = await world.start(
        "review-acme-four-eyes", playbook="strict", text=nda("an unlimited time, in perpetuity,")
    )
    waiting = await world.until_signing(handle)
    assert (waiting.route, waiting.signatures_missing) == (Route.FOUR_EYES, 2)
    receipt = await world.decide(handle, Verdict.APPROVE, "bob")
    assert (receipt.outcome, receipt.signatures_missing) == (None, 1)
    assert await refusal(world, handle, Verdict.APPROVE, "bob") == "DecisionRefused"
    await handle.signal("approve", {"reviewer": "eve"})
    status = await finished(world, handle, "four_eyes")
    assert status.outcome is Outcome.APPROVED
    assert [d.reviewer for d in status.decisions] == ["bob", "eve"]


async def test_claimed_then_approved(world: World) -> None:
    handle = await world.start("review-acme-claimed", text=nda())
    await world.until_signing(handle)
    first = await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="bob", lease_s=60))
    assert await refusal(world, handle, Verdict.APPROVE, "eve") == "DecisionRefused"
    with pytest.raises(WorkflowUpdateFailedError):
        await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="eve"))
    await world.env.sleep(timedelta(minutes=2))
    assert await refusal(world, handle, Verdict.APPROVE, "bob", claim=first.token) == "DecisionRefused"
    second = await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="eve"))
    assert (await handle.query(ReviewWorkflow.status)).claimed_by == "eve"
    await world.decide(handle, Verdict.APPROVE, "eve", claim=second.token)
    status = await finished(world, handle, "claimed")
    assert status.outcome is Outcome.APPROVED
    events = await world.events(handle.id)
    assert events[len(MACHINE) :] == [
        "sign:waiting",
        "sign:claimed",
        "sign:claimed",
        "sign:decided",
        "learn:learned",
        "settle:ended",
    ]


async def test_reminded_escalated_expired(world: World) -> None:
    handle = await world.start("review-acme-expired", text=nda())
    await world.until_signing(handle)
    await world.env.sleep(timedelta(hours=1, minutes=1))
    assert (await handle.query(ReviewWorkflow.status)).reminded
    await world.env.sleep(timedelta(hours=1))
    assert (await handle.query(ReviewWorkflow.status)).escalated
    status = await finished(world, handle, "expired")
    assert status.outcome is Outcome.EXPIRED
    events = await world.events(handle.id)
    assert events[len(MACHINE) :] == [
        "sign:waiting",
        "sign:reminded",
        "sign:escalated",
        "sign:expired",
        "settle:ended",
    ]
    assert timedelta(hours=3) <= status.ended_at - status.submitted_at < timedelta(hours=4)  # type: ignore[operator]


async def test_escalated_then_approved(world: World) -> None:
    handle = await world.start("review-acme-escalated", text=nda())
    await world.until_signing(handle)
    await world.env.sleep(timedelta(hours=2, minutes=1))
    await world.decide(handle, Verdict.APPROVE, "lead")
    status = await finished(world, handle, "escalated")
    assert (status.outcome, status.escalated) == (Outcome.APPROVED, True)


async def test_blocked(world: World) -> None:
    handle = await world.start("review-acme-blocked", text=HOSTILE)
    status = await finished(world, handle, "blocked")
    assert (status.outcome, status.route) == (Outcome.BLOCKED, Route.BLOCK)
    assert status.screening is not None
    assert status.screening.band is RiskBand.BLOCKED
    assert status.failure is not None
    assert status.failure.type == "ReviewBlocked"
    assert await world.events(handle.id) == ["submit:admitted", "read:read", "screen:screened", "settle:ended"]


async def test_failed_document(world: World) -> None:
    handle = await world.start("review-acme-failed", text="Mix the flour with the butter, then bake for an hour.")
    status = await finished(world, handle, "failed")
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.FAILED, "DocumentError")
    assert await world.events(handle.id) == ["submit:admitted", "settle:ended"]


@pytest.mark.parametrize(
    ("request_fields", "error", "names"),
    [
        ({"text": nda(), "tenant": "Not A Tenant!"}, "InvalidRequest", "tenant"),
        ({"text": nda(), "user": ""}, "InvalidRequest", "user"),
        ({"text": nda(), "playbook": "unheard_of"}, "PlaybookError", "playbook"),
        ({}, "InvalidRequest", "document"),
    ],
)
async def test_bad_requests_end_as_failed_and_say_why(
    world: World, request_fields: dict[str, Any], error: str, names: str
) -> None:
    handle = await world.start(f"bad-{error}-{names}", **request_fields)
    status = await handle.result()
    assert status.outcome is Outcome.FAILED
    assert status.failure is not None
    assert status.failure.type == error
    assert names in status.failure.message


async def test_any_json_is_a_definite_answer(world: World) -> None:
    handle = await world.client.start_workflow(
        "ReviewWorkflow", ["not", "an", "object"], id="bad-list", task_queue="reviews", result_type=ReviewStatus
    )
    status = await handle.result()
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.FAILED, "InvalidRequest")


async def test_no_input_at_all_is_a_definite_answer(world: World) -> None:
    handle = await world.client.start_workflow(
        "ReviewWorkflow", id="bad-nothing", task_queue="reviews", result_type=ReviewStatus
    )
    status = await handle.result()
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.FAILED, "InvalidRequest")


async def test_a_second_workflow_cannot_take_a_review_id(world: World) -> None:
    first = await world.start("review-acme-taken", text=nda())
    await world.until_signing(first)
    second = await world.start("another-workflow", text=nda(law="England"), review_id="taken")
    status = await second.result()
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.FAILED, "InvalidRequest")
    await world.decide(first, Verdict.REJECT, "bob")
    assert (await first.result()).outcome is Outcome.REJECTED


async def test_a_second_run_cannot_write_over_the_first(world: World) -> None:
    first = await world.start("review-acme-rerun", text=nda())
    await world.until_signing(first)
    await world.decide(first, Verdict.APPROVE, "bob")
    assert (await first.result()).outcome is Outcome.APPROVED
    again = await world.start("review-acme-rerun", text=nda())
    status = await again.result()
    assert (status.outcome, status.failure and status.failure.type) == (Outcome.FAILED, "InvalidRequest")
    assert await world.events(first.id) == list(SIGNED)
    assert (await world.services.reviews.row("rerun", tenant="acme")).outcome is Outcome.APPROVED


async def test_wrong_signals_are_refused_and_written_down(world: World) -> None:
    handle = await world.start("review-acme-forged", text=nda())
    await world.until_signing(handle)
    await handle.signal("approve", {"reviewer": "ana"})
    await handle.signal("approve", "no object")
    await handle.signal("approve")
    await handle.signal("amend", {"reviewer": "bob"})
    await handle.signal("answer", {"user": "ana", "text": "nobody asked"})
    assert await refusal(world, handle, Verdict.APPROVE, "ana") == "DecisionRefused"
    await world.decide(handle, Verdict.APPROVE, "bob")
    status = await finished(world, handle, "refused_signals")
    assert status.outcome is Outcome.APPROVED
    refused = [row for row in await world.services.trail.rows(handle.id) if row.event == "refused"]
    assert [row.facts["tried"] for row in refused] == ["approve", "approve", "approve", "amend", "answer"]
    assert [row.facts["rule"] for row in refused] == ["requester", "", "", "no_edits", "no_question"]
    assert refused[0].actor_hash == refused[0].user_hash
    assert [row.actor_hash is None for row in refused] == [False, True, True, False, False]


async def test_memory_degrades_softly(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise ConnectionError("away")

    monkeypatch.setattr(type(world.services.session), "recall", away)
    monkeypatch.setattr(type(world.services.knowledge), "search", away)
    await world.services.profile.grant("soft", "lenient", "nda", Autonomy.AUTONOMOUS, by_hash="p1:test", reason="test")
    handle = await world.start("review-soft-degraded", tenant="soft", text=nda(law="Ruritania"), session="s")
    status = await finished(world, handle, "degraded")
    assert status.degraded == ("memory: session", "memory: knowledge")
    assert (status.outcome, status.autonomy) == (Outcome.RELEASED, Autonomy.SEMI_AUTONOMOUS)


async def test_a_silent_sentinel_means_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ApplicationError("sentinel is out", non_retryable=True)

    monkeypatch.setattr("activities.screen.screen", broken)
    await world.services.profile.grant("blind", "lenient", "nda", Autonomy.AUTONOMOUS, by_hash="p1:test", reason="t")
    handle = await world.start("review-blind-unscreened", tenant="blind", text=nda())
    status = await world.until_signing(handle)
    assert (status.route, status.autonomy, status.screening) == (Route.REVIEW, Autonomy.SUPERVISED, None)
    await world.decide(handle, Verdict.APPROVE, "bob")
    assert "screen:not_screened" in await world.events(handle.id)
    await finished(world, handle, "unscreened")


async def test_no_model_sends_what_is_known_to_a_person(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ApplicationError("no provider", type="ModelRejected", non_retryable=True)

    monkeypatch.setattr("activities.agents.resolve_model", broken)
    handle = await world.start("review-acme-no-model", text=nda())
    status = await world.until_signing(handle)
    assert status.analysis is not None
    assert status.analysis.confidence == 0.0
    assert {"intent", "planner", "specialist term", "specialist data"} <= set(status.degraded)
    await world.decide(handle, Verdict.REJECT, "bob")
    assert (await finished(world, handle, "no_model")).outcome is Outcome.REJECTED


async def test_a_cancelled_review_leaves_its_trail(world: World) -> None:
    handle = await world.start("review-acme-cancelled", text=nda())
    await world.until_signing(handle)
    await handle.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await handle.result()
    assert isinstance(failed.value.cause, CancelledError)
    row = await world.services.reviews.row("cancelled", tenant="acme")
    assert row.outcome is Outcome.FAILED
    assert (await world.events(handle.id))[-1] == "settle:ended"
