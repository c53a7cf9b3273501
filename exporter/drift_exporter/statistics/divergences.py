"""Divergences between two histograms over the same bins, for all features at once.

Pure: counts in, numbers out. Knows no threshold, no feature, no clock, and not which of the
bins is missing or unseen: by convention the columns are value bins, missing, unseen.

A bin that is empty on both sides does not exist. So features of different width share one
array, the narrow ones filled up with zeros, and each gets the number it would get alone.
"""

import math

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.pairs import (
    Counts,
    Floats,
    checked_pair,
    nan_without_rows,
    shares,
    total,
)

THIN_ROWS = 5
"""A bin is thin when fewer rows than this are expected in the smaller of the two sides."""


def psi(reference: npt.ArrayLike, current: npt.ArrayLike, *, pool: bool = True) -> Floats:
    """Population stability index: how far two histograms lie apart.

    ``sum((p - q) * ln(p / q))`` over the bins that are not empty on both sides, with
    Jeffreys-smoothed shares ``p = (c + 1/2) / (n + K/2)`` of the current rows and
    ``q = (r + 1/2) / (m + K/2)`` of the reference, ``K`` being the number of bins left.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.
    pool
        Merge thin bins first (see `pool_thin_bins`). Without it the index is symmetric;
        with it the reference decides which bins are merged.

    Returns
    -------
    ndarray
        In nats, shape ``(features,)`` or 0-d; NaN where a side has no rows. 0 for equal
        counts, no upper bound. Equal shares of fewer rows give a little more than 0, because
        smoothing pulls the smaller side further. Without drift not 0 but about
        ``(K - 1) * (1 / n + 1 / m)`` [1]_.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    References
    ----------
    .. [1] Yurdakul, Naranjo, "Statistical properties of the population stability index",
           J. of Risk Model Validation 14(4), 2020.

    Examples
    --------
    By hand: ``30 / 101 * ln(80.5 / 20.5)``.

    >>> round(float(psi([50, 50], [80, 20])), 4)
    0.4063
    >>> psi([[50, 50], [50, 50]], [[80, 20], [50, 50]]).round(4)
    array([0.4063, 0.    ])
    """
    r, c = checked_pair(reference, current)
    return nan_without_rows(total(_psi_terms(r, c, pool)), r, c)


def psi_terms(reference: npt.ArrayLike, current: npt.ArrayLike, *, pool: bool = True) -> Floats:
    """What each bin adds to `psi`: ``(p - q) * ln(p / q)``, never below 0.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.
    pool
        As for `psi`; the merged thin bins are then the last column, one more than ``bins``.

    Returns
    -------
    ndarray
        In nats, shape ``(features, bins + 1)``, or ``bins`` without pooling; the sum over the
        bins is `psi`. 0 where a bin is empty on both sides or was merged, NaN where a side has
        no rows.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    By hand: ``30 / 101 * ln(161 / 101)`` and ``-30 / 101 * ln(41 / 101)``.

    >>> psi_terms([50, 50], [80, 20]).round(4)
    array([0.1385, 0.2678, 0.    ])
    """
    r, c = checked_pair(reference, current)
    empty = (r.sum(axis=-1, keepdims=True) == 0) | (c.sum(axis=-1, keepdims=True) == 0)
    return np.where(empty, np.nan, _psi_terms(r, c, pool))


def kl_divergence(reference: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
    """Kullback-Leibler divergence of the current rows from the reference, KL(current||reference).

    ``sum(p * ln(p / q))`` with the smoothed shares of `psi`, without pooling.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    ndarray
        In nats, shape ``(features,)`` or 0-d; at least 0, no upper bound, not symmetric;
        NaN where a side has no rows.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    By hand: ``80.5 / 101 * ln(161 / 101) + 20.5 / 101 * ln(41 / 101)``.

    >>> round(float(kl_divergence([50, 50], [80, 20])), 4)
    0.1887
    """
    r, c = checked_pair(reference, current)
    q, p = _smoothed_shares(r, c)
    # Both shares sum to 1, so taking p - q off each bin changes nothing on paper. In floats
    # it cancels what rounding put into the sums, which is more than a small divergence.
    terms = p * _log_ratio(p, q) - (p - q)
    return nan_without_rows(np.maximum(total(terms), 0.0), r, c)


def js_distance(reference: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
    """Jensen-Shannon distance: the root of the divergence in bits, a metric.

    ``sqrt((KL(P||M) + KL(Q||M)) / 2 / ln 2)`` with ``M = (P + Q) / 2`` and raw shares.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    ndarray
        From 0 (equal shares) to 1 (no bin in common), shape ``(features,)`` or 0-d;
        NaN where a side has no rows.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    >>> float(js_distance([50, 50, 0], [0, 0, 7])), float(js_distance([50, 50], [5, 5]))
    (1.0, 0.0)
    """
    r, c = checked_pair(reference, current)
    q, p = shares(r), shares(c)
    both = p + q
    d = np.divide(p - q, both, out=np.zeros(both.shape), where=both > 0)
    bits = total(both * _entropy_lost(d)) / (4 * math.log(2))
    return nan_without_rows(np.sqrt(np.minimum(bits, 1.0)), r, c)


def hellinger_distance(reference: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
    """Hellinger distance ``sqrt(sum((sqrt(P) - sqrt(Q)) ** 2) / 2)`` of the raw shares.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    ndarray
        From 0 (equal shares) to 1 (no bin in common), shape ``(features,)`` or 0-d;
        NaN where a side has no rows.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    By hand: ``sqrt(1 - (sqrt(0.5 * 0.8) + sqrt(0.5 * 0.2)))``.

    >>> round(float(hellinger_distance([50, 50], [80, 20])), 4)
    0.2265
    """
    r, c = checked_pair(reference, current)
    squares = total((np.sqrt(shares(c)) - np.sqrt(shares(r))) ** 2)
    return nan_without_rows(np.sqrt(np.minimum(squares / 2, 1.0)), r, c)


def total_variation(reference: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
    """Total variation distance ``sum(|P - Q|) / 2``: the least share that changed bin.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    ndarray
        From 0 (equal shares) to 1 (no bin in common), shape ``(features,)`` or 0-d;
        NaN where a side has no rows.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    >>> round(float(total_variation([50, 50], [80, 20])), 4)
    0.3
    """
    r, c = checked_pair(reference, current)
    return nan_without_rows(np.minimum(total(np.abs(shares(c) - shares(r))) / 2, 1.0), r, c)


def pool_thin_bins(reference: npt.ArrayLike, current: npt.ArrayLike) -> tuple[Counts, Counts]:
    """Merge the thin bins of each feature into one bin, appended as the last column.

    Thin is a bin in which the smaller side would have fewer than 5 rows without drift:
    ``r * min(1, n / m) < 5``. The merged bin stays a bin of its own however small it is:
    inside a large one, a constant that became variable would be invisible.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    tuple of ndarray
        Reference and current with one column more; thin bins are 0 on both sides.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    >>> pool_thin_bins([90, 6, 3, 1], [90, 4, 0, 6])
    (array([90,  6,  0,  0,  4]), array([90,  4,  0,  0,  6]))
    """
    return _pooled(*checked_pair(reference, current))


def bins_compared(
    reference: npt.ArrayLike, current: npt.ArrayLike, *, pool: bool = True
) -> npt.NDArray[np.int64]:
    """Count the bins that `psi` compares: its ``K``, from which its noise follows.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.
    pool
        As for `psi`.

    Returns
    -------
    ndarray
        Shape ``(features,)`` or 0-d; 0 where a side has no rows. With 1 bin there is nothing
        to compare: the index is 0 whatever happened.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    >>> int(bins_compared([90, 6, 3, 1], [90, 4, 0, 6]))
    3
    """
    r, c = checked_pair(reference, current)
    with_rows = (r.sum(axis=-1) > 0) & (c.sum(axis=-1) > 0)
    r, c = _pooled(r, c) if pool else (r, c)
    return np.where(with_rows, np.count_nonzero((r > 0) | (c > 0), axis=-1), 0)


def _psi_terms(r: Counts, c: Counts, pool: bool) -> Floats:
    q, p = _smoothed_shares(*(_pooled(r, c) if pool else (r, c)))
    terms: Floats = (p - q) * _log_ratio(p, q)
    return terms


def _pooled(r: Counts, c: Counts) -> tuple[Counts, Counts]:
    m, n = r.sum(axis=-1, keepdims=True), c.sum(axis=-1, keepdims=True)
    # r * min(n, m) < 5 * m in whole numbers: no rounding at the border, no overflow.
    largest_thin = (THIN_ROWS * m - 1) // np.maximum(np.minimum(n, m), 1)
    thin = r <= largest_thin
    return _merged(r, thin), _merged(c, thin)


def _merged(counts: Counts, thin: npt.NDArray[np.bool_]) -> Counts:
    pool = np.sum(counts, axis=-1, keepdims=True, where=thin)
    return np.concatenate([np.where(thin, 0, counts), pool], axis=-1)


def _smoothed_shares(r: Counts, c: Counts) -> tuple[Floats, Floats]:
    """Return Jeffreys-smoothed shares, 1 on both sides in bins that are empty on both."""
    kept = (r > 0) | (c > 0)
    pseudo_rows = np.count_nonzero(kept, axis=-1, keepdims=True) / 2

    def smoothed(counts: Counts) -> Floats:
        rows = counts.sum(axis=-1, keepdims=True) + pseudo_rows
        result: Floats = np.divide(counts + 0.5, rows, out=np.ones(counts.shape), where=kept)
        return result

    return smoothed(r), smoothed(c)


def _log_ratio(p: Floats, q: Floats) -> Floats:
    """Return ``ln(p / q)``, by way of ``p - q`` where the two nearly agree."""
    excess = (p - q) / q
    logs: Floats = np.log(p / q)
    np.log1p(excess, out=logs, where=np.abs(excess) < 0.5)
    return logs


def _entropy_lost(d: Floats) -> Floats:
    """Return ``(1+d) ln(1+d) + (1-d) ln(1-d)`` for ``-1 <= d <= 1``.

    With ``d = (P - Q) / (P + Q)`` it is the share of one bin in the Jensen-Shannon divergence.
    """
    # As written, the two halves cancel to d ** 2 when d is small, and for 1e15 rows nothing
    # is left. The second form has no such halves, but is inf - inf at d = 1.
    near, far = np.clip(d, -0.5, 0.5), np.abs(d)
    lost: Floats = np.log1p(-(near**2)) + 2 * near * np.arctanh(near)
    rest = 1 - far
    by_halves = (1 + far) * np.log1p(far) + rest * np.log(np.where(rest > 0, rest, 1.0))
    return np.where(far < 0.5, lost, by_halves)
