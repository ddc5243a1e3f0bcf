"""What is said to circuits and what they say: permits, results, transitions, and where one stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import inf

BREAKER = "breaker"
"""Who opened a circuit that opened by itself."""


class State(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"
    """A few calls go through as probes."""


class Kind(StrEnum):
    """How a call ended, as far as the circuit is concerned."""

    SUCCESS = "success"
    FAILURE = "failure"
    """The provider did not do its part: connection, time-out, 5xx, nonsense."""
    IGNORED = "ignored"
    """The provider did its part and the caller is wrong (400, 401, a business error): counts for nothing."""
    THROTTLED = "throttled"
    """429: too many calls, which is not a failure; the circuit lets fewer through at once."""


@dataclass(frozen=True)
class Permit:
    """Leave to make one call, until it is `done` or for too long says nothing.

    Attributes:
        name: the circuit.
        token: which call; means nothing to anybody else.
        probe: whether the circuit is half-open and this call tells whether it closes.
        began: when it was given, on the monotonic clock, in seconds.
    """

    name: str
    token: str
    probe: bool
    began: float


@dataclass(frozen=True)
class Result:
    """How a call ended.

    Attributes:
        kind: see `Kind`.
        seconds: how long it took.
        retry_after_s: what the provider asked for (429, 503), or None. No call is let through before, within a cap.
    """

    kind: Kind
    seconds: float
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Transition:
    """One change of state, in the one process whose question brought it about.

    `why` is made of fixed words and numbers alone: what a person gave as reason stays with the circuit.
    """

    before: State
    after: State
    why: str


@dataclass(frozen=True)
class Standing:
    """Where one circuit stands.

    Attributes:
        name, state, since: the circuit, its state, and since when it is in it.
        calls, failures, slow: in the window; failures include calls that stalled.
        limit: calls that may be in flight at once. Throttling lowers it, successes raise it again.
        in_flight: calls that were let through and have neither ended nor stalled.
        probes, probe_quota: probes among them, and how many there may be.
        probe_in_s: of an open circuit, seconds until a probe may be had; None: not before a reset, or it is not open.
        paused_s: seconds for which the provider's Retry-After still holds all calls back.
        by_hand: whether a person opened it, and it is still open for that.
        opened_at, opened_by, opened_why: its last opening: when, by whom (`breaker`, or a pseudonym), why; "" if never.
        reset_at, reset_by, reset_why: its last reset by hand.
        openings: times in a row that it opened, each longer than the one before.
        transitions: changes into each state, ever.
        results: calls by how they ended (`Kind`, or `stalled`), ever; and `admitted` and `refused`.
        degraded: as this process alone sees it, because Redis is away.
    """

    name: str
    state: State
    since: datetime
    calls: int
    failures: int
    slow: int
    limit: int
    in_flight: int
    probes: int
    probe_quota: int
    probe_in_s: float | None
    paused_s: float
    by_hand: bool
    opened_at: datetime | None
    opened_by: str
    opened_why: str
    reset_at: datetime | None
    reset_by: str
    reset_why: str
    openings: int
    transitions: Mapping[State, int]
    results: Mapping[str, int]
    degraded: bool = False

    @property
    def wait_s(self) -> float:
        """Seconds for which no call is let through, as far as that can be told without asking; `inf`: until a reset."""
        if self.state is State.OPEN:
            return inf if self.probe_in_s is None else self.probe_in_s
        return self.paused_s
