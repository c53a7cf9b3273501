"""Sketches of columns: exact quantiles and categories of all values.

Holds the values of some columns at a time; knows no format.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from drift_exporter.profile import FEW_VALUES, GRID, SEEN_CAP, CategorySketch, NumericSketch
from drift_exporter.reading.arrow_values import Floats, Mask, numbers, strings, texts
from drift_exporter.reading.event_time import NO_TIME, event_micros
from drift_exporter.reading.rows import Array, Rows

MERGED_WORDS = 2**20
"""Words that are held before those that repeat are merged."""


class Numbers:
    """Collects the values of a numeric column."""

    def __init__(self) -> None:
        self._finite: list[Floats] = []
        self._infinite = 0
        self._unparsed = 0
        self._missing = 0

    def add(self, array: Array, chosen: Mask | None, *, loose: bool) -> None:
        """Add the chosen rows of an array."""
        found, bad = numbers(array, loose=loose)
        if chosen is not None:
            found, bad = found[chosen], None if bad is None else bad[chosen]
        unparsed = 0 if bad is None else int(np.count_nonzero(bad))
        finite = found[np.isfinite(found)]
        missing = int(np.count_nonzero(np.isnan(found))) - unparsed
        self._unparsed += unparsed
        self._missing += missing
        self._infinite += len(found) - len(finite) - missing - unparsed
        # A copy: the array's buffer goes back to Arrow. -0.0 becomes 0.0.
        self._finite.append(finite + 0.0)

    def sketch(self, *, integer: bool) -> NumericSketch:
        """The sketch of all rows added."""
        x = np.concatenate(self._finite) if self._finite else np.empty(0)
        self._finite = []
        x.sort()
        new = np.append(True, x[1:] != x[:-1]) if x.size else np.empty(0, dtype=np.bool_)
        distinct = int(np.count_nonzero(new))
        return NumericSketch(
            rows=int(x.size) + self._infinite + self._unparsed,
            missing=self._missing,
            distinct=distinct,
            integer=integer,
            deviation=_deviation(x),
            grid=_grid(x),
            values=tuple(x[new].tolist()) if distinct <= FEW_VALUES else (),
        )


def _grid(x: Floats) -> tuple[float, ...]:
    if x.size == 0:
        return ()
    steps = np.arange(GRID + 1, dtype=np.int64)
    # Value number ceil(k / GRID * n), from 1; in integers, so that no rounding moves it.
    places = np.maximum(-(-steps * x.size // GRID), 1) - 1
    return tuple(x[places].tolist())


def _deviation(x: Floats) -> float:
    """The standard deviation; infinite where it does not fit a float."""
    if x.size == 0:
        return 0.0
    scale = float(max(abs(x[0]), abs(x[-1]), 1.0))
    scaled = x / scale
    deviation = float(np.std(scaled)) * scale
    return deviation


class Categories:
    """Collects the categories of a column and their rows."""

    def __init__(self) -> None:
        self._words: list[Array] = []
        self._rows: list[NDArray[np.int64]] = []
        self._held = 0
        self._missing = 0

    def add(self, array: Array, chosen: Mask | None, *, loose: bool) -> None:
        """Add the chosen rows of an array."""
        codes, words = texts(array, loose=loose)
        if chosen is not None:
            codes = codes[chosen]
        rows = np.bincount(codes, minlength=len(words) + 1)
        self._missing += int(rows[-1])
        there = np.flatnonzero(rows[:-1])
        self._words.append(words.take(pa.array(there)))
        self._rows.append(rows[there].astype(np.int64))
        self._held += len(there)
        if self._held > MERGED_WORDS:
            self._merge()

    def sketch(self) -> CategorySketch:
        """The sketch of all rows added."""
        self._merge()
        words, rows = self._words[0], self._rows[0]
        total = int(rows.sum())
        distinct = len(words)
        if distinct > SEEN_CAP:
            least = np.partition(rows, distinct - SEEN_CAP)[distinct - SEEN_CAP]
            kept = np.flatnonzero(rows >= least)
            words, rows = words.take(pa.array(kept)), rows[kept]
        counts = sorted(
            zip(strings(words), rows.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0])
        )
        return CategorySketch(
            rows=total,
            missing=self._missing,
            distinct=distinct,
            counts=tuple(counts[:SEEN_CAP]),
        )

    def _merge(self) -> None:
        words = pa.concat_arrays([pa.array([], pa.string()), *self._words])
        rows = np.concatenate([np.empty(0, dtype=np.int64), *self._rows])
        rows = rows[np.asarray(pc.is_valid(words).to_pylist(), dtype=np.bool_)]
        encoded = pc.dictionary_encode(words.drop_null())
        codes = np.frombuffer(encoded.indices.buffers()[1], np.int32, len(encoded))
        total = np.bincount(codes, weights=rows, minlength=len(encoded.dictionary))
        self._words, self._rows = [encoded.dictionary], [total.astype(np.int64)]
        self._held = 0
