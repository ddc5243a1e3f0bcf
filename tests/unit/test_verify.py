"""Verification: evidence is verbatim or the finding falls; likes are merged; absences name what was searched."""

from hypothesis import given
from hypothesis import strategies as st

from countersign.document.model import DocumentText, Page, Section
from countersign.review.payloads import DraftFinding, SpecialistReport
from countersign.review.verify import QuoteIndex, calibrated, verify_reports
from countersign.words import Position, Severity

TEXT = "1. Term\nThis Agreement runs  for two\n(2) years.\n2. Law\nThe “laws” of Ireland – govern.\nEnd."


def document(text: str = TEXT) -> DocumentText:
    half = text.index("2. Law") if "2. Law" in text else len(text)
    return DocumentText(
        text=text,
        pages=(Page(number=1, start=0, end=half), Page(number=2, start=half, end=len(text))),
        sections=(
            Section(label="1", heading="Term", start=0, end=half),
            Section(label="2", heading="Law", start=half, end=len(text)),
        ),
    )


def draft(clause: str = "term", quotes: tuple[str, ...] = (), **fields: object) -> DraftFinding:
    return DraftFinding.model_validate(
        {"clause": clause, "statement": "s", "severity": Severity.LOW, "quotes": quotes, **fields}
    )


def verified(*drafts: DraftFinding) -> tuple[tuple[object, ...], int]:
    report = SpecialistReport(specialist="x", findings=drafts)
    result = verify_reports((report,), document(), {"law": ("Our law", "Neutral law")})
    return result.findings, result.dropped


def test_quotes_are_found_across_line_ends_and_typographic_marks() -> None:
    index = QuoteIndex(TEXT)
    for quote in ("runs for two (2) years", 'The "laws" of Ireland - govern', " Ireland "):
        place = index.find(quote)
        assert place is not None
        assert TEXT[place[0] : place[1]].rsplit(maxsplit=1)[-1].strip('.”"') in quote.replace("“", '"')
    assert index.find("three years") is None
    assert index.find("   ") is None


def test_evidence_is_a_slice_with_its_page() -> None:
    (finding,), dropped = verified(draft("law", ('The "laws" of Ireland',)))
    (evidence,) = finding.evidence
    assert TEXT[evidence.start : evidence.end] == evidence.quote == "The “laws” of Ireland"
    assert (evidence.page, dropped, finding.suggestion) == (2, 0, "Our law")


def test_a_finding_with_any_quote_that_does_not_stand_is_dropped() -> None:
    findings, dropped = verified(draft(quotes=("two\n(2) years", "never written")))
    assert (findings, dropped) == ((), 1)


def test_an_absence_names_the_sections_searched_and_falls_when_the_clause_is_quoted() -> None:
    (absent,), _ = verified(draft("insurance"))
    assert (absent.position, absent.searched) == (Position.ABSENT, ("1", "2"))
    findings, _ = verified(draft("law"), draft("law", ("Ireland",)))
    assert [bool(finding.evidence) for finding in findings] == [True]


def test_overlapping_claims_merge_into_the_graver_and_order_is_by_severity() -> None:
    findings, _ = verified(
        draft("law", ("Ireland",)),
        draft("law", ("laws” of Ireland",), severity=Severity.HIGH, statement="graver"),
        draft("term", ("two\n(2) years",), severity=Severity.MEDIUM),
    )
    assert [(f.id, f.clause, f.statement) for f in findings] == [("F1", "law", "graver"), ("F2", "term", "s")]
    assert [evidence.quote for evidence in findings[0].evidence] == ["laws” of Ireland"]


def test_dropped_claims_and_silent_specialists_cost_confidence() -> None:
    report = SpecialistReport(specialist="x", findings=(draft(quotes=("Ireland",)), draft(quotes=("nowhere",))))
    result = verify_reports((report,), document(), {})
    assert calibrated(0.8, result, failed_specialists=0, specialists=4) == 0.4
    assert calibrated(0.8, result, failed_specialists=2, specialists=4) == 0.2


@given(st.text(min_size=1, max_size=200), st.data())
def test_every_slice_is_found_and_what_is_found_reads_the_same(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    quote = text[start:end]
    place = QuoteIndex(text).find(quote)
    if quote.strip():
        assert place is not None
        assert text[place[0] : place[1]] == quote.strip()
    else:
        assert place is None


@given(st.text(max_size=120), st.text(max_size=30))
def test_whatever_is_found_is_the_quote_but_for_blanks_and_marks(text: str, quote: str) -> None:
    place = QuoteIndex(text).find(quote)
    if place is not None:
        found = text[place[0] : place[1]]
        assert len("".join(found.split())) == len("".join(quote.split()))
