"""Reviews contracts on a stack of their own and keeps of each review what the benchmark counts."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil  # comes with the extra `embedded`

from benchmarks.contract_cases import NDA_PLAYBOOK, SOURCES, Case
from benchmarks.open_gate import open_gate
from countersign.document.model import DocumentText
from countersign.errors import CountersignError, ServiceUnavailable
from countersign.review.payloads import Finding, ReviewRequest, ReviewStatus
from countersign.settings import ROOT, Settings
from countersign.words import Outcome, Position, RiskBand
from starters.client import ReviewClient
from workers.embedded import EmbeddedStack

TENANT, USER = "benchmark", "benchmark"
TIMEOUT_S = 600.0
"""A review that has not settled after this long is a failure."""
WAITING = "waiting"
GOOD_ENDS = frozenset({WAITING, Outcome.RELEASED, Outcome.BLOCKED})
"""How a review of a real contract may end: at a person, released by its cell's autonomy, or blocked (told apart)."""
WARM_UP = ROOT / "examples" / "nda-clean.md"
WHOLE = "the whole document"
"""What an absence names as searched when the document has no sections."""
ELSEWHERE = (
    *("HOME", "DATABASE_URL", "REDIS_URL"),
    *("TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_PROFILE", "TEMPORAL_API_KEY"),
)
"""Settings that would make the benchmark, or its worker, use servers of somebody else."""


@dataclass(frozen=True)
class Reviewed:
    """What became of one case. `end` is `waiting`, an outcome, or the type of the error that ended it.

    `seconds` run from handing the bytes over to waiting for a person; `settled` is when it was seen, on a monotonic
    clock. `claimed` are the families with a finding that quotes the document, `unverified` the ids of findings whose
    evidence does not hold.
    """

    case: Case
    end: str
    settled: float
    seconds: float | None = None
    band: RiskBand | None = None
    findings: int = 0
    unverified: tuple[str, ...] = ()
    claimed: frozenset[str] = frozenset()
    degraded: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether it ended in any way a real contract should not."""
        return self.end not in GOOD_ENDS

    @property
    def scored(self) -> bool:
        """Whether its presence decisions count: it has labels and was analysed."""
        return self.case.present is not None and not self.failed and self.end != Outcome.BLOCKED


@dataclass(frozen=True)
class Run:
    """All reviews of one run, in the order they settled, and what the run took."""

    reviewed: tuple[Reviewed, ...]
    began: float
    startup_s: float
    cpu_s: Mapping[str, float]
    """CPU seconds by process while the reviews ran."""


def evidence_holds(finding: Finding, document: DocumentText) -> bool:
    """Whether every quotation is the stored text at its offsets and page; an absence must name sections there are."""
    if not finding.evidence:
        known = {WHOLE, *(section.label for section in document.sections)}
        return finding.position is Position.ABSENT and bool(finding.searched) and known.issuperset(finding.searched)
    return all(
        evidence.quote != ""
        and document.text[evidence.start : evidence.end] == evidence.quote
        and document.page_of(evidence.start) == evidence.page
        for evidence in finding.evidence
    )


def machine_seconds(status: ReviewStatus, given: datetime) -> float | None:
    """Seconds from `given` until the review waited for a person or ended, by the status's own times."""
    if status.submitted_at is None:
        return None
    until = status.ended_at or status.submitted_at + timedelta(milliseconds=sum(status.timings_ms.values()))
    return (until - given).total_seconds()


def forget_other_servers() -> None:
    """Take settings out of the environment that name a home or servers: the worker inherits it."""
    for name in ELSEWHERE:
        os.environ.pop(f"COUNTERSIGN_{name}", None)


async def run_all(cases: Sequence[Case], home: Path, at_once: int) -> Run:
    """Review every case on a new stack in `home`, at most `at_once` at a time.

    Raises `ServiceUnavailable` when the stack does not come up or cannot review the project's own sample.
    """
    began = time.monotonic()
    settings = Settings(home=home)
    async with EmbeddedStack(home, settings) as stack, ReviewClient.open(settings) as client:
        await open_gate(client)
        await stack.run_worker()
        await _warm_up(client)
        startup_s = time.monotonic() - began
        before, began = _cpu_seconds(stack.pids), time.monotonic()
        reviewed: list[Reviewed] = []
        slots = asyncio.Semaphore(at_once)

        async def one(case: Case) -> None:
            async with slots:
                reviewed.append(await _review(client, case))
                _tell(len(reviewed), len(cases))

        async with asyncio.TaskGroup() as tasks:
            for case in cases:
                tasks.create_task(one(case))
        after = _cpu_seconds(stack.pids)
        spent = {name: round(after[name] - before.get(name, 0.0), 1) for name in after}
    return Run(tuple(reviewed), began, startup_s, spent)


@contextlib.asynccontextmanager
async def stopped_by(number: int) -> AsyncIterator[None]:
    """While entered, signal `number` cancels the task, so that the stack is stopped in order (Ctrl-C does already)."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


async def _warm_up(client: ReviewClient) -> None:
    """One uncounted review: when it waits, the worker has imported everything and takes work."""
    case = Case(SOURCES[0], WARM_UP, NDA_PLAYBOOK)
    result = await _review(client, case)
    if result.end != WAITING:
        raise ServiceUnavailable(
            f"The sample {WARM_UP.name} ended as {result.end}, so nothing is measured",
            remedy="Run `countersign demo` and see where it stops",
        )


async def _review(client: ReviewClient, case: Case) -> Reviewed:
    """Submit, follow, and check the evidence against the stored text, as the command line would."""
    given = datetime.now(UTC)
    try:
        data = await asyncio.to_thread(case.path.read_bytes)
        request = ReviewRequest(tenant=TENANT, user=USER, playbook=case.playbook)
        taken = await client.submit(data, case.path.name, request)
        status = await _settled(client, taken.review_id)
        if status.analysis is None:
            return _ended(case, status, given, None)
        _, document = await client.document(TENANT, taken.review_id)
        return _ended(case, status, given, document)
    except (CountersignError, OSError) as error:
        kind = error.type if isinstance(error, CountersignError) else type(error).__name__
        return Reviewed(case, kind, time.monotonic())


async def _settled(client: ReviewClient, review_id: str) -> ReviewStatus:
    status: ReviewStatus | None = None
    async for standing in client.follow(TENANT, review_id, timeout_s=TIMEOUT_S):
        status = standing.status
    assert status is not None  # `follow` yields the settled standing or raises
    return status


def _ended(case: Case, status: ReviewStatus, given: datetime, document: DocumentText | None) -> Reviewed:
    findings = status.analysis.key_findings if status.analysis else ()
    if status.outcome is None:
        end = WAITING
    elif status.outcome is Outcome.FAILED and status.failure is not None:
        end = status.failure.type
    else:
        end = status.outcome
    return Reviewed(
        case=case,
        end=end,
        settled=time.monotonic(),
        seconds=machine_seconds(status, given),
        band=status.screening.band if status.screening else None,
        findings=len(findings),
        unverified=tuple(f.id for f in findings if document is None or not evidence_holds(f, document)),
        claimed=frozenset(finding.clause for finding in findings if finding.evidence),
        degraded=status.degraded,
    )


def _cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of this process (`client`) and of each of the stack's, their children's included."""
    # Without its children: those are the stack.
    own = {"client": _spent(psutil.Process(), ended=False)}
    return own | {name: sum(_spent(process, ended=True) for process in _family(pid)) for name, pid in pids.items()}


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:  # it has just died; the stack starts it again
        return []


def _spent(process: psutil.Process, *, ended: bool) -> float:
    """User and system time; with `ended`, of its children that have ended too. 0 for one that is gone."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    total = times.user + times.system + (times.children_user + times.children_system if ended else 0.0)
    return float(total)


def _tell(done: int, of: int) -> None:
    if done % 20 == 0 or done == of:
        print(f"{done} of {of} reviews settled", file=sys.stderr, flush=True)
