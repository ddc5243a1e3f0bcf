"""One circuit as plain Python: the reference that `circuit.lua` is tested against, and the breaker without Redis.

Time is an argument, in whole microseconds, and so is chance, in [0, 1), so that both compute the same numbers. Field
for field and name for name this is `circuit.lua`.

The circuit keeps a clock of its own, which never goes back: where the machine's jumps back it goes on from where it
was. Every call that was let through is a lease; one that ran out counts as a failure at the moment it did, whenever
that is noticed, so a worker that was killed or hangs needs to say nothing.
"""

from dataclasses import dataclass, field

from countersign.breaker.config import SECOND, Rules
from countersign.breaker.words import BREAKER, Kind, State, Transition

MAX_LEVEL = 30
"""Open times double no further; far beyond every cap."""
PACE_MEMORY = 1 / 8
"""Weight of the last success in the mean length of a call."""
LONGEST_TURN = 30 * SECOND
SHORTEST_TURN = SECOND
"""Within these a caller that found all places taken is told to ask again after about one mean call."""
RESET = "reset by hand"
HELD = 60 * SECOND
"""A circuit held open by hand may be reset at any time, so it is worth asking again after this."""


@dataclass(frozen=True)
class Lease:
    """One call in flight: when it counts as stalled, and what held when it was let through."""

    end: int
    epoch: int
    cuts: int
    probe: bool


@dataclass(frozen=True)
class Admission:
    """The answer to who wants to call: let through (`refused` ""), as a probe or not; or `open` or `throttled`.

    `wait` is when to ask again, in microseconds; `held`: opened by hand; `held_for` then, how much longer (0: no end).
    """

    refused: str = ""
    probe: bool = False
    wait: int = 0
    held: bool = False
    held_for: int = 0


@dataclass
class Bucket:
    """What happened in one part of the window."""

    calls: int = 0
    failures: int = 0
    slow: int = 0


@dataclass
class Circuit:
    """All that is known of one circuit. Times are those of its own clock.

    Attributes:
        offset, seen: what its clock is ahead of the machine's, and when it last looked.
        state, since, epoch: in which state it is, since when, and how often that changed; a call that was let through
            in another epoch says nothing about this one.
        until, held: of an open one, when a probe may be had (0: not before a reset), and whether a person opened it.
        level: openings in a row, which double the open time.
        wins, slows: probes that succeeded since it is half-open, in time and slowly.
        limit, cuts: calls that may be in flight, and how often throttling lowered that: a call that began before the
            last cut neither lowers nor raises it, since it knows nothing of it. A `limit` of 0 was never set.
        retry_at: the provider wants no call before.
        mean: length of a successful call, 0 while unknown.
    """

    since: int
    seen: int
    offset: int = 0
    state: State = State.CLOSED
    epoch: int = 0
    until: int = 0
    held: bool = False
    level: int = 0
    wins: int = 0
    slows: int = 0
    limit: float = 0.0
    cuts: int = 0
    retry_at: int = 0
    mean: float = 0.0
    opened_at: int = 0
    opened_by: str = ""
    opened_why: str = ""
    reset_at: int = 0
    reset_by: str = ""
    reset_why: str = ""

    # Ever; they only grow.
    admitted: int = 0
    refused: int = 0
    success: int = 0
    failure: int = 0
    ignored: int = 0
    throttled: int = 0
    stalled: int = 0
    to_closed: int = 0
    to_open: int = 0
    to_half_open: int = 0

    window: dict[int, Bucket] = field(default_factory=dict)
    leases: dict[str, Lease] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    """Those of the last question."""

    @classmethod
    def new(cls, wall: int) -> "Circuit":
        return cls(since=wall, seen=wall)

    # --- the questions ---

    def admit(self, wall: int, chance: float, rules: Rules, token: str) -> Admission:
        """Let a call through under `token`, or say why not and when to ask again."""
        now = self._look(wall, chance, rules)
        if self.state is State.OPEN and (self.until > 0 or not self.held) and now >= max(self.until, self.retry_at):
            self._turn(now, State.HALF_OPEN, "its open time is over")
        if self.state is State.OPEN:
            return self._refuse_open(now, chance, rules)
        if now < self.retry_at:
            return self._refuse("throttled", _spread(self.retry_at - now, chance))
        if self.state is State.HALF_OPEN:
            ends = [lease.end for lease in self.leases.values() if lease.probe]
            if len(ends) >= rules.probes:
                return self._refuse("open", _spread(min(min(ends) - now, rules.open), chance))
        elif len(self.leases) >= int(self.limit):
            turn = max(SHORTEST_TURN, min(self.mean, LONGEST_TURN))
            return self._refuse("throttled", int(turn * (0.5 + chance)))
        probe = self.state is State.HALF_OPEN
        self.leases[token] = Lease(now + rules.stall, self.epoch, self.cuts, probe)
        self.admitted += 1
        return Admission(probe=probe)

    def beat(self, wall: int, chance: float, rules: Rules, token: str) -> bool:
        """The call goes on: a full lease again. False when it has ended or stalled already."""
        now = self._look(wall, chance, rules)
        lease = self.leases.get(token)
        if lease is None:
            return False
        self.leases[token] = Lease(now + rules.stall, lease.epoch, lease.cuts, lease.probe)
        return True

    def done(  # noqa: PLR0913, PLR0917 - a result, and what it is judged by
        self, wall: int, chance: float, rules: Rules, token: str, kind: Kind, taken: int, retry_after: int
    ) -> bool:
        """The call has ended after `taken`. False, and nothing changes, when it has ended or stalled already."""
        now = self._look(wall, chance, rules)
        lease = self.leases.pop(token, None)
        if lease is None:
            return False
        match kind:
            case Kind.SUCCESS:
                self.success += 1
                self.mean = self.mean + (taken - self.mean) * PACE_MEMORY if self.mean > 0 else float(taken)
                if self.state is State.CLOSED and lease.cuts == self.cuts:
                    self.limit = min(rules.limit_max, self.limit + rules.grow / self.limit)
                self._succeeded(now, lease, chance, rules, slow=taken > rules.slow)
            case Kind.FAILURE:
                self.failure += 1
                self._failed(now, lease, chance, rules, "a probe failed")
            case Kind.IGNORED:
                self.ignored += 1
            case Kind.THROTTLED:
                self.throttled += 1
                if lease.cuts == self.cuts:
                    self.limit = max(rules.limit_min, self.limit * rules.shrink)
                    self.cuts += 1
        if kind in {Kind.FAILURE, Kind.THROTTLED} and retry_after > 0:
            self.retry_at = max(self.retry_at, now + min(retry_after, rules.retry_cap))
        return True

    def open(  # noqa: PLR0913, PLR0917 - what a person says, and the time
        self, wall: int, chance: float, rules: Rules, by: str, why: str, duration: int
    ) -> None:
        """By hand: no call goes through for `duration` (0: until a reset), then probes as ever."""
        now = self._look(wall, chance, rules)
        self._turn(now, State.OPEN, "by hand")
        self.until = now + duration if duration > 0 else 0
        self.held = True
        self.opened_at, self.opened_by, self.opened_why = now, by, why

    def reset(self, wall: int, chance: float, rules: Rules, by: str, why: str) -> None:
        """By hand: closed, and nothing of what was learned holds. Calls in flight stay in flight."""
        now = self._look(wall, chance, rules)
        self._turn(now, State.CLOSED, RESET)
        self.level = self.retry_at = 0
        self.mean = 0.0
        self.limit = rules.limit_max
        self.cuts += 1
        self.reset_at, self.reset_by, self.reset_why = now, by, why

    def look(self, wall: int, chance: float, rules: Rules) -> int:
        """Count what stalled and let old calls go; returns the time of the circuit's clock."""
        return self._look(wall, chance, rules)

    # --- parts ---

    def _look(self, wall: int, chance: float, rules: Rules) -> int:
        self.transitions = []
        now = wall + self.offset
        if now < self.seen:
            self.offset += self.seen - now
            now = self.seen
        self.limit = min(rules.limit_max, max(rules.limit_min, self.limit or rules.limit_max))
        ended = sorted((lease.end, token) for token, lease in self.leases.items() if lease.end <= now)
        for end, token in ended:
            self.stalled += 1
            self._failed(end, self.leases.pop(token), chance, rules, "a probe stalled")
        self.seen = now
        # What went out of the window may have been what held the rate down.
        self._judge(now, chance, rules)
        return now

    def _succeeded(self, at: int, lease: Lease, chance: float, rules: Rules, *, slow: bool) -> None:
        if lease.epoch != self.epoch:
            return
        if self.state is State.CLOSED:
            bucket = self.window.setdefault(at // rules.bucket, Bucket())
            bucket.calls += 1
            bucket.slow += slow
            self._judge(at, chance, rules)
            return
        self.wins += not slow
        self.slows += slow
        tried = self.wins + self.slows
        if tried >= rules.closes_after:
            if self.slows >= rules.slow_rate * tried:
                self._trip(at, chance, rules, f"{self.slows} of {tried} probes were slow")
            else:
                self._turn(at, State.CLOSED, f"{tried} probes succeeded")

    def _failed(self, at: int, lease: Lease, chance: float, rules: Rules, why: str) -> None:
        if lease.epoch != self.epoch:
            return
        if self.state is State.CLOSED:
            bucket = self.window.setdefault(at // rules.bucket, Bucket())
            bucket.calls += 1
            bucket.failures += 1
            self._judge(at, chance, rules)
        else:
            self._trip(at, chance, rules, why)

    def _judge(self, at: int, chance: float, rules: Rules) -> None:
        oldest = at // rules.bucket - rules.buckets
        self.window = {number: bucket for number, bucket in self.window.items() if number > oldest}
        sums = self.sums()
        if self.state is not State.CLOSED or sums.calls < rules.min_calls:
            return
        if sums.failures >= rules.failure_rate * sums.calls:
            self._trip(at, chance, rules, f"{sums.failures} of {sums.calls} calls failed")
        elif sums.slow >= rules.slow_rate * sums.calls:
            self._trip(at, chance, rules, f"{sums.slow} of {sums.calls} calls were slow")

    def sums(self) -> Bucket:
        """The whole window."""
        return Bucket(
            calls=sum(bucket.calls for bucket in self.window.values()),
            failures=sum(bucket.failures for bucket in self.window.values()),
            slow=sum(bucket.slow for bucket in self.window.values()),
        )

    def _trip(self, at: int, chance: float, rules: Rules, why: str) -> None:
        if self.state is State.CLOSED and at >= self.since + rules.window:
            self.level = 0
        self.level = min(self.level + 1, MAX_LEVEL)
        self._turn(at, State.OPEN, why)
        whole = min(rules.open * 2 ** (self.level - 1), rules.open_cap)
        self.until = at + max(1, int(whole * (1 - rules.jitter * chance)))
        self.opened_at, self.opened_by, self.opened_why = at, BREAKER, why

    def _turn(self, at: int, after: State, why: str) -> None:
        self.transitions.append(Transition(self.state, after, why))
        if after is not self.state:
            self.since = at
            self.to_closed += after is State.CLOSED
            self.to_open += after is State.OPEN
            self.to_half_open += after is State.HALF_OPEN
        self.state = after
        self.epoch += 1
        self.until = 0
        self.held = False
        self.wins = self.slows = 0
        self.window = {}

    def _refuse_open(self, now: int, chance: float, rules: Rules) -> Admission:
        if not self.held:
            return self._refuse("open", _spread(max(self.until, self.retry_at) - now, chance))
        wait = HELD if self.until == 0 else min(HELD, max(self.until, self.retry_at) - now)
        held_for = 0 if self.until == 0 else max(1, self.until - now)
        self.refused += 1
        return Admission(refused="open", wait=_spread(wait, chance), held=True, held_for=held_for)

    def _refuse(self, refused: str, wait: int) -> Admission:
        self.refused += 1
        return Admission(refused=refused, wait=wait)


def _spread(wait: int, chance: float) -> int:
    """A little longer by chance, so that those who wait do not all come back at once."""
    return wait + int((SECOND + wait // 10) * chance)
