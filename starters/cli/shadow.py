"""shadow run, report and list: the agents beside people, with nothing released."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from countersign.errors import InvalidRequest
from starters.cli.common import F, Group, emit, emit_rows, json_option, load_settings, with_client

if TYPE_CHECKING:
    from countersign.settings import Settings
    from countersign.shadow.report import Baseline, ShadowReport
    from countersign.store.shadow import RunRow
    from starters.client import ReviewClient
    from starters.shadowing import Run

    Clients = Callable[[Settings], AbstractAsyncContextManager[ReviewClient]]

DEFAULT_LIMIT = 60
"""A run to look at within minutes; with `--limit 0` all cases."""
DEFAULT_WINDOW = 4


@click.group("shadow", cls=Group)
def shadow_command() -> None:
    """Compare the agents with people: nothing is released, whatever they say."""


def _report_options(command: F) -> F:
    """Options of what shows a report."""
    command = click.option(
        "--manual-cost", type=click.FloatRange(min=0), metavar="USD", help="What one contract costs by hand."
    )(command)
    command = click.option(
        "--manual-minutes", type=click.FloatRange(min=0), metavar="MIN", help="What one contract takes by hand."
    )(command)
    return click.option(
        "--html", "html", type=click.Path(dir_okay=False, path_type=Path), help="Also write one self-contained page."
    )(command)


@shadow_command.command("run")
@click.argument("source", metavar="[CASES.jsonl|FOLDER]", type=click.Path(path_type=Path), required=False)
@click.option("--tenant", help="For whose cells the pairs count.  [default: COUNTERSIGN_TENANT]")
@click.option("--playbook", default="msa", show_default=True, help="For cases that name none.")
@click.option("--limit", type=click.IntRange(min=0), default=DEFAULT_LIMIT, show_default=True, help="0 for all.")
@click.option("--window", type=click.IntRange(1, 200), default=DEFAULT_WINDOW, show_default=True, help="At once.")
@click.option("--name", help="Name of the run; the same name goes on with one that was interrupted.")
@_report_options
@json_option
def run(  # noqa: PLR0913 - one parameter an option
    *,
    source: Path | None,
    tenant: str | None,
    playbook: str,
    limit: int,
    window: int,
    name: str | None,
    html: Path | None,
    manual_minutes: float | None,
    manual_cost: float | None,
    as_json: bool,
) -> None:
    """Run labelled cases through the agents and report how well they agree. Nobody is asked, nothing is released.

    A FOLDER is laid out like COUNTERSIGN_DATA (cuad/contracts.jsonl and spans.jsonl), which is the default. A line of
    CASES.jsonl is an object: "path" (relative to the file) or "text"; "labels": clause family to "present", "absent", a
    position, or {"label", "severity", "quote"}; or "decision": approve, amend or reject; optional "second" (another
    person's labels), "playbook", "ask", "name". A pair counts towards autonomy where the whole was judged: a decision,
    or a label ("absent" too) for every clause family of the playbook.

    Uses the stack that runs, or starts one in COUNTERSIGN_HOME for as long as the run takes.
    """
    from countersign.errors import PlaybookError
    from countersign.playbook.load import load_playbook
    from countersign.shadow.cases import Cases, of_playbook, read_cases
    from countersign.shadow.report import Baseline
    from starters.shadowing import Run

    settings = load_settings()
    where = source or settings.data
    found = read_cases(where, playbook, limit=limit or None)
    families: dict[str, list[str]] = {}
    for case in found.cases:
        if case.playbook not in families:
            book = load_playbook(settings.playbooks, case.playbook)
            families[case.playbook] = [family.key for family in book.families]
    asked = tuple(of_playbook(case, families[case.playbook]) for case in found.cases)
    kept = tuple(case for case in asked if any(case.labels.people) or case.labels.decision is not None)
    if not kept:
        raise PlaybookError(
            f"{where}: no label is about a clause family of playbook {playbook}",
            remedy=f"Its families are {', '.join(families[playbook]) if playbook in families else 'others'}",
        )
    cases = Cases(kept, found.of, found.notes, found.trained_on)
    order = Run(
        run_id=_run_name(name),
        cases=cases,
        tenant=tenant or settings.tenant,
        user="shadow-run",
        playbook=playbook,
        source=where.name or str(where),
        window=window,
    )
    for note in found.notes:
        click.echo(note, err=True)
    if not as_json:
        left = f" of {found.of:,} (a seeded choice; --limit 0 for all)" if len(kept) < found.of else ""
        click.echo(f"Shadow run {order.run_id}: {len(kept):,} cases{left}, playbook {playbook}", err=True)
    from starters.client import ReviewClient

    # Tests put another factory of clients into the context.
    make: Clients = click.get_current_context().obj or ReviewClient.open
    result = asyncio.run(_run(settings, order, Baseline(manual_minutes, manual_cost), make))
    _show(result, html, as_json=as_json, target=settings.target_error)


def _run_name(name: str | None) -> str:
    if name is None:
        return f"shadow-{secrets.token_hex(3)}"
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name):
        raise InvalidRequest("--name: must be up to 40 small letters, digits and dashes", remedy="As in q3-contracts")
    return name


async def _run(settings: "Settings", order: "Run", baseline: "Baseline", make: "Clients") -> "ShadowReport":
    from starters.cli.render import progress
    from starters.shadowing import gather, run_cases

    async with _stack(settings), make(settings) as client:
        with progress(f"0 of {len(order.cases.cases)} cases compared", quiet=False) as say:

            def tell(done: int, of: int, waiting: str) -> None:
                say(f"{done} of {of} cases compared" + (f"; {waiting}" if waiting else ""))

            await run_cases(client, order, tell)
        return (await gather(await client.services(), order.tenant, order.run_id, baseline)).report


@asynccontextmanager
async def _stack(settings: "Settings") -> AsyncIterator[None]:
    """The stack that is there already, or one for the length of the run."""
    from workers.endpoints import supervisor_pid

    named = (settings.temporal_address or settings.temporal_profile) and settings.database_url and settings.redis_url
    if named or supervisor_pid(settings.state) is not None:
        yield
        return
    from workers.embedded import EmbeddedStack

    click.echo(f"Starting servers and a worker in {settings.home} for this run ...", err=True)
    async with EmbeddedStack(settings.state, settings) as stack:
        await stack.run_worker()
        yield


@shadow_command.command("report")
@click.argument("name", metavar="[RUN]", required=False)
@click.option("--tenant", help="Whose run.  [default: COUNTERSIGN_TENANT]")
@click.option("--live", is_flag=True, help="On shadow reviews that people judged blind, instead of a run.")
@_report_options
@json_option
def report_(  # noqa: PLR0913 - one parameter an option
    *,
    name: str | None,
    tenant: str | None,
    live: bool,
    html: Path | None,
    manual_minutes: float | None,
    manual_cost: float | None,
    as_json: bool,
) -> None:
    """Report on a shadow run, the latest by default: a table, one JSON document, or one page for a manager."""
    from countersign.shadow.report import Baseline
    from starters.shadowing import gather, gather_live

    settings = load_settings()
    whose, baseline = tenant or settings.tenant, Baseline(manual_minutes, manual_cost)
    if live and name:
        raise InvalidRequest("--live: is about no run", remedy="Leave the name of the run out")

    async def look(client: "ReviewClient") -> "ShadowReport":
        services = await client.services()
        found = gather_live(services, whose, baseline) if live else gather(services, whose, name, baseline)
        return (await found).report

    _show(with_client(look), html, as_json=as_json, target=settings.target_error)


@shadow_command.command("list")
@click.option("--tenant", help="Whose runs.  [default: COUNTERSIGN_TENANT]")
@json_option
def list_(*, tenant: str | None, as_json: bool) -> None:
    """List shadow runs, newest first."""
    from starters.cli.render import show
    from starters.cli.shadow_tables import runs_table

    whose = tenant or load_settings().tenant

    async def look(client: "ReviewClient") -> "tuple[RunRow, ...]":
        return await (await client.services()).shadow.runs(whose)

    rows = with_client(look)
    if as_json:
        emit_rows(rows)
    else:
        show(runs_table(rows))


def _show(found: "ShadowReport", html: Path | None, *, as_json: bool, target: float) -> None:
    from countersign.shadow.page import page
    from starters.cli.render import show
    from starters.cli.shadow_tables import report_view

    if html is not None:
        try:
            html.write_text(page(found, target), encoding="utf-8")
        except OSError as error:
            raise InvalidRequest(
                f"--html: cannot be written ({type(error).__name__})", remedy="Name another place"
            ) from None
    if as_json:
        emit(found.document())
        return
    show(report_view(found))
    if html is not None:
        click.echo(f"Page: {html}")
