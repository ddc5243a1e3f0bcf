"""`python tests/chaos` (`make chaos`): play schedules, print a table and, as the last line, one JSON object.

    python tests/chaos [--schedules N] [--seed S] [--minutes M] [--lanes L] [--storms T] [--only NAME ...] [--list]

Without --schedules every schedule is played once: a kill at each event of the history, each activity's completion
unheard and each of them a zombie's, each provider request unseen and each a ghost's, after the storms. With fewer, the
seed picks; with more, they go round again. --only repeats schedules by name, as the table of a failure shows them.

Exit codes: 0 nothing lost, nothing doubled, every outcome the same; 1 otherwise; 2 wrong arguments.
"""

import argparse
import asyncio
import json
import logging
import os
import sys
from pathlib import Path

if __package__ in {None, ""}:  # run by its folder: the packages beside it are not on the path yet
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from chaos.schedule import Schedule
from chaos.suite import Plan, Report, run


def main() -> int:
    """Parse, play, report; the exit code."""
    parser = argparse.ArgumentParser(
        prog="chaos", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--schedules", type=int, metavar="N", help="as many, picked by the seed; default: all, once")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="default: %(default)s")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no schedule after so many minutes")
    parser.add_argument("--lanes", type=int, default=4, metavar="L", help="schedules at once; default: %(default)s")
    parser.add_argument("--storms", type=int, default=3, metavar="T", help="default: %(default)s")
    parser.add_argument("--only", nargs="+", type=_schedule, default=(), metavar="NAME", help="these, and no storms")
    parser.add_argument("--verbose", action="store_true", help="what the servers' supervisor and the play say")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(asctime)s %(message)s")
    plan = Plan(
        seed=options.seed,
        lanes=options.lanes,
        schedules=options.schedules,
        storms=0 if options.only else options.storms,
        minutes=options.minutes,
        only=tuple(options.only),
    )
    report = asyncio.run(run(plan, show=_say))
    _table(report)
    _say(json.dumps(report.as_json()))
    return 0 if report.ok else 1


def _schedule(name: str) -> Schedule:
    try:
        return Schedule.parse(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _table(report: Report) -> None:
    heads = ("blow", "schedules", "reviews", "blows", "same", "lost", "doubled", "no blow", "unseen", "s each")
    _say("".join(f"{head:>10}" for head in heads))
    for row in report.by_kind():
        cells = (row.kind, row.schedules, row.reviews, row.blows, row.same_outcome, row.lost, row.doubled, row.missed)
        _say("".join(f"{cell:>10}" for cell in (*cells, row.unseen, f"{row.seconds_each:.1f}")))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Temporal's client can die at interpreter exit, after its work is done
