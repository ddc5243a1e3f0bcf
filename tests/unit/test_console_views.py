"""What pages show, as pure functions: layout of documents, edits from forms, clocks, words."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from helpers.gateway import ANA, BOB, row
from hypothesis import given
from hypothesis import strategies as st

from countersign.document.model import DocumentText, Page, Section
from countersign.document.read import read_document
from countersign.errors import DecisionRefused, InvalidRequest
from countersign.review.desk import apply_edits
from countersign.review.payloads import (
    Absence,
    AnalysisResult,
    Answer,
    Decision,
    DecisionRecord,
    Finding,
    ReviewStatus,
    SigningPolicy,
    SigningTerms,
)
from countersign.review.signing import Authority
from countersign.settings import ROOT
from countersign.words import Mode, Outcome, Severity, Stage, Verdict
from starters.console.views import clock, lists, words
from starters.console.views.document import Leaf, Span, lay_out
from starters.console.views.findings import LONG_STATEMENT, Addition, Summary, Typed, edits_of, findings_of, summary_of
from starters.console.views.rights import Rights, pending_of, rights_of
from starters.console.views.standing import explain, history_of, standing_of

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
TEXTS = st.text(alphabet=st.sampled_from("ab .;\n\t1é\u202e\u200b<&"), max_size=200)


@st.composite
def documents(draw: Any) -> tuple[DocumentText, list[Span]]:
    text = draw(TEXTS)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=3)) | {0, len(text)})
    pages = tuple(Page(number=n, start=a, end=b) for n, (a, b) in enumerate(pairwise(cuts), start=1))
    starts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=4)))
    sections = tuple(
        Section(label=str(n), heading="x", start=a, end=b) for n, (a, b) in enumerate(pairwise([*starts, len(text)]))
    )
    places = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    hidden = tuple((a, b) for a, b in draw(st.lists(places, max_size=3)))
    spans = [Span(f"q{n}", "F1", "high", a, b) for n, (a, b) in enumerate(draw(st.lists(places, max_size=5))) if a < b]
    return DocumentText(text=text, pages=pages, sections=sections, hidden=hidden), spans


def shown(leaves: tuple[Leaf, ...]) -> str:
    return "".join(piece.text for leaf in leaves for block in leaf.blocks for piece in block.pieces)


def dense(text: str) -> str:
    return "".join(words.visible(text).split())


@given(documents())
def test_a_laid_out_document_has_every_character_and_marks_exactly_what_is_quoted(
    made: tuple[DocumentText, list[Span]],
) -> None:
    document, spans = made
    leaves = lay_out(document, spans)
    assert dense(shown(leaves)) == dense(document.text)
    assert [leaf.number for leaf in leaves] == [page.number for page in document.pages]
    pieces = [piece for leaf in leaves for block in leaf.blocks for piece in block.pieces]
    for span in spans:
        marked = "".join(piece.text for piece in pieces if span in piece.spans)
        assert dense(marked) == dense(document.text[span.start : span.end])
        begins = sum(span in piece.begins for piece in pieces)
        assert begins == bool(document.text[span.start : span.end].strip())
    concealed = "".join(piece.text for piece in pieces if piece.hidden)
    meant = "".join(char for at, char in enumerate(document.text) if any(a <= at < b for a, b in document.hidden))
    assert dense(concealed) == dense(meant)


def test_a_real_contract_reads_as_headings_and_paragraphs() -> None:
    document = read_document((ROOT / "examples" / "nda-clean.md").read_bytes(), "text/markdown", max_bytes=1_000_000)
    blocks = [block for leaf in lay_out(document, []) for block in leaf.blocks]
    headings = ["".join(piece.text for piece in block.pieces) for block in blocks if block.kind == "heading"]
    assert len(headings) > 5
    assert all("\n" not in heading for heading in headings)
    assert sum(block.kind == "flow" for block in blocks) > 5


def test_what_could_deceive_is_seen_and_what_scripts_need_stays() -> None:
    assert words.visible("a\u202eb\u200bc\x00d\ud800e\n\tf") == "a\ufffdb\ufffdc\ufffdd\ufffde\n\tf"
    assert words.visible("\u0646\u200c\u0645") == "\u0646\u200c\u0645"


# --- forms ---


def analysis(**statements: str) -> AnalysisResult:
    findings = [
        Finding(id=name, clause="term", severity=Severity.HIGH, statement=text) for name, text in statements.items()
    ]
    return AnalysisResult(summary="", key_findings=tuple(findings), confidence=0.5, requires_human_review=True)


def untouched(result: AnalysisResult) -> dict[str, str]:
    """The fields that a browser sends back of a form in which nothing was typed."""
    fields: dict[str, str] = {"note": "", "question": ""}
    for view in findings_of(result, None, None):
        fields[f"was-{view.id}"] = view.was
        fields[f"severity-{view.id}"] = view.typed.severity
        fields[f"statement-{view.id}"] = view.typed.statement.replace("\r\n", "\n").strip()
    return {**fields, "add-0-clause": "", "add-0-severity": "medium", "add-0-statement": ""}


@given(st.lists(TEXTS, max_size=3))
def test_an_untouched_form_changes_nothing(texts: list[str]) -> None:
    result = analysis(**{f"F{number}": text for number, text in enumerate(texts)})
    typed = Typed.of(untouched(result))
    assert typed == Typed()
    assert edits_of(typed, result) == ()


@given(TEXTS, TEXTS, st.sampled_from(Severity), st.booleans())
def test_edits_make_the_analysis_say_what_was_typed(was: str, typed: str, severity: Severity, remove: bool) -> None:
    result = analysis(F1=was, F2="stays")
    fields = {**untouched(result), "severity-F1": severity.value, "statement-F1": typed.strip()}
    if remove:
        fields["remove-F1"] = "on"
    edits = edits_of(Typed.of(fields), result)
    after = {finding.id: finding for finding in apply_edits(result, edits).key_findings}
    assert after["F2"] == result.key_findings[1]
    if remove:
        assert "F1" not in after
        return
    assert after["F1"].severity is severity
    if typed.strip():
        assert dense(after["F1"].statement) == dense(typed)
    else:
        assert after["F1"].statement == was


def test_what_another_changed_meanwhile_is_no_change_of_this_form() -> None:
    shown_then = analysis(F1="one", F2="two")
    fields = {**untouched(shown_then), "statement-F1": "mine"}
    now = analysis(F1="one", F2="theirs")
    [edit] = edits_of(Typed.of(fields), now)
    assert (edit.finding_id, edit.statement, edit.severity) == ("F1", "mine", None)
    views = {view.id: view for view in findings_of(now, None, None, Typed.of(fields))}
    assert (views["F1"].typed.statement, views["F1"].changed) == ("mine", True)
    assert (views["F2"].typed.statement, views["F2"].changed) == ("theirs", False)


@pytest.mark.parametrize(
    "added", [Addition(1, "", "low", "text"), Addition(1, "9", "low", "text"), Addition(1, "law", "low", ""),
              Addition(1, "law", "awful", "text"), Addition(1, "law", "low", "x" * 2_001)],
)  # fmt: skip
def test_an_addition_needs_all_its_parts(added: Addition) -> None:
    with pytest.raises(InvalidRequest):
        edits_of(Typed(added=(added,)), analysis())


def test_a_statement_too_long_is_named_without_being_repeated() -> None:
    with pytest.raises(InvalidRequest) as refused:
        Typed.of({"severity-<script>": "low", "statement-<script>": "x" * 2_001})
    assert "script" not in str(refused.value)


# --- standing ---


def status(**changes: Any) -> ReviewStatus:
    given = {"analysis": analysis(F1="x"), "waiting_for": "reviewer", "digest": "d", "signatures_missing": 1}
    return ReviewStatus(review_id="r-1", workflow_id="w", tenant="acme", stage=Stage.SIGN, playbook="nda").model_copy(
        update={**given, **changes}
    )


def test_a_claim_of_mine_names_its_token_and_of_another_bars_the_way() -> None:
    until = NOW + timedelta(minutes=10)
    mine = standing_of(status(claimed_by=BOB.user.upper(), claimed_until=until, claim_token=3), row(), BOB, NOW)
    assert mine.claim is not None
    assert (mine.claim.mine, mine.claim.token, mine.may_decide) == (True, 3, True)
    theirs = standing_of(status(claimed_by="Sam", claimed_until=until, claim_token=3), row(), BOB, NOW)
    assert theirs.claim is not None
    assert (theirs.claim.by, theirs.claim.token, theirs.may_decide, theirs.may_claim) == ("Sam", None, False, False)
    assert "Sam has claimed it" in theirs.why_not
    lapsed = standing_of(status(claimed_by=BOB.user, claimed_until=NOW, claim_token=3), row(), BOB, NOW)
    assert (lapsed.claim, lapsed.lapsed, lapsed.may_decide) == (None, True, True)


def test_nobody_decides_what_has_ended_or_is_theirs() -> None:
    ended = standing_of(status(outcome=Outcome.APPROVED), row(), BOB, NOW)
    assert (ended.may_decide, ended.may_claim, ended.due, ended.tone) == (False, False, None, "good")
    own = standing_of(status(), row(user_hash=BOB.user_hash), BOB, NOW)
    assert (own.may_decide, own.may_claim) == (False, False)
    requester = standing_of(status(question="?", waiting_for="requester"), row(), ANA, NOW)
    assert (requester.may_decide, requester.may_answer) == (False, True)


def test_a_question_is_followed_by_its_answer() -> None:
    ask = DecisionRecord(verdict=Verdict.ASK, reviewer="Sam", question="Who?", at=NOW)
    sign = DecisionRecord(verdict=Verdict.APPROVE, reviewer="Bob", note="fine", at=NOW)
    entries = history_of(status(decisions=(ask, sign), answers=(Answer(user="Ana", text="Us"),)))
    assert [(one.who, one.what, one.text) for one in entries] == [
        ("Sam", "asked", "Who?"), ("Ana", "answered", "Us"), ("Bob", "approved", "fine"),
    ]  # fmt: skip


def test_one_is_told_of_ones_own_decision_as_ones_own() -> None:
    mine = DecisionRecord(verdict=Verdict.REJECT, reviewer=BOB.user, at=NOW)
    told = explain(DecisionRefused("x", rule="decided"), status(outcome=Outcome.REJECTED, decisions=(mine,)), BOB)
    assert told.text == "You decided this review before you did." or told.text.startswith("You")


@pytest.mark.parametrize(
    ("left", "text", "state"),
    [
        (timedelta(days=2, hours=3, minutes=4), "due in 2 d 3 h", "ok"),
        (timedelta(hours=4), "due in 4 h", "soon"),
        (timedelta(seconds=59), "due in under 1 min", "soon"),
        (timedelta(0), "overdue by under 1 min", "late"),
        (-timedelta(minutes=61), "overdue by 1 h 1 min", "late"),
    ],
)
def test_an_sla_clock(left: timedelta, text: str, state: str) -> None:
    shown_clock = clock.due(NOW + left, NOW)
    assert shown_clock is not None
    assert (shown_clock.text, shown_clock.state) == (text, state)


def test_tabs_count_what_they_show() -> None:
    rows = [(row(f"r-{n}"), status(claimed_by=who, claimed_until=NOW + timedelta(hours=1))) for n, who in
            enumerate([None, "Sam", BOB.user])]  # fmt: skip
    queue = lists.queue_of(rows, {"r-1"}, BOB, NOW)
    assert lists.counts(queue) == {"all": 3, "mine": 1, "unread": 2, "free": 1, "overdue": 0, "questions": 0}
    for show, number in lists.counts(queue).items():
        assert len(lists.narrowed(queue, lists.Filters(show=show))) == number


def test_a_summary_is_split_into_sentences_and_points() -> None:
    assert summary_of("Two findings.\n- high (F1) x\n- low (F2) y\nSign.") == Summary(
        "Two findings.", ("Sign.",), ("high (F1) x", "low (F2) y")
    )


def test_a_summary_of_one_long_paragraph_is_read_sentence_by_sentence() -> None:
    sentences = [
        f"Point {n} of this agreement is about clause {n}.1, which is long enough to be read." for n in range(5)
    ]
    found = summary_of(" ".join(sentences))
    assert (found.headline, list(found.rest)) == (sentences[0], sentences[1:])


@given(st.text(alphabet=st.sampled_from("aB .!“("), max_size=1500))
def test_a_long_statement_is_cut_and_nothing_of_it_is_lost(text: str) -> None:
    long = Finding(id="F1", clause="term", severity=Severity.LOW, statement=text)
    result = AnalysisResult(summary="", key_findings=(long,), confidence=1, requires_human_review=True)
    [view] = findings_of(result, None, None)
    assert (view.lead + view.rest).replace(" ", "") == text.replace(" ", "")
    assert len(view.lead) <= LONG_STATEMENT
    assert bool(view.rest) <= (len(text) > LONG_STATEMENT)


def test_the_queue_tells_questions_and_what_is_overdue_apart() -> None:
    rows = [
        (row("r-1", waiting_for="reviewer", sla_due=NOW - timedelta(hours=1)), status()),
        (row("r-2", waiting_for="reviewer"), status(mode=Mode.SHADOW)),
        (row("r-3", waiting_for="requester"), None),
    ]
    queue = lists.queue_of(rows, {"r-1", "r-2"}, BOB, NOW)
    shown = {show: [one.review_id for one in lists.narrowed(queue, lists.Filters(show=show))] for show in lists.SHOWN}
    assert (shown["all"], shown["overdue"], shown["questions"]) == (["r-1", "r-2"], ["r-1"], ["r-3"])
    assert [one.hidden for one in queue] == [False, True, False]


def test_rights_are_those_of_groups_delegations_and_leads() -> None:
    policy = SigningPolicy(groups=("legal",), leads=("leads",))
    away = Absence(person="Bo", until=NOW + timedelta(days=1), delegate="Dan")
    members = {"legal": ("Eli", "Bo"), "leads": ("Lea",)}
    authority = Authority("", policy, SigningTerms(members=members, absences=(away,)))
    found = {who: rights_of(authority, who, status(), NOW) for who in ("Eli", "Dan", "Lea", "Eve")}
    assert found["Eli"] == Rights(own=True, colleagues=("Bo",))
    assert found["Dan"] == Rights(own=False, signs_for=("Bo",), colleagues=("Eli", "Bo"))
    assert found["Lea"] == Rights(own=False, lead=True, colleagues=("Eli", "Bo"))
    assert not found["Eve"].may_sign
    assert rights_of(authority, "Lea", status(escalated=True), NOW).own
    assert rights_of(authority, "Dan", status(), away.until).signs_for == ()


def test_who_signs_for_another_is_told_why_effects_are_not_theirs() -> None:
    rights = Rights(own=False, signs_for=("Bo",))
    view = standing_of(status(waiting_for="reviewer", analysis=analysis(F1="x")), row(), BOB, NOW, rights)
    assert view.may_decide
    assert "for Bo" in view.no_effects


def test_what_is_pending_may_be_withdrawn_by_who_stands_behind_it() -> None:
    made = DecisionRecord(verdict=Verdict.APPROVE, reviewer="Dan", on_behalf_of="Bo", at=NOW)
    pending = status(pending=Outcome.APPROVED, pending_until=NOW + timedelta(minutes=9), decisions=(made,))
    may = {who: pending_of(pending, who, NOW) for who in ("dan", "Bo", "Eve")}
    assert {who: view.may_withdraw for who, view in may.items() if view} == {"dan": True, "Bo": True, "Eve": False}
    withdrawn = made.model_copy(update={"void": "withdrawn"})
    gone = pending_of(pending.model_copy(update={"decisions": (withdrawn,)}), "Dan", NOW)
    assert gone is not None
    assert not gone.may_withdraw
    assert history_of(status(decisions=(withdrawn,)))[0].what == "approved for Bo, and withdrew it later"


def test_a_decision_takes_what_a_form_gives() -> None:
    result = analysis(F1="x")
    edits = edits_of(Typed.of({**untouched(result), "severity-F1": "low"}), result)
    assert Decision(verdict=Verdict.AMEND, reviewer="Bob", edits=edits).edits[0].severity is Severity.LOW
