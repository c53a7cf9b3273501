"""Lines and bars as the coordinates of an SVG.

Pure: numbers in, geometry out. Knows no feature, page or colour. Small pictures are drawn by
the templates themselves: chart libraries bring styles into attributes, which our policy of
contents forbids, and megabytes into a sidecar.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isnan, nan

import numpy as np

from drift_exporter.verdicts.verdict import Floats

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


def sparks(ends: Sequence[int], values: Floats, limits: Floats) -> list[Spark | None]:
    """Small lines, each from 0 to its highest value or a little over its limit.

    Parameters
    ----------
    ends
        Times, rising.
    values
        Values then, shape ``(times, lines)``; NaN: there is none.
    limits
        A value to be marked in each line, shape ``(lines,)``; NaN: none.

    Returns
    -------
    list
        None for a line without values.
    """
    if not len(ends):
        return [None] * len(limits)
    x = np.rint(np.interp(ends, (ends[0], ends[-1]), (1, SPARK_WIDTH - 1))).astype(int).tolist()
    highest = np.fmax.reduce(values, axis=0)
    top = np.fmax(np.fmax(highest, 1.2 * limits), 1e-9)
    bottom, down = SPARK_HEIGHT - 1, (SPARK_HEIGHT - 2) / top
    # As lists: numpy's own scalars take ten times as long, one by one.
    heights = np.rint(bottom - values * down).T.tolist()
    marks = np.rint(bottom - limits * down).tolist()
    found: list[Spark | None] = []
    for column, height, mark in zip(values.T.tolist(), heights, marks, strict=True):
        seen = [value for value in column if not isnan(value)]
        limit = None if isnan(mark) else int(mark)
        found.append(Spark(_path(x, height), limit, seen[0], seen[-1], max(seen)) if seen else None)
    return found


def line(points: Sequence[Point], limits: Sequence[tuple[str, float]]) -> Line | None:
    """A line over the time of its points, with levels to compare it with; None without values."""
    known = [(at, value) for at, value in points if value is not None]
    if not known:
        return None
    highest_at, highest = max(known, key=lambda point: point[1])
    top = 1.15 * max([highest, *(value for _, value in limits)]) or 1.0
    start, end = points[0][0], points[-1][0]
    scale = BOX / max(end - start, 1)
    return Line(
        path=_path(
            [round((at - start) * scale) for at, _ in points],
            [nan if value is None else round(BOX * (1 - value / top)) for _, value in points],
        ),
        levels=tuple(
            Level(name, value, round(100 * (1 - value / top), 2)) for name, value in limits
        ),
        start=start,
        end=end,
        top=top,
        highest=highest,
        highest_at=highest_at,
    )


def _path(x: Sequence[int], y: Sequence[float]) -> str:
    """A path of straight pieces, with a gap where a height is not a number."""
    if not any(map(isnan, y)):
        return _piece(x, y)
    pieces = groupby(zip(x, y, strict=True), key=lambda point: isnan(point[1]))
    return "".join(_piece(*zip(*piece, strict=True)) for gap, piece in pieces if not gap)


def _piece(x: Sequence[int], y: Sequence[float]) -> str:
    # It begins with a line of no length, drawn by its round ends: one point alone is seen.
    steps = [f" {c - a},{d - b:.0f}" for a, b, c, d in zip(x, y, x[1:], y[1:], strict=False)]
    return f"M{x[0]},{y[0]:.0f}l0,0{''.join(steps)}"
