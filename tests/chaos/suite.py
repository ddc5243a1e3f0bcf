"""Many schedules on a few lanes, and what came of them."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from chaos.play import Baseline, Played, baseline, play
from chaos.schedule import KINDS, Kind, Schedule, every, pick
from chaos.stand import Lane, Stand, standing
from chaos.storm import Weather, storm

CALM_ENOUGH = Weather()


@dataclass(frozen=True)
class Plan:
    """What to play. `schedules` None: each once."""

    seed: int = 1
    lanes: int = 4
    schedules: int | None = None
    storms: int = 3
    weather: Weather = CALM_ENOUGH
    minutes: float | None = None
    only: tuple[Schedule, ...] = ()

    def choose(self, wanted: Baseline) -> tuple[Schedule, ...]:
        """The schedules, in the order in which they are played."""
        if self.only:
            return self.only
        possible = every(wanted.events, wanted.calls, wanted.requests)
        return pick(possible, len(possible) if self.schedules is None else self.schedules, self.seed)


@dataclass(frozen=True)
class Row:
    """One kind of blow in the table."""

    kind: Kind
    schedules: int
    same_outcome: int
    lost: int
    doubled: int
    missed: int
    unseen: int
    seconds_each: float
    blows: int
    reviews: int


@dataclass
class Report:
    """What came of a plan. A schedule whose blow found nothing to strike is no schedule: it is counted as `missed`."""

    plan: Plan
    played: list[Played] = field(default_factory=list)
    seconds: float = 0.0
    servers_died: tuple[str, ...] = ()
    """Servers that died while no schedule strikes them: something else is wrong, and losses may be its."""

    @property
    def struck(self) -> list[Played]:
        return [one for one in self.played if one.struck]

    @property
    def ok(self) -> bool:
        """Whether everything that was played came to what it should; something must have been played."""
        return bool(self.struck) and not any(one.problems or not one.same_outcome for one in self.played)

    def by_kind(self) -> Iterator[Row]:
        """Rows of the table."""
        for kind in KINDS:
            played = [one for one in self.played if one.schedule.kind == kind]
            if played:
                struck = [one for one in played if one.struck]
                yield Row(
                    kind=kind,
                    schedules=len(struck),
                    same_outcome=sum(one.same_outcome for one in struck),
                    lost=_count(played, "lost"),
                    doubled=_count(played, "doubled"),
                    missed=len(played) - len(struck),
                    unseen=sum(one.unseen for one in played),
                    seconds_each=sum(one.seconds for one in played) / len(played),
                    blows=sum(one.blows for one in struck),
                    reviews=sum(one.reviews for one in played),
                )

    def as_json(self) -> dict[str, Any]:
        """The last line's object."""
        return {
            "schedules": len(self.struck),
            "same_outcome": sum(one.same_outcome for one in self.struck),
            "lost": _count(self.played, "lost"),
            "doubled": _count(self.played, "doubled"),
            "seconds": round(self.seconds, 1),
            "seed": self.plan.seed,
            "servers_died": list(self.servers_died),
            "missed": len(self.played) - len(self.struck),
            "reviews": sum(one.reviews for one in self.played),
            "unseen": sum(one.unseen for one in self.played),
            "never_arrived": sum(one.never_arrived for one in self.played),
            "problems": {one.schedule.name: [problem.text for problem in one.problems] for one in self.failed},
        }

    @property
    def failed(self) -> list[Played]:
        """What came to something else."""
        return [one for one in self.played if one.problems or not one.same_outcome]


def _count(played: list[Played], kind: str) -> int:
    """Schedules with a problem of that kind."""
    return sum(any(problem.kind == kind for problem in one.problems) for one in played)


async def run(plan: Plan, show: Callable[[str], None] = lambda _line: None) -> Report:
    """Play the plan. `show` is told what is long or goes wrong, while it does."""
    began = monotonic()
    report = Report(plan)
    async with standing(plan.lanes) as stand:
        wanted = await baseline(stand.lanes[0], "baseline")
        schedules = plan.choose(wanted)
        show(
            f"A review takes {wanted.events} history events, {sum(wanted.calls.values())} activity calls and "
            f"{wanted.requests} provider requests; {len(schedules)} schedules on {len(stand.lanes)} lanes, "
            f"{plan.storms} storms, seed {plan.seed}"
        )
        desk = _Desk(report, show, began)
        for number in range(1, plan.storms + 1):
            played = await storm(stand, number, wanted, plan.weather, plan.seed)
            show(f"storm {number}: {played.reviews} reviews, {played.blows} kills, {played.seconds:.0f} s")
            desk.take(played)
        serving = stand.stack.pids
        await _play_all(stand, schedules, wanted, desk)
        report.servers_died = tuple(name for name, pid in serving.items() if stand.stack.pids.get(name) != pid)
    report.seconds = monotonic() - began
    return report


@dataclass
class _Desk:
    """Where what was played is handed in."""

    report: Report
    show: Callable[[str], None]
    began: float

    @property
    def is_closed(self) -> bool:
        """Whether it is too late to begin another schedule."""
        minutes = self.report.plan.minutes
        return minutes is not None and monotonic() - self.began > minutes * 60

    def take(self, played: Played) -> None:
        self.report.played.append(played)
        for problem in played.problems:
            self.show(f"{played.schedule.name}: {problem.kind}: {problem.text}")
        if len(self.report.played) % 25 == 0:
            self.show(f"{len(self.report.played)} played after {monotonic() - self.began:.0f} s")


async def _play_all(stand: Stand, schedules: tuple[Schedule, ...], wanted: Baseline, desk: _Desk) -> None:
    left = iter(enumerate(schedules))

    async def on(lane: Lane) -> None:
        for number, schedule in left:
            if desk.is_closed:
                break
            # A tenant each: what people teach one review's tenant is no other schedule's memory.
            desk.take(await play(lane, schedule, wanted, f"t{number}"))
        lane.clear()

    await asyncio.gather(*map(on, stand.lanes))
