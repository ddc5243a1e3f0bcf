"""plan: which specialists look at what, and why."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.agents import Team
from activities.failures import typed_errors
from countersign.agents import plans, team
from countersign.agents.deps import AgentDeps
from countersign.review.payloads import Plan
from countersign.review.steps import PlanInput, PlanResult

FAILURES = 3
"""After so many lost requests or useless answers the plan is made by rule: a plan is worth less than a review."""


class MakePlan:
    """The planning agent."""

    def __init__(self, agents: Team) -> None:
        self._agents = agents

    @activity.defn
    async def plan(self, given: PlanInput) -> PlanResult:
        """Plan the specialists' work. By the playbook's own division of labour when no model answers or none may.

        While no model may be asked the step waits; a workflow that has waited enough asks again, `by_rule`.
        """
        with typed_errors():
            asked = None if given.by_rule else "plan"
            deps = await self._agents.deps(
                given.admission, asked, ask=given.ask, intent=given.intent, recall=given.recall
            )
        if given.by_rule:
            return PlanResult(plan=_by_rule(deps, "no model may plan"))
        try:
            with typed_errors():
                model = self._agents.model(deps.playbook, "plan")
                async with self._agents.call(given.admission.key, "plan", model, failures=FAILURES) as call:
                    plan, metrics, degraded = await team.plan(deps, call)
        except ApplicationError as error:
            if not error.non_retryable:
                raise
            return PlanResult(plan=_by_rule(deps, "no model answered"))
        with typed_errors():
            await self._agents.record(given.admission, metrics)
        return PlanResult(plan=plan, metrics=metrics, degraded=degraded)


def _by_rule(deps: AgentDeps, why: str) -> Plan:
    """The playbook's own division of labour."""
    plan = Plan(tasks=(), reason=f"{why}; the playbook's division of labour")
    return plans.repaired(plan, deps.playbook, deps.document, deps.focused_families, is_long=deps.is_long)
