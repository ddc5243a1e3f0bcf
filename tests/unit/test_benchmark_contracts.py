"""The contract benchmark's arithmetic and rules: what counts as evidence, as presence, as failure. No server."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import contracts
from benchmarks.contract_cases import NDAS, PDFS, TEXTS, Case, load_cases, select
from benchmarks.contract_report import report, show
from benchmarks.contract_runs import Reviewed, Run, evidence_holds, forget_other_servers, machine_seconds
from benchmarks.presence import bootstrap, score
from countersign.document.model import DocumentText, Page, Section
from countersign.review.payloads import Evidence, Finding, ReviewStatus
from countersign.settings import Settings
from countersign.words import Outcome, Position, RiskBand, Severity, Stage

TEXT = "1. Term. Two years. 2. Law. The laws of Ohio govern."
DOCUMENT = DocumentText(
    text=TEXT,
    pages=(Page(number=1, start=0, end=20), Page(number=2, start=20, end=len(TEXT))),
    sections=(
        Section(label="1", heading="Term", start=0, end=20),
        Section(label="2", heading="Law", start=20, end=len(TEXT)),
    ),
)
START = datetime(2026, 11, 22, tzinfo=UTC)


def finding(*evidence: Evidence, searched: tuple[str, ...] = (), position: Position = Position.UNCLEAR) -> Finding:
    return Finding(
        id="F1",
        clause="governing_law",
        severity=Severity.LOW,
        statement="says something",
        position=position,
        evidence=evidence,
        searched=searched,
    )


def quoted(start: int, end: int, page: int) -> Evidence:
    return Evidence(quote=TEXT[start:end], start=start, end=end, page=page)


def reviewed(
    end: str = "waiting", *, claimed: tuple[str, ...] = (), present: dict[str, bool] | None = None
) -> Reviewed:
    return Reviewed(
        case=Case(TEXTS, Path("a.txt"), "msa", present),
        end=end,
        settled=1.0,
        seconds=2.0,
        findings=2,
        claimed=frozenset(claimed),
    )


# --- evidence -----------------------------------------------------------------------------------------------------


def test_a_quotation_holds_where_it_stands() -> None:
    assert evidence_holds(finding(quoted(28, 52, 2)), DOCUMENT)


@pytest.mark.parametrize(
    "wrong",
    [
        Evidence(quote="The laws of Utah govern.", start=28, end=52, page=2),
        Evidence(quote="the laws of Ohio govern.", start=28, end=52, page=2),
        Evidence(quote="The laws of Ohio govern.", start=27, end=51, page=2),
        Evidence(quote="The laws of Ohio govern.", start=28, end=52, page=1),
        Evidence(quote="", start=3, end=3, page=1),
    ],
)
def test_one_wrong_quotation_fails_the_finding(wrong: Evidence) -> None:
    assert not evidence_holds(finding(quoted(3, 8, 1), wrong), DOCUMENT)


@pytest.mark.parametrize(
    ("searched", "position", "holds"),
    [
        (("1", "2"), Position.ABSENT, True),
        ((), Position.ABSENT, False),
        (("1", "7"), Position.ABSENT, False),
        (("1", "2"), Position.UNCLEAR, False),
    ],
)
def test_an_absence_names_sections_that_are_there(searched: tuple[str, ...], position: Position, holds: bool) -> None:
    assert evidence_holds(finding(searched=searched, position=position), DOCUMENT) is holds


# --- time ---------------------------------------------------------------------------------------------------------


def status(**fields: object) -> ReviewStatus:
    return ReviewStatus.model_validate(
        {"review_id": "r", "workflow_id": "w", "tenant": "t", "stage": Stage.SIGN, "submitted_at": START, **fields}
    )


def test_seconds_run_from_handing_over_to_the_desk() -> None:
    given = START - timedelta(seconds=1)
    assert machine_seconds(status(timings_ms={"read": 500, "gate": 250}), given) == pytest.approx(1.75)
    ended = status(timings_ms={"read": 500}, ended_at=START + timedelta(seconds=3))
    assert machine_seconds(ended, given) == pytest.approx(4)
    assert machine_seconds(status(submitted_at=None), given) is None


# --- figures ------------------------------------------------------------------------------------------------------

matrices = st.integers(1, 12).flatmap(
    lambda rows: st.tuples(
        *(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=rows, max_size=rows),) * 2
    )
)


def test_scores_agree_with_counting_by_hand() -> None:
    present = np.array([[True, False]] * 20 + [[False, True]] * 2)
    said = present.copy()
    said[:5, 0] = False  # five of twenty missed
    said[:3, 1] = True  # three claimed wrongly
    figures = score(said, present, ["often", "rare"])
    assert figures["per_family"]["often"]["recall"] == 0.75  # type: ignore[index]
    assert figures["per_family"]["rare"]["precision"] == 0.4  # type: ignore[index]
    assert figures["micro"]["f1"] == round(2 * 17 / (20 + 22), 4)  # type: ignore[index]
    assert figures["macro"]["families"] == 1  # type: ignore[index]
    assert figures["macro"]["f1"] == figures["micro_frequent"]["f1"] == round(2 * 15 / 35, 4)  # type: ignore[index]
    assert figures["rare"]["positives"] == 2  # type: ignore[index]


@settings(max_examples=30, deadline=None)
@given(matrices)
def test_scores_are_shares_with_their_intervals_around_them(pair: tuple[list[list[bool]], list[list[bool]]]) -> None:
    said, present = (np.array(rows) for rows in pair)
    figures = score(said, present, ["a", "b", "c"])
    for own in (figures["micro"], *figures["per_family"].values()):  # type: ignore[attr-defined]
        for name in ("precision", "recall", "f1"):
            value, interval = own[name], own[f"{name}_interval"]
            assert value is None or 0 <= value <= 1
            if value is not None and interval is not None:
                assert 0 <= interval[0] <= interval[1] <= 1
        if own["f1"] == 1:
            assert own["precision"] == own["recall"] == 1


def test_a_perfect_finder_scores_one_and_nothing_counted_is_none() -> None:
    present = np.array([[True, False]] * 3)
    figures = score(present, present, ["there", "never"])
    assert figures["micro"]["f1"] == 1  # type: ignore[index]
    assert figures["micro"]["f1_interval"] == (1, 1)  # type: ignore[index]
    assert figures["per_family"]["never"]["f1"] is None  # type: ignore[index]
    assert figures["macro"]["f1"] is None  # type: ignore[index]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_the_bootstrap_of_a_mean_stays_within_the_values(values: list[float]) -> None:
    interval = bootstrap(values, lambda draws: draws.mean(axis=1))
    assert interval is not None
    assert min(values) - 1e-3 <= interval[0] <= interval[1] <= max(values) + 1e-3
    assert interval == bootstrap(values, lambda draws: draws.mean(axis=1))


def test_a_blocked_contract_is_neither_a_failure_nor_scored(capsys: pytest.CaptureFixture[str]) -> None:
    labels = {"governing_law": True, "parties": False}
    run = Run(
        reviewed=(
            reviewed(claimed=("governing_law", "indemnity"), present=labels),
            reviewed(Outcome.BLOCKED, present=labels),
            reviewed("DocumentError", present=labels),
        ),
        began=0.0,
        startup_s=1.0,
        cpu_s={"worker": 3.0},
    )
    figures = report(run, ["governing_law", "parties", "indemnity"])
    assert (figures["n_contracts"], figures["failures"], figures["blocked"]) == (3, 1, 1)
    assert figures["failures_by_type"] == {"DocumentError": 1}
    assert figures["n_scored"] == 1
    assert (figures["precision"], figures["recall"], figures["f1"]) == (1, 1, 1)
    assert set(figures["per_family"]) == {"governing_law", "parties"}
    assert figures["cpu_s_per_contract"] == {"worker": 1.0}
    json.dumps(figures)
    show(figures | {"playbook": "msa", "model": "offline", "weights_sha256": "0", "at_once": 1}, run)
    assert "DocumentError: a.txt" in capsys.readouterr().out


def test_a_finding_that_does_not_hold_lowers_the_share() -> None:
    bad = Reviewed(Case(PDFS, Path("b.pdf"), "msa"), "waiting", 2.0, 1.0, RiskBand.ELEVATED, 4, ("F2",))
    figures = report(Run((reviewed(), bad), 0.0, 1.0, {}), ["parties"])
    assert figures["verbatim_share"] == round(5 / 6, 6)
    assert (figures["unverified"], figures["elevated"], figures["f1"]) == (1, 1, None)
    assert figures["by_source"][PDFS]["unverified"] == 1


# --- the data folder ----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    cuad = tmp_path / "cuad"
    (cuad / "txt").mkdir(parents=True)
    (tmp_path / "kleister_nda" / "pdf").mkdir(parents=True)
    (tmp_path / "kleister_nda" / "pdf" / "n.PDF").touch()
    contracts_rows = [{"contract_id": name, "txt": f"txt/{name}.txt"} for name in ("one", "two")]
    spans = [
        {"contract_id": "one", "category": "Governing Law", "present": True},
        {"contract_id": "one", "category": "Insurance", "present": False},
        {"contract_id": "one", "category": "No Such Category", "present": True},
    ]
    (cuad / "contracts.jsonl").write_text("\n".join(map(json.dumps, contracts_rows)), encoding="utf-8")
    (cuad / "spans.jsonl").write_text("\n".join(map(json.dumps, spans)), encoding="utf-8")
    return tmp_path


def test_a_folder_becomes_cases_and_what_is_missing_is_said(folder: Path) -> None:
    found = load_cases(folder, "msa")
    assert [(case.source, case.path.name, case.playbook) for case in found.cases] == [
        (TEXTS, "one.txt", "msa"),
        (TEXTS, "two.txt", "msa"),
        (NDAS, "n.PDF", "nda"),
    ]
    assert found.cases[0].present == {"governing_law": True, "insurance": False}
    assert found.cases[1].present is None
    assert len(found.notes) == 2
    assert "1 texts have no row" in found.notes[0]
    assert "cuad/pdf" in found.notes[1]


def test_without_labels_texts_are_reviewed_but_not_scored(folder: Path) -> None:
    (folder / "cuad" / "spans.jsonl").unlink()
    found = load_cases(folder, "msa")
    assert all(case.present is None for case in found.cases)
    assert "presence is not scored" in found.notes[0]


def test_the_sample_is_seeded_mixed_and_bounded() -> None:
    cases = [Case(source, Path(str(n)), "msa") for source in (TEXTS, PDFS, NDAS) for n in range(40)]
    quick = select(cases, quick=True, limit=None)
    assert quick == select(cases, quick=True, limit=None)
    assert {source: sum(case.source == source for case in quick) for source in (TEXTS, PDFS, NDAS)} == {
        TEXTS: 24,
        PDFS: 8,
        NDAS: 4,
    }
    assert select(cases, quick=True, limit=5) == quick[:5]
    everything = select(cases, quick=False, limit=None)
    assert sorted(everything, key=str) == sorted(cases, key=str)
    assert everything != cases


# --- the command --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--data", "{}/nowhere"], ["--data", "{}"], ["--playbook", "nosuch"]])
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = contracts.main([argument.format(tmp_path) for argument in arguments])
    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    assert told.err.startswith("contracts.py: ")
    assert told.err.count("\n") == 1


def test_other_servers_are_forgotten_but_not_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERSIGN_TEMPORAL_ADDRESS", "elsewhere:7233")
    monkeypatch.setenv("COUNTERSIGN_DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.setenv("COUNTERSIGN_MODEL", "offline")
    forget_other_servers()
    assert Settings().temporal_address is None
    assert Settings().database_url is None
    assert "model" in Settings().model_fields_set
