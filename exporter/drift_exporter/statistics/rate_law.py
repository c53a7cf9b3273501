"""Thresholds of rates: how large a share of missing or unseen rows gets without drift.

Pure: numbers in, numbers out, for any shapes that broadcast. Knows not what is counted.
"""

import numpy as np
import numpy.typing as npt
from scipy import special

from drift_exporter.statistics.null_law import not_negative, quantile
from drift_exporter.statistics.pairs import Floats

RATE_TOLERANCE = 0.01
"""Rise of a rate (missing, unseen, out of range) that is never drift: one percentage point."""

_BISECTIONS = 60


def rate_threshold(
    alpha: npt.ArrayLike,
    reference_share: npt.ArrayLike,
    rows: npt.ArrayLike,
    reference_rows: npt.ArrayLike,
    omega: npt.ArrayLike = 0.0,
    tolerance: npt.ArrayLike = RATE_TOLERANCE,
) -> Floats:
    """Share of the window's rows above which a rate (missing, unseen, ...) has risen.

    A rate is PSI over two bins, so its threshold is the upper share at which that PSI meets
    ``quantile(alpha, 2, ...)``, but at least ``tolerance`` above the reference. The share is the
    plain one, ``count / rows``: smoothing is undone, so that "the rate is above its threshold"
    and "PSI is above the quantile" are the same statement.

    Parameters
    ----------
    alpha, rows, reference_rows, omega
        As for `quantile`.
    reference_share
        Plain share of the reference, from 0 to 1.
    tolerance
        Rise that is never drift.

    Returns
    -------
    ndarray
        From ``tolerance`` to 1, of the broadcast shape; NaN without rows.

    Raises
    ------
    StatisticsError
        If ``alpha`` is not a probability, or one of the others is negative.

    Examples
    --------
    >>> rate_threshold(2e-4, [0.01, 0.0001], 1000, 20_000).round(3)
    array([0.025, 0.01 ])
    """
    share = not_negative("reference_share", reference_share)
    n, m = (np.asarray(side, dtype=np.float64) for side in (rows, reference_rows))
    limit, q, n = np.broadcast_arrays(
        quantile(alpha, 2, n, m, omega), (share * m + 0.5) / (m + 1), n
    )
    low, high = q.copy(), np.ones(q.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            above = (middle - q) * (special.logit(middle) - special.logit(q)) > limit
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        root = (high * (n + 1) - 0.5) / n
    least = share + not_negative("tolerance", tolerance)
    bound: Floats = np.minimum(np.maximum(root, least), 1.0)
    return np.where(np.isnan(limit), np.nan, bound)
