"""An agent's step on real servers, its provider the lab: killed, stalled, refused, cut off and cancelled.

The steps keep the product's options; the time after which a silent step goes on elsewhere is shortened where a test
waits for it (`helpers.steps`).
"""

import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from helpers.lab import CLAUDE, LabHandle, lab_thread
from helpers.stack import TEST_PLAYBOOKS
from helpers.steps import Bench, attempt, attempts, bench
from provider_lab.script import Rule
from pydantic_ai.models import Model
from pydantic_ai.models.fallback import FallbackModel
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError

from activities import plan
from countersign.agents.guarded import circuit_of
from countersign.breaker.words import Standing
from countersign.review.payloads import Intent, Recall
from countersign.review.steps import PlanInput

if TYPE_CHECKING:
    from tests.integration.conftest import Eventually

pytestmark = pytest.mark.timeout(300)

CIRCUITS = {"model": {"min_calls": 3, "open_s": 1, "open_cap_s": 1, "stall_s": 2, "window_s": 300}}
"""Small and quick, so that one step sees a circuit open and heal."""


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHandle]:
    with lab_thread(TEST_PLAYBOOKS) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def servers() -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True) as home:
        async with bench(Path(home), playbooks=TEST_PLAYBOOKS, circuits=CIRCUITS) as running:
            yield running


@pytest.fixture(autouse=True)
async def healthy(servers: Bench, lab: LabHandle) -> None:
    """Every test begins with an ordinary provider and closed circuits."""
    lab.reset()
    for standing in await servers.services.circuits.standing():
        await servers.services.circuits.reset(standing.name, reason="a new test", by="p1:test")


@asynccontextmanager
async def team_of(servers: Bench, monkeypatch: pytest.MonkeyPatch, model: Model) -> AsyncIterator[None]:
    """A worker of this process whose agents have this model."""
    monkeypatch.setattr("activities.agents.resolve_model", lambda *_: model)
    async with servers.agents():
        yield


async def standing_of(servers: Bench, model: Model) -> Standing:
    return next(one for one in await servers.services.circuits.standing() if one.name == circuit_of(model))


async def test_no_response_is_paid_twice_whenever_the_worker_is_killed(
    servers: Bench, lab: LabHandle, eventually: "Eventually"
) -> None:
    """SIGKILL before the first response and after each of three, the last one between its receipt and the ledger."""
    lab.script(
        Rule(request=1, do="hang"),
        Rule(request=2, do="wrong_schema"),
        Rule(request=3, do="hang"),
        Rule(request=4, do="wrong_schema"),
        Rule(request=5, do="hang"),
    )
    environment = {**lab.environment, "COUNTERSIGN_MODEL": f"anthropic:{CLAUDE}"}
    handle = await servers.analyse("killed", heartbeat_s=5)
    for request in (1, 3, 5):
        with servers.worker(environment) as process:
            await lab.until(f"request {request} is out", lambda seen, n=request: len(seen) == n, 150)  # type: ignore[misc]
            os.kill(process.pid, signal.SIGKILL)

    async def all_saved() -> bool:
        return ((await servers.run_row(handle.id))["metrics"] or {}).get("requests") == 3

    async with servers.services.db.transaction() as held:
        await held.execute("LOCK TABLE ledger IN SHARE MODE")  # it may be looked at, and not written
        with servers.worker(environment) as process:
            await eventually("the last response is saved", all_saved, 150)
            os.kill(process.pid, signal.SIGKILL)
    with servers.worker(environment):
        report = await handle.result()
    assert report["findings"]
    assert [seen.responses_before for seen in lab.requests] == [0, 0, 1, 1, 2, 2]
    assert len(lab.billed) == 3
    ledger = await servers.ledger_row(handle.id)
    assert (ledger["requests"], ledger["unseen_requests"], ledger["success"]) == (3, 3, True)
    assert ledger["input_tokens"] == sum(bill.tokens.input for bill in lab.billed)
    assert ledger["output_tokens"] == sum(bill.tokens.output for bill in lab.billed)
    assert await attempts(handle) == 5


async def test_a_stall_is_ended_by_the_heartbeat_timeout_and_counted_though_the_stuck_worker_says_nothing(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch, eventually: "Eventually"
) -> None:
    model = lab.anthropic("claude-stalls")
    lab.script(Rule(request=1, do="stall"))
    async with team_of(servers, monkeypatch, model):
        handle = await servers.analyse("stalled", heartbeat_s=2)
        await handle.result()
        assert await attempts(handle) == 2
        assert [seen.did for seen in lab.requests] == ["stall", "answer"]

        async def counted() -> bool:
            one = await standing_of(servers, model)
            return (one.failures, one.in_flight, one.results.get("stalled")) == (1, 0, 1)

        await eventually("the circuit has counted the stall", counted)
        ledger = await servers.ledger_row(handle.id)
        assert (ledger["requests"], ledger["unseen_requests"]) == (1, 1)


async def test_a_provider_that_is_away_is_waited_for_and_costs_no_failure(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch, eventually: "Eventually"
) -> None:
    model = lab.anthropic()
    lab.script(Rule(do="error", status=503))
    async with team_of(servers, monkeypatch, model):
        handle = await servers.analyse("away")

        async def waits() -> bool:
            number, failure = await attempt(handle)
            return failure == "CircuitOpen" and number > plan.FAILURES + CIRCUITS["model"]["min_calls"]

        await eventually("the step waits for the circuit", waits, 150)
        sent = len(lab.requests)
        lab.script()
        report = await handle.result()
    assert report["degraded"] == []
    row, ledger = await servers.run_row(handle.id), await servers.ledger_row(handle.id)
    assert row["failures"] == 0
    assert row["refused"] >= sent
    assert (ledger["requests"], ledger["unseen_requests"], ledger["success"]) == (1, 0, True)
    assert await attempts(handle) > sent, "waiting asks the circuit, not the provider"


async def test_a_throttling_provider_is_asked_again_when_it_says(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = lab.openai("gpt-throttles")
    lab.script(Rule(request=1, do="error", status=429, retry_after_s=2))
    async with team_of(servers, monkeypatch, model):
        handle = await servers.analyse("throttled")
        await handle.result()
    first, second = lab.requests
    assert (second.at - first.at).total_seconds() >= 2
    one = await standing_of(servers, model)
    assert (one.failures, one.results["throttled"], one.results["success"]) == (0, 1, 1)
    assert (await servers.run_row(handle.id))["failures"] == 0


async def test_a_chain_skips_an_open_circuit_and_names_it(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = lab.anthropic(), lab.openai()
    await servers.services.circuits.open(circuit_of(first), reason="test", by="p1:test")
    async with team_of(servers, monkeypatch, FallbackModel(first, second)):
        handle = await servers.analyse("skipped")
        report = await handle.result()
    assert report["degraded"] == [f"model {CLAUDE} skipped: its circuit is open"]
    assert {seen.provider for seen in lab.requests} == {"openai"}
    assert await attempts(handle) == 1


async def test_what_was_skipped_is_still_named_after_the_next_attempt_went_on(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = lab.anthropic(), lab.openai()
    await servers.services.circuits.open(circuit_of(first), reason="test", by="p1:test", for_s=1)
    lab.script(Rule(request=1, do="wrong_schema"), Rule(request=2, do="stall", provider="openai"))
    async with team_of(servers, monkeypatch, FallbackModel(first, second)):
        handle = await servers.analyse("named", heartbeat_s=2)
        report = await handle.result()
    assert f"model {CLAUDE} skipped: its circuit is open" in report["degraded"]
    assert (await servers.ledger_row(handle.id))["requests"] == 2


async def test_a_wrong_key_is_final(servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lab.anthropic()
    lab.script(Rule(do="error", status=401))
    async with team_of(servers, monkeypatch, model):
        handle = await servers.analyse("rejected")
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
    assert isinstance(failed.value.cause, ActivityError)
    assert isinstance(failed.value.cause.cause, ApplicationError)
    assert failed.value.cause.cause.type == "ModelRejected"
    assert len(lab.requests) == 1
    assert (await standing_of(servers, model)).failures == 0


async def test_useless_answers_have_a_budget_and_the_plan_is_made_by_rule_after_it(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.script(Rule(do="wrong_schema"))
    async with team_of(servers, monkeypatch, lab.anthropic()):
        admission = await servers.admitted("useless")
        handle = await servers.step("plan", PlanInput(admission=admission, intent=Intent(), recall=Recall()))
        made = await handle.result()
    assert {task["specialist"] for task in made["plan"]["tasks"]} == {"term", "data"}
    assert made["metrics"] is None
    assert await attempts(handle) == plan.FAILURES
    ledger = await servers.ledger_row(handle.id)
    assert (ledger["requests"], ledger["success"]) == (len(lab.billed), False)
    assert ledger["output_tokens"] == sum(bill.tokens.output for bill in lab.billed)


async def test_cancellation_reaches_a_streaming_request(
    servers: Bench, lab: LabHandle, monkeypatch: pytest.MonkeyPatch, eventually: "Eventually"
) -> None:
    """The answer would take minutes; the client leaves it with the next heartbeat after the cancellation, 5 s at most.

    Twice as long is given for the wait, since what is tested is not the machine.
    """
    model = lab.anthropic("claude-trickles")
    lab.script(Rule(pause_s=0.2, chunk_chars=1))
    async with team_of(servers, monkeypatch, model):
        handle = await servers.analyse("cancelled")
        await lab.until("tokens come", lambda seen: any(one.tokens_sent > 1 for one in seen))
        await handle.cancel()
        seen = await lab.until("the client has gone", lambda seen: seen[-1].outcome == "abandoned", 12)
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        assert isinstance(failed.value.cause, CancelledError)
        assert len(seen) == 1

        async def given_back() -> bool:
            one = await standing_of(servers, model)
            return (one.failures, one.in_flight, one.results["ignored"]) == (0, 0, 1)

        await eventually("the circuit has the place back", given_back)
