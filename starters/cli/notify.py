"""notify add, list, test, remove, retry: who is told of what waits, by webhook, Slack or e-mail."""

from typing import TYPE_CHECKING, Any

import click

from countersign.errors import InvalidRequest
from starters.cli.common import Group, emit, json_option, tenant_option, with_client

if TYPE_CHECKING:
    from countersign.notify.events import Event
    from countersign.store.subscriptions import Standing, Subscription
    from starters.client import ReviewClient


@click.group("notify", cls=Group)
def notify_command() -> None:
    """Say who is told of what waits. A notification says where to look; it decides nothing and carries no names."""


@notify_command.command("add")
@click.option("--to", "target", required=True, metavar="WHOM", help="all, group:NAME or person:NAME.")
@click.option("--channel", required=True, type=click.Choice(["webhook", "slack", "email"]))
@click.option("--address", required=True, help="The URL, or the e-mail address; stored sealed.")
@click.option("--events", metavar="LIST", help="Of what, with commas: waiting,escalated,…  [default: everything]")
@tenant_option
@json_option
def add(  # noqa: PLR0913 - one parameter an option
    *, target: str, channel: Any, address: str, events: str | None, tenant: str | None, as_json: bool
) -> None:
    """Have somebody told. A webhook's secret is printed, this once: with it the receiver checks what it gets."""
    wanted = _events(events)

    async def make(client: "ReviewClient") -> "Subscription":
        services = await client.services()
        await services.bring_up_to_date()
        return await services.subscriptions.add(
            tenant or client.settings.tenant,
            target,
            channel,
            address,
            events=wanted,
            private=client.settings.private_webhooks,
        )

    made = with_client(make)
    if as_json:
        emit({"subscription_id": made.subscription_id, "secret": made.secret if channel == "webhook" else None})
        return
    click.echo(f"{made.subscription_id}: {made.channel} to {made.where}")
    if channel == "webhook":
        click.echo(made.secret)
        click.echo("That is the secret that deliveries are signed with, shown this once.", err=True)


@notify_command.command("list")
@tenant_option
@json_option
def list_subscriptions(tenant: str | None, as_json: bool) -> None:
    """Show who is told of what, and how it goes: delivered, waiting, given up, and why."""

    async def look(client: "ReviewClient") -> "tuple[tuple[Subscription, ...], dict[str, Standing]]":
        book = (await client.services()).subscriptions
        of = tenant or client.settings.tenant
        return await book.of(of), await book.standings(of)

    rows, standings = with_client(look)
    if as_json:
        emit([_row(row, standings.get(row.subscription_id)) for row in rows])
        return
    from rich.text import Text

    from starters.cli.render import cell, show, table_of

    if not rows:
        show(Text("Nobody is told anything. Begin with 'countersign notify add'."))
        return
    table = table_of("subscription", "whom", "channel", "where", "of", "delivered", "waiting", "given up", "last error")
    for row in rows:
        told = _row(row, standings.get(row.subscription_id))
        table.add_row(
            cell(row.subscription_id),
            cell(row.target),
            cell(row.channel),
            cell(row.where),
            cell("everything" if len(row.events) == len(_events(None)) else ", ".join(row.events)),
            cell(told["delivered"]),
            cell(told["waiting"]),
            cell(told["dead"], "red" if told["dead"] else ""),
            cell(told["last_error"]),
        )
    show(table)


@notify_command.command("test")
@click.argument("subscription_id", metavar="ID")
@tenant_option
@json_option
def test(subscription_id: str, tenant: str | None, as_json: bool) -> None:
    """Send a test from here, now. What workers can reach may differ."""

    async def send_test(client: "ReviewClient") -> None:
        from starters import notifying

        await notifying.send_test(client, tenant or client.settings.tenant, subscription_id)

    with_client(send_test)
    if as_json:
        emit({"subscription_id": subscription_id, "delivered": True})
    else:
        click.echo(f"{subscription_id}: delivered")


@notify_command.command("remove")
@click.argument("subscription_id", metavar="ID")
@tenant_option
@json_option
def remove(subscription_id: str, tenant: str | None, as_json: bool) -> None:
    """Tell them no more. What still waits is not sent."""

    async def end(client: "ReviewClient") -> None:
        await (await client.services()).subscriptions.remove(tenant or client.settings.tenant, subscription_id)

    with_client(end)
    if as_json:
        emit({"subscription_id": subscription_id, "removed": True})
    else:
        click.echo(f"{subscription_id}: removed")


@notify_command.command("retry")
@click.argument("subscription_id", metavar="ID")
@tenant_option
@json_option
def retry(subscription_id: str, tenant: str | None, as_json: bool) -> None:
    """Try what was given up again."""

    async def revive(client: "ReviewClient") -> int:
        book, of = (await client.services()).subscriptions, tenant or client.settings.tenant
        await book.get(of, subscription_id)
        return await book.revive(of, subscription_id)

    count = with_client(revive)
    if as_json:
        emit({"subscription_id": subscription_id, "revived": count})
    else:
        click.echo(f"{subscription_id}: {count} will be tried again")


def _events(given: str | None) -> "tuple[Event, ...]":
    from countersign.notify.events import SUBSCRIBED, Event

    if given is None:
        return SUBSCRIBED
    words = [word.strip() for word in given.split(",") if word.strip()]
    unknown = [word for word in words if word not in SUBSCRIBED]
    if unknown or not words:
        raise InvalidRequest(
            "--events: names none, or an unknown one", remedy=f"The events are {', '.join(SUBSCRIBED)}"
        )
    return tuple(Event(word) for word in words)


def _row(row: "Subscription", standing: "Standing | None") -> dict[str, Any]:
    return {
        "subscription_id": row.subscription_id,
        "to": row.target,
        "channel": row.channel,
        "where": row.where,
        "events": list(row.events),
        "delivered": standing.delivered if standing else 0,
        "waiting": standing.waiting if standing else 0,
        "dead": standing.dead if standing else 0,
        "last_error": standing.last_error if standing else None,
    }
