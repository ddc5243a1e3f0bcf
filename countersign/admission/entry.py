"""What is asked at the door, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

BATCH = "batch"
"""The account of a tenant's batches. No pseudonym of a user looks like this."""


class Place(StrEnum):
    """Where a review stands that was let in."""

    FLIGHT = "flight"
    """It holds a lease and may begin."""
    ROOM = "room"
    """It waits for its turn."""


class Refused(StrEnum):
    """Why the door stays shut for now."""

    USER_RATE = "user_rate"
    TENANT_RATE = "tenant_rate"
    COOLDOWN = "cooldown"
    ROOM = "room"
    """The waiting room is full, or the tenant has its share of what is left of it."""


@dataclass(frozen=True)
class Ask:
    """One review that wants in. `running`: its workflow runs already (a raw start), so it may take a lease at once.

    `batch`: it is one of a batch, which has an allowance of its own and asks again by itself: a refusal is no strike.
    Asking again for the same tenant and review id changes nothing and is answered as the first time.
    """

    tenant: str
    user_hash: str
    review_id: str
    running: bool = False
    batch: bool = False

    @property
    def user_account(self) -> str:
        """Whose allowance it is charged to."""
        return f"{self.tenant}/{BATCH if self.batch else self.user_hash}"

    @property
    def tenant_account(self) -> str:
        """The same for the tenant."""
        return f"{self.tenant}/{BATCH}" if self.batch else self.tenant


@dataclass(frozen=True)
class Entry:
    """The door's answer. Times are in seconds.

    Attributes:
        place: where the review stands, or None when it was refused.
        refused: why, or None.
        existing: this very review was let in before; nothing was charged.
        ahead: reviews that will be dispatched before it.
        estimate_s: until its turn (of one that was let in), or until a place may be free (room).
        retry_after_s: when it is worth asking again; 0 for one that was let in.
        limit, remaining, reset_s: of the user's hourly allowance, for RateLimit headers.
        degraded: answered by this process alone, because Redis is away.
    """

    place: Place | None
    refused: Refused | None = None
    existing: bool = False
    ahead: int = 0
    estimate_s: float = 0.0
    retry_after_s: float = 0.0
    limit: int = 0
    remaining: int = 0
    reset_s: float = 0.0
    degraded: bool = False

    @property
    def admitted(self) -> bool:
        """Whether the review was let in."""
        return self.place is not None


@dataclass(frozen=True)
class DoorStanding:
    """How full it is.

    Attributes:
        in_flight: reviews the machine works on, by tenant; a tenant with none is missing.
        waiting: reviews in the waiting room, by tenant, as admission counts them.
        batches: of those, the ones of batches, which go after all others.
        rate: reviews that get their turn each second while somebody waits, as learned so far.
        degraded: what this process alone has granted, because Redis is away.
    """

    in_flight: Mapping[str, int]
    waiting: Mapping[str, int]
    rate: float
    degraded: bool = False
    batches: Mapping[str, int] = field(default_factory=dict)

    def before(self, *, batch: bool) -> Mapping[str, int]:
        """Reviews by tenant among which one has its turn: a batch's among all, another among those of no batch."""
        return self.waiting if batch else but_for(self.waiting, self.batches)


def but_for(waiting: Mapping[str, int], batches: Mapping[str, int]) -> dict[str, int]:
    """Reviews that somebody waits for, by tenant; a tenant with none is missing."""
    left = {tenant: count - batches.get(tenant, 0) for tenant, count in waiting.items()}
    return {tenant: count for tenant, count in left.items() if count > 0}
