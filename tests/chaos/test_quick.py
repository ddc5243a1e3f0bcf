"""The quick part of the chaos suite: a seed's few schedules, each kind among them, and a small storm.

`make chaos` plays them all.
"""

import pytest

from chaos.schedule import KINDS
from chaos.storm import Weather
from chaos.suite import Plan, run

QUICK = Plan(seed=7, lanes=4, schedules=6, storms=1, weather=Weather(reviews=4, at_once=4, every_s=1.5, lasts_s=4))


@pytest.mark.timeout(300)
async def test_reviews_end_as_if_nothing_had_been() -> None:
    report = await run(QUICK)
    assert not report.failed, "\n".join(
        f"python tests/chaos --seed {QUICK.seed} --only {one.schedule.name}: {one.problems}" for one in report.failed
    )
    told = report.as_json()
    assert (told["lost"], told["doubled"]) == (0, 0)
    assert told["same_outcome"] == told["schedules"]
    assert {one.schedule.kind for one in report.struck} == set(KINDS)
    assert report.ok
