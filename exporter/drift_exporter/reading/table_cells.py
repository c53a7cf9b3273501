"""The cells of a feature as aggregates of one query, and back from its answer.

Knows how cells follow from counts of conditions; knows no time, segment or connection.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from drift_exporter.counts import Vector
from drift_exporter.profile import CategoryBins, Feature, NumericBins
from drift_exporter.reading.table_engines import Typed
from drift_exporter.reading.table_values import (
    Expression,
    castable,
    comparable,
    double,
    is_any_of,
    is_number,
    literal,
    number,
    present,
)


class Cells(Protocol):
    """How one feature is counted."""

    def conditions(self) -> list[Expression]:
        """The conditions whose rows are to be counted."""
        ...

    def cells(self, counted: Vector, rows: Vector) -> Vector:
        """The cells from the rows for which the conditions held.

        Parameters
        ----------
        counted
            Rows per group and condition, shape ``(groups, conditions)``.
        rows
            Rows per group, shape ``(groups,)``.

        Returns
        -------
        Vector
            Rows per group and cell, shape ``(groups, cells)``.
        """
        ...


def cells_of(
    dialect: str, rows: Expression, columns: Mapping[str, Typed], feature: Feature
) -> Cells:
    """How a feature is counted over the rows of a table."""
    typed = columns.get(feature.name)
    if typed is None:
        return _AbsentCells(feature.block.cells)
    column = rows[feature.name]
    if isinstance(feature.bins, NumericBins):
        return _NumericCells(dialect, column, typed, feature.bins)
    return _CategoryCells(column, typed, feature.bins)


class _AbsentCells:
    def __init__(self, cells: int) -> None:
        self._cells = cells

    def conditions(self) -> list[Expression]:
        return []

    def cells(self, counted: Vector, rows: Vector) -> Vector:
        found = np.zeros((len(counted), self._cells), dtype=np.int64)
        found[:, -1] = rows
        return found


class _NumericCells:
    """Rows at or above each cut; the cells are the differences.

    Engines that sort NaN above all count it at every cut: it cancels out of the differences,
    and the outer two cells have conditions that it fails on any engine.
    """

    def __init__(self, dialect: str, column: Expression, typed: Typed, bins: NumericBins) -> None:
        self._number = number(dialect, column, typed)
        self._cuts = [float(cut) for cut in bins.cuts]
        self._unseen = None
        if typed.column.kind == "text":
            self._unseen = column.notnull() & self._number.isnull()
        elif typed.column.kind == "other":
            self._unseen = column.notnull()

    def conditions(self) -> list[Expression]:
        top = self._number >= double(self._cuts[-1])
        return [
            self._number < double(self._cuts[0]),
            *(self._number >= double(cut) for cut in self._cuts),
            top & is_number(self._number),
            *([] if self._unseen is None else [self._unseen]),
        ]

    def cells(self, counted: Vector, rows: Vector) -> Vector:
        cuts = len(self._cuts)
        below, at_least, above = counted[:, :1], counted[:, 1 : cuts + 1], counted[:, cuts + 1]
        inside = at_least[:, :-1] - at_least[:, 1:]
        values = np.column_stack((below, inside, above))
        unseen = counted[:, cuts + 2] if self._unseen is not None else np.zeros_like(rows)
        return _with_tail(values, rows - values.sum(axis=1) - unseen, unseen)


class _CategoryCells:
    """Rows of each kept category, of the other known ones, and with any value."""

    def __init__(self, column: Expression, typed: Typed, bins: CategoryBins) -> None:
        self._column = column
        self._typed = typed
        self._bins = bins
        self._kept = castable(bins.kept, typed)
        self._others = list(castable(bins.others, typed).values()) if bins.complete else []

    def conditions(self) -> list[Expression]:
        column = comparable(self._column, self._typed)
        return [
            present(self._column, self._typed),
            *(column == literal(kept, self._typed) for kept in self._kept.values()),
            *([is_any_of(column, self._others, self._typed)] if self._others else []),
        ]

    def cells(self, counted: Vector, rows: Vector) -> Vector:
        bins = self._bins
        there = counted[:, 0]
        values = np.zeros((len(rows), bins.bins), dtype=np.int64)
        for at, word in enumerate(self._kept, start=1):
            values[:, bins.codes[word]] = counted[:, at]
        rest = there - values.sum(axis=1)
        if not bins.complete:
            values[:, -1] = rest
        elif self._others:
            values[:, -1] = counted[:, -1]
        unseen = there - values.sum(axis=1)
        return _with_tail(values, rows - there, unseen)


def _with_tail(values: Vector, missing: Vector, unseen: Vector) -> Vector:
    return np.column_stack((values, missing, unseen, np.zeros_like(missing)))
