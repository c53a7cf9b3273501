"""The log of runs.

Knows what a run is; knows neither scores nor slices.
"""

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select

from drift_exporter.snapshot import Run
from drift_exporter.store import tables


class StoredRun(NamedTuple):
    """A run in the log."""

    id: int
    model: str
    run: Run


def record(connection: Connection, model: str, run: Run) -> None:
    """Append a run to the log."""
    values = {
        "model": model,
        "started": run.started,
        "finished": run.finished,
        "success": run.success,
        "reason": run.reason,
        "error": _storable(run.error),
        "rows_read": run.rows_read,
        "rows_rejected": json.dumps(dict(run.rows_rejected)),
        "phase_seconds": json.dumps(dict(run.phase_seconds)),
        "window_end": run.window_end,
    }
    connection.execute(insert(tables.runs).values(values))


def newest(
    connection: Connection, model: str | None, limit: int, before: int | None
) -> list[StoredRun]:
    """The newest runs, of one model or of all, older than the run of an id."""
    query = select(tables.runs).order_by(tables.runs.c.id.desc()).limit(limit)
    if model is not None:
        query = query.where(tables.runs.c.model == model)
    if before is not None:
        query = query.where(tables.runs.c.id < before)
    return [_stored(row) for row in connection.execute(query)]


def last(connection: Connection, model: str, *, success: bool) -> Run | None:
    """The newest run of a model, or its newest that succeeded."""
    query = select(tables.runs).where(tables.runs.c.model == model)
    if success:
        query = query.where(tables.runs.c.success)
    row = connection.execute(query.order_by(tables.runs.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _stored(row).run


def _storable(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL, and the odd bytes of a file's name."""
    return text.replace("\0", "").encode(errors="replace").decode()


def _stored(row: Row[Any]) -> StoredRun:
    run = Run(
        started=row.started,
        finished=row.finished,
        success=row.success,
        reason=row.reason,
        error=row.error,
        rows_read=row.rows_read,
        rows_rejected=json.loads(row.rows_rejected),
        phase_seconds=json.loads(row.phase_seconds),
        window_end=row.window_end,
    )
    return StoredRun(row.id, row.model, run)
