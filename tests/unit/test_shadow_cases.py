"""Labelled cases from JSONL and from a folder laid out like the shared data."""

import json
from pathlib import Path

import pytest

from countersign.errors import InvalidRequest
from countersign.shadow.cases import Case, Cases, of_playbook, read_cases
from countersign.words import Severity, Verdict


def jsonl(folder: Path, *rows: object) -> Path:
    file = folder / "cases.jsonl"
    file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return file


def test_a_line_gives_a_case(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    label = {"label": "walk_away", "severity": "high", "quote": "for ever"}
    row = {
        "path": "a.txt",
        "labels": {"law": "present", "term": label},
        "second": {"law": "absent"},
        "decision": "amend",
    }
    [case] = read_cases(jsonl(tmp_path, row, ""), "nda").cases
    assert (case.name, case.playbook, case.read(100)) == ("a.txt", "nda", b"words")
    first, second = case.labels.people
    assert (first["law"].label, first["term"].severity, second["law"].label) == ("present", Severity.HIGH, "absent")
    assert case.labels.decision is Verdict.AMEND
    with pytest.raises(InvalidRequest, match=r"a\.txt: has 5 bytes"):
        case.read(4)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", r"line 2: is not a JSON object"),
        ({"text": "t"}, r"line 2: .*labels, decision: give at least one"),
        ({"labels": {"law": "present"}}, r"line 2: .*path, text: give one"),
        ({"text": "t", "labels": {"law": "maybe"}}, r"line 2: .*labels\.law: must be present"),
        ({"text": "t", "decision": "ask"}, r"line 2: .*decision: must be approve"),
        ({"text": "t", "decision": "approve", "lables": {}}, r"line 2: lables"),
        ({"text": "t", "labels": {"law": {"label": "absent", "severity": "huge"}}}, r"line 2: labels\.law\.severity"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_cases(jsonl(tmp_path, {"text": "t", "decision": "approve"}, row), "nda")


def cuad(folder: Path, contracts: int = 4) -> Path:
    """A folder laid out like the shared data's, with texts of our own."""
    home = folder / "cuad"
    (home / "txt").mkdir(parents=True)
    with (home / "contracts.jsonl").open("w") as listed, (home / "spans.jsonl").open("w") as spans:
        for number in range(contracts + 1):
            text = f"{number}. This agreement is governed by the laws of Ireland."
            (home / "txt" / f"{number}.txt").write_text(text)
            listed.write(json.dumps({"contract_id": str(number), "txt": f"txt/{number}.txt"}) + "\n")
            if number < contracts:  # the last one has no labels
                row = {"contract_id": str(number), "category": "Governing Law", "present": True}
                spans.write(json.dumps({**row, "spans": [{"text": text[3:], "start": 3, "end": len(text)}]}) + "\n")
                spans.write(json.dumps({**row, "category": "Insurance", "present": False, "spans": []}) + "\n")
    return folder


def test_a_folder_laid_out_like_the_shared_data_gives_cases(tmp_path: Path) -> None:
    found = read_cases(cuad(tmp_path), "msa")
    assert (found.of, found.notes, found.trained_on) == (4, ("1 contracts without labels are left out",), True)
    [person] = found.cases[0].labels.people
    assert {clause: label.label for clause, label in person.items()} == {
        "governing_law": "present",
        "insurance": "absent",
    }
    assert person["governing_law"].quote.startswith("This agreement is governed")
    inside = read_cases(tmp_path / "cuad", "msa")
    assert [case.name for case in inside.cases] == [case.name for case in found.cases]


def test_a_limit_is_a_choice_that_is_the_same_each_time(tmp_path: Path) -> None:
    first, again = (read_cases(cuad_folder, "msa", limit=2) for cuad_folder in (cuad(tmp_path / "a"), tmp_path / "a"))
    assert len(first.cases) == 2
    assert first.of == 4
    assert [case.name for case in first.cases] == [case.name for case in again.cases]
    assert first.digest == again.digest != read_cases(tmp_path / "a", "msa", limit=3).digest


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no file or folder"):
        read_cases(tmp_path / "none", "nda")
    with pytest.raises(InvalidRequest, match=r"cuad/contracts\.jsonl"):
        read_cases(tmp_path, "nda")
    with pytest.raises(InvalidRequest, match="no cases"):
        read_cases(jsonl(tmp_path), "nda")


def test_labels_the_playbook_does_not_ask_about_are_left_out(tmp_path: Path) -> None:
    rows = {"text": "t", "labels": {"law": "present", "other": "absent"}, "second": {"other": "present"}}
    [case] = read_cases(jsonl(tmp_path, rows), "nda").cases
    kept: Case = of_playbook(case, ["law"])
    assert [set(person) for person in kept.labels.people] == [{"law"}, set()]


def test_what_counts_as_evidence_is_settled_by_the_labels_alone(tmp_path: Path) -> None:
    """A clause nobody labelled could only be claimed wrongly, and leaving out such cases would favour the agents."""
    part, whole = {"law": "present"}, {"law": "present", "term": "absent"}
    rows = ({"text": "t", "labels": part}, {"text": "t", "labels": whole}, {"text": "t", "decision": "approve"})
    cases = read_cases(jsonl(tmp_path, *rows), "nda").cases
    assert [of_playbook(case, ["law", "term"]).labels.counts for case in cases] == [False, True, True]


def test_a_case_that_is_not_there_is_said_when_it_is_read(tmp_path: Path) -> None:
    found: Cases = read_cases(jsonl(tmp_path, {"path": "gone.pdf", "decision": "approve"}), "nda")
    with pytest.raises(InvalidRequest, match=r"gone\.pdf: cannot be read"):
        found.cases[0].read(10)
