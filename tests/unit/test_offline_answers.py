"""The offline model's judgement, piece by piece: facts, intent, severities, corrections, conclusion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.agents.offline.facts import MOST, facts
from countersign.agents.offline.intent import contract_type, focus, our_side, task_of
from countersign.agents.offline.specialist import severity_of
from countersign.agents.offline.synthesis import FOREIGN, NOTHING_FOUND, Row, confidence, contradictions
from countersign.playbook.model import Family
from countersign.words import Position, Severity

STANCES = {"preferred": {"text": "P"}, "fallback": {"text": "F"}, "walk_away": {"text": "W"}}


def family(key: str, title: str, severity: str = "high", **more: object) -> Family:
    facts_of_it = {"key": key, "title": title, "specialist": "risk", "question": "?", "severity": severity}
    return Family.model_validate(facts_of_it | STANCES | more)


FAMILIES = (
    family("liability_cap", "Cap on liability"),
    family("liability_exclusions", "Exclusions of liability"),
    family("governing_law", "Governing law", cues=[r"\bgoverned by\b"]),
    family("term", "Term and duration"),
)


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("for two (2) years and thirty (30) days' notice", ("two (2) years", "thirty (30) days")),
        ("shall not exceed US$ 1,000,000 or 15% of the fees", ("US$ 1,000,000", "15%")),
        ("governed by the laws of the State of New York.", ("law of State of New York",)),
        ("the courts of England shall decide", ("courts of England",)),
        ("from March 1, 2021, that is 2021-03-01", ("March 1, 2021", "2021-03-01")),
        ("within 10 business days, at 1.5 percent", ("1.5 percent", "10 business days")),
        ("in the\n  laws of  Delaware", ("law of Delaware",)),
        ("each party bears its own costs", ()),
    ],
)
def test_facts_are_what_the_clause_states(clause: str, expected: tuple[str, ...]) -> None:
    assert facts(clause) == expected


@given(st.text(max_size=300))
def test_facts_are_few_and_never_repeated(clause: str) -> None:
    found = facts(clause)
    assert len(found) <= MOST
    assert len({fact.casefold() for fact in found}) == len(found)


@pytest.mark.parametrize(
    ("opening", "kind"),
    [
        ("MUTUAL NON-DISCLOSURE AGREEMENT\nThis Agreement is made between A and B.", "nda"),
        ("CONFIDENTIALITY AGREEMENT", "nda"),
        ("Exhibit 10.1\n\nMASTER SERVICES AGREEMENT\nThis Master Services Agreement governs services.", "msa"),
        ("SOFTWARE LICENSE AGREEMENT between Licensor and Licensee", "license"),
        ("EXCLUSIVE DISTRIBUTOR AGREEMENT", "distribution"),
        ("EXECUTIVE EMPLOYMENT AGREEMENT", "employment"),
        ("COMMERCIAL LEASE", "lease"),
        ("JOINT VENTURE AGREEMENT\nThe parties shall keep information confidential.", "joint_venture"),
        ("CONSULTING AGREEMENT for services", "consulting"),
        ("Minutes of the meeting", "other"),
        ("", "other"),
    ],
)
def test_the_kind_of_contract_is_in_its_title_and_opening(opening: str, kind: str) -> None:
    assert contract_type(opening) == kind


@pytest.mark.parametrize(
    ("ask", "opening", "side"),
    [
        ("We are the Receiving Party.", "…", "Receiving Party"),
        ("please review, we are the supplier", 'X Ltd (the "Supplier")', "Supplier"),
        ("I act for the customer here", "CUSTOMER and VENDOR", "CUSTOMER"),
        ("Review this on behalf of the licensee", "", "Licensee"),
        ("Review this as Alpha", 'Alpha Ltd ("Alpha")', "Alpha"),
        ("We are in a hurry, thanks", "…", ""),
        ("Review this as soon as possible", "…", ""),
        ("", 'X Ltd (the "Supplier")', ""),
    ],
)
def test_our_side_is_what_the_ask_says(ask: str, opening: str, side: str) -> None:
    assert our_side(ask, opening) == side


@pytest.mark.parametrize(
    ("ask", "keys"),
    [
        ("", ()),
        ("Please review this agreement and its governing law", ()),
        ("Focus on liability only", ("liability_cap", "liability_exclusions")),
        ("Only: what law is it governed by?", ("governing_law",)),
        ("Is there a cap? We are the Customer.", ()),
        ("Only look at the weather", ()),
    ],
)
def test_focus_needs_words_that_limit(ask: str, keys: tuple[str, ...]) -> None:
    assert focus(ask, FAMILIES) == keys


def test_the_task_is_read_from_the_ask() -> None:
    assert [task_of(a) for a in ("Review it", "Give me a summary", "Who owns the IP?", "")] == [
        "review",
        "summarise",
        "question",
        "review",
    ]


def test_severity_follows_the_playbook() -> None:
    clause = family("x1", "X", absent_severity="critical")
    assert [severity_of(position, clause) for position in Position] == ["info", "medium", "high", "low", "critical"]


def row(
    number: int, severity: Severity, sure: float, *, clause: str = "", position: Position = Position.UNCLEAR
) -> Row:
    return Row(
        id=f"F{number}",
        clause=clause or f"c{number}",
        title="T",
        severity=severity,
        position=position,
        statement="S",
        confidence=sure,
    )


def test_contradictions_are_pairs_on_one_clause() -> None:
    rows = [
        row(1, Severity.INFO, 0.9, clause="law", position=Position.PREFERRED),
        row(2, Severity.HIGH, 0.9, clause="law", position=Position.WALK_AWAY),
        row(3, Severity.HIGH, 0.9, clause="term", position=Position.WALK_AWAY),
        row(4, Severity.LOW, 0.9, clause="law", position=Position.FALLBACK),
    ]
    assert [text.split(":")[0] for text in contradictions(rows)] == ["F1 and F2"]


rows_of_findings = st.lists(
    st.builds(row, st.integers(1, 99), st.sampled_from(Severity), st.floats(0, 1)), min_size=1, max_size=8
)


@given(rows=rows_of_findings, opposed=st.integers(0, 5))
def test_confidence_stays_within_that_of_the_findings_and_contradictions_lower_it(
    rows: list[Row], opposed: int
) -> None:
    sure = confidence(rows, opposed, "en")
    assert 0 <= sure <= max(r.confidence for r in rows) + 1e-4
    assert confidence(rows, opposed + 1, "en") <= sure
    assert confidence(rows, opposed, "de") <= FOREIGN


def test_graver_findings_weigh_more_and_nothing_found_is_unsure() -> None:
    unsure_about_the_grave = [row(1, Severity.CRITICAL, 0.5), row(2, Severity.INFO, 1.0)]
    unsure_about_the_small = [row(1, Severity.CRITICAL, 1.0), row(2, Severity.INFO, 0.5)]
    assert confidence(unsure_about_the_grave, 0, "en") == 0.6
    assert confidence(unsure_about_the_small, 0, "en") == 0.9
    assert confidence([], 0, "en") == NOTHING_FOUND


def test_numbers_of_several_words_stay_whole() -> None:
    stated = facts("on one hundred twenty (120) days' notice, or within forty-five (45) days of a two-year term")
    assert stated == ("one hundred twenty (120) days", "forty-five (45) days", "two-year")
