"""Two arms on the same reviews: what agrees, what flips, who is closer to people; the rest is counted and said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.batch.compare import Comparison, compare, mcnemar
from countersign.batch.compare_page import comparison_page, sentences
from countersign.batch.payloads import Rerun
from countersign.review.payloads import AnalysisResult, Evidence, Finding, ReviewStatus, Usage
from countersign.store.batch_results import Compared
from countersign.words import Outcome, Route, Severity, Stage


def analysis(clauses: dict[str, Severity]) -> AnalysisResult:
    findings = tuple(
        Finding(
            id=f"F{number}",
            clause=clause,
            severity=severity,
            statement=f"{clause} is {severity}",
            evidence=(Evidence(quote=f"<b>{clause}</b> {severity}", start=0, end=5, page=1),),
        )
        for number, (clause, severity) in enumerate(clauses.items())
    )
    return AnalysisResult(summary="", key_findings=findings, confidence=0.9, requires_human_review=True)


def pair(
    review_id: str,
    before: dict[str, Severity],
    after: dict[str, Severity],
    *,
    outcome: Outcome | None = None,
    corrected: frozenset[str] = frozenset(),
    routes: tuple[Route, Route] = (Route.REVIEW, Route.REVIEW),
    costs: tuple[int, int] = (1000, 500),
    playbook: str = "nda",
) -> Compared:
    stored = ReviewStatus(
        review_id=review_id,
        workflow_id=review_id,
        tenant="acme",
        stage=Stage.DONE,
        outcome=outcome,
        playbook=playbook,
        route=routes[0],
        analysis=analysis(before),
        usage=Usage(cost_microusd=costs[0]),
        timings_ms={"read": 9000, "analyse": 2000, "sign": 10**9},
    )
    again = Rerun(
        outcome="done",
        route=routes[1],
        analysis=analysis(after),
        usage=Usage(cost_microusd=costs[1]),
        timings_ms={"analyse": 1500},
    )
    return Compared(review_id, "done", stored, again, corrected)


LOW, HIGH = Severity.LOW, Severity.HIGH


def test_the_same_arm_agrees_with_itself() -> None:
    found = compare([pair(f"r{n}", {"term": LOW, "law": HIGH}, {"term": LOW, "law": HIGH}) for n in range(20)])
    assert (found.flips, found.route_flips, found.clauses) == ((), (), 40)
    assert found.clauses_same.value == 1.0
    assert found.routes_same[0] == 20
    assert found.people is None


def test_flips_say_what_both_arms_quote_the_widest_apart_first() -> None:
    found = compare([pair("r1", {"term": LOW}, {"term": Severity.MEDIUM, "law": Severity.CRITICAL})])
    assert [(flip.clause, flip.before.severity, flip.after.severity) for flip in found.flips] == [
        ("law", None, Severity.CRITICAL),
        ("term", LOW, Severity.MEDIUM),
    ]
    assert found.flips[1].before.quote == "<b>term</b> low"
    assert found.flips[1].after.quote == "<b>term</b> medium"
    page = comparison_page(found, "model x", "b1")
    assert "<b>term" not in page
    assert "&lt;b&gt;term&lt;/b&gt; medium" in page


def test_what_people_corrected_is_wrong_for_the_stored_arm_and_no_ground_to_compare_the_arms() -> None:
    items = [
        # People raised `term` to high; the other arm sees that by itself, and `law` otherwise.
        pair("r1", {"term": HIGH, "law": LOW}, {"term": HIGH, "law": HIGH}, outcome=Outcome.AMENDED,
             corrected=frozenset({"term"})),
        pair("r2", {"term": LOW, "law": LOW}, {"term": LOW, "law": LOW}, outcome=Outcome.APPROVED),
    ]  # fmt: skip
    found = compare(items)
    assert found.clauses == 3
    assert found.clauses_same.value == pytest.approx(2 / 3)
    assert found.people is not None
    assert (found.people.reviews, found.people.clauses) == (2, 4)
    assert (found.people.stored.value, found.people.again.value) == (0.75, 0.75)
    assert found.people.difference.value == 0.0
    assert [flip.person for flip in found.flips] == ["approved"]


def test_a_better_arm_is_found_better_and_the_test_says_how_surely() -> None:
    worse = [
        pair(f"r{n}", {"term": HIGH}, {"term": HIGH}, outcome=Outcome.AMENDED, corrected=frozenset({"term"}))
        for n in range(10)
    ]
    found = compare([*worse, *(pair(f"s{n}", {"law": LOW}, {"law": LOW}, outcome=Outcome.APPROVED) for n in range(10))])
    assert found.people is not None
    assert (found.people.stored_only, found.people.again_only) == (0, 10)
    assert found.people.p == pytest.approx(2 / 2**10)
    assert found.people.difference.low is not None
    assert found.people.difference.low > 0


def test_clauses_that_only_one_playbook_asks_about_are_no_difference() -> None:
    item = pair("r1", {"term": LOW, "exclusions": HIGH}, {"term": LOW, "price": HIGH})
    assert len(compare([item]).flips) == 2
    assert compare([item], {"nda": {"term", "law"}}).flips == ()


def test_what_cannot_be_compared_is_counted_and_said() -> None:
    items = [
        pair("r1", {"term": LOW}, {"term": LOW}, routes=(Route.RELEASE, Route.REVIEW)),
        Compared("r2", "erased", None, None),
        Compared("r3", "failed", pair("r3", {}, {}).stored, Rerun(outcome="failed")),
        Compared("r4", None, pair("r4", {}, {}).stored, None),
        pair("r5", {"term": LOW}, {"term": LOW}, outcome=Outcome.REJECTED),
    ]
    found = compare(items)
    assert (found.chosen, found.pairs, found.rejected) == (5, 2, 1)
    assert found.left_out == {"erased": 1, "failed": 1, "not yet analysed": 1}
    assert [(flip.before, flip.after) for flip in found.route_flips] == [(Route.RELEASE, Route.REVIEW)]
    said = " ".join(sentences(found))
    assert "1 erased or expired" in said
    assert "No person has signed" in said


def test_costs_and_times_are_of_the_machine_and_paired() -> None:
    found = compare([pair(f"r{n}", {"term": LOW}, {"term": LOW}, costs=(1000, 400 + n)) for n in range(10)])
    assert (found.stored_cost, found.again_cost) == (1000, 404.5)
    assert found.cost_difference.value == pytest.approx(-595.5)
    assert (found.stored_ms, found.again_ms, found.time_difference.value) == (2000, 1500, -500)


def test_nothing_to_compare_is_said_plainly() -> None:
    found = compare([Compared("r1", "erased", None, None)])
    assert sentences(found) == [
        "None of 1 reviews could be compared. Left out: 1 erased or expired, so that no text is left."
    ]
    assert "None of 1" in comparison_page(found, "model x", "b1")


severities = st.dictionaries(st.sampled_from(("a", "b", "c", "d")), st.sampled_from(list(Severity)))


@given(st.lists(st.tuples(severities, severities), min_size=1, max_size=8))
def test_agreement_and_flips_add_up_and_do_not_depend_on_which_arm_is_first(
    found: list[tuple[dict[str, Severity], dict[str, Severity]]],
) -> None:
    def both(swapped: bool) -> Comparison:
        return compare([pair(f"r{n}", *((b, a) if swapped else (a, b))) for n, (a, b) in enumerate(found)])

    one, other = both(False), both(True)
    assert one.clauses_same == other.clauses_same
    assert len(one.flips) == len(other.flips)
    if one.clauses:
        assert one.clauses_same.value == pytest.approx(1 - len(one.flips) / one.clauses)


def test_mcnemar_against_known_values() -> None:
    assert mcnemar(0, 0) is None
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(1, 9) == pytest.approx(0.021484375)
