"""10,000 submissions in a minute over HTTP, one tenant with 90 % of them, 1 % hostile: what becomes of each?

    python benchmarks/spike.py [--quick] [--json] [--requests 10000] [--seconds 60] [--tenants 20] [--runs clean,…]

Each run starts the embedded stack with gateway and worker in a new home, warms it up until it knows its own rate, sends
the load from a separate process, and waits until every accepted review has its outcome. `gateway` and `redis` kill that
process (SIGKILL) in the middle; the stack's supervisor starts it again. Every review that comes to a person is signed
at once by a program in a reviewer's place: what is measured is the machine.

JSON keys at the top are those of the clean run (of the first one, without it); `runs` has every run.
Exit codes: 0 every request answered, no accepted review lost or doubled; 1 not; 2 wrong arguments; 5 no servers.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

from benchmarks import spike_plan
from benchmarks.contract_runs import forget_other_servers
from countersign.admission.limits import Limits
from countersign.errors import CountersignError, DecisionRefused, RateLimited, ServiceUnavailable
from countersign.review.payloads import Decision, ReviewRequest
from countersign.services import Services
from countersign.settings import Settings
from countersign.words import Role, Verdict
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack

PLAYBOOK = "nda"
RUNS = ("clean", "gateway", "redis")
KILLED = {"gateway": "gateway", "redis": "valkey"}
"""Which process of the stack a run kills in the middle."""
WARM_UP = 40
"""Reviews that keep the stack busy before the load, so that it knows its own rate."""
SIGNERS = 4
STUCK_S = 600.0
"""Without any review ended for so long, the run has failed."""
WAITED_S = 5.0
"""Waits shorter than this have no say in the estimates' error: there, a second is a large share."""
QUICK = (1_000, 6.0)


@dataclass(frozen=True)
class Figures:
    """One run. Shares are of `sent`; times in milliseconds from the planned moment to the answer."""

    run: str
    sent: int
    answered: int
    accepted: int
    refused: int
    completed: int
    lost: int
    doubled: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    memory_growth_mb: float
    estimate_error_median: float | None
    estimates: int
    estimate_ratios: tuple[float, ...]
    """Estimate by wait: its 10th, 50th and 90th percentile. Above 1 the estimate was too long."""
    jain: float | None
    demanding: int
    answers: Mapping[str, int]
    """By status and problem."""
    outcomes: Mapping[str, int]
    retried: int
    """Requests that needed more than one attempt, because nobody was there."""
    late_p99_ms: float
    """How late the load process itself was: above a few milliseconds, its own slowness is in the figures."""
    drained_s: float
    """From the start of the load until the last accepted review had its outcome."""


async def measure(run: str, count: int, seconds: float, tenants: int, room: int) -> Figures:
    """One run in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="countersign-spike-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        settings = Settings(home=folder / "home", gateway_port=0)
        async with EmbeddedStack(settings.state, settings) as stack, ReviewClient.open(settings) as client:
            await stack.run_worker()
            url = await stack.run_gateway()
            services = await client.services()
            names = spike_plan.tenants(tenants)
            tokens = await let_in(services, names)
            await services.limits.change(None, None, {"room": room}, by_hash="benchmark", reason="as asked for")
            signing = asyncio.create_task(sign_all(client))
            await warm_up(client)
            _say(f"{run}: {count} requests in {seconds:g} s")
            bodies = spike_plan.write_bodies(folder, PLAYBOOK, settings.max_document_mb)
            host, _, port = url.removeprefix("http://").partition(":")
            plan = {
                "host": host,
                "port": int(port),
                "bodies": [[content_type, path] for _, content_type, path in bodies.values()],
                "requests": spike_plan.plan_requests(
                    count, seconds, names, tokens, {kind: index for kind, (index, _, _) in bodies.items()}
                ),
            }
            (folder / "plan.json").write_text(json.dumps(plan))
            memory = Memory(stack)
            watching = asyncio.create_task(memory.watch())
            began = time.monotonic()
            load = await asyncio.create_subprocess_exec(
                *(sys.executable, str(Path(__file__).with_name("spike_load.py"))),
                *(str(folder / "plan.json"), str(folder / "answers.json")),
            )
            if run in KILLED:
                await asyncio.sleep(seconds / 2)
                os.kill(stack.pids[KILLED[run]], signal.SIGKILL)
                _say(f"{run}: {KILLED[run]} killed")
            if await load.wait():
                raise ServiceUnavailable("the load process failed", remedy="See above")
            watching.cancel()
            answers: list[dict[str, Any]] = json.loads((folder / "answers.json").read_text())
            _say(f"{run}: {sum(1 for one in answers if one['status'])} answered; waiting for the accepted ones")
            await drained(client)
            signing.cancel()
            return await figures(run, services, client, answers, memory.growth_mb, time.monotonic() - began)


async def let_in(services: Services, names: Sequence[str]) -> dict[tuple[str, str], str]:
    """Keys for every user of every tenant: the secrets by tenant and user."""
    tokens = {}
    for number, tenant in enumerate(names):
        for user in spike_plan.users(number):
            made = await services.keys.create(tenant, user, {Role.REQUESTER}, by="benchmark")
            tokens[tenant, user] = made.secret_text
    return tokens


async def warm_up(client: ReviewClient) -> None:
    """Keep the stack busy with reviews of a tenant of its own until all are done."""
    tenant = "warm-up"
    data = (spike_plan.EXAMPLES / "nda-clean.md").read_bytes()
    for number in range(WARM_UP):
        request = ReviewRequest(tenant=tenant, user=f"user-{number % 4}", playbook=PLAYBOOK)
        with contextlib.suppress(RateLimited):
            await client.submit(data, "nda.md", request)
    await drained(client)


async def sign_all(client: ReviewClient) -> None:
    """Until cancelled: sign whatever waits for a reviewer, twice where two people must."""
    slots = asyncio.Semaphore(SIGNERS)

    async def sign(tenant: str, review_id: str) -> None:
        async with slots:
            missing, number = 1, 0
            # Refused (it has just been signed) or not answered: the next look at the queue tells.
            with contextlib.suppress(DecisionRefused, ServiceUnavailable):
                while missing:
                    number += 1
                    given = Decision(verdict=Verdict.APPROVE, reviewer=f"signer {number}")
                    missing = (await client.decide(tenant, review_id, given)).signatures_missing

    while True:
        with contextlib.suppress(ServiceUnavailable):
            waiting = await client.queue(limit=50)
            await asyncio.gather(*(sign(row.tenant, row.review_id) for row in waiting))
        await asyncio.sleep(0.5)


async def drained(client: ReviewClient) -> None:
    """Return once every accepted review has its outcome. Raises ServiceUnavailable when none ends for long."""
    db = (await client.services()).db
    before, since = -1, time.monotonic()
    while True:
        row = await db.fetchrow("SELECT count(*) AS left FROM reviews WHERE outcome IS NULL")
        left = int(row["left"]) if row else 0
        if left == 0:
            return
        if left != before:
            if before // 50 != left // 50:
                _say(f"{left} reviews to go")
            before, since = left, time.monotonic()
        if time.monotonic() > since + STUCK_S:
            raise ServiceUnavailable(f"{left} reviews do not end", remedy="See the worker's log")
        await asyncio.sleep(1)


class Memory:
    """Resident memory of the gateway, its restarts included: the highest seen less the first."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._stack = stack
        self._first = self._now() or 0
        self._highest = self._first

    @property
    def growth_mb(self) -> float:
        """Megabytes (10^6 bytes)."""
        return round((self._highest - self._first) / 1e6, 1)

    async def watch(self) -> None:
        """Look ten times a second until cancelled."""
        while True:
            self._highest = max(self._highest, self._now() or 0)
            await asyncio.sleep(0.1)

    def _now(self) -> int | None:
        try:
            return int(psutil.Process(self._stack.pids["gateway"]).memory_info().rss)
        except (KeyError, psutil.NoSuchProcess):  # it was killed, and is being started again
            return None


async def figures(  # noqa: PLR0913, PLR0917 - what one run is counted from
    run: str,
    services: Services,
    client: ReviewClient,
    answers: Sequence[Mapping[str, Any]],
    growth_mb: float,
    drained_s: float,
) -> Figures:
    """Count. The word of the answers is held against the tables and Temporal's own list of workflows."""
    told = {one["document"]["review_id"]: one for one in answers if one["status"] in (200, 202)}
    rows = {
        row["review_id"]: row
        for row in await services.db.fetch(
            "SELECT review_id, tenant, workflow_id, outcome, submitted_at, dispatched_at FROM reviews "
            "WHERE tenant LIKE 'spike-%'"
        )
    }
    runs: Counter[str] = Counter()
    async for execution in (await client.temporal()).list_workflows("WorkflowType = 'ReviewWorkflow'"):
        runs[execution.id] += 1
    ended: Counter[str] = Counter(
        row["workflow_id"]
        for row in await services.db.fetch("SELECT workflow_id FROM audit_trails WHERE event = 'ended'")
    )
    completed = [one for one in told if one in rows and rows[one]["outcome"] is not None]
    doubled = [row for row in rows.values() if runs[row["workflow_id"]] > 1 or ended[row["workflow_id"]] > 1]
    ratios = sorted(
        float(told[one]["document"]["estimate_s"]) / waited
        for one in completed
        if (waited := _seconds(rows[one]["submitted_at"], rows[one]["dispatched_at"])) >= WAITED_S
    )
    errors = [abs(ratio - 1) for ratio in ratios]
    fairness, demanding = jain(
        [(row["tenant"], row["submitted_at"], row["dispatched_at"]) for row in rows.values() if row["dispatched_at"]]
    )
    times = sorted(one["ms"] for one in answers if one["status"])
    late = sorted(one["late_ms"] for one in answers)
    return Figures(
        run=run,
        sent=len(answers),
        answered=sum(1 for one in answers if one["status"]),
        accepted=len(told),
        refused=sum(1 for one in answers if one["status"] and one["status"] not in (200, 202)),
        completed=len(completed),
        lost=len(told) - len(completed),
        doubled=len(doubled),
        p50_ms=quantile(times, 0.50),
        p95_ms=quantile(times, 0.95),
        p99_ms=quantile(times, 0.99),
        max_ms=times[-1] if times else 0.0,
        memory_growth_mb=growth_mb,
        estimate_error_median=round(statistics.median(errors), 3) if errors else None,
        estimates=len(errors),
        estimate_ratios=tuple(quantile(ratios, share, digits=2) for share in (0.1, 0.5, 0.9)),
        jain=fairness,
        demanding=demanding,
        answers=dict(sorted(Counter(_kind_of(one) for one in answers).items())),
        outcomes=dict(Counter(str(rows[one]["outcome"]) for one in told if one in rows)),
        retried=sum(1 for one in answers if one["attempts"] > 1),
        late_p99_ms=quantile(late, 0.99),
        drained_s=round(drained_s, 1),
    )


def jain(served: Sequence[tuple[str, datetime, datetime]], least: int = 5) -> tuple[float | None, int]:
    """Jain's index of reviews dispatched per tenant while all demanding tenants waited, and how many tenants those are.

    Demanding are tenants with at least `least` reviews that waited. Counted is the time in which each of them had one
    waiting: from when the last of them had come until the first of them had none left (Jain, Chiu, Hawe 1984).
    """
    waits: dict[str, list[tuple[datetime, datetime]]] = {}
    for tenant, submitted, dispatched in served:
        if _seconds(submitted, dispatched) >= 1:
            waits.setdefault(tenant, []).append((submitted, dispatched))
    waits = {tenant: found for tenant, found in waits.items() if len(found) >= least}
    if len(waits) < 2:
        return None, len(waits)
    begin = max(min(submitted for submitted, _ in found) for found in waits.values())
    end = min(max(dispatched for _, dispatched in found) for found in waits.values())
    counts = [sum(1 for _, dispatched in found if begin <= dispatched < end) for found in waits.values()]
    if not any(counts):
        return None, len(waits)
    return round(sum(counts) ** 2 / (len(counts) * sum(count**2 for count in counts)), 4), len(waits)


def quantile(ordered: Sequence[float], share: float, digits: int = 1) -> float:
    """The smallest value that at least `share` of the ordered values do not exceed; 0 for none."""
    if not ordered:
        return 0.0
    return round(ordered[max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1)], digits)


def _kind_of(answer: Mapping[str, Any]) -> str:
    document = answer["document"]
    problem = str(document.get("type", "")).rpartition(":")[2]
    reason = document.get("reason")
    return " ".join(filter(None, (str(answer["status"]), problem, f"({reason})" if reason else "")))


def _seconds(start: datetime, end: datetime | None) -> float:
    return (end - start).total_seconds() if end else 0.0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def show(found: Figures) -> None:
    """The run for people."""
    print(
        f"\n{found.run}: {found.sent} sent, {found.answered} answered, {found.accepted} accepted, "
        f"{found.refused} refused"
    )
    print(f"  accepted: {found.completed} completed, {found.lost} lost, {found.doubled} doubled; {found.outcomes}")
    print(f"  ms to answer: p50 {found.p50_ms}, p95 {found.p95_ms}, p99 {found.p99_ms}, max {found.max_ms}")
    print(f"  gateway memory +{found.memory_growth_mb} MB; load process late by {found.late_p99_ms} ms (p99)")
    print(
        f"  estimate error, median: {found.estimate_error_median} (n = {found.estimates}); "
        f"estimate by wait p10, p50, p90: {found.estimate_ratios}"
    )
    print(f"  Jain index {found.jain} over {found.demanding} demanding tenants; drained after {found.drained_s} s")
    for kind, number in found.answers.items():
        print(f"    {number:6d}  {kind}")


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tenants", type=int, default=20)
    parser.add_argument("--room", type=int, default=Limits().room, help="places in the waiting room")
    parser.add_argument("--runs", default=",".join(RUNS), help=f"of {', '.join(RUNS)}")
    parser.add_argument("--quick", action="store_true", help="1,000 requests in 6 s, the clean run only")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    given = parser.parse_args()
    runs = ["clean"] if given.quick else given.runs.split(",")
    count, seconds = QUICK if given.quick else (given.requests, given.seconds)
    if unknown := [run for run in runs if run not in RUNS]:
        parser.error(f"--runs: {unknown[0]!r} is not one of {', '.join(RUNS)}")
    if count < 1 or seconds <= 0 or given.tenants < 1 or given.room < 1:
        parser.error("--requests, --seconds, --tenants and --room must be positive")
    forget_other_servers()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found = []
    try:
        for run in runs:
            found.append(asyncio.run(measure(run, count, seconds, given.tenants, given.room)))
            show(found[-1])
    except CountersignError as error:
        print(f"spike: {error}", file=sys.stderr)
        return 5
    if given.json:
        first = next((one for one in found if one.run == "clean"), found[0])
        print(json.dumps(asdict(first) | {"runs": {one.run: asdict(one) for one in found}}))
    return 0 if all(one.answered == one.sent and not one.lost and not one.doubled for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
