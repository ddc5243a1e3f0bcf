"""The only provider goes away under a steady stream of reviews and comes back: what fails, what is sent, how it heals.

    python benchmarks/outage.py [--quick] [--json] [--before 60] [--outage 120] [--after 120] [--rate 0.4]

Real servers, a worker, and the provider lab in a process of its own, reached over the wire as `anthropic:…`. Reviews
arrive evenly. The outage has four equal parts: 429 to everything without a Retry-After, 503 to everything, nobody
listens (connection refused), connections reset before the first byte. The product's own rules hold, not shortened ones:
after a minute a circuit is open for as long as it ever is (`open_cap_s`), so what is measured after two minutes is what
comes after thirty (`tests/unit/test_recovery.py` plays those on a simulated clock).

A review counts as done when the gate has routed it: the machine's part is over. `requests_in_outage` is what the
circuit let through; `expected_in_outage` is what it takes to notice (as many failures as there were requests in the
window before: half of it) and two probes an opening. `recovered_s` is from the end of the outage until as many reviews
were routed within 20 s as 95 % of before.

Exit codes: 0 no review failed; 1 one did; 2 wrong arguments; 5 no servers.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.contract_runs import forget_other_servers
from benchmarks.outage_figures import Load, Moments, count_within, peak_ratio, rate, recovered
from countersign.breaker.config import config_of
from countersign.breaker.words import State
from countersign.errors import CountersignError, RateLimited, ServiceUnavailable
from countersign.review.payloads import ReviewRequest
from countersign.services import Services
from countersign.settings import ROOT, Settings
from countersign.words import Outcome
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack
from workers.embedded.home import LOOPBACK

LAB = ROOT / "tests" / "provider_lab"
MODEL = "claude-sonnet-5"
CIRCUIT = f"model:anthropic:{MODEL}"
DOCUMENT = ROOT / "examples" / "nda-one-sided.md"
TENANT = "outage"
PHASES: Mapping[str, Sequence[Mapping[str, object]] | None] = {
    "throttled": [{"do": "error", "status": 429}],
    "unavailable": [{"do": "error", "status": 503}],
    "refused": None,
    "reset": [{"do": "cut", "after": 0, "reset": True}],
}
"""Parts of the outage and the lab's script in each; None: it does not run."""
DRAIN_S = 300.0
"""So long after the last submission every review must be through."""
QUICK = (20.0, 60.0, 45.0)
_ROOM = {
    **{"user_per_hour": 1_000_000, "tenant_per_hour": 10_000_000, "abuse_strikes": 100_000},
    **{"attention": 1_000_000, "room": 1_000_000},
}


@dataclass(frozen=True)
class Figures:
    """What came out. Times in seconds, rates a second."""

    reviews: int
    failed: int
    """Reviews that failed, went on without a model, or were not through in time."""
    recovered_s: float | None
    throughput_before: float
    throughput_after: float
    throughput_ratio_after: float
    """From the recovery on, or from a minute after the outage, whichever was sooner, while reviews arrive."""
    requests_before: float
    """Requests a second at the provider before."""
    requests_in_outage: int
    expected_in_outage: int
    requests_in_outage_per_second: float
    openings: int
    by_phase: Mapping[str, int]
    overshoot: float
    """Share of the requests after the outage that the provider did not want: answered with an error."""
    peak_ratio: float
    """The busiest 10 s at the provider after the outage against those before: what waited is worked off."""
    unseen_requests: int
    outage_s: float
    drained_s: float
    """From the end of the outage until the last review was through."""


class Lab:
    """The provider lab as a process that can go away and come back on its port."""

    def __init__(self) -> None:
        with socket.create_server((LOOPBACK, 0)) as found:
            self.port = found.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._process: asyncio.subprocess.Process | None = None
        self._kept: list[dict[str, Any]] = []

    async def start(self) -> None:
        """Up, and answering well."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(LAB), "--json", "--port", str(self.port)), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        if not await self._process.stdout.readline():
            raise ServiceUnavailable("the provider lab did not come up", remedy="See above")

    async def stop(self) -> None:
        """Away; what it has seen is kept here."""
        if self._process is not None:
            self._kept += await self._seen()
            self._process.terminate()
            await self._process.wait()
            self._process = None

    async def script(self, rules: Sequence[Mapping[str, object]] | None) -> None:
        """These rules from now on; None: be away."""
        if rules is None:
            await self.stop()
            return
        if self._process is None:
            await self.start()
        await asyncio.to_thread(_call, f"{self.url}/lab/script", rules)

    async def seen(self) -> list[dict[str, Any]]:
        """Every request so far."""
        return [*self._kept, *(await self._seen() if self._process else [])]

    async def _seen(self) -> list[dict[str, Any]]:
        answer = await asyncio.to_thread(_call, f"{self.url}/lab/requests", None)
        rows: list[dict[str, Any]] = answer["requests"]
        return rows


def _call(url: str, data: object) -> Any:  # any JSON
    body = None if data is None else json.dumps(data).encode()
    with urlopen(Request(url, body), timeout=30) as answer:  # noqa: S310  loopback
        return json.load(answer)


async def measure(load: Load) -> Figures:
    """One run in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="countersign-outage-", ignore_cleanup_errors=True) as folder:
        async with provider() as lab:
            os.environ |= {
                "COUNTERSIGN_MODEL": f"anthropic:{MODEL}",
                "ANTHROPIC_BASE_URL": lab.url,
                "ANTHROPIC_API_KEY": "lab",
            }
            settings = Settings(home=Path(folder, "home"))
            async with EmbeddedStack(settings.state, settings) as stack, ReviewClient.open(settings) as client:
                await stack.run_worker()
                services = await client.services()
                await services.limits.change(None, None, _ROOM, by_hash="benchmark", reason="a steady stream")
                return await Run(load, lab, client, services).play()


@asynccontextmanager
async def provider() -> AsyncIterator[Lab]:
    """A running lab."""
    lab = Lab()
    await lab.start()
    try:
        yield lab
    finally:
        await lab.stop()


class Run:
    """One stream of reviews with an outage in it."""

    def __init__(self, load: Load, lab: Lab, client: ReviewClient, services: Services) -> None:
        self._load = load
        self._lab = lab
        self._client = client
        self._services = services
        self._document = DOCUMENT.read_bytes()

    async def play(self) -> Figures:
        """Submit, break, mend, wait, count."""
        await self._submit("warm-0")
        await self._through(1, DRAIN_S)
        arriving = asyncio.create_task(self._arrive())
        began = time.time()
        await asyncio.sleep(self._load.before_s)
        broken = time.time()
        before = await self._circuit()
        by_phase: dict[str, int] = {}
        for name, rules in PHASES.items():
            _say(f"{name}: {self._load.outage_s / len(PHASES):g} s")
            await self._lab.script(rules)
            admitted = (await self._circuit())["admitted"]
            await asyncio.sleep(self._load.outage_s / len(PHASES))
            by_phase[name] = (await self._circuit())["admitted"] - admitted
        after = await self._circuit()
        await self._lab.script([])
        mended = time.time()
        _say("the provider is back")
        submitted = await arriving
        arrived = time.time()
        await self._through(submitted + 1, DRAIN_S)
        return await self._figures(Moments(began, broken, mended, arrived), by_phase, before, after)

    async def _arrive(self) -> int:
        """Submit evenly until the end; how many."""
        start, count = time.monotonic(), int(self._load.total_s * self._load.rate)
        for number in range(count):
            await asyncio.sleep(max(0.0, start + number / self._load.rate - time.monotonic()))
            await self._submit(f"r{number}")
        return count

    async def _submit(self, review_id: str) -> None:
        request = ReviewRequest(tenant=TENANT, user="load", playbook="nda", review_id=review_id)
        while True:
            try:
                await self._client.submit(self._document, DOCUMENT.name, request)
            except (ServiceUnavailable, RateLimited):
                await asyncio.sleep(0.2)
            else:
                return

    async def _through(self, count: int, timeout_s: float) -> None:
        """Until so many are routed, or ended otherwise; not longer than `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if len(await self._routed()) + await self._ended() >= count:
                return
            await asyncio.sleep(0.5)

    async def _routed(self) -> list[float]:
        """When each review was routed, in seconds since the epoch."""
        rows = await self._services.db.fetch(
            "SELECT extract(epoch FROM created_at)::float8 AS at FROM audit_trails WHERE event = 'routed' ORDER BY 1"
        )
        return [row["at"] for row in rows]

    async def _ended(self) -> int:
        """Reviews that ended without having been routed."""
        row = await self._services.db.fetchrow(
            "SELECT count(*) AS n FROM reviews r WHERE outcome IS NOT NULL AND NOT EXISTS "
            "(SELECT FROM audit_trails a WHERE a.workflow_id = r.workflow_id AND event = 'routed')"
        )
        return int(row["n"]) if row else 0

    async def _circuit(self) -> dict[str, int]:
        """What the circuit has counted so far."""
        for one in await self._services.circuits.standing():
            if one.name == CIRCUIT:
                return {**one.results, "openings": one.transitions.get(State.OPEN, 0), "quota": one.probe_quota}
        return {"admitted": 0, "openings": 0, "quota": 0, "failure": 0}

    async def _failed(self) -> int:
        """Reviews that are not routed, have failed, or had to do without a model."""
        failed = 0
        for row in await self._services.db.fetch("SELECT review_id FROM reviews WHERE tenant = $1", TENANT):
            status = await self._services.reviews.status(row["review_id"], tenant=TENANT)
            good = status.route is not None and status.outcome in {None, Outcome.RELEASED} and not status.degraded
            failed += not good
        return failed

    async def _figures(
        self, at: Moments, by_phase: Mapping[str, int], before: Mapping[str, int], after: Mapping[str, int]
    ) -> Figures:
        routed = await self._routed()
        seen = await self._lab.seen()
        requests = sorted(_epoch(one["at"]) for one in seen)
        # The first reviews fill the machine.
        usual = rate(routed, at.began + self._load.before_s / 4, at.broken)
        back = recovered(routed, at.mended, usual)
        settled = at.mended + min(back if back is not None else 60.0, 60.0)
        later = rate(routed, settled, at.arrived)
        openings = after["openings"] - before["openings"]
        unseen = await self._services.db.fetchrow("SELECT sum(unseen_requests) AS n FROM ledger")
        asked = after["admitted"] - before["admitted"]
        outage_s = at.mended - at.broken
        unwanted = count_within(
            [_epoch(one["at"]) for one in seen if one["outcome"] == "refused"], at.mended, time.time()
        )
        noticing = count_within(requests, at.broken - config_of(CIRCUIT, {}).window_s, at.broken)
        return Figures(
            reviews=int(self._load.total_s * self._load.rate),
            failed=await self._failed(),
            recovered_s=None if back is None else round(back, 1),
            throughput_before=round(usual, 3),
            throughput_after=round(later, 3),
            throughput_ratio_after=round(later / usual, 3) if usual else 0.0,
            requests_before=round(rate(requests, at.began + self._load.before_s / 4, at.broken), 2),
            requests_in_outage=asked,
            expected_in_outage=noticing + openings * after["quota"],
            requests_in_outage_per_second=round(asked / outage_s, 2),
            openings=openings,
            by_phase=by_phase,
            overshoot=round(unwanted / max(1, count_within(requests, at.mended, time.time())), 3),
            peak_ratio=round(peak_ratio(requests, at), 2),
            unseen_requests=int(unseen["n"] or 0) if unseen else 0,
            outage_s=round(outage_s, 1),
            drained_s=round(max(routed) - at.mended, 1),
        )


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def show(figures: Figures) -> None:
    """The figures for people."""
    recovery = "never" if figures.recovered_s is None else f"{figures.recovered_s:g} s"
    print(f"reviews                       {figures.reviews}, failed {figures.failed}")
    print(f"throughput, reviews a second  {figures.throughput_before:g} before, {figures.throughput_after:g} after")
    print(f"back at 95 % after            {recovery}; all through after {figures.drained_s:g} s")
    print(
        f"requests in the outage        {figures.requests_in_outage} in {figures.outage_s:g} s "
        f"(expected {figures.expected_in_outage}), {figures.openings} openings"
    )
    for phase, count in figures.by_phase.items():
        print(f"  {phase:28}{count}")
    print(
        f"requests a second             {figures.requests_before:g} before; busiest after {figures.peak_ratio:g}-fold"
    )
    print(f"overshoot                     {figures.overshoot:g}; unseen requests {figures.unseen_requests}")


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print what came out and, with `--json`, one JSON object as the last line. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="{:g} s before, {:g} s outage, {:g} s after".format(*QUICK)
    )
    parser.add_argument("--json", action="store_true", help="the last output line is one JSON object")
    parser.add_argument(
        "--rate", type=_positive, default=0.4, metavar="R", help="reviews a second; default: %(default)s"
    )
    for name, default in (("before", 60.0), ("outage", 120.0), ("after", 120.0)):
        parser.add_argument(f"--{name}", type=_positive, metavar="S", help=f"seconds; default: {default:g}")
    given = parser.parse_args(arguments)
    before, outage, after = QUICK if given.quick else (60.0, 120.0, 120.0)
    load = Load(given.rate, given.before or before, given.outage or outage, given.after or after)
    forget_other_servers()
    try:
        figures = asyncio.run(measure(load))
    except CountersignError as error:
        print(f"outage.py: {error.message}. {error.remedy}", file=sys.stderr)
        return 5
    show(figures)
    if given.json:
        print(json.dumps(asdict(figures)))
    return 1 if figures.failed else 0


def _positive(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError("must be above 0")
    return value


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # Temporal's client can die at interpreter exit, after its work is done
