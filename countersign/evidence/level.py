"""The autonomy of a cell as a state machine: evidence in, a proposal or a demotion out, each with its reasons.

Up takes a person: where the evidence for the next level is enough *now*, the cell proposes it, and only a signature
grants it. Down takes nobody: a watch that goes off takes back the level it guards, and a severity-1 error takes back
all. Evidence belongs to one arm; a new arm starts supervised with none.

What is claimed. An arm whose agreement is never above a bar is ever proposed for that level with a probability of at
most `alpha`, whatever the number of looks (`eprocess`). Evidence starts anew only after it had been enough once and was
then taken back; before that a severity-1 error takes gains and leaves losses. So no sequence of errors buys a new
chance to an arm that never earned one. An arm that stays at the bar or above it is taken back by its watch once in
`run_length` looked-at items on average, or more rarely.

What is assumed. Items are counted in an order that does not depend on what people decided about them: the caller feeds
them in the order in which they were submitted, as disagreements may take longer. For the same reason items that were
submitted and are not yet decided count as disagreements where a level is proposed or signed for (`still_open`): the
capital with them is never more than it will be, so the guarantee holds by the clock too and not by items alone.
Items that nobody ever decides (expired) are taken to be like those that somebody does. `alpha` is of each arm, cell and
level by itself: over many of them false promotions add up.
"""

from math import exp
from typing import Self

from pydantic import Field, model_validator

from countersign.errors import DecisionRefused
from countersign.evidence.eprocess import Growth, Watch
from countersign.evidence.observation import Frozen, Observation
from countersign.words import Autonomy

LADDER = (Autonomy.SUPERVISED, Autonomy.SEMI_AUTONOMOUS, Autonomy.AUTONOMOUS)


class EvidencePolicy(Frozen):
    """What a level takes. `alpha` is the risk of a false promotion, `run_length` items between false demotions."""

    semi_bar: float = Field(default=0.95, gt=0, lt=1)
    autonomous_bar: float = Field(default=0.98, gt=0, lt=1)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    run_length: float = Field(default=400.0, gt=1)

    @model_validator(mode="after")
    def _bars_rise(self) -> Self:
        if self.autonomous_bar < self.semi_bar:
            raise ValueError("autonomous_bar: is below semi_bar; the higher level takes at least as much")
        return self

    @property
    def threshold(self) -> float:
        """The capital at which the evidence is enough: 1 / alpha."""
        return 1.0 / self.alpha


class Track(Frozen):
    """The evidence for one level. It is watched from the first moment it was enough, signed for or not."""

    level: Autonomy
    growth: Growth
    watch: Watch | None = None
    overridden: bool = False
    """Watched because a person said so, before the evidence was ever enough."""

    def seen(self, observation: Observation, policy: EvidencePolicy) -> "Track":
        """The evidence after one more item."""
        growth = self.growth.seen(observation)
        watch = self.watch.seen(observation) if self.watch else None
        enough = growth.reached(policy.threshold)
        if watch is None and enough:
            watch = Watch(bar=growth.bar)
        return Track(level=self.level, growth=growth, watch=watch, overridden=self.overridden and not enough)

    def taken_back(self) -> "Track":
        """The evidence after it was found wanting: from the start if it had been enough, else without its gains."""
        growth = self.growth.restarted() if self.watch and not self.overridden else self.growth.forfeited()
        return Track(level=self.level, growth=growth)

    def guarded(self) -> "Track":
        """The evidence for a level that a person gives without it: watched from now on."""
        return self if self.watch else self.model_copy(update={"watch": Watch(bar=self.growth.bar), "overridden": True})

    def suspicion(self, policy: EvidencePolicy) -> float:
        """The watch's value as a share of what sets it off; 0 where nothing is watched yet."""
        return self.watch.suspicion(policy.run_length) if self.watch else 0.0


class CellState(Frozen):
    """Where one cell stands with one arm. `items` were looked at by a person, `criticals` of them were severity-1."""

    arm: str
    level: Autonomy
    semi: Track
    autonomous: Track
    items: int = 0
    criticals: int = 0

    def track(self, level: Autonomy) -> Track:
        """The evidence for a level above supervision."""
        return self.semi if level is Autonomy.SEMI_AUTONOMOUS else self.autonomous

    def suspicion(self, policy: EvidencePolicy) -> float:
        """The largest of the watches that guard the present level, in [0, 1); for `audit_sample.share_looked_at`."""
        held = LADDER[1 : LADDER.index(self.level) + 1]
        return max((self.track(level).suspicion(policy) for level in held), default=0.0)


class Change(Frozen):
    """A level taken back without a signature, and why."""

    before: Autonomy
    after: Autonomy
    rule: str
    """`critical`, `watch` or `person`."""
    reason: str


class Proposal(Frozen):
    """A level the evidence is enough for. It stands as long as the evidence does; a person signs it or leaves it."""

    arm: str
    before: Autonomy
    after: Autonomy
    items: int
    agreement: float
    bar: float
    e_value: float
    reasons: tuple[str, ...]


def start(arm: str, policy: EvidencePolicy) -> CellState:
    """A cell with a new arm: supervised, no evidence."""
    return CellState(
        arm=arm,
        level=Autonomy.SUPERVISED,
        semi=Track(level=Autonomy.SEMI_AUTONOMOUS, growth=Growth(bar=policy.semi_bar)),
        autonomous=Track(level=Autonomy.AUTONOMOUS, growth=Growth(bar=policy.autonomous_bar)),
    )


def observe(state: CellState, observation: Observation, policy: EvidencePolicy) -> tuple[CellState, Change | None]:
    """The cell after one more item that a person looked at, and the demotion it caused, if it did.

    Raises:
        ValueError: the policy's bars are not those the evidence was gathered against.
    """
    if (state.semi.growth.bar, state.autonomous.growth.bar) != (policy.semi_bar, policy.autonomous_bar):
        raise ValueError("policy: its bars are not those of the evidence; evidence against another bar starts anew")
    semi, autonomous = (
        # Taken back first, counted then: so the error weighs on the way back up as well.
        (track.taken_back() if observation.critical else track).seen(observation, policy)
        for track in (state.semi, state.autonomous)
    )
    level, rule, reason = state.level, "", ""
    if observation.critical:
        level, rule = Autonomy.SUPERVISED, "critical"
        reason = "a severity-1 error: a person found what the agents had missed or understated"
    elif semi.suspicion(policy) >= 1:
        reason = _fell(semi, policy)
        semi, autonomous, level, rule = semi.taken_back(), autonomous.taken_back(), Autonomy.SUPERVISED, "watch"
    elif autonomous.suspicion(policy) >= 1:
        reason = _fell(autonomous, policy)
        autonomous, rule = autonomous.taken_back(), "watch"
        level = min(level, Autonomy.SEMI_AUTONOMOUS, key=LADDER.index)
    after = CellState(
        arm=state.arm,
        level=level,
        semi=semi,
        autonomous=autonomous,
        items=state.items + 1,
        criticals=state.criticals + observation.critical,
    )
    if level is state.level:
        return after, None
    return after, Change(before=state.level, after=level, rule=rule, reason=reason)


def propose(state: CellState, policy: EvidencePolicy, still_open: int = 0) -> Proposal | None:
    """The next level, where the evidence is enough for it now; None where it is not or there is none.

    It has to be enough whatever comes of `still_open` items that were submitted before the last and are not decided.
    """
    if state.level is Autonomy.AUTONOMOUS:
        return None
    after = LADDER[LADDER.index(state.level) + 1]
    growth = state.track(after).growth
    if not growth.doubted(still_open).reached(policy.threshold) or growth.agreement is None:
        return None
    return Proposal(
        arm=state.arm,
        before=state.level,
        after=after,
        items=growth.items,
        agreement=growth.agreement,
        bar=growth.bar,
        e_value=growth.e_value,
        reasons=(_figures(growth), _verdict(growth, policy)),
    )


def sign(state: CellState, proposal: Proposal, policy: EvidencePolicy) -> CellState:
    """The cell after a person signed the proposal. Who it was is the caller's to record.

    Raises:
        DecisionRefused: the proposal is of another arm or level, or the evidence is no longer enough.
    """
    if proposal.arm != state.arm:
        raise DecisionRefused(
            "the proposal is of another arm", remedy="Look at the present evidence and sign anew", rule="stale"
        )
    if proposal.before is not state.level:
        raise DecisionRefused(
            f"the proposal starts at {proposal.before}, and the cell is {state.level}",
            remedy="Look at the present evidence and sign anew",
            rule="stale",
        )
    now = propose(state, policy)
    if now is None or now.after is not proposal.after:
        raise DecisionRefused(
            f"the evidence for {proposal.after} is no longer enough",
            remedy="Wait for more agreement between agents and people",
            rule="evidence",
        )
    return state.model_copy(update={"level": proposal.after})


def demote(state: CellState, level: Autonomy, reason: str) -> tuple[CellState, Change]:
    """The cell after a person took levels back; what is above the level left has to be earned anew.

    Raises:
        DecisionRefused: the level is not below the present one.
    """
    if LADDER.index(level) >= LADDER.index(state.level):
        raise DecisionRefused(
            f"{level} is not below {state.level}", remedy="To go up takes evidence and a signature", rule="direction"
        )
    after = without_above(state, level).model_copy(update={"level": level})
    return after, Change(before=state.level, after=level, rule="person", reason=reason)


def override(state: CellState, level: Autonomy) -> CellState:
    """The cell after a person gave it a level whatever the evidence says, up or down.

    Upwards nothing counts as proven: the level is watched like an earned one, and what takes it back takes the gains
    alone, so that an override gives no arm a second chance to pass the test by luck.
    """
    if LADDER.index(level) <= LADDER.index(state.level):
        return without_above(state, level).model_copy(update={"level": level}) if level is not state.level else state
    raised = {"semi": state.semi.guarded()}
    if level is Autonomy.AUTONOMOUS:
        raised["autonomous"] = state.autonomous.guarded()
    return state.model_copy(update={"level": level, **raised})


def without_above(state: CellState, level: Autonomy) -> CellState:
    """What is above the level has to be earned anew."""
    kept = state.semi if level is not Autonomy.SUPERVISED else state.semi.taken_back()
    top = state.autonomous if level is Autonomy.AUTONOMOUS else state.autonomous.taken_back()
    return state.model_copy(update={"semi": kept, "autonomous": top})


def explain(state: CellState, policy: EvidencePolicy) -> tuple[str, ...]:
    """Where the cell stands, in words and numbers, for a person who decides about it."""
    lines = [f"{_words(state.level)}, {_count(state.items, 'item')} looked at with this arm"]
    if state.criticals:
        lines.append(f"{_count(state.criticals, 'severity-1 error')}; each took back all that was earned before it")
    for track in (state.semi, state.autonomous):
        held = LADDER.index(track.level) <= LADDER.index(state.level)
        lines.append(f"{_words(track.level)}{', held' if held else ''}: {_figures(track.growth)}")
        if not held:
            lines.append(f"{_words(track.level)}: {_verdict(track.growth, policy)}")
        if track.overridden:
            lines.append(f"{_words(track.level)}: given by a person without the evidence for it")
        if track.watch:
            lines.append(
                f"{_words(track.level)}: the watch stands at {track.suspicion(policy):.1%} of what sets it off, "
                f"{_count(track.watch.items, 'item')} watched"
            )
    return tuple(lines)


def _fell(track: Track, policy: EvidencePolicy) -> str:
    watched = track.watch.items if track.watch else 0
    return (
        f"agreement fell below {track.growth.bar:g}: the watch went off after {_count(watched, 'item')}, which for an "
        f"arm at the bar happens once in {policy.run_length:g} items on average, or more rarely"
    )


def _figures(growth: Growth) -> str:
    if growth.agreement is None:
        return "no item yet"
    capital = f"{exp(growth.log_e):.3g}" if growth.log_e < 14 else f"e^{growth.log_e:.0f}"
    return (
        f"agreement {growth.agreement:.3f}, weighted by severity, over {_count(growth.items, 'item')}; "
        f"evidence that it is above {growth.bar:g}: {capital}"
    )


def _verdict(growth: Growth, policy: EvidencePolicy) -> str:
    if growth.reached(policy.threshold):
        return (
            f"enough: {policy.threshold:g} is reached with a probability of at most {policy.alpha:g} by an arm that is "
            f"not above {growth.bar:g}, however often one looks"
        )
    needed = _count(growth.still_needed(policy.threshold), "item")
    return f"not enough: it takes {policy.threshold:g}, {needed} more if all agree"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _words(level: Autonomy) -> str:
    return level.value.replace("_", "-")
