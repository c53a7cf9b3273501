"""Labels by bin: whether their mean changed with the rows' bins, or within the bins.

Pure: rows and sums of labels per bin in, numbers out. Knows no feature, threshold or clock.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from drift_exporter.statistics.pairs import Floats, StatisticsError

LEAST_EVENTS = 5.0
"""Expected events (and expected others) that a bin needs on both sides to be tested."""


class LabelChange(NamedTuple):
    """A change of the mean label, split by the bins of a column."""

    reference_mean: float
    current_mean: float
    covariate: float
    """What the changed shares of the bins explain of the change."""

    within: float
    """What changed within bins. Both add up to the change of the mean over common bins."""

    exchanged: float
    """What the changed shares move the mean by in size, ``sum |p_b - q_b| |y_b - mean|``: what
    cancels out in ``covariate`` does not in it."""

    effect: float
    """Mean size of the change within bins, whatever its direction, beyond sampling noise."""

    bins: Floats
    """Change of the mean label within each bin, shape ``(bins,)``; NaN where it is not known."""

    tested: int
    """Bins with enough events for the test."""

    neg_log10_p: float
    """Surprise of such changes within bins if the label depended on the bin as before."""


def label_change(
    reference: npt.ArrayLike, current: npt.ArrayLike, values: npt.ArrayLike
) -> LabelChange:
    """Split the change of the mean label into the bins' shares and what is within bins.

    ``sum (p_b - q_b)(y_b + y'_b) / 2`` and ``sum (p_b + q_b) / 2 (y'_b - y_b)`` [1]_, over bins
    with rows on both sides. The second is tested: ``sum (y'_b - y_b)^2 / var`` is chi-square over
    the bins with at least 5 expected events of either kind, without a change within bins.

    Parameters
    ----------
    reference, current
        Rows per label value and bin, integers of shape ``(values, bins)``.
    values
        The label values as numbers, shape ``(values,)``.

    Raises
    ------
    StatisticsError
        If the shapes do not fit.

    References
    ----------
    .. [1] Kitagawa, "Components of a difference between two rates", J. Am. Statist. Assoc.
           50(272), 1955.

    Examples
    --------
    More rows in the second bin, and more events in the first. By hand:
    ``-0.25 * 0.15 + 0.25 * 0.5`` and ``0.375 * 0.1``.

    >>> found = label_change([[90, 50], [10, 50]], [[40, 75], [10, 75]], [0, 1])
    >>> round(found.covariate, 4), round(found.within, 4), found.tested
    (0.0875, 0.0375, 2)
    """
    r, c = (np.asarray(side, dtype=np.float64) for side in (reference, current))
    y = np.asarray(values, dtype=np.float64)
    if r.ndim != 2 or r.shape != c.shape or y.shape != r.shape[:1]:
        raise StatisticsError(
            f"reference has shape {r.shape}, current {c.shape}, values {y.shape}; pass "
            "(values, bins) twice and (values,)"
        )
    m, n = r.sum(axis=0), c.sum(axis=0)
    common = (m > 0) & (n > 0)
    if not common.any():
        unknown = math.nan
        nothing = np.full(m.size, np.nan)
        return LabelChange(*(unknown,) * 6, nothing, 0, 0.0)
    q, p = m[common] / m[common].sum(), n[common] / n[common].sum()
    before, after = y @ r[:, common] / m[common], y @ c[:, common] / n[common]
    moved = after - before
    pooled = (r + c)[:, common] / (m + n)[common]
    mean = y @ pooled
    variance = np.maximum(y**2 @ pooled - mean**2, 0.0)
    rows = np.minimum(m, n)[common]
    commonest = pooled.max(axis=0)
    told = (rows * (1 - commonest) >= LEAST_EVENTS) & (rows * commonest >= LEAST_EVENTS)
    told &= variance > 0
    error = variance * (1 / m[common] + 1 / n[common])
    square = float((moved[told] ** 2 / error[told]).sum())
    tested = int(told.sum())
    tail = float(special.gammaincc(tested / 2, square / 2)) if tested else 1.0
    weights = (p + q) / 2
    # The mean absolute value of noise alone is sqrt(2 / pi) standard errors.
    size = float(weights @ np.abs(moved)), float(weights @ np.sqrt(error * 2 / np.pi))
    bins = np.full(m.size, np.nan)
    bins[common] = moved
    return LabelChange(
        reference_mean=float(q @ before),
        current_mean=float(p @ after),
        covariate=float((p - q) @ (before + after) / 2),
        within=float(weights @ moved),
        exchanged=float(
            np.abs(p - q) @ np.abs((before + after) / 2 - weights @ (before + after) / 2)
        ),
        effect=max(float(np.sqrt(max(size[0] ** 2 - size[1] ** 2, 0.0))), 0.0),
        bins=bins,
        tested=tested,
        neg_log10_p=float(-np.log10(max(tail, 1e-300))),
    )
