"""Shares of rows that are not what the reference knew: missing, unseen, out of range.

Pure: counts in, shares out. Knows no threshold and no feature. The rows are always all rows
of the feature: values, missing and unseen together.
"""

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.pairs import Counts, Floats, StatisticsError, checked_counts


def missing_share(missing: npt.ArrayLike, rows: npt.ArrayLike) -> Floats:
    """Share of the rows without a value; NaN without rows.

    Parameters
    ----------
    missing, rows
        Counts of the window, integers of shape ``(features,)`` or 0-d.

    Returns
    -------
    ndarray
        From 0 to 1, of the same shape.

    Raises
    ------
    StatisticsError
        If the shapes differ, a count is negative or not an integer, or more rows are missing
        than there are.

    Examples
    --------
    >>> missing_share([5, 0, 0], [100, 100, 0])
    array([0.05, 0.  ,  nan])
    """
    return _share("missing", missing, rows)


def unseen_share(unseen: npt.ArrayLike, rows: npt.ArrayLike) -> Floats:
    """Share of the rows whose category the reference has never seen; NaN without rows.

    Parameters
    ----------
    unseen, rows
        Counts of the window, integers of shape ``(features,)`` or 0-d.

    Returns
    -------
    ndarray
        From 0 to 1, of the same shape.

    Raises
    ------
    StatisticsError
        If the shapes differ, a count is negative or not an integer, or more rows are unseen
        than there are.

    Examples
    --------
    >>> unseen_share([80], [1000])
    array([0.08])
    """
    return _share("unseen", unseen, rows)


def out_of_range_share(below: npt.ArrayLike, above: npt.ArrayLike, rows: npt.ArrayLike) -> Floats:
    """Share of the rows below the minimum or above the maximum of the reference; NaN without rows.

    Parameters
    ----------
    below, above, rows
        Counts of the window, integers of shape ``(features,)`` or 0-d.

    Returns
    -------
    ndarray
        From 0 to 1, of the same shape. Without drift not 0 but about ``2 / (m + 1)`` for a
        reference of ``m`` rows, whose own extremes are not the last ones possible.

    Raises
    ------
    StatisticsError
        If the shapes differ, a count is negative or not an integer, or more rows are outside
        than there are.

    Examples
    --------
    >>> out_of_range_share([1], [2], [100])
    array([0.03])
    """
    low, high = _per_feature("below", below), _per_feature("above", above)
    if low.shape != high.shape:
        raise StatisticsError(
            f"below has shape {low.shape}, above {high.shape}; count both for the same features"
        )
    return _share("out of range", low + high, rows)


def _share(name: str, part: npt.ArrayLike, rows: npt.ArrayLike) -> Floats:
    some, whole = _per_feature(name, part), _per_feature("rows", rows)
    if some.shape != whole.shape:
        raise StatisticsError(
            f"{name} has shape {some.shape}, rows {whole.shape}; count both for the same features"
        )
    if (some > whole).any():
        raise StatisticsError(
            f"{name}: found more of them than rows; count missing and unseen rows into the rows too"
        )
    result: Floats = np.divide(some, whole, out=np.full(some.shape, np.nan), where=whole > 0)
    return result


def _per_feature(name: str, counts: npt.ArrayLike) -> Counts:
    # Each feature becomes a vector of one bin, so that an error names the feature.
    return checked_counts(name, np.asarray(counts)[..., np.newaxis])[..., 0]
