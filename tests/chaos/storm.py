"""Many reviews at once while Redis and Postgres are killed by turns, every few seconds."""

import asyncio
import os
import random
import signal
from dataclasses import dataclass
from time import monotonic

from chaos.laws import Facts, Problem, bill, judge
from chaos.play import Baseline, Played
from chaos.review import GIVE_UP_S, Review, asked
from chaos.schedule import Schedule
from chaos.stand import Lane, Stand, until

SERVERS = ("postgres", "valkey")


@dataclass(frozen=True)
class Weather:
    """How bad it is."""

    reviews: int = 24
    at_once: int = 8
    every_s: float = 3.0
    """Between two kills, give or take a third."""


async def storm(stand: Stand, number: int, wanted: Baseline, weather: Weather, seed: int) -> Played:
    """One storm on the first lane; the others must be at rest."""
    lane = stand.lanes[0]
    began = monotonic()
    lane.fresh()
    chance = random.Random(f"{seed}-{number}")  # noqa: S311  a seed's choice
    under_way = [Review(lane, f"storm-{number}", f"r{nth}") for nth in range(weather.reviews)]
    places = asyncio.Semaphore(weather.at_once)
    for _ in range(2):
        lane.start()
    kills: list[str] = []

    async def one(review: Review) -> None:
        async with places, asyncio.timeout(GIVE_UP_S):
            await review.submit(f"{number} {review.review_id}")  # a document each: the lab knows it by its prompt
            await review.sign()
            await review.handle.result()

    async with lane.keeping():
        raging = asyncio.create_task(_rage(stand, lane, weather.every_s, chance, kills))
        # What did not end in time is found lost below.
        ended = await asyncio.gather(*map(one, under_way), return_exceptions=True)
        if raging.done():
            raging.result()  # a server did not come back
        raging.cancel()
        await asyncio.wait([raging])
    await until("Postgres answers", lane.answers)
    problems = [Problem("other", repr(error)) for error in ended if isinstance(error, Exception)]
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


async def _rage(stand: Stand, lane: Lane, every_s: float, chance: random.Random, kills: list[str]) -> None:
    """Kill them by turns, each when it answers; the stack starts each again."""
    answers = {"postgres": lane.answers, "valkey": lane.redis_answers}
    while True:
        for name in chance.sample(SERVERS, len(SERVERS)):
            await asyncio.sleep(every_s * chance.uniform(2 / 3, 4 / 3))
            await until(f"{name} answers", answers[name])
            os.kill(stand.stack.pids[name], signal.SIGKILL)
            kills.append(name)
