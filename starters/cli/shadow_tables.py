"""Shadow reports as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from countersign.shadow.report import kinds
from starters.cli.render import cell, shortened, table_of

if TYPE_CHECKING:
    from countersign.evidence.intervals import Estimate
    from countersign.shadow.report import ShadowReport
    from countersign.store.shadow import RunRow

SHOWN = 12
"""Disagreements on the terminal; JSON and page have more."""


def report_view(found: "ShadowReport") -> RenderableType:
    """The report for a terminal."""
    overall, effort = found.overall, found.effort
    parts: list[RenderableType] = [
        Text(
            f"Shadow run {found.title}: {overall.n:,} clauses of {found.contracts:,} contracts"
            + (f" ({found.cases:,} cases given)" if found.cases != found.contracts else ""),
            style="bold",
        )
    ]
    if caveat := found.facts.get("caveat"):
        parts.append(cell(caveat, "yellow"))
    figures = table_of("figure", "value", "95 % interval", "what it says")
    for name, estimate, what in (
        ("agreement", overall.agreement, "same label and severity"),
        ("precision", overall.precision, "of the clauses reported, so many are there"),
        ("recall", overall.recall, "of the clauses there, so many are reported"),
        ("F1", overall.f1, "both in one"),
        ("Cohen's kappa", overall.kappa, "agreement beyond chance"),
        ("ECE of claims", found.claims.ece, f"stated confidence of {found.claims.n:,} claims against the truth"),
        ("ECE of reviews", found.reviews.ece, "what the gate goes by, against the review's agreement"),
        ("review agreement", found.review_agreement, "mean of the reviews, weighted by severity"),
        ("AURC", found.band.aurc, "area under the risk-coverage curve; lower is better"),
        ("Krippendorff's alpha", found.alpha, "between people"),
    ):
        if estimate is found.alpha and estimate.value is None:
            continue  # nobody judged a second time
        figures.add_row(cell(name), cell(_figure(estimate)), cell(_interval(estimate)), cell(what, "dim"))
    parts += [figures, Text()]
    parts.append(Text(f"severity-1 errors: {found.criticals}", style="bold red" if found.criticals else ""))
    time = f"{effort.machine_s_median:.1f} s" if effort.machine_s_median is not None else "-"
    by_hand = [
        f"{effort.by_hand_hours:,.1f} h" if effort.by_hand_hours is not None else "",
        f"${effort.by_hand_usd:,.2f}" if effort.by_hand_usd is not None else "",
    ]
    stated = " and ".join(part for part in by_hand if part)
    all_of_it = f"{effort.machine_hours * 60:.1f} min and ${effort.cost_usd:,.2f} in all"
    against = f"by hand, as stated: {stated}" if stated else "by hand: not stated (--manual-minutes, --manual-cost)"
    parts.append(Text(f"machine: {time} a contract (median), {all_of_it}; {against}"))
    if found.failures:
        parts.append(
            Text("no pair: " + ", ".join(f"{count} {why}" for why, count in found.failures.items()), style="yellow")
        )
    table = table_of("clause", "n", "agreement", "precision", "recall", "F1", "kappa")
    for one in sorted(found.clauses, key=lambda one: one.agreement.value or 0.0):
        row = (one.agreement, one.precision, one.recall, one.f1, one.kappa)
        table.add_row(cell(one.clause), cell(one.n), *(cell(_figure(estimate)) for estimate in row))
    parts += [Text(), table]
    if found.disagreements:
        said = ", ".join(f"{count} {what}" for what, count in kinds(found).items())
        parts += [Text(), Text(f"{len(found.disagreements)} disagreements: {said}", style="bold")]
        differ = table_of("contract", "clause", "agents", "person", "agents quote", "person quotes")
        for other in found.disagreements[:SHOWN]:
            differ.add_row(
                cell(other.contract),
                cell(other.clause),
                cell(other.agent),
                cell(other.person),
                cell(shortened(other.agent_quote, 60)),
                cell(shortened(other.person_quote, 60)),
            )
        parts.append(differ)
        if len(found.disagreements) > SHOWN:
            parts.append(Text(f"{len(found.disagreements) - SHOWN} more: --json, --html FILE", style="dim"))
    return Group(*parts)


def runs_table(rows: Sequence["RunRow"]) -> RenderableType:
    """Runs, one a line."""
    if not rows:
        return Text("No shadow run yet: countersign shadow run CASES")
    table = table_of("run", "source", "playbook", "model", "cases", "pairs", "no pair")
    for row in rows:
        without = ", ".join(f"{count} {why}" for why, count in row.failures.items())
        facts = (row.facts.get(name) for name in ("source", "playbook", "model"))
        table.add_row(
            cell(row.run_id), *(cell(fact) for fact in facts), cell(row.cases), cell(row.pairs), cell(without)
        )
    return table


def _figure(found: "Estimate") -> str | None:
    return None if found.value is None else f"{found.value:.3f}"


def _interval(found: "Estimate") -> str | None:
    return None if found.low is None else f"{found.low:.3f} to {found.high:.3f}"
