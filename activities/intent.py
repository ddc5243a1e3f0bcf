"""intent: what is asked, by whom, about which kind of contract; typed before anything acts on it."""

from temporalio import activity

from activities.agents import Team, heartbeat, model_errors
from countersign.agents import team
from countersign.review.steps import IntentResult, StepInput


class Understand:
    """The intent agent."""

    def __init__(self, agents: Team) -> None:
        self._agents = agents

    @activity.defn
    async def understand(self, given: StepInput) -> IntentResult:
        """Read the intent from instruction and document."""
        with model_errors():
            deps = await self._agents.deps(given.admission)
            model = self._agents.model(deps.playbook, "intent")
            intent, metrics = await team.understand(deps, given.ask, model, call_id="intent", progress=heartbeat)
            await self._agents.record(given.admission, metrics)
        return IntentResult(intent=intent, metrics=metrics)
