"""batch submit, list, status, watch, pause, resume, cancel, report: many contracts at once, below interactive work."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from countersign.errors import InvalidRequest
from starters.cli.common import (
    F,
    Group,
    emit,
    emit_rows,
    json_option,
    load_settings,
    tenant_filter,
    tenant_option,
    with_client,
)

if TYPE_CHECKING:
    from countersign.batch.payloads import BatchKey
    from countersign.store.batch_results import ItemResult
    from countersign.store.batches import BatchRow
    from starters.batches import BatchView, NewContract, TakenIn
    from starters.cli.batch_files import Source
    from starters.client import ReviewClient

DEFAULT_WINDOW = 16
_AMOUNT = click.FloatRange(min=0, min_open=True)


@click.group("batch", cls=Group)
def batch_command() -> None:
    """Review many contracts as one batch.

    A batch is stored before it is acknowledged, goes after reviews that somebody waits for, and waits politely for its
    turn: none of its contracts is refused. One that waits for a person makes room for the next.
    """


def baseline_options(command: F) -> F:
    """What the same work costs by hand; stated by the user or not at all."""
    for option, text in (
        ("--signing-minutes", "Minutes a person takes to look at an analysis and sign it."),
        ("--manual-cost", "US dollars that one contract costs by hand."),
        ("--manual-minutes", "Minutes that one contract takes by hand."),
    ):
        command = click.option(option, type=_AMOUNT, help=text)(command)
    return command


@batch_command.command("submit")
@click.argument("source", metavar="FOLDER|CSV")
@click.option("--column", default="file", show_default=True, help="Column of the CSV with the contracts' paths.")
@click.option("--tenant", help="On whose behalf.  [default: COUNTERSIGN_TENANT]")
@click.option("--user", help="Who asks; may not sign.  [default: COUNTERSIGN_USER]")
@click.option("--playbook", default="nda", show_default=True, help="What to look for.")
@click.option("--ask", default="", help="What you want to know of each, in your words.")
@click.option(
    "--window",
    type=click.IntRange(1, 200),
    default=DEFAULT_WINDOW,
    show_default=True,
    help="Reviews under way at once.",
)
@click.option("--id", "batch_id", help="Your own id for the batch.  [default: made from the contracts]")
@baseline_options
@click.option("--wait", is_flag=True, help="Follow it until the machine is done.")
@json_option
def submit(  # noqa: PLR0913 - one parameter an option
    *,
    source: str,
    column: str,
    tenant: str | None,
    user: str | None,
    playbook: str,
    ask: str,
    window: int,
    batch_id: str | None,
    manual_minutes: float | None,
    manual_cost: float | None,
    signing_minutes: float | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Submit every contract of a folder or of a CSV (one path a line) as one batch.

    When it returns, all of them are stored, encrypted. The same contracts with the same order are the same batch:
    interrupted, the command is simply repeated.
    """
    from countersign.batch.payloads import Baseline, BatchOrder
    from starters import batches
    from starters.cli.batch_files import read_source

    settings = load_settings()
    order = BatchOrder(
        user=user or settings.user,
        playbook=playbook,
        ask=ask,
        baseline=Baseline(manual_minutes=manual_minutes, manual_cost=manual_cost, signing_minutes=signing_minutes),
    )
    found = read_source(source, column=column, max_bytes=_max_bytes())
    contracts = _contracts(found)

    async def store(client: "ReviewClient") -> "TakenIn":
        with _bar("storing", len(contracts), quiet=as_json) as bar:
            return await batches.take_in(
                client,
                tenant or settings.tenant,
                order,
                contracts,
                window=window,
                batch_id=batch_id,
                told=lambda there: bar(there, ""),
            )

    taken = with_client(store)
    if not as_json:
        _say_taken(taken, found, source)
    if wait:
        _watch(taken.batch.key, None, as_json=as_json)
    elif as_json:
        emit(
            {
                **_document(taken.batch),
                "existing": taken.existing,
                "unreadable": taken.refused,
                "left_out": found.left_out,
            }
        )


@batch_command.command("list")
@tenant_filter
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
def list_batches(tenant: str | None, limit: int, as_json: bool) -> None:
    """List batches, newest first."""

    async def work(client: "ReviewClient") -> "tuple[BatchRow, ...]":
        return await (await client.services()).batches.newest(tenant, limit)

    rows = with_client(work)
    if as_json:
        emit_rows([_document(row) for row in rows])
        return
    from starters.cli.batch_render import batches_table
    from starters.cli.render import show

    show(batches_table(rows))


@batch_command.command("status")
@click.argument("batch_id", metavar="ID")
@tenant_option
@json_option
def status(batch_id: str, tenant: str | None, as_json: bool) -> None:
    """Show where a batch stands, and what did not come through."""
    from starters import batches
    from starters.cli.batch_render import SHOWN, WRONG, wrong_table
    from starters.cli.render import show

    key = _key(batch_id, tenant)

    async def look(client: "ReviewClient") -> "tuple[BatchView, tuple[ItemResult, ...]]":
        view = await batches.look(client, key)
        wrong = await (await client.services()).batch_results.of(key, ended=WRONG, limit=SHOWN)
        return view, () if as_json else wrong

    view, wrong = with_client(look)
    _show_view(view, as_json=as_json)
    total = sum(view.standing.ended.get(how, 0) for how in WRONG)
    show(*wrong_table(wrong, total, f"countersign batch report {batch_id}"))


@batch_command.command("watch")
@click.argument("batch_id", metavar="ID")
@tenant_option
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up after this long.")
@json_option
def watch(batch_id: str, tenant: str | None, timeout: float | None, as_json: bool) -> None:
    """Follow a batch until the machine is done with it. Ctrl-C ends the watching, not the batch."""
    _watch(_key(batch_id, tenant), timeout, as_json=as_json)


def _add_command(name: str, text: str) -> None:
    @batch_command.command(name, help=text)
    @click.argument("batch_id", metavar="ID")
    @tenant_option
    @json_option
    def command(batch_id: str, tenant: str | None, as_json: bool) -> None:
        from starters import batches

        view = with_client(lambda client: batches.command(client, _key(batch_id, tenant), name))
        _show_view(view, as_json=as_json)


_add_command("pause", "Begin nothing for now; what is under way goes on.")
_add_command("resume", "Go on with a paused batch.")
_add_command(
    "cancel", "Begin nothing any more, and erase what was only taken in; what is under way goes on to its end."
)


@batch_command.command("report")
@click.argument("batch_id", metavar="ID")
@tenant_option
@baseline_options
@click.option("--csv", "csv_path", metavar="FILE", help="Write every contract as CSV; - is standard output.")
@click.option("--html", "html_path", metavar="FILE", help="Write one self-contained page.")
@json_option
def report(  # noqa: PLR0913 - one parameter an option
    *,
    batch_id: str,
    tenant: str | None,
    manual_minutes: float | None,
    manual_cost: float | None,
    signing_minutes: float | None,
    csv_path: str | None,
    html_path: str | None,
    as_json: bool,
) -> None:
    """Report what came of a batch, as it stands now, and what it saves against the stated baseline.

    A baseline given here goes before the one given when the batch was submitted.
    """
    from countersign.batch import report as reports
    from countersign.batch.payloads import BatchKind
    from countersign.batch.report_page import report_page
    from starters import batch_reports
    from starters.cli.batch_render import report_view
    from starters.cli.render import show

    if as_json and csv_path == "-":
        raise InvalidRequest("--json with --csv -: stdout can carry one document only", remedy="Leave one out")
    given = {"manual_minutes": manual_minutes, "manual_cost": manual_cost, "signing_minutes": signing_minutes}
    key = _key(batch_id, tenant)

    async def work(client: "ReviewClient") -> "batch_reports.Reported | None":
        if (await (await client.services()).batches.row(key)).kind is BatchKind.RERUN:
            return None
        return await batch_reports.reported(client, key, given)

    done = with_client(work)
    if done is None:
        from starters.cli.rerun import report_rerun

        report_rerun(key, html_path, as_json=as_json)
        return
    row, found, results = done.batch, done.report, done.results
    if csv_path is not None:
        write(csv_path, reports.as_csv(results))
    if html_path is not None:
        write(html_path, report_page(found, results, row.playbook))
    if as_json:
        emit(reports.as_json(found, results))
    elif csv_path != "-":
        show(report_view(found, results))


# --- parts ---


def write(path: str, content: str) -> None:
    """Write a file, or standard output for `-`. Raises `InvalidRequest` when it cannot be."""
    if path == "-":
        click.echo(content, nl=False)
        return
    try:
        Path(path).write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidRequest(
            f"{path}: cannot be written ({error.strerror})", remedy="Check folder and rights"
        ) from None


def _key(batch_id: str, tenant: str | None) -> "BatchKey":
    from countersign.batch.payloads import BatchKey

    return BatchKey(tenant=tenant or load_settings().tenant, batch_id=batch_id)


def _max_bytes() -> int:
    return int(load_settings().max_document_mb * 1_000_000)


def _contracts(found: "Source") -> "list[NewContract]":
    from functools import partial

    from starters.batches import NewContract
    from starters.cli.files import read_bounded

    most = _max_bytes()
    return [NewContract(one.name, one.sha256, partial(read_bounded, str(one.path), most)) for one in found.contracts]


def _say_taken(taken: "TakenIn", found: "Source", source: str) -> None:
    from starters.cli.render import commands, printable, show

    batch = taken.batch
    known = ", all of it known from before" if taken.existing else ""
    click.echo(f"batch {batch.batch_id}: {batch.items:,} contracts of {printable(source)} are stored{known}")
    if taken.refused:
        click.echo(f"  {taken.refused:,} of them are nothing we can read, and count as failed")
    if found.left_out:
        others = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(found.left_out.items()))
        click.echo(f"  left out, of other kinds: {printable(others)}")
    if batch.state.is_over:
        click.echo(f"  it is over: {batch.state}; give another --id to review the same contracts again")
    show(commands((f"countersign batch watch {batch.batch_id}", f"countersign batch report {batch.batch_id}")))


def _watch(key: "BatchKey", timeout: float | None, *, as_json: bool) -> None:
    view = with_client(lambda client: follow_with_bar(client, key, timeout, quiet=as_json))
    _show_view(view, as_json=as_json)


async def follow_with_bar(
    client: "ReviewClient", key: "BatchKey", timeout_s: float | None, *, quiet: bool
) -> "BatchView":
    """Follow to the end, with a bar where somebody looks; the last view."""
    from starters import batches

    view: BatchView | None = None
    row = await (await client.services()).batches.row(key)
    with _bar(f"batch {key.batch_id}", row.items, quiet=quiet) as bar:
        async for view in batches.follow(client, key, timeout_s=timeout_s):
            standing = view.standing
            told = f"{standing.state}, {standing.in_flight} under way, {view.waiting} wait for people"
            bar(standing.done, f"{told} · {standing.waits_for}" if standing.waits_for else told)
    if view is None:
        raise RuntimeError("a follower gives at least one view")
    return view


def _bar(what: str, total: int, *, quiet: bool) -> Any:  # a context manager of a function
    from starters.cli.batch_render import progress_bar

    return progress_bar(what, total, quiet=quiet)


def _show_view(view: "BatchView", *, as_json: bool) -> None:
    if as_json:
        emit(
            {
                **_document(view.batch),
                **view.standing.model_dump(mode="json", exclude={"failure", "version"}),
                "failure": view.standing.failure,
                "waiting_for_people": view.waiting,
                "live": view.live,
            }
        )
        return
    from starters.cli.batch_render import batch_view
    from starters.cli.render import show

    if not view.live:
        click.echo("No worker answered; this is what was last stored.", err=True)
    show(batch_view(view))


def _document(row: "BatchRow") -> dict[str, Any]:
    from starters.cli.common import plain

    document: dict[str, Any] = plain(row)
    document.pop("digest")
    return document


Told = Callable[[int, str], None]
"""Hears how many of the items are done, and a few words."""
