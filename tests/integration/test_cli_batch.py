"""A batch and a rerun as a user has them: commands as processes, the plain `temporal` program, files to look at."""

import csv
import json
from pathlib import Path

import pytest
from helpers.contracts import HOSTILE, nda
from helpers.stack import BIN, Dev, until

LAWS = ("Ireland", "France", "Chile", "Norway", "Japan", "Kenya")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "contracts"
    made.mkdir()
    for number, law in enumerate(LAWS):
        (made / f"nda {number}.md").write_text(nda(law=law))
    (made / "hostile.md").write_text(HOSTILE)
    (made / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    (made / "notes.docx").write_bytes(b"PK")
    return made


def test_a_folder_goes_in_once_is_reported_and_analysed_again(dev: Dev, folder: Path, tmp_path: Path) -> None:
    of = ("--tenant", "bulk")
    order = ("batch", "submit", str(folder), *of, "--playbook", "lenient", "--manual-minutes", "45", "--json")
    taken = dev.cli(*order).json
    assert (taken["items"], taken["left_out"], taken["existing"]) == (8, {".docx": 1}, False)
    batch = taken["batch_id"]
    watched = dev.cli("batch", "watch", batch, *of, "--timeout", "100", "--json").json
    assert (watched["state"], watched["ended"]) == ("done", {"blocked": 1, "failed": 1, "waiting": 6})
    again = dev.cli(*order).json
    assert (again["batch_id"], again["existing"]) == (batch, True)
    assert [row["batch_id"] for row in dev.cli("batch", "list", *of, "--json").json] == [batch]
    assert dev.cli("batch", "pause", batch, *of).code == 4, "it is over"
    assert dev.cli("batch", "status", batch, "--tenant", "other").code == 3

    files = ("--csv", str(tmp_path / "r.csv"), "--html", str(tmp_path / "r.html"))
    report = dev.cli("batch", "report", batch, *of, "--manual-cost", "120", *files, "--json").json
    assert (report["reviewed"], report["waiting"]) == (6, 6)
    assert report["worth"]["by_hand_minutes"] == 270
    assert report["worth"]["saved_usd"] == {"low": 0, "high": 720}
    rows = list(csv.DictReader((tmp_path / "r.csv").open()))
    assert [row["file"] for row in rows] == ["broken.pdf", "hostile.md", *(f"nda {n}.md" for n in range(6))]
    assert "45 minutes and $120.00" in (tmp_path / "r.html").read_text()

    page = tmp_path / "rerun.html"
    arm = ("rerun", "--since", "1h", *of, "--playbook", "strict", "--limit", "3", "--html", str(page))
    compared = dev.cli(*arm, "--timeout", "100", "--json").json
    assert (compared["chosen"], compared["pairs"]) == (3, 3)
    assert "Stored reviews, analysed again" in page.read_text()
    told = dev.cli("batch", "report", compared["batch_id"], *of)
    assert "3 of 3 stored reviews were analysed by both arms" in told.out
    assert dev.cli("rerun", "--since", "1h", "--tenant", "nobody").code == 3


def many(folder: Path) -> Path:
    """A folder of 120 contracts: one at a time they take longer than any test looks at them."""
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03d}.md").write_text(nda(years=f"{number} years"))
    return folder


def test_the_plain_temporal_program_pauses_resumes_and_cancels(dev: Dev, tmp_path: Path) -> None:
    folder = many(tmp_path / "many")
    of = ("--tenant", "plain")
    workflow = ("--workflow-id", "batch-plain-q4")
    order = ("batch", "submit", str(folder), *of, "--playbook", "lenient", "--window", "1", "--id", "q4")
    said = dev.cli(*order)
    assert said.code == 0, said.err
    assert "120 contracts" in said.out

    # At once: it is about to begin, and the command waits for that.
    assert dev.cli("batch", "pause", "q4", *of, "--json").json["state"] == "paused"
    assert dev.temporal("workflow", "signal", *workflow, "--name", "resume").code == 0
    until("it goes on", lambda: dev.cli("batch", "status", "q4", *of, "--json").json["state"] == "running")
    assert dev.temporal("workflow", "signal", *workflow, "--name", "pause").code == 0
    until("it is paused", lambda: dev.cli("batch", "status", "q4", *of, "--json").json["state"] == "paused")
    assert dev.temporal("workflow", "signal", *workflow, "--name", "resume").code == 0
    until("it goes on", lambda: dev.cli("batch", "status", "q4", *of, "--json").json["state"] == "running")
    dev.temporal("workflow", "signal", *workflow, "--name", "cancel")
    until("it is over", lambda: dev.cli("batch", "status", "q4", *of, "--json").json["state"] == "cancelled")
    standing = dev.cli("batch", "status", "q4", *of, "--json").json
    assert sum(standing["ended"].values()) == 120


def test_a_submit_that_was_killed_is_repeated(dev: Dev, tmp_path: Path) -> None:
    import subprocess

    folder = many(tmp_path / "many")
    command = (str(BIN / "countersign"), "batch", "submit", str(folder), "--tenant", "torn", "--playbook", "lenient")
    process = subprocess.Popen(command, env=dict(dev.environment), stdout=subprocess.DEVNULL)

    def begun() -> bool:
        return bool(dev.cli("batch", "list", "--tenant", "torn", "--json").json) or process.poll() is not None

    until("it is being taken in", begun)
    process.kill()
    process.wait()
    [row] = dev.cli("batch", "list", "--tenant", "torn", "--json").json
    taken = json.loads(dev.cli(*command[1:], "--json").out)
    assert (taken["batch_id"], taken["items"], taken["state"] != "storing") == (row["batch_id"], 120, True)
    cancel = ("batch", "cancel", row["batch_id"], "--tenant", "torn")
    until("it is cancelled, or over already", lambda: dev.cli(*cancel).code in (0, 4))
