"""Which rows are counted together, and how flags of rows are summed for each slot.

A slot is a vector to count into: a slice of event time, of all rows or of a segment.
Knows rows and slots; knows no column, no bins and what no slot means.

A comparison of rows gives a byte of 0 or 1 a row. Eight of them are read as one 64-bit word,
and up to 255 words are added before a byte can overflow: a sum then holds eight *lanes*. A
word in which a slot ends is left alone, so that its lanes are single rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import Vector

LANES = 8
"""Bytes of a word."""

MAX_WORDS = 255
"""Words that can be added before a lane of ones overflows."""

BLOCK_ROWS = 8 * MAX_WORDS * LANES
"""Rows compared at once: 128 KiB of float64 and their flags stay in a common L2 cache."""

GROUP = 16
"""Values that a block is compared with at once."""

RUN_ROWS = 256
"""Mean rows of a run from which adding flags run by run is the faster way."""

Compare = Callable[..., Any]
"""A ufunc that compares two arrays."""


class Run(NamedTuple):
    """Rows ``[start, stop)`` of one slot."""

    start: int
    stop: int
    slot: int


class _Block(NamedTuple):
    """Rows ``[first, stop)``, and where in their words each sum starts."""

    first: int
    stop: int
    starts: NDArray[np.intp]
    sums: slice
    """Where these sums stand among those of all blocks."""


@dataclass(frozen=True)
class Plan:
    """How the flags of rows in runs are summed; the same for all columns."""

    blocks: tuple[_Block, ...]
    lanes: NDArray[np.intp]
    """Lane at which each run starts, among the lanes of all sums."""

    used: NDArray[np.intp]
    """Which of these runs are counted; the others lie between."""

    slots: NDArray[np.intp]
    """Slots of the runs that are counted."""

    rows: Vector
    """Rows of the runs that are counted."""

    def sums(self, compare: Compare, against: NDArray[Any], values: NDArray[Any]) -> Vector:
        """Rows of each run that are true when compared, shape ``(len(against), runs)``."""
        sums = np.empty((len(against), self.blocks[-1].sums.stop), dtype=np.uint64)
        for first in range(0, len(against), GROUP):
            some = against[first : first + GROUP, None]
            flags = np.empty((len(some), BLOCK_ROWS), dtype=np.bool_)
            words = flags.view(np.uint64)
            for block in self.blocks:
                rows = block.stop - block.first
                filled = -(-rows // LANES)
                flags[:, rows : filled * LANES] = False
                compare(some, values[block.first : block.stop], out=flags[:, :rows])
                out = sums[first : first + GROUP, block.sums]
                np.add.reduceat(words[:, :filled], block.starts, axis=1, out=out)
        found: Vector = np.add.reduceat(sums.view(np.uint8), self.lanes, axis=1, dtype=np.int64)
        return found if len(self.used) == len(self.lanes) else found[:, self.used]

    def add(self, into: Vector, found: Vector) -> None:
        """Add what was found of each run, shape ``(cells, runs)``, to the vectors of slots."""
        if self._distinct:
            into[self.slots] += found.T
        else:
            np.add.at(into, self.slots, found.T)

    @cached_property
    def _distinct(self) -> bool:
        return len(np.unique(self.slots)) == len(self.slots)


def true_among(compare: Compare, against: NDArray[Any], values: NDArray[Any]) -> NDArray[np.uint8]:
    """For each of ``values`` how many of up to 255 comparisons are true."""
    found = np.zeros(len(values), dtype=np.uint8)
    for first in range(0, len(against), GROUP):
        some = against[first : first + GROUP, None]
        flags = np.empty((len(some), min(BLOCK_ROWS, len(values))), dtype=np.bool_)
        for at in range(0, len(values), BLOCK_ROWS):
            part = found[at : at + BLOCK_ROWS]
            true = flags[:, : len(part)]
            compare(some, values[at : at + BLOCK_ROWS], out=true)
            part += np.add.reduce(true.view(np.uint8), axis=0, dtype=np.uint8)
    return found


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
    def plan(self) -> Plan:
        """How flags are summed for the runs."""
        bounds = _bounds(self.runs or (), self.rows)
        at = np.array([start for start, _ in bounds], dtype=np.intp)
        slots = np.array([slot for _, slot in bounds], dtype=np.intp)
        blocks, lanes, held = [], [], 0
        for first in range(0, self.rows, BLOCK_ROWS):
            stop = min(first + BLOCK_ROWS, self.rows)
            inside = at[(at >= first) & (at < stop)] - first
            starts = _starts(inside, stop - first)
            sums = np.searchsorted(starts, inside // LANES)
            lanes.append((held + sums) * LANES + inside % LANES)
            blocks.append(_Block(first, stop, starts, slice(held, held + len(starts))))
            held += len(starts)
        used = np.flatnonzero(slots >= 0)
        return Plan(
            blocks=tuple(blocks),
            lanes=np.concatenate([np.empty(0, dtype=np.intp), *lanes]),
            used=used,
            slots=slots[used],
            rows=np.diff(np.append(at, self.rows)).astype(np.int64)[used],
        )

    @cached_property
    def range(self) -> tuple[int, int]:
        """The lowest and the highest slot of a row."""
        return int(self.codes.min(initial=self.size)), int(self.codes.max(initial=-1))

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


def _bounds(runs: tuple[Run, ...], rows: int) -> list[tuple[int, int]]:
    """Where each run starts and its slot, -1 for the rows between and behind them."""
    bounds: list[tuple[int, int]] = []
    at = 0
    for start, stop, slot in runs:
        if start > at:
            bounds.append((at, -1))
        bounds.append((start, slot))
        at = stop
    if at < rows:
        bounds.append((at, -1))
    return bounds


def _starts(bounds: NDArray[np.intp], rows: int) -> NDArray[np.intp]:
    """The words at which sums start: none has a bound within unless it is a single word."""
    words = -(-rows // LANES)
    shared = bounds[bounds % LANES > 0] // LANES
    steps = np.arange(0, words, MAX_WORDS, dtype=np.intp)
    found = np.concatenate((steps, bounds // LANES, shared + 1))
    return np.unique(found[found < words])


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


def rows_per_slot(slots: Slots) -> Vector:
    """Rows of each slot, shape ``(slots,)``."""
    if slots.runs is None:
        return np.bincount(slots.codes + 1, minlength=slots.size + 1)[1:].astype(np.int64)
    rows = np.zeros(slots.size, dtype=np.int64)
    for start, stop, slot in slots.runs:
        rows[slot] += stop - start
    return rows
