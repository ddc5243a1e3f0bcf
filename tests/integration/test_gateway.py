"""The gateway of a running `countersign dev`: a review from submission to signature, who may do what, and a fuzz."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio
from helpers.contracts import nda
from helpers.endpoints import ENDPOINTS, WHO, Endpoint
from helpers.stack import BIN, CALL_S, SIGNED, Dev, until

from countersign.services import Services
from countersign.words import Role
from starters.cli.stack import _dev_key
from workers.endpoints import ENDPOINTS_FILE, resolve

pytestmark = pytest.mark.asyncio(loop_scope="module")
PHRASE = "Quetzalcoatl Instruments"
"""A party of the submitted contracts, and part of every name; must be in no log."""
ROLES: Mapping[str, tuple[Role, ...]] = {
    "owner": (Role.REQUESTER,),
    "requester": (Role.REQUESTER,),
    **{role.value: (role,) for role in Role if role is not Role.REQUESTER},
    "second": (Role.REVIEWER,),
    "rival": tuple(Role),
    "fuzz": tuple(Role),
}


@dataclass(frozen=True)
class Gate:
    """A gateway, and a key of each of `ROLES`; only `rival` and `fuzz` are of tenants of their own."""

    url: str
    keys: Mapping[str, str]

    @asynccontextmanager
    async def client(self, who: str) -> AsyncIterator[httpx.AsyncClient]:
        headers = {"Authorization": f"Bearer {self.keys[who]}"} if who in self.keys else {}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=CALL_S) as client:
            yield client

    async def submit(self, who: str, text: str, **given: str) -> httpx.Response:
        async with self.client(who) as client:
            return await client.post(
                "/v1/reviews", files={"file": ("nda.md", text)}, data={"playbook": "lenient", **given}
            )

    async def events(self, who: str, review_id: str, after: str = "") -> AsyncIterator[tuple[str, str, Any]]:
        """(id, event, data) until the stream ends."""
        async with (
            self.client(who) as client,
            client.stream("GET", f"/v1/reviews/{review_id}/events", headers={"Last-Event-ID": after}) as stream,
        ):
            event: dict[str, str] = {}
            async for line in stream.aiter_lines():
                name, _, value = line.partition(": ")
                if line:
                    event[name] = value
                elif "event" in event:
                    yield event.get("id", ""), event["event"], json.loads(event["data"])
                    event = {}

    async def until_signing(self, who: str, review_id: str) -> None:
        async for _, kind, data in self.events(who, review_id):
            assert kind != "ended", data
            if data.get("event") == "waiting":
                return


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(dev: Dev) -> AsyncIterator[Gate]:
    async with Services.open(dev.settings, resolve(dev.settings)) as services:
        keys = {}
        for who, roles in ROLES.items():
            tenant = who if who in ("rival", "fuzz") else "gate"
            keys[who] = (await services.keys.create(tenant, f"{who} {PHRASE}", roles, by="ops")).secret_text
        await services.limits.change("fuzz", None, {"user_per_hour": 100_000}, by_hash="", reason="a fuzz is no person")
    yield Gate(dev.described["gateway"], keys)


async def test_a_review_from_submission_to_signature(gate: Gate, dev: Dev) -> None:
    accepted = await gate.submit("owner", nda() + PHRASE, ask="Can we sign?")
    assert accepted.status_code == 202, accepted.text
    assert accepted.headers["ratelimit-policy"] == '"user";q=100;w=3600'
    review_id = accepted.json()["review_id"]
    assert accepted.headers["location"] == f"/v1/reviews/{review_id}"

    await gate.until_signing("reviewer", review_id)
    async with gate.client("reviewer") as reviewer, gate.client("owner") as owner, gate.client("second") as second:
        queued = (await reviewer.get("/v1/queue")).json()["reviews"]
        assert [row["review_id"] for row in queued] == [review_id]
        claim = await reviewer.post(f"/v1/reviews/{review_id}/claim")
        assert claim.status_code == 200, claim.text
        review = (await reviewer.get(f"/v1/reviews/{review_id}")).json()
        assert (review["claimed_by"], review["waiting_for"]) == (f"reviewer {PHRASE}", "reviewer")
        assert (await second.post(f"/v1/reviews/{review_id}/claim")).status_code == 409

        document = (await owner.get(f"/v1/reviews/{review_id}/document")).json()
        finding = review["analysis"]["key_findings"][0]
        for evidence in finding["evidence"]:
            assert document["text"][evidence["start"] : evidence["end"]] == evidence["quote"]
        raw = await owner.get(f"/v1/reviews/{review_id}/document", params={"raw": True})
        assert raw.text == nda() + PHRASE

        asked = {"verdict": "ask", "question": "Which of us?", "claim": claim.json()["token"]}
        q0 = {"Idempotency-Key": "q0"}
        assert (await reviewer.post(f"/v1/reviews/{review_id}/decision", json=asked, headers=q0)).status_code == 200
        swallowed = await reviewer.post(f"/v1/reviews/{review_id}/decision", json={"verdict": "reject"}, headers=q0)
        assert (swallowed.status_code, swallowed.json()["type"]) == (
            422,
            "urn:countersign:problem:idempotency-key-reused",
        )
        answered = await owner.post(f"/v1/reviews/{review_id}/answer", json={"text": "The Irish one"})
        assert answered.status_code == 200, answered.text
        wrong = {"verdict": "approve", "digest": "0" * 64}
        assert (await reviewer.post(f"/v1/reviews/{review_id}/decision", json=wrong)).status_code == 409
        decision = {"verdict": "approve", "note": "fine"}
        once = {"Idempotency-Key": "q1"}
        signed = await reviewer.post(f"/v1/reviews/{review_id}/decision", json=decision, headers=once)
        assert (signed.status_code, signed.json()["outcome"]) == (200, "approved")
        assert signed.json()["verdict"] == "approve"

    told = [event async for event in gate.events("owner", review_id)]
    assert told[-1][1:] == ("ended", {"outcome": "approved"})
    async with gate.client("reviewer") as reviewer:
        again = await reviewer.post(f"/v1/reviews/{review_id}/decision", json=decision, headers=once)
        assert (again.status_code, again.json()) == (200, signed.json())
        other = await reviewer.post(f"/v1/reviews/{review_id}/decision", json={"verdict": "reject"}, headers=once)
        assert (other.status_code, other.json()["type"]) == (422, "urn:countersign:problem:idempotency-key-reused")
    stages = [f"{data['stage']}:{data['event']}" for _, kind, data in told if kind == "stage"]
    assert [stage for stage in stages if stage in SIGNED] == list(SIGNED)
    assert [number for number, _, _ in told] == [str(number) for number in range(1, len(told) + 1)]
    resumed = [event async for event in gate.events("owner", review_id, told[-3][0])]
    assert resumed == told[-2:]
    assert [event async for event in gate.events("owner", review_id, told[-1][0])] == []
    async with gate.client("auditor") as auditor:
        trail = (await auditor.get(f"/v1/reviews/{review_id}/trail")).json()
    assert trail["verified"] is True
    assert [f"{row['stage']}:{row['event']}" for row in trail["rows"]] == stages


async def test_every_endpoint_to_every_role_of_own_and_other_tenant(gate: Gate, dev: Dev) -> None:
    review_id = (await gate.submit("owner", nda("four (4) years"))).json()["review_id"]
    await gate.until_signing("auditor", review_id)

    async def ask(endpoint: Endpoint, who: str) -> None:
        async with (
            gate.client(who) as client,
            client.stream(endpoint.method, endpoint.path.format(review_id=review_id), json=endpoint.body) as answer,
        ):
            expected = endpoint.expected(who)
            # The desk, too, has a say in what the table allows: nobody has asked a question, say.
            allowed = (200, 409) if expected == 200 and endpoint.method == "POST" else (expected,)
            assert answer.status_code in allowed, (endpoint, who, await answer.aread())

    # Decisions last: they change what there is to see.
    for endpoint in sorted(ENDPOINTS, key=lambda one: one.path.endswith("/decision")):
        await asyncio.gather(*(ask(endpoint, who) for who in WHO))
    async with gate.client("rival") as rival:
        assert (await rival.get(f"/v1/reviews/{review_id}")).json()["detail"] == "there is no such review"
        assert review_id not in (await rival.get("/v1/reviews", params={"limit": 1000})).text


async def test_a_large_document_comes_back_as_it_was(gate: Gate) -> None:
    """Over a megabyte: it is stored in chunks, as it comes."""
    text = nda() + "\n".join(f"{number}. {PHRASE} shall not assign this Agreement." for number in range(25_000))
    review_id = (await gate.submit("owner", text)).json()["review_id"]
    async for _, kind, data in gate.events("auditor", review_id):
        if kind == "ended" or data.get("event") == "read":
            break
    async with gate.client("owner") as owner:
        raw = await owner.get(f"/v1/reviews/{review_id}/document", params={"raw": True})
    assert raw.text == text


async def test_a_repeated_key_is_one_review(gate: Gate) -> None:
    async with gate.client("owner") as owner:
        first = {"text": "1. Term", "ask": "Sign?", "session": "s"}
        for number in range(2):
            answer = await owner.post("/v1/reviews", json=first, headers={"Idempotency-Key": "once"})
            assert answer.status_code == 202, answer.text
            assert answer.json()["existing"] is (number > 0)
        for change in ({"text": "2. Other"}, {"playbook": "msa"}, {"ask": "Not?"}, {"session": None}):
            answer = await owner.post("/v1/reviews", json={**first, **change}, headers={"Idempotency-Key": "once"})
            assert (answer.status_code, answer.json()["type"]) == (
                422,
                "urn:countersign:problem:idempotency-key-reused",
            ), change


async def test_while_postgres_hangs_the_answer_is_503_and_a_repeat_is_one_review(gate: Gate, dev: Dev) -> None:
    await gate.submit("owner", nda())  # the key is known from here on, as a client's is
    once = {"Idempotency-Key": "hung"}
    async with gate.client("owner") as owner:
        with stopped(dev.pids["postgres"]):
            first = await owner.post("/v1/reviews", json={"text": "1. Hung"}, headers=once)
            assert (first.status_code, first.headers["retry-after"]) == (503, "2"), first.text
            until("readyz says what is away", lambda: "postgres" in degraded(gate))
            told = await owner.post("/v1/reviews", json={"text": "1. Hung"}, headers=once)
            assert (told.status_code, told.headers["retry-after"]) == (503, "2")
        until("it is back", lambda: not degraded(gate))
        answers = [await owner.post("/v1/reviews", json={"text": "1. Hung"}, headers=once) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[1].json()["existing"] is True
        rows = (await owner.get("/v1/reviews")).json()["reviews"]
    assert [row["review_id"] for row in rows].count(answers[0].json()["review_id"]) == 1


async def test_a_killed_gateway_comes_back_where_it_was(gate: Gate, dev: Dev) -> None:
    assert json.loads((dev.home / ENDPOINTS_FILE).read_text())["gateway"] == gate.url
    assert nice_of(dev.pids["worker"]) > nice_of(dev.pids["gateway"])
    dead = dev.kill("gateway")
    until("the gateway is back", lambda: dev.is_restarted("gateway", dead))

    def ready() -> bool:
        try:
            return httpx.get(f"{gate.url}/readyz").json() == {"status": "ready", "degraded": []}
        except httpx.TransportError:
            return False

    until("the gateway is ready", ready)


def degraded(gate: Gate) -> list[str]:
    found: list[str] = httpx.get(f"{gate.url}/readyz").json()["degraded"]
    return found


@contextmanager
def stopped(postmaster: int) -> Iterator[None]:
    """Every process of a Postgres server stands still, as with a disk that hangs."""
    ours = [postmaster]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == postmaster:
                ours.append(int(stat.parent.name))
    try:
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


async def test_each_start_makes_a_key_and_ends_the_last_one(dev: Dev) -> None:
    settings = dev.settings.model_copy(update={"tenant": "keyed", "user": "kim"})
    stack: Any = SimpleNamespace(settings=settings, endpoints=resolve(settings))
    first, second = await _dev_key(stack), await _dev_key(stack)
    async with Services.open(settings, resolve(settings)) as services:
        assert await services.keys.authenticate(first) is None
        kim = await services.keys.authenticate(second)
    assert kim is not None
    assert (kim.tenant, kim.user, kim.roles) == ("keyed", "kim", frozenset(Role))


def nice_of(pid: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, pid)


async def test_alone_it_serves_until_it_is_told_to_stop(gate: Gate, dev: Dev) -> None:
    process = await asyncio.create_subprocess_exec(
        *(str(BIN / "countersign"), "gateway", "--port", "0", "--json"),
        env=dict(dev.environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(CALL_S):
        shown = json.loads(await process.stdout.readline())
        assert shown["keys"] is True
        alone = Gate(shown["gateway"], {**gate.keys, "dev": dev.described["api_key"]})
        async with alone.client("dev") as client:
            assert (await client.get("/v1/reviews")).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 0, log


async def test_a_fuzz_from_the_published_document_finds_no_mistake_of_ours(
    gate: Gate, dev: Dev, tmp_path: Path
) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        (
            *(str(BIN / "schemathesis"), "run", f"{gate.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {gate.keys['fuzz']}"),
            # Which bytes are a contract that can be read, no schema can say.
            *("--checks", "all", "--exclude-checks", "positive_data_acceptance", "--seed", "7"),
            # A stream that waits for a person would be read until the time-out; streams have tests of their own.
            *("--exclude-path", "/v1/reviews/{review_id}/events"),
            *("--max-examples", "3", "--no-shrink", "--request-timeout", "30", "--suppress-health-check", "all"),
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=CALL_S,
        check=False,
        env={**dev.environment, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout[-5_000:]
    fuzzed = [one for one in ENDPOINTS if one.path != "/openapi.json" and not one.path.endswith("/events")]
    assert f"Tested: {len(fuzzed)}\n" in done.stdout
    async with gate.client("fuzz") as client:
        metrics = (await client.get("/metrics")).text
    assert 'route="/v1/reviews",status="202"' in metrics
    assert 'route="/v1/reviews/{review_id}",status="200"' in metrics
    assert 'status="5' not in metrics
    log = (dev.home / "logs" / "gateway.log").read_text()
    assert "Error" not in log, log
    assert PHRASE not in log
