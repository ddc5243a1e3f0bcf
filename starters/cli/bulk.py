"""bulk approve: many low-risk reviews that are alike, shown first, then signed one by one, each bound to its digest."""

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from countersign.errors import CountersignError, DecisionRefused, InvalidRequest
from starters.cli.common import Group, emit, json_option, plain, tenant_option, with_client

if TYPE_CHECKING:
    from countersign.review.bulk import Item
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
    from countersign.playbook.load import load_playbook
    from countersign.review.bulk import against, digest_of_all, item_of
    from countersign.words import Severity

    playbook = load_playbook(client.settings.playbooks, options["playbook"])
    tenant = options["tenant"] or client.settings.tenant
    items: list[Item] = []
    left_out: Counter[str] = Counter()
    for row in await client.queue(tenant=tenant, limit=options["limit"]):
        standing = await client.status(tenant, row.review_id)
        why = (
            against(
                standing.status,
                playbook=options["playbook"],
                kinds=playbook.contract_types,
                most=Severity(options["max_severity"]),
                clause=options["clause"],
                at=datetime.now(UTC),
            )
            if standing.live
            else "no worker answers"
        )
        if why:
            left_out[why] += 1
        else:
            items.append(item_of(standing.status))
    digest = digest_of_all(items)
    if options["only"] and not (len(options["only"]) >= 8 and digest.startswith(options["only"])):
        raise InvalidRequest("--only: something else would be signed by now", remedy="Look at it anew, without --yes")
    signed = [await _sign(client, tenant, item, options) for item in items] if options["yes"] else []
    return {"digest": digest, "items": plain(items), "left_out": dict(left_out), "signed": signed}


async def _sign(client: "ReviewClient", tenant: str, item: "Item", options: dict[str, Any]) -> dict[str, str]:
    """One decision of its own. What goes wrong with one keeps the others from nothing."""
    from countersign.review.payloads import Decision
    from countersign.words import Verdict

    decision = Decision(verdict=Verdict.APPROVE, reviewer=options["reviewer"], note=options["note"], digest=item.digest)
    try:
        receipt = await client.decide(tenant, item.review_id, decision)
    except CountersignError as error:
        return {"review_id": item.review_id, "outcome": "refused", "why": error.message}
    return {"review_id": item.review_id, "outcome": str(receipt.outcome or receipt.pending or "signed"), "why": ""}


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
