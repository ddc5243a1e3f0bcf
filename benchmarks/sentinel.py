"""How well the sentinel tells attacks from contracts, at its two operating points: `block` and `hold`.

`block` counts reviews that end as blocked, `hold` those blocked or held for a person (band elevated or worse).

    python benchmarks/sentinel.py [--quick] [--json] [--data DIR]
    python benchmarks/sentinel.py --cross-validate [--json] [--data DIR]

The first judges with the committed weights. They were trained on the shared data, so on that data their figures are
too good; on other data they are what they say. The second trains anew (about six minutes) and judges every text by
weights that never saw its contract, its kind of attack or a near-duplicate; it also judges each source of attacks by
weights that never saw the source, and each layer alone.

DIR is laid out like the shared data: `cuad/contracts.jsonl` with its texts, and `prompt_injection/*.jsonl`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import train_sentinel
from benchmarks.intervals import wilson
from benchmarks.sentinel_cases import Case, load
from countersign.document.model import DocumentText, Page
from countersign.sentinel.screen import screen
from countersign.sentinel.signals import STYLE
from countersign.sentinel.weights import Weights, committed, silent
from countersign.words import ELEVATED_FROM

PAGE_CHARS = 3000
BLOCK_ABOVE = 0.6
POINTS: dict[str, Callable[[float], bool]] = {
    "block": lambda risk: risk > BLOCK_ABOVE,
    "hold": lambda risk: risk >= ELEVATED_FROM,
}
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
PUBLIC_POINT = "hold"
"""The operating point of the two figures that the report gives once, at its top."""


@dataclass(frozen=True)
class Verdict:
    """The risk of a case, and the highest that the scorer alone gave a passage of it."""

    case: Case
    risk: float
    scorer: float


Counts = dict[str, dict[str, tuple[int, int]]]
"""By operating point and measure: how many were flagged, of how many."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print a table, or one JSON object as the last line with `--json`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a seeded sample, under 60 seconds without training")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument(
        "--cross-validate", action="store_true", help="train, and judge every text by weights new to it"
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("COUNTERSIGN_DATA", "../shared/data"))
    options = parser.parse_args(arguments)
    if not (options.data / "prompt_injection").is_dir():
        parser.error(f"no prompt_injection folder in {options.data}: set --data or COUNTERSIGN_DATA")
    cases = load(options.data, quick=options.quick)
    report = cross_validated(options.data, cases) if options.cross_validate else in_one_go(cases)
    if options.json:
        print(json.dumps(report))


def in_one_go(cases: Sequence[Case]) -> dict[str, object]:
    """The report with the committed weights."""
    weights = committed()
    verdicts, seconds = judge(cases, lambda _: weights)
    pages = sum(len(case.instruction) + len(case.document) for case in cases) / PAGE_CHARS
    counts = count([(verdict.case.measure, verdict.risk) for verdict in verdicts])
    show("committed weights", counts)
    print(f"\n{1000 * seconds / pages:.2f} ms of CPU a page of {PAGE_CHARS} characters")
    return {**figures(counts), "weights": "committed", "ms_per_page": round(1000 * seconds / pages, 3)}


def cross_validated(data: Path, cases: Sequence[Case]) -> dict[str, object]:
    """The report of judgements by weights that never saw the group of the case, of each layer alone, of new sources."""
    trained = train_sentinel.Study.of(data, cases)
    began = time.process_time()
    verdicts, seconds = judge(cases, trained.unseen_group)
    pages = sum(len(case.instruction) + len(case.document) for case in cases) / PAGE_CHARS
    patterns, _ = judge(cases, lambda _: silent())
    layers = {
        "both layers, cross-validated": count([(verdict.case.measure, verdict.risk) for verdict in verdicts]),
        "patterns alone (written on these data)": count([(each.case.measure, each.risk) for each in patterns]),
        "scorer alone, cross-validated": count([(verdict.case.measure, verdict.scorer) for verdict in verdicts]),
    }
    for name, counts in layers.items():
        show(name, counts)
    attacks = [case for case in cases if case.attack]
    sources: dict[str, object] = {}
    print("\nsources of attacks that the scorer never saw (scorer alone, then both layers)")
    for source in sorted({case.source for case in attacks}):
        weights = trained.unseen_source(source)
        found, _ = judge([case for case in attacks if case.source == source], lambda _: weights)  # noqa: B023
        alone = count([(each.case.measure, each.scorer) for each in found])
        both = count([(each.case.measure, each.risk) for each in found])
        sources[source] = {"scorer": figures(alone), "both": figures(both)}
        for measure, (_, n) in both["hold"].items():
            shares = "   ".join(
                f"{point} {alone[point][measure][0] / n:6.1%} {both[point][measure][0] / n:6.1%}" for point in POINTS
            )
            print(f"  {source:<11}{measure:<23}{shares}   n = {n}")
    print(f"\ntraining and judging took {time.process_time() - began:.0f} s of CPU", file=sys.stderr)
    both, alone, scored = layers.values()
    return {
        **figures(both),
        "weights": "cross-validated",
        "ms_per_page": round(1000 * seconds / pages, 3),
        "ablation": {"patterns": figures(alone), "scorer": figures(scored)},
        "unseen_sources": sources,
    }


def judge(cases: Sequence[Case], weights_for: Callable[[Case], Weights]) -> tuple[list[Verdict], float]:
    """A verdict on every case, and the CPU seconds they took."""
    styles = {rule.name for rule in STYLE.values()}
    verdicts, seconds = [], 0.0
    for case in cases:
        pages = (Page(number=1, start=0, end=len(case.document)),)
        document, weights = DocumentText(text=case.document, pages=pages), weights_for(case)
        began = time.process_time()
        screening = screen(case.instruction, document, block_above=BLOCK_ABOVE, weights=weights)
        seconds += time.process_time() - began
        scorer = max((signal.score for signal in screening.signals if signal.name in styles), default=0.0)
        verdicts.append(Verdict(case, screening.risk_score, scorer))
    return verdicts, seconds


def count(risks: Sequence[tuple[str, float]]) -> Counts:
    """How many of each measure were flagged at each operating point."""
    measures = [measure for measure in MEASURES if any(measure == each for each, _ in risks)]
    return {
        point: {
            measure: (
                sum(flagged(risk) for each, risk in risks if each == measure),
                sum(each == measure for each, _ in risks),
            )
            for measure in measures
        }
        for point, flagged in POINTS.items()
    }


def figures(counts: Counts) -> dict[str, object]:
    """The counts as shares, as they stand in the JSON report, with n and the 95 % intervals."""
    shares = {point: {measure: round(k / n, 4) for measure, (k, n) in found.items()} for point, found in counts.items()}
    public: dict[str, object] = {
        measure: shares[PUBLIC_POINT][measure]
        for measure in ("recall_public", "false_public")
        if measure in shares[PUBLIC_POINT]
    }
    intervals = {
        point: {measure: [round(end, 4) for end in wilson(k, n)] for measure, (k, n) in found.items()}
        for point, found in counts.items()
    }
    return {
        **shares,
        **public,
        "n": {measure: n for measure, (_, n) in counts[PUBLIC_POINT].items()},
        "interval_95": intervals,
    }


def show(title: str, counts: Counts) -> None:
    """Print the table for people, with Wilson 95 % intervals."""
    for point, found in counts.items():
        print(f"\n{point}: {title}")
        for measure, (k, n) in found.items():
            low, high = wilson(k, n)
            print(f"  {measure:<23}{k / n:7.1%}  [{low:6.1%}, {high:6.1%}]  {k:>4} of {n:<5} {MEASURES[measure]}")


if __name__ == "__main__":
    main()
