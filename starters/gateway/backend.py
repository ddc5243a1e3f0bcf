"""What stands behind the gateway: servers that are connected to when they are there, and looked after while it runs.

None of them being away, at the start or later, ends the process. Taking a review in needs Postgres alone.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from countersign.access.permissions import Action, allowed, sees_only_own
from countersign.access.principal import Principal
from countersign.access.sessions import Session
from countersign.errors import InvalidRequest, NotFound, PlaybookError, ServiceUnavailable
from countersign.playbook.load import load_playbook
from countersign.settings import Settings
from countersign.store.reviews import ReviewRow
from starters.client import ReviewClient, Standing
from starters.gateway.bodies import Memory
from starters.gateway.metrics import Metrics

if TYPE_CHECKING:
    from countersign.services import Services

SERVERS = ("postgres", "redis", "temporal", "dispatcher")
"""What the gateway looks after. The dispatcher is a worker's: none leads when no worker serves `reviews`."""
PATIENCE_S = 3.0
"""How long a request waits for a connection to Postgres, and for each of its answers."""
LOOK_EVERY_S = 1.0
LOOK_S = 2.0
"""How often the servers are asked whether they are there, and how long each may take."""
QUERIES = 16
"""Workflows asked at once where they stand; beyond, the stored projection answers: polling is no load on workers."""

_REVIEW_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
_log = logging.getLogger("countersign.gateway")


class Backend:
    """One gateway process's handles. Made by `open`."""

    def __init__(self, settings: Settings, client: ReviewClient, metrics: Metrics) -> None:
        self.settings = settings
        self.client = client
        self.metrics = metrics
        self.incoming = Memory()
        self.outgoing = Memory()
        self.closing = asyncio.Event()
        """Set when the process is to end: streams end themselves."""
        self.up: dict[str, bool] = dict.fromkeys(SERVERS, False)
        """Which servers answered last time."""
        self._services: Services | None = None
        self._opening: asyncio.Task[Services] | None = None
        self._queries = asyncio.Semaphore(QUERIES)

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, metrics: Metrics) -> AsyncIterator["Backend"]:
        """Handles for as long as the block lasts; connects in the background."""
        async with ReviewClient.open(settings, patience_s=PATIENCE_S) as client:
            backend = cls(settings, client, metrics)
            await asyncio.to_thread(_warm, settings)
            await backend.look()
            watching = asyncio.create_task(backend._watch(), name="watch servers")
            try:
                yield backend
            finally:
                tasks = [task for task in (watching, backend._opening) if task is not None]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    # --- servers ---

    async def services(self) -> "Services":
        """Stores and intake. Raises `ServiceUnavailable` when Postgres does not answer soon.

        It does so at once while Postgres did not answer the last look: nobody waits to learn what is known.
        """
        if self._services is not None and not self.up["postgres"]:
            raise ServiceUnavailable("PostgreSQL does not answer")
        return await self._opened()

    async def _opened(self) -> "Services":
        if self._services is not None:
            return self._services
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open())
            # Every request that waited for it may have been given up by then.
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(PATIENCE_S):
                # Shielded: a request that is given up must not take the connection from the others who wait for it.
                self._services = await asyncio.shield(self._opening)
        except TimeoutError:
            raise ServiceUnavailable("PostgreSQL does not answer yet") from None
        return self._services

    async def _open(self) -> "Services":
        try:
            services = await self.client.services()
            await services.bring_up_to_date()
            self.client.signing_key = await services.gateway_key()
        except InvalidRequest as error:
            # A setting is wrong, which is no fault of who asks: it is said to who runs this.
            _log.error("%s", error)
            raise ServiceUnavailable("the gateway is not set up right") from None
        return services

    async def look(self) -> None:
        """Ask every server whether it is there."""
        answers = await asyncio.gather(*(self._answers(server) for server in SERVERS))
        for server, up in zip(SERVERS, answers, strict=True):
            if up != self.up[server]:
                _log.log(logging.INFO if up else logging.WARNING, "%s %s", server, "answers" if up else "is away")
            self.up[server] = up
            self.metrics.up.labels(server).set(up)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self.look()

    async def _answers(self, server: str) -> bool:
        try:
            async with asyncio.timeout(LOOK_S):
                if server == "temporal":
                    return await (await self.client.temporal()).service_client.check_health()
                services = await self._opened()
                if server == "dispatcher":
                    return await services.waiting.is_dispatched()
                await (services.db.ping() if server == "postgres" else services.redis.ping())
        except Exception as error:
            # Whatever it is, it does not answer; and nothing may end the watch.
            _log.debug("%s: %s", server, type(error).__name__)
            return False
        return True

    @property
    def degraded(self) -> tuple[str, ...]:
        """What is away. Without any of it but Postgres, reviews are still taken in."""
        services = self._services
        alone = services is not None and (services.door.degraded or services.circuits.degraded)
        return tuple(server for server in SERVERS if not self.up[server] or (server == "redis" and alone))

    # --- people ---

    async def authenticate(self, authorization: str | None) -> Principal:
        """Who asks. Raises `Unauthenticated`, `Forbidden` and `ServiceUnavailable`."""
        return await (await self.services()).authenticator.authenticate(authorization)

    async def person_of(self, session: Session) -> Principal:
        """Whose session it is, judged anew by what they signed in with. Raises as `authenticate` does."""
        if not session.from_issuer:
            return await self.authenticate(f"Bearer {session.credentials}")
        return await (await self.services()).authenticator.authenticate_id_token(session.credentials)

    # --- reviews ---

    async def row(self, who: Principal, review_id: str, action: Action) -> ReviewRow:
        """The review's row, if `who` may do `action` to it.

        Raises `NotFound`, in the same words whether there is none or it is somebody else's.
        """
        if _REVIEW_ID.fullmatch(review_id):
            try:
                row = await (await self.services()).reviews.row(review_id, tenant=who.tenant)
            except NotFound:
                raise no_such_review() from None
            if row.review_id == review_id and (row.user_hash == who.user_hash or not sees_only_own(who, action)):
                return row
        raise no_such_review()

    async def standing(self, row: ReviewRow, *, as_reviewer: bool) -> Standing:
        """Where a review stands: asked of its workflow while there is one, else, or when that has no answer, as stored.

        Who does not review it (`as_reviewer`) is shown it without a vigilance probe, which what is stored never has.

        Before its turn and after its end, what Postgres has is the truth.
        """
        begun = not row.waits_for_its_turn
        if begun and row.outcome is None and self.up["temporal"] and not self._queries.locked():
            async with self._queries:
                with contextlib.suppress(ServiceUnavailable):
                    return await self.client.status(row.tenant, row.review_id, as_reviewer=as_reviewer)
        services = await self.services()
        status = await services.reviews.status(row.review_id, tenant=row.tenant)
        if not begun and (turn := await services.intake.turn(row.tenant, row.review_id)) is not None:
            status = status.model_copy(update={"ahead": turn.ahead, "estimate_s": turn.estimate_s})
        return Standing(status, live=row.outcome is not None or not begun)

    @staticmethod
    def knows_why(who: Principal) -> bool:
        """Whether a person may see which signals fired. Who only asks for reviews may be trying the sentinel out."""
        return allowed(who, Action.READ_TRAIL)


def _warm(settings: Settings) -> None:
    """Read the playbooks once: the first takes a fifth of a second, which nobody should have to wait for."""
    for file in settings.playbooks.glob("*.toml"):
        with contextlib.suppress(PlaybookError):  # said to who asks for it
            load_playbook(settings.playbooks, file.stem)


def no_such_review() -> NotFound:
    """What is said of a review that is not there, and of one that is not the asker's to see."""
    return NotFound("there is no such review", remedy="GET /v1/reviews lists those you may see")
