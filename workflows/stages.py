"""The stages of the machine, from reading to the gate. Each notes one row; what fails softly lowers autonomy."""

import asyncio
from dataclasses import dataclass
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, RetryState, is_cancelled_exception
from temporalio.workflow import ActivityConfig

with workflow.unsafe.imports_passed_through():
    from activities.analyse import Analyse
    from activities.intent import Understand
    from activities.judge import Judge
    from activities.plan import MakePlan
    from activities.read import Read
    from activities.recall import RecallMemory
    from activities.reconcile import Reconcile
    from activities.screen import Screen
    from countersign.review.capability import Capability, blocked, capability
    from countersign.review.gate import GateDecision, gate
    from countersign.review.payloads import (
        Admission,
        AnalysisResult,
        CellStanding,
        Intent,
        Plan,
        PlannedTask,
        Recall,
        ReviewRequest,
        Screening,
        SpecialistReport,
    )
    from countersign.review.steps import AnalyseInput, JudgeInput, PlanInput, RecallInput, ReconcileInput, StepInput
    from countersign.words import Autonomy, Mode, Outcome, Route, Stage, Tier

from workflows import options
from workflows import search_attributes as attributes
from workflows.record import Ended, Record, failure_of, fatal


@dataclass(frozen=True)
class Analysed:
    """What the machine hands to the people: its analysis and where the gate sent it."""

    intent: Intent
    analysis: AnalysisResult
    routed: GateDecision
    left: Capability


class Stages:
    """One review's way through the machine."""

    def __init__(self, record: Record, admission: Admission, request: ReviewRequest) -> None:
        self._record = record
        self._admission = admission
        self._request = request
        self._left = Capability()
        """What screening left the review."""
        self._standing: CellStanding | None = None
        """What the evidence says of the cell."""
        self._blind = request.mode is Mode.SHADOW
        """Whether nothing of what the agents say may be seen until a person has judged."""
        self._captures = admission.signing.blind
        """Whether the trail is told how sure the agents are only when people have judged."""
        self._patient = True
        """Whether the review may still wait for models: once, for as long as a step may take, not once a step."""

    @property
    def _ask(self) -> str:
        """The requester's words, as far as they may go once the intent has been read from them."""
        return self._request.ask if self._left.instruction else ""

    async def run(self) -> Analysed:
        """All stages in order. Raises `Ended` when the review is blocked or cannot be read."""
        await self._read()
        await self._screen()
        intent = await self._understand()
        recall = await self._recall(intent)
        plan = await self._plan(intent, recall)
        reports = await self._analyse(intent, recall, plan)
        analysis = await self._reconcile(intent, recall, reports)
        return Analysed(intent, analysis, self._gate(analysis, intent, recall), self._left)

    def _agent(self, summary: str) -> ActivityConfig:
        return self._options(options.AGENT if self._patient else options.HURRIED, summary)

    def _waited(self, error: FailureError) -> None:
        """A step has run out of time: the ones after it are not to wait as long again."""
        if isinstance(error, ActivityError) and error.retry_state is RetryState.TIMEOUT:
            self._patient = False

    async def again(self, autonomy: Autonomy) -> Analysed:
        """The stages that a rerun has: of a document that was read before, and without memory.

        Corrections that people made since would tell this arm what the first one had to find out by itself. `autonomy`
        is what the first one had, so that the gate judges both alike.
        """
        recall = Recall(autonomy=autonomy)
        await self._screen()
        intent = await self._understand()
        plan = await self._plan(intent, recall)
        reports = await self._analyse(intent, recall, plan)
        analysis = await self._reconcile(intent, recall, reports)
        return Analysed(intent, analysis, self._gate(analysis, intent, recall), self._left)

    def _options(self, profile: ActivityConfig, summary: str) -> ActivityConfig:
        return options.told(profile, summary, self._admission.tenant_hash, self._admission.weight)

    async def _read(self) -> None:
        self._record.enter(Stage.READ)
        document = self._admission.document
        try:
            read = await workflow.execute_activity_method(
                Read.read,
                StepInput(admission=self._admission),
                **self._options(options.READ, f"{document.media_type}, {document.size} bytes"),
            )
        except FailureError as error:
            raise fatal(error) from error
        self._record.progress.update(read=read)
        self._record.done("read", pages=read.pages, chars=read.chars, sections=read.sections)

    async def _screen(self) -> None:
        """The sentinel's verdict. Raises `Ended` when it is a block; without a verdict a person must look."""
        self._record.enter(Stage.SCREEN)
        try:
            screening = await workflow.execute_activity_method(
                Screen.screen,
                StepInput(admission=self._admission, ask=self._request.ask),
                **self._options(options.SCREEN, "sentinel over instruction and document"),
            )
        except FailureError as error:
            self._record.soften(error, "sentinel")
            self._leave(capability(None))
            self._screened("not_screened", reason=failure_of(error).type)
            return
        self._take(screening)
        self._screened("screened", **_facts(screening))
        self._stop_if_blocked(screening)
        if self._admission.sentinel_model is not None:
            await self._judge(screening)

    async def _judge(self, screening: Screening) -> None:
        """The sentinel agent's verdict; without one that of patterns and scorer stands, and a person must look."""
        try:
            result = await workflow.execute_activity_method(
                Judge.judge,
                JudgeInput(admission=self._admission, screening=screening, ask=self._request.ask),
                **self._options(options.JUDGE, "sentinel agent over what the patterns let pass"),
            )
        except FailureError as error:
            self._waited(error)
            self._record.soften(error, "sentinel agent")
            self._leave(capability(screening, judged=False))
            self._screened("not_judged", reason=failure_of(error).type)
            return
        self._record.progress.spent(result.metrics)
        self._record.progress.degrade(*result.degraded)
        self._take(result.screening)
        self._screened("judged", **_facts(result.screening), chars=result.chars, **_without(result.degraded))
        self._stop_if_blocked(result.screening)

    def _take(self, screening: Screening) -> None:
        """A verdict becomes the review's."""
        self._record.progress.update(screening=screening)
        workflow.upsert_search_attributes([attributes.RISK_BAND.value_set(screening.band)])
        self._leave(capability(screening))

    def _leave(self, left: Capability) -> None:
        """What the review has to do without from now on, for the reviewer to see."""
        self._left = left
        self._record.progress.degrade(*(f"{what} (withheld)" for what in left.withheld))

    def _screened(self, event: str, **facts: Any) -> None:
        """A row on the verdict, or the want of one, and on what it takes away."""
        if self._left.withheld:
            facts["withheld"] = list(self._left.withheld)
        self._record.done(event, **facts)

    def _stop_if_blocked(self, screening: Screening) -> None:
        if self._left.blocked:
            self._record.progress.update(route=Route.BLOCK)
            raise Ended(Outcome.BLOCKED, blocked(screening))

    async def _understand(self) -> Intent:
        self._record.enter(Stage.INTENT)
        try:
            result = await workflow.execute_activity_method(
                Understand.understand,
                StepInput(admission=self._admission, ask=self._request.ask),
                **self._agent("what is asked, about which kind of contract"),
            )
        except FailureError as error:
            self._waited(error)
            self._record.soften(error, "intent")
            self._record.done("not_understood", reason=failure_of(error).type)
            return Intent()
        intent = self._left.plain(result.intent)
        self._record.progress.spent(result.metrics)
        self._record.progress.degrade(*result.degraded)
        self._record.progress.update(intent=intent, contract_type=intent.contract_type)
        self._record.done(
            "understood", contract_type=intent.contract_type, task=intent.task, **_without(result.degraded)
        )
        return intent

    async def _recall(self, intent: Intent) -> Recall:
        self._record.enter(Stage.RECALL)
        given = RecallInput(
            admission=self._admission, intent=intent, session=self._request.session, ask=self._request.ask
        )
        try:
            recall = await workflow.execute_local_activity_method(RecallMemory.recall, given, **options.RECALL)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            recall = Recall(degraded=tuple(Tier))
        recall = self._left.permitted(recall)
        self._standing = recall.standing
        # No agent needs to know what the evidence says of it.
        recall = recall.model_copy(update={"standing": None})
        self._record.progress.degrade(*(f"memory: {tier}" for tier in recall.degraded), *recall.disputed)
        self._record.progress.update(autonomy=recall.autonomy)
        self._record.done(
            "recalled",
            autonomy=recall.autonomy,
            corrections=len(recall.corrections),
            knowledge=len(recall.knowledge),
            degraded=list(recall.degraded),
        )
        return recall

    async def _plan(self, intent: Intent, recall: Recall) -> Plan:
        self._record.enter(Stage.PLAN)
        given = PlanInput(
            admission=self._admission,
            intent=intent,
            recall=recall,
            ask=self._ask,
            by_rule=not self._left.planning,
        )
        try:
            result = await workflow.execute_activity_method(
                MakePlan.plan, given, **self._agent("which specialists look at what")
            )
        except FailureError as error:
            self._without_a_model(error, given.by_rule)
            try:
                result = await workflow.execute_activity_method(
                    MakePlan.plan,
                    given.model_copy(update={"by_rule": True}),
                    **self._options(options.BY_RULE, "which specialists look at what, by rule"),
                )
            except FailureError as final:
                raise fatal(final) from final
        if result.metrics is None and self._left.planning:
            self._record.progress.degrade("planner")
        self._record.progress.spent(result.metrics)
        self._record.progress.degrade(*result.degraded)
        specialists = [task.specialist for task in result.plan.tasks]
        self._record.done("planned", specialists=specialists, **_without(result.degraded))
        return result.plan

    def _without_a_model(self, error: FailureError, by_rule: bool = False) -> None:
        """Go on to do by rule what no model would: no review fails for want of one. Raises when that was the rule."""
        self._waited(error)
        # Reviews of the code before ended here, and may be at it.
        if by_rule or is_cancelled_exception(error) or not workflow.patched("by-rule"):
            raise fatal(error) from error

    async def _analyse(self, intent: Intent, recall: Recall, plan: Plan) -> tuple[SpecialistReport, ...]:
        self._record.enter(Stage.ANALYSE)

        async def one(task: PlannedTask) -> SpecialistReport:
            try:
                return await workflow.execute_activity_method(
                    Analyse.analyse,
                    AnalyseInput(
                        admission=self._admission,
                        intent=intent,
                        recall=recall,
                        task=task,
                        ask=self._ask,
                        left=self._left,
                    ),
                    **self._agent(f"{task.specialist}: {len(task.families)} clause families"),
                )
            except FailureError as error:
                self._waited(error)
                self._record.soften(error, f"specialist {task.specialist}")
                reason = f"no answer ({failure_of(error).type})"
                return SpecialistReport(specialist=task.specialist, families=task.families, degraded=(reason,))

        reports = tuple(await asyncio.gather(*(one(task) for task in plan.tasks)))
        for report in reports:
            self._record.progress.spent(report.metrics)
        facts: dict[str, Any] = {"findings": {report.specialist: len(report.findings) for report in reports}}
        if any(report.tools for report in reports):
            facts["tools"] = _tools(reports)
        if self._blind:
            facts = {}
        self._record.done("analysed", **facts)
        return reports

    async def _reconcile(self, intent: Intent, recall: Recall, reports: tuple[SpecialistReport, ...]) -> AnalysisResult:
        self._record.enter(Stage.RECONCILE)
        found = sum(len(report.findings) for report in reports)
        # Of a shadow review the Temporal UI shows no number either.
        verify = "findings to verify" if self._blind else f"{found} findings to verify"
        given = ReconcileInput(
            admission=self._admission,
            intent=intent,
            recall=recall,
            reports=reports,
            ask=self._ask,
            degraded=self._record.status.degraded,
        )
        try:
            result = await workflow.execute_activity_method(
                Reconcile.reconcile,
                given,
                **self._agent(verify),
            )
        except FailureError as error:
            self._without_a_model(error)
            try:
                result = await workflow.execute_activity_method(
                    Reconcile.reconcile,
                    given.model_copy(update={"by_rule": True}),
                    **self._options(options.BY_RULE, f"{verify}, by rule"),
                )
            except FailureError as final:
                raise fatal(final) from final
        analysis = result.analysis
        self._record.progress.spent(result.metrics)
        self._record.progress.degrade(*analysis.degraded)
        if not self._blind:
            self._record.progress.update(analysis=analysis)
        facts = {} if self._blind else reconciled(analysis)
        if self._captures:
            facts.pop("confidence", None)
        self._record.done("reconciled", **facts)
        return analysis

    def _gate(self, analysis: AnalysisResult, intent: Intent, recall: Recall) -> GateDecision:
        self._record.enter(Stage.GATE)
        routed = gate(
            analysis,
            autonomy=recall.autonomy,
            capability=self._left,
            policy=self._admission.signing,
            contract_type=intent.contract_type,
            standing=self._standing,
        )
        workflow.upsert_search_attributes([attributes.AUTONOMY.value_set(routed.autonomy)])
        if self._blind:
            return routed
        self._record.progress.update(
            route=routed.route, route_reasons=routed.reasons, autonomy=routed.autonomy, evidence=routed.evidence
        )
        drawn: dict[str, Any] = {"audited": True} if routed.evidence and routed.evidence.audited else {}
        why: dict[str, Any] = {} if self._captures else {"reasons": list(routed.reasons)}
        self._record.done("routed", route=routed.route, autonomy=routed.autonomy, **why, **drawn)
        return routed


def _tools(reports: tuple[SpecialistReport, ...]) -> dict[str, int]:
    """How often each tool answered in which way, as the trail has it: `{"check_date ran": 3}`."""
    counts: dict[str, int] = {}
    for use in (use for report in reports for use in report.tools):
        name = f"{use.tool} {use.verdict}"
        counts[name] = counts.get(name, 0) + use.calls
    return dict(sorted(counts.items()))


def reconciled(analysis: AnalysisResult) -> dict[str, Any]:
    """An analysis as the trail has it."""
    return {
        "findings": len(analysis.key_findings),
        "dropped": analysis.dropped,
        "confidence": analysis.confidence,
    }


def _without(degraded: tuple[str, ...]) -> dict[str, Any]:
    """Models that a step had to do without, as the trail has them; nothing when there were none."""
    return {"without": list(degraded)} if degraded else {}


def _facts(screening: Screening) -> dict[str, Any]:
    """A verdict as the trail has it."""
    names = sorted({signal.name for signal in screening.signals})
    return {"risk_score": screening.risk_score, "band": screening.band, "signals": names}
