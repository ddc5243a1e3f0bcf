"""What a judged review teaches about its cell, and shadow reviews: shown to nobody until somebody has judged."""

from temporalio import workflow
from temporalio.exceptions import FailureError

with workflow.unsafe.imports_passed_through():
    from activities.evidence import Evidence
    from countersign.review.desk import Desk
    from countersign.review.payloads import Admission, AnalysisResult
    from countersign.review.steps import ObserveInput
    from countersign.words import Mode, Stage, Verdict

from workflows import options
from workflows.record import Record
from workflows.stages import Analysed, reconciled

BLANK = AnalysisResult(
    summary="Shadow review: judge the document by itself. Add your findings with amend; approve if there is nothing to "
    "report; reject if it must not be signed. What the agents found is shown afterwards.",
    confidence=1.0,
    requires_human_review=True,
)
"""What a person is shown who judges blind."""


async def observe(
    record: Record, admission: Admission, analysed: Analysed, mode: Mode, desk: Desk | None = None
) -> bool:
    """Hand the review, with what people decided at the desk, to the evidence; False: there is no judgement of it yet.

    Where the evidence could not be asked when the gate was passed, the arm is not known and nothing is counted.
    """
    used = analysed.routed.evidence
    if used is None:
        return False
    last = desk.counted[-1] if desk is not None else None
    edits = desk.corrections if desk is not None else ()
    given = ObserveInput(
        admission=admission,
        contract_type=analysed.intent.contract_type,
        evidence=used,
        mode=mode,
        route=analysed.routed.route,
        confidence=analysed.analysis.confidence,
        findings=analysed.analysis.key_findings,
        verdict=_verdict(last.verdict, bool(edits)) if last is not None else None,
        edits=edits,
        reviewer=last.reviewer if last is not None else "",
        view=last.view if last is not None else None,
        submitted_at=record.status.submitted_at or workflow.now(),
        machine_s=sum(
            spent for stage, spent in record.status.timings_ms.items() if stage not in (Stage.SIGN, Stage.LEARN)
        )
        / 1000,
        cost_microusd=record.status.usage.cost_microusd,
    )
    try:
        result = await workflow.execute_local_activity_method(Evidence.observe, given, **options.STORE)
    except FailureError as error:
        # What a person decided stands, whether it teaches anything or not.
        record.soften(error, "evidence")
        return True
    if result.judged and mode is Mode.SHADOW:
        record.done("compared", agreement=result.agreement, critical=result.critical, counted=result.counted)
    if result.rule:
        record.done("demoted", level_before=result.before, level=result.after, rule=result.rule)
    return result.judged


def _verdict(last: Verdict, amended: bool) -> Verdict:
    """What it came to: a second pair of eyes approves what the first has amended."""
    return Verdict.AMEND if amended and last is Verdict.APPROVE else last


def reveal(record: Record, analysed: Analysed) -> None:
    """Somebody has judged, so what the agents found may be seen."""
    routed = analysed.routed
    record.progress.update(
        analysis=analysed.analysis,
        route=routed.route,
        route_reasons=routed.reasons,
        autonomy=routed.autonomy,
        evidence=routed.evidence,
    )
    record.done("revealed", route=routed.route, **reconciled(analysed.analysis))


def disclose(record: Record, admission: Admission, analysed: Analysed) -> None:
    """Write down what the trail was not told while people judged without it."""
    if admission.signing.blind:
        routed = analysed.routed
        record.note("revealed", route=routed.route, reasons=list(routed.reasons), **reconciled(analysed.analysis))
