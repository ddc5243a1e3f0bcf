"""Many reviews at once while Redis and Postgres are killed by turns, every few seconds."""

import asyncio
import logging
import os
import random
import signal
from dataclasses import dataclass
from functools import partial
from time import monotonic

from chaos.laws import Facts, Problem, bill, judge
from chaos.play import Baseline, Played
from chaos.review import GIVE_UP_S, Review, asked
from chaos.schedule import Schedule
from chaos.stand import Lane, Stand, until

SERVERS = ("postgres", "valkey")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Weather:
    """How bad it is."""

    reviews: int = 12
    at_once: int = 6
    every_s: float = 3.0
    """Between two kills, give or take a third."""
    lasts_s: float = 30.0
    """Then it is calm, and everything must come to its end."""


async def storm(stand: Stand, number: int, wanted: Baseline, weather: Weather, seed: int) -> Played:
    """One storm on the first lane; the others must be at rest."""
    lane = stand.lanes[0]
    began = monotonic()
    lane.fresh()
    chance = random.Random(f"{seed}-{number}")  # noqa: S311  a seed's choice
    # A tenant each, as in `suite`.
    under_way = [Review(lane, f"storm-{number}-{nth}", f"r{nth}") for nth in range(weather.reviews)]
    places = asyncio.Semaphore(weather.at_once)
    for _ in range(2):
        lane.start()
    kills: list[str] = []

    async def one(review: Review) -> None:
        async with places:
            await review.submit(f" ({number} {review.review_id})")
            await review.sign()
            await review.handle.result()

    async with lane.keeping():
        try:
            async with asyncio.timeout(weather.lasts_s + GIVE_UP_S):
                await asyncio.gather(_rage(stand, lane, weather, chance, kills), *map(one, under_way))
        except TimeoutError:
            _log.warning("storm %d: not over in time", number)  # what has no end is found lost below
    problems: list[Problem] = []
    found = [await review.facts() for review in under_way]
    problems += bill(found, asked(lane))
    for review, facts in zip(under_way, found, strict=True):
        # The lab's requests cannot be told apart by review: the bill is judged of all together.
        verdict = judge(wanted.facts, facts, calm=False, alone=False)
        problems += [Problem(one.kind, f"{review.review_id}: {one.text}") for one in verdict]
    return Played(
        schedule=Schedule("storm", number),
        struck=bool(kills),
        problems=tuple(problems),
        same_outcome=all(_same(wanted.facts, facts) for facts in found),
        seconds=monotonic() - began,
        unseen=sum(row.unseen for facts in found for row in facts.ledger),
        never_arrived=sum(row.known + row.unseen for facts in found for row in facts.ledger) - len(asked(lane)),
        reviews=weather.reviews,
        blows=len(kills),
    )


def _same(wanted: Facts, found: Facts) -> bool:
    return (found.outcome, found.findings) == (wanted.outcome, wanted.findings)


async def _rage(stand: Stand, lane: Lane, weather: Weather, chance: random.Random, kills: list[str]) -> None:
    """Kill them by turns, each when it serves again; the stack starts each again. At the end both serve."""
    dead: dict[str, int] = {}
    answers = {"postgres": lane.answers, "valkey": lane.redis_answers}

    async def serves(name: str) -> bool:
        # The processes that a killed Postgres had for its connections may answer for a moment longer.
        pid = stand.stack.pids.get(name)
        return pid is not None and pid != dead.get(name) and await answers[name]()

    calm = monotonic() + weather.lasts_s
    while monotonic() < calm:
        for name in chance.sample(SERVERS, len(SERVERS)):
            await asyncio.sleep(weather.every_s * chance.uniform(2 / 3, 4 / 3))
            await until(f"{name} serves", partial(serves, name))
            dead[name] = stand.stack.pids[name]
            os.kill(dead[name], signal.SIGKILL)
            kills.append(name)
    for name in SERVERS:
        await until(f"{name} serves", partial(serves, name))
