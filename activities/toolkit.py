"""The tools of one agent's run: the catalogue over its document and tenant, behind the guard."""

from datetime import UTC, datetime

from countersign.agents.deps import AgentDeps
from countersign.breaker.circuits import Circuits
from countersign.breaker.words import Kind, Permit, Result
from countersign.errors import CircuitOpen, Throttled
from countersign.review.steps import AnalyseInput
from countersign.services import Services
from countersign.store.tool_calls import ToolCalls, ToolCounts
from countersign.tools.catalogue import CATALOGUE
from countersign.tools.guard import Catalogued, Guard
from countersign.tools.model import Surroundings
from countersign.tools.ports import CircuitRefusal, Gone, GuardServices


class ToolCircuits:
    """The shared circuits as the guard asks them."""

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits

    async def admit(self, name: str) -> Permit:
        """A permit for one call. Raises `CircuitRefusal`."""
        try:
            return await self._circuits.admit(name)
        except (CircuitOpen, Throttled) as error:
            raise CircuitRefusal(error.retry_after_s) from None

    async def done(self, permit: Permit, gone: Gone, seconds: float) -> None:
        """Tell how the call has gone."""
        await self._circuits.done(permit, Result(Kind(gone), seconds))


class Toolkit:
    """Makes guards. The policy is read anew for each run, so a change is in force with the next."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def guard(self, given: AnalyseInput, deps: AgentDeps, run: str) -> Guard | None:
        """The guard of a specialist's run; None for a review that was begun before there were tools."""
        if given.left is None:
            return None
        services, key = self._services, given.admission.key
        around = Surroundings(
            tenant=key.tenant,
            document=deps.document,
            precedents=services.knowledge,
            counterparties=services.counterparties,
            today=datetime.now(UTC).date(),
        )
        return Guard(
            wrapped=Catalogued(CATALOGUE, around),
            policy=await services.tool_rules.policy(key.tenant, deps.playbook),
            left=given.left,
            services=GuardServices(
                counts=ToolCounts(services.db),
                record=ToolCalls(services.db, services.pseudonyms, key),
                circuits=ToolCircuits(services.circuits),
            ),
            run=run,
            role=given.task.specialist,
            workflow_id=key.workflow_id,
        )
