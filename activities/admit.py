"""submit: admission. Idempotent by review id, so a raw `temporal workflow start` cannot walk around it.

A review that the dispatcher started has had its turn. One that was started by hand passes the same door as all others,
and waits for its turn in here: the activity fails as `Waiting` and says when it wants to be asked again.
"""

import hashlib
import re
from datetime import timedelta
from typing import NoReturn

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.failures import typed_errors
from countersign.admission.intake import Running, span
from countersign.errors import InvalidRequest, Overloaded
from countersign.playbook.load import load_playbook, playbook_digest
from countersign.playbook.model import Playbook
from countersign.review.payloads import (
    Admission,
    DocumentRef,
    Probe,
    ReviewKey,
    ReviewRequest,
    SigningPolicy,
    SlaPolicy,
)
from countersign.review.steps import AdmitInput
from countersign.services import Services
from countersign.store.acceptances import Held
from countersign.store.documents import document_id_of
from countersign.vigilance.probe import drawn, seeds
from countersign.words import Mode, Outcome

_HOUR = 3600.0
LONGEST_WAIT_S = 24 * _HOUR
"""A review started by hand that has not had its turn by then ends as `overloaded`."""
ASK_AGAIN_S = (2.0, 60.0)
"""One that waits asks no more often than the first, and no more seldom than the second."""


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
        remind_s=sla.remind_hours * _HOUR,
        escalate_s=sla.escalate_hours * _HOUR,
        expire_s=sla.expire_hours * _HOUR,
        reassign_s=None if sla.reassign_hours is None else sla.reassign_hours * _HOUR,
    )


def signing_of(playbook: Playbook) -> SigningPolicy:
    """The playbook's signing rules, fixed for this review."""
    signing = playbook.signing
    return SigningPolicy.model_validate(
        {
            **signing.model_dump(exclude={"undo_minutes", "blind_capture"}),
            "contract_types": playbook.contract_types,
            "undo_s": signing.undo_minutes * 60,
            "blind": signing.blind_capture,
            "governed": signing.governed,
        }
    )


def sentinel_of(playbook: Playbook, setting: str | None) -> str | None:
    """The sentinel agent's model, or several with commas: the playbook's, else the setting; None: no such agent."""
    return ",".join(playbook.models.get("sentinel", ())) or setting


class Admit:
    """Admission: fixes playbook, policies and document for the whole review."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def admit(self, given: AdmitInput) -> Admission:
        """Admit a review.

        Raises for good: InvalidRequest, PlaybookError, NotFound (no such document), RateLimited and Overloaded (the
        door is shut, or a day's wait was in vain). Raises `Waiting`, to be retried at its own time, until its turn.
        """
        request = given.request
        with typed_errors():
            playbook = load_playbook(self._services.settings.playbooks, request.playbook)
            review_id = review_id_of(given.workflow_id, request.tenant, request.review_id)
            key = ReviewKey(tenant=request.tenant, review_id=review_id, workflow_id=given.workflow_id)
            pseudonyms = self._services.pseudonyms
            user_hash = pseudonyms.of("user", request.user)
            document, batch_id = await self._let_in(key, request, user_hash, given.run_id or "")
            limits = await self._services.limits.of(request.tenant, user_hash)
            signing = signing_of(playbook)
            if request.mode is Mode.SHADOW:
                # Nothing is shown there at all: the decision is the view.
                signing = signing.model_copy(update={"blind": False})
            if not signing.governed and await self._services.people.governs(request.tenant):
                signing = signing.model_copy(update={"governed": True})
            return Admission(
                key=key,
                document=document,
                playbook=playbook.name,
                playbook_version=playbook.version,
                playbook_digest=playbook_digest(playbook),
                user_hash=user_hash,
                tenant_hash=pseudonyms.of("tenant", request.tenant),
                sla=sla_of(playbook),
                signing=signing,
                weight=limits.weight,
                sentinel_model=sentinel_of(playbook, self._services.settings.sentinel_model),
                probe=self._probe(playbook, key.workflow_id, limits.probe_share),
                batch_id=batch_id,
            )

    def _probe(self, playbook: Playbook, workflow_id: str, share: float) -> Probe | None:
        """The review's vigilance probe, if it carries one: drawn by a keyed hash of its workflow id."""

        def pseudonym(name: str) -> str:
            return self._services.pseudonyms.of("probe", name)

        if not self._services.settings.probes or not drawn(pseudonym(workflow_id), share):
            return None
        return Probe(seeds=seeds(playbook, lambda family: pseudonym(f"{workflow_id}/{family}")))

    async def _let_in(
        self, key: ReviewKey, request: ReviewRequest, user_hash: str, run_id: str
    ) -> tuple[DocumentRef, str | None]:
        """The review's document and its batch, if any, once its turn has come; raises `Waiting` before."""
        document, text = request.document, (request.text or "").encode()
        if document is None and not text.strip():
            raise InvalidRequest("document: neither a document nor a text was given", remedy="Give one of them")
        sha256 = hashlib.sha256(text).hexdigest()
        document_id = document.document_id if document else document_id_of(key.tenant, key.review_id, sha256)
        held = await self._services.acceptances.take(key, document_id=document_id, user_hash=user_hash, run_id=run_id)
        if held is None:
            return await self._enter(key, request, text, run_id), None
        if held.outcome is not None and held.outcome is not Outcome.OVERLOADED:
            raise InvalidRequest(
                f"review_id: review {key.review_id} has ended already", remedy="Start with a new workflow id"
            )
        if held.outcome is Outcome.OVERLOADED or not held.in_flight:
            await self._wait(key, held)
        return document or await self._services.documents.ref(key.tenant, document_id), held.batch_id

    async def _enter(self, key: ReviewKey, request: ReviewRequest, text: bytes, run_id: str) -> DocumentRef:
        """In through the door, as every review; this one's workflow runs already."""
        intake, running = self._services.intake, Running(key.workflow_id, run_id)
        async with intake.entering(key.tenant, request.user, key.review_id, running=running) as place:
            source = request.document
            if source is None:
                upload = intake.upload(key.tenant, key.review_id)
                await upload.write(text)
            accepted = await place.accept(request, source or upload)
        if not accepted.in_flight:
            await self._wait(key, Held(estimate_s=accepted.estimate_s))
        return accepted.document

    async def _wait(self, key: ReviewKey, held: Held) -> NoReturn:
        """Raise `Waiting`, or after a day in vain `Overloaded`."""
        if held.outcome is Outcome.OVERLOADED or (
            # Not if its turn comes this very moment: then it is asked once more, and let in.
            held.waited_s >= LONGEST_WAIT_S
            and await self._services.waiting.close(key.tenant, key.review_id, Outcome.OVERLOADED)
        ):
            await self._services.door.leave(key.tenant, key.review_id)
            raise Overloaded(
                f"its turn did not come within {span(LONGEST_WAIT_S)}",
                remedy="Start it again, or submit it, when `countersign limits` shows a shorter queue",
            )
        least, most = ASK_AGAIN_S
        # More and more seldom, since every time leaves some events in the history: some 1,500 times in a whole day.
        again = max(least, min(max(held.estimate_s - held.waited_s, held.waited_s / 10), most))
        raise ApplicationError(
            f"waits for its turn; asks again in {span(again)}",
            type="Waiting",
            next_retry_delay=timedelta(seconds=again),
            category=ApplicationErrorCategory.BENIGN,
        )
