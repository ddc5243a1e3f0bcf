"""autonomy: what a cell (tenant, playbook, contract type) may do without a person, and what that rests on.

A level is earned by evidence and signed for (`propose`, `approve`); it is taken back by evidence, or by a person
(`demote`). `grant` is the exception: an override without evidence, recorded as one and watched like a level earned.
"""

from typing import TYPE_CHECKING, Any

import click

from countersign.errors import InvalidRequest
from countersign.words import Autonomy
from starters.cli.common import (
    F,
    Group,
    emit,
    emit_rows,
    json_option,
    say_if_new,
    tenant_filter,
    tenant_option,
    with_client,
)

if TYPE_CHECKING:
    from countersign.evidence.arms import CellKey
    from countersign.store.evidence_rows import HistoryRow
    from starters.client import ReviewClient

_ABOVE = [level.value for level in Autonomy if level is not Autonomy.SUPERVISED]
_BELOW = [level.value for level in Autonomy if level is not Autonomy.AUTONOMOUS]


@click.group("autonomy", cls=Group)
def autonomy_command() -> None:
    """Show, sign for and take back what a cell (tenant, playbook, contract type) may do without a person."""


def _cell_options(command: F) -> F:
    """The three words of a cell."""
    text = 'Kind of contract, for example "nda".'
    command = click.option("--type", "contract_type", required=True, help=text)(command)
    command = click.option("--playbook", required=True)(command)
    return click.option("--tenant", required=True)(command)


def _record(command: F) -> F:
    """In whose name, and why."""
    command = click.option("--reason", required=True, help="Why, for the record; without names.")(command)
    return click.option("--by", required=True, help="Who decides it; kept as a pseudonym.")(command)


@autonomy_command.command("show")
@tenant_filter
@json_option
def show(tenant: str | None, as_json: bool) -> None:
    """Show every cell with its level and the evidence so far. A cell that is not listed is supervised."""
    from starters.cli.autonomy_tables import cells_table
    from starters.cli.render import show as show_table

    rows = with_client(lambda client: client.cells(tenant))
    if as_json:
        emit_rows(rows)
    else:
        show_table(cells_table(rows))


@autonomy_command.command("propose")
@tenant_filter
@json_option
def propose(tenant: str | None, as_json: bool) -> None:
    """List cells whose evidence is enough for the next level now. A person signs with `approve`, or leaves it."""
    from starters.cli.autonomy_tables import proposals_view
    from starters.cli.render import show as show_table

    rows = tuple(row for row in with_client(lambda client: client.cells(tenant)) if row.proposed)
    if as_json:
        emit_rows(rows)
    else:
        show_table(proposals_view(rows))


@autonomy_command.command("approve")
@_cell_options
@click.option("--level", type=click.Choice(_ABOVE), help="The level you sign for.  [default: the one proposed]")
@_record
@json_option
def approve(  # noqa: PLR0913 - one parameter an option
    *, tenant: str, playbook: str, contract_type: str, level: str | None, by: str, reason: str, as_json: bool
) -> None:
    """Sign for the level that the evidence proposes. Refused when the evidence is not enough at this moment."""
    _filled(("--by", by), ("--reason", reason), ("--tenant", tenant), ("--type", contract_type))

    async def sign(client: "ReviewClient") -> dict[str, Any]:  # JSON
        services = await client.services()
        proposal, state = await services.evidence.approve(
            _cell(tenant, playbook, contract_type),
            Autonomy(level) if level else None,
            by_hash=services.pseudonyms.of("user", by.strip()),
            reason=reason.strip(),
        )
        cell = {"tenant": tenant, "playbook": playbook, "contract_type": contract_type}
        return {**cell, "autonomy": state.level, "signed": proposal.model_dump(mode="json")}

    signed = with_client(sign)
    if as_json:
        emit(signed)
        return
    click.echo(f"{tenant} / {playbook} / {contract_type}: {signed['autonomy']}, signed for")
    for line in signed["signed"]["reasons"]:
        click.echo(f"  {line}")


@autonomy_command.command("demote")
@_cell_options
@click.option("--level", default=Autonomy.SUPERVISED.value, show_default=True, type=click.Choice(_BELOW))
@_record
@json_option
def demote(  # noqa: PLR0913 - one parameter an option
    *, tenant: str, playbook: str, contract_type: str, level: str, by: str, reason: str, as_json: bool
) -> None:
    """Take levels back at once; what is above has to be earned anew. It holds for reviews that begin afterwards."""
    _filled(("--by", by), ("--reason", reason))

    async def take(client: "ReviewClient") -> Autonomy:
        services = await client.services()
        state = await services.evidence.demote(
            _cell(tenant, playbook, contract_type),
            Autonomy(level),
            by_hash=services.pseudonyms.of("user", by.strip()),
            reason=reason.strip(),
        )
        return state.level

    _say(tenant, playbook, contract_type, with_client(take), as_json=as_json)


@autonomy_command.command("explain")
@click.argument("review_id", metavar="REVIEW")
@tenant_option
@json_option
def explain(review_id: str, tenant: str | None, as_json: bool) -> None:
    """Say why a review went where it went, what evidence that rested on, and whether it counts as evidence itself."""
    from starters.autonomy import explained
    from starters.cli.autonomy_tables import explanation_view
    from starters.cli.render import show as show_table

    found = with_client(lambda client: explained(client, tenant or client.settings.tenant, review_id))
    if as_json:
        emit(found)
    else:
        show_table(explanation_view(found))


@autonomy_command.command("history")
@_cell_options
@json_option
def history(*, tenant: str, playbook: str, contract_type: str, as_json: bool) -> None:
    """Show how a cell's level changed: signed, overridden, taken back, and on which evidence."""
    from starters.cli.autonomy_tables import history_table
    from starters.cli.render import show as show_table

    async def look(client: "ReviewClient") -> "tuple[HistoryRow, ...]":
        return await (await client.services()).evidence.history(_cell(tenant, playbook, contract_type))

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
    else:
        show_table(history_table(rows))


@autonomy_command.command("grant")
@_cell_options
@click.option("--level", required=True, type=click.Choice([level.value for level in Autonomy]))
@_record
@json_option
def grant(  # noqa: PLR0913 - one parameter an option
    *, tenant: str, playbook: str, contract_type: str, level: str, by: str, reason: str, as_json: bool
) -> None:
    """Override: give a cell a level without the evidence for it, up or down, in a person's name.

    It holds for the models, prompts, playbook and code of the next review, is recorded as an override, and is taken
    back by errors like a level that was earned. What evidence is enough for is signed with `approve` instead.
    """
    _filled(("--by", by), ("--reason", reason), ("--tenant", tenant), ("--type", contract_type))

    async def give(client: "ReviewClient") -> None:
        await client.grant(tenant, playbook, contract_type, Autonomy(level), by=by.strip(), reason=reason.strip())
        await say_if_new(client, tenant, as_json=as_json)

    with_client(give)
    _say(tenant, playbook, contract_type, Autonomy(level), as_json=as_json)


def _filled(*given: tuple[str, str]) -> None:
    for option, value in given:
        if not value.strip():
            raise InvalidRequest(f"{option}: is empty", remedy="A change names its cell, who decides it, and why")


def _cell(tenant: str, playbook: str, contract_type: str) -> "CellKey":
    from countersign.evidence.arms import CellKey

    return CellKey(tenant, playbook, contract_type)


def _say(tenant: str, playbook: str, contract_type: str, level: Autonomy, *, as_json: bool) -> None:
    if as_json:
        emit({"tenant": tenant, "playbook": playbook, "contract_type": contract_type, "autonomy": level})
    else:
        click.echo(f"{tenant} / {playbook} / {contract_type}: {level}")
