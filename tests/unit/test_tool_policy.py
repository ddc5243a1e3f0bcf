"""The policy over tools: defaults, the narrower rule, what playbook and screening take away, versions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from countersign.playbook.model import ToolSection
from countersign.review.capability import Capability, capability
from countersign.review.payloads import Screening
from countersign.tools.names import NATURES, OF_MEMORY, RECORD_OBLIGATION, SEARCH_PRECEDENTS, SEND_NOTICE
from countersign.tools.policy import Restriction, Rule, ToolPolicy
from countersign.words import Nature, RiskBand, ToolVerdict

ALLOW, ASK, DENY = ToolVerdict.ALLOW, ToolVerdict.NEEDS_APPROVAL, ToolVerdict.DENY
CLEAN = Capability()
TOOLS = st.sampled_from(list(NATURES))
RULES = st.builds(
    Rule,
    tool=TOOLS,
    verdict=st.sampled_from(ToolVerdict),
    tenant=st.sampled_from([None, "acme", "other"]),
    role=st.sampled_from([None, "risk", "exit"]),
    playbook=st.sampled_from([None, "nda", "msa"]),
)
POLICIES = st.builds(
    ToolPolicy,
    tenant=st.just("acme"),
    playbook=st.just("nda"),
    rules=st.lists(RULES, max_size=6).map(tuple),
    restriction=st.builds(
        Restriction,
        only=st.none() | st.lists(TOOLS, max_size=6).map(tuple),
        deny=st.lists(TOOLS, max_size=2).map(tuple),
        require_approval=st.lists(TOOLS, max_size=2).map(tuple),
    ),
)
LEFT = st.builds(Capability, blocked=st.booleans(), supervised=st.booleans(), memory=st.booleans())


def policy(*rules: dict[str, Any], **fields: Any) -> ToolPolicy:
    return ToolPolicy(tenant="acme", playbook="nda", rules=tuple(Rule(**rule) for rule in rules), **fields)


@pytest.mark.parametrize(("tool", "nature"), NATURES.items())
def test_by_default_reading_is_allowed_and_effects_need_approval(tool: str, nature: Nature) -> None:
    assert policy().judge(tool, left=CLEAN).verdict is (ALLOW if nature is Nature.READ_ONLY else ASK)


def test_a_tool_nobody_knows_is_denied() -> None:
    assert policy().judge("rm_rf", left=CLEAN).verdict is DENY


def test_the_narrower_rule_decides_and_of_two_as_narrow_the_stricter() -> None:
    rules: list[dict[str, Any]] = [{"tool": SEND_NOTICE, "verdict": DENY}]
    assert policy(*rules).judge(SEND_NOTICE, left=CLEAN).verdict is DENY
    rules.append({"tool": SEND_NOTICE, "verdict": ALLOW, "tenant": "acme"})
    assert policy(*rules).judge(SEND_NOTICE, left=CLEAN).verdict is ALLOW
    rules.append({"tool": SEND_NOTICE, "verdict": ASK, "tenant": "acme", "role": "risk"})
    assert policy(*rules).judge(SEND_NOTICE, role="exit", left=CLEAN).verdict is ALLOW
    assert policy(*rules).judge(SEND_NOTICE, role="risk", left=CLEAN).verdict is ASK
    rules.append({"tool": SEND_NOTICE, "verdict": DENY, "tenant": "acme", "playbook": "nda"})
    assert policy(*rules).judge(SEND_NOTICE, role="risk", left=CLEAN).verdict is DENY
    assert (
        policy({"tool": SEND_NOTICE, "verdict": DENY, "tenant": "other"}).judge(SEND_NOTICE, left=CLEAN).verdict is ASK
    )


def test_screening_leaves_reading_of_the_document_alone() -> None:
    left = capability(Screening(risk_score=0.4, band=RiskBand.ELEVATED))
    allowed = {tool for tool in NATURES if policy().judge(tool, left=left).verdict is not DENY}
    assert allowed == {tool for tool, nature in NATURES.items() if nature is Nature.READ_ONLY} - OF_MEMORY
    relaxed = policy(*({"tool": tool, "verdict": ALLOW, "tenant": "acme"} for tool in NATURES))
    assert {tool for tool in NATURES if relaxed.judge(tool, left=left).verdict is ALLOW} == allowed
    blocked = capability(Screening(risk_score=0.9, band=RiskBand.BLOCKED))
    assert all(relaxed.judge(tool, left=blocked).verdict is DENY for tool in NATURES)


@given(policy=POLICIES, tool=TOOLS, left=LEFT, role=st.sampled_from(["", "risk"]))
def test_playbook_and_screening_only_take_away(policy: ToolPolicy, tool: str, left: Capability, role: str) -> None:
    free = policy.model_copy(update={"restriction": Restriction()}).judge(tool, role=role, left=Capability())
    held = policy.judge(tool, role=role, left=left)
    assert held.verdict.rank >= free.verdict.rank
    if NATURES[tool] is Nature.EFFECT and (left.supervised or left.blocked):
        assert held.verdict is DENY
    if NATURES[tool] is Nature.READ_ONLY:
        assert held.verdict is not ASK


@given(policy=POLICIES)
def test_a_policy_survives_its_json_with_its_versions(policy: ToolPolicy) -> None:
    again = ToolPolicy.model_validate_json(policy.model_dump_json())
    assert again == policy
    assert all(again.version(tool) == policy.version(tool) for tool in NATURES)


@given(policy=POLICIES, rule=RULES, tool=TOOLS)
def test_a_version_changes_with_what_is_said_of_the_tool_and_with_nothing_else(
    policy: ToolPolicy, rule: Rule, tool: str
) -> None:
    more = policy.model_copy(update={"rules": (*policy.rules, rule)})
    applies = rule.tool == tool and rule.tenant in {None, "acme"} and rule.playbook in {None, "nda"}
    assert (more.version(tool) != policy.version(tool)) == applies


def test_a_playbook_names_tools_that_there_are_and_asks_for_approval_of_effects_only() -> None:
    assert ToolSection(only=(SEARCH_PRECEDENTS,), require_approval=(RECORD_OBLIGATION,)).only == (SEARCH_PRECEDENTS,)
    with pytest.raises(ValidationError, match="there is no tool 'send_mony'"):
        ToolSection(deny=("send_mony",))
    with pytest.raises(ValidationError, match="'search_precedents' only reads"):
        ToolSection(require_approval=(SEARCH_PRECEDENTS,))
