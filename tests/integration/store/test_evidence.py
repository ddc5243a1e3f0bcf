"""Autonomy by evidence on real Postgres, through the activity that is the only one to write it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers.gate import services_on
from helpers.store import MARK, dump
from temporalio.testing import ActivityEnvironment

from activities.evidence import Evidence
from countersign.errors import DecisionRefused, NotFound
from countersign.evidence.arms import Arm, CellKey
from countersign.evidence.level import EvidencePolicy
from countersign.review.payloads import (
    Admission,
    CellStanding,
    DocumentRef,
    Edit,
    Finding,
    GateEvidence,
    ReviewKey,
)
from countersign.review.steps import ObserveInput, ObserveResult
from countersign.services import Services
from countersign.shadow.judging import Label
from countersign.store.evidence_rows import CellRow
from countersign.store.shadow import CaseLabels
from countersign.words import Autonomy, Mode, Position, Route, Severity, Verdict

if TYPE_CHECKING:
    from redis.asyncio import Redis

CELL = CellKey("acme", "lenient", "nda")
FIRST = Arm(models={"default": "a"}, prompts={"plan": "p"}, playbook_digest="d", code_version="1")
SECOND = FIRST.model_copy(update={"models": {"default": "b"}})
AT = datetime(2026, 3, 4, tzinfo=UTC)
FINDING = Finding(id="F1", clause="term", severity=Severity.LOW, statement=MARK, position=Position.FALLBACK)
WORSE = (Edit(action="set", finding_id="F1", severity=Severity.HIGH),)
MISSED = (Edit(action="add", clause="liability", severity=Severity.CRITICAL, statement=MARK),)
SUP, SEMI, AUTO = Autonomy
ENOUGH = 90
"""Agreements in a row, more than it takes to be above 0.95."""


@pytest.fixture
async def services(url: str, valkey: Path, redis: "Redis", tmp_path: Path) -> AsyncIterator[Services]:
    async with services_on(url, valkey, tmp_path) as opened:
        yield opened


class Story:
    """Reviews of one cell that are judged one after the other, by the real activity."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.book = services.evidence
        self.number = 0

    async def standing(self, arm: Arm = FIRST, review_id: str = "r") -> CellStanding:
        return await self.book.standing(CELL, arm, review_id)

    async def judged(
        self, edits: tuple[Edit, ...] = (), *, arm: Arm = FIRST, at: float | None = None, **more: Any
    ) -> ObserveResult:
        """One review that a person decided; `at` is when it was submitted, in hours."""
        self.number += 1
        return await self.observed(self.given(f"r{self.number}", edits, arm=arm, at=at, **more))

    def given(
        self, name: str, edits: tuple[Edit, ...] = (), *, arm: Arm = FIRST, at: float | None = None, **more: Any
    ) -> ObserveInput:
        used = GateEvidence(arm=arm.fingerprint, level=SUP, items=0, stated=0.9, confidence=0.9, threshold=0.8, note="")
        given = ObserveInput(
            admission=Admission(
                key=ReviewKey(tenant="acme", review_id=name, workflow_id=f"review-acme-{name}"),
                document=DocumentRef(document_id=name, sha256=f"sha-{name}", media_type="text/plain", size=1),
                playbook=CELL.playbook,
                playbook_version="1",
                playbook_digest="d",
                user_hash="p1:u",
                tenant_hash="p1:t",
            ),
            contract_type=CELL.contract_type,
            evidence=used,
            route=Route.REVIEW,
            confidence=0.9,
            findings=(FINDING,),
            verdict=Verdict.AMEND if edits else Verdict.APPROVE,
            edits=edits,
            reviewer="bob",
            submitted_at=AT + timedelta(hours=self.number if at is None else at),
        )
        return given.model_copy(update=more)

    async def observed(self, given: ObserveInput) -> ObserveResult:
        return await ActivityEnvironment().run(Evidence(self.services).observe, given)

    async def agreed(self, times: int = ENOUGH, arm: Arm = FIRST) -> None:
        for _ in range(times):
            await self.judged(arm=arm)

    async def db_state(self) -> object:
        """The state as it is stored."""
        row = await self.services.db.fetchrow("SELECT state FROM cell_states")
        return row["state"] if row else None

    async def cell(self) -> CellRow:
        [row] = await self.book.cells("acme")
        return row

    async def signed(self) -> None:
        await self.book.approve(CELL, None, by_hash="p1:ines", reason="a quarter without a correction")


@pytest.fixture
async def story(services: Services) -> Story:
    told = Story(services)
    # As at the beginning of every review; it is what makes the arm known.
    await told.standing()
    return told


async def test_a_cell_earns_its_level_is_signed_for_and_loses_it_by_errors(story: Story) -> None:
    """The story of issue 5: up by a shadow run over labelled cases and a signature, down by injected errors."""
    for number in range(ENOUGH):
        await story.services.shadow.open_run("acme", "run", {"digest": "d"})
        labels = CaseLabels(people=({"term": Label(label="fallback", severity=Severity.LOW)},))
        await story.services.shadow.add("acme", "run", f"run-{number}", number, labels)
        result = await story.observed(story.given(f"run-{number}", mode=Mode.SHADOW, verdict=None, at=number))
        assert (result.judged, result.agreement, result.counted) == (True, 1.0, True)
    before = await story.cell()
    assert (before.autonomy, before.proposed, before.next_level, before.items) == (SUP, True, SEMI, ENOUGH)
    assert (await story.standing()).level is SUP, "nothing is granted without a signature"
    await story.signed()
    standing = await story.standing()
    assert (standing.level, standing.items) == (SEMI, ENOUGH)
    assert 0 < standing.share < 1

    story.number = 1000
    # Only what the audit sample draws is looked at: with the share that was recorded for it.
    used = GateEvidence(
        **{
            "arm": FIRST.fingerprint,
            "level": SEMI,
            "items": ENOUGH,
            "stated": 0.9,
            "confidence": 0.9,
            "threshold": 0.8,
        },
        note="",
        audited=True,
        propensity=standing.share,
        least=standing.share,
    )
    changes = [result for result in [await story.judged(WORSE, evidence=used) for _ in range(40)] if result.rule]
    assert [(change.before, change.after, change.rule) for change in changes] == [(SEMI, SUP, "watch")]
    assert ((await story.standing()).level, (await story.cell()).autonomy) == (SUP, SUP)
    history = await story.book.history(CELL)
    assert [(row.level_before, row.level, row.rule) for row in history] == [(SUP, SEMI, "signed"), (SEMI, SUP, "watch")]
    assert (history[0].by_hash, history[1].by_hash) == ("p1:ines", "countersign")
    run = await story.services.shadow.run("acme", "run")
    assert (run.cases, run.pairs, run.failures) == (ENOUGH, ENOUGH, {})

    # Earned once more and signed for, one severity-1 error takes it back at once.
    while not (await story.cell()).proposed:
        await story.judged()
    await story.signed()
    result = await story.judged(MISSED)
    assert (result.before, result.after, result.rule) == (SEMI, SUP, "critical")
    found = await story.book.dossier(CELL)
    assert [point.critical for point in found.points].index(True) == len(found.points) - 1
    assert sum(point.semi.fell for point in found.points) == 1
    assert found.points[-1].semi.log_e == found.state.semi.growth.log_e, "the curve ends where the cell stands"
    assert [row.rule for row in found.history] == ["signed", "watch", "signed", "critical"]


async def test_a_signature_is_for_the_evidence_that_was_shown(story: Story) -> None:
    await story.agreed()
    shown = (await story.book.dossier(CELL)).digest
    await story.judged()
    with pytest.raises(DecisionRefused, match="has changed since") as refused:
        await story.book.approve(CELL, SEMI, by_hash="p1:i", reason="r", shown=shown)
    assert refused.value.rule == "stale"
    again = (await story.book.dossier(CELL)).digest
    _, state = await story.book.approve(CELL, SEMI, by_hash="p1:i", reason="r", shown=again)
    assert state.level is SEMI
    with pytest.raises(NotFound):
        await story.book.dossier(CellKey("acme", "lenient", "msa"))


async def test_a_severity_1_error_demotes_at_once_and_another_arm_starts_supervised(story: Story) -> None:
    await story.agreed()
    await story.signed()
    assert (await story.standing(SECOND)).level is SUP
    [_, change] = await story.book.history(CELL)
    assert (change.rule, change.reason) == ("arm", "another arm: the model of default changed")
    assert (await story.standing(FIRST)).level is SEMI, "what was earned by an arm is kept for it"
    result = await story.judged(MISSED)
    assert (result.critical, result.before, result.after, result.rule) == (True, SEMI, SUP, "critical")
    assert (await story.cell()).criticals == 1


async def test_a_signature_takes_evidence_that_is_enough_now(story: Story) -> None:
    with pytest.raises(NotFound, match="has no evidence yet"):
        await story.signed()
    await story.agreed(5)
    with pytest.raises(DecisionRefused, match="not enough"):
        await story.signed()
    await story.agreed()
    with pytest.raises(DecisionRefused, match="not enough for autonomous"):
        await story.book.approve(CELL, AUTO, by_hash="p1:i", reason="r")
    await story.signed()
    with pytest.raises(DecisionRefused):
        await story.signed()
    state = await story.book.demote(CELL, SUP, by_hash="p1:i", reason="an audit")
    assert state.level is SUP
    assert (await story.standing()).level is SUP
    with pytest.raises(DecisionRefused, match="is not below"):
        await story.book.demote(CELL, SUP, by_hash="p1:i", reason="again")


async def test_what_is_open_counts_as_a_disagreement_until_it_is_decided(story: Story) -> None:
    await story.agreed()
    assert (await story.cell()).proposed
    insert = (
        "INSERT INTO reviews (tenant, review_id, workflow_id, stage, playbook, contract_type, waiting_for, "
        "submitted_at) "
        "VALUES ('acme', $1, $1, 'sign', 'lenient', 'nda', 'reviewer', $2)"
    )
    await story.services.db.execute(insert, "later", AT + timedelta(hours=1000))
    assert (await story.cell()).proposed, "submitted after everything that counted, so it was not passed over"
    for number in range(3):
        await story.services.db.execute(insert, f"slow{number}", AT + timedelta(hours=number))
    cell = await story.cell()
    assert (cell.proposed, cell.still_open) == (False, 3)
    with pytest.raises(DecisionRefused, match=r"3 of the reviews that were submitted before .* not decided yet"):
        await story.signed()
    await story.services.db.execute("UPDATE reviews SET outcome = 'approved', waiting_for = NULL")
    await story.signed()
    assert (await story.standing()).level is SEMI


async def test_an_item_counts_once_however_often_it_comes_and_a_document_once(story: Story) -> None:
    given = story.given("r1")
    results = await asyncio.gather(*(story.observed(given) for _ in range(4)))
    assert all(result.counted for result in results)
    assert (await story.cell()).items == 1
    again = story.given("r2")
    same = again.model_copy(
        update={"admission": again.admission.model_copy(update={"document": given.admission.document})}
    )
    assert not (await story.observed(same)).counted
    assert (await story.cell()).items == 1
    # A severity-1 error counts whatever was before.
    grave = same.model_copy(update={"verdict": Verdict.AMEND, "edits": MISSED})
    key = grave.admission.key.model_copy(update={"review_id": "r3", "workflow_id": "w3"})
    assert (
        await story.observed(grave.model_copy(update={"admission": grave.admission.model_copy(update={"key": key})}))
    ).counted


async def test_the_order_of_decisions_does_not_matter_that_of_submission_does(story: Story) -> None:
    items = [story.given(f"r{number}", WORSE if number == 3 else (), at=number) for number in range(12)]
    states = []
    for order in (range(12), (5, 3, 11, 0, 7, 1, 2, 10, 9, 8, 4, 6)):
        await story.services.db.execute("DELETE FROM evidence_items")
        await story.services.db.execute("DELETE FROM cell_states")
        for number in order:
            await story.observed(items[number])
        states.append(await story.db_state())
    assert states[0] == states[1]


async def test_other_bars_are_a_rebuild_from_the_pairs(story: Story) -> None:
    await story.agreed(30)
    assert not (await story.cell()).proposed
    book = story.book
    book.policy = EvidencePolicy(semi_bar=0.8)
    await story.judged()
    row = await story.cell()
    assert (row.items, row.bar, row.proposed) == (31, 0.8, True)


async def test_an_override_is_bound_to_the_arm_that_meets_it_and_is_on_record(story: Story) -> None:
    await story.services.profile.grant(*CELL, SEMI, by_hash="p1:gc", reason="from the old system")
    assert (await story.cell()).granted is SEMI
    assert (await story.standing()).level is SEMI
    row = await story.cell()
    assert (row.autonomy, row.overridden, row.granted) == (SEMI, True, None)
    assert (await story.standing(SECOND)).level is SUP
    assert (await story.standing()).level is SEMI
    await story.judged(MISSED)
    assert (await story.standing()).level is SUP
    assert [row.rule for row in await story.book.history(CELL)] == ["override", "arm", "arm", "critical"]


async def test_what_was_said_is_sealed_and_gone_when_the_review_is_erased(story: Story) -> None:
    await story.judged(MISSED, view=Verdict.APPROVE)
    assert MARK not in await dump(story.services.db)
    item = await story.book.item("review-acme-r1")
    assert item is not None
    said = await story.book.said(item)
    assert said is not None
    assert {clause.clause for clause in said.clauses} == {"term", "liability"}
    assert said.view == "approve", "stated before the reviewer knew how sure the agents were"
    await story.services.db.execute("UPDATE data_keys SET wrapped = NULL, destroyed_at = now()")
    assert await story.book.said(item) is None
    assert (await story.cell()).criticals == 1, "figures stay"


async def test_enough_pairs_give_a_map_and_a_threshold(story: Story) -> None:
    for number in range(270):
        sure = 0.55 + 0.4 * ((number * 7) % 10) / 10
        await story.judged(confidence=sure)
    standing = await story.standing()
    assert len(standing.calibrated) == 101
    assert standing.threshold is not None
    assert standing.threshold_pairs >= 60
    assert standing.target_error == 0.05


async def test_the_draw_is_the_same_in_every_retry_and_cannot_be_foreseen(story: Story) -> None:
    numbers = {(await story.standing(review_id=f"r{number}")).drawn for number in range(20)}
    assert len(numbers) == 20
    assert (await story.standing(review_id="r3")).drawn == (await story.standing(review_id="r3")).drawn
