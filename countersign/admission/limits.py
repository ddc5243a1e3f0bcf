"""What may come in: limits as data, with defaults, per tenant and per user."""

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """The limits in force for one user of one tenant, or (with `everyone`) for the whole house.

    `None` nowhere: a limit always holds. Rates are by GCRA: the whole allowance may be used at once, and comes back
    evenly over the hour.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    user_per_hour: int = Field(default=100, ge=1, le=1_000_000)
    """Reviews one user may submit an hour."""
    tenant_per_hour: int = Field(default=2_000, ge=1, le=10_000_000)
    abuse_strikes: int = Field(default=20, ge=1, le=100_000)
    """Strikes within an hour that begin a cooldown. A refusal for rate is one strike, a blocked review several."""
    blocked_strikes: int = Field(default=5, ge=0, le=100_000)
    """Strikes that a review blocked by the sentinel counts for."""
    cooldown_s: float = Field(default=3600, gt=0, le=604_800)
    """Length of the first cooldown; each further one is twice as long, up to `cooldown_cap_s`."""
    cooldown_cap_s: float = Field(default=86_400, gt=0, le=2_592_000)
    """Longest cooldown. After as long without a new one the doubling begins anew."""
    in_flight: int = Field(default=12, ge=1, le=100_000)
    """Reviews of one tenant that the machine works on at once."""
    attention: int = Field(default=200, ge=0, le=1_000_000)
    """Reviews of one tenant that may wait for its people; beyond, work that would need a person waits at the door."""
    weight: float = Field(default=1.0, ge=0.01, le=100)
    """The tenant's share against the others', here and as Temporal's fairness weight."""

    # Of the whole house: only the scope of everyone may set these.
    in_flight_all: int = Field(default=16, ge=1, le=100_000)
    room: int = Field(default=1_000, ge=1, le=1_000_000)
    """Reviews that may wait for their turn, of all tenants together."""
    local_fraction: float = Field(default=0.2, gt=0, le=1)
    """Share of every limit that each process grants by itself while Redis is away."""


OF_THE_HOUSE = frozenset({"in_flight_all", "room", "local_fraction"})
"""Fields that only the scope of everyone may set."""
OF_THE_TENANT = frozenset({"tenant_per_hour", "in_flight", "attention", "weight"})
"""Fields that a user's scope may not set."""
