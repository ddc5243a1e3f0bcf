"""The dispatcher: reviews that were accepted get their turn in fair order, and their workflows are started, once each.

One leads, by an advisory lock of Postgres; every other worker process that serves `reviews` is ready to take over. It
keeps nothing that matters: what waits, what has had its turn and what is started stand in Postgres, and each step may
be repeated (or done by two at once) with the effect of once.

    grant          a lease at the door. Repeated, it is the same lease.
    dispatched_at  its turn has come. A crash before: it is granted again.
    start          by the review's own workflow id, duplicates rejected. A crash before: it is started again.
    started_at     Temporal has it. A crash before: the start is rejected as a duplicate, which says the same.
"""

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from time import monotonic

import asyncpg
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from countersign.admission.fair import order
from countersign.errors import CountersignError, NotFound
from countersign.services import Services
from countersign.store.vault import VaultError
from countersign.store.waiting import ANY, DISPATCHER_LOCK, Due, Id, Waiting
from countersign.words import Outcome
from workflows import options
from workflows.review import ReviewWorkflow

BUSY_S, IDLE_S = 0.1, 0.25
"""Pause between two looks at the room: while something happens, and while nothing does."""
SYNC_S = 2.0
"""How often the door is told what the room is, and whose reviewers are overrun."""
HOUSEKEEPING_S = 300.0
TAKE_OVER_S = 1.0
"""How often a dispatcher that does not lead tries to, and how long one rests after a failure."""
AT_ONCE = 20
"""Starts under way at the same time: more of them starve the work that they start (measured)."""
BATCH = 100
START_TIMEOUT = timedelta(seconds=5)
AWAY_S = (0.5, 10.0)
"""While Temporal does not take starts, the next is tried after the first, at last after the second."""
ROW_S = (1.0, 60.0)
"""The same for a single review that cannot be started."""

_log = logging.getLogger(__name__)


class Backoff:
    """When to try again: twice as late after each failure."""

    def __init__(self, first_s: float, last_s: float) -> None:
        self._first, self._last = first_s, last_s
        self._pause = 0.0
        self._until = 0.0

    def failed(self) -> None:
        """Not before a while."""
        self._pause = min(max(self._pause * 2, self._first), self._last)
        self._until = monotonic() + self._pause

    def reset(self) -> None:
        """It works again."""
        self._pause = self._until = 0.0

    @property
    def resting(self) -> bool:
        """Whether it is too early to try again."""
        return monotonic() < self._until


class Dispatcher:
    """One process's dispatcher; it leads or waits to."""

    def __init__(self, client: Client, services: Services) -> None:
        self._client = client
        self._services = services
        self._waiting = services.waiting
        self._door = services.door
        self._temporal = Backoff(*AWAY_S)
        self._rows: dict[Id, Backoff] = {}
        self._turns = 0
        self._last: dict[str, float] = {}
        """Number of the turn that each tenant had last."""
        self._people: dict[str, int] = {}
        """How many more reviews the reviewers of a tenant could take on."""
        self._unsure = True
        """Whether a lease may be out for a review that is not marked: after a crash, one's own or another's."""
        self._synced = self._cleaned = float("-inf")
        self._clean_since: datetime | None = None

    async def run(self) -> None:
        """Lead whenever nobody else does, until cancelled. A failure is logged, and it goes on."""
        while True:
            try:
                async with self._services.db.connection() as connection:
                    if await connection.fetchval("SELECT pg_try_advisory_lock($1)", DISPATCHER_LOCK):
                        _log.info("dispatching")
                        try:
                            await self._lead(connection)
                        finally:
                            connection.terminate()  # and the lock with it
            except CountersignError as error:
                _log.warning("the dispatcher rests: %s", error)
            except Exception:
                _log.exception("the dispatcher rests")
            await asyncio.sleep(TAKE_OVER_S)

    async def _lead(self, connection: asyncpg.Connection) -> None:
        """Look at the room again and again. Each look asks the connection that holds the lock: it dies with it."""
        self._unsure = True
        self._synced = self._cleaned = float("-inf")
        while True:
            state = await connection.fetchrow(ANY)
            busy = await self.step(waiting=state["waiting"], unstarted=state["unstarted"])
            await asyncio.sleep(BUSY_S if busy else IDLE_S)

    async def step(self, *, waiting: bool = True, unstarted: bool = True) -> bool:
        """One look: turns are given, workflows started, the door told; whether there was anything to do."""
        if monotonic() - self._synced >= SYNC_S:
            await self._sync()
        if monotonic() - self._cleaned >= HOUSEKEEPING_S:
            await self._clean()
        given = started = 0
        # What has had its turn goes first: while it cannot be started, nobody else gets one.
        if unstarted and not self._temporal.resting:
            started = await self._start_due()
        if waiting and not self._temporal.resting:
            given = await self._give_turns()
            started += await self._start_due() if given else 0
        return bool(given or started)

    # --- turns ---

    async def _give_turns(self) -> int:
        """Give free leases to those whose turn it is; how many."""
        house, standing = await self._services.limits.everyone(), await self._door.standing()
        # Without Redis the door knows only what it granted itself; what is at work stands in Postgres too.
        share = house.local_fraction if standing.degraded else 1.0
        in_flight = await self._waiting.at_work() if standing.degraded else standing.in_flight
        slots = _part(house.in_flight_all, share) - sum(in_flight.values())
        if unsure := self._unsure and not standing.degraded:
            # Leases may be out for reviews that still wait here, and fill the house: all of them are asked for again.
            in_flight, slots = {}, house.in_flight_all
        if slots <= 0:
            return 0
        self._unsure = True
        held = [tenant for tenant, left in self._people.items() if left <= 0]
        heads = await self._waiting.heads(slots, held)
        if unsure:
            slots = sum(len(reviews) for reviews in heads.values())
        given = await self._grant(_only(heads, batch=False), in_flight, slots, None if unsure else share)
        if batches := _only(heads, batch=True):
            # Batches have what is left, and never all of it: somebody may come who waits for an answer.
            most = _part(house.in_flight_all, share * house.batch_share) - await self._waiting.batches_at_work()
            left = min(slots - len(given), most)
            flying = Counter(in_flight) + Counter(review.tenant for review in given)
            given += await self._grant(batches, flying, left, None if unsure else share)
        self._unsure = standing.degraded  # Redis may come back with leases that it had before
        return len(given)

    async def _grant(
        self, heads: Mapping[str, Sequence[Waiting]], in_flight: Mapping[str, int], slots: int, share: float | None
    ) -> list[Waiting]:
        """Give at most `slots` leases to these reviews in fair order; those that have theirs now."""
        given = [
            review
            for review in await self._in_order(heads, in_flight, slots, share)
            if await self._door.grant(review.tenant, review.review_id)
        ]
        if given:
            await self._waiting.dispatched([review.id for review in given])
        for review in given:
            self._turns += 1
            self._last[review.tenant] = self._turns
            self._people[review.tenant] -= not review.trusted
        return given

    async def _in_order(
        self, heads: Mapping[str, Sequence[Waiting]], in_flight: Mapping[str, int], slots: int, share: float | None
    ) -> list[Waiting]:
        """Whose turn it is, at most `slots` of them, without those who would need people that have no time.

        `share` is the part of each tenant's bound that holds now; None leaves the bounds to the door.
        """
        weights: dict[str, float] = {}
        caps: dict[str, int] = {}
        queues: dict[str, deque[Waiting]] = {}
        for tenant, reviews in heads.items():
            limits = await self._services.limits.tenant(tenant)
            weights[tenant] = limits.weight
            if share is not None:
                caps[tenant] = _part(limits.in_flight, share)
            people = self._people.setdefault(tenant, limits.attention)
            queues[tenant] = deque()
            for review in reviews:
                if review.trusted or people > 0:
                    queues[tenant].append(review)
                    people -= not review.trusted
        waiting = {tenant: len(queue) for tenant, queue in queues.items()}
        picks = order(waiting, in_flight, weights, slots, caps=caps, last=self._last)
        return [queues[tenant].popleft() for tenant in picks]

    # --- starts ---

    async def _start_due(self) -> int:
        """Start what has had its turn; how many Temporal has now. One that cannot be started keeps no other waiting."""
        due = await self._waiting.unstarted(BATCH + len(self._rows))
        self._rows = {row.id: self._rows[row.id] for row in due if row.id in self._rows}
        ready = [row for row in due if row.id not in self._rows or not self._rows[row.id].resting]
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(row: Due) -> bool:
            async with slots:
                return not self._temporal.resting and await self._try_start(row)

        there = await asyncio.gather(*(one(row) for row in ready))
        started = [row.id for row, is_there in zip(ready, there, strict=True) if is_there]
        if started:
            self._temporal.reset()
            await self._waiting.started(started)
        return len(started)

    async def _try_start(self, row: Due) -> bool:
        """Whether Temporal has the review's workflow now."""
        try:
            return await self._start(row)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                if not self._temporal.resting:
                    self._temporal.failed()
                    _log.warning("Temporal takes no starts: %s", error.status.name)
                return False
            reason = error.status.name
        except Exception as error:  # whatever is wrong with this one, the others must not wait for it
            reason = type(error).__name__
        self._rows.setdefault(row.id, Backoff(*ROW_S)).failed()
        _log.error("%s cannot be started, and is tried again: %s", row.workflow_id, reason)
        return False

    async def _start(self, row: Due) -> bool:
        """Start the workflow, once. Raises RPCError, and whatever a stored request raises that is none."""
        if row.sealed is None:
            # Started by hand: it runs already, unless somebody stopped it while it waited.
            if not await self._runs(row):
                await self._close(row, "its workflow was stopped while it waited")
            return True
        try:
            request = self._waiting.request(row)
        except NotFound:  # erased meanwhile: there is nothing to review any more
            await self._close(row, "its content was erased while it waited")
            return False
        except VaultError:  # the master key is this database's, so no time will mend it
            _log.error("%s is closed: what was stored of it does not open", row.workflow_id)
            await self._close(row, "what was stored of it does not open: it was sealed with another key, or damaged")
            return False
        limits = await self._services.limits.tenant(row.tenant)

        async def start(policy: WorkflowIDReusePolicy) -> None:
            await self._client.start_workflow(
                ReviewWorkflow.run,
                request,
                id=row.workflow_id,
                task_queue=options.REVIEWS_QUEUE,
                id_reuse_policy=policy,
                priority=options.priority(
                    self._services.pseudonyms.of("tenant", row.tenant),
                    limits.weight,
                    options.BATCH_KEY if row.batch else options.INTERACTIVE_KEY,
                ),
                rpc_timeout=START_TIMEOUT,
            )

        # What is there runs, or ran, as this review. Only if it ended without ever having been admitted (somebody used
        # the id for another document) the id is free for the review that it belongs to.
        with contextlib.suppress(WorkflowAlreadyStartedError):
            try:
                await start(WorkflowIDReusePolicy.REJECT_DUPLICATE)
            except WorkflowAlreadyStartedError:
                if not await self._runs(row) and await self._waiting.run_id(row.tenant, row.review_id) is None:
                    await start(WorkflowIDReusePolicy.ALLOW_DUPLICATE)
        return True

    async def _runs(self, row: Due) -> bool:
        try:
            described = await self._client.get_workflow_handle(row.workflow_id).describe(rpc_timeout=START_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return described.status is WorkflowExecutionStatus.RUNNING

    async def _close(self, row: Due, reason: str) -> None:
        """End a review that will never run."""
        await self._waiting.close(row.tenant, row.review_id, Outcome.FAILED, reason=reason, dispatched=True)
        await self._door.release(row.tenant, row.review_id)

    # --- now and then ---

    async def _sync(self) -> None:
        """Tell the door what the room is, and whose reviewers have no time."""
        (waiting, batches), demand = await self._waiting.ids(), await self._waiting.demand()
        self._people = {
            tenant: (await self._services.limits.tenant(tenant)).attention - demand.get(tenant, 0)
            for tenant in {*waiting, *batches, *demand}
        }
        held = [tenant for tenant, left in self._people.items() if left <= 0]
        await self._door.sync(waiting, held, batches)
        self._synced = monotonic()

    async def _clean(self) -> None:
        """Remove what uploads left behind that came to nothing."""
        dropped, self._clean_since = await self._services.documents.drop_leftovers(self._clean_since)
        if dropped:
            _log.info("removed %d chunks of uploads that came to nothing", dropped)
        self._cleaned = monotonic()


def _only(heads: Mapping[str, Sequence[Waiting]], *, batch: bool) -> dict[str, list[Waiting]]:
    """Those that are of batches, or those that are not."""
    chosen = {tenant: [one for one in reviews if one.batch is batch] for tenant, reviews in heads.items()}
    return {tenant: reviews for tenant, reviews in chosen.items() if reviews}


def _part(limit: int, share: float) -> int:
    """A share of a limit, at least one."""
    return max(1, int(limit * share))


@asynccontextmanager
async def dispatching(client: Client, services: Services) -> AsyncIterator[None]:
    """A dispatcher for as long as the block lasts."""
    task = asyncio.create_task(Dispatcher(client, services).run(), name="dispatcher")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
