"""trail and costs: the two records that are only ever appended to."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest
from starters.cli.common import (
    Command,
    TrailBroken,
    emit,
    json_option,
    tenant_filter,
    tenant_option,
    with_client,
)

if TYPE_CHECKING:
    from countersign.ledger.ledger import CostRow
    from countersign.trail.trail import TrailCheck, TrailRow
    from starters.client import ReviewClient

_AGO = re.compile(r"(\d{1,5})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SUMMED = (
    "calls",
    "failed_calls",
    "requests",
    "input_tokens",
    "output_tokens",
    "cost_microusd",
    "unpriced_calls",
    "unseen_requests",
)


def parse_since(text: str, now: datetime) -> datetime:
    """A moment: a date or time of ISO 8601 (UTC unless it names a zone), or how long ago: 30m, 24h, 7d, 2w.

    Raises InvalidRequest for anything else and for a moment after `now`.
    """
    remedy = "Write a date (2026-11-01), a time (2026-11-01T08:00:00Z) or how long ago (30m, 24h, 7d, 2w)"
    ago = _AGO.fullmatch(text.strip())
    try:
        if ago:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        moment = datetime.fromisoformat(text.strip())
        # Made aware first: a naive time and an aware one do not compare.
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"--since: {text[:40]!r} is no moment", remedy=remedy) from None
    if moment > now:
        raise InvalidRequest(f"--since: {text[:40]!r} lies in the future", remedy=remedy)
    return moment


def sums(rows: "Sequence[CostRow]") -> dict[str, int]:
    """The totals over all rows, by field."""
    return {name: sum(getattr(row, name) for row in rows) for name in _SUMMED}


@click.command("trail", cls=Command)
@click.argument("review_id", metavar="ID")
@tenant_option
@json_option
def trail_command(review_id: str, tenant: str | None, as_json: bool) -> None:
    """Show a review's audit trail and verify its chain of hashes; exits with 1 when it does not hold."""
    from starters.cli.render import show
    from starters.cli.tables import trail_view

    async def look(client: "ReviewClient") -> "tuple[tuple[TrailRow, ...], TrailCheck]":
        return await client.trail(tenant or client.settings.tenant, review_id)

    rows, check = with_client(look)
    if as_json:
        emit({"review_id": review_id, "verified": check.ok, "problem": check.problem, "rows": rows})
    else:
        show(trail_view(rows, check))
    if not check.ok:
        raise TrailBroken(
            f"the trail of review {review_id} does not verify: {check.problem}",
            remedy="Keep the database as it is and compare it with a backup; rows are never changed by this program",
        )


@click.command("costs", cls=Command)
@tenant_filter
@click.option("--since", metavar="WHEN", help="A date, a time, or how long ago (30m, 24h, 7d, 2w).")
@json_option
def costs_command(tenant: str | None, since: str | None, as_json: bool) -> None:
    """Show tokens and money by tenant, agent and model. Money in JSON is integer micro-dollars."""
    from starters.cli.render import show
    from starters.cli.tables import costs_table

    start = parse_since(since, datetime.now(UTC)) if since is not None else None
    rows = with_client(lambda client: client.costs(tenant=tenant, since=start))
    total = sums(rows)
    if as_json:
        emit({"tenant": tenant, "since": start, "rows": rows, "total": total})
    else:
        show(costs_table(rows, total))
