"""What a calibration looks back on: slices in the order of time, series, and the rule.

Pure: knows time as the position of a slice, its slot and its day; no clock, no statistic.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.baselines import slot_of
from drift_exporter.statistics.pairs import Counts, StatisticsError

DAY_SECONDS = 86_400

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Rule:
    """How the alarm is evaluated; a calibration holds for exactly this rule."""

    window_seconds: int = 3600
    step_seconds: int = 300
    """Time from one evaluation to the next."""

    for_seconds: int = 1800
    """How long the score stays above its threshold before the alarm fires."""

    keep_firing_seconds: int = 3600
    """How long it goes on firing after that; alarms closer than this are one."""

    budget_per_90_days: float = 1.0
    """False pages of one model in 90 days."""

    min_rows: int = 100
    """Fewest rows of a window that is judged."""

    @property
    def evaluations(self) -> int:
        """Evaluations in a row that are surely above the threshold when the alarm fires."""
        return self.for_seconds // self.step_seconds + 1


@dataclass(frozen=True, eq=False)
class Timeline:
    """The slices of a history: all of one length, without a gap, in the order of time."""

    slots: Counts
    """Slot of each slice, shape ``(slices,)``."""

    days: Counts
    """Number of the day of each slice, any origin, shape ``(slices,)``."""

    slice_seconds: int = 300
    excluded: Mask | None = None
    """Slices that are not history: a known incident. None: all are."""

    empty: Mask | None = None
    """Slices of days without a single row: a window may reach into them, but they say nothing of
    how often a model alarms."""

    @classmethod
    def of(
        cls,
        start_seconds: int,
        slices: int,
        slice_seconds: int = 300,
        *,
        utc_offset_seconds: int = 0,
        excluded: Sequence[tuple[int, int]] = (),
        with_rows: Sequence[int] | None = None,
    ) -> "Timeline":
        """The timeline that starts at a time (seconds since the epoch).

        Slices that touch an excluded span ``[start, end)`` of event time are not history. Where
        the starts of the slices with rows are given, days without any are not counted.
        """
        starts = start_seconds + slice_seconds * np.arange(slices, dtype=np.int64)
        out = np.zeros(slices, dtype=np.bool_)
        for start, end in excluded:
            out |= (starts < end) & (starts + slice_seconds > start)
        slots = slot_of(starts, utc_offset_seconds)
        days = (starts + utc_offset_seconds) // DAY_SECONDS
        empty = None
        if with_rows is not None:
            seen = (np.asarray(with_rows, dtype=np.int64) + utc_offset_seconds) // DAY_SECONDS
            empty = ~np.isin(days, seen)
        return cls(slots, days, slice_seconds, out, empty)

    @property
    def used(self) -> Mask:
        """Slices that are history."""
        every = np.ones(self.slots.shape, dtype=np.bool_)
        return every if self.excluded is None else ~self.excluded

    @property
    def history_days(self) -> float:
        """Length of the history without what is excluded and without empty days."""
        told = self.used if self.empty is None else self.used & ~self.empty
        return float(np.count_nonzero(told)) * self.slice_seconds / DAY_SECONDS


@dataclass(frozen=True, eq=False)
class Series:
    """Rows per slice and bin of one thing that can alarm."""

    name: str
    counts: npt.NDArray[np.integer]
    """Shape ``(slices, bins)``; of a rate two bins, the second one being what is counted."""

    rate: bool = False
    """Only a rise of the second bin, of more than a percentage point, can alarm."""

    reference: npt.NDArray[np.integer] | None = None
    """Rows per bin of a reference that is not this history. None: the history itself, each
    window without its own day."""

    slotted: bool | None = None
    """Whether the history is compared slot by slot. None: where that is better."""


def evaluation_ends(timeline: Timeline, rule: Rule) -> Counts:
    """Position of the last slice of each evaluated window.

    Raises
    ------
    StatisticsError
        If window or step are not whole slices.
    """
    for name, seconds in (("window", rule.window_seconds), ("step", rule.step_seconds)):
        if seconds <= 0 or seconds % timeline.slice_seconds:
            raise StatisticsError(
                f"{name}: found {seconds} seconds; "
                f"choose a multiple of the slice of {timeline.slice_seconds} seconds"
            )
    first = rule.window_seconds // timeline.slice_seconds - 1
    step = rule.step_seconds // timeline.slice_seconds
    return np.arange(first, len(timeline.slots), step, dtype=np.int64)
