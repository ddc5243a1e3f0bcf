"""A gateway without servers: the real application on small stand-ins for the stores, the door and the workflows."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
from fastapi import FastAPI
from redis.exceptions import ConnectionError as RedisAway

from countersign.access.authenticator import Authenticator
from countersign.access.oidc import OidcVerifier
from countersign.access.principal import Principal
from countersign.access.redirect import CodeFlow
from countersign.access.sessions import Sessions
from countersign.admission.entry import DoorStanding, Entry, Place
from countersign.admission.intake import Accepted, Turn
from countersign.batch.payloads import BatchKey, BatchKind, BatchState
from countersign.breaker.words import Standing as CircuitStanding
from countersign.document.model import DocumentText, Page
from countersign.errors import CountersignError, InvalidRequest, NotFound, ServiceUnavailable, Unauthenticated
from countersign.review.payloads import (
    Answer,
    Claim,
    ClaimReceipt,
    Decision,
    DocumentRef,
    EffectDecision,
    EffectReceipt,
    ReadReport,
    Receipt,
    ReviewRequest,
    ReviewStatus,
    SigningPolicy,
    SigningTerms,
    View,
    ViewRecord,
)
from countersign.review.proof import SigningKey
from countersign.settings import Settings
from countersign.store.batches import BatchRow
from countersign.store.reviews import ReviewRow
from countersign.store.vault import Vault
from countersign.trail.chain import TrailRow
from countersign.trail.pseudonym import Pseudonyms
from countersign.words import EffectState, Outcome, Role, Stage
from helpers.evidence import FakeEvidence, FakeShadow
from starters.client import Standing
from starters.gateway.app import build_app
from starters.gateway.backend import Backend
from starters.gateway.metrics import Metrics

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PSEUDONYMS = Pseudonyms(b"k" * 32)
BOUNDARY = "a-boundary"
MARK = "Zanzibarquux"
"""A word of every document and name in these tests; must be in no error, log or metric."""


def principal(user: str, *roles: Role, tenant: str = "acme") -> Principal:
    return Principal(tenant, user, PSEUDONYMS.of("user", user), frozenset(roles))


ANA = principal(f"ana {MARK}", Role.REQUESTER)
BOB = principal(f"bob {MARK}", Role.REVIEWER)
PEOPLE = {
    "ana": ANA,
    "eve": principal("eve", Role.REQUESTER),
    "bob": BOB,
    "aud": principal("aud", Role.AUDITOR),
    "ops": principal("ops", Role.OPERATOR),
    "boss": principal("boss", Role.ADMIN),
    "rival": principal("rival", *Role, tenant="rival"),
}
"""Keys of these tests, and whose they are."""


BATCH = BatchRow(
    tenant="acme",
    batch_id="b-1",
    kind=BatchKind.REVIEW,
    digest="d",
    playbook="nda",
    items=3,
    window_size=2,
    state=BatchState.DONE,
    created_at=AT,
)


class FakeUpload:
    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    async def write(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)


@dataclass
class FakeIntake:
    """The door's answers in the order of `entries` (then the last one again), and what was taken in."""

    refusal: CountersignError | None = None
    refusal_at_last: CountersignError | None = None
    """Of the document, once it has been read."""
    turns: Turn | None = None
    entry: Entry = field(
        default_factory=lambda: Entry(Place.ROOM, ahead=3, estimate_s=1.5, limit=100, remaining=57, reset_s=359.2)
    )
    taken: dict[str, tuple[ReviewRequest, FakeUpload, str]] = field(default_factory=dict)
    entered: int = 0
    left: int = 0
    last: FakeUpload | None = None

    @asynccontextmanager
    async def entering(self, tenant: str, user: str, review_id: str, *, fresh: bool = False) -> AsyncIterator[Any]:
        if self.refusal is not None:
            raise self.refusal
        self.entered += 1
        place = SimpleNamespace(accepted=False)

        async def accept(request: ReviewRequest, upload: FakeUpload, name: str) -> Accepted:
            if self.refusal_at_last is not None:
                raise self.refusal_at_last
            before = self.taken.get(review_id)
            if before is not None and before[1].data != upload.data:
                raise InvalidRequest(f"review_id: {review_id} is already the review of another document")
            self.taken[review_id] = (request, upload, name)
            place.accepted = True
            return Accepted(
                review_id=review_id,
                workflow_id=f"review-{tenant}-{review_id}",
                tenant=tenant,
                playbook=request.playbook,
                document=DocumentRef(document_id="doc-1", sha256="0" * 64, media_type="text/plain", size=1),
                existing=before is not None,
                in_flight=False,
                ahead=self.entry.ahead,
                estimate_s=self.entry.estimate_s,
                entry=self.entry,
            )

        place.accept = accept
        try:
            yield place
        finally:
            self.left += not place.accepted

    async def turn(self, tenant: str, review_id: str) -> Turn | None:
        return self.turns

    def upload(self, tenant: str, review_id: str) -> FakeUpload:
        self.last = FakeUpload()
        return self.last

    @property
    def only(self) -> tuple[ReviewRequest, FakeUpload, str]:
        """The one review that was taken in."""
        [taken] = self.taken.values()
        return taken


@dataclass
class FakeCircuits:
    """Where circuits stand, as a test says."""

    rows: tuple[CircuitStanding, ...] = ()
    degraded: bool = False

    async def standing(self) -> tuple[CircuitStanding, ...]:
        return self.rows


def row(review_id: str = "r-1", **changes: Any) -> ReviewRow:
    return ReviewRow(
        tenant="acme",
        review_id=review_id,
        workflow_id=f"review-acme-{review_id}",
        stage=Stage.SIGN,
        user_hash=ANA.user_hash,
        dispatched_at=AT,
        submitted_at=AT,
        updated_at=AT,
    ).model_copy(update=changes)


def entry(sequence: int, event: str = "read") -> TrailRow:
    return TrailRow(
        workflow_id="review-acme-r-1",
        sequence=sequence,
        tenant="acme",
        review_id="r-1",
        stage=Stage.READ,
        event=event,
        user_hash=ANA.user_hash,
        input_hash="",
        actor_hash=None,
        facts={"n": sequence},
        created_at=AT,
        expires_at=AT,
        prev_hash="",
        row_hash="",
    )


TEXT = DocumentText(text=f"1. {MARK}.", pages=(Page(number=1, start=0, end=12),), sections=(), hidden=())


class FakeRedis:
    """The little of Redis that sessions need; away when told so."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.is_away = False

    async def set(self, name: str, value: bytes, ex: int) -> None:
        self._answer()
        assert ex > 0
        self.values[name] = value

    async def exists(self, name: str) -> int:
        self._answer()
        return int(name in self.values)

    def _answer(self) -> None:
        if self.is_away:
            raise RedisAway


class World:
    """The stand-ins behind one application, each to be changed by a test."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.intake = FakeIntake()
        self.rows = {"r-1": row()}
        self.entries: list[TrailRow] = [entry(1), entry(2)]
        self.terms = SigningTerms()
        """Groups and absences of the tenant."""
        self.away = False
        """Postgres does not answer."""
        self.given: list[tuple[str, Claim | Decision | EffectDecision | Answer]] = []
        self.refusal: CountersignError | None = None
        """What a workflow answers an update."""
        self.looked = 0
        self.circuits = FakeCircuits()
        self.evidence = FakeEvidence()
        self.as_reviewer: list[bool] = []
        self.redis = FakeRedis()
        self.sessions = Sessions(Vault(bytes(range(32))), self.redis)  # type: ignore[arg-type]  # a stand-in
        self.code_flow: CodeFlow | None = None
        self.verifier: OidcVerifier | None = None
        """Of ID tokens, when people sign in at an issuer."""
        self.marks: dict[tuple[str, str], str] = {}
        self.projected = ReviewStatus(
            review_id="r-1",
            workflow_id="review-acme-r-1",
            tenant="acme",
            stage=Stage.SIGN,
            document=DocumentRef(document_id="doc-1", sha256="0" * 64, media_type="text/plain", size=12),
            read=ReadReport(chars=12, pages=1, sections=0, text_sha256=""),
        )
        self.settings = settings or Settings()
        self.backend = Backend(self.settings, self, Metrics())  # type: ignore[arg-type]  # a stand-in
        self.backend.up = dict.fromkeys(self.backend.up, True)
        self.app: FastAPI = build_app(self.backend.settings, self.backend)

    # --- ReviewClient ---

    async def services(self) -> Any:
        if self.away:
            raise ServiceUnavailable("PostgreSQL at db.internal:5432/countersign does not answer (OSError)")
        return SimpleNamespace(
            bring_up_to_date=self._up_to_date,
            gateway_key=self._gateway_key,
            authenticator=self,
            intake=self.intake,
            reviews=SimpleNamespace(
                row=self._row, list=self._list, queue=self._queue, desk=self._desk, status=self._status
            ),
            documents=SimpleNamespace(get=self._get, get_text=self._get_text),
            trail=SimpleNamespace(rows=self._trail, find=self._find),
            door=SimpleNamespace(degraded=False, standing=self._standing),
            circuits=self.circuits,
            pseudonyms=PSEUDONYMS,
            sessions=self.sessions,
            people=SimpleNamespace(terms=self._terms),
            code_flow=self.code_flow,
            batches=SimpleNamespace(
                newest=self._batches, row=self._batch, people_wait=self._people_wait, counts=self._ended
            ),
            evidence=self.evidence,
            shadow=FakeShadow(),
            marks=SimpleNamespace(put=self._put_mark, seen=self._seen),
            limits=SimpleNamespace(explain=self._none, history=self._none),
            ledger=SimpleNamespace(costs=self._none),
            knowledge=SimpleNamespace(search=self._none),
            profile=SimpleNamespace(cells=self._none, history=self._none, corrections=self._none),
            corrections=SimpleNamespace(lessons=self._none, standings=self._none),
        )

    async def status(self, tenant: str, review_id: str, *, as_reviewer: bool = True) -> Standing:
        self.as_reviewer.append(as_reviewer)
        return Standing(self.projected)

    async def claim(self, tenant: str, review_id: str, given: Claim) -> ClaimReceipt:
        self._judge("claim", given)
        return ClaimReceipt(review_id=review_id, token=1, until=AT)

    async def decide(self, tenant: str, review_id: str, given: Decision) -> Receipt:
        self._judge("decide", given)
        return Receipt(review_id=review_id, stage=Stage.SIGN, outcome=Outcome.APPROVED)

    async def decide_effect(
        self, tenant: str, review_id: str, given: EffectDecision, *, approve: bool
    ) -> EffectReceipt:
        self._judge("approve_effect" if approve else "decline_effect", given)
        return EffectReceipt(review_id=review_id, item=given.item, state=EffectState.APPROVED)

    async def view(self, tenant: str, review_id: str, given: View) -> Receipt:
        self._judge("view", given)
        self.projected = self.projected.model_copy(
            update={"views": (ViewRecord(verdict=given.verdict, reviewer=given.reviewer, at=AT),)}
        )
        return Receipt(review_id=review_id, stage=Stage.SIGN)

    async def queue(self, *, tenant: str, limit: int) -> tuple[ReviewRow, ...]:
        return await self._queue(tenant=tenant, limit=limit)

    async def answer(self, tenant: str, review_id: str, given: Answer) -> Receipt:
        self._judge("answer", given)
        return Receipt(review_id=review_id, stage=Stage.SIGN)

    def _judge(self, what: str, given: Claim | Decision | EffectDecision | Answer | View) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.given.append((what, given))

    # --- services ---

    async def authenticate(self, authorization: str | None) -> Principal:
        found = PEOPLE.get((authorization or "").removeprefix("Bearer "))
        if found is None:
            raise Unauthenticated("credentials: none, or none that are valid")
        return found

    async def authenticate_id_token(self, token: str) -> Principal:
        assert self.verifier is not None
        return await Authenticator(None, self.verifier, PSEUDONYMS).authenticate_id_token(token)  # type: ignore[arg-type]

    async def _row(self, review_id: str, tenant: str) -> ReviewRow:
        self.looked += 1
        found = self.rows.get(review_id)
        if found is None or found.tenant != tenant:
            raise NotFound(f"review {review_id}: not found")
        return found

    async def _list(self, **asked: Any) -> tuple[ReviewRow, ...]:
        return tuple(
            one
            for one in self.rows.values()
            if one.tenant == asked["tenant"] and asked["user_hash"] in (None, one.user_hash)
        )

    async def _queue(self, *, tenant: str, limit: int, waiting_for: str = "reviewer") -> tuple[ReviewRow, ...]:
        asked = waiting_for == "requester"
        return tuple(
            one for one in self.rows.values() if one.tenant == tenant and (one.waiting_for == "requester") is asked
        )[:limit]

    async def _terms(self, tenant: str, policy: SigningPolicy) -> SigningTerms:
        return self.terms.model_copy(update={"policy": policy})

    async def _status(self, review_id: str, tenant: str) -> ReviewStatus:
        return self.projected

    async def _get(self, tenant: str, document_id: str) -> bytes:
        return TEXT.text.encode()

    async def _get_text(self, tenant: str, document_id: str) -> DocumentText:
        return TEXT

    async def _trail(self, workflow_id: str) -> tuple[TrailRow, ...]:
        return tuple(self.entries)

    async def _gateway_key(self) -> SigningKey:
        return SigningKey(b"g" * 32)

    async def _up_to_date(self) -> None:
        return None

    async def _standing(self) -> DoorStanding:
        return DoorStanding(in_flight={"acme": 2}, waiting={"acme": 5, "rival": 7}, rate=1.5)

    async def _desk(self, *, tenant: str, limit: int) -> tuple[tuple[ReviewRow, ReviewStatus], ...]:
        return tuple((one, self.projected) for one in await self._queue(tenant=tenant, limit=limit))

    async def _find(self, tenant: str, **asked: Any) -> tuple[TrailRow, ...]:
        return tuple(one for one in self.entries if one.tenant == tenant)

    async def _batches(self, tenant: str, limit: int) -> tuple[BatchRow, ...]:
        return tuple(one for one in (BATCH,) if one.tenant == tenant)[:limit]

    async def _batch(self, key: BatchKey) -> BatchRow:
        if key != BATCH.key:
            raise NotFound(f"batch {key.batch_id}: not found")
        return BATCH

    async def _people_wait(self, key: BatchKey) -> int:
        return 1

    async def _ended(self, key: BatchKey) -> dict[str, int]:
        return {"released": 2, "waiting": 1}

    async def _put_mark(self, tenant: str, user_hash: str, review_id: str, digest: str) -> None:
        self.marks[user_hash, review_id] = digest

    async def _seen(self, tenant: str, user_hash: str, shown: Any) -> frozenset[str]:
        return frozenset(one for one, digest in shown if self.marks.get((user_hash, one)) == digest)

    async def _none(self, *asked: Any, **how: Any) -> tuple[()]:
        return ()

    # --- asking ---

    @asynccontextmanager
    async def console(self, who: str | None = "bob") -> AsyncIterator[httpx.AsyncClient]:
        """A client that asks as a browser does, with a session of this person."""
        headers = {"Accept": "text/html", "Sec-Fetch-Site": "same-origin"}
        cookies = {"countersign": self.sessions.seal(self.sessions.begin(who))} if who else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://gateway", headers=headers, cookies=cookies
        ) as client:
            yield client

    def form_token(self, client: httpx.AsyncClient) -> str:
        """What the forms of this client's session carry; "" without one."""
        session = self.sessions.open(client.cookies.get("countersign") or "")
        return self.sessions.form_token(session) if session is not None else ""

    @asynccontextmanager
    async def browser(self, key: str | None = "ana") -> AsyncIterator[httpx.AsyncClient]:
        """A client that asks with this key."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as client:
            yield client
