"""What the thresholds of a model were calibrated to.

Knows models, bins and texts; knows not what is in the text.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, insert, select

from drift_exporter.store import tables


def record(connection: Connection, model: str, bins_hash: str, created: float, body: str) -> None:
    """Append a calibration."""
    values = {"model": model, "bins_hash": bins_hash, "created": created, "body": body}
    connection.execute(insert(tables.calibrations).values(values))


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
