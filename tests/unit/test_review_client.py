"""`ReviewClient` over stand-ins for Temporal and Postgres: who answers, what is bound, and which error comes out."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from countersign.admission.entry import Entry, Place
from countersign.admission.intake import Accepted, Turn
from countersign.errors import (
    CountersignError,
    DecisionRefused,
    InvalidRequest,
    KeyReused,
    NotFound,
    RateLimited,
    ServiceUnavailable,
)
from countersign.review.desk import content_of
from countersign.review.ids import base32, new_review_id
from countersign.review.payloads import Answer, Decision, DocumentRef, Receipt, ReviewRequest, ReviewStatus
from countersign.settings import ROOT, Settings
from countersign.store.reviews import ReviewRow
from countersign.words import Autonomy, Outcome, Stage, Verdict
from starters import client as client_module
from starters.client import ReviewClient, Standing
from starters.refusals import refusal

APPROVE = Decision(verdict=Verdict.APPROVE, reviewer="Bo")
ANSWER = Answer(user="me", text="Ours.")
AT = datetime(2026, 3, 4, tzinfo=UTC)
NO_WORKER = RPCError("Timeout expired", RPCStatusCode.CANCELLED, b"")
NO_WORKFLOW = RPCError("workflow not found for ID: review-default-r-1", RPCStatusCode.NOT_FOUND, b"")
NO_SERVER = RPCError("tcp connect error", RPCStatusCode.UNAVAILABLE, b"")


def status_of(**fields: Any) -> ReviewStatus:  # any field of ReviewStatus
    given = {"review_id": "r-1", "workflow_id": "review-default-r-1", "tenant": "default", "stage": Stage.SIGN}
    return ReviewStatus.model_validate({**given, "digest": "d" * 64, "waiting_for": "reviewer", **fields})


@dataclass
class World:
    """Temporal and Postgres at once. What is an exception is raised, anything else is answered."""

    query: ReviewStatus | list[ReviewStatus] | Exception = field(default_factory=status_of)
    update: Receipt | Exception = field(default_factory=lambda: Receipt(review_id="r-1", stage=Stage.DONE))
    projected: ReviewStatus | Exception = field(default_factory=lambda: NotFound("none"))
    turns: list[Turn] = field(default_factory=list)
    """What is said of its turn, time for time; without any the review does not wait."""
    refused: CountersignError | None = None
    calls: list[tuple[Any, ...]] = field(default_factory=list)

    # Temporal
    async def answered(self) -> ReviewStatus:
        if isinstance(self.query, list):
            return self.query.pop(0) if len(self.query) > 1 else self.query[0]
        if isinstance(self.query, Exception):
            raise self.query
        return self.query

    async def execute_update(self, name: str, given: Any, *, id: str, **_: Any) -> Receipt:  # noqa: A002 - the SDK's word
        self.calls.append((name, given, id))
        if isinstance(self.update, Exception):
            raise self.update
        return self.update

    # Postgres
    async def row(self, review_id: str, tenant: str) -> ReviewRow:
        status = await self.status(review_id, tenant)
        return ReviewRow(
            tenant=tenant,
            review_id=review_id,
            workflow_id=status.workflow_id,
            stage=status.stage,
            submitted_at=AT,
            updated_at=AT,
            dispatched_at=None if self.turns else AT,
        )

    async def status(self, review_id: str, tenant: str) -> ReviewStatus:
        if isinstance(self.projected, Exception):
            raise self.projected
        return self.projected

    async def turn(self, tenant: str, review_id: str) -> Turn | None:
        return self.turns.pop(0) if self.turns else None

    async def submit(self, request: ReviewRequest, data: bytes, name: str) -> Accepted:
        self.calls.append(("submit", request, data, name))
        if self.refused is not None:
            raise self.refused
        document = DocumentRef(document_id="doc-1", sha256="a" * 64, media_type="text/plain", size=len(data))
        entry = Entry(Place.ROOM, ahead=3, estimate_s=4.5)
        return Accepted("r-7", "review-default-r-7", "default", "nda", document, True, False, 3, 4.5, entry)

    def names(self) -> list[str]:
        return [call[0] for call in self.calls if call[0] != "handle"]


class _Handle:
    def __init__(self, world: World) -> None:
        self.execute_update = world.execute_update
        self._world = world

    async def query(self, name: str, **_: Any) -> ReviewStatus:
        assert name == "status"
        return await self._world.answered()


@dataclass
class _Temporal:
    world: World

    def get_workflow_handle(self, workflow_id: str, **_: Any) -> _Handle:
        self.world.calls.append(("handle", workflow_id))
        return _Handle(self.world)


class _Services:
    def __init__(self, world: World) -> None:
        self.reviews = self.intake = world


class _Client(ReviewClient):
    """A client whose servers are one `World`."""

    def __init__(self, world: World) -> None:
        super().__init__(Settings(tenant="default", user="me", playbooks=ROOT / "playbooks"), AsyncExitStack())
        self._world = world

    async def temporal(self) -> Any:  # a stand-in for temporalio's client
        return _Temporal(self._world)

    async def services(self) -> Any:  # a stand-in for Services
        return _Services(self._world)


# --- who answers ---


async def test_the_workflow_answers_first() -> None:
    world = World(projected=status_of(stage=Stage.READ))
    assert await _Client(world).status("default", "r-1") == Standing(status_of(), live=True)


@pytest.mark.parametrize("away", [NO_WORKER, NO_WORKFLOW, NO_SERVER])
async def test_else_the_projection_answers_and_says_so(away: RPCError) -> None:
    stored = status_of(stage=Stage.READ)
    assert await _Client(World(query=away, projected=stored)).status("default", "r-1") == Standing(stored, live=False)


@pytest.mark.parametrize(("away", "kind"), [(NO_WORKER, ServiceUnavailable), (NO_WORKFLOW, NotFound)])
async def test_else_the_error_says_why(away: RPCError, kind: type[CountersignError]) -> None:
    with pytest.raises(kind) as caught:
        await _Client(World(query=away)).status("default", "r-1")
    assert caught.value.remedy


async def test_a_review_started_elsewhere_is_found_by_its_row() -> None:
    world = World(projected=status_of(workflow_id="by-hand"))
    await _Client(world).status("default", "r-1")
    assert world.calls == [("handle", "by-hand")]


# --- deciding ---


async def test_a_decision_is_bound_to_what_is_under_review_and_counts_once() -> None:
    world = World()
    await _Client(world).decide("default", "r-1", APPROVE)
    name, decision, update_id = world.calls[-1]
    assert (name, decision.digest, decision.decision_id) == ("decide", "d" * 64, update_id)
    assert update_id


@pytest.mark.parametrize(("given", "sent"), [("d" * 8, "d" * 64), ("d" * 7, "d" * 7), ("e" * 64, "e" * 64)])
async def test_a_stated_digest_is_kept_or_completed(given: str, sent: str) -> None:
    world = World()
    await _Client(world).decide("default", "r-1", APPROVE.model_copy(update={"digest": given}))
    assert world.calls[-1][1].digest == sent


@pytest.mark.parametrize(
    ("world", "kind", "words"),
    [
        (World(query=status_of(outcome=Outcome.APPROVED)), DecisionRefused, "already ended: approved"),
        (World(query=NO_WORKER, projected=status_of()), ServiceUnavailable, "no worker answers"),
        (World(query=NO_WORKER, projected=status_of(outcome=Outcome.REJECTED)), DecisionRefused, "ended: rejected"),
        (World(query=NO_WORKFLOW), NotFound, "no review 'r-1' of tenant 'default'"),
        (World(update=NO_WORKFLOW), DecisionRefused, "just ended"),
        (World(update=NO_SERVER), ServiceUnavailable, "unavailable"),
        (World(update=WorkflowUpdateRPCTimeoutOrCancelledError()), ServiceUnavailable, "may still count"),
        (
            World(update=WorkflowUpdateFailedError(ApplicationError("stale", "Look again", type="DecisionRefused"))),
            DecisionRefused,
            "stale. Look again",
        ),
    ],
)
@pytest.mark.parametrize("what", [APPROVE, ANSWER])
async def test_what_stops_a_decision(
    world: World, kind: type[CountersignError], words: str, what: Decision | Answer
) -> None:
    client = _Client(world)
    with pytest.raises(kind, match=words):
        if isinstance(what, Decision):
            await client.decide("default", "r-1", what)
        else:
            await client.answer("default", "r-1", what)


DECIDED = Receipt(review_id="r-1", stage=Stage.SIGN, outcome=Outcome.APPROVED, content=content_of(APPROVE))
REJECT = APPROVE.model_copy(update={"verdict": Verdict.REJECT})


@pytest.mark.parametrize(
    "world",
    [
        World(update=DECIDED),
        World(query=status_of(outcome=Outcome.APPROVED, receipts={"d-1": DECIDED})),
        World(query=NO_WORKER, projected=status_of(outcome=Outcome.APPROVED, receipts={"d-1": DECIDED})),
        # It ends the review between the question and the update.
        World(query=[status_of(), status_of(receipts={"d-1": DECIDED})], update=NO_WORKFLOW),
    ],
)
@pytest.mark.parametrize("given", [APPROVE, REJECT])
async def test_a_repeat_is_answered_as_the_first_time_and_another_decision_is_not(
    world: World, given: Decision
) -> None:
    world = replace(world, query=list(world.query) if isinstance(world.query, list) else world.query)
    deciding = _Client(world).decide("default", "r-1", given.model_copy(update={"decision_id": "d-1"}))
    if given is APPROVE:
        assert await deciding == DECIDED
    else:
        with pytest.raises(KeyReused):
            await deciding


def test_a_refusal_keeps_type_message_and_remedy_once() -> None:
    for cause in (
        ApplicationError("too late", "Ask again", type="InvalidRequest"),
        ApplicationError("too late. Ask again", "Ask again", type="InvalidRequest"),
    ):
        error = refusal(cause)
        assert (error.type, str(error)) == ("InvalidRequest", "too late. Ask again")
    ruled = refusal(ApplicationError("too late", "Ask again", "claimed", type="DecisionRefused"))
    older = refusal(ApplicationError("too late", type="DecisionRefused"))
    assert isinstance(ruled, DecisionRefused) and (ruled.rule, ruled.remedy) == ("claimed", "Ask again")
    assert isinstance(older, DecisionRefused) and (older.rule, older.remedy) == ("", "")
    unknown = refusal(ApplicationError("Jane Doe said so", type="ValueError"))
    assert isinstance(unknown, ServiceUnavailable) and "Jane" not in str(unknown)


# --- submitting ---

REQUEST = ReviewRequest(tenant="default", user="Jane", playbook="nda")


async def test_submitting_is_the_intakes_work_and_asks_no_temporal() -> None:
    world = World()
    taken = await _Client(world).submit(b"An agreement.", "a/nda.md", REQUEST)
    assert world.calls == [("submit", REQUEST, b"An agreement.", "a/nda.md")]
    assert (taken.review_id, taken.workflow_id, taken.existing) == ("r-7", "review-default-r-7", True)
    assert (taken.ahead, taken.estimate_s) == (3, 4.5)


async def test_a_refusal_comes_through_as_it_is() -> None:
    refused = RateLimited("too much", retry_after_s=36, reason="user_rate")
    with pytest.raises(RateLimited) as caught:
        await _Client(World(refused=refused)).submit(b"An agreement.", "n.txt", REQUEST)
    assert caught.value is refused


# --- waiting for its turn ---


def stored(**fields: Any) -> ReviewStatus:  # any field of ReviewStatus
    return status_of(stage=Stage.SUBMIT, waiting_for=None, **fields)


async def test_while_it_waits_for_its_turn_postgres_tells_how_long() -> None:
    world = World(query=NO_WORKFLOW, projected=stored(), turns=[Turn(5, 12.5)])
    standing = await _Client(world).status("default", "r-1")
    assert standing == Standing(stored(ahead=5, estimate_s=12.5), live=True)
    assert not standing.settled
    assert world.calls == [], "there is no workflow to ask"


async def test_nothing_can_be_decided_while_it_waits_for_its_turn() -> None:
    for give in (lambda c: c.decide("default", "r-1", APPROVE), lambda c: c.answer("default", "r-1", ANSWER)):
        with pytest.raises(DecisionRefused, match="waits for its turn"):
            await give(_Client(World(projected=stored(), turns=[Turn(0, 0.1)])))


async def test_follow_goes_on_from_the_waiting_room_into_the_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_S", (0.0, 0.0))
    world = World(projected=stored(), turns=[Turn(2, 2.0), Turn(1, 1.0), Turn(1, 1.0)])
    seen = [standing.status async for standing in _Client(world).follow("default", "r-1")]
    assert [(status.stage, status.ahead) for status in seen] == [("submit", 2), ("submit", 1), ("sign", None)]


# --- following ---


async def test_follow_yields_changes_and_ends_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_S", (0.0, 0.0))
    reading = status_of(stage=Stage.READ, waiting_for=None)
    world = World(query=[reading, reading, status_of(stage=Stage.PLAN, waiting_for=None), status_of()])
    seen = [standing.status.stage async for standing in _Client(world).follow("default", "r-1")]
    assert seen == [Stage.READ, Stage.PLAN, Stage.SIGN]


async def test_follow_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_S", (0.0, 0.0))
    world = World(query=NO_WORKER)
    with pytest.raises(ServiceUnavailable, match="did not settle within 0 s"):
        async for _ in _Client(world).follow("default", "r-1", timeout_s=0):
            pass


# --- ids and opening ---


@given(st.integers(0, 2**45 - 1), st.integers(0, 2**45 - 1))
def test_ids_sort_by_time(one: int, other: int) -> None:
    assert (base32(one, 9) < base32(other, 9)) == (one < other)
    ReviewRequest(tenant="t", user="u", review_id=new_review_id(one))


async def test_opening_connects_to_nothing(tmp_path: Path) -> None:
    async with ReviewClient.open(Settings(home=tmp_path / "none")) as client:
        assert client.settings.tenant
    assert not (tmp_path / "none").exists()


async def test_services_are_opened_once_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    @asynccontextmanager
    async def opened(settings: Settings, servers: object, *, patience_s: float | None) -> AsyncIterator[str]:
        events.append("open")
        yield "services"
        events.append("close")

    monkeypatch.setattr("countersign.services.Services.open", opened)
    monkeypatch.setattr("workers.endpoints.resolve", lambda settings: "endpoints")
    async with ReviewClient.open(Settings()) as client:
        assert await client.services() is await client.services()
    assert events == ["open", "close"]


async def test_a_type_of_contract_that_the_playbook_is_not_for_is_granted_nothing() -> None:
    with pytest.raises(InvalidRequest, match="type: playbook nda is for no contract of this type") as caught:
        await _Client(World()).grant("acme", "nda", "zzz", Autonomy.AUTONOMOUS, by="GC", reason="r")
    assert "confidentiality" in caught.value.remedy
