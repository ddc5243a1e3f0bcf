"""groups show, add, remove; absence list, set, end: who signs, as data. Running reviews hear of every change."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import click

from countersign.errors import InvalidRequest
from starters.cli.common import F, Group, emit, emit_rows, json_option, load_settings, tenant_option, with_client
from starters.cli.spans import parse_span

if TYPE_CHECKING:
    from countersign.review.payloads import Absence
    from countersign.store.people import PeopleBook
    from starters.client import ReviewClient
    from starters.people import Changed


@click.group("groups", cls=Group)
def groups_command() -> None:
    """Say who is in which group. A playbook names the groups that sign, and those that lead, in [signing]."""


@click.group("absence", cls=Group)
def absence_command() -> None:
    """Say who is away until when, and who signs for them meanwhile."""


def changing(command: F) -> F:
    """What every change of people takes."""
    command = json_option(tenant_option(command))
    return click.option("--by", required=True, help="Who makes the change; kept as a pseudonym.")(command)


def change_people(
    options: dict[str, Any],
    said: str,
    work: "Callable[[PeopleBook, str, str], Awaitable[bool | None]]",
    *,
    already: str = "Nothing changed",
    all_concerned: bool = False,
) -> None:
    """Make a change (`work` gets the book, tenant and who makes it), tell the reviews, and say so.

    `already` is said when it was so before; `all_concerned` is of `ReviewClient.reconsider_signing`.
    """
    if not options["by"].strip():
        raise InvalidRequest("--by: is empty", remedy="A change says who makes it")

    async def change(client: "ReviewClient") -> "Changed":
        from starters import people

        tenant = options["tenant"] or client.settings.tenant
        return await people.change(
            client, tenant, options["by"], lambda book, by: work(book, tenant, by), all_concerned=all_concerned
        )

    done = with_client(change)
    if options["as_json"]:
        emit({"changed": done.changed, "reviews_told": done.told, "not_told": done.missed})
        return
    click.echo(said if done.changed else already)
    if done.told:
        click.echo(f"{done.told} running review(s) that this concerns were told")
    if done.missed:
        click.echo(
            f"{done.missed} running review(s) could not be told; see `countersign doctor`, then repeat it", err=True
        )


@groups_command.command("show")
@click.argument("group", required=False)
@tenant_option
@json_option
def show_groups(group: str | None, tenant: str | None, as_json: bool) -> None:
    """Show the groups with their members."""

    async def look(client: "ReviewClient") -> dict[str, tuple[str, ...]]:
        return await (await client.services()).people.groups(tenant or client.settings.tenant)

    found = {name: people for name, people in with_client(look).items() if group in {None, name}}
    if as_json:
        emit(found)
        return
    from starters.cli.render import cell, none_of, show, table_of

    if not found:
        show(none_of("No groups", tenant or load_settings().tenant))
        click.echo("Put somebody into one with 'countersign groups add GROUP NAME'.")
        return
    table = table_of("group", "members")
    for name, people in found.items():
        table.add_row(cell(name), cell(", ".join(people)))
    show(table)


@groups_command.command("add")
@click.argument("group")
@click.argument("name")
@changing
def add_member(group: str, name: str, **options: Any) -> None:
    """Put a person into a group, which need not exist."""
    from starters.cli.render import printable
    from starters.people import check_group

    check_group(group)
    change_people(
        options,
        f"{group}: {printable(name)} added",
        lambda book, tenant, by: book.add_member(tenant, group, name, by_hash=by),
        already=f"{printable(name)} is in {group} already",
    )


@groups_command.command("remove")
@click.argument("group")
@click.argument("name")
@changing
def remove_member(group: str, name: str, **options: Any) -> None:
    """Take a person out of a group. What they signed and has not taken effect counts no more."""
    from starters.cli.render import printable

    change_people(
        options,
        f"{group}: {printable(name)} removed",
        lambda book, tenant, by: book.remove_member(tenant, group, name, by_hash=by),
    )


@absence_command.command("list")
@tenant_option
@json_option
def list_absences(tenant: str | None, as_json: bool) -> None:
    """Show who is away now, until when, and who signs for them."""

    async def look(client: "ReviewClient") -> "tuple[Absence, ...]":
        return await (await client.services()).people.absences(tenant or client.settings.tenant)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, moment, none_of, show, table_of

    if not rows:
        show(none_of("Nobody is away", tenant or load_settings().tenant))
        return
    table = table_of("who", "until", "delegate")
    for row in rows:
        table.add_row(cell(row.person), cell(moment(row.until)), cell(row.delegate))
    show(table)


@absence_command.command("set")
@click.argument("name")
@click.option(
    "--until",
    required=True,
    metavar="TIME",
    help="2026-12-24 (to the end of that day, UTC), 2026-12-24T18:00+01:00, or a span like 5d.",
)
@click.option("--delegate", metavar="NAME", help="Who signs for them meanwhile.  [default: nobody]")
@changing
def set_absence(name: str, until: str, delegate: str | None, **options: Any) -> None:
    """Say that a person is away. Replaces what was said of them before."""
    end, said = end_of_absence(until)
    change_people(
        options,
        f"Away until {said}",
        lambda book, tenant, by: book.set_absence(tenant, name, end, delegate, by_hash=by),
        all_concerned=True,
    )


@absence_command.command("end")
@click.argument("name")
@changing
def end_absence(name: str, **options: Any) -> None:
    """Say that a person is back. What their delegate signed and has not taken effect counts no more."""
    change_people(
        options,
        "Back",
        lambda book, tenant, by: book.end_absence(tenant, name, by_hash=by),
        all_concerned=True,
    )


def end_of_absence(text: str) -> tuple[datetime, str]:
    """A time, or a span from now, and how to say it. A date alone is included; without a zone it is UTC."""
    with contextlib.suppress(ValueError):
        day = date.fromisoformat(text.strip())
        return datetime.combine(day, time(), UTC) + timedelta(days=1), f"the end of {day} (UTC)"
    end = _moment(text)
    return end, f"{end:%Y-%m-%d %H:%M} UTC"


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return datetime.now(UTC) + parse_span("--until", text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
