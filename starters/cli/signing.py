"""keys signing make, add, list, retire, revoke, require: keys that prove who decided."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starters.cli.common import Group, emit, emit_rows, json_option, tenant_option, with_client
from starters.cli.people import change_people, changing

if TYPE_CHECKING:
    from countersign.store.people import KeyRow, PeopleBook
    from starters.client import ReviewClient


@click.group("signing", cls=Group)
def signing_group() -> None:
    """Keys that decisions are signed with, so that nobody decides in another's name.

    The gateway signs for whoever has signed in there. On the command line set COUNTERSIGN_SIGNING_KEY to your own key.
    """


@signing_group.command("make")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--public",
    "public_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the public half to this file.",
)
@json_option
def make(file: Path, public_file: Path | None, as_json: bool) -> None:
    """Write a new private key to FILE. Its public half, which whoever registers it needs, is printed, or written.

    Neither file may exist.
    """
    from countersign.store.signing_keys import make_own_key

    public = make_own_key(file, public_file).decode()
    if as_json:
        emit({"public_key": public})
        return
    if public_file is None:
        click.echo(public, nl=False)
    else:
        click.echo(f"{public_file}: the public key; give it to whoever registers it", err=True)
    click.echo(f"{file}: the private key; keep it to yourself", err=True)


@signing_group.command("add")
@click.option("--user", metavar="NAME", required=True, help="Whose key it is.")
@click.option("--public-key", required=True, type=click.Path(dir_okay=False, path_type=Path), help="PEM file.")
@changing
def add(user: str, public_key: Path, **options: Any) -> None:
    """Register a person's public key."""
    from countersign.store.signing_keys import public_half

    public = public_half(public_key)

    async def work(book: "PeopleBook", tenant: str, by: str) -> None:
        await book.add_key(tenant, user, public, by_hash=by)

    change_people(options, "Registered", work)


@signing_group.command("list")
@tenant_option
@json_option
def list_keys(tenant: str | None, as_json: bool) -> None:
    """Show the keys with whose they are, the gateway's included."""

    async def look(client: "ReviewClient") -> "tuple[KeyRow, ...]":
        return await (await client.services()).people.keys(tenant or client.settings.tenant)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, moment, show, table_of

    table = table_of("key", "whose", "added", "state")
    for row in rows:
        state = "revoked" if row.revoked_at else f"retired {moment(row.retired_at)}" if row.retired_at else "in use"
        table.add_row(cell(row.key_id), cell(row.person or "the gateway"), cell(moment(row.added_at)), cell(state))
    show(table)


@signing_group.command("retire")
@click.argument("key_id", metavar="KEY_ID")
@changing
def retire(key_id: str, **options: Any) -> None:
    """Have a key sign nothing more. What it has signed counts. Register the new one first."""
    change_people(
        options,
        f"{key_id}: retired",
        lambda book, tenant, by: book.end_key(tenant, key_id, revoke=False, by_hash=by),
    )


@signing_group.command("revoke")
@click.argument("key_id", metavar="KEY_ID")
@changing
def revoke(key_id: str, **options: Any) -> None:
    """End a key that others may have: what it has signed and has not taken effect counts no more."""
    change_people(
        options,
        f"{key_id}: revoked",
        lambda book, tenant, by: book.end_key(tenant, key_id, revoke=True, by_hash=by),
    )


@signing_group.command("require")
@click.argument("setting", type=click.Choice(["on", "off"]))
@changing
def require(setting: str, **options: Any) -> None:
    """Have the tenant's decisions count only when signed. A playbook can ask for it as well ([signing])."""
    change_people(
        options,
        f"Signed decisions: {'required' if setting == 'on' else 'not required'}",
        lambda book, tenant, by: book.require_signed(tenant, setting == "on", by_hash=by),
        already=f"Signed decisions were {'' if setting == 'on' else 'not '}required already",
        all_concerned=True,
    )
