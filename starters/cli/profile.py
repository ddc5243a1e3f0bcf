"""profile show and set: what the warm tier of memory knows of a requester's preferences."""

from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest
from starters.cli.common import Group, emit, json_option, tenant_option, with_client

if TYPE_CHECKING:
    from starters.client import ReviewClient

MAX_FACTS = 20
MAX_CHARS = 200


@click.group("profile", cls=Group)
def profile_command() -> None:
    """Show or set what reviews remember of a requester: our side, house rules, language of summaries."""


@profile_command.command("show")
@tenant_option
@click.option("--user", metavar="NAME", help="The requester.  [default: COUNTERSIGN_USER]")
@json_option
def show(tenant: str | None, user: str | None, as_json: bool) -> None:
    """Show a requester's profile."""

    async def read(client: "ReviewClient") -> dict[str, str]:
        return await client.profile(tenant or client.settings.tenant, user or client.settings.user)

    _print(with_client(read), as_json=as_json)


@profile_command.command("set")
@click.argument("facts", metavar="KEY=VALUE…", nargs=-1, required=True)
@tenant_option
@click.option("--user", metavar="NAME", help="The requester.  [default: COUNTERSIGN_USER]")
@json_option
def set_facts(facts: tuple[str, ...], tenant: str | None, user: str | None, as_json: bool) -> None:
    """Set facts, for example `our_side=Customer`; an empty value removes one. Specialists are told them as data."""
    changes = dict(_fact(given) for given in facts)

    async def write(client: "ReviewClient") -> dict[str, str]:
        return await client.change_profile(
            tenant or client.settings.tenant, user or client.settings.user, changes, limit=MAX_FACTS
        )

    _print(with_client(write), as_json=as_json)


def _fact(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not equals or not key.isidentifier() or len(key) > MAX_CHARS or len(value) > MAX_CHARS:
        raise InvalidRequest(
            "facts: one of them is not KEY=VALUE",
            remedy=f"Write for example our_side=Customer, each part at most {MAX_CHARS} characters",
        )
    return key, value.strip()


def _print(facts: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        emit(facts)
    elif not facts:
        click.echo("Nothing is known yet. Set for example our_side=Customer.")
    for key, value in {} if as_json else facts.items():
        click.echo(f"{key} = {value}")
