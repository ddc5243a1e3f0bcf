"""signing: who may sign just now. Asked before a review waits, when data change, before a decision takes effect."""

from temporalio import activity

from activities.admit import signing_of
from activities.failures import typed_errors
from countersign.errors import PlaybookError
from countersign.playbook.load import load_playbook
from countersign.review.payloads import Admission, SigningPolicy, SigningTerms
from countersign.review.steps import StepInput
from countersign.services import Services


class Signing:
    """Terms of signing, on the side that can read them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def signing_terms(self, given: StepInput) -> SigningTerms:
        """The playbook's rules and the tenant's data in force. Where there is no such playbook any more, its old rules.

        Rules that admission fixed and the playbook has given up since hold on, as far as they are about who signs at
        all: nobody is let in because a line was deleted while the review waited.
        """
        admission = given.admission
        with typed_errors():
            return await self._services.people.terms(admission.key.tenant, self._policy(admission))

    def _policy(self, admission: Admission) -> SigningPolicy:
        try:
            now = signing_of(load_playbook(self._services.settings.playbooks, admission.playbook))
        except PlaybookError:
            return admission.signing
        fixed = admission.signing
        named, was_named = bool(now.reviewers or now.groups), bool(fixed.reviewers or fixed.groups)
        kept = {} if named or not was_named else {"reviewers": fixed.reviewers, "groups": fixed.groups}
        return now.model_copy(
            update={**kept, "governed": True, "require_signed": now.require_signed or fixed.require_signed}
        )
