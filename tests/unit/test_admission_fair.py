"""Weighted fair order as properties, and what it means for one that waits."""

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from countersign.admission.fair import ahead_of, order, place_in, turn_in

TENANTS = st.sampled_from([f"t{number}" for number in range(8)])
WAITING = st.dictionaries(TENANTS, st.integers(0, 40), max_size=8)
FLYING = st.dictionaries(TENANTS, st.integers(0, 6), max_size=8)
CAPS = st.dictionaries(TENANTS, st.integers(0, 12), max_size=8)
WEIGHTS = st.dictionaries(TENANTS, st.sampled_from([0.25, 0.5, 1.0, 1.5, 3.0]), max_size=8)
LAST = st.dictionaries(TENANTS, st.floats(0, 100), max_size=8)
SLOTS = st.integers(0, 60)


@given(WAITING, FLYING, WEIGHTS, SLOTS, CAPS, LAST)
def test_no_slot_is_wasted_and_no_cap_passed(  # noqa: PLR0917 - as many as `order` takes
    waiting: dict[str, int],
    flying: dict[str, int],
    weights: dict[str, float],
    slots: int,
    caps: dict[str, int],
    last: dict[str, float],
) -> None:
    picks = Counter(order(waiting, flying, weights, slots, caps=caps, last=last))
    room = {
        tenant: min(count, max(0, caps.get(tenant, 1000) - flying.get(tenant, 0))) for tenant, count in waiting.items()
    }
    assert all(picks[tenant] <= room[tenant] for tenant in picks)
    assert picks.total() == min(slots, sum(room.values()))


@given(WAITING, FLYING, WEIGHTS, SLOTS, LAST)
def test_nobody_is_picked_while_another_has_less_for_its_weight(
    waiting: dict[str, int], flying: dict[str, int], weights: dict[str, float], slots: int, last: dict[str, float]
) -> None:
    running, left = Counter(flying), Counter(waiting)
    for tenant in order(waiting, flying, weights, slots, caps={}, last=last):
        loads = {other: running[other] / weights.get(other, 1.0) for other, count in left.items() if count > 0}
        assert loads[tenant] == min(loads.values())
        running[tenant] += 1
        left[tenant] -= 1


@given(st.integers(2, 8), st.integers(1, 100))
def test_equal_tenants_get_equal_shares_whoever_has_more_waiting(tenants: int, slots: int) -> None:
    waiting = {f"t{number}": 100 + 500 * number for number in range(tenants)}
    served = Counter(order(waiting, {}, {}, slots, caps={}, last={}))
    shares = [served[tenant] for tenant in waiting]
    assert max(shares) - min(shares) <= 1
    if slots >= tenants:
        jain = sum(shares) ** 2 / (tenants * sum(share**2 for share in shares))
        assert jain >= 0.88  # 1 and 2 of two tenants; the more slots, the nearer to 1


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=2, max_size=6))
def test_over_time_the_shares_follow_the_weights_to_a_slot(weights: list[float]) -> None:
    """A backlog through 16 slots, leases coming back in the order they were given.

    Nobody gets more than a slot above the weight's share: it is what the smallest weights need not to starve.
    """
    named = {f"t{number}": weight for number, weight in enumerate(weights)}
    waiting, flying, last = dict.fromkeys(named, 100_000), list[str](), dict[str, float]()
    served: Counter[str] = Counter()
    for turn in range(400):
        for tenant in order(waiting, Counter(flying), named, 16 - len(flying), caps={}, last=last):
            flying.append(tenant)
            last[tenant] = turn
            served[tenant] += 1
        flying.pop(0)
    for tenant, weight in named.items():
        assert served[tenant] / served.total() <= weight / sum(weights) + 1.1 / 16
    heaviest, lightest = max(named, key=lambda name: named[name]), min(named, key=lambda name: named[name])
    assert served[heaviest] >= served[lightest] > 0


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 30), st.integers(1, 8), st.data())
def test_nobody_starves(tenants: int, slots: int, data: st.DataObject) -> None:
    """More tenants than slots, one of them with all the load: everyone has a turn before anyone has a third more."""
    names = [f"t{number}" for number in range(tenants)]
    waiting, flying, last = dict.fromkeys(names, 5) | {"t0": 10_000}, list[str](), dict[str, float]()
    served: Counter[str] = Counter()
    for turn in range(2 * tenants):
        for tenant in order(waiting, Counter(flying), {}, slots - len(flying), caps={}, last=last):
            flying.append(tenant)
            last[tenant] = turn
            served[tenant] += 1
            waiting[tenant] -= 1
        flying.pop(data.draw(st.integers(0, len(flying) - 1)))
    assert min(served[name] for name in names) >= 1


def test_among_equals_the_one_dispatched_longest_ago_goes_first() -> None:
    waiting = dict.fromkeys(["a", "b", "c"], 2)
    assert order(waiting, {}, {}, 6, caps={}, last={"a": 3.0, "b": 1.0}) == ["c", "b", "a", "c", "b", "a"]


def test_order_asks_for_nothing_that_a_crash_could_lose() -> None:
    waiting, flying = {"a": 3, "b": 3}, {"a": 2}
    assert order(waiting, flying, {}, 3, caps={}, last={}) == ["b", "b", "a"]
    assert waiting == {"a": 3, "b": 3}


@given(WAITING, WEIGHTS, TENANTS)
def test_those_ahead_are_those_who_wait(waiting: dict[str, int], weights: dict[str, float], tenant: str) -> None:
    own = waiting.get(tenant, 0)
    ahead = ahead_of(tenant, own, waiting, weights)
    assert own <= ahead <= sum(waiting.values())
    assert ahead <= ahead_of(tenant, own + 1, waiting | {tenant: own + 1}, weights)


@given(WAITING, TENANTS)
def test_the_estimate_is_the_fair_order_within_one_round(waiting: dict[str, int], tenant: str) -> None:
    """One slot, everybody's backlog: the newcomer's turn in the order is where it was told, give or take a round."""
    own = waiting.get(tenant, 0)
    everyone = {name: count for name, count in waiting.items() if count} | {tenant: own + 1}
    assume(len(everyone) > 1)
    turns = order(everyone, {}, {}, sum(everyone.values()), caps={}, last={})
    mine = [place for place, name in enumerate(turns) if name == tenant][own]
    assert abs(mine - ahead_of(tenant, own, waiting, {})) < len(everyone)


def test_a_heavier_tenant_waits_for_fewer() -> None:
    waiting = {"heavy": 4, "light": 100}
    assert ahead_of("heavy", 4, waiting, {"heavy": 5.0}) == 5
    assert ahead_of("light", 0, waiting, {"heavy": 5.0}) == 4


def test_turns_and_places_in_seconds() -> None:
    assert turn_in(0, 1, 2.0) == 0
    assert turn_in(0, 0, 2.0) == 0.5
    assert turn_in(9, 4, 2.0) == 3
    # A full room, none of it ours: after one dispatch there is a place.
    assert place_in("a", {"b": 50, "c": 50}, {}, 100, 0.1) == pytest.approx(10)
    # A third of the room is ours alone, it was our half: a dispatched one counts twice.
    assert place_in("a", {"a": 50}, {}, 100, 0.1) == pytest.approx(5)
    # Of two dispatched one is ours.
    assert place_in("a", {"a": 40, "b": 40}, {}, 100, 0.1) == pytest.approx(21 / 1.5 * 10)
    assert place_in("a", {"b": 1}, {}, 1, 1000.0) == 1
