"""The options of steps: what is refused stays refused, and a tenant's weight reaches the matching server."""

from datetime import timedelta

from temporalio.common import Priority

from activities.admit import ASK_AGAIN_S, LONGEST_WAIT_S
from countersign.errors import InvalidRequest, Overloaded, RateLimited, ServiceUnavailable
from workflows import options


def test_a_step_carries_its_tenants_pseudonym_and_weight() -> None:
    told = options.told(options.AUDIT, "one row", "p1:" + "a" * 80, 2.5)
    assert told["priority"] == Priority(priority_key=3, fairness_key=("p1:" + "a" * 80)[:64], fairness_weight=2.5)
    assert told["summary"] == "one row"


def test_refusals_are_final_and_absences_are_not() -> None:
    assert {error.type for error in (RateLimited, Overloaded, InvalidRequest)} <= set(options.PERMANENT)
    assert ServiceUnavailable.type not in options.PERMANENT
    assert "Waiting" not in options.PERMANENT


def test_a_day_in_the_waiting_room_fits_into_admissions_time_and_attempts() -> None:
    until, retry = options.ADMIT["schedule_to_close_timeout"], options.ADMIT["retry_policy"]
    assert until is not None
    assert retry is not None
    assert until > timedelta(seconds=LONGEST_WAIT_S + max(ASK_AGAIN_S))
    assert retry.maximum_attempts * min(ASK_AGAIN_S) >= until.total_seconds()
    threshold = options.ADMIT["local_retry_threshold"]
    assert threshold is not None
    assert threshold < timedelta(seconds=min(ASK_AGAIN_S)), "a wait holds no workflow task open"
