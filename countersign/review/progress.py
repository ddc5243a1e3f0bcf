"""What a review has to show for itself: its status, its pending trail rows, its clock. Pure; times are passed in."""

from collections import Counter
from datetime import datetime
from typing import Any

from countersign.review.blind import is_blind
from countersign.review.payloads import AgentMetrics, ReviewStatus, TrailEntry, Usage
from countersign.words import Stage


class Progress:
    """One review's growing record, owned by its workflow."""

    def __init__(self, status: ReviewStatus, at: datetime) -> None:
        self.status = status
        self._since = at
        self._pending: list[TrailEntry] = []
        self._sequence = 0
        self.version = 0

    @property
    def pending(self) -> tuple[TrailEntry, ...]:
        """Trail rows not yet written."""
        return tuple(self._pending)

    def enter(self, stage: Stage, at: datetime) -> None:
        """Go on to a stage; the time spent in the one before is added to its timing (milliseconds)."""
        spent = int((at - self._since).total_seconds() * 1000)
        before = self.status.stage.value
        timings = {**self.status.timings_ms, before: self.status.timings_ms.get(before, 0) + spent}
        self._since = at
        self.update(stage=stage, timings_ms=timings)

    def update(self, **fields: object) -> None:
        """Replace fields of the status."""
        self.status = self.status.model_copy(update=fields)

    def spent(self, metrics: AgentMetrics | None) -> None:
        """Add one agent call to the running usage; the ledger has the last word when the review is settled."""
        if metrics is None:
            return
        usage = self.status.usage
        self.update(
            usage=Usage(
                requests=usage.requests + metrics.requests,
                input_tokens=usage.input_tokens + metrics.input_tokens,
                output_tokens=usage.output_tokens + metrics.output_tokens,
                cost_microusd=usage.cost_microusd + metrics.cost_microusd,
                unpriced_calls=usage.unpriced_calls + (not metrics.priced),
            )
        )

    def degrade(self, *reasons: str) -> None:
        """Note what the review had to do without, each once."""
        new = [reason for reason in reasons if reason not in self.status.degraded]
        self.update(degraded=(*self.status.degraded, *new))

    def note(
        self, event: str, at: datetime, *, actor: str | None = None, concerns: str | None = None, **facts: Any
    ) -> None:
        """Put a row for the present stage on the pending trail. `facts` carry numbers, ids and enum words only."""
        self._sequence += 1
        self._pending.append(
            TrailEntry(
                sequence=self._sequence,
                stage=self.status.stage,
                event=event,
                at=at,
                actor=actor,
                concerns=concerns,
                facts=facts,
            )
        )

    def written(self, count: int) -> None:
        """The first `count` pending rows are on the trail now."""
        del self._pending[:count]


def details(status: ReviewStatus) -> str:
    """Where a review stands, in a few lines of Markdown for the Temporal UI. No name and no word of the document."""
    lines = [f"**{status.outcome or status.stage}** · playbook {status.playbook or '?'} · {status.autonomy}"]
    if status.waiting_for:
        due = f", due {status.sla_due:%Y-%m-%d %H:%M} UTC" if status.sla_due else ""
        missing = f", {status.signatures_missing} signature(s) missing" if status.signatures_missing else ""
        lines.append(f"Waits for the {status.waiting_for}{due}{missing}")
    if status.screening:
        lines.append(f"Screening {status.screening.band} at {status.screening.risk_score:.2f}")
    blind = is_blind(status)
    if status.analysis:
        count = Counter(finding.severity for finding in status.analysis.key_findings)
        severities = ", ".join(f"{n} {severity}" for severity, n in sorted(count.items(), key=lambda i: -i[0].rank))
        sure = "" if blind else f" · confidence {status.analysis.confidence:.2f}"
        lines.append(f"Findings: {severities or 'none'}{sure}")
    if status.route:
        lines.append(f"Route {status.route}" + ("" if blind else f": {'; '.join(status.route_reasons)}"))
    if status.effects:
        states = Counter(effect.state for effect in status.effects)
        lines.append(f"Effects: {', '.join(f'{n} {state}' for state, n in states.items())}")
    if status.degraded:
        lines.append(f"Without: {', '.join(status.degraded)}")
    if status.failure:
        lines.append(f"{status.failure.type}: {status.failure.message}")
    return "\n\n".join(lines)
