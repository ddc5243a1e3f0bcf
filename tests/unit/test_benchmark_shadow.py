"""The parts of the shadow benchmark that need no server: what it keeps, shows and trains on."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import shadow, train_clauses
from countersign.clauses.weights import Weights
from countersign.shadow.judging import Compared
from countersign.shadow.report import Reviewed, report


def measured(contracts: int) -> dict[str, Any]:
    """A report as the command prints it."""
    claimed = Compared(clause="law", agent="present", person="present", confidence=0.9)
    missed = Compared(clause="law", agent="absent", person="present")
    reviews = [Reviewed(str(n), (missed if n == 0 else claimed,), 0.8, float(n > 0)) for n in range(contracts)]
    found: dict[str, Any] = json.loads(json.dumps(report("r", reviews, failures={"blocked": 1}).document()))
    return found


def test_what_is_published_is_what_the_report_says() -> None:
    whole = measured(10)
    kept = shadow.figures(whole)
    assert (kept["n"], kept["contracts"], kept["failures"]) == (10, 10, {"blocked": 1})
    assert (kept["agreement"], kept["recall"]) == pytest.approx((0.9, 0.9))
    assert kept["aurc"] == whole["risk_coverage"]["aurc"]
    assert kept["intervals"].keys() == set(shadow.FIGURES)
    assert kept["intervals"]["recall"] == whole["intervals"]["recall"]
    assert "disagreements" not in kept, "no word of a contract is published"


def test_both_runs_stand_side_by_side_with_their_intervals() -> None:
    found = {"in_sample": shadow.figures(measured(10)), "held_out": shadow.figures(measured(20))}
    # Kappa is not defined where everybody says that the clause is there.
    for each in found.values():
        each["kappa"], each["intervals"]["kappa"] = 0.5, [0.25, 0.75]
    counts, head, *rows = shadow.shown(found)
    assert counts == "in_sample: 10 clauses of 10 contracts, held_out: 20 clauses of 20 contracts"
    assert head.split() == ["in_sample", "held_out"]
    assert [row.split()[0] for row in rows] == list(shadow.FIGURES)
    assert rows[1].split(maxsplit=1)[1].split("  ")[0] == "0.500 (0.250 to 0.750)"
    assert len({len(row) for row in (head, *rows)}) == 1, "columns line up"


def test_held_out_contracts_are_in_no_part_of_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cuad").mkdir()
    lines = [json.dumps({"txt": f"full_contract_txt/{name}.txt"}) for name in "abcde"]
    (tmp_path / "cuad" / "contracts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    seen: list[list[int]] = []
    made = object.__new__(Weights)
    monkeypatch.setattr(train_clauses, "read_corpus", lambda *_: "corpus")
    monkeypatch.setattr(train_clauses, "fit_table", lambda _, kept, __: seen.append(kept.tolist()))
    monkeypatch.setattr(train_clauses, "out_of_fold", lambda _, kept, *__: seen.append(kept.tolist()))

    def calibrate(corpus: object, table: object, kept: np.ndarray[Any, Any], folds: object) -> Weights:
        seen.append(kept.tolist())
        return made

    monkeypatch.setattr(train_clauses, "calibrate", calibrate)
    assert shadow.trained_without(tmp_path, {"b.txt", "d.txt"}, quick=False) is made
    assert seen == [[0, 2, 4]] * 3


def test_a_limit_that_leaves_no_interval_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        shadow.main(["--limit", "1"])
    assert ended.value.code == 2
    assert "--limit must be at least 2" in capsys.readouterr().err
