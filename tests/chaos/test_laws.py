"""The laws catch what they are for: each broken by itself, from a review that keeps them all."""

from dataclasses import replace

import pytest

from chaos.laws import Asked, Facts, LedgerRow, judge, never_arrived
from chaos.schedule import KINDS, Schedule, every, pick

PLAN = LedgerRow("plan", known=1, unseen=0, input_tokens=100, output_tokens=10, success=True)
LAW = LedgerRow("analyse:law", known=1, unseen=0, input_tokens=200, output_tokens=20, success=True)
Q1, Q2 = Asked("q1", "answered", 100, 10), Asked("q2", "answered", 200, 20)
GOOD = Facts(
    outcome="amended",
    findings=("F1", "F2"),
    trail=("submit:admitted", "sign:decided", "sign:decided", "settle:ended"),
    projected="amended",
    ledger=(PLAN, LAW),
    settled_requests=2,
    asked=(Q1, Q2),
    effects=("pair amend",),
)
UNSEEN = replace(LAW, unseen=1)


@pytest.mark.parametrize(
    "found",
    [
        GOOD,
        # Bought twice, since nobody saw the first answer.
        replace(GOOD, ledger=(PLAN, UNSEEN), asked=(Q1, Q2, Q2)),
        # Cut off in the middle, and asked again.
        replace(GOOD, ledger=(PLAN, UNSEEN), asked=(Q1, Asked("q2", "abandoned"), Q2)),
        # Written down, and the worker died before it was sent.
        replace(GOOD, ledger=(PLAN, UNSEEN)),
    ],
)
def test_what_keeps_the_laws(found: Facts) -> None:
    assert judge(GOOD, found) == ()


def test_requests_that_never_left_are_told() -> None:
    assert [never_arrived(GOOD), never_arrived(replace(GOOD, ledger=(PLAN, UNSEEN)))] == [0, 1]


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        (replace(GOOD, outcome=None), {"lost"}),
        (replace(GOOD, outcome="rejected"), {"other"}),
        (replace(GOOD, findings=("F1",)), {"other"}),
        (replace(GOOD, degraded=("planner",)), {"other"}),
        (replace(GOOD, projected=None), {"lost"}),
        (replace(GOOD, trail=GOOD.trail[1:]), {"lost"}),
        (replace(GOOD, trail=(*GOOD.trail, "settle:ended")), {"doubled"}),
        (replace(GOOD, trail=(*GOOD.trail, "sign:refused")), {"other"}),
        (replace(GOOD, trail_problem="row 2 was changed"), {"other"}),
        (replace(GOOD, effects=()), {"lost"}),
        (replace(GOOD, effects=("pair amend", "pair amend")), {"doubled"}),
        (replace(GOOD, left_over=("journal of plan",)), {"other"}),
        (replace(GOOD, settled_requests=1), {"other"}),
        (replace(GOOD, ledger=(PLAN, replace(LAW, success=False))), {"other"}),
        # The answer is in the ledger twice.
        (replace(GOOD, ledger=(PLAN, replace(LAW, known=2)), settled_requests=3), {"doubled"}),
        # An answer was paid and is in no ledger.
        (replace(GOOD, asked=(Q1, Q2, Asked("q3", "answered", 0, 0))), {"lost"}),
        # A known answer was bought again.
        (replace(GOOD, asked=(Q1, Q2, Q2)), {"doubled", "lost"}),
        # The provider saw a request that nobody wrote down.
        (replace(GOOD, asked=(Q1, Q2, Asked("q2", "abandoned"))), {"lost"}),
        # The tokens are another answer's.
        (replace(GOOD, ledger=(PLAN, replace(LAW, output_tokens=21))), {"other"}),
    ],
)
def test_what_breaks_a_law_is_found(found: Facts, kinds: set[str]) -> None:
    assert {problem.kind for problem in judge(GOOD, found)} == kinds


def test_redis_away_may_cost_memory_but_no_outcome() -> None:
    assert judge(GOOD, replace(GOOD, degraded=("memory: hot",)), calm=False) == ()
    assert judge(GOOD, replace(GOOD, outcome="failed"), calm=False)


def test_schedules_have_names_that_lead_back_to_them() -> None:
    schedules = every(5, {"plan": 1, "audit": 2}, 2)
    assert len(schedules) == len(set(schedules)) == 5 + 3 + 3 + 2 + 2
    assert [Schedule.parse(one.name) for one in schedules] == list(schedules)
    for wrong in ("kill", "kill@0", "kill@plan#1", "unheard@3", "maim@3", ""):
        with pytest.raises(ValueError, match="is no schedule"):
            Schedule.parse(wrong)


def test_a_seed_picks_the_same_each_kind_first_and_all_before_any_again() -> None:
    schedules = every(5, {"plan": 1, "audit": 2}, 2)
    assert pick(schedules, 9, 1) == pick(schedules, 9, 1) != pick(schedules, 9, 2)
    assert {one.kind for one in pick(schedules, 5, 3)} == set(KINDS) - {"storm"}
    assert sorted(pick(schedules, len(schedules), 4)) == sorted(schedules)
    assert sorted(pick(schedules, 2 * len(schedules), 4)) == sorted([*schedules, *schedules])
    assert pick((), 3, 1) == ()
