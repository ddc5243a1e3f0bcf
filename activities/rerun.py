"""rerun: a stored review with another arm. Written to are its batch's item and the ledger alone."""

from temporalio import activity

from activities.admit import sentinel_of, signing_of, sla_of
from activities.batch import close_rerun, release_lease
from activities.failures import typed_errors
from countersign.agents.models import resolve_model
from countersign.batch.payloads import ERASED, BatchKind, KeepInput, RerunFacts, RerunInput
from countersign.batch.rerun import rerun_key, rerun_workflow_id
from countersign.errors import InvalidRequest, NotFound
from countersign.playbook.load import load_playbook, playbook_digest
from countersign.review.payloads import Admission, Failure, ReviewKey, ReviewRequest
from countersign.services import Services


class Reruns:
    """What a rerun does outside of itself, beside the steps of a review."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def prepare_rerun(self, given: RerunInput) -> RerunFacts:
        """What is analysed again, and how. Raises NotFound for good when text or status were erased or never were."""
        services, key = self._services, given.key
        with typed_errors():
            row = await services.batches.row(key)
            if row.kind is not BatchKind.RERUN:
                raise InvalidRequest(f"batch {key.batch_id}: is no rerun")
            order = await services.batches.order(key)
            [item] = await services.batches.items(key, [given.position])
            status = await services.reviews.status(item.review_id, key.tenant)
            if status.document is None:
                raise NotFound(f"review {item.review_id}: has no document", remedy="It never came so far")
            await services.documents.get_text(key.tenant, status.document.document_id)
            playbook = load_playbook(services.settings.playbooks, order.other_playbook or status.playbook)
            if order.model is not None:
                resolve_model(order.model, services.settings.playbooks)
            # The words that were asked are kept sealed with the review; they are part of what is compared.
            asked = await services.reviews.request(key.tenant, item.review_id)
            request = ReviewRequest(
                tenant=key.tenant,
                user=asked.user if asked else order.user,
                playbook=playbook.name,
                ask=asked.ask if asked else "",
                document=status.document,
            )
            limits = await services.limits.tenant(key.tenant)
            admission = Admission(
                key=ReviewKey(
                    tenant=key.tenant,
                    review_id=rerun_key(key, given.position),
                    workflow_id=rerun_workflow_id(key, given.position),
                ),
                document=status.document,
                playbook=playbook.name,
                playbook_version=playbook.version,
                playbook_digest=playbook_digest(playbook),
                user_hash=services.pseudonyms.of("user", request.user),
                tenant_hash=services.pseudonyms.of("tenant", key.tenant),
                sla=sla_of(playbook),
                signing=signing_of(playbook),
                weight=limits.weight,
                sentinel_model=sentinel_of(playbook, services.settings.sentinel_model),
                batch_id=key.batch_id,
                model=order.model,
            )
            return RerunFacts(admission=admission, request=request, autonomy=status.autonomy)

    @activity.defn
    async def keep(self, given: KeepInput) -> None:
        """Keep the result with its item, once, and give the lease back."""
        batches, key, result = self._services.batches, given.key, given.result
        with typed_errors():
            usage = await close_rerun(self._services, key, given.position)
            try:
                if result.failure is not None and result.failure.type == NotFound.type:
                    await batches.end(key, given.position, ERASED, result.failure)
                else:
                    await batches.keep(key, given.position, result.model_copy(update={"usage": usage}))
            except NotFound as error:  # erased while it was analysed
                await batches.end(key, given.position, ERASED, Failure(type=error.type, message=error.message))
        await release_lease(self._services, key, given.position)
