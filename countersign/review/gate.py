"""The gate: the pure function that decides whether a person must look, and how many."""

from countersign.review.capability import Capability
from countersign.review.payloads import AnalysisResult, Payload, SigningPolicy
from countersign.review.signing import people_needed
from countersign.words import Autonomy, Route, Severity


class GateDecision(Payload):
    """Where the analysis goes, why, and the autonomy that was in force after everything that lowers it."""

    route: Route
    reasons: tuple[str, ...]
    autonomy: Autonomy


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


def gate(
    analysis: AnalysisResult,
    *,
    autonomy: Autonomy,
    capability: Capability,
    policy: SigningPolicy,
    contract_type: str = "",
) -> GateDecision:
    """Route an analysis.

    A finding at `policy.four_eyes_at` or above needs two people at every level of autonomy, or as many as the quorum
    says. Supervised: a person always
    looks. Semi-autonomous: a person looks at exceptions (low confidence, a finding of `policy.review_at` or above).
    Autonomous: a person looks only when confidence is low. A contract of a kind that the playbook is not for is treated
    as supervised. Proposed effects need a person at every level. A blocked screening never gets here as anything but a
    block.
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
    if analysis.confidence < policy.confidence:
        reasons += (f"confidence {analysis.confidence:.2f} is below {policy.confidence:.2f}",)
    if level is Autonomy.SEMI_AUTONOMOUS and worst.rank >= policy.review_at.rank:
        reasons += (f"a finding is {worst}",)
    if analysis.requires_human_review:
        reasons += ("the analysis asks for a person",)
    if analysis.effects:
        count = len(analysis.effects)
        reasons += (f"{count} proposed {'effect waits' if count == 1 else 'effects wait'} for a person",)
    needs_person = (
        level is Autonomy.SUPERVISED
        or analysis.confidence < policy.confidence
        or analysis.requires_human_review
        or bool(analysis.effects)
        or (level is Autonomy.SEMI_AUTONOMOUS and worst.rank >= policy.review_at.rank)
    )
    if needs_person:
        return GateDecision(route=Route.REVIEW, reasons=reasons, autonomy=level)
    return GateDecision(
        route=Route.RELEASE, reasons=(*reasons, f"{level}, confidence {analysis.confidence:.2f}"), autonomy=level
    )
