"""Progress and the SLA ladder: pure bookkeeping with times passed in."""

from datetime import UTC, datetime, timedelta

from countersign.review.ladder import Ladder, Rung
from countersign.review.payloads import AgentMetrics, ReviewStatus, SlaPolicy
from countersign.review.progress import Progress, details
from countersign.words import Outcome, Stage

START = datetime(2026, 11, 22, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def progress() -> Progress:
    return Progress(ReviewStatus(review_id="r", workflow_id="w", tenant="t", stage=Stage.SUBMIT), START)


def test_time_is_booked_on_the_stage_that_is_left() -> None:
    record = progress()
    record.enter(Stage.READ, at(1))
    record.enter(Stage.SCREEN, at(1.5))
    record.enter(Stage.READ, at(2))
    record.enter(Stage.DONE, at(4))
    assert record.status.timings_ms == {"submit": 1000, "read": 2500, "screen": 500}


def test_rows_are_numbered_without_gaps_and_leave_when_written() -> None:
    record = progress()
    record.note("admitted", at(0), playbook="nda")
    record.note("read", at(1))
    first = record.pending
    record.note("refused", at(2), actor="bob")
    record.written(len(first))
    assert [entry.sequence for entry in first] == [1, 2]
    assert [(entry.sequence, entry.event) for entry in record.pending] == [(3, "refused")]


def test_usage_adds_up_and_counts_calls_without_a_price() -> None:
    record = progress()
    for priced in (True, False):
        record.spent(AgentMetrics(call_id="c", agent="a", model="m", input_tokens=5, cost_microusd=7, priced=priced))
    record.spent(None)
    assert (record.status.usage.input_tokens, record.status.usage.unpriced_calls) == (10, 1)


def test_degradations_are_noted_once() -> None:
    record = progress()
    record.degrade("memory: session", "planner")
    record.degrade("planner")
    assert record.status.degraded == ("memory: session", "planner")


def test_details_name_the_outcome_and_no_person() -> None:
    record = progress()
    record.update(outcome=Outcome.BLOCKED)
    assert details(record.status).startswith("**blocked**")


def test_the_ladder_climbs_each_rung_once_in_order() -> None:
    ladder = Ladder(SlaPolicy(remind_s=10, escalate_s=20, expire_s=30), START)
    assert ladder.next_due == at(10)
    assert ladder.climb(at(9)) == ()
    assert ladder.climb(at(25)) == (Rung.REMINDED, Rung.ESCALATED)
    assert ladder.next_due == at(30)
    assert ladder.climb(at(99)) == (Rung.EXPIRED,)
    assert ladder.next_due is None
