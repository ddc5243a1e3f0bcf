"""`countersign autonomy` and `shadow` on the command line: what is refused at once, and what is shown."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from countersign.store.evidence_rows import CellRow, HistoryRow
from countersign.words import Autonomy
from starters.cli.autonomy_tables import cells_table, history_table, proposals_view
from starters.cli.main import cli
from starters.cli.render import console

CELL = ("--tenant", "acme", "--playbook", "nda", "--type", "nda")


def text_of(capsys: pytest.CaptureFixture[str], what: object) -> str:
    console().print(what)
    return capsys.readouterr().out


def test_a_proposal_is_shown_with_the_command_that_signs_it(capsys: pytest.CaptureFixture[str]) -> None:
    row = CellRow(
        tenant="acme",
        playbook="nda",
        contract_type="nda",
        autonomy=Autonomy.SUPERVISED,
        arm="0123456789",
        items=92,
        agreement=0.99,
        next_level=Autonomy.SEMI_AUTONOMOUS,
        bar=0.95,
        capital=26.6,
        takes=20.0,
        still_needed=0,
        proposed=True,
        reasons=("enough",),
    )
    shown = text_of(capsys, proposals_view([row]))
    assert "supervised -> semi_autonomous" in shown
    assert "autonomy approve --tenant acme --playbook nda --type nda --by NAME" in shown
    table = text_of(capsys, cells_table([row, row.model_copy(update={"proposed": False, "overridden": True})]))
    assert "26.6 of 20" in table
    assert "(override)" in table
    assert "No cell's evidence is enough" in text_of(capsys, proposals_view([]))


def test_the_history_says_by_which_rule(capsys: pytest.CaptureFixture[str]) -> None:
    row = HistoryRow.model_validate(
        {
            "level_before": "semi_autonomous",
            "level": "supervised",
            "by_hash": "countersign",
            "reason": "a severity-1 error",
            "rule": "critical",
            "evidence": {"items": 93},
            "changed_at": "2026-11-26T03:08:40Z",
        }
    )
    shown = text_of(capsys, history_table([row]))
    assert "critical" in shown
    assert "93" in shown


@pytest.mark.parametrize("command", ["approve", "demote", "grant"])
def test_a_change_takes_a_name_and_a_reason(command: str) -> None:
    level = ("--level", "supervised") if command == "grant" else ()
    result = CliRunner().invoke(cli, ["autonomy", command, *CELL, *level, "--by", "Jane", "--reason", " ", "--json"])
    assert result.exit_code == 2
    assert json.loads(result.stderr)["type"] == "InvalidRequest"
    assert "Jane" not in result.stderr


def test_a_shadow_run_names_what_is_wrong_with_its_cases(tmp_path: Path) -> None:
    cases = tmp_path / "cases.jsonl"
    cases.write_text('{"text": "t", "labels": {"no_such_family": "present"}}\n')
    result = CliRunner().invoke(cli, ["shadow", "run", str(cases), "--playbook", "nda", "--json"])
    assert (result.exit_code, "clause family" in result.stderr) == (2, True)
    cases.write_text("nonsense\n")
    result = CliRunner().invoke(cli, ["shadow", "run", str(cases), "--json"])
    assert "line 1: is not a JSON object" in json.loads(result.stderr)["message"]
