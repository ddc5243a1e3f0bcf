"""What one can do with batches, for every way in. No terminal in here; beside `client`, whose servers it uses.

Taking in needs Postgres alone: when it returns, every contract is stored and sealed, and a worker starts the batch.
Interrupted, it is repeated: what is there already is left as it is.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING

from countersign.batch.payloads import (
    MAX_WINDOW,
    BatchKey,
    BatchKind,
    BatchOrder,
    BatchStanding,
    BatchState,
)
from countersign.batch.rerun import batch_workflow_id
from countersign.document.read import sniff
from countersign.errors import DecisionRefused, DocumentError, InvalidRequest, NotFound, ServiceUnavailable
from countersign.playbook.load import load_playbook
from countersign.review.ids import base32
from countersign.review.payloads import Failure, ReviewRequest
from countersign.store.batches import BatchRow, NewItem
from starters.client import ReviewClient
from starters.refusals import STARTING, temporal_errors

if TYPE_CHECKING:
    from countersign.services import Services

STORED_AT_ONCE = 8
QUERY_TIMEOUT = timedelta(seconds=3)
UPDATE_TIMEOUT = timedelta(seconds=30)
POLL_S = 1.0
BEGIN_S = 5.0
"""How long a command waits for a batch that is about to begin."""


@dataclass(frozen=True)
class NewContract:
    """One contract to take in: its name for the report, its SHA-256, and how its bytes are read."""

    name: str
    sha256: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class TakenIn:
    """A batch that is stored. `existing`: all of it was there before. `refused`: items that can be no review."""

    batch: BatchRow
    existing: bool
    refused: int


@dataclass(frozen=True)
class BatchView:
    """Where a batch stands. `live` is False when it is what was stored last. `waiting`: items that wait for people."""

    batch: BatchRow
    standing: BatchStanding
    waiting: int
    live: bool = True


def digest_of(order: BatchOrder, contracts: Sequence[NewContract]) -> str:
    """What makes the same order of the same contracts the same batch."""
    whole = hashlib.sha256()
    for part in (order.user, order.playbook, order.ask, *(f"{one.sha256} {one.name}" for one in contracts)):
        whole.update(f"{len(part.encode())}:".encode() + part.encode())
    return whole.hexdigest()


def batch_id_of(digest: str) -> str:
    """The id of a batch that was given none."""
    return f"b{base32(int(digest[:14], 16) & ((1 << 55) - 1), 11)}"


async def take_in(  # noqa: PLR0913 - what a batch is made of
    client: ReviewClient,
    tenant: str,
    order: BatchOrder,
    contracts: Sequence[NewContract],
    *,
    window: int,
    batch_id: str | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> TakenIn:
    """Store a batch of contracts. `told` hears how many are there.

    Raises `InvalidRequest` (a bad id or window, a file that changed meanwhile, or the id of another batch),
    `PlaybookError` and `ServiceUnavailable`; repeated, it goes on where it stopped.
    """
    if not 1 <= window <= MAX_WINDOW:
        raise InvalidRequest(f"window: {window} is not between 1 and {MAX_WINDOW}")
    load_playbook(client.settings.playbooks, order.playbook)
    digest = digest_of(order, contracts)
    key = BatchKey(tenant=tenant, batch_id=batch_id or batch_id_of(digest))
    # What the workflow will ask for is checked now, while somebody is there to mend it.
    _request(key, order, 0)
    services = await client.services()
    user_hash = services.pseudonyms.of("user", order.user)
    row = await services.batches.open(
        key, BatchKind.REVIEW, order, digest=digest, user_hash=user_hash, items=len(contracts), window=window
    )
    stored = await services.batches.stored(key) if row.ready_at is None else frozenset(range(len(contracts)))
    slots, there, refused = asyncio.Semaphore(STORED_AT_ONCE), len(stored), 0

    async def one(position: int, contract: NewContract) -> None:
        nonlocal there, refused
        async with slots:
            refused += not await _store(services, key, position, contract)
            there += 1
            told(there)

    told(there)
    try:
        async with asyncio.TaskGroup() as tasks:
            for position, contract in enumerate(contracts):
                if position not in stored:
                    tasks.create_task(one(position, contract))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    await services.batches.ready(key)
    return TakenIn(await services.batches.row(key), existing=row.ready_at is not None, refused=refused)


async def _store(services: "Services", key: BatchKey, position: int, contract: NewContract) -> bool:
    """Store one contract and its item; False when it can be no review, and is an item that failed."""
    data = await asyncio.to_thread(contract.read)
    if hashlib.sha256(data).hexdigest() != contract.sha256:
        raise InvalidRequest(
            f"{contract.name}: changed while the batch was taken in", remedy="Submit again when nobody writes to it"
        )
    review_id = review_id_of(key, position)
    try:
        media_type = sniff(data, PurePath(contract.name).name)
    except DocumentError as error:
        failure = Failure(type=error.type, message=error.message, remedy=error.remedy)
        await services.batches.add(key, NewItem(position, review_id, contract.name, None, failure))
        return False
    document = await services.documents.put(key.tenant, review_id, data, media_type)
    await services.batches.add(key, NewItem(position, review_id, contract.name, document))
    return True


def review_id_of(key: BatchKey, position: int) -> str:
    """The review of an item: the same whenever it is submitted."""
    return f"{key.batch_id}-{position + 1:05d}"


def _request(key: BatchKey, order: BatchOrder, position: int) -> ReviewRequest:
    from pydantic import ValidationError

    try:
        return ReviewRequest(
            tenant=key.tenant,
            user=order.user,
            playbook=order.playbook,
            ask=order.ask,
            review_id=review_id_of(key, position),
        )
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = {"review_id": "id"}.get(str(problem["loc"][0]), str(problem["loc"][0]))
        raise InvalidRequest(f"{field}: {problem['msg']}", remedy="See 'countersign batch submit --help'") from None


async def choose(  # noqa: PLR0913 - what a rerun is made of
    client: ReviewClient,
    tenant: str,
    order: BatchOrder,
    *,
    since: datetime,
    until: datetime,
    of_playbook: str | None,
    limit: int,
    window: int,
    batch_id: str | None = None,
) -> BatchRow:
    """Enter a rerun of the tenant's stored reviews from `since` to `until`, the newest first.

    Raises `NotFound` when there are none, `InvalidRequest` for an id that is another order's.
    """
    services = await client.services()
    if order.other_playbook is not None:
        load_playbook(client.settings.playbooks, order.other_playbook)
    said = f"{order.model}|{order.other_playbook}|{of_playbook}|{limit}"
    digest = hashlib.sha256(said.encode()).hexdigest()
    made = hashlib.sha256(f"{said}|{since.isoformat()}|{until.isoformat()}".encode()).hexdigest()
    key = BatchKey(tenant=tenant, batch_id=batch_id or batch_id_of(made))
    _request(key, order, 0)
    try:
        row = await services.batches.row(key)
    except NotFound:
        ids = await services.batches.choose(tenant, since, until, of_playbook, limit)
        if not ids:
            raise NotFound(
                f"no review of tenant {tenant!r} since {since:%Y-%m-%d %H:%M}Z has an analysis to compare with",
                remedy="Give an earlier --since, or see 'countersign list'",
            ) from None
        user_hash = services.pseudonyms.of("user", order.user)
        await services.batches.open_rerun(key, order, ids, digest=digest, user_hash=user_hash, window=window)
        row = await services.batches.row(key)
    if (row.kind, row.digest) != (BatchKind.RERUN, digest):
        raise InvalidRequest(f"batch {key.batch_id}: is another order", remedy="Give another --id")
    return row


async def look(client: ReviewClient, key: BatchKey) -> BatchView:
    """Where a batch stands: asked of its workflow, else as stored. Raises `NotFound`."""
    from temporalio.client import WorkflowQueryFailedError
    from temporalio.service import RPCError

    services = await client.services()
    row = await services.batches.row(key)
    waiting = await services.batches.people_wait(key)
    if row.started_at is not None and not row.state.is_over:
        try:
            handle = (await client.temporal()).get_workflow_handle(batch_workflow_id(key))
            standing = await handle.query("status", result_type=BatchStanding, rpc_timeout=QUERY_TIMEOUT)
        except (RPCError, WorkflowQueryFailedError, ServiceUnavailable):
            pass  # the stored one answers
        else:
            return BatchView(row, standing, waiting)
    ended = dict(await services.batches.counts(key))
    standing = BatchStanding(
        tenant=key.tenant,
        batch_id=key.batch_id,
        state=row.state,
        items=row.items,
        begun=sum(ended.values()),
        ended=ended,
        waits_for=row.waits_for,
    )
    return BatchView(row, standing, waiting, live=row.state.is_over or row.started_at is None)


async def follow(client: ReviewClient, key: BatchKey, *, timeout_s: float | None = None) -> AsyncIterator[BatchView]:
    """Yield the standing about once a second, the last one when the machine is done. Raises as `look` does.

    Raises `ServiceUnavailable` when that takes longer than `timeout_s` seconds.
    """
    loop = asyncio.get_running_loop()
    until = None if timeout_s is None else loop.time() + timeout_s
    while True:
        view = await look(client, key)
        yield view
        if view.standing.state.is_over and view.batch.state.is_over:
            return
        if view.standing.state is BatchState.STORING:
            raise InvalidRequest(
                f"batch {key.batch_id}: not all of its contracts are taken in",
                remedy="Repeat the 'countersign batch submit' that was interrupted",
            )
        if until is not None and loop.time() >= until:
            raise ServiceUnavailable(
                f"batch {key.batch_id} was not done within {timeout_s:g} s; it goes on by itself",
                remedy="Look again with 'countersign batch watch'",
            )
        await asyncio.sleep(POLL_S)


async def command(client: ReviewClient, key: BatchKey, what: str) -> BatchView:
    """Have a batch `pause`, `resume` or `cancel`. Raises `DecisionRefused` when it is over, else as `look` does."""
    view = await look(client, key)
    until = asyncio.get_running_loop().time() + BEGIN_S
    # Stored a moment ago, it is in a worker's hands within a second.
    while view.batch.state is BatchState.READY and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(POLL_S / 4)
        view = await look(client, key)
    if view.batch.state.is_over:
        raise _over(view.batch)
    if view.batch.started_at is None:
        raise _not_begun(view.batch)
    handle = (await client.temporal()).get_workflow_handle(batch_workflow_id(key))
    with temporal_errors(_over(view.batch)):
        standing = await handle.execute_update(what, result_type=BatchStanding, rpc_timeout=UPDATE_TIMEOUT)
    return replace(view, standing=standing)


def _not_begun(row: BatchRow) -> ServiceUnavailable:
    if row.state is BatchState.STORING:
        return ServiceUnavailable(
            f"batch {row.batch_id} has not begun: not all of its contracts are taken in",
            remedy="Repeat the 'countersign batch submit' that was interrupted",
        )
    return ServiceUnavailable(
        f"batch {row.batch_id} has not begun: no worker serves the queue 'batch'",
        remedy=f"{STARTING}: try again; else start one with 'countersign worker'",
    )


def _over(row: BatchRow) -> DecisionRefused:
    return DecisionRefused(
        f"batch {row.batch_id} is over: {row.state}", remedy="See what came of it with 'countersign batch report'"
    )
