"""Autonomy in the console, in process: who signs for what, and what becomes of a form that no longer holds."""

import re

import httpx
import pytest
from helpers.evidence import ARM, POLICY, FakeEvidence
from helpers.gateway import PEOPLE, World

from countersign.evidence.course import course
from countersign.evidence.level import observe, start
from countersign.evidence.observation import Observation
from countersign.evidence.replay import ByPerson
from countersign.words import Autonomy, Outcome
from starters.console.views.words import OUTCOMES

PAGE = "/console/autonomy/nda/nda"
REASON = "a quarter <b>without</b> a correction"
AGREES, CRITICAL = Observation(agreement=1.0), Observation(agreement=0.0, critical=True)


async def form(world: World, client: httpx.AsyncClient, **fields: str) -> dict[str, str]:
    """What the page's form would send."""
    page = (await client.get(PAGE)).text
    shown = re.search(r'name="shown" value="([0-9a-f]{64})"', page)
    given = {"csrf": world.form_token(client), "act": "sign", "level": "semi_autonomous", "reason": REASON}
    return {**given, "shown": shown[1] if shown else "", **fields}


async def test_a_proposal_is_signed_by_who_is_signed_in() -> None:
    world = World()
    async with world.console("boss") as client:
        answer = await client.post(PAGE, data=await form(world, client))
        assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?done=sign")
        page = (await client.get(answer.headers["location"])).text
    assert world.evidence.state.level is Autonomy.SEMI_AUTONOMOUS
    assert world.evidence.signed == [(PEOPLE["boss"].user_hash, REASON)]
    assert "Signed: the level is in force" in page
    assert "&lt;b&gt;without&lt;/b&gt;" in page


@pytest.mark.parametrize("item", [AGREES, CRITICAL])
async def test_evidence_that_changed_since_it_was_shown_is_refused_and_shown_afresh(item: Observation) -> None:
    world = World()
    async with world.console("boss") as client:
        given = await form(world, client)
        world.evidence.seen(item)
        answer = await client.post(PAGE, data=given)
        assert answer.status_code == 409
        assert "The evidence has changed" in answer.text
        assert world.evidence.state.level is Autonomy.SUPERVISED
        assert ("Sign for semi-autonomous" in answer.text) is (item is AGREES)
        if item is AGREES:
            assert "a quarter &lt;b&gt;without&lt;/b&gt; a correction</textarea>" in answer.text
            assert (await client.post(PAGE, data=await form(world, client))).status_code == 303


@pytest.mark.parametrize(
    "fields", [{"reason": " "}, {"reason": "x" * 501}, {"level": "sovereign"}, {"act": "bless"}], ids=str
)
async def test_what_is_incomplete_is_said_and_changes_nothing(fields: dict[str, str]) -> None:
    world = World()
    async with world.console("boss") as client:
        answer = await client.post(PAGE, data=await form(world, client, **fields))
    assert answer.status_code == 422
    assert "This is not complete" in answer.text
    assert world.evidence.state.level is Autonomy.SUPERVISED


async def test_a_form_of_another_session_or_page_does_not_count() -> None:
    world = World()
    async with world.console("boss") as client:
        given = await form(world, client)
        assert (await client.post(PAGE, data={**given, "csrf": "x"})).status_code == 403
        elsewhere = await client.post(PAGE, data=given, headers={"Sec-Fetch-Site": "cross-site"})
        assert elsewhere.status_code == 403
    assert world.evidence.signed == []


async def test_a_level_is_taken_back_at_once_with_a_reason() -> None:
    world = World()
    async with world.console("boss") as client:
        await client.post(PAGE, data=await form(world, client))
        page = (await client.get(PAGE)).text
        assert "Take it back" in page
        assert "Watch over semi-autonomous" in page
        down = {"act": "demote", "level": "supervised", "reason": "an audit"}
        assert (await client.post(PAGE, data=await form(world, client, **down))).status_code == 303
        again = await client.post(PAGE, data=await form(world, client, **down))
    assert again.status_code == 409
    assert "is not below" in again.text
    assert world.evidence.state.level is Autonomy.SUPERVISED


async def test_reviews_that_are_not_decided_yet_keep_it_from_being_signed_for() -> None:
    world = World()
    world.evidence.still_open = 5
    async with world.console("boss") as client:
        page = (await client.get(PAGE)).text
    assert "but 5 reviews of this kind submitted earlier still wait for a decision" in page
    assert "Sign for" not in page


async def test_who_may_only_look_is_offered_nothing_to_press() -> None:
    async with World().console("aud") as client:
        page = (await client.get(PAGE)).text
    assert "An administrator may sign for it" in page
    assert 'name="act"' not in page


async def test_the_curve_stands_as_a_plot_and_as_numbers_without_a_style() -> None:
    async with World().console("aud") as client:
        page = (await client.get(PAGE)).text
    assert page.count("<svg") == 1
    assert "style=" not in page
    [first, *_, last] = re.findall(r'<th scope="row" class="n">(\d+)</th><td class="n">([^<]*)</td>', page)
    assert (first[0], last[0]) == ("1", "92")
    assert float(last[1]) >= POLICY.threshold


async def test_a_run_is_listed_with_its_progress_and_downloads_as_a_file() -> None:
    async with World().console("bob") as client:
        page = (await client.get("/console/shadow")).text
        assert "0 of 3 compared, 1 blocked, 2 to come" in page
        for kind, media in (("html", "text/html"), ("json", "application/json")):
            answer = await client.get(f"/console/shadow/runs/q3/report.{kind}")
            assert answer.headers["content-type"].startswith(media)
            assert answer.headers["content-disposition"] == f'attachment; filename="shadow-q3.{kind}"'
        assert answer.json()["cases"] == 3
        assert (await client.get("/console/shadow/runs/q3/report.exe")).status_code == 404


def test_the_course_takes_the_same_steps_as_the_cell() -> None:
    events = [*[AGREES] * 95, CRITICAL, ByPerson(level=Autonomy.SUPERVISED, raised=False), *[AGREES] * 3]
    points = course(ARM.fingerprint, events, POLICY)
    state = start(ARM.fingerprint, POLICY)
    for item in [*[AGREES] * 95, CRITICAL]:
        state, _ = observe(state, item, POLICY)
    assert points[95].semi.log_e == state.semi.growth.log_e
    assert [point.item for point in points if point.critical] == [96]
    assert points[94].semi.suspicion is not None
    assert (points[95].semi.suspicion, points[95].semi.fell) == (None, False)


def test_a_watch_that_goes_off_is_marked() -> None:
    evidence = FakeEvidence(items=[*[AGREES] * 95, *[Observation(agreement=0.0)] * 20])
    assert sum(point.semi.fell for point in course(ARM.fingerprint, evidence.items, POLICY)) == 1


def test_every_outcome_has_words() -> None:
    assert OUTCOMES.keys() == set(Outcome)
