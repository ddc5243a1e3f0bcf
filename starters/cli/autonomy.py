"""autonomy show and grant: what a cell (tenant, playbook, contract type) may do without a person."""

from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest
from countersign.words import Autonomy
from starters.cli.common import Group, emit, emit_rows, json_option, say_if_new, tenant_filter, with_client

if TYPE_CHECKING:
    from starters.client import ReviewClient


@click.group("autonomy", cls=Group)
def autonomy_command() -> None:
    """Show or grant what a cell (tenant, playbook, contract type) may do without a person."""


@autonomy_command.command("show")
@tenant_filter
@json_option
def show(tenant: str | None, as_json: bool) -> None:
    """Show every cell with its level and the evidence so far. A cell that is not listed is supervised."""
    from starters.cli.render import show as show_table
    from starters.cli.tables import cells_table

    rows = with_client(lambda client: client.cells(tenant))
    if as_json:
        emit_rows(rows)
    else:
        show_table(cells_table(rows))


@autonomy_command.command("grant")
@click.option("--tenant", required=True)
@click.option("--playbook", required=True)
@click.option("--type", "contract_type", required=True, help='Kind of contract, for example "nda".')
@click.option("--level", required=True, type=click.Choice([level.value for level in Autonomy]))
@click.option("--by", required=True, help="Who grants it; kept as a pseudonym.")
@click.option("--reason", required=True, help="Why, for the record; without names.")
@json_option
def grant(  # noqa: PLR0913 - one parameter an option
    *, tenant: str, playbook: str, contract_type: str, level: str, by: str, reason: str, as_json: bool
) -> None:
    """Grant a cell a level, up or down, in a person's name. It holds for reviews that begin afterwards."""
    for option, value in (("--by", by), ("--reason", reason), ("--tenant", tenant), ("--type", contract_type)):
        if not value.strip():
            raise InvalidRequest(f"{option}: is empty", remedy="A grant names its cell, who gives it, and why")

    async def give(client: "ReviewClient") -> None:
        await client.grant(tenant, playbook, contract_type, Autonomy(level), by=by.strip(), reason=reason.strip())
        await say_if_new(client, tenant, as_json=as_json)

    with_client(give)
    granted = {"tenant": tenant, "playbook": playbook, "contract_type": contract_type, "autonomy": level}
    if as_json:
        emit(granted)
    else:
        click.echo(f"{tenant} / {playbook} / {contract_type}: {level}")
