"""The article's 2,847 contracts as one batch, with the submit, a worker and the Temporal server killed in the middle.

    python benchmarks/batch.py [--count 2847] [--quick] [--json] [--window 16] [--data FOLDER]

The contracts are the shared NDAs over and over (texts of ContractNLI, PDFs of Kleister), and one broken PDF in a
hundred. They go through the command line and the real stack in a new home: `countersign batch submit` is killed when a
third is stored, and repeated; the worker is killed (SIGKILL) when a third has ended, the Temporal server when two
thirds have; the stack's supervisor starts them again. Nobody signs: what is measured is the machine, and the limit on
how many reviews may wait for people is lifted. Meanwhile a person of another tenant submits now and then, and waits.

Exit codes: 0 nothing lost, nothing doubled, no history near its limit; 1 not; 2 wrong arguments; 5 no servers.
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
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil

from benchmarks.contract_runs import forget_other_servers
from countersign.batch.payloads import BatchKey
from countersign.batch.rerun import batch_workflow_id
from countersign.errors import CountersignError, ServiceUnavailable
from countersign.review.payloads import ReviewRequest
from countersign.settings import ROOT, Settings
from starters import batches
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack

TENANT, PERSON = "archive", "office"
COUNT, QUICK = 2_847, 60
BROKEN_EVERY = 100
SAMPLE = ROOT / "examples" / "nda-clean.md"
PROBES_ALONE, PROBE_EVERY_S = 7, 5.0
STUCK_S = 300.0
"""Without any contract ended for so long, the run has failed."""
EVENTS_LIMIT = 51_200
"""The server's own limit of one history."""


@dataclass
class Figures:
    """What the run came to. Times in seconds; `interactive` of one who waits, from submitting to the desk."""

    count: int
    samples: int
    ended: Mapping[str, int]
    lost: int
    doubled: int
    minutes: float
    contracts_per_minute: float
    store_s: float
    cpu_s_per_contract: float
    cpu_s: Mapping[str, float]
    largest_history_events: int
    largest_history_bytes: int
    largest_review_history_events: int
    continue_as_new: int
    submit_kills: int
    worker_kills: int
    server_restarts: int
    interactive_alone_s: float
    interactive_during_s: float | None
    interactive_during_max_s: float | None
    interactive_probes: int
    report_s: float
    wrong: list[str] = field(default_factory=list)


class Spent:
    """CPU of the stack's processes, killed ones included: it is looked at often, and the last look counts."""

    def __init__(self, stack: EmbeddedStack) -> None:
        self._stack = stack
        self._seen: dict[tuple[str, int, float], float] = {}

    def look(self) -> None:
        """Note what each process has used so far."""
        for name, pid in self._stack.pids.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(pid)
                for process in (parent, *parent.children(recursive=True)):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        times = process.cpu_times()
                        self._seen[name, process.pid, process.create_time()] = float(times.user + times.system)

    def seconds(self) -> Counter[str]:
        """By process of the stack."""
        found: Counter[str] = Counter()
        for (name, _, _), spent in self._seen.items():
            found[name] += spent  # type: ignore[assignment]  # a Counter of seconds
        return found


def samples(data: Path) -> Iterator[tuple[str, bytes]]:
    """The shared NDAs, texts first."""
    listed = data / "contract_nli" / "contract_nli.json"
    for number, document in enumerate(json.loads(listed.read_text(encoding="utf-8"))["documents"]):
        yield f"text-{number:03d}.txt", document["text"].encode()
    for path in sorted((data / "kleister_nda" / "pdf").glob("*.pdf")):
        yield path.name, path.read_bytes()


def lay_out(folder: Path, data: Path, count: int) -> int:
    """Write the contracts; how many different ones there are."""
    found = list(samples(data))
    folder.mkdir()
    for number in range(count):
        name, content = found[number % len(found)]
        if number % BROKEN_EVERY == BROKEN_EVERY // 2:
            name, content = "broken.pdf", b"%PDF-1.7\nno pages here\n%%EOF\n"
        (folder / f"{number:05d}-{name}").write_bytes(content)
    return len(found)


async def measure(count: int, window: int, data: Path) -> Figures:
    """The run, in a home of its own."""
    with tempfile.TemporaryDirectory(prefix="countersign-batch-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        settings = Settings(home=folder / "home", data=data)
        different = lay_out(folder / "contracts", data, count)
        async with EmbeddedStack(settings.state, settings) as stack, ReviewClient.open(settings) as client:
            await stack.run_worker()
            await let_wait(client)
            alone = [await probe(client) for _ in range(PROBES_ALONE)][1:]
            began = time.monotonic()
            key, kills = await submit(client, settings, folder / "contracts", count, window)
            store_s = time.monotonic() - began
            spent = Spent(stack)
            spent.look()
            before = spent.seconds()
            probing = asyncio.create_task(probe_now_and_then(client))
            began = time.monotonic()
            restarts = await follow(client, stack, key, count, spent)
            minutes = (time.monotonic() - began) / 60
            spent.look()
            during = await stop(probing)
            cpu = {one: round(seconds - before[one], 1) for one, seconds in spent.seconds().items()}
            report_s = await report(settings, key)
            found = Figures(
                count=count,
                samples=different,
                ended=dict(await (await client.services()).batches.counts(key)),
                lost=0,
                doubled=0,
                minutes=round(minutes, 2),
                contracts_per_minute=round(count / minutes, 1),
                store_s=round(store_s, 1),
                cpu_s_per_contract=round(sum(cpu.values()) / count, 3),
                cpu_s=cpu,
                largest_history_events=0,
                largest_history_bytes=0,
                largest_review_history_events=0,
                continue_as_new=0,
                submit_kills=kills,
                worker_kills=restarts["worker"],
                server_restarts=restarts["temporal"],
                interactive_alone_s=round(statistics.median(alone), 2),
                interactive_during_s=round(statistics.median(during), 2) if during else None,
                interactive_during_max_s=round(max(during), 2) if during else None,
                interactive_probes=len(during),
                report_s=round(report_s, 2),
            )
            await check(client, key, found)
            return found


async def let_wait(client: ReviewClient) -> None:
    """As many as there are may wait for people, who are not part of this."""
    services = await client.services()
    by_hash = services.pseudonyms.of("user", "benchmark")
    given = {"attention": 1_000_000, "user_per_hour": 10_000}
    await services.limits.change(None, None, given, by_hash=by_hash, reason="nobody signs in this benchmark")


async def submit(
    client: ReviewClient, settings: Settings, folder: Path, count: int, window: int
) -> tuple[BatchKey, int]:
    """`countersign batch submit`, killed when a third is stored, and repeated; how often it was killed."""
    command = ("batch", "submit", str(folder), "--tenant", TENANT, "--window", str(window), "--json")
    services, kills = await client.services(), 0
    process = await cli(settings, *command)
    while process.returncode is None:
        rows = await services.db.fetch("SELECT FROM batch_items")
        if len(rows) >= count // 3:
            process.kill()
            kills += 1
            break
        await asyncio.sleep(0.05)
    await process.communicate()
    unstarted = await services.batches.unstarted()
    assert not unstarted or not kills, "a batch that is not whole must not begin"
    process = await cli(settings, *command)
    out, err = await process.communicate()
    if process.returncode:
        raise ServiceUnavailable(f"batch submit failed: {err.decode()[-300:]}", remedy="See above")
    return BatchKey(tenant=TENANT, batch_id=json.loads(out)["batch_id"]), kills


async def cli(settings: Settings, *arguments: str) -> asyncio.subprocess.Process:
    """`countersign …` against the stack of these settings."""
    environment = {**os.environ, "COUNTERSIGN_HOME": str(settings.home)}
    return await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "countersign"),
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def follow(client: ReviewClient, stack: EmbeddedStack, key: BatchKey, count: int, spent: Spent) -> dict[str, int]:
    """Until the machine is done; the worker is killed after a third, Temporal after two thirds. Who was killed."""
    plan = [(count // 3, "worker"), (2 * count // 3, "temporal")]
    killed = {"worker": 0, "temporal": 0}
    last, since, told = -1, time.monotonic(), time.monotonic()
    services = await client.services()
    while True:
        spent.look()
        done = sum((await services.batches.counts(key)).values())
        if plan and done >= plan[0][0]:
            _, name = plan.pop(0)
            os.kill(stack.pids[name], signal.SIGKILL)
            killed[name] += 1
            _say(f"{done} of {count}: {name} killed")
        if done != last:
            last, since = done, time.monotonic()
        if time.monotonic() - told > 20:
            told = time.monotonic()
            _say(f"{done} of {count}")
        if (await services.batches.row(key)).state.is_over:
            return killed
        if time.monotonic() > since + STUCK_S:
            view = await batches.look(client, key)
            raise ServiceUnavailable(f"nothing ended for {STUCK_S:g} s: {view.standing}", remedy="See the worker's log")
        await asyncio.sleep(0.5)


async def probe(client: ReviewClient) -> float:
    """Seconds from submitting one contract to the desk."""
    began = time.monotonic()
    request = ReviewRequest(tenant=PERSON, user="pat", playbook="nda")
    taken = await client.submit(SAMPLE.read_bytes(), SAMPLE.name, request)
    services = await client.services()
    while True:
        row = await services.reviews.row(taken.review_id, PERSON)
        if row.outcome is not None or row.waiting_for is not None:
            return time.monotonic() - began
        if time.monotonic() > began + STUCK_S:
            raise ServiceUnavailable("a single review does not settle", remedy="See the worker's log")
        await asyncio.sleep(0.05)


async def probe_now_and_then(client: ReviewClient, seen: list[float] | None = None) -> list[float]:
    """Until cancelled: submit one, wait for it, rest."""
    seen = [] if seen is None else seen
    try:
        while True:
            seen.append(await probe(client))
            await asyncio.sleep(PROBE_EVERY_S)
    except asyncio.CancelledError:
        return seen


async def stop(probing: "asyncio.Task[list[float]]") -> list[float]:
    """What the probes saw."""
    probing.cancel()
    return await probing


async def report(settings: Settings, key: BatchKey) -> float:
    """`countersign batch report` with page and CSV; how long it takes."""
    began = time.monotonic()
    folder = settings.home.parent
    files = ("--html", str(folder / "report.html"), "--csv", str(folder / "report.csv"))
    process = await cli(settings, "batch", "report", key.batch_id, "--tenant", TENANT, *files, "--json")
    out, err = await process.communicate()
    if process.returncode or json.loads(out)["batch_id"] != key.batch_id:
        raise ServiceUnavailable(f"batch report failed: {err.decode()[-300:]}", remedy="See above")
    return time.monotonic() - began


async def check(client: ReviewClient, key: BatchKey, found: Figures) -> None:
    """Hold the tables, the trail and Temporal's own list against each other, and note the histories."""
    services, temporal = await client.services(), await client.temporal()
    items = await services.batch_results.of(key)
    rows = await services.db.fetch(
        "SELECT review_id, workflow_id FROM reviews WHERE tenant = $1 AND batch_id = $2", TENANT, key.batch_id
    )
    reviews = Counter(row["review_id"] for row in rows)
    # A review came to its end once when one row of its trail says so.
    ends = await services.db.fetch(
        "SELECT workflow_id, count(*) AS rows FROM audit_trails "
        "WHERE tenant = $1 AND (event = 'waiting' OR event = 'ended') GROUP BY workflow_id",
        TENANT,
    )
    ended = {row["workflow_id"]: row["rows"] for row in ends}
    runs: Counter[str] = Counter()
    async for execution in temporal.list_workflows("WorkflowType = 'ReviewWorkflow'"):
        runs[execution.id] += 1
        found.largest_review_history_events = max(found.largest_review_history_events, execution.history_length)
    lost = [one.review_id for one in items if one.ended is None or (one.failure == "" and not reviews[one.review_id])]
    lost += [row["review_id"] for row in rows if ended.get(row["workflow_id"], 0) == 0]
    doubled = [row["review_id"] for row in rows if runs[row["workflow_id"]] != 1 or ended[row["workflow_id"]] > 1]
    found.lost, found.doubled = found.count - len(items) + len(lost), len(doubled)
    batch_runs = 0
    async for execution in temporal.list_workflows(f"WorkflowId = '{batch_workflow_id(key)}'"):
        batch_runs += 1
        found.largest_history_events = max(found.largest_history_events, execution.history_length)
        size = execution.raw_info.history_size_bytes
        found.largest_history_bytes = max(found.largest_history_bytes, size)
    found.continue_as_new = max(0, batch_runs - 1)
    found.wrong = [*lost, *doubled][:20]


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def show(found: Figures) -> None:
    """The run for people."""
    ended = ", ".join(f"{number} {how}" for how, number in found.ended.items())
    cpu = ", ".join(f"{name} {seconds:g}" for name, seconds in found.cpu_s.items())
    during = "none" if found.interactive_during_s is None else f"{found.interactive_during_s} s"
    lines = (
        f"{found.count} contracts ({found.samples} different): {ended}",
        f"  lost {found.lost}, doubled {found.doubled}; killed: submit {found.submit_kills}, worker "
        f"{found.worker_kills}, Temporal {found.server_restarts}",
        f"  {found.minutes} minutes, {found.contracts_per_minute} a minute; stored in {found.store_s} s (killed once)",
        f"  CPU {found.cpu_s_per_contract} s a contract ({cpu})",
        f"  batch history: at most {found.largest_history_events} events and {found.largest_history_bytes:,} bytes, "
        f"{found.continue_as_new} times continued as new; a review's at most {found.largest_review_history_events}",
        f"  one who waits: {found.interactive_alone_s} s alone, {during} beside the batch (median of "
        f"{found.interactive_probes}, at most {found.interactive_during_max_s} s); report in {found.report_s} s",
    )
    print("\n".join(lines))


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--window", type=int, default=16)
    parser.add_argument("--data", type=Path, default=Settings().data)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} contracts")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    given = parser.parse_args()
    count = QUICK if given.quick else given.count
    if count < 3 or not 1 <= given.window <= 200:
        parser.error("--count must be at least 3, --window between 1 and 200")
    if not (given.data / "contract_nli").is_dir():
        parser.error(f"--data: no contract_nli in {given.data}")
    forget_other_servers()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        found = asyncio.run(measure(count, given.window, given.data))
    except CountersignError as error:
        print(f"batch: {error}", file=sys.stderr)
        return 5
    show(found)
    if given.json:
        print(json.dumps(asdict(found)))
    fits = found.largest_history_events < EVENTS_LIMIT / 2
    return 0 if not found.lost and not found.doubled and fits and sum(found.ended.values()) == count else 1


if __name__ == "__main__":
    sys.exit(main())
