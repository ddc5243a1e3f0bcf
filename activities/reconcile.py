"""reconcile: every quotation looked up in the text, findings merged, and the team's conclusion drawn."""

import asyncio
from collections.abc import Sequence

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents import Team
from activities.failures import typed_errors
from countersign.agents import team
from countersign.agents.outputs import Synthesis
from countersign.learning.apply import applied
from countersign.review.payloads import AgentMetrics, AnalysisResult, Finding
from countersign.review.steps import ReconcileInput, ReconcileResult
from countersign.review.verify import calibrated, numbered, verify_reports
from countersign.services import Services
from countersign.tools.effects import grounded

FAILURES = 3
"""After so many lost requests or useless answers the conclusion is a plain count: a person looks at the findings
anyway."""


class Reconcile:
    """The reconciler: verification is ours, the conclusion is an agent's."""

    def __init__(self, agents: Team, services: Services) -> None:
        self._agents = agents
        self._services = services

    @activity.defn
    async def reconcile(self, given: ReconcileInput) -> ReconcileResult:
        """Verify, merge, conclude. Without a model that answers, the result says so, with confidence 0.

        While no model may be asked the step waits; a workflow that has waited enough asks again, `by_rule`.
        """
        with typed_errors():
            asked = None if given.by_rule else "reconcile"
            deps = await self._agents.deps(
                given.admission, asked, ask=given.ask, intent=given.intent, recall=given.recall
            )
        suggestions = {f.key: (f.preferred.text, f.fallback.text) for f in deps.playbook.families}
        verified = await asyncio.to_thread(verify_reports, given.reports, deps.document, suggestions)
        effects, ungrounded = await asyncio.to_thread(grounded, given.reports, deps.document)
        with typed_errors():
            findings = await self._corrected(given, verified.findings)
        degraded = tuple(f"{report.specialist}: {reason}" for report in given.reports for reason in report.degraded)
        synthesis: Synthesis | None = None
        metrics: AgentMetrics | None = None
        if given.by_rule:
            degraded += ("conclusion: no model answered",)
        else:
            try:
                with typed_errors():
                    model = self._agents.model(deps.playbook, "reconcile")
                    async with self._agents.call(given.admission.key, "reconcile", model, failures=FAILURES) as call:
                        synthesis, metrics, without = await team.synthesise(deps, findings, call)
                degraded += without
            except ApplicationError as error:
                if not error.non_retryable:
                    raise
                degraded += (f"conclusion: {error.type}",)
        if metrics is not None:
            with typed_errors():
                await self._agents.record(given.admission, metrics)
        silent = sum(1 for report in given.reports if report.metrics is None)
        confidence = calibrated(
            synthesis.confidence if synthesis else 0.0,
            verified,
            failed_specialists=silent,
            specialists=len(given.reports),
        )
        analysis = AnalysisResult(
            summary=synthesis.summary if synthesis else plain_summary(findings),
            key_findings=findings,
            confidence=confidence,
            requires_human_review=synthesis is None
            or synthesis.requires_human_review
            or confidence < given.admission.signing.confidence,
            dropped=verified.dropped + ungrounded,
            effects=effects,
            degraded=(*given.degraded, *degraded),
        )
        return ReconcileResult(analysis=analysis, metrics=metrics)

    async def _corrected(self, given: ReconcileInput, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        """The findings with the recalled corrections made, numbered anew when one of them moved."""
        corrections = given.recall.corrections
        numbers = [correction.correction_id for correction in corrections]
        clauses = await self._services.corrections.compare(given.admission.key.tenant, findings, numbers)
        made = applied(findings, corrections, clauses)
        return findings if made == findings else numbered(made)


def plain_summary(findings: Sequence[Finding]) -> str:
    """A summary without a model: how many findings of which clauses."""
    clauses = ", ".join(dict.fromkeys(finding.clause for finding in findings)) or "none"
    return f"No model drew a conclusion. {len(findings)} verified findings, on these clauses: {clauses}."
