"""Sections: what counts as a heading, and what holds for every text."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.sections import find_sections
from countersign.settings import ROOT, Settings


def outline(text: str) -> list[tuple[str, str]]:
    return [(section.label, section.heading) for section in find_sections(text)]


def check(text: str) -> None:
    sections = find_sections(text)
    assert bool(sections) == bool(text)
    if not sections:
        return
    assert sections[0].start == 0 and sections[-1].end == len(text)
    assert all(one.end == other.start for one, other in pairwise(sections))
    assert all(section.start < section.end for section in sections)
    labels = [section.label for section in sections]
    assert len(set(labels)) == len(labels) and all(labels)


PIECES = st.sampled_from(
    (
        "\n",
        "\n\n",
        " ",
        "\t",
        "\xa0",
        "1.",
        "2.1 ",
        "A.1 ",
        "(a) ",
        "ARTICLE IX",
        "Section 4.2",
        "# ",
        "Schedule A",
        "TERM AND FEES",
        "The ",
        "Party shall. ",
        "Fees. ",
        "10",
        ". . . . .",
        "III. ",
        "Exhibit 10.1 ",
        "“Term” ",
        "2026",
    )
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=60).map("".join))
def test_sections_cover_any_text_once(text: str) -> None:
    check(text)


def test_numbered_headings_with_titles_and_without() -> None:
    text = (
        "Supply Agreement between A and B.\n\n1. Definitions. In this Agreement words mean this.\n"
        "1.1 The Buyer shall pay.\n(a) in cash; or\n(b) in kind.\n1.2. Late Payment - interest runs.\n"
        "2) TERM\nTwo years.\n"
    )
    assert outline(text) == [
        ("Preamble", ""),
        ("1", "Definitions"),
        ("1.1", ""),
        ("1.2", "Late Payment"),
        ("2", "TERM"),
    ]


def test_articles_sections_and_schedules() -> None:
    text = (
        "ARTICLE I\nDEFINITIONS\n\nSection 1.1 Affiliate. It means this.\nARTICLE II - FEES\n"
        "Section 2.1. Rates. As agreed.\n"
        "SCHEDULE A: Services\n1. Hosting. All of it.\n"
    )
    assert [label for label, _ in outline(text)][:2] == ["Article I", "1.1"]
    assert ("Article II", "FEES") in outline(text)
    assert ("Schedule A", "Services") in outline(text)
    assert outline(text)[-1] == ("1", "Hosting")


def test_markdown_headings_give_their_number_or_their_words() -> None:
    assert outline("# Mutual NDA\n\nText.\n\n## 4. Term\n\nText.\n\n## **Schedule 1** – Fees\n\n### Notes ###\n") == [
        ("Mutual NDA", "Mutual NDA"),
        ("4", "Term"),
        ("Schedule 1", "Fees"),
        ("Notes", "Notes"),
    ]


def test_capitals_alone_are_a_heading_but_not_names_or_shouted_sentences() -> None:
    text = (
        "CONFIDENTIAL INFORMATION\n\nKeep it.\n\nACME HOLDINGS, INC.\n\nBY: J. ROE\n\n"
        "IN NO EVENT SHALL EITHER PARTY BE LIABLE FOR ANY INDIRECT LOSS, COST OR EXPENSE WHATSOEVER.\n"
    )
    assert outline(text) == [("Confidential Information", "CONFIDENTIAL INFORMATION")]


@pytest.mark.parametrize(
    "line",
    [
        "Section 4.2 of this Agreement shall apply.",
        "Section 9, and nothing else, applies.",
        "30 days after the notice",
        "410 Quarry Street, Wilmington",
        "12 March 2026",
        "(a) the Supplier",
        "$1. 5 per unit",
        "schedule of fees",
        "1.5 million dollars",
    ],
)
def test_what_is_no_heading(line: str) -> None:
    assert outline(f"The parties agree\n{line}\nand so on.") == [("Preamble", "")]


def test_labels_that_come_again_are_told_apart() -> None:
    text = (
        "1. Fees. A.\n2. Term. B.\nSchedule A\n1. Hosting. C.\n2. Support. D.\nSchedule B\n1. Data. E.\n1. Rest. F.\n"
    )
    labels = [label for label, _ in outline(text)]
    numbers = ["Schedule A, 1", "Schedule A, 2", "Schedule B", "Schedule B, 1", "Schedule B, 1 (2)"]
    assert labels == ["1", "2", "Schedule A", *numbers]


def test_a_table_of_contents_and_page_headers_are_no_headings() -> None:
    body = "".join(
        f"{n}. Title {'ABCDE'[n - 1]}\n\n{'The parties agree on this. ' * 20}\n\nACME SUPPLY TERMS\n\n"
        for n in range(1, 6)
    )
    contents = "".join(f"{n}. Title {'ABCDE'[n - 1]}\n" for n in range(1, 6))
    leaders = "".join(f"{n}. Title {'ABCDE'[n - 1]} ........ {n}\n" for n in range(1, 6))
    for front in (contents, leaders):
        assert [label for label, _ in outline(f"Contents\n{front}\n{body}")] == ["Preamble", "1", "2", "3", "4", "5"]


def test_sections_run_together_in_one_long_line() -> None:
    text = (
        "The parties agree: 1. Fees. "
        + "The Buyer pays the price stated. " * 12
        + "2. Term and Termination. Two years, "
        "see Section 1. The rest stands. 2.1 Notice. In writing. 3. Law. That of Ohio.\n"
    )
    assert [label for label, _ in outline(text)] == ["Preamble", "1", "2", "2.1", "3"]


@pytest.mark.parametrize(
    "text",
    [
        "1. Fees. The Buyer shall pay.\nSecond line of text\n" * 6_000,
        "1. Fees. The Buyer shall pay. " * 10_000,
        "A" * 300_000,
        " " * 300_000,
        "1." * 150_000,
        "A B " * 75_000,
        ". . . " * 50_000,
        "# " * 150_000,
        "ARTICLE " * 37_500,
        "\n" * 300_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_time_is_linear_in_the_length(text: str) -> None:
    start = time.process_time()
    check(text)
    assert time.process_time() - start < 2.0, "300 KB take well under 0.1 s on an idle machine"


@pytest.mark.parametrize("title", ["3rd Party Rights", "² Party Rights", "2nd. Term", "１０ Fees"])
def test_a_title_may_begin_with_a_digit_that_is_no_number(title: str) -> None:
    sections = find_sections(f"# {title}\n\ntext\n\n1. Fees\n")
    assert [section.label for section in sections][1:] == ["1"]


def test_schedules_of_the_long_sample_are_divided() -> None:
    sections = find_sections((ROOT / "examples" / "msa-long.md").read_text(encoding="utf-8"))
    labels = [section.label for section in sections]
    assert {"18.10", "Schedule A", "A.1", "Schedule C", "C.15", "Schedule G", "G.11"} <= set(labels)
    assert len(labels) > 170


def test_sample_contract_outline() -> None:
    sections = find_sections((ROOT / "examples" / "nda-clean.md").read_text(encoding="utf-8"))
    labels = [section.label for section in sections]
    assert labels[:4] == ["Mutual Non-Disclosure Agreement", "1", "1.1", "1.2"]
    assert [label for label in labels if label.isdigit()] == [str(number) for number in range(1, 10)]


def test_real_contracts_are_divided() -> None:
    paths = sorted((Settings().data / "cuad" / "txt").glob("*.txt"))[::6]
    if not paths:
        pytest.skip("COUNTERSIGN_DATA holds no contract texts")
    counts = []
    for path in paths:
        text = path.read_bytes().decode("utf-8")
        check(text)
        counts.append(len(find_sections(text)))
    assert sum(count >= 5 for count in counts) >= 0.85 * len(counts)
