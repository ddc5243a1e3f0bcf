"""knowledge add and search: the cold tier of memory."""

from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from countersign.errors import CountersignError, InvalidRequest
from starters.cli.common import Group, emit, emit_rows, json_option, tenant_option, with_client
from starters.cli.files import DOCUMENT_LIMIT, STDIN, about, read_bounded

if TYPE_CHECKING:
    from countersign.review.payloads import KnowledgeHit
    from starters.client import ReviewClient


@click.group("knowledge", cls=Group)
def knowledge_command() -> None:
    """Add to and search the knowledge base: reference texts that reviews recall by likeness."""


@knowledge_command.command("add")
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@tenant_option
@click.option("--shared", is_flag=True, help="For all tenants.")
@json_option
def add(files: tuple[str, ...], tenant: str | None, shared: bool, as_json: bool) -> None:
    """Add texts (PDF, Markdown, plain text), each under its file name. Adding the same again adds nothing."""
    if shared and tenant is not None:
        raise InvalidRequest("--shared with --tenant: a text is one tenant's or everyone's", remedy="Give one of them")

    async def give(client: "ReviewClient") -> list[dict[str, object]]:
        owner = None if shared else tenant or client.settings.tenant
        max_bytes = int(client.settings.max_document_mb * 1_000_000)
        added: list[dict[str, object]] = []
        for file in files:
            source = "stdin" if file == STDIN else PurePath(file).name
            passages = await client.add_knowledge(owner, source, _text_of(file, max_bytes))
            added.append({"file": file, "source": source, "tenant": owner, "passages": passages})
        return added

    added = with_client(give)
    if as_json:
        emit(added)
    else:
        for one in added:
            click.echo(f"{one['file']}: {one['passages']} new passages for {one['tenant'] or 'all tenants'}")


def _text_of(file: str, max_bytes: int) -> str:
    """The text of a file, read as a document under review is. Errors name the file."""
    from countersign.document.read import read_document, sniff

    data = read_bounded(file, max_bytes, setting=DOCUMENT_LIMIT)
    try:
        return read_document(data, sniff(data, PurePath(file).name), max_bytes=max_bytes).text
    except CountersignError as error:
        raise about(file, error) from None


@knowledge_command.command("search")
@click.argument("query")
@tenant_option
@click.option("--limit", type=click.IntRange(1, 100), default=5, show_default=True)
@json_option
def search(query: str, tenant: str | None, limit: int, as_json: bool) -> None:
    """Find the passages nearest to QUERY, among the tenant's own and the shared ones."""
    from starters.cli.render import show
    from starters.cli.tables import hits_table

    if not query.strip():
        raise InvalidRequest("QUERY: is empty", remedy="Say what to look for")

    async def look(client: "ReviewClient") -> "tuple[KnowledgeHit, ...]":
        return await client.search_knowledge(tenant or client.settings.tenant, query, limit)

    hits = with_client(look)
    if as_json:
        emit_rows(hits)
    else:
        show(hits_table(hits))
