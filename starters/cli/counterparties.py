"""counterparties add, list and remove: what the tenant knows of those it makes contracts with."""

from typing import TYPE_CHECKING

import click

from starters.cli.common import Group, emit, emit_rows, json_option, load_settings, tenant_option, with_client

if TYPE_CHECKING:
    from countersign.store.counterparties import NamedCounterparty
    from starters.client import ReviewClient

STANDINGS = ("approved", "watch", "barred")


@click.group("counterparties", cls=Group)
def counterparties_command() -> None:
    """Keep the register that the tool look_up_counterparty answers from. Names are stored sealed."""


@counterparties_command.command("add")
@click.argument("name")
@click.option("--standing", type=click.Choice(STANDINGS), default="approved", show_default=True)
@click.option("--note", default="", help="What a reviewer should know; agents see it.")
@click.option("--contracts", type=click.IntRange(0, 1_000_000), default=0, help="Contracts in force with it.")
@tenant_option
@json_option
def add(  # noqa: PLR0913 - one parameter an option
    *, name: str, standing: str, note: str, contracts: int, tenant: str | None, as_json: bool
) -> None:
    """Enter a counterparty, or replace what is known of it. Case and legal form (Ltd, Inc.) do not matter."""

    async def put(client: "ReviewClient") -> bool:
        book = (await client.services()).counterparties
        return await book.put(tenant or client.settings.tenant, name, standing=standing, note=note, contracts=contracts)

    is_new = with_client(put)
    if as_json:
        emit({"new": is_new, "standing": standing})
    else:
        click.echo(f"{'Entered' if is_new else 'Replaced'}: {standing}")


@counterparties_command.command("list")
@tenant_option
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def list_all(tenant: str | None, limit: int, as_json: bool) -> None:
    """List a tenant's counterparties."""

    async def look(client: "ReviewClient") -> "tuple[NamedCounterparty, ...]":
        return await (await client.services()).counterparties.list(tenant or client.settings.tenant, limit)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, moment, none_of, shortened, show, table_of

    if not rows:
        show(none_of("No counterparty is known", tenant or load_settings().tenant))
        return
    table = table_of("name", "standing", "contracts", "note", "changed")
    styles = {"approved": "green", "watch": "yellow", "barred": "red"}
    for row in rows:
        table.add_row(
            cell(row.name),
            cell(row.standing, styles.get(row.standing, "")),
            cell(row.contracts),
            cell(shortened(row.note)),
            cell(moment(row.changed_at)),
        )
    show(table)


@counterparties_command.command("remove")
@click.argument("name")
@tenant_option
@json_option
def remove(name: str, tenant: str | None, as_json: bool) -> None:
    """Forget a counterparty."""

    async def forget(client: "ReviewClient") -> None:
        await (await client.services()).counterparties.remove(tenant or client.settings.tenant, name)

    with_client(forget)
    if as_json:
        emit({"removed": True})
    else:
        click.echo("Removed.")
