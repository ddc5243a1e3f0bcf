"""What agents did with tools: one row a call, and the counters that budgets and rates stand on."""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from countersign.review.payloads import ReviewKey
from countersign.store.database import Database
from countersign.tools.digests import canonical
from countersign.tools.ports import CallRow
from countersign.trail.pseudonym import Pseudonyms

# One statement counts and refuses at once, so workers that ask at the same time never grant more than the limit.
_COUNT = """
INSERT INTO tool_counts AS c (scope, window_start, used) SELECT $1, $2, 1 WHERE $3::int > 0
ON CONFLICT (scope, window_start) DO UPDATE SET used = c.used + 1 WHERE c.used < $3 RETURNING used
"""

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""The one window of what is counted without end."""


class ToolCall(BaseModel):
    """One call, as it was written down."""

    model_config = ConfigDict(frozen=True)

    run: str
    tool: str
    args_digest: str
    verdict: str
    ms: int
    result_chars: int
    called_at: datetime


class ToolCounts:
    """Table `tool_counts`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def review(self, workflow_id: str, limit: int) -> bool:
        """Count one call of a review; False when it has had `limit` already."""
        return await self._db.fetchrow(_COUNT, f"review/{workflow_id}", _EVER, limit) is not None

    async def rate(self, tenant: str, tool: str, limit: int) -> bool:
        """Count one call of a tool by a tenant in this minute; False when there were `limit` already."""
        scope = f"rate/{tenant}/{tool}"
        minute = datetime.now(UTC).replace(second=0, microsecond=0)
        row = await self._db.fetchrow(_COUNT, scope, minute, limit)
        if row is not None and row["used"] == 1:
            await self._db.execute("DELETE FROM tool_counts WHERE scope = $1 AND window_start < $2", scope, minute)
        return row is not None


class ToolCalls:
    """Table `tool_calls`, for one review."""

    def __init__(self, db: Database, pseudonyms: Pseudonyms, key: ReviewKey) -> None:
        self._db = db
        self._pseudonyms = pseudonyms
        self._key = key

    def digest(self, tool: str, args: object) -> str:
        """A keyed digest of a call's arguments."""
        return self._pseudonyms.of("tool", canonical([tool, args]))

    async def write(self, run: str, row: CallRow) -> None:
        """Append one row."""
        await self._db.execute(
            "INSERT INTO tool_calls (workflow_id, tenant, review_id, run, tool_call_id, tool, args_digest, verdict, "
            "ms, result_chars) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            self._key.workflow_id,
            self._key.tenant,
            self._key.review_id,
            run,
            row.tool_call_id,
            row.tool,
            row.args_digest,
            row.verdict,
            row.ms,
            row.result_chars,
        )

    async def rows(self) -> tuple[ToolCall, ...]:
        """The review's calls in order."""
        rows = await self._db.fetch(
            "SELECT * FROM tool_calls WHERE workflow_id = $1 ORDER BY call_no", self._key.workflow_id
        )
        return tuple(ToolCall.model_validate(dict(row)) for row in rows)
