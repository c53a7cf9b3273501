"""Since when: the slice from which the rows fall into the bins differently.

Pure: counts per slice and bin in, a position out. Knows no clock, feature or threshold.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from drift_exporter.statistics.pairs import Floats, StatisticsError, checked_counts

LEAST_DROP = 3.0
"""Log-likelihood, in nats, by which a slice must be worse than the best one to be ruled out."""


class ChangePoint(NamedTuple):
    """The slice at which a change began, and how sure that is."""

    at: int
    """Position of the first slice after the change."""

    earliest: int
    latest: int
    """First and last position that the counts do not rule out."""

    neg_log10_p: float
    """Surprise of so clear a change if nothing had changed, all positions considered."""

    dispersion: float
    """How much more than by chance the slices vary on either side of the change, at least 1."""


def change_point(
    counts: npt.ArrayLike, baseline: npt.ArrayLike, *, alpha: float = 1e-3
) -> ChangePoint | None:
    """The most likely beginning of a change away from the baseline, or None where there is none.

    The likelihood ratio of two multinomials, one before and one after, against one for all, at
    its maximum over all positions [1]_. Only positions count from which on the rows lie further
    from the baseline than before: the end of a drift is not its beginning. Slices that vary more
    than by chance make the ratio smaller by their dispersion [2]_.

    Parameters
    ----------
    counts
        Rows per slice and bin, integers of shape ``(slices, bins)``; of several features,
        ``(features, slices, bins)``, whose ratios are added: one change for all of them.
    baseline
        Rows of the reference per bin, ``(bins,)`` or ``(features, bins)``.
    alpha
        Probability of finding a change where there is none.

    Raises
    ------
    StatisticsError
        If the shapes do not fit, or a count is negative or not an integer.

    References
    ----------
    .. [1] Hinkley, Hinkley, "Inference about the change-point in a sequence of binomial
           variables", Biometrika 57(3), 1970.
    .. [2] Rao, Scott, "On chi-squared tests for multiway contingency tables with cell
           proportions estimated from survey data", Ann. Statist. 12(1), 1984.

    Examples
    --------
    >>> found = change_point([[50, 50]] * 6 + [[80, 20]] * 4, [5000, 5000])
    >>> found.at, found.earliest, found.latest
    (6, 6, 6)
    >>> change_point([[50, 50]] * 10, [5000, 5000]) is None
    True
    """
    slices, reference = checked_counts("counts", counts), checked_counts("baseline", baseline)
    if slices.ndim == 2:
        slices, reference = slices[np.newaxis], reference[np.newaxis]
    if slices.ndim != 3 or reference.shape != (slices.shape[0], slices.shape[2]):
        raise StatisticsError(
            f"counts have shape {slices.shape}, the baseline {reference.shape}; pass "
            "(features, slices, bins) and (features, bins)"
        )
    if slices.shape[1] < 2:
        return None
    parts = [_ratios(c, r) for c, r in zip(slices, reference, strict=True)]
    away = np.sum([part.away for part in parts], axis=0)
    ratios = np.where(away > 0, np.sum([part.ratio for part in parts], axis=0), -np.inf)
    freedom = sum(part.freedom for part in parts)
    at = int(np.argmax(ratios))
    if not np.isfinite(ratios[at]) or freedom == 0:
        return None
    # The largest of as many ratios as there are positions, each a chi-square: Bonferroni.
    tail = special.gammaincc(freedom / 2, ratios[at]) * ratios.size
    if tail > alpha:
        return None
    left = np.flatnonzero(ratios >= ratios[at] - LEAST_DROP)
    return ChangePoint(
        at=at + 1,
        earliest=int(left[0]) + 1,
        latest=int(left[-1]) + 1,
        neg_log10_p=float(-np.log10(max(tail, 1e-300))),
        dispersion=float(np.mean([part.dispersion for part in parts])),
    )


class _Ratios(NamedTuple):
    ratio: Floats
    """Log-likelihood ratio of a change behind each slice but the last, in nats."""

    away: Floats
    """By how much further from the baseline the rows behind lie than those before."""

    freedom: int
    dispersion: float


def _ratios(counts: npt.NDArray[np.int64], reference: npt.NDArray[np.int64]) -> _Ratios:
    kept = counts.sum(axis=0) > 0
    c, r = counts[:, kept], reference[kept]
    sums = np.cumsum(c, axis=0)
    before, whole = sums[:-1], sums[-1]
    after = whole - before
    ratio = np.maximum(_likelihood(before) + _likelihood(after) - _likelihood(whole), 0.0)
    bins = c.shape[1]
    q = (r + 0.5) / (r.sum() + bins / 2)
    dispersion = _dispersion(c, int(np.argmax(ratio)) + 1)
    distances = [np.abs(_shares(side) - q).sum(axis=1) for side in (after, before)]
    away = (distances[0] - distances[1]) * (before.sum(axis=1) > 0) * (after.sum(axis=1) > 0)
    return _Ratios(ratio / dispersion, away, max(bins - 1, 0), dispersion)


def _likelihood(counts: npt.NDArray[np.int64]) -> Floats:
    """The largest log-likelihood of multinomial counts, up to a constant of the counts."""
    rows = counts.sum(axis=-1, keepdims=True)
    found: Floats = special.xlogy(counts, _shares(counts)).sum(axis=-1) * (rows[..., 0] > 0)
    return found


def _shares(counts: npt.NDArray[np.int64]) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares


def _dispersion(counts: npt.NDArray[np.int64], at: int) -> float:
    """Pearson's chi-square per degree of freedom on both sides of a position, at least 1."""
    square, freedom = 0.0, 0
    for side in (counts[:at], counts[at:]):
        shares = _shares(side.sum(axis=0))
        expected = side.sum(axis=1, keepdims=True) * shares
        # Thin cells have no chi-square to speak of.
        told = expected >= 1
        square += float(((side - expected)[told] ** 2 / expected[told]).sum())
        freedom += max(
            int(told.sum()) - int(told.any(axis=1).sum()) - int(told.any(axis=0).sum()), 0
        )
    return max(square / freedom, 1.0) if freedom else 1.0
