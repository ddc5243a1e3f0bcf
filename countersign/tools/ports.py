"""What the guard asks of the world: counters, a record, circuits."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

Permit = TypeVar("Permit")
Gone = Literal["success", "failure", "ignored"]
"""How a call that a circuit let through has gone; `ignored` when it was not the tool's doing."""


class Circuits(Protocol[Permit]):
    """The circuit breaker, as the guard needs it."""

    async def admit(self, name: str) -> Permit:
        """A permit for one call. Raises `CircuitRefusal` when the circuit is open, or too much is under way."""

    async def done(self, permit: Permit, gone: Gone, seconds: float) -> None:
        """Tell how the call has gone."""


class CircuitRefusal(Exception):
    """A circuit lets no call through; `retry_after_s` says when it is worth asking again."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("circuit")
        self.retry_after_s = retry_after_s


class Counts(Protocol):
    """Counters that all workers share."""

    async def review(self, workflow_id: str, limit: int) -> bool:
        """Count one call of a review; False when it has had `limit` already."""

    async def rate(self, tenant: str, tool: str, limit: int) -> bool:
        """Count one call of a tool by a tenant in this minute; False when there were `limit` already."""


@dataclass(frozen=True)
class CallRow:
    """One call as it is written down: never its arguments or its result."""

    tool: str
    tool_call_id: str
    args_digest: str
    verdict: str
    """"ran", "proposed", or the rule that refused it."""
    ms: int
    result_chars: int = 0


class CallRecord(Protocol):
    """Where rows go, append-only."""

    async def write(self, run: str, row: CallRow) -> None: ...

    def digest(self, tool: str, args: object) -> str:
        """A keyed digest: arguments can be names, and a plain digest of a name can be guessed."""


@dataclass(frozen=True)
class GuardServices:
    """What the guard asks of the world."""

    counts: Counts
    record: CallRecord
    circuits: Circuits[Any] | None = None  # Any: a permit is the circuits' own
