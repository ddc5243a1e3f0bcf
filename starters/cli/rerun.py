"""rerun: stored reviews again with another model or playbook, without any effect, and held against what is stored."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest
from starters.cli.batch import follow_with_bar, write
from starters.cli.common import Command, emit, json_option, load_settings, tenant_option, with_client

if TYPE_CHECKING:
    from countersign.batch.compare import Comparison
    from countersign.batch.payloads import BatchKey
    from countersign.store.batches import BatchRow
    from starters.client import ReviewClient

DEFAULT_LIMIT, MAX_LIMIT = 200, 10_000
WINDOW = 4
"""Reviews analysed again at once."""
FLIPS_SHOWN = 15


@click.command("rerun", cls=Command)
@click.option("--since", required=True, metavar="WHEN", help="Reviews submitted since then: 7d, 12h, or 2026-11-01.")
@click.option("--model", help="The other arm's model for every agent but the sentinel.")
@click.option("--playbook", "other_playbook", help="The other arm's playbook.")
@click.option("--of-playbook", help="Only reviews of this playbook.  [default: all]")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=DEFAULT_LIMIT, show_default=True)
@click.option("--window", type=click.IntRange(1, 50), default=WINDOW, show_default=True, help="Analysed at once.")
@click.option("--id", "batch_id", help="Your own id; given again, the same rerun goes on.")
@click.option("--html", "html_path", metavar="FILE", help="Write one self-contained page.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after this long.")
@tenant_option
@json_option
def rerun_command(  # noqa: PLR0913 - one parameter an option
    *,
    since: str,
    model: str | None,
    other_playbook: str | None,
    of_playbook: str | None,
    limit: int,
    window: int,
    batch_id: str | None,
    html_path: str | None,
    timeout: float | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Analyse stored reviews again with another model, playbook or both, and compare with what is stored.

    Nothing happens but the analysis: no review, trail or memory changes, and nobody is asked to sign. What the models
    cost is entered in the ledger as the rerun's own. Without --model and --playbook the present settings are the arm.
    """
    from countersign.batch.payloads import BatchOrder
    from starters import batches
    from starters.cli.records import parse_since

    settings = load_settings()
    now = datetime.now(UTC)
    begin = parse_since(since, now)
    if model is not None:
        _check(model)
    order = BatchOrder(
        user=settings.user,
        playbook=of_playbook or other_playbook or "nda",
        model=model,
        other_playbook=other_playbook,
        since=begin,
    )

    async def work(client: "ReviewClient") -> "BatchRow":
        row = await batches.choose(
            client,
            tenant or settings.tenant,
            order,
            since=begin,
            until=now,
            of_playbook=of_playbook,
            limit=limit,
            window=window,
            batch_id=batch_id,
        )
        if not as_json:
            click.echo(f"rerun {row.batch_id}: {row.items:,} stored reviews", err=True)
        await follow_with_bar(client, row.key, timeout, quiet=as_json)
        return row

    report_rerun(with_client(work).key, html_path, as_json=as_json)


def report_rerun(key: "BatchKey", html_path: str | None, *, as_json: bool) -> None:
    """Compare as things stand now, and print it."""
    from countersign.batch.compare_page import comparison_page
    from starters import batch_reports

    done = with_client(lambda client: batch_reports.compared(client, key))
    if html_path is not None:
        write(html_path, comparison_page(done.comparison, done.arm, key.batch_id))
    if as_json:
        emit(batch_reports.comparison_json(key, done))
    else:
        _print(done.comparison, done.arm)


def _print(found: "Comparison", arm: str) -> None:
    from rich.text import Text

    from countersign.batch.compare_page import sentences
    from starters.cli.render import cell, printable, shortened, show, table_of

    show(Text(f"Against {printable(arm)}:"), *(Text(f"  {printable(line)}") for line in sentences(found)))
    if not found.flips:
        return
    table = table_of("review", "clause", "as stored", "quoting", "other arm", "quoting", "people")
    for flip in found.flips[:FLIPS_SHOWN]:
        table.add_row(
            cell(flip.review_id),
            cell(flip.clause),
            cell(flip.before.severity),
            cell(shortened(flip.before.quote, 40)),
            cell(flip.after.severity),
            cell(shortened(flip.after.quote, 40)),
            cell(flip.person),
        )
    show(Text(), table)
    if len(found.flips) > FLIPS_SHOWN:
        click.echo(f"and {len(found.flips) - FLIPS_SHOWN:,} more flips: see --html or --json")


def _check(model: str) -> None:
    from countersign.agents.models import resolve_model

    if not model.strip():
        raise InvalidRequest("--model: is empty", remedy="Name one, or leave it out")
    resolve_model(model, load_settings().playbooks)
