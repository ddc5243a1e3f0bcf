"""A vigilance probe in a whole review: the reviewer sees it, nobody else does, and nothing that lasts knows of it."""

import json
from collections.abc import AsyncIterator

import pytest
from helpers.contracts import DUTIES, nda
from helpers.stack import SIGNED, WAITING
from helpers.world import Handle, World, ended
from temporalio.client import WorkflowUpdateFailedError

from countersign.review.payloads import Claim, EffectDecision, Finding, ReviewStatus
from countersign.vigilance.rates import catch_rates
from countersign.words import EffectState, Outcome, Severity, Verdict
from workflows.review import ReviewWorkflow

TENANT = "watched"
TEXT = nda("three (3) years", law="England").replace(
    "The courts of that country have\nexclusive", "They have\nexclusive"
)
FOUND = "confidentiality_term"
FEES = """5. Fees
The fees are stated in Schedule Q. Invoices are due within twenty (20) days of their date.

"""


@pytest.fixture(autouse=True)
async def watched(world: World) -> AsyncIterator[None]:
    """Every review of the tenant carries a probe."""
    await world.services.limits.change(TENANT, None, {"probe_share": 1}, by_hash="p1:test", reason="test")
    yield
    await world.services.limits.change(TENANT, None, None, by_hash="p1:test", reason="test")


async def waiting(world: World, number: str, **request: object) -> tuple[Handle, ReviewStatus, ReviewStatus, Finding]:
    """A review that waits, as its reviewer and as its requester see it, and the probe."""
    given = {"playbook": "watched", "text": TEXT, **request}
    handle = await world.start(f"review-{TENANT}-{number}", tenant=TENANT, **given)
    shown = await world.until_signing(handle)
    real = await handle.query(ReviewWorkflow.status_without_probe)
    assert shown.analysis is not None
    assert real.analysis is not None
    known = {finding.clause for finding in real.analysis.key_findings}
    (probe,) = [finding for finding in shown.analysis.key_findings if finding.clause not in known]
    assert len(shown.analysis.key_findings) == len(real.analysis.key_findings) + 1
    return handle, shown, real, probe


async def assert_nothing_lasts(world: World, handle: Handle, real: ReviewStatus, probe: Finding) -> None:
    """Neither status, projection, trail nor corrections have a word of the probe."""
    row = await world.services.reviews.row(handle.id.removeprefix(f"review-{TENANT}-"), tenant=TENANT)
    projected = await world.services.reviews.status(row.review_id, tenant=TENANT)
    status = await handle.query(ReviewWorkflow.status)
    rows = await world.services.trail.rows(handle.id)
    lessons = await world.services.corrections.lessons(TENANT)
    lasting = [
        status.model_dump_json(),
        projected.model_dump_json(),
        json.dumps([entry.facts for entry in rows]),
        *(lesson.model_dump_json() for lesson in lessons),
    ]
    assert not any(probe.statement in text or probe.clause in text for text in lasting)
    assert real.analysis is not None
    assert status.analysis is not None
    assert status.analysis.summary == real.analysis.summary


async def test_who_lets_it_pass_signs_the_rest_and_is_told(world: World) -> None:
    handle, shown, real, probe = await waiting(world, "probe-missed")
    receipt = await world.decide(handle, Verdict.APPROVE, "careless", digest=shown.digest)
    assert (receipt.outcome, receipt.notice) == (
        Outcome.APPROVED,
        f"{probe.id} was a vigilance probe, a finding known to be wrong, "
        "and you let it pass. It is gone; the rest counts",
    )
    status = await ended(handle, "probed")
    assert status.analysis == real.analysis
    assert (await world.events(handle.id)) == [*WAITING, "sign:probed", *SIGNED[len(WAITING) :]]
    await assert_nothing_lasts(world, handle, real, probe)


async def test_who_takes_it_out_has_approved_the_rest(world: World) -> None:
    handle, shown, real, probe = await waiting(world, "probe-caught")
    edits = [{"action": "remove", "finding_id": probe.id}]
    receipt = await world.decide(handle, Verdict.AMEND, "careful", digest=shown.digest, edits=edits)
    assert receipt.outcome is Outcome.APPROVED
    assert "you caught it" in receipt.notice
    status = await handle.result()
    assert status.analysis == real.analysis
    assert [decision.edits for decision in status.decisions] == [()]
    await assert_nothing_lasts(world, handle, real, probe)


async def test_an_approved_effect_knows_nothing_of_the_probe(world: World) -> None:
    """The probe moves the ids of real findings, also of those that an effect rests on."""
    text = DUTIES.replace(FEES, "")
    handle, shown, real, _ = await waiting(world, "probe-effect", playbook="dutiful", text=text)
    (effect,) = shown.effects
    ids = [{one.clause: one.id for one in seen.analysis.key_findings} for seen in (shown, real) if seen.analysis]
    assert ids[0]["return_or_destruction"] != ids[1]["return_or_destruction"]
    await handle.execute_update(ReviewWorkflow.approve_effect, EffectDecision(item=effect.item, reviewer="bob"))
    await handle.signal("reconsider_signing")
    await handle.execute_update(ReviewWorkflow.claim, Claim(reviewer="bob"))
    (still,) = (await handle.query(ReviewWorkflow.status)).effects
    assert (still.state, still.version) == (EffectState.APPROVED, effect.version)
    await world.decide(handle, Verdict.APPROVE, "bob", digest=shown.digest)
    (done,) = (await handle.result()).effects
    assert (done.state, done.version) == (EffectState.DONE, effect.version)
    assert not any(event.endswith(":reopened") for event in await world.events(handle.id))


async def test_an_amendment_means_the_finding_it_was_shown_on(world: World) -> None:
    handle, shown, real, probe = await waiting(world, "probe-amended")
    assert shown.analysis is not None
    law = next(finding for finding in shown.analysis.key_findings if finding.clause == "governing_law")
    edits = [
        {"action": "set", "finding_id": law.id, "severity": "critical"},
        {"action": "set", "finding_id": probe.id, "severity": "info"},
    ]
    await world.decide(handle, Verdict.AMEND, "careful", edits=edits, note=f"{law.id} is grave")
    status = await handle.result()
    assert status.outcome is Outcome.AMENDED
    assert status.analysis is not None
    assert real.analysis is not None
    changed = [one for one in status.analysis.key_findings if one not in real.analysis.key_findings]
    assert [(one.clause, one.severity) for one in changed] == [("governing_law", Severity.CRITICAL)]
    (lesson,) = await world.services.corrections.lessons(TENANT, playbook="watched")
    assert (lesson.clause, lesson.finding_id) == ("governing_law", changed[0].id)
    await assert_nothing_lasts(world, handle, real, probe)


@pytest.mark.parametrize(("verdict", "fields"), [(Verdict.REJECT, {}), (Verdict.ASK, {"question": "Is it so?"})])
async def test_what_may_be_owed_to_it_is_decided_again(world: World, verdict: Verdict, fields: dict[str, str]) -> None:
    handle, shown, real, probe = await waiting(world, f"probe-again-{verdict}")
    first = await world.decide(handle, verdict, "careful", digest=shown.digest, decision_id="d1", **fields)
    assert (first.outcome, first.signatures_missing) == (None, 1)
    assert "does not count" in first.notice
    assert not first.counted
    after = await handle.query(ReviewWorkflow.status)
    assert (after.analysis, after.question, after.decisions) == (real.analysis, None, ())
    with pytest.raises(WorkflowUpdateFailedError):  # bound to what is no longer shown
        await world.decide(handle, Verdict.APPROVE, "careful", digest=shown.digest)
    again = await world.decide(handle, verdict, "careful", digest=shown.digest, decision_id="d1", **fields)
    assert again == first, "a retry is the same decision, and counts as little"
    last = await world.decide(handle, Verdict.REJECT, "careful", digest=after.digest)
    assert (last.outcome, last.notice) == (Outcome.REJECTED, "")
    await handle.result()
    await assert_nothing_lasts(world, handle, real, probe)


async def test_it_is_gone_when_nobody_decides(world: World) -> None:
    from datetime import timedelta

    handle, _, real, probe = await waiting(world, "probe-expired")
    await world.env.sleep(timedelta(hours=4))
    status = await handle.result()
    assert (status.outcome, status.analysis) == (Outcome.EXPIRED, real.analysis)
    await assert_nothing_lasts(world, handle, real, probe)


async def test_rates_are_counted_by_reviewer_with_their_interval(world: World) -> None:
    tenant_rates = {rate.reviewer: rate for rate in await catch_rates(world.services.db, TENANT)}
    for name, verdicts in (("sharp", [Verdict.REJECT]), ("tired", [Verdict.APPROVE])):
        for verdict in verdicts:
            handle, *_ = await waiting(world, f"probe-rate-{name}")
            await world.decide(handle, verdict, name)
            if verdict is Verdict.REJECT:
                await world.decide(handle, Verdict.APPROVE, name)
            await handle.result()
    after = {rate.reviewer: rate for rate in await catch_rates(world.services.db, TENANT)}
    new = {name: after[world.services.pseudonyms.of("user", name)] for name in ("sharp", "tired")}
    assert (new["sharp"].caught, new["sharp"].probes, new["tired"].caught, new["tired"].probes) == (1, 1, 0, 1)
    assert (new["tired"].low, new["sharp"].high) == (0.0, 1.0)
    assert set(tenant_rates) <= set(after)
    assert await catch_rates(world.services.db, "nobody") == ()
