"""observe: a review that a person judged becomes evidence about its cell and arm. The only step that writes any."""

from temporalio import activity

from activities.failures import typed_errors
from countersign.evidence.arms import CellKey
from countersign.evidence.observation import Observation
from countersign.review.steps import ObserveInput, ObserveResult
from countersign.services import Services
from countersign.shadow.judging import Judgement, blind, by_edits, by_labels
from countersign.store.evidence import NewItem
from countersign.store.shadow import LabelledCase
from countersign.words import Mode


class Evidence:
    """Pairs of agents and people, and the autonomy they carry."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def observe(self, given: ObserveInput) -> ObserveResult:
        """Compare and count, once per workflow. A shadow review is compared with its labels where it came with any."""
        key = given.admission.key
        with typed_errors():
            labelled = await self._services.shadow.labels(key.tenant, key.review_id) if self._by_labels(given) else None
            if labelled is not None:
                people, decision = labelled.labels.people, labelled.labels.decision
                found = by_labels(given.findings, people, decision, given.admission.signing.review_at)
                observed = await self._count(given, found, "labels", labelled)
                await self._services.shadow.used(key.tenant, key.review_id)
                return observed
            if given.verdict is None:
                # Counted by an attempt before this one, if at all: its labels are used up then.
                known = await self._services.evidence.item(key.workflow_id)
                return ObserveResult(judged=known is not None)
            if given.mode is Mode.SHADOW:
                found = blind(given.findings, given.verdict, given.edits, given.admission.signing.review_at)
                return await self._count(given, found, "shadow")
            return await self._count(given, by_edits(given.findings, given.verdict, given.edits), "review")

    def _by_labels(self, given: ObserveInput) -> bool:
        return given.mode is Mode.SHADOW and given.verdict is None

    async def _count(
        self, given: ObserveInput, found: Judgement, source: str, labelled: LabelledCase | None = None
    ) -> ObserveResult:
        admission, used, live = given.admission, given.evidence, given.mode is Mode.LIVE
        cell = CellKey(admission.key.tenant, admission.playbook, given.contract_type)
        observed = await self._services.evidence.observe(
            admission.key,
            cell,
            NewItem(
                arm=used.arm,
                source=source,
                run_id=labelled.run_id if labelled else None,
                name=labelled.labels.name if labelled else "",
                counts=found.whole and (labelled is None or labelled.labels.counts),
                submitted_at=given.submitted_at,
                document_sha256=admission.document.sha256,
                stated=given.confidence,
                observation=Observation(
                    agreement=found.agreement,
                    # Every shadow review is looked at, whatever the cell may do.
                    propensity=used.propensity if live else 1.0,
                    least=used.least if live else 1.0,
                    critical=found.critical,
                ),
                clauses=found.clauses,
                route=given.route,
                verdict=given.verdict,
                view=given.view,
                reviewer_hash=self._services.pseudonyms.of("user", given.reviewer) if given.reviewer else None,
                machine_s=given.machine_s,
                cost_microusd=given.cost_microusd,
            ),
        )
        change = observed.change
        return ObserveResult(
            agreement=found.agreement,
            critical=found.critical,
            counted=observed.counted,
            before=change.before if change else "",
            after=change.after if change else "",
            rule=change.rule if change else "",
        )
