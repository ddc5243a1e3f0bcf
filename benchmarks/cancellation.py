"""How long a cancellation takes to reach a streaming model call: from Temporal's cancel until the client has gone.

    python benchmarks/cancellation.py [-n 20] [--quick] [--json]

Real servers, the product's worker in a process of its own with its own settings, and the provider lab, which trickles
an answer that would take minutes. Each review is a specialist's step alone; it is cancelled once tokens come.

Exit codes: 0 all reached; 1 one was not within a minute; 5 no servers.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from helpers.lab import lab_process
from helpers.steps import bench
from provider_lab.record import Seen
from provider_lab.script import Rule

from benchmarks.contract_runs import forget_other_servers
from benchmarks.spike import quantile
from countersign.settings import ROOT

MODEL = "anthropic:claude-sonnet-5"
PLAYBOOKS = ROOT / "tests" / "playbooks"
GONE_S = 60.0


def streams(number: int) -> Callable[[list[Seen]], bool]:
    """Whether the request of that number is being answered."""
    return lambda seen: len(seen) > number and seen[number].tokens_sent > 1


def abandoned(number: int) -> Callable[[list[Seen]], bool]:
    """Whether the client has left the request of that number."""
    return lambda seen: seen[number].outcome == "abandoned"


async def measure(count: int) -> list[float]:
    """Seconds of each cancellation, in order of size."""
    took = []
    with tempfile.TemporaryDirectory(prefix="countersign-cancel-", ignore_cleanup_errors=True) as home:
        async with bench(Path(home), playbooks=PLAYBOOKS) as servers:
            with (
                lab_process(environment={"COUNTERSIGN_PLAYBOOKS": str(PLAYBOOKS)}) as lab,
                servers.worker({**lab.environment, "COUNTERSIGN_MODEL": MODEL}),
            ):
                lab.script(Rule(pause_s=0.2, chunk_chars=1))
                for number in range(count):
                    handle = await servers.analyse(f"cancelled-{number}")
                    await lab.until("tokens come", streams(number), GONE_S)
                    began = time.monotonic()
                    await handle.cancel()
                    await lab.until("the client has gone", abandoned(number), GONE_S)
                    took.append(time.monotonic() - began)
    return sorted(took)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("-n", type=int, default=20, help="cancellations")
    parser.add_argument("--quick", action="store_true", help="five of them")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    given = parser.parse_args()
    if given.n < 1:
        parser.error("-n must be positive")
    forget_other_servers()
    try:
        took = asyncio.run(measure(5 if given.quick else given.n))
    except AssertionError as error:
        print(f"cancellation: {error}", file=sys.stderr)
        return 1
    found = {
        "n": len(took),
        "p50_s": quantile(took, 0.5, 2),
        "p95_s": quantile(took, 0.95, 2),
        "max_s": round(took[-1], 2),
    }
    print(f"a cancellation reached a streaming call after {found['p50_s']} s (median), {found['max_s']} s at most")
    if given.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
