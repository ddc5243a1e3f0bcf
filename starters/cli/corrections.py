"""corrections list, show, withdraw, restore and confirm: what people taught the machine, and how to take it back."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from starters.cli.common import F, Group, emit, emit_rows, json_option, tenant_filter, with_client

if TYPE_CHECKING:
    from rich.console import RenderableType

    from countersign.learning.policy import Standing
    from starters.client import ReviewClient


@click.group("corrections", cls=Group)
def corrections_command() -> None:
    """Show what amendments and rejections taught, whether it is in force, and take it back or confirm it."""


def _record(command: F) -> F:
    command = click.option("--reason", required=True, help="Why, for the record; without names.")(command)
    command = click.option("--by", required=True, help="Who does it; kept as a pseudonym.")(command)
    command = click.option("--tenant", help="Tenant of the correction.  [default: any]")(command)
    return click.argument("number", type=click.IntRange(min=1))(command)


@corrections_command.command("list")
@tenant_filter
@click.option("--playbook", help="Only of this playbook.")
@click.option("--clause", help="Only on this clause family.")
@json_option
def list_corrections(*, tenant: str | None, playbook: str | None, clause: str | None, as_json: bool) -> None:
    """List corrections, newest first, with what each is worth now and why."""

    async def read(client: "ReviewClient") -> "list[Standing]":
        from starters import corrections

        found = await corrections.standings(client, tenant, playbook)
        return [standing for standing in found if clause is None or standing.lesson.clause == clause]

    standings = with_client(read)
    if as_json:
        emit_rows([_document(standing) for standing in standings])
    else:
        from starters.cli.render import show as show_table

        show_table(_table(standings))


@corrections_command.command("show")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--tenant", help="Tenant of the correction.  [default: any]")
@json_option
def show(number: int, tenant: str | None, as_json: bool) -> None:
    """Show one correction: what changed, on which clause, who stands behind it, and what was done to it since."""

    async def read(client: "ReviewClient") -> "Standing":
        from starters import corrections

        services = await client.services()
        return await corrections.standing(client, await services.corrections.get(number, tenant))

    _print(with_client(read), as_json=as_json)


@corrections_command.command("withdraw")
@_record
@json_option
def withdraw(*, number: int, tenant: str | None, by: str, reason: str, as_json: bool) -> None:
    """Take a correction back. The next analysis is what it was before it; nothing is deleted."""
    _print(_change(number, "withdrawn", tenant, by, reason), as_json=as_json)


@corrections_command.command("restore")
@_record
@json_option
def restore(*, number: int, tenant: str | None, by: str, reason: str, as_json: bool) -> None:
    """Give a withdrawn correction back its place."""
    _print(_change(number, "restored", tenant, by, reason), as_json=as_json)


@corrections_command.command("confirm")
@_record
@json_option
def confirm(*, number: int, tenant: str | None, by: str, reason: str, as_json: bool) -> None:
    """Stand behind a correction too: it counts for its quorum, and the correction does not expire for another term."""
    _print(_change(number, "confirmed", tenant, by, reason), as_json=as_json)


def _change(number: int, event: str, tenant: str | None, by: str, reason: str) -> "Standing":
    async def record(client: "ReviewClient") -> "Standing":
        from countersign.learning.lesson import Event
        from starters import corrections

        return await corrections.record(client, number, Event(event), by=by, reason=reason, tenant=tenant)

    return with_client(record)


def _document(standing: "Standing") -> dict[str, Any]:  # a JSON object
    """A correction and its standing as one JSON object."""
    lesson = standing.lesson
    return {
        **lesson.model_dump(mode="json"),
        "version": lesson.version,
        "state": standing.state,
        "why": standing.why,
        "against": list(standing.against),
    }


def _table(standings: "Sequence[Standing]") -> "RenderableType":
    from rich.text import Text

    from starters.cli.render import cell, moment, shortened, table_of

    if not standings:
        return Text("No corrections.")
    table = table_of("correction", "tenant", "playbook", "type", "clause", "change", "state", "review", "made")
    for standing in standings:
        lesson = standing.lesson
        state = f"{standing.state}: {standing.why}" if standing.why else str(standing.state)
        table.add_row(
            cell(lesson.correction_id),
            cell(lesson.tenant),
            cell(lesson.playbook),
            cell(lesson.contract_type),
            cell(lesson.clause or "the whole"),
            cell(shortened(lesson.change)),
            cell(state, _STYLE.get(standing.state.name, "dim")),
            cell(lesson.review_id),
            cell(moment(lesson.made_at)),
        )
    return table


_STYLE = {"IN_FORCE": "green", "WAITING": "yellow", "SUSPENDED": "bold red"}


def _print(standing: "Standing", *, as_json: bool) -> None:
    if as_json:
        emit(_document(standing))
        return
    from starters.cli.render import cell, moment, shortened, table_of
    from starters.cli.render import show as show_all

    lesson = standing.lesson
    state = f"{standing.state}: {standing.why}" if standing.why else str(standing.state)
    table = table_of(f"correction {lesson.correction_id}", f"version {lesson.version}")
    for name, value in (
        ("of", f"{lesson.tenant} / {lesson.playbook} {lesson.playbook_version} / {lesson.contract_type}"),
        ("clause", f"{lesson.clause or 'the whole'}{f' at {lesson.position}' if lesson.position else ''}"),
        ("change", lesson.change),
        ("note", lesson.note),
        ("made on", f"{lesson.finding_id or '-'} of review {lesson.review_id}, {moment(lesson.made_at)}"),
        ("by", ", ".join(shortened(person, 16) for person in (lesson.by_hash, *lesson.signed_by))),
        *(("quoted", f"“{shortened(quote, 300)}”") for quote in lesson.quotes),
    ):
        table.add_row(cell(name), cell(value))
    table.add_row(cell("state"), cell(state, _STYLE.get(standing.state.name, "dim")))
    show_all(table)
    if lesson.events:
        table = table_of("at", "what", "by", "reason")
        for done in lesson.events:
            table.add_row(
                cell(moment(done.at)), cell(done.event), cell(shortened(done.by_hash, 16)), cell(shortened(done.reason))
            )
        show_all(table)
