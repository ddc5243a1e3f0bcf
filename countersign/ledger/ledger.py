"""The ledger: what every agent call took and cost, in integer micro-dollars. Append-only, like the trail."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from countersign.review.payloads import AgentMetrics, ReviewKey, Usage
from countersign.store.database import Database

_RECORD = """
INSERT INTO ledger (workflow_id, call_id, tenant, review_id, agent, model, requests, input_tokens, output_tokens,
                    cache_read_tokens, cost_microusd, priced, execution_time_ms, success, unseen_requests)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
ON CONFLICT (workflow_id, call_id) DO NOTHING
"""

_SETTLE = """
SELECT coalesce(sum(requests), 0)::bigint AS requests, coalesce(sum(input_tokens), 0)::bigint AS input_tokens,
       coalesce(sum(output_tokens), 0)::bigint AS output_tokens,
       coalesce(sum(cost_microusd), 0)::bigint AS cost_microusd,
       count(*) FILTER (WHERE NOT priced) AS unpriced_calls
FROM ledger WHERE workflow_id = $1
"""

_COSTS = """
SELECT tenant, agent, model, count(*) AS calls, count(*) FILTER (WHERE NOT success) AS failed_calls,
       sum(requests)::bigint AS requests, sum(input_tokens)::bigint AS input_tokens,
       sum(output_tokens)::bigint AS output_tokens, sum(cache_read_tokens)::bigint AS cache_read_tokens,
       sum(cost_microusd)::bigint AS cost_microusd, count(*) FILTER (WHERE NOT priced) AS unpriced_calls,
       sum(unseen_requests)::bigint AS unseen_requests
FROM ledger
WHERE ($1::text IS NULL OR tenant = $1) AND ($2::timestamptz IS NULL OR recorded_at >= $2)
GROUP BY tenant, agent, model
ORDER BY tenant, cost_microusd DESC, agent, model
"""


class CostRow(BaseModel):
    """What one agent with one model cost one tenant. `unpriced_calls` count as 0 micro-dollars, and so do
    `unseen_requests`: sent, never seen answered, and perhaps billed."""

    model_config = ConfigDict(frozen=True)

    tenant: str
    agent: str
    model: str
    calls: int
    failed_calls: int
    requests: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_microusd: int
    unpriced_calls: int
    unseen_requests: int = 0


class Ledger:
    """Table `ledger`, one row per agent call."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(self, key: ReviewKey, metrics: AgentMetrics) -> None:
        """Enter one call. A call id already entered for the workflow stays as it is: a retried write counts once."""
        await self._db.execute(
            _RECORD,
            key.workflow_id,
            metrics.call_id,
            key.tenant,
            key.review_id,
            metrics.agent,
            metrics.model,
            metrics.requests,
            metrics.input_tokens,
            metrics.output_tokens,
            metrics.cache_read_tokens,
            metrics.cost_microusd,
            metrics.priced,
            metrics.execution_time_ms,
            metrics.success,
            metrics.unseen_requests,
        )

    async def settle(self, key: ReviewKey) -> Usage:
        """Tokens and money of all calls of the review; zeros when there were none."""
        row = await self._db.fetchrow(_SETTLE, key.workflow_id)
        return Usage.model_validate(dict(row or {}))

    async def costs(self, *, tenant: str | None = None, since: datetime | None = None) -> tuple[CostRow, ...]:
        """Sums by tenant, agent and model, dearest first within a tenant; `since` is when a call was entered."""
        return tuple(CostRow.model_validate(dict(row)) for row in await self._db.fetch(_COSTS, tenant, since))
