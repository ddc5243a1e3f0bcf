"""The desk under data: groups, delegation, quorum, leads, undo, proofs, and terms that change while a review waits."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from countersign.errors import DecisionRefused
from countersign.review.desk import Desk
from countersign.review.editing import apply_edits
from countersign.review.payloads import (
    Absence,
    AnalysisResult,
    Answer,
    Claim,
    Decision,
    Edit,
    EffectDecision,
    Finding,
    SigningPolicy,
    SigningTerms,
    VerifyingKey,
)
from countersign.review.proof import VALID_S, SigningKey, check_proof, statement_of
from countersign.review.same import same_person
from countersign.review.signing import stand_for
from countersign.words import Outcome, Route, Severity, Verdict

NOW = datetime(2026, 11, 22, tzinfo=UTC)
PLACE = ("acme", "r1")
DAY = timedelta(days=1)
BOB, GATEWAY = SigningKey(b"b" * 32), SigningKey(b"g" * 32)


def analysis(worst: Severity = Severity.HIGH) -> AnalysisResult:
    findings = (
        Finding(id="F1", clause="cap_on_liability", severity=worst, statement="No cap"),
        Finding(id="F2", clause="governing_law", severity=Severity.LOW, statement="Foreign law"),
    )
    return AnalysisResult(summary="s", key_findings=findings, confidence=0.9, requires_human_review=True)


def policy(**fields: Any) -> SigningPolicy:
    return SigningPolicy.model_validate({"groups": ("legal",), "leads": ("leads",), "governed": True, **fields})


def terms(rules: SigningPolicy, **fields: Any) -> SigningTerms:
    members = {"legal": ("bob", "eve", "joe"), "leads": ("lea",)}
    return SigningTerms.model_validate({"policy": rules, "members": members, **fields})


def open_desk(route: Route = Route.REVIEW, worst: Severity = Severity.HIGH, **fields: Any) -> Desk:
    """A desk under data. `fields` are of the terms or the policy, as their names say."""
    given = {name: fields.pop(name) for name in ("absences", "keys", "members") if name in fields}
    rules = policy(**fields)
    desk = Desk("ana", rules, "1", PLACE)
    desk.reconsider(terms(rules, **given))
    desk.open(analysis(worst), route)
    return desk


def decision(verdict: Verdict = Verdict.APPROVE, reviewer: str = "bob", **fields: object) -> Decision:
    return Decision.model_validate({"verdict": verdict, "reviewer": reviewer, **fields})


def refused(desk: Desk, given: Decision, at: datetime = NOW) -> str:
    before = (desk.digest, list(desk.decisions), desk.pending, desk.outcome)
    with pytest.raises(DecisionRefused) as error:
        desk.decide(given, at)
    assert (desk.digest, desk.decisions, desk.pending, desk.outcome) == before
    return error.value.rule


def public(key: SigningKey, person: str | None = None, until: datetime | None = None) -> VerifyingKey:
    return VerifyingKey(key_id=key.key_id, public_key=base64.b64encode(key.public).decode(), person=person, until=until)


def proven(given: Decision, key: SigningKey = BOB, at: datetime = NOW, place: tuple[str, str] = PLACE) -> Decision:
    return given.model_copy(update={"proof": key.prove(given, place, at)})


AWAY = Absence(person="bob", until=NOW + DAY, delegate="dan")
LOWER = Edit(action="set", finding_id="F1", severity=Severity.LOW)


# --- groups, quorum, delegation ---


def test_only_members_of_the_group_sign_and_nobody_before_it_is_known_who_they_are() -> None:
    unknown = Desk("ana", policy(), "1")
    unknown.open(analysis(), Route.REVIEW)
    assert refused(unknown, decision()) == "policy_unknown"
    desk = open_desk()
    assert refused(desk, decision(reviewer="mallory")) == "not_allowed"
    assert refused(desk, decision(reviewer="lea")) == "not_allowed"
    desk.decide(decision(reviewer=" EVE "), NOW)
    assert desk.settle(NOW) is Outcome.APPROVED


def test_an_empty_group_lets_nobody_sign() -> None:
    desk = open_desk(members={})
    assert refused(desk, decision()) == "not_allowed"


@pytest.mark.parametrize(("worst", "people"), [(Severity.MEDIUM, 1), (Severity.HIGH, 2), (Severity.CRITICAL, 3)])
def test_as_many_sign_as_the_quorum_says(worst: Severity, people: int) -> None:
    desk = open_desk(worst=worst, quorum={Severity.HIGH: 2, Severity.CRITICAL: 3})
    for number, who in enumerate(("bob", "eve", "joe")[:people], start=1):
        assert desk.signatures_missing == people - number + 1
        desk.decide(decision(reviewer=who), NOW)
    assert desk.settle(NOW) is Outcome.APPROVED


def test_an_amendment_can_raise_the_quorum_and_never_lower_it() -> None:
    desk = open_desk(quorum={Severity.HIGH: 2, Severity.CRITICAL: 3})
    desk.decide(decision(Verdict.AMEND, edits=[LOWER]), NOW)
    assert desk.signatures_missing == 1
    worse = Edit(action="set", finding_id="F1", severity=Severity.CRITICAL)
    desk.decide(decision(Verdict.AMEND, reviewer="eve", edits=[worse]), NOW)
    assert desk.signatures_missing == 2


def test_a_delegate_signs_for_somebody_who_is_away_and_both_are_recorded() -> None:
    desk = open_desk(absences=(AWAY,))
    assert refused(desk, decision(reviewer="dan")) == "not_allowed"
    assert refused(desk, decision(reviewer="dan", on_behalf_of="eve")) == "no_delegate"
    assert refused(desk, decision(reviewer="dan", on_behalf_of="bob"), NOW + DAY) == "no_delegate"
    desk.decide(decision(reviewer="dan", on_behalf_of="bob"), NOW)
    assert desk.settle(NOW) is Outcome.APPROVED
    assert stand_for(desk.decisions[0]) == ("dan", "bob")


def test_only_the_delegate_is_told_for_whom_to_sign() -> None:
    away = (AWAY, Absence(person="zoe", until=NOW + DAY, delegate="dan"))
    desk = open_desk(absences=away)
    with pytest.raises(DecisionRefused) as told:
        desk.check(decision(reviewer="dan"), NOW)
    assert (told.value.rule, told.value.remedy) == ("not_allowed", "You may sign for bob: add --for bob")
    for person, at in (("pat", NOW), ("dan", NOW + DAY)):
        with pytest.raises(DecisionRefused) as other:
            desk.check(decision(reviewer=person), at)
        assert "bob" not in str(other.value)


@pytest.mark.parametrize(("person", "behalf"), [("dan", "bob"), ("bob", None)])
def test_a_withdrawal_says_for_whom_the_decision_was_made(person: str, behalf: str | None) -> None:
    desk = open_desk(absences=(AWAY,))
    desk.decide(decision(reviewer="dan", on_behalf_of="bob"), NOW)
    desk.decide(decision(Verdict.WITHDRAW, reviewer=person), NOW)
    assert (desk.decisions[-1].reviewer, desk.decisions[-1].on_behalf_of) == (person, behalf)


def test_a_delegate_does_not_make_one_person_two() -> None:
    away = (
        Absence(person="bob", until=NOW + DAY, delegate="eve"),
        Absence(person="joe", until=NOW + DAY, delegate="eve"),
    )
    desk = open_desk(Route.FOUR_EYES, absences=away)
    desk.decide(decision(reviewer="eve", on_behalf_of="bob"), NOW)
    assert refused(desk, decision(reviewer="eve")) == "signed_twice"
    assert refused(desk, decision(reviewer="eve", on_behalf_of="joe")) == "signed_twice"
    assert refused(desk, decision(reviewer="bob")) == "signed_twice"
    desk.decide(decision(reviewer="joe"), NOW)
    assert desk.settle(NOW) is Outcome.APPROVED


def test_the_requester_signs_for_nobody_and_nobody_signs_for_the_requester() -> None:
    away = (
        Absence(person="bob", until=NOW + DAY, delegate="Ana"),
        Absence(person="ana", until=NOW + DAY, delegate="dan"),
    )
    desk = open_desk(absences=away, members={"legal": ("bob", "ana")})
    assert refused(desk, decision(reviewer="ANA", on_behalf_of="bob")) == "requester"
    assert refused(desk, decision(reviewer="dan", on_behalf_of="ana")) == "requester"


def test_a_delegation_is_not_passed_on() -> None:
    away = (AWAY, Absence(person="dan", until=NOW + DAY, delegate="pat"))
    desk = open_desk(absences=away)
    assert refused(desk, decision(reviewer="pat", on_behalf_of="bob")) == "no_delegate"
    assert refused(desk, decision(reviewer="pat", on_behalf_of="dan")) == "not_allowed"


# --- claims and leads ---


def test_a_lead_takes_a_claim_back_and_gives_it_to_somebody() -> None:
    desk = open_desk()
    first = desk.claim(Claim(reviewer="bob"), NOW, "r1")
    for given in (Claim(reviewer="eve", release=True), Claim(reviewer="eve", assign_to="joe")):
        with pytest.raises(DecisionRefused) as error:
            desk.claim(given, NOW, "r1")
        assert error.value.rule in {"claimed", "not_lead"}
    given_to = desk.claim(Claim(reviewer="lea", assign_to="eve"), NOW, "r1")
    assert (given_to.token, desk.held and desk.held.reviewer) == (first.token + 1, "eve")
    assert refused(desk, decision(claim=first.token)) == "claimed"
    desk.claim(Claim(reviewer="LEA", release=True), NOW, "r1")
    assert refused(desk, decision(claim=first.token)) == "claim_lapsed"
    with pytest.raises(DecisionRefused) as unknown:
        desk.claim(Claim(reviewer="lea", assign_to="mallory"), NOW, "r1")
    assert unknown.value.rule == "not_allowed"
    with pytest.raises(DecisionRefused) as own:
        desk.claim(Claim(reviewer="lea", assign_to="ana"), NOW, "r1")
    assert own.value.rule == "requester"


def test_a_lead_who_asked_for_the_review_has_no_say_in_it() -> None:
    desk = open_desk(members={"legal": ("bob",), "leads": ("ana",)})
    desk.claim(Claim(reviewer="bob"), NOW, "r1")
    with pytest.raises(DecisionRefused) as error:
        desk.claim(Claim(reviewer="ana", release=True), NOW, "r1")
    assert error.value.rule == "requester"


def test_a_claim_that_sleeps_is_given_back_and_one_that_is_fresh_is_not() -> None:
    reminded, later = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    desk = open_desk()
    desk.claim(Claim(reviewer="bob", lease_s=86_400), NOW, "r1")
    desk.claim(Claim(reviewer="bob", lease_s=86_400), reminded + timedelta(minutes=1), "r1")
    assert desk.claims.wake(later, reminded), "a renewed claim is as old as its first day"
    assert desk.held is None
    desk.claim(Claim(reviewer="eve", lease_s=86_400), reminded + timedelta(minutes=2), "r1")
    assert not desk.claims.wake(later, reminded)


def test_leads_may_sign_once_it_is_escalated() -> None:
    desk = open_desk()
    assert refused(desk, decision(reviewer="lea")) == "not_allowed"
    desk.escalate()
    desk.decide(decision(reviewer="lea"), NOW)
    assert desk.settle(NOW) is Outcome.APPROVED


# --- undo ---


def test_a_decision_can_be_withdrawn_while_it_is_pending() -> None:
    desk = open_desk(undo_s=600)
    assert refused(desk, decision(Verdict.WITHDRAW)) == "not_pending"
    assert desk.decide(decision(decision_id="d1"), NOW) is None
    assert desk.pending is not None
    assert (desk.pending.outcome, desk.pending.due) == (Outcome.APPROVED, NOW + timedelta(seconds=600))
    assert refused(desk, decision(reviewer="eve")) == "pending"
    assert refused(desk, decision(Verdict.WITHDRAW, reviewer="eve")) == "not_own"
    assert desk.settle(NOW + timedelta(seconds=599)) is None
    desk.decide(decision(Verdict.WITHDRAW), NOW)
    assert (desk.pending, desk.signatures_missing, desk.decisions[0].void) == (None, 1, "withdrawn")
    assert desk.decide(decision(decision_id="d1"), NOW) is None, "the retry of a withdrawn decision is no new one"
    assert desk.pending is None
    desk.decide(decision(decision_id="d2"), NOW)
    assert desk.settle(NOW + DAY) is Outcome.APPROVED
    assert refused(desk, decision(Verdict.WITHDRAW)) == "decided"


def test_an_amendment_that_is_withdrawn_leaves_no_trace_in_the_analysis() -> None:
    desk = open_desk(undo_s=600)
    before = desk.digest
    desk.decide(decision(Verdict.AMEND, edits=[LOWER]), NOW)
    assert desk.pending is not None
    assert desk.pending.outcome is Outcome.AMENDED
    desk.decide(decision(Verdict.WITHDRAW), NOW)
    assert (desk.digest, desk.corrections) == (before, ())
    desk.decide(decision(reviewer="eve", digest=before), NOW)
    assert desk.settle(NOW + DAY) is Outcome.APPROVED


def test_who_signed_what_was_amended_has_signed_nothing_when_the_amendment_is_withdrawn() -> None:
    desk = open_desk(Route.FOUR_EYES, undo_s=600)
    desk.decide(decision(Verdict.AMEND, edits=[LOWER]), NOW)
    desk.decide(decision(reviewer="eve"), NOW)
    assert desk.pending is not None
    desk.decide(decision(Verdict.WITHDRAW), NOW)
    assert (desk.pending, desk.signatures, desk.signatures_missing) == (None, [], 2)


def test_the_first_of_two_can_withdraw_too() -> None:
    desk = open_desk(Route.FOUR_EYES, undo_s=600)
    desk.decide(decision(), NOW)
    desk.decide(decision(reviewer="eve"), NOW)
    desk.decide(decision(Verdict.WITHDRAW), NOW)
    assert (desk.pending, desk.signatures_missing) == (None, 1)
    assert [s.reviewer for s in desk.signatures] == ["eve"]


def test_a_rejection_can_be_withdrawn_by_who_rejected_and_by_no_earlier_signer() -> None:
    desk = open_desk(Route.FOUR_EYES, undo_s=600)
    desk.decide(decision(), NOW)
    desk.decide(decision(Verdict.REJECT, reviewer="eve"), NOW)
    desk.decide(decision(Verdict.WITHDRAW), NOW)
    assert desk.pending is not None, "who had signed takes the signature back; the rejection stands"
    desk.decide(decision(Verdict.WITHDRAW, reviewer="eve"), NOW)
    assert (desk.pending, desk.signatures_missing) == (None, 2)


# --- terms that change ---


def test_who_may_not_sign_any_more_when_it_takes_effect_has_not_signed() -> None:
    desk = open_desk(undo_s=600)
    desk.decide(decision(Verdict.AMEND, edits=[LOWER]), NOW)
    before = desk.corrections
    fallen = desk.reconsider(terms(policy(undo_s=600), members={"legal": ("eve",)}))
    assert before
    assert [(record.reviewer, record.void) for record in fallen] == [("bob", "not_allowed")]
    assert (desk.pending, desk.corrections, desk.settle(NOW + DAY)) == (None, (), None)


def test_a_rejection_falls_as_well() -> None:
    desk = open_desk(undo_s=600)
    desk.decide(decision(Verdict.REJECT), NOW)
    desk.reconsider(terms(policy(undo_s=600), members={"legal": ("eve",)}))
    assert desk.settle(NOW + DAY) is None


def test_a_quorum_that_grew_reopens_and_one_that_shrank_does_not_help() -> None:
    desk = open_desk(quorum={Severity.HIGH: 2}, undo_s=600)
    desk.decide(decision(), NOW)
    desk.reconsider(terms(policy(quorum={}, undo_s=600)))
    assert desk.signatures_missing == 1
    desk.decide(decision(reviewer="eve"), NOW)
    assert desk.reconsider(terms(policy(quorum={Severity.HIGH: 3}, undo_s=600))) == ()
    assert (desk.pending, desk.signatures_missing) == (None, 1)


def test_a_delegation_that_ended_as_meant_counts_and_one_that_was_taken_back_does_not() -> None:
    desk = open_desk(absences=(AWAY,), undo_s=172_800)
    desk.decide(decision(reviewer="dan", on_behalf_of="bob"), NOW)
    assert desk.reconsider(terms(policy(undo_s=172_800), absences=(AWAY,))) == ()
    fallen = desk.reconsider(terms(policy(undo_s=172_800)))
    assert [record.void for record in fallen] == ["no_delegate"]


# --- proofs ---


def signed_desk(*keys: VerifyingKey, **fields: Any) -> Desk:
    return open_desk(require_signed=True, keys=keys or (public(BOB, "bob"), public(GATEWAY)), **fields)


def bound(desk: Desk, verdict: Verdict = Verdict.APPROVE, reviewer: str = "bob", **fields: object) -> Decision:
    return decision(verdict, reviewer, **{"digest": desk.digest, "decision_id": "d1", **fields})


@pytest.mark.parametrize("key", [BOB, GATEWAY])
def test_a_signed_decision_counts_and_says_with_which_key(key: SigningKey) -> None:
    desk = signed_desk()
    assert refused(desk, bound(desk)) == "unsigned"
    desk.decide(proven(bound(desk), key), NOW)
    assert desk.decisions[0].signed_with == key.key_id
    assert desk.settle(NOW) is Outcome.APPROVED


def test_a_proof_serves_for_nothing_but_what_it_was_made_for() -> None:
    desk = signed_desk()
    good = proven(bound(desk))
    stranger = SigningKey(b"x" * 32)
    for given, broken in (
        (good.model_copy(update={"verdict": Verdict.REJECT}), "proof"),
        (good.model_copy(update={"note": "other"}), "proof"),
        (good.model_copy(update={"decision_id": "d2"}), "proof"),
        (good.model_copy(update={"reviewer": "eve"}), "proof"),
        (proven(bound(desk, reviewer="eve"), BOB), "proof"),
        (proven(bound(desk), place=("acme", "r2")), "proof"),
        (proven(bound(desk), place=("other", "r1")), "proof"),
        (proven(bound(desk), at=NOW - timedelta(hours=1)), "proof"),
        (proven(bound(desk), at=NOW + timedelta(hours=1)), "proof"),
        (proven(bound(desk), stranger), "unknown_key"),
        (good.model_copy(update={"proof": "a.b"}), "proof"),
        (good.model_copy(update={"proof": "e30.e30.AAAA"}), "proof"),
        (good.model_copy(update={"proof": "!.!.!"}), "proof"),
        (proven(bound(desk, digest=None)), "unbound"),
        (proven(bound(desk, decision_id=None)), "unbound"),
    ):
        assert refused(desk, given) == broken, given
    desk.decide(good, NOW)


@pytest.mark.parametrize("cut", range(3))
def test_every_part_of_a_proof_is_covered(cut: int) -> None:
    desk = signed_desk()
    good = proven(bound(desk))
    assert good.proof is not None
    parts = good.proof.split(".")
    parts[cut] = ("A" if parts[cut][5] != "A" else "B").join((parts[cut][:5], parts[cut][6:]))
    assert refused(desk, good.model_copy(update={"proof": ".".join(parts)})) in {"proof", "unknown_key"}


def test_a_used_proof_is_not_used_again() -> None:
    desk = signed_desk(undo_s=600)
    good = proven(bound(desk))
    desk.decide(good, NOW)
    desk.decide(proven(bound(desk, Verdict.WITHDRAW, decision_id="w1")), NOW)
    assert desk.decide(good, NOW) is None
    assert (desk.pending, len(desk.decisions)) == (None, 2)


def test_withdrawing_answering_and_effects_must_be_signed_too() -> None:
    desk = signed_desk(undo_s=600)
    desk.decide(proven(bound(desk)), NOW)
    assert refused(desk, bound(desk, Verdict.WITHDRAW, decision_id="w")) == "unsigned"
    desk = signed_desk()
    desk.decide(proven(bound(desk, Verdict.ASK, question="Which?")), NOW)
    with pytest.raises(DecisionRefused) as error:
        desk.answer(Answer(user="ana", text="That one"), NOW)
    assert error.value.rule == "unsigned"
    answer = Answer(user="ana", text="That one", digest=desk.digest, answer_id="a1")
    desk.answer(answer.model_copy(update={"proof": GATEWAY.prove(answer, PLACE, NOW)}), NOW)
    effect = EffectDecision(item="E1", reviewer="bob", digest="d", decision_id="e1")
    with pytest.raises(DecisionRefused):
        desk.check_effect(effect, NOW, approve=True)
    good = effect.model_copy(update={"proof": BOB.prove(effect, PLACE, NOW, approve=True)})
    assert desk.check_effect(good, NOW, approve=True) == BOB.key_id
    with pytest.raises(DecisionRefused):
        desk.check_effect(good, NOW, approve=False)


def test_what_a_retired_key_signed_before_counts_and_what_a_revoked_one_signed_does_not() -> None:
    rules = policy(require_signed=True, undo_s=600)
    desk = signed_desk(undo_s=600)
    desk.decide(proven(bound(desk)), NOW)
    retired = public(BOB, "bob", until=NOW + timedelta(seconds=1))
    assert desk.reconsider(terms(rules, keys=(retired,))) == ()
    later = NOW + timedelta(seconds=2)
    other = signed_desk(retired)
    assert refused(other, proven(bound(other), at=later), later) == "key_retired"
    assert [record.void for record in desk.reconsider(terms(rules))] == ["key_revoked"]


def test_unsigned_decisions_fall_when_the_tenant_comes_to_ask_for_signed_ones() -> None:
    desk = open_desk(Route.FOUR_EYES)
    desk.decide(decision(), NOW)
    fallen = desk.reconsider(terms(policy(), require_signed=True))
    assert [record.void for record in fallen] == ["unsigned"]


def test_a_field_at_its_default_changes_no_statement() -> None:
    assert statement_of(decision()) == statement_of(decision(note="", edits=[], proof="x"))
    assert statement_of(decision()) != statement_of(decision(note=" "))


def test_a_proof_is_good_for_a_while_and_no_longer() -> None:
    good = decision(digest="d", decision_id="d1")
    proof = BOB.prove(good, PLACE, NOW)
    keys = (public(BOB, "bob"),)
    for late, counts in ((0, True), (VALID_S, True), (VALID_S + 121, False), (-119, True), (-121, False)):
        at = NOW + timedelta(seconds=late)
        if counts:
            assert check_proof(proof, good, person="bob", place=PLACE, keys=keys, at=at) == BOB.key_id
        else:
            with pytest.raises(DecisionRefused):
                check_proof(proof, good, person="bob", place=PLACE, keys=keys, at=at)


class GovernedDesk(RuleBasedStateMachine):
    """Interleaved people, delegates, retries, timers, second thoughts and changes of policy: the rules hold."""

    people = st.sampled_from([*["bob", "Bob", "eve", "joe"] * 3, "ana", "lea", "dan", "mallory"])
    group = st.sampled_from([("bob", "eve", "joe"), ("bob", "eve"), ("ana", "bob", "joe"), ("eve", "dan"), ()])
    mostly = st.sampled_from([True, True, True, False])

    @initialize(
        undo_s=st.sampled_from([0, 300]),
        quorum=st.sampled_from([{}, {Severity.HIGH: 2}, {Severity.LOW: 2, Severity.CRITICAL: 3}]),
        route=st.sampled_from([Route.REVIEW, Route.FOUR_EYES]),
        away=st.booleans(),
    )
    def start(self, undo_s: float, quorum: dict[Severity, int], route: Route, away: bool) -> None:
        self.rules = policy(undo_s=undo_s, quorum=quorum)
        self.clock = NOW
        self.required = 2 if route is Route.FOUR_EYES else 1
        self.members: dict[str, tuple[str, ...]] = {"legal": ("bob", "eve", "joe"), "leads": ("lea",)}
        self.absences = (Absence(person="bob", until=NOW + DAY, delegate="eve"),) if away else ()
        self.signed_only = False
        self.escalated = False
        self.ids = 0
        self.counted: dict[str, Decision] = {}
        self.first_outcome: Outcome | None = None
        self.desk = Desk("ana", self.rules, "1", PLACE)
        self.hear()
        self.desk.open(analysis(), route)

    def hear(self) -> None:
        keys = (public(BOB, "bob"), public(GATEWAY))
        self.terms = terms(
            self.rules, members=self.members, absences=self.absences, require_signed=self.signed_only, keys=keys
        )
        self.desk.reconsider(self.terms)

    def attempt(self, verdict: Verdict, who: str, signed: bool, **fields: object) -> bool:
        """Whether it counted."""
        self.clock += timedelta(minutes=1)
        self.ids += 1
        given = decision(verdict, who, **{"digest": self.desk.digest, "decision_id": f"d{self.ids}", **fields})
        before = len(self.desk.decisions)
        try:
            self.desk.decide(proven(given, GATEWAY, self.clock) if signed else given, self.clock)
        except DecisionRefused:
            return False
        if len(self.desk.decisions) == before:
            return False
        self.counted[given.decision_id or ""] = given
        return True

    @rule(who=people, signed=mostly, fresh=mostly)
    def approve(self, who: str, signed: bool, fresh: bool) -> None:
        fields = {} if fresh else {"digest": "f" * 64}
        counted = self.attempt(Verdict.APPROVE, who, signed, **fields)
        assert not (counted and not fresh)
        assert not (counted and self.signed_only and not signed), "a forged decision counted"

    @rule(who=people)
    def approve_once_more(self, who: str) -> None:
        self.attempt(Verdict.APPROVE, who, True)

    @rule(data=st.data())
    def approve_for_another(self, data: st.DataObject) -> None:
        pairs = st.tuples(self.people, self.people)
        if self.absences:
            pairs = st.sampled_from([(absence.delegate or "", absence.person) for absence in self.absences]) | pairs
        who, behalf = data.draw(pairs)
        self.attempt(Verdict.APPROVE, who, True, on_behalf_of=behalf)

    @rule(number=st.integers(1, 12), note=st.sampled_from(["", "other"]))
    def repeat(self, number: int, note: str) -> None:
        """What has counted counts once; under its id nothing else does."""
        first = self.counted.get(f"d{number}")
        if first is None:
            return
        before = (list(self.desk.decisions), self.desk.pending, self.desk.outcome)
        try:
            self.desk.decide(first.model_copy(update={"note": note}), self.clock)
        except DecisionRefused as error:
            assert (error.rule, note) == ("key_reused", "other")
        assert (self.desk.decisions, self.desk.pending, self.desk.outcome) == before, "a retry counted twice"

    @rule(who=people, severity=st.sampled_from(Severity), signed=mostly)
    def amend(self, who: str, severity: Severity, signed: bool) -> None:
        self.attempt(Verdict.AMEND, who, signed, edits=[{"action": "set", "finding_id": "F1", "severity": severity}])

    @rule(who=people, signed=mostly)
    def reject(self, who: str, signed: bool) -> None:
        self.attempt(Verdict.REJECT, who, signed)

    @rule(who=people)
    def ask(self, who: str) -> None:
        self.attempt(Verdict.ASK, who, True, question="?")

    @rule()
    def answer(self) -> None:
        given = Answer(user="ana", text="so", digest=self.desk.digest, answer_id="a")
        given = given.model_copy(update={"proof": GATEWAY.prove(given, PLACE, self.clock)})
        if self.desk.question is not None and self.desk.pending is None and self.desk.outcome is None:
            self.desk.answer(given, self.clock)

    @rule(who=people, signed=mostly)
    def withdraw(self, who: str, signed: bool) -> None:
        pending = self.desk.pending
        if self.attempt(Verdict.WITHDRAW, who, signed):
            assert pending is not None, "withdrawn what was not pending"
            assert any(same_person(who, name) for d in self.desk.decisions if d.void for name in stand_for(d))

    @rule(who=people, release=st.booleans(), to=st.none() | people)
    def claim(self, who: str, release: bool, to: str | None) -> None:
        self.clock += timedelta(minutes=1)
        before = self.desk.claims.live(self.clock)
        try:
            self.desk.claim(Claim(reviewer=who, release=release, assign_to=to, lease_s=300), self.clock, "r1")
        except DecisionRefused:
            return
        if before is not None and not same_person(before.reviewer, who):
            assert any(same_person(who, lead) for lead in self.members["leads"]), "taken over by no lead"

    @rule(legal=group, lead=st.sampled_from([(), ("lea",), ("eve",)]))
    def change_groups(self, legal: tuple[str, ...], lead: tuple[str, ...]) -> None:
        self.members = {"legal": legal, "leads": lead}
        self.hear()

    @rule(person=people, delegate=people, minutes=st.integers(1, 8))
    def go_away(self, person: str, delegate: str, minutes: int) -> None:
        others = tuple(absence for absence in self.absences if not same_person(absence.person, person))
        until = self.clock + timedelta(minutes=minutes)
        self.absences = (*others, Absence(person=person, until=until, delegate=delegate))
        self.hear()

    @rule(person=people)
    def come_back(self, person: str) -> None:
        self.absences = tuple(absence for absence in self.absences if not same_person(absence.person, person))
        self.hear()

    @rule(signed_only=st.booleans(), quorum=st.sampled_from([{}, {Severity.LOW: 2}, {Severity.INFO: 3}]))
    def change_policy(self, signed_only: bool, quorum: dict[Severity, int]) -> None:
        self.signed_only = signed_only
        self.rules = self.rules.model_copy(update={"quorum": quorum})
        self.hear()

    @rule()
    def escalate(self) -> None:
        self.escalated = True
        self.desk.escalate()

    @rule(hours=st.sampled_from([0, 1]))
    def wake(self, hours: int) -> None:
        self.desk.claims.wake(self.clock, self.clock - timedelta(hours=hours))

    @rule(wait=st.booleans())
    def take_effect(self, wait: bool) -> None:
        """As the workflow does it: wait, hear the terms, settle."""
        pending = self.desk.pending
        if wait and pending is not None:
            self.clock = max(self.clock, pending.due)
        self.hear()
        outcome = self.desk.settle(self.clock)
        if outcome is not None and self.first_outcome is None and pending is not None:
            assert outcome is pending.outcome
            assert self.clock >= pending.due, "it took effect too early"

    @precondition(lambda self: len(self.desk.decisions) > 8)
    @rule()
    def expire(self) -> None:
        self.desk.expire()

    @invariant()
    def an_outcome_stays(self) -> None:
        if self.first_outcome is not None:
            assert self.desk.outcome is self.first_outcome
            return
        self.first_outcome = self.desk.outcome
        if self.desk.outcome not in (Outcome.APPROVED, Outcome.AMENDED):
            return
        signatures = self.desk.signatures
        findings = self.desk.analysis.key_findings if self.desk.analysis else ()
        worst = max(finding.severity.rank for finding in findings)
        asked = [n for severity, n in self.rules.quorum.items() if worst >= severity.rank]
        assert len(signatures) >= max([self.required, *asked])
        allowed = {*self.members["legal"], *(self.members["leads"] if self.escalated else ())}
        for signature in signatures:
            in_whose_right = signature.on_behalf_of or signature.reviewer
            assert any(same_person(in_whose_right, name) for name in allowed), "signed without the right to"
            assert signature.signed_with or not self.signed_only

    @invariant()
    def nobody_signs_twice_or_for_themselves(self) -> None:
        behind = [name.strip().casefold() for s in self.desk.signatures for name in stand_for(s)]
        pairs = [name for s in self.desk.signatures for name in {n.casefold() for n in stand_for(s)}]
        assert len(pairs) == len(set(pairs)), "one person stands behind two signatures"
        assert "ana" not in behind
        known = [d for d in self.desk.decisions if d.on_behalf_of is not None]
        assert not any(same_person(d.on_behalf_of or "", "ana") for d in known)
        assert not any(same_person(d.reviewer, "ana") for d in self.desk.decisions)

    @invariant()
    def signatures_are_of_what_is_shown(self) -> None:
        assert all(s.digest == self.desk.digest and not s.void for s in self.desk.signatures)
        original = analysis()
        assert self.desk.analysis == apply_edits(original, self.desk.corrections), "a void edit shows, or one is lost"


GovernedDesk.TestCase.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
TestGovernedDesk = GovernedDesk.TestCase
