"""GET /v1/reviews/{id}/events: a review's trail as server-sent events, one an entry, resumable.

An event's id is its number on the trail. The last event, `ended`, has the number after the last entry's; who asks again
from there is answered 204, on which an EventSource stops asking. A stream ends after `LIFETIME_S`, so that who may no
longer look is found out; a client reconnects by itself and misses nothing.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from countersign.access.permissions import Action
from countersign.access.principal import Principal
from countersign.errors import InvalidRequest, Overloaded, ServiceUnavailable
from countersign.store.reviews import ReviewRow
from countersign.trail.chain import TrailRow
from starters.gateway.backend import Backend
from starters.gateway.bodies import ClientGone
from starters.gateway.openapi import EVENT_SCHEMA, operation_id, problems
from starters.gateway.reviews import backend_of, caller

MAX_STREAMS = 200
MAX_STREAMS_TENANT = 50
LIFETIME_S = 600.0
KEEP_ALIVE_S = 15.0
POLL_S = (0.25, 2.0)
"""How often the trail is looked at: at first, and at last while nothing happens."""
RETRY_MS = 2_000
"""What a client is told to wait before it reconnects."""

router = APIRouter(generate_unique_id_function=operation_id)


class Streams:
    """The streams open now, bounded in all and by tenant."""

    def __init__(self, total: int = MAX_STREAMS, per_tenant: int = MAX_STREAMS_TENANT) -> None:
        self._total = total
        self._per_tenant = per_tenant
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """How many there are."""
        return self._open.total()

    @contextmanager
    def one(self, tenant: str) -> Iterator[None]:
        """A stream for as long as the block lasts. Raises `Overloaded` when there are enough."""
        if self.open >= self._total or self._open[tenant] >= self._per_tenant:
            raise Overloaded(
                "too many event streams are open", remedy="Close some, or ask for the status", retry_after_s=5
            )
        self._open[tenant] += 1
        try:
            yield
        finally:
            self._open[tenant] -= 1
            if not self._open[tenant]:
                del self._open[tenant]


class EventStream(StreamingResponse):
    """A stream that counts as open until it has ended, however it ends."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[str], streams: Streams, tenant: str) -> None:
        # A proxy that buffers would hold back what is for now.
        super().__init__(events, headers={"X-Accel-Buffering": "no"})
        self._streams = streams
        self._tenant = tenant

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._streams.one(self._tenant):
            try:
                # A reader that takes nothing would never let the events find out that it is time to end.
                async with asyncio.timeout(LIFETIME_S + KEEP_ALIVE_S):
                    await super().__call__(scope, receive, send)
            except TimeoutError:
                raise ClientGone from None


@router.get(
    "/v1/reviews/{review_id}/events",
    response_class=Response,
    responses={
        200: {
            "description": "Events `waiting` (its place in the room), `stage` (an entry of the trail) and `ended`.",
            "content": {"text/event-stream": {"schema": EVENT_SCHEMA}},
        },
        204: {"description": "All of it was sent already."},
        **problems(401, 403, 404, 422, 503),
    },
)
async def follow(
    request: Request,
    review_id: str,
    who: Annotated[Principal, caller(Action.FOLLOW)],
    last_event_id: Annotated[str, Header(max_length=10)] = "",
) -> Response:
    """Follow a review: what happened so far after Last-Event-ID, then what happens, until it has ended."""
    backend = backend_of(request)
    row = await backend.row(who, review_id, Action.FOLLOW)
    if last_event_id and not (last_event_id.isascii() and last_event_id.isdigit()):
        raise InvalidRequest("Last-Event-ID: is no number of an event", remedy="Leave it out to begin at the start")
    after = int(last_event_id or 0)
    following = Following(backend, row, after, facts=backend.knows_why(who))
    if row.outcome is not None and await following.all_sent():
        return Response(status_code=204)
    return EventStream(following.events(), request.app.state.streams, who.tenant)


class Following:
    """One review being followed, from the event after number `sent`."""

    def __init__(self, backend: Backend, row: ReviewRow, sent: int, *, facts: bool) -> None:
        self._backend = backend
        self._row = row
        self._sent = sent
        self._facts = facts

    async def all_sent(self) -> bool:
        """Whether the client has everything of a review that has ended, `ended` included."""
        rows = await (await self._backend.services()).trail.rows(self._row.workflow_id)
        return self._sent > _last(rows)

    async def events(self) -> AsyncIterator[str]:
        """The events as text, with comments in between that keep the connection open."""
        loop = asyncio.get_running_loop()
        ends_at, spoke_at, pause = loop.time() + LIFETIME_S, loop.time(), POLL_S[0]
        waited: dict[str, Any] | None = None
        yield f"retry: {RETRY_MS}\n\n"
        while loop.time() < ends_at and not self._backend.closing.is_set():
            text = ""
            try:
                # In this order: when it has ended by then, its trail is whole.
                row = await (await self._backend.services()).reviews.row(self._row.review_id, tenant=self._row.tenant)
                rows = await (await self._backend.services()).trail.rows(row.workflow_id)
                text = "".join(self._stage(entry) for entry in rows if entry.sequence > self._sent)
                self._sent = max(self._sent, _last(rows))
                if row.outcome is not None:
                    yield text + _event("ended", {"outcome": row.outcome}, _last(rows) + 1)
                    return
                if row.waits_for_its_turn and (place := await self._place(row)) != waited:
                    waited = place
                    text += _event("waiting", place)
            except ServiceUnavailable:
                # It is away for a moment; what happens meanwhile is on the trail when it is back.
                pause = POLL_S[1]
            if text:
                pause = POLL_S[0]
            elif loop.time() - spoke_at > KEEP_ALIVE_S:
                text = ": still here\n\n"
            if text:
                spoke_at = loop.time()
                yield text
            await self._rest(pause)
            pause = min(pause * 1.5, POLL_S[1])

    async def _rest(self, seconds: float) -> None:
        """Wait, unless the process is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._backend.closing.wait()
        except TimeoutError:
            return

    async def _place(self, row: ReviewRow) -> dict[str, Any]:
        """Its place in the waiting room."""
        status = (await self._backend.standing(row, as_reviewer=False)).status
        return {"ahead": status.ahead, "estimate_s": status.estimate_s}

    def _stage(self, entry: TrailRow) -> str:
        """An entry of the trail as an event. What fired and who acted is not for who only asks for reviews."""
        data: dict[str, Any] = {"stage": entry.stage, "event": entry.event, "at": entry.created_at.isoformat()}
        if self._facts:
            data |= {"actor_hash": entry.actor_hash, "facts": entry.facts}
        return _event("stage", data, entry.sequence)


def _last(rows: tuple[TrailRow, ...]) -> int:
    return rows[-1].sequence if rows else 0


def _event(kind: str, data: dict[str, Any], number: int | None = None) -> str:
    """One event on the wire. JSON of one line, so that nothing in it can begin a line of its own."""
    lines = [f"event: {kind}", f"data: {json.dumps(data)}"]
    if number is not None:
        lines.insert(0, f"id: {number}")
    return "\n".join(lines) + "\n\n"
