"""Batches as people see them: tables, a progress bar, the report. Made as in `render`."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from countersign.batch.payloads import BatchState
from countersign.batch.report_page import worth_lines
from starters.cli.render import cell, console, moment, printable, shortened, table_of

if TYPE_CHECKING:
    from countersign.batch.report import BatchReport
    from countersign.store.batch_results import ItemResult
    from countersign.store.batches import BatchRow
    from starters.batches import BatchView

LINE_S = 10.0
"""Where stderr is no terminal, a line is written this often."""
WRONG = ("failed", "blocked", "stuck", "erased")
SHOWN = 20


@contextmanager
def progress_bar(what: str, total: int, *, quiet: bool) -> Iterator[Callable[[int, str], None]]:
    """A bar on stderr; a line now and then where nobody looks; nothing when `quiet`."""
    if quiet:
        yield lambda _done, _text: None
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _lines(what, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[text]}"), console=screen, transient=True) as bar:
        task = bar.add_task(printable(what), total=total, text="")
        yield lambda done, text: bar.update(task, completed=done, text=shortened(printable(text), 120))


def _lines(what: str, total: int) -> Callable[[int, str], None]:
    told_at = time.monotonic()

    def tell(done: int, text: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= LINE_S:
            told_at = time.monotonic()
            click.echo(printable(f"{what}: {done:,} of {total:,}{', ' if text else ''}{text}"), file=sys.stderr)

    return tell


def batches_table(rows: "Sequence[BatchRow]") -> RenderableType:
    """Batches, one a line."""
    if not rows:
        return Text("No batches.")
    table = table_of("batch", "tenant", "kind", "state", "items", "playbook", "window", "submitted", "ended")
    for row in rows:
        table.add_row(
            cell(row.batch_id),
            cell(row.tenant),
            cell(row.kind),
            cell(row.state),
            cell(f"{row.items:,}"),
            cell(row.playbook),
            cell(row.window_size),
            cell(moment(row.created_at)),
            cell(moment(row.ended_at)),
        )
    return table


def _facts(pairs: Sequence[tuple[str, object]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, cell(value))
    return grid


def stands_at(view: "BatchView") -> str:
    """Where the batch stands. What the machine is done with may wait for people: then it is analysed, not done."""
    standing = view.standing
    if standing.state is not BatchState.DONE or not view.waiting:
        return str(standing.state)
    wrong = [f"{standing.ended[how]:,} {how}" for how in WRONG if standing.ended.get(how)]
    return f"analysed: {', '.join([f'{view.waiting:,} wait for a person', *wrong])}"


def wrong_table(results: "Sequence[ItemResult]", total: int, more: str) -> list[RenderableType]:
    """The first of `total` items that did not come through, with why. `more` says where to see the others."""
    wrong = [one for one in results if one.ended in WRONG]
    if not wrong:
        return []
    table = table_of("file", "review", "ended", "why")
    for one in wrong[:SHOWN]:
        why = cell(shortened(one.message or one.failure))
        table.add_row(cell(one.name), cell(one.review_id), cell(one.ended, "red"), why)
    left = [Text(f"and {total - SHOWN} more: see {more}")] if total > SHOWN else []
    return [Text(), Text("Did not come through", style="bold"), table, *left]


def batch_view(view: "BatchView") -> Table:
    """One batch."""
    standing, row = view.standing, view.batch
    words = {"waiting": "went to a person"}
    came = ", ".join(f"{count:,} {words.get(how, how)}" for how, count in standing.ended.items())
    facts: list[tuple[str, object]] = [
        ("batch", f"{row.batch_id} of {row.tenant} · {row.kind} · playbook {row.playbook}"),
        ("stands at", stands_at(view)),
        (
            "machine",
            f"{standing.done:,} of {row.items:,} done, {standing.in_flight} under way (window {row.window_size})",
        ),
        ("came of it", came),
        ("people", f"{view.waiting:,} wait for a person now"),
    ]
    if standing.waits_for:
        facts.append(("waits for", standing.waits_for))
    if standing.failure is not None:
        facts.append(("failure", f"{standing.failure.type}: {standing.failure.message}"))
    return _facts(facts)


def report_view(found: "BatchReport", results: "Sequence[ItemResult]") -> Group:
    """The report for a terminal: numbers, the return in sentences, what did not come through."""
    counted = ", ".join(f"{count:,} {what}" for what, count in found.now.items())
    worst = ", ".join(f"{count:,} {what}" for what, count in found.worst.items())
    speed = "" if found.contracts_per_minute is None else f" · {found.contracts_per_minute:,.1f} a minute"
    each = "" if found.machine_s is None else f" · each {found.machine_s[0]:g} s (p95 {found.machine_s[1]:g} s)"
    wall = "-" if found.wall_minutes is None else f"{found.wall_minutes:,.1f} minutes{speed}{each}"
    parts: list[RenderableType] = [
        _facts(
            [
                ("contracts", f"{found.items:,}, {found.reviewed:,} reviewed, {found.released:,} by the machine alone"),
                ("now", counted),
                ("gravest", worst),
                ("machine", wall),
                ("models", f"${found.cost_usd:,.2f}"),
            ]
        ),
        Text(),
        *(Text(line) for line in worth_lines(found)),
    ]
    return Group(*parts, *wrong_table(results, sum(one.ended in WRONG for one in results), "--csv"))
