"""What the thresholds of a model were calibrated to.

Knows models, bins and texts; knows not what is in the text.
"""

from sqlalchemy import Connection, insert, select

from drift_exporter.store import tables


def record(connection: Connection, model: str, bins_hash: str, created: float, body: str) -> None:
    """Append a calibration."""
    values = {"model": model, "bins_hash": bins_hash, "created": created, "body": body}
    connection.execute(insert(tables.calibrations).values(values))


def newest(connection: Connection, model: str, bins_hash: str) -> tuple[float, str] | None:
    """When the newest calibration over these bins was made, and its text."""
    t = tables.calibrations.c
    query = select(t.created, t.body).where(t.model == model, t.bins_hash == bins_hash)
    row = connection.execute(query.order_by(t.id.desc()).limit(1)).one_or_none()
    return None if row is None else (row.created, row.body)


def latest(connection: Connection, model: str, limit: int) -> list[tuple[float, str, str]]:
    """The newest calibrations of a model first: when, over which bins, and the text."""
    t = tables.calibrations.c
    query = select(t.created, t.bins_hash, t.body).where(t.model == model)
    rows = connection.execute(query.order_by(t.id.desc()).limit(limit))
    return [(row.created, row.bins_hash, row.body) for row in rows]
