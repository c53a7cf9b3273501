"""From a model's own history to the one number that its thresholds need: ``alpha``.

Pure: histories in, a `Calibration` out. Knows no config, clock, store or metric.

All series of a model, its rates included, share one budget of false pages. Each is replayed over
the history through the rule that will be alerted on (`history`); the largest surprise that any of
them held is one series per model, which carries the dependence between features, the overlap of
windows and ``for`` [1]_. The tail of its episodes (`tail`) says which surprise is reached as often
as the budget allows: that is ``alpha``. From it `null_law.threshold` follows for any window.

References
----------
.. [1] Westfall, Young, "Resampling-based multiple testing", Wiley, 1993 (the max-statistic).
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.history import replay
from drift_exporter.statistics.null_law import neg_log10_p
from drift_exporter.statistics.pairs import Floats, StatisticsError
from drift_exporter.statistics.tail import (
    Tail,
    analytic_tail,
    episodes,
    fitted_tail,
    held,
    with_error_of_omega,
)
from drift_exporter.statistics.timeline import Rule, Series, Timeline, evaluation_ends

LEAST_HISTORY_DAYS = 14.0
"""History from which a calibration is one of history; 28 days are better."""

FEWEST_WINDOWS = 20
"""Windows without overlap from which a tail is believed: a history of fewer cannot have so many
episodes that are independent."""

FEW_WINDOWS = 100
"""With fewer the tail of the history is short of its largest values, and alpha is at most that of
independent windows with the error of omega."""

EPISODES_SHOWN = 3
"""Largest episodes of the history that are reported: an incident among them can be excluded."""


class Method(StrEnum):
    """Where ``alpha`` comes from."""

    HISTORY = "history"
    ANALYTIC = "analytic"


class Shortage(StrEnum):
    """Why a history was not used."""

    NO_HISTORY = "no_history"
    HISTORY_TOO_SHORT = "history_too_short"
    TOO_FEW_EPISODES = "too_few_episodes"
    TOO_MANY_SERIES = "too_many_series"
    TOO_FEW_WINDOWS = "too_few_windows"


@dataclass(frozen=True)
class SeriesCalibration:
    """What the history says of one series."""

    name: str
    omega: float = 0.0
    """Mean PSI between its windows beyond sampling noise."""

    baseline: Kind = Kind.GLOBAL
    windows: int = 0
    """Windows without overlap that ``omega`` was measured on."""


@dataclass(frozen=True)
class Episode:
    """A stretch of the history in which a series was surprising for as long as ``for``."""

    series: str
    """The one that was most surprising."""

    first_slice: int
    last_slice: int
    """Slices that its windows end with, when the alarm would have fired first and last."""

    neg_log10_p: float
    psi: float
    """At the peak."""


@dataclass(frozen=True)
class Calibration:
    """What turns the rows of any window into thresholds, and where it comes from."""

    alpha: float
    method: Method
    history_days: float
    rule: Rule
    tail: Tail
    series: tuple[SeriesCalibration, ...]
    reason: Shortage | None = None
    """Why the method is analytic, where it is."""

    episodes: tuple[Episode, ...] = ()
    """The largest of the history, the largest first."""

    @property
    def measured(self) -> bool:
        """Whether natural variation was, so that a drift that is part of the past would hide."""
        return self.method is Method.HISTORY or any(one.windows for one in self.series)

    @property
    def neg_log10_alpha(self) -> float:
        """The surprise that is drift."""
        return -math.log10(self.alpha)

    def false_alarms_per_90_days(
        self,
        threshold: npt.ArrayLike,
        bins: npt.ArrayLike,
        rows: npt.ArrayLike,
        reference_rows: npt.ArrayLike,
    ) -> Floats:
        """False alarms of each series in 90 days under thresholds of any origin.

        Parameters
        ----------
        threshold
            PSI above which a series alarms once it was held for the rule's ``for``.
        bins, rows, reference_rows
            Of a usual window, as for `null_law.quantile`.

        Returns
        -------
        ndarray
            Shape ``(series,)``, in the order of `series`; a model's pages are at most the sum.
            Each is the mean over the series of what the history's tail says of that surprise, so
            those with the most variation have more. An estimate within a factor of 3 where windows
            have about these rows; below the level from which the tail was measured a lower bound.
            NaN where there is nothing to compare.
        """
        omega = np.array([one.omega for one in self.series])
        surprise = neg_log10_p(threshold, bins, rows, reference_rows, omega)
        alarms: Floats = self.tail.pages_per_90_days(surprise) / max(len(self.series), 1)
        return alarms

    def to_json(self) -> str:
        """The calibration as text, from which `from_json` makes an equal one."""
        return json.dumps(asdict(self), indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Calibration":
        """The calibration that was written by `to_json`.

        Raises
        ------
        StatisticsError
            If the text is not a calibration.
        """
        try:
            return _read(json.loads(text))
        except (KeyError, TypeError, ValueError) as error:
            raise StatisticsError(
                f"calibration: cannot be read ({type(error).__name__}: {error}); calibrate again"
            ) from error


def calibrate(
    series: Iterable[Series], timeline: Timeline, rule: Rule, *, number: int = 0
) -> Calibration:
    """Find the ``alpha`` with which the model pages falsely as often as its budget allows.

    Parameters
    ----------
    series
        Every series that can page, features and rates; taken one at a time, so a generator keeps
        only one in memory.
    timeline
        The slices of the history, those of an incident excluded.
    rule
        How the alarm is evaluated, and the budget.
    number
        Series that can page, where that may be more than the history has: what the analytic form
        counts on.

    Returns
    -------
    Calibration
        By history where it has 14 days, 20 windows without overlap and enough episodes, else
        analytic with the reason: independent rows and the whole reference as baseline; every
        ``omega`` 0 where there were no 14 days to measure it.

    Raises
    ------
    StatisticsError
        If counts do not fit the timeline, the window is not made of whole slices, or the budget
        is not above 0.
    """
    days = timeline.history_days
    ends = evaluation_ends(timeline, rule)
    if days < LEAST_HISTORY_DAYS:
        reason = Shortage.HISTORY_TOO_SHORT if days > 0 else Shortage.NO_HISTORY
        names = [one.name for one in series]
        return analytic(names, rule, number=number, history_days=days, reason=reason)
    largest = np.zeros(len(ends))
    leader = np.full(len(ends), -1)
    leader_psi = np.full(len(ends), np.nan)
    found: list[SeriesCalibration] = []
    for one in series:
        past = replay(one, timeline, rule)
        surprise = held(past.surprise, rule.evaluations)
        leads = surprise > largest
        largest[leads] = surprise[leads]
        leader[leads] = len(found)
        leader_psi[leads] = past.psi[leads]
        found.append(SeriesCalibration(one.name, past.omega, past.baseline, past.windows))
    gap = rule.keep_firing_seconds // rule.step_seconds
    windows = max((one.windows for one in found), default=0)
    tail = fitted_tail(largest, days, gap)
    if tail is None or windows < FEWEST_WINDOWS:
        few = windows < FEWEST_WINDOWS
        short = Shortage.TOO_FEW_WINDOWS if few else Shortage.TOO_FEW_EPISODES
        short = short if windows else Shortage.NO_HISTORY
        names = [s.name for s in found]
        guess = analytic(names, rule, number=number, history_days=days, reason=short)
        # The variation was measured all the same, and without it a past that depends on itself
        # would alarm all the time.
        alpha = min(guess.alpha, _of_few_windows(windows, rule, max(number, len(found))))
        return replace(guess, alpha=alpha, series=tuple(found))
    spans = sorted(episodes(largest, tail.level, gap), key=lambda span: -largest[span.peak])
    return Calibration(
        alpha=min(
            10 ** -tail.surprise_for(rule.budget_per_90_days),
            _of_few_windows(windows, rule, max(number, len(found))),
        ),
        method=Method.HISTORY,
        history_days=days,
        rule=rule,
        tail=tail,
        series=tuple(found),
        episodes=tuple(
            Episode(
                found[leader[span.peak]].name,
                int(ends[span.first]),
                int(ends[span.last]),
                float(largest[span.peak]),
                float(leader_psi[span.peak]),
            )
            for span in spans[:EPISODES_SHOWN]
        ),
    )


def _of_few_windows(windows: int, rule: Rule, series: int) -> float:
    """The largest alpha that an omega of so many windows allows."""
    if not 0 < windows < FEW_WINDOWS:
        return 1.0
    tail = analytic_tail(rule.for_seconds, series)
    return 10 ** -with_error_of_omega(tail.surprise_for(rule.budget_per_90_days), windows)


def analytic(
    names: Sequence[str],
    rule: Rule,
    *,
    number: int = 0,
    history_days: float = 0.0,
    reason: Shortage = Shortage.NO_HISTORY,
) -> Calibration:
    """The calibration of independent rows, for lack of a usable history.

    It holds where rows are independent and have no rhythm; run it in the shadow of a fixed
    threshold until there are 14 days. ``number`` is how many series can page, where that may be
    more than are named.
    """
    tail = analytic_tail(rule.for_seconds, max(number, len(names)))
    return Calibration(
        alpha=10 ** -tail.surprise_for(rule.budget_per_90_days),
        method=Method.ANALYTIC,
        history_days=history_days,
        rule=rule,
        tail=tail,
        series=tuple(SeriesCalibration(name) for name in names),
        reason=reason,
    )


def _read(value: dict[str, Any]) -> Calibration:
    return Calibration(
        alpha=float(value["alpha"]),
        method=Method(value["method"]),
        history_days=float(value["history_days"]),
        rule=Rule(**value["rule"]),
        tail=Tail(**value["tail"]),
        series=tuple(
            SeriesCalibration(**{**one, "baseline": Kind(one["baseline"])})
            for one in value["series"]
        ),
        reason=None if value["reason"] is None else Shortage(value["reason"]),
        episodes=tuple(Episode(**one) for one in value["episodes"]),
    )
