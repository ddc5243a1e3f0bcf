"""Groups, absences, signing keys, bulk signing and notifications as a person uses them: commands against one `dev`."""

import json
from pathlib import Path

import pytest
from helpers.contracts import nda
from helpers.receivers import webhook_receiver
from helpers.stack import Dev, until

pytestmark = [pytest.mark.xdist_group("dev"), pytest.mark.timeout(420)]
BY = ("--by", "pat", "--json")


def submitted(dev: Dev, folder: Path, tenant: str, *names: str, playbook: str) -> None:
    """Reviews under these ids, each of them waiting for a person."""
    for name in names:
        file = folder / f"{name}.md"
        file.write_text(nda())
        given = ("--tenant", tenant, "--user", "ana", "--playbook", playbook, "--id", name)
        assert dev.cli("submit", str(file), *given, "--wait", "--json").json["waiting_for"] == "reviewer"


def test_a_group_signs_with_a_delegate_and_time_for_second_thoughts(dev: Dev, tmp_path: Path) -> None:
    tenant = ("--tenant", "people")
    assert dev.cli("groups", "add", "legal", "bob", *tenant, *BY).json["changed"] is True
    submitted(dev, tmp_path, "people", "grouped", playbook="undoable")
    approve = ("approve", "grouped", *tenant, "--reviewer")
    refused = dev.cli(*approve, "dan")
    assert refused.code == 4
    assert "may not sign" in refused.complaint
    told = dev.cli("absence", "set", "bob", "--until", "5d", "--delegate", "dan", *tenant, *BY).json
    assert told["reviews_told"] == 1
    until("the delegate may sign", lambda: dev.cli(*approve, "dan", "--for", "bob").code == 0)
    pending = dev.status("grouped", "people")
    assert (pending["pending"], pending["outcome"]) == ("approved", None)
    assert dev.cli("withdraw", "grouped", *tenant, "--reviewer", "bob").code == 0
    assert dev.status("grouped", "people")["waiting_for"] == "reviewer"
    assert "dan" in dev.cli("absence", "list", *tenant).out
    assert dev.cli("groups", "show", *tenant, "--json").json == {"legal": ["bob"]}


def test_decisions_must_be_signed_where_that_is_asked_for(dev: Dev, tmp_path: Path) -> None:
    tenant, private, public = ("--tenant", "proofs"), tmp_path / "bob.key", tmp_path / "bob.pub"
    assert dev.cli("keys", "signing", "make", str(private), "--public", str(public)).code == 0
    assert private.stat().st_mode & 0o777 == 0o600
    submitted(dev, tmp_path, "proofs", "signed", playbook="lenient")
    assert dev.cli("keys", "signing", "require", "on", *tenant, *BY).json["reviews_told"] == 1
    until("the review has heard of it", lambda: bool(dev.status("signed", "proofs")["signed_only"]))
    approve = ("approve", "signed", *tenant, "--reviewer", "bob")
    assert "signature that proves" in dev.cli(*approve).complaint
    forged = json.dumps({"reviewer": "bob", "digest": dev.status("signed", "proofs")["digest"], "decision_id": "x"})
    signal = ("--workflow-id", "review-proofs-signed", "--name", "approve", "--input", forged)
    assert dev.temporal("workflow", "signal", *signal).code == 0
    until("the forgery is on the trail", lambda: "sign:refused" in dev.trail("signed", "proofs"))
    assert dev.cli("keys", "signing", "add", "--user", "bob", "--public-key", str(public), *tenant, *BY).code == 0
    receipt = dev.cli(*approve, "--json", signing_key=str(private)).json
    assert receipt["outcome"] == "approved"
    assert dev.status("signed", "proofs")["decision"]["signed_with"].startswith("s")


def test_alike_reviews_are_shown_and_then_signed_together(dev: Dev, tmp_path: Path) -> None:
    tenant = ("--tenant", "bulk")
    submitted(dev, tmp_path, "bulk", "one", "two", playbook="lenient")
    bulk = ("bulk", "approve", "--playbook", "lenient", "--max-severity", "low", "--reviewer", "bob", *tenant, "--json")
    shown = dev.cli(*bulk).json
    assert {item["review_id"] for item in shown["items"]} == {"one", "two"}
    assert shown["signed"] == []
    assert dev.status("one", "bulk")["outcome"] is None
    assert dev.cli("reject", "two", *tenant, "--reviewer", "eve").code == 0
    until("one review is left", lambda: len(dev.cli(*bulk).json["items"]) == 1)
    stale = dev.cli(*bulk, "--yes", "--only", shown["digest"])
    assert stale.code == 2, "something else would be signed"
    signed = dev.cli(*bulk, "--yes", "--only", dev.cli(*bulk).json["digest"]).json["signed"]
    assert signed == [{"review_id": "one", "outcome": "approved", "why": ""}]


def test_subscribers_are_told_by_the_running_worker(dev: Dev, tmp_path: Path) -> None:
    tenant = ("--tenant", "notify")
    with webhook_receiver() as hook:
        add = ("notify", "add", "--to", "all", "--channel", "webhook", *tenant, "--json", "--address")
        assert "no https address" in dev.cli(*add, hook.url).err
        to = dev.cli(*add, hook.url, private_webhooks="true").json
        assert to["secret"].startswith("whsec_")
        assert dev.cli("notify", "test", to["subscription_id"], *tenant, private_webhooks="true").code == 0
        assert len(hook.got) == 1
        assert dev.cli("notify", "test", to["subscription_id"], *tenant).code == 5, "not without the setting"
        submitted(dev, tmp_path, "notify", "told", playbook="lenient")

        def standing() -> dict[str, object]:
            found: dict[str, object] = dev.cli("notify", "list", *tenant, "--json").json[0]
            return found

        # The running worker has no leave to send to this machine: it says so, and does not send.
        until("the worker has tried", lambda: standing()["last_error"] is not None)
        assert "address" in str(standing()["last_error"])
        assert len(hook.got) == 1
    assert dev.cli("notify", "remove", to["subscription_id"], *tenant).code == 0
