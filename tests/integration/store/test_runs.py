"""Agent runs in Postgres: where the next attempt goes on, what former ones cost, which of two attempts may write."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from helpers.store import KEY, MARK, VAULT, admitted, dump
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, UserPromptPart
from pydantic_ai.usage import RequestUsage

from countersign.agents.journal import Journal
from countersign.errors import NotFound
from countersign.ledger.ledger import Ledger
from countersign.store.datakeys import DataKeys
from countersign.store.runs import AgentRuns, Superseded

if TYPE_CHECKING:
    from countersign.store.database import Database

CALL = "analyse:term"
BEGAN = datetime(2026, 11, 1, 9, tzinfo=UTC)


def conversation(responses: int = 1) -> list[ModelMessage]:
    messages: list[ModelMessage] = []
    for number in range(responses):
        answer = ModelResponse(
            parts=[ToolCallPart("report_findings", {"findings": [MARK]}, tool_call_id=f"c{number}")],
            usage=RequestUsage(input_tokens=100, output_tokens=10),
            model_name="m",
        )
        messages += [ModelRequest(parts=[UserPromptPart(MARK)]), answer]
    return messages


async def begun(db: "Database", at: datetime = BEGAN) -> Journal:
    return await Journal.begin(AgentRuns(db, VAULT), KEY, CALL, "term", at=at)


async def test_the_next_attempt_goes_on_after_the_last_response_and_counts_each_once(db: "Database") -> None:
    await admitted(db)
    first = await begun(db)
    assert first.resume("q") == []
    await first.sending(counts=True)
    said = conversation(1)
    await first.save("q", said, new=1)
    await first.sending(counts=True)
    second = await begun(db)
    assert second.failures == 1, "a request was out when the attempt was last heard of"
    history = second.resume("q")
    assert history == said
    await second.sending(counts=True)
    await second.ended(refused=True, counts=True)
    await second.sending(counts=True)
    await second.save("q", conversation(2), new=1)
    metrics = second.metrics()
    assert (metrics.requests, metrics.input_tokens, metrics.output_tokens) == (2, 200, 20)
    assert metrics.unseen_requests == 1
    assert (await begun(db)).failures == 1
    assert MARK not in await dump(db)


async def test_a_lost_probe_is_no_failure_of_the_run(db: "Database") -> None:
    await admitted(db)
    await (await begun(db)).sending(counts=False)
    later = await begun(db)
    assert (later.failures, later.metrics().unseen_requests) == (0, 1)


@pytest.mark.parametrize("wrong", ["question", "bytes", "content", "empty"])
async def test_a_checkpoint_that_cannot_be_used_is_a_new_beginning(
    db: "Database", wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    await admitted(db)
    runs = AgentRuns(db, VAULT)
    first = await begun(db)
    await first.sending(counts=True)
    await first.save("q", conversation(1), new=1)
    if wrong == "bytes":
        await db.execute("UPDATE agent_runs SET sealed = sealed || '\\x00'::bytea")
    elif wrong in {"content", "empty"}:
        held = await runs.begin(KEY, CALL, "term", at=BEGAN)
        text = b"[]" if wrong == "empty" else b'[{"kind": "of another version"}]'
        await runs.save(held, digest="q", conversation=text, metrics=first.metrics())
    later = await begun(db)
    assert later.resume("another" if wrong == "question" else "q") == []
    assert later.metrics().requests == 1, "what was paid stays counted"
    assert any("begins anew" in record.getMessage() for record in caplog.records)
    assert MARK not in caplog.text


async def test_a_dead_end_is_not_resumed_and_stays_counted(db: "Database") -> None:
    await admitted(db)
    first = await begun(db)
    await first.sending(counts=True)
    await first.save("q", conversation(1), new=1)
    assert await first.failed(drop=True) == 1
    later = await begun(db)
    assert (later.resume("q"), later.failures, later.metrics().requests) == ([], 1, 1)


async def test_an_attempt_that_only_seemed_dead_sends_and_writes_no_more(db: "Database") -> None:
    await admitted(db)
    stale = await begun(db)
    await stale.sending(counts=True)
    current = await begun(db)
    for late in (
        stale.sending(counts=True),
        stale.ended(refused=False, counts=True),
        stale.save("q", conversation(1), new=1),
        stale.failed(drop=True),
    ):
        with pytest.raises(Superseded):
            await late
    await current.sending(counts=True)
    await current.save("q", conversation(1), new=1)
    assert current.metrics().unseen_requests == 1


async def test_an_attempt_that_thaws_after_its_successor_began_does_not_take_the_run_back(db: "Database") -> None:
    await admitted(db)
    current = await begun(db, BEGAN + timedelta(microseconds=1))
    await current.sending(counts=True)
    with pytest.raises(Superseded):
        await begun(db)
    said = conversation(1)
    await current.save("q", said, new=1)
    assert (await begun(db, BEGAN + timedelta(seconds=5))).resume("q") == said
    # A run from before this was written down is anybody's.
    await db.execute("UPDATE agent_runs SET begun_at = NULL")
    assert (await begun(db)).resume("q") == said


async def test_settling_enters_what_never_came_to_an_end_and_drops_everything(db: "Database") -> None:
    await admitted(db)
    runs, ledger = AgentRuns(db, VAULT), Ledger(db)
    unfinished = await begun(db)
    await unfinished.sending(counts=True)
    await unfinished.save("q", conversation(1), new=1)
    await unfinished.sending(counts=True)
    done = await Journal.begin(runs, KEY, "intent", "intent", at=BEGAN)
    await done.sending(counts=True)
    await done.save("q", conversation(1), new=1)
    await ledger.record(KEY, done.metrics())
    await Journal.begin(runs, KEY, "plan", "plan", at=BEGAN)
    for _ in range(2):
        await runs.settle(KEY.workflow_id)
    rows = await db.fetch("SELECT call_id, requests, unseen_requests, success FROM ledger ORDER BY call_id")
    assert [tuple(row) for row in rows] == [(CALL, 1, 1, False), ("intent", 1, 0, True)]
    assert await db.fetch("SELECT FROM agent_runs") == []
    with pytest.raises(Superseded):
        await unfinished.sending(counts=True)
    usage = await ledger.settle(KEY)
    assert (usage.requests, usage.input_tokens) == (2, 200)


async def test_a_step_that_wakes_up_after_its_review_was_settled_begins_nothing(db: "Database") -> None:
    """Found by the chaos suite: it was handed to a frozen worker, which paid once more, and that stood in no ledger."""
    await admitted(db)
    runs = AgentRuns(db, VAULT)
    done = await begun(db)
    await done.sending(counts=True)
    await done.save("q", conversation(1), new=1)
    await Ledger(db).record(KEY, done.metrics())
    assert (await begun(db)).resume("q"), "its completion may never have been heard: until then it is resumed"
    await runs.settle(KEY.workflow_id)
    with pytest.raises(Superseded):
        await begun(db)
    # Another step of it, which was never begun before.
    await db.execute("UPDATE reviews SET outcome = 'rejected' WHERE workflow_id = $1", KEY.workflow_id)
    with pytest.raises(Superseded):
        await Journal.begin(runs, KEY, "plan", "plan", at=BEGAN)
    assert await db.fetch("SELECT FROM agent_runs") == []


async def test_an_erased_review_has_no_run(db: "Database") -> None:
    await admitted(db)
    await DataKeys(db, VAULT).destroy(KEY.tenant, KEY.review_id)
    with pytest.raises(NotFound):
        await begun(db)
