"""read: the document's bytes to text with page and character offsets, kept by reference."""

import asyncio
import hashlib

from temporalio import activity

from activities.failures import beating, typed_errors
from countersign.document.likeness import assert_contract
from countersign.document.model import DocumentText
from countersign.document.read import read_document
from countersign.review.payloads import ReadReport
from countersign.review.steps import StepInput
from countersign.services import Services


def _read(data: bytes, media_type: str, max_bytes: int) -> DocumentText:
    text = read_document(data, media_type, max_bytes=max_bytes)
    assert_contract(text.text)
    return text


class Read:
    """Reading, in a thread: parsing is CPU work."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def read(self, given: StepInput) -> ReadReport:
        """Read the document and store its text. Raises DocumentError for good when it cannot be read."""
        admission = given.admission
        max_bytes = int(self._services.settings.max_document_mb * 1_000_000)
        with typed_errors():
            data = await self._services.documents.get(admission.key.tenant, admission.document.document_id)
            async with beating():
                text = await asyncio.to_thread(_read, data, admission.document.media_type, max_bytes)
            await self._services.documents.put_text(admission.key.tenant, admission.document.document_id, text)
        return ReadReport(
            chars=len(text.text),
            pages=len(text.pages),
            sections=len(text.sections),
            text_sha256=hashlib.sha256(text.text.encode()).hexdigest(),
            hidden_chars=sum(end - start for start, end in text.hidden),
        )
