"""References, terms, dates and numbers as tools find them; effects grounded in the document's own words."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.read import read_document
from countersign.review.payloads import ProposedEffect, SpecialistReport
from countersign.settings import ROOT
from countersign.tools.checks import check_dates, check_numbers, dates_in, number_of, period_in, shifted
from countersign.tools.effects import MOST_EFFECTS, grounded, typed
from countersign.tools.names import CHECK_DATE, RECORD_OBLIGATION, SEND_NOTICE
from countersign.tools.reading import references_in, resolve_reference, resolve_term

MSA = read_document((ROOT / "examples" / "msa-risky.md").read_bytes(), "text/markdown", max_bytes=10**6)
NDA = read_document((ROOT / "examples" / "nda-clean.md").read_bytes(), "text/markdown", max_bytes=10**6)
TODAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("reference", "begins"),
    [
        ("Section 9", "## 9. Limitation of Liability"),
        ("clause 13", "## 13. Assignment"),
        ("Section 3.2", "3.2 This Agreement renews automatically"),
        ("§ 9.1", "9.1 Vendor's total liability"),
        ("Section 3.2(b)", "3.2 This Agreement renews automatically"),
    ],
)
def test_a_reference_leads_to_its_text(reference: str, begins: str) -> None:
    found = resolve_reference(MSA, reference)
    assert found["found"] is True
    assert found["text"].startswith(begins)
    assert MSA.text[found["start"] : found["end"]] == found["text"]


@pytest.mark.parametrize("reference", ["Section 99", "Schedule Q", "", "the moon", "9.1.1.1.1", "(((("])
def test_a_reference_to_nothing_says_so(reference: str) -> None:
    assert resolve_reference(MSA, reference)["found"] is False


@pytest.mark.parametrize(
    ("term", "says"),
    [
        ("Confidential Information", "means non-public information"),
        ("purpose", '(the "Purpose")'),
        ("Odenbrook", "New York"),
    ],
)
def test_a_term_leads_to_its_definition(term: str, says: str) -> None:
    found = resolve_term(NDA, term)
    assert found["found"] is True
    assert says in found["text"]
    assert NDA.text[found["start"] : found["end"]] == found["text"]


def test_a_term_that_is_used_and_not_defined_is_no_definition() -> None:
    assert resolve_term(NDA, "trade secret") == {"found": False, "uses": 3}
    assert resolve_term(NDA, ".*")["found"] is False


def test_a_section_comes_with_its_parts() -> None:
    text = resolve_reference(MSA, "Section 12")["text"]
    assert text.startswith("## 12. Amendment")
    long = read_document((ROOT / "examples" / "services.txt").read_bytes(), "text/plain", max_bytes=10**6)
    assert "\n9.1 " in resolve_reference(long, "Section 9")["text"]


def test_references_to_laws_and_other_contracts_are_not_this_documents() -> None:
    others = "Section 365 of the Bankruptcy Code, Section 5.4 (Material) of the Purchase Agreement"
    text = f"{others}, Section 2 of this Agreement"
    assert references_in(text) == ("Section 2",)


def test_references_are_found_in_a_passage() -> None:
    text = "Subject to Sections 2.1 and Schedule A, and as Article IX says; Section 2.1 prevails."
    assert references_in(text) == ("Section 2.1", "Schedule A", "Article IX")


ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"


@given(st.integers(0, 999_999))
def test_numbers_in_words_are_read(number: int) -> None:
    assert number_of(_words(number)) == number


def _words(number: int) -> str:
    ones, tens = ONES.split(), ["", "", *TENS.split()]
    if number < 20:
        return ones[number]
    if number < 100:
        return tens[number // 10] + (f"-{ones[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{ones[number // 100]} hundred" + (f" and {_words(number % 100)}" if number % 100 else "")
    return f"{_words(number // 1000)} thousand" + (f" {_words(number % 1000)}" if number % 1000 else "")


def test_words_and_figures_are_compared() -> None:
    result = check_numbers("within sixty (60) days, a fee of two percent (3%), and one thousand dollars (USD 1,000)")
    assert [(pair["in_words"], pair["in_figures"]) for pair in result["numbers"]] == [(60, 60), (2, 3), (1000, 1000)]
    assert (result["checked"], result["agree"]) == (3, False)
    assert check_numbers("no numbers (at all)") == {"checked": 0, "agree": True, "numbers": []}


def test_dates_are_reckoned() -> None:
    text = "from 31 January 2026 until February 30, 2026 and at least one hundred eighty (180) days before"
    result = check_dates(text, TODAY, start=date(2026, 12, 31), before=True)
    assert result["dates"] == ["2026-01-31"]
    assert result["impossible"] == ["February 30, 2026"]
    assert (result["period"], result["deadline"]) == ("180 days", "2026-07-04")
    assert result["past"] == ["2026-01-31"]
    assert result["days_left"] == (date(2026, 7, 4) - TODAY).days


@given(st.dates(date(1900, 1, 1), date(2200, 1, 1)), st.integers(-400, 400))
def test_a_shift_of_months_keeps_the_day_or_the_end_of_the_month(start: date, months: int) -> None:
    moved = shifted(start, months, "month")
    assert (moved.year * 12 + moved.month) - (start.year * 12 + start.month) == months
    assert moved.day == start.day or (moved.day < start.day and shifted(moved, 1, "day").day == 1)


@given(st.text(max_size=300))
def test_no_text_breaks_a_check(text: str) -> None:
    check_dates(text, TODAY)
    check_numbers(text)
    resolve_reference(NDA, text)
    resolve_term(NDA, text or "x")
    assert isinstance(dates_in(text), tuple)
    assert period_in(text) is None or period_in(text)[0] > 0  # type: ignore[index]


# --- effects ---

QUOTE = "Within thirty (30) days after a written request"
ARGS = {"kind": "return", "clause": "return_or_destruction", "duty": "Return it in thirty days", "quote": QUOTE}


def report(*args: dict[str, object], tool: str = RECORD_OBLIGATION) -> SpecialistReport:
    return SpecialistReport(specialist="s", proposals=tuple(ProposedEffect(tool=tool, args=one) for one in args))


def test_an_effect_quotes_the_document_itself_whatever_blanks_the_model_wrote() -> None:
    (effect,), dropped = grounded([report({**ARGS, "quote": QUOTE.replace(" ", "\n ")})], NDA)
    assert (effect.id, effect.args["quote"], effect.clause, dropped) == ("E1", QUOTE, "return_or_destruction", 0)
    assert NDA.text[effect.evidence[0].start : effect.evidence[0].end] == QUOTE
    assert effect.summary == "record_obligation: return: Return it in thirty days"
    assert typed(effect.tool, effect.args) == typed(RECORD_OBLIGATION, ARGS)


@pytest.mark.parametrize(
    "given",
    [
        report({**ARGS, "quote": "Within sixty (60) days after a written request"}),
        report({**ARGS, "kind": "bribe"}),
        report({**ARGS, "to": "someone@example.org"}),
        report(ARGS, tool=CHECK_DATE),
        report(ARGS, tool=SEND_NOTICE),
        report({}),
    ],
)
def test_what_is_not_grounded_or_not_valid_is_no_item(given: SpecialistReport) -> None:
    assert grounded([given], NDA) == ((), 1)


def test_the_same_twice_is_one_item_and_no_review_has_more_than_the_most() -> None:
    many = [{**ARGS, "duty": f"Duty number {n}"} for n in range(MOST_EFFECTS + 3)]
    effects, dropped = grounded([report(*many), report(*many[:2])], NDA)
    assert [effect.id for effect in effects] == [f"E{n}" for n in range(1, MOST_EFFECTS + 1)]
    assert dropped == 3
