"""Which corrections are in force: nobody lowers a grave finding alone, and opposite corrections cancel each other."""

from datetime import timedelta

import pytest
from helpers.learning import FIVE, LAW, NOW, done, lesson
from hypothesis import given
from hypothesis import strategies as st

from countersign.learning.lesson import Event, Kind, Lesson
from countersign.learning.policy import State, disputed, judged
from countersign.playbook.model import Learning
from countersign.words import Position, Severity


def states(*lessons: Lesson, policy: Learning | None = None) -> list[State]:
    return [standing.state for standing in judged(lessons, policy or Learning(), NOW)]


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        ("medium", "low", State.IN_FORCE),
        ("low", "critical", State.IN_FORCE),
        ("high", "low", State.WAITING),
        ("critical", "high", State.WAITING),
    ],
)
def test_one_person_makes_findings_graver_and_only_light_ones_milder(before: str, after: str, state: State) -> None:
    assert states(lesson(before=before, after=after)) == [state]


def test_a_second_person_counts_however_they_stand_behind_it() -> None:
    assert states(lesson(signed_by=("eve",))) == [State.IN_FORCE]
    assert states(lesson(events=(done(Event.CONFIRMED),))) == [State.IN_FORCE]
    assert states(lesson(1), lesson(2, by_hash="eve")) == [State.SUPERSEDED, State.IN_FORCE]
    assert states(lesson(signed_by=("bob",), events=(done(Event.CONFIRMED, "bob"),))) == [State.WAITING]
    assert states(*(lesson(number) for number in range(1, 9))) == [State.WAITING] * 8, "one person eight times is one"


def test_a_second_person_must_go_as_far_on_the_same_clause() -> None:
    eve = {"by_hash": "eve"}
    assert states(lesson(1), lesson(2, after="medium", **eve)) == [State.WAITING, State.IN_FORCE]
    assert states(lesson(1), lesson(2, clause="law", **eve)) == [State.WAITING] * 2
    assert states(lesson(1), lesson(2, quotes=LAW, **eve)) == [State.WAITING] * 2
    assert states(lesson(1), lesson(2, position=Position.WALK_AWAY, **eve)) == [State.WAITING] * 2
    assert states(lesson(1), lesson(2, events=(done(Event.WITHDRAWN),), **eve)) == [State.WAITING, State.WITHDRAWN]


def test_a_critical_finding_wants_two_reviews_and_is_never_taken_away() -> None:
    pair = (lesson(1, "critical", "high"), lesson(2, "critical", "high", by_hash="eve"))
    assert states(*pair) == [State.SUPERSEDED, State.IN_FORCE]
    (alone,) = judged([lesson(1, "critical", "high", signed_by=("eve", "kim"))], Learning(), NOW)
    assert (alone.state, alone.why) == (State.WAITING, "wants 1 more review(s) to take a critical finding down")
    removed = {"kind": Kind.REMOVED, "after": None}
    pair = (lesson(1, "critical", **removed), lesson(2, "critical", by_hash="eve", **removed))
    assert states(*pair) == [State.WAITING] * 2


def test_the_playbook_sets_the_quorum() -> None:
    careful = Learning.model_validate({"people": {"low": 3}})
    assert states(lesson(before="low", after="info", signed_by=("eve",)), policy=careful) == [State.WAITING]
    assert states(lesson(before="low", after="info", signed_by=("eve", "kim")), policy=careful) == [State.IN_FORCE]
    assert states(lesson(), policy=careful) == [State.WAITING], "what it does not name stays as strict as it was"


def test_suspicious_words_cost_a_person_more() -> None:
    assert states(lesson(before="medium", risk=0.5)) == [State.WAITING]
    assert states(lesson(before="medium", risk=0.5, signed_by=("eve",))) == [State.IN_FORCE]


def test_opposite_corrections_are_both_suspended_and_it_is_said() -> None:
    down, up = lesson(17, "medium", "low"), lesson(18, "low", "high")
    standings = judged([down, up], Learning(), NOW)
    assert [(one.state, one.against) for one in standings] == [(State.SUSPENDED, (18,)), (State.SUSPENDED, (17,))]
    assert disputed(standings) == ("corrections 17, 18 on term (suspended: they contradict each other)",)
    assert states(down, up.model_copy(update={"quotes": LAW})) == [State.IN_FORCE] * 2
    assert states(down, up.model_copy(update={"events": (done(Event.WITHDRAWN),)})) == [State.IN_FORCE, State.WITHDRAWN]


def test_one_person_alone_cannot_take_a_graver_correction_back() -> None:
    raised, attack = lesson(1, "medium", "high", by_hash="eve"), lesson(2, "high", "info")
    assert states(raised, attack) == [State.IN_FORCE, State.WAITING]


def test_what_nobody_confirms_expires_and_a_confirmation_renews() -> None:
    old = lesson(before="low", after="info", made_at=NOW - timedelta(days=365))
    assert states(old) == [State.EXPIRED]
    assert states(old.model_copy(update={"events": (done(Event.CONFIRMED),)})) == [State.IN_FORCE]
    assert states(lesson(before="low", after="info", made_at=NOW - timedelta(days=364))) == [State.IN_FORCE]


def test_withdrawn_and_restored_by_their_order() -> None:
    events = (done(Event.WITHDRAWN, days_ago=3), done(Event.RESTORED, days_ago=2), done(Event.CONFIRMED))
    one = lesson(before="low", after="info", events=events)
    assert (states(one), one.version) == ([State.IN_FORCE], 4)
    assert states(one.model_copy(update={"events": (*events, done(Event.WITHDRAWN, days_ago=0))})) == [State.WITHDRAWN]


def test_what_an_older_version_kept_is_listed_and_rests() -> None:
    assert states(lesson(kind=None)) == [State.UNKNOWN]


severities = st.sampled_from([str(severity) for severity in Severity])
cells = st.lists(
    st.builds(
        lesson,
        number=st.integers(1, 10_000),
        before=severities,
        after=severities,
        clause=st.sampled_from(["term", "law"]),
        kind=st.sampled_from(list(Kind)),
        position=st.sampled_from([Position.FALLBACK, Position.UNCLEAR, Position.ABSENT]),
        quotes=st.sampled_from([FIVE, LAW, ()]),
        by_hash=st.sampled_from(["bob", "eve", "kim"]),
        signed_by=st.sampled_from([(), ("eve",)]),
        events=st.lists(st.sampled_from(list(Event)), max_size=2).map(lambda made: tuple(done(one) for one in made)),
    ),
    max_size=8,
    unique_by=lambda one: one.correction_id,
)


@given(cells)
def test_nothing_milder_is_in_force_without_its_people(lessons: list[Lesson]) -> None:
    for standing in judged(lessons, Learning(), NOW):
        one = standing.lesson
        if standing.state is State.IN_FORCE and one.direction < 0 and one.before in (Severity.HIGH, Severity.CRITICAL):
            known = [other for other in lessons if not other.withdrawn and other.clause == one.clause]
            assert len({p for other in known for p in (other.by_hash, *other.signed_by, *other.confirmed_by)}) >= 2


@given(cells)
def test_no_two_in_force_contradict_each_other(lessons: list[Lesson]) -> None:
    in_force = [one.lesson for one in judged(lessons, Learning(), NOW) if one.state is State.IN_FORCE]
    opposite = [
        (one.correction_id, other.correction_id)
        for one in in_force
        for other in in_force
        if (one.clause, one.position, one.quotes) == (other.clause, other.position, other.quotes)
        and one.direction * other.direction < 0
    ]
    assert opposite == []


@given(cells, st.data())
def test_withdrawing_one_is_as_if_it_had_never_been(lessons: list[Lesson], data: st.DataObject) -> None:
    if not lessons:
        return
    gone = data.draw(st.sampled_from(lessons))
    withdrawn = gone.model_copy(update={"events": (*gone.events, done(Event.WITHDRAWN, days_ago=0))})
    kept = [one for one in lessons if one is not gone]
    after = judged([withdrawn if one is gone else one for one in lessons], Learning(), NOW)
    assert [one for one in after if one.lesson is not withdrawn] == list(judged(kept, Learning(), NOW))
