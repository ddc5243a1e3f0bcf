"""What corrections do to another contract's findings: to the same clause only, and never so that a person is spared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.learning.apply import Clause, applied
from countersign.learning.likeness import figures
from countersign.review.capability import Capability
from countersign.review.gate import gate
from countersign.review.payloads import AnalysisResult, Correction, Evidence, Finding, SigningPolicy
from countersign.words import Autonomy, Position, Route, Severity

QUOTE = "Confidentiality survives for five (5) years."


def finding(severity: str = "high", quote: str = QUOTE, **changes: Any) -> Finding:
    evidence = (Evidence(quote=quote, start=0, end=len(quote), page=1),) if quote else ()
    made = Finding(
        id="F1",
        clause="term",
        severity=Severity(severity),
        statement="Five years.",
        position=Position.FALLBACK if quote else Position.ABSENT,
        evidence=evidence,
        confidence=0.9,
    )
    return made.model_copy(update=changes)


def correction(kind: str, before: str | None = "high", after: str | None = "low", **changes: Any) -> Correction:
    return Correction.model_validate(
        {
            "correction_id": 17,
            "clause": "term",
            "change": "c",
            "kind": kind,
            "before": before,
            "after": after,
            **changes,
        }
    )


def alike(least: float = 0.1, most: float = 0.1, stated: str = QUOTE) -> dict[tuple[str, int], Clause]:
    return {("F1", 17): Clause(least=least, most=most, figures=figures([stated]))}


@pytest.mark.parametrize(
    ("kind", "before", "after", "became"),
    [
        ("severity", "high", "low", "low"),
        ("severity", "high", "critical", "critical"),
        ("severity", "medium", "low", "high"),
        ("removed", "high", None, "info"),
        ("added", "high", "critical", "critical"),
        ("added", "high", "low", "high"),
        ("reworded", "high", "high", "high"),
        ("", "high", "low", "high"),
    ],
)
def test_the_same_mistake_is_not_made_again_and_says_why(kind: str, before: str, after: str, became: str) -> None:
    (made,) = applied([finding()], [correction(kind, before, after)], alike())
    assert made.severity == became
    moved = became != "high"
    assert made.corrections == ((17,) if moved else ())
    assert ("(because of correction 17)" in made.statement) is moved
    assert made.uncorrected == (Severity.HIGH if moved else None)


@pytest.mark.parametrize(
    "changes", [{"clause": "law"}, {"position": "walk_away"}], ids=["another clause", "another position"]
)
def test_another_mistake_is_left_alone(changes: dict[str, str]) -> None:
    assert applied([finding()], [correction("severity", **changes)], alike()) == (finding(),)


def test_for_the_milder_everything_quoted_must_be_the_corrected_clause_and_state_nothing_new() -> None:
    down, up = correction("severity"), correction("severity", after="critical")
    half = alike(least=-0.1)
    assert applied([finding()], [down], half)[0].severity is Severity.HIGH
    assert applied([finding()], [up], half)[0].severity is Severity.CRITICAL
    for other in ("Confidentiality survives for ten (10) years.", "Confidentiality never survives five (5) years."):
        assert applied([finding(quote=other)], [down], alike())[0].severity is Severity.HIGH
    assert applied([finding()], [down], {})[0].severity is Severity.HIGH, "nothing to compare is no likeness"


def test_an_absence_is_rated_anew_and_never_taken_away() -> None:
    absent = finding(quote="")
    assert applied([absent], [correction("removed", position="absent")], {})[0].severity is Severity.HIGH
    assert applied([absent], [correction("severity", position="absent")], {})[0].severity is Severity.LOW


def test_what_was_rejected_is_told_with_less_confidence() -> None:
    (doubted,) = applied([finding()], [correction("rejected", after=None)], alike())
    assert (doubted.severity, doubted.confidence, doubted.corrections) == (Severity.HIGH, 0.72, (17,))


def test_corrections_follow_each_other_in_the_order_they_were_made() -> None:
    chain = [correction("severity", "low", "info", correction_id=18), correction("severity")]
    clauses = {**alike(), ("F1", 18): alike()["F1", 17]}
    (made,) = applied([finding()], chain, clauses)
    assert (made.severity, made.uncorrected, made.corrections) == (Severity.INFO, Severity.HIGH, (17, 18))


def test_a_model_may_name_what_it_was_shown_and_nothing_else() -> None:
    hint = correction("added", before=None, correction_id=21)
    named = finding(corrections=(17, 21, 99))
    assert applied([named], [correction("severity", before="low"), hint], {})[0].corrections == (21,)


severities = st.sampled_from(list(Severity))
findings = st.builds(
    finding,
    severity=severities,
    quote=st.sampled_from([QUOTE, ""]),
    confidence=st.floats(0, 1),
)
corrections = st.lists(
    st.builds(
        correction,
        kind=st.sampled_from(["severity", "removed", "added", "reworded", "rejected"]),
        before=st.none() | severities,
        after=st.none() | severities,
        correction_id=st.integers(1, 5),
        position=st.none() | st.sampled_from(["fallback", "absent"]),
    ),
    max_size=5,
)
STRICTER = {Route.RELEASE: 0, Route.REVIEW: 1, Route.FOUR_EYES: 2}


@given(findings, corrections, st.sampled_from(list(Autonomy)), st.floats(0, 1))
def test_no_correction_spares_a_person(
    one: Finding, given_corrections: list[Correction], autonomy: Autonomy, sure: float
) -> None:
    def route(findings: tuple[Finding, ...]) -> int:
        analysis = AnalysisResult(summary="", key_findings=findings, confidence=sure, requires_human_review=False)
        return STRICTER[gate(analysis, autonomy=autonomy, capability=Capability(), policy=SigningPolicy()).route]

    clause = alike()["F1", 17]
    made = applied([one], given_corrections, {("F1", number): clause for number in range(1, 6)})
    assert route(made) >= route((one,))
    assert made[0].confidence <= one.confidence
    assert made[0].evidence == one.evidence


@given(findings)
def test_without_corrections_nothing_changes(one: Finding) -> None:
    assert applied([one], [], {}) == (one,)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("8.2 Either party may end this on 30 days' notice.", {"30"}),
        ("As Section 12.1 says, liability is capped at $1,000,000.", {"1,000,000"}),
        ("It is not limited, nor without end.", {"not", "without"}),
        ("-9-\n\n3.5. Restrictions. No more than\n- 12 -\n5 copies.", {"no", "5"}),
        ("Page 3 of 12\nIt ends after\n30\ndays.", {"30"}),
        ("(a) the Receiving Party keeps it secret.", set()),
    ],
)
def test_figures_are_those_of_the_clause_and_not_of_its_numbering(text: str, stated: set[str]) -> None:
    assert figures([text]) == stated
