"""Approval of effects: what people may do with what agents propose, and what is checked before it happens. Pure.

The workflow owns one `EffectDesk` a review; unit tests and the chaos schedules drive it without a server. An approval
is bound to review, item, version, arguments, evidence, policy, approver and a time. Whatever of these changes, the
approval falls: a corrected finding and a changed policy give the item a new version, which must be approved anew.
`objection` asks all of it once more at the moment of execution, from what the executing side sees for itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from countersign.errors import DecisionRefused
from countersign.review.payloads import (
    AnalysisResult,
    Effect,
    EffectApproval,
    EffectDecision,
    EffectStanding,
    EffectTerms,
    Finding,
)
from countersign.review.same import is_among, same_person
from countersign.review.steps import EffectOrder, EffectResult
from countersign.tools.digests import args_digest, binding_digest, evidence_digest
from countersign.words import EffectState, Outcome, ToolVerdict

SIGNED = (Outcome.APPROVED, Outcome.AMENDED)
"""Only after these outcomes does any effect happen."""
_OPEN = {
    ToolVerdict.ALLOW: EffectState.ALLOWED,
    ToolVerdict.NEEDS_APPROVAL: EffectState.PENDING,
    ToolVerdict.DENY: EffectState.DENIED,
}
_FINAL = (EffectState.DECLINED, EffectState.DONE, EffectState.REFUSED)


@dataclass
class _Item:
    effect: Effect
    terms: EffectTerms
    evidence: str
    version: int = 1
    approval: EffectApproval | None = None
    ended: EffectState | None = None
    reason: str = ""
    by: str | None = None

    @property
    def digest(self) -> str:
        return binding_digest(
            self.effect, version=self.version, evidence=self.evidence, policy=self.terms.policy_version
        )

    def state(self, at: datetime) -> EffectState:
        if self.ended is not None:
            return self.ended
        opened = _OPEN[self.terms.verdict]
        if opened is EffectState.PENDING and self.approval is not None and at < self.approval.expires_at:
            return EffectState.APPROVED
        return opened

    def change(self) -> None:
        """Something it is bound to has changed: a new version, which nobody has approved."""
        self.version += 1
        self.approval = self.by = None


@dataclass
class EffectDesk:
    """The proposed effects of one review. Closed until `open`; all times are passed in.

    Life of an item: pending, allowed or denied, as the policy says; approved by a person; and at the end done, refused
    or declined. `declined`, `done` and `refused` are final.
    """

    requester: str = ""
    reviewers: tuple[str, ...] = ()
    """Who may approve; empty: anyone but the requester."""
    review_id: str = ""
    document_sha256: str = ""
    tenant: str = ""
    """Whose review it is. An approval is good for one effect in the whole house; a review's id is its tenant's own."""
    _items: dict[str, _Item] = field(default_factory=dict)
    _seen: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    """By decision id: the item, who decided, and whether they approved."""
    _approvals: int = 0
    _is_closed: bool = False

    def open(self, analysis: AnalysisResult, terms: Sequence[EffectTerms]) -> None:
        """Put the proposed effects of an analysis on the desk, under the policy in force."""
        by_item = {one.item: one for one in terms}
        for effect in analysis.effects:
            evidence = evidence_digest(effect, self.document_sha256, analysis.key_findings)
            self._items[effect.id] = _Item(effect, by_item[effect.id], evidence)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What is on the desk."""
        return tuple(item.effect for item in self._items.values())

    def standings(self, at: datetime) -> tuple[EffectStanding, ...]:
        """Every item as a person is shown it."""
        return tuple(self._standing(item, at) for item in self._items.values())

    def standing(self, item: str, at: datetime) -> EffectStanding:
        """One of them; `KeyError` when there is none."""
        return self._standing(self._items[item], at)

    def pending(self, at: datetime) -> int:
        """How many items wait for an approval of their own."""
        return sum(item.state(at) is EffectState.PENDING for item in self._items.values())

    def reconsider(self, terms: Sequence[EffectTerms]) -> tuple[str, ...]:
        """Hear of the policy in force; the items it changes, each with a new version. Their approvals have fallen."""
        changed = []
        for one in terms:
            item = self._items.get(one.item)
            if item is None or item.ended is not None or self._is_closed or item.terms == one:
                continue
            item.terms = one
            item.change()
            changed.append(one.item)
        return tuple(changed)

    def corrected(self, findings: Sequence[Finding]) -> tuple[str, ...]:
        """Hear of corrected findings; the items that rest on them, each with a new version, their approvals fallen."""
        changed = []
        for name, item in self._items.items():
            evidence = evidence_digest(item.effect, self.document_sha256, findings)
            if evidence != item.evidence and item.ended is None and not self._is_closed:
                item.evidence = evidence
                item.change()
                changed.append(name)
        return tuple(changed)

    def already_counted(self, decision: EffectDecision, *, approve: bool) -> bool:
        """Whether this very decision (by `decision_id`) has counted before.

        Raises `DecisionRefused` when the id is another decision's.
        """
        seen = self._seen.get(decision.decision_id or "")
        if seen is not None and seen != (decision.item, decision.reviewer, approve):
            raise _refused("decision_id is that of another decision on effects", "key_reused", "Give a new one")
        return seen is not None

    def check(self, decision: EffectDecision, at: datetime, *, approve: bool) -> None:
        """Raise `DecisionRefused` unless the decision would count at this time. Changes nothing."""
        if self.already_counted(decision, approve=approve):
            return
        item = self._items.get(decision.item)
        if item is None:
            there = ", ".join(self._items) or "none"
            raise _refused(f"there is no item {decision.item}", "no_item", f"The items are: {there}")
        if self._is_closed or item.ended is not None:
            state = item.ended or item.state(at)
            raise _refused(f"{decision.item} is {state}, which is final", "ended", "See the review's status")
        if same_person(decision.reviewer, self.requester):
            raise _refused("the requester may not decide on effects of their review", "requester", "Ask another person")
        if not _may_approve(decision.reviewer, self.reviewers):
            raise _refused(
                "this reviewer may not decide under the playbook",
                "not_allowed",
                "See [signing] reviewers in the playbook",
            )
        if decision.version not in {None, item.version} or decision.digest not in {None, item.digest}:
            raise _refused(
                f"the decision is for an earlier version of {decision.item}", "stale", "Look at its status again"
            )
        if approve:
            self._check_approvable(item, at)

    def _check_approvable(self, item: _Item, at: datetime) -> None:
        match item.state(at):
            case EffectState.DENIED:
                raise _refused(
                    f"the policy does not let {item.effect.tool} be used: {item.terms.reason}",
                    "policy",
                    "See `countersign tools show`",
                )
            case EffectState.ALLOWED:
                raise _refused(
                    f"{item.effect.id} needs no approval of its own",
                    "not_needed",
                    "It happens when the review is signed",
                )
            case EffectState.APPROVED:
                raise _refused(f"{item.effect.id} is approved already", "approved", "Decline it if it must not happen")
            case _:
                return

    def approve(self, decision: EffectDecision, at: datetime) -> None:
        """Take an approval. Raises as `check` does."""
        self.check(decision, at, approve=True)
        if self.already_counted(decision, approve=True):
            return
        item = self._items[decision.item]
        self._approvals += 1
        item.approval = EffectApproval(
            approval_id=f"{self.tenant}/{self.review_id}/{decision.item}/{self._approvals}",
            review_id=self.review_id,
            item=decision.item,
            version=item.version,
            args_digest=item.effect.args_digest,
            evidence_digest=item.evidence,
            policy_version=item.terms.policy_version,
            approver=decision.reviewer,
            at=at,
            expires_at=at + timedelta(seconds=item.terms.approval_s),
        )
        item.by = decision.reviewer
        self._count(decision, approve=True)

    def decline(self, decision: EffectDecision, at: datetime) -> None:
        """Take a refusal, which is final. Raises as `check` does."""
        self.check(decision, at, approve=False)
        if self.already_counted(decision, approve=False):
            return
        item = self._items[decision.item]
        item.ended, item.approval, item.by, item.reason = EffectState.DECLINED, None, decision.reviewer, "by a person"
        self._count(decision, approve=False)

    def close(self, outcome: Outcome, at: datetime) -> tuple[EffectOrder, ...]:
        """The review is over: what is to happen now. Everything else is declined; nothing is decided any more."""
        self._is_closed = True
        orders = []
        for item in self._items.values():
            state = item.state(at)
            if state in _FINAL:
                continue
            if outcome in SIGNED and state in {EffectState.APPROVED, EffectState.ALLOWED}:
                approval = item.approval if state is EffectState.APPROVED else None
                orders.append(EffectOrder(effect=item.effect, version=item.version, approval=approval))
                continue
            item.ended, item.by = EffectState.DECLINED, None
            if state is EffectState.DENIED:
                item.reason = f"the policy: {item.terms.reason}"
            elif outcome not in SIGNED:
                item.reason = f"the review ended as {outcome}"
            else:
                item.reason = "its approval had expired" if item.approval else "nobody approved it"
        return tuple(orders)

    def settle(self, results: Sequence[EffectResult]) -> None:
        """Hear what came of the orders."""
        for result in results:
            item = self._items[result.item]
            item.ended, item.reason = result.state, result.reason

    def _count(self, decision: EffectDecision, *, approve: bool) -> None:
        if decision.decision_id is not None:
            self._seen[decision.decision_id] = (decision.item, decision.reviewer, approve)

    def _standing(self, item: _Item, at: datetime) -> EffectStanding:
        return EffectStanding(
            item=item.effect.id,
            tool=item.effect.tool,
            state=item.state(at),
            summary=item.effect.summary,
            version=item.version,
            digest=item.digest,
            policy_version=item.terms.policy_version,
            approver=item.by,
            expires_at=item.approval.expires_at if item.approval else None,
            reason=item.reason or item.terms.reason,
        )


@dataclass(frozen=True)
class InForce:
    """What the executing side sees for itself at the moment of execution."""

    review_id: str
    requester: str
    reviewers: tuple[str, ...]
    document_sha256: str
    findings: tuple[Finding, ...]
    terms: EffectTerms
    at: datetime
    only: tuple[str, ...] | None = None
    """Where the playbook names groups: everybody who may approve. Then `reviewers` says nothing."""


def objection(order: EffectOrder, now: InForce) -> tuple[str, str] | None:
    """(rule, reason) of what stands against the order; None when it may happen now."""
    effect, terms = order.effect, now.terms
    if args_digest(effect.tool, effect.args) != effect.args_digest:
        return "arguments", "its arguments are not those it was shown with"
    if terms.item != effect.id or terms.verdict is ToolVerdict.DENY:
        return "policy", f"the policy: {terms.reason}"
    if order.approval is not None:
        return _changed(order, order.approval, now) or _no_longer(order.approval, now)
    if terms.verdict is ToolVerdict.NEEDS_APPROVAL:
        return "no_approval", "the policy has come to ask for an approval, and there is none"
    return None


def _changed(order: EffectOrder, approval: EffectApproval, now: InForce) -> tuple[str, str] | None:
    """What the approval is bound to and is no longer so."""
    effect, terms = order.effect, now.terms
    bound: Mapping[str, tuple[object, object]] = {
        "review": (approval.review_id, now.review_id),
        "item": (approval.item, effect.id),
        "version": (approval.version, order.version),
        "arguments": (approval.args_digest, effect.args_digest),
        "evidence": (
            approval.evidence_digest,
            evidence_digest(effect, now.document_sha256, now.findings),
        ),
    }
    for rule, (approved, found) in bound.items():
        if approved != found:
            return rule, f"it was approved with another {rule}"
    if terms.verdict is ToolVerdict.NEEDS_APPROVAL and approval.policy_version != terms.policy_version:
        return "policy_version", "the policy has changed since it was approved"
    return None


def _no_longer(approval: EffectApproval, now: InForce) -> tuple[str, str] | None:
    """Whether the time, or the right to approve, has run out."""
    if now.at >= approval.expires_at:
        return "expired", "its approval has expired"
    if same_person(approval.approver, now.requester):
        return "requester", "it was approved by the requester"
    approver = approval.approver
    if not (_may_approve(approver, now.reviewers) if now.only is None else is_among(approver, now.only)):
        return "approver", "its approver may no longer approve"
    return None


def _may_approve(person: str, reviewers: Sequence[str]) -> bool:
    return not reviewers or any(same_person(person, name) for name in reviewers)


def _refused(message: str, rule: str, remedy: str) -> DecisionRefused:
    return DecisionRefused(message, rule=rule, remedy=remedy)
