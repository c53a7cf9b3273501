"""What a calibration means, to be read before it is used: per column and window.

Pure: job's profile and calibration in, rows of a table out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from drift_exporter.calibration.calibrating import History
from drift_exporter.checking.job import Job
from drift_exporter.statistics.agreement import smallest_agreed_shift
from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.calibration import (
    FEWEST_WINDOWS,
    LEAST_HISTORY_DAYS,
    Episode,
    Shortage,
)
from drift_exporter.statistics.null_law import noise_floor
from drift_exporter.statistics.power import smallest_psi
from drift_exporter.statistics.timeline import evaluation_ends
from drift_exporter.verdicts.limits import TWO_BINS_EFFECT, Compared
from drift_exporter.verdicts.promise import series_name
from drift_exporter.verdicts.scoring import kept_bins
from drift_exporter.verdicts.verdict import Floats, Integers

TOO_NOISY_SHIFT = 1.0
"""A column of which not even a shift by one standard deviation is found is too noisy alone."""

TIMES_THE_USUAL = 5.0
"""So many times the usual PSI may have been an incident; the largest noise of weeks is three."""

LEGEND = (
    "shift found after: the smallest shift of the mean, in standard deviations, that is over the "
    "threshold\nso long after it began, nine times in ten; all windows must agree, and an older "
    "window holds old rows too"
)
"""Stands under the table."""


@dataclass(frozen=True)
class WindowPower:
    """What a window of usual size says of a column."""

    window: str
    threshold: float
    """PSI from which the verdict is warning; NaN where the window is never judged."""

    smallest_shift: float
    """Smallest shift of the mean, in standard deviations, with which all windows of the model are
    over their thresholds once it lasts as long as this one; infinite where none suffices."""


@dataclass(frozen=True)
class ColumnPower:
    """What the calibration says of one column."""

    column: str
    omega: float
    """Natural variation of PSI between windows of the leading length."""

    alarms_per_90_days: float
    """False alarms that the column alone is expected to make."""

    rhythm: bool
    """Whether hours of the day differ so much that they are compared one by one."""

    constant: bool
    """Whether the reference has a single value, so that no shift can be told."""

    windows: tuple[WindowPower, ...]

    @property
    def judged(self) -> bool:
        """Whether a usual window has rows enough for a threshold."""
        return any(not np.isnan(w.threshold) for w in self.windows)

    @property
    def too_noisy(self) -> bool:
        """Whether not even a shift by a standard deviation is found: not to be monitored alone."""
        found = any(w.smallest_shift <= TOO_NOISY_SHIFT for w in self.windows)
        return self.judged and not self.constant and not found

    @property
    def note(self) -> str:
        """What a person should know of the column."""
        said = "too noisy alone" if self.too_noisy else ""
        if self.constant:
            said = "constant"
        elif not self.judged:
            said = "too few rows"
        return ", ".join(part for part in (said, "daily rhythm" if self.rhythm else "") if part)


def usual_rows(history: History, window_seconds: float) -> int:
    """Rows of a usual window: the rows of the history, spread over its slices."""
    return round(_rows(history) * window_seconds / max(history.end - history.start, 1))


def _rows(history: History) -> int:
    job = history.job
    layout = job.profile.layout
    sums = job.store.sum_slices(
        job.model.name,
        job.profile.bins_hash,
        job.model.slice_seconds,
        history.start,
        history.end,
        segment_by="",
    )
    return layout.rows(sums.get(("", ""), layout.zeros()))


def powers(job: Job, history: History) -> list[ColumnPower]:
    """What the calibration in force says of every column whose PSI is calibrated."""
    profile, promise = job.profile, job.promise
    reference = job.reference
    leading = {series_name(one.name): one for one in promise.leading.series}
    sizes = {w.text: usual_rows(history, w.seconds) for w in job.model.windows}
    limits, wanted = {}, {}
    for window, rows in sizes.items():
        bins = _usual_bins(job, rows)
        n = np.full(len(profile.features), float(rows))
        compared = Compared(bins, n, reference.rows)
        thresholds = job.limits.of_window(compared, reference.rates, job.naturals[window])
        limit = thresholds.get(("psi", "warning"), np.full(n.shape, np.nan))
        limits[window] = np.where(n >= job.model.min_rows, limit, np.nan)
        omega = job.naturals[window].omega.get("psi", np.zeros(n.shape))
        wanted[window] = smallest_psi(limits[window], bins, n, reference.rows, omega=omega)
    shifts = _agreed_shifts(job, wanted)
    # The leading one: a shorter one that is never judged has no alarms.
    window = promise.leading_window
    alarms = _alarms(job, limits[window], sizes[window])
    return [
        ColumnPower(
            column=feature.name,
            omega=one.omega,
            alarms_per_90_days=float(alarms[i]),
            rhythm=one.baseline is Kind.SLOTS,
            constant=int(np.count_nonzero(reference.bins[i])) < 2,
            windows=tuple(
                WindowPower(window, float(limits[window][i]), float(shifts[i, at]))
                for at, window in enumerate(sizes)
            ),
        )
        for i, feature in enumerate(profile.features)
        for name, one in leading.items()
        if name.statistic == "psi" and name.column == feature.name
    ]


def _agreed_shifts(job: Job, wanted: dict[str, Floats]) -> Floats:
    """Smallest shift of each column that all windows find, ``(columns, windows)``: after each
    window's length."""
    lengths = np.array([window.seconds for window in job.model.windows])
    value_bins = job.reference.value_bins
    return smallest_agreed_shift(
        np.column_stack([wanted[window.text] for window in job.model.windows]),
        value_bins,
        job.reference.rows - value_bins.sum(axis=1),
        np.minimum(lengths[:, np.newaxis] / lengths, 1.0),
    )


def _usual_bins(job: Job, rows: int) -> Integers:
    """Bins that a window of so many rows compares: few rows leave its thin bins pooled."""
    counts, layout = job.reference.counts, job.profile.layout
    window = np.rint(counts * (rows / max(layout.rows(counts), 1))).astype(np.int64)
    return kept_bins(counts, window, layout)[1]


def _alarms(job: Job, limit: Floats, rows: int) -> Floats:
    """False alarms of each column in 90 days at its threshold."""
    leading, profile = job.promise.leading, job.profile
    at = profile.layout.index
    names = [series_name(one.name) for one in leading.series]
    values = np.full(len(names), np.nan)
    bins = np.full(len(names), 2)
    reference_rows = np.ones(len(names))
    kept = _usual_bins(job, rows)
    for j, name in enumerate(names):
        if name.statistic == "psi" and name.column in at:
            i = at[name.column]
            values[j], bins[j], reference_rows[j] = limit[i], kept[i], job.reference.rows[i]
    expected = leading.false_alarms_per_90_days(values, bins, float(rows), reference_rows)
    by_column = np.full(len(profile.features), np.nan)
    for j, name in enumerate(names):
        if name.statistic == "psi" and name.column in at:
            by_column[at[name.column]] = expected[j]
    return by_column


def summary(job: Job, history: History) -> list[str]:
    """What the calibration is, in a few lines."""
    promise, leading = job.promise, job.promise.leading
    why = f" ({leading.reason.replace('_', ' ')})" if leading.reason else ""
    lines = [
        f"model {job.model.name}: thresholds by {leading.method}{why}, "
        f"{leading.history_days:.1f} days of history, {promise.budget_per_90_days:g} false "
        f"alarm(s) in 90 days allowed, alpha 1e-{leading.neg_log10_alpha:.1f}",
    ]
    if leading.reason is Shortage.TOO_FEW_WINDOWS:
        days = leading.rule.window_seconds * FEWEST_WINDOWS / 86_400
        lines.append(
            "  natural variation is measured on few windows, and its tail is assumed: lengthen "
            f"calibration.history to {days:.0f} days, or choose shorter windows"
        )
    elif leading.reason is Shortage.TOO_FEW_EPISODES:
        evaluations = len(evaluation_ends(history.timeline, leading.rule))
        lines.append(
            f"  independent rows are assumed: {evaluations} evaluations have too few alarm-like "
            "episodes; lengthen calibration.history"
        )
    elif leading.reason and leading.history_days >= LEAST_HISTORY_DAYS:
        lines.append(
            "  independent rows are assumed: no window of the history has the rows to be judged "
            f"(min_rows {job.model.min_rows})"
        )
    elif leading.reason:
        lines.append(
            "  independent rows are assumed until there are 14 days of history: run in the shadow "
            "of fixed thresholds, then calibrate again"
        )
    segments = promise.leading_segments
    if segments is not None and (segments.method, segments.reason) != (
        leading.method,
        leading.reason,
    ):
        told = f" ({segments.reason.replace('_', ' ')})" if segments.reason else ""
        lines.append(f"  segments: thresholds by {segments.method}{told}")
    if promise.self_test is not None:
        test = promise.self_test
        lines.append(
            f"  self-test: {test.alarms_per_90_days:.1f} alarm(s) in 90 days on "
            f"{test.history_days:.1f} days of the model's own past; false, unless something "
            "drifted then that calibration.exclude does not name"
        )
    for episode in leading.episodes:
        name = series_name(episode.series)
        width = job.model.slice_seconds
        first = history.start + (episode.first_slice + 1) * width
        advice = "; exclude it if it was an incident" if _is_large(job, history, episode) else ""
        lines.append(
            f"  most surprising: {name.column} ({name.statistic}) from {_time(first)}, PSI "
            f"{episode.psi:.3f}{advice}"
        )
    return lines


def _is_large(job: Job, history: History, episode: Episode) -> bool:
    """Whether an episode is worth a look: an effect that matters, well above what is usual."""
    leading, name = job.promise.leading, series_name(episode.series)
    effect = job.model.min_effect(name.column)
    rows = usual_rows(history, leading.rule.window_seconds)
    bins = _usual_bins(job, rows)[job.profile.layout.index[name.column]]
    if name.statistic != "psi":
        bins, effect = np.int64(2), min(effect, TWO_BINS_EFFECT)
    omega = next(one.omega for one in leading.series if one.name == episode.series)
    usual = float(noise_floor(bins, rows, max(_rows(history), 1))) + omega
    return episode.psi > max(effect, TIMES_THE_USUAL * usual)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%MZ")


def table(found: list[ColumnPower]) -> list[list[str]]:
    """The columns as rows of text, the header first."""
    if not found:
        return []
    windows = [w.window for w in found[0].windows]
    header = [
        "column",
        *(f"threshold {w}" for w in windows),
        "false alarms in 90 d",
        *(f"shift found after {w}" for w in windows),
        "note",
    ]
    rows = [header]
    for column in found:
        rows.append(
            [
                column.column,
                *(_number(w.threshold, ".3f") for w in column.windows),
                _number(column.alarms_per_90_days, ".2g"),
                *(_shift(w.smallest_shift) for w in column.windows),
                column.note,
            ]
        )
    return rows


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)


def _shift(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.2f} sd" if np.isfinite(value) else "none"
