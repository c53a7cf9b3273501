"""What the thresholds of a model were calibrated to.

Knows models, bins and texts; knows not what is in the text.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from drift_exporter.store import tables


def record(connection: Connection, model: str, bins_hash: str, created: float, body: str) -> None:
    """Keep a calibration; told again, with another self-test, it takes its own place."""
    t = tables.calibrations.c
    same = (t.model == model) & (t.bins_hash == bins_hash) & (t.created == created)
    known = connection.execute(update(tables.calibrations).where(same).values(body=body))
    if known.rowcount == 0:
        values = {"model": model, "bins_hash": bins_hash, "created": created, "body": body}
        connection.execute(insert(tables.calibrations).values(values))


class Followed(NamedTuple):
    """A calibration that no time after another needs."""

    id: int
    model: str
    until: float
    """Since when another was made, or when it was made itself, where its bins have no slices."""

    size: int


def followed(connection: Connection) -> Iterator[Followed]:
    """All calibrations but the newest over the bins of each series."""
    s, t = tables.series.c, tables.calibrations.c
    kept = {(row.model, row.bins_hash) for row in connection.execute(select(s.model, s.bins_hash))}
    size = func.length(t.body).label("size")
    query = select(t.id, t.model, t.bins_hash, t.created, size).order_by(t.id.desc())
    following: dict[tuple[str, str], float] = {}
    for row in connection.execute(query):
        bins = row.model, row.bins_hash
        then = following.get(bins, math.inf) if bins in kept else row.created
        if then < math.inf:
            # A clock that was ahead may have made the later one earlier.
            yield Followed(row.id, row.model, max(row.created, then), row.size)
        following[bins] = min(row.created, then)


def made_by(connection: Connection, model: str, bins_hash: str, at: float) -> Iterator[str]:
    """Texts of the calibrations over these bins that were made by a time, the newest first."""
    t = tables.calibrations.c
    query = select(t.body).where(t.model == model, t.bins_hash == bins_hash, t.created <= at)
    # One by one: most who ask want the first alone, and they are long.
    streaming = connection.execution_options(yield_per=1)
    with streaming.execute(query.order_by(t.id.desc())) as rows:
        for row in rows:
            yield row.body


def latest(connection: Connection, model: str, limit: int) -> list[tuple[float, str, str]]:
    """The newest calibrations of a model first: when, over which bins, and the text."""
    t = tables.calibrations.c
    query = select(t.created, t.bins_hash, t.body).where(t.model == model)
    rows = connection.execute(query.order_by(t.id.desc()).limit(limit))
    return [(row.created, row.bins_hash, row.body) for row in rows]
