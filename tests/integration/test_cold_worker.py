"""Fifty reviews at once to a cold worker: one round of `benchmarks/cold_start.py`, which repeats it."""

from pathlib import Path

import pytest

from benchmarks.cold_start import cold_round
from countersign.settings import Settings

pytestmark = pytest.mark.timeout(420)

REVIEWS = 50


async def test_a_cold_worker_takes_fifty_reviews_at_once(homes: Path) -> None:
    settings = Settings(home=homes / "cold")
    measured, calls = await cold_round(settings, REVIEWS, calls=5)
    assert measured.ended == REVIEWS
    assert (calls.made, calls.wrong, calls.crashed) == (5, 0, 0)
