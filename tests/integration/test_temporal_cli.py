"""Reviews served to the plain `temporal` program: start, query, signal, list, result; no client of ours in between."""

import base64
import json
from pathlib import Path
from typing import Any

from helpers.contracts import DUTIES, HOSTILE, nda
from helpers.stack import SIGNED, WAITING, Dev, until

REQUESTER = "zoe.quill@acme.example"
REVIEWER = "bob.finch@acme.example"


def start(dev: Dev, workflow_id: str, **request: Any) -> None:
    given = {"tenant": "acme", "user": REQUESTER, "playbook": "lenient", **request}
    command = ("workflow", "start", "--type", "ReviewWorkflow", "--task-queue", "reviews")
    dev.temporal(*command, "--workflow-id", workflow_id, "--input", json.dumps(given)).json  # noqa: B018


def status(dev: Dev, workflow_id: str) -> dict[str, Any]:
    """The `status` query of a workflow."""
    answered = dev.temporal("workflow", "query", "--workflow-id", workflow_id, "--type", "status").json
    found: dict[str, Any] = answered["queryResult"][0]
    return found


def until_waiting(dev: Dev, workflow_id: str) -> None:
    until(f"{workflow_id} waits for a person", lambda: status(dev, workflow_id)["waiting_for"] == "reviewer")


def signal(dev: Dev, workflow_id: str, name: str, given: object) -> None:
    sent = dev.temporal(
        "workflow", "signal", "--workflow-id", workflow_id, "--name", name, "--input", json.dumps(given)
    )
    assert sent.code == 0, sent.err


def result(dev: Dev, workflow_id: str) -> dict[str, Any]:
    """The final status; waits for it."""
    ended: dict[str, Any] = dev.temporal("workflow", "result", "--workflow-id", workflow_id).json["result"]
    return ended


def attributes(dev: Dev, query: str) -> list[dict[str, Any]]:
    """The search attributes of every workflow that a visibility query finds."""
    found = dev.temporal("workflow", "list", "--query", query).json
    return [
        {
            name: json.loads(base64.b64decode(payload["data"]))
            for name, payload in workflow["searchAttributes"]["indexedFields"].items()
        }
        for workflow in found
    ]


def test_inline_text_is_reviewed_found_and_approved_by_signal(dev: Dev) -> None:
    workflow_id = "review-acme-x"
    start(dev, workflow_id, text=nda())
    until_waiting(dev, workflow_id)

    waiting = f"WorkflowId='{workflow_id}' AND ReviewStage='sign'"
    until("visibility shows the stage", lambda: bool(attributes(dev, waiting)))
    (shown,) = attributes(dev, waiting)
    assert (shown["RiskBand"], shown["Autonomy"]) == ("clean", "supervised")
    assert shown["SlaDue"] > "2026"
    assert shown["Tenant"].startswith("p1:")
    assert "acme" not in json.dumps(shown)

    signal(dev, workflow_id, "approve", {"reviewer": REQUESTER})
    signal(dev, workflow_id, "approve", "no object")
    until("both are refused", lambda: dev.trail("x") == [*WAITING, "sign:refused", "sign:refused"])
    assert status(dev, workflow_id)["outcome"] is None

    signal(dev, workflow_id, "approve", {"reviewer": REVIEWER, "note": "fine"})
    final = result(dev, workflow_id)
    assert (final["outcome"], final["decision"]["reviewer"]) == ("approved", REVIEWER)
    refused = ["sign:refused", "sign:refused"]
    assert dev.trail("x") == [*WAITING, *refused, *SIGNED[len(WAITING) :]]
    done = f"WorkflowId='{workflow_id}' AND ReviewStage='done'"
    until("visibility shows the end", lambda: bool(attributes(dev, done)))
    (shown,) = attributes(dev, done)
    assert shown["Reviewer"].startswith("p1:")
    assert "bob" not in json.dumps(shown)


def test_effects_are_approved_by_signal_and_by_the_command_line(dev: Dev) -> None:
    workflow_id = "review-acme-dutiful"
    start(dev, workflow_id, text=DUTIES, playbook="dutiful")
    until_waiting(dev, workflow_id)
    shown = {effect["item"]: effect for effect in status(dev, workflow_id)["effects"]}
    assert {effect["state"] for effect in shown.values()} == {"pending"}
    waiting = dev.cli("effects", "list", "--tenant", "acme", "--json").json
    assert {effect["item"] for effect in waiting if effect["review"] == "dutiful"} == {"E1", "E2"}

    given = {"item": "E1", "reviewer": REVIEWER, "digest": shown["E1"]["digest"]}
    signal(dev, workflow_id, "approve_effect", {**given, "item": "E2"})
    signal(dev, workflow_id, "approve_effect", {**given, "reviewer": REQUESTER})
    signal(dev, workflow_id, "approve_effect", given)
    until("the first is approved", lambda: status(dev, workflow_id)["effects"][0]["state"] == "approved")
    refused = dev.cli("effects", "approve", "dutiful", "E2", "--tenant", "acme", "--reviewer", REQUESTER)
    assert refused.code == 4
    assert "requester" in refused.complaint
    stale = dev.cli("effects", "approve", "dutiful", "E2", "--tenant", "acme", "--reviewer", "x", "--digest", "f" * 64)
    assert stale.code == 4
    declined = dev.cli("effects", "decline", "dutiful", "E2", "--tenant", "acme", "--reviewer", REVIEWER, "--json")
    assert declined.json["state"] == "declined"

    signal(dev, workflow_id, "approve", {"reviewer": REVIEWER})
    assert [effect["state"] for effect in result(dev, workflow_id)["effects"]] == ["done", "declined"]
    register = dev.cli("effects", "obligations", "--tenant", "acme", "--json").json
    assert [row["item"] for row in register if row["review_id"] == "dutiful"] == ["E1"]
    events = dev.trail("dutiful")
    assert events.count("sign:refused") == 2
    assert events[-4:] == ["act:effect", "act:effect", "learn:learned", "settle:ended"]
    calls = dev.cli("tools", "calls", "dutiful", "--tenant", "acme", "--json").json
    assert {"proposed", "ran"} == {call["verdict"] for call in calls}
    assert REQUESTER not in str(calls)


def test_a_hostile_text_is_blocked_whatever_way_it_comes(dev: Dev) -> None:
    start(dev, "review-acme-hostile", text=HOSTILE)
    assert result(dev, "review-acme-hostile")["outcome"] == "blocked"
    assert dev.trail("hostile") == ["submit:admitted", "read:read", "screen:screened", "settle:ended"]


def test_a_bad_input_is_a_definite_answer(dev: Dev) -> None:
    start(dev, "review-acme-bad", tenant="Not A Tenant", text=nda())
    final = result(dev, "review-acme-bad")
    assert (final["outcome"], final["failure"]["type"]) == ("failed", "InvalidRequest")
    assert "tenant" in final["failure"]["message"]
    assert "Not A Tenant" not in final["failure"]["message"]


def test_a_second_start_under_an_ended_reviews_id_changes_nothing(dev: Dev, tmp_path: Path) -> None:
    workflow_id = "review-acme-again"
    start(dev, workflow_id, text=HOSTILE)
    assert result(dev, workflow_id)["outcome"] == "blocked"
    admitted = dev.temporal("workflow", "describe", "--workflow-id", workflow_id).json
    start(dev, workflow_id, text=HOSTILE)
    assert result(dev, workflow_id)["failure"]["type"] == "InvalidRequest"
    assert dev.status("again")["outcome"] == "blocked"
    assert dev.cli("history", "again", "--tenant", "acme", "-o", str(tmp_path / "h.json")).code == 0
    started = json.loads((tmp_path / "h.json").read_text())["events"][0]["workflowExecutionStartedEventAttributes"]
    assert started["originalExecutionRunId"] == admitted["workflowExecutionInfo"]["execution"]["runId"]


def test_a_workflow_of_any_name_is_a_review(dev: Dev) -> None:
    start(dev, "Quarterly renewal 7", text=nda(law="England"))
    until_waiting(dev, "Quarterly renewal 7")
    shown = dev.cli("status", "quarterly-renewal-7", "--tenant", "acme", "--json").json
    assert shown["workflow_id"] == "Quarterly renewal 7"
    signal(dev, "Quarterly renewal 7", "reject", {"reviewer": REVIEWER, "note": "not now"})
    assert result(dev, "Quarterly renewal 7")["outcome"] == "rejected"
    assert dev.trail("quarterly-renewal-7") == list(SIGNED)
