"""judge: the sentinel agent's second look at what patterns and scorer did not block. It can only raise the risk."""

from temporalio import activity

from activities.agents import SENTINEL, Team
from activities.failures import typed_errors
from countersign.agents import sentinel
from countersign.review.steps import JudgeInput, JudgeResult


class Judge:
    """The sentinel agent."""

    def __init__(self, agents: Team) -> None:
        self._agents = agents

    @activity.defn
    async def judge(self, given: JudgeInput) -> JudgeResult:
        """Hear the sentinel agent about instruction and document."""
        key = given.admission.key
        with typed_errors():
            deps = await self._agents.deps(given.admission, SENTINEL)
            model = self._agents.sentinel(given.admission)
            async with self._agents.call(key, SENTINEL, model) as call:
                judgement = await sentinel.judge(
                    given.ask, deps.document, given.screening, call, block_above=deps.playbook.block_above
                )
            await self._agents.record(given.admission, judgement.metrics)
        return JudgeResult(
            screening=judgement.screening,
            chars=judgement.chars,
            metrics=judgement.metrics,
            degraded=judgement.degraded,
        )
