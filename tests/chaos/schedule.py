"""Which blows a review is dealt, one a schedule, and which of them a seed picks. Pure.

A schedule is named after its blow, so that a failure can be repeated: `kill@17`, `unheard@audit#3`.
"""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["kill", "unheard", "unseen", "zombie", "ghost", "storm"]
"""What is done to a worker, and when.

`kill`: SIGKILL at a history event. `unheard`: SIGKILL when an activity function has returned and nobody was told, so
that its effect has happened and its completion never comes. `unseen`: SIGKILL when the provider has sent an answer
whole and the worker, stopped meanwhile, has not read it. `zombie`: as `unheard`, but SIGSTOP; it goes on, and reports
its completion, after another worker has taken over and the review is at its end or waits for a person. `ghost`: as
`unseen`, but it goes on, reads its answer and would write it down, after another has taken over. `storm`: Redis and
Postgres are killed by turns under several reviews at once.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)
_NAME = re.compile(r"(?P<kind>[a-z]+)@(?P<at>[a-z_]*)#?(?P<nth>[1-9][0-9]*)")


@dataclass(frozen=True, order=True)
class Schedule:
    """One blow: `nth` counts history events, calls of the activity `at`, provider requests or storms, from 1."""

    kind: Kind
    nth: int
    at: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}@{self.at}#{self.nth}" if self.at else f"{self.kind}@{self.nth}"

    @classmethod
    def parse(cls, name: str) -> "Schedule":
        """The schedule of that name. Raises `ValueError`."""
        match = _NAME.fullmatch(name)
        kind = next((known for known in KINDS if match and match["kind"] == known), None)
        if match is None or kind is None or bool(match["at"]) != (kind in {"unheard", "zombie"}):
            raise ValueError(
                f"{name!r} is no schedule: write kill@17, unheard@audit#3, zombie@plan#1, unseen@2, ghost@2"
            )
        return cls(kind, int(match["nth"]), match["at"])


def every(events: int, calls: Mapping[str, int], requests: int) -> tuple[Schedule, ...]:
    """All blows against a review that takes so many history events, calls of each activity and provider requests."""
    return (
        *(Schedule("kill", nth) for nth in range(1, events + 1)),
        *(Schedule("unheard", nth, at) for at, count in calls.items() for nth in range(1, count + 1)),
        *(Schedule("zombie", nth, at) for at, count in calls.items() for nth in range(1, count + 1)),
        *(Schedule("unseen", nth) for nth in range(1, requests + 1)),
        *(Schedule("ghost", nth) for nth in range(1, requests + 1)),
    )


def pick(schedules: Sequence[Schedule], count: int, seed: int) -> tuple[Schedule, ...]:
    """`count` of them by chance, kinds in turn so that few already hold one of each; every one before any again."""
    chance = random.Random(seed)  # noqa: S311  a seed's choice
    piles = {kind: [one for one in schedules if one.kind == kind] for kind in KINDS}
    picked: list[Schedule] = []
    while len(picked) < count and schedules:
        for pile in piles.values():
            chance.shuffle(pile)
        left = {kind: list(pile) for kind, pile in piles.items() if pile}
        while any(left.values()) and len(picked) < count:
            picked += [pile.pop() for pile in left.values() if pile][: count - len(picked)]
    return tuple(picked)
