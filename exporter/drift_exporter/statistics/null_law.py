"""The law of PSI without drift: how large it gets from sampling and from usual variation.

Pure: numbers in, numbers out, for any shapes that broadcast. Knows neither counts nor features,
and not where ``alpha`` comes from (see `calibration`).

With ``v = 1 / rows + 1 / reference_rows`` and ``K`` bins, PSI is a sum of weighted chi-squares:
``K - 2`` directions of weight ``v`` (sampling) and one of weight ``v + omega`` (sampling and the
natural variation between windows), around a true PSI of ``delta``. Its first three cumulants are
matched by a shifted and scaled chi-square [1]_ [2]_, which is the law itself where ``omega`` and
``delta`` are 0. Where ``omega`` is some times ``v`` the match is too light: the real rate is up to
1.4 times a nominal 1e-3 and 3.7 times 1e-5, quantiles are short by up to a third at 1e-40. There it
orders windows, and the calibration on history, which uses the same law, takes the error up.

References
----------
.. [1] Hall, "Chi squared approximations to the distribution of a sum of independent random
       variables", Ann. Probab. 11(4), 1983.
.. [2] Buckley, Eagleson, "An approximation to the distribution of quadratic forms in normal
       random variables", Austral. J. Statist. 30A, 1988.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from drift_exporter.statistics.pairs import Floats, StatisticsError

DEFAULT_DELTA = 0.02
"""True PSI up to which a window may lie from the reference without being drift."""

DEFAULT_FLOOR = 0.05
"""PSI above the sampling noise below which nothing is drift, however sure we are."""

SMALLEST_ALPHA = 1e-299
"""The smallest false-alarm probability that is told apart; it is a label by then."""

_UNDERFLOW = 1e-290
_ROUNDING = 1e-9


class _Match(NamedTuple):
    mean: Floats
    scale: Floats
    degrees: Floats


def noise_floor(bins: npt.ArrayLike, rows: npt.ArrayLike, reference_rows: npt.ArrayLike) -> Floats:
    """Mean of PSI without any drift: ``(bins - 1) * (1 / rows + 1 / reference_rows)``.

    Parameters
    ----------
    bins
        Bins compared, as from `divergences.bins_compared`.
    rows, reference_rows
        Rows of the window and of the reference; of a mixed baseline its effective rows.

    Returns
    -------
    ndarray
        Of the broadcast shape; NaN with fewer than 2 bins or without rows.

    Examples
    --------
    >>> round(float(noise_floor(10, 1000, 50_000)), 5)
    0.00918
    """
    k, v = _bins_and_noise(bins, rows, reference_rows)
    floor: Floats = (k - 1) * v
    return floor


def quantile(
    alpha: npt.ArrayLike,
    bins: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    omega: npt.ArrayLike = 0.0,
    delta: npt.ArrayLike = 0.0,
) -> Floats:
    """PSI that a window without drift exceeds with probability ``alpha``.

    Parameters
    ----------
    alpha
        Probability of one false alarm in one evaluation, from 1e-299 to below 1.
    bins, rows, reference_rows
        As for `noise_floor`.
    omega
        Mean PSI between the model's own windows beyond sampling noise, at least 0.
    delta
        True PSI that is tolerated, at least 0.

    Returns
    -------
    ndarray
        In nats, of the broadcast shape; NaN with fewer than 2 bins or without rows.

    Raises
    ------
    StatisticsError
        If ``alpha`` is not a probability, or ``omega`` or ``delta`` is negative.

    Examples
    --------
    >>> round(float(quantile(0.001, 10, 1000, 50_000)), 6)
    0.028435
    """
    probability = np.asarray(alpha, dtype=np.float64)
    if not ((probability >= SMALLEST_ALPHA * (1 - _ROUNDING)) & (probability < 1)).all():
        raise StatisticsError(
            f"alpha: found {probability.min():g} to {probability.max():g}; pass probabilities "
            f"from {SMALLEST_ALPHA:g} to below 1"
        )
    law = _match(bins, rows, reference_rows, omega, delta)
    # The inverse works on the tail itself: 1 - alpha would be 1 from alpha = 1e-17 on.
    tail = 2 * special.gammainccinv(law.degrees / 2, probability)
    limit: Floats = law.mean + (tail - law.degrees) * law.scale
    return limit


def neg_log10_p(
    psi: npt.ArrayLike,
    bins: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    omega: npt.ArrayLike = 0.0,
    delta: npt.ArrayLike = 0.0,
) -> Floats:
    """Surprise of a PSI without drift: ``-log10`` of its p-value, for p-values of any size.

    Parameters
    ----------
    psi
        In nats.
    bins, rows, reference_rows, omega, delta
        As for `quantile`, whose inverse this is.

    Returns
    -------
    ndarray
        At least 0, of the broadcast shape; NaN with fewer than 2 bins or without rows.
        Beyond 15 it orders windows and is no probability.

    Raises
    ------
    StatisticsError
        If ``omega`` or ``delta`` is negative.

    Examples
    --------
    >>> round(float(neg_log10_p(0.028435, 10, 1000, 50_000)), 4)
    3.0
    """
    law = _match(bins, rows, reference_rows, omega, delta)
    x = np.maximum((np.asarray(psi, dtype=np.float64) - law.mean) / law.scale + law.degrees, 0.0)
    tails = _neg_log_tail(law.degrees / 2, x / 2) / np.log(10)
    surprise: Floats = np.maximum(tails, 0.0)
    return surprise


def p_value(
    psi: npt.ArrayLike,
    bins: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    omega: npt.ArrayLike = 0.0,
    delta: npt.ArrayLike = 0.0,
) -> Floats:
    """Probability of so large a PSI without drift; parameters as for `neg_log10_p`.

    Below the smallest float it is 0: use `neg_log10_p` to tell such values apart.

    Examples
    --------
    >>> round(float(p_value(0.028435, 10, 1000, 50_000)), 6)
    0.001
    """
    law = _match(bins, rows, reference_rows, omega, delta)
    x = np.maximum((np.asarray(psi, dtype=np.float64) - law.mean) / law.scale + law.degrees, 0.0)
    probability: Floats = special.gammaincc(law.degrees / 2, x / 2)
    return probability


def threshold(
    alpha: npt.ArrayLike,
    bins: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    omega: npt.ArrayLike = 0.0,
    delta: npt.ArrayLike = DEFAULT_DELTA,
    floor: npt.ArrayLike = DEFAULT_FLOOR,
) -> Floats:
    """PSI above which a window has drifted.

    The largest of three: ``quantile`` under natural variation (it is not noise), ``quantile``
    around a true PSI of ``delta`` (a window of many rows does not page for a trifle), and
    ``floor`` above the noise floor (it is worth a page).

    Parameters
    ----------
    alpha, bins, rows, reference_rows, omega, delta
        As for `quantile`; a ``delta`` of 0 leaves the second one out.
    floor
        PSI beyond sampling noise that a page is worth, at least 0; with 0 the third one can
        never be the largest for any sensible ``alpha``.

    Returns
    -------
    ndarray
        In nats, of the broadcast shape; NaN with fewer than 2 bins or without rows.

    Raises
    ------
    StatisticsError
        If ``alpha`` is not a probability, or one of the others is negative.

    Examples
    --------
    >>> threshold(2e-4, 12, [1000, 100_000], [20_000, 2_000_000]).round(3)
    array([0.08, 0.05])
    """
    least = not_negative("floor", floor)
    natural = quantile(alpha, bins, rows, reference_rows, omega)
    material = quantile(alpha, bins, rows, reference_rows, 0.0, delta)
    effect = least + noise_floor(bins, rows, reference_rows)
    limit: Floats = np.maximum(np.maximum(natural, material), effect)
    return limit


def not_negative(name: str, values: npt.ArrayLike) -> Floats:
    """Return the values as floats, or say under ``name`` which of them is below 0."""
    array = np.asarray(values, dtype=np.float64)
    if (array < 0).any():
        raise StatisticsError(f"{name}: found {array.min():g}; it cannot be negative")
    return array


def _bins_and_noise(
    bins: npt.ArrayLike, rows: npt.ArrayLike, reference_rows: npt.ArrayLike
) -> tuple[Floats, Floats]:
    k, n, m = np.broadcast_arrays(
        *(np.asarray(side, dtype=np.float64) for side in (bins, rows, reference_rows))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = 1 / n + 1 / m
    return k, np.where((k >= 2) & (n > 0) & (m > 0), noise, np.nan)


def _match(
    bins: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    omega: npt.ArrayLike,
    delta: npt.ArrayLike,
) -> _Match:
    k, v = _bins_and_noise(bins, rows, reference_rows)
    w, d = not_negative("omega", omega), not_negative("delta", delta)
    noisy = v + w
    mean = (k - 1) * v + w + d
    second = 2 * ((k - 2) * v**2 + noisy**2) + 4 * noisy * d
    third = 8 * ((k - 2) * v**3 + noisy**3) + 24 * noisy**2 * d
    degrees = 8 * second**3 / third**2
    return _Match(mean, np.sqrt(second / (2 * degrees)), degrees)


def _neg_log_tail(a: Floats, x: Floats) -> Floats:
    """Return ``-ln`` of the upper tail of the gamma law, also where that underflows."""
    tail = special.gammaincc(a, x)
    with np.errstate(divide="ignore"):
        surprise = np.asarray(-np.log(tail))
    far = np.asarray(tail < _UNDERFLOW)
    if far.any():
        shape, at = np.broadcast_to(a, far.shape)[far], np.broadcast_to(x, far.shape)[far]
        surprise[far] = at + special.gammaln(shape) - shape * np.log(at)
        surprise[far] -= np.log(_tail_fraction(shape, at))
    return surprise


def _tail_fraction(a: Floats, x: Floats) -> Floats:
    """Return the continued fraction of the upper incomplete gamma function (Lentz), for x >> a."""
    b = x + 1 - a
    c, d = np.full(b.shape, 1e300), 1 / b
    fraction = d.copy()
    for i in range(1, 500):
        step = -i * (i - a)
        b = b + 2
        d = 1 / (step * d + b)
        c = b + step / c
        fraction = fraction * c * d
        if np.all(np.abs(c * d - 1) < 1e-15):
            break
    return fraction
