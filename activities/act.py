"""act: what the policy says of proposed effects, and doing what people approved. Effects happen nowhere else."""

from datetime import datetime

from temporalio import activity

from activities.admit import signing_of
from activities.failures import typed_errors
from countersign.playbook.load import load_playbook
from countersign.review.signing import Authority
from countersign.review.steps import ActInput, ActResult, EffectOrder, EffectResult, TermsInput, TermsResult
from countersign.services import Services
from countersign.tools.approval import InForce, objection
from countersign.tools.policy import ToolPolicy


class Act:
    """Effects, on the side that carries them out."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def effect_terms(self, given: TermsInput) -> TermsResult:
        """What the policy in force says of each proposed effect."""
        admission = given.admission
        with typed_errors():
            playbook = load_playbook(self._services.settings.playbooks, admission.playbook)
            policy = await self._services.tool_rules.policy(admission.key.tenant, playbook)
        return TermsResult(terms=tuple(policy.terms(effect, given.left) for effect in given.effects))

    @activity.defn
    async def act(self, given: ActInput) -> ActResult:
        """Do what was ordered, each effect once however often this is retried.

        Everything that an approval is bound to is checked again here, under the policy and playbook in force and by the
        database's clock, in the transaction that does it.
        """
        with typed_errors():
            return ActResult(results=tuple([await self._one(given, order) for order in given.orders]))

    async def _one(self, given: ActInput, order: EffectOrder) -> EffectResult:
        admission, services = given.admission, self._services
        playbook = load_playbook(services.settings.playbooks, admission.playbook)
        only = None
        if playbook.signing.groups:
            policy_now = signing_of(playbook)
            terms = await services.people.terms(admission.key.tenant, policy_now)
            # A lead could approve only after an escalation, which the desk has seen to.
            only = Authority(given.requester, policy_now, terms).names(escalated=True)

        def against(policy: ToolPolicy, at: datetime) -> tuple[str, str] | None:
            now = InForce(
                review_id=admission.key.review_id,
                requester=given.requester,
                reviewers=playbook.signing.reviewers,
                document_sha256=admission.document.sha256,
                findings=given.findings,
                terms=policy.terms(order.effect, given.left),
                at=at,
                only=only,
            )
            return objection(order, now)

        approver = order.approval.approver if order.approval else None
        return await services.effects.execute(
            admission.key,
            order,
            playbook=playbook,
            approver_hash=services.pseudonyms.of("user", approver) if approver else None,
            objection=against,
        )
