"""Vigilance probes: drawn by a keyed hash, seen by the reviewer, and never in anything that counts."""

import hashlib
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from countersign.errors import DecisionRefused
from countersign.playbook.load import load_playbook
from countersign.review.desk import apply_edits
from countersign.review.payloads import AnalysisResult, Decision, Edit, Evidence, Finding, Probe
from countersign.settings import ROOT
from countersign.trail.pseudonym import Pseudonyms
from countersign.vigilance.probe import Planted, drawn, planted, seeds
from countersign.words import Position, Severity, Verdict

PLAYBOOK = load_playbook(ROOT / "playbooks", "msa")
PSEUDONYMS = Pseudonyms(b"k" * 32)
PROBE = Probe(seeds=seeds(PLAYBOOK, lambda key: PSEUDONYMS.of("probe", key)))


def finding(clause: str, severity: Severity, quote: str, specialist: str, place: int) -> Finding:
    evidence = (Evidence(quote=quote, start=place, end=place + len(quote), page=1),) if quote else ()
    position = Position.FALLBACK if quote else Position.ABSENT
    return Finding(
        id="",
        clause=clause,
        severity=severity,
        statement=f"About {clause}.",
        position=position,
        evidence=evidence,
        specialist=specialist,
    )


def analysis(findings: list[Finding]) -> AnalysisResult:
    from countersign.review.verify import numbered

    made = numbered(findings)
    summary = " ".join(f"({one.id}) {one.statement}" for one in made)
    return AnalysisResult(summary=summary, key_findings=made, confidence=0.9, requires_human_review=True)


families = st.sampled_from([(family.key, family.specialist) for family in PLAYBOOK.families])
analyses = st.lists(
    st.tuples(families, st.sampled_from(list(Severity)), st.sampled_from(["", "It shall be so.", "Never."])),
    min_size=1,
    max_size=8,
    unique_by=lambda one: one[0][0],
).map(
    lambda rows: analysis(
        [
            finding(family[0], severity, quote, family[1], 100 * place)
            for place, (family, severity, quote) in enumerate(rows)
        ]
    )
)


def show(given_analysis: AnalysisResult) -> Planted:
    found = planted(given_analysis, PROBE)
    assume(found is not None)
    assert found is not None
    return found


@given(analyses)
def test_what_is_shown_is_what_was_found_and_one_wrong_finding(found: AnalysisResult) -> None:
    made = show(found)
    (probe,) = [one for one in made.shown.key_findings if one.id == made.probe_id]
    others = [one for one in made.shown.key_findings if one.id != made.probe_id]
    back = [one.model_copy(update={"id": made.real_ids[one.id]}) for one in others]
    assert sorted(back, key=lambda one: one.id) == sorted(found.key_findings, key=lambda one: one.id)
    assert made.clean == found
    assert [one.id for one in made.shown.key_findings] == [f"F{n}" for n in range(1, len(others) + 2)]
    assert probe.clause not in {one.clause for one in others}
    assert probe.evidence[0] in [evidence for one in others for evidence in one.evidence]
    assert probe.severity is not Severity.CRITICAL
    for one in others:
        assert f"({one.id}) {one.statement}" in made.shown.summary


edits = st.lists(
    st.builds(
        Edit,
        action=st.sampled_from(["set", "remove", "add"]),
        finding_id=st.sampled_from([f"F{n}" for n in range(1, 10)]),
        clause=st.none() | st.just("term"),
        severity=st.none() | st.sampled_from(list(Severity)),
        statement=st.none() | st.just("Rather so."),
    ),
    max_size=4,
)


@given(analyses)
def test_an_addition_that_names_the_probe_is_an_addition(found: AnalysisResult) -> None:
    probed = show(found)
    added = Edit(
        action="add", finding_id=probed.probe_id, clause="term", severity=Severity.INFO, statement="Rather so."
    )
    taken = probed.without(decision(Verdict.AMEND, edits=(added,)))
    assert taken.decision is not None
    assert [edit.action for edit in taken.decision.edits] == ["add"]
    assert taken.caught is False


@given(analyses, edits)
def test_an_amendment_of_what_is_shown_amends_what_was_found_alike(found: AnalysisResult, made: list[Edit]) -> None:
    probed = show(found)
    try:
        after = apply_edits(probed.shown, made)
    except DecisionRefused:
        return
    taken = probed.without(decision(Verdict.AMEND, edits=tuple(made)))
    assert taken.decision is not None
    real = apply_edits(found, taken.decision.edits)
    expected = [
        one.model_copy(update={"id": probed.real_ids.get(one.id, one.id)})
        for one in after.key_findings
        if one.id != probed.probe_id
    ]
    assert sorted(real.key_findings, key=lambda one: one.id) == sorted(expected, key=lambda one: one.id)
    assert real.summary == found.summary


@given(analyses, edits, st.sampled_from(list(Verdict)))
def test_no_word_of_a_probe_is_in_what_counts(found: AnalysisResult, made: list[Edit], verdict: Verdict) -> None:
    probed = show(found)
    amends = verdict is Verdict.AMEND
    taken = probed.without(decision(verdict, edits=tuple(made) if amends else (), question="Is it so?"))
    if taken.decision is None:
        assert verdict in (Verdict.REJECT, Verdict.ASK)
        return
    known = {one.id for one in found.key_findings} | {f"F{n}" for n in range(len(found.key_findings) + 2, 20)}
    assert {edit.finding_id for edit in taken.decision.edits if edit.action != "add"} <= known
    assert taken.decision.verdict is (Verdict.AMEND if taken.decision.edits else Verdict.APPROVE)
    assert (taken.decision.digest, taken.decision.claim) == (None, None)


def decision(verdict: Verdict, **fields: Any) -> Decision:
    return Decision.model_validate({"verdict": verdict, "reviewer": "bob", **fields})


def one_of_each() -> Planted:
    first, second = PLAYBOOK.families[0], PLAYBOOK.families[-1]
    found = planted(
        analysis(
            [
                finding(first.key, Severity.CRITICAL, "It shall be so.", first.specialist, 0),
                finding(second.key, Severity.INFO, "Never.", second.specialist, 50),
            ]
        ),
        PROBE,
    )
    assert found is not None
    return found


def test_who_takes_it_out_changes_it_or_rejects_has_caught_it() -> None:
    probed = one_of_each()
    assert (probed.probe_id, probed.real_ids) == ("F2", {"F1": "F1", "F3": "F2"})
    remove = Edit(action="remove", finding_id="F2")
    change = Edit(action="set", finding_id="F3", severity=Severity.LOW)
    only, both = (probed.without(decision(Verdict.AMEND, edits=made)) for made in ((remove,), (remove, change)))
    assert only.caught
    assert both.caught
    assert only.decision is not None
    assert only.decision.verdict is Verdict.APPROVE
    assert both.decision is not None
    assert [edit.finding_id for edit in both.decision.edits] == ["F2"]
    missed = probed.without(decision(Verdict.AMEND, edits=(change,), note="F3 is fine; see F1"))
    assert missed.caught is False
    assert missed.decision is not None
    assert missed.decision.note == "F2 is fine; see F1"
    assert probed.without(decision(Verdict.APPROVE)).caught is False
    assert probed.without(decision(Verdict.REJECT)).caught is True
    assert probed.without(decision(Verdict.ASK, question="?")).caught is None


def test_nothing_is_planted_where_nothing_is_quoted() -> None:
    family = PLAYBOOK.families[0]
    assert planted(analysis([finding(family.key, Severity.LOW, "", family.specialist, 0)]), PROBE) is None
    assert planted(analysis([]), PROBE) is None
    assert planted(one_of_each().clean, Probe(seeds=())) is None


def test_seeds_are_the_playbooks_and_their_order_is_the_keys() -> None:
    other = seeds(PLAYBOOK, lambda key: hashlib.sha256(key.encode()).hexdigest())
    assert len(PROBE.seeds) == len(other) == 6
    assert PROBE.seeds != other
    assert {seed.clause for seed in PROBE.seeds} <= {family.key for family in PLAYBOOK.families}


def test_the_share_is_kept_and_the_draw_repeats() -> None:
    names = [PSEUDONYMS.of("probe", f"review-acme-{number}") for number in range(20_000)]
    carried = [drawn(name, 0.02) for name in names]
    assert carried == [drawn(name, 0.02) for name in names]
    assert 320 <= sum(carried) <= 480  # four standard deviations around 400
    assert not any(drawn(name, 0) for name in names[:500])
    assert all(drawn(name, 1) for name in names[:500])
