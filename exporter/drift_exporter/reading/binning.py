"""Columns on bins: Arrow arrays in, rows per cell and slot out.

A slot is a vector to count into: a slice of event time, of all rows or of a segment.
Knows the cells of a feature; knows no file, no clock and what no slot means.

Where the rows of a slot lie together (files are mostly sorted by time) each cut is compared
with a block of values that stays in the L2 cache, which beats a search per value by far.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drift_exporter.counts import TAIL_CELLS, Vector
from drift_exporter.profile import CategoryBins, Feature, NumericBins
from drift_exporter.reading.arrow_values import Floats, Mask, numbers, texts
from drift_exporter.reading.rows import Array

BLOCK_ROWS = 32_768
"""Rows compared at once: 256 KiB of float64, half of a common L2 cache."""

RUN_ROWS = 4_096
"""Mean rows of a run from which counting run by run is the faster way."""

MAX_COMPARED = 24
"""Cuts above which a block is sorted rather than compared with each."""

MAX_SUMMED = 60
"""Cuts above which a search per value is faster than adding comparisons."""


class Run(NamedTuple):
    """Rows ``[start, stop)`` of one slot."""

    start: int
    stop: int
    slot: int


@dataclass(frozen=True)
class Slots:
    """Which slot each row is counted into."""

    size: int
    """Number of slots."""

    codes: NDArray[np.int32]
    """Slot of each row, -1 where it is not counted."""

    runs: tuple[Run, ...] | None
    """The same as runs, where they are long."""

    @property
    def rows(self) -> int:
        """Rows, counted or not."""
        return len(self.codes)

    def part(self, first: int, rows: int) -> "Slots":
        """The slots of some consecutive rows."""
        stop = first + rows
        if first == 0 and rows == self.rows:
            return self
        runs = None
        if self.runs is not None:
            runs = tuple(
                Run(max(run.start, first) - first, min(run.stop, stop) - first, run.slot)
                for run in self.runs
                if run.start < stop and run.stop > first
            )
        return Slots(self.size, self.codes[first:stop], runs)


def slots_of(codes: NDArray[np.int32], size: int) -> Slots:
    """Slots by the slot of each row, with runs where rows of a slot lie together."""
    edges = np.flatnonzero(codes[1:] != codes[:-1]) + 1
    if (len(edges) + 1) * RUN_ROWS > max(len(codes), RUN_ROWS):
        return Slots(size, codes, None)
    bounds = [0, *edges.tolist(), len(codes)]
    runs = tuple(
        Run(start, stop, int(codes[start]))
        for start, stop in pairwise(bounds)
        if stop > start and codes[start] >= 0
    )
    return Slots(size, codes, runs)


class Binner:
    """Counts one feature; keeps small buffers between batches."""

    def __init__(self, feature: Feature) -> None:
        block = feature.block
        self.name = feature.name
        self.cells = block.cells
        self.missing = block.value_cells
        self.unseen = block.value_cells + 1
        self.absent = block.value_cells + 2
        bins = feature.bins
        self._numeric = _Cuts(bins) if isinstance(bins, NumericBins) else None
        self._known = _Known(bins) if isinstance(bins, CategoryBins) else None

    def count(
        self, into: list[Vector], array: Array, slots: list[Slots], absent: Mask | None, loose: bool
    ) -> None:
        """Add the rows of an array.

        Parameters
        ----------
        into
            For each of ``slots`` the counts so far, shape ``(slots, cells)``; added to.
        array
            The column of some rows.
        slots
            Ways to share out the same rows.
        absent
            Rows that came without the column, where only some did.
        loose
            Whether text may spell numbers and booleans.
        """
        if self._numeric is not None:
            found, bad = numbers(array, loose=loose)
            runs = slots[0].runs if len(slots) == 1 and bad is None and absent is None else None
            if runs is not None:
                for start, stop, slot in runs:
                    self._numeric.tally(found[start:stop], into[0][slot])
                return
            cells = self._numeric.cells_of(found)
            if bad is not None:
                cells[bad] = self.unseen
        else:
            assert self._known is not None  # noqa: S101
            codes, words = texts(array, loose=loose)
            table = self._known.table(words)
            if len(slots) == 1 and absent is None and slots[0].runs is not None:
                for start, stop, slot in slots[0].runs:
                    into[0][slot] += _tally_codes(codes[start:stop], table, self.cells)
                return
            cells = table[codes]
        if absent is not None:
            cells[absent] = self.absent
        for matrix, shares in zip(into, slots, strict=True):
            _spread(cells, shares, matrix)

    def count_absent(self, into: list[Vector], slots: list[Slots]) -> None:
        """Add rows that came without the column."""
        for matrix, shares in zip(into, slots, strict=True):
            matrix[:, self.absent] += rows_per_slot(shares)


def rows_per_slot(slots: Slots) -> Vector:
    """Rows of each slot, shape ``(slots,)``."""
    if slots.runs is None:
        return np.bincount(slots.codes + 1, minlength=slots.size + 1)[1:].astype(np.int64)
    rows = np.zeros(slots.size, dtype=np.int64)
    for start, stop, slot in slots.runs:
        rows[slot] += stop - start
    return rows


class _Cuts:
    """Cells of a numeric feature."""

    def __init__(self, bins: NumericBins) -> None:
        self.cuts = bins.cuts
        self.missing = len(self.cuts) + 1

    def tally(self, x: Floats, counts: Vector) -> None:
        """Add the cells of values to ``counts``, shape ``(cells,)``."""
        above = np.zeros(len(self.cuts), dtype=np.int64)
        numbers_found = 0
        flags = np.empty(min(BLOCK_ROWS, len(x)), dtype=np.bool_)
        for first in range(0, len(x), BLOCK_ROWS):
            block = x[first : first + BLOCK_ROWS]
            if len(self.cuts) > MAX_COMPARED:
                block = np.sort(block)
                there = int(np.searchsorted(block, np.nan))
                above += there - np.searchsorted(block[:there], self.cuts)
            else:
                flag = flags[: len(block)]
                for i, cut in enumerate(self.cuts):
                    np.less_equal(cut, block, out=flag)
                    above[i] += np.count_nonzero(flag)
                there = int(np.count_nonzero(np.equal(block, block, out=flag)))
            numbers_found += there
        counts[0] += numbers_found - above[0]
        counts[1 : len(above)] += above[:-1] - above[1:]
        counts[len(above)] += above[-1]
        counts[self.missing] += len(x) - numbers_found

    def cells_of(self, x: Floats) -> NDArray[Any]:
        """The cell of each value."""
        if len(self.cuts) > MAX_SUMMED:
            cells = np.searchsorted(self.cuts, x, side="right").astype(np.int32)
        else:
            cells = np.zeros(len(x), dtype=np.uint8)
            flags = np.empty(min(BLOCK_ROWS, len(x)), dtype=np.bool_)
            for first in range(0, len(x), BLOCK_ROWS):
                block = x[first : first + BLOCK_ROWS]
                total = cells[first : first + BLOCK_ROWS]
                flag = flags[: len(block)]
                for cut in self.cuts:
                    np.less_equal(cut, block, out=flag)
                    np.add(total, flag.view(np.uint8), out=total)
        cells[np.isnan(x)] = self.missing
        return cells


class _Known:
    """Cells of a categorical feature."""

    def __init__(self, bins: CategoryBins) -> None:
        self.words = pa.array(list(bins.codes), pa.string())
        cells = len(bins.kept) + 1 + TAIL_CELLS
        self.missing = len(bins.kept) + 1
        unknown = self.missing + 1 if bins.complete else len(bins.kept)
        self._dtype = np.uint8 if cells < 256 else np.int32
        self._cells = np.array([*bins.codes.values(), unknown], dtype=self._dtype)
        self._last: tuple[Array, NDArray[Any]] | None = None

    def table(self, words: Array) -> NDArray[Any]:
        """The cell of each word, and at the end that of a missing one."""
        if self._last is not None and self._last[0].equals(words):
            return self._last[1]
        found = pc.fill_null(pc.index_in(words, value_set=self.words), len(self.words))
        places = np.frombuffer(found.buffers()[1], np.int32, len(words)) if len(words) else []
        table = np.empty(len(words) + 1, dtype=self._dtype)
        table[:-1] = self._cells[np.asarray(places, dtype=np.int32)]
        table[-1] = self.missing
        self._last = (words, table)
        return table


def _tally_codes(codes: NDArray[Any], table: NDArray[Any], cells: int) -> Vector:
    counts = np.zeros(cells, dtype=np.int64)
    few = len(table) <= BLOCK_ROWS // 8
    for first in range(0, len(codes), BLOCK_ROWS):
        block = codes[first : first + BLOCK_ROWS]
        if few:
            np.add.at(counts, table, np.bincount(block, minlength=len(table)))
        else:
            counts += np.bincount(table[block], minlength=cells)
    return counts


def _spread(cells: NDArray[Any], slots: Slots, into: Vector) -> None:
    width = into.shape[1]
    # Slot -1, of rows that are not counted, is moved to the front and cut off.
    counts = np.zeros((slots.size + 1) * width, dtype=np.int64)
    codes = slots.codes
    step = max(BLOCK_ROWS, len(counts))
    for first in range(0, len(cells), step):
        places = (codes[first : first + step].astype(np.int64) + 1) * width
        places += cells[first : first + step]
        counts += np.bincount(places, minlength=len(counts))
    into += counts.reshape(slots.size + 1, width)[1:]
