"""Counts per slice of event time, and how far event time was counted.

Knows series, slices and spans; knows no window, score or source.
"""

from collections.abc import Generator, Iterable, Mapping
from typing import NamedTuple

import numpy as np
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import StoreError
from drift_exporter.store import tables
from drift_exporter.store.codec import pack_vector, unpack_vector

# A slice of ten thousand features takes some 100 kB.
_ROWS_AT_ONCE = 32


class Series(NamedTuple):
    """What slices belong to: a model, the hash of its bins, and the width of a slice."""

    model: str
    bins_hash: str
    width: int


def pack(start: int, end: int, slices: Mapping[SliceKey, Vector]) -> list[dict[str, object]]:
    """Rows to insert, packed before a transaction begins.

    Raises
    ------
    StoreError
        If a slice starts outside the span, from where it would never be replaced.
    """
    for key in slices:
        if not start <= key.start < end:
            raise StoreError(
                f"the slice at {key.start} is outside of the span from {start} to {end} that it "
                "was counted in; this is an error of drift-exporter, please report it"
            )
    return [{**key._asdict(), "counts": pack_vector(vector)} for key, vector in slices.items()]


def replace(
    connection: Connection,
    series: Series,
    span: tuple[int, int],
    rows: list[dict[str, object]],
    counted_to: int,
) -> None:
    """Put rows in the place of all slices of the span, and note how far was counted."""
    start, end = span
    found = _find(connection, series)
    if found is None:
        values = {**_columns(series), "counted_from": start, "counted_to": counted_to}
        connection.execute(insert(tables.series).values(values))
        series_id = _found(connection, series).id
    else:
        series_id = found.id
        counted_from = _joined_from(found.counted_from, found.counted_to, start, end)
        connection.execute(
            update(tables.series)
            .where(tables.series.c.id == series_id)
            .values(counted_from=counted_from, counted_to=counted_to)
        )
    connection.execute(delete(tables.slices).where(_within(series_id, start, end)))
    if rows:
        connection.execute(insert(tables.slices), [{**row, "series_id": series_id} for row in rows])


def read(
    connection: Connection, series: Series, start: int, end: int, segment_by: str | None
) -> Generator[tuple[SliceKey, Vector], None, None]:
    """Slices that start in a span, in order of time; of one column's segments, or of all."""
    found = _find(connection, series)
    if found is None:
        return
    t = tables.slices.c
    query = (
        select(t.start, t.segment_by, t.segment, t.counts)
        .where(_within(found.id, start, end))
        .order_by(t.start, t.segment_by, t.segment)
    )
    if segment_by is not None:
        query = query.where(t.segment_by == segment_by)
    streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
    # A reader that stops early must not leave its cursor on a connection of the pool.
    with streaming.execute(query) as found_rows:
        for row in found_rows:
            yield SliceKey(row.start, row.segment_by, row.segment), unpack_vector(row.counts)


def total(
    slices: Iterable[tuple[SliceKey, Vector]], series: Series
) -> dict[tuple[str, str], Vector]:
    """Sums of slices, by column and segment.

    Raises
    ------
    StoreError
        If slices differ in length.
    """
    sums: dict[tuple[str, str], Vector] = {}
    for key, vector in slices:
        known = sums.setdefault((key.segment_by, key.segment), vector)
        if known is vector:
            continue
        if known.shape != vector.shape:
            raise StoreError(
                f"model {series.model!r}: the slice at {key.start} has {vector.size} cells, "
                f"those before it {known.size}; the store is damaged, move it aside"
            )
        np.add(known, vector, out=known)
    return sums


def counted(connection: Connection, series: Series) -> tuple[int, int] | None:
    """From when to when event time was counted without a gap and is kept."""
    found = _find(connection, series)
    return None if found is None else (found.counted_from, found.counted_to)


def starts(connection: Connection, series: Series, start: int, end: int) -> list[int]:
    """Starts of the slices of all rows in a span, in order of time."""
    found = _find(connection, series)
    if found is None:
        return []
    t = tables.slices.c
    query = select(t.start).where(_within(found.id, start, end), t.segment_by == "")
    return list(connection.execute(query.order_by(t.start)).scalars())


def first(connection: Connection, series: Series) -> int | None:
    """Start of the oldest slice that is kept."""
    found = _find(connection, series)
    if found is None:
        return None
    t = tables.slices.c
    return connection.execute(select(func.min(t.start)).where(t.series_id == found.id)).scalar()


def _columns(series: Series) -> dict[str, object]:
    return {
        "model": series.model,
        "bins_hash": series.bins_hash,
        "width_seconds": series.width,
    }


class _Stored(NamedTuple):
    id: int
    counted_from: int
    counted_to: int


def _find(connection: Connection, series: Series) -> _Stored | None:
    t = tables.series.c
    query = select(t.id, t.counted_from, t.counted_to).where(
        t.model == series.model,
        t.bins_hash == series.bins_hash,
        t.width_seconds == series.width,
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _Stored(*row)


def _found(connection: Connection, series: Series) -> _Stored:
    found = _find(connection, series)
    if found is None:
        raise StoreError(f"model {series.model!r}: its series vanished while it was written")
    return found


def _within(series_id: int, start: int, end: int) -> ColumnElement[bool]:
    t = tables.slices.c
    return (t.series_id == series_id) & (t.start >= start) & (t.start < end)


def _joined_from(known_from: int, known_to: int, start: int, end: int) -> int:
    """Where the counted span begins once another was counted."""
    if start > known_to:
        return start
    return min(start, known_from) if end >= known_from else known_from
