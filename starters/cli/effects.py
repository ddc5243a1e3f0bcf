"""effects list, approve, decline, obligations and outbox: what agents propose to do, and what was done."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from countersign.errors import InvalidRequest
from starters.cli.common import (
    Group,
    emit,
    emit_rows,
    first_problem,
    json_option,
    tenant_filter,
    tenant_option,
    with_client,
)

if TYPE_CHECKING:
    from countersign.review.payloads import EffectReceipt
    from countersign.store.effects import Notice, Obligation
    from starters.client import ReviewClient

F = TypeVar("F", bound=Callable[..., Any])
_LIMIT = click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)


@click.group("effects", cls=Group)
def effects_command() -> None:
    """Approve or decline what agents propose to do; see what was done.

    Nothing happens before the review is signed, and what nobody approved by then is declined.
    """


def _decision(command: F) -> F:
    command = json_option(tenant_option(command))
    command = click.option("--digest", help="Only if it is still bound to this.  [default: whatever it is now]")(
        command
    )
    command = click.option("--note", default="", help="Why, for yourself; it is not kept on the trail.")(command)
    command = click.option("--reviewer", required=True, help="Who decides; never the requester.")(command)
    command = click.argument("item", metavar="ITEM")(command)
    return click.argument("review_id", metavar="ID")(command)


@effects_command.command("approve")
@_decision
def approve(**options: Any) -> None:
    """Approve one proposed effect. It happens once, when the review is signed, if nothing of it changes before."""
    _decide(options, approve=True)


@effects_command.command("decline")
@_decision
def decline(**options: Any) -> None:
    """Decline one proposed effect, for good; also one that was approved."""
    _decide(options, approve=False)


@effects_command.command("list")
@tenant_filter
@_LIMIT
@json_option
def list_open(tenant: str | None, limit: int, as_json: bool) -> None:
    """List open effects of all reviews that wait."""

    async def look(client: "ReviewClient") -> list[dict[str, Any]]:
        reviews = (await client.services()).reviews
        found: list[dict[str, Any]] = []
        for row in await reviews.with_effects(tenant, limit):
            status = await reviews.status(row.workflow_id)
            found += [
                {"tenant": row.tenant, "review": row.review_id, **effect.model_dump(mode="json")}
                for effect in status.effects
            ]
        return found

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, none_of, shortened, show, table_of

    if not rows:
        show(none_of("No effect waits for a person", tenant))
        return
    table = table_of("review", "tenant", "item", "state", "what", "digest")
    for row in rows:
        what = cell(shortened(row["summary"], 100))
        table.add_row(
            cell(row["review"]),
            cell(row["tenant"]),
            cell(row["item"]),
            cell(row["state"]),
            what,
            cell(row["digest"][:12]),
        )
    show(table)


@effects_command.command("obligations")
@tenant_filter
@_LIMIT
@json_option
def obligations(tenant: str | None, limit: int, as_json: bool) -> None:
    """Show the register of obligations, by when they are due."""

    async def look(client: "ReviewClient") -> "tuple[Obligation, ...]":
        return await (await client.services()).effects.obligations(tenant, limit)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, none_of, shortened, show, table_of

    if not rows:
        show(none_of("The register is empty", tenant))
        return
    table = table_of("review", "tenant", "item", "kind", "due", "duty")
    for row in rows:
        due = cell(row.due_on or row.period)
        place = (cell(row.review_id), cell(row.tenant), cell(row.item))
        table.add_row(*place, cell(row.kind), due, cell(shortened(row.duty, 100)))
    show(table)


@effects_command.command("outbox")
@tenant_filter
@_LIMIT
@json_option
def outbox(tenant: str | None, limit: int, as_json: bool) -> None:
    """Show notices and whether they were delivered (put into COUNTERSIGN_NOTICE_FOLDER)."""

    async def look(client: "ReviewClient") -> "tuple[Notice, ...]":
        return await (await client.services()).effects.notices(tenant, limit)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import cell, moment, none_of, shortened, show, table_of

    if not rows:
        show(none_of("No notice was ever approved", tenant))
        return
    table = table_of("review", "tenant", "item", "to", "subject", "approved", "delivered")
    for row in rows:
        waits = f"waits ({row.last_error})" if row.last_error else "waits"
        table.add_row(
            cell(row.review_id),
            cell(row.tenant),
            cell(row.item),
            cell(row.recipient.replace("_", " ")),
            cell(shortened(str(row.content.get("subject", "")))),
            cell(moment(row.queued_at)),
            cell(moment(row.delivered_at) if row.delivered_at else waits, "" if row.delivered_at else "yellow"),
        )
    show(table)


def _decide(options: dict[str, Any], *, approve: bool) -> None:
    from pydantic import ValidationError

    from countersign.review.payloads import EffectDecision

    try:
        decision = EffectDecision.model_validate(
            {name: options[name] for name in ("item", "reviewer", "note", "digest")}
        )
    except ValidationError as error:
        problem = first_problem(error)
        if problem.startswith("item:"):
            raise InvalidRequest(
                "ITEM: is not an item's id", remedy="Write it as the status does, for example E1"
            ) from None
        raise InvalidRequest(f"--{problem}", remedy="See --help") from None

    async def give(client: "ReviewClient") -> "EffectReceipt":
        tenant = options["tenant"] or client.settings.tenant
        return await client.decide_effect(tenant, options["review_id"], decision, approve=approve)

    receipt = with_client(give)
    if options["as_json"]:
        emit(receipt)
        return
    left = f"; {receipt.pending} more wait" if receipt.pending else ""
    follows = "; it happens when the review is signed" if approve else ""
    click.echo(f"{receipt.review_id} {receipt.item}: {receipt.state}{follows}{left}")
