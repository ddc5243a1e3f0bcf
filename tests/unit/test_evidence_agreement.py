"""Agreement, agreement beyond chance, and intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.evidence.agreement import Judged, compare, review_agreement
from countersign.evidence.intervals import Estimate, bootstrap, ratio, totals_by_group, wilson
from countersign.evidence.raters import cohen_kappa, krippendorff_alpha
from countersign.words import Severity

LABELS = st.sampled_from(["absent", "preferred", "walk_away"])
SEVERITIES = st.sampled_from(Severity)
JUDGED = st.builds(
    Judged,
    contract=st.sampled_from(["a", "b", "c"]),
    clause=st.sampled_from(["term", "law"]),
    agent=LABELS,
    person=LABELS,
    agent_severity=SEVERITIES,
    person_severity=SEVERITIES,
)
MANY = st.lists(JUDGED, max_size=25)


def judged(agent: str, person: str, contract: str = "a", clause: str = "term") -> Judged:
    return Judged(contract=contract, clause=clause, agent=agent, person=person)


def within(estimate: Estimate) -> bool:
    return estimate.value is None or (estimate.low is None or estimate.low <= estimate.high)  # type: ignore[operator]


@settings(deadline=None, max_examples=40)
@given(MANY, st.randoms(use_true_random=False))
def test_a_report_is_the_same_whatever_the_order(items: list[Judged], random: object) -> None:
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = compare(items, samples=50), compare(shuffled, samples=50)
    assert (one.overall, one.clauses) == (other.overall, other.clauses)
    assert sorted(map(repr, one.disagreements)) == sorted(map(repr, other.disagreements))


@settings(deadline=None, max_examples=60)
@given(MANY)
def test_the_whole_is_the_sum_of_its_clauses(items: list[Judged]) -> None:
    report = compare(items, samples=50)
    assert report.overall.n == len(items) == sum(each.n for each in report.clauses)
    assert (
        report.overall.agreed == sum(each.agreed for each in report.clauses) == len(items) - len(report.disagreements)
    )
    weights = [each.weight for each in report.disagreements]
    assert weights == sorted(weights, reverse=True)
    for figures in (report.overall, *report.clauses):
        for estimate in (figures.agreement, figures.precision, figures.recall, figures.f1, figures.kappa):
            assert within(estimate)
        if None not in (figures.precision.value, figures.recall.value, figures.f1.value):
            p, r, f = (float(each.value or 0) for each in (figures.precision, figures.recall, figures.f1))
            assert f == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)


def test_figures_by_hand() -> None:
    items = [
        judged("preferred", "preferred", "a"),
        judged("walk_away", "preferred", "b"),
        judged("preferred", "absent", "c"),
        judged("absent", "absent", "d"),
        judged("absent", "walk_away", "e"),
    ]
    found = compare(items).overall
    assert (found.n, found.contracts, found.agreed, found.agreement.value) == (5, 5, 2, 0.4)
    assert found.precision.value == pytest.approx(2 / 3) and found.recall.value == pytest.approx(2 / 3)
    assert found.kappa.value == pytest.approx(cohen_kappa([i.agent for i in items], [i.person for i in items]))
    assert found.agreement_wilson == wilson(2, 5)


def test_all_agree_all_disagree_and_nothing() -> None:
    same = compare([judged("preferred", "preferred", str(number)) for number in range(10)]).overall
    assert (same.agreement.value, same.f1.value, same.kappa.value) == (1.0, 1.0, None)
    other = compare([judged("preferred", "absent", str(number)) for number in range(10)])
    assert (other.overall.agreement.value, other.overall.precision.value, other.overall.recall.value) == (
        0.0,
        0.0,
        None,
    )
    assert len(other.disagreements) == 10
    empty = compare([])
    assert (empty.overall.n, empty.overall.agreement, empty.clauses) == (0, Estimate(None), ())
    one = compare([judged("preferred", "preferred")]).overall
    assert one.agreement == Estimate(1.0) and one.agreement_wilson[0] < 0.3


def test_contracts_are_drawn_whole() -> None:
    spread = compare([judged("a", "a" if number % 2 else "b", str(number)) for number in range(40)]).overall.agreement
    lumped = compare([judged("a", "a" if number < 20 else "b", str(number // 20)) for number in range(40)]).overall
    assert spread.value == lumped.agreement.value == 0.5
    assert spread.low is not None and spread.low > 0.3 and lumped.agreement.low == 0.0


@given(MANY, JUDGED)
def test_a_review_s_agreement_is_a_weighted_share(items: list[Judged], more: Judged) -> None:
    share = review_agreement(items)
    assert 0 <= share <= 1
    assert (share == 1.0) == all(each.agreed for each in items)
    after = review_agreement([*items, more])
    assert after >= share - 1e-12 if more.agreed else after <= share + 1e-12


def test_grave_clauses_weigh_more_and_only_what_was_missed_is_critical() -> None:
    low, critical = (
        Judged("a", "term", "x", "y", agent_severity=severity, person_severity=severity)
        for severity in (Severity.LOW, Severity.CRITICAL)
    )
    fine = judged("x", "x")
    assert review_agreement([fine, critical]) < review_agreement([fine, low]) < 1 == review_agreement([])
    assert critical.critical_error and not low.critical_error
    understated = Judged("a", "term", "x", "x", agent_severity=Severity.HIGH, person_severity=Severity.CRITICAL)
    overstated = Judged("a", "term", "x", "x", agent_severity=Severity.CRITICAL, person_severity=Severity.HIGH)
    assert understated.critical_error and not understated.agreed
    assert not overstated.critical_error and not overstated.agreed


# --- raters --------------------------------------------------------------------------------------------------------

RATINGS = st.lists(st.sampled_from(["no", "perhaps", "yes"]), min_size=1, max_size=30)


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_at_most_one(pairs: list[tuple[str, str]]) -> None:
    first, second = zip(*pairs, strict=True)
    kappa = cohen_kappa(first, second)
    assert kappa == pytest.approx(cohen_kappa(second, first))
    assert kappa is None or -1 - 1e-9 <= kappa <= 1 + 1e-9
    names = {"absent": 1, "preferred": 2, "walk_away": 3}
    assert kappa == pytest.approx(cohen_kappa([names[x] for x in first], [names[x] for x in second]))


def test_kappa_by_hand() -> None:
    first = ["y"] * 25 + ["n"] * 25
    second = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(["y", "n"], ["n", "y"]) == pytest.approx(-1.0)
    assert cohen_kappa(["y", "n"], ["y", "n"]) == pytest.approx(1.0)
    assert cohen_kappa(["y", "y"], ["y", "y"]) is None and cohen_kappa([], []) is None
    with pytest.raises(ValueError, match="zip"):
        cohen_kappa(["y"], [])


def test_alpha_of_the_published_example() -> None:
    """Four observers, twelve units, some missing (Krippendorff 2011, section C): nominal 0.743, ordinal 0.815."""
    rows = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    units = list(zip(*[[None if x == "." else int(x) for x in row.split()] for row in rows], strict=True))
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(units, "ordinal", [1, 2, 3, 4, 5]) == pytest.approx(0.815, abs=5e-4)


@given(st.lists(st.lists(st.one_of(st.none(), st.integers(1, 4)), min_size=0, max_size=4), max_size=12))
def test_alpha_ignores_lone_values_names_and_order_of_raters(units: list[list[int | None]]) -> None:
    alpha = krippendorff_alpha(units)
    assert alpha is None or alpha <= 1
    assert krippendorff_alpha([*units, [3], [None, 2], []]) == pytest.approx(alpha)
    assert krippendorff_alpha([unit[::-1] for unit in units][::-1]) == pytest.approx(alpha)
    assert krippendorff_alpha([[x and f"n{x}" for x in unit] for unit in units]) == pytest.approx(alpha)
    forward = krippendorff_alpha(units, "ordinal", [1, 2, 3, 4])
    assert forward == pytest.approx(krippendorff_alpha(units, "ordinal", [4, 3, 2, 1]))


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([["a", "a"], ["b", "b"]]) == pytest.approx(1.0)
    assert krippendorff_alpha([["a", "a"]]) is None and krippendorff_alpha([]) is None
    assert (krippendorff_alpha([["a", "b"]] * 10) or 0) < 0
    near = krippendorff_alpha([[1, 1], [4, 4], [1, 2], [3, 4], [2, 2], [3, 3]], "ordinal", [1, 2, 3, 4])
    far = krippendorff_alpha([[1, 1], [4, 4], [1, 4], [3, 2], [2, 2], [3, 3]], "ordinal", [1, 2, 3, 4])
    assert near is not None and far is not None and near > far
    with pytest.raises(ValueError, match="does not name"):
        krippendorff_alpha([[1, 2]], "ordinal", [1])
    with pytest.raises(ValueError, match="twice"):
        krippendorff_alpha([[1, 2]], "ordinal", [1, 1, 2])


# --- intervals -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 300), st.integers(0, 300))
def test_wilson_holds_the_share(one: int, other: int) -> None:
    k, n = sorted((one, other))
    low, high = wilson(k, n)
    assert 0 <= low <= high <= 1 and (n == 0 or low <= k / n <= high)
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low))
    inner = wilson(k, n, 0.8)
    assert n == 0 or (low <= inner[0] and inner[1] <= high)


def test_wilson_by_hand_and_bad_input() -> None:
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    for k, n, confidence in ((3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0)):
        with pytest.raises(ValueError, match="expected"):
            wilson(k, n, confidence)


def test_the_bootstrap_covers_and_repeats() -> None:
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(200):
        totals = np.stack([rng.binomial(10, 0.7, 40), np.full(40, 10)], axis=1).astype(float)
        found = bootstrap(totals, lambda sums: ratio(sums[:, 0], sums[:, 1]), samples=400)
        assert found == bootstrap(totals, lambda sums: ratio(sums[:, 0], sums[:, 1]), samples=400)
        covered += found.low is not None and found.high is not None and found.low <= 0.7 <= found.high
    assert covered >= 180


def test_agreement_without_a_fault_is_not_certain() -> None:
    items = [Judged(f"c{number // 5}", str(number % 5), "absent", "absent") for number in range(50)]
    overall = compare(items).overall.agreement
    assert (overall.value, overall.high) == (1.0, 1.0)
    assert overall.low == wilson(10, 10)[0] < 0.75


def test_groups_are_summed_in_order_of_first_appearance() -> None:
    assert totals_by_group("bab", [[1, 2], [3, 4], [5, 6]]).tolist() == [[6, 8], [3, 4]]
    assert ratio(np.asarray([1.0, 1.0]), np.asarray([2.0, 0.0]))[0] == 0.5
