"""The one way in for a review: past the door, with its document into the store, and its row committed.

Gateway, command line and the workflow's own first activity use it alike. "Accepted" means that document and row are
durable in Postgres; what comes after that is the dispatcher's work.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import PurePath

from countersign.admission.door import Door
from countersign.admission.entry import Ask, Entry, Place, Refused
from countersign.admission.fair import ahead_of, turn_in
from countersign.admission.limits import LimitBook
from countersign.document.read import PLAIN, sniff
from countersign.errors import InvalidRequest, Overloaded, RateLimited
from countersign.playbook.load import load_playbook
from countersign.review.ids import new_review_id, workflow_id_of
from countersign.review.payloads import DocumentRef, ReviewKey, ReviewRequest
from countersign.settings import Settings
from countersign.store.acceptances import Acceptances, NewReview
from countersign.store.documents import DocumentStore, Upload
from countersign.store.reviews import ReviewStore
from countersign.store.waiting import WaitingStore
from countersign.trail.pseudonym import Pseudonyms


@dataclass(frozen=True)
class Accepted:
    """A review that is durable in Postgres. `existing`: this very review had been accepted before.

    `ahead` and `estimate_s` (seconds until its turn) are what the door said; `entry` is its whole answer.
    """

    review_id: str
    workflow_id: str
    tenant: str
    playbook: str
    document: DocumentRef
    existing: bool
    in_flight: bool
    ahead: int
    estimate_s: float
    entry: Entry


@dataclass(frozen=True)
class Running:
    """The workflow of a review that was started by hand and asks to be let in."""

    workflow_id: str
    run_id: str


@dataclass(frozen=True)
class Turn:
    """Where a review stands in the waiting room: how many are dispatched before it, and in how many seconds it is."""

    ahead: int
    estimate_s: float


class Entering:
    """A review that is past the door and has yet to be accepted. Made by `Intake.entering`."""

    def __init__(
        self, intake: "Intake", ask: Ask, entry: Entry, running: Running | None, batch_id: str | None = None
    ) -> None:
        self.ask = ask
        self.entry = entry
        self.running = running
        self.batch_id = batch_id
        self.accepted = False
        self._intake = intake

    async def accept(self, request: ReviewRequest, source: Upload | DocumentRef, name: str = "") -> Accepted:
        """Commit the review with its document: when this returns, both are durable.

        `source` is what was uploaded, or a document the tenant has stored already; `name` tells a type where the bytes
        alone do not (a suffix). Nothing is committed on an error: DocumentError (no type we read), PlaybookError
        (unknown playbook), InvalidRequest (the id stands for another document), NotFound (no such stored document),
        ServiceUnavailable.
        """
        accepted = await self._intake.commit(self, request, source, name)
        self.accepted = True
        return accepted


class Intake:
    """Lets reviews in. Safe to use from concurrent tasks."""

    def __init__(  # noqa: PLR0913 - everything an acceptance touches
        self,
        settings: Settings,
        *,
        pseudonyms: Pseudonyms,
        door: Door,
        limits: LimitBook,
        documents: DocumentStore,
        reviews: ReviewStore,
        acceptances: Acceptances,
        waiting: WaitingStore,
    ) -> None:
        self._settings = settings
        self._pseudonyms = pseudonyms
        self._door = door
        self._limits = limits
        self._documents = documents
        self._reviews = reviews
        self._acceptances = acceptances
        self._waiting = waiting

    @asynccontextmanager
    async def entering(  # noqa: PLR0913 - all that a review enters with
        self,
        tenant: str,
        user: str,
        review_id: str,
        *,
        fresh: bool = False,
        running: Running | None = None,
        batch_id: str | None = None,
    ) -> AsyncIterator[Entering]:
        """Pass the door with a review; unless it is accepted in the block, its place is given back.

        Raises `RateLimited` and `Overloaded` when the door refuses. A review that was accepted before is never refused,
        even when the door has forgotten it; of an id made just now (`fresh`) there is none, and none is looked for.
        One of a batch is charged to the tenant's batches, and goes after those that somebody waits for.
        """
        user_hash = self._pseudonyms.of("user", user)
        ask = Ask(tenant, user_hash, review_id, running=running is not None, batch=batch_id is not None)
        entry = await self._door.enter(ask)
        if entry.refused is not None:
            if fresh or not await self._reviews.exists(tenant, review_id):
                raise refusal(entry)
            entry = replace(entry, place=Place.ROOM, refused=None, existing=True, retry_after_s=0.0)
        entering = Entering(self, ask, entry, running, batch_id)
        try:
            yield entering
        finally:
            # The place of an earlier call is that call's: it may have been accepted.
            if entry.admitted and not entry.existing and not entering.accepted:
                await self._door.leave(tenant, review_id)

    def upload(self, tenant: str, review_id: str) -> Upload:
        """Begin to take in the document: `await upload.write(chunk)`, then `accept`. Bounded by `max_document_mb`."""
        max_bytes = int(self._settings.max_document_mb * 1_000_000)
        return self._documents.upload(tenant, review_id, max_bytes=max_bytes)

    async def submit(self, request: ReviewRequest, data: bytes, name: str, *, batch_id: str | None = None) -> Accepted:
        """Take in a review whose document is there as a whole. Raises as `entering`, `Upload.write` and `accept` do.

        With a `batch_id` it is bulk work: charged to the tenant's batches, after what somebody waits for.
        Without a `request.review_id` it gets a new one. With one it is the same review however often it is submitted.
        """
        fresh = request.review_id is None
        review_id = request.review_id or new_review_id()
        async with self.entering(request.tenant, request.user, review_id, fresh=fresh, batch_id=batch_id) as place:
            upload = self.upload(request.tenant, review_id)
            await upload.write(data)
            return await place.accept(request, upload, name)

    async def turn(self, tenant: str, review_id: str) -> Turn | None:
        """How long a review waits as things stand now; None when it does not wait (any more)."""
        line = await self._waiting.in_line(tenant, review_id)
        if line is None:
            return None
        house, standing = await self._limits.everyone(), await self._door.standing()
        others = standing.before(batch=line.batch)
        weights = {other: (await self._limits.tenant(other)).weight for other in {tenant, *others}}
        ahead = ahead_of(tenant, line.before, others, weights)
        free = max(0, house.in_flight_all - sum(standing.in_flight.values()))
        return Turn(ahead, turn_in(ahead, free, standing.rate))

    async def commit(
        self, place: Entering, request: ReviewRequest, source: Upload | DocumentRef, name: str
    ) -> Accepted:
        """What `Entering.accept` does."""
        tenant, review_id, running = place.ask.tenant, place.ask.review_id, place.running
        if (request.tenant, request.review_id or review_id) != (tenant, review_id):
            raise InvalidRequest("review_id: the door was asked about another review")
        playbook = load_playbook(self._settings.playbooks, request.playbook)
        if isinstance(source, DocumentRef):
            source = await self._documents.ref(tenant, source.document_id)
            media_type = source.media_type
        elif running is not None:
            media_type = PLAIN  # an inline text has no file name, and may begin like anything
        else:
            media_type = sniff(source.head, PurePath(name).name, whole=not source.chunked)
        workflow_id = running.workflow_id if running else workflow_id_of(tenant, review_id)
        review = NewReview(
            key=ReviewKey(tenant=tenant, review_id=review_id, workflow_id=workflow_id),
            user_hash=place.ask.user_hash,
            playbook=playbook.name,
            request=None if running else request.model_copy(update={"review_id": review_id}),
            run_id=running.run_id if running else None,
            in_flight=running is not None and place.entry.place is Place.FLIGHT,
            estimate_s=place.entry.estimate_s,
            batch_id=place.batch_id,
        )
        entered = await self._acceptances.accept(review, source, media_type)
        return Accepted(
            review_id=review_id,
            workflow_id=workflow_id,
            tenant=tenant,
            playbook=playbook.name,
            document=entered.document,
            existing=entered.existing,
            in_flight=entered.in_flight,
            ahead=place.entry.ahead,
            estimate_s=place.entry.estimate_s,
            entry=place.entry,
        )


_WHY = {
    Refused.USER_RATE: "this user has used up the reviews of an hour",
    Refused.TENANT_RATE: "this tenant has used up the reviews of an hour",
    Refused.COOLDOWN: "this user asked too often or for blocked reviews, and has to pause",
}


def refusal(entry: Entry) -> RateLimited | Overloaded:
    """The door's refusal as an error that says why, how long it lasts, and what can be done."""
    wait = span(entry.retry_after_s)
    if entry.refused is None or entry.refused is Refused.ROOM:
        return Overloaded(
            f"the waiting room has no place for this tenant now; one may be free in {wait}",
            remedy=f"Submit again in {wait}; `countersign limits` shows the room and who may enlarge it",
            retry_after_s=entry.retry_after_s,
            entry=entry,
        )
    allowed = f" ({entry.limit})" if entry.refused is Refused.USER_RATE else ""
    return RateLimited(
        f"{_WHY[entry.refused]}{allowed}",
        remedy=f"Submit again in {wait}; an administrator can change it with `countersign limits`",
        retry_after_s=entry.retry_after_s,
        reason=entry.refused,
        entry=entry,
    )


def span(seconds: float) -> str:
    """A wait for people, rounded up: "40 s", "12 min", "3 h"."""
    whole = max(1, -int(-seconds // 1))
    if whole < 120:
        return f"{whole} s"
    return f"{-(-whole // 60)} min" if whole < 7200 else f"{-(-whole // 3600)} h"
