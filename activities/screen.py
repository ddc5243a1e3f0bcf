"""screen: the sentinel over instruction and document."""

import asyncio

from temporalio import activity

from activities.failures import typed_errors
from countersign.playbook.load import load_playbook
from countersign.review.payloads import Screening
from countersign.review.steps import StepInput
from countersign.sentinel.screen import screen
from countersign.services import Services


class Screen:
    """Screening, in a thread: it is CPU work."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def screen(self, given: StepInput) -> Screening:
        """Score the risk that instruction or document tries to talk to the model."""
        admission = given.admission
        with typed_errors():
            playbook = load_playbook(self._services.settings.playbooks, admission.playbook)
            text = await self._services.documents.get_text(admission.key.tenant, admission.document.document_id)
            return await asyncio.to_thread(screen, given.ask, text, block_above=playbook.block_above)
