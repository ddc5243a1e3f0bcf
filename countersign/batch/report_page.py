"""A batch's report as one page."""

from collections.abc import Sequence

from countersign.batch.pages import Id, bars, cards, heading, many, page, paragraph, table
from countersign.batch.report import BatchReport, Range, rows
from countersign.store.batch_results import ItemResult

MAX_ROWS = 5_000
"""Contracts listed on the page; CSV and JSON have all of them."""


def report_page(found: BatchReport, results: Sequence[ItemResult], playbook: str) -> str:
    """The page."""
    wrong = [one for one in results if one.ended in ("failed", "blocked", "stuck", "erased")]
    parts = [
        cards(
            [
                (f"{found.items:,}", "contracts"),
                (f"{found.released:,}", "released by the machine alone"),
                (f"{found.waiting:,}", "wait for a person now"),
                (f"{len(wrong):,}", "failed or were blocked"),
                (f"${found.cost_usd:,.2f}", "paid for models"),
                (f"{found.contracts_per_minute or 0:,.1f}", "contracts a minute"),
            ]
        ),
        heading("Against the work by hand"),
        *(paragraph(line) for line in worth_lines(found)),
        heading("Where the contracts stand"),
        bars(found.now, what="now"),
        heading("The gravest finding of each contract reviewed"),
        bars(found.worst, what="severity"),
    ]
    if wrong:
        parts += [
            heading("What did not come through"),
            table(
                ("file", "ended", "why"),
                ((one.name or "(erased)", one.ended, one.message or one.failure) for one in wrong),
            ),
        ]
    listed = rows(results[:MAX_ROWS])
    shown = ("position", "file", "now", "contract_type", "findings", "worst_severity", "confidence")
    titles = ("no.", "file", "now", "kind", "findings", "gravest", "confidence", "review")
    lines = ([*(row[name] for name in shown), Id(row["review"])] for row in listed)
    parts += [heading("Every contract"), table(titles, lines)]
    if len(results) > MAX_ROWS:
        parts.append(paragraph(f"The first {MAX_ROWS:,} of {len(results):,}; CSV and JSON have all."))
    lead = f"Batch {found.batch_id}, playbook {playbook}: {found.reviewed:,} of {found.items:,} contracts reviewed."
    return page("Contracts reviewed in one batch", lead, *parts)


def worth_lines(found: BatchReport) -> list[str]:
    """The return in sentences; what it rests on is said."""
    worth, lines = found.worth, []
    base = worth.baseline
    if base.manual_minutes is None and base.manual_cost is None:
        return [
            "No baseline was stated, so nothing is said about savings. "
            "State the minutes and money that one contract takes by hand (--manual-minutes, --manual-cost) for that."
        ]
    stated = [
        f"{base.manual_minutes:g} minutes" if base.manual_minutes is not None else "",
        f"${base.manual_cost:,.2f}" if base.manual_cost is not None else "",
    ]
    lines.append(
        f"By hand one contract costs {' and '.join(part for part in stated if part)}, as stated by who submitted it. "
        f"Reviewed: {many(found.reviewed, 'contract')}, {found.released:,} that no person touches, "
        f"{found.with_people:,} that people sign."
    )
    if worth.saved_minutes is not None and worth.by_hand_minutes is not None:
        hours = Range(worth.saved_minutes.low / 60, worth.saved_minutes.high / 60)
        lines.append(f"Of {worth.by_hand_minutes / 60:,.1f} hours by hand, {_range(hours, '{:,.1f}')} hours are saved.")
    if worth.saved_usd is not None and worth.by_hand_usd is not None:
        lines.append(
            f"Of ${worth.by_hand_usd:,.2f} by hand, {_range(worth.saved_usd, '${:,.2f}')} are saved, "
            f"net of ${found.cost_usd:,.2f} for models."
        )
    if base.signing_minutes is not None and base.manual_minutes is not None:
        lines.append(f"To look at an analysis and sign it takes {base.signing_minutes:g} minutes, as stated.")
    elif found.with_people:
        lines.append(
            "How long people take to sign was not stated: the lower figure says as long as by hand, the higher no time "
            "at all. State it (--signing-minutes) for one figure."
        )
    return lines


def _range(found: Range, form: str) -> str:
    low, high = form.format(found.low), form.format(found.high)
    return low if low == high else f"{low} to {high}"
