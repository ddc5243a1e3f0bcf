"""The door's rules on its model, where the clock is an argument. `test_door.py` holds the Redis script to the same."""

from typing import Any

import pytest

from countersign.admission.entry import Ask, Entry, Place, Refused
from countersign.admission.limits import Limits
from countersign.admission.model import DAY, FRESH, HOUR, LEASE, SECOND, Bounds, DoorModel

START = 1_790_000_000 * SECOND
MINUTE = 60 * SECOND


class World:
    """A door, its limits and the time."""

    def __init__(self, **limits: Any) -> None:
        self.limits = Limits(**limits)
        self.door = DoorModel()
        self.now = START
        self._number = 0

    @property
    def bounds(self) -> Bounds:
        return Bounds.of(self.limits)

    def enter(
        self, tenant: str = "a", review_id: str | None = None, user: str = "x", *, running: bool = False
    ) -> Entry:
        if review_id is None:
            self._number += 1
            review_id = f"new-{self._number}"
        return self.door.enter(self.now, Ask(tenant, user, review_id, running), self.bounds)

    def enter_batch(self, tenant: str = "a", review_id: str | None = None) -> Entry:
        self._number += 1
        ask = Ask(tenant, "x", review_id or f"new-{self._number}", batch=True)
        return self.door.enter(self.now, ask, Bounds.of_batches(self.limits))

    def enter_all(self, count: int, tenant: str = "a", user: str = "x") -> list[Refused | None]:
        return [self.enter(tenant, user=user).refused for _ in range(count)]

    def grant(self, review_id: str, tenant: str = "a") -> bool:
        return self.door.grant(self.now, tenant, review_id, self.bounds)

    def release(self, review_id: str, tenant: str = "a") -> None:
        self.door.release(self.now, tenant, review_id, self.bounds)

    def strike(self, review_id: str, strikes: int, user: str = "x") -> None:
        self.door.strike(self.now, "a", user, review_id, strikes, self.bounds)

    def sync(self, *held: str, weights: dict[str, float] | None = None, **waiting: list[str]) -> None:
        reviews = [(tenant, review_id) for tenant, ids in waiting.items() for review_id in ids]
        self.door.sync(self.now, reviews, held, weights or {})

    def waiting(self) -> dict[str, int]:
        return dict(self.door.standing(self.now, self.bounds).waiting)

    def in_flight(self) -> dict[str, int]:
        return dict(self.door.standing(self.now, self.bounds).in_flight)


# --- rates ---


def test_the_whole_allowance_at_once_then_evenly() -> None:
    world = World(user_per_hour=6)
    assert world.enter_all(7) == [None] * 6 + [Refused.USER_RATE]
    refused = world.enter()
    assert (refused.retry_after_s, refused.limit, refused.remaining, refused.reset_s) == (600, 6, 0, 3600)
    world.now += 600 * SECOND - 1
    assert world.enter().refused is Refused.USER_RATE
    world.now += 1
    assert world.enter_all(2) == [None, Refused.USER_RATE]
    world.now += HOUR
    assert world.enter_all(7) == [None] * 6 + [Refused.USER_RATE]


@pytest.mark.parametrize("per_hour", [1, 7, 100, 999, 3601])
def test_every_allowance_is_whole_to_the_last_review(per_hour: int) -> None:
    world = World(user_per_hour=per_hour, tenant_per_hour=10_000_000, room=1_000_000)
    remaining = [world.enter().remaining for _ in range(per_hour)]
    assert remaining == list(reversed(range(per_hour)))
    assert world.enter().refused is Refused.USER_RATE


def test_the_tenant_has_an_allowance_of_its_own() -> None:
    world = World(user_per_hour=3, tenant_per_hour=4)
    assert world.enter_all(3, user="x") == [None] * 3
    assert world.enter_all(2, user="y") == [None, Refused.TENANT_RATE]
    assert world.enter("b", user="x").admitted


def test_what_is_refused_costs_nothing_elsewhere() -> None:
    world = World(user_per_hour=2, tenant_per_hour=3, room=1000, abuse_strikes=100)
    world.enter_all(10, user="x")
    # Eight refusals for the user's rate took nothing of the tenant's: one is left, and the user `y` has two.
    last = world.enter(user="y")
    assert (last.admitted, last.remaining) == (True, 1)
    assert world.enter(user="y").refused is Refused.TENANT_RATE
    world.now += HOUR // 3
    assert world.enter(user="y").remaining == 0  # ... of which the refusal for the tenant's rate took none


def test_a_refusal_for_the_room_costs_and_strikes_nothing() -> None:
    world = World(user_per_hour=3, room=1, abuse_strikes=1)
    assert world.enter_all(50)[1:] == [Refused.ROOM] * 49
    world.sync()
    world.now += FRESH
    world.sync()
    assert world.enter().remaining == 1


def test_asking_again_is_free_and_answered_as_at_first() -> None:
    world = World(user_per_hour=1)
    first = world.enter(review_id="r", running=True)
    assert (first.place, first.existing) == (Place.FLIGHT, False)
    for later in (0, HOUR, LEASE, 20 * HOUR):
        world.now += later
        again = world.enter(review_id="r", running=True)
        assert (again.place, again.existing, again.refused) == (Place.FLIGHT, True, None)
    world.now += DAY
    assert not world.enter(review_id="r").existing


# --- cooldowns ---


def test_enough_refusals_begin_a_cooldown_and_the_last_of_them_says_so() -> None:
    world = World(user_per_hour=1, abuse_strikes=3, cooldown_s=600)
    assert world.enter_all(4) == [None, Refused.USER_RATE, Refused.USER_RATE, Refused.COOLDOWN]
    world.now += MINUTE
    entry = world.enter()
    assert (entry.refused, entry.retry_after_s, entry.reset_s) == (Refused.COOLDOWN, 540, 540)


def test_asking_during_a_cooldown_does_not_prolong_it() -> None:
    world = World(abuse_strikes=1, cooldown_s=600, cooldown_cap_s=3600)
    world.strike("r", 1)
    for _ in range(10):
        world.now += MINUTE - 1
        assert set(world.enter_all(20)) == {Refused.COOLDOWN}
        world.strike(f"more-{world.now}", 50)
    world.now = START + 600 * SECOND
    assert world.enter().admitted


def test_each_further_cooldown_is_twice_as_long_up_to_the_cap_until_it_is_forgotten() -> None:
    world = World(abuse_strikes=5, cooldown_s=600, cooldown_cap_s=3000)
    lengths = []
    for number in range(5):
        world.strike(f"r{number}", 5)
        lengths.append(world.enter().retry_after_s)
        world.now += int(lengths[-1]) * SECOND
    assert lengths == [600, 1200, 2400, 3000, 3000]
    world.now += 3000 * SECOND - 1
    world.strike("in time", 5)
    assert world.enter().retry_after_s == 3000
    world.now += 6000 * SECOND
    world.strike("too late", 5)
    assert world.enter().retry_after_s == 600


def test_strikes_fade_over_an_hour() -> None:
    world = World(abuse_strikes=4, cooldown_s=600)
    world.now = START // HOUR * HOUR  # the beginning of a clock hour
    world.strike("r1", 3)
    world.now += HOUR + HOUR // 2  # half of them still count
    world.strike("r2", 2)
    assert world.enter().admitted
    world.strike("r3", 1)
    assert world.enter().refused is Refused.COOLDOWN


def test_a_review_strikes_once_and_nobody_else() -> None:
    world = World(abuse_strikes=4, cooldown_s=600)
    for _ in range(5):
        world.strike("r1", 3)
    assert world.enter().admitted
    world.strike("r2", 3)
    assert world.enter().refused is Refused.COOLDOWN
    assert world.enter(user="y").admitted


# --- places ---


def test_the_room_is_shared_so_that_no_tenant_fills_it() -> None:
    world = World(room=12, user_per_hour=1000)
    assert world.enter_all(20).count(None) == 6
    assert world.enter_all(20, "b").count(None) == 3
    assert world.enter_all(20, "c").count(None) == 2
    assert world.enter_all(20, "d").count(None) == 1
    assert sum(world.waiting().values()) == 12
    assert world.enter("e").refused is Refused.ROOM


def test_a_place_is_promised_when_it_is_likely_free() -> None:
    world = World(room=4, user_per_hour=1000, in_flight_all=1)
    world.door.pace.count, world.door.pace.time = 64.0, 64.0 * 10 * SECOND
    assert world.enter_all(3) == [None, None, Refused.ROOM]
    # One dispatched frees two places for the tenant: one left, one less of its own.
    assert world.enter().retry_after_s == pytest.approx(5)
    assert world.grant("new-1")
    assert world.enter().admitted


def test_a_running_workflow_flies_at_once_only_past_an_empty_room() -> None:
    world = World(in_flight=2, in_flight_all=3)
    assert [world.enter(running=True).place for _ in range(3)] == [Place.FLIGHT, Place.FLIGHT, Place.ROOM]
    assert world.enter("b", running=True).place is Place.ROOM  # a lease is free, and somebody was first
    assert world.in_flight() == {"a": 2}


def test_a_tenant_whose_reviewers_are_overrun_does_not_fly_past_the_room() -> None:
    world = World()
    world.sync("a")
    assert world.enter(running=True).place is Place.ROOM
    assert world.grant("new-1")  # its turn is the dispatcher's to judge
    world.sync()
    assert world.enter(running=True).place is Place.FLIGHT


def test_leases_are_granted_within_the_bounds_and_once() -> None:
    world = World(in_flight=2, in_flight_all=3)
    assert [world.grant(f"r{number}") for number in (1, 1, 2, 3)] == [True, True, True, False]
    assert [world.grant("r1", "b"), world.grant("r2", "b")] == [True, False]
    world.release("r1")
    world.release("r1")
    assert world.in_flight() == {"a": 1, "b": 1}


def test_a_lease_expires_unless_it_is_renewed_and_is_made_again_where_it_was_lost() -> None:
    world = World(in_flight_all=1)
    world.grant("r1")
    world.now += LEASE - 1
    world.door.renew(world.now, "a", "r1")
    world.now += LEASE - 1
    assert not world.grant("r2")
    world.now += 1
    assert world.in_flight() == {}
    assert world.grant("r2")
    world.door.renew(world.now, "a", "r1")  # it runs, whatever the bounds say
    assert world.in_flight() == {"a": 2}


def test_a_place_is_given_back_and_the_answer_forgotten() -> None:
    world = World(user_per_hour=5)
    for running in (False, True):
        world.enter(review_id="r", running=running)
        world.door.leave("a", "r")
        assert (world.waiting(), world.in_flight()) == ({}, {})
    again = world.enter(review_id="r")
    assert (again.existing, again.remaining) == (False, 2)  # each try was charged


def test_the_room_becomes_what_postgres_shows() -> None:
    world = World(user_per_hour=100)
    for review_id in ("fresh", "shown", "granted"):
        world.enter(review_id=review_id)
    world.grant("granted")
    world.sync(a=["shown", "granted"], b=["lost"])
    assert world.waiting() == {"a": 2, "b": 1}
    assert set(world.door.room) == {"a/fresh", "a/shown", "b/lost"}
    world.sync(b=["lost"])  # `shown` was dispatched elsewhere
    assert set(world.door.room) == {"a/fresh", "b/lost"}
    world.now += FRESH
    assert world.waiting() == {"a": 1, "b": 1}  # nobody looked, so its place is kept
    world.sync(b=["lost"])
    assert set(world.door.room) == {"b/lost"}


# --- waiting ---


def test_who_is_ahead_and_for_how_long() -> None:
    world = World(in_flight_all=2, in_flight=2)
    world.door.pace.count, world.door.pace.time = 64.0, 64.0 * 2 * SECOND  # one every two seconds
    assert [world.enter("a").estimate_s for _ in range(4)] == [0, 0, 2, 4]
    world.now += HOUR  # nobody came for long enough that nobody is expected
    world.grant("new-1")
    world.grant("new-2")
    entry = world.enter("b")
    assert (entry.ahead, entry.estimate_s) == (1, 4)  # one of a's two goes first, and a lease must come back
    entry = world.enter("a")
    assert (entry.ahead, entry.estimate_s) == (3, 8)


def test_those_who_will_overtake_are_expected() -> None:
    world = World(in_flight_all=1, user_per_hour=1000)
    world.door.pace.count, world.door.pace.time = 64.0, 64.0 * SECOND
    world.enter("b", "b0")
    for number in range(9):
        world.now += 10 * SECOND
        world.enter("b", f"b{number + 1}")
        world.grant(f"b{number}", "b")
        world.door.leave("b", f"b{number}")
    world.now += 10 * SECOND
    assert world.waiting() == {"b": 1}
    waited = [world.enter("a").ahead for _ in range(30)]
    # The one of b there, and one more every ten seconds, which a's own order lets it wait for.
    assert waited[0] == 1
    assert waited[19] == pytest.approx(19 + 1 + 2, abs=1)
    assert waited[29] == pytest.approx(29 + 1 + 3, abs=1)


def test_one_that_waits_is_not_told_longer_because_others_came() -> None:
    world = World(in_flight_all=1)
    world.enter("a", "r1")
    second = world.enter("a", "r2")
    world.enter_all(5)
    world.enter_all(5, "b")
    again = world.enter("a", "r2")
    assert (again.existing, again.ahead) == (True, second.ahead)


def _drained(world: World, seconds: float, count: int) -> None:
    """Keep the machine busy: a lease comes back every `seconds`, and the next one is granted at once."""
    ids = [f"w{number}" for number in range(count)]
    world.sync(a=ids)
    flying: list[str] = []
    for review_id in ids:
        if not world.grant(review_id):
            world.now += int(seconds * SECOND)
            world.release(flying.pop(0))
            assert world.grant(review_id)
        flying.append(review_id)
    world.sync()
    for review_id in flying:
        world.release(review_id)


def test_the_pace_is_learned_while_somebody_waits_and_only_then() -> None:
    world = World(in_flight=4, in_flight_all=4)
    _drained(world, 2, 100)
    assert world.door.standing(world.now, world.bounds).rate == pytest.approx(0.5, rel=0.05)
    for number in range(50):  # an idle day: one an hour is the demand, not the pace
        world.now += HOUR
        world.enter(review_id=f"idle{number}", running=True)
        world.now += SECOND
        world.release(f"idle{number}")
    assert world.door.standing(world.now, world.bounds).rate == pytest.approx(0.5, rel=0.05)
    _drained(world, 0.5, 300)  # the machine got quicker
    assert world.door.standing(world.now, world.bounds).rate == pytest.approx(2, rel=0.05)


def test_those_held_back_do_not_count_as_waiting_for_the_machine() -> None:
    world = World(in_flight=4, in_flight_all=4)
    _drained(world, 2, 100)
    world.sync("b", b=["held"])
    for number in range(50):
        world.now += HOUR
        world.grant(f"r{number}")
        world.release(f"r{number}")
    assert world.door.standing(world.now, world.bounds).rate == pytest.approx(0.5, rel=0.05)


def test_one_stall_does_not_spoil_the_pace_for_long() -> None:
    world = World(in_flight=4, in_flight_all=4)
    _drained(world, 1, 100)
    world.now += HOUR
    world.grant("s1")
    world.sync(a=["w"])
    world.release("s1")
    world.grant("s2")
    world.now += 6 * HOUR
    world.release("s2")
    assert world.door.standing(world.now, world.bounds).rate > 0.75


def test_before_anything_is_known_the_leases_length_says_the_pace() -> None:
    world = World(in_flight_all=8)
    assert world.door.standing(world.now, world.bounds).rate == pytest.approx(0.8)
    for number in range(40):
        world.enter(review_id=f"r{number}", running=True)
        world.now += 2 * SECOND
        world.release(f"r{number}")
    assert world.door.standing(world.now, world.bounds).rate == pytest.approx(4)


def test_the_longest_memory_is_cleared_when_it_has_no_effect_any_more() -> None:
    world = World(user_per_hour=2, abuse_strikes=1, cooldown_s=600, cooldown_cap_s=600)
    world.enter_all(3)
    world.strike("r", 1, user="y")
    world.door.forget(world.now)
    assert (len(world.door.users), len(world.door.answers), len(world.door.struck)) == (2, 2, 1)
    world.now += 32 * DAY
    world.door.forget(world.now)
    door = world.door
    assert not (door.users or door.tenants or door.answers or door.struck)


# --- a part of the limits ---


def test_a_part_of_the_limits_is_at_least_one() -> None:
    part = Bounds.of(Limits(user_per_hour=100, tenant_per_hour=3, in_flight=2, in_flight_all=16, room=1000), 0.2)
    assert (part.user_per_hour, part.tenant_per_hour, part.in_flight, part.in_flight_all, part.room) == (
        20,
        1,
        1,
        3,
        200,
    )
    assert part.abuse_strikes == Limits().abuse_strikes


# --- batches ---


def test_who_waits_for_an_answer_waits_for_no_batch() -> None:
    world = World(in_flight_all=1, in_flight=1)
    for tenant in ("a", "a", "b"):
        world.enter_batch(tenant)
    first = world.enter(review_id="first")
    assert (first.ahead, first.estimate_s) == (0, 0)
    second = world.enter(review_id="second")
    assert second.ahead == 1
    assert second.estimate_s > 0
    assert world.enter(review_id="second").ahead == 1, "and asking again says the same"
    assert world.enter("b").ahead == 1, "its turn comes before the other's second"
    assert world.enter_batch().ahead > 3, "a batch waits for all of them"
    standing = world.door.standing(world.now, world.bounds)
    assert standing.waiting == {"a": 5, "b": 2}
    assert standing.batches == {"a": 3, "b": 1}
    assert standing.before(batch=False) == {"a": 2, "b": 1}


def test_what_batches_brought_is_no_rush_of_people() -> None:
    world = World(in_flight_all=1, in_flight=1, room=1000, batch_per_hour=1000)
    for _ in range(50):
        world.enter_batch("b")
        world.now += SECOND
    assert world.enter("a").ahead == 0
    assert world.door.came == {"a": 1}
    assert world.door.busy_since == world.now


def test_a_review_of_a_batch_is_one_until_it_leaves_the_room_and_when_postgres_tells_it() -> None:
    world = World()
    world.enter_batch(review_id="fresh")
    world.enter_batch(review_id="gone")
    world.door.sync(world.now, [("a", "mine")], [], {}, [("a", "told")])
    assert world.door.batch == {"a/fresh", "a/gone", "a/told"}
    assert world.grant("gone")
    world.door.leave("a", "fresh")
    assert (world.door.batch, world.door.behind) == ({"a/told"}, {"a": 1})
    assert world.waiting() == {"a": 2}
