"""One review against a person's judgement: by edits, blind, by labels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.review.payloads import Edit, Evidence, Finding
from countersign.shadow.judging import (
    ABSENT,
    DECISION,
    FOUND,
    OBJECT,
    PRESENT,
    RESTATED,
    Label,
    blind,
    by_edits,
    by_labels,
)
from countersign.words import Position, Severity, Verdict

CLAUSES = ("governing_law", "term", "liability")


def finding(number: int, clause: str = "term", severity: Severity = Severity.HIGH, **changes: object) -> Finding:
    return Finding(
        id=f"F{number}",
        clause=clause,
        severity=severity,
        statement="s",
        position=Position.WALK_AWAY,
        evidence=(Evidence(quote=f"words of {clause}", start=0, end=5, page=1),),
        confidence=0.9,
    ).model_copy(update=changes)


findings = st.lists(
    st.builds(finding, st.integers(1, 3), st.sampled_from(CLAUSES), st.sampled_from(list(Severity))),
    max_size=6,
    unique_by=lambda one: one.id,
).map(tuple)


@given(findings)
def test_what_a_person_signs_as_it_stands_agrees_in_everything(said: tuple[Finding, ...]) -> None:
    found = by_edits(said, Verdict.APPROVE, ())
    assert (found.agreement, found.critical) == (1.0, False)
    assert {clause.clause for clause in found.clauses} == {one.clause for one in said}


@given(findings, st.sampled_from(CLAUSES))
def test_a_critical_finding_that_a_person_adds_is_a_severity_1_error(said: tuple[Finding, ...], clause: str) -> None:
    added = Edit(action="add", clause=f"other_{clause}", severity=Severity.CRITICAL, statement="s")
    found = by_edits(said, Verdict.AMEND, (added,))
    assert found.critical
    assert found.agreement < 1


@given(findings, st.data())
def test_no_amendment_is_full_agreement(said: tuple[Finding, ...], data: st.DataObject) -> None:
    """Whichever finding it touches: of two on one clause the milder one, too, was shown, and was changed."""
    severity = st.sampled_from(list(Severity))
    edits = [st.builds(Edit, action=st.just("add"), clause=st.sampled_from(CLAUSES), severity=severity)]
    if said:
        one = data.draw(st.sampled_from(said))
        others = [each for each in Severity if each is not one.severity]
        edits += [
            st.just(Edit(action="remove", finding_id=one.id)),
            st.builds(Edit, action=st.just("set"), finding_id=st.just(one.id), severity=st.sampled_from(others)),
        ]
    edit = data.draw(st.one_of(edits))
    found = by_edits(said, Verdict.AMEND, (edit,))
    assert found.agreement < 1


def test_a_small_change_beneath_a_critical_finding_is_no_severity_1_error() -> None:
    said = (finding(1, severity=Severity.CRITICAL), finding(2, severity=Severity.LOW))
    found = by_edits(said, Verdict.AMEND, (Edit(action="remove", finding_id="F2"),))
    assert not found.critical
    assert 0.5 < found.agreement < 1


def test_a_rejected_review_agrees_in_nothing_and_is_no_severity_1_error() -> None:
    found = by_edits((finding(1),), Verdict.REJECT, ())
    assert (found.agreement, found.critical) == (0.0, False)


@pytest.mark.parametrize(
    ("edit", "agent", "person", "critical"),
    [
        (Edit(action="remove", finding_id="F1"), "walk_away", ABSENT, False),
        (Edit(action="set", finding_id="F1", severity=Severity.LOW), "walk_away", "walk_away", False),
        (Edit(action="set", finding_id="F1", severity=Severity.CRITICAL), "walk_away", "walk_away", True),
        (Edit(action="set", finding_id="F1", statement="other words"), "walk_away", RESTATED, False),
    ],
)
def test_each_kind_of_edit_is_a_disagreement(edit: Edit, agent: str, person: str, critical: bool) -> None:
    kept = finding(2, "governing_law")
    found = by_edits((finding(1), kept), Verdict.AMEND, (edit,))
    changed = next(clause for clause in found.clauses if clause.clause == "term")
    assert (changed.agent, changed.person, found.critical) == (agent, person, critical)
    assert 0 < found.agreement < 1
    assert changed.agent_quote == "words of term"


def test_who_judges_blind_is_compared_with_what_asks_for_something() -> None:
    said = (finding(1), finding(2, "governing_law", Severity.INFO))
    agreed = blind(
        said, Verdict.AMEND, (Edit(action="add", clause="term", severity=Severity.HIGH, statement="q"),), Severity.HIGH
    )
    assert [(c.clause, c.agent, c.person) for c in agreed.clauses] == [("term", FOUND, FOUND)]
    assert agreed.agreement == 1
    nothing = blind(said, Verdict.APPROVE, (), Severity.HIGH)
    assert (nothing.agreement, nothing.clauses[0].person) == (0.0, ABSENT)
    missed = blind(
        (), Verdict.AMEND, (Edit(action="add", clause="x", severity=Severity.CRITICAL, statement="q"),), Severity.HIGH
    )
    assert missed.critical
    assert missed.clauses[0].person_quote == "q"


def test_who_only_rejects_is_compared_with_whether_the_agents_object() -> None:
    [clause] = blind((finding(1),), Verdict.REJECT, (), Severity.HIGH).clauses
    assert (clause.clause, clause.agent, clause.person) == (DECISION, OBJECT, OBJECT)
    assert blind((finding(1, severity=Severity.LOW),), Verdict.REJECT, (), Severity.HIGH).agreement == 0


def test_labels_of_presence_ask_whether_something_is_there_and_no_more() -> None:
    said = (finding(1), finding(2, "liability", position=Position.ABSENT, evidence=()))
    labels = {name: Label(label=PRESENT if name == "term" else ABSENT) for name in CLAUSES}
    found = by_labels(said, [labels], None, Severity.HIGH)
    assert found.agreement == 1
    assert {clause.clause: clause.agent for clause in found.clauses} == {
        "governing_law": ABSENT,
        "liability": ABSENT,
        "term": PRESENT,
    }
    assert {clause.clause for clause in found.clauses if clause.confidence is not None} == {"term"}


def test_labels_with_position_and_severity_are_compared_in_both() -> None:
    graver = Label(label="walk_away", severity=Severity.CRITICAL, quote="theirs")
    found = by_labels((finding(1),), [{"term": graver}, {"term": Label(label="fallback")}], None, Severity.HIGH)
    assert (found.critical, found.agreement) == (True, 0.0)
    [clause] = found.clauses
    assert (clause.person_quote, clause.others) == ("theirs", ("fallback",))


def test_a_missed_clause_without_a_severity_is_no_severity_1_error() -> None:
    found = by_labels((), [{"term": Label(label=PRESENT)}], None, Severity.HIGH)
    assert (found.critical, found.agreement) == (False, 0.0)


@pytest.mark.parametrize(
    ("decision", "agreement"), [(Verdict.APPROVE, 0.0), (Verdict.AMEND, 1.0), (Verdict.REJECT, 1.0)]
)
def test_a_decision_is_compared_with_whether_the_agents_object(decision: Verdict, agreement: float) -> None:
    assert by_labels((finding(1),), [], decision, Severity.HIGH).agreement == agreement


def test_labels_of_a_part_of_what_the_agents_said_are_no_evidence_about_the_whole() -> None:
    said, term = (finding(1), finding(2, "liability")), {"term": Label(label=PRESENT)}
    assert not by_labels(said, [term], None, Severity.HIGH).whole
    assert by_labels(said, [term], Verdict.AMEND, Severity.HIGH).whole
    assert by_labels(said, [{**term, "liability": Label(label=ABSENT)}], None, Severity.HIGH).whole
