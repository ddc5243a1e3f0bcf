"""The desk: who may decide what, when; signatures bound to exactly what was shown."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from countersign.errors import DecisionRefused
from countersign.review.desk import Desk, apply_edits, same_person
from countersign.review.payloads import AnalysisResult, Answer, Claim, Decision, Edit, Finding, SigningPolicy
from countersign.words import Outcome, Route, Severity, Verdict

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def analysis() -> AnalysisResult:
    findings = (
        Finding(id="F1", clause="cap_on_liability", severity=Severity.HIGH, statement="No cap"),
        Finding(id="F2", clause="governing_law", severity=Severity.LOW, statement="Foreign law"),
    )
    return AnalysisResult(summary="s", key_findings=findings, confidence=0.9, requires_human_review=True)


def open_desk(route: Route = Route.REVIEW, policy: SigningPolicy | None = None) -> Desk:
    desk = Desk("ana", policy or SigningPolicy(), "1")
    desk.open(analysis(), route)
    return desk


def decision(verdict: Verdict = Verdict.APPROVE, reviewer: str = "bob", **fields: object) -> Decision:
    return Decision.model_validate({"verdict": verdict, "reviewer": reviewer, **fields})


LOWER = Edit(action="set", finding_id="F1", severity=Severity.LOW)


def test_one_signature_approves() -> None:
    desk = open_desk()
    assert desk.signatures_missing == 1
    assert desk.decide(decision(), NOW) is Outcome.APPROVED
    assert desk.signatures_missing == 0


def test_four_eyes_needs_two_different_people() -> None:
    desk = open_desk(Route.FOUR_EYES)
    assert desk.decide(decision(), NOW) is None
    with pytest.raises(DecisionRefused, match="already signed"):
        desk.decide(decision(reviewer=" BOB "), NOW)
    assert desk.decide(decision(reviewer="eve"), NOW) is Outcome.APPROVED


def test_an_amendment_voids_earlier_signatures() -> None:
    desk = open_desk(Route.FOUR_EYES)
    desk.decide(decision(reviewer="eve"), NOW)
    assert desk.decide(decision(Verdict.AMEND, edits=[LOWER]), NOW) is None
    assert desk.signatures_missing == 1
    assert desk.decide(decision(reviewer="eve"), NOW) is Outcome.AMENDED
    assert desk.analysis is not None
    assert desk.analysis.key_findings[0].severity is Severity.LOW


def test_undoing_an_amendment_does_not_revive_signatures() -> None:
    desk = open_desk(Route.FOUR_EYES)
    for who, severity in (("eve", Severity.INFO), ("bob", Severity.LOW), ("eve", Severity.INFO)):
        edit = Edit(action="set", finding_id="F1", severity=severity)
        assert desk.decide(decision(Verdict.AMEND, reviewer=who, edits=[edit]), NOW) is None
    assert desk.signatures_missing == 1
    with pytest.raises(DecisionRefused, match="already signed"):
        desk.decide(decision(reviewer="eve"), NOW)
    assert desk.decide(decision(reviewer="bob"), NOW) is Outcome.AMENDED


def test_one_person_rejects_even_where_two_must_sign() -> None:
    assert open_desk(Route.FOUR_EYES).decide(decision(Verdict.REJECT), NOW) is Outcome.REJECTED


def test_a_question_goes_to_the_requester_and_its_answer_changes_what_is_shown() -> None:
    desk = open_desk()
    before = desk.digest
    assert desk.decide(decision(Verdict.ASK, question="Which entity?"), NOW) is None
    assert desk.question == "Which entity?"
    with pytest.raises(DecisionRefused, match="only the requester"):
        desk.answer(Answer(user="bob", text="x"), NOW)
    desk.answer(Answer(user="Ana", text="The Irish one"), NOW)
    assert desk.question is None
    with pytest.raises(DecisionRefused, match="earlier version"):
        desk.decide(decision(digest=before), NOW)
    assert desk.decide(decision(digest=desk.digest), NOW) is Outcome.APPROVED


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (decision(reviewer="ANA"), "requester may not"),
        (decision(digest="0" * 64), "earlier version"),
        (decision(Verdict.AMEND), "at least one edit"),
        (decision(Verdict.AMEND, edits=[Edit(action="remove", finding_id="F9")]), "not there"),
        (decision(Verdict.AMEND, edits=[Edit(action="set", finding_id="F1")]), "changes nothing"),
        (decision(Verdict.AMEND, edits=[Edit(action="add", clause="x")]), "without clause"),
        (decision(Verdict.APPROVE, edits=[LOWER]), "takes no edits"),
        (decision(Verdict.ASK), "needs a question"),
    ],
)
def test_refusals_change_nothing(given: Decision, reason: str) -> None:
    desk = open_desk()
    before = desk.digest
    with pytest.raises(DecisionRefused, match=reason):
        desk.decide(given, NOW)
    assert (desk.digest, desk.decisions, desk.outcome) == (before, [], None)


def test_only_reviewers_of_the_playbook_sign_where_it_names_them() -> None:
    desk = open_desk(policy=SigningPolicy(reviewers=("Grace",)))
    with pytest.raises(DecisionRefused, match="may not sign"):
        desk.decide(decision(), NOW)
    assert desk.decide(decision(reviewer="grace"), NOW) is Outcome.APPROVED


def test_nothing_counts_before_the_desk_opens_or_after_the_outcome() -> None:
    desk = Desk("ana", SigningPolicy(), "1")
    with pytest.raises(DecisionRefused, match="does not wait"):
        desk.decide(decision(), NOW)
    desk.open(analysis(), Route.REVIEW)
    desk.decide(decision(), NOW)
    with pytest.raises(DecisionRefused, match="already decided"):
        desk.decide(decision(reviewer="eve"), NOW)


@pytest.mark.parametrize("spelling", [" ANA ", "Ａｎａ", "a\u200bna", "аna", "A n a"])
def test_another_spelling_is_the_same_person(spelling: str) -> None:
    assert same_person("ana", spelling)
    with pytest.raises(DecisionRefused) as refused:
        open_desk().decide(decision(reviewer=spelling), NOW)
    assert refused.value.rule == "requester"


def test_an_analysis_without_any_agent_cannot_be_approved_as_it_stands() -> None:
    desk = Desk("ana", SigningPolicy(), "1")
    desk.open(AnalysisResult(summary="s", confidence=0, requires_human_review=True), Route.REVIEW)
    with pytest.raises(DecisionRefused, match="no agent has analysed"):
        desk.decide(decision(), NOW)
    added = Edit(action="add", clause="term", severity=Severity.LOW, statement="Read by hand: fine")
    assert desk.decide(decision(Verdict.AMEND, edits=[added]), NOW) is Outcome.AMENDED


def test_a_retried_decision_counts_once() -> None:
    desk = open_desk(Route.FOUR_EYES)
    same = decision(decision_id="d1")
    desk.decide(same, NOW)
    assert desk.decide(same, NOW) is None
    assert len(desk.decisions) == 1


@pytest.mark.parametrize("change", [{"verdict": Verdict.REJECT}, {"note": "no"}, {"reviewer": "eve"}, {"content": "x"}])
def test_another_decision_under_the_same_id_is_refused(change: dict[str, object]) -> None:
    desk = open_desk(Route.FOUR_EYES)
    first = decision(decision_id="d1")
    desk.decide(first, NOW)
    with pytest.raises(DecisionRefused) as refused:
        desk.decide(first.model_copy(update=change), NOW)
    assert (refused.value.rule, desk.outcome) == ("key_reused", None)


def test_what_a_decision_is_bound_to_on_its_way_makes_it_no_other() -> None:
    desk = open_desk(Route.FOUR_EYES)
    desk.decide(decision(decision_id="d1", content="c", digest=desk.digest), NOW)
    assert desk.decide(decision(decision_id="d1", content="c", digest="0" * 64), NOW) is None
    assert len(desk.decisions) == 1


def claim(reviewer: str = "bob", **fields: object) -> Claim:
    return Claim.model_validate({"reviewer": reviewer, "lease_s": 600, **fields})


def test_a_claim_keeps_others_out_until_it_lapses() -> None:
    desk = open_desk()
    first = desk.claim(claim(), NOW, "r1")
    later = NOW + timedelta(minutes=9)
    for attempt in (
        lambda: desk.decide(decision(reviewer="eve"), later),
        lambda: desk.claim(claim("eve"), later, "r1"),
    ):
        with pytest.raises(DecisionRefused) as refused:
            attempt()
        assert refused.value.rule == "claimed"
        assert "bob" not in str(refused.value)
    lapsed = NOW + timedelta(minutes=10)
    second = desk.claim(claim("eve"), lapsed, "r1")
    assert second.token == first.token + 1
    with pytest.raises(DecisionRefused) as stale:
        desk.decide(decision(reviewer="eve", claim=first.token), lapsed)
    assert stale.value.rule == "claim_lapsed"
    assert desk.decide(decision(reviewer="eve", claim=second.token), lapsed) is Outcome.APPROVED


def test_a_claim_is_renewed_with_its_token_and_given_back() -> None:
    desk = open_desk()
    first = desk.claim(claim(), NOW, "r1")
    renewed = desk.claim(claim(" BOB "), NOW + timedelta(minutes=5), "r1")
    assert (renewed.token, renewed.until) == (first.token, NOW + timedelta(minutes=15))
    assert desk.claim(claim(release=True), NOW + timedelta(minutes=6), "r1").until is None
    with pytest.raises(DecisionRefused, match="no claim"):
        desk.claim(claim(release=True), NOW + timedelta(minutes=6), "r1")
    assert desk.decide(decision(reviewer="eve"), NOW + timedelta(minutes=6)) is Outcome.APPROVED


def test_a_decision_gives_the_claim_back_for_the_second_pair_of_eyes() -> None:
    desk = open_desk(Route.FOUR_EYES)
    desk.claim(claim(), NOW, "r1")
    assert desk.decide(decision(), NOW) is None
    assert desk.decide(decision(reviewer="eve"), NOW) is Outcome.APPROVED


def test_the_requester_claims_nothing_and_nothing_is_claimed_too_early() -> None:
    with pytest.raises(DecisionRefused) as own:
        open_desk().claim(claim("Ana"), NOW, "r1")
    assert own.value.rule == "requester"
    with pytest.raises(DecisionRefused) as early:
        Desk("ana", SigningPolicy(), "1").claim(claim(), NOW, "r1")
    assert early.value.rule == "not_waiting"


def test_expiry_never_overrides_an_outcome() -> None:
    desk = open_desk()
    desk.decide(decision(), NOW)
    desk.expire()
    assert desk.outcome is Outcome.APPROVED


def test_edits_are_made_in_order() -> None:
    edits = (LOWER, Edit(action="remove", finding_id="F2"))
    added = Edit(action="add", clause="term", severity=Severity.MEDIUM, statement="No end date")
    assert [finding.id for finding in apply_edits(analysis(), (*edits, added)).key_findings] == ["F1", "H1"]


class DeskMachine(RuleBasedStateMachine):
    """Interleaved people, retries and an expiry: whatever the order, the rules of signing hold."""

    people = st.sampled_from(["ana", "Bob", "eve", "grace"])

    @initialize(route=st.sampled_from([Route.REVIEW, Route.FOUR_EYES]))
    def start(self, route: Route) -> None:
        self.desk = open_desk(route)
        self.required = 2 if route is Route.FOUR_EYES else 1
        self.clock = NOW
        self.tokens = 0
        self.first_outcome: Outcome | None = None

    def attempt(self, given: Decision) -> None:
        self.clock += timedelta(minutes=1)
        try:
            self.desk.decide(given, self.clock)
        except DecisionRefused:
            return

    @rule(who=people, stale=st.booleans(), retry=st.sampled_from([None, "d1", "d2"]))
    def approve(self, who: str, stale: bool, retry: str | None) -> None:
        digest = "f" * 64 if stale else self.desk.digest
        self.attempt(decision(reviewer=who, digest=digest, decision_id=retry))

    @rule(who=people, severity=st.sampled_from(Severity))
    def amend(self, who: str, severity: Severity) -> None:
        edit = Edit(action="set", finding_id="F1", severity=severity)
        self.attempt(decision(Verdict.AMEND, reviewer=who, edits=[edit]))

    @rule(who=people)
    def ask(self, who: str) -> None:
        self.attempt(decision(Verdict.ASK, reviewer=who, question="?"))

    @rule(who=people)
    def answer(self, who: str) -> None:
        if self.desk.question is not None and same_person(who, "ana"):
            self.desk.answer(Answer(user=who, text="so"), self.clock)

    @rule(who=people, lease_s=st.sampled_from([60, 300]), release=st.booleans())
    def claim(self, who: str, lease_s: float, release: bool) -> None:
        self.clock += timedelta(minutes=1)
        before = self.desk.held
        try:
            receipt = self.desk.claim(Claim(reviewer=who, lease_s=lease_s, release=release), self.clock, "r1")
        except DecisionRefused:
            return
        taken = before is None or self.clock >= before.until
        assert taken or (before is not None and same_person(before.reviewer, who)), "a live claim was taken over"
        assert receipt.token >= self.tokens
        self.tokens = receipt.token

    @rule(who=people, token=st.integers(min_value=1, max_value=6))
    def decide_with_token(self, who: str, token: int) -> None:
        held, count = self.desk.held, len(self.desk.decisions)
        self.attempt(decision(reviewer=who, claim=token))
        if len(self.desk.decisions) > count:
            assert held is not None
            assert held.token == token, "a stale token counted"
            assert self.clock < held.until

    @rule(who=people)
    def reject(self, who: str) -> None:
        self.attempt(decision(Verdict.REJECT, reviewer=who))

    @rule()
    def expire(self) -> None:
        self.desk.expire()

    @invariant()
    def rules_of_signing(self) -> None:
        desk = self.desk
        assert not any(same_person(d.reviewer, "ana") for d in desk.decisions)
        signers = [d.reviewer.strip().casefold() for d in desk.signatures]
        assert len(signers) == len(set(signers))
        assert all(d.digest == desk.digest for d in desk.signatures)
        if desk.outcome in (Outcome.APPROVED, Outcome.AMENDED):
            assert len(signers) >= self.required
            amended = any(d.verdict is Verdict.AMEND for d in desk.decisions)
            assert (desk.outcome is Outcome.AMENDED) == amended
        if self.first_outcome is not None:
            assert desk.outcome is self.first_outcome
        self.first_outcome = desk.outcome


DeskMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=15, deadline=None)
TestDeskMachine = DeskMachine.TestCase
