"""Distances between two distributions of a number, from counts over ordered bins.

Pure: counts and edges in, numbers out. Takes value bins only, without missing and unseen, and
renormalises them. Knows nothing of what lies inside a bin but its width.
"""

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.pairs import (
    Counts,
    Floats,
    StatisticsError,
    checked_pair,
    nan_without_rows,
    total,
)

NORMAL_SPREAD = 2.563
"""Distance of the 10 % from the 90 % quantile of a normal distribution, in its sigmas."""


def ks_statistic(reference: npt.ArrayLike, current: npt.ArrayLike) -> Floats:
    """Kolmogorov-Smirnov statistic: the largest gap between the two CDFs at the bin edges.

    Parameters
    ----------
    reference, current
        Rows per value bin in order, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    ndarray
        From 0 to 1, shape ``(features,)`` or 0-d; NaN where a side has no values. A lower
        bound of the statistic of the rows, which it misses by at most
        ``max(min(P, Q))`` over the bins.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    >>> round(float(ks_statistic([400, 300, 200, 100], [100, 200, 300, 400])), 4)
    0.4
    """
    r, c = checked_pair(reference, current)
    gaps = np.abs(_cdf(c) - _cdf(r))
    return nan_without_rows(np.max(gaps, axis=-1, initial=0.0), r, c)


def wasserstein_distance(
    reference: npt.ArrayLike, current: npt.ArrayLike, edges: npt.ArrayLike
) -> Floats:
    """Wasserstein-1 distance: how far the rows moved on average, in units of the feature.

    ``integral |F_current - F_reference| dx``, the rows of a bin lying evenly between its
    edges. Divide by the reference's spread to compare features.

    Parameters
    ----------
    reference, current
        Rows per value bin in order, integers of shape ``(features, bins)`` or ``(bins,)``.
    edges
        Bin edges including both finite ends, shape ``(features, bins + 1)`` or
        ``(bins + 1,)``. Columns that only fill up repeat the last edge.

    Returns
    -------
    ndarray
        At least 0, shape ``(features,)`` or 0-d; NaN where a side has no values or the
        edges lie further apart than float64 can say.

    Raises
    ------
    StatisticsError
        If shapes do not fit, a count is negative or not an integer, or edges are not finite
        or fall.

    Examples
    --------
    Four bins of width 1, each CDF gap 0.3, 0.4, 0.3:

    >>> round(float(wasserstein_distance([400, 300, 200, 100], [100, 200, 300, 400], range(5))), 4)
    1.0
    """
    r, c = checked_pair(reference, current)
    e = _checked_edges(edges, r)
    right = np.abs(gap := _cdf(c) - _cdf(r))
    left = np.zeros_like(right)
    left[..., 1:] = right[..., :-1]
    crosses = np.zeros(gap.shape, dtype=bool)
    crosses[..., 1:] = gap[..., 1:] * gap[..., :-1] < 0
    ends = left + right
    # A gap that changes sign inside the bin leaves two triangles instead of a trapezium.
    height = np.divide(left**2 + right**2, ends, out=ends.copy(), where=crosses) / 2
    with np.errstate(over="ignore", invalid="ignore"):
        moved = total(np.diff(e, axis=-1) * height)
    return nan_without_rows(np.where(np.isfinite(moved), moved, np.nan), r, c)


def _cdf(counts: Counts) -> Floats:
    """Return the share of rows up to the right edge of each bin; 0 where there are no rows."""
    rows = counts.sum(axis=-1, keepdims=True)
    cumulated = np.cumsum(counts, axis=-1)
    cdf: Floats = np.divide(cumulated, rows, out=np.zeros(counts.shape), where=rows > 0)
    return cdf


def _checked_edges(edges: npt.ArrayLike, counts: Counts) -> Floats:
    e = np.asarray(edges, dtype=np.float64)
    expected = (*counts.shape[:-1], counts.shape[-1] + 1)
    if e.shape != expected:
        raise StatisticsError(
            f"edges have shape {e.shape}, {counts.shape} counts need {expected}; "
            "pass one edge more than value bins, both ends included"
        )
    if not np.isfinite(e).all():
        raise StatisticsError(
            "edges are not all finite; close the outer bins at the reference's minimum and maximum"
        )
    if (e[..., 1:] < e[..., :-1]).any():
        raise StatisticsError("edges fall from one bin to the next; pass them in rising order")
    return e
