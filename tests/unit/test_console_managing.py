"""Views of batches, people, notifications, corrections and the menu; and who may send their forms."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.gateway import PEOPLE, World

from countersign.access.permissions import Action, allowed
from countersign.batch.payloads import Baseline, BatchKind, BatchOrder, BatchState
from countersign.errors import InvalidRequest
from countersign.learning.lesson import Event, Happened, Kind, Lesson
from countersign.learning.policy import Standing, State
from countersign.notify.events import SUBSCRIBED
from countersign.notify.events import Event as Told
from countersign.review.payloads import Absence
from countersign.store.batch_results import ItemResult, Progress
from countersign.store.batches import BatchRow
from countersign.store.people import PeopleChange
from countersign.store.subscriptions import Standing as Subscribed
from countersign.store.subscriptions import Subscription
from countersign.vigilance.rates import CatchRate
from starters.console.views import batches, memory, notifications, people
from starters.console.views.menu import menu_of

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
HOSTILE = "</a><script>alert(1)</script>\u202e"


def batch(**changes: Any) -> BatchRow:
    given = {
        "tenant": "acme", "batch_id": "b1", "kind": BatchKind.REVIEW, "digest": "", "playbook": "nda", "items": 100,
        "window_size": 4, "state": BatchState.RUNNING, "created_at": NOW - timedelta(hours=2),
        "started_at": NOW - timedelta(hours=1),
    }  # fmt: skip
    return BatchRow.model_validate({**given, **changes})


def test_the_pace_is_that_of_the_last_minutes_and_says_when_it_will_be_done() -> None:
    line = batches.line_of(batch(), Progress({"waiting": 40, "failed": 10}, lately=20, waiting=40), NOW)
    assert (line.done, line.per_cent, line.pace) == (50, 50, 2.0)
    assert line.expected == NOW + timedelta(minutes=25)
    young = batch(started_at=NOW - timedelta(minutes=2))
    assert batches.line_of(young, Progress({"released": 20}, 20, 0), NOW).pace == 10.0


@pytest.mark.parametrize("state", [BatchState.PAUSED, BatchState.DONE, BatchState.CANCELLED])
def test_what_does_not_run_has_no_pace_and_no_end_to_expect(state: BatchState) -> None:
    line = batches.line_of(batch(), Progress({"waiting": 40}, 20, 40), NOW, state)
    assert (line.pace, line.expected) == (None, None)


def test_the_bar_is_as_long_as_what_has_ended_and_begins_with_what_went_well() -> None:
    parts = batches.parts_of({"failed": 10, "released": 50, "waiting": 20, "brand_new": 1}, 100)
    assert [part.words for part in parts] == ["released", "for people", "failed", "brand new"]
    assert [part.x for part in parts] == [0, 500, 700, 800]
    assert sum(part.width for part in parts) == 810
    assert batches.parts_of({}, 0) == ()


def test_a_file_name_that_would_deceive_is_shown_as_what_it_is() -> None:
    item = ItemResult(
        4, "b1-00005", "a\u202efdp.md", "failed", "EncryptedPdf", "", None, None, None, "", 0, None, None, 0, None, None
    )
    [wrong] = batches.wrong_of((item,))
    assert (wrong.number, wrong.name, wrong.why) == (5, "a\ufffdfdp.md", "EncryptedPdf")


@pytest.mark.parametrize("text", ["0", "-3", "nan", "inf", "a lot", "1e999"])
def test_a_baseline_that_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="Minutes a contract takes by hand"):
        batches.baseline_of({"manual_minutes": text})


def test_a_baseline_is_what_was_stated() -> None:
    assert batches.baseline_of({"manual_minutes": " 45 ", "manual_cost": "", "other": "x"}) == {"manual_minutes": 45}


def test_an_interval_is_shown_to_who_may_see_it_and_to_oneself() -> None:
    def rate(reviewer: str) -> CatchRate:
        return CatchRate(tenant="acme", reviewer=reviewer, probes=4, caught=3, rate=0.75, low=0.3, high=0.954)

    bob = PEOPLE["bob"]
    rates = [rate("p1:other"), rate(bob.user_hash)]
    [mine] = people.rates_of(rates, bob, everybody=False)
    assert (mine.mine, mine.rate, mine.low, mine.high) == (True, 75, 30, 95)
    assert [one.mine for one in people.rates_of(rates, bob, everybody=True)] == [False, True]


def test_a_time_without_a_zone_is_utc_and_no_time_is_refused() -> None:
    assert people.until_of("2026-12-24T18:00") == datetime(2026, 12, 24, 18, tzinfo=UTC)
    assert people.until_of("2026-12-24T18:00+01:00") == datetime(2026, 12, 24, 17, tzinfo=UTC)
    with pytest.raises(InvalidRequest, match="until"):
        people.until_of("soon")


def test_a_subscription_shows_where_it_goes_and_nothing_secret() -> None:
    def one(channel: Any, address: str, events: tuple[Told, ...] = SUBSCRIBED) -> Subscription:
        return Subscription("n1", "acme", "person:p1:abc", channel, events, address, "whsec_x", NOW)

    rows = notifications.subscriptions_of(
        [one("slack", "https://hooks.example.com/T0/secret"), one("email", "ann@acme.example", (Told.WAITING,))], {}
    )
    assert [(row.where, row.events, row.person, row.dead) for row in rows] == [
        ("hooks.example.com/…", "everything", "p1:abc", 0),
        ("…@acme.example", "waiting", "p1:abc", 0),
    ]
    assert "secret" not in repr(rows)
    assert "ann@" not in repr(rows)


def test_a_form_says_whom_and_what() -> None:
    typed = notifications.Typed.of({"whom": "group", "name": "legal", "channel": "email", "event-asked": "on"})
    assert (typed.target, typed.by, typed.events) == ("group:legal", "email", {Told.ASKED})
    assert notifications.Typed.of({"whom": "all", "name": "left over"}).target == "all"
    with pytest.raises(InvalidRequest, match="name"):
        assert notifications.Typed.of({"whom": "person", "name": ""}).target
    with pytest.raises(InvalidRequest, match="channel"):
        assert notifications.Typed.of({"whom": "all", "channel": "pigeon"}).by


def lesson(number: int, *events: Event) -> Lesson:
    return Lesson(
        correction_id=number, tenant="acme", playbook="nda", playbook_version="1", contract_type="nda", clause="term",
        finding_id="F1", review_id="r-1", workflow_id="w", by_hash="p1:a", kind=Kind.SEVERITY,
        change="severity high -> \u202elow", made_at=NOW,
        events=tuple(Happened(event=event, by_hash="p1:b", reason="why", at=NOW) for event in events),
    )  # fmt: skip


def test_a_correction_offers_what_can_be_done_to_it() -> None:
    standings = [
        Standing(lesson(2), State.SUSPENDED, "says the opposite of 1", (1,)),
        Standing(lesson(1, Event.WITHDRAWN), State.WITHDRAWN),
    ]
    two, one = memory.corrections_of(standings)
    assert (two.state, two.against, two.acts) == ("Contradicted", (1,), (Event.CONFIRMED, Event.WITHDRAWN))
    assert two.change == "severity high -> \ufffdlow"
    assert (one.state, one.acts, one.events[0][:3]) == ("Withdrawn", (Event.RESTORED,), ("withdrawn", "p1:b", "why"))
    assert memory.counts_of(standings) == {State.SUSPENDED: 1, State.WITHDRAWN: 1}
    assert [view.number for view in memory.corrections_of(standings, State.WITHDRAWN)] == [1]
    assert set(memory.STATES) == set(State)


def test_the_menu_has_no_heading_without_a_page_and_knows_where_one_is() -> None:
    def seen(who: str, path: str = "/console/queue") -> Any:
        return menu_of(lambda action: allowed(PEOPLE[who], action), path, "/console")

    requester = seen("ana")
    assert [one.name for one in requester.first] == ["Submit", "Reviews"]
    assert requester.more == ()
    reviewer = seen("bob", "/console/batches/b1")
    assert [one.name for one in reviewer.first] == ["Queue", "Reviews"]
    assert reviewer.here == "Batches"
    assert [heading for heading, _ in seen("boss").more] == ["Work", "Evidence", "Record", "Running it"]
    assert not any(one.here for one in seen("bob", "/console/queues").first)


FORMS = (
    ("/console/batches/b1", "bob", {"do": "pause"}),
    ("/console/people/groups", "bob", {"do": "add", "group": "legal", "name": "x"}),
    ("/console/people/absences", "aud", {"do": "end"}),
    ("/console/people/absences", "bob", {"do": "end", "name": "somebody else"}),
    ("/console/notifications", "aud", {"do": "remove", "id": "n1"}),
    ("/console/memory", "aud", {"do": "withdrawn", "number": "1", "reason": "x"}),
)


@pytest.mark.parametrize(("path", "who", "fields"), FORMS)
async def test_who_may_not_do_it_is_refused(path: str, who: str, fields: dict[str, str]) -> None:
    world = World()
    async with world.console(who) as client:
        answer = await client.post(path, data={"csrf": world.form_token(client), **fields})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", sorted({path for path, _, _ in FORMS}))
async def test_a_form_without_the_sessions_token_does_nothing(path: str) -> None:
    world = World()
    async with world.console("boss") as client:
        for sent in ({}, {"csrf": "0" * 32}):
            answer = await client.post(path, data={"do": "pause", **sent})
            assert answer.status_code == 403
            assert "the form is of another session" in answer.text.lower() or "another session" in answer.text


@pytest.mark.parametrize("page", ["batches", "people", "notifications", "memory"])
async def test_a_requester_sees_none_of_these_pages(page: str) -> None:
    async with World().console("ana") as client:
        assert (await client.get(f"/console/{page}")).status_code == 403


def test_every_page_of_the_menu_is_somebodys() -> None:
    roles = [PEOPLE[who] for who in ("ana", "bob", "aud", "ops", "boss")]
    for action in (Action.MANAGE_BATCHES, Action.MANAGE_MEMORY, Action.MANAGE_PEOPLE, Action.MANAGE_SUBSCRIPTIONS):
        assert 0 < sum(allowed(one, action) for one in roles) < len(roles)


# --- pages, on stand-ins for the stores ---


class Managed(World):
    """A world with a batch, a group, an absence, a subscription and a correction, all of them with hostile names.

    People have none that cannot be seen: those are refused when they are given (`check_person`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.members: list[tuple[str, str, str]] = []
        self.asked: list[str] = []

    async def services(self) -> Any:
        found = await super().services()
        item = ItemResult(
            0, "b1-00001", HOSTILE, "failed", "EncryptedPdf", "", None, None, None, "", 0, None, None, 0, None, None
        )
        found.batches = SimpleNamespace(
            newest=_answer((batch(), batch(batch_id="b2", state=BatchState.DONE, ended_at=NOW))),
            row=_answer(batch(started_at=None, state=BatchState.READY)),
            people_wait=_answer(9),
            counts=_answer({"failed": 1, "waiting": 9}),
            order=_answer(BatchOrder(user="ana", baseline=Baseline(manual_minutes=45))),
        )
        found.batch_results = SimpleNamespace(
            progress=_answer({"b1": Progress({"failed": 1, "waiting": 9}, 10, 9)}), of=_answer((item,))
        )
        found.people = SimpleNamespace(
            groups=_answer({"legal": (HOSTILE[:-1],)}),
            absences=_answer((Absence(person=HOSTILE[:-1], until=NOW, delegate="Sam"),)),
            changes=_answer((PeopleChange("member added", "legal", "p1:a", None, "p1:b", NOW),)),
            add_member=self._add,
        )
        found.subscriptions = SimpleNamespace(
            of=_answer(
                (Subscription("n1", "acme", "group:legal", "email", SUBSCRIBED, "ann@acme.example", "whsec_x", NOW),)
            ),
            standings=_answer({"n1": Subscribed("n1", 3, 1, 2, HOSTILE)}),
        )
        found.corrections = SimpleNamespace(
            lessons=_answer((lesson(2),)),
            standings=_answer((Standing(lesson(2), State.SUSPENDED, f"says the opposite {HOSTILE}", (1,)),)),
        )
        found.db = SimpleNamespace(
            fetch=_answer([{"tenant": "acme", "reviewer": PEOPLE["bob"].user_hash, "probes": 4, "caught": 3}])
        )
        return found

    async def reconsider_signing(self, tenant: str, *, all_concerned: bool) -> tuple[int, int]:
        self.asked.append(tenant)
        return 2, 1

    async def _add(self, tenant: str, group: str, name: str, *, by_hash: str) -> bool:
        self.members.append((group, name, by_hash))
        return True


def _answer(value: Any) -> Any:
    async def answer(*asked: Any, **how: Any) -> Any:
        return value

    return answer


@pytest.mark.parametrize("who", ["bob", "aud", "boss"])
@pytest.mark.parametrize("page", ["batches", "batches/b1", "people", "memory", "notifications"])
async def test_a_page_shows_hostile_text_as_text_and_offers_what_a_role_may(page: str, who: str) -> None:
    world = Managed()
    async with world.console(who) as client:
        answer = await client.get(f"/console/{page}")
    if (who, page) == ("bob", "notifications"):
        assert answer.status_code == 403
        return
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text
    assert "\u202e" not in answer.text
    assert "ann@acme.example" not in answer.text
    changes = {"batches": (), "batches/b1": ("boss",), "memory": ("bob", "boss"), "notifications": ("boss",)}
    offered = answer.text.count('method="post"') > 1  # one signs out
    assert offered == (who in changes.get(page, ("bob", "boss"))), answer.text


async def test_an_operator_sees_numbers_and_no_file_name() -> None:
    async with Managed().console("ops") as client:
        page = await client.get("/console/batches/b1")
        report = await client.get("/console/batches/b1/report.csv")
    assert page.status_code == 200
    assert "alert(" not in page.text
    assert "Pause" in page.text
    assert report.status_code == 403


async def test_a_report_is_a_file_that_no_page_can_be_made_of() -> None:
    async with Managed().console("bob") as client:
        for kind in ("html", "csv", "json"):
            answer = await client.get(f"/console/batches/b1/report.{kind}")
            assert answer.status_code == 200
            assert answer.headers["content-disposition"] == f'attachment; filename="batch-b1.{kind}"'
            assert "sandbox" in answer.headers["content-security-policy"]
        assert (await client.get("/console/batches/b1/report.exe")).status_code == 404


async def test_a_change_of_people_says_who_made_it_and_reaches_the_reviews_that_wait() -> None:
    world = Managed()
    async with world.console("boss") as client:
        sent = {"csrf": world.form_token(client), "do": "add", "name": "Rita"}
        refused = await client.post("/console/people/groups", data={**sent, "group": "No Group"})
        assert refused.status_code == 422
        assert 'value="Rita"' in refused.text
        assert world.asked == []
        done = await client.post("/console/people/groups", data={**sent, "group": "legal"})
        assert (done.status_code, done.headers["location"]) == (303, "/console/people?done=1&told=2&missed=1")
        told = (await client.get(done.headers["location"])).text
    assert world.members == [("legal", "Rita", PEOPLE["boss"].user_hash)]
    assert world.asked == ["acme"]
    assert "2 running reviews were told" in told
    assert "1 running review could not be told" in told


async def test_what_is_refused_of_a_correction_keeps_its_reason() -> None:
    world = Managed()
    async with world.console("bob") as client:
        sent = {"csrf": world.form_token(client), "number": "2", "do": "withdrawn", "reason": "x" * 1001}
        answer = await client.post("/console/memory", data=sent)
    assert answer.status_code == 422
    assert "x" * 1001 in answer.text
    assert "more than 1,000 characters" in answer.text
