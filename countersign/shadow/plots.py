"""Plots as inline SVG: small pure functions, no script, nothing fetched. Values are shares in [0, 1] unless said.

Everything scales with its container; text in plots is for the eye, and each plot carries a title for screen readers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from countersign.evidence.reliability import Bin

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 58, 20, 12, 44


@dataclass(frozen=True)
class Axes:
    """A frame with room for labels; x and y run over the given ranges."""

    x_label: str
    y_label: str
    x_range: tuple[float, float] = (0.0, 1.0)
    y_range: tuple[float, float] = (0.0, 1.0)

    def x(self, value: float) -> float:
        """From a value to a place."""
        low, high = self.x_range
        return round(LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """From a value to a place; upwards."""
        low, high = self.y_range
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    def frame(self) -> str:
        """Grid, ticks and names of both axes, at fifths of their ranges."""
        lines = []
        for step in range(6):
            at_x = self.x_range[0] + step / 5 * (self.x_range[1] - self.x_range[0])
            at_y = self.y_range[0] + step / 5 * (self.y_range[1] - self.y_range[0])
            x, y = self.x(at_x), self.y(at_y)
            lines.append(f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}"/>')
            lines.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{_percent(at_y, self.y_range)}</text>')
            lines.append(
                f'<text x="{x}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_percent(at_x, self.x_range)}</text>'
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
    points = [(axes.x(share), axes.y(error)) for share, error in zip(coverage, risk, strict=True)]
    inside = "".join(
        (
            axes.frame(),
            _line([(axes.x(0), axes.y(target)), (axes.x(1), axes.y(target))], "target"),
            f'<text class="target" x="{axes.x(1) - 2}" y="{axes.y(target) - 5}" text-anchor="end">'
            f"target {target:.0%}</text>",
            _line(points, "curve") if len(points) > 1 else "",
            "".join(f'<circle class="dot" cx="{x}" cy="{y}" r="3"/>' for x, y in points) if len(points) < 40 else "",
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


def _nice(value: float) -> float:
    """The least of some round numbers that holds the value."""
    return next((top for top in (0.05, 0.1, 0.2, 0.3, 0.5) if value <= top), 1.0)


def _percent(value: float, span: tuple[float, float]) -> str:
    return f"{value:.0%}" if span[1] - span[0] >= 0.05 * 2 else f"{value:.1%}"
