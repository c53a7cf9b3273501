"""Where a divergence comes from: what each bin adds to the population stability index.

Pure: counts in, numbers out. Knows no name of a bin, no threshold and no clock.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.divergences import pool_thin_bins, psi_terms
from drift_exporter.statistics.pairs import Floats, checked_pair


class Contributions(NamedTuple):
    """What the bins of features add to their `psi`."""

    bins: Floats
    """In nats, shape ``(features, bins)`` or ``(bins,)``; 0 for a bin that is thin or empty."""

    thin: npt.NDArray[np.bool_]
    """Bins that are too thin to be compared alone, of the same shape."""

    together: Floats
    """What the thin bins add together, shape ``(features,)`` or 0-d."""


def bin_contributions(reference: npt.ArrayLike, current: npt.ArrayLike) -> Contributions:
    """What each bin adds to `psi`, the thin ones together.

    Parameters
    ----------
    reference, current
        Rows per bin, integers of shape ``(features, bins)`` or ``(bins,)``.

    Returns
    -------
    Contributions
        ``bins`` and ``together`` add up to `psi`, each being ``(p - q) * ln(p / q)`` of the
        smoothed shares, at least 0. NaN where a side has no rows.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    The last two bins are thin. By hand: ``2 / 101.5 * ln(13 / 9)``, twice.

    >>> found = bin_contributions([90, 6, 3, 1], [90, 4, 0, 6])
    >>> found.bins.round(4), found.thin, round(float(found.together), 4)
    (array([0.    , 0.0072, 0.    , 0.    ]), array([False, False,  True,  True]), 0.0072)
    """
    r, c = checked_pair(reference, current)
    pooled = pool_thin_bins(r, c)
    thin = ((r > 0) | (c > 0)) & (pooled[0][..., :-1] == 0) & (pooled[1][..., :-1] == 0)
    terms = psi_terms(r, c)
    return Contributions(terms[..., :-1], thin, terms[..., -1])
