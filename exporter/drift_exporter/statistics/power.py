"""What a threshold lets through: the smallest drift that is found nearly always.

Pure: numbers in, numbers out. Knows no counts, features or history.
"""

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from drift_exporter.statistics.null_law import noise_floor, quantile
from drift_exporter.statistics.pairs import Floats

NUMERIC_SHARES = (0.01, 0.09, *(0.1,) * 8, 0.09, 0.01)
"""Shares of the bins of a numeric feature without atoms: deciles and tails of 1 %."""

_LARGEST_SHIFT = 8.0
_BISECTIONS = 50


def smallest_psi(
    threshold: npt.ArrayLike,
    bins: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    power: float = 0.9,
    omega: npt.ArrayLike = 0.0,
) -> Floats:
    """Smallest true PSI with which so large a share of windows is above the threshold.

    With a true PSI of ``d`` the measured one is ``v`` times a noncentral chi-square of ``bins - 1``
    degrees and noncentrality ``d / v``, ``v = 1 / rows + 1 / reference_rows``. Natural variation
    may work against the drift: with some it is the law of `null_law.quantile` around ``d``
    (statistics 3.1).

    Parameters
    ----------
    threshold
        In nats, as from `null_law.threshold`.
    bins, rows, reference_rows
        As for `null_law.noise_floor`.
    power
        Share of the windows, above 0 and below 1.
    omega
        As for `null_law.quantile`.

    Returns
    -------
    ndarray
        In nats, of the broadcast shape; NaN with fewer than 2 bins or without rows.
    """
    limit, k, n, m, varies, floor = np.broadcast_arrays(
        np.asarray(threshold, dtype=np.float64),
        *(np.asarray(side, dtype=np.float64) for side in (bins, rows, reference_rows, omega)),
        noise_floor(bins, rows, reference_rows),
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = floor / (k - 1)
        scaled = limit / noise
        centre = special.chndtrinc(scaled, k - 1, 1 - power)
    # Below the threshold's own quantile no drift is needed to be above it so often.
    always = special.gammaincc((k - 1) / 2, scaled / 2) >= power
    found: Floats = np.where(always, 0.0, centre * noise)
    if (varies > 0).any():
        found = np.where(varies > 0, _psi_against(limit, (k, n, m, varies), noise, power), found)
    return np.where(np.isnan(scaled), np.nan, found)


def _psi_against(
    limit: Floats, law: tuple[Floats, Floats, Floats, Floats], noise: Floats, power: float
) -> Floats:
    """Return the smallest PSI around which so large a share of the law is above the limit."""
    # Nearly normal in the root: thirteen deviations are more than any power asks.
    low, high = np.zeros(limit.shape), 2 * limit + 350 * (noise + law[3])
    low_enough = quantile(power, *law, 0.0) >= limit
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = quantile(power, *law, np.nan_to_num(middle)) >= limit
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    found: Floats = np.where(low_enough, 0.0, high)
    return found


def smallest_shift(
    threshold: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    shares: npt.ArrayLike = NUMERIC_SHARES,
    power: float = 0.9,
) -> Floats:
    """Smallest shift of the mean, in standard deviations, that is above the threshold so often.

    Of a normal feature in bins of the given shares; of categories, of a normal latent variable
    behind them in the order given.

    Parameters
    ----------
    threshold, rows, reference_rows, power
        As for `smallest_psi`.
    shares
        Shares of the reference per bin, shape ``(bins,)``; empty bins are left out.

    Returns
    -------
    ndarray
        From 0, of the broadcast shape. Infinite where not even 8 standard deviations suffice, NaN
        with fewer than 2 bins or without rows.

    Examples
    --------
    >>> float(smallest_shift(0.0799, 1000, 20_000).round(2))
    0.31
    """
    q = np.asarray(shares, dtype=np.float64)
    q = q[q > 0] / q.sum()
    wanted = smallest_psi(threshold, len(q), rows, reference_rows, power)
    edges = stats.norm.ppf(np.cumsum(q)[:-1])
    low, high = np.zeros(wanted.shape), np.full(wanted.shape, _LARGEST_SHIFT)
    reached = _shifted_psi(high, q, edges) >= wanted
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = _shifted_psi(middle, q, edges) >= wanted
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    shift: Floats = np.where(reached, high, np.inf)
    return np.where(np.isnan(wanted), np.nan, shift)


def _shifted_psi(shift: Floats, q: Floats, edges: Floats) -> Floats:
    """Return the PSI of a standard normal variable that is moved by so much."""
    below = special.ndtr(edges - shift[..., np.newaxis])
    above = np.concatenate([below, np.ones((*shift.shape, 1))], axis=-1)
    p = np.maximum(np.diff(above, axis=-1, prepend=0.0), np.finfo(np.float64).tiny)
    psi: Floats = np.sum((p - q) * np.log(p / q), axis=-1)
    return psi
