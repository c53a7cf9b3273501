"""Rows to counts: which rows, into which slices and segments, feature by feature.

Knows event time, slices and segments; knows no file and no format.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.profile import MISSING_SEGMENT, OTHER_SEGMENT, Profile, SegmentColumn
from drift_exporter.reading.arrow_texts import texts
from drift_exporter.reading.arrow_values import places, text_array
from drift_exporter.reading.binning import Binner
from drift_exporter.reading.event_time import (
    MICROSECONDS,
    NO_TIME,
    Micros,
    in_sample,
)
from drift_exporter.reading.found import Choice, Found, added
from drift_exporter.reading.rows import Rows, Wanted, check
from drift_exporter.reading.slots import Slots, rows_per_slot, slots_of
from drift_exporter.reading.source import SAMPLE_PRIME, Stop
from drift_exporter.reading.times import event_times

BEYOND_BYTES = 32 * 2**20
"""Counts beyond the end of a span are made too, to be kept, while they take no more memory."""

MAX_TABLE = 2**20
"""Slices between the first and the last up to which a table is faster than a search."""

Codes = NDArray[np.int32]


class _Way(NamedTuple):
    """One way to share rows out: by slice, or by slice and the values of a column."""

    slots: Slots
    keys: list[SliceKey]
    matrix: Vector


class Counter:
    """Counts rows on a profile."""

    def __init__(
        self,
        profile: Profile,
        binners: Mapping[str, Binner],
        timestamp: str,
        choice: Choice,
        stop: Stop,
    ) -> None:
        self._layout = profile.layout
        self._binners = binners
        self._names = [feature.name for feature in profile.features]
        self._segments = [_Segments(segment) for segment in profile.segments]
        self._timestamp = timestamp
        self._choice = choice
        self.stop = stop
        numeric = {f.name for f in profile.features if f.kind == "numeric"}
        self.wanted = Wanted(
            timestamp=timestamp if choice.by_time else None,
            numeric=frozenset(numeric),
            text=frozenset(set(self._names) - numeric | {s.name for s in profile.segments}),
        )

    def add(self, found: Found, rows: Rows) -> None:
        """Count rows into ``found``."""
        check(self.stop)
        found.rows += rows.rows
        found.reject("parse", rows.unparsed)
        if rows.rows == 0:
            return
        codes, starts = self._slices(found, rows)
        if not starts:
            return
        ways = self._ways(rows, codes, starts)
        self._features(rows, ways)
        for way in ways:
            counted = np.flatnonzero(rows_per_slot(way.slots))
            added(found.slices, {way.keys[slot]: way.matrix[slot] for slot in counted.tolist()})
        if self._segments:
            self._sum_segments(found, ways[0])

    def _slices(self, found: Found, rows: Rows) -> tuple[Codes, list[int]]:
        """The slice of each row, -1 where it is not counted, and where the slices start."""
        choice = self._choice
        if not choice.by_time:
            return np.zeros(rows.rows, dtype=np.int32), [0]
        micros = event_times(rows, self._timestamp)
        there = micros != NO_TIME
        found.reject("timestamp", rows.rows - int(np.count_nonzero(there)))
        if not there.any():
            return np.empty(0, dtype=np.int32), []
        found.newest = max(found.newest, int(micros.max()))
        chosen = there
        if choice.now is not None:
            chosen = self._come(found, micros, there, choice.now)
        if choice.start is not None:
            chosen = chosen & (micros >= choice.start)
        if choice.sample < SAMPLE_PRIME:
            chosen = chosen & in_sample(micros, choice.sample)
        return self._slice_codes(found, micros, chosen)

    def _come(
        self, found: Found, micros: Micros, there: NDArray[np.bool_], now: int
    ) -> NDArray[np.bool_]:
        """Rows whose time has come; the others are noted."""
        come = there & (micros < now)
        later = int(np.count_nonzero(there)) - int(np.count_nonzero(come))
        found.reject("future", later)
        if later:
            oldest = int(micros[micros >= now].min())
            found.future = oldest if found.future is None else min(found.future, oldest)
        if later < len(micros):
            newest = int(micros.max() if not later else micros[micros < now].max(initial=NO_TIME))
            found.newest_counted = max(found.newest_counted, newest)
        return come

    def _slice_codes(
        self, found: Found, micros: Micros, chosen: NDArray[np.bool_]
    ) -> tuple[Codes, list[int]]:
        choice = self._choice
        if choice.width is None:
            if choice.stop is not None:
                chosen = chosen & (micros < choice.stop)
            return np.where(chosen, 0, -1).astype(np.int32), [0] if chosen.any() else []
        present, codes = _numbered(micros, choice.width, chosen)
        stop = choice.stop
        if stop is not None and present.size and present[-1] * choice.width >= stop:
            per_slice = self._layout.size * 8 * (1 + sum(s.codes for s in self._segments))
            beyond = int(np.count_nonzero(present * choice.width >= stop))
            if beyond * per_slice > BEYOND_BYTES:
                found.complete = False
                chosen = chosen & (micros < stop)
                present = present[present * choice.width < stop]
        if not present.size:
            return np.empty(0, dtype=np.int32), []
        if not chosen.all():
            codes = np.where(chosen, codes, np.int32(-1))
        seconds = choice.width // MICROSECONDS
        return codes, [int(number) * seconds for number in present]

    def _ways(self, rows: Rows, codes: Codes, starts: Sequence[int]) -> list[_Way]:
        if not self._segments:
            return [self._way(codes, [SliceKey(start) for start in starts])]
        return [
            self._way(
                np.where(codes >= 0, codes * np.int32(segment.codes) + segment.of(rows), -1),
                [SliceKey(start, segment.name, value) for start in starts for value in segment.all],
            )
            for segment in self._segments
        ]

    def _way(self, codes: NDArray[np.integer], keys: list[SliceKey]) -> _Way:
        """A way with only the slots that have rows."""
        rows = np.bincount(codes + 1, minlength=len(keys) + 1)[1:]
        used = np.flatnonzero(rows)
        dense = np.full(len(keys) + 1, -1, dtype=np.int32)
        dense[used] = np.arange(len(used), dtype=np.int32)
        slots = slots_of(
            codes.astype(np.int32) if len(used) == len(keys) else dense[codes], len(used)
        )
        matrix = np.zeros((len(used), self._layout.size), dtype=np.int64)
        return _Way(slots, [keys[i] for i in used.tolist()], matrix)

    def _features(self, rows: Rows, ways: Sequence[_Way]) -> None:
        whole = [way.slots for way in ways]
        parts = {(0, rows.rows): whole}
        for batch in rows.batches([name for name in self._names if name in rows.names]):
            check(self.stop)
            for name, array in batch.columns.items():
                at = (batch.first, len(array))
                if at not in parts:
                    parts[at] = [slots.part(*at) for slots in whole]
                binner = self._binners[name]
                binner.count(
                    self._views(name, ways), array, parts[at], batch.absent.get(name), rows.loose
                )
        for name in self._names:
            if name not in rows.names:
                self._binners[name].count_absent(self._views(name, ways), whole)

    def _views(self, name: str, ways: Sequence[_Way]) -> list[Vector]:
        feature = self._layout.index[name]
        first, stop = self._layout.offsets[feature : feature + 2]
        return [way.matrix[:, first:stop] for way in ways]

    def _sum_segments(self, found: Found, way: _Way) -> None:
        """All rows of a slice are the sum over the values of any one column."""
        for key, vector in zip(way.keys, way.matrix, strict=True):
            added(found.slices, {SliceKey(key.start): vector})


class _Segments:
    """The segment of each row by one column."""

    def __init__(self, column: SegmentColumn) -> None:
        self.name = column.name
        self.all = (*column.values, OTHER_SEGMENT, MISSING_SEGMENT)
        self.codes = len(self.all)
        self._values = text_array(column.values)

    def of(self, rows: Rows) -> Codes:
        """The number of each row's segment."""
        missing = self.codes - 1
        found = np.full(rows.rows, missing, dtype=np.int32)
        for batch in rows.batches([self.name]):
            if self.name not in batch.columns:
                continue
            codes, words = texts(batch.columns[self.name], loose=rows.loose)
            table = np.append(places(words, self._values), np.int32(missing))
            found[batch.first : batch.first + len(codes)] = table[codes]
        return found


def _numbered(micros: Micros, width: int, chosen: NDArray[np.bool_]) -> tuple[Micros, Codes]:
    """The slices that chosen rows lie in, in order, and which of them each row lies in.

    Of a row that is not chosen the place says nothing.
    """
    whole = bool(chosen.all())
    if whole and (micros[1:] >= micros[:-1]).all():
        first, last = int(micros[0]) // width, int(micros[-1]) // width
        if last - first < min(len(micros), MAX_TABLE):
            numbers = np.arange(first, last + 1, dtype=np.int64)
            bounds = np.searchsorted(micros, numbers * width)
            rows = np.diff(bounds, append=len(micros))
            present = numbers[rows > 0]
            return present, np.repeat(np.arange(len(present), dtype=np.int32), rows[rows > 0])
    numbers = micros // width
    present = _distinct(numbers if whole else numbers[chosen])
    return present, _places(present, numbers) if present.size else np.empty(0, dtype=np.int32)


def _distinct(numbers: Micros) -> Micros:
    """The distinct numbers in order; of sorted ones without sorting them again."""
    if numbers.size == 0:
        return numbers
    changes = numbers[np.append(True, numbers[1:] != numbers[:-1])]
    return np.unique(changes)


def _places(present: Micros, numbers: Micros) -> Codes:
    """Where each number stands among those present; anything for one that is not."""
    span = int(present[-1] - present[0]) + 1
    if span > MAX_TABLE:
        found: Codes = np.searchsorted(present, numbers).astype(np.int32)
        return found
    table = np.zeros(span, dtype=np.int32)
    table[present - present[0]] = np.arange(len(present), dtype=np.int32)
    taken: Codes = np.take(table, numbers - present[0], mode="clip")
    return taken
