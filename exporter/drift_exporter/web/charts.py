"""Lines and bars as the coordinates of an SVG.

Pure: numbers in, geometry out. Knows no feature, page or colour. Small pictures are drawn by
the templates themselves: chart libraries bring styles into attributes, which our policy of
contents forbids, and megabytes into a sidecar.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SPARK_WIDTH, SPARK_HEIGHT = 96, 22
BOX = 1000
"""Width and height of the box that a large line is drawn in; the page stretches it."""

Point = tuple[int, float | None]
"""A time in seconds since the epoch, and the value then; None: there is none."""


@dataclass(frozen=True)
class Spark:
    """A small line beside a number."""

    line: str
    """Path in a box of ``SPARK_WIDTH`` by ``SPARK_HEIGHT``."""

    limit: int | None
    """Height at which the threshold lies, where there is one."""

    first: float
    last: float
    highest: float


@dataclass(frozen=True)
class Level:
    """A horizontal line at a value."""

    name: str
    value: float
    y: float
    """Percent from the top."""


@dataclass(frozen=True)
class Line:
    """A large line over time."""

    path: str
    """Path in a box of ``BOX`` by ``BOX``."""

    levels: tuple[Level, ...]
    start: int
    end: int
    top: float
    """Value at the upper edge; 0 is at the lower."""

    highest: float
    highest_at: int


def spark(points: Sequence[Point], limit: float | None, span: tuple[int, int]) -> Spark | None:
    """A small line, from 0 to the highest value or a little over the limit; None without values.

    Parameters
    ----------
    points
        In order of time.
    limit
        A value to be marked.
    span
        Times of the left and the right edge.
    """
    values = [value for _, value in points if value is not None]
    if not values:
        return None
    highest = max(values)
    top = max(highest, 1.2 * (limit or 0.0)) or 1.0
    down = (SPARK_HEIGHT - 2) / top
    return Spark(
        line=_path(points, span, (SPARK_WIDTH - 2, 1.0), (SPARK_HEIGHT - 1, down)),
        limit=None if limit is None else round(SPARK_HEIGHT - 1 - limit * down),
        first=values[0],
        last=values[-1],
        highest=highest,
    )


def line(points: Sequence[Point], limits: Sequence[tuple[str, float]]) -> Line | None:
    """A line over the time of its points, with levels to compare it with; None without values."""
    known = [(at, value) for at, value in points if value is not None]
    if not known:
        return None
    highest_at, highest = max(known, key=lambda point: point[1])
    top = 1.15 * max([highest, *(value for _, value in limits)]) or 1.0
    span = (points[0][0], points[-1][0])
    return Line(
        path=_path(points, span, (BOX, 0.0), (BOX, BOX / top)),
        levels=tuple(
            Level(name, value, round(100 * (1 - value / top), 2)) for name, value in limits
        ),
        start=span[0],
        end=span[1],
        top=top,
        highest=highest,
        highest_at=highest_at,
    )


def _path(
    points: Sequence[Point],
    span: tuple[int, int],
    across: tuple[int, float],
    upright: tuple[int, float],
) -> str:
    """A path of straight pieces, with a gap where there is no value."""
    (start, end), (width, left), (bottom, down) = span, across, upright
    scale = width / (end - start) if end > start else 0.0
    parts: list[str] = []
    x = y = 0
    drawn = False
    for at, value in points:
        if value is None:
            drawn = False
            continue
        to_x, to_y = round(left + (at - start) * scale), round(bottom - value * down)
        if drawn:
            parts.append(f"{to_x - x},{to_y - y}")
        else:
            # A point of no length is drawn by its round ends, so that one alone is seen.
            parts.append(f"M{to_x},{to_y}l0,0")
        x, y, drawn = to_x, to_y, True
    return " ".join(parts)
