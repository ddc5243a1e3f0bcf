"""ReviewWorkflow: one review, from submission to outcome; who must sign, and what people may do meanwhile."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.admit import Admit
    from activities.learn import Learn
    from activities.settle import Settle
    from countersign.errors import CountersignError, DecisionRefused
    from countersign.review.desk import Desk
    from countersign.review.gate import GateDecision
    from countersign.review.ladder import Ladder, Rung
    from countersign.review.parse import parse
    from countersign.review.payloads import (
        Admission,
        Answer,
        Claim,
        ClaimReceipt,
        Decision,
        EffectDecision,
        EffectReceipt,
        Failure,
        Receipt,
        ReviewRequest,
        ReviewStatus,
        SigningPolicy,
        View,
    )
    from countersign.review.steps import AdmitInput, LearnInput
    from countersign.vigilance.watch import Watch
    from countersign.words import Mode, Outcome, Route, Stage, Verdict

from workflows import options
from workflows import search_attributes as attributes
from workflows.decisions import Decisions
from workflows.effects import Effects
from workflows.evidence import BLANK, disclose, observe, reveal
from workflows.people import People
from workflows.record import Ended, Record, failure_of
from workflows.stages import Analysed, Stages

REFUSALS = {"RateLimited": Outcome.RATE_LIMITED, "Overloaded": Outcome.OVERLOADED}
"""Outcomes of reviews that the door does not let in."""


@workflow.defn
class ReviewWorkflow:
    """One review. Its input is any JSON, or none, parsed here; a bad one ends as `failed` and says why."""

    @workflow.init
    def __init__(self, submission: Any = None) -> None:
        workflow_id = workflow.info().workflow_id
        self._request: ReviewRequest | None = None
        self._record = Record(
            ReviewStatus(review_id=workflow_id, workflow_id=workflow_id, tenant="", stage=Stage.SUBMIT)
        )
        self._effects = Effects(self._record)
        self._watch = Watch()
        self._decisions = Decisions(self._record, Desk("", SigningPolicy(), ""), self._watch, self._effects)
        self._people = People(self._record, self._desk, self._decisions.changed)
        self._ask_who_signs = False
        try:
            self._request = parse(ReviewRequest, submission, "See the README for the fields of a request")
        except CountersignError as error:
            failure = Failure(type=error.type, message=error.message, remedy=error.remedy)
            self._record.progress.update(failure=failure)
        else:
            self._record.progress.update(
                tenant=self._request.tenant, playbook=self._request.playbook, mode=self._request.mode
            )

    @workflow.run
    async def run(self, submission: Any = None) -> ReviewStatus:
        """The stages in order. Every admitted review ends with an outcome and its trail."""
        if self._request is None:
            return self._record.end(Outcome.FAILED)
        try:
            admission = await self._admit(self._request)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            failure = failure_of(error)
            self._record.progress.update(failure=failure)
            return self._record.end(REFUSALS.get(failure.type, Outcome.FAILED))
        try:
            outcome = await self._review(admission, self._request)
        except Ended as ended:
            await self._settle(admission, ended.outcome, ended.failure)
        except BaseException as error:
            if is_cancelled_exception(error):
                self._effects.abandon(Outcome.FAILED)
                cancelled = Failure(type="Cancelled", message="the review was cancelled")
                await self._settle(admission, Outcome.FAILED, cancelled)
            raise
        else:
            await self._settle(admission, outcome, None)
        return self._record.status

    async def _admit(self, request: ReviewRequest) -> Admission:
        info = workflow.info()
        given = AdmitInput(workflow_id=info.workflow_id, request=request, run_id=info.run_id)
        admission = await workflow.execute_local_activity_method(Admit.admit, given, **options.ADMIT)
        place = (admission.key.tenant, admission.key.review_id)
        self._decisions.desk = Desk(request.user, admission.signing, admission.playbook_version, place)
        self._record.admission = admission
        self._people = People(self._record, self._desk, self._decisions.changed)
        self._record.progress.update(
            review_id=admission.key.review_id, document=admission.document, blind=admission.signing.blind
        )
        workflow.upsert_search_attributes(
            [attributes.TENANT.value_set(admission.tenant_hash), attributes.REVIEW_STAGE.value_set(Stage.READ)]
        )
        self._record.done("admitted", playbook=admission.playbook, version=admission.playbook_version)
        return admission

    async def _review(self, admission: Admission, request: ReviewRequest) -> Outcome:
        analysed = await Stages(self._record, admission, request).run()
        if request.mode is Mode.SHADOW:
            return await self._shadow(admission, analysed)
        if analysed.routed.route is Route.RELEASE:
            disclose(self._record, admission, analysed)
            return Outcome.RELEASED
        await self._effects.open(admission, request.user, analysed.analysis, analysed.left, self._desk)
        outcome = await self._sign(admission, analysed)
        disclose(self._record, admission, analysed)
        await self._effects.act(outcome, self._desk.analysis.key_findings if self._desk.analysis else ())
        await self._learn(admission, request, analysed, outcome)
        return outcome

    async def _shadow(self, admission: Admission, analysed: Analysed) -> Outcome:
        """Compare with the labels that came with it, else with a person who is shown nothing. Nothing is released."""
        if not await observe(self._record, admission, analysed, Mode.SHADOW):
            blank = GateDecision(route=Route.REVIEW, reasons=(), autonomy=analysed.routed.autonomy)
            # There is nothing on the desk that a probe could hide in.
            unprobed = admission.model_copy(update={"probe": None})
            outcome = await self._sign(unprobed, replace(analysed, analysis=BLANK, routed=blank))
            reveal(self._record, analysed)
            if outcome is Outcome.EXPIRED:
                return outcome
            await observe(self._record, admission, analysed, Mode.SHADOW, self._desk)
        else:
            reveal(self._record, analysed)
        return Outcome.SHADOWED

    async def _sign(self, admission: Admission, analysed: Analysed) -> Outcome:
        """Wait for people, for days if need be, and climb the SLA ladder meanwhile."""
        self._record.enter(Stage.SIGN)
        if admission.signing.governed or self._ask_who_signs:
            await self._people.hear()
        opened = workflow.now()
        late = opened + timedelta(seconds=admission.sla.escalate_s)
        ladder = Ladder(admission.sla, opened)
        self._desk.open(self._watch.open(analysed.analysis, admission.probe), analysed.routed.route)
        self._record.progress.update(sla_due=late)
        self._decisions.show()
        workflow.upsert_search_attributes(
            [attributes.REVIEW_STAGE.value_set(Stage.SIGN), attributes.SLA_DUE.value_set(late)]
        )
        self._record.done("waiting", signatures=self._desk.signatures_missing)
        while self._desk.outcome is None:
            if self._desk.pending is not None:
                await self._people.take_effect()
                continue
            due = ladder.next_due
            try:
                await workflow.wait_condition(
                    lambda: self._desk.outcome is not None or self._desk.pending is not None,
                    timeout=None if due is None else max(due - workflow.now(), timedelta(0)),
                    timeout_summary="SLA ladder",
                )
            except TimeoutError:
                for rung in ladder.climb(workflow.now()):
                    self._climb(rung, opened + timedelta(seconds=admission.sla.remind_s))
        await self._people.heard()
        return self._desk.outcome

    def _climb(self, rung: Rung, reminded: datetime) -> None:
        """One rung. A claim sleeps that was taken before the reminder."""
        facts: dict[str, Any] = {}
        match rung:
            case Rung.EXPIRED:
                self._watch.close(self._desk)
                self._desk.expire()
            case Rung.REASSIGNED:
                facts = {"given_back": self._desk.claims.wake(workflow.now(), reminded)}
            case Rung.ESCALATED:
                self._desk.escalate()
                self._record.progress.update(escalated=True)
            case Rung.REMINDED:
                self._record.progress.update(reminded=True)
        self._decisions.show()
        self._record.done(rung, **facts)

    async def _learn(self, admission: Admission, request: ReviewRequest, analysed: Analysed, outcome: Outcome) -> None:
        """Hand what people decided to warm memory; an expired review teaches nothing."""
        if outcome is Outcome.EXPIRED:
            return
        self._record.enter(Stage.LEARN)
        counted = self._desk.counted
        last = counted[-1]
        amended = outcome is Outcome.AMENDED
        result = await workflow.execute_local_activity_method(
            Learn.learn,
            LearnInput(
                admission=admission,
                contract_type=analysed.intent.contract_type,
                route=analysed.routed.route,
                confidence=analysed.analysis.confidence,
                verdict=Verdict.AMEND if amended else last.verdict,
                reviewer=last.reviewer,
                note=last.note,
                before=analysed.analysis.key_findings,
                edits=self._desk.corrections if amended else (),
                decisions=counted,
                session=request.session,
            ),
            **options.STORE,
        )
        self._record.progress.degrade(*result.degraded)
        self._record.done("learned", corrections=result.corrections)
        await observe(self._record, admission, analysed, Mode.LIVE, self._desk)

    async def _settle(self, admission: Admission, outcome: Outcome, failure: Failure | None) -> None:
        self._record.enter(Stage.SETTLE)
        usage = await workflow.execute_local_activity_method(Settle.settle, admission.key, **options.STORE)
        self._record.progress.update(usage=usage, failure=failure)
        reason = {"reason": failure.type} if failure else {}
        self._record.note("ended", outcome=outcome, cost_microusd=usage.cost_microusd, **reason)
        self._record.end(outcome)
        await self._record.written()
        workflow.upsert_search_attributes([attributes.REVIEW_STAGE.value_set(Stage.DONE)])

    @property
    def _desk(self) -> Desk:
        return self._decisions.desk

    # --- what people may do ----------------------------------------------------------------------------------------

    @workflow.query
    def status(self) -> ReviewStatus:
        """Everything a reviewer may see of the review, a vigilance probe included."""
        return self._watch.shown(self._record.status)

    @workflow.query
    def status_without_probe(self) -> ReviewStatus:
        """Everything a person who is no reviewer of it may see of the review."""
        return self._record.status

    @workflow.update
    async def decide(self, decision: Decision) -> Receipt:
        """Take a person's decision. The validator has seen to it that it counts.

        One that takes effect at once, but is judged again for it, is answered when that is done.
        """
        try:
            receipt = self._decisions.take(decision)
        except DecisionRefused as error:
            raise _refusal(error) from None
        pending = self._desk.pending
        if receipt.pending is None or pending is None or pending.due > workflow.now():
            return receipt
        await workflow.wait_condition(lambda: self._desk.pending is not pending)
        kept = self._record.status.receipts
        if decision.decision_id in kept:
            first = kept[decision.decision_id].model_copy(update=self._decisions.standing())
            self._record.progress.update(receipts={**kept, decision.decision_id: first})
        return receipt.model_copy(update=self._decisions.standing())

    @decide.validator
    def _may_decide(self, decision: Decision) -> None:
        try:
            self._desk.check(decision, workflow.now())
        except DecisionRefused as error:
            raise _refusal(error) from None

    @workflow.update
    def view(self, view: View) -> Receipt:
        """Keep what a reviewer would do, before they are told how sure the machine is."""
        return self._decisions.view(view)

    @view.validator
    def _may_view(self, view: View) -> None:
        try:
            self._desk.check_view(view, workflow.now())
        except DecisionRefused as error:
            raise _refusal(error) from None

    @workflow.update
    def claim(self, claim: Claim) -> ClaimReceipt:
        """Let a reviewer take the review to themselves for a while, or give it back."""
        receipt = self._desk.claim(claim, workflow.now(), self._record.status.review_id)
        self._decisions.show()
        event = "unclaimed" if claim.release else "assigned" if claim.assign_to else "claimed"
        self._record.done(event, actor=claim.reviewer, concerns=claim.assign_to, token=receipt.token)
        return receipt

    @claim.validator
    def _may_claim(self, claim: Claim) -> None:
        try:
            self._desk.check_claim(claim, workflow.now())
        except DecisionRefused as error:
            raise _refusal(error) from None

    @workflow.update
    def answer(self, answer: Answer) -> Receipt:
        """Take the requester's answer to a question."""
        self._decisions.answer(answer)
        return self._decisions.receipt()

    @answer.validator
    def _may_answer(self, answer: Answer) -> None:
        try:
            self._desk.check_answer(answer, workflow.now())
        except DecisionRefused as error:
            raise _refusal(error) from None

    @workflow.update
    async def approve_effect(self, decision: EffectDecision) -> EffectReceipt:
        """Approve one proposed effect, under the policy in force at this moment."""
        return await self._decide_effect(decision, approve=True)

    @approve_effect.validator
    def _may_approve_effect(self, decision: EffectDecision) -> None:
        self._check_effect(decision, approve=True)

    @workflow.update
    async def decline_effect(self, decision: EffectDecision) -> EffectReceipt:
        """Decline one proposed effect, for good."""
        return await self._decide_effect(decision, approve=False)

    @decline_effect.validator
    def _may_decline_effect(self, decision: EffectDecision) -> None:
        self._check_effect(decision, approve=False)

    @workflow.signal(name="approve_effect")
    async def _approve_effect(self, given: Any = None) -> None:
        """`{"item": "E1", "reviewer": "…", "digest": "…"}`"""
        await self._effect_by_signal(given, approve=True)

    @workflow.signal(name="decline_effect")
    async def _decline_effect(self, given: Any = None) -> None:
        """`{"item": "E1", "reviewer": "…"}`"""
        await self._effect_by_signal(given, approve=False)

    @workflow.signal
    async def reconsider_effects(self) -> None:
        """The policy over tools was changed: hear of it now, not only when somebody decides."""
        await self._effects.reconsider()

    @workflow.signal
    async def reconsider_signing(self) -> None:
        """Groups, absences or keys were changed: hear of it now, not only when a decision takes effect."""
        self._ask_who_signs = True
        if self._record.status.stage is Stage.SIGN:
            await self._people.hear()

    @workflow.signal(name="withdraw")
    def _withdraw(self, given: Any = None) -> None:
        """`{"reviewer": "…"}`: takes one's decision back while it is pending."""
        self._decisions.by_signal(Verdict.WITHDRAW, given)

    @workflow.signal(name="approve")
    def _approve(self, given: Any = None) -> None:
        """`{"reviewer": "…", "note": "…"}` from the plain `temporal` CLI."""
        self._decisions.by_signal(Verdict.APPROVE, given)

    @workflow.signal(name="reject")
    def _reject(self, given: Any = None) -> None:
        """`{"reviewer": "…", "note": "…"}`"""
        self._decisions.by_signal(Verdict.REJECT, given)

    @workflow.signal(name="amend")
    def _amend(self, given: Any = None) -> None:
        """`{"reviewer": "…", "edits": [{"action": "set", "finding_id": "F1", "severity": "low"}]}`"""
        self._decisions.by_signal(Verdict.AMEND, given)

    @workflow.signal(name="ask")
    def _ask(self, given: Any = None) -> None:
        """`{"reviewer": "…", "question": "…"}`"""
        self._decisions.by_signal(Verdict.ASK, given)

    @workflow.signal(name="answer")
    def _answer_by_signal(self, given: Any = None) -> None:
        """`{"user": "…", "text": "…"}`: the requester's answer."""
        try:
            self._decisions.answer(parse(Answer, given, "Give user and text"))
        except CountersignError as error:
            self._decisions.refuse(error, "answer", given)

    def _check_effect(self, decision: EffectDecision, *, approve: bool) -> None:
        try:
            self._effects.check(decision, approve=approve)
        except DecisionRefused as error:
            raise _refusal(error) from None

    async def _decide_effect(self, decision: EffectDecision, *, approve: bool) -> EffectReceipt:
        try:
            return await self._effects.decide(decision, approve=approve)
        except DecisionRefused as error:
            raise _refusal(error) from None

    async def _effect_by_signal(self, given: object, *, approve: bool) -> None:
        try:
            await self._effects.by_signal(given, approve=approve)
        except CountersignError as error:
            self._decisions.refuse(error, "approve_effect" if approve else "decline_effect", given)


def _refusal(error: CountersignError) -> ApplicationError:
    rule = getattr(error, "rule", "")
    return ApplicationError(error.message, error.remedy, rule, type=error.type, non_retryable=True)
