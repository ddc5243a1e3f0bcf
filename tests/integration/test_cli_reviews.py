"""The command line as a person uses it: every command as a process, against one running `countersign dev`."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from helpers.contracts import nda
from helpers.stack import EXAMPLES, MACHINE, SIGNED, WAITING, Dev, Ran

REQUESTER = "zoe.quill@acme.example"
REVIEWER = "bob.finch@acme.example"
PHRASE = "Quetzalcoatl Instruments"
"""A party of the submitted contracts; must be in no error and no log."""
STATUS_FIELDS = {
    "review_id",
    "workflow_id",
    "stage",
    "outcome",
    "route",
    "autonomy",
    "screening",
    "analysis",
    "decision",
    "usage",
    "timings_ms",
}
MACHINE_STAGES = {row.split(":")[0] for row in MACHINE}


def encrypted_pdf() -> bytes:
    """A PDF that says it is encrypted, with a password nobody has."""
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>",
    )
    plain: bytes = runpy.run_path(str(EXAMPLES / "make_pdf.py"))["assemble"](list(objects))
    secret, document_id = "00" * 32, "ab" * 16
    return plain.replace(
        b"/Root 1 0 R",
        f"/Root 1 0 R /ID [<{document_id}> <{document_id}>] /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 "
        f"/O <{secret}> /U <{secret}> >>".encode(),
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is submitted, good and bad."""
    folder = tmp_path_factory.mktemp("files")
    for name, law in (("approved", "Ireland"), ("amended", "Ruritania"), ("asked", "England"), ("open", "Scotland")):
        (folder / f"{name}.md").write_text(nda(law=law).replace("Northwind Instruments", PHRASE))
    (folder / "scan.pdf").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    (folder / "locked.pdf").write_bytes(encrypted_pdf())
    (folder / "empty.md").touch()
    return folder


@pytest.fixture(scope="module")
def submitted(dev: Dev, files: Path) -> dict[str, Any]:
    """Everything given in by one call; `{"code", "reviews", "errors"}` with reviews by file name."""
    names = [str(files / f"{name}.md") for name in ("approved", "amended", "asked", "open")]
    names += [str(EXAMPLES / "nda-hostile.md"), str(EXAMPLES / "not-a-contract.txt"), str(files / "locked.pdf")]
    names += [str(files / "scan.pdf"), str(files / "missing.md")]
    ran = dev.cli("submit", *names, *("--tenant", "acme", "--user", REQUESTER, "--id", "r", "--wait", "--json"))
    given = json.loads(ran.out)
    assert REQUESTER not in ran.err
    return {
        "code": ran.code,
        "reviews": {Path(review["file"]).stem: review for review in given["reviews"]},
        "errors": {Path(error["file"]).stem: error for error in given["errors"]},
    }


def decide(dev: Dev, verdict: str, review: str, *options: str, reviewer: str = REVIEWER) -> Ran:
    return dev.cli(verdict, review, "--tenant", "acme", "--reviewer", reviewer, *options)


def test_several_files_each_come_to_their_own_end(submitted: dict[str, Any]) -> None:
    reviews, errors = submitted["reviews"], submitted["errors"]
    assert submitted["code"] == 7, "the exit code is that of the first file that did not come through: blocked"
    for name in ("approved", "amended", "asked", "open"):
        assert (reviews[name]["stage"], reviews[name]["waiting_for"]) == ("sign", "reviewer")
    assert [reviews[name]["review_id"] for name in ("approved", "amended")] == ["r-1", "r-2"]
    assert (reviews["nda-hostile"]["outcome"], reviews["nda-hostile"]["route"]) == ("blocked", "block")
    assert reviews["nda-hostile"]["screening"]["risk_score"] > 0.6
    assert reviews["nda-hostile"]["usage"]["requests"] == 0, "no model sees a blocked document"
    for name, reason in (("not-a-contract", "is no contract"), ("locked", "encrypted")):
        assert (reviews[name]["outcome"], reviews[name]["failure"]["type"]) == ("failed", "DocumentError")
        assert reason in reviews[name]["failure"]["message"]
        assert reviews[name]["failure"]["remedy"]
    assert {name: error["type"] for name, error in errors.items()} == {
        "scan": "DocumentError",
        "missing": "InvalidRequest",
    }
    assert all(error["remedy"] for error in errors.values())


@pytest.mark.usefixtures("submitted")
def test_status_says_everything_and_its_evidence_stands_in_the_text(dev: Dev) -> None:
    submit = ("submit", str(EXAMPLES / "services.pdf"), "--tenant", "acme", "--user", REQUESTER, "--playbook", "msa")
    assert dev.cli(*submit, "--id", "services", "--wait", "--json").json["stage"] == "sign"
    status = dev.status("services")
    text = dev.cli("document", "services", "--tenant", "acme", "--text").out
    assert status.keys() >= STATUS_FIELDS
    assert status["workflow_id"] == "review-acme-services"
    assert (status["outcome"], status["route"], status["autonomy"]) == (None, "review", "supervised")
    assert 0 <= status["screening"]["risk_score"] <= 0.6
    assert isinstance(status["screening"]["signals"], list)
    assert status["usage"]["requests"] >= 7, "intent, plan, four specialists and the reconciler"
    assert min(status["usage"]["input_tokens"], status["usage"]["output_tokens"]) > 0
    assert status["usage"]["cost_microusd"] == 0, "the offline model is free"
    assert status["timings_ms"].keys() >= MACHINE_STAGES
    analysis = status["analysis"]
    assert analysis.keys() >= {"summary", "key_findings", "confidence", "requires_human_review"}
    assert 0 <= analysis["confidence"] <= 1
    findings = analysis["key_findings"]
    assert len({finding["id"] for finding in findings}) == len(findings) > 0
    quotations = [evidence for finding in findings for evidence in finding["evidence"]]
    assert all(text[one["start"] : one["end"]] == one["quote"] for one in quotations)
    assert {one["page"] for one in quotations} > {1}, "a contract of five pages is quoted from more than its first"
    for finding in findings:
        assert finding.keys() >= {"id", "clause", "severity", "statement", "evidence", "searched"}
        assert bool(finding["evidence"]) != bool(finding["searched"]), "evidence, or what was searched in vain"


@pytest.mark.usefixtures("submitted")
def test_list_and_queue_show_what_is_there(dev: Dev) -> None:
    listed = {row["review_id"]: row for row in dev.cli("list", "--tenant", "acme", "--json").json}
    assert listed["r-5"]["outcome"] == "blocked"
    assert listed["r-4"]["stage"] == "sign"
    failed = dev.cli("list", "--outcome", "failed", "--tenant", "acme", "--json").json
    assert {row["review_id"] for row in failed} == {"r-6", "r-7"}
    queued = dev.cli("queue", "--json").json
    assert "r-4" in {row["review_id"] for row in queued}
    assert all(row["waiting_for"] == "reviewer" and row["sla_due"] for row in queued)
    shown = dev.cli("queue")
    assert shown.code == 0
    assert "r-4" in shown.out
    assert REQUESTER not in shown.out


@pytest.mark.usefixtures("submitted")
def test_a_person_other_than_the_requester_approves_once(dev: Dev, tmp_path: Path) -> None:
    forged = decide(dev, "approve", "r-1", reviewer=REQUESTER.upper())
    assert forged.code == 4
    assert "requester may not decide" in forged.complaint
    receipt = decide(dev, "approve", "r-1", "--note", "fine", "--json").json
    assert (receipt["outcome"], receipt["signatures_missing"]) == ("approved", 0)
    second = decide(dev, "reject", "r-1", reviewer="eve@acme.example")
    assert second.code == 4
    assert "already" in second.complaint
    assert dev.trail("r-1") == list(SIGNED)

    history = tmp_path / "approved.json"
    assert dev.cli("history", "r-1", "--tenant", "acme", "-o", str(history)).code == 0
    broken = tmp_path / "broken.json"
    broken.write_text(history.read_text().replace('"admit"', '"admitted"').replace('"read"', '"written"'))
    replayed = dev.cli("replay", str(history), str(broken), "--json")
    assert replayed.code == 1
    assert [result["ok"] for result in json.loads(replayed.out)] == [True, False]
    assert "workflow.patched()" in replayed.err


@pytest.mark.usefixtures("submitted")
def test_a_reviewer_amends_and_signs(dev: Dev) -> None:
    before = dev.status("r-2")
    first = before["analysis"]["key_findings"][0]["id"]
    edits = ("--edit", f"{first}:severity=low", "--edit", "add:governing_law:high:That law is not ours")
    unbound = decide(dev, "amend", "r-2", "--edit", "F999:remove")
    assert unbound.code == 4
    assert "finding that is not there" in unbound.complaint
    assert decide(dev, "amend", "r-2", *edits, "--digest", before["digest"], "--json").json["outcome"] == "amended"
    after = dev.status("r-2")
    findings = {finding["id"]: finding for finding in after["analysis"]["key_findings"]}
    assert findings[first]["severity"] == "low"
    assert findings["H1"]["statement"] == "That law is not ours"
    assert after["decision"]["reviewer"] == REVIEWER
    assert dev.trail("r-2") == list(SIGNED)


@pytest.mark.usefixtures("submitted")
def test_a_reviewer_asks_the_requester_answers_and_it_is_rejected(dev: Dev) -> None:
    asked = decide(dev, "ask", "r-3", "--question", "Which of our companies signs?", "--json").json
    assert asked["outcome"] is None
    stranger = dev.cli("answer", "r-3", "--tenant", "acme", "--user", REVIEWER, "--text", "The Irish one")
    assert stranger.code == 4
    assert "only the requester may answer" in stranger.complaint
    answer = ("answer", "r-3", "--tenant", "acme", "--user", REQUESTER, "--text", "The Irish one", "--json")
    assert dev.cli(*answer).json["stage"] == "sign"
    assert decide(dev, "reject", "r-3", "--note", "not that one", "--json").json["outcome"] == "rejected"
    people = ["sign:asked", "sign:answered", "sign:decided", "learn:learned", "settle:ended"]
    assert dev.trail("r-3") == [*WAITING, *people]


@pytest.mark.usefixtures("submitted")
def test_costs_name_every_agent(dev: Dev) -> None:
    costs = dev.cli("costs", "--tenant", "acme", "--since", "1h", "--json").json
    agents = {row["agent"] for row in costs["rows"]}
    assert agents >= {"intent", "plan", "reconcile"}
    assert len(agents) > 3, "specialists are told apart"
    assert costs["total"]["calls"] == sum(row["calls"] for row in costs["rows"])
    assert costs["total"]["failed_calls"] == costs["total"]["unpriced_calls"] == 0


def test_knowledge_is_found_again_by_its_tenant_alone(dev: Dev, tmp_path: Path) -> None:
    note = tmp_path / "house-rules.md"
    note.write_text("# House rules\n\nOur liability is capped at the fees of twelve months.\n")
    assert dev.cli("knowledge", "add", str(note), "--tenant", "acme", "--json").json[0]["passages"] > 0
    found = dev.cli("knowledge", "search", "cap on liability", "--tenant", "acme", "--json").json
    assert found[0]["source"] == "house-rules.md"
    assert dev.cli("knowledge", "search", "cap on liability", "--tenant", "other", "--json").json == []


def test_a_cell_that_was_granted_autonomy_releases_alone(dev: Dev, files: Path) -> None:
    cell = ("--tenant", "free", "--playbook", "lenient", "--type", "nda", "--level", "semi_autonomous")
    dev.cli("autonomy", "grant", *cell, "--by", REVIEWER, "--reason", "quarter without a correction", "--json")
    shown = dev.cli("autonomy", "show", "--tenant", "free", "--json").json
    assert [row["autonomy"] for row in shown] == ["semi_autonomous"]
    options = ("--tenant", "free", "--user", REQUESTER, "--playbook", "lenient", "--id", "r-1", "--wait", "--json")
    status = dev.cli("submit", str(files / "approved.md"), *options).json
    assert (status["outcome"], status["route"], status["decision"]) == ("released", "release", None)
    assert dev.trail("r-1", "free") == [*MACHINE, "settle:ended"]
    # Two tenants may use the same id, and neither sees the other's review.
    assert dev.status("r-1")["workflow_id"] == "review-acme-r-1"


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("status", "r-4", "--tenant", "other"), 3, ("no review 'r-4' of tenant 'other'", "--tenant")),
        (("status", "unheard-of", "--tenant", "acme"), 3, ("no review 'unheard-of'", "countersign list")),
        (("trail", "r-4", "--tenant", "other"), 3, ("no review 'r-4'", "countersign list")),
        (("submit", "{files}/missing.md"), 2, ("no such file", "Check the path")),
        (("submit", "{files}/empty.md"), 2, ("is empty", "Give a file")),
        (("submit", "{files}/scan.pdf"), 6, ("PNG image", "Give one of")),
        (("submit", "{files}/open.md", "--playbook", "unheard_of"), 2, ("playbook: there is none", "nda")),
        (
            ("submit", "{files}/open.md", "--tenant", "acme", "--id", "r-1"),
            2,
            ("r-1 is already", "leave review_id out"),
        ),
    ],
)
def test_a_refusal_is_one_line_with_a_remedy(
    dev: Dev, files: Path, arguments: tuple[str, ...], code: int, says: tuple[str, str]
) -> None:
    ran = dev.cli(*(argument.replace("{files}", str(files)) for argument in arguments), user=REQUESTER)
    assert ran.code == code
    assert ran.out == ""
    problem, remedy = says
    assert problem in ran.complaint
    assert remedy in ran.complaint.replace(problem, "")
    assert REQUESTER not in ran.err
    assert PHRASE not in ran.err


@pytest.mark.parametrize(
    ("name", "settings", "problem"),
    [
        ("open.md", {"max_document_mb": "0.001"}, "larger than the limit of 0.001 MB"),
        ("locked.pdf", {}, "encrypted with a password"),
    ],
)
def test_a_document_that_cannot_be_reviewed_fails_the_submission(
    dev: Dev, files: Path, name: str, settings: dict[str, str], problem: str
) -> None:
    ran = dev.cli("submit", str(files / name), "--wait", user=REQUESTER, **settings)
    assert ran.code == 6
    assert problem in ran.complaint
    assert REQUESTER not in ran.out + ran.err


@pytest.mark.usefixtures("submitted")
def test_the_same_file_under_the_same_id_is_no_second_review(dev: Dev, files: Path) -> None:
    again = ("submit", str(files / "open.md"), "--tenant", "acme", "--user", REQUESTER, "--id", "r-4", "--json")
    assert dev.cli(*again).json["existing"] is True
    assert dev.trail("r-4") == list(WAITING)


@pytest.mark.usefixtures("submitted")
def test_no_log_has_a_name_or_a_word_of_a_document(dev: Dev) -> None:
    logs = sorted((dev.home / "logs").glob("*.log"))
    assert {log.stem for log in logs} == {"gateway", "postgres", "temporal", "valkey", "worker"}
    for log in logs:
        text = log.read_text(errors="replace")
        for secret in (REQUESTER, REVIEWER, PHRASE):
            assert secret not in text, f"{log.name} names a person or quotes a document"
