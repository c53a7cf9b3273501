"""A shift of the whole and the segments it is made of: their mix, or what is within them.

Pure: counts by segment and bin in, numbers out. Knows no name of a segment and no threshold.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.pairs import Floats, StatisticsError, checked_pair


class Split(NamedTuple):
    """The PSI of one feature, split by segments. All in nats."""

    marginal: float
    """PSI of the feature over all rows, smoothed, without pooling of thin bins."""

    mix: float
    """What the changed mix of segments adds to ``marginal``; may be below 0."""

    within: Floats
    """What the shift within each segment adds, shape ``(segments,)``; may be below 0. With
    ``mix`` they add up to ``marginal``."""

    joint_mix: float
    """PSI of the mix of segments itself, at least 0."""

    joint_within: Floats
    """PSI within each segment as the joint sees it, shape ``(segments,)``, at least 0."""

    @property
    def joint(self) -> float:
        """PSI of segment and bin together, never below ``marginal``."""
        return float(self.joint_mix + self.joint_within.sum())


def split_by_segment(reference: npt.ArrayLike, current: npt.ArrayLike) -> Split:
    """Split the PSI of a feature into the mix of its segments and the shift within them.

    With ``w_b = ln(p_b / q_b)`` of all rows, PSI is ``sum_b w_b (p_b - q_b)``, and each
    ``p_b - q_b`` is Kitagawa's [1]_ sum over the segments of a change of mix and a change of
    rate. Shifts of two segments may cancel in it; they do not in the chain rule on the joint,
    ``J = J_mix + sum_s (P_s KL(p_s||q_s) + Q_s KL(q_s||p_s))``, which is the second half.

    Parameters
    ----------
    reference, current
        Rows per segment and bin, integers of shape ``(segments, bins)``.

    Returns
    -------
    Split
        Shares are smoothed by half a row per bin, spread over the segments, so that ``marginal``
        is `divergences.psi` without pooling.

    Raises
    ------
    StatisticsError
        If the shapes differ, a side has no rows, or a count is negative or not an integer.

    References
    ----------
    .. [1] Kitagawa, "Components of a difference between two rates", J. Am. Statist. Assoc.
           50(272), 1955.

    Examples
    --------
    Within the segments nothing changes; their mix does. By hand, without smoothing:
    ``0.2 * ln(7 / 5) - 0.2 * ln(3 / 5)``.

    >>> found = split_by_segment([[90, 10], [10, 90]], [[270, 30], [10, 90]])
    >>> round(found.marginal, 3), round(found.mix, 3), bool(abs(found.within).max() < 0.002)
    (0.169, 0.168, True)
    """
    r, c = checked_pair(reference, current)
    if r.ndim != 2 or not r.sum() or not c.sum():
        raise StatisticsError(
            f"found shape {r.shape} with {r.sum()} and {c.sum()} rows; pass counts of shape "
            "(segments, bins) with rows on both sides"
        )
    kept = ((r > 0) | (c > 0)).any(axis=0)
    there = ((r > 0) | (c > 0)).any(axis=1)
    q, p = (_joint(side[np.ix_(there, kept)]) for side in (r, c))
    q_s, p_s = q.sum(axis=1), p.sum(axis=1)
    q_b, p_b = q.sum(axis=0), p.sum(axis=0)
    q_in, p_in = q / q_s[:, np.newaxis], p / p_s[:, np.newaxis]
    w = np.log(p_b / q_b)
    mix = float((p_s - q_s) @ ((p_in + q_in) / 2) @ w)
    within = np.zeros(len(r))
    within[there] = (p_s + q_s) / 2 * ((p_in - q_in) @ w)
    joint_within = np.zeros(len(r))
    logs = np.log(p_in / q_in)
    joint_within[there] = p_s * (p_in * logs).sum(axis=1) - q_s * (q_in * logs).sum(axis=1)
    return Split(
        marginal=float(w @ (p_b - q_b)),
        mix=mix,
        within=within,
        joint_mix=float((p_s - q_s) @ np.log(p_s / q_s)),
        joint_within=np.maximum(joint_within, 0.0),
    )


def _joint(counts: npt.NDArray[np.int64]) -> Floats:
    segments, bins = counts.shape
    smoothed: Floats = (counts + 0.5 / segments) / (counts.sum() + bins / 2)
    return smoothed
