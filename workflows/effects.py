"""Proposed effects of one review: what people and a changed policy do to them, and their execution at the end.

Without proposed effects nothing in here gives a command, so the history of such a review is what it always was.
"""

from collections.abc import Sequence

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.act import Act
    from countersign.errors import DecisionRefused
    from countersign.review.capability import Capability
    from countersign.review.desk import Desk
    from countersign.review.parse import parse
    from countersign.review.payloads import (
        Admission,
        AnalysisResult,
        Effect,
        EffectDecision,
        EffectReceipt,
        EffectTerms,
        Finding,
    )
    from countersign.review.steps import ActInput, EffectOrder, EffectResult, TermsInput
    from countersign.tools.approval import EffectDesk
    from countersign.words import EffectState, Outcome, Stage, ToolVerdict

from workflows import options
from workflows.record import Record, failure_of

OF_POLICY = ("policy", "not_needed")
"""Rules of refusals that a change of the policy may have lifted."""


class Effects:
    """The effect desk with its surroundings: record, policy, execution."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._desk = EffectDesk()
        self._admission: Admission | None = None
        self._left = Capability()
        self._busy = 0
        self._signers: Desk | None = None

    async def open(
        self, admission: Admission, requester: str, analysis: AnalysisResult, left: Capability, signers: Desk
    ) -> None:
        """Put an analysis' proposed effects before people, under the policy in force. Who signs the review decides."""
        self._signers = signers
        if not analysis.effects:
            return
        self._admission, self._left = admission, left
        self._desk = EffectDesk(
            requester=requester,
            reviewers=() if admission.signing.governed else admission.signing.reviewers,
            review_id=admission.key.review_id,
            document_sha256=admission.document.sha256,
            tenant=admission.key.tenant,
        )
        terms = await self._terms(admission, analysis.effects)
        self._desk.open(analysis, terms or tuple(_unknown(effect) for effect in analysis.effects))
        self._show()
        for standing in self._desk.standings(workflow.now()):
            self._record.note(
                "proposed", item=standing.item, tool=standing.tool, state=standing.state, digest=standing.digest
            )

    def check(self, decision: EffectDecision, *, approve: bool) -> None:
        """Raise `DecisionRefused` unless the decision would count now, as far as that can be told without asking.

        What the policy said when it was last heard of is no reason: `decide` asks it anew.
        """
        try:
            self._desk.check(decision, workflow.now(), approve=approve)
        except DecisionRefused as error:
            if error.rule not in OF_POLICY:
                raise
        if self._signers is not None and not self._desk.already_counted(decision, approve=approve):
            self._signers.check_effect(decision, workflow.now(), approve=approve)

    def unapproved(self) -> tuple[str, ...]:
        """Items that still wait for an approval of their own."""
        standings = self._desk.standings(workflow.now())
        return tuple(standing.item for standing in standings if standing.state is EffectState.PENDING)

    def corrected(self, findings: Sequence[Finding]) -> None:
        """Findings were amended: approvals of the effects that rest on them fall."""
        for item in self._desk.corrected(findings):
            standing = self._desk.standing(item, workflow.now())
            self._record.note("reopened", item=item, version=standing.version, rule="evidence", digest=standing.digest)
        self._show()

    async def decide(self, decision: EffectDecision, *, approve: bool) -> EffectReceipt:
        """Take a decision, judged under the policy in force at this moment. Raises `DecisionRefused`."""
        self.check(decision, approve=approve)
        if not self._desk.already_counted(decision, approve=approve):
            if not await self.reconsider():
                raise DecisionRefused(
                    "the policy over tools cannot be read, so nothing can be decided",
                    rule="policy_unknown",
                    remedy="See that the review's playbook is there, then repeat it",
                )
            self._take(decision, approve=approve)
        standing = self._desk.standing(decision.item, workflow.now())
        return EffectReceipt(
            review_id=self._record.status.review_id,
            item=standing.item,
            state=standing.state,
            version=standing.version,
            digest=standing.digest,
            pending=self._desk.pending(workflow.now()),
        )

    def _take(self, decision: EffectDecision, *, approve: bool) -> None:
        """Nothing is awaited in here. The same decision may have counted while the policy was asked for."""
        at = workflow.now()
        if self._desk.already_counted(decision, approve=approve):
            return
        if self._signers is not None:
            self._signers.check_effect(decision, at, approve=approve)
        (self._desk.approve if approve else self._desk.decline)(decision, at)
        standing = self._desk.standing(decision.item, at)
        self._show()
        self._record.done(
            "effect_approved" if approve else "effect_declined",
            actor=decision.reviewer,
            item=standing.item,
            tool=standing.tool,
            version=standing.version,
            digest=standing.digest,
            policy=standing.policy_version,
        )

    async def by_signal(self, given: object, *, approve: bool) -> None:
        """The same decision by signal. Raises what `decide` and `parse` raise."""
        await self.decide(
            parse(EffectDecision, given, 'Give at least {"item": "E1", "reviewer": "…"}'), approve=approve
        )

    async def reconsider(self) -> bool:
        """Ask for the policy in force, and let it change what is still open; False when it cannot be read.

        Nothing without proposed effects.
        """
        if self._admission is None:
            return True
        self._busy += 1
        try:
            terms = await self._terms(self._admission, self._desk.effects)
        finally:
            self._busy -= 1
        changed = self._desk.reconsider(terms or ())
        for item in changed:
            standing = self._desk.standing(item, workflow.now())
            self._record.note("reopened", item=item, version=standing.version, rule="policy", state=standing.state)
        if changed:
            self._show()
            self._record.write()
        return terms is not None

    async def _terms(self, admission: Admission, effects: tuple[Effect, ...]) -> tuple[EffectTerms, ...] | None:
        try:
            result = await workflow.execute_local_activity_method(
                Act.effect_terms, TermsInput(admission=admission, effects=effects, left=self._left), **options.STORE
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return None
        return result.terms

    async def act(self, outcome: Outcome, findings: Sequence[Finding]) -> None:
        """The review is over: do what was approved, decline the rest, and say so. Nothing without proposed effects."""
        admission = self._admission
        if admission is None:
            return
        # A decision that came before the last signature is heard before the desk closes.
        await workflow.wait_condition(lambda: self._busy == 0)
        self._record.enter(Stage.ACT)
        orders = self._desk.close(outcome, workflow.now())
        if orders:
            self._desk.settle(await self._done(admission, orders, findings))
        self._tell()
        self._record.write()

    def abandon(self, outcome: Outcome) -> None:
        """The review ends without a signature: nothing happens, and that is said."""
        if self._admission is not None:
            self._desk.close(outcome, workflow.now())
            self._tell()

    def _tell(self) -> None:
        self._show()
        for standing in self._desk.standings(workflow.now()):
            self._record.note(
                "effect", item=standing.item, tool=standing.tool, state=standing.state, version=standing.version
            )

    async def _done(
        self, admission: Admission, orders: tuple[EffectOrder, ...], findings: Sequence[Finding]
    ) -> tuple[EffectResult, ...]:
        given = ActInput(
            admission=admission,
            requester=self._desk.requester,
            orders=orders,
            findings=tuple(findings),
            left=self._left,
        )
        try:
            result = await workflow.execute_activity_method(
                Act.act,
                given,
                **options.told(
                    options.ACT, f"{len(orders)} approved effect(s)", admission.tenant_hash, admission.weight
                ),
            )
        except FailureError as error:
            self._record.soften(error, "effects")
            reason = f"it could not be done ({failure_of(error).type})"
            return tuple(
                EffectResult(item=order.effect.id, state=EffectState.REFUSED, rule="failed", reason=reason)
                for order in orders
            )
        return result.results

    def _show(self) -> None:
        self._record.progress.update(effects=self._desk.standings(workflow.now()))


def _unknown(effect: Effect) -> EffectTerms:
    """Until the policy can be read, it is as if it said no."""
    return EffectTerms(
        item=effect.id, verdict=ToolVerdict.DENY, policy_version="", reason="the policy over tools cannot be read"
    )
