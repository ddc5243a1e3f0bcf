"""Weighted fair order over tenants, and what it means for one that waits: who is ahead, and for how long.

Pure functions of what waits and what runs, so that a dispatcher that crashed loses nothing by starting anew. Those
about waiting are computed in `door.lua` too, for all waiting tenants at once and in the same transaction as the answer;
a test holds the two together.
"""

import heapq
from collections.abc import Mapping
from math import floor

PASSES = 2
"""Rounds of `expected_ahead`; further ones change little."""


def order(  # noqa: PLR0913 - all that the order depends on
    waiting: Mapping[str, int],
    in_flight: Mapping[str, int],
    weights: Mapping[str, float],
    slots: int,
    *,
    caps: Mapping[str, int],
    last: Mapping[str, float],
) -> list[str]:
    """Whose turn it is: one tenant for each of at most `slots` reviews, first come first.

    Next is always the tenant that has the least in flight for its weight (1 unless given), what was just picked
    included; among equals the one that was dispatched longest ago (`last`, any growing number; never is longest).
    A tenant in `caps` gets no more than that many in flight. No slot stays empty while someone may have it.
    """
    running = {tenant: in_flight.get(tenant, 0) for tenant in waiting}
    left = {
        tenant: min(count, caps[tenant] - running[tenant]) if tenant in caps else count
        for tenant, count in waiting.items()
    }
    queue = [
        (running[tenant] / weights.get(tenant, 1.0), 0, last.get(tenant, float("-inf")), tenant)
        for tenant, count in left.items()
        if count > 0
    ]
    heapq.heapify(queue)
    picks: list[str] = []
    while queue and len(picks) < slots:
        tenant = queue[0][-1]
        picks.append(tenant)
        running[tenant] += 1
        left[tenant] -= 1
        if left[tenant] > 0:
            # Picked just now, so it is dispatched later than everyone who was not: the second part says so.
            load = running[tenant] / weights.get(tenant, 1.0)
            heapq.heapreplace(queue, (load, len(picks), 0.0, tenant))
        else:
            heapq.heappop(queue)
    return picks


def ahead_of(tenant: str, own: int, waiting: Mapping[str, int], weights: Mapping[str, float]) -> int:
    """Reviews dispatched before the one of `tenant` that has `own` of its tenant before it.

    While it gets its `own` + 1 turns, each other tenant gets as many for its weight, or as many as it has waiting.
    """
    turns = (own + 1) / weights.get(tenant, 1.0)
    others = (
        min(count, floor(turns * weights.get(other, 1.0) + 0.5)) for other, count in waiting.items() if other != tenant
    )
    return own + sum(others)


def expected_ahead(  # noqa: PLR0913, PLR0917 - all that it depends on
    tenant: str,
    own: int,
    waiting: Mapping[str, int],
    weights: Mapping[str, float],
    came: Mapping[str, int],
    elapsed_s: float,
    rate: float,
) -> int:
    """As `ahead_of`, with those who have yet to come and will be dispatched before it all the same.

    `came` says how many reviews each tenant brought in the `elapsed_s` seconds since the room was last empty, `rate`
    how many get their turn each second. Of a rush nobody knows the end, and the best guess is that one meets it
    half-way (Gott 1993): tenants go on to bring reviews as they did, but each no more than it has brought so far.
    """
    turns = (own + 1) / weights.get(tenant, 1.0)
    others = {other: turns * weights.get(other, 1.0) for other in {*waiting, *came} if other != tenant}
    ahead = ahead_of(tenant, own, waiting, weights)
    for _ in range(PASSES):
        # The longer it waits the more come, and the more come the longer it waits.
        more = min(1.0, (ahead + 1) / rate / elapsed_s)
        ahead = own + sum(
            floor(min(waiting.get(other, 0) + came.get(other, 0) * more, share) + 0.5)
            for other, share in others.items()
        )
    return ahead


def turn_in(ahead: int, free: int, rate: float) -> float:
    """Seconds until the turn of one with `ahead` before it, when `free` may go at once and `rate` go each second."""
    return max(0, ahead + 1 - free) / rate


def place_in(tenant: str, waiting: Mapping[str, int], weights: Mapping[str, float], room: int, rate: float) -> float:
    """Seconds until the room (of `room` places) may have one for `tenant`, if nobody else comes; at least one.

    A tenant is let in while it has fewer waiting than places are left. A review dispatched leaves one place more, and
    where it was the tenant's own, also one waiting less.
    """
    own, total = waiting.get(tenant, 0), sum(waiting.values())
    share = weights.get(tenant, 1.0) / sum(weights.get(other, 1.0) for other in waiting) if own else 0.0
    return max(1.0, (own + total + 1 - room) / (1 + share) / rate)
