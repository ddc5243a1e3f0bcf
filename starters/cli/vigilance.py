"""vigilance: how many vigilance probes each reviewer noticed, with the interval that so few of them deserve."""

import click

from countersign.vigilance.rates import CatchRate, catch_rates
from starters.cli.common import Command, emit_rows, json_option, tenant_filter, with_client
from starters.client import ReviewClient


@click.command("vigilance", cls=Command)
@tenant_filter
@json_option
def vigilance_command(tenant: str | None, as_json: bool) -> None:
    """Show each reviewer's catch rate, with its 95 % Wilson interval.

    A share of reviews (2 %, the limit `probe_share`) carries a finding known to be wrong. Who removes or changes it,
    or rejects the review, has caught it. It is in no outcome, and its reviewer is told after the decision. Reviewers
    are pseudonyms. `countersign limits set probe_share=0 --tenant NAME …` turns it off for a tenant.
    """

    async def read(client: ReviewClient) -> tuple[CatchRate, ...]:
        return await catch_rates((await client.services()).db, tenant)

    rates = with_client(read)
    if as_json:
        emit_rows(rates)
        return
    from starters.cli.render import cell, shortened, show, table_of

    if not rates:
        click.echo("No probe was decided on yet.")
        return
    table = table_of("tenant", "reviewer", "probes", "caught", "rate", "95 % interval")
    for row in rates:
        table.add_row(
            cell(row.tenant),
            cell(shortened(row.reviewer, 16)),
            cell(row.probes),
            cell(row.caught),
            cell(f"{row.rate:.0%}"),
            cell(f"{row.low:.0%} to {row.high:.0%}"),
        )
    show(table)
