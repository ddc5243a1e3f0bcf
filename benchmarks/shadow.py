"""How well do the agents agree with experts on contracts their clause finder was trained on, and on others?

    python benchmarks/shadow.py [--quick] [--json] [--data DIR] [--limit N]

`countersign shadow run` over the same contracts twice, each time with servers and a worker of its own: once as shipped,
whose clause finder was trained on these very contracts (in-sample), and once from a copy of the product whose weights
were trained, calibrated and given thresholds without them (held out). What a new contract may expect is the second.
Intervals are 95 %, by the bootstrap over contracts. A run takes about eight minutes on two cores, three of them
training.

Exit codes: 0 measured; 1 a shadow run failed; 2 wrong arguments.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import train_clauses  # noqa: E402
from countersign.clauses import weights  # noqa: E402
from countersign.playbook.load import load_playbook  # noqa: E402
from countersign.settings import Settings  # noqa: E402
from countersign.shadow.cases import read_cases  # noqa: E402

PRODUCT = ("countersign", "activities", "workflows", "workers", "starters", "playbooks")
FIGURES = ("agreement", "kappa", "precision", "recall", "f1", "ece", "ece_reviews")


def trained_without(data: Path, held: set[str], *, quick: bool) -> weights.Weights:
    """Weights, calibration and thresholds from every labelled text of `data` but those with these file names."""
    inner, epochs, most = (2, 1, 60) if quick else (3, 4, None)
    corpus = train_clauses.read_corpus(data, load_playbook(ROOT / "playbooks", "msa"), most)
    lines = (data / "cuad" / "contracts.jsonl").read_text(encoding="utf-8").splitlines()[:most]
    kept = np.flatnonzero([Path(json.loads(line)["txt"]).name not in held for line in lines])
    table = train_clauses.fit_table(corpus, kept, epochs)
    return train_clauses.calibrate(corpus, table, kept, train_clauses.out_of_fold(corpus, kept, inner, epochs))


def shadow_run(tree: Path, home: Path, data: Path, limit: int) -> dict[str, Any]:  # the command's JSON document
    """The report of `countersign shadow run` by the product in `tree`, in a home of its own.

    Raises:
        RuntimeError: the command failed; its last words are in the text.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COUNTERSIGN_")}
    environment |= {"PYTHONPATH": str(tree), "COUNTERSIGN_HOME": str(home), "COUNTERSIGN_PROBES": "0"}
    command = (sys.executable, "-m", "starters.cli.main", "shadow", "run", str(data), "--limit", str(limit), "--json")
    done = subprocess.run(command, env=environment, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"countersign shadow run: exit code {done.returncode}\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def figures(report: dict[str, Any]) -> dict[str, Any]:  # JSON
    """What is published of a report."""
    kept = {name: report[name] for name in ("n", "contracts", "failures", *FIGURES)}
    kept["aurc"] = report["risk_coverage"]["aurc"]
    return kept | {"intervals": {name: report["intervals"][name] for name in FIGURES}}


def shown(found: dict[str, dict[str, Any]]) -> list[str]:
    """A table, one line a figure."""
    n = ", ".join(f"{kind}: {each['n']:,} clauses of {each['contracts']} contracts" for kind, each in found.items())
    lines = [n, f"{'':12}" + "".join(f"{kind:>28}" for kind in found)]
    for name in FIGURES:
        cells = []
        for each in found.values():
            low, high = each["intervals"][name]
            cells.append(f"{each[name]:.3f} ({low:.3f} to {high:.3f})")
        lines.append(f"{name:12}" + "".join(f"{cell:>28}" for cell in cells))
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure both and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, default=Settings().data, help="folder laid out like shared/data")
    parser.add_argument("--limit", type=int, default=60, help="contracts, a seeded choice (default 60)")
    parser.add_argument("--quick", action="store_true", help="8 contracts, trained on 60: shows that it works, no more")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    given = parser.parse_args(arguments)
    data, limit = given.data.resolve(), 8 if given.quick else given.limit
    if limit < 2:
        parser.error("--limit must be at least 2: intervals draw contracts")
    began = time.monotonic()
    held = {case.path.name for case in read_cases(data, "msa", limit=limit).cases if case.path}
    found = {}
    with tempfile.TemporaryDirectory(prefix="countersign-shadow-") as place:
        copy = Path(place) / "product"
        for part in PRODUCT:
            shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        weights.save(copy / weights.PATH.relative_to(ROOT), trained_without(data, held, quick=given.quick))
        print(f"trained without {len(held)} contracts: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        for kind, tree in (("in_sample", ROOT), ("held_out", copy)):
            try:
                found[kind] = figures(shadow_run(tree, Path(place) / kind, data, limit))
            except RuntimeError as error:
                print(error, file=sys.stderr)
                return 1
    print("\n".join(shown(found)))
    if given.json:
        print(json.dumps({**found, "seconds": round(time.monotonic() - began, 1)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
