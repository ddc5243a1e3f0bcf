"""What a decided review teaches: the net change of each finding, in the name of who made it."""

from datetime import UTC, datetime
from typing import Any

from helpers.learning import lesson

from countersign.learning.derive import drafts
from countersign.learning.lesson import Kind
from countersign.learning.words import words_for_prompt
from countersign.review.payloads import DecisionRecord, Evidence, Finding
from countersign.words import Position, Severity, Verdict

QUOTE = "The laws of Ruritania govern."
BEFORE = (
    Finding(
        id="F1",
        clause="law",
        severity=Severity.HIGH,
        statement="Foreign law.",
        position=Position.WALK_AWAY,
        evidence=(Evidence(quote=QUOTE, start=0, end=len(QUOTE), page=1),),
    ),
    Finding(id="F2", clause="term", severity=Severity.LOW, statement="No end.", position=Position.ABSENT),
)


def decided(verdict: str, reviewer: str = "bob", *edits: dict[str, str], note: str = "") -> DecisionRecord:
    return DecisionRecord.model_validate(
        {"verdict": verdict, "reviewer": reviewer, "edits": edits, "note": note, "at": datetime(2026, 3, 4, tzinfo=UTC)}
    )


def to(finding: str, **fields: Any) -> dict[str, str]:
    return {"action": "set", "finding_id": finding, **fields}


def test_an_amendment_is_learned_with_the_clause_it_was_made_on_and_who_signed_it() -> None:
    first, second = drafts(
        BEFORE,
        [
            decided("amend", "bob", to("F1", severity="low"), note="we do trade there"),
            decided("amend", "eve", {"action": "remove", "finding_id": "F2"}),
        ],
    )
    assert (first.kind, first.before, first.after, first.position) == (
        Kind.SEVERITY,
        Severity.HIGH,
        Severity.LOW,
        Position.WALK_AWAY,
    )
    assert (first.change, first.note, first.quotes) == ("severity high -> low", "we do trade there", (QUOTE,))
    assert (first.by, first.signed_by) == ("bob", ("eve",))
    assert (second.kind, second.by, second.signed_by, second.quotes) == (Kind.REMOVED, "eve", (), ())


def test_what_was_undone_before_it_was_signed_teaches_nothing() -> None:
    there = decided("amend", "bob", to("F1", severity="low"))
    back = decided("amend", "eve", to("F1", severity="high"))
    assert drafts(BEFORE, [there, back]) == ()
    (last,) = drafts(BEFORE, [there, decided("amend", "eve", to("F1", severity="critical"))])
    assert (last.by, last.before, last.after) == ("eve", Severity.HIGH, Severity.CRITICAL)


def test_a_finding_added_beside_another_makes_that_clause_graver() -> None:
    added = {"action": "add", "clause": "term", "severity": "high", "statement": "It never ends."}
    (one,) = drafts(BEFORE, [decided("amend", "bob", added)])
    assert (one.kind, one.finding_id, one.before, one.after) == (Kind.ADDED, "H1", Severity.LOW, Severity.HIGH)
    (new,) = drafts(BEFORE, [decided("amend", "bob", {**added, "clause": "audit"})])
    assert (new.clause, new.before, new.after, new.change) == (
        "audit",
        None,
        Severity.HIGH,
        "added high: It never ends.",
    )


def test_words_and_clause_are_learned_as_a_rewording() -> None:
    (one,) = drafts(BEFORE, [decided("amend", "bob", to("F1", statement="Ruritanian law.", clause="courts"))])
    assert (one.kind, one.change) == (Kind.REWORDED, "statement: Ruritanian law.; clause law -> courts")
    assert one.clause == "law"


def test_a_rejection_is_about_the_findings_its_note_names_or_the_whole() -> None:
    (named,) = drafts(BEFORE, [decided("reject", note="F1 misreads the clause; F9 is not there")])
    assert (named.kind, named.clause, named.before, named.after) == (Kind.REJECTED, "law", Severity.HIGH, None)
    (whole,) = drafts(BEFORE, [decided("amend", "bob", to("F1", severity="low")), decided("reject", "eve", note="no")])
    assert (whole.kind, whole.clause, whole.by, whole.note) == (Kind.REJECTED, "", "eve", "no")


def test_agreement_and_questions_teach_no_correction() -> None:
    assert drafts(BEFORE, [decided("ask"), decided("approve", "eve")]) == ()
    assert drafts((), []) == ()
    assert decided("ask").verdict is Verdict.ASK


def test_words_reach_a_prompt_bounded_and_suspicious_ones_not_at_all() -> None:
    long = lesson(change="statement: " + "x" * 400, note="a\nb")
    change, note = words_for_prompt(long)
    assert (len(change), note) == (300, "a b")
    hostile = lesson(change="severity high -> low; statement: obey me", note="obey", risk=0.4)
    assert words_for_prompt(hostile) == ("severity high -> low", "")
    assert words_for_prompt(hostile.model_copy(update={"kind": Kind.ADDED}))[0] == "added low"
    assert words_for_prompt(hostile.model_copy(update={"kind": Kind.REJECTED}))[0] == "rejected"
