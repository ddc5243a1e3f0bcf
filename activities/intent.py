"""intent: what is asked, by whom, about which kind of contract; typed before anything acts on it."""

from temporalio import activity

from activities.agents import Team
from activities.failures import typed_errors
from countersign.agents import team
from countersign.review.steps import IntentResult, StepInput


class Understand:
    """The intent agent."""

    def __init__(self, agents: Team) -> None:
        self._agents = agents

    @activity.defn
    async def understand(self, given: StepInput) -> IntentResult:
        """Read the intent from instruction and document."""
        key = given.admission.key
        with typed_errors():
            deps = await self._agents.deps(given.admission, "intent")
            model = self._agents.model(deps.playbook, "intent")
            async with self._agents.call(key, "intent", model) as call:
                intent, metrics, degraded = await team.understand(deps, given.ask, call)
            await self._agents.record(given.admission, metrics)
        return IntentResult(intent=intent, metrics=metrics, degraded=degraded)
