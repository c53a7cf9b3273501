"""A model's past becomes its calibration, and the self-test of the one in force.

Knows job and stored slices; reads no source and writes nothing. All columns of a window are
calibrated together, its segments apart, each set with its part of the budget (statistics 3.3).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drift_exporter.checking.baseline import ALL_ROWS
from drift_exporter.checking.job import Job
from drift_exporter.config import RATES
from drift_exporter.counts import Layout
from drift_exporter.errors import CalibrationError
from drift_exporter.reading.source import Progress
from drift_exporter.statistics.calibration import Shortage, analytic, calibrate
from drift_exporter.statistics.history import Replay, prefers_slots, replay
from drift_exporter.statistics.pairs import StatisticsError
from drift_exporter.statistics.tail import episodes, held
from drift_exporter.statistics.timeline import Rule, Series, Timeline, evaluation_ends
from drift_exporter.verdicts.limits import Compared, Natural
from drift_exporter.verdicts.promise import (
    ModelCalibration,
    SelfTest,
    SeriesName,
    Settings,
    column_names,
    segment_names,
    series_name,
)

CELLS_AT_ONCE = 32_000_000
"""Counts that are in memory at once: 128 MB."""

MOST_SEGMENT_SERIES = 3000
"""With more, segments vary as all rows do, and alpha is that of so many independent series."""

DAY_SECONDS = 86_400
Counts = NDArray[np.int32]


@dataclass(frozen=True)
class History:
    """The stored slices of a model that a calibration looks at."""

    job: Job
    start: int
    end: int

    @cached_property
    def timeline(self) -> Timeline:
        """Its slices in the order of time; days without a row do not lengthen it."""
        job, width = self.job, self.job.model.slice_seconds
        with_rows = job.store.slice_starts(
            job.model.name, job.profile.bins_hash, width, self.start, self.end
        )
        return Timeline.of(
            self.start,
            self.slices,
            width,
            excluded=job.model.calibration.excluded,
            with_rows=with_rows,
        )

    @property
    def slices(self) -> int:
        """Number of slices."""
        return (self.end - self.start) // self.job.model.slice_seconds

    def counts(self, cells: slice, segment_by: str = "") -> dict[str, Counts]:
        """Rows per slice and cell, ``(slices, cells)``, of all rows, or by segment of a column."""
        job, width = self.job, self.job.model.slice_seconds
        found: dict[str, Counts] = {}
        for key, vector in job.store.read_slices(
            job.model.name,
            job.profile.bins_hash,
            width,
            self.start,
            self.end,
            segment_by=segment_by,
        ):
            if key.segment not in found:
                found[key.segment] = np.zeros((self.slices, cells.stop - cells.start), np.int32)
            found[key.segment][(key.start - self.start) // width] = vector[cells]
        return found


def history_of(job: Job, now: float) -> History:
    """The past that a calibration of a model looks at: what is stored, as far as configured."""
    known = job.store.counted(job.model.name, job.profile.bins_hash, job.model.slice_seconds)
    width = job.model.slice_seconds
    if known is None:
        end = int(now // width) * width
        return History(job, end, end)
    first = job.store.first_slice(job.model.name, job.profile.bins_hash, width)
    end = min(known[1], int(now)) // width * width
    # Before its first row a model had no past, however far back was looked.
    start = max(known[0], end - int(job.model.calibration.history.seconds))
    start = -(-max(start, end if first is None else first) // width) * width
    return History(job, min(start, end), end)


def calibrated(
    job: Job, history: History, now: float, progress: Progress = lambda _: None
) -> ModelCalibration:
    """Calibrate a model on a past.

    Returns
    -------
    ModelCalibration
        Analytic with its reason where the past is too short or too thin.

    Raises
    ------
    CalibrationError
        If the counts cannot be calibrated.
    StoreError
        If the slices cannot be read.
    """
    timeline = history.timeline
    told = _Told(progress, len(job.alert_rules) + len(job.segment_rules))
    number = len(segment_names(job.model, job.profile))
    try:
        slots = _by_slots(history)
        windows = {
            window: calibrate(told.each(_columns(history, slots), _number(job)), timeline, rule)
            for window, rule in job.alert_rules.items()
        }
        segments = {
            window: (
                calibrate(
                    told.each(_segments(history, slots), number), timeline, rule, number=number
                )
                if number <= MOST_SEGMENT_SERIES
                else analytic(
                    (),
                    rule,
                    number=number,
                    history_days=timeline.history_days,
                    reason=Shortage.TOO_MANY_SERIES,
                )
            )
            for window, rule in job.segment_rules.items()
        }
    except StatisticsError as error:
        raise CalibrationError(f"model {job.model.name!r}: {error}") from error
    progress(1.0)
    settings = Settings.of(job.model)
    return ModelCalibration(now, job.profile.bins_hash, windows, segments, settings=settings)


def self_tested(
    job: Job, history: History, now: float, *, in_sample: bool, progress: Progress = lambda _: None
) -> SelfTest | None:
    """Alarms that the thresholds in force make of a past in which windows meet each other.

    Each is false, but for a drift of then that nobody excluded: the promise, held against the
    model's data.
    None where there is less than a day.
    """
    timeline = history.timeline
    days = timeline.history_days
    if days < 1:
        return None
    promise = job.promise
    number = len(segment_names(job.model, job.profile))
    slots = job.slotted if job.baselines.seasonal else _none(job)
    tested = [(_columns(history, slots), _number(job), job.alert_rules, promise.leading_window)]
    leading = promise.leading_segments_window
    if leading is not None and job.segment_rules and number <= MOST_SEGMENT_SERIES:
        tested.append((_segments(history, slots), number, job.segment_rules, leading))
    told = _Told(progress, len(tested))
    alarms = 0
    try:
        for series, expected, rules, leading in tested:
            # The windows of a calibration that is outdated may be others than the model's.
            window = leading if leading in rules else min(job.model.windows).text
            alarms += _alarms(job, told.each(series, expected), timeline, rules[window], window)
    except StatisticsError as error:
        raise CalibrationError(f"model {job.model.name!r}: {error}") from error
    return SelfTest(now, alarms * 90 / days, days, in_sample)


def _alarms(job: Job, series: Iterator[Series], timeline: Timeline, rule: Rule, window: str) -> int:
    """Alarms of a set of series in a window of the past."""
    firing = np.zeros(len(evaluation_ends(timeline, rule)), dtype=np.bool_)
    for one in series:
        firing |= _fires(job, one, replay(one, timeline, rule), job.naturals[window], rule)
    gap = rule.keep_firing_seconds // rule.step_seconds
    return len(episodes(firing.astype(np.float64), 0.5, gap))


def _fires(
    job: Job, series: Series, past: Replay, natural: Natural, rule: Rule
) -> NDArray[np.bool_]:
    name = series_name(series.name)
    if name.segment_by:
        natural = natural.of_segment(name.segment_by, name.segment)
    usable = ~np.isnan(past.psi)
    rows = np.where(usable, past.rows, np.nan)
    over = job.limits.over(
        name.statistic,
        job.profile.layout.index[name.column],
        past.psi,
        past.share,
        np.where(usable, past.reference_share, 0.0).clip(0.0, 1.0),
        Compared(past.bins, rows, past.reference_rows),
        natural,
    )
    return held(over.astype(np.float64), rule.evaluations) > 0


def _number(job: Job) -> int:
    return len(column_names(job.model, job.profile))


def _none(job: Job) -> NDArray[np.bool_]:
    return np.zeros(len(job.profile.features), dtype=np.bool_)


def _by_slots(history: History) -> NDArray[np.bool_]:
    """Columns that are compared hour by hour, shape ``(columns,)``: all of a column's series.

    The PSI of the shortest window that can tell decides, as it leads: every window and every rate
    of the column is compared with the same rows.
    """
    job, layout = history.job, history.job.profile.layout
    slots = _none(job)
    if not job.baselines.seasonal:
        return slots
    rules = sorted(job.alert_rules.values(), key=lambda rule: rule.window_seconds)
    for features in _parts(layout, history.slices):
        cells = slice(layout.offsets[features.start], layout.offsets[features.stop])
        counts = history.counts(cells).get(ALL_ROWS[1])
        for i in range(features.start, features.stop):
            own = _cells(layout, i, cells.start, counts, history.slices)
            name = SeriesName("psi", job.profile.features[i].name)
            series = _series(layout, i, name, own, slotted=False)
            found = (prefers_slots(series, history.timeline, rule) for rule in rules)
            slots[i] = next((better for better in found if better is not None), False)
    return slots


def _columns(history: History, slots: NDArray[np.bool_]) -> Iterator[Series]:
    """The series of all rows, a few columns in memory at a time."""
    job, layout = history.job, history.job.profile.layout
    wanted = {str(name): name for name in column_names(job.model, job.profile)}
    by_column: dict[str, list[SeriesName]] = {}
    for name in wanted.values():
        by_column.setdefault(name.column, []).append(name)
    for features in _parts(layout, history.slices):
        cells = slice(layout.offsets[features.start], layout.offsets[features.stop])
        counts = history.counts(cells).get(ALL_ROWS[1])
        for i in range(features.start, features.stop):
            column = job.profile.features[i].name
            for name in by_column.get(column, ()):
                own = _cells(layout, i, cells.start, counts, history.slices)
                yield _series(layout, i, name, own, slotted=bool(slots[i]))


def _segments(history: History, slots: NDArray[np.bool_]) -> Iterator[Series]:
    job, layout = history.job, history.job.profile.layout
    for column in (s for s in job.profile.segments if job.model.is_segment(s.name)):
        of_each = len(column.values) + 2
        for features in _parts(layout, history.slices * of_each):
            cells = slice(layout.offsets[features.start], layout.offsets[features.stop])
            for segment, counts in history.counts(cells, column.name).items():
                for i in range(features.start, features.stop):
                    name = SeriesName("psi", job.profile.features[i].name, column.name, segment)
                    if job.model.calibrated(name.column, "psi"):
                        own = _cells(layout, i, cells.start, counts, history.slices)
                        yield _series(layout, i, name, own, slotted=bool(slots[i]))


def _parts(layout: Layout, slices: int) -> Iterator[range]:
    """Ranges of features whose counts fit into memory."""
    most = max(CELLS_AT_ONCE // max(slices, 1), 1)
    first = 0
    for i in range(1, len(layout.blocks) + 1):
        over = i < len(layout.blocks) and layout.offsets[i + 1] - layout.offsets[first] > most
        if over or i == len(layout.blocks):
            yield range(first, i)
            first = i


def _cells(
    layout: Layout, feature: int, first_cell: int, counts: Counts | None, slices: int
) -> Counts:
    block = layout.blocks[feature]
    if counts is None:
        return np.zeros((slices, block.cells), np.int32)
    start = layout.offsets[feature] - first_cell
    return counts[:, start : start + block.cells]


def _series(
    layout: Layout, feature: int, name: SeriesName, cells: Counts, *, slotted: bool
) -> Series:
    block = layout.blocks[feature]
    values, missing, unseen = (
        cells[:, : block.value_cells],
        cells[:, block.value_cells],
        cells[:, block.value_cells + 1],
    )
    if name.statistic not in RATES:
        bins = values
        if block.numeric:
            # The outer bins are open: what lies outside belongs to them.
            bins = values[:, 1:-1].copy()
            bins[:, 0] += values[:, 0]
            bins[:, -1] += values[:, -1]
        return Series(
            str(name), np.column_stack((bins, missing, unseen)).astype(np.int64), slotted=slotted
        )
    rows = values.sum(axis=1) + missing + unseen
    outside = values[:, 0] + values[:, -1] if block.numeric else np.zeros_like(missing)
    counted = {"missing_ratio": missing, "unseen_ratio": unseen, "out_of_range_ratio": outside}
    found = counted[name.statistic]
    return Series(
        str(name),
        np.column_stack((rows - found, found)).astype(np.int64),
        rate=True,
        slotted=slotted,
    )


class _Told:
    """Tells the share of the series that are done, over several passes."""

    def __init__(self, progress: Callable[[float], None], passes: int) -> None:
        self._progress = progress
        self._passes = max(passes, 1)
        self._done = 0

    def each(self, series: Iterator[Series], number: int) -> Iterator[Series]:
        for i, one in enumerate(series):
            yield one
            self._progress((self._done + min((i + 1) / max(number, 1), 1.0)) / self._passes)
        self._done += 1
