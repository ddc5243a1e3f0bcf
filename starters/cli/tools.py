"""tools show, allow, deny, require-approval, reset, history and calls: what agents may use, changed while all runs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest
from countersign.words import ToolVerdict
from starters.cli.common import F, Group, emit, emit_rows, json_option, tenant_option, with_client

if TYPE_CHECKING:
    from rich.console import RenderableType

    from countersign.store.tool_calls import ToolCall
    from countersign.store.tool_rules import RuleChange
    from starters.client import ReviewClient


@click.group("tools", cls=Group)
def tools_command() -> None:
    """Show or change what agents may use: for everyone, for a tenant, for one specialist or playbook."""


def _scope(command: F) -> F:
    command = click.option("--playbook", help="Only in reviews under this playbook.")(command)
    command = click.option("--role", help="Only in the hands of this specialist (its key in the playbook).")(command)
    return click.option("--tenant", help="One tenant.  [default: everyone]")(command)


def _change(command: F) -> F:
    command = json_option(_scope(command))
    command = click.option("--reason", required=True, help="Why, for the record; without names.")(command)
    command = click.option("--by", required=True, help="Who changes it; kept as a pseudonym.")(command)
    return click.argument("tool")(command)


@tools_command.command("show")
@_scope
@json_option
def show(tenant: str | None, role: str | None, playbook: str | None, as_json: bool) -> None:
    """Show what holds for each tool after a clean screening, and why."""
    from countersign.review.capability import Capability
    from countersign.tools.names import NATURES

    async def look(client: "ReviewClient") -> list[dict[str, str]]:
        from countersign.playbook.load import load_playbook

        services = await client.services()
        loaded = load_playbook(client.settings.playbooks, playbook) if playbook else None
        policy = await services.tool_rules.policy(tenant or "", loaded)
        return [
            {"tool": tool, "nature": nature, "verdict": judged.verdict, "why": judged.reason}
            for tool, nature in NATURES.items()
            for judged in (policy.judge(tool, role=role or "", left=Capability()),)
        ]

    rows = with_client(look)
    if as_json:
        emit(rows)
        return
    from starters.cli.render import cell, table_of
    from starters.cli.render import show as show_table

    table = table_of("tool", "says it", "policy", "because")
    styles = {ToolVerdict.DENY: "red", ToolVerdict.NEEDS_APPROVAL: "yellow", ToolVerdict.ALLOW: "green"}
    for row in rows:
        says = "only reads" if row["nature"] == "read_only" else "has an effect"
        verdict = ToolVerdict(row["verdict"])
        table.add_row(cell(row["tool"]), cell(says), cell(verdict.replace("_", " "), styles[verdict]), cell(row["why"]))
    show_table(table)


@tools_command.command("allow")
@_change
def allow(**options: str | None) -> None:
    """Allow a tool. One with an effect then needs no approval of its own: the signature of the review is enough."""
    _set(ToolVerdict.ALLOW, options)


@tools_command.command("deny")
@_change
def deny(**options: str | None) -> None:
    """Forbid a tool. Agents are no longer offered it, and what it was proposed for does not happen."""
    _set(ToolVerdict.DENY, options)


@tools_command.command("require-approval")
@_change
def require_approval(**options: str | None) -> None:
    """Ask for a person's approval of each effect of a tool."""
    _set(ToolVerdict.NEEDS_APPROVAL, options)


@tools_command.command("reset")
@_change
def reset(**options: str | None) -> None:
    """Take back what was set for this scope: what holds without it holds again."""
    _set(None, options)


@tools_command.command("history")
@click.option("--tenant", help="One tenant's.  [default: all]")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many, newest first.")
@json_option
def history(tenant: str | None, limit: int, as_json: bool) -> None:
    """Show who changed the policy, and why."""

    async def look(client: "ReviewClient") -> "tuple[RuleChange, ...]":
        return await (await client.services()).tool_rules.history(tenant, limit)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import show as show_table

    show_table(_history_table(rows))


@tools_command.command("calls")
@click.argument("review_id", metavar="ID")
@tenant_option
@json_option
def calls(review_id: str, tenant: str | None, as_json: bool) -> None:
    """Show every call of a tool in a review: by whom, how it was answered, how long it took. Never what was said."""

    async def look(client: "ReviewClient") -> "tuple[ToolCall, ...]":
        from countersign.review.payloads import ReviewKey
        from countersign.store.tool_calls import ToolCalls

        services = await client.services()
        row = await services.reviews.row(review_id, tenant=tenant or client.settings.tenant)
        key = ReviewKey(tenant=row.tenant, review_id=row.review_id, workflow_id=row.workflow_id)
        return await ToolCalls(services.db, services.pseudonyms, key).rows()

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
        return
    from starters.cli.render import show as show_table

    show_table(_calls_table(rows))


def _set(verdict: ToolVerdict | None, options: dict[str, str | None]) -> None:
    from countersign.tools.names import known_tool

    tool, tenant = known_tool(options["tool"] or ""), options["tenant"]
    for option in ("by", "reason"):
        if not (options[option] or "").strip():
            raise InvalidRequest(f"--{option}: is empty", remedy="A change of the policy says who makes it, and why")

    async def change(client: "ReviewClient") -> tuple[bool, int, int]:
        services = await client.services()
        changed = await services.tool_rules.change(
            tenant,
            tool,
            verdict,
            role=options["role"] or "",
            playbook=options["playbook"] or "",
            by_hash=services.pseudonyms.of("user", options["by"] or ""),
            reason=options["reason"] or "",
        )
        return changed, *(await client.reconsider_effects(tenant) if changed else (0, 0))

    changed, told, not_told = with_client(change)
    if options["as_json"]:
        emit({"tool": tool, "verdict": verdict, "changed": changed, "reviews_told": told, "not_told": not_told})
        return
    scope = " ".join(part for part in (tenant or "everyone", options["role"] or "", options["playbook"] or "") if part)
    said = verdict.replace("_", " ") if verdict else "no rule"
    click.echo(f"{tool}: {said} for {scope}" if changed else f"{tool}: it said so already")
    if told:
        click.echo(f"{told} review(s) with open effects were told; approvals it touches have fallen")
    if not_told:
        click.echo(f"{not_told} review(s) could not be told; they find out before any effect happens", err=True)


def _history_table(rows: "Sequence[RuleChange]") -> "RenderableType":
    from rich.text import Text

    from starters.cli.render import cell, moment, shortened, table_of

    if not rows:
        return Text("The policy was never changed: the defaults hold.")
    table = table_of("at", "tool", "for", "before", "after", "by", "reason")
    for row in rows:
        scope = " ".join(part for part in (row.tenant or "everyone", row.role, row.playbook) if part)
        table.add_row(
            cell(moment(row.changed_at)),
            cell(row.tool),
            cell(scope),
            cell(row.before),
            cell(row.after),
            cell(shortened(row.by_hash, 16)),
            cell(shortened(row.reason)),
        )
    return table


def _calls_table(rows: "Sequence[ToolCall]") -> "RenderableType":
    from rich.text import Text

    from starters.cli.render import cell, moment, shortened, table_of

    if not rows:
        return Text("No tool was called.")
    table = table_of("at", "run", "tool", "answer", "ms", "characters", "arguments")
    for row in rows:
        style = "" if row.verdict in {"ran", "proposed"} else "yellow"
        table.add_row(
            cell(moment(row.called_at)),
            cell(row.run),
            cell(row.tool),
            cell(row.verdict, style),
            cell(row.ms),
            cell(row.result_chars),
            cell(shortened(row.args_digest, 16)),
        )
    return table
