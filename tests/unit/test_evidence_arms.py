"""Arms, and the audit sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from countersign.evidence.arms import Arm, digest
from countersign.evidence.audit_sample import AuditPolicy, draw, share_looked_at
from countersign.evidence.observation import Observation
from countersign.words import Autonomy

WORDS = st.text(min_size=1, max_size=8)
NAMES = st.dictionaries(WORDS, WORDS, max_size=4)
ARMS = st.builds(Arm, models=NAMES, prompts=NAMES, playbook_digest=WORDS, code_version=WORDS)
SECRET = b"sixteen bytes or more"
PARTS = st.floats(0.001, 1)


@given(ARMS)
def test_the_order_of_the_parts_is_no_part_of_an_arm(arm: Arm) -> None:
    turned = arm.model_copy(update={"models": dict(reversed(arm.models.items()))})
    assert turned.fingerprint == arm.fingerprint and not arm.changed_from(turned)
    assert len(arm.fingerprint) == 64 and Arm.model_validate_json(arm.model_dump_json()) == arm


@given(ARMS, ARMS)
def test_fingerprints_differ_where_arms_do_and_the_difference_has_a_name(one: Arm, other: Arm) -> None:
    assert (one.fingerprint == other.fingerprint) == (one == other) == (not one.changed_from(other))


def test_says_what_changed() -> None:
    arm = Arm(models={"risk": "a", "terms": "a"}, prompts={"risk": digest("x")}, playbook_digest="p", code_version="1")
    other = Arm(models={"risk": "b"}, prompts={"risk": digest("y")}, playbook_digest="q", code_version="2")
    assert other.changed_from(arm) == (
        "the model of risk",
        "the model of terms",
        "the prompt of risk",
        "the playbook",
        "the code version",
    )


def test_an_arm_without_a_version_is_none() -> None:
    with pytest.raises(ValidationError):
        Arm(models={}, prompts={}, playbook_digest="p", code_version="")


@given(WORDS, WORDS, PARTS, PARTS)
def test_a_draw_is_reproducible_and_a_larger_share_only_adds(
    tenant: str, review: str, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    small, large = (draw(tenant, review, SECRET, share=share) for share in (low, high))
    assert small == draw(tenant, review, SECRET, share=low)
    assert small.drawn == large.drawn and small.audited <= large.audited
    assert draw(tenant, review, SECRET, share=1.0).audited


@given(WORDS, PARTS)
def test_what_a_draw_records_is_an_observation_s(review: str, share: float) -> None:
    for certain in (False, True):
        found = draw("acme", review, SECRET, share=share, certain=certain)
        seen = Observation(agreement=1.0, propensity=found.propensity, least=found.least)
        assert seen.weight == pytest.approx(share if certain else 1.0)
    assert found.audited and found.propensity == 1.0


def test_the_sample_has_the_size_it_says_and_depends_on_the_secret() -> None:
    ids = [f"review-{number}" for number in range(20_000)]
    mine = [draw("acme", each, SECRET, share=0.1).audited for each in ids]
    theirs = [draw("acme", each, b"another secret, as long", share=0.1).audited for each in ids]
    other_tenant = [draw("globex", each, SECRET, share=0.1).audited for each in ids]
    assert abs(sum(mine) - 2000) < 4 * 43
    for others in (theirs, other_tenant):
        both = sum(a and b for a, b in zip(mine, others, strict=True))
        assert abs(both - 200) < 4 * 15  # independent: knowing one says nothing about the other


@given(st.sampled_from(Autonomy), st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_share_never_reaches_zero_and_rises_with_suspicion(level: Autonomy, one: float, other: float) -> None:
    low, high = (share_looked_at(level, each) for each in sorted((one, other)))
    assert AuditPolicy().floor <= low <= high <= 1
    assert share_looked_at(Autonomy.SUPERVISED, one) == 1.0


def test_shares_by_level_and_bad_input() -> None:
    assert [share_looked_at(level) for level in Autonomy] == [1.0, 0.2, 0.1]
    assert share_looked_at(Autonomy.AUTONOMOUS, 1.0) == 1.0
    with pytest.raises(ValidationError, match="floor"):
        AuditPolicy(floor=0.0)
    with pytest.raises(ValidationError, match="autonomous: is below"):
        AuditPolicy(floor=0.15)
    with pytest.raises(ValueError, match="suspicion"):
        share_looked_at(Autonomy.AUTONOMOUS, float("nan"))
    with pytest.raises(ValueError, match="secret"):
        draw("acme", "r", b"short", share=0.5)
    with pytest.raises(ValueError, match="share"):
        draw("acme", "r", SECRET, share=0.0)
