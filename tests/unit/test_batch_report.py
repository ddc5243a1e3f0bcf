"""The report of a batch: counts, the return against a stated baseline alone, pages that hostile names cannot use."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.batch.payloads import Baseline
from countersign.batch.report import Range, as_csv, as_json, report, rows, worth
from countersign.batch.report_page import report_page, worth_lines
from countersign.store.batch_results import ItemResult

START = datetime(2026, 11, 26, 9, tzinfo=UTC)


def item(position: int, **fields: object) -> ItemResult:
    one = ItemResult(
        position=position,
        review_id=f"b-{position + 1:05d}",
        name=f"nda {position}.md",
        ended="waiting",
        failure="",
        message="",
        outcome=None,
        route="review",
        waiting_for="reviewer",
        contract_type="nda",
        findings=2,
        worst_severity="medium",
        confidence=0.8,
        cost_microusd=1500,
        machine_s=2.0,
        ended_at=START + timedelta(seconds=30 * (position + 1)),
    )
    return replace(one, **fields)  # type: ignore[arg-type]


ITEMS = (
    item(0),
    item(1, waiting_for=None, outcome="approved"),
    item(2, waiting_for=None, outcome="released", ended="released"),
    item(3, waiting_for=None, outcome="failed", ended="failed", message="the PDF is corrupt", findings=0),
    item(4, waiting_for=None, outcome=None, ended="cancelled", name=None, ended_at=None, machine_s=None, findings=0),
)


def test_counts_say_what_the_machine_and_what_people_did() -> None:
    found = report("b", ITEMS, Baseline(), started=START)
    assert found.machine == {"waiting": 2, "released": 1, "failed": 1, "cancelled": 1}
    assert (found.reviewed, found.released, found.with_people, found.waiting) == (3, 1, 2, 1)
    assert (found.wall_minutes, found.contracts_per_minute) == (2.0, 2.0)
    assert found.cost_usd == pytest.approx(0.0075)


def test_without_a_stated_baseline_nothing_is_said_of_savings() -> None:
    found = report("b", ITEMS, Baseline(), started=START)
    assert (found.worth.saved_minutes, found.worth.saved_usd) == (None, None)
    [line] = worth_lines(found)
    assert "No baseline was stated" in line
    assert "saved" not in line


def test_the_return_is_a_range_until_the_time_to_sign_is_stated() -> None:
    found = worth(Baseline(manual_minutes=60, manual_cost=100), reviewed=10, released=4, cost_usd=3.0)
    assert (found.saved_minutes, found.saved_usd) == (Range(240, 600), Range(397, 997))
    stated = Baseline(manual_minutes=60, manual_cost=100, signing_minutes=15)
    exact = worth(stated, reviewed=10, released=4, cost_usd=3.0)
    assert (exact.saved_minutes, exact.saved_usd) == (Range(510, 510), Range(847, 847))


def test_signing_that_takes_longer_than_by_hand_is_a_loss() -> None:
    found = worth(Baseline(manual_minutes=10, signing_minutes=15), reviewed=4, released=0, cost_usd=0)
    assert found.saved_minutes == Range(-20, -20)


@given(st.integers(0, 50), st.integers(0, 50), st.floats(1, 500), st.floats(1, 5000), st.floats(0, 100))
def test_the_ends_of_the_range_are_in_order(
    released: int, people: int, minutes: float, usd: float, cost: float
) -> None:
    base = Baseline(manual_minutes=minutes, manual_cost=usd)
    found = worth(base, reviewed=released + people, released=released, cost_usd=cost)
    assert found.saved_minutes is not None
    assert found.saved_usd is not None
    assert 0 <= found.saved_minutes.low <= found.saved_minutes.high == pytest.approx((released + people) * minutes)
    assert found.saved_usd.low <= found.saved_usd.high + 1e-9


def test_csv_has_a_row_a_contract_and_no_formula() -> None:
    evil = (item(0, name='=HYPERLINK("x")', message="+1"), item(1, name='a,"b"\nc'))
    found = list(csv.DictReader(io.StringIO(as_csv(evil))))
    assert [row["file"] for row in found] == ['\'=HYPERLINK("x")', 'a,"b"\nc']
    assert found[0]["message"] == "'+1"
    assert [row["position"] for row in found] == ["1", "2"]


def test_json_holds_every_contract() -> None:
    document = as_json(report("b", ITEMS, Baseline(manual_minutes=5), started=START), ITEMS)
    assert [row["now"] for row in document["contracts"]] == [
        *("waits for reviewer", "approved", "released", "failed", "cancelled"),
    ]
    assert document["worth"]["baseline"]["manual_minutes"] == 5
    assert document["contracts"] == rows(ITEMS)


def test_the_page_is_self_contained_and_escapes_names() -> None:
    evil = (item(0, name="<script>alert(1)</script>", ended="failed", message="<img src=x onerror=y>"), *ITEMS[1:])
    page = report_page(report("b", evil, Baseline(manual_cost=10), started=START), evil, "nda")
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert all(word not in page for word in ("http://", "https://", ' src="', "@import", "url("))
    assert "$30.00 by hand" in page
