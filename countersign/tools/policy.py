"""Which tools an agent may use: a frozen policy over tenant, role, playbook and what screening left. Pure.

A tool only declares whether it reads or has an effect. By default what reads is allowed and an effect needs approval.
Rules of everyone and of the tenant (data, changed while all runs) decide otherwise; the playbook and the screening may
then only take away.
"""

import hashlib
import json
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from countersign.review.capability import Capability
from countersign.review.payloads import Effect, EffectTerms
from countersign.tools.names import NATURES, OF_MEMORY
from countersign.words import Nature, ToolVerdict

_DEFAULTS = {Nature.READ_ONLY: ToolVerdict.ALLOW, Nature.EFFECT: ToolVerdict.NEEDS_APPROVAL}
_BY_DEFAULT = {Nature.READ_ONLY: "the default for what reads", Nature.EFFECT: "the default for what has an effect"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rule(_Frozen):
    """One line of the policy. Without `tenant`, `role` or `playbook` it holds for all of them."""

    tool: str
    verdict: ToolVerdict
    tenant: str | None = None
    role: str | None = None
    """Key of the specialist."""
    playbook: str | None = None

    @property
    def narrowness(self) -> tuple[bool, int]:
        """The narrower rule decides: the tenant's before everyone's, then the one that names more."""
        return self.tenant is not None, (self.role is not None) + (self.playbook is not None)


class Restriction(_Frozen):
    """What a playbook takes away (`[tools]`): it can forbid and ask for approval, never allow."""

    only: tuple[str, ...] | None = None
    """If given, no other tool may be used."""
    deny: tuple[str, ...] = ()
    require_approval: tuple[str, ...] = ()


class Bounds(_Frozen):
    """How much tools may be used, by whatever agent."""

    calls_per_run: int = Field(default=24, ge=0)
    calls_per_review: int = Field(default=200, ge=0)
    calls_per_minute: int = Field(default=600, ge=0)
    """Of one tool, by one tenant."""
    seconds: float = Field(default=10.0, gt=0)
    """Time one call may take."""
    result_chars: int = Field(default=8_000, ge=100)
    """Longest result, as JSON, that reaches a model."""
    proposals_per_run: int = Field(default=8, ge=0)
    approval_s: float = Field(default=259_200.0, gt=0)
    """Seconds for which an approval of an effect holds."""


class Judgement(_Frozen):
    """The policy's word on one tool, and why."""

    verdict: ToolVerdict
    reason: str


class ToolPolicy(_Frozen):
    """The policy for the reviews of one tenant under one playbook. Serialisable, and equal where it says the same."""

    tenant: str
    playbook: str = ""
    rules: tuple[Rule, ...] = ()
    restriction: Restriction = Restriction()
    bounds: Bounds = Bounds()

    def judge(self, tool: str, *, role: str = "", left: Capability) -> Judgement:
        """What holds for `tool` in the hands of the specialist `role`, after what screening left.

        A read-only tool that needs approval is denied: no run waits for a person in its midst.
        """
        nature = NATURES.get(tool)
        if nature is None:
            return Judgement(verdict=ToolVerdict.DENY, reason="there is no such tool")
        judgement = max(
            (self._by_rule(tool, nature, role), *self._taken_away(tool), *_by_screening(tool, nature, left)),
            key=lambda one: one.verdict.rank,
        )
        if nature is Nature.READ_ONLY and judgement.verdict is ToolVerdict.NEEDS_APPROVAL:
            return Judgement(verdict=ToolVerdict.DENY, reason=judgement.reason)
        return judgement

    def version(self, tool: str) -> str:
        """Digest (16 hex digits) of all that this policy says of `tool`; an approval of an effect is bound to it."""
        said = {
            "tenant": self.tenant,
            "playbook": self.playbook,
            "rules": sorted(rule.model_dump_json() for rule in self._applying(tool)),
            "taken_away": [one.model_dump(mode="json") for one in self._taken_away(tool)],
            "approval_s": float(self.bounds.approval_s),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def terms(self, effect: Effect, left: Capability) -> EffectTerms:
        """What holds for one proposed effect."""
        judgement = self.judge(effect.tool, role=effect.specialist, left=left)
        return EffectTerms(
            item=effect.id,
            verdict=judgement.verdict,
            policy_version=self.version(effect.tool),
            approval_s=self.bounds.approval_s,
            reason=judgement.reason,
        )

    def _applying(self, tool: str) -> list[Rule]:
        return [
            rule
            for rule in self.rules
            if rule.tool == tool and rule.tenant in {None, self.tenant} and rule.playbook in {None, self.playbook}
        ]

    def _by_rule(self, tool: str, nature: Nature, role: str) -> Judgement:
        rules = [rule for rule in self._applying(tool) if rule.role in {None, role}]
        if not rules:
            return Judgement(verdict=_DEFAULTS[nature], reason=_BY_DEFAULT[nature])
        # Of two as narrow, the stricter.
        rule = max(rules, key=lambda one: (one.narrowness, one.verdict.rank))
        return Judgement(verdict=rule.verdict, reason=f"a rule of {'the tenant' if rule.tenant else 'everyone'}")

    def _taken_away(self, tool: str) -> Iterable[Judgement]:
        restriction = self.restriction
        if tool in restriction.deny or (restriction.only is not None and tool not in restriction.only):
            yield Judgement(verdict=ToolVerdict.DENY, reason="the playbook does not let it be used")
        elif tool in restriction.require_approval:
            yield Judgement(verdict=ToolVerdict.NEEDS_APPROVAL, reason="the playbook asks for approval")


def _by_screening(tool: str, nature: Nature, left: Capability) -> Iterable[Judgement]:
    """Risk reduces capability: a suspicious text brings about no effect, and sees none of the tenant's memory."""
    if left.blocked:
        yield Judgement(verdict=ToolVerdict.DENY, reason="the review is blocked")
    elif nature is Nature.EFFECT and left.supervised:
        yield Judgement(verdict=ToolVerdict.DENY, reason="screening left read-only tools")
    elif tool in OF_MEMORY and not left.memory:
        yield Judgement(verdict=ToolVerdict.DENY, reason="screening withheld memory")
