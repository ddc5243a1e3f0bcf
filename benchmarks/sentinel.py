"""How well the sentinel tells attacks from contracts, at its two operating points: `block` and `hold`.

`block` counts reviews that end as blocked, `hold` those blocked or held for a person (band elevated or worse).

    python benchmarks/sentinel.py [--quick] [--json] [--data DIR]

DIR is laid out like the shared data: `cuad/contracts.jsonl` with its texts, and `prompt_injection/*.jsonl`.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.intervals import wilson
from countersign.document.model import DocumentText, Page
from countersign.sentinel.screen import screen
from countersign.words import RiskBand

Item = TypeVar("Item")

PAGE_CHARS = 3000
QUICK = {"contracts": 60, "rows": 250}
WITHOUT_CUE = "bipia_bare"
POINTS = {"block": {RiskBand.BLOCKED}, "hold": {RiskBand.BLOCKED, RiskBand.ELEVATED}}
MEASURES = {
    "recall_cued": "contract passages with a payload that carries a cue",
    "recall_bare": "contract passages with a bare task, no cue",
    "false_contracts": "whole benign contracts",
    "false_passages": "benign contract passages",
    "false_hard_negatives": "benign contract sentences with trigger words",
    "recall_public": "public attacks on the instruction channel",
    "recall_public_payloads": "bare tasks from public attack sets, given as instruction",
    "false_public": "benign prompts and e-mails on the instruction channel",
}


@dataclass(frozen=True)
class Case:
    """One text for one channel, counted under `measure`."""

    measure: str
    instruction: str
    document: str


def main() -> None:
    """Run the benchmark and print a table, or one JSON object with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a seeded sample, under 60 seconds")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument("--data", type=Path, default=os.environ.get("COUNTERSIGN_DATA", "../shared/data"))
    arguments = parser.parse_args()
    if not (arguments.data / "prompt_injection").is_dir():
        parser.error(f"no prompt_injection folder in {arguments.data}: set --data or COUNTERSIGN_DATA")
    cases = load(arguments.data, quick=arguments.quick)
    bands, seconds, chars = judge(cases)
    counts = {
        point: {measure: (sum(band in positive for band in found), len(found)) for measure, found in bands.items()}
        for point, positive in POINTS.items()
    }
    ms_per_page = 1000 * seconds / (chars / PAGE_CHARS)
    show(counts, ms_per_page)
    if arguments.json:
        report: dict[str, object] = {
            point: {measure: round(k / n, 4) for measure, (k, n) in found.items()} for point, found in counts.items()
        }
        report["n"] = {measure: n for measure, (_, n) in counts["block"].items()}
        report["ms_per_page"] = round(ms_per_page, 3)
        print(json.dumps(report))


def load(data: Path, *, quick: bool) -> list[Case]:
    """Every case of `data`, or a seeded sample of it; sets that are absent are left out."""
    cases: list[Case] = []
    contracts = rows(data / "cuad" / "contracts.jsonl")
    for row in sample(contracts, QUICK["contracts"], quick=quick):
        text = (data / "cuad" / str(row["txt"])).read_text(encoding="utf-8")
        cases.append(Case("false_contracts", "", text))
    injections = data / "prompt_injection"
    for row in sample(rows(injections / "contract_embedded.jsonl"), QUICK["rows"], quick=quick):
        bare = "recall_bare" if row["attack_kind"] == WITHOUT_CUE else "recall_cued"
        cases.append(Case(bare if row["label"] else "false_passages", "", str(row["text"])))
    for row in sample(rows(injections / "contract_hard_negatives.jsonl"), QUICK["rows"], quick=quick):
        cases.append(Case("false_hard_negatives", "", str(row["text"])))
    for row in sample(rows(injections / "injection.jsonl"), 2 * QUICK["rows"], quick=quick):
        attack = "recall_public_payloads" if row["form"] == "payload" else "recall_public"
        cases.append(Case(attack if row["label"] else "false_public", str(row["text"]), ""))
    return cases


def rows(path: Path) -> list[dict[str, object]]:
    """The rows of a JSON-lines file; none if it is absent."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def sample(items: list[Item], size: int, *, quick: bool) -> list[Item]:
    """`items`, or with `quick` a seeded sample of at most `size`."""
    return random.Random(2).sample(items, size) if quick and len(items) > size else items  # noqa: S311 - not for secrets


def judge(cases: Iterable[Case]) -> tuple[dict[str, list[RiskBand]], float, int]:
    """The band of every case by measure, the CPU seconds it took, and the characters read."""
    bands: dict[str, list[RiskBand]] = {}
    seconds, chars = 0.0, 0
    for case in cases:
        pages = (Page(number=1, start=0, end=len(case.document)),)
        document = DocumentText(text=case.document, pages=pages)
        began = time.process_time()
        screening = screen(case.instruction, document)
        seconds += time.process_time() - began
        chars += len(case.instruction) + len(case.document)
        bands.setdefault(case.measure, []).append(screening.band)
    return bands, seconds, chars


def show(counts: dict[str, dict[str, tuple[int, int]]], ms_per_page: float) -> None:
    """Print the table for people, with Wilson 95 % intervals."""
    for point, found in counts.items():
        print(f"\n{point}")
        for measure, meaning in MEASURES.items():
            if measure in found:
                k, n = found[measure]
                low, high = wilson(k, n)
                print(f"  {measure:<23}{k / n:7.1%}  [{low:6.1%}, {high:6.1%}]  {k:>4} of {n:<5} {meaning}")
    print(f"\n{ms_per_page:.2f} ms of CPU a page of {PAGE_CHARS} characters")


if __name__ == "__main__":
    main()
