"""Who signs, as data: groups, delegates, leads, time for second thoughts, signed decisions, in real workflows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
from helpers.contracts import nda
from helpers.stack import MACHINE
from helpers.world import Handle, World, finished
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from countersign.review.payloads import Claim, Decision, Receipt, ReviewStatus
from countersign.review.proof import SigningKey
from countersign.words import Outcome, Verdict
from workflows.review import ReviewWorkflow

T = TypeVar("T")
GATEWAY, BOB, STRANGER = SigningKey(b"g" * 32), SigningKey(b"b" * 32), SigningKey(b"s" * 32)
BY: dict[str, Any] = {"by_hash": "p1:test"}
MEMBERS = {"legal": ("bob", "eve"), "leads": ("lea",)}


async def begun(world: World, name: str, playbook: str, **request: Any) -> tuple[Handle, ReviewStatus, str]:
    """A review of a tenant of its own, whose groups are `MEMBERS`; it waits for a person."""
    tenant = name
    for group, people in MEMBERS.items():
        for person in people:
            await world.services.people.add_member(tenant, group, person, **BY)
    given = {"text": nda(), "playbook": playbook, **request}
    handle = await world.start(f"review-{tenant}-{name}", tenant=tenant, **given)
    return handle, await world.until_signing(handle), tenant


async def refused(world: World, handle: Handle, given: Decision) -> str:
    """The rule by which an update is refused."""
    with pytest.raises(WorkflowUpdateFailedError) as error:
        await handle.execute_update(ReviewWorkflow.decide, given)
    assert isinstance(error.value.cause, ApplicationError)
    assert error.value.cause.type == "DecisionRefused"
    return str(error.value.cause.details[1])


async def once_heard(rule: str, act: Callable[[], Awaitable[T]]) -> T:
    """What `act` gives once it is not refused by `rule`: a signal is heard at once, what it asks Postgres for later."""
    while True:
        try:
            return await act()
        except WorkflowUpdateFailedError as error:
            assert isinstance(error.cause, ApplicationError)
            assert error.cause.details[1] == rule


async def until(handle: Handle, condition: Any) -> ReviewStatus:
    """The status once `condition` holds of it."""
    while True:
        status = await handle.query(ReviewWorkflow.status)
        if condition(status):
            return status
        await asyncio.sleep(0.02)


def approval(reviewer: str, **fields: Any) -> Decision:
    return Decision.model_validate({"verdict": Verdict.APPROVE, "reviewer": reviewer, **fields})


async def proven(world: World, handle: Handle, given: Decision, key: SigningKey, tenant: str) -> Decision:
    status = await handle.query(ReviewWorkflow.status)
    bound = given.model_copy(update={"digest": status.digest, "decision_id": f"d-{given.reviewer}-{given.verdict}"})
    at = await world.env.get_current_time()
    return bound.model_copy(update={"proof": key.prove(bound, (tenant, tenant), at.astimezone(UTC))})


async def test_a_group_signs_and_changes_of_it_reach_a_running_review(world: World) -> None:
    people = world.services.people
    handle, waiting, tenant = await begun(world, "groups", "grouped", text=nda("five (5) years"))
    assert waiting.signatures_missing in {1, 2}
    assert await refused(world, handle, approval("joe")) == "not_allowed"
    await people.add_member(tenant, "legal", "joe", **BY)
    await handle.signal("reconsider_signing")
    claim = Claim(reviewer="joe")
    await once_heard("not_allowed", lambda: handle.execute_update(ReviewWorkflow.claim, claim))
    receipt = await world.decide(handle, Verdict.REJECT, "joe")
    assert (receipt.outcome, receipt.pending) == (Outcome.REJECTED, None), "it takes effect before it is answered"
    status = await finished(world, handle, "groups")
    assert status.outcome is Outcome.REJECTED
    assert "sign:took_effect" in await world.events(handle.id)


async def test_a_decision_is_withdrawn_before_anything_follows_from_it(world: World) -> None:
    handle, _, _ = await begun(world, "undo", "undoable")
    first = await world.decide(handle, Verdict.APPROVE, "bob", decision_id="d1")
    assert (first.outcome, first.pending, first.signatures_missing) == (None, Outcome.APPROVED, 0)
    assert first.pending_until is not None
    left = first.pending_until - await world.env.get_current_time()
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    pending = await handle.query(ReviewWorkflow.status)
    assert (pending.pending, pending.waiting_for, pending.outcome) == (Outcome.APPROVED, None, None)
    assert await refused(world, handle, approval("eve")) == "pending"
    await handle.signal("withdraw", {"reviewer": "eve"})
    receipt = await world.decide(handle, Verdict.WITHDRAW, "bob")
    assert (receipt.pending, receipt.signatures_missing) == (None, 1)
    again: Receipt = await world.decide(handle, Verdict.APPROVE, "bob", decision_id="d1")
    assert again.pending is Outcome.APPROVED, "a repeated decision is answered as the first time"
    assert (await handle.query(ReviewWorkflow.status)).pending is None, "and does not count again"
    await world.decide(handle, Verdict.APPROVE, "eve")
    status = await finished(world, handle, "undo")
    assert (status.outcome, status.decision and status.decision.reviewer) == (Outcome.APPROVED, "eve")
    assert [record.void for record in status.decisions] == ["withdrawn", "", ""]
    assert await world.events(handle.id) == [
        *MACHINE,
        "sign:waiting",
        "sign:decided",
        "sign:refused",
        "sign:withdrawn",
        "sign:decided",
        "sign:took_effect",
        "learn:learned",
        "settle:ended",
    ]


async def test_who_has_left_the_group_when_it_takes_effect_has_not_signed(world: World) -> None:
    handle, _, tenant = await begun(world, "fallen", "undoable")
    await world.decide(handle, Verdict.APPROVE, "bob")
    await world.services.people.remove_member(tenant, "legal", "bob", **BY)
    with world.env.auto_time_skipping_disabled():
        await world.env.sleep(timedelta(minutes=31))
    status = await until(handle, lambda found: found.waiting_for == "reviewer")
    assert (status.signatures_missing, status.decisions[0].void) == (1, "not_allowed")
    await world.decide(handle, Verdict.APPROVE, "eve")
    status = await finished(world, handle, "fallen")
    assert status.outcome is Outcome.APPROVED
    rows = await world.services.trail.rows(handle.id)
    fallen = next(row for row in rows if row.event == "fallen")
    assert fallen.facts == {"verdict": "approve", "rule": "not_allowed"}
    assert fallen.actor_hash == world.services.pseudonyms.of("user", "bob")
    assert [row.event for row in rows if row.stage == "sign"] == [
        *("waiting", "decided", "fallen", "reopened", "decided", "took_effect")
    ]


async def test_a_forged_decision_does_not_count_and_is_written_down(world: World) -> None:
    people = world.services.people
    await people.add_gateway_key(GATEWAY.public)
    await people.require_signed("signed", True, **BY)
    await people.add_key("signed", "bob", BOB.public, **BY)
    handle, waiting, tenant = await begun(world, "signed", "lenient")
    assert waiting.signed_only
    forged = {"reviewer": "eve", "digest": waiting.digest, "decision_id": "x"}
    await handle.signal("approve", forged)
    bad = await proven(world, handle, approval("eve"), STRANGER, tenant)
    await handle.signal("approve", {**bad.model_dump(mode="json", exclude={"verdict"})})
    stolen = await proven(world, handle, approval("eve"), BOB, tenant)
    assert await refused(world, handle, stolen) == "proof"
    good = await proven(world, handle, approval("eve"), GATEWAY, tenant)
    moved = good.model_copy(update={"note": "and more"})
    assert await refused(world, handle, moved) == "proof"
    receipt = await handle.execute_update(ReviewWorkflow.decide, good)
    assert receipt.outcome is Outcome.APPROVED
    status = await finished(world, handle, "signed")
    assert status.decision is not None
    assert status.decision.signed_with == GATEWAY.key_id
    rows = await world.services.trail.rows(handle.id)
    assert [row.facts["rule"] for row in rows if row.event == "refused"] == ["unsigned", "unknown_key"]
    assert [row.facts["signed_with"] for row in rows if row.event == "decided"] == [GATEWAY.key_id]


async def test_a_key_registered_while_the_review_waits_is_heard_of(world: World) -> None:
    await world.services.people.require_signed("latekey", True, **BY)
    handle, _, tenant = await begun(world, "latekey", "lenient")
    given = await proven(world, handle, approval("eve"), SigningKey(b"l" * 32), tenant)
    assert await refused(world, handle, given) == "unknown_key"
    await world.services.people.add_key(tenant, "eve", SigningKey(b"l" * 32).public, **BY)
    await handle.signal("reconsider_signing")
    proof = proof_fields(await later(world, handle, tenant))
    await once_heard("unknown_key", lambda: world.decide(handle, Verdict.REJECT, "eve", **proof))
    assert (await handle.result()).outcome is Outcome.REJECTED


async def later(world: World, handle: Handle, tenant: str) -> Decision:
    rejection = Decision(verdict=Verdict.REJECT, reviewer="eve")
    return await proven(world, handle, rejection, SigningKey(b"l" * 32), tenant)


def proof_fields(given: Decision) -> dict[str, Any]:
    return given.model_dump(include={"digest", "decision_id", "proof"})


async def test_a_delegate_signs_and_both_are_on_the_trail(world: World) -> None:
    until_then = datetime(2100, 1, 1, tzinfo=UTC)
    await world.services.people.set_absence("delegated", "bob", until_then, "dan", **BY)
    handle, _, _ = await begun(world, "delegated", "undoable")
    assert await refused(world, handle, approval("dan")) == "not_allowed"
    await world.decide(handle, Verdict.APPROVE, "dan", on_behalf_of="bob")
    status = await finished(world, handle, "delegated")
    assert status.outcome is Outcome.APPROVED
    decided = next(row for row in await world.services.trail.rows(handle.id) if row.event == "decided")
    hashes = [world.services.pseudonyms.of("user", name) for name in ("dan", "bob")]
    assert [decided.actor_hash, decided.facts["concerns"]] == hashes


async def test_a_claim_that_sleeps_is_offered_on_and_a_lead_signs_what_is_escalated(world: World) -> None:
    handle, _, _ = await begun(world, "sleepy", "grouped")
    await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="bob", lease_s=86_400))
    assert await refused(world, handle, approval("lea")) == "not_allowed"
    with world.env.auto_time_skipping_disabled():
        await world.env.sleep(timedelta(hours=1, minutes=35))
    status = await until(handle, lambda found: found.claimed_by is None)
    assert (status.reminded, status.escalated) == (True, False)
    token = (await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="lea", assign_to="eve"))).token
    assert token == 2
    await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="lea", release=True))
    with world.env.auto_time_skipping_disabled():
        await world.env.sleep(timedelta(minutes=30))
    await until(handle, lambda found: found.escalated)
    receipt = await world.decide(handle, Verdict.REJECT, "lea")
    assert receipt.outcome is Outcome.REJECTED
    await finished(world, handle, "reassigned")
    rows = await world.services.trail.rows(handle.id)
    assert next(row for row in rows if row.event == "reassigned").facts == {"given_back": True}
    assert [row.event for row in rows if row.stage == "sign"] == [
        *(
            "waiting",
            "claimed",
            "reminded",
            "reassigned",
            "assigned",
            "unclaimed",
            "escalated",
            "decided",
            "took_effect",
        )
    ]
