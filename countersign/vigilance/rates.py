"""How many probes each reviewer noticed, with an interval that a handful of probes deserves."""

from pydantic import BaseModel, ConfigDict

from countersign.evidence.intervals import wilson
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


async def catch_rates(db: Database, tenant: str | None = None) -> tuple[CatchRate, ...]:
    """Every reviewer's catch rate, from the trail."""
    rates = []
    for row in await db.fetch(_RATES, EVENT, tenant):
        low, high = wilson(row["caught"], row["probes"])
        rates.append(CatchRate(**dict(row), rate=row["caught"] / row["probes"], low=low, high=high))
    return tuple(rates)
