"""Looking at reviews and acting on them over HTTP: what is shown to whom, errors as problems, event streams."""

import asyncio
import json
import logging
from typing import Any

import httpx
import pytest
from helpers.gateway import ANA, AT, BOB, MARK, PSEUDONYMS, TEXT, World, entry, row
from pydantic import SecretStr

from countersign.admission.intake import Turn
from countersign.breaker.config import Config, Rules
from countersign.breaker.model import Circuit
from countersign.breaker.standing import fields_of, standing_of
from countersign.breaker.words import Kind
from countersign.errors import (
    CountersignError,
    DecisionRefused,
    InvalidRequest,
    NotFound,
    RateLimited,
    ServiceUnavailable,
)
from countersign.review.capability import blocked
from countersign.review.payloads import EffectDecision, Screening, Signal
from countersign.settings import Settings
from countersign.words import Channel, Outcome, RiskBand, Stage, Verdict
from starters.gateway import events
from starters.gateway.bodies import MAX_ACTION_JSON
from starters.gateway.edge import Edge
from starters.gateway.problems import KINDS

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def world() -> World:
    return World()


async def get(world: World, path: str, key: str | None = "bob", **headers: str) -> httpx.Response:
    async with world.browser(key) as client:
        return await client.get(path, headers=headers)


async def post(world: World, path: str, body: Any, key: str = "bob", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body)
    async with world.browser(key) as client:
        return await client.post(path, content=content, headers={**JSON, **headers})


def slug(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    assert MARK not in answer.text
    assert answer.json()["status"] == answer.status_code
    return str(answer.json()["type"]).removeprefix("urn:countersign:problem:")


# --- looking ---


async def test_signals_are_not_for_who_may_be_trying_them_out(world: World) -> None:
    signal = Signal(name="override", channel=Channel.DOCUMENT, score=0.9, explanation="…")
    screening = Screening(risk_score=0.9, band=RiskBand.BLOCKED, signals=(signal,))
    world.projected = world.projected.model_copy(
        update={"screening": screening, "outcome": Outcome.BLOCKED, "failure": blocked(screening)}
    )
    shown = await get(world, "/v1/reviews/r-1", "bob")
    assert shown.json()["screening"]["signals"]
    assert "override" in shown.json()["failure"]["message"]
    veiled = await get(world, "/v1/reviews/r-1", "ana")
    assert "override" not in veiled.text
    assert "0.9" not in veiled.text
    assert veiled.json()["failure"]["remedy"] == shown.json()["failure"]["remedy"]


async def test_only_who_may_sign_is_shown_what_reviewers_are(world: World) -> None:
    for who in ("bob", "boss", "ana", "aud"):
        await get(world, "/v1/reviews/r-1", who)
    assert world.as_reviewer == [True, True, False, False]
    world.rows["r-1"] = row(user_hash=BOB.user_hash)
    await get(world, "/v1/reviews/r-1", "bob")
    assert world.as_reviewer[-1] is False, "nobody is a reviewer of their own request"


async def test_only_a_review_under_way_is_asked_of_its_workflow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object, **__: object) -> None:
        raise AssertionError("the workflow was asked")

    monkeypatch.setattr(world, "status", nobody)
    world.rows["r-1"] = row(outcome=Outcome.APPROVED)
    assert (await get(world, "/v1/reviews/r-1")).json()["live"] is True
    world.rows["r-1"], world.intake.turns = row(dispatched_at=None), Turn(4, 2.5)
    waiting = (await get(world, "/v1/reviews/r-1")).json()
    assert (waiting["live"], waiting["ahead"], waiting["estimate_s"]) == (True, 4, 2.5)
    world.rows["r-1"] = row()
    world.backend.up["temporal"] = False
    assert (await get(world, "/v1/reviews/r-1")).json()["live"] is False


async def test_without_an_answer_of_the_workflow_the_stored_status_is_shown(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object, **__: object) -> None:
        raise ServiceUnavailable("Temporal at t.internal:7233 does not answer")

    monkeypatch.setattr(world, "status", away)
    answer = await get(world, "/v1/reviews/r-1")
    assert (answer.status_code, answer.json()["live"]) == (200, False)


@pytest.mark.parametrize(
    "review_id", ["r-2", "R-1", "r%001", "%2e%2e", "r-1%0d%0aX-Evil:1", "a" * 500, MARK, "review-acme-r-1"]
)
async def test_there_is_one_answer_for_all_that_is_not_there(world: World, review_id: str) -> None:
    world.rows["r-2"] = row("r-2", tenant="rival")
    world.rows["review-acme-r-1"] = row()  # as the store finds it by its workflow id
    found = await get(world, f"/v1/reviews/{review_id}")
    assert (slug(found), found.json()["detail"]) == ("not-found", "there is no such review")
    assert "x-evil" not in found.headers


async def test_a_document_comes_as_an_attachment(world: World) -> None:
    text = await get(world, "/v1/reviews/r-1/document")
    assert text.json()["text"] == TEXT.text
    assert text.json()["pages"] == [{"number": 1, "start": 0, "end": 12}]
    assert text.headers["content-disposition"] == 'attachment; filename="r-1.json"'
    raw = await get(world, "/v1/reviews/r-1/document?raw=true")
    assert raw.content == TEXT.text.encode()
    assert raw.headers["content-type"].startswith("text/plain")
    assert raw.headers["content-disposition"] == 'attachment; filename="r-1.txt"'
    assert raw.headers["x-content-type-options"] == "nosniff"
    assert world.backend.outgoing.held == 0


async def test_a_document_that_was_not_read_has_no_text(world: World) -> None:
    world.projected = world.projected.model_copy(update={"read": None})
    assert slug(await get(world, "/v1/reviews/r-1/document")) == "not-found"
    assert (await get(world, "/v1/reviews/r-1/document?raw=true")).status_code == 200


async def test_parameters_that_do_not_validate_are_named_not_repeated(world: World) -> None:
    for query in ("limit=0", "limit=1001", f"limit={MARK}", f"stage={MARK}", f"outcome={MARK}"):
        answer = await get(world, f"/v1/reviews?{query}")
        assert slug(answer) == "invalid-request"
        assert answer.json()["detail"].startswith(f"query.{query.partition('=')[0]}: ")


# --- acting ---


async def test_a_decision_is_in_the_name_of_who_asks(world: World) -> None:
    body = {"verdict": "approve", "note": "fine", "digest": "d" * 8, "claim": 3}
    assert (await post(world, "/v1/reviews/r-1/decision", body)).json()["outcome"] == "approved"
    [(_, given)] = world.given
    assert given.model_dump(exclude={"edits", "question", "decision_id", "content", "on_behalf_of", "proof"}) == {
        **body,
        "verdict": Verdict.APPROVE,
        "reviewer": BOB.user,
    }
    refused = await post(world, "/v1/reviews/r-1/decision", {**body, "reviewer": MARK})
    assert slug(refused) == "invalid-request"
    assert refused.json()["detail"].startswith("reviewer: is not taken")


async def test_a_repeated_decision_carries_the_same_id(world: World) -> None:
    for key in ("once", "once", "twice"):
        await post(world, "/v1/reviews/r-1/decision", {"verdict": "approve"}, **{"Idempotency-Key": key})
    ids = [given.decision_id for _, given in world.given if hasattr(given, "decision_id")]
    assert ids[0] == ids[1] != ids[2]


async def test_a_claim_needs_no_body(world: World) -> None:
    async with world.browser("bob") as client:
        answer = await client.post("/v1/reviews/r-1/claim")
    assert answer.json() == {"review_id": "r-1", "token": 1, "until": AT.isoformat().replace("+00:00", "Z")}
    await post(world, "/v1/reviews/r-1/claim", {"release": True})
    assert [
        (given.reviewer, given.lease_s, given.release) for _, given in world.given if hasattr(given, "release")
    ] == [
        (BOB.user, 900, False),
        (BOB.user, 900, True),
    ]


async def test_only_their_own_requests_are_a_requesters_to_answer(world: World) -> None:
    assert (await post(world, "/v1/reviews/r-1/answer", {"text": "yes"}, "ana")).status_code == 200
    assert [(given.user, given.text) for _, given in world.given if hasattr(given, "user")] == [(ANA.user, "yes")]
    assert slug(await post(world, "/v1/reviews/r-1/answer", {"text": "yes"}, "eve")) == "not-found"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DecisionRefused("the requester cannot sign", remedy="Ask another", rule="own_request"), 409),
        (NotFound("there is no review 'r-1' of tenant 'acme'"), 404),
        (ServiceUnavailable("no worker took it in time; it may still count when one comes back"), 503),
    ],
)
async def test_what_the_workflow_answers_is_passed_on(world: World, error: CountersignError, status: int) -> None:
    world.refusal = error
    answer = await post(world, "/v1/reviews/r-1/decision", {"verdict": "approve"})
    assert answer.status_code == status
    assert answer.json()["detail"] == error.message
    assert answer.json().get("reason") == (getattr(error, "rule", None) or None)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"", 400),
        (b'{"verdict": "reject", "verdict": "approve"}', 400),
        (b'{"verdict": "amend", "edits": [{"action": "set", "action": "remove", "finding_id": "F1"}]}', 400),
        ({"verdict": MARK}, 422),
        ({"verdict": "approve", "note": MARK * 400}, 422),
        ({"verdict": "amend", "edits": [{"action": MARK}]}, 422),
        ({"verdict": "amend", "edits": [{"action": "remove"}] * 501}, 422),
        (b'{"verdict": "approve", "claim": 1' + b"0" * 500 + b"}", 422),
        (b" " * (MAX_ACTION_JSON + 1), 413),
    ],
)
async def test_a_bad_decision_is_refused(world: World, body: Any, status: int) -> None:
    answer = await post(world, "/v1/reviews/r-1/decision", body)
    assert answer.status_code == status
    assert slug(answer)
    assert not world.given


# --- errors ---


async def test_every_error_has_an_answer_of_its_own() -> None:
    assert len({kind.slug for kind in KINDS.values()}) == len(KINDS)
    assert KINDS[RateLimited].status == 429


async def test_paths_and_methods_that_are_not_there_are_problems(world: World) -> None:
    assert slug(await get(world, f"/{MARK}")) == "no-such-path"
    assert slug(await get(world, "/v1/reviews/")) == "no-such-path"
    async with world.browser() as client:
        answer = await client.delete("/v1/reviews")
    assert slug(answer) == "method-not-allowed"
    assert answer.headers["allow"] == "GET, POST"


async def test_servers_are_not_named_to_clients(world: World) -> None:
    world.away = True
    answer = await get(world, "/v1/reviews/r-1")
    assert (slug(answer), answer.status_code) == ("service-unavailable", 503)
    assert answer.json()["detail"] == "PostgreSQL does not answer (OSError)"
    assert answer.headers["retry-after"] == "2"


async def test_while_postgres_did_not_answer_the_last_look_nobody_waits_for_it(world: World) -> None:
    assert (await get(world, "/v1/reviews/r-1")).status_code == 200
    looked, world.backend.up["postgres"] = world.looked, False
    for answer in (await get(world, "/v1/reviews/r-1"), await get(world, "/v1/queue", "nobody")):
        assert (slug(answer), answer.headers["retry-after"]) == ("service-unavailable", "2")
    assert world.looked == looked
    world.backend.up["postgres"] = True
    assert (await get(world, "/v1/reviews/r-1")).status_code == 200


async def test_a_wrong_setting_is_not_the_askers_fault(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def wrong() -> None:
        raise InvalidRequest("COUNTERSIGN_MASTER_KEY: is another key")

    monkeypatch.setattr(world, "services", wrong)
    answer = await get(world, "/v1/reviews/r-1")
    assert (slug(answer), answer.status_code) == ("service-unavailable", 503)
    assert "MASTER_KEY" not in answer.text
    assert "COUNTERSIGN_MASTER_KEY: is another key" in caplog.text


async def test_a_mistake_of_ours_says_nothing_of_the_content(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*_: object, **__: object) -> None:
        raise ValueError(MARK)

    monkeypatch.setattr(world, "_row", breaks)
    with caplog.at_level(logging.DEBUG):
        answer = await get(world, "/v1/reviews/r-1")
    assert (slug(answer), answer.status_code) == ("internal-error", 500)
    assert answer.json()["instance"].removeprefix("urn:countersign:request:") in caplog.text
    assert "ValueError" in caplog.text
    assert "in breaks" in caplog.text
    assert MARK not in caplog.text


async def test_every_answer_is_safe_to_show_in_a_browser(world: World) -> None:
    for path in ("/v1/reviews", "/nowhere", "/healthz", "/openapi.json", "/v1/reviews/r-1/document?raw=true"):
        headers = (await get(world, path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert len(headers["x-request-id"]) == 16


async def test_beyond_what_it_can_work_on_it_says_so_at_once(world: World) -> None:
    full = Edge(world.app, world.backend.metrics, max_requests=0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(full), base_url="http://gateway") as client:
        answer = await client.get("/healthz")
    assert slug(answer) == "overloaded"
    assert answer.headers["retry-after"] == "1"


# --- health ---


async def test_ready_needs_postgres_alone(world: World) -> None:
    up = world.backend.up
    assert (await get(world, "/readyz", None)).json() == {"status": "ready", "degraded": []}
    up["redis"] = up["temporal"] = up["dispatcher"] = False
    answer = await get(world, "/readyz", None)
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["redis", "temporal", "dispatcher"])
    up["postgres"], up["redis"] = False, True
    answer = await get(world, "/readyz", None)
    assert (answer.status_code, answer.json()["degraded"]) == (503, ["postgres", "temporal", "dispatcher"])
    assert (await get(world, "/healthz", None)).status_code == 200


async def test_metrics_count_by_pattern_and_pseudonym(world: World) -> None:
    await get(world, "/v1/reviews/r-1", "ana")
    await get(world, f"/{MARK}")
    async with world.browser() as client:
        await client.post("/v1/reviews", files={"file": (f"{MARK}.md", b"x")})
        await client.request(MARK, "/v1/reviews")
    text = (await get(world, "/metrics", "ops")).text
    assert 'http_requests_total{method="GET",route="/v1/reviews/{review_id}",status="200"} 1.0' in text
    assert 'http_requests_total{method="GET",route="other",status="404"} 1.0' in text
    assert 'http_requests_total{method="other"' in text
    assert 'submissions_total{answer="accepted"} 1.0' in text
    pseudonym = PSEUDONYMS.of("tenant", "acme")
    assert f'countersign_waiting_reviews{{tenant="{pseudonym}"}} 5.0' in text
    assert MARK not in text
    assert "acme" not in text


async def test_series_of_a_tenant_are_for_its_own_keys_and_for_the_machines_own_prometheus() -> None:
    token = "the token of the house"
    world = World(Settings(metrics_token=SecretStr(token)))
    acme, rival = (f'reviews{{tenant="{PSEUDONYMS.of("tenant", name)}"}}' for name in ("acme", "rival"))
    for key, shown in (("ops", (True, False)), ("rival", (False, True)), (token, (True, True))):
        text = (await get(world, "/metrics", key)).text
        assert (acme in text, rival in text) == shown
        assert "countersign_dispatch_rate 1.5" in text
    assert (await get(world, "/metrics", f"{token}x")).status_code == 401
    assert (await get(world, "/v1/reviews", token)).status_code == 401


async def test_an_effect_is_decided_as_in_the_console(world: World) -> None:
    path, key = "/v1/reviews/r-1/effects/E1", {"Idempotency-Key": "one"}
    async with world.browser("bob") as client:
        for verdict in ("approve", "approve", "decline"):
            body = {"verdict": verdict, "note": "as agreed", "version": 2, "digest": "d" * 8}
            answer = await client.post(path, json=body, headers=key)
            assert (answer.status_code, answer.json()["item"]) == (200, "E1")
        other = await client.post("/v1/reviews/r-1/effects/E2", json={"verdict": "approve"}, headers=key)
        assert other.status_code == 200
        assert (await client.post(path, json={"verdict": "withdraw"})).status_code == 422
        for unknown in ("e1", "E0", "E12345"):
            assert (await client.post(f"/v1/reviews/r-1/effects/{unknown}", json={})).status_code == 404
    assert [what for what, _ in world.given] == ["approve_effect", "approve_effect", "decline_effect", "approve_effect"]
    first, again, declined, of_another = (given for _, given in world.given if isinstance(given, EffectDecision))
    assert (first.reviewer, first.note, first.version, first.digest) == (BOB.user, "as agreed", 2, "d" * 8)
    # The desk sees the other verdict under the same id, and refuses it.
    assert first.decision_id == again.decision_id == declined.decision_id != of_another.decision_id


async def test_a_batch_says_how_far_it_is(world: World) -> None:
    [listed] = (await get(world, "/v1/batches", "aud")).json()["batches"]
    assert (listed["batch_id"], listed["state"]) == ("b-1", "done")
    batch = (await get(world, "/v1/batches/b-1", "aud")).json()
    assert (batch["items"], batch["done"], batch["ended"], batch["waiting"]) == (3, 3, {"released": 2, "waiting": 1}, 1)
    assert batch["live"] is True
    assert "tenant" not in batch
    assert (await get(world, "/v1/batches/B!", "aud")).status_code == 404


async def test_metrics_say_where_every_circuit_stands(world: World) -> None:
    rules, circuit = Rules.of(Config(min_calls=2)), Circuit.new(1)
    for number in range(2):
        circuit.admit(1, 0.0, rules, f"t{number}")
        circuit.done(1, 0.0, rules, f"t{number}", Kind.FAILURE, 1, 0)
    circuit.admit(1, 0.0, rules, "refused")
    world.circuits.rows = (standing_of("model:lab:m", fields_of(circuit), rules, 100.0),)
    text = (await get(world, "/metrics", "ops")).text
    for line in (
        'state{circuit="model:lab:m",state="open"} 1.0',
        'state{circuit="model:lab:m",state="closed"} 0.0',
        'transitions_total{circuit="model:lab:m",to="open"} 1.0',
        'calls_total{circuit="model:lab:m",result="failure"} 2.0',
        'calls_total{circuit="model:lab:m",result="refused"} 1.0',
        'limit{circuit="model:lab:m"} 64.0',
        'in_flight{circuit="model:lab:m"} 0.0',
    ):
        assert f"countersign_circuit_{line}" in text
    assert "countersign_circuits_degraded 0.0" in text
    world.circuits.degraded = True
    world.circuits.rows = ()
    text = (await get(world, "/metrics", "ops")).text
    assert "countersign_circuits_degraded 1.0" in text
    assert "model:lab:m" not in text
    assert (await get(world, "/readyz", None)).json() == {"status": "ready", "degraded": ["redis"]}


async def test_the_openapi_document_names_every_endpoint_and_its_problems(world: World) -> None:
    document = (await get(world, "/openapi.json", None)).json()
    assert document == world.app.openapi()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) == (path not in ("/healthz", "/readyz"))
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and path != "/readyz":
                    assert "application/problem+json" in answer["content"]
    known = document["components"]["schemas"]
    text = json.dumps(document)
    for reference in {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert reference in known


# --- events ---


def parsed(text: str) -> list[tuple[str | None, str, dict[str, Any]]]:
    """(id, event, data) of each event."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((lines.get("id"), lines["event"], json.loads(lines["data"])))
    return found


async def test_an_ended_review_is_told_from_the_beginning_and_ends(world: World) -> None:
    world.rows["r-1"] = row(outcome=Outcome.APPROVED)
    answer = await get(world, "/v1/reviews/r-1/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert parsed(answer.text) == [
        ("1", "stage", {"stage": "read", "event": "read", "at": AT.isoformat(), "actor_hash": None, "facts": {"n": 1}}),
        ("2", "stage", {"stage": "read", "event": "read", "at": AT.isoformat(), "actor_hash": None, "facts": {"n": 2}}),
        ("3", "ended", {"outcome": "approved"}),
    ]
    assert world.app.state.streams.open == 0


async def test_a_stream_goes_on_where_it_broke_off(world: World) -> None:
    world.rows["r-1"] = row(outcome=Outcome.APPROVED)
    resumed = await get(world, "/v1/reviews/r-1/events", **{"Last-Event-ID": "1"})
    assert [number for number, _, _ in parsed(resumed.text)] == ["2", "3"]
    last = await get(world, "/v1/reviews/r-1/events", **{"Last-Event-ID": "2"})
    assert [number for number, _, _ in parsed(last.text)] == ["3"]
    assert (await get(world, "/v1/reviews/r-1/events", **{"Last-Event-ID": "3"})).status_code == 204
    for wrong in ("x", "-1", "1" * 11, MARK):
        assert slug(await get(world, "/v1/reviews/r-1/events", **{"Last-Event-ID": wrong})) == "invalid-request"


async def test_what_fired_is_not_told_to_who_only_asks(world: World) -> None:
    world.rows["r-1"] = row(outcome=Outcome.BLOCKED)
    told = parsed((await get(world, "/v1/reviews/r-1/events", "ana")).text)
    assert [set(data) for _, kind, data in told if kind == "stage"] == [{"stage", "event", "at"}] * 2


async def test_a_follower_sees_its_place_and_then_each_step(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The world moves on whenever it was looked at."""
    monkeypatch.setattr(events, "POLL_S", (0, 0))
    ended = row(outcome=Outcome.RELEASED)
    waiting = row(dispatched_at=None, stage=Stage.SUBMIT)
    moves: list[tuple[Any, list[Any], int | None]] = [
        (waiting, [], 2),  # what the endpoint itself looks at
        (waiting, [], 2),
        (waiting, [], 2),
        (waiting, [], 1),
        (row(), [entry(1)], None),
        (None, [], None),  # Postgres is away for a moment
        (row(), [entry(1), entry(2)], None),
        (ended, [entry(1), entry(2), entry(3, "ended")], None),
    ]

    async def look(review_id: str, tenant: str) -> Any:
        now, world.entries, ahead = moves.pop(0)
        world.intake.turns = None if ahead is None else Turn(ahead, 1.0)
        if now is None:
            raise ServiceUnavailable("PostgreSQL does not answer")
        return now

    monkeypatch.setattr(world, "_row", look)
    told = parsed((await get(world, "/v1/reviews/r-1/events")).text)
    assert [(number, kind) for number, kind, _ in told] == [
        (None, "waiting"),
        (None, "waiting"),
        ("1", "stage"),
        ("2", "stage"),
        ("3", "stage"),
        ("4", "ended"),
    ]
    assert [data["ahead"] for _, kind, data in told if kind == "waiting"] == [2, 1]


async def test_streams_are_bounded_and_end_with_the_process(world: World) -> None:
    world.app.state.streams = events.Streams(total=2, per_tenant=1)
    async with world.browser("bob") as client:
        first = asyncio.create_task(client.get("/v1/reviews/r-1/events"))
        while world.app.state.streams.open == 0:  # noqa: ASYNC110 - until the other task has got there
            await asyncio.sleep(0)
        assert slug(await client.get("/v1/reviews/r-1/events")) == "overloaded"
        world.backend.closing.set()
        assert (await first).status_code == 200
    assert world.app.state.streams.open == 0
