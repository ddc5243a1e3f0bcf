"""Many reviews at once to a cold worker, and many calls of the command line in a row: neither trap may be open.

    python benchmarks/cold_start.py [--quick] [--json] [--rounds 5] [--reviews 50] [--calls 100]

A round starts servers in a new home, submits all reviews with no worker there, then starts one worker, and waits until
each review waits for a person: a worker that wedges under the load of its first minute does not get there. Limits are
lifted, so that all come at once. The calls are `countersign` as a process; each must end with the exit code that its
case has, and none by a signal.

Exit codes: 0 all ended and every code was right; 1 not; 2 wrong arguments; 5 the servers do not come up.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.open_gate import open_gate
from countersign.errors import CountersignError
from countersign.review.payloads import ReviewRequest
from countersign.settings import ROOT, Settings
from countersign.words import Stage
from starters.cli.main import EXIT_CODES
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack

CONTRACT = ROOT / "examples" / "nda-clean.md"
TENANT, REQUESTER = "cold", "requester"
ROUND_S = 600.0
"""A round in which not every review has got to a person after this long counts as wedged."""
QUICK_ROUNDS, QUICK_CALLS = 1, 10
COMMAND = (sys.executable, "-c", "from starters.cli.main import main; main()")


@dataclass(frozen=True)
class Round:
    """How many of a round's reviews got to a person, and how long after the worker's start the last one did."""

    reviews: int
    ended: int
    seconds: float


@dataclass(frozen=True)
class Calls:
    """Calls of the command line: how many, how many of them ended with another exit code than theirs, and by a signal.

    A process that crashed at its exit is among the wrong ones too.
    """

    made: int
    wrong: int
    crashed: int
    seconds: float


def cases(review_id: str) -> tuple[tuple[tuple[str, ...], int], ...]:
    """Commands that use the Temporal client, Postgres or both, with the exit code that each must have."""
    named = (review_id, "--tenant", TENANT)
    return (
        (("status", *named, "--json"), 0),
        (("status", "unheard-of", "--tenant", TENANT), EXIT_CODES["NotFound"]),
        (("approve", *named, "--reviewer", REQUESTER), EXIT_CODES["DecisionRefused"]),
        (("watch", *named, "--json"), 0),
        (("submit", "no-such-file"), EXIT_CODES["InvalidRequest"]),
    )


async def cold_round(settings: Settings, reviews: int, calls: int = 0) -> tuple[Round, Calls]:
    """One round in `settings.home`, then `calls` calls against its stack. Raises ServiceUnavailable without servers."""
    async with EmbeddedStack(settings.state, settings) as stack, ReviewClient.open(settings) as client:
        ids = await _submit(client, reviews)
        began = time.monotonic()
        await stack.run_worker()
        ended = await _ended(client, reviews, began + ROUND_S)
        measured = Round(reviews, ended, round(time.monotonic() - began, 1))
        return measured, await _call(calls, ids[0], {**os.environ, "COUNTERSIGN_HOME": str(settings.state)})


async def _submit(client: ReviewClient, reviews: int) -> list[str]:
    """Give in all reviews at once; their ids."""
    data = CONTRACT.read_bytes()
    await open_gate(client)

    async def one() -> str:
        request = ReviewRequest(tenant=TENANT, user=REQUESTER)
        return (await client.submit(data, CONTRACT.name, request)).review_id

    return list(await asyncio.gather(*(one() for _ in range(reviews))))


async def _ended(client: ReviewClient, reviews: int, deadline: float) -> int:
    """How many reviews wait for a person or have ended, once all do or time is up."""
    while True:
        rows = await client.rows(tenant=TENANT, limit=reviews)
        there = sum(1 for row in rows if row.waiting_for is not None or row.stage is Stage.DONE)
        if there == reviews or time.monotonic() > deadline:
            return there
        await asyncio.sleep(0.2)


async def _call(calls: int, review_id: str, environment: Mapping[str, str]) -> Calls:
    """Call the command line `calls` times, one after the other, through all cases in turn."""
    began, wrong, crashed = time.monotonic(), 0, 0
    known = cases(review_id)
    for number in range(calls):
        arguments, expected = known[number % len(known)]
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        code = await process.wait()
        wrong += code != expected
        crashed += code < 0
    return Calls(calls, wrong, crashed, round(time.monotonic() - began, 1))


async def measure(rounds: int, reviews: int, calls: int) -> tuple[list[Round], Calls]:
    """All rounds, each in a home of its own; the calls go to the last one's stack."""
    done: list[Round] = []
    made = Calls(0, 0, 0, 0.0)
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix="countersign-", ignore_cleanup_errors=True) as home:
            settings = Settings(home=Path(home), temporal_address=None, database_url=None, redis_url=None)
            one, made = await cold_round(settings, reviews, calls if number == rounds - 1 else 0)
        done.append(one)
        print(f"round {number + 1}: {one.ended} of {one.reviews} in {one.seconds:.1f} s", file=sys.stderr, flush=True)
    return done, made


def report(rounds: Sequence[Round], calls: Calls) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "rounds": len(rounds),
        "reviews": [one.reviews for one in rounds],
        "ended": [one.ended for one in rounds],
        "seconds": [one.seconds for one in rounds],
        "all_ended": all(one.ended == one.reviews for one in rounds),
        "cli_calls": calls.made,
        "wrong_exit_codes": calls.wrong,
        "crashed_calls": calls.crashed,
        "cli_seconds": calls.seconds,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print what came out and, with `--json`, one JSON object as the last line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} round and {QUICK_CALLS} calls")
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument("--rounds", type=_positive, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument("--reviews", type=_positive, default=50, metavar="N", help="a round; default: %(default)s")
    parser.add_argument("--calls", type=_positive, default=100, metavar="N", help="default: %(default)s")
    options = parser.parse_args(arguments)
    rounds, calls = (QUICK_ROUNDS, QUICK_CALLS) if options.quick else (options.rounds, options.calls)
    for name in [name for name in os.environ if name.startswith(("COUNTERSIGN_", "TEMPORAL_"))]:
        del os.environ[name]  # the worker and the calls inherit it; no other stack may be measured, or changed
    try:
        found = report(*asyncio.run(measure(rounds, options.reviews, calls)))
    except CountersignError as error:
        print(f"cold_start.py: {error}", file=sys.stderr)
        return EXIT_CODES.get(error.type, 1)
    print(f"cold starts: {found['ended']} of {found['reviews']} reviews got to a person, in {found['seconds']} s")
    print(f"calls: {found['cli_calls']}, {found['wrong_exit_codes']} with a wrong exit code")
    if options.json:
        print(json.dumps(found))
    return 0 if found["all_ended"] and not found["wrong_exit_codes"] else 1


def _positive(text: str) -> int:
    """A number of at least one."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the Temporal client can crash the interpreter's exit, and the exit code would lie
