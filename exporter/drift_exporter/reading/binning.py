"""Columns on bins: Arrow arrays in, rows per cell and slot out.

A slot is a vector to count into: a slice of event time, of all rows or of a segment.
Knows the cells of a feature; knows no file, no clock and what no slot means.

Where the rows of a slot lie together (files are mostly sorted by time) each cut is compared
with a block of values that stays in the L2 cache, which beats a search per value by far.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import TAIL_CELLS, Vector
from drift_exporter.profile import CategoryBins, Feature, NumericBins
from drift_exporter.reading.arrow_values import (
    Floats,
    Mask,
    numbers,
    places,
    text_array,
    texts,
)
from drift_exporter.reading.rows import Array

BLOCK_ROWS = 32_768
"""Rows compared at once: 256 KiB of float64, half of a common L2 cache."""

RUN_ROWS = 1024
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


def _start(run: Run) -> int:
    return run.start


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

    @cached_property
    def blocks(self) -> list[tuple[int, list[Run]]]:
        """Where each block of rows starts, with the pieces of runs in it, counted from there.

        The same for all columns, so it is found once.
        """
        found = []
        at = 0
        runs = self.runs or ()
        for first in range(0, self.rows, BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, self.rows)
            while at < len(runs) and runs[at].stop <= first:
                at += 1
            pieces = [
                Run(max(run.start, first) - first, min(run.stop, last) - first, run.slot)
                for run in islice(runs, at, bisect_left(runs, last, key=_start))
            ]
            if pieces:
                found.append((first, pieces))
        return found

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
                self._numeric.tally(found, slots[0], into[0])
                return
            cells = self._numeric.cells_of(found)
            if bad is not None:
                cells[bad] = self.unseen
        else:
            assert self._known is not None  # noqa: S101
            codes, words = texts(array, loose=loose)
            table = self._known.table(words)
            cells = np.take(table, codes, mode="clip")
            if len(slots) == 1 and absent is None and slots[0].runs is not None:
                _tally_cells(cells, slots[0], into[0])
                return
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

    def tally(self, x: Floats, slots: Slots, into: Vector) -> None:
        """Add the cells of runs of values to ``into``, shape ``(slots, cells)``."""
        for first, pieces in slots.blocks:
            block = x[first : first + BLOCK_ROWS]
            rows = [stop - start for start, stop, _ in pieces]
            above = self._sorted if len(self.cuts) > MAX_COMPARED else self._compared
            found = np.array(above(block, pieces), dtype=np.int64)
            # Values that are numbers, then those at or above each cut; then none above the top.
            cells = np.zeros((into.shape[1], len(pieces)), dtype=np.int64)
            cells[: self.missing] = found
            cells[: self.missing - 1] -= found[1:]
            cells[self.missing] = rows - found[0]
            np.add.at(into, [slot for _, _, slot in pieces], cells.T)

    def _compared(self, block: Floats, pieces: Sequence[Run]) -> list[list[int]]:
        flag = np.equal(block, block)
        flags = [flag[start:stop] for start, stop, _ in pieces]
        found = [[int(np.count_nonzero(piece)) for piece in flags]]
        for cut in self.cuts:
            np.less_equal(cut, block, out=flag)
            found.append([int(np.count_nonzero(piece)) for piece in flags])
        return found

    def _sorted(self, block: Floats, pieces: Sequence[Run]) -> list[list[int]]:
        found = []
        for start, stop, _ in pieces:
            piece = np.sort(block[start:stop])
            numbers_found = int(np.searchsorted(piece, np.nan))
            above = numbers_found - np.searchsorted(piece[:numbers_found], self.cuts)
            found.append([numbers_found, *above.tolist()])
        return [list(column) for column in zip(*found, strict=True)]

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
        self.words = text_array(list(bins.codes))
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
        table = np.empty(len(words) + 1, dtype=self._dtype)
        table[:-1] = self._cells[places(words, self.words)]
        table[-1] = self.missing
        self._last = (words, table)
        return table


def _tally_cells(cells: NDArray[Any], slots: Slots, into: Vector) -> None:
    """Add runs of cells to ``into``, shape ``(slots, cells)``."""
    width = into.shape[1]
    if width > MAX_COMPARED:
        for start, stop, slot in slots.runs or ():
            for first in range(start, stop, BLOCK_ROWS):
                block = cells[first : min(first + BLOCK_ROWS, stop)]
                into[slot] += np.bincount(block, minlength=width)
        return
    for first, pieces in slots.blocks:
        block = cells[first : first + BLOCK_ROWS]
        flag = np.empty(len(block), dtype=np.bool_)
        flags = [flag[start:stop] for start, stop, _ in pieces]
        found = []
        for cell in range(width):
            np.equal(block, cell, out=flag)
            found.append([int(np.count_nonzero(piece)) for piece in flags])
        np.add.at(into, [slot for _, _, slot in pieces], np.array(found, dtype=np.int64).T)


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
