"""After half an hour without its only provider the machine is back within a minute, and asked it little meanwhile."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from helpers.recovery import ANSWER_S, AT_WORK, Sim, limited, unavailable
from pydantic_ai.exceptions import ModelAPIError

from benchmarks.outage_figures import Load, Moments, busiest, count_within, peak_ratio, rate, recovered
from countersign.breaker.config import MODEL_DEFAULTS

BROKEN, MENDED, END = 300.0, 2100.0, 2700.0
WARM = 100.0
Error = Callable[[str], ModelAPIError]


def half_an_hour(error: Error, seed: int, **rules: float) -> Sim:
    sim = Sim(1.0, lambda at: error if BROKEN <= at < MENDED else None, replace(MODEL_DEFAULTS, **rules), seed)
    sim.run(END)
    return sim


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("error", [unavailable, limited])
def test_it_is_back_within_a_minute_and_does_not_overshoot(error: Error, seed: int) -> None:
    sim = half_an_hour(error, seed)
    usual = rate(sim.done, WARM, BROKEN)
    assert usual == pytest.approx(1.0, rel=0.02)
    assert sim.failed == 0
    back = recovered(sim.done, MENDED, usual)
    assert back is not None
    assert back <= 60
    assert rate(sim.done, MENDED + 60, END) >= 0.95 * usual
    # What waited is worked off by as many reviews as the door lets in, and no faster.
    assert sim.most_in_flight <= AT_WORK
    assert busiest(sim.sent, MENDED, END) <= 1.2 * AT_WORK / ANSWER_S


@pytest.mark.parametrize("seed", range(5))
def test_an_open_circuit_sends_two_probes_an_opening(seed: int) -> None:
    sim = half_an_hour(unavailable, seed)
    # Until it is noticed: as many failures as there were requests in the window before, beside those under way.
    noticing = count_within(sim.sent, BROKEN - MODEL_DEFAULTS.window_s, BROKEN)
    asked = count_within(sim.sent, BROKEN, MENDED)
    assert asked <= noticing + MODEL_DEFAULTS.probes * sim.circuit.to_open
    assert rate(sim.sent, BROKEN + 600, MENDED) <= MODEL_DEFAULTS.probes / (MODEL_DEFAULTS.open_cap_s * 0.8)


@pytest.mark.parametrize("seed", range(5))
def test_a_provider_that_throttles_everything_is_asked_less_than_one_that_works(seed: int) -> None:
    sim = half_an_hour(limited, seed)
    assert rate(sim.sent, BROKEN + 600, MENDED) <= rate(sim.sent, WARM, BROKEN) / 3
    assert sim.circuit.to_open == 0, "throttling is no failure"


def test_a_circuit_that_stays_open_for_longer_is_not_back_in_time() -> None:
    """What the first test would miss if it could not fail."""
    sim = half_an_hour(unavailable, 1, open_cap_s=300.0)
    back = recovered(sim.done, MENDED, rate(sim.done, WARM, BROKEN))
    assert back is None or back > 60


def test_the_arithmetic_of_the_benchmark() -> None:
    steady = [float(at) for at in range(1, 101)]
    assert (count_within(steady, 10, 20), rate(steady, 10, 20), rate(steady, 5, 5)) == (10, 1.0, 0.0)
    assert busiest(steady, 0, 100) == 1.0
    # A gap from 40 to 70: the 20 s up to 89 hold 19 moments again.
    gap = [at for at in steady if not 40 < at <= 70]
    assert recovered(gap, 70, 1.0) == 19
    assert recovered(gap[:50], 70, 1.0) is None
    crowded = sorted([*steady, *(75 + n / 10 for n in range(100))])
    assert peak_ratio(crowded, Moments(0, 40, 70, 100)) == pytest.approx(11, abs=0.2)
    assert peak_ratio([], Moments(0, 40, 70, 100)) == 0
    assert Load(1, 2, 3, 4).total_s == 9
