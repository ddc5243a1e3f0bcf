"""Running labelled cases as shadow reviews and gathering what came of them. No terminal in here."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from countersign.errors import CountersignError, Overloaded, RateLimited
from countersign.evidence.intervals import Estimate
from countersign.review.payloads import ReviewRequest
from countersign.shadow.cases import Case, Cases
from countersign.shadow.report import Baseline, Reviewed, ShadowReport, report
from countersign.store.evidence_rows import ItemRow
from countersign.store.shadow import RunFigures
from countersign.words import Mode, Outcome
from starters.client import POLL_S, ReviewClient

if TYPE_CHECKING:
    from countersign.services import Services

NOT_STATED = Baseline()
TIMEOUT_S = 3600.0
"""A case that has not ended after this long gave no pair."""
TRAINED_ON = (
    "The offline model's clause finder was trained on these very contracts, so it does better here than on new ones; "
    "benchmarks/README.md has its figures on contracts it never saw. These pairs do not count towards autonomy."
)
Tell = Callable[[int, int, str], None]
"""Told after each case: how many are done, of how many, and what the run waits for ("" for nothing)."""


@dataclass(frozen=True)
class Run:
    """What is to be run: the cases, in whose name, under which name, so many at once."""

    run_id: str
    cases: Cases
    tenant: str
    user: str
    playbook: str
    source: str
    window: int


async def run_cases(client: ReviewClient, run: Run, tell: Tell) -> None:
    """Submit every case in order and see each to its end. A broken one stops no other; repeating a run goes on with it.

    Raises InvalidRequest when the name is another run's, ServiceUnavailable when a server is away.
    """
    store = (await client.services()).shadow
    facts = {
        "source": run.source,
        "playbook": run.playbook,
        "model": client.settings.model,
        "cases_in_source": run.cases.of,
        "digest": run.cases.digest[:16],
    }
    known = run.cases.trained_on and client.settings.model == "offline"
    if known:
        facts["caveat"] = TRAINED_ON
    await store.open_run(run.tenant, run.run_id, facts)
    slots = asyncio.Semaphore(run.window)
    done = 0

    async def one(position: int, case: Case) -> None:
        nonlocal done
        review_id = f"{run.run_id}-{position}"
        async with slots:
            labels = case.labels.model_copy(update={"name": case.name, "counts": case.labels.counts and not known})
            await store.add(run.tenant, run.run_id, review_id, position, labels)
            try:
                failure = await _reviewed(
                    client, run, case, review_id, lambda why: tell(done, len(run.cases.cases), why)
                )
            except CountersignError as error:
                failure = error.type
            if failure:
                await store.failed(run.tenant, review_id, failure)
            done += 1
            tell(done, len(run.cases.cases), "")

    async with asyncio.TaskGroup() as tasks:
        for position, case in enumerate(run.cases.cases, start=1):
            tasks.create_task(one(position, case))


async def _reviewed(
    client: ReviewClient, run: Run, case: Case, review_id: str, waiting: Callable[[str], None]
) -> str | None:
    """See a case through; why it gave no pair, or None."""
    data = await asyncio.to_thread(case.read, int(client.settings.max_document_mb * 1_000_000))
    request = ReviewRequest(
        tenant=run.tenant,
        user=run.user,
        playbook=case.playbook,
        ask=case.ask,
        review_id=review_id,
        mode=Mode.SHADOW,
    )
    name = case.path.name if case.path else "case.txt"
    while True:
        try:
            # Bulk work: on the batches' allowance, behind what somebody waits for.
            await (await client.services()).intake.submit(request, data, name, batch_id=f"shadow/{run.run_id}")
            break
        except (RateLimited, Overloaded) as refused:
            waiting(refused.message)
            await asyncio.sleep(max(1.0, refused.retry_after_s))
    reviews, pause = (await client.services()).reviews, POLL_S[0]
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        # The projection, not the workflow: hundreds of reviews are not asked one by one.
        row = await reviews.row(review_id, tenant=run.tenant)
        if row.outcome is Outcome.SHADOWED:
            return None
        if row.outcome is not None or row.waiting_for is not None:
            return str(row.outcome or "not_compared")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, POLL_S[1])
    return "timeout"


@dataclass(frozen=True)
class Gathered:
    """A report, and of each contract, as the report calls it, the review."""

    report: ShadowReport
    reviews: dict[str, str]


async def gather(services: "Services", tenant: str, run_id: str | None, baseline: Baseline = NOT_STATED) -> Gathered:
    """The report on a run, the latest by default. Raises NotFound."""
    row = await services.shadow.run(tenant, run_id)
    items = await services.evidence.items_of_run(tenant, row.run_id)
    gathered = await _reported(
        services, items, row.run_id, facts=row.facts, cases=row.cases, failures=row.failures, baseline=baseline
    )
    overall = gathered.report.overall
    figures = RunFigures(
        pairs=len(items), clauses=overall.n, agreement=_triple(overall.agreement), kappa=_triple(overall.kappa)
    )
    if figures != row.figures:
        await services.shadow.note(tenant, row.run_id, figures)
    return gathered


async def gather_live(services: "Services", tenant: str, baseline: Baseline = NOT_STATED) -> Gathered:
    """The report on shadow reviews that people judged blind."""
    items = await services.evidence.live_shadow(tenant)
    return await _reported(services, items, "live", facts={"tenant": tenant}, baseline=baseline)


async def _reported(services: "Services", items: Sequence[ItemRow], title: str, **given: Any) -> Gathered:
    names: Counter[str] = Counter()
    reviewed, reviews = [], {}
    for item in items:
        said = await services.evidence.said(item)
        name = (said.name if said else "") or item.review_id
        names[name] += 1
        # Two contracts of one name are two: intervals draw contracts by what they are called.
        contract = name if names[name] == 1 else f"{name} ({item.review_id})"
        reviews[contract] = item.review_id
        reviewed.append(
            Reviewed(
                contract=contract,
                clauses=said.clauses if said else None,
                confidence=item.stated,
                agreement=item.agreement,
                critical=item.critical,
                route=item.route,
                machine_s=item.machine_s,
                cost_microusd=item.cost_microusd,
            )
        )
    # Two thousand samples of each interval: nobody else waits for them.
    return Gathered(await asyncio.to_thread(report, title, reviewed, **given), reviews)


def _triple(found: Estimate) -> tuple[float | None, float | None, float | None]:
    return found.value, found.low, found.high
