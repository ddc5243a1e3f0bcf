"""Approval of effects: the desk's rules by interleaving, and a thousand adversarial schedules judged by an oracle."""

from datetime import UTC, datetime, timedelta

import pytest
from chaos import approvals
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from countersign.errors import DecisionRefused
from countersign.review.desk import digest_of, same_person
from countersign.review.payloads import AnalysisResult, EffectDecision, EffectTerms, Finding
from countersign.review.steps import EffectOrder
from countersign.tools.approval import EffectDesk, InForce, objection
from countersign.words import EffectState, Outcome, Severity, ToolVerdict

NOW = datetime(2026, 3, 4, tzinfo=UTC)
EFFECTS = approvals.proposed()[:2]
FINDING = Finding(id="F1", clause=EFFECTS[0].clause, severity=Severity.HIGH, statement="As it was.")
ANALYSIS = AnalysisResult(
    summary="", key_findings=(FINDING,), confidence=0.9, requires_human_review=True, effects=EFFECTS
)


def terms(verdict: ToolVerdict = ToolVerdict.NEEDS_APPROVAL, version: str = "v1") -> tuple[EffectTerms, ...]:
    return tuple(EffectTerms(item=e.id, verdict=verdict, policy_version=version, approval_s=3600) for e in EFFECTS)


def desk(verdict: ToolVerdict = ToolVerdict.NEEDS_APPROVAL, reviewers: tuple[str, ...] = ()) -> EffectDesk:
    opened = EffectDesk(requester="ana", reviewers=reviewers, review_id="r-1", document_sha256="ab")
    opened.open(ANALYSIS, terms(verdict))
    return opened


def decision(item: str = "E1", reviewer: str = "bob", **fields: object) -> EffectDecision:
    return EffectDecision.model_validate({"item": item, "reviewer": reviewer, **fields})


def in_force(**changes: object) -> InForce:
    fields = {
        "review_id": "r-1",
        "requester": "ana",
        "reviewers": (),
        "document_sha256": "ab",
        "findings": (FINDING,),
        "terms": terms()[0],
        "at": NOW,
    }
    return InForce(**{**fields, **changes})  # type: ignore[arg-type]


def approved() -> EffectOrder:
    opened = desk()
    opened.approve(decision(), NOW)
    (order,) = opened.close(Outcome.APPROVED, NOW)
    return order


def test_effects_are_part_of_what_is_signed_and_their_absence_changes_no_digest() -> None:
    without = ANALYSIS.model_copy(update={"effects": ()})
    assert digest_of(ANALYSIS, "1", ()) != digest_of(without, "1", ())
    old = without.model_dump(mode="json", exclude={"effects"})
    assert digest_of(without, "1", ()) == digest_of(AnalysisResult.model_validate(old), "1", ())


@pytest.mark.parametrize(
    ("changes", "rule_broken"),
    [
        ({}, None),
        ({"review_id": "r-2"}, "review"),
        ({"document_sha256": "cd"}, "evidence"),
        ({"findings": (FINDING.model_copy(update={"severity": Severity.LOW}),)}, "evidence"),
        ({"terms": terms(version="v2")[0]}, "policy_version"),
        ({"terms": terms(ToolVerdict.DENY)[0]}, "policy"),
        ({"terms": terms(ToolVerdict.ALLOW, "v2")[0]}, None),
        ({"terms": terms()[1]}, "policy"),
        ({"at": NOW + timedelta(hours=1)}, "expired"),
        ({"requester": "BOB"}, "requester"),
        ({"reviewers": ("eve",)}, "approver"),
        ({"reviewers": ("eve", "Bob")}, None),
    ],
)
def test_everything_an_approval_is_bound_to_is_checked_again(
    changes: dict[str, object], rule_broken: str | None
) -> None:
    against = objection(approved(), in_force(**changes))
    assert (against and against[0]) == rule_broken


def test_changed_arguments_and_swapped_items_are_found_out() -> None:
    order = approved()
    other = order.model_copy(update={"effect": order.effect.model_copy(update={"args": {"duty": "another"}})})
    assert objection(other, in_force()) == ("arguments", "its arguments are not those it was shown with")
    swapped = order.model_copy(update={"effect": EFFECTS[1]})
    assert (objection(swapped, in_force(terms=terms()[1])) or ("",))[0] == "item"
    bare = order.model_copy(update={"approval": None})
    assert (objection(bare, in_force()) or ("",))[0] == "no_approval"


def test_what_the_policy_allows_needs_the_signature_alone() -> None:
    opened = desk(ToolVerdict.ALLOW)
    with pytest.raises(DecisionRefused) as error:
        opened.approve(decision(), NOW)
    assert error.value.rule == "not_needed"
    opened.decline(decision("E2"), NOW)
    assert [order.effect.id for order in opened.close(Outcome.AMENDED, NOW)] == ["E1"]


@pytest.mark.parametrize("outcome", sorted(set(Outcome) - {Outcome.APPROVED, Outcome.AMENDED}))
def test_no_other_outcome_lets_anything_happen(outcome: Outcome) -> None:
    opened = desk()
    opened.approve(decision(), NOW)
    assert opened.close(outcome, NOW) == ()
    assert {one.state for one in opened.standings(NOW)} == {EffectState.DECLINED}
    with pytest.raises(DecisionRefused):
        opened.approve(decision("E2"), NOW)


def test_an_approval_that_has_expired_may_be_given_again() -> None:
    opened = desk()
    opened.approve(decision(), NOW)
    with pytest.raises(DecisionRefused) as error:
        opened.approve(decision(reviewer="eve"), NOW + timedelta(minutes=59))
    assert error.value.rule == "approved"
    opened.approve(decision(reviewer="eve"), NOW + timedelta(hours=1))
    (order,) = opened.close(Outcome.APPROVED, NOW + timedelta(hours=1))
    assert order.approval is not None
    assert order.approval.approver == "eve"


@pytest.mark.parametrize(
    ("item", "reviewer", "approve"),
    [("E1", "bob", False), ("E1", "eve", True), ("E2", "bob", True)],
)
def test_an_id_that_stands_for_one_decision_is_refused_for_another(item: str, reviewer: str, approve: bool) -> None:
    held = desk()
    held.approve(decision(decision_id="d1"), NOW)
    held.approve(decision(decision_id="d1"), NOW)  # the very same: it has counted
    given = decision(item, reviewer, decision_id="d1")
    with pytest.raises(DecisionRefused) as refused:
        (held.approve if approve else held.decline)(given, NOW)
    assert refused.value.rule == "key_reused"
    assert held.standing("E1", NOW).state is EffectState.APPROVED


class EffectMachine(RuleBasedStateMachine):
    """Interleaved people, corrections and policies: whatever the order, an approval means what it was given for."""

    items = st.sampled_from(["E1", "E2"])
    people = st.sampled_from(["ana", "Ana ", "bob", "eve"])

    @initialize(reviewers=st.sampled_from([(), ("bob",)]))
    def start(self, reviewers: tuple[str, ...]) -> None:
        self.desk = desk(reviewers=reviewers)
        self.reviewers = reviewers
        self.clock = NOW
        self.versions = {"E1": 1, "E2": 1}
        self.final: dict[str, EffectState] = {}
        self.orders: tuple[EffectOrder, ...] | None = None
        self.digests: dict[str, str] = {}

    @rule(item=items, who=people, stale=st.booleans(), approve=st.booleans(), again=st.sampled_from([None, "d1", "d2"]))
    def decide(self, item: str, who: str, stale: bool, approve: bool, again: str | None) -> None:
        self.clock += timedelta(minutes=1)
        before = self.desk.standing(item, self.clock)
        given = decision(item, who, digest="f" * 64 if stale else before.digest, decision_id=again)
        try:
            is_retry = self.desk.already_counted(given, approve=approve)
            (self.desk.approve if approve else self.desk.decline)(given, self.clock)
        except DecisionRefused:
            assert self.desk.standing(item, self.clock) == before
            return
        if not is_retry:
            assert not stale
            assert not same_person(who, "ana")
            assert not self.reviewers or who == "bob"

    @rule(severity=st.sampled_from(Severity))
    def correct(self, severity: Severity) -> None:
        self.desk.corrected((FINDING.model_copy(update={"severity": severity}),))

    @rule(verdict=st.sampled_from(ToolVerdict), version=st.sampled_from(["v1", "v2"]))
    def change_policy(self, verdict: ToolVerdict, version: str) -> None:
        self.desk.reconsider(terms(verdict, version))

    @rule(minutes=st.integers(1, 90))
    def wait(self, minutes: int) -> None:
        self.clock += timedelta(minutes=minutes)

    @rule(outcome=st.sampled_from([Outcome.APPROVED, Outcome.REJECTED]))
    def close(self, outcome: Outcome) -> None:
        if self.orders is None:
            states = {one.item: one.state for one in self.desk.standings(self.clock)}
            self.orders = self.desk.close(outcome, self.clock)
            due = {item for item, state in states.items() if state in {EffectState.APPROVED, EffectState.ALLOWED}}
            assert {order.effect.id for order in self.orders} == (due if outcome is Outcome.APPROVED else set())

    @invariant()
    def an_approval_is_of_the_version_that_is_shown(self) -> None:
        for standing in self.desk.standings(self.clock):
            version, digest = standing.version, standing.digest
            assert version >= self.versions[standing.item]
            if version == self.versions[standing.item]:
                assert self.digests.get(standing.item, digest) == digest, "what is shown changed without a new version"
            elif standing.item in self.digests:
                assert standing.state is not EffectState.APPROVED, "an approval outlived what it was given for"
            self.versions[standing.item], self.digests[standing.item] = version, digest
            if standing.item in self.final:
                assert standing.state is self.final[standing.item]
            if standing.state is EffectState.DECLINED:
                self.final[standing.item] = standing.state


EffectMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=20, deadline=None)
TestEffectMachine = EffectMachine.TestCase


async def test_a_thousand_adversarial_schedules_do_nothing_twice_and_nothing_else() -> None:
    result = await approvals.run_all(range(1000))
    assert (result["doubled"], result["substituted"], result["lost"]) == (0, 0, 0), result["notes"]
    assert result["done"] > 300, "schedules in which nothing happens prove nothing"
    assert result["refused"] > 50, "nor do those in which nothing is refused"


async def test_the_schedules_notice_a_check_that_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the test above can fail."""
    monkeypatch.setattr(approvals, "objection", lambda order, now: None)
    assert (await approvals.run_all(range(200)))["substituted"] > 0
    monkeypatch.undo()
    monkeypatch.setattr(EffectDesk, "corrected", lambda *_: ())
    monkeypatch.setattr(approvals, "objection", lambda order, now: objection(order, _forgiving(order, now)))
    assert (await approvals.run_all(range(300)))["substituted"] > 0


def _forgiving(order: EffectOrder, now: InForce) -> InForce:
    """An execution that looks at the findings as they were when the desk was opened."""
    from dataclasses import replace

    first = tuple(finding.model_copy(update={"severity": Severity.LOW}) for finding in now.findings)
    return replace(now, findings=first)
