"""settle: what is left of its agent runs entered and dropped, and the review's calls summed from the ledger."""

from temporalio import activity

from activities.failures import typed_errors
from countersign.review.payloads import ReviewKey, Usage
from countersign.services import Services


class Settle:
    """Settlement."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def settle(self, key: ReviewKey) -> Usage:
        """Tokens and money of all the review's agent calls."""
        with typed_errors():
            await self._services.runs.settle(key.workflow_id)
            return await self._services.ledger.settle(key)
