"""The door: who may come in now, who waits, and who must ask again later. One atomic question to Redis each.

Redis away is an ordinary state: for as long, this process answers by itself (`model.py`) at a fraction of every limit,
neither open nor shut, and says so. What Redis lost is there again by itself: leases by their renewal, the room by
`sync`. Keys carry tenants, review ids and pseudonyms of users, and share one hash tag, so that a cluster keeps them
together.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from countersign.admission.entry import Ask, DoorStanding, Entry, Place, Refused
from countersign.admission.limits import LimitBook
from countersign.admission.model import FRESH, SECOND, Bounds, DoorModel, review_of
from countersign.store.script import SharedScript

if TYPE_CHECKING:
    from redis.asyncio import Redis

_log = logging.getLogger(__name__)

SCRIPT = Path(__file__).with_name("door.lua")
PREFIX = "{countersign}:door"
_HELD = ("room", "waiting", "flight", "flying", "since", "weights", "held", "pace", "came", "batch", "behind")
STATE = tuple(f"{PREFIX}:{name}" for name in _HELD)
"""The keys that every question is given; the script says what they hold."""
FORGET = 60 * SECOND
"""How often this process's own door is cleared of what has no effect any more, in microseconds."""


class Door:
    """Admission's one place of decision, shared by all processes through Redis. Safe to use from concurrent tasks.

    No method raises when Redis is away. `redis` must not decode its responses; the door closes it. `clock` gives the
    time in microseconds; without one it is Redis's own, which all processes share.
    """

    def __init__(self, redis: "Redis", limits: LimitBook, clock: Callable[[], int] | None = None) -> None:
        self._script = SharedScript(
            redis,
            SCRIPT,
            _log,
            away="admission goes on in this process, at a part of the limits",
            back="admission is shared again, at the full limits",
        )
        self._limits = limits
        self._clock = clock
        self._local = DoorModel()
        self._forget_at = 0
        self._told_at = 0

    @property
    def degraded(self) -> bool:
        """Whether this process answers by itself, because Redis did not."""
        return self._script.away

    async def close(self) -> None:
        """Close the connections."""
        await self._script.close()

    async def enter(self, ask: Ask) -> Entry:
        """Ask for a place; a refusal is an answer. What was let in before is let in again, free of charge.

        A refusal for rate counts as a strike against the user, one for a full room or during a cooldown does not. Those
        of a batch have an allowance of their own, and are nobody's strikes.
        """
        limits = await self._limits.of(ask.tenant, ask.user_hash)
        review = review_of(ask.tenant, ask.review_id)
        keys = (
            f"{PREFIX}:answer:{review}",
            f"{PREFIX}:user:{ask.user_account}",
            f"{PREFIX}:tenant:{ask.tenant_account}",
        )
        bounds_of = Bounds.of_batches if ask.batch else Bounds.of
        bounds = bounds_of(limits)
        reply = await self._ask("enter", ask.tenant, review, bounds, keys, int(ask.running), int(ask.batch))
        if reply is not None:
            return _entry(reply, bounds)
        local = bounds_of(limits, limits.local_fraction)
        return replace(self._alone().enter(self._now(), ask, local), degraded=True)

    async def leave(self, tenant: str, review_id: str) -> None:
        """Give back the place of a review that `enter` let in (not as `existing`) and that was not accepted after all.

        What it cost of the allowances stays spent, or uploads that fail would be free of limits.
        """
        self._local.leave(tenant, review_id)
        review = review_of(tenant, review_id)
        await self._ask("leave", tenant, review, None, (f"{PREFIX}:answer:{review}",))

    async def grant(self, tenant: str, review_id: str) -> bool:
        """Give a waiting review its lease, if tenant and house have one free. One that has it keeps it: True."""
        limits = await self._limits.tenant(tenant)
        review = review_of(tenant, review_id)
        reply = await self._ask("grant", tenant, review, Bounds.of(limits), (f"{PREFIX}:answer:{review}",))
        if reply is not None:
            return bool(reply[0])
        return self._alone().grant(self._now(), tenant, review_id, Bounds.of(limits, limits.local_fraction))

    async def renew(self, tenant: str, review_id: str) -> None:
        """A running review says that it runs: its lease lasts 15 minutes more, and is made again where it was lost."""
        review = review_of(tenant, review_id)
        if await self._ask("renew", tenant, review, None, (f"{PREFIX}:answer:{review}",)) is None:
            self._alone().renew(self._now(), tenant, review_id)

    async def release(self, tenant: str, review_id: str) -> None:
        """The machine is done with a review, or it will not run: its lease or place is free. May be repeated."""
        limits = await self._limits.everyone()
        # It may have been let in here while Redis was away.
        self._local.release(self._now(), tenant, review_id, Bounds.of(limits, limits.local_fraction))
        await self._ask("release", tenant, review_of(tenant, review_id), Bounds.of(limits))

    async def strike(self, tenant: str, user_hash: str, review_id: str, strikes: int) -> None:
        """Count strikes against a user, once for each review; enough of them within an hour begin a cooldown."""
        bounds = Bounds.of(await self._limits.of(tenant, user_hash))
        review = review_of(tenant, review_id)
        keys = (f"{PREFIX}:struck:{review}", f"{PREFIX}:user:{tenant}/{user_hash}")
        if await self._ask("strike", tenant, review, bounds, keys, strikes) is None:
            self._alone().strike(self._now(), tenant, user_hash, review_id, strikes, bounds)

    async def sync(
        self,
        waiting: Mapping[str, Sequence[str]],
        held: Collection[str],
        batches: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Tell the room as Postgres knows it (review ids by tenant), and the tenants whose reviewers are overrun.

        `batches` are the reviews of batches that wait, `waiting` all others.

        Costs a few microseconds a review: meant for about once a second, not for every look.
        """
        batches = batches or {}
        weights = {tenant: (await self._limits.tenant(tenant)).weight for tenant in {*waiting, *batches}}
        reviews, bulk = (
            [(tenant, review_id) for tenant, ids in room.items() for review_id in ids] for room in (waiting, batches)
        )
        args: list[str | int] = [len(held), *held, len(weights)]
        for tenant, weight in weights.items():
            args += [tenant, repr(weight)]
        args.append(len(bulk))
        args += [review_of(tenant, review_id) for tenant, review_id in (*bulk, *reviews)]
        if await self._run("sync", STATE, args) is None:
            self._told_at = self._now()
            self._alone().sync(self._now(), reviews, held, weights, bulk)

    async def standing(self) -> DoorStanding:
        """What is in flight and waiting, and the pace."""
        limits = await self._limits.everyone()
        reply = await self._ask("standing", "", "", Bounds.of(limits))
        if reply is None:
            local = Bounds.of(limits, limits.local_fraction)
            return replace(self._alone().standing(self._now(), local), degraded=True)
        flying, waiting, rate, behind = reply
        return DoorStanding(_counts(flying), _counts(waiting), float(rate), batches=_counts(behind))

    # --- Redis, or not ---

    def _now(self) -> int:
        return time.time_ns() // 1000 if self._clock is None else self._clock()

    def _alone(self) -> DoorModel:
        """This process's own door, kept from one absence of Redis to the next so that an allowance is granted once."""
        now = self._now()
        if now >= self._told_at + FRESH:  # no dispatcher in this process tells what Postgres shows
            self._local.lapse(now)
        if now >= self._forget_at:
            self._local.forget(now)
            self._forget_at = now + FORGET
        return self._local

    async def _ask(
        self,
        question: str,
        tenant: str,
        review: str,
        bounds: Bounds | None,
        keys: tuple[str, ...] = (),
        *special: int,
    ) -> Any:  # what a script returns is checked by who asks
        args: list[str | int] = [tenant, review, *(bounds.arguments() if bounds else ())]
        return await self._run(question, STATE + keys, [*args, *special])

    async def _run(self, question: str, keys: tuple[str, ...], args: Sequence[str | int]) -> Any:
        """The script's answer as a list ([] where it has none); None while Redis is away."""
        return await self._script.run(keys, (question, "" if self._clock is None else self._clock(), *args))


def _entry(reply: Sequence[Any], bounds: Bounds) -> Entry:
    place, refused, existing, ahead, estimate_s, retry_after_s, remaining, reset = reply
    return Entry(
        place=Place(place.decode()) if place else None,
        refused=Refused(refused.decode()) if refused else None,
        existing=bool(existing),
        ahead=ahead,
        estimate_s=float(estimate_s),
        retry_after_s=float(retry_after_s),
        limit=bounds.user_per_hour,
        remaining=remaining,
        reset_s=int(reset) / SECOND,
    )


def _counts(flat: Sequence[bytes]) -> dict[str, int]:
    return {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2], strict=True)}
