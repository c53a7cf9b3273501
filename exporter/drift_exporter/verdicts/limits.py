"""From which score a severity holds in one window: fixed numbers, and what was calibrated.

Pure: counts of rows in, thresholds out. Calibrated thresholds follow the rows of the window
(statistics 3.1); knows neither history nor how ``alpha`` was found.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drift_exporter.config import CAN_BE_CALIBRATED, RATES, SEVERITIES, STATISTICS, ModelConfig
from drift_exporter.statistics.null_law import (
    DEFAULT_DELTA,
    DEFAULT_FLOOR,
    neg_log10_p,
    noise_floor,
    threshold,
)
from drift_exporter.statistics.rate_law import rate_threshold
from drift_exporter.verdicts.verdict import Floats, Integers

CRITICAL_TIMES = 5.0
"""A drift of this many times the smallest effect is critical: PSI 0.25 by default."""

TWO_BINS_EFFECT = 0.02
"""Smallest effect of a column of two bins: its PSI stays small (30 to 40 % is 0.044)."""

DELTA_SHARE = DEFAULT_DELTA / DEFAULT_FLOOR
"""The true PSI that is tolerated, as a share of the smallest effect, at most `DEFAULT_DELTA`."""


@dataclass(frozen=True)
class Natural:
    """What calibration knows of the columns of one window."""

    alpha: float
    """Probability of a false alarm in one evaluation of one series."""

    omega: Mapping[str, Floats]
    """Natural variation by statistic, each ``(features,)``; one that is not there is 0."""

    segments_alpha: float | None = None
    """The same of one series of a segment; None: as of a column."""

    segments_omega: Mapping[tuple[str, str], Floats] = field(default_factory=dict)
    """By segment column and segment; one that is not there varies as all rows do."""

    def of_segment(self, by: str, segment: str) -> "Natural":
        """The same of the columns of a segment."""
        alpha = self.alpha if self.segments_alpha is None else self.segments_alpha
        omega = self.segments_omega.get((by, segment), self.omega.get("psi"))
        return Natural(alpha, {} if omega is None else {"psi": omega})


@dataclass(frozen=True)
class Compared:
    """How much a window and its reference have to compare, each ``(features,)``."""

    bins: Integers
    rows: Integers | Floats
    reference_rows: Integers | Floats


@dataclass(frozen=True)
class Noise:
    """PSI of a window against what it would be without drift, each ``(features,)``."""

    floor: Floats
    """PSI that sampling alone makes; NaN where thresholds are not calibrated."""

    surprise: Floats
    """``-log10`` of the p-value; NaN where there is none."""


class Limits:
    """The thresholds of a model's columns."""

    def __init__(self, model: ModelConfig, columns: tuple[str, ...]) -> None:
        self._fixed = {
            (statistic, severity): np.array(
                [model.threshold(c, statistic, severity) or np.nan for c in columns]
            )
            for statistic in STATISTICS
            for severity in SEVERITIES
        }
        self._calibrated = {
            statistic: np.array([model.calibrated(c, statistic) for c in columns], dtype=np.bool_)
            for statistic in CAN_BE_CALIBRATED
        }
        self._effect = np.array([model.min_effect(c) for c in columns])
        self._own_effect = np.array(
            [model.features.settings(c).min_effect is not None for c in columns], dtype=np.bool_
        )

    @property
    def any_calibrated(self) -> bool:
        """Whether any threshold follows the rows of the window."""
        return any(mask.any() for mask in self._calibrated.values())

    @property
    def psi_calibrated(self) -> bool:
        """Whether that is so of any PSI, and with it of the segments."""
        return bool(self._calibrated["psi"].any())

    def of_window(
        self, compared: Compared, shares: Mapping[str, Floats], natural: Natural
    ) -> dict[tuple[str, str], Floats]:
        """Thresholds by statistic and severity, each ``(features,)``; NaN where there is none.

        Parameters
        ----------
        compared
            What is compared in this window.
        shares
            Shares of missing, unseen and out-of-range rows of the reference.
        natural
            The calibration.
        """
        found = {}
        for (statistic, severity), fixed in self._fixed.items():
            values = fixed + shares[statistic] if statistic in RATES else fixed.copy()
            mask = self._calibrated.get(statistic)
            if mask is not None and mask.any():
                omega = natural.omega.get(statistic)
                values[mask] = self._natural(
                    statistic, severity, compared, shares, natural.alpha, omega
                )[mask]
            if not np.isnan(values).all():
                found[statistic, severity] = values
        return found

    def of_segment(
        self, by: str, segment: str, compared: Compared, natural: Natural
    ) -> dict[str, Floats]:
        """Thresholds of a segment's PSI by severity; NaN where they are not calibrated."""
        own = natural.of_segment(by, segment)
        omega = own.omega.get("psi")
        return {
            severity: np.where(
                self._calibrated["psi"], self._psi(severity, compared, own.alpha, omega), np.nan
            )
            for severity in SEVERITIES
        }

    def noise(self, psi: Floats, compared: Compared, natural: Natural) -> Noise:
        """How surprising the PSI of each column is."""
        sizes = (compared.bins, compared.rows, compared.reference_rows)
        mask = self._calibrated["psi"]
        omega = _or_zeros(natural.omega.get("psi"), psi)
        return Noise(
            np.where(mask, noise_floor(*sizes), np.nan),
            np.where(mask, neg_log10_p(psi, *sizes, omega), np.nan),
        )

    def over(
        self,
        statistic: str,
        at: int,
        psi: Floats,
        share: Floats,
        reference_share: Floats,
        compared: Compared,
        natural: Natural,
    ) -> NDArray[np.bool_]:
        """Which of many windows of one column are over the calibrated warning threshold.

        Parameters
        ----------
        statistic
            One of ``config.CAN_BE_CALIBRATED``.
        at
            Position of the column.
        psi
            PSI of the windows, ``(windows,)``, NaN where not evaluable; of a rate over two bins.
        share, reference_share
            Of a rate, plain shares of the windows and of what they are compared with.
        compared
            Sizes of the windows, each ``(windows,)``.
        natural
            The calibration.
        """
        of_column = natural.omega.get(statistic)
        omega = np.full(psi.shape, 0.0 if of_column is None else of_column[at])
        if statistic == "psi":
            least = self._least_effect(compared, at)
            limit = _psi_threshold("warning", least, compared, natural.alpha, omega)
            value = psi
        else:
            sizes = (compared.rows, compared.reference_rows)
            limit = rate_threshold(natural.alpha, reference_share, *sizes, omega)
            value = np.where(np.isnan(psi), np.nan, share)
        with np.errstate(invalid="ignore"):
            above: NDArray[np.bool_] = value > limit
        return above

    def _natural(
        self,
        statistic: str,
        severity: str,
        compared: Compared,
        shares: Mapping[str, Floats],
        alpha: float,
        omega: Floats | None,
    ) -> Floats:
        if statistic == "psi":
            return self._psi(severity, compared, alpha, omega)
        if severity != "warning":  # a share that rose is a fault: how far it rose is no worse one
            return np.full(compared.rows.shape, np.nan)
        share = shares[statistic]
        known = ~np.isnan(share)
        limit: Floats = rate_threshold(
            alpha,
            np.where(known, share, 0.0),
            compared.rows,
            compared.reference_rows,
            _or_zeros(omega, share),
        )
        return np.where(known, limit, np.nan)

    def _psi(self, severity: str, compared: Compared, alpha: float, omega: Floats | None) -> Floats:
        least = self._least_effect(compared)
        return _psi_threshold(severity, least, compared, alpha, _or_zeros(omega, least))

    def _least_effect(self, compared: Compared, at: int | slice = slice(None)) -> Floats:
        effect, own = self._effect[at], self._own_effect[at]
        low = np.minimum(effect, TWO_BINS_EFFECT)
        least: Floats = np.where(~own & (compared.bins <= 2), low, effect)
        return least


def _psi_threshold(
    severity: str, least: Floats, compared: Compared, alpha: float, omega: Floats
) -> Floats:
    sizes = (compared.bins, compared.rows, compared.reference_rows)
    delta = np.minimum(least * DELTA_SHARE, DEFAULT_DELTA)
    warning: Floats = threshold(alpha, *sizes, omega, delta, least)
    if severity == "warning":
        return warning
    limit: Floats = threshold(alpha, *sizes, omega, delta, least * CRITICAL_TIMES)
    # Without an effect that matters, critical is what is as far again from the noise.
    return np.where(least > 0, limit, 2 * warning)


def _or_zeros(omega: Floats | None, like: Floats) -> Floats:
    return np.zeros(like.shape) if omega is None else omega
