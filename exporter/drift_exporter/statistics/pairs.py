"""A reference and a current histogram over the same bins: checked, shared out, added up.

Knows counts only: not which bin is missing or unseen, and never which statistic asks.
"""

import numpy as np
import numpy.typing as npt

from drift_exporter.errors import DriftExporterError

MOST_ROWS = 2**60
"""Rows of one feature up to which every sum, and five times the sum, fits into int64."""

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class StatisticsError(DriftExporterError):
    """Counts or edges that no statistic is defined for."""


def checked_counts(name: str, counts: npt.ArrayLike) -> Counts:
    """Return the counts as int64, or say under ``name`` what is wrong with them."""
    array = np.asarray(counts)
    if array.ndim == 0 or not np.issubdtype(array.dtype, np.integer):
        raise StatisticsError(
            f"{name}: found shape {array.shape} of {array.dtype}; "
            "pass integer counts of shape (bins,) or (features, bins)"
        )
    if array.size and int(array.min()) < 0:
        raise StatisticsError(
            f"{name}: found a count of {int(array.min())} at {_position(array.argmin(), array)}; "
            "counts cannot be negative, count the data again"
        )
    if array.size and int(array.max()) * array.shape[-1] > MOST_ROWS:
        raise StatisticsError(
            f"{name}: found a count of {int(array.max())} at {_position(array.argmax(), array)}; "
            f"the rows of a feature must stay below {MOST_ROWS}"
        )
    return array.astype(np.int64, copy=False)


def checked_pair(reference: npt.ArrayLike, current: npt.ArrayLike) -> tuple[Counts, Counts]:
    """Return both counts as int64 over the same bins, or say what does not fit."""
    r, c = checked_counts("reference", reference), checked_counts("current", current)
    if r.shape != c.shape:
        raise StatisticsError(
            f"reference has shape {r.shape}, current {c.shape}; "
            "count both over the bins of one profile"
        )
    return r, c


def shares(counts: Counts) -> Floats:
    """Return the share of the rows in each bin; all 0 where there are no rows."""
    rows = counts.sum(axis=-1, keepdims=True)
    result: Floats = np.divide(counts, rows, out=np.zeros(counts.shape), where=rows > 0)
    return result


def total(terms: Floats) -> Floats:
    """Return the sum over the bins, to the last bit the same with zeros appended."""
    # np.sum adds in blocks that depend on the number of columns: a feature's score would
    # change in its last digits with the width of the features beside it.
    return np.asarray(np.cumsum(terms, axis=-1)[..., -1:].sum(axis=-1))


def nan_without_rows(values: Floats, *sides: Counts) -> Floats:
    """Return the values, NaN where any of the sides has no rows."""
    empty = np.any([side.sum(axis=-1) == 0 for side in sides], axis=0)
    return np.where(empty, np.nan, values)


def _position(flat: np.intp, array: npt.NDArray[np.generic]) -> str:
    *features, column = (int(i) for i in np.unravel_index(flat, array.shape))
    return f"bin {column}" + "".join(f" of feature {i}" for i in features[-1:])
