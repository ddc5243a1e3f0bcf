"""keys create, list, rotate and revoke: who may ask over HTTP. A key's text is printed once, when it is made."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import click

from countersign.words import Role
from starters.cli.common import Group, emit, emit_rows, json_option, tenant_filter, with_client
from starters.cli.signing import signing_group
from starters.cli.spans import parse_span

if TYPE_CHECKING:
    from rich.console import RenderableType

    from countersign.access.keys import KeyBook, KeyInfo, NewKey
    from starters.client import ReviewClient

T = TypeVar("T")


@click.group("keys", cls=Group)
def keys_command() -> None:
    """Create, list, rotate and revoke API keys. Only a hash of a key is stored: what is lost is replaced, not found."""


keys_command.add_command(signing_group)
by_option = click.option(
    "--by", metavar="NAME", help="Who does it; kept as a pseudonym.  [default: COUNTERSIGN_USER, or me]"
)


@keys_command.command("create")
@click.option("--tenant", required=True, help="The one tenant the key sees anything of.")
@click.option("--user", metavar="NAME", required=True, help="Whose key it is; stored sealed.")
@click.option(
    "--role",
    "roles",
    required=True,
    multiple=True,
    type=click.Choice([role.value for role in Role]),
    help="Repeatable.",
)
@click.option("--label", default="", help="To tell keys apart by, for example what uses it; without names.")
@click.option("--expires", metavar="SPAN", help="How long it works, for example 90d.  [default: until revoked]")
@by_option
@json_option
def create(  # noqa: PLR0913 - one parameter an option
    *, tenant: str, user: str, roles: tuple[str, ...], label: str, expires: str | None, by: str | None, as_json: bool
) -> None:
    """Make a key and print it, this once."""
    expires_at = None if expires is None else datetime.now(UTC) + parse_span("--expires", expires)

    async def make(client: "ReviewClient") -> "NewKey":
        services = await client.services()
        # A gateway wants a key before it listens to the world, so this may be a new database's first command.
        await services.bring_up_to_date()
        given = [Role(role) for role in roles]
        return await services.keys.create(tenant, user, given, label, expires_at, by=_actor(client, by))

    new = with_client(make)
    if as_json:
        emit({"key_id": new.key_id, "key": new.secret_text, "expires_at": expires_at})
    else:
        _print_key(new)


@keys_command.command("list")
@tenant_filter
@click.option("--user", metavar="NAME", help="Only this person's.  [default: everyone's]")
@json_option
def list_keys(tenant: str | None, user: str | None, as_json: bool) -> None:
    """List keys, the ended ones too. People are shown as pseudonyms; `--user` finds the keys of one by name."""
    rows = _with_keys(lambda keys, _: keys.list(tenant, user), None)
    if as_json:
        emit_rows(rows)
    else:
        from starters.cli.render import show

        show(_table(rows))


@keys_command.command("rotate")
@click.argument("key_id", metavar="KEY_ID")
@click.option("--overlap", metavar="SPAN", default="24h", show_default=True, help="How long the old key works on.")
@by_option
@json_option
def rotate(key_id: str, overlap: str, by: str | None, as_json: bool) -> None:
    """Replace a key by a new one of the same person, roles, label and lifetime, and print it, this once."""
    old, span = _id_of(key_id), parse_span("--overlap", overlap)
    new = _with_keys(lambda keys, actor: keys.rotate(old, span.total_seconds(), by=actor), by)
    if as_json:
        emit({"key_id": new.key_id, "key": new.secret_text, "replaces": old, "overlap_s": span.total_seconds()})
    else:
        _print_key(new)
        click.echo(f"Key {old} works for another {overlap.strip()}.", err=True)


@keys_command.command("revoke")
@click.argument("key_id", metavar="KEY_ID")
@by_option
@json_option
def revoke(key_id: str, by: str | None, as_json: bool) -> None:
    """End a key. A running gateway refuses it within 5 seconds. The whole text of a leaked key will do as KEY_ID."""
    from countersign.access.keys import CACHE_S

    ended = _id_of(key_id)
    _with_keys(lambda keys, actor: keys.revoke(ended, by=actor), by)
    if as_json:
        emit({"key_id": ended, "state": "revoked", "within_s": CACHE_S})
    else:
        click.echo(f"{ended}: revoked; running gateways refuse it within {CACHE_S:g} s")


def _with_keys(work: "Callable[[KeyBook, str], Awaitable[T]]", by: str | None) -> T:
    async def run(client: "ReviewClient") -> T:
        services = await client.services()
        # The first command of a new version may be one about keys.
        await services.bring_up_to_date()
        return await work(services.keys, _actor(client, by))

    return with_client(run)


def _actor(client: "ReviewClient", by: str | None) -> str:
    """Who makes a change."""
    return client.settings.user if by is None else by


def _id_of(given: str) -> str:
    """The key id in an id or in a whole key, whose secret part goes no further."""
    return given.strip().removeprefix("cs_").partition("_")[0]


def _print_key(new: "NewKey") -> None:
    """The key alone on stdout, for a pipe into a secret store; what to know about it on stderr."""
    click.echo(new.secret_text)
    click.echo(f"Key {new.key_id}, shown this once: keep it now. Send it as 'Authorization: Bearer KEY'.", err=True)


def _table(rows: "Sequence[KeyInfo]") -> "RenderableType":
    from rich.text import Text

    from starters.cli.render import cell, moment, table_of

    if not rows:
        return Text("No keys. Make one with 'countersign keys create'.")
    table = table_of(
        "key", "tenant", "who", "roles", "label", "state", "created", "by", "ends", "ended by", "last used"
    )
    for row in rows:
        ends = min((end for end in (row.expires_at, row.revoked_at) if end is not None), default=None)
        table.add_row(
            cell(row.key_id),
            cell(row.tenant),
            cell(_short(row.user_hash)),
            cell(" ".join(row.roles)),
            cell(row.label),
            cell(row.state, "green" if row.state == "active" else "dim"),
            cell(row.created_at.date()),
            cell(_short(row.created_by_hash)),
            cell(moment(ends)),
            cell(_short(row.revoked_by_hash or row.rotated_by_hash)),
            cell(row.last_used_on),
        )
    return table


def _short(pseudonym: str | None) -> str | None:
    from starters.cli.render import shortened

    return None if pseudonym is None else shortened(pseudonym, 16)
