"""What is remembered of files between runs, so that each row is read once.

A part is rows that never change: a row group, a whole file, lines already complete. It
keeps the counts of its recent slices. All of it is a cache, never the truth.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.reading.event_time import NO_TIME
from drift_exporter.reading.found import Choice, Found, added
from drift_exporter.reading.source import Span

KEPT_BYTES = 64 * 2**20
"""Memory for kept counts; what does not fit is read again in each run."""


class Basis(NamedTuple):
    """What counts were counted on: the hash of the bins, and the width of a slice."""

    bins_hash: str
    width: int


@dataclass(frozen=True)
class Kept:
    """Counts of a part."""

    basis: Basis
    start: int
    """Slices from this one on are kept, in seconds since the epoch."""

    slices: Mapping[SliceKey, NDArray[np.int32]]
    newest: int
    """Newest event time counted, in microseconds."""

    future: int | None
    """Oldest event time that was not counted because it had not come yet."""

    def answers(self, basis: Basis, start: int, now: int) -> bool:
        """Whether reading the part again would find these counts."""
        return (
            self.basis == basis
            and self.start <= start
            and self.newest < now
            and (self.future is None or now <= self.future)
        )

    def since(self, start: int) -> "Kept":
        """What is kept of the slices from ``start`` on."""
        if start <= self.start:
            return self
        slices = {key: rows for key, rows in self.slices.items() if key.start >= start}
        return Kept(self.basis, start, slices, self.newest, self.future)

    @property
    def size(self) -> int:
        """Bytes that the counts take, about."""
        return sum(rows.nbytes + 200 for rows in self.slices.values())


@dataclass
class Part:
    """Rows that never change."""

    start: int
    stop: int | None = None
    """Where the part stands: row groups or bytes ``[start, stop)``; open while it is read."""

    newest: int | None = None
    """Newest event time in microseconds, nothing where it is not known."""

    kept: Kept | None = None


@dataclass
class FileState:
    """What is known of a file."""

    listed: bool = False
    """Whether the parts are all there is of an immutable file."""

    parts: list[Part] = field(default_factory=list)
    timed: bool | None = None
    """Whether rows have the timestamp column; nothing while there are no rows."""

    header: tuple[str, ...] | None = None
    """Columns of a CSV file."""

    body: int = 0
    """Where the rows of a text file start."""

    tail: bytes = b""
    """Digest of the bytes before the end of the last part, to see that it is the same file."""

    seen: tuple[int, int] | None = None
    """Size and time of change when the file was last looked at."""

    @property
    def end(self) -> int:
        """Where the last part of a text file ends."""
        return self.parts[-1].stop or 0 if self.parts else self.body


def compacted(parts: Iterable[Part], start: int) -> list[Part]:
    """Parts of a text file, those that ended before ``start`` (microseconds) merged into one."""
    merged: list[Part] = []
    for part in parts:
        old = part.newest is not None and part.newest < start
        last = merged[-1] if merged else None
        if old and last is not None and last.newest is not None and last.newest < start:
            newest = max(last.newest, part.newest or NO_TIME)
            merged[-1] = Part(last.start, part.stop, newest)
        else:
            merged.append(part)
    return merged


class Run:
    """One counting of a span: takes what is kept, and keeps what is read."""

    def __init__(self, span: Span, choice: Choice, basis: Basis) -> None:
        self.slices: dict[SliceKey, Vector] = {}
        self.rows = 0
        self.rejected: dict[str, int] = {}
        self.choice = choice
        self._span = span
        self._basis = basis
        self._now = choice.now or 0
        self._start = choice.start or 0
        self._kept_bytes = 0

    def take(self, part: Part) -> bool:
        """Whether a part need not be read: it ends before the span, or its counts are kept."""
        if part.newest is not None and part.newest < self._start:
            part.kept = None
            return True
        kept = part.kept
        if kept is None or not kept.answers(self._basis, self._span.start, self._now):
            part.kept = None
            return False
        part.kept = kept.since(self._span.start)
        self._kept_bytes += part.kept.size
        self._add(part.kept.slices)
        return True

    def put(self, part: Part, found: Found) -> None:
        """Add what was found in a part, and keep it as far as memory allows."""
        part.newest = found.newest
        self._add(found.slices)
        self.rows += found.rows
        for reason, rows in found.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + rows
        if not found.complete or found.newest < self._start:
            return
        size = sum(rows.size * 4 + 200 for rows in found.slices.values())
        if self._kept_bytes + size > KEPT_BYTES:
            return
        self._kept_bytes += size
        part.kept = Kept(
            self._basis,
            self._span.start,
            {key: rows.astype(np.int32) for key, rows in found.slices.items()},
            found.newest_counted,
            found.future,
        )

    def _add(self, slices: Mapping[SliceKey, NDArray[np.integer[Any]]]) -> None:
        end = self._span.end
        added(self.slices, {key: rows for key, rows in slices.items() if key.start < end})
