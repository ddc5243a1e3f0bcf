"""One schedule on one lane: a review begins, the blow falls, what is left is judged."""

import asyncio
import contextlib
import json
import logging
import signal
from collections import Counter
from dataclasses import dataclass
from functools import partial
from time import monotonic

from provider_lab.script import Rule
from temporalio.api.enums.v1 import EventType
from temporalio.service import RPCError, RPCStatusCode

from chaos.laws import Facts, Problem, judge, never_arrived
from chaos.review import GIVE_UP_S, Review
from chaos.schedule import Schedule
from chaos.stand import POLL_S, Lane, until
from chaos.worker import Orders
from countersign.words import Outcome

HELD_S = 0.4
"""The lab takes as long over an answer that its worker is to be stopped before."""
SETTLED_S = 0.5
"""A zombie gets as long to say what it has to say before it is looked whether that changed anything."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Baseline:
    """A review that was left alone: what it comes to, and the moments at which one can be struck."""

    facts: Facts
    events: int
    calls: dict[str, int]
    requests: int


@dataclass(frozen=True)
class Played:
    """What became of one schedule. `struck`: the blow fell; `never_arrived`: see `laws`."""

    schedule: Schedule
    struck: bool
    problems: tuple[Problem, ...]
    same_outcome: bool
    seconds: float
    unseen: int = 0
    never_arrived: int = 0
    reviews: int = 1
    blows: int = 1


async def baseline(lane: Lane, tenant: str) -> Baseline:
    """Play without a blow. Raises AssertionError when even that breaks a law."""
    lane.fresh()
    review = Review(lane, tenant, "baseline")
    async with lane.keeping():
        await _run(review)
    facts = await review.facts()
    problems = judge(facts, facts)
    assert facts.outcome == Outcome.AMENDED, facts
    assert not problems, problems
    assert not any(row.unseen for row in facts.ledger), facts.ledger
    events = (await review.handle.fetch_history()).events
    calls = Counter(
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in events
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
    )
    # Local activities leave a marker each, by which their names are known to the SDK's core.
    markers = (event.marker_recorded_event_attributes.details.get("data") for event in events)
    calls += Counter(json.loads(mark.payloads[0].data)["activity_type"] for mark in markers if mark is not None)
    return Baseline(facts, len(events), dict(calls), len(facts.asked))


async def play(lane: Lane, schedule: Schedule, wanted: Baseline, tenant: str) -> Played:
    """Play it; a review that comes to no end in `GIVE_UP_S` is found lost, whatever the reason."""
    began = monotonic()
    lane.fresh(*([Rule(delay_s=HELD_S)] if schedule.kind in {"unseen", "ghost"} else []))
    review = Review(lane, tenant, "r")
    blow = _Blow(lane, schedule, review)
    lane.start(blow.orders)
    problems: list[Problem] = []
    async with lane.keeping():
        striking = asyncio.create_task(blow.fall())
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await _run(review)
                await blow.over()
        except TimeoutError:
            _log.warning("%s: not over after %g s", schedule.name, GIVE_UP_S)
        finally:
            striking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await striking
    facts = await review.facts()
    problems += judge(wanted.facts, facts)
    return Played(
        schedule=schedule,
        struck=lane.strikes > 0,
        problems=tuple(problems),
        same_outcome=(facts.outcome, facts.findings) == (wanted.facts.outcome, wanted.facts.findings),
        seconds=monotonic() - began,
        unseen=sum(row.unseen for row in facts.ledger),
        never_arrived=never_arrived(facts),
    )


async def _run(review: Review) -> None:
    await review.submit()
    await review.sign()
    await review.handle.result()


class _Blow:
    """When and how the worker is struck."""

    def __init__(self, lane: Lane, schedule: Schedule, review: Review) -> None:
        self._lane = lane
        self._schedule = schedule
        self._review = review
        self._thawed = asyncio.Event()

    @property
    def orders(self) -> Orders | None:
        """For the worker, where it is the one to know the moment."""
        do = {"unheard": signal.SIGKILL, "zombie": signal.SIGSTOP}.get(self._schedule.kind)
        return None if do is None else Orders(do, self._schedule.at, self._schedule.nth)

    @property
    def _freezes(self) -> bool:
        return self._schedule.kind in {"zombie", "ghost"}

    async def fall(self) -> None:
        """Strike at the moment, from outside where the worker has no orders; let a frozen one go on later."""
        if self._schedule.kind == "kill":
            if await self._event():
                self._lane.strike(signal.SIGKILL)
        elif self._schedule.kind in {"unseen", "ghost"}:
            await self._request()
        if self._freezes:
            await self._taken_over()
            self._lane.thaw()
            self._thawed.set()

    async def over(self) -> None:
        """The zombie has had its say."""
        if self._freezes and self._lane.strikes:
            async with asyncio.timeout(SETTLED_S * 20):
                await self._thawed.wait()
            await asyncio.sleep(SETTLED_S)

    async def _event(self) -> bool:
        """Wait until the history has so many events; False when it ends with fewer."""
        while True:
            try:
                async for event in self._review.handle.fetch_history_events(wait_new_event=True):
                    if event.event_id >= self._schedule.nth:
                        return True
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(POLL_S)  # it has not begun
            else:
                return False

    async def _request(self) -> None:
        """Stop the worker while the lab thinks about its so-many-th request, until the answer is sent."""
        seen = await self._lane.request(self._schedule.nth)
        self._lane.strike(signal.SIGSTOP)
        await until("the lab has answered", lambda: seen.outcome != "open", GIVE_UP_S)
        if self._schedule.kind == "unseen":
            self._lane.clear()

    async def _taken_over(self) -> None:
        """Until the review is over without the frozen worker."""
        await until("the worker is frozen", lambda: self._lane.strikes > 0, GIVE_UP_S)
        await until("the review is over", partial(self._lane.projected, self._review.workflow_id), GIVE_UP_S)
