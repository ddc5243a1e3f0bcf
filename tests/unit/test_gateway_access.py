"""Every endpoint × every role × own and other tenant, against one table."""

import pytest
from helpers.endpoints import CELL, CONSOLE, ENDPOINTS, ROWS, WHO, Endpoint
from helpers.evidence import POLICY
from helpers.gateway import World, row

from countersign.store.evidence_dossier import digest_of
from countersign.words import Outcome

KEYS = {
    "nobody": None,
    "owner": "ana",
    "requester": "eve",
    "reviewer": "bob",
    "auditor": "aud",
    "operator": "ops",
    "admin": "boss",
    "rival": "rival",
}

_BATCH = "/console/batches/{batch_id}"
ELSEWHERE = {
    ("GET", "/console/queue/events"),
    ("GET", "/console/static/{version}/{name}"),
    # Who manages what has a world of its own in test_console_managing.
    *(("GET", path) for path in ("/console/batches", "/console/batches/events", _BATCH, f"{_BATCH}/events")),
    *(("GET", path) for path in (f"{_BATCH}/report.{{kind}}", "/console/people", "/console/notifications")),
    *((method, f"/console/people/{form}") for method in ("GET", "POST") for form in ("groups", "absences")),
    *(("POST", path) for path in (_BATCH, "/console/notifications", "/console/memory")),
}


def test_the_table_has_every_endpoint() -> None:
    there = {(method, route.path) for route in World().app.routes for method in route.methods - {"HEAD"}}
    assert there - ELSEWHERE == {(one.method, one.path) for one in (*ENDPOINTS, *CONSOLE)}
    assert there >= ELSEWHERE
    assert len(ENDPOINTS) + len(CONSOLE) == len(there - ELSEWHERE)
    assert KEYS.keys() == set(WHO)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
async def test_who_may_do_what(endpoint: Endpoint) -> None:
    for who, key in KEYS.items():
        world = World()
        # Ended, so that following it comes to an end.
        world.rows["r-1"] = row(outcome=Outcome.APPROVED)
        async with world.browser(key) as client:
            path = endpoint.path.format(review_id="r-1", effect="E1", batch_id="b-1")
            answer = await client.request(endpoint.method, path, json=endpoint.body)
        assert answer.status_code == endpoint.expected(who), (who, answer.text)
        if answer.status_code >= 400:
            assert not world.given
            assert not world.intake.entered
            assert answer.headers["content-type"] == "application/problem+json"
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith("Bearer")
        if answer.status_code == 404:
            assert answer.json()["detail"] in ("there is no such review", "there is no such batch")
        if answer.status_code == 200 and endpoint.path in ("/v1/reviews", "/v1/queue"):
            assert len(answer.json()["reviews"]) == ROWS.get(who, 1)


@pytest.mark.parametrize("endpoint", CONSOLE, ids=lambda one: f"{one.method} {one.path}")
async def test_who_may_see_what_in_the_console(endpoint: Endpoint) -> None:
    for who, key in KEYS.items():
        world = World()
        world.projected = world.projected.model_copy(update={"digest": "d"})
        named = {"review_id": "r-1", "playbook": "nda", "contract_type": "nda", "run": "q3", "kind": "json"}
        if endpoint.path.endswith("/events"):
            world.rows["r-1"] = row(outcome=Outcome.APPROVED)
        async with world.console(key) as client:
            given = {"csrf": world.form_token(client)}
            if endpoint.path == CELL:
                given["shown"] = digest_of(world.evidence.state, POLICY)
            answer = await client.request(
                endpoint.method,
                endpoint.path.replace("{rest:path}", "nowhere").format(**named),
                data=None if endpoint.body is None else {**given, **endpoint.body},
                files={"file": ("a.md", b"1. Term")} if endpoint.path.endswith("/submit") else None,
            )
        assert answer.status_code == endpoint.expected(who), (who, answer.text)
        if answer.status_code >= 400:
            assert not world.given
            assert answer.headers["content-type"].startswith("text/html")
        if answer.status_code == 404 and "r-1" in str(answer.url):
            assert "There is no such review" in answer.text


async def test_what_is_refused_costs_no_look_at_the_store() -> None:
    world = World()
    for key in (None, "ops"):
        async with world.browser(key) as client:
            await client.get("/v1/reviews/r-1")
    assert world.looked == 0


async def test_of_two_credentials_none_is_taken() -> None:
    async with World().browser(None) as client:
        headers = [("Authorization", "Bearer ana"), ("Authorization", "Bearer bob")]
        assert (await client.get("/v1/reviews", headers=headers)).status_code == 401
        assert (await client.get("/v1/reviews", headers=headers[:1])).status_code == 200
