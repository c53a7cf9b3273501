"""Columns on bins: Arrow arrays in, rows per cell and slot out.

Knows the cells of a feature; knows no file, no clock and what no slot means.

Numbers are compared with each cut, many rows at once: that beats a search per value by far.
"""

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import TAIL_CELLS, Vector
from drift_exporter.profile import CategoryBins, Feature, NumericBins, Profile
from drift_exporter.reading.arrow_numbers import numbers
from drift_exporter.reading.arrow_texts import texts
from drift_exporter.reading.arrow_values import Floats, Mask, places, text_array
from drift_exporter.reading.rows import Array
from drift_exporter.reading.slots import Slots, rows_per_slot, true_among

MAX_COMPARED = 120
"""Cuts above which a search per value is faster than comparing with each."""

MAX_WORDS = 128
"""Words up to which the rows of each are counted, not those of each cell."""

SPREAD_ROWS = 32_768
"""Rows whose cells are counted at once."""


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
            alone = len(slots) == 1 and bad is None and absent is None
            if alone and slots[0].runs is not None and self._numeric.few:
                self._numeric.tally(found, slots[0], into[0])
                return
            cells = self._numeric.cells_of(found)
            if bad is not None:
                cells[bad] = self.unseen
        else:
            assert self._known is not None  # noqa: S101
            codes, words = texts(array, loose=loose)
            table = self._known.table(words)
            alone = len(slots) == 1 and absent is None
            if alone and slots[0].runs is not None and len(table) <= MAX_WORDS:
                _tally_words(codes, table, slots[0], into[0])
                return
            cells = np.take(table, codes, mode="clip")
        if absent is not None:
            cells[absent] = self.absent
        for matrix, shares in zip(into, slots, strict=True):
            _spread(cells, shares, matrix)

    def count_absent(self, into: list[Vector], slots: list[Slots]) -> None:
        """Add rows that came without the column."""
        for matrix, shares in zip(into, slots, strict=True):
            matrix[:, self.absent] += rows_per_slot(shares)


def binners_of(profile: Profile) -> dict[str, Binner]:
    """A binner for each feature, by its name."""
    return {feature.name: Binner(feature) for feature in profile.features}


class _Cuts:
    """Cells of a numeric feature."""

    def __init__(self, bins: NumericBins) -> None:
        self.cuts = bins.cuts
        self.missing = len(self.cuts) + 1
        self.few = len(self.cuts) <= MAX_COMPARED

    def tally(self, x: Floats, slots: Slots, into: Vector) -> None:
        """Add the cells of runs of values to ``into``, shape ``(slots, cells)``."""
        if len(x) == 0:
            return
        plan = slots.plan
        above = plan.sums(np.less_equal, self.cuts, x)
        numbers_found = plan.rows
        # NaN is above no cut. Rows that are may be below the first one, else all are numbers.
        if (above[0] < plan.rows).any():
            numbers_found = plan.sums(np.less_equal, np.array([-np.inf]), x)[0]
        cells = np.zeros((into.shape[1], above.shape[1]), dtype=np.int64)
        cells[0] = numbers_found
        cells[1 : self.missing] = above
        cells[: self.missing - 1] -= above
        cells[self.missing] = plan.rows - numbers_found
        plan.add(into, cells)

    def cells_of(self, x: Floats) -> NDArray[Any]:
        """The cell of each value."""
        if not self.few:
            cells = np.searchsorted(self.cuts, x, side="right").astype(np.int32)
            cells[np.isnan(x)] = self.missing
            return cells
        found = true_among(np.less_equal, self.cuts, x)
        low = np.flatnonzero(found == 0)
        found[low[np.isnan(x[low])]] = self.missing
        return found


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


def _tally_words(codes: NDArray[Any], table: NDArray[Any], slots: Slots, into: Vector) -> None:
    """Add runs of words to ``into``, shape ``(slots, cells)``, by the cell of each word."""
    plan = slots.plan
    found = np.empty((len(table), len(plan.slots)), dtype=np.int64)
    for i, (start, stop, _) in enumerate(slots.runs or ()):
        found[:, i] = np.bincount(codes[start:stop], minlength=len(table))
    cells = np.zeros((into.shape[1], len(plan.slots)), dtype=np.int64)
    np.add.at(cells, table, found)
    plan.add(into, cells)


def _spread(cells: NDArray[Any], slots: Slots, into: Vector) -> None:
    """Add cells to the slots of their rows, ``into`` being of shape ``(slots, cells)``."""
    width = into.shape[1]
    low, high = slots.range
    if high < 0:
        return
    size = (high - low + 1) * width

    def counted(rows: slice) -> Vector:
        places = (slots.codes[rows] - np.int32(low)) * np.int32(width)
        places += cells[rows]
        return np.bincount(places, minlength=size)

    step = max(SPREAD_ROWS, size)
    blocks = (slice(first, first + step) for first in range(0, len(cells), step))
    counts = reduce(np.add, map(counted, blocks))
    # Slot -1, of rows that are not counted, is cut off.
    first = max(low, 0)
    into[first : high + 1] += counts.reshape(-1, width)[first - low :]
