"""The door as plain Python: the reference that `door.lua` is tested against, and the limiter while Redis is away.

Time is an argument, in whole microseconds, so that both compute the same numbers: every sum and product of them stays
far below 2^53, where a Lua number stops being exact. Method for method and name for name this is `door.lua`.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass, field, replace

from countersign.admission.entry import Ask, DoorStanding, Entry, Place, Refused, but_for
from countersign.admission.fair import expected_ahead, place_in, turn_in
from countersign.admission.limits import Limits

SECOND = 1_000_000
HOUR = 3600 * SECOND
DAY = 24 * HOUR
"""How long an answer is remembered, and asking again free of charge."""
FRESH = 60 * SECOND
"""So long a new place in the room is kept although Postgres does not show its review (it is still being uploaded)."""
LEASE = 15 * 60 * SECOND
"""How long a lease outlives its last renewal."""

NO_ABUSE = 1_000_000
"""More strikes than an hour can bring; its product with an hour is still exact in Lua."""
MAX_LEVEL = 30
"""Cooldowns double no further; far beyond every cap."""
PACE_MEMORY = 1 - 1 / 64
"""What a release leaves of the weight of those before it: the pace is that of about the last 64."""
PRIOR_RELEASES = 4.0
"""Until releases tell, as many are assumed at the pace that the leases' length suggests."""
LONGEST_PAUSE = 4
"""A pause counts as no longer than this many turns of all leases: one stall must not spoil the estimates after it."""
LEASE_MEMORY = 1 / 16
UNKNOWN_LEASE = 10 * SECOND
"""Length of a lease before the first one ended."""


@dataclass(frozen=True)
class Bounds:
    """What one question is judged by: the limits as numbers, times in microseconds."""

    user_per_hour: int
    tenant_per_hour: int
    abuse_strikes: int
    cooldown: int
    cooldown_cap: int
    in_flight: int
    weight: float
    in_flight_all: int
    room: int

    @classmethod
    def of(cls, limits: Limits, fraction: float = 1.0) -> "Bounds":
        """The limits, or a fraction of every allowance but at least one. What counts as abuse stays the same."""

        def part(limit: int) -> int:
            return max(1, int(limit * fraction))

        return cls(
            user_per_hour=part(limits.user_per_hour),
            tenant_per_hour=part(limits.tenant_per_hour),
            abuse_strikes=limits.abuse_strikes,
            cooldown=round(limits.cooldown_s * SECOND),
            cooldown_cap=round(limits.cooldown_cap_s * SECOND),
            in_flight=part(limits.in_flight),
            weight=limits.weight,
            in_flight_all=part(limits.in_flight_all),
            room=part(limits.room),
        )

    @classmethod
    def of_batches(cls, limits: Limits, fraction: float = 1.0) -> "Bounds":
        """The limits of a tenant's batches: an allowance of their own, and no strike that could begin a cooldown."""
        per_hour = max(1, int(limits.batch_per_hour * fraction))
        bounds = cls.of(limits, fraction)
        return replace(bounds, user_per_hour=per_hour, tenant_per_hour=per_hour, abuse_strikes=NO_ABUSE)

    def arguments(self) -> tuple[str | int, ...]:
        """As the script takes them, in its order: that of the fields."""
        return tuple(repr(value) if isinstance(value, float) else value for value in astuple(self))


@dataclass
class User:
    """One user's account.

    Attributes:
        used_until: when the allowance will be whole again (GCRA's theoretical arrival time).
        window, strikes, before: number of the current hour, strikes in it, and in the hour before.
        cooling_until, level: end of the last cooldown, and how many there were in a row.
    """

    used_until: int = 0
    window: int = 0
    strikes: int = 0
    before: int = 0
    cooling_until: int = 0
    level: int = 0

    def is_idle(self, now: int) -> bool:
        """Whether there is nothing left to remember, whatever the longest cooldown is set to."""
        return self.used_until <= now and self.window + 1 < now // HOUR and self.cooling_until + 30 * DAY <= now


@dataclass
class Pace:
    """How quickly leases come back while somebody waits: the machine's capacity, not the demand.

    Attributes:
        count, time: releases, and the time they took, both fading; `count` 0 means that nothing is known.
        last: the last release, if somebody waited after it; else 0.
        lease: mean length of a lease, 0 while unknown.
    """

    count: float = 0.0
    time: float = 0.0
    last: int = 0
    lease: float = 0.0

    def interval(self, slots: int) -> float:
        """Microseconds from one release to the next, with `slots` leases out."""
        return self.time / self.count if self.count > 0 else (self.lease or float(UNKNOWN_LEASE)) / slots

    def ended(self, lease: int) -> None:
        """Learn how long a lease lasted."""
        self.lease = self.lease + (lease - self.lease) * LEASE_MEMORY if self.lease > 0 else float(lease)

    def released(self, now: int, slots: int, *, busy: bool) -> None:
        """Learn from a release; `busy` when somebody waits for the lease that came back."""
        if self.last > 0:
            usual = self.interval(slots)
            if self.count == 0:
                self.count, self.time = PRIOR_RELEASES, PRIOR_RELEASES * usual
            pause = min(now - self.last, LONGEST_PAUSE * slots * usual)
            self.count = self.count * PACE_MEMORY + 1
            self.time = self.time * PACE_MEMORY + pause
        self.last = now if busy else 0


@dataclass
class DoorModel:
    """All that the door knows. One process's own while Redis is away; a test's stand-in for Redis otherwise."""

    users: dict[str, User] = field(default_factory=dict)
    tenants: dict[str, int] = field(default_factory=dict)
    """When the tenant's allowance will be whole again."""
    room: dict[str, int] = field(default_factory=dict)
    """Review to the time until which its place is kept even if Postgres does not show it."""
    waiting: Counter[str] = field(default_factory=Counter)
    batch: set[str] = field(default_factory=set)
    """Reviews of batches in the room."""
    behind: Counter[str] = field(default_factory=Counter)
    """How many those are, by tenant."""
    came: Counter[str] = field(default_factory=Counter)
    """Places taken in the room since it last held none but batches, by tenant, those of batches left out."""
    busy_since: int = 0
    flight: dict[str, int] = field(default_factory=dict)
    """Review to the end of its lease."""
    flying: Counter[str] = field(default_factory=Counter)
    since: dict[str, int] = field(default_factory=dict)
    """Review to the beginning of its lease, where that is known."""
    weights: dict[str, float] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    answers: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Review that was let in: until when that is remembered, and how many were ahead (-1: it was in flight)."""
    struck: dict[str, int] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)

    # --- the questions ---

    def enter(self, now: int, ask: Ask, bounds: Bounds) -> Entry:
        """Let a review in, or say why not. What is refused costs nothing of any allowance."""
        self._expire(now)
        review = review_of(ask.tenant, ask.review_id)
        user = self.users.get(ask.user_account, User())
        until, ahead = self.answers.get(review, (0, -1))
        if review in self.flight or (until > now and review not in self.room and ahead < 0):
            return self._entry(now, user, bounds, place=Place.FLIGHT, existing=True)
        if review in self.room or until > now:
            before = self._ahead(now, ask, 1, bounds)
            ahead = min(before, ahead) if until > now and ahead >= 0 else before
            return self._entry(now, user, bounds, place=Place.ROOM, existing=True, ahead=ahead)

        if now < user.cooling_until:
            return self._entry(now, user, bounds, refused=Refused.COOLDOWN)
        of_user, wait_user = _charged(now, user.used_until, bounds.user_per_hour)
        of_tenant, wait_tenant = _charged(now, self.tenants.get(ask.tenant_account, 0), bounds.tenant_per_hour)
        if wait_user > 0 or wait_tenant > 0:
            self.users[ask.user_account] = user
            _strike(now, user, 1, bounds)
            refused = Refused.USER_RATE if wait_user > 0 else Refused.TENANT_RATE
            wait = wait_user if wait_user > 0 else wait_tenant
            # The refusal that begins a cooldown says so: asking after `wait` would be in vain.
            refused = Refused.COOLDOWN if now < user.cooling_until else refused
            return self._entry(now, user, bounds, refused=refused, retry_after_s=wait / SECOND)

        ahead = -1
        lease = ask.running and not self.room and ask.tenant not in self.held and self._is_free(ask.tenant, bounds)
        if lease:
            self._take_lease(now, ask.tenant, review)
        elif self.waiting[ask.tenant] >= bounds.room - len(self.room):
            weights = {**self.weights, ask.tenant: bounds.weight}
            wait_s = place_in(ask.tenant, self.waiting, weights, bounds.room, self._rate(bounds))
            return self._entry(now, user, bounds, refused=Refused.ROOM, retry_after_s=wait_s)
        else:
            if not ask.batch and len(self.room) == len(self.batch):
                self.came.clear()
                self.busy_since = now
            ahead = self._ahead(now, ask, 0, bounds)
            if ask.batch:
                self.batch.add(review)
                self.behind[ask.tenant] += 1
            else:
                self.came[ask.tenant] += 1
            self.room[review] = now + FRESH
            self.waiting[ask.tenant] += 1
            self.weights[ask.tenant] = bounds.weight
        user.used_until, self.tenants[ask.tenant_account] = of_user, of_tenant
        self.users[ask.user_account] = user
        self.answers[review] = (now + DAY, ahead)
        place = Place.FLIGHT if lease else Place.ROOM
        return self._entry(now, user, bounds, place=place, ahead=max(0, ahead))

    def leave(self, tenant: str, review_id: str) -> None:
        """Give the place back and forget the answer. What was charged stays charged: it was tried."""
        review = review_of(tenant, review_id)
        self._leave_room(tenant, review)
        self._give_lease(tenant, review)
        self.answers.pop(review, None)

    def grant(self, now: int, tenant: str, review_id: str, bounds: Bounds) -> bool:
        """A lease, if the bounds allow one or it is held already."""
        self._expire(now)
        review = review_of(tenant, review_id)
        if review in self.flight:
            return True
        if not self._is_free(tenant, bounds):
            return False
        self._leave_room(tenant, review)
        self._take_lease(now, tenant, review)
        self.answers[review] = (now + DAY, -1)
        return True

    def renew(self, now: int, tenant: str, review_id: str) -> None:
        """A full lease again, whatever the bounds: the review runs."""
        self._expire(now)
        review = review_of(tenant, review_id)
        if review not in self.flight:
            self._leave_room(tenant, review)
            self.flying[tenant] += 1
            self.answers[review] = (now + DAY, -1)
        self.flight[review] = now + LEASE

    def release(self, now: int, tenant: str, review_id: str, bounds: Bounds) -> None:
        """Give the lease back, and learn the pace from it."""
        self._expire(now)
        review = review_of(tenant, review_id)
        self._leave_room(tenant, review)
        since = self.since.get(review)
        if self._give_lease(tenant, review):
            if since is not None:
                self.pace.ended(now - since)
            self.pace.released(now, bounds.in_flight_all, busy=self._somebody_waits())

    def strike(  # noqa: PLR0913, PLR0917 - a question and the time
        self, now: int, tenant: str, user_hash: str, review_id: str, strikes: int, bounds: Bounds
    ) -> None:
        """Count strikes against a user, once for each review."""
        review = review_of(tenant, review_id)
        if strikes > 0 and self.struck.get(review, 0) <= now:
            self.struck[review] = now + DAY
            _strike(now, self.users.setdefault(f"{tenant}/{user_hash}", User()), strikes, bounds)

    def sync(
        self,
        now: int,
        waiting: Collection[tuple[str, str]],
        held: Collection[str],
        weights: Mapping[str, float],
        batches: Collection[tuple[str, str]] = (),
    ) -> None:
        """Make the room what Postgres says it is, but for places so fresh that Postgres may not show them yet.

        `batches` are the reviews of batches that wait, `waiting` all others.
        """
        self._expire(now)
        of_batches = {review_of(tenant, review_id) for tenant, review_id in batches}
        shown = {review_of(tenant, review_id) for tenant, review_id in waiting} | of_batches
        fresh = {review: kept for review, kept in self.room.items() if kept > now and review not in shown}
        # From now on Postgres is asked: a review that it no longer shows has gone.
        self.room = {**{review: now for review in shown if review not in self.flight}, **fresh}
        self.waiting = Counter(tenant_of(review) for review in self.room)
        self.batch = {review for review in self.room if review in (of_batches if review in shown else self.batch)}
        self.behind = Counter(tenant_of(review) for review in self.batch)
        self.held = set(held)
        known = {**self.weights, **weights}
        self.weights = {tenant: known[tenant] for tenant in self.waiting if tenant in known}
        if not self._somebody_waits():
            self.pace.last = 0

    def standing(self, now: int, bounds: Bounds) -> DoorStanding:
        """How full it is."""
        self._expire(now)
        return DoorStanding(
            in_flight=dict(+self.flying),
            waiting=dict(+self.waiting),
            rate=self._rate(bounds),
            batches=dict(+self.behind),
        )

    # --- what Redis does by itself, or need not do ---

    def forget(self, now: int) -> None:
        """Drop what has no effect any more; Redis's keys expire."""
        self.users = {name: user for name, user in self.users.items() if not user.is_idle(now)}
        self.tenants = {name: until for name, until in self.tenants.items() if until > now}
        self.answers = {review: answer for review, answer in self.answers.items() if answer[0] > now}
        self.struck = {review: until for review, until in self.struck.items() if until > now}

    def lapse(self, now: int) -> None:
        """Empty places of the room that are no longer fresh, for a process that is not told what Postgres shows."""
        for review in [review for review, kept in self.room.items() if kept <= now]:
            self._leave_room(tenant_of(review), review)

    # --- parts ---

    def _expire(self, now: int) -> None:
        for review in [review for review, end in self.flight.items() if end <= now]:
            self._give_lease(tenant_of(review), review)

    def _is_free(self, tenant: str, bounds: Bounds) -> bool:
        return len(self.flight) < bounds.in_flight_all and self.flying[tenant] < bounds.in_flight

    def _take_lease(self, now: int, tenant: str, review: str) -> None:
        self.flight[review] = now + LEASE
        self.since[review] = now
        self.flying[tenant] += 1

    def _give_lease(self, tenant: str, review: str) -> bool:
        if self.flight.pop(review, None) is None:
            return False
        self.since.pop(review, None)
        _less(self.flying, tenant)
        return True

    def _leave_room(self, tenant: str, review: str) -> None:
        if self.room.pop(review, None) is not None:
            _less(self.waiting, tenant)
            if tenant not in self.waiting:
                self.weights.pop(tenant, None)
            if review in self.batch:
                self.batch.remove(review)
                _less(self.behind, tenant)

    def _somebody_waits(self) -> bool:
        """Somebody who would go if a lease came back: those whose reviewers are overrun would not."""
        return len(self.room) > sum(self.waiting[tenant] for tenant in self.held)

    def _ahead(self, now: int, ask: Ask, itself: int, bounds: Bounds) -> int:
        """Those before it: of what somebody waits for none of a batch. `itself` is 1 when it is in the room already."""
        waiting = self.waiting if ask.batch else but_for(self.waiting, self.behind)
        own = max(0, waiting.get(ask.tenant, 0) - itself)
        weights = {**self.weights, ask.tenant: bounds.weight}
        elapsed_s = max(1, now - self.busy_since) / SECOND
        return expected_ahead(ask.tenant, own, waiting, weights, self.came, elapsed_s, self._rate(bounds))

    def _rate(self, bounds: Bounds) -> float:
        return SECOND / max(1.0, self.pace.interval(bounds.in_flight_all))

    def _entry(  # noqa: PLR0913 - one answer
        self,
        now: int,
        user: User,
        bounds: Bounds,
        *,
        place: Place | None = None,
        refused: Refused | None = None,
        existing: bool = False,
        ahead: int = 0,
        retry_after_s: float = 0.0,
    ) -> Entry:
        used = max(0, user.used_until - now)
        remaining, reset = (HOUR - used) // (HOUR // bounds.user_per_hour), used
        if refused is Refused.COOLDOWN:
            remaining, reset = 0, user.cooling_until - now
            retry_after_s = reset / SECOND
        free = max(0, bounds.in_flight_all - len(self.flight))
        return Entry(
            place=place,
            refused=refused,
            existing=existing,
            ahead=ahead,
            estimate_s=turn_in(ahead, free, self._rate(bounds)) if place is Place.ROOM else 0.0,
            retry_after_s=retry_after_s,
            limit=bounds.user_per_hour,
            remaining=remaining,
            reset_s=reset / SECOND,
        )


def review_of(tenant: str, review_id: str) -> str:
    """A review as one string. A tenant's name holds no slash."""
    return f"{tenant}/{review_id}"


def tenant_of(review: str) -> str:
    """The tenant of `review_of`."""
    return review.partition("/")[0]


def _less(counts: Counter[str], tenant: str) -> None:
    counts[tenant] -= 1
    if counts[tenant] <= 0:
        del counts[tenant]


def _charged(now: int, used_until: int, per_hour: int) -> tuple[int, int]:
    """GCRA with the whole hour's allowance as burst: what `used_until` becomes, and how long to wait before it may."""
    charged = max(now, used_until) + HOUR // per_hour
    return charged, charged - now - HOUR


def _strike(now: int, user: User, strikes: int, bounds: Bounds) -> None:
    """Count strikes over a sliding hour, and begin a cooldown when there are enough.

    During a cooldown nothing is counted: it is punishment enough, and it does not grow by being asked about.
    """
    if now < user.cooling_until:
        return
    window = now // HOUR
    if window != user.window:
        user.before = user.strikes if window == user.window + 1 else 0
        user.window, user.strikes = window, 0
    user.strikes += min(strikes, bounds.abuse_strikes)
    # The hour before counts for the part of it that the sliding hour still covers.
    if user.strikes * HOUR + user.before * (HOUR - now % HOUR) >= bounds.abuse_strikes * HOUR:
        if now >= user.cooling_until + bounds.cooldown_cap:
            user.level = 0
        user.cooling_until = now + min(bounds.cooldown * 2**user.level, bounds.cooldown_cap)
        user.level = min(user.level + 1, MAX_LEVEL)
        user.strikes = user.before = 0
