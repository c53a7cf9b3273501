"""What several windows find together: the smallest shift after which all of them alarm.

Pure: numbers in, numbers out. Knows no counts, features or history.
"""

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from drift_exporter.statistics.pairs import Floats

_LARGEST_SHIFT = 8.0
_BISECTIONS = 25
_WHOLE = 1 - 1e-12


def smallest_agreed_shift(
    wanted: npt.ArrayLike, value_bins: npt.ArrayLike, other_rows: npt.ArrayLike, held: npt.ArrayLike
) -> Floats:
    """Smallest shift of the mean, in standard deviations, that every window finds.

    Of a normal feature behind the bins in the order given. A window that began before the shift
    holds old rows too: its bins have the shares ``q + held * (p - q)``, with ``q`` of the
    reference and ``p`` of shifted rows.

    Parameters
    ----------
    wanted
        True PSI that each window finds, as from `power.smallest_psi`, shape ``(columns, windows)``;
        NaN: the window judges nothing, and the others need not wait for it.
    value_bins
        Rows of the reference per bin of values, ``(columns, bins)``; empty bins are left out.
    other_rows
        Its rows without a value, which no shift moves, ``(columns,)``.
    held
        Share of shifted rows in each window, at each of several times: ``(times, windows)``.

    Returns
    -------
    ndarray
        From 0, of shape ``(columns, times)``. Infinite where not even 8 standard deviations
        suffice, NaN where no window judges or values are in fewer than 2 bins.
    """
    wanted, counts = np.asarray(wanted, np.float64), np.asarray(value_bins, np.float64)
    rows = counts.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        q = counts / rows[:, np.newaxis]
        valued = rows / (rows + np.asarray(other_rows, np.float64))
    below = np.cumsum(q, axis=1)[:, :-1]
    edges = np.where(below < _WHOLE, stats.norm.ppf(np.minimum(below, 1.0)), np.inf)
    mixes = np.asarray(held, np.float64)
    low = np.zeros((len(q), len(mixes)))
    high = np.full(low.shape, _LARGEST_SHIFT)

    def enough(shift: Floats) -> npt.NDArray[np.bool_]:
        psi = valued[:, np.newaxis, np.newaxis] * _mixed_psi(shift, q, edges, mixes)
        over = (psi >= wanted[:, np.newaxis]) | np.isnan(wanted)[:, np.newaxis]
        return np.asarray(over.all(axis=-1), np.bool_)

    reached = enough(high)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = enough(middle)
        low, high = np.where(found, low, middle), np.where(found, middle, high)
    judged = ~np.isnan(wanted).all(axis=1) & (np.count_nonzero(counts, axis=1) > 1)
    return np.where(judged[:, np.newaxis], np.where(reached, high, np.inf), np.nan)


def _mixed_psi(shift: Floats, q: Floats, edges: Floats, mixes: Floats) -> Floats:
    """PSI of each window, ``(columns, times, windows)``, after a shift, ``(columns, times)``."""
    below = special.ndtr(edges[:, np.newaxis] - shift[..., np.newaxis])
    whole = np.concatenate([below, np.ones((*shift.shape, 1))], axis=-1)
    moved = np.diff(whole, axis=-1, prepend=0.0) - q[:, np.newaxis]
    used = q[:, np.newaxis] > 0
    psi = np.zeros((*shift.shape, mixes.shape[1]))
    for window in range(mixes.shape[1]):
        change = mixes[:, window, np.newaxis] * moved
        mixed = np.maximum(q[:, np.newaxis] + change, np.finfo(np.float64).tiny)
        surprise = np.log(mixed / np.where(used, q[:, np.newaxis], 1.0))
        psi[..., window] = np.sum(np.where(used, change * surprise, 0.0), axis=-1)
    return psi
