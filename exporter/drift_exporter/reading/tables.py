"""Tables and queries of a database, counted by the database itself.

Knows which questions make an answer; knows no driver. One aggregate query per run, and one
per batch of features where a table is wide, all within one snapshot of the data: only counts
come back. Ibis writes the SQL of every engine from the same expression.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import ibis
import numpy as np

from drift_exporter import config
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import RunStoppedError, SchemaError, SourceError
from drift_exporter.profile import MISSING_SEGMENT, OTHER_SEGMENT, Profile, SegmentColumn
from drift_exporter.reading.source import (
    Column,
    Counted,
    Progress,
    Sketches,
    Span,
    Stop,
    sampled_microseconds,
)
from drift_exporter.reading.table_cells import Cells, cells_of
from drift_exporter.reading.table_engines import Rows, Session, Typed, engine_of
from drift_exporter.reading.table_sketches import sketch_categories, sketch_numbers
from drift_exporter.reading.table_values import (
    EventTime,
    Expression,
    segment_code,
    tally,
)

MICRO = 1_000_000
MAX_AGGREGATES = 1000
"""Aggregates of a query; PostgreSQL has at most 1 664 columns."""

MAX_SEGMENT_GROUPS = 64
"""Combinations of segments up to which one query groups by all columns of segments."""

TIME_KINDS = ("integer", "number", "text", "time")
"""Kinds of columns that can hold event times."""

ALL_TIMES = (-62_135_596_800 * MICRO, 253_402_300_799 * MICRO)
"""From year 1 to year 9999, what databases and Python can both say."""

QUERY_NAME = "drift_exporter_query"


class _Answers(NamedTuple):
    """An open session, and the table that its queries are about."""

    dialect: str
    session: Session
    columns: Mapping[str, Typed]
    table: Expression
    prefix: str

    def rows(self, expression: Expression) -> Rows:
        """The rows of an expression."""
        query = str(ibis.to_sql(expression, dialect=self.dialect, pretty=False))
        if self.prefix:
            # The query of the config as it was written: Ibis cannot parse all that engines can.
            rest = ", " + query.removeprefix("WITH ") if query.startswith("WITH ") else query
            query = self.prefix + (rest if rest is not query else " " + query)
        return self.session.rows(query)


class TableSource:
    """A table or query of a database.

    Parameters
    ----------
    where
        URL and table or query.
    sample
        Share of the rows that ``count`` counts.
    connect_timeout_seconds
        Longest wait for the database to let us in.
    statement_timeout_seconds
        Longest time of one query.
    """

    def __init__(
        self,
        where: config.Source,
        *,
        sample: float = 1.0,
        connect_timeout_seconds: float = 10.0,
        statement_timeout_seconds: float = 60.0,
    ) -> None:
        self._where = where
        self._sample = sample
        self._place = f"{config.masked_url(where.url)} {where.table or 'query'}"
        self._engine = engine_of(
            where,
            connect_timeout_seconds=connect_timeout_seconds,
            statement_timeout_seconds=statement_timeout_seconds,
        )

    def columns(self) -> Mapping[str, Column]:
        """The columns of the table."""
        with self._answers() as answers:
            return {name: typed.column for name, typed in answers.columns.items()}

    def sketch(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        between: tuple[float | None, float | None] = (None, None),
        progress: Progress = lambda _: None,
    ) -> Sketches:
        """Sketch columns over all rows, or over those between two event times."""
        with self._answers() as answers:
            rows = self._between(answers, between)
            done, wanted = 0, max(len(numeric) + len(categorical), 1)
            numbers, categories = {}, {}
            for name in numeric:
                typed = self._typed(answers, name)
                numbers[name] = sketch_numbers(answers.dialect, answers.rows, rows, name, typed)
                done += 1
                progress(done / wanted)
            for name in categorical:
                typed = self._typed(answers, name)
                categories[name] = sketch_categories(
                    answers.dialect, answers.rows, rows, name, typed
                )
                done += 1
                progress(done / wanted)
            start, end = self._first_and_last(answers, rows)
        return Sketches(numbers, categories, start, end)

    def count_all(
        self,
        profile: Profile,
        between: tuple[float | None, float | None] = (None, None),
        progress: Progress = lambda _: None,
    ) -> Counted:
        """Count all rows into one slice that starts at 0."""
        with self._answers() as answers:
            rows = self._between(answers, between)
            slices = _counted(answers, rows, profile, ibis.literal(0), progress=progress)
        return _answer(slices)

    def count(
        self, profile: Profile, span: Span, width: int, now: float, stop: Stop = lambda: False
    ) -> Counted:
        """Count the rows of a span per slice and segment; a row counts once its time has come."""
        with self._answers() as answers:
            event = self._event_time(answers, answers.table)
            present = round(now * MICRO)
            start, end = span.start * MICRO, span.end * MICRO
            rows = answers.table.filter(event.between(start, min(end, present)))
            event = self._event_time(answers, rows)
            if self._sample < 1:
                rows = rows.filter(event.sampled(sampled_microseconds(self._sample)))
                event = self._event_time(answers, rows)
            slices = _counted(
                answers, rows, profile, event.slice_start(start, width * MICRO), stop=stop
            )
            _check(stop)
            rejected = self._rejected(answers, present)
        last = span.end - width
        starts = {key: min(max(key.start // MICRO, span.start), last) for key in slices}
        total: dict[SliceKey, _Cell] = {}
        for key, cell in slices.items():
            # Rounding may carry a float over the end of the span that it was found in.
            moved = key._replace(start=starts[key])
            total[moved] = total[moved].plus(cell) if moved in total else cell
        return _answer(total, rejected)

    def close(self) -> None:
        """Nothing to let go of: a connection lives for one answer."""

    @contextmanager
    def _answers(self) -> Iterator[_Answers]:
        where = self._where
        with self._engine.session() as session:
            if where.query:
                query = where.query.strip().rstrip(";")
                # On lines of its own: the query may end in a comment.
                columns = session.columns(f"(\n{query}\n) AS {QUERY_NAME}")
                prefix, names = f'WITH "{QUERY_NAME}" AS (\n{query}\n)', [QUERY_NAME]
            else:
                names = (where.table or "").split(".", 1)
                quoted = ".".join('"' + name.replace('"', '""') + '"' for name in names)
                columns, prefix = session.columns(quoted), ""
            if not columns:
                raise SourceError(f"{self._place}: there are no columns; check the table")
            table = ibis.table(
                {name: typed.type for name, typed in columns.items()},
                name=names[-1],
                database=names[0] if len(names) > 1 else None,
            )
            yield _Answers(self._engine.dialect, session, columns, table, prefix)

    def _typed(self, answers: _Answers, name: str) -> Typed:
        if name not in answers.columns:
            raise SchemaError(
                f"{self._place}: the column {name!r} is not there; "
                f"the columns are {sorted(answers.columns)}"
            )
        return answers.columns[name]

    def _event_time(self, answers: _Answers, rows: Expression) -> EventTime:
        name = self._where.timestamp
        typed = self._typed(answers, name)
        if typed.column.kind not in TIME_KINDS:
            raise SchemaError(
                f"{self._place}: the timestamp column {name!r} is of type {typed.column.dtype}; "
                "name a column of timestamps, epoch numbers or ISO 8601 text in 'timestamp'"
            )
        return EventTime(answers.dialect, rows[name], typed)

    def _between(self, answers: _Answers, between: tuple[float | None, float | None]) -> Expression:
        if between == (None, None):
            return answers.table
        start, end = (None if moment is None else round(moment * MICRO) for moment in between)
        return answers.table.filter(self._event_time(answers, answers.table).between(start, end))

    def _first_and_last(
        self, answers: _Answers, rows: Expression
    ) -> tuple[float | None, float | None]:
        typed = answers.columns.get(self._where.timestamp)
        if typed is None or typed.column.kind not in TIME_KINDS:
            return None, None
        # PostgreSQL's infinite timestamps lie outside, and have no epoch.
        rows = rows.filter(self._event_time(answers, rows).between(*ALL_TIMES))
        event = self._event_time(answers, rows).microseconds
        ((first, last),) = answers.rows(rows.aggregate(first=event.min(), last=event.max()))
        return (None, None) if first is None else (first / MICRO, last / MICRO)

    def _rejected(self, answers: _Answers, present: int) -> dict[str, int]:
        event = self._event_time(answers, answers.table)
        if not event.is_text:
            later = answers.table.filter(event.between(present, None))
            ((future,),) = answers.rows(later.aggregate(rows=later.count()))
            return {"future": int(future)} if future else {}
        found = answers.table.aggregate(
            future=answers.table.count(where=event.between(present, None)),
            timestamp=answers.table.count(where=event.unreadable),
        )
        ((future, unreadable),) = answers.rows(found)
        counts = {"future": int(future), "timestamp": int(unreadable)}
        return {reason: rows for reason, rows in counts.items() if rows}


class _Cell(NamedTuple):
    """Rows and their counts."""

    rows: int
    vector: Vector

    def plus(self, other: "_Cell") -> "_Cell":
        return _Cell(self.rows + other.rows, self.vector + other.vector)


def _answer(slices: Mapping[SliceKey, _Cell], rejected: Mapping[str, int] | None = None) -> Counted:
    return Counted(
        slices={key: cell.vector for key, cell in slices.items()},
        rows_read=sum(cell.rows for key, cell in slices.items() if not key.segment_by),
        rows_rejected=rejected or {},
    )


def _check(stop: Stop) -> None:
    if stop():
        raise RunStoppedError("reading was told to stop; the slices of this run are not stored")


def _counted(
    answers: _Answers,
    rows: Expression,
    profile: Profile,
    start: Expression,
    *,
    stop: Stop = lambda: False,
    progress: Progress = lambda _: None,
) -> dict[SliceKey, _Cell]:
    """Counts by slice (its start in microseconds) and segment."""
    batches = _batches(answers, rows, profile)
    together = _grouped_together(profile.segments)
    total: dict[SliceKey, _Cell] = {}
    asked = 0
    for number, segments in enumerate(together):
        groups: dict[tuple[int, ...], _Cell] = {}
        for batch in batches:
            _check(stop)
            _ask(answers, rows, profile, start, segments, batch, groups)
            asked += 1
            progress(asked / (len(batches) * len(together)))
        for (slice_start, *codes), cell in groups.items():
            keys = [] if number else [SliceKey(slice_start)]
            keys += [
                SliceKey(slice_start, by.name, _segment(by, code))
                for by, code in zip(segments, codes, strict=True)
            ]
            for key in keys:
                total[key] = total[key].plus(cell) if key in total else cell
    return total


def _batches(
    answers: _Answers, rows: Expression, profile: Profile
) -> list[list[tuple[int, Cells, list[Expression]]]]:
    batches: list[list[tuple[int, Cells, list[Expression]]]] = [[]]
    aggregates = 0
    for at, feature in enumerate(profile.features):
        cells = cells_of(answers.dialect, rows, answers.columns, feature)
        conditions = cells.conditions()
        if batches[-1] and aggregates + len(conditions) > MAX_AGGREGATES:
            batches.append([])
            aggregates = 0
        batches[-1].append((at, cells, conditions))
        aggregates += len(conditions)
    return batches


def _grouped_together(segments: Sequence[SegmentColumn]) -> list[list[SegmentColumn]]:
    """Columns of segments by query: groups multiply, scans of the table add up."""
    together: list[list[SegmentColumn]] = [[]]
    groups = 1
    for segment in segments:
        groups *= len(segment.values) + 2
        if together[-1] and groups > MAX_SEGMENT_GROUPS:
            together.append([])
            groups = len(segment.values) + 2
        together[-1].append(segment)
    return together


def _ask(
    answers: _Answers,
    rows: Expression,
    profile: Profile,
    start: Expression,
    segments: Sequence[SegmentColumn],
    batch: Sequence[tuple[int, Cells, list[Expression]]],
    groups: dict[tuple[int, ...], _Cell],
) -> None:
    keys = {"start": start} | {
        f"segment_{i}": segment_code(rows[by.name], answers.columns[by.name], by.values)
        if by.name in answers.columns
        else ibis.literal(len(by.values) + 1)
        for i, by in enumerate(segments)
    }
    conditions = [condition for *_, found in batch for condition in found]
    tallies = {f"n{i}": tally(answers.dialect, c, rows) for i, c in enumerate(conditions)}
    # Named columns in between: a group key that is a literal would be read as a position.
    found = answers.rows(rows.group_by(**keys).aggregate(rows=rows.count(), **tallies))
    if not found:
        return
    known = len(keys)
    counted = np.array([[n or 0 for n in row[known:]] for row in found], dtype=np.int64)
    layout = profile.layout
    vectors = np.zeros((len(found), layout.size), dtype=np.int64)
    first = 1
    for at, cells, asked in batch:
        here = counted[:, first : first + len(asked)]
        vectors[:, layout.offsets[at] : layout.offsets[at + 1]] = cells.cells(here, counted[:, 0])
        first += len(asked)
    for row, rows_counted, vector in zip(found, counted[:, 0], vectors, strict=True):
        key = tuple(int(code) for code in row[:known])
        before = groups.get(key)
        total = vector if before is None else before.vector + vector
        groups[key] = _Cell(int(rows_counted), total)


def _segment(by: SegmentColumn, code: int) -> str:
    return (*by.values, OTHER_SEGMENT, MISSING_SEGMENT)[code]
