"""The options of steps: what is refused stays refused, and a tenant's weight reaches the matching server."""

from datetime import timedelta

import pytest
from temporalio.common import Priority
from temporalio.workflow import ActivityConfig

from activities.admit import ASK_AGAIN_S, LONGEST_WAIT_S
from activities.agents import LEAST_WAIT_S, MAX_RETRY_AFTER_S
from countersign.agents.guarded import SILENCE_S
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


@pytest.mark.parametrize("profile", [options.AGENT, options.HURRIED, options.JUDGE])
def test_waiting_for_a_circuit_never_uses_up_the_attempts(profile: ActivityConfig) -> None:
    until, retry = profile["schedule_to_close_timeout"], profile["retry_policy"]
    assert until is not None
    assert retry is not None
    assert retry.maximum_attempts * LEAST_WAIT_S >= until.total_seconds()
    assert until.total_seconds() > MAX_RETRY_AFTER_S
    assert not {"CircuitOpen", "Throttled", "Superseded"} & set(options.PERMANENT)


def test_an_outage_of_half_an_hour_fits_into_every_agents_patience() -> None:
    for profile in (options.AGENT, options.JUDGE):
        assert profile["schedule_to_close_timeout"] > timedelta(minutes=30, seconds=MAX_RETRY_AFTER_S)  # type: ignore[operator]


def test_a_chain_gives_a_silent_model_up_before_the_step_is_given_up() -> None:
    silence = options.AGENT["heartbeat_timeout"]
    assert silence is not None
    assert timedelta(seconds=SILENCE_S) < silence < timedelta(minutes=2)
