"""What to count, and what was counted: the words of counting.

Knows no file, no array and no bins.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.reading.event_time import NO_TIME
from drift_exporter.reading.source import SAMPLE_PRIME


class Choice(NamedTuple):
    """Which rows are counted, and how wide their slices are; times in microseconds."""

    start: int | None = None
    stop: int | None = None
    now: int | None = None
    """Rows from then on have not come yet."""

    width: int | None = None
    """Width of a slice; without one all rows are in one slice that starts at 0."""

    sample: int = SAMPLE_PRIME

    @property
    def by_time(self) -> bool:
        """Whether event time matters at all."""
        return self != Choice()


@dataclass
class Found:
    """What was counted of a part."""

    slices: dict[SliceKey, Vector] = field(default_factory=dict)
    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    newest: int = NO_TIME
    """Newest event time, even if it has not come yet."""

    newest_counted: int = NO_TIME
    future: int | None = None
    """Oldest event time that has not come yet."""

    complete: bool = True
    """Whether all slices from the start on are counted, not only those of the span."""

    def reject(self, reason: str, rows: int) -> None:
        """Count refused rows."""
        if rows:
            self.rejected[reason] = self.rejected.get(reason, 0) + rows


def added(
    into: dict[SliceKey, Vector], slices: Mapping[SliceKey, NDArray[np.integer[Any]]]
) -> None:
    """Add the vectors of slices to those in ``into``."""
    for key, rows in slices.items():
        found = into.get(key)
        if found is None:
            into[key] = rows.astype(np.int64)
        else:
            found += rows
