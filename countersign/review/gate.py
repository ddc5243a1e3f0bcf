"""The gate: the pure function that decides whether a person must look, and how many."""

from countersign.review.capability import Capability
from countersign.review.payloads import AnalysisResult, CellStanding, GateEvidence, Payload, SigningPolicy
from countersign.review.signing import people_needed
from countersign.review.sureness import Sureness, sureness
from countersign.words import Autonomy, Route, Severity


class GateDecision(Payload):
    """Where the analysis goes, why, and the autonomy that was in force after everything that lowers it."""

    route: Route
    reasons: tuple[str, ...]
    autonomy: Autonomy
    evidence: GateEvidence | None = None
    """What was used of the cell's evidence; None where it could not be asked."""


def lowered(autonomy: Autonomy, *, capability: Capability, degraded: bool) -> tuple[Autonomy, tuple[str, ...]]:
    """Autonomy after what went wrong. It is only ever lowered.

    What screening left under supervision is supervised; anything that had to be done without (a memory tier, a model, a
    specialist) costs one level.
    """
    if capability.supervised:
        return Autonomy.SUPERVISED, capability.reasons
    if degraded and autonomy is Autonomy.AUTONOMOUS:
        return Autonomy.SEMI_AUTONOMOUS, ("the analysis is degraded: one level of autonomy less",)
    if degraded and autonomy is Autonomy.SEMI_AUTONOMOUS:
        return Autonomy.SUPERVISED, ("the analysis is degraded: one level of autonomy less",)
    return autonomy, ()


def gate(  # noqa: PLR0913 - all that decides, by name
    analysis: AnalysisResult,
    *,
    autonomy: Autonomy,
    capability: Capability,
    policy: SigningPolicy,
    contract_type: str = "",
    standing: CellStanding | None = None,
) -> GateDecision:
    """Route an analysis, and see to it that some of what would be released is looked at all the same.

    With the cell's `standing` it also says with what probability a person looks, which the evidence needs.
    """
    sure = sureness(analysis.confidence, policy.confidence, standing)
    routed = _route(analysis, sure, autonomy, capability, policy, contract_type)
    if standing is None:
        return routed
    # Every item of a supervised cell is looked at, so nothing is drawn.
    least = 1.0 if standing.level is Autonomy.SUPERVISED else standing.share
    released = routed.route is Route.RELEASE
    used = GateEvidence(
        arm=standing.arm,
        level=standing.level,
        items=standing.items,
        stated=sure.stated,
        confidence=sure.value,
        threshold=sure.threshold,
        note=sure.note,
        audited=released and standing.drawn < standing.share,
        propensity=standing.share if released else 1.0,
        least=least,
    )
    reasons = (
        (*routed.reasons, sure.note) if sure.note and routed.autonomy is not Autonomy.SUPERVISED else routed.reasons
    )
    if not used.audited:
        return routed.model_copy(update={"evidence": used, "reasons": reasons})
    drawn = f"drawn for audit: {standing.share:.0%} of what would be released is looked at"
    return routed.model_copy(update={"route": Route.REVIEW, "evidence": used, "reasons": (*reasons, drawn)})


def _route(  # noqa: PLR0913, PLR0917 - all that decides
    analysis: AnalysisResult,
    sure: Sureness,
    autonomy: Autonomy,
    capability: Capability,
    policy: SigningPolicy,
    contract_type: str,
) -> GateDecision:
    """Where an analysis goes by itself.

    A finding at `policy.four_eyes_at` or above needs two people at every level of autonomy, or as many as the quorum
    says. Supervised: a person always looks. Semi-autonomous: a person looks at exceptions (low confidence, a finding of
    `policy.review_at` or above). Autonomous: a person looks only when confidence is low. A contract of a kind that the
    playbook is not for is treated as supervised. Proposed effects need a person at every level. A blocked screening
    never gets here as anything but a block.
    """
    if capability.blocked:
        return GateDecision(route=Route.BLOCK, reasons=capability.reasons, autonomy=Autonomy.SUPERVISED)
    level, reasons = lowered(autonomy, capability=capability, degraded=bool(analysis.degraded))
    if policy.contract_types and contract_type and contract_type not in policy.contract_types:
        level = Autonomy.SUPERVISED
        reasons += (f"the contract looks like {contract_type}, which this playbook is not for",)
    worst = max((finding.gravest for finding in analysis.key_findings), key=lambda s: s.rank, default=Severity.INFO)
    people = people_needed(policy, worst)
    if people > 2:
        reasons += (f"a finding is {worst}: {people} people sign",)
        return GateDecision(route=Route.FOUR_EYES, reasons=reasons, autonomy=level)
    if people == 2 or (policy.four_eyes_at != "never" and worst.rank >= policy.four_eyes_at.rank):
        reasons += (f"a finding is {worst}: two people sign",)
        return GateDecision(route=Route.FOUR_EYES, reasons=reasons, autonomy=level)
    if level is Autonomy.SUPERVISED:
        reasons += ("the cell is supervised: a person signs everything",)
    if not sure.enough:
        reasons += (sure.shortfall,)
    if level is Autonomy.SEMI_AUTONOMOUS and worst.rank >= policy.review_at.rank:
        reasons += (f"a finding is {worst}",)
    if analysis.requires_human_review:
        reasons += ("the analysis asks for a person",)
    if analysis.effects:
        count = len(analysis.effects)
        reasons += (f"{count} proposed {'effect waits' if count == 1 else 'effects wait'} for a person",)
    needs_person = (
        level is Autonomy.SUPERVISED
        or not sure.enough
        or analysis.requires_human_review
        or bool(analysis.effects)
        or (level is Autonomy.SEMI_AUTONOMOUS and worst.rank >= policy.review_at.rank)
    )
    if needs_person:
        return GateDecision(route=Route.REVIEW, reasons=reasons, autonomy=level)
    return GateDecision(
        route=Route.RELEASE, reasons=(*reasons, f"{level}, confidence {sure.value:.2f}"), autonomy=level
    )
