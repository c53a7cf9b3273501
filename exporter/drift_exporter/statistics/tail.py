"""How often surprise reaches a level: the tail of a model's own past, and levels for a budget.

Pure: the series of a model's largest surprise in, pages per 90 days out. Knows no feature.
"""

import math
from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from drift_exporter.statistics.null_law import SMALLEST_ALPHA
from drift_exporter.statistics.pairs import Floats, StatisticsError

PEAKS = 60
"""Episodes of the history that the tail is fitted to,"""

FEWEST_PEAKS = 20
"""the fewest with which it is fitted at all,"""

CENSORED = 3
"""and those of them of which only is known that they were large: an old incident must not set
the threshold of everything."""

LEAST_SURPRISE = 0.3
MOST_SURPRISE = -math.log10(SMALLEST_ALPHA)

# Averages of calibrated runs on independent rows: 50 series, windows of 1 h every 5 minutes.
_ANALYTIC_FOR_MINUTES = (0.0, 15.0, 30.0, 60.0)
_ANALYTIC_LEVEL = (6.2, 4.65, 3.7, 2.3)
_ANALYTIC_SCALE = (0.52, 0.42, 0.35, 0.23)
_ANALYTIC_SERIES = 50


@dataclass(frozen=True)
class Tail:
    """Episodes above a level and how fast they thin out above it.

    ``rate * (1 + (c - level) / (peaks * scale)) ** -peaks`` episodes per 90 days reach ``c``: the
    exponential tail of ``scale`` with the error of a scale estimated from so many peaks.
    """

    level: float
    scale: float
    rate_per_90_days: float
    """Episodes above the level."""

    peaks: int | None
    """Peaks that the scale was estimated from. None: the scale is known, the tail exponential."""

    def pages_per_90_days(self, surprise: npt.ArrayLike) -> Floats:
        """Episodes in 90 days that reach a surprise; below the level at least as many."""
        excess = np.maximum(np.asarray(surprise, dtype=np.float64) - self.level, 0.0) / self.scale
        if self.peaks is None:
            return np.asarray(self.rate_per_90_days * np.exp(-excess))
        return np.asarray(self.rate_per_90_days * (1 + excess / self.peaks) ** -self.peaks)

    def surprise_for(self, budget_per_90_days: float) -> float:
        """Surprise that so many episodes in 90 days reach, from 0.3 to 299.

        Raises
        ------
        StatisticsError
            If the budget is not above 0.
        """
        if not budget_per_90_days > 0:
            raise StatisticsError(
                f"budget: found {budget_per_90_days:g} false pages in 90 days; it must be above 0"
            )
        times = self.rate_per_90_days / budget_per_90_days
        if self.peaks is None:
            excess = math.log(times)
        else:
            excess = self.peaks * math.expm1(math.log(times) / self.peaks)
        return min(max(self.level + self.scale * excess, LEAST_SURPRISE), MOST_SURPRISE)


@dataclass(frozen=True)
class Span:
    """Positions ``[first, last]`` of an episode, and of its largest value."""

    first: int
    last: int
    peak: int


def held(surprise: Floats, evaluations: int) -> Floats:
    """The least surprise of the last so many evaluations: what an alert with ``for`` tests.

    Parameters
    ----------
    surprise
        Shape ``(evaluations,)``, in the order of time.
    evaluations
        Evaluations in a row that have to be above the threshold.

    Returns
    -------
    ndarray
        Of the same shape; 0 until there were so many.

    Examples
    --------
    >>> held(np.array([1.0, 3.0, 2.0, 5.0]), 2).tolist()
    [0.0, 1.0, 2.0, 2.0]
    """
    if evaluations <= 1:
        return surprise.copy()
    least = np.zeros(surprise.shape)
    if len(surprise) >= evaluations:
        windows = np.lib.stride_tricks.sliding_window_view(surprise, evaluations)
        least[evaluations - 1 :] = windows.min(axis=-1)
    return least


def episodes(values: Floats, level: float, gap: int) -> tuple[Span, ...]:
    """Runs of values above a level; those at most ``gap`` positions apart are one.

    Examples
    --------
    >>> [(e.first, e.last) for e in episodes(np.array([2.0, 0, 2, 0, 0, 0, 3]), 1.0, 2)]
    [(0, 2), (6, 6)]
    """
    above = np.flatnonzero(values > level)
    if not len(above):
        return ()
    parts = np.split(above, np.flatnonzero(np.diff(above) > gap) + 1)
    return tuple(
        Span(int(part[0]), int(part[-1]), int(part[np.argmax(values[part])])) for part in parts
    )


def fitted_tail(values: Floats, history_days: float, gap: int) -> Tail | None:
    """The tail of a history, or None where it has too few episodes or all are alike.

    The level is the highest above which there are 60 episodes (or as many as the history has, but
    at least 20). The three largest peaks are censored.

    Parameters
    ----------
    values
        Largest surprise that was held, per evaluation; not positive where there was none.
    history_days
        Length of the history.
    gap
        Evaluations between two episodes up to which they are one.
    """
    level = _level_with(values, PEAKS, gap)
    spans = episodes(values, level, gap)
    uncensored = len(spans) - CENSORED
    if len(spans) < FEWEST_PEAKS or history_days <= 0:
        return None
    excess = np.sort([values[span.peak] - level for span in spans])[:uncensored]
    scale = float(excess.sum() + CENSORED * excess[-1]) / uncensored
    if not scale > 0:
        return None
    return Tail(level, scale, len(spans) * 90 / history_days, uncensored)


def analytic_tail(for_seconds: float, series: int) -> Tail:
    """The tail of so many independent series of independent rows, for lack of a history.

    Measured for windows of 1 h every 5 minutes and ``for`` of 0, 15, 30 and 60 minutes; between
    these it is interpolated, beyond an hour that of an hour holds and is careful.
    """
    minutes = for_seconds / 60
    level = float(np.interp(minutes, _ANALYTIC_FOR_MINUTES, _ANALYTIC_LEVEL))
    scale = float(np.interp(minutes, _ANALYTIC_FOR_MINUTES, _ANALYTIC_SCALE))
    return Tail(level, scale, max(series, 1) / _ANALYTIC_SERIES, None)


def with_error_of_omega(surprise: float, windows: int) -> float:
    """The surprise that is as rare as another one, where omega is a mean over so many windows.

    Natural variation moves a window in one direction, by a normal law. With its variance estimated
    from few windows that is Student's law of one degree less, as the windows meet their own mean.

    Examples
    --------
    >>> [round(with_error_of_omega(3.56, n), 2) for n in (4, 28, 672)]
    [87.79, 4.53, 3.59]
    """
    # One window meets no other, so nothing was measured; with two or three a model would be blind.
    if windows < 2:
        return surprise
    deviations = special.stdtrit(max(windows - 1, 3), 10**-surprise / 2)
    as_normal = -float(special.log_ndtr(deviations) + math.log(2)) / math.log(10)
    return min(max(as_normal, surprise), MOST_SURPRISE)


def _level_with(values: Floats, count: int, gap: int) -> float:
    """Return the highest level with ``count`` episodes above it, or that with the most of them."""
    order = np.argsort(-values, kind="stable")
    order = order[values[order] > 0]
    above: list[int] = []
    found = most = 0
    level = best = 0.0
    for i, position in enumerate(order.tolist()):
        value = float(values[position])
        # Only between two values that differ is there a level with exactly those above it.
        if i and value < values[order[i - 1]]:
            level = value
            if found > most:
                most, best = found, level
            if found >= count:
                return level
        left = bisect_left(above, position)
        joins_left = left > 0 and position - above[left - 1] <= gap
        joins_right = left < len(above) and above[left] - position <= gap
        were_one = joins_left and joins_right and above[left] - above[left - 1] <= gap
        found += 1 - joins_left - joins_right + were_one
        insort(above, position)
    return 0.0 if found > most else best
