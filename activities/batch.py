"""batch: begin items, watch them until the machine is done with them, write down where the batch stands.

What stands behind a position is in Postgres. Each step may be repeated with the effect of once: an item's review has
the id that was chosen for it when it was stored.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import telling_the_door, typed_errors
from countersign.batch.payloads import (
    ERASED,
    BatchFacts,
    BatchKey,
    BatchKind,
    BatchOrder,
    BatchStanding,
    BeginInput,
    BeginResult,
    Ended,
    WatchInput,
    WatchResult,
)
from countersign.batch.rerun import rerun_key, rerun_workflow_id
from countersign.errors import CountersignError, NotFound, Overloaded, RateLimited, ServiceUnavailable
from countersign.review.payloads import Failure, ReviewKey, ReviewRequest, Usage
from countersign.services import Services
from countersign.store.batches import Item
from countersign.words import Outcome

LOOK_S = 0.5
"""Between two looks at the items under way."""
GATHER_S = 1.0
"""After the first that ended, others are waited for this long: one step for several is cheaper than one for each."""
ASK_TIMEOUT = timedelta(seconds=5)
LOST = {
    WorkflowExecutionStatus.TERMINATED: "terminated outside Countersign",
    WorkflowExecutionStatus.CANCELED: "cancelled outside Countersign",
    WorkflowExecutionStatus.TIMED_OUT: "its workflow ran out of time",
    WorkflowExecutionStatus.FAILED: "its workflow failed",
}
"""Ends of a workflow that tell nobody how its item ended, in words for the report."""
LEASE_AGAIN_S = 2.0
"""A rerun that got no lease asks again after this."""


class Batches:
    """What a batch's workflow does outside of itself."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @activity.defn
    async def open_batch(self, key: BatchKey) -> BatchFacts:
        """What the workflow needs to know. Raises NotFound for good when there is no such batch."""
        with typed_errors():
            row = await self._services.batches.row(key)
            limits = await self._services.limits.tenant(key.tenant)
            return BatchFacts(
                kind=row.kind,
                items=row.items,
                window=row.window_size,
                tenant_hash=self._services.pseudonyms.of("tenant", key.tenant),
                weight=limits.weight,
            )

    @activity.defn
    async def begin(self, given: BeginInput) -> BeginResult:
        """Begin items in order, until the door asks for patience. A broken one ends by itself and stops no other."""
        with typed_errors():
            row = await self._services.batches.row(given.key)
            order = await self._services.batches.order(given.key)
            begun: list[int] = []
            ended: list[Ended] = []
            for item in await self._services.batches.items(given.key, given.positions):
                try:
                    how = item.ended or await self._begin(given.key, row.kind, order, item)
                except (RateLimited, Overloaded) as refused:
                    return BeginResult(
                        begun=tuple(begun),
                        ended=tuple(ended),
                        retry_after_s=max(1.0, refused.retry_after_s),
                        waits_for=refused.message,
                    )
                activity.heartbeat(item.position)
                if how is None:
                    begun.append(item.position)
                else:
                    ended.append(Ended(position=item.position, how=how))
        return BeginResult(begun=tuple(begun), ended=tuple(ended))

    async def _begin(self, key: BatchKey, kind: BatchKind, order: BatchOrder, item: Item) -> str | None:
        """Begin one item; how it ended if it did at once. Raises RateLimited and Overloaded, to ask again later."""
        if item.failure:
            await self._services.batches.end(key, item.position, Outcome.FAILED, await self._why(key, item))
            return Outcome.FAILED
        if kind is BatchKind.RERUN:
            return await self._begin_rerun(key, item)
        request = ReviewRequest(
            tenant=key.tenant, user=order.user, playbook=order.playbook, ask=order.ask, review_id=item.review_id
        )
        try:
            intake = self._services.intake
            async with intake.entering(key.tenant, order.user, item.review_id, batch_id=key.batch_id) as place:
                document = await self._services.documents.ref(key.tenant, item.document_id or "")
                await place.accept(request, document)
        except (RateLimited, Overloaded, ServiceUnavailable):
            raise
        except CountersignError as error:
            how = ERASED if isinstance(error, NotFound) else Outcome.FAILED
            failure = Failure(type=error.type, message=error.message, remedy=error.remedy)
            await self._services.batches.end(key, item.position, how, failure)
            return how
        return None

    async def _begin_rerun(self, key: BatchKey, item: Item) -> str | None:
        """A lease for the rerun, as for a review, so that it takes no more of the machine than batches may."""
        house = await self._services.limits.everyone()
        most = max(1, int(house.in_flight_all * house.batch_share))
        standing = await self._services.door.standing()
        if sum(standing.in_flight.values()) >= most or not await self._services.door.grant(
            key.tenant, rerun_key(key, item.position)
        ):
            raise Overloaded("the machine is busy with reviews that somebody waits for", retry_after_s=LEASE_AGAIN_S)
        return None

    async def _why(self, key: BatchKey, item: Item) -> Failure:
        rows = await self._services.batch_results.of(key)
        message = next((row.message for row in rows if row.position == item.position), "")
        return Failure(type=item.failure, message=message)

    @activity.defn
    async def watch(self, given: WatchInput) -> WatchResult:
        """Wait until the machine is done with some of the items, or patience ends."""
        batches, key = self._services.batches, given.key
        with typed_errors():
            kind = (await batches.row(key)).kind
            look = batches.ended if kind is BatchKind.RERUN else batches.settled
            until = time.monotonic() + given.patience_s
            # Of reviews few are silent, so each look begins with them; of reruns all are, and they are asked about only
            # where nothing else happens.
            if kind is BatchKind.REVIEW:
                await self._end_lost(key, kind, given.positions)
            while not (ended := await look(key, given.positions)):
                activity.heartbeat()
                if time.monotonic() >= until:
                    await self._end_lost(key, kind, given.positions)
                    ended = await look(key, given.positions)
                    return WatchResult(ended=ended, waits_for="" if ended else await self._waits_for(key))
                await asyncio.sleep(LOOK_S)
            if len(ended) < len(given.positions):
                await asyncio.sleep(GATHER_S)
                ended = await look(key, given.positions)
            return WatchResult(ended=ended)

    async def _end_lost(self, key: BatchKey, kind: BatchKind, positions: Sequence[int]) -> None:
        """End items whose workflow is gone: nobody is left to say how they ended."""
        for item in await self._services.batches.silent(key, positions):
            rerun = kind is BatchKind.RERUN
            activity.heartbeat()
            if why := await lost(rerun_workflow_id(key, item.position) if rerun else item.workflow_id):
                await self._services.batches.end(key, item.position, Outcome.FAILED, why)
                if rerun:
                    await close_rerun(self._services, key, item.position)
                await _release(self._services, key, rerun_key(key, item.position) if rerun else item.review_id)

    async def _waits_for(self, key: BatchKey) -> str:
        """Why nothing moves, where that can be told."""
        attention = (await self._services.limits.tenant(key.tenant)).attention
        if (demand := (await self._services.waiting.demand()).get(key.tenant, 0)) >= attention:
            return f"{demand} reviews occupy the tenant's reviewers, who may have {attention}: sign some, or raise it"
        return ""

    @activity.defn
    async def project_batch(self, standing: BatchStanding) -> None:
        """Write down where the batch stands."""
        with typed_errors():
            await self._services.batches.project(standing)

    @activity.defn
    async def forget(self, given: BeginInput) -> int:
        """Items from the first of these positions on will not begin; contracts taken in for them are erased."""
        with typed_errors():
            return await self._services.batches.forget(given.key, given.positions[0])


async def lost(workflow_id: str) -> Failure | None:
    """Why nothing more will come of a workflow; None while it runs, or when it came to its own end.

    Asked is about its newest run: one that was reset goes on in another. Raises RPCError when Temporal cannot say.
    """
    try:
        described = await activity.client().get_workflow_handle(workflow_id).describe(rpc_timeout=ASK_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        why: str | None = "its workflow was deleted outside Countersign"
    else:
        why = LOST.get(described.status) if described.status else None
    return Failure(type="WorkflowLost", message=why, remedy="Submit the contract again") if why else None


async def close_rerun(services: Services, key: BatchKey, position: int) -> Usage:
    """Settle what a rerun took, as a review is settled.

    What its agents kept meanwhile was sealed with a key of the rerun's own, which erasing the review would not reach:
    neither outlives the rerun.
    """
    own = ReviewKey(tenant=key.tenant, review_id=rerun_key(key, position), workflow_id=rerun_workflow_id(key, position))
    await services.runs.settle(own.workflow_id)
    usage = await services.ledger.settle(own)
    await services.batches.destroy_key(own)
    return usage


async def release_lease(services: Services, key: BatchKey, position: int) -> None:
    """Give a rerun's lease back."""
    await _release(services, key, rerun_key(key, position))


async def _release(services: Services, key: BatchKey, holder: str) -> None:
    with telling_the_door():
        await services.door.release(key.tenant, holder)
