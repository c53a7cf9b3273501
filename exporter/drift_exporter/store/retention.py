"""What goes when it is old, or when the store is full.

Knows ages and sizes; never takes a slice that a window still needs, nor the newest runs, nor the
calibration that was in force at the begin of what is left.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Table,
    cast,
    delete,
    func,
    literal,
    select,
    true,
    update,
)

from drift_exporter.store import calibrations, tables
from drift_exporter.store.database import Database

_STEP_SECONDS = 3600
"""How finely the store is cut where it is too large."""

_ROWS_AT_ONCE = 500
"""Rows per transaction, so that writers get their turn and the journal stays small."""

_RUN_BYTES = 300
"""About what a run takes."""


@dataclass(frozen=True)
class Keep:
    """What must stay."""

    since: Mapping[str, int]
    """By model, from when on its windows need slices."""

    idle_before: int
    """Models not in ``since`` that were counted since then may belong to another shard."""

    shared: bool
    """Whether other shards keep their models in the same database."""

    def spares(self, model: str, counted_to: int) -> bool:
        """Whether a series is another shard's to prune."""
        return self.shared and model not in self.since and counted_to >= self.idle_before

    def may_delete(
        self, model: ColumnElement[str], time: ColumnElement[Any]
    ) -> ColumnElement[bool]:
        """Of which models, or from before what time, runs and scores are ours to delete."""
        if not self.shared:
            return true()
        return model.in_(self.since) | (time < self.idle_before)


def prune(
    database: Database,
    now: float,
    retention_seconds: float,
    max_bytes: int,
    since: Mapping[str, int],
) -> int:
    """Delete what is old, then the oldest until the rest fits; returns the rows deleted."""
    cutoff = int(now - retention_seconds)
    keep = Keep(since, cutoff, database.shared)
    deleted = _delete_before(database, cutoff, keep)
    while True:
        too_many = database.used_bytes() - max_bytes
        if too_many <= 0:
            break
        with database.reading("find the oldest slices") as connection:
            cutoff = _cutoff(connection, too_many, keep)
        more = _delete_before(database, cutoff, keep)
        if more == 0:
            break
        deleted += more
    database.reclaim()
    return deleted


def _delete_before(database: Database, cutoff: int, keep: Keep) -> int:
    with database.reading("find old slices") as connection:
        series = list(_series(connection, keep))
    deleted = 0
    for row in series:
        floor = row.floor(min(cutoff, keep.since.get(row.model, cutoff)))
        t = tables.slices.c
        deleted += _delete(database, tables.slices, (t.series_id == row.id) & (t.start < floor))
        with database.writing("delete old slices") as connection:
            _forget_before(connection, row.id, floor)
    t = tables.scores.c
    old = (t.window_end < cutoff) & keep.may_delete(t.model, t.window_end)
    deleted += _delete(database, tables.scores, old)
    deleted += _delete(database, tables.runs, _old_runs(cutoff, keep))
    with database.reading("find old calibrations") as connection:
        old_ones = [one.id for one in _calibrations(connection, keep) if one.until < cutoff]
    if old_ones:
        deleted += _delete(database, tables.calibrations, tables.calibrations.c.id.in_(old_ones))
    with database.writing("delete old feature lists") as connection:
        used = select(tables.scores.c.feature_list_id)
        connection.execute(
            delete(tables.feature_lists).where(tables.feature_lists.c.id.not_in(used))
        )
    return deleted


def _delete(database: Database, table: Table, where: ColumnElement[bool]) -> int:
    """Delete rows, some at a time."""
    deleted, some = 0, _ROWS_AT_ONCE
    while some == _ROWS_AT_ONCE:
        with database.writing("delete old rows") as connection:
            oldest = select(table.c.id).where(where).limit(_ROWS_AT_ONCE)
            some = connection.execute(delete(table).where(table.c.id.in_(oldest))).rowcount
        deleted += some
    return deleted


def _calibrations(connection: Connection, keep: Keep) -> Iterator[calibrations.Followed]:
    for one in calibrations.followed(connection):
        if not keep.shared or one.model in keep.since or one.until < keep.idle_before:
            yield one


class _Series(NamedTuple):
    id: int
    model: str
    width: int

    def floor(self, time: int) -> int:
        """Start of the slice that a time is in."""
        return time // self.width * self.width


def _series(connection: Connection, keep: Keep) -> Iterator[_Series]:
    t = tables.series.c
    for row in connection.execute(select(t.id, t.model, t.width_seconds, t.counted_to)):
        if not keep.spares(row.model, row.counted_to):
            yield _Series(row.id, row.model, row.width_seconds)


def _forget_before(connection: Connection, series_id: int, floor: int) -> None:
    t = tables.series.c
    connection.execute(
        update(tables.series)
        .where(t.id == series_id, t.counted_from < floor)
        .values(counted_from=floor)
    )
    left = select(tables.slices.c.id).where(tables.slices.c.series_id == series_id).exists()
    connection.execute(delete(tables.series).where(t.id == series_id, t.counted_to <= floor, ~left))


def _old_runs(cutoff: int, keep: Keep) -> ColumnElement[bool]:
    t = tables.runs.c
    newest = select(func.max(t.id)).group_by(t.model)
    old = (t.finished < cutoff) & keep.may_delete(t.model, t.finished)
    return old & t.id.not_in(newest) & t.id.not_in(newest.where(t.success))


def _cutoff(connection: Connection, too_many: int, keep: Keep) -> int:
    """Time before which so many bytes lie that may go; the end of them where they are fewer."""
    by_step: Counter[int] = Counter()
    for row in _series(connection, keep):
        t = tables.slices.c
        needed = keep.since.get(row.model)
        own = t.series_id == row.id
        if needed is not None:
            own &= t.start < row.floor(needed)
        _weigh(connection, by_step, t.start, func.length(t.counts), own)
    s = tables.scores.c
    own = keep.may_delete(s.model, s.window_end)
    _weigh(connection, by_step, s.window_end, func.length(s.scores), own)
    r = tables.runs.c
    own = keep.may_delete(r.model, r.finished)
    _weigh(connection, by_step, cast(r.finished, BigInteger), literal(_RUN_BYTES), own)
    for one in _calibrations(connection, keep):
        by_step[int(one.until // _STEP_SECONDS)] += one.size
    for step, size in sorted(by_step.items()):
        too_many -= size
        if too_many <= 0:
            return (step + 1) * _STEP_SECONDS
    return (max(by_step, default=0) + 1) * _STEP_SECONDS


def _weigh(
    connection: Connection,
    by_step: Counter[int],
    time: ColumnElement[int],
    size: ColumnElement[int],
    where: ColumnElement[bool],
) -> None:
    """Add the bytes of rows to the steps of time that the rows belong to."""
    step = (time // _STEP_SECONDS).label("step")
    query = select(step, func.sum(size)).where(where).group_by(step)
    for found, total in connection.execute(query):
        by_step[int(found)] += int(total)
