"""read: the document's bytes to text with page and character offsets, kept by reference."""

import hashlib

from temporalio import activity

from activities.failures import beating, typed_errors
from countersign.review.payloads import ReadReport
from countersign.review.steps import StepInput
from countersign.services import Services


class Read:
    """Reading, in a process of its own for each document: its bytes may be hostile."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def read(self, given: StepInput) -> ReadReport:
        """Read the document and store its text.

        Raises DocumentError for good when it cannot be read within the limits, or is no contract. Cancelling the
        activity kills the process that reads.
        """
        admission = given.admission
        services = self._services
        max_bytes = int(services.settings.max_document_mb * 1_000_000)
        with typed_errors():
            data = await services.documents.get(admission.key.tenant, admission.document.document_id)
            async with beating():
                text = await services.sandbox.read(data, admission.document.media_type, max_bytes=max_bytes)
            await services.documents.put_text(admission.key.tenant, admission.document.document_id, text)
        return ReadReport(
            chars=len(text.text),
            pages=len(text.pages),
            sections=len(text.sections),
            text_sha256=hashlib.sha256(text.text.encode()).hexdigest(),
            hidden_chars=sum(end - start for start, end in text.hidden),
            unread=text.unread,
        )
