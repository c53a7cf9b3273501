"""Which queries count a profile, and the slices that their answers are.

Knows batches of features, groups of segments and cells; knows no span and no connection. A
plan is made once for a profile and a table: only the rows that it is asked about change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import ibis
import numpy as np

from drift_exporter.counts import Layout, SliceKey, Vector
from drift_exporter.errors import RunStoppedError
from drift_exporter.profile import MISSING_SEGMENT, OTHER_SEGMENT, Profile, SegmentColumn
from drift_exporter.reading.source import Progress, Stop
from drift_exporter.reading.table_cells import Cells, cells_of
from drift_exporter.reading.table_engines import Rows, Typed
from drift_exporter.reading.table_values import Expression, segment_code, tally

MAX_AGGREGATES = 1000
"""Aggregates of a query; PostgreSQL has at most 1 664 columns."""

MAX_SEGMENT_GROUPS = 64
"""Combinations of segments up to which one query groups by several columns of segments."""


class Cell(NamedTuple):
    """Rows and their counts."""

    rows: int
    vector: Vector

    def plus(self, other: "Cell") -> "Cell":
        """The sum of both."""
        return Cell(self.rows + other.rows, self.vector + other.vector)


class _Counted(NamedTuple):
    """A feature of a query: its place in the layout, its cells, and its conditions."""

    at: int
    cells: Cells
    conditions: int


class _Query(NamedTuple):
    """A query and what its columns are: slice, segments, rows, then conditions of features."""

    sql: str
    segments: tuple[SegmentColumn, ...]
    features: tuple[_Counted, ...]
    all_rows: bool
    """Whether it also tells the counts of all rows; the others repeat them."""


@dataclass(frozen=True)
class Plan:
    """The queries that count a profile."""

    layout: Layout
    queries: tuple[_Query, ...]

    def counted(
        self,
        ask: Callable[[str], Rows],
        stop: Stop = lambda: False,
        progress: Progress = lambda _: None,
    ) -> dict[SliceKey, Cell]:
        """Counts of the slices and segments that have rows."""
        total: dict[SliceKey, Cell] = {}
        for number, query in enumerate(self.queries, start=1):
            check(stop)
            answer = ask(query.sql)
            if answer:
                self._add(query, answer, total)
            progress(number / len(self.queries))
        return total

    def _add(self, query: _Query, answer: Rows, total: dict[SliceKey, Cell]) -> None:
        keys = 1 + len(query.segments)
        counted = np.array([[n or 0 for n in row[keys:]] for row in answer], dtype=np.int64)
        rows = counted[:, 0]
        vectors = np.zeros((len(answer), self.layout.size), dtype=np.int64)
        first = 1
        for at, cells, conditions in query.features:
            found = cells.cells(counted[:, first : first + conditions], rows)
            vectors[:, self.layout.offsets[at] : self.layout.offsets[at + 1]] = found
            first += conditions
        # Rows are told by the first query of each: the later batches count the same ones.
        tells_rows = bool(query.features and query.features[0].at == 0) or not query.features
        for (start, *codes), count, vector in zip(
            (row[:keys] for row in answer), rows, vectors, strict=True
        ):
            cell = Cell(int(count) if tells_rows else 0, vector)
            found_keys = [SliceKey(int(start))] if query.all_rows else []
            found_keys += [
                SliceKey(int(start), by.name, _segment(by, int(code)))
                for by, code in zip(query.segments, codes, strict=True)
            ]
            for key in found_keys:
                total[key] = total[key].plus(cell) if key in total else cell


def plan_of(
    profile: Profile,
    rows: Expression,
    start: Expression,
    columns: Mapping[str, Typed],
    dialect: str,
    sql: Callable[[Expression], str],
) -> Plan:
    """The plan that counts the rows of a table.

    Parameters
    ----------
    profile
        What is counted.
    rows
        The table.
    start
        Start of the slice of a row, in seconds since the epoch.
    columns
        Columns of the table.
    dialect
        The engine's name.
    sql
        Writes an expression in the engine's SQL.
    """
    queries = []
    for number, segments in enumerate(_grouped_together(profile.segments)):
        keys = {"start": start} | {
            f"segment_{i}": segment_code(rows[by.name], columns[by.name], by.values)
            if by.name in columns
            else ibis.literal(len(by.values) + 1)
            for i, by in enumerate(segments)
        }
        for batch in _batches(dialect, rows, columns, profile):
            conditions = [condition for *_, found in batch for condition in found]
            tallies = {f"n{i}": tally(dialect, c, rows) for i, c in enumerate(conditions)}
            expression = rows.group_by(**keys).aggregate(rows=rows.count(), **tallies)
            features = tuple(_Counted(at, cells, len(found)) for at, cells, found in batch)
            queries.append(_Query(sql(expression), tuple(segments), features, number == 0))
    return Plan(profile.layout, tuple(queries))


def check(stop: Stop) -> None:
    """Raise ``RunStoppedError`` where ``stop`` says so."""
    if stop():
        raise RunStoppedError("reading was told to stop; the slices of this run are not stored")


def _batches(
    dialect: str, rows: Expression, columns: Mapping[str, Typed], profile: Profile
) -> list[list[tuple[int, Cells, list[Expression]]]]:
    batches: list[list[tuple[int, Cells, list[Expression]]]] = [[]]
    aggregates = 0
    for at, feature in enumerate(profile.features):
        cells = cells_of(dialect, rows, columns, feature)
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


def _segment(by: SegmentColumn, code: int) -> str:
    return (*by.values, OTHER_SEGMENT, MISSING_SEGMENT)[code]
