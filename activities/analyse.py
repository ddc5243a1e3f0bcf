"""analyse: one specialist agent's whole run over its share of the playbook."""

from temporalio import activity

from activities.agents import Team
from activities.failures import typed_errors
from activities.toolkit import Toolkit
from countersign.agents import team
from countersign.review.payloads import SpecialistReport
from countersign.review.steps import AnalyseInput


class Analyse:
    """The specialists."""

    def __init__(self, agents: Team) -> None:
        self._agents = agents
        self._tools = Toolkit(agents.services)

    @activity.defn
    async def analyse(self, given: AnalyseInput) -> SpecialistReport:
        """Run one specialist. Its quotations are verified later, by `reconcile`."""
        specialist, key = given.task.specialist, given.admission.key
        with typed_errors():
            deps = await self._agents.deps(
                given.admission, specialist, ask=given.ask, intent=given.intent, recall=given.recall
            )
            model = self._agents.model(deps.playbook, specialist)
            run = f"analyse:{specialist}"
            guard = await self._tools.guard(given, deps, run)
            async with self._agents.call(key, specialist, model, call_id=run) as call:
                report = await team.analyse(deps, given.task, call, guard=guard)
            if report.metrics is not None:
                await self._agents.record(given.admission, report.metrics)
        return report
