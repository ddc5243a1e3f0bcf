"""Cells, proposals, changes and explanations as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from starters.cli.render import cell, commands, moment, table_of

if TYPE_CHECKING:
    from countersign.store.evidence_rows import CellRow, HistoryRow
    from starters.autonomy import Explanation


def cells_table(rows: "Sequence[CellRow]") -> RenderableType:
    """Cells, what they may do without a person, and how far the evidence for the next level is."""
    if not rows:
        return Text("No cell has evidence or was given anything: all are supervised.")
    table = table_of(
        *("tenant", "playbook", "contract type", "autonomy", "arm", "items", "agreement", "next level"),
        *("evidence (e-value of bar)", "items still needed", "looked at", "watch"),
    )
    for row in rows:
        level = f"{row.autonomy}{' (override)' if row.overridden or row.granted else ''}"
        capital = f"{row.capital:.3g} of {row.takes:g}" if row.capital is not None and row.takes is not None else None
        needed = "sign it" if row.proposed else row.still_needed
        table.add_row(
            cell(row.tenant),
            cell(row.playbook),
            cell(row.contract_type),
            cell(level),
            cell(row.arm[:8] or None),
            cell(row.items),
            cell(f"{row.agreement:.3f}" if row.agreement is not None else None),
            cell(f"{row.next_level} (above {row.bar:g})" if row.next_level and row.bar else None),
            cell(capital, "green" if row.proposed else ""),
            cell(needed if not row.still_open else f"{needed}, {row.still_open} open"),
            cell(f"{row.audited:.0%}"),
            cell(f"{row.suspicion:.0%}" if row.suspicion else None, "red" if row.suspicion > 0.5 else ""),
        )
    return table


def proposals_view(rows: "Sequence[CellRow]") -> RenderableType:
    """What could be signed for now, with the command to do it."""
    if not rows:
        return Text("No cell's evidence is enough for its next level now: see countersign autonomy show")
    parts: list[RenderableType] = []
    lines = []
    for row in rows:
        title = f"{row.tenant} / {row.playbook} / {row.contract_type}: {row.autonomy} -> {row.next_level}"
        parts.append(Text(title, style="bold"))
        parts += [cell(f"  {reason}") for reason in row.reasons]
        lines.append(
            f"countersign autonomy approve --tenant {row.tenant} --playbook {row.playbook} --type {row.contract_type} "
            "--by NAME --reason WHY"
        )
    return Group(*parts, commands(lines))


def history_table(rows: "Sequence[HistoryRow]") -> RenderableType:
    """Changes, oldest first."""
    if not rows:
        return Text("Nothing was ever changed: the cell is supervised.")
    table = table_of("at", "from", "to", "by rule", "in whose name", "items", "reason")
    for row in rows:
        items = row.evidence.get("items") if row.evidence else None
        table.add_row(
            cell(moment(row.changed_at)),
            cell(row.level_before),
            cell(row.level),
            cell(row.rule, "red" if row.rule in ("critical", "watch") else ""),
            cell(row.by_hash[:16]),
            cell(items),
            cell(row.reason),
        )
    return table


def explanation_view(found: "Explanation") -> RenderableType:
    """A review, its route and its evidence, in sentences."""
    used = found.used
    lines = [f"Review {found.review_id}, cell {' / '.join(found.cell)}: {found.outcome or found.route or 'under way'}"]
    lines += [f"  {reason}" for reason in found.reasons]
    if used is not None:
        threshold = "nothing may be released" if used.threshold is None else f"threshold {used.threshold:.3f}"
        lines += [
            f"It used: the cell {used.level} with arm {used.arm[:8]}, {used.items} items looked at before it;",
            f"  confidence {used.stated:.3f} as stated, {used.confidence:.3f} as used, {threshold}",
        ]
        lines.append(
            f"  a person looked with a probability of {used.propensity:.2f}"
            + (": drawn for audit" if used.audited else ""),
        )
    else:
        lines.append("It used no evidence: none could be asked for, or it is from before there was any.")
    if found.agreement is None:
        lines.append("As evidence: nothing, no person has judged it.")
    else:
        how = {"review": "a person signed", "shadow": "a person judged blind", "labels": "labels came with it"}
        counted = f"with weight {found.weight:.2f}" if found.counted else "not counted: the same document was before"
        lines.append(
            f"As evidence ({how.get(found.source or '', '')}): agreement {found.agreement:.3f}, {counted}"
            + (", a severity-1 error" if found.critical else "")
        )
    lines.append("The cell with this arm now:")
    lines += [f"  {line}" for line in found.cell_now] or ["  nothing is known"]
    return Group(*(cell(line) for line in lines))
