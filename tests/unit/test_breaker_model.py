"""A circuit's rules on its model, where time and chance are arguments. `test_circuits.py` holds the script to the same.

The state machine at the end interleaves workers that crash, and clocks that jump, with a book of its own beside it.
"""

from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from countersign.breaker.config import (
    MODEL_DEFAULTS,
    SECOND,
    TOOL_DEFAULTS,
    Config,
    Rules,
    check_name,
    check_overrides,
    config_of,
)
from countersign.breaker.model import HELD, Admission, Circuit
from countersign.breaker.words import BREAKER, Kind, State, Transition
from countersign.errors import InvalidRequest

START = 1_790_000_000 * SECOND
CONFIG = Config(window_s=60, stall_s=90, open_cap_s=300, min_calls=4, jitter=0.0, limit_max=8)
RESULTS = ("success", "failure", "ignored", "throttled", "stalled")
TOTALS = ("admitted", "refused", *RESULTS, "to_closed", "to_open", "to_half_open", "epoch", "cuts")


class World:
    """One circuit, its rules and the time."""

    def __init__(self, config: Config = CONFIG) -> None:
        self.now = START
        self.rules = Rules.of(config)
        self.circuit = Circuit.new(START)
        self.chance = 0.0
        self.given = 0
        self.transitions: list[Transition] = []

    def admit(self) -> tuple[str, Admission]:
        self.given += 1
        token = f"t{self.given}"
        admission = self.circuit.admit(self.now, self.chance, self.rules, token)
        self.transitions += self.circuit.transitions
        return token, admission

    def taken(self) -> str:
        """The token of a call that must be let through."""
        token, admission = self.admit()
        assert admission.refused == "", admission
        return token

    def done(self, token: str, kind: Kind = Kind.SUCCESS, seconds: float = 1.0, retry_after_s: float = 0.0) -> bool:
        counted = self.circuit.done(
            self.now, self.chance, self.rules, token, kind, round(seconds * SECOND), round(retry_after_s * SECOND)
        )
        self.transitions += self.circuit.transitions
        return counted

    def calls(self, *kinds: Kind, seconds: float = 1.0) -> None:
        for kind in kinds:
            self.done(self.taken(), kind, seconds)

    def fail(self, times: int = 4) -> None:
        self.calls(*[Kind.FAILURE] * times)

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)

    def look(self) -> State:
        self.circuit.look(self.now, self.chance, self.rules)
        self.transitions += self.circuit.transitions
        return self.circuit.state


@pytest.fixture
def world() -> World:
    return World()


# --- opening ---


def test_it_opens_when_enough_of_enough_calls_failed(world: World) -> None:
    world.fail(3)
    assert world.circuit.state is State.CLOSED  # three are not enough to tell
    world.calls(Kind.SUCCESS)
    assert world.circuit.state is State.OPEN
    assert world.transitions == [Transition(State.CLOSED, State.OPEN, "3 of 4 calls failed")]
    assert (world.circuit.opened_by, world.circuit.opened_why) == (BREAKER, "3 of 4 calls failed")
    _, admission = world.admit()
    assert (admission.refused, admission.wait) == ("open", 10 * SECOND)


def test_business_errors_and_throttling_are_no_failures(world: World) -> None:
    world.calls(*[Kind.IGNORED, Kind.THROTTLED] * 20)
    assert world.circuit.state is State.CLOSED
    assert world.circuit.sums().calls == 0
    world.fail(3)
    world.calls(*[Kind.IGNORED] * 9)
    assert world.circuit.state is State.CLOSED
    world.fail(1)
    assert world.circuit.state is State.OPEN


def test_slow_successes_open_it_too(world: World) -> None:
    world.calls(*[Kind.SUCCESS] * 4, seconds=120)  # just not slow
    world.calls(*[Kind.SUCCESS] * 15, seconds=120.001)
    assert world.circuit.state is State.CLOSED  # 15 of 19
    world.calls(Kind.SUCCESS, seconds=500)
    assert world.circuit.opened_why == "16 of 20 calls were slow"


def test_what_is_older_than_the_window_does_not_count(world: World) -> None:
    world.fail(3)
    world.wait(60)
    world.calls(Kind.FAILURE)
    assert world.circuit.state is State.CLOSED
    world.fail(3)
    assert world.circuit.state is State.OPEN


def test_it_opens_when_the_successes_that_held_the_rate_down_go_out_of_the_window(world: World) -> None:
    world.calls(*[Kind.SUCCESS] * 6)
    world.wait(30)
    world.fail(5)
    assert world.circuit.state is State.CLOSED  # 5 of 11
    world.wait(30)
    assert world.look() is State.OPEN
    assert world.circuit.opened_why == "5 of 5 calls failed"


def test_each_opening_in_a_row_is_longer_up_to_the_cap() -> None:
    world = World(replace(CONFIG, open_s=10, open_cap_s=50))
    world.fail()
    lengths = []
    for _ in range(5):
        lengths.append((world.circuit.until - world.now) / SECOND)
        world.now = world.circuit.until
        world.calls(Kind.FAILURE)  # the probe
    assert lengths == [10, 20, 40, 50, 50]
    assert [change.why for change in world.transitions[-2:]] == ["its open time is over", "a probe failed"]


def test_it_closes_and_opens_again_soon_for_longer_but_not_after_a_good_while(world: World) -> None:
    def heal() -> None:
        world.now = world.circuit.until
        world.calls(Kind.SUCCESS, Kind.SUCCESS)
        assert world.circuit.state is State.CLOSED

    world.fail()
    heal()
    world.fail()
    assert world.circuit.until == world.now + 20 * SECOND
    heal()
    world.wait(60)
    world.fail()
    assert world.circuit.until == world.now + 10 * SECOND


def test_the_open_time_is_shorter_by_chance() -> None:
    world = World(replace(CONFIG, jitter=0.2))
    world.chance = 0.5
    world.fail()
    assert world.circuit.until == world.now + 9 * SECOND


# --- half-open ---


def half_open(world: World) -> None:
    world.fail()
    world.now = world.circuit.until


def test_only_as_many_probes_as_there_may_be(world: World) -> None:
    half_open(world)
    _, first = world.admit()
    _, second = world.admit()
    _, third = world.admit()
    assert first.probe and second.probe
    assert (third.refused, third.wait) == ("open", 10 * SECOND)
    assert world.transitions[-1] == Transition(State.OPEN, State.HALF_OPEN, "its open time is over")


def test_enough_successful_probes_close_it_with_an_empty_window(world: World) -> None:
    half_open(world)
    world.calls(Kind.SUCCESS)
    assert world.circuit.state is State.HALF_OPEN
    world.calls(Kind.IGNORED, Kind.THROTTLED)  # they say nothing, and cost no probe
    world.calls(Kind.SUCCESS)
    assert world.circuit.state is State.CLOSED
    assert world.circuit.sums().calls == 0
    assert not world.admit()[1].probe


def test_slow_probes_count_as_slow_calls_do(world: World) -> None:
    half_open(world)
    world.calls(Kind.SUCCESS, seconds=200)
    world.calls(Kind.SUCCESS)
    assert world.circuit.state is State.CLOSED  # one of two is less than 80 %
    world.wait(100)
    half_open(world)
    world.calls(Kind.SUCCESS, Kind.SUCCESS, seconds=200)
    assert world.circuit.state is State.OPEN
    assert world.circuit.opened_why == "2 of 2 probes were slow"


def test_a_dead_prober_wedges_nothing(world: World) -> None:
    half_open(world)
    world.taken()
    world.taken()
    world.wait(89)
    assert world.admit()[1].wait == SECOND  # when the first of them counts as stalled
    world.wait(1)
    assert world.admit()[1].refused == "open"
    assert world.transitions[-1] == Transition(State.HALF_OPEN, State.OPEN, "a probe stalled")
    world.wait(20)
    assert world.admit()[1].probe


def test_a_probe_that_stalled_long_ago_opened_it_long_ago(world: World) -> None:
    half_open(world)
    world.taken()
    world.wait(3600)
    assert world.admit()[1].probe  # its open time after the stall is over too


def test_a_probe_that_another_one_left_behind_counts_as_one_still(world: World) -> None:
    half_open(world)
    world.taken()
    world.done(world.taken(), Kind.FAILURE)
    assert world.circuit.state is State.OPEN
    world.now = world.circuit.until
    assert world.admit()[1].probe
    assert world.admit()[1].refused == "open"


def test_a_call_let_through_before_says_nothing_of_what_is_now(world: World) -> None:
    before = [world.taken() for _ in range(3)]
    half_open(world)
    world.taken()
    assert world.done(before[0], Kind.FAILURE)
    assert world.done(before[1], Kind.SUCCESS)
    assert world.circuit.state is State.HALF_OPEN
    assert world.circuit.wins == 0
    world.wait(89)  # the third stalls
    assert world.look() is State.HALF_OPEN
    assert (world.circuit.failure, world.circuit.success, world.circuit.stalled) == (5, 1, 1)


# --- leases ---


def test_calls_of_killed_workers_open_it(world: World) -> None:
    for _ in range(4):
        world.taken()
    world.wait(89.9)
    assert world.look() is State.CLOSED
    world.wait(0.1)
    assert world.look() is State.OPEN
    assert world.circuit.opened_why == "4 of 4 calls failed"
    assert (world.circuit.stalled, len(world.circuit.leases)) == (4, 0)


def test_a_call_that_makes_progress_does_not_stall(world: World) -> None:
    token = world.taken()
    for _ in range(10):
        world.wait(80)
        assert world.circuit.beat(world.now, 0.0, world.rules, token)
    assert world.done(token, Kind.SUCCESS)
    assert not world.circuit.beat(world.now, 0.0, world.rules, token)
    assert (world.circuit.stalled, world.circuit.success) == (0, 1)


def test_a_report_counts_once_and_not_after_the_call_stalled(world: World) -> None:
    once, late = world.taken(), world.taken()
    assert world.done(once, Kind.FAILURE)
    assert not world.done(once, Kind.FAILURE)
    world.wait(90)
    assert not world.done(late, Kind.SUCCESS)
    assert not world.done("made-up", Kind.SUCCESS)
    assert (world.circuit.failure, world.circuit.stalled, world.circuit.success) == (1, 1, 0)


# --- throttling ---


def test_the_limit_shrinks_once_for_calls_that_were_under_way_together(world: World) -> None:
    tokens = [world.taken() for _ in range(8)]
    assert world.admit()[1].refused == "throttled"
    for token in tokens[:5]:
        world.done(token, Kind.THROTTLED)
    assert world.circuit.limit == 4.0
    assert world.done(tokens[5], Kind.SUCCESS)
    assert world.circuit.limit == 4.0  # it began before and knows nothing of the cut
    for token in tokens[6:]:
        world.done(token, Kind.IGNORED)
    world.calls(Kind.THROTTLED)
    assert world.circuit.limit == 2.0
    world.calls(Kind.THROTTLED, Kind.THROTTLED)
    assert world.circuit.limit == 1.0  # never less
    assert world.circuit.state is State.CLOSED


def test_the_limit_grows_by_about_one_for_each_round(world: World) -> None:
    world.calls(Kind.THROTTLED)
    assert world.circuit.limit == 4.0
    world.calls(*[Kind.SUCCESS] * 4)
    assert world.circuit.limit == pytest.approx(4.9, abs=0.1)
    world.calls(*[Kind.SUCCESS] * 100)
    assert world.circuit.limit == 8.0  # never more


@pytest.mark.parametrize("kind", [Kind.THROTTLED, Kind.FAILURE])
def test_retry_after_is_honoured_up_to_a_cap(world: World, kind: Kind) -> None:
    world.done(world.taken(), kind, retry_after_s=30)
    refused = world.admit()[1]
    assert (refused.refused, refused.wait) == ("throttled", 30 * SECOND)
    world.wait(29.9)
    assert world.admit()[1].refused == "throttled"
    world.wait(0.1)
    world.done(world.taken(), kind, retry_after_s=86_400)
    assert world.admit()[1].wait == 300 * SECOND


def test_no_probe_before_retry_after(world: World) -> None:
    for _ in range(3):
        world.calls(Kind.FAILURE)
    world.done(world.taken(), Kind.FAILURE, retry_after_s=40)
    assert world.circuit.state is State.OPEN
    assert world.admit()[1].wait == 40 * SECOND
    world.wait(39)
    assert world.admit()[1].refused == "open"
    world.wait(1)
    assert world.admit()[1].probe


def test_who_finds_no_place_comes_back_after_about_one_call(world: World) -> None:
    world.calls(Kind.SUCCESS, seconds=8)
    for _ in range(8):
        world.taken()
    waits = []
    for world.chance in (0.0, 0.5, 0.999):
        waits.append(world.admit()[1].wait)
    assert waits == [4 * SECOND, 8 * SECOND, int(8 * SECOND * 1.499)]


def test_those_who_wait_for_a_probe_are_spread_out(world: World) -> None:
    world.fail()
    world.chance = 0.999
    assert 11 * SECOND < world.admit()[1].wait < 12.5 * SECOND


# --- by hand ---


def test_opened_by_hand_it_stays_open_until_a_reset(world: World) -> None:
    world.circuit.open(world.now, 0.0, world.rules, "p1:a", "they leak", 0)
    assert world.circuit.transitions == [Transition(State.CLOSED, State.OPEN, "by hand")]
    world.wait(1e6)
    refused = world.admit()[1]
    assert (refused.refused, refused.held, refused.held_for, refused.wait) == ("open", True, 0, HELD)
    assert (world.circuit.opened_by, world.circuit.opened_why) == ("p1:a", "they leak")
    world.circuit.reset(world.now, 0.0, world.rules, "p1:b", "they mended it")
    assert world.circuit.transitions == [Transition(State.OPEN, State.CLOSED, "reset by hand")]
    assert (world.circuit.reset_by, world.circuit.reset_why, world.circuit.reset_at) == (
        "p1:b",
        "they mended it",
        world.now,
    )
    assert not world.admit()[1].probe


def test_opened_by_hand_for_a_while_it_then_asks_for_probes(world: World) -> None:
    world.circuit.open(world.now, 0.0, world.rules, "p1:a", "upkeep", 600 * SECOND)
    refused = world.admit()[1]
    assert (refused.held_for, refused.wait) == (600 * SECOND, HELD)  # it may be reset before
    world.wait(590)
    assert world.admit()[1].wait == 10 * SECOND
    world.wait(10)
    assert world.admit()[1].probe


def test_a_reset_forgets_what_was_learned_but_not_what_is_in_flight(world: World) -> None:
    token = world.taken()
    world.done(world.taken(), Kind.THROTTLED, retry_after_s=100)
    world.circuit.reset(world.now, 0.0, world.rules, "p1:a", "spoke to them")
    assert (world.circuit.limit, world.circuit.retry_at, world.circuit.level) == (8.0, 0, 0)
    assert token in world.circuit.leases
    assert world.done(token, Kind.FAILURE)
    assert world.circuit.sums().calls == 0


# --- clocks ---


def test_a_clock_that_jumps_back_holds_nobody_up(world: World) -> None:
    world.fail()
    world.now -= 86_400 * SECOND
    assert world.admit()[1].wait == 10 * SECOND
    world.wait(10)
    assert world.admit()[1].probe


# --- rules and names ---


@pytest.mark.parametrize(
    "name", ["model:anthropic:claude-sonnet-4-5", "model:openai:ft:gpt-4o:acme::x1", "model:x:a/b@1", "tool:search"]
)
def test_names_of_circuits(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "model", "model:", "model:x", "model:x:", "tool:", "tool:a b", "Model:x:y", "tool:a\n", "model:é:x"]
)
def test_names_that_are_no_circuits(name: str) -> None:
    with pytest.raises(InvalidRequest, match="is no circuit's name"):
        check_name(name)


def test_rules_are_overridden_from_the_general_to_the_particular() -> None:
    overrides = {
        "model": {"probes": 3, "min_calls": 7},
        "model:anthropic": {"probes": 4},
        "model:anthropic:claude": {"probes": 5},
        "tool:search": {"stall_s": 9.0},
    }
    check_overrides(overrides)
    assert config_of("model:openai:x", overrides) == replace(MODEL_DEFAULTS, probes=3, min_calls=7)
    assert config_of("model:anthropic:x", overrides) == replace(MODEL_DEFAULTS, probes=4, min_calls=7)
    assert config_of("model:anthropic:claude", overrides) == replace(MODEL_DEFAULTS, probes=5, min_calls=7)
    assert config_of("tool:search", overrides) == replace(TOOL_DEFAULTS, stall_s=9.0)
    assert config_of("tool:other", overrides) == TOOL_DEFAULTS


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"model": {"probes": 0}}, "circuits: model: probes: Input should be greater than or equal to 1"),
        ({"model": {"windows": 1}}, "circuits: model: windows"),
        ({"tool:x": {"open_s": 61}}, "circuits: tool:x: rules: Value error, open_cap_s is less than open_s"),
        ({"model": {"limit_max": 2, "limit_min": 3}}, "limit_max is less than limit_min"),
        ({"models": {}}, "is no circuit's, nor the beginning of one"),
        ({"tool:a b": {}}, "is no circuit's, nor the beginning of one"),
    ],
)
def test_wrong_rules_are_named(overrides: dict[str, dict[str, float]], named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_overrides(overrides)
    assert named in caught.value.message


# --- every interleaving ---


@dataclass
class Call:
    """A call as its worker knows it, by the circuit's clock."""

    end: int
    epoch: int
    probe: bool


CHANCE = st.sampled_from([0.0, 0.37, 0.9999])


class Interleaved(RuleBasedStateMachine):
    """Workers that call, beat, end, and are killed, on clocks that jump; with a book of every call beside the circuit.

    The book knows the rules of leases and of the window alone, and recomputes both from single events.
    """

    def __init__(self) -> None:
        super().__init__()
        self.config = Config(
            window_s=12, buckets=4, min_calls=2, slow_s=2, slow_rate=0.75, open_s=2, open_cap_s=10, probes=2,
            closes_after=3, stall_s=9, limit_max=5, retry_cap_s=30,
        )  # fmt: skip
        self.rules = Rules.of(self.config)
        self.wall = START
        self.time = START
        """What the circuit's clock must show."""
        self.circuit = Circuit.new(START)
        self.calls: dict[str, Call] = {}
        self.killed: set[str] = set()
        self.ended: list[str] = []
        self.events: list[tuple[int, bool, bool]] = []
        """Calls of this epoch that count: when, whether they failed, whether they were slow."""
        self.epoch = 0
        self.count = 0
        self.totals = self._totals()

    def _totals(self) -> dict[str, int]:
        return {name: getattr(self.circuit, name) for name in TOTALS}

    def _stall(self) -> None:
        """Before every question: calls whose time is over fail at the moment it was."""
        for token, call in sorted(self.calls.items(), key=lambda item: (item[1].end, item[0])):
            if call.end <= self.time:
                del self.calls[token]
                self.killed.discard(token)
                self.ended.append(token)
                if call.epoch == self.circuit.epoch:
                    self.events.append((call.end, True, False))

    def _after(self) -> None:
        if self.circuit.epoch != self.epoch:
            self.epoch, self.events = self.circuit.epoch, []

    def _alive(self) -> list[str]:
        return [token for token in self.calls if token not in self.killed]

    # --- what happens ---

    @rule(chance=CHANCE)
    def admit(self, chance: float) -> None:
        self._stall()
        self.count += 1
        token = f"t{self.count:06}"
        probing = sum(call.probe for call in self.calls.values())
        answer = self.circuit.admit(self.wall, chance, self.rules, token)
        self._after()
        if answer.refused == "":
            assert self.circuit.state is not State.OPEN
            assert answer.probe == (self.circuit.state is State.HALF_OPEN)
            assert self.time >= self.circuit.retry_at
            assert not answer.probe or probing < self.rules.probes
            self.calls[token] = Call(self.time + self.rules.stall, self.circuit.epoch, answer.probe)
        else:
            assert answer.wait > 0

    @precondition(lambda self: self._alive())
    @rule(data=st.data(), kind=st.sampled_from(Kind), taken=st.sampled_from([1, 3]), retry=st.sampled_from([0, 0, 7]))
    def done(self, data: st.DataObject, kind: Kind, taken: int, retry: int) -> None:
        self._end(data.draw(st.sampled_from(self._alive())), kind, taken, retry)

    def _end(self, token: str, kind: Kind, taken: int, retry: int) -> None:
        self._stall()
        epoch = self.circuit.epoch
        counted = self.circuit.done(self.wall, 0.5, self.rules, token, kind, taken * SECOND, retry * SECOND)
        call = self.calls.pop(token, None)
        assert counted == (call is not None)
        if call is not None:
            self.ended.append(token)
            if call.epoch == epoch and kind in {Kind.SUCCESS, Kind.FAILURE}:
                self.events.append((self.time, kind is Kind.FAILURE, kind is Kind.SUCCESS and taken > 2))
        self._after()

    @precondition(lambda self: self.circuit.state is State.OPEN and self.circuit.until > self.time)
    @rule(chance=CHANCE)
    def wait_for_a_probe(self, chance: float) -> None:
        self.pass_time((max(self.circuit.until, self.circuit.retry_at) - self.time) / SECOND)
        self.admit(chance)

    @precondition(lambda self: self.circuit.state is State.OPEN and self.circuit.until > self.time)
    @rule(chance=CHANCE)
    def relapse(self, chance: float) -> None:
        self.wait_for_a_probe(chance)
        self.admit(chance)
        if self._alive():
            self.the_last_call_ends(Kind.FAILURE)

    @precondition(lambda self: self._alive())
    @rule(kind=st.sampled_from([Kind.FAILURE, Kind.FAILURE, Kind.SUCCESS]))
    def the_last_call_ends(self, kind: Kind) -> None:
        self._end(self._alive()[-1], kind, 1, 0)

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def beat(self, data: st.DataObject) -> None:
        token = data.draw(st.sampled_from(self._alive()))
        self._stall()
        assert self.circuit.beat(self.wall, 0.5, self.rules, token) == (token in self.calls)
        if token in self.calls:
            self.calls[token].end = self.time + self.rules.stall
        self._after()

    @precondition(lambda self: self._alive())
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        self.killed.add(data.draw(st.sampled_from(self._alive())))

    @precondition(lambda self: self.ended)
    @rule(data=st.data(), kind=st.sampled_from(Kind))
    def report_again(self, data: st.DataObject, kind: Kind) -> None:
        self._stall()
        token = data.draw(st.sampled_from(self.ended))
        assert not self.circuit.done(self.wall, 0.5, self.rules, token, kind, SECOND, 9 * SECOND)
        self._after()

    @rule(seconds=st.sampled_from([0.5, 1, 3, 4, 9, 12]))
    def pass_time(self, seconds: float) -> None:
        self.wall += round(seconds * SECOND)
        self.time += round(seconds * SECOND)

    @rule(seconds=st.sampled_from([40, 3600]))
    def jump_forwards(self, seconds: int) -> None:
        self.pass_time(seconds)

    @rule(seconds=st.sampled_from([1, 15, 86_400]))
    def jump_backwards(self, seconds: int) -> None:
        """Noticed at the next question; what passed before it did not pass for the circuit."""
        self._look()
        self.wall -= seconds * SECOND
        self._look()

    @rule(duration=st.sampled_from([0, 5, 50]))
    def open_by_hand(self, duration: int) -> None:
        self._stall()
        self.circuit.open(self.wall, 0.5, self.rules, "p1:a", "a reason", duration * SECOND)
        self._after()
        assert self.circuit.state is State.OPEN

    @rule()
    def reset_by_hand(self) -> None:
        self._stall()
        self.circuit.reset(self.wall, 0.5, self.rules, "p1:a", "a reason")
        self._after()
        assert self.circuit.state is State.CLOSED

    @rule()
    def look(self) -> None:
        self._look()

    def _look(self) -> None:
        self._stall()
        assert self.circuit.look(self.wall, 0.5, self.rules) == self.time
        self._after()

    # --- what must hold ---

    @invariant()
    def never_too_many_probes(self) -> None:
        assert sum(lease.probe for lease in self.circuit.leases.values()) <= self.rules.probes
        assert sum(call.probe and call.end > self.time for call in self.calls.values()) <= self.rules.probes

    @invariant()
    def the_leases_are_the_calls(self) -> None:
        kept = {token: (lease.end, lease.epoch, lease.probe) for token, lease in self.circuit.leases.items()}
        assert kept == {token: (call.end, call.epoch, call.probe) for token, call in self.calls.items()}

    @invariant()
    def never_closed_while_the_window_says_otherwise(self) -> None:
        if self.circuit.state is not State.CLOSED:
            return
        # As of the last question: nobody can know of what went on since.
        oldest = self.circuit.seen // self.rules.bucket - self.rules.buckets
        events = [event for event in self.events if event[0] // self.rules.bucket > oldest]
        failures, slow = sum(failed for _, failed, _ in events), sum(slow for _, _, slow in events)
        sums = self.circuit.sums()
        assert (sums.calls, sums.failures, sums.slow) == (len(events), failures, slow)
        if len(events) >= self.config.min_calls:
            assert failures < self.config.failure_rate * len(events)
            assert slow < self.config.slow_rate * len(events)

    @invariant()
    def never_stuck(self) -> None:
        """However it stands: after a stall, the longest open time and the longest pause, somebody gets through."""
        later = deepcopy(self.circuit)
        bound = self.rules.stall + self.rules.open_cap + self.rules.retry_cap
        at = self.time - later.offset + bound
        if later.held:
            assert later.admit(at, 0.9, self.rules, "later").refused in {"", "open"}
            if later.until == 0:
                later.reset(at, 0.9, self.rules, "p1:a", "over")
            else:
                at = max(at, later.until - later.offset)
        assert later.admit(at, 0.9, self.rules, "later still").refused == ""

    @invariant()
    def counters_only_grow(self) -> None:
        now = self._totals()
        assert all(now[name] >= before for name, before in self.totals.items())
        ended = sum(now[name] for name in RESULTS)
        assert now["admitted"] == ended + len(self.circuit.leases)
        self.totals = now

    @invariant()
    def limits_hold(self) -> None:
        assert self.rules.limit_min <= (self.circuit.limit or self.rules.limit_max) <= self.rules.limit_max
        assert self.circuit.until <= self.circuit.seen + max(self.rules.open_cap, 50 * SECOND)


Interleaved.TestCase.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestInterleaved = Interleaved.TestCase
