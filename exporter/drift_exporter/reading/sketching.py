"""Sketches of columns: exact quantiles and categories of all values.

Holds the values of some columns at a time; knows no format.
"""

from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drift_exporter.profile import FEW_VALUES, GRID, SEEN_CAP, CategorySketch, NumericSketch
from drift_exporter.reading.arrow_numbers import numbers
from drift_exporter.reading.arrow_texts import texts
from drift_exporter.reading.arrow_values import (
    Floats,
    Mask,
    number_array,
    strings,
    text_array,
    valid,
    values,
)
from drift_exporter.reading.event_time import MICROSECONDS
from drift_exporter.reading.found import Choice
from drift_exporter.reading.listing import File
from drift_exporter.reading.rows import Array, Rows
from drift_exporter.reading.times import between, event_times

HELD_VALUES = 2**24
"""Values of a pass over the files that are held in memory: 128 MiB of numbers."""

TEXT_BYTES_PER_VALUE = 6
"""Bytes of a field of text, for an estimate of how many values a file has."""

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
        self._words.append(words.take(number_array(there)))
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
            words, rows = words.take(number_array(kept)), rows[kept]
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
        # Offsets of 64 bits: identifiers of many rows are more than 2 GiB.
        parts = [text_array([]), *self._words]
        words = pa.concat_arrays([part.cast(pa.large_string()) for part in parts])
        rows = np.concatenate([np.empty(0, dtype=np.int64), *self._rows])
        there = valid(words)
        encoded = pc.dictionary_encode(words.drop_null())
        rows = rows if there is None else rows[there]
        codes = values(encoded.indices, np.int32)
        total = np.bincount(codes, weights=rows, minlength=len(encoded.dictionary))
        self._words, self._rows = [encoded.dictionary], [total.astype(np.int64)]
        self._held = 0


class Times:
    """The event times of a sketch: first and last, and which rows are between two."""

    def __init__(self, timestamp: str, choice: Choice) -> None:
        self._timestamp = timestamp
        self._choice = choice
        self._first: int | None = None
        self._last: int | None = None
        self.timed = False
        """Whether any rows had the column."""

    def add(self, rows: Rows) -> None:
        """Look at the times of rows."""
        if rows.rows == 0 or self._timestamp not in rows.names:
            return
        self.timed = True
        micros = event_times(rows, self._timestamp)
        chosen = micros[between(micros, self._choice)]
        if chosen.size:
            first, last = int(chosen.min()), int(chosen.max())
            self._first = first if self._first is None else min(first, self._first)
            self._last = last if self._last is None else max(last, self._last)

    def chosen(self, rows: Rows) -> Mask | None:
        """Which rows are sketched; nothing where all are."""
        if not self._choice.by_time:
            return None
        return between(event_times(rows, self._timestamp), self._choice)

    @property
    def seconds(self) -> tuple[float | None, float | None]:
        """First and last event time in seconds since the epoch."""
        if self._first is None or self._last is None:
            return None, None
        return self._first / MICROSECONDS, self._last / MICROSECONDS


class Collected:
    """Values of some columns, from all files."""

    def __init__(self, numeric: Sequence[str], categorical: Sequence[str]) -> None:
        self._numbers = {name: Numbers() for name in numeric}
        self._categories = {name: Categories() for name in categorical}

    def add(self, rows: Rows, chosen: Mask | None) -> None:
        """Add the chosen rows."""
        for batch in rows.batches([*dict.fromkeys((*self._numbers, *self._categories))]):
            for name, array in batch.columns.items():
                some = _without_absent(
                    None if chosen is None else chosen[batch.first : batch.first + len(array)],
                    batch.absent.get(name),
                )
                if name in self._numbers:
                    self._numbers[name].add(array, some, loose=rows.loose)
                if name in self._categories:
                    self._categories[name].add(array, some, loose=rows.loose)

    def numeric(self, integers: Collection[str]) -> dict[str, NumericSketch]:
        """Sketches of the numeric columns."""
        return {
            name: numbers.sketch(integer=name in integers)
            for name, numbers in self._numbers.items()
        }

    def categorical(self) -> dict[str, CategorySketch]:
        """Sketches of the columns of categories."""
        return {name: categories.sketch() for name, categories in self._categories.items()}


def _without_absent(chosen: Mask | None, absent: Mask | None) -> Mask | None:
    if absent is None:
        return chosen
    return ~absent if chosen is None else chosen & ~absent


def column_batches(
    files: Sequence[File], numeric: Sequence[str], categorical: Sequence[str]
) -> list[tuple[list[str], list[str]]]:
    """The columns of each pass over the files, as many as memory holds."""
    wanted = [(name, True) for name in numeric] + [(name, False) for name in categorical]
    rows = sum(_rows(file, len(wanted)) for file in files)
    width = max(1, HELD_VALUES // max(rows, 1))
    batches = [wanted[at : at + width] for at in range(0, len(wanted), width)]
    return [
        (
            [name for name, is_number in batch if is_number],
            [n for n, is_number in batch if not is_number],
        )
        for batch in batches
    ]


def _rows(file: File, columns: int) -> int:
    """Rows of a file: those of the footer, or an estimate by its size."""
    if file.format == "parquet":
        try:
            with file.open() as handle:
                return int(pq.read_metadata(handle).num_rows)
        except (OSError, pa.ArrowException):
            return 0
    packed = 8 if file.gzip else 1
    return file.size * packed // (TEXT_BYTES_PER_VALUE * max(columns, 1))
