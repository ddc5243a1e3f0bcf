"""Real contracts through the whole running product: is every finding's evidence verbatim, is every clause found?

    python benchmarks/contracts.py [--quick] [--json] [--data DIR] [--limit N] [--playbook msa] [--at-once N]

Starts servers and a worker of its own in a temporary home, submits the contracts of DIR (laid out like the shared data:
`cuad/` with texts, labels and PDFs, `kleister_nda/pdf/`) and follows each until it ends or waits for a person. Nothing
of it touches a stack that already runs. Other COUNTERSIGN_* settings hold, COUNTERSIGN_MODEL among them.

Exit codes: 0 measured; 1 a review failed or a finding's evidence does not hold; 2 wrong arguments or no data; 5 the
stack does not come up; 130 stopped.
"""

import argparse
import asyncio
import hashlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contract_cases import Case, Cases, load_cases, select
from benchmarks.contract_report import report, show
from benchmarks.contract_runs import Run, forget_other_servers, run_all, stopped_by
from countersign.clauses import weights
from countersign.errors import CountersignError, InvalidRequest
from countersign.playbook.load import load_playbook
from countersign.playbook.model import Playbook
from countersign.settings import Settings
from starters.cli.main import EXIT_CODES

AT_ONCE = 4
"""Reviews in progress at the same time: enough to keep a worker on two cores busy."""
STOPPED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print a table and, with `--json`, one JSON object as the last line. Returns the exit code."""
    settings = Settings()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a seeded sample, under 60 seconds")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument("--data", type=Path, default=settings.data, help="default: COUNTERSIGN_DATA")
    parser.add_argument("--limit", type=_positive, metavar="N", help="at most N contracts, a seeded choice")
    parser.add_argument("--playbook", default="msa", help="for CUAD's contracts (default: %(default)s); NDAs: nda")
    parser.add_argument("--at-once", type=_positive, default=AT_ONCE, metavar="N", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        playbook = load_playbook(settings.playbooks, options.playbook)
        found = _found(options.data, options.playbook)
        chosen = select(found.cases, quick=options.quick, limit=options.limit)
        run = _run(chosen, options.at_once)
    except CountersignError as error:
        print(f"contracts.py: {error}", file=sys.stderr)
        return EXIT_CODES.get(error.type, 1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("Stopped.", file=sys.stderr)
        return STOPPED
    figures = _described(settings, playbook, run) | {"at_once": options.at_once, "notes": list(found.notes)}
    show(figures, run)
    if options.json:
        print(json.dumps(figures))
    return 0 if figures["failures"] == 0 and figures["unverified"] == 0 else 1


def _found(data: Path, playbook: str) -> Cases:
    remedy = "Give --data or set COUNTERSIGN_DATA to a folder laid out like the shared data"
    if not data.is_dir():
        raise InvalidRequest(f"There is no folder {data}", remedy=remedy)
    found = load_cases(data, playbook)
    if not found.cases:
        raise InvalidRequest(f"There are no contracts in {data} (cuad/, kleister_nda/)", remedy=remedy)
    for note in found.notes:
        print(note, file=sys.stderr)
    return found


def _run(cases: Sequence[Case], at_once: int) -> Run:
    forget_other_servers()
    with tempfile.TemporaryDirectory(prefix="countersign-bench-", ignore_cleanup_errors=True) as home:

        async def measured() -> Run:
            async with stopped_by(signal.SIGTERM):
                return await run_all(cases, Path(home), at_once)

        return asyncio.run(measured())


def _described(settings: Settings, playbook: Playbook, run: Run) -> dict[str, object]:
    """The figures, and what they are figures of: model, playbook, weights, cores."""
    return report(run, [family.key for family in playbook.families]) | {
        "playbook": f"{playbook.name} {playbook.version}",
        "model": settings.model,
        "weights_sha256": hashlib.sha256(weights.PATH.read_bytes()).hexdigest()[:12],
        "cores": os.cpu_count(),
    }


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # As the command line does: an interpreter that used the Temporal client can crash while it shuts down.
    os._exit(code)
