"""Following a review on the command line: its stages as they are done, and how its end becomes an exit code."""

import click

from countersign.errors import CountersignError, Overloaded, RateLimited
from countersign.review.payloads import ReviewStatus
from countersign.words import Outcome
from starters.cli.common import ReviewBlocked, ReviewFailed
from starters.cli.render import printable, progress, turn
from starters.client import ReviewClient, Standing


async def follow(
    client: ReviewClient, tenant: str, review_id: str, *, timeout_s: float | None, quiet: bool
) -> Standing:
    """Follow a review until it settles, printing each stage when it is done; the settled standing."""
    printed: set[str] = set()
    standing: Standing | None = None
    with progress(f"{review_id}: waiting for a worker", quiet=quiet) as now:
        async for standing in client.follow(tenant, review_id, timeout_s=timeout_s):
            status = standing.status
            where = status.stage if status.ahead is None else f"waits for {turn(status.ahead, status.estimate_s)}"
            now(f"{review_id}: {where}")
            for stage, spent_ms in status.timings_ms.items():
                if stage not in printed and stage != status.stage and not quiet:
                    click.echo(f"  {printable(stage):<10} {spent_ms:>7} ms")
                    printed.add(stage)
    if standing is None:
        raise RuntimeError("a follower ends with a standing or an error")
    return standing


def say_if_stored(standing: Standing, *, as_json: bool) -> None:
    """Say on stderr that the answer is the stored one, since no worker answered."""
    if not standing.live and not as_json:
        click.echo(
            "No worker answered; this is what was last stored. One that is just starting needs "
            "a few seconds; else start one with 'countersign worker'.",
            err=True,
        )


def bad_end(status: ReviewStatus) -> CountersignError | None:
    """The error of a review that was waited for and came to no analysis, with the reason; None when it went well."""
    kinds: dict[Outcome, type[CountersignError]] = {
        Outcome.FAILED: ReviewFailed,
        Outcome.BLOCKED: ReviewBlocked,
        Outcome.RATE_LIMITED: RateLimited,
        Outcome.OVERLOADED: Overloaded,
    }
    if status.outcome not in kinds:
        return None
    why, remedy = (status.failure.message, status.failure.remedy) if status.failure else ("", "")
    if not why and status.screening:
        why = f"the sentinel's risk score is {status.screening.risk_score:.2f}"
    return kinds[status.outcome](
        f"review {status.review_id} is {status.outcome}" + (f": {why}" if why else ""),
        remedy=remedy or f"See 'countersign status {status.review_id}' and its trail",
    )
