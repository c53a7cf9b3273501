"""What a calibration means, to be read before it is used: per column and window.

Pure: job's profile and calibration in, rows of a table out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from drift_exporter.calibrating import History
from drift_exporter.job import Job
from drift_exporter.limits import Compared
from drift_exporter.promise import series_name
from drift_exporter.scoring import kept_bins
from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.power import smallest_psi, smallest_shift
from drift_exporter.verdict import Floats, Integers

TOO_NOISY_SHIFT = 1.0
"""A column of which not even a shift by one standard deviation is found is too noisy alone."""


@dataclass(frozen=True)
class WindowPower:
    """What a window of usual size says of a column."""

    window: str
    threshold: float
    """PSI from which the verdict is warning; NaN where the window is never judged."""

    smallest_psi: float
    """Smallest drift that is found in nine windows of ten."""

    smallest_shift: float
    """The same as a shift of the mean, in standard deviations; infinite where none suffices."""


@dataclass(frozen=True)
class ColumnPower:
    """What the calibration says of one column."""

    column: str
    omega: float
    """Natural variation of PSI between windows of the shortest length."""

    alarms_per_90_days: float
    """False alarms that the column alone is expected to make."""

    rhythm: bool
    """Whether hours of the day differ so much that they are compared one by one."""

    windows: tuple[WindowPower, ...]

    @property
    def too_noisy(self) -> bool:
        """Whether no window finds a shift by a standard deviation: not to be monitored alone."""
        return all(not w.smallest_shift <= TOO_NOISY_SHIFT for w in self.windows)


def usual_rows(history: History, window_seconds: float) -> int:
    """Rows of a usual window: the rows of the history, spread over its slices."""
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
    rows = layout.rows(sums.get(("", ""), layout.zeros()))
    return round(rows * window_seconds / max(history.end - history.start, 1))


def powers(job: Job, history: History) -> list[ColumnPower]:
    """What the calibration in force says of every column whose PSI is calibrated."""
    profile, promise = job.profile, job.promise
    reference = job.reference
    leading = {series_name(one.name): one for one in promise.leading.series}
    sizes = {w.text: usual_rows(history, w.seconds) for w in job.model.windows}
    found: dict[str, list[WindowPower]] = {}
    limits = {}
    for window, rows in sizes.items():
        bins = _usual_bins(job, rows)
        n = np.full(len(profile.features), float(rows))
        compared = Compared(bins, n, reference.rows)
        thresholds = job.limits.of_window(compared, reference.rates, job.naturals[window])
        limit = thresholds.get(("psi", "warning"), np.full(n.shape, np.nan))
        limit = np.where(n >= job.model.min_rows, limit, np.nan)
        limits[window] = limit
        least = smallest_psi(limit, bins, n, reference.rows)
        for i, feature in enumerate(profile.features):
            shares = job.bins_of(reference.bins, i).astype(np.float64)
            shift = (
                float(smallest_shift(limit[i], n[i], reference.rows[i], shares))
                if np.isfinite(limit[i]) and np.count_nonzero(shares) > 1
                else np.nan
            )
            found.setdefault(feature.name, []).append(
                WindowPower(window, float(limit[i]), float(least[i]), shift)
            )
    shortest = min(job.model.windows).text
    alarms = _alarms(job, limits[shortest], sizes[shortest])
    return [
        ColumnPower(
            column=feature.name,
            omega=one.omega,
            alarms_per_90_days=float(alarms[i]),
            rhythm=one.baseline is Kind.SLOTS,
            windows=tuple(found[feature.name]),
        )
        for i, feature in enumerate(profile.features)
        for name, one in leading.items()
        if name.statistic == "psi" and name.column == feature.name
    ]


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
    if leading.reason:
        lines.append(
            "  independent rows are assumed until there are 14 days of history: run in the shadow "
            "of fixed thresholds, then calibrate again"
        )
    if promise.self_test is not None:
        test = promise.self_test
        lines.append(
            f"  self-test: {test.alarms_per_90_days:.1f} false alarm(s) in 90 days on "
            f"{test.history_days:.1f} days of the model's own past"
        )
    for episode in leading.episodes:
        name = series_name(episode.series)
        width = job.model.slice_seconds
        first = history.start + (episode.first_slice + 1) * width
        lines.append(
            f"  most surprising: {name.column} ({name.statistic}) from {_time(first)}, PSI "
            f"{episode.psi:.3f}; exclude it if it was an incident"
        )
    return lines


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
        *(f"found within {w}" for w in windows),
        "note",
    ]
    rows = [header]
    for column in found:
        note = "too noisy alone" if column.too_noisy else ""
        if column.rhythm:
            note = f"{note}, daily rhythm".strip(", ")
        rows.append(
            [
                column.column,
                *(_number(w.threshold, ".3f") for w in column.windows),
                _number(column.alarms_per_90_days, ".2g"),
                *(_shift(w.smallest_shift) for w in column.windows),
                note,
            ]
        )
    return rows


def _number(value: float, form: str) -> str:
    return "-" if np.isnan(value) else format(value, form)


def _shift(value: float) -> str:
    if np.isnan(value):
        return "-"
    return f"{value:.2f} sd" if np.isfinite(value) else "nothing"
