"""RerunWorkflow: a stored review analysed again by another arm. The steps of a review, and none of its effects."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.rerun import Reruns
    from countersign.batch.payloads import KeepInput, Rerun, RerunFacts, RerunInput
    from countersign.batch.rerun import rerun_key
    from countersign.review.payloads import ReviewStatus
    from countersign.words import Outcome, Stage

from workflows import options
from workflows.record import Ended, Record, failure_of
from workflows.stages import Stages


@workflow.defn
class RerunWorkflow:
    """One item of a rerun. Its record is written nowhere: no trail, no projection, nothing of the review changes."""

    @workflow.run
    async def run(self, given: RerunInput) -> None:
        """Analyse and keep the result with the item, whatever it is."""
        try:
            facts = await workflow.execute_activity_method(Reruns.prepare_rerun, given, **options.BATCH_STORE)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            await self._keep(given, Rerun(outcome="failed", failure=failure_of(error)))
            return
        await self._keep(given, await self._analyse(facts))

    async def _analyse(self, facts: RerunFacts) -> Rerun:
        key = facts.admission.key
        record = Record(
            ReviewStatus(review_id=key.review_id, workflow_id=key.workflow_id, tenant=key.tenant, stage=Stage.SUBMIT)
        )
        try:
            analysed = await Stages(record, facts.admission, facts.request).again(facts.autonomy)
        except Ended as ended:
            outcome = "blocked" if ended.outcome is Outcome.BLOCKED else "failed"
            return _result(record, outcome).model_copy(update={"failure": ended.failure})
        return _result(record, "done").model_copy(update={"intent": analysed.intent, "analysis": analysed.analysis})

    async def _keep(self, given: RerunInput, result: Rerun) -> None:
        kept = KeepInput(
            key=given.key, position=given.position, rerun_key=rerun_key(given.key, given.position), result=result
        )
        await workflow.execute_activity_method(Reruns.keep, kept, **options.BATCH_STORE)


def _result(record: Record, outcome: str) -> Rerun:
    record.enter(Stage.DONE)
    status = record.status
    return Rerun.model_validate(
        {
            "outcome": outcome,
            "route": status.route,
            "route_reasons": status.route_reasons,
            "usage": status.usage,
            "timings_ms": status.timings_ms,
            "degraded": status.degraded,
        }
    )
