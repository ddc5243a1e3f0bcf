"""Shadow reviews through the real workflow: nothing is released, nobody sees what the agents found before judging."""

from typing import Any

import pytest
from helpers.contracts import nda
from helpers.stack import MACHINE
from helpers.world import World, finished

from countersign.evidence.arms import CellKey
from countersign.evidence.audit_sample import AuditPolicy
from countersign.review.payloads import ReviewStatus
from countersign.shadow.judging import Label
from countersign.store.shadow import CaseLabels
from countersign.words import Autonomy, Outcome, Route, Severity, Verdict

BLIND = (*MACHINE[:-1],)
"""The machine's part of the trail of a shadow review: where the gate would have sent it stands after the judgement."""


async def item_of(world: World, status: ReviewStatus) -> Any:
    item = await world.services.evidence.item(status.workflow_id)
    assert item is not None
    return item


async def test_a_case_with_labels_is_compared_and_nobody_is_asked(world: World) -> None:
    shadow = world.services.shadow
    await shadow.open_run("cases", "run", {"digest": "d"})
    people = {
        "governing_law": Label(label="present", quote="of Ireland"),
        "confidentiality_term": Label(label="absent"),
    }
    await shadow.add("cases", "run", "labelled", 1, CaseLabels(people=(people,), name="a.md"))
    handle = await world.start("review-cases-labelled", tenant="cases", mode="shadow", text=nda())
    status = await finished(world, handle, "shadow_labelled")
    assert (status.outcome, status.decision, status.mode) == (Outcome.SHADOWED, None, "shadow")
    assert await world.events(handle.id) == [*BLIND, "gate:compared", "gate:revealed", "settle:ended"]
    item = await item_of(world, status)
    assert (item.source, item.run_id, item.agreement, item.route) == ("labels", "run", 0.5, Route.REVIEW)
    said = await world.services.evidence.said(item)
    assert said is not None
    assert (said.name, [clause.clause for clause in said.clauses if clause.agent != clause.person]) == (
        "a.md",
        ["confidentiality_term"],
    )
    assert (await shadow.run("cases", "run")).pairs == 1


async def test_a_person_judges_blind_and_sees_the_analysis_afterwards(world: World) -> None:
    tenant = "blind"
    await world.services.profile.grant(tenant, "lenient", "nda", Autonomy.AUTONOMOUS, by_hash="p1:t", reason="test")
    handle = await world.start(
        f"review-{tenant}-one", tenant=tenant, mode="shadow", text=nda("an unlimited time, in perpetuity,")
    )
    waiting = await world.until_signing(handle)
    assert waiting.analysis is not None
    assert (waiting.analysis.key_findings, waiting.route, waiting.route_reasons) == ((), None, ())
    row = await world.services.reviews.row("one", tenant=tenant)
    assert (row.findings, row.route) == (0, None)
    edits = [{"action": "add", "clause": "confidentiality_term", "severity": "medium", "statement": "in perpetuity"}]
    await world.decide(handle, Verdict.AMEND, "bob", edits=edits, digest=waiting.digest)
    status = await finished(world, handle, "shadow_blind")
    assert status.outcome is Outcome.SHADOWED, "an autonomous cell releases nothing in shadow mode"
    assert status.analysis is not None
    assert {finding.clause for finding in status.analysis.key_findings} >= {"confidentiality_term"}
    assert await world.events(handle.id) == [
        *BLIND,
        "sign:waiting",
        "sign:decided",
        "sign:revealed",
        "sign:compared",
        "settle:ended",
    ]
    item = await item_of(world, status)
    assert (item.source, item.agreement, item.propensity, item.least) == ("shadow", 1.0, 1.0, 1.0)


async def test_some_of_what_would_be_released_is_drawn_and_counts_with_its_propensity(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.services.evidence, "audit", AuditPolicy(semi_autonomous=0.999_999_999))
    await world.services.profile.grant("drawn", "lenient", "nda", Autonomy.SEMI_AUTONOMOUS, by_hash="p1:t", reason="t")
    handle = await world.start("review-drawn-audited", tenant="drawn", text=nda())
    waiting = await world.until_signing(handle)
    assert (waiting.route, waiting.autonomy) == (Route.REVIEW, Autonomy.SEMI_AUTONOMOUS)
    assert waiting.evidence is not None
    assert (waiting.evidence.audited, waiting.evidence.propensity) == (True, 0.999_999_999)
    missed = [{"action": "add", "clause": "liability", "severity": "critical", "statement": "missed"}]
    await world.decide(handle, Verdict.AMEND, "bob", edits=missed)
    status = await finished(world, handle, "audited")
    assert "learn:demoted" in await world.events(handle.id)
    item = await item_of(world, status)
    assert (item.critical, item.propensity, item.source) == (True, 0.999_999_999, "review")
    standing = await world.services.evidence.cells("drawn")
    assert [(row.autonomy, row.criticals) for row in standing] == [(Autonomy.SUPERVISED, 1)]
    [granted, demoted] = await world.services.evidence.history(CellKey("drawn", "lenient", "nda"))
    assert (granted.rule, demoted.rule) == ("override", "critical")


async def test_a_review_that_nobody_judges_expires_and_is_no_evidence(world: World) -> None:
    handle = await world.start("review-blind-nobody", tenant="blind", mode="shadow", text=nda())
    status = await finished(world, handle, "shadow_expired")
    assert status.outcome is Outcome.EXPIRED
    assert await world.services.evidence.item(status.workflow_id) is None
    assert status.analysis is not None
    assert max(finding.severity.rank for finding in status.analysis.key_findings) <= Severity.MEDIUM.rank
