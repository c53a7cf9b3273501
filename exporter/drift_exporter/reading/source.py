"""The one seam of reading: something that counts a span of event time on a profile.

Knows what every source promises; knows no engine. A contract test holds all sources to
the same integers.

Rules that all sources share:

- Event time is UTC. Naive times are UTC; integers are epoch seconds, milliseconds,
  microseconds or nanoseconds by their size (below 1e11, 1e14, 1e17, above); text is ISO 8601.
  A row whose time is missing or cannot be read is rejected (``timestamp``).
- A row at ``now`` or later is rejected (``future``) until its time has come.
- A category is text: booleans ``true`` and ``false``; whole numbers without a fraction (``1``,
  also for ``1.0``); dates and times in ISO 8601; text as it is, the empty text too.
  A number of a numeric feature is a float64; booleans are 0 and 1; dates and times are epoch
  seconds; text is parsed; text that is no number is ``unseen``; null and NaN are ``missing``.
- A column that a file or table lacks counts its rows as ``absent``.
- A segment is the category text of its column; values that the profile does not list are
  ``(other)``, null is ``(missing)``, a column that is absent gives ``(missing)`` too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.profile import CategorySketch, NumericSketch, Profile

ColumnKind = Literal["integer", "number", "boolean", "text", "time", "other"]
"""What a column holds, as far as inference of features needs it."""


class Column(NamedTuple):
    """A column of a source."""

    kind: ColumnKind
    dtype: str
    """Its type in the source's own words."""


class Span(NamedTuple):
    """A span of event time ``[start, end)`` in seconds since the epoch."""

    start: int
    end: int


@dataclass(frozen=True)
class Counted:
    """What a source counted in a span."""

    slices: Mapping[SliceKey, Vector]
    """Vectors of the slices that have rows: of all rows, and of each segment."""

    rows_read: int = 0
    """Rows that were decoded for this answer; what was counted before and kept is not read."""

    rows_rejected: Mapping[str, int] = field(default_factory=dict)
    """Rows refused among those read: ``timestamp``, ``parse``, ``future``."""


@dataclass(frozen=True)
class Sketches:
    """What a source tells of the reference before it is binned."""

    numeric: Mapping[str, NumericSketch]
    categorical: Mapping[str, CategorySketch]
    start: float | None = None
    end: float | None = None
    """First and last event time in seconds since the epoch, where there is a timestamp."""


Stop = Callable[[], bool]
"""Asked between pieces of work: whether the run was told to stop."""

Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1."""


class Source(Protocol):
    """Data that can be counted. One thread at a time uses a source."""

    def columns(self) -> Mapping[str, Column]:
        """The columns that the newest data has.

        Raises ``SourceError`` where there is nothing to read.
        """
        ...

    def sketch(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        between: tuple[float | None, float | None] = (None, None),
        progress: Progress = lambda _: None,
    ) -> Sketches:
        """Sketch columns over all rows, or over those between two event times.

        The timestamp column is only needed where ``between`` names a time.
        """
        ...

    def count_all(
        self,
        profile: Profile,
        between: tuple[float | None, float | None] = (None, None),
        progress: Progress = lambda _: None,
    ) -> Counted:
        """Count all rows into one slice that starts at 0; the timestamp as in ``sketch``."""
        ...

    def count(
        self, profile: Profile, span: Span, width: int, now: float, stop: Stop = lambda: False
    ) -> Counted:
        """Count the rows of a span per slice of ``width`` seconds, of all rows and by segment.

        ``span`` starts and ends on slices. The source was opened with the share of rows to
        sample. Raises ``SourceError`` where the data cannot be read, ``SchemaError`` where the
        timestamp column is not there, ``RunStoppedError`` where ``stop`` says so.
        """
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


SAMPLE_PRIME = 1_000_003


def sampled_microseconds(sample: float) -> int:
    """The bound below which a row belongs to the sample.

    A row of event time ``t`` (whole microseconds since the epoch) is counted when
    ``t % SAMPLE_PRIME * 7919 % SAMPLE_PRIME`` is below the bound: the same rows on every
    source and in every run. Rows of the same microsecond stay together.
    """
    return round(sample * SAMPLE_PRIME)
