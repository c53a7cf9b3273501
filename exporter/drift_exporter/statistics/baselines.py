"""What a window is compared with: the whole reference, or its hours in the window's own mix.

Pure: counts in, shares out. Knows no calendar: a slot is a number that the caller gives.

A slot baseline keeps the reference apart by slot (hour of day, weekday or weekend). A window is
compared with the slots mixed in its own proportions, so that a change of the traffic's rhythm is
not drift. The mix is of shares, not of rows: `psi_against_shares` compares with it as
`divergences.psi` compares with counts.
"""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.divergences import THIN_ROWS
from drift_exporter.statistics.pairs import (
    Counts,
    Floats,
    StatisticsError,
    checked_counts,
    shares,
    total,
)

SLOTS = 48
"""Hours of a weekday, then hours of a day of the weekend."""

_THURSDAY = 3
_SATURDAY = 5
_DAY_SECONDS = 86_400
# A share times rows is a hair below the whole number that it stands for.
_ROUNDING = 1 - 1e-9


class Kind(StrEnum):
    """Which baseline a feature is compared with."""

    GLOBAL = "global"
    SLOTS = "slots"


def slot_of(time_seconds: npt.ArrayLike, utc_offset_seconds: int = 0) -> Counts:
    """Slot of a time: hour of the day, plus 24 on Saturday and Sunday.

    Parameters
    ----------
    time_seconds
        Seconds since the epoch, integers of any shape.
    utc_offset_seconds
        What local time is ahead of UTC; the rhythm of people follows it.

    Examples
    --------
    The epoch began on a Thursday; two days later it was Saturday.

    >>> slot_of([0, 3 * 3600, 2 * 86_400 + 3600]).tolist()
    [0, 3, 25]
    """
    local = np.asarray(time_seconds, dtype=np.int64) + utc_offset_seconds
    weekend = (local // _DAY_SECONDS + _THURSDAY) % 7 >= _SATURDAY
    slot: Counts = local // 3600 % 24 + 24 * weekend
    return slot


def counts_by_slot(counts: npt.ArrayLike, slots: npt.ArrayLike) -> Counts:
    """Rows per slot and bin, shape ``(48, bins)``, of slices of shape ``(slices, bins)``.

    Raises
    ------
    StatisticsError
        If a count is negative or not an integer, or there is not one slot for each slice.

    Examples
    --------
    >>> counts_by_slot([[1, 2], [3, 4], [5, 6]], [0, 25, 0])[[0, 25]].tolist()
    [[6, 8], [3, 4]]
    """
    slices, of = checked_counts("slices", counts), checked_counts("slots", slots)
    if of.shape != slices.shape[:1]:
        raise StatisticsError(
            f"slices have shape {slices.shape}, slots {of.shape}; pass one slot for each slice"
        )
    by_slot = np.zeros((SLOTS, slices.shape[1]), dtype=np.int64)
    np.add.at(by_slot, of, slices)
    return by_slot


def mixed_baseline(slot_counts: npt.ArrayLike, window_rows: npt.ArrayLike) -> tuple[Floats, Floats]:
    """The reference in the window's mix of slots: its shares, and the rows they are worth.

    ``q* = sum_s (n_s / n) q_s`` and ``1 / m* = sum_s (n_s / n) / m_s``, which bounds the variance
    of the mix from above.

    Parameters
    ----------
    slot_counts
        Rows of the reference per slot and bin, integers of shape ``(..., slots, bins)``.
    window_rows
        Rows of the window per slot, integers of shape ``(..., slots)``.

    Returns
    -------
    tuple of ndarray
        ``q*`` of shape ``(..., bins)`` and ``m*`` of shape ``(...)``. Without rows in the window
        or without reference in one of its slots the shares are NaN and the rows 0.

    Raises
    ------
    StatisticsError
        If the shapes differ or a count is negative or not an integer.

    Examples
    --------
    A window of which a quarter lies in the second slot.

    >>> q, m = mixed_baseline([[[60, 40], [20, 80]]], [[30, 10]])
    >>> q.round(3), m.round(3)
    (array([[0.5, 0.5]]), array([100.]))
    """
    counts = checked_counts("slot counts", slot_counts)
    weights = checked_counts("window rows", window_rows)
    if counts.ndim < 2 or counts.shape[-2] != weights.shape[-1]:
        raise StatisticsError(
            f"slot counts have shape {counts.shape}, window rows {weights.shape}; "
            "count both over the same slots"
        )
    mix = shares(weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        per_row = np.where(mix > 0, mix / counts.sum(axis=-1), 0.0).sum(axis=-1)
    baseline = np.einsum("...s,...sb->...b", mix, shares(counts))
    usable = (weights.sum(axis=-1) > 0) & np.isfinite(per_row)
    rows = np.divide(1.0, per_row, out=np.zeros(usable.shape), where=usable)
    return np.where(usable[..., np.newaxis], baseline, np.nan), rows


def psi_against_shares(
    baseline: npt.ArrayLike, reference_rows: npt.ArrayLike, current: npt.ArrayLike
) -> tuple[Floats, Counts]:
    """PSI of windows against shares that are worth a number of rows, and the bins compared.

    The shares stand for ``baseline * reference_rows`` rows per bin, whole or not; from there on
    smoothing, pooling of thin bins and dropping of empty ones are those of `divergences.psi`.
    With ``baseline = counts / counts.sum()`` and ``reference_rows = counts.sum()`` both functions
    agree, and the bins are those of `divergences.bins_compared`.

    Parameters
    ----------
    baseline
        Shares of the reference, shape ``(..., bins)``, each row adding up to 1.
    reference_rows
        Rows that they are worth, shape ``(...)``, not necessarily whole.
    current
        Rows of the window per bin, integers of shape ``(..., bins)``.

    Returns
    -------
    tuple of ndarray
        PSI in nats, NaN where a side has no rows, and the number of bins, 0 there; both of
        shape ``(...)``.

    Raises
    ------
    StatisticsError
        If a count is negative or not an integer, or the bins differ.

    Examples
    --------
    >>> psi, bins = psi_against_shares([0.5, 0.5], 100, [80, 20])
    >>> round(float(psi), 4), int(bins)
    (0.4063, 2)
    """
    c = checked_counts("current", current)
    q, m = np.asarray(baseline, dtype=np.float64), np.asarray(reference_rows, dtype=np.float64)
    if q.shape[-1:] != c.shape[-1:]:
        raise StatisticsError(
            f"the baseline has shape {q.shape}, current {c.shape}; "
            "count both over the bins of one profile"
        )
    n = c.sum(axis=-1)
    usable = (n > 0) & (m > 0) & ~np.isnan(m)
    # Without rows on a side any number of them will do: the answer is NaN.
    rows, now = (np.where(usable, side, 1.0)[..., np.newaxis] for side in (m, n))
    r = np.where(usable[..., np.newaxis], q, 0.0) * rows
    thin = r * np.minimum(1.0, now / rows) < THIN_ROWS * _ROUNDING
    r, w = _merged(r, thin), _merged(c.astype(np.float64), thin)
    kept = (r > 0) | (w > 0)
    bins = np.count_nonzero(kept, axis=-1)
    half = bins[..., np.newaxis] / 2
    reference = np.where(kept, (r + 0.5) / (rows + half), 1.0)
    window = np.where(kept, (w + 0.5) / (now + half), 1.0)
    psi = total((window - reference) * np.log(window / reference))
    return np.where(usable, psi, np.nan), np.where(usable, bins, 0)


def _merged(rows: Floats, thin: npt.NDArray[np.bool_]) -> Floats:
    rows, thin = np.broadcast_arrays(rows, thin)
    pool = np.sum(rows, axis=-1, keepdims=True, where=thin)
    return np.concatenate([np.where(thin, 0, rows), pool], axis=-1)
