"""`batch` and `rerun` as they meet bad input: file, line and column are named, and nothing was taken."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from countersign.errors import CountersignError, DocumentError, InvalidRequest
from starters.cli import batch_files
from starters.cli.batch_files import read_source
from starters.cli.main import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def complaint(given: Path, kind: type[CountersignError] = InvalidRequest, **options: Any) -> str:
    with pytest.raises(kind) as refused:
        read_source(str(given), **{"column": "file", "max_bytes": 1000, **options})
    return Exception.__str__(refused.value)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    (tmp_path / "in" / "b.md").write_text("# b")
    (tmp_path / "in" / "a.PDF").write_text("%PDF-1.4")
    (tmp_path / "in" / "deeper" / "c.txt").write_text("c")
    (tmp_path / "in" / "sheet.xlsx").write_text("x")
    (tmp_path / "in" / ".hidden.md").write_text("x")
    (tmp_path / "in" / "README").write_text("x")
    return tmp_path / "in"


def test_a_folder_gives_its_contracts_in_order_and_says_what_it_leaves_out(folder: Path) -> None:
    found = read_source(str(folder), column="file", max_bytes=1000)
    assert [one.name for one in found.contracts] == ["a.PDF", "b.md", "deeper/c.txt"]
    assert found.left_out == {".xlsx": 1, "without a suffix": 1}


def test_a_csv_gives_paths_relative_to_itself(folder: Path) -> None:
    listed = folder / "list.csv"
    listed.write_text("\ufeffid, file \n1,b.md\n\n2,deeper/c.txt\n", encoding="utf-8")
    found = read_source(str(listed), column="file", max_bytes=1000)
    assert [one.name for one in found.contracts] == ["b.md", "deeper/c.txt"]


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    assert "there is no such folder or file" in complaint(tmp_path / "nowhere")
    assert "no contract in this folder" in complaint(tmp_path)
    (tmp_path / "a.docx").write_text("x")
    assert "it holds 1 of other kinds" in complaint(tmp_path)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("", "is empty"),
        ("\n", "line 1: no column 'file' among no columns"),
        ("path,id\nb.md,1\n", "line 1: no column 'file' among path, id"),
        ("id,file\n1,b.md\n2,\n", "line 3, column file: no path"),
        ("id,file\n1\n", "line 2, column file: no path"),
        ("id,file\n", "no contract below the header"),
        ("id,file\n1,b.md\n2,gone.md\n", "line 3, column file: "),
        ("id,file\n1,deeper\n", "line 2, column file: "),
        ("id,file\n1,b.md\n2,a.PDF\n3,deeper/../b.md\n", "line 4, column file: the same file as"),
        ('id,file\n1,"b.md\n', "line 2: is no CSV"),
    ],
)
def test_a_bad_csv_is_refused_by_line_and_column(folder: Path, content: str, names: str) -> None:
    listed = folder / "list.csv"
    listed.write_text(content)
    said = complaint(listed)
    assert names in said
    assert str(listed) in said


def test_a_csv_that_is_no_text_is_refused_by_its_line(tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_bytes(b"file\na.md\nM\xfcller.md\n")
    assert f"{listed} line 3: is not UTF-8" in complaint(listed)


def test_files_too_large_or_empty_are_named_all_at_once_and_counted(folder: Path) -> None:
    (folder / "big.md").write_bytes(b"x" * 1001)
    said = complaint(folder, DocumentError)
    assert f"{folder / 'big.md'}: is larger than the limit of 0.001 MB" in said
    for number in range(7):
        (folder / f"empty{number}.txt").touch()
    said = complaint(folder, DocumentError)
    assert said.count("is empty") == 4
    assert said.endswith("and 3 more")


def test_more_contracts_than_a_batch_may_hold(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_files, "MAX_ITEMS", 2)
    assert "3 contracts are more than 2" in complaint(folder)


def test_one_contract_is_no_batch(folder: Path) -> None:
    assert "is one contract" in complaint(folder / "b.md")


@pytest.mark.parametrize(
    ("arguments", "code", "names"),
    [
        (("batch", "submit", "nowhere"), 2, "nowhere: there is no such folder or file"),
        (("batch", "submit", ".", "--manual-minutes", "0"), 2, "--manual-minutes"),
        (("batch", "submit", ".", "--manual-cost", "much"), 2, "--manual-cost"),
        (("rerun",), 2, "--since"),
        (("rerun", "--since", "yesterday-ish"), 2, "since"),
        (("rerun", "--since", "1d", "--limit", "0"), 2, "--limit"),
        (("rerun", "--since", "1d", "--model", "nobody:x"), 2, "nobody:x"),
        (("rerun", "--since", "1d", "--model", " "), 2, "--model"),
        (("batch", "report", "b", "--json", "--csv", "-"), 2, "--json with --csv -"),
    ],
)
def test_wrong_options_exit_with_their_code_and_name_the_option(
    arguments: tuple[str, ...], code: int, names: str
) -> None:
    ran = run(*arguments)
    assert ran.exit_code == code
    assert names in ran.output


def test_errors_are_json_where_json_was_asked_for() -> None:
    ran = run("batch", "submit", "nowhere", "--json")
    document = json.loads(ran.stderr)
    assert (document["type"], ran.stdout) == ("InvalidRequest", "")


@pytest.mark.parametrize(
    "command", [("batch",), ("batch", "submit"), ("batch", "report"), ("batch", "pause"), ("rerun",)]
)
def test_help_says_what_it_does(command: tuple[str, ...]) -> None:
    ran = run(*command, "--help")
    assert ran.exit_code == 0
    assert len(ran.output) > 100


def test_a_report_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    from starters.cli.batch import write

    write(str(tmp_path / "r.csv"), "a\n")
    assert (tmp_path / "r.csv").read_text() == "a\n"
    with pytest.raises(InvalidRequest, match="cannot be written"):
        write(str(tmp_path / "no" / "r.csv"), "a\n")


def test_progress_is_told_in_lines_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from starters.cli import batch_render

    now = 0.0
    monkeypatch.setattr(batch_render.time, "monotonic", lambda: now)
    with batch_render.progress_bar("storing", 10, quiet=False) as tell:
        tell: Callable[[int, str], None]
        tell(1, "")
        now = 11.0
        tell(4, "running\x1b[2J")
    assert capsys.readouterr().err == "storing: 4 of 10, running\ufffd[2J\n"
