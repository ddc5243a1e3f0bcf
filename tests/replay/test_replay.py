"""Stored histories of every route, replayed by this code: reviews that are running today go on with it tomorrow."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.worker import Replayer

from starters.cli.histories import explained, read_history
from workers.plugin import countersign_plugin

HISTORIES = Path(__file__).parent / "histories"
ROUTES = {
    "released",
    "approved",
    "amended",
    "rejected",
    "asked",
    "four_eyes",
    "expired",
    "escalated",
    "blocked",
    "failed",
    "degraded",
    "refused_signals",
    "unscreened",
    "no_model",
    "claimed",
    "elevated",
    "judged",
    "judged_blocked",
    "judged_elevated",
    "unjudged",
    "rate_limited",
    "overloaded",
    "waited",
    "shadow_labelled",
    "shadow_blind",
    "audited",
    "probed",
    "effects_done",
    "effects_declined",
    "effects_rejected",
    "effects_refused",
    "effects_amended",
    "effects_policy",
    "effects_stopped",
    "effects_allowed",
    "groups",
    "undo",
    "fallen",
    "signed",
    "delegated",
    "reassigned",
    "batch_done",
    "batch_renewed",
    "batch_cancelled",
    "batch_rerun",
    "rerun",
}
LESSON = """\
{name}: the workflow code no longer gives the commands that this history holds:
    {problem}
Reviews that were started with the code before would stop at this point. What to do:
  - A change meant for new reviews only: behind `workflow.patched("what-changed")`, the old way kept beside it.
  - A change that was not meant: undo it. Look for time, chance, sets or I/O in workflow code; it must be deterministic.
  - Commands of the workflow are activities, timers, child workflows, search attributes and markers, in their order;
    what happens inside an activity, summaries and timeouts may change freely.
Write histories anew (`make histories`) only when no review of the code before runs anywhere any more."""


@pytest.fixture(scope="session")
def replayer() -> Replayer:
    """As the worker is wired. The core's own log is off: it would print what the assertion tells."""
    quiet = Runtime(telemetry=TelemetryConfig(logging=None))
    return Replayer(workflows=[], plugins=[countersign_plugin()], runtime=quiet)


async def divergence(replayer: Replayer, history: WorkflowHistory) -> str | None:
    """Why the history does not replay, in a line; None when it does."""
    failure = (await replayer.replay_workflow(history, raise_on_replay_failure=False)).replay_failure
    return None if failure is None else explained(failure)


def changed(name: str, old: str, new: str) -> WorkflowHistory:
    """The stored history as another version of the code would have written it: an activity type by another name."""
    content: dict[str, Any] = json.loads((HISTORIES / f"{name}.json").read_text())
    for event in content["events"]:
        attributes = event.get("activityTaskScheduledEventAttributes", {})
        if attributes.get("activityType") == {"name": old}:
            attributes["activityType"] = {"name": new}
    return WorkflowHistory.from_json(name, content)


def test_every_route_has_a_history() -> None:
    stored = {path.stem for path in HISTORIES.glob("*.json")}
    assert stored >= ROUTES, f"missing: {', '.join(sorted(ROUTES - stored))}. Run `make histories`"


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
async def test_a_stored_history_replays(replayer: Replayer, path: Path) -> None:
    problem = await divergence(replayer, read_history(str(path)))
    if problem is not None:
        pytest.fail(LESSON.format(name=path.stem, problem=problem), pytrace=False)


async def test_changed_workflow_code_does_not_replay(replayer: Replayer) -> None:
    """The proof that the test above can fail."""
    assert await divergence(replayer, changed("approved", "reconcile", "reconcile_v2"))
    swapped = changed("approved", "screen", "swap")
    content = json.loads(swapped.to_json().replace('"read"', '"screen"').replace('"swap"', '"read"'))
    assert await divergence(replayer, WorkflowHistory.from_json("swapped", content)), "another order must not replay"


async def test_a_history_of_another_workflow_does_not_replay(replayer: Replayer) -> None:
    content = json.loads((HISTORIES / "approved.json").read_text())
    content["events"][0]["workflowExecutionStartedEventAttributes"]["workflowType"] = {"name": "PingWorkflow"}
    assert await divergence(replayer, WorkflowHistory.from_json("approved", content))
