"""bulk approve: many low-risk reviews that are alike, shown first, then signed one by one, each bound to its digest."""

from typing import TYPE_CHECKING, Any

import click

from countersign.errors import DecisionRefused, InvalidRequest
from starters.cli.common import Group, emit, json_option, plain, tenant_option, with_client

if TYPE_CHECKING:
    from starters.client import ReviewClient


@click.group("bulk", cls=Group)
def bulk_command() -> None:
    """Sign many reviews at once, where nothing speaks against it."""


@bulk_command.command("approve")
@click.option("--playbook", required=True, help="Only reviews under this playbook.")
@click.option(
    "--max-severity",
    required=True,
    type=click.Choice(["info", "low", "medium"]),
    help="Only reviews without a graver finding.",
)
@click.option("--clause", help="Only reviews whose findings are all about this clause.")
@click.option("--reviewer", required=True, help="Who signs; never the requester.")
@click.option("--note", default="", help="Why, for the record of each.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Look at so many at most.")
@click.option("--yes", is_flag=True, help="Sign what is shown.  [default: only show it]")
@click.option("--only", metavar="DIGEST", help="Only if what is shown is what was shown under this digest.")
@tenant_option
@json_option
def approve(**options: Any) -> None:
    """Show which waiting reviews could be signed together; with --yes, sign them.

    Left out, whatever their findings: what needs two people, has a finding above the bound, proposes effects, was
    analysed without a part of the team, or is claimed. Each signature is a decision of its own, bound to the digest
    shown; a review that has changed since is refused and said.
    """
    shown = with_client(lambda client: _approve(client, options))
    if options["as_json"]:
        emit(shown)
    else:
        _print(shown, signed=options["yes"])
    refused = [row for row in shown["signed"] if row["outcome"] == "refused"]
    if refused:
        raise DecisionRefused(f"{len(refused)} of {len(shown['signed'])} were refused", remedy="Look at each of them")


async def _approve(client: "ReviewClient", options: dict[str, Any]) -> dict[str, Any]:
    from countersign.words import Severity
    from starters.bulk import Wanted, preview, sign

    wanted = Wanted(
        tenant=options["tenant"] or client.settings.tenant,
        reviewer=options["reviewer"],
        playbook=options["playbook"],
        most=Severity(options["max_severity"]),
        clause=options["clause"],
        limit=options["limit"],
    )
    shown = await preview(client, wanted)
    if options["only"] and not (len(options["only"]) >= 8 and shown.digest.startswith(options["only"])):
        raise InvalidRequest("--only: something else would be signed by now", remedy="Look at it anew, without --yes")
    signed = await sign(client, wanted, shown, options["note"]) if options["yes"] else ()
    return {
        "digest": shown.digest,
        "items": plain(list(shown.items)),
        "left_out": shown.reasons,
        "signed": plain(list(signed)),
    }


def _print(shown: dict[str, Any], *, signed: bool) -> None:
    from rich.text import Text

    from starters.cli.render import cell, show, table_of

    said = {row["review_id"]: row for row in shown["signed"]}
    table = table_of("review", "clauses", "findings", "worst", "confidence", "digest", "signed")
    for item in sorted(shown["items"], key=lambda item: (item["clauses"], item["review_id"])):
        row = said.get(item["review_id"], {"outcome": "", "why": ""})
        table.add_row(
            cell(item["review_id"]),
            cell(", ".join(item["clauses"]) or "none"),
            cell(item["findings"]),
            cell(item["worst"]),
            cell(f"{item['confidence']:.2f}"),
            cell(item["digest"][:12]),
            cell(": ".join(part for part in (row["outcome"], row["why"]) if part)),
        )
    show(table if shown["items"] else Text("Nothing can be signed in bulk."))
    for why, count in shown["left_out"].items():
        click.echo(f"{count} left out: {why}")
    if shown["items"] and not signed:
        click.echo(f"Nothing was signed. To sign exactly these: --yes --only {shown['digest'][:16]}")
