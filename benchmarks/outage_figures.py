"""The arithmetic of `outage.py`: rates and recovery from moments, in seconds. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW_S = 20.0
"""Throughput is counted over as long: reviews come a few seconds apart."""
BUSIEST_S = 10.0
ENOUGH = 0.95


@dataclass(frozen=True)
class Load:
    """How many reviews a second, and how long before, during and after the outage."""

    rate: float
    before_s: float
    outage_s: float
    after_s: float

    @property
    def total_s(self) -> float:
        return self.before_s + self.outage_s + self.after_s


@dataclass(frozen=True)
class Moments:
    """Seconds since the epoch: the stream began, the provider went, came back, the last review arrived."""

    began: float
    broken: float
    mended: float
    arrived: float


def count_within(moments: Sequence[float], start: float, end: float) -> int:
    """How many of the sorted moments lie in (start, end]."""
    return bisect_right(moments, end) - bisect_right(moments, start)


def rate(moments: Sequence[float], start: float, end: float) -> float:
    """Moments a second in (start, end]; 0 for no time."""
    return count_within(moments, start, end) / (end - start) if end > start else 0.0


def recovered(moments: Sequence[float], mended: float, usual: float) -> float | None:
    """Seconds after `mended` until the `WINDOW_S` up to then held `ENOUGH` of the usual rate; None when they never did.

    The window reaches back into the outage at first, so this is never too early.
    """
    needed = ENOUGH * usual * WINDOW_S
    for moment in moments[bisect_left(moments, mended) :]:
        if count_within(moments, moment - WINDOW_S, moment) >= needed:
            return moment - mended
    return None


def busiest(moments: Sequence[float], start: float, end: float) -> float:
    """The most a second within any `BUSIEST_S` of (start, end]."""
    inside = moments[bisect_right(moments, start) : bisect_right(moments, end)]
    counts = (count_within(inside, moment - BUSIEST_S, moment) for moment in inside)
    return max(counts, default=0) / BUSIEST_S


def peak_ratio(requests: Sequence[float], at: Moments) -> float:
    """The busiest time at the provider after the outage against the busiest before; 0 without any before."""
    usual = busiest(requests, at.began, at.broken)
    return busiest(requests, at.mended, at.arrived) / usual if usual else 0.0
