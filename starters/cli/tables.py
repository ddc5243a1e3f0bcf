"""Lists as tables: reviews, the queue, sections, the trail, costs, knowledge. Made as in `render`."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from countersign.review.payloads import KnowledgeHit
from starters.cli.render import OUTCOME_STYLE, SEVERITY_STYLE, cell, moment, money, shortened, span, table_of

_HASH = re.compile(r"[0-9a-f]{32,}")
_FACT_WORDS = {"concerns": "for"}
"""What a fact is called here, where its key in the trail says less."""

if TYPE_CHECKING:
    from countersign.document.model import DocumentText
    from countersign.ledger.ledger import CostRow
    from countersign.store.reviews import ReviewRow
    from countersign.trail.trail import TrailCheck, TrailRow


def rows_table(rows: Sequence["ReviewRow"]) -> RenderableType:
    """Reviews, one a line."""
    table = table_of(
        "review", "tenant", "stage", "outcome", "route", "playbook", "findings", "worst", "cost", "submitted"
    )
    for row in rows:
        table.add_row(
            cell(row.review_id),
            cell(row.tenant),
            cell(row.stage),
            cell(row.outcome, OUTCOME_STYLE.get(row.outcome, "") if row.outcome else ""),
            cell(row.route),
            cell(row.playbook),
            cell(row.findings),
            cell(row.worst_severity, SEVERITY_STYLE[row.worst_severity] if row.worst_severity else ""),
            cell(money(row.cost_microusd)),
            cell(moment(row.submitted_at)),
        )
    return table


def queue_table(rows: Sequence["ReviewRow"], now: datetime, waiting_for: str) -> RenderableType:
    """What waits for a reviewer or a requester, with the time that is left."""
    table = table_of("review", "tenant", "waits for", "due in", "route", "playbook", "findings", "worst", "confidence")
    for row in rows:
        left = row.sla_due - now if row.sla_due else None
        urgent = row.escalated or (left is not None and left < timedelta(0))
        table.add_row(
            cell(row.review_id),
            cell(row.tenant),
            cell(row.waiting_for),
            cell(span(left) if left is not None else None, "bold red" if urgent else ""),
            cell(row.route),
            cell(row.playbook),
            cell(row.findings),
            cell(row.worst_severity, SEVERITY_STYLE[row.worst_severity] if row.worst_severity else ""),
            cell(f"{row.confidence:.2f}" if row.confidence is not None else None),
        )
    return table


def sections_table(document: "DocumentText") -> Table:
    """The sections of a document with their pages."""
    table = table_of("section", "heading", "page", "characters")
    for section in document.sections:
        table.add_row(
            cell(section.label),
            cell(shortened(section.heading)),
            cell(document.page_of(section.start)),
            cell(f"{section.start}-{section.end}"),
        )
    return table


def _brief(facts: Mapping[str, Any]) -> str:  # any JSON value
    """Facts in a line; of a hash its beginning, which is enough to compare by eye."""
    shown = {
        name: f"{value[:12]}…" if isinstance(value, str) and _HASH.fullmatch(value) else value
        for name, value in facts.items()
    }
    return shortened(" ".join(f"{_FACT_WORDS.get(name, name)}={value}" for name, value in shown.items()))


def trail_view(rows: Sequence["TrailRow"], check: "TrailCheck") -> Group:
    """The rows and the verdict on them."""
    table = table_of("#", "stage", "event", "at", "actor", "facts")
    for row in rows:
        actor = shortened(row.actor_hash, 16) if row.actor_hash else None
        table.add_row(
            cell(row.sequence),
            cell(row.stage),
            cell(row.event),
            cell(moment(row.created_at)),
            cell(actor),
            cell(_brief(row.facts)),
        )
    rest = Text("Long facts are cut here; --json has them whole.", style="dim")
    verdict = Text(f"Verified: {check.rows} rows, chained and unchanged.", style="green")
    return Group(table, rest, verdict if check.ok else Text(f"NOT VERIFIED: {check.problem}", style="bold red"))


def costs_table(rows: Sequence["CostRow"], total: Mapping[str, int]) -> RenderableType:
    """Tokens and money by tenant, agent and model, and their sum."""
    if not rows:
        return Text("Nothing was spent.")
    table = table_of("tenant", "agent", "model", "calls", "tokens in", "tokens out", "cost")
    for row in rows:
        table.add_row(
            cell(row.tenant),
            cell(row.agent),
            cell(row.model),
            cell(row.calls),
            cell(f"{row.input_tokens:,}"),
            cell(f"{row.output_tokens:,}"),
            cell(money(row.cost_microusd)),
        )
    table.add_section()
    sums = (
        f"{total['calls']}",
        f"{total['input_tokens']:,}",
        f"{total['output_tokens']:,}",
        money(total["cost_microusd"]),
    )
    table.add_row(cell("all", "bold"), Text(), Text(), *(cell(number, "bold") for number in sums))
    return table


def hits_table(hits: Sequence[KnowledgeHit]) -> RenderableType:
    """Passages of the knowledge base, best first."""
    if not hits:
        return Text("Nothing near to that.")
    table = table_of("score", "source", "passage")
    for hit in hits:
        table.add_row(cell(f"{hit.score:.3f}"), cell(hit.source), cell(shortened(hit.passage, 200)))
    return table
