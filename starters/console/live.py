"""News for open pages, as server-sent events: of one review its trail, of queue and batches that they have changed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response

from countersign.access.permissions import Action
from countersign.batch.payloads import BatchKey
from countersign.errors import InvalidRequest, ServiceUnavailable
from starters.console.batches import ROWS
from starters.console.listing import QUEUE_ROWS
from starters.console.page import signed_in
from starters.console.visit import SignedOut, Visit, visit_of
from starters.gateway.backend import Backend
from starters.gateway.events import KEEP_ALIVE_S, LIFETIME_S, RETRY_MS, EventStream, Following
from starters.gateway.reviews import backend_of

LOOK_EVERY_S = 2.0


@signed_in(Action.FOLLOW)
async def review_events(request: Request, visit: Visit) -> Response:
    """As the API's events, for the session in the cookie, from the entry that the page already shows."""
    backend = backend_of(request)
    row = await backend.row(visit.who, request.path_params["review_id"], Action.FOLLOW)
    after = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) <= 10):
        raise InvalidRequest("after: is no number of an event", remedy="Leave it out to begin at the start")
    following = Following(backend, row, int(after), facts=backend.knows_why(visit.who))
    if row.outcome is not None and await following.all_sent():
        return Response(status_code=204)
    return EventStream(_while_signed_in(request, following.events()), request.app.state.streams, visit.who.tenant)


@signed_in(Action.READ_QUEUE)
async def queue_events(request: Request, visit: Visit) -> Response:
    """One event `changed` whenever the queue looks different from before."""
    backend, tenant = backend_of(request), visit.who.tenant

    async def look() -> object:
        rows = await (await backend.services()).reviews.queue(tenant=tenant, limit=QUEUE_ROWS)
        return [(row.review_id, row.updated_at) for row in rows]

    return _stream(request, visit, look)


@signed_in(Action.READ_BATCHES)
async def batches_events(request: Request, visit: Visit) -> Response:
    """The same of the list of batches, or of the one that the address names."""
    backend, tenant, one = backend_of(request), visit.who.tenant, request.path_params.get("batch_id")

    async def look() -> object:
        services = await backend.services()
        store = services.batches
        rows = (
            await store.newest(tenant, ROWS)
            if one is None
            else [await store.row(BatchKey(tenant=tenant, batch_id=one))]
        )
        progress = await services.batch_results.progress(tenant, [row.batch_id for row in rows], datetime.now(UTC))
        # Not the pace: that changes with the clock.
        counts = [(batch_id, found.ended, found.waiting) for batch_id, found in progress.items()]
        return rows, counts

    await look()  # one that is not there is no stream either
    return _stream(request, visit, look)


def _stream(request: Request, visit: Visit, look: Callable[[], Awaitable[object]]) -> Response:
    events = _while_signed_in(request, _changes(backend_of(request), look))
    return EventStream(events, request.app.state.streams, visit.who.tenant)


async def _while_signed_in(request: Request, events: AsyncIterator[str]) -> AsyncIterator[str]:
    """The events for as long as the session lasts: a stream must not outlive the key it was opened with."""
    async for event in events:
        try:
            await visit_of(request)
        except SignedOut:
            yield "event: signed-out\ndata: {}\n\n"
            return
        except ServiceUnavailable:
            continue  # nobody can tell just now; what was missed is asked for again
        yield event


async def _changes(backend: Backend, look: Callable[[], Awaitable[object]]) -> AsyncIterator[str]:
    """An event whenever what `look` sees is not what it saw before; the first time too."""
    loop = asyncio.get_running_loop()
    ends_at, spoke_at, known = loop.time() + LIFETIME_S, loop.time(), ""
    yield f"retry: {RETRY_MS}\n\n"
    while loop.time() < ends_at and not backend.closing.is_set():
        text = ""
        try:
            seen = hashlib.sha256(repr(await look()).encode()).hexdigest()[:16]
        except ServiceUnavailable:
            seen = known
        if seen != known:
            text, known = f'event: changed\ndata: {{"version": "{seen}"}}\n\n', seen
        if not text and loop.time() - spoke_at > KEEP_ALIVE_S:
            text = ": still here\n\n"
        if text:
            spoke_at = loop.time()
            yield text
        try:
            async with asyncio.timeout(LOOK_EVERY_S):
                await backend.closing.wait()
        except TimeoutError:
            continue
