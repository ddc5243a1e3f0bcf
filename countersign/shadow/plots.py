"""Plots as inline SVG: small pure functions, no script, nothing fetched. Values are shares in [0, 1] unless said.

Everything scales with its container; text in plots is for the eye, and each plot carries a title for screen readers.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log, log10

from countersign.evidence.reliability import Bin

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 12, 44


Ticks = Sequence[tuple[float, str]]
"""Values of an axis with what is written there."""


@dataclass(frozen=True)
class Axes:
    """A frame with room for labels; x and y run over the given ranges. Without ticks they are per cent, at fifths."""

    x_label: str
    y_label: str
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)
    x_ticks: Ticks = ()
    y_ticks: Ticks = ()

    def x(self, value: float) -> float:
        """From a value to a place."""
        low, high = self.x_range
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """From a value to a place; upwards."""
        low, high = self.y_range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def frame(self) -> str:
        """Grid, ticks and names of both axes."""
        lines = []
        for value, text in self.y_ticks or _fifths(self.y_range):
            y = self.y(value)
            lines.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{round(y + 4, 1)}" text-anchor="end">{escape(text)}</text>')
        for value, text in self.x_ticks or _fifths(self.x_range):
            lines.append(
                f'<text x="{self.x(value)}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{escape(text)}</text>'
            )
        middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        lines.append(
            f'<text class="name" x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle">{escape(self.x_label)}</text>'
        )
        lines.append(
            f'<text class="name" x="12" y="{middle_y}" text-anchor="middle" '
            f'transform="rotate(-90 12 {middle_y})">{escape(self.y_label)}</text>'
        )
        return "".join(lines)


def reliability_plot(bins: Sequence[Bin], title: str) -> str:
    """Stated confidence against how often it was right, with Wilson's intervals; a dot's size says how many."""
    axes = Axes("stated confidence", "was right")
    most = max((one.n for one in bins), default=0) or 1
    parts = [axes.frame(), _line([(axes.x(0), axes.y(0)), (axes.x(1), axes.y(1))], "ideal")]
    for one in bins:
        if one.confidence is None or one.right is None:
            continue
        x, y = axes.x(one.confidence), axes.y(one.right)
        low, high = one.interval
        parts.append(f'<line class="whisker" x1="{x}" y1="{axes.y(low)}" x2="{x}" y2="{axes.y(high)}"/>')
        radius = round(3 + 6 * (one.n / most) ** 0.5, 1)
        parts.append(
            f'<circle class="dot" cx="{x}" cy="{y}" r="{radius}"><title>{one.n} claims, stated {one.confidence:.0%}, '
            f"right {one.right:.0%}</title></circle>"
        )
    return _svg(title, "".join(parts))


def risk_plot(coverage: Sequence[float], risk: Sequence[float], target: float, title: str) -> str:
    """Error among the surest share of reviews, against that share; the target as a line."""
    top = _nice(max([*risk, target], default=target))
    axes = Axes("share released, the surest first", "error among them", y_range=(0.0, top))
    beside = axes.y(target) + (-5 if target < 0.95 * top else 13)  # above its line, unless that is the plot's edge
    points = [(axes.x(share), axes.y(error)) for share, error in zip(coverage, risk, strict=True)]
    inside = "".join(
        (
            axes.frame(),
            _line([(axes.x(0), axes.y(target)), (axes.x(1), axes.y(target))], "target"),
            f'<text class="target" x="{axes.x(1) - 2}" y="{round(beside, 1)}" text-anchor="end">'
            f"target {target:.0%}</text>",
            _line(points, "curve") if len(points) > 1 else "",
            "".join(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>' for x, y in points) if len(points) < 40 else "",
        )
    )
    return _svg(title, inside)


def capital_plot(
    capitals: Sequence[float],
    errors: Collection[int],
    takes: float,
    title: str,
    what: str = "evidence, times the start",
) -> str:
    """Capital after every item, on a scale of powers of ten; what it takes as a line, severity-1 errors as red dots.

    `capitals` are natural logarithms, from the first item on, `errors` numbers of items from 1, `takes` is a value.
    """
    powers = [0.0, *(value / log(10) for value in capitals)]
    need = log10(takes)
    low, high = floor(max(-9.0, min(powers))), ceil(min(9.0, max(*powers, need + 0.2)))
    every = max(1, ceil((high - low) / 6))
    count = max(1, len(capitals))
    step = _round_step(count)
    axes = Axes(
        "items that a person looked at",
        "evidence, times the start",
        (0.0, float(count)),
        (float(low), float(high)),
        tuple((float(at), f"{at:,}") for at in range(0, count + 1, step)),
        tuple((float(power), _power(power)) for power in range(low, high + 1, every)),
    )
    points = [(axes.x(item), axes.y(min(high, max(low, power)))) for item, power in enumerate(powers)]
    inside = "".join(
        (
            axes.frame(),
            _line([(axes.x(0), axes.y(need)), (axes.x(count), axes.y(need))], "target"),
            f'<text class="target" x="{LEFT + 4}" y="{round(axes.y(need) - 5, 1)}">enough: {takes:g}</text>',
            _line(_thinned(points), "curve"),
            "".join(
                f'<circle class="error" cx="{points[at][0]}" cy="{points[at][1]}" r="4"/>' for at in sorted(errors)
            ),
            _dot(points[-1]),
        )
    )
    return _svg(title, inside)


def share_plot(shares: Sequence[tuple[int, float]], title: str, y_label: str) -> str:
    """How far a watch is towards going off, by the item's number; at 100 % it goes off."""
    first, last = shares[0][0], max(shares[-1][0], shares[0][0] + 1)
    step = _round_step(last - first)
    ticks = tuple((float(at), f"{at:,}") for at in range(first, last + 1, step))
    axes = Axes("items that a person looked at", y_label, (float(first), float(last)), x_ticks=ticks)
    points = [(axes.x(item), axes.y(min(1.0, share))) for item, share in shares]
    inside = "".join(
        (
            axes.frame(),
            _line([(axes.x(first), axes.y(1)), (axes.x(last), axes.y(1))], "target"),
            _line(_thinned(points), "curve"),
            _dot(points[-1]),
        )
    )
    return _svg(title, inside)


def bar(value: float | None, low: float, high: float) -> str:
    """A share as a bar with its interval, for a table's cell."""
    if value is None:
        return ""
    return (
        '<svg class="bar" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" x="0" y="2" width="100" height="8"/><rect class="fill" x="0" y="2" '
        f'width="{100 * value:.1f}" height="8"/>'
        f'<line class="whisker" x1="{100 * low:.1f}" y1="6" x2="{100 * high:.1f}" y2="6"/></svg>'
    )


def _svg(title: str, inside: str) -> str:
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title>{inside}</svg>"
    )


def _line(points: Sequence[tuple[float, float]], kind: str) -> str:
    path = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def _dot(point: tuple[float, float], kind: str = "dot") -> str:
    return f'<circle class="{kind}" cx="{point[0]}" cy="{point[1]}" r="4"/>'


def _thinned(points: Sequence[tuple[float, float]], most: int = 1500) -> Sequence[tuple[float, float]]:
    """No more points than can be seen, the last one among them."""
    every = max(1, ceil(len(points) / most))
    return [*points[:-1:every], points[-1]]


def _round_step(span: int) -> int:
    """The least of 1, 2, 5, 10, 20 ... that gives at most six steps."""
    sizes = (size * int(10**power) for power in range(10) for size in (1, 2, 5))
    return next(size for size in sizes if span / size <= 6)


def _power(power: int) -> str:
    return f"{10**power:,}" if 0 <= power <= 4 else f"{10.0**power:g}"


def _fifths(span: tuple[float, float]) -> Ticks:
    low, high = span
    return tuple((at, _percent(at, span)) for at in (low + step / 5 * (high - low) for step in range(6)))


def _nice(value: float) -> float:
    """The least of some round numbers that holds the value."""
    return next((top for top in (0.05, 0.1, 0.2, 0.3, 0.5) if value <= top), 1.0)


def _percent(value: float, span: tuple[float, float]) -> str:
    return f"{value:.0%}" if span[1] - span[0] >= 0.05 * 2 else f"{value:.1%}"
