"""Charts as SVG: graphs over time, bands of states, bars, heatmaps.

Knows coordinates; values and colours come in. Sizes are those of a panel in Grafana.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Line:
    """A series of a graph."""

    name: str
    points: Points
    colour: str
    dashed: bool = False
    fill: float = 0.0
    bars: bool = False


@dataclass(frozen=True)
class Event:
    """A moment that is marked in every graph."""

    time: float
    colour: str


@dataclass(frozen=True)
class Span:
    """What the x axis shows."""

    start: float
    end: float
    step: float
    events: list[Event] = field(default_factory=list)

    def x(self, time: float, left: float, width: float) -> float:
        """Where a time stands."""
        return left + (time - self.start) / (self.end - self.start) * width


LEFT, BOTTOM, TOP = 64, 18, 6


def nice_ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers that cover a range."""
    raw = (high - low) / wanted or 1
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw)
    first = math.floor(low / step)
    return [i * step for i in range(first, math.ceil(high / step) + 1)]


def graph(
    lines: Sequence[Line],
    levels: Sequence[tuple[float, str]],
    span: Span,
    size: tuple[float, float],
    label: Callable[[float], str],
    *,
    most: float | None = None,
    whole: bool = False,
) -> str:
    """Lines as steps, with dashed levels across."""
    width, height = size
    inner_w, inner_h = width - LEFT - 8, height - BOTTOM - TOP
    values = [v for line in lines for _, v in line.points if math.isfinite(v)]
    values += [level for level, _ in levels]
    high = most if most is not None else max([*values, 1e-9]) * 1.05
    ticks = nice_ticks(min([0.0, *values]), high)
    low, high = ticks[0], ticks[-1]
    ticks = [tick for tick in ticks if not whole or tick == int(tick)]

    def y(value: float) -> float:
        return TOP + inner_h * (1 - (value - low) / (high - low))

    parts = [_open(size)]
    for tick in ticks:
        parts.append(
            f'<line x1="{LEFT}" x2="{width - 8}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" '
            f'class="grid"/>{_text(LEFT - 6, y(tick) + 4, label(tick))}'
        )
    parts.append(_time_axis(span, size))
    for line in lines:
        parts.append(_line(line, span, inner_w, y, y(max(low, 0.0))))
    for level, colour in levels:
        parts.append(
            f'<line x1="{LEFT}" x2="{width - 8}" y1="{y(level):.1f}" y2="{y(level):.1f}" '
            f'stroke="{colour}" stroke-dasharray="8 8"/>'
        )
    for event in span.events:
        x = span.x(event.time, LEFT, inner_w)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}" '
            f'stroke="{event.colour}" stroke-dasharray="3 3" opacity="0.8"/>'
            f'<path d="M{x - 4:.1f} {height - BOTTOM + 6} l8 0 l-4 -6 z" fill="{event.colour}"/>'
        )
    return "".join(parts) + "</svg>"


def _line(line: Line, span: Span, inner_w: float, y: Callable[[float], float], zero: float) -> str:
    if line.bars:
        width = max(span.step / (span.end - span.start) * inner_w, 2)
        return "".join(
            f'<rect x="{span.x(t, LEFT, inner_w) - width:.1f}" y="{y(v):.1f}" width="{width:.1f}" '
            f'height="{max(zero - y(v), 0):.1f}" fill="{line.colour}" opacity="0.7"/>'
            for t, v in line.points
        )
    runs: list[list[str]] = []
    before = -math.inf
    for time, value in line.points:
        x = span.x(time, LEFT, inner_w)
        if time - before > span.step * 1.5:
            runs.append([f"M{x:.1f} {y(value):.1f}"])
        else:
            runs[-1].append(f"H{x:.1f}V{y(value):.1f}")
        before = time
    dash = ' stroke-dasharray="8 8"' if line.dashed else ' stroke-width="1.6"'
    path = "".join("".join(run) for run in runs)
    drawn = f'<path d="{path}" fill="none" stroke="{line.colour}"{dash}/>'
    if line.fill:
        area = "".join(f"{''.join(run)}V{zero:.1f}H{run[0][1:].split()[0]}z" for run in runs)
        drawn += f'<path d="{area}" fill="{line.colour}" opacity="{line.fill}"/>'
    return drawn


def bands(
    rows: Sequence[tuple[str, Points]],
    span: Span,
    size: tuple[float, float],
    look: Callable[[float], tuple[str, str]],
) -> str:
    """A band per row, coloured and named by the state."""
    width, height = size
    left = min(12 + 6.6 * max((len(name) for name, _ in rows), default=0), width / 3)
    inner = width - left - 8
    each = (height - BOTTOM - TOP) / max(len(rows), 1)
    parts = [_open(size), _time_axis(span, size, left)]
    for i, (name, points) in enumerate(rows):
        top = TOP + i * each + each * 0.08
        parts.append(_text(left - 6, top + each * 0.5, name))
        for start, end, value in _runs(points, span.step):
            text, colour = look(value)
            x, w = span.x(start, left, inner), (end - start) / (span.end - span.start) * inner
            parts.append(
                f'<rect x="{x:.1f}" y="{top:.1f}" width="{w:.1f}" height="{each * 0.84:.1f}" '
                f'fill="{colour}" opacity="0.85"/>'
            )
            if w > len(text) * 7 and each > 12:
                parts.append(
                    f'<text x="{x + 5:.1f}" y="{top + each * 0.42 + 4:.1f}" class="on">'
                    f"{escape(text)}</text>"
                )
    return "".join(parts) + "</svg>"


def _runs(points: Points, step: float) -> list[tuple[float, float, float]]:
    found: list[tuple[float, float, float]] = []
    for time, value in points:
        if found and found[-1][2] == value and time - found[-1][1] < step / 2:
            found[-1] = (found[-1][0], time + step, value)
        else:
            found.append((time, time + step, value))
    return found


def bars(
    names: Sequence[str],
    groups: Sequence[tuple[str, list[float], str]],
    size: tuple[float, float],
    label: Callable[[float], str],
) -> str:
    """Bars side by side for each name."""
    width, height = size
    bottom = 74
    inner_w, inner_h = width - LEFT - 8, height - bottom - TOP
    ticks = nice_ticks(0, max((v for _, values, _ in groups for v in values), default=1) or 1)
    parts = [_open(size)]
    for tick in ticks:
        y = TOP + inner_h * (1 - tick / ticks[-1])
        parts.append(
            f'<line x1="{LEFT}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f"{_text(LEFT - 6, y + 4, label(tick))}"
        )
    each = inner_w / max(len(names), 1)
    bar = each * 0.75 / max(len(groups), 1)
    for i, name in enumerate(names):
        x = LEFT + i * each
        for g, (_, values, colour) in enumerate(groups):
            tall = inner_h * values[i] / ticks[-1]
            parts.append(
                f'<rect x="{x + each * 0.125 + g * bar:.1f}" y="{TOP + inner_h - tall:.1f}" '
                f'width="{bar * 0.95:.1f}" height="{tall:.1f}" fill="{colour}" opacity="0.85"/>'
            )
        at = f"{x + each / 2:.1f} {TOP + inner_h + 12:.1f}"
        text = name if len(name) <= 24 else name[:23] + "…"
        parts.append(
            f'<text transform="translate({at}) rotate(-35)" text-anchor="end">{escape(text)}</text>'
        )
    return "".join(parts) + "</svg>"


def heat(rows: Sequence[tuple[str, Points]], span: Span, size: tuple[float, float]) -> str:
    """A row of cells per series; the darker, the higher."""
    width, height = size
    left = min(12 + 6.6 * max((len(name) for name, _ in rows), default=0), width / 3)
    inner = width - left - 8
    each = (height - BOTTOM - TOP) / max(len(rows), 1)
    most = max((v for _, points in rows for _, v in points), default=1) or 1
    parts = [_open(size), _time_axis(span, size, left)]
    # Grafana draws the first row lowest.
    for i, (name, points) in enumerate(reversed(rows)):
        top = TOP + i * each
        parts.append(_text(left - 6, top + each * 0.65, name))
        for start, end, value in _runs(points, span.step):
            if value > 0:
                x, w = span.x(start, left, inner), (end - start) / (span.end - span.start) * inner
                parts.append(
                    f'<rect x="{x:.1f}" y="{top:.1f}" width="{w + 0.2:.1f}" '
                    f'height="{each - 1:.1f}" fill="#b34700" '
                    f'opacity="{math.sqrt(value / most):.2f}"/>'
                )
    return "".join(parts) + "</svg>"


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="end">{escape(text)}</text>'


def _open(size: tuple[float, float]) -> str:
    width, height = size
    return f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'


def _time_axis(span: Span, size: tuple[float, float], left: float = LEFT) -> str:
    width, height = size
    inner = width - left - 8
    hours = max(round((span.end - span.start) / 3600 / max(inner / 90, 1)), 1)
    first = math.ceil(span.start / 3600)
    return "".join(
        f'<text x="{span.x(hour * 3600, left, inner):.1f}" y="{height - 4:.0f}" '
        f'text-anchor="middle">'
        f"{datetime.fromtimestamp(hour * 3600, UTC):%H:%M}</text>"
        for hour in range(first, int(span.end // 3600) + 1, hours)
        if span.x(hour * 3600, left, inner) < width - 16
    )
