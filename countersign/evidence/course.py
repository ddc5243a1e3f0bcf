"""How a cell's evidence went, item by item: for people who look at it. The same steps as `level.observe`."""

from collections.abc import Iterable
from dataclasses import dataclass

from countersign.evidence.level import CellState, EvidencePolicy, observe, override, start, without_above
from countersign.evidence.observation import Observation
from countersign.evidence.replay import ByPerson
from countersign.words import Autonomy

RAISED = (Autonomy.SEMI_AUTONOMOUS, Autonomy.AUTONOMOUS)


@dataclass(frozen=True)
class Step:
    """Where the evidence for one level stands after an item.

    `log_e` is the natural logarithm of the capital; `suspicion` how far the watch is towards going off, in [0, 1), and
    None while nothing is watched; `fell` says that the watch went off with this item.
    """

    log_e: float
    agreement: float
    suspicion: float | None
    fell: bool


@dataclass(frozen=True)
class Point:
    """The evidence after the `item`-th item (from 1). `critical` marks a severity-1 error."""

    item: int
    critical: bool
    semi: Step
    autonomous: Step

    def step(self, level: Autonomy) -> Step:
        """The evidence for a level above supervision."""
        return self.semi if level is Autonomy.SEMI_AUTONOMOUS else self.autonomous


def course(arm: str, events: Iterable[Observation | ByPerson], policy: EvidencePolicy) -> tuple[Point, ...]:
    """The evidence after every item, in the order of submission."""
    state = start(arm, policy)
    points = []
    for event in events:
        if isinstance(event, ByPerson):
            state = override(state, event.level) if event.raised else without_above(state, event.level)
            continue
        before = state
        state, _ = observe(state, event, policy)
        semi, autonomous = (_step(before, state, level, policy, critical=event.critical) for level in RAISED)
        points.append(Point(state.items, event.critical, semi, autonomous))
    return tuple(points)


def _step(before: CellState, after: CellState, level: Autonomy, policy: EvidencePolicy, *, critical: bool) -> Step:
    track = after.track(level)
    return Step(
        log_e=track.growth.log_e,
        agreement=track.growth.agreement or 0.0,
        suspicion=track.suspicion(policy) if track.watch else None,
        # A severity-1 error ends a watch as well, and is marked as what it is.
        fell=before.track(level).watch is not None and track.watch is None and not critical,
    )
