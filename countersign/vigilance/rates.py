"""How many probes each reviewer noticed, with an interval that a handful of probes deserves."""

from math import sqrt
from statistics import NormalDist

from pydantic import BaseModel, ConfigDict

from countersign.store.database import Database

EVENT = "probed"
"""The row of the trail that says what became of a probe; written with the decision, never before."""

# `->>` of a fact that is not there is null: a question, which tells nothing about the probe, counts as neither.
_RATES = """
SELECT tenant, actor_hash AS reviewer, count(*) AS probes, count(*) FILTER (WHERE facts->>'caught' = 'true') AS caught
FROM audit_trails
WHERE event = $1 AND facts->>'caught' IN ('true', 'false') AND ($2::text IS NULL OR tenant = $2)
GROUP BY tenant, actor_hash ORDER BY tenant, probes DESC, actor_hash
"""


class CatchRate(BaseModel):
    """Of `probes` shown to a reviewer (a pseudonym) `caught` were noticed; a 95 % Wilson interval of the rate."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    reviewer: str
    probes: int
    caught: int
    rate: float
    low: float
    high: float


def interval(caught: int, probes: int) -> tuple[float, float]:
    """The 95 % Wilson score interval (Wilson 1927) of a share, in [0, 1]; (0, 1) when nothing was counted."""
    if probes == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.975)
    share, spread = caught / probes, z * z / (4 * probes * probes)
    centre = share + z * z / (2 * probes)
    width = z * sqrt(share * (1 - share) / probes + spread)
    scale = 1 + z * z / probes
    low, high = (centre - width) / scale, (centre + width) / scale
    return (0.0 if caught == 0 else low), (1.0 if caught == probes else high)


async def catch_rates(db: Database, tenant: str | None = None) -> tuple[CatchRate, ...]:
    """Every reviewer's catch rate, from the trail."""
    rates = []
    for row in await db.fetch(_RATES, EVENT, tenant):
        low, high = interval(row["caught"], row["probes"])
        rates.append(CatchRate(**dict(row), rate=row["caught"] / row["probes"], low=low, high=high))
    return tuple(rates)
