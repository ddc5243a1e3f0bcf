"""submit, status, watch, list, queue, document: give reviews in and see where they stand."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import click

from countersign.words import Outcome, Stage
from starters.cli.common import (
    Command,
    emit,
    emit_rows,
    json_option,
    load_settings,
    tenant_filter,
    tenant_option,
    with_client,
)

if TYPE_CHECKING:
    from countersign.document.model import DocumentText
    from countersign.review.payloads import DocumentRef
    from countersign.store.reviews import ReviewRow
    from starters.client import ReviewClient, Standing

_LIMIT = click.IntRange(1, 1000)


@click.command("submit", cls=Command)
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--tenant", help="On whose behalf.  [default: COUNTERSIGN_TENANT]")
@click.option("--user", help="Who asks; may not sign.  [default: COUNTERSIGN_USER]")
@click.option("--session", help="Remember what was said under this name, for the next review in it.")
@click.option("--ask", default="", help="What you want to know, in your words.")
@click.option("--playbook", help="What to look for.  [default: nda]")
@click.option("--id", "review_id", help="Your own id for the review; submitting it again is no second review.")
@click.option("--shadow", is_flag=True, help="Only compare: a person judges without seeing what the agents found.")
@click.option("--wait", is_flag=True, help="Follow it until it ends or waits for a person.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after this long.")
@json_option
def submit_command(  # noqa: PLR0913 - one parameter an option
    *,
    files: tuple[str, ...],
    tenant: str | None,
    user: str | None,
    session: str | None,
    ask: str,
    playbook: str | None,
    review_id: str | None,
    shadow: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Submit contracts for review: PDF, Markdown or plain text; - is standard input.

    Several files become several reviews; one bad file does not stop the others, and the exit code is that of the
    first failure. With --wait the exit code tells how it went.
    """
    from starters.cli.submitting import Order, report, submit_all

    settings = load_settings()
    fields: dict[str, object] = {
        "tenant": tenant or settings.tenant,
        "user": user or settings.user,
        "session": session,
        "ask": ask,
    }
    if playbook is not None:
        fields["playbook"] = playbook
    if shadow:
        fields["mode"] = "shadow"
    order = Order(files=files, fields=fields, review_id=review_id, wait=wait, timeout_s=timeout, as_json=as_json)
    report(order, with_client(lambda client: submit_all(client, order)), settings.tenant)


@click.command("status", cls=Command)
@click.argument("review_id", metavar="ID")
@tenant_option
@json_option
def status_command(review_id: str, tenant: str | None, as_json: bool) -> None:
    """Show where a review stands: asked of its workflow, or of the database when no worker answers."""
    from starters.cli.following import say_if_stored
    from starters.cli.render import show, status_view

    async def look(client: "ReviewClient") -> "Standing":
        return await client.status(tenant or client.settings.tenant, review_id)

    standing = with_client(look)
    say_if_stored(standing, as_json=as_json)
    if as_json:
        emit(standing.status)
    else:
        show(status_view(standing.status, load_settings().tenant))


@click.command("watch", cls=Command)
@click.argument("review_id", metavar="ID")
@tenant_option
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after this long.")
@json_option
def watch_command(review_id: str, tenant: str | None, timeout: float | None, as_json: bool) -> None:
    """Follow a review until it ends or waits for a person. The exit code tells how it went."""
    from starters.cli.following import bad_end, follow, say_if_stored
    from starters.cli.render import show, status_view

    async def look(client: "ReviewClient") -> "Standing":
        return await follow(client, tenant or client.settings.tenant, review_id, timeout_s=timeout, quiet=as_json)

    standing = with_client(look)
    say_if_stored(standing, as_json=as_json)
    if as_json:
        emit(standing.status)
    else:
        show(status_view(standing.status, load_settings().tenant))
    if (problem := bad_end(standing.status)) is not None:
        raise problem


@click.command("list", cls=Command)
@tenant_filter
@click.option("--stage", type=click.Choice([stage.value for stage in Stage]), help="Only those at this stage.")
@click.option("--outcome", type=click.Choice([one.value for one in Outcome]), help="Only those that ended so.")
@click.option("--limit", type=_LIMIT, default=50, show_default=True)
@json_option
def list_command(tenant: str | None, stage: str | None, outcome: str | None, limit: int, as_json: bool) -> None:
    """List reviews, newest first."""
    from starters.cli.render import none_of, show
    from starters.cli.tables import rows_table

    async def look(client: "ReviewClient") -> "tuple[ReviewRow, ...]":
        return await client.rows(
            tenant=tenant,
            stage=Stage(stage) if stage else None,
            outcome=Outcome(outcome) if outcome else None,
            limit=limit,
        )

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
    else:
        show(rows_table(rows) if rows else none_of("No reviews", tenant))


@click.command("queue", cls=Command)
@tenant_filter
@click.option(
    "--for",
    "waiting_for",
    type=click.Choice(["reviewer", "requester"]),
    default="reviewer",
    show_default=True,
    help="Whom it waits for: a requester has a question to answer.",
)
@click.option("--limit", type=_LIMIT, default=50, show_default=True)
@json_option
def queue_command(tenant: str | None, waiting_for: Literal["reviewer", "requester"], limit: int, as_json: bool) -> None:
    """List what waits for a reviewer (or for a requester's answer), most urgent first."""
    from starters.cli.render import none_of, show
    from starters.cli.tables import queue_table

    rows = with_client(lambda client: client.queue(tenant=tenant, waiting_for=waiting_for, limit=limit))
    if as_json:
        emit_rows(rows)
    else:
        table = queue_table(rows, datetime.now(UTC), waiting_for)
        show(table if rows else none_of(f"Nothing waits for a {waiting_for}", tenant))


@click.command("document", cls=Command)
@click.argument("review_id", metavar="ID")
@click.option("--text", is_flag=True, help="Print exactly the extracted text, which quotations' offsets refer to.")
@tenant_option
@json_option
def document_command(review_id: str, text: bool, tenant: str | None, as_json: bool) -> None:
    """Print a review's document as text, or its sections. Offsets are characters, end-exclusive."""
    from starters.cli.render import count, printable, show
    from starters.cli.tables import sections_table

    async def look(client: "ReviewClient") -> "tuple[DocumentRef, DocumentText]":
        return await client.document(tenant or client.settings.tenant, review_id)

    document, content = with_client(look)
    if as_json:
        emit({"text": content.text, "pages": content.pages, "sections": content.sections})
    elif text:
        out = sys.stdout.buffer
        # Exactly the text, as UTF-8 and without a last newline; on a terminal nothing that could steer it.
        out.write((printable(content.text) if out.isatty() else content.text).encode())
        out.flush()
    else:
        pages = count(len(content.pages), "page")
        click.echo(
            f"{document.document_id}: {document.media_type}, {document.size:,} bytes, {pages}, "
            f"{len(content.text):,} characters"
        )
        show(sections_table(content))
