"""circuits, circuits open and reset: which model or tool may be called now, and why; stopped and freed by hand."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest, NotFound, ServiceUnavailable
from starters.cli.common import F, ShowingGroup, emit, emit_rows, json_option, with_client

if TYPE_CHECKING:
    from rich.console import RenderableType

    from countersign.breaker.circuits import Circuits
    from countersign.breaker.words import Standing
    from starters.client import ReviewClient


@click.group("circuits", cls=ShowingGroup, invoke_without_command=True)
@json_option
@click.pass_context
def circuits_command(ctx: click.Context, as_json: bool) -> None:
    """Show every circuit, or open or reset one by hand. A circuit is known once its model or tool was called."""
    if ctx.invoked_subcommand is None:
        _print(with_client(_standing), as_json=as_json)
    elif as_json:
        raise InvalidRequest("--json: stands before the subcommand", remedy="Write it after the subcommand")


def _record(command: F) -> F:
    command = click.option("--reason", required=True, help="Why, for the record; without names.")(command)
    return click.option("--by", required=True, help="Who does it; kept as a pseudonym.")(command)


@circuits_command.command("open")
@click.argument("name")
@click.option("--for", "span", metavar="SPAN", help="How long, for example 10m.  [default: until a reset]")
@_record
@json_option
def open_circuit(*, name: str, span: str | None, by: str, reason: str, as_json: bool) -> None:
    """Let no call through from now on, in every worker; calls in flight go on."""
    from starters.cli.spans import parse_span

    for_s = None if span is None else parse_span("--for", span).total_seconds()

    async def work(circuits: "Circuits", by_hash: str) -> None:
        await circuits.open(name, reason=reason, by=by_hash, for_s=for_s)

    _change(name, by, reason, work, as_json=as_json)


@circuits_command.command("reset")
@click.argument("name")
@_record
@json_option
def reset(*, name: str, by: str, reason: str, as_json: bool) -> None:
    """Close a circuit and forget what it learned: its window, its limit and the provider's Retry-After."""

    async def work(circuits: "Circuits", by_hash: str) -> None:
        await circuits.reset(name, reason=reason, by=by_hash)

    _change(name, by, reason, work, as_json=as_json)


async def _standing(client: "ReviewClient") -> "tuple[Standing, ...]":
    circuits = (await client.services()).circuits
    rows = await circuits.standing()
    if circuits.degraded:
        raise ServiceUnavailable(
            "Redis does not answer: every worker keeps circuits of its own meanwhile",
            remedy="Start it; `countersign doctor` says what is missing",
        )
    return rows


def _change(
    name: str, by: str, reason: str, work: "Callable[[Circuits, str], Awaitable[None]]", *, as_json: bool
) -> None:
    from countersign.breaker.config import check_name

    check_name(name)
    for option, value in (("--by", by), ("--reason", reason)):
        if not value.strip():
            raise InvalidRequest(f"{option}: is empty", remedy="A change by hand says who makes it, and why")

    async def change(client: "ReviewClient") -> "Standing":
        if not any(row.name == name for row in await _standing(client)):
            raise NotFound(
                f"circuit {name}: not known", remedy="`countersign circuits` lists those that were called so far"
            )
        services = await client.services()
        await work(services.circuits, services.pseudonyms.of("user", by))
        [after] = [row for row in await _standing(client) if row.name == name]
        return after

    after = with_client(change)
    if as_json:
        emit(after)
    else:
        _print([after], as_json=False)


def _print(rows: "Sequence[Standing]", *, as_json: bool) -> None:
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import show

    show(circuits_table(rows, datetime.now(UTC)))


def circuits_table(rows: "Sequence[Standing]", now: datetime) -> "RenderableType":
    """Circuits, one a line; what opened one, and who reset it, below."""
    from rich.console import Group
    from rich.text import Text

    from starters.cli.render import cell, printable, shortened, span, table_of

    if not rows:
        return Text("No circuit yet: no model or tool was called.")
    table = table_of(
        "circuit", "state", "calls", "failed", "slow", "in flight", "probes", "since", "opened by", "next probe in"
    )
    style = {"closed": "green", "open": "bold red", "half-open": "yellow"}
    notes = []
    for row in rows:
        is_closed = row.state.value == "closed"
        table.add_row(
            cell(row.name),
            cell(row.state.value, style[row.state.value]),
            cell(row.calls),
            cell(row.failures),
            cell(row.slow),
            cell(f"{row.in_flight} of {row.limit}"),
            cell(f"{row.probes} of {row.probe_quota}"),
            cell(f"{span(now - row.since)} ago"),
            cell(None if is_closed else shortened(row.opened_by, 16)),
            cell(_next_probe(row), "bold" if row.by_hand else ""),
        )
        for at, by, why, what in (
            (row.opened_at, row.opened_by, row.opened_why, "opened"),
            (row.reset_at, row.reset_by, row.reset_why, "reset"),
        ):
            if at is not None:
                notes.append(f"{row.name}  {what} {span(now - at)} ago by {shortened(by, 16)}: {shortened(why)}")
        if row.paused_s > 0:
            notes.append(f"{row.name}  the provider wants no call for {span(timedelta(seconds=ceil(row.paused_s)))}")
    return Group(table, *(Text(printable(note), style="dim") for note in notes))


def _next_probe(row: "Standing") -> str | None:
    from starters.cli.render import span

    if row.probe_in_s is not None:
        return span(timedelta(seconds=ceil(row.probe_in_s))) if row.probe_in_s > 0 else "now"
    return "a reset" if row.by_hand else None
