"""Counts: one integer vector over all cells of all features, and how to read it.

Pure: knows where a cell stands, not what its edges are, nor any clock or source.

The cells of a feature, in order, are its *value cells*, then ``missing``, ``unseen`` and
``absent``. A numeric feature of ``b`` bins has ``b + 2`` value cells: below the reference's
minimum, its bins, above the reference's maximum. A categorical one has its kept categories
and ``other``. ``unseen`` is a category that the reference never had, or, of a numeric
feature, a value that is no number. ``absent`` counts rows that came without the column.
Every row falls into exactly one cell of each feature, so each feature's cells add up to
the rows, and vectors of slices, segments and replicas may simply be added.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drift_exporter.errors import CountsError

Vector = NDArray[np.int64]
"""Rows per cell, shape ``(cells,)``, or one per slice, ``(slices, cells)``."""

TAIL_CELLS = 3
"""``missing``, ``unseen`` and ``absent`` stand behind the value cells of every feature."""


class SliceKey(NamedTuple):
    """What a vector counts: a slice of event time, of all rows or of one segment."""

    start: int
    """Start of the slice in seconds since the epoch, a multiple of the slice's width."""

    segment_by: str = ""
    """Column that splits the rows; empty where the vector counts all of them."""

    segment: str = ""
    """Value of that column; empty where ``segment_by`` is."""


@dataclass(frozen=True)
class Block:
    """How many value cells a feature has, and whether the outer two lie out of range."""

    name: str
    numeric: bool
    bins: int
    """Bins that statistics see: intervals, or kept categories and ``other``."""

    @property
    def value_cells(self) -> int:
        """Value cells of the feature."""
        return self.bins + 2 if self.numeric else self.bins

    @property
    def cells(self) -> int:
        """All cells of the feature."""
        return self.value_cells + TAIL_CELLS


@dataclass(frozen=True)
class Layout:
    """Where the cells of each feature stand in the vector."""

    blocks: tuple[Block, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First cell of each feature, and at the end the number of all cells."""
        return tuple(int(n) for n in np.cumsum([0, *(block.cells for block in self.blocks)]))

    @property
    def size(self) -> int:
        """Cells of the vector."""
        return self.offsets[-1]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features, in order."""
        return tuple(block.name for block in self.blocks)

    @cached_property
    def index(self) -> dict[str, int]:
        """Position of each feature by its name."""
        return {block.name: i for i, block in enumerate(self.blocks)}

    @property
    def max_bins(self) -> int:
        """Bins of the feature that has the most."""
        return max((block.bins for block in self.blocks), default=0)

    def zeros(self) -> Vector:
        """A vector that counts no row."""
        return np.zeros(self.size, dtype=np.int64)

    def total(self, vectors: Iterable[Vector]) -> Vector:
        """The sum of vectors; zeros where there is none."""
        total = self.zeros()
        for vector in vectors:
            total += self._checked(vector)
        return total

    def cells(self, vector: Vector, feature: int) -> Vector:
        """The cells of one feature, a view of shape ``(cells,)``."""
        return vector[self.offsets[feature] : self.offsets[feature + 1]]

    def value_bins(self, vector: Vector) -> Vector:
        """Rows per bin, shape ``(features, max_bins)``, padded with zeros on the right.

        Rows outside the reference's range are in the outer bins, which are open.
        """
        padded = np.append(self._checked(vector), 0)
        bins: Vector = padded[self._bin_cells]
        if self.blocks:
            rows = np.arange(len(self.blocks))
            bins[rows, 0] += padded[self._below_cell]
            bins[rows, self._last_bin] += padded[self._above_cell]
        return bins

    def bins(self, vector: Vector) -> Vector:
        """Rows per bin, then missing, then unseen: shape ``(features, max_bins + 2)``."""
        tail = (self.missing(vector), self.unseen(vector))
        return np.column_stack((self.value_bins(vector), *tail))

    def missing(self, vector: Vector) -> Vector:
        """Rows without a value, per feature."""
        return self._checked(vector)[self._missing_cell]

    def unseen(self, vector: Vector) -> Vector:
        """Rows with a category that the reference never had, or no number, per feature."""
        return self._checked(vector)[self._missing_cell + 1]

    def absent(self, vector: Vector) -> Vector:
        """Rows that came without the column, per feature."""
        return self._checked(vector)[self._missing_cell + 2]

    def outside(self, vector: Vector) -> Vector:
        """Rows below the reference's minimum or above its maximum, per feature."""
        padded = np.append(self._checked(vector), 0)
        outside: Vector = padded[self._below_cell] + padded[self._above_cell]
        return outside

    def feature_rows(self, vector: Vector) -> Vector:
        """Rows that came with the column, per feature."""
        return self.rows(vector) - self.absent(vector)

    def rows(self, vector: Vector) -> int:
        """Rows counted: every feature's cells add up to it."""
        return int(self.cells(self._checked(vector), 0).sum()) if self.blocks else 0

    def _checked(self, vector: Vector) -> Vector:
        if vector.shape != (self.size,):
            raise CountsError(
                f"counts of shape {vector.shape} do not fit a layout of {self.size} cells; "
                "they were counted on another profile"
            )
        return vector

    @cached_property
    def _bin_cells(self) -> NDArray[np.intp]:
        cells = np.full((len(self.blocks), self.max_bins), self.size, dtype=np.intp)
        for i, block in enumerate(self.blocks):
            first = self.offsets[i] + int(block.numeric)
            cells[i, : block.bins] = np.arange(first, first + block.bins)
        return cells

    @cached_property
    def _last_bin(self) -> NDArray[np.intp]:
        return np.array([max(block.bins - 1, 0) for block in self.blocks], dtype=np.intp)

    @cached_property
    def _below_cell(self) -> NDArray[np.intp]:
        return self._numeric_cells(first=True)

    @cached_property
    def _above_cell(self) -> NDArray[np.intp]:
        return self._numeric_cells(first=False)

    def _numeric_cells(self, *, first: bool) -> NDArray[np.intp]:
        # The cell behind the vector is always 0: categories have nothing outside.
        return np.array(
            [
                (start if first else start + block.value_cells - 1) if block.numeric else self.size
                for start, block in zip(self.offsets, self.blocks, strict=False)
            ],
            dtype=np.intp,
        )

    @cached_property
    def _missing_cell(self) -> NDArray[np.intp]:
        return np.array(
            [
                start + block.value_cells
                for start, block in zip(self.offsets, self.blocks, strict=False)
            ],
            dtype=np.intp,
        )


def layout_of(blocks: Sequence[Block]) -> Layout:
    """The layout of features in the order given."""
    return Layout(tuple(blocks))
