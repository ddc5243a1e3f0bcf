"""limits show, set, reset and history: what may come in, for everyone, a tenant or one user; changed while all runs."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from countersign.errors import InvalidRequest
from starters.cli.common import F, Group, emit_rows, json_option, say_if_new, with_client

if TYPE_CHECKING:
    from rich.console import RenderableType

    from countersign.admission.limits import LimitBook, LimitChange, LimitInForce
    from starters.client import ReviewClient

T = TypeVar("T")


@click.group("limits", cls=Group)
def limits_command() -> None:
    """Show or change what may come in: for everyone, for a tenant, or for one user of it."""


def _scope(command: F) -> F:
    command = click.option("--user", metavar="NAME", help="One user of the tenant.")(command)
    return click.option("--tenant", help="One tenant.  [default: everyone]")(command)


def _record(command: F) -> F:
    command = click.option("--reason", required=True, help="Why, for the record; without names.")(command)
    return click.option("--by", required=True, help="Who changes it; kept as a pseudonym.")(command)


@limits_command.command("show")
@_scope
@json_option
def show(tenant: str | None, user: str | None, as_json: bool) -> None:
    """Show what holds, and for whom it was set."""
    _print(_with_book(user, lambda book, user_hash: book.explain(tenant, user_hash)), as_json=as_json)


@limits_command.command("set")
@click.argument("limits", metavar="NAME=VALUE…", nargs=-1, required=True)
@_scope
@_record
@json_option
def set_limits(  # noqa: PLR0913 - one parameter an option
    *, limits: tuple[str, ...], tenant: str | None, user: str | None, by: str, reason: str, as_json: bool
) -> None:
    """Set limits, for example `user_per_hour=20`. In force everywhere after about two seconds."""
    pairs = [_limit(given) for given in limits]
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise InvalidRequest("limits: one of them is given twice", remedy="Give each once")
    _print(_change(tenant, user, fields, by=by, reason=reason, as_json=as_json), as_json=as_json)


@limits_command.command("reset")
@click.argument("names", metavar="[NAME…]", nargs=-1)
@_scope
@_record
@json_option
def reset(  # noqa: PLR0913 - one parameter an option
    *, names: tuple[str, ...], tenant: str | None, user: str | None, by: str, reason: str, as_json: bool
) -> None:
    """Take back what was set for this scope, all or by name: what holds without it holds again."""
    fields = dict.fromkeys(names) if names else None
    _print(_change(tenant, user, fields, by=by, reason=reason, as_json=as_json), as_json=as_json)


@limits_command.command("history")
@_scope
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, newest first.")
@json_option
def history(tenant: str | None, user: str | None, limit: int, as_json: bool) -> None:
    """Show who changed what and why: of one scope, or of all."""
    rows = _with_book(user, lambda book, user_hash: book.history(tenant, user_hash, limit))
    if as_json:
        emit_rows(rows)
    else:
        from starters.cli.render import show as show_table

        show_table(_history_table(rows))


def _limit(given: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not equals or not name or not value:
        raise InvalidRequest("limits: one of them is not NAME=VALUE", remedy="Write for example user_per_hour=20")
    return name, value


def _change(  # noqa: PLR0913 - a change states all of this
    tenant: str | None,
    user: str | None,
    fields: Mapping[str, object] | None,
    *,
    by: str,
    reason: str,
    as_json: bool,
) -> "tuple[LimitInForce, ...]":
    for option, value in (("--by", by), ("--reason", reason)):
        if not value.strip():
            raise InvalidRequest(f"{option}: is empty", remedy="A change of limits says who makes it, and why")

    async def change(client: "ReviewClient") -> "tuple[LimitInForce, ...]":
        services = await client.services()
        user_hash = None if user is None else services.pseudonyms.of("user", user)
        by_hash = services.pseudonyms.of("user", by)
        await services.limits.change(tenant, user_hash, fields, by_hash=by_hash, reason=reason)
        await say_if_new(client, tenant, as_json=as_json)
        return await services.limits.explain(tenant, user_hash)

    return with_client(change)


def _with_book(user: str | None, work: "Callable[[LimitBook, str | None], Awaitable[T]]") -> T:
    async def run(client: "ReviewClient") -> T:
        services = await client.services()
        return await work(services.limits, None if user is None else services.pseudonyms.of("user", user))

    return with_client(run)


def _print(rows: "Sequence[LimitInForce]", *, as_json: bool) -> None:
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, show, table_of

    table = table_of("limit", "value", "set for")
    for row in rows:
        style = "dim" if row.set_for == "default" else ""
        table.add_row(cell(row.name), cell(f"{row.value:.10g}"), cell(row.set_for, style))
    show(table)


def _history_table(rows: "Sequence[LimitChange]") -> "RenderableType":
    from rich.text import Text

    from starters.cli.render import cell, moment, shortened, table_of

    if not rows:
        return Text("No limit was ever changed.")
    table = table_of("at", "for", "before", "after", "by", "reason")
    for row in rows:
        table.add_row(
            cell(moment(row.changed_at)),
            cell(row.scope or "everyone"),
            cell(_brief(row.before)),
            cell(_brief(row.after)),
            cell(shortened(row.by_hash, 16)),
            cell(shortened(row.reason)),
        )
    return table


def _brief(fields: dict[str, Any] | None) -> str:  # any JSON number
    return " ".join(f"{name}={value:.10g}" for name, value in (fields or {}).items()) or "-"
