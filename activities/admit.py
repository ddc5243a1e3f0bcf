"""submit: admission. Idempotent by review id, so a raw `temporal workflow start` cannot walk around it."""

import re
from datetime import UTC, datetime

from temporalio import activity

from activities.failures import typed_errors
from countersign.errors import InvalidRequest
from countersign.playbook.load import load_playbook, playbook_digest
from countersign.playbook.model import Playbook
from countersign.review.payloads import Admission, DocumentRef, ReviewKey, ReviewRequest, SigningPolicy, SlaPolicy
from countersign.review.steps import AdmitInput
from countersign.services import Services

_HOUR = 3600.0


def review_id_of(workflow_id: str, tenant: str, stated: str | None) -> str:
    """The review's id: as stated, else the end of a `review-<tenant>-<id>` workflow id, else that id as a slug."""
    if stated is not None:
        return stated
    prefix = f"review-{tenant}-"
    raw = workflow_id.removeprefix(prefix) if workflow_id.startswith(prefix) else workflow_id
    slug = re.sub(r"[^a-z0-9]+", "-", raw.lower()).strip("-")[:48].strip("-")
    if not slug:
        raise InvalidRequest(
            "workflow id: has no letter or digit to make a review id from",
            remedy="Start with --workflow-id review-<tenant>-<id>",
        )
    return slug


def sla_of(playbook: Playbook) -> SlaPolicy:
    """The playbook's hours as seconds."""
    sla = playbook.sla
    return SlaPolicy(
        remind_s=sla.remind_hours * _HOUR, escalate_s=sla.escalate_hours * _HOUR, expire_s=sla.expire_hours * _HOUR
    )


def signing_of(playbook: Playbook) -> SigningPolicy:
    """The playbook's signing rules, fixed for this review."""
    return SigningPolicy.model_validate({**playbook.signing.model_dump(), "contract_types": playbook.contract_types})


class Admit:
    """Admission: fixes playbook, policies and document for the whole review."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def admit(self, given: AdmitInput) -> Admission:
        """Admit a review. Raises InvalidRequest, PlaybookError or NotFound (no such document) for good."""
        with typed_errors():
            request = given.request
            playbook = load_playbook(self._services.settings.playbooks, request.playbook)
            review_id = review_id_of(given.workflow_id, request.tenant, request.review_id)
            key = ReviewKey(tenant=request.tenant, review_id=review_id, workflow_id=given.workflow_id)
            document = await self._document(key, request)
            pseudonyms = self._services.pseudonyms
            user_hash = pseudonyms.of("user", request.user)
            await self._services.reviews.admit(
                key,
                document,
                playbook=playbook.name,
                user_hash=user_hash,
                at=datetime.now(UTC),
                run_id=given.run_id,
            )
            return Admission(
                key=key,
                document=document,
                playbook=playbook.name,
                playbook_version=playbook.version,
                playbook_digest=playbook_digest(playbook),
                user_hash=user_hash,
                tenant_hash=pseudonyms.of("tenant", request.tenant),
                sla=sla_of(playbook),
                signing=signing_of(playbook),
            )

    async def _document(self, key: ReviewKey, request: ReviewRequest) -> DocumentRef:
        if request.document is not None:
            return request.document
        if not request.text or not request.text.strip():
            raise InvalidRequest("document: neither a document nor a text was given", remedy="Give one of them")
        return await self._services.documents.put(key.tenant, key.review_id, request.text.encode(), "text/plain")
