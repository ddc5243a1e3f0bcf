"""A cell's state rebuilt from its stored pairs: in the order of submission, whatever the order of the decisions."""

from collections.abc import Iterable

from countersign.evidence.level import LADDER, CellState, EvidencePolicy, observe, override, start, without_above
from countersign.evidence.observation import Frozen, Observation
from countersign.words import Autonomy


class ByPerson(Frozen):
    """What a person did to a cell between two items: took levels back, or (`raised`) gave one without evidence."""

    level: Autonomy
    raised: bool


def rebuilt(arm: str, events: Iterable[Observation | ByPerson], level: Autonomy, policy: EvidencePolicy) -> CellState:
    """The cell as if everything had come in this order: for an item that was decided late, or other bars.

    Its level is `level`, or the highest below whose evidence still stands in this order: a signature counts as long as
    what was signed for does.
    """
    state = start(arm, policy)
    for event in events:
        if isinstance(event, Observation):
            state, _ = observe(state, event, policy)
        elif event.raised:
            state = override(state, event.level)
        else:
            state = without_above(state, event.level)
    stands = Autonomy.SUPERVISED
    for above in LADDER[1 : LADDER.index(level) + 1]:
        if state.track(above).watch is None:
            break
        stands = above
    return state.model_copy(update={"level": stands})
