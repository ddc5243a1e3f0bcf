"""What people see: one review as panels, with colours only on a terminal. Pure functions from data to renderables.

Everything goes through `rich.text.Text`, never through markup, and through `printable`: a contract may be hostile.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from countersign.review.blind import is_blind
from countersign.review.payloads import AnalysisResult, EffectStanding, Finding, Receipt, ReviewStatus, Screening
from countersign.words import EffectState, Mode, Outcome, RiskBand, Severity

if TYPE_CHECKING:
    from starters.client import Submission

PIPE_WIDTH = 140
"""Columns when stdout is no terminal, where rich would cut everything to 80."""
QUOTE_CHARS = 90
SEVERITY_STYLE = {
    Severity.CRITICAL: "bold red",
    Severity.HIGH: "red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "cyan",
    Severity.INFO: "dim",
}
EFFECT_STYLE = {
    EffectState.PENDING: "yellow",
    EffectState.APPROVED: "green",
    EffectState.ALLOWED: "green",
    EffectState.DENIED: "red",
    EffectState.REFUSED: "red",
    EffectState.DECLINED: "dim",
    EffectState.DONE: "bold green",
}
OUTCOME_STYLE = {
    Outcome.RELEASED: "green",
    Outcome.APPROVED: "green",
    Outcome.AMENDED: "green",
    Outcome.REJECTED: "red",
    Outcome.BLOCKED: "bold red",
    Outcome.RATE_LIMITED: "red",
    Outcome.OVERLOADED: "red",
    Outcome.FAILED: "bold red",
    Outcome.SHADOWED: "cyan",
}


def printable(text: str) -> str:
    """`text` with every character that could steer a terminal shown as U+FFFD, one for one; tab and newline stay.

    That is: control characters (C0, C1, DEL), format characters such as bidirectional overrides, and lone surrogates.
    """
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cf", "Cs"} else "\ufffd"
        for character in text
    )


def shortened(text: str, limit: int = QUOTE_CHARS) -> str:
    """`text` on one line of at most `limit` characters, its end replaced by an ellipsis where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1].rstrip()}…"


def cell(value: object, style: str = "") -> Text:
    """One cell of a table; nothing is shown as a dash."""
    return Text(printable(str(value)) if value not in (None, "") else "-", style=style)


def money(microusd: int) -> str:
    """Micro-dollars as dollars: "$0.001234"; cents are enough from ten dollars on."""
    return f"${microusd / 1e6:,.2f}" if microusd >= 10_000_000 else f"${microusd / 1e6:.6f}"


def moment(at: datetime | None) -> str:
    """A time in UTC to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z" if at else "-"


def span(delta: timedelta) -> str:
    """A duration in its two largest units: "2d 3h", "15m", "-4h 10m"."""
    seconds = int(abs(delta.total_seconds()))
    parts = ((seconds // 86400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    shown = [f"{number}{unit}" for number, unit in parts if number][:2] or ["0s"]
    return ("-" if delta < timedelta(0) else "") + " ".join(shown)


def count(number: int, noun: str) -> str:
    """ "1 page", "2 pages"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def console(*, stderr: bool = False) -> Console:
    """A console on stdout (or stderr): as wide as the terminal, colourless and wide when it is none."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, highlight=False, markup=False, emoji=False, width=None if stream.isatty() else PIPE_WIDTH
    )


def show(*what: RenderableType) -> None:
    """Print renderables to stdout."""
    screen = console()
    for item in what:
        screen.print(item)


@contextmanager
def progress(text: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """A spinner on stderr while a wait lasts; the function given changes its text. Nothing where nobody looks."""
    screen = console(stderr=True)
    if quiet or not screen.is_terminal:
        yield lambda _: None
        return
    with screen.status(Text(printable(text))) as status:
        yield lambda now: status.update(Text(printable(now)))


def none_of(what: str, tenant: str | None) -> Text:
    """An empty answer, with the tenant that it is about; None: all of them."""
    return Text(f"{what} ({f'tenant {printable(tenant)}' if tenant else 'all tenants'}).")


def table_of(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _facts(pairs: Sequence[tuple[str, Text | str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in pairs:
        grid.add_row(name, value if isinstance(value, Text) else cell(value))
    return grid


# --- one review ---


def severity_words(finding: Finding) -> str:
    """The severity, and what it was before corrections changed it."""
    was = finding.uncorrected
    return f"{finding.severity} (was {was})" if was not in (None, finding.severity) else str(finding.severity)


def because(finding: Finding) -> str:
    """Which corrections a finding owes something to: ", was high, because of correction 17"; empty for none."""
    if not finding.corrections:
        return ""
    was = f", was {finding.uncorrected}" if finding.uncorrected not in (None, finding.severity) else ""
    return f"{was}, because of correction {' and '.join(map(str, finding.corrections))}"


def findings_table(findings: Sequence[Finding]) -> Table:
    """Findings that ask for something, the gravest first."""
    table = table_of("id", "clause", "severity", "position", "statement", "page", "quotation")
    for column, share in zip(table.columns, (0, 0, 0, 0, 3, 0, 2), strict=True):
        column.ratio, column.no_wrap = (share or None), share == 0
    table.columns[1].no_wrap = False
    for finding in sorted(findings, key=lambda one: -one.severity.rank):
        quoted = finding.evidence[0] if finding.evidence else None
        where = (
            "added by the reviewer"
            if finding.specialist == "reviewer"
            else f"absent; searched {', '.join(finding.searched) or 'all'}"
        )
        table.add_row(
            cell(finding.id),
            cell(finding.clause),
            cell(severity_words(finding), SEVERITY_STYLE[finding.severity]),
            cell(finding.position),
            cell(finding.statement),
            cell(quoted.page if quoted else None),
            cell(f"“{shortened(quoted.quote)}”" if quoted else shortened(where), "" if quoted else "dim"),
        )
    return table


def analysis_panel(analysis: AnalysisResult, *, blind: bool = False) -> Panel:
    """Summary, confidence (not of what is judged blind) and findings; those of severity `info` by name only."""
    person = "a person must look" if analysis.requires_human_review else "no person is required"
    sure = "judged blind" if blind else f"confidence {analysis.confidence:.2f} · {person}"
    parts: list[RenderableType] = [
        cell(analysis.summary),
        Text(f"{sure} · {len(analysis.key_findings)} findings", style="dim"),
    ]
    if analysis.dropped:
        parts.append(Text(f"{analysis.dropped} findings dropped: not verbatim in the document", style="dim"))
    serious = [finding for finding in analysis.key_findings if finding.severity is not Severity.INFO]
    settled = [finding for finding in analysis.key_findings if finding.severity is Severity.INFO]
    if serious:
        parts += [Text(), findings_table(serious)]
    if settled:
        names = ", ".join(f"{finding.clause} ({finding.id}{because(finding)})" for finding in settled)
        parts += [Text(), cell(f"Nothing to do about {names}", "dim")]
    return Panel(Group(*parts), title="Analysis", title_align="left")


def effects_panel(effects: Sequence[EffectStanding]) -> Panel:
    """What the agents propose to do, and where each of it stands."""
    table = table_of("item", "state", "what", "digest", "why")
    for effect in effects:
        why = f"by {effect.approver}" if effect.approver else effect.reason
        table.add_row(
            cell(effect.item),
            cell(effect.state, EFFECT_STYLE.get(effect.state, "")),
            cell(shortened(effect.summary, 160)),
            cell(effect.digest[:12]),
            cell(why, "dim"),
        )
    return Panel(table, title="Proposed effects: none happens before the review is signed", title_align="left")


def signals_panel(screening: Screening) -> Panel:
    """Why a text is suspicious and where: page, and characters of the extracted text of the signal's channel."""
    table = table_of("signal", "in", "score", "page", "characters", "why")
    for signal in screening.signals:
        table.add_row(
            cell(signal.name),
            cell(signal.channel),
            cell(f"{signal.score:.2f}"),
            cell(signal.page),
            cell(None if signal.start is None else f"{signal.start}-{signal.end}"),
            cell(signal.explanation),
        )
    return Panel(table, title="Screening", title_align="left")


def header(status: ReviewStatus) -> Panel:
    """Who, where, what it costs so far."""
    now = status.outcome or status.stage
    style = OUTCOME_STYLE.get(status.outcome, "yellow") if status.outcome else "bold"
    facts: list[tuple[str, Text | str]] = [
        ("review", f"{status.review_id} of {status.tenant}  ({status.workflow_id})"),
        ("stands at", cell(now, style)),
        ("playbook", f"{status.playbook or '-'} · contract type {status.contract_type or '-'} · {status.autonomy}"),
    ]
    if status.read:
        facts.append(("document", f"{count(status.read.pages, 'page')}, {status.read.chars:,} characters"))
    if status.screening:
        names = ", ".join(dict.fromkeys(signal.name for signal in status.screening.signals)) or "no signals"
        facts.append(
            ("screening", f"{status.screening.band} at {status.screening.risk_score:.2f} ({shortened(names)})")
        )
    if status.route:
        reasons = "" if is_blind(status) else "; ".join(status.route_reasons)
        facts.append(("route", ": ".join(part for part in (status.route, reasons) if part)))
    if status.degraded:
        facts.append(("without", cell(", ".join(status.degraded), "yellow")))
    usage = status.usage
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out, {money(usage.cost_microusd)}"
    facts.append(("usage", f"{tokens} ({usage.unpriced_calls} calls unpriced)" if usage.unpriced_calls else tokens))
    for decision in status.decisions:
        who = f"{decision.reviewer} for {decision.on_behalf_of}" if decision.on_behalf_of else decision.reviewer
        facts.append((str(decision.verdict), f"{who} at {moment(decision.at)}  {decision.note}".rstrip()))
    if status.failure:
        facts.append(("reason", cell(f"{status.failure.message}. {status.failure.remedy}".strip(), "red")))
    return Panel(_facts(facts), title="Review", title_align="left")


def waiting(status: ReviewStatus, now: datetime) -> Text | None:
    """What the review waits for, in a line; None when it waits for nothing."""
    if status.ahead is not None:
        return Text(f"Waits for {turn(status.ahead, status.estimate_s)}", style="bold yellow")
    if status.waiting_for is None:
        return None
    line = f"Waits for the {status.waiting_for}"
    if status.signatures_missing:
        line += f", {status.signatures_missing} signature{'s' if status.signatures_missing > 1 else ''} missing"
    if status.sla_due:
        line += f", due in {span(status.sla_due - now)}" if status.sla_due > now else ", overdue"
    if status.escalated:
        line += ", escalated"
    if status.question:
        line += f"\nQuestion: {printable(status.question)}"
    return Text(line, style="bold yellow")


def turn(ahead: int, estimate_s: float | None) -> str:
    """When a review's turn comes: "its turn: 3 ahead, about 12s"."""
    about = f", about {span(timedelta(seconds=ceil(estimate_s)))}" if estimate_s else ""
    return f"its turn: {f'{ahead} ahead' if ahead else 'next'}{about}"


def next_commands(status: ReviewStatus, default_tenant: str) -> tuple[str, ...]:
    """Commands a person may want to give next."""
    tail = "" if status.tenant == default_tenant else f" --tenant {status.tenant}"
    review = f"{status.review_id}{tail}"
    if status.waiting_for == "requester":
        return (f"countersign answer {review} --user NAME --text TEXT",)
    if status.waiting_for == "reviewer":
        if status.mode is Mode.SHADOW:
            return (
                f"countersign document {review} --text",
                f"countersign amend {review} --reviewer NAME --edit 'add:CLAUSE:high:What is wrong with it'",
                f"countersign approve {review} --reviewer NAME   # nothing to report",
            )
        pending = next((effect for effect in status.effects if effect.state is EffectState.PENDING), None)
        effect = (
            f"countersign effects approve {status.review_id} {pending.item}{tail} --reviewer NAME" if pending else ""
        )
        return (
            *((f"countersign view {review} --reviewer NAME --would approve",) if status.blind else ()),
            *((effect,) if effect else ()),
            f"countersign approve {review} --reviewer NAME",
            f"countersign amend {review} --reviewer NAME --edit F1:severity=low",
            f"countersign reject {review} --reviewer NAME --note WHY",
            f'countersign ask {review} --reviewer NAME --question "…"',
        )
    if status.outcome is not None:
        return (f"countersign trail {review}",)
    return (f"countersign watch {review}",)


def commands(lines: Sequence[str]) -> Text:
    """Commands to try, one a line."""
    return Text("\n".join(("Next:", *(f"  {line}" for line in lines))), style="dim")


def status_view(status: ReviewStatus, default_tenant: str, now: datetime | None = None) -> Group:
    """Everything about one review."""
    parts: list[RenderableType] = [header(status)]
    if status.screening and status.screening.signals and status.screening.band is not RiskBand.CLEAN:
        parts.append(signals_panel(status.screening))
    if status.analysis:
        parts.append(analysis_panel(status.analysis, blind=is_blind(status)))
    if status.effects:
        parts.append(effects_panel(status.effects))
    line = waiting(status, now or datetime.now(UTC))
    parts += [line] if line else []
    return Group(*parts, commands(next_commands(status, default_tenant)))


def receipt_line(receipt: Receipt, done: str) -> Text:
    """What a decision or answer led to; `done` says what it did when the review goes on."""
    shown = (
        f" ({receipt.findings} findings, worst {receipt.worst}, digest {receipt.digest[:12]})" if receipt.worst else ""
    )
    if receipt.outcome:
        style = OUTCOME_STYLE.get(receipt.outcome, "")
        return Text(f"Review {receipt.review_id}: {receipt.outcome}{shown}", style=style)
    if receipt.pending:
        until = f"{receipt.pending_until:%Y-%m-%d %H:%M} UTC" if receipt.pending_until else "soon"
        words = f"{receipt.pending} from {until}, unless it is withdrawn before (countersign withdraw)"
        return Text(f"Review {receipt.review_id}: {words}{shown}", style="yellow")
    missing = receipt.signatures_missing
    tail = f", {missing} {'signature' if missing == 1 else 'signatures'} missing" if missing else ""
    return Text(f"Review {receipt.review_id}: {done}{shown}{tail}", style="yellow" if missing else "")


def submitted_line(name: str, taken: "Submission") -> Text:
    """What became of one file."""
    what = "is there already, as" if taken.existing else "submitted as"
    line = f"{printable(name)}: {what} {taken.review_id} (playbook {taken.playbook}, tenant {taken.tenant})"
    return Text(f"{line}\n  waits for {turn(taken.ahead, taken.estimate_s)}" if taken.ahead else line)
