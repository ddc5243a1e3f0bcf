"""A correction on one contract, and what it does to the next: the mistake is not made again, until it is taken back."""

from typing import Any

from helpers.contracts import nda
from helpers.world import Handle, World

from countersign.learning.lesson import Event, Lesson
from countersign.review.payloads import Finding, ReviewStatus
from countersign.words import Autonomy, Outcome, Route, Severity, Verdict

CLAUSE = "confidentiality_term"
FIVE = "five (5) years"


def other_contract() -> str:
    """Another contract, of other parties under another law, with the same clause on confidentiality."""
    return (
        nda(FIVE, law="England")
        .replace("Northwind Instruments Limited", "Castellan Optics plc")
        .replace("Northwind", "Castellan")
        .replace("Halden Labs B.V.", "Ostrava Systems s.r.o.")
        .replace("Halden", "Ostrava")
        .replace("two (2) years", "eighteen (18) months")
    )


def about(status: ReviewStatus, clause: str = CLAUSE) -> Finding:
    assert status.analysis is not None
    return next(finding for finding in status.analysis.key_findings if finding.clause == clause)


async def amended(world: World, number: str, reviewer: str = "bob", tenant: str = "learns", **edit: Any) -> Handle:
    """A review of the first contract in which `reviewer` changes the finding on the clause."""
    handle = await world.start(f"review-{tenant}-{number}", tenant=tenant, text=nda(FIVE))
    finding = about(await world.until_signing(handle))
    edits = [{"action": "set", "finding_id": finding.id, **edit}]
    await world.decide(handle, Verdict.AMEND, reviewer, edits=edits, note="we sign this every week")
    assert (await handle.result()).outcome is Outcome.AMENDED
    return handle


async def analysed(world: World, number: str, tenant: str = "learns", **request: Any) -> ReviewStatus:
    """The other contract as a reviewer is shown it."""
    given = {"tenant": tenant, "text": other_contract(), **request}
    handle = await world.start(f"review-{tenant}-{number}", **given)
    status = await world.until_signing(handle)
    await world.decide(handle, Verdict.REJECT, "kim")
    await handle.result()
    return status


async def newest(world: World, tenant: str = "learns") -> Lesson:
    lessons = await world.services.corrections.lessons(tenant)
    return next(lesson for lesson in lessons if lesson.clause == CLAUSE)


async def test_the_same_mistake_is_not_made_again_until_the_correction_is_withdrawn(world: World) -> None:
    before = await analysed(world, "before")
    assert about(before).severity is Severity.LOW
    await amended(world, "first", severity="info")
    lesson = await newest(world)
    after = about(await analysed(world, "after"))
    assert (after.severity, after.uncorrected, after.corrections) == (
        Severity.INFO,
        Severity.LOW,
        (lesson.correction_id,),
    )
    assert after.statement.endswith(f"(because of correction {lesson.correction_id})")
    assert after.evidence == about(before).evidence
    unlike = about(await analysed(world, "unlike", text=nda("an unlimited time, in perpetuity,")))
    assert unlike.corrections == ()

    await world.services.corrections.record(
        lesson.correction_id, Event.WITHDRAWN, by="eve", reason="it was a slip", tenant="learns"
    )
    restored = await analysed(world, "withdrawn")
    assert before.analysis is not None
    assert restored.analysis is not None
    assert restored.analysis.model_dump_json() == before.analysis.model_dump_json()
    assert (restored.route, restored.route_reasons) == (before.route, before.route_reasons)


async def test_another_tenant_learns_nothing(world: World) -> None:
    await amended(world, "mine", tenant="teacher", severity="critical")
    assert about(await analysed(world, "theirs", tenant="stranger")).severity is Severity.LOW


async def test_opposite_corrections_cancel_each_other_and_a_person_is_told(world: World) -> None:
    await amended(world, "down", tenant="torn", severity="info")
    handle = await world.start("review-torn-up", tenant="torn", text=nda(FIVE))
    finding = about(await world.until_signing(handle))
    assert finding.severity is Severity.INFO
    await world.decide(
        handle, Verdict.AMEND, "eve", edits=[{"action": "set", "finding_id": finding.id, "severity": "high"}]
    )
    await handle.result()
    status = await analysed(world, "torn", tenant="torn")
    assert (about(status).severity, about(status).corrections) == (Severity.LOW, ())
    assert any(f"on {CLAUSE} (suspended: they contradict each other)" in what for what in status.degraded)


async def test_a_lowered_finding_still_goes_to_the_people_it_went_to(world: World) -> None:
    """A critical clause, lowered by two people in two reviews: it reads as low, and two people still sign."""
    tenant, text = "routed", nda("an unlimited time, in perpetuity,", law="Ruritania")
    await world.services.profile.grant(
        tenant, "strict", "nda", Autonomy.SEMI_AUTONOMOUS, by_hash="p1:test", reason="test"
    )
    for number in (1, 2):
        handle = await world.start(f"review-{tenant}-{number}", tenant=tenant, playbook="strict", text=text)
        finding = about(await world.until_signing(handle))
        assert finding.severity is Severity.CRITICAL, "one review is not enough"
        edits = [{"action": "set", "finding_id": finding.id, "severity": "low"}]
        await world.decide(handle, Verdict.AMEND, "bob", edits=edits)
        await world.decide(handle, Verdict.APPROVE, "eve")
        assert (await handle.result()).outcome is Outcome.AMENDED
    status = await analysed(world, "third", tenant=tenant, playbook="strict", text=text)
    lowered = about(status)
    assert (lowered.severity, lowered.uncorrected) == (Severity.LOW, Severity.CRITICAL)
    assert (status.route, status.signatures_missing) == (Route.FOUR_EYES, 2)
    assert status.analysis is not None
    assert status.analysis.requires_human_review
