"""A series through its own past: how far its windows lie apart, and how surprising each was.

Pure: counts per slice in, scores per evaluation out. Knows time as the position of a slice, its
slot and its day; no clock. Knows one series at a time: what several of them do together is the
matter of `calibration`.
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.baselines import SLOTS, Kind, psi_against_shares
from drift_exporter.statistics.null_law import neg_log10_p, noise_floor
from drift_exporter.statistics.pairs import Counts, Floats, StatisticsError, checked_counts, shares
from drift_exporter.statistics.rate_law import RATE_TOLERANCE
from drift_exporter.statistics.timeline import Mask, Rule, Series, Timeline, evaluation_ends

OUTLIER_SURPRISE = 7.0
"""A window of p < 1e-7 is an incident and tells nothing of the usual variation,"""

MOST_OUTLIERS = 0.03
"""but at most this share of the windows can be incidents: the rest is how the model is."""

SLOTS_MUST_CUT = 0.10
"""Slots are used where they cut the mean excess PSI by more than this share of it."""

_SLOTS_MUST_CUT_ERRORS = 3.0
_MOST_UNCOMPARED = 0.02
_QUARTERS = 4
_MOST_TRIMS = 10

# What running sums leave where nothing was added, as a share.
_NOTHING = 1e-9

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, eq=False)
class Replay:
    """A series through its history."""

    omega: float
    baseline: Kind
    windows: int
    """Windows without overlap that omega was measured on."""

    psi: Floats
    """Shape ``(evaluations,)``; NaN where not evaluable."""

    surprise: Floats
    """``-log10 p`` with an omega that did not see the window, 0 where not evaluable."""

    bins: Counts
    rows: Floats
    reference_rows: Floats
    """What each evaluation compared."""

    share: Floats
    """Share of the last bin, of a rate what is counted; NaN where not evaluable."""

    reference_share: Floats


def prefers_slots(series: Series, timeline: Timeline, rule: Rule) -> bool | None:
    """Whether a series is better compared slot by slot; None where too few windows tell.

    Raises
    ------
    StatisticsError
        If the counts are not integers of that shape, or window or step are not whole slices.
    """
    counts, apart = _usable(series, timeline), _apart(timeline, rule)
    plain = _compare(series, counts, np.zeros_like(timeline.slots), timeline, rule, apart)
    if np.count_nonzero(plain.evaluable) < SLOTS:
        return None
    slotted = _compare(series, counts, timeline.slots, timeline, rule, apart)
    return _slots_are_better(plain, slotted)


def replay(series: Series, timeline: Timeline, rule: Rule) -> Replay:
    """Evaluate a series over its own history, each window against the history without its day.

    Parameters
    ----------
    series
        What is replayed; its counts have one row per slice of the timeline.
    timeline, rule
        When the slices were, and how windows are made of them.

    Returns
    -------
    Replay
        With the baseline that leaves less excess PSI, and the scores of `evaluation_ends`.
        A series that is constant or has too few rows is never surprising; its omega is 0.

    Raises
    ------
    StatisticsError
        If the counts are not integers of that shape, or window or step are not whole slices.
    """
    counts = _usable(series, timeline)
    ends, apart = evaluation_ends(timeline, rule), _apart(timeline, rule)
    whole = np.zeros_like(timeline.slots)
    slots, kind = whole, Kind.GLOBAL
    windows = _compare(series, counts, whole, timeline, rule, apart)
    if series.reference is None and series.slotted is not False:
        slotted = _compare(series, counts, timeline.slots, timeline, rule, apart)
        if series.slotted or _slots_are_better(windows, slotted):
            windows, slots, kind = slotted, timeline.slots, Kind.SLOTS
    every = _compare(series, counts, slots, timeline, rule, ends)
    surprise = _cross_fitted(every, windows)
    if series.rate:
        surprise = np.where(every.rise > RATE_TOLERANCE, surprise, 0.0)
    measured = windows.evaluable
    share = np.where(np.isnan(every.psi), np.nan, every.share)
    return Replay(
        omega=windows.omega(measured),
        baseline=kind,
        windows=int(np.count_nonzero(measured)),
        psi=every.psi,
        surprise=surprise,
        bins=every.bins,
        rows=every.rows,
        reference_rows=every.reference_rows,
        share=share,
        reference_share=share - every.rise,
    )


def _usable(series: Series, timeline: Timeline) -> Counts:
    """Counts of a series, shape ``(slices, bins)``, without what is excluded."""
    counts = checked_counts(f"series {series.name!r}", series.counts)
    if counts.ndim != 2 or counts.shape[0] != len(timeline.slots):
        raise StatisticsError(
            f"series {series.name!r}: found counts of shape {counts.shape}; "
            f"pass one row of bins for each of the {len(timeline.slots)} slices"
        )
    return np.where(timeline.used[:, np.newaxis], counts, 0)


def _apart(timeline: Timeline, rule: Rule) -> Counts:
    """Ends of windows that do not overlap."""
    ends = evaluation_ends(timeline, rule)
    return ends[:: max(1, rule.window_seconds // rule.step_seconds)]


@dataclass(frozen=True, eq=False)
class _Compared:
    """Windows against their baselines; NaN where a window is not evaluable."""

    psi: Floats
    bins: Counts
    rows: Floats
    reference_rows: Floats
    share: Floats
    rise: Floats

    @property
    def evaluable(self) -> Mask:
        return ~np.isnan(self.psi)

    @property
    def excess(self) -> Floats:
        return self.psi - noise_floor(self.bins, self.rows, self.reference_rows)

    def surprise(self, of: Mask, omega: float) -> Floats:
        return neg_log10_p(
            self.psi[of], self.bins[of], self.rows[of], self.reference_rows[of], omega
        )

    def omega(self, of: Mask) -> float:
        """Mean excess PSI of evaluable windows, without incidents."""
        excess = self.excess[of]
        if not len(excess):
            return 0.0
        most = int(MOST_OUTLIERS * len(excess))
        omega, dropped = max(0.0, float(excess.mean())), 0
        # An incident raises omega and so hides itself and others: measure, drop, measure again.
        for _ in range(_MOST_TRIMS):
            surprise = self.surprise(of, omega)
            outliers = np.flatnonzero(surprise > OUTLIER_SURPRISE)
            if min(len(outliers), most) == dropped:
                break
            outliers = outliers[np.argsort(-surprise[outliers], kind="stable")][:most]
            omega, dropped = max(0.0, float(np.delete(excess, outliers).mean())), len(outliers)
        return omega


def _compare(
    series: Series,
    counts: Counts,
    slots: Counts,
    timeline: Timeline,
    rule: Rule,
    ends: Counts,
) -> _Compared:
    width = rule.window_seconds // timeline.slice_seconds
    windows = _window_sums(counts, width, ends)
    n = windows.sum(axis=-1)
    if series.reference is None:
        q, m = _own_baselines(counts, slots, timeline.days, width, ends)
    else:
        reference = checked_counts(f"reference of series {series.name!r}", series.reference)
        q, m = shares(reference), np.full(n.shape, float(reference.sum()))
    psi, bins = psi_against_shares(q, m, windows)
    holes = _window_sums((~timeline.used)[:, np.newaxis].astype(np.int64), width, ends)[:, 0]
    evaluable = (n >= rule.min_rows) & (bins >= 2) & (holes == 0)
    last = windows[:, -1:].sum(axis=-1)
    share = np.divide(last, n, out=np.zeros(n.shape), where=n > 0)
    rise = share - q[..., -1:].sum(axis=-1)
    rows = n.astype(np.float64)
    return _Compared(np.where(evaluable, psi, np.nan), bins, rows, m, share, rise)


def _own_baselines(
    counts: Counts, slots: Counts, days: Counts, width: int, ends: Counts
) -> tuple[Floats, Floats]:
    """Return the baseline of each window, mixed from its slices' slots, and its rows.

    Each slice is compared with the other days only, so a window over midnight leaves out two. The
    rows are 0 where a slot of the window has no other day.
    """
    _, day = np.unique(days, return_inverse=True)
    per_day = np.zeros(
        (int(slots.max(initial=0)) + 1, int(day.max(initial=0)) + 1, counts.shape[1])
    )
    np.add.at(per_day, (slots, day), counts)
    others = per_day.sum(axis=1, keepdims=True) - per_day
    others_rows = others.sum(axis=-1)
    known = others_rows > 0
    own = np.divide(
        others,
        others_rows[..., np.newaxis],
        out=np.zeros(others.shape),
        where=known[..., np.newaxis],
    )
    rows = counts.sum(axis=-1)
    lacking = (rows > 0) & ~known[slots, day]
    per_row = np.divide(
        rows, others_rows[slots, day], out=np.zeros(rows.shape), where=~lacking & (rows > 0)
    )
    sums = _window_sums(
        np.column_stack([own[slots, day] * rows[:, np.newaxis], per_row, lacking, rows]),
        width,
        ends,
    )
    mixed, worth, lack, n = sums[:, :-3], sums[:, -3], sums[:, -2], sums[:, -1]
    q = np.divide(mixed, n[:, np.newaxis], out=np.zeros(mixed.shape), where=n[:, np.newaxis] > 0.5)
    m = np.divide(n, worth, out=np.zeros(n.shape), where=(lack < 0.5) & (worth > 0))
    return np.where(q > _NOTHING, q, 0.0), m


def _window_sums(values: npt.NDArray[Number], width: int, ends: Counts) -> npt.NDArray[Number]:
    total = np.concatenate([np.zeros_like(values[:1]), values])
    np.cumsum(total, axis=0, out=total)
    sums: npt.NDArray[Number] = total[ends + 1] - total[ends + 1 - width]
    return sums


def _slots_are_better(plain: _Compared, slotted: _Compared) -> bool:
    both = plain.evaluable & slotted.evaluable
    windows = np.count_nonzero(both)
    if windows < SLOTS or windows < (1 - _MOST_UNCOMPARED) * np.count_nonzero(plain.evaluable):
        return False
    before = plain.excess[both]
    cut = before - slotted.excess[both]
    mean, error = float(cut.mean()), float(cut.std()) / math.sqrt(windows)
    # Without any rhythm both are 0 but for noise, and a tenth of noise is easily cut.
    return mean > SLOTS_MUST_CUT * float(before.mean()) and mean > _SLOTS_MUST_CUT_ERRORS * error


def _cross_fitted(every: _Compared, windows: _Compared) -> Floats:
    """Return the surprise of each evaluation under the omega of the other three quarters."""
    surprise = np.zeros(len(every.psi))
    quarter, quarter_apart = (_quarters(len(one.psi)) for one in (every, windows))
    for i in range(_QUARTERS):
        omega = windows.omega(windows.evaluable & (quarter_apart != i))
        of = every.evaluable & (quarter == i)
        surprise[of] = every.surprise(of, omega)
    return surprise


def _quarters(evaluations: int) -> Counts:
    return np.arange(evaluations, dtype=np.int64) * _QUARTERS // max(evaluations, 1)
