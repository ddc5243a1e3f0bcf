"""The report of a shadow run, and its page: self-contained, and no word of a document is markup."""

import json
import re
from html.parser import HTMLParser

import pytest

from countersign.shadow.judging import Compared, Label, by_labels
from countersign.shadow.page import page
from countersign.shadow.report import Baseline, Reviewed, ShadowReport, kinds, report
from countersign.words import Severity
from starters.cli.common import plain

HOSTILE = "<script>alert('x')</script> & \"quotes\" <img src=http://example.invalid/x>"
KEYS = {"n", "agreement", "kappa", "precision", "recall", "f1", "ece", "risk_coverage", "disagreements"}


def clause(name: str, agent: str, person: str, confidence: float | None = None, **more: object) -> Compared:
    return Compared.model_validate({"clause": name, "agent": agent, "person": person, "confidence": confidence, **more})


def reviewed(number: int, *clauses: Compared, confidence: float = 0.9, agreement: float = 1.0) -> Reviewed:
    return Reviewed(f"contract {number}", clauses, confidence, agreement, machine_s=2.0, cost_microusd=1_000)


def some() -> ShadowReport:
    right = [
        reviewed(number, clause("law", "present", "present", 0.9), clause("term", "absent", "absent"))
        for number in range(8)
    ]
    missed = reviewed(8, clause("law", "absent", "present"), clause("term", "absent", "absent"), agreement=0.5)
    claimed = reviewed(
        9,
        clause("law", "present", "present", 0.9),
        clause("term", "present", "absent", 0.7, agent_quote=HOSTILE, others=("present",)),
        confidence=0.4,
        agreement=0.5,
    )
    return report("q3", [*right, missed, claimed], facts={"playbook": "nda"}, cases=12, failures={"blocked": 2})


def test_the_figures_are_those_of_the_pairs() -> None:
    found = some()
    figures = found.document()
    assert figures.keys() >= KEYS
    assert (figures["n"], figures["contracts"], figures["cases"]) == (20, 10, 12)
    assert figures["agreement"] == pytest.approx(18 / 20)
    # 9 of 10 claims are right, and 9 of 10 clauses that are there were claimed.
    assert (figures["precision"], figures["recall"], figures["f1"]) == pytest.approx((0.9, 0.9, 0.9))
    assert figures["ece"] == pytest.approx((9 * 0.1 + 0.7) / 10)
    assert figures["risk_coverage"]["coverage"] == pytest.approx([0.9, 1.0])
    assert figures["risk_coverage"]["risk"] == pytest.approx([0.5 / 9, 0.1])
    assert {(row["contract"], row["clause"]) for row in figures["disagreements"]} == {
        ("contract 8", "law"),
        ("contract 9", "term"),
    }
    assert kinds(found) == {"claimed by the agents alone": 1, "missed by the agents": 1}
    assert json.loads(json.dumps(plain(figures))) == plain(figures)


def test_every_figure_has_an_interval_over_contracts() -> None:
    people = ("present", "absent", "present", "present")
    pairs = [
        reviewed(
            number,
            clause("law", "present", "present", 0.9, others=(people[number % 4],)),
            clause("term", "absent", "absent", others=("absent",)),
            confidence=1 - number / 20,
            agreement=1.0 if number < 8 else 0.5,
        )
        for number in range(12)
    ]
    found = report("r", pairs)
    figures = found.document()
    for name in ("review_agreement", "krippendorff_alpha"):
        low, high = figures["intervals"][name]
        assert low < figures[name] < high, name
    low, high = figures["intervals"]["aurc"]
    assert low < figures["risk_coverage"]["aurc"] < high
    curve = figures["risk_coverage"]
    assert len(curve["risk_intervals"]) == len(curve["risk"]) == 12
    assert all(low <= risk <= high for risk, (low, high) in zip(curve["risk"], curve["risk_intervals"], strict=True))
    # One review without an error proves little, eight of them more.
    assert curve["risk_intervals"][0][1] > curve["risk_intervals"][7][1] > 0
    one = report("r", pairs[:1]).document()
    assert one["intervals"]["review_agreement"] == one["intervals"]["aurc"] == [None, None]
    assert one["risk_coverage"]["risk_intervals"] == [[None, None]]


def test_a_severity_1_error_stands_first() -> None:
    grave = by_labels((), [{"cap": Label(label="walk_away", severity=Severity.CRITICAL)}], None, Severity.HIGH)
    found = report(
        "r", [reviewed(1, clause("law", "present", "absent", 0.99)), Reviewed("2", grave.clauses, 0.9, 0, True)]
    )
    assert [one.critical for one in found.disagreements] == [True, False]
    assert found.criticals == 1


def test_time_and_money_are_compared_with_what_is_stated_and_nothing_else() -> None:
    pairs = [reviewed(number, clause("law", "absent", "absent")) for number in range(3)]
    stated = report("r", pairs, baseline=Baseline(minutes=90, usd=100)).effort
    assert (stated.by_hand_hours, stated.by_hand_usd, stated.machine_s_median) == (4.5, 300, 2.0)
    assert stated.cost_usd == pytest.approx(0.003)
    silent = report("r", pairs).effort
    assert (silent.by_hand_hours, silent.by_hand_usd) == (None, None)


def test_two_people_are_compared_with_each_other() -> None:
    pairs = [reviewed(n, clause("law", "present", "present", 0.9, others=("present",))) for n in range(3)]
    apart = [reviewed(9, clause("term", "absent", "absent", others=("absent",)))]
    assert report("r", [*pairs, *apart]).alpha.value == pytest.approx(1.0)
    assert report("r", [reviewed(1, clause("law", "absent", "absent"))]).alpha.value is None


def test_a_run_without_pairs_says_that_nothing_is_known() -> None:
    empty = report("r", [], cases=3, failures={"blocked": 3})
    assert (empty.document()["n"], empty.document()["agreement"]) == (0, None)
    assert "nothing can be said" in page(empty)


class Tags(HTMLParser):
    """Every tag with its attributes; fails on one that is closed out of turn."""

    VOID = frozenset({"meta", "line", "rect", "circle", "polyline"})

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_the_page_is_self_contained_and_a_document_is_text() -> None:
    html = page(some())
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    names = {tag for tag, _ in tags.seen}
    assert not names & {"script", "img", "link", "iframe", "object", "form"}
    assert not {name for _, attributes in tags.seen for name in attributes} & {"src", "href", "onload", "style"}
    assert "&lt;script&gt;alert" in html
    assert not re.search(r"url\(|@import", html)
    assert sum(tag == "svg" and attributes.get("role") == "img" for tag, attributes in tags.seen) == 2
    assert "width=device-width" in html
