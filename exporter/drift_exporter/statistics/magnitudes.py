"""Two distributions of numbers as weighted points, and how well a third is made of both.

Pure: edges and masses in, points and fits out. Knows no unit, column or clock.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.pairs import Floats, StatisticsError

CELLS_PER_DECADE = 10
"""Cells of a magnitude histogram per factor of ten."""

WIDEST_SHIFT = 100
"""Cells by which magnitudes may have moved: ten decades to either side."""

POINTS = 1000
"""Points, at least, that stand for a distribution."""

_STEPS = 60
_SMOOTHING = 1e-3
_TAIL = 0.05


class Points(NamedTuple):
    """A distribution of numbers as weighted points."""

    values: Floats
    """Shape ``(points,)``."""

    weights: Floats
    """Shares of the rows, of the same shape, adding up to 1."""


class Mixture(NamedTuple):
    """How well a changed and an unchanged part make up a distribution."""

    share: Floats
    """Of the changed part, shape ``(candidates,)``."""

    explained: Floats
    """Of the divergence, shape ``(candidates,)``, at most 1."""


def points(edges: npt.ArrayLike, masses: npt.ArrayLike | None = None) -> Points:
    """Points that stand for numbers of which only a histogram or quantiles are known.

    Parameters
    ----------
    edges
        Edges of the bins with both finite ends, rising, shape ``(bins + 1,)``; or quantiles at
        equal steps, minimum and maximum among them.
    masses
        Rows per bin, shape ``(bins,)``; equal ones for quantiles.

    Returns
    -------
    Points
        Spread evenly between the edges, or evenly in their logarithm where the upper edge is
        more than twice the lower. No points without rows.

    Raises
    ------
    StatisticsError
        If there is not one mass for each bin.

    Examples
    --------
    >>> found = points([0, 10, 10, 30], [2, 1, 1])
    >>> round(float(found.values @ found.weights), 1), float(found.weights.sum())
    (9.6, 1.0)
    """
    ends = np.asarray(edges, dtype=np.float64)
    mass = np.ones(max(ends.size - 1, 0)) if masses is None else np.asarray(masses, np.float64)
    if mass.shape != (max(ends.size - 1, 0),):
        raise StatisticsError(
            f"edges have shape {ends.shape}, masses {mass.shape}; pass one mass between two edges"
        )
    kept = mass > 0
    if not kept.any():
        return Points(np.empty(0), np.empty(0))
    low, high, mass = ends[:-1][kept], ends[1:][kept], mass[kept]
    each = -(-POINTS // mass.size)
    at = (np.arange(each) + 0.5) / each
    values = low[:, np.newaxis] * (1 - at) + high[:, np.newaxis] * at
    values[low == high] = low[low == high, np.newaxis]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(low > 0, high / low, low / high)
    steep = (np.sign(low) * np.sign(high) > 0) & (ratio > 2)
    if steep.any():
        sign = np.sign(low[steep])[:, np.newaxis]
        logs = np.log(np.abs(np.stack((low[steep], high[steep]))))[..., np.newaxis]
        values[steep] = sign * np.exp(logs[0] * (1 - at) + logs[1] * at)
    weights = np.repeat(mass / (mass.sum() * each), each)
    return Points(values.ravel(), weights)


def magnitudes(values: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The cell of each number's magnitude: ``floor(10 * log10(abs(x)))``; of 0, cell 0.

    Examples
    --------
    >>> magnitudes([1, 2, 10, -1000, 0])
    array([ 0,  3, 10, 30,  0])
    """
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    logs = np.log10(sizes, out=np.zeros(sizes.shape), where=sizes > 0)
    # A thousand must not fall below its own cell by rounding.
    return np.floor(CELLS_PER_DECADE * logs + 1e-9).astype(np.int64)


def scale_shift(reference: Points, current: Points) -> tuple[int, float]:
    """The shift of magnitudes that explains the current points best, in cells, and its factor.

    For every shift of -100 to 100 cells the changed share is fitted by EM [1]_ (it is a mixture
    of two known distributions, so that the likelihood has one maximum). The factor is ten to the
    distance of the mean logarithms, the current points weighted by how surely they changed.

    Parameters
    ----------
    reference, current
        The two distributions.

    Returns
    -------
    tuple of int, float
        0 and 1.0 where nothing moved.

    References
    ----------
    .. [1] Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM
           algorithm", J. R. Statist. Soc. B 39(1), 1977.

    Examples
    --------
    >>> was = points([10, 20, 40, 80])
    >>> shift, factor = scale_shift(was, Points(was.values * 1000, was.weights))
    >>> shift, round(factor)
    (30, 1000)
    """
    here, there = magnitudes(current.values), magnitudes(reference.values)
    low = int(min(here.min(), there.min()))
    width = int(max(here.max(), there.max())) - low + 1
    old = _histogram(reference, there - low, width)
    new = _histogram(current, here - low, width)
    shifted = _shifted(old)
    fits = _mixture(old.ravel(), shifted.reshape(len(shifted), -1), new.ravel(), 0.0)
    order = np.lexsort((np.abs(np.arange(-WIDEST_SHIFT, WIDEST_SHIFT + 1)), -fits.explained))
    best = int(order[0])
    shift = best - WIDEST_SHIFT
    if shift == 0:
        return 0, 1.0
    share = float(fits.share[best])
    changed = share * shifted[best]
    sure = changed / ((1 - share) * (old + _SMOOTHING / old.size) + changed + 1e-300)
    weights = current.weights * sure[_sign_row(current.values), here - low]
    return shift, 10 ** (mean_log(current.values, weights) - mean_log(*reference))


class Explanation(NamedTuple):
    """How well a changed part explains a distribution."""

    explained: float
    """Share of the divergence, at most 1; below 0 it is worse than no change."""

    share: float
    """Of the rows that changed."""

    misfit: float
    """Kolmogorov's distance between the changed part and what it should look like."""


def explain(reference: Points, changed: Points, current: Points, noise_rows: float) -> Explanation:
    """How well the reference and its changed self make up the current points.

    Parameters
    ----------
    reference, changed, current
        The distribution before, the same after the change, and what there is now.
    noise_rows
        Rows whose sampling noise, ``(cells - 1) / (2 rows)``, nobody has to explain.

    Examples
    --------
    >>> was = points([0, 1, 2, 3])
    >>> now = Points(was.values + 100, was.weights)
    >>> found = explain(was, now, now, 1000)
    >>> round(found.explained, 2), round(found.share, 2), round(found.misfit, 2)
    (1.0, 1.0, 0.0)
    """
    levels = np.linspace(0, 1, 21)[1:-1]
    sides = (reference, changed, current)
    edges = np.unique(np.concatenate([_quantiles(side, levels) for side in sides]))
    old, other, new = (
        _rows(np.searchsorted(edges, side.values, "right"), side.weights, edges.size + 1)
        for side in sides
    )
    noise = (np.count_nonzero(new) - 1) / (2 * noise_rows)
    fit = _mixture(old, other[np.newaxis], new, noise)
    share = float(fit.share[0])
    part = share * other
    moved = new * np.divide(
        part, (1 - share) * old + part, out=np.zeros(part.shape), where=part > 0
    )
    apart = np.cumsum(moved / max(moved.sum(), 1e-300) - other / other.sum())
    return Explanation(float(fit.explained[0]), share, float(np.abs(apart).max()))


def _histogram(side: Points, cells: npt.NDArray[np.int64], width: int) -> Floats:
    """Weights by sign (negative, zero, positive) and magnitude, shape ``(3, width)``."""
    at = _sign_row(side.values) * width + cells
    return _rows(at, side.weights, 3 * width).reshape(3, width)


def _rows(at: npt.NDArray[np.int64], weights: Floats, cells: int) -> Floats:
    return np.asarray(np.bincount(at, weights, minlength=cells), dtype=np.float64)


def _sign_row(values: Floats) -> npt.NDArray[np.int64]:
    return np.sign(values).astype(np.int64) + 1


def _shifted(old: Floats) -> Floats:
    """The histogram shifted by -100 to 100 cells, shape ``(201, 3, width)``; 0 stays 0."""
    padded = np.pad(old, ((0, 0), (WIDEST_SHIFT, WIDEST_SHIFT)))
    views = np.lib.stride_tricks.sliding_window_view(padded, old.shape[1], axis=1)
    # A window that starts 100 cells early holds what was shifted up by 100.
    shifted = np.ascontiguousarray(np.moveaxis(views, 1, 0)[::-1])
    shifted[:, 1] = old[1]
    return shifted


def _mixture(old: Floats, changed: Floats, new: Floats, noise: float) -> Mixture:
    seen = new > 0
    c = new[seen]
    # Rows where the model has none cost much, not everything.
    blur = _SMOOTHING / old.size
    r = (1 - _SMOOTHING) * old[seen] + blur
    s = (1 - _SMOOTHING) * changed[:, seen] + blur
    share = np.full(len(changed), 0.5)
    for _ in range(_STEPS):
        part = share[:, np.newaxis] * s
        share = (part / ((1 - share)[:, np.newaxis] * r + part)) @ c
    fitted = (1 - share)[:, np.newaxis] * r + share[:, np.newaxis] * s
    before = float(c @ np.log(c / r))
    after = np.log(c / fitted) @ c
    # Blurring alone makes equal histograms differ by as much as it.
    if before <= 2 * (noise + _SMOOTHING):
        return Mixture(share, np.zeros(len(changed)))
    return Mixture(share, np.minimum((before - after) / (before - noise), 1.0))


def mean_log(values: Floats, weights: Floats) -> float:
    """The mean of ``log10(abs(x))`` of what is not 0; 0 where nothing is left."""
    there = (values != 0) & (weights > 0)
    if not there.any():
        return 0.0
    return float(np.average(np.log10(np.abs(values[there])), weights=weights[there]))


def median_size(side: Points) -> float:
    """The median of ``abs(x)`` of what is not 0; there must be something."""
    there = side.values != 0
    sizes = Points(np.abs(side.values[there]), side.weights[there])
    return float(_quantiles(sizes, np.array([0.5]))[0])


def lies_apart(side: Points, other: Points) -> bool:
    """Whether the middle of one distribution is beyond nineteen twentieths of the other."""
    low, high = _quantiles(other, np.array([0.05, 0.95]))
    centre = _quantiles(side, np.array([0.5]))[0]
    return bool(centre < low or centre > high)


def lies_beyond(side: Points, other: Points) -> bool:
    """Whether nineteen twentieths of one distribution are beyond nineteen of the other."""
    ends = np.array([_TAIL, 1 - _TAIL])
    (low, high), (other_low, other_high) = _quantiles(side, ends), _quantiles(other, ends)
    return bool(low > other_high or high < other_low)


def middle(side: Points) -> tuple[float, float]:
    """The mean of values cut off at their 5 % and 95 % quantiles, and its deviation.

    Tails of sketches are coarse. The deviation divided by the root of the rows is the mean's
    standard error [1]_. There must be points.

    References
    ----------
    .. [1] Tukey, McLaughlin, "Less vulnerable confidence and significance procedures for location
           based on a single sample: trimming/winsorization 1", Sankhya A 25, 1963.

    Examples
    --------
    >>> mean, deviation = middle(points([0, 10, 20, 30]))
    >>> round(mean, 1), round(deviation, 1)
    (15.0, 9.5)
    """
    ends = np.clip(side.values, *_quantiles(side, np.array([_TAIL, 1 - _TAIL])))
    mean = float(np.average(ends, weights=side.weights))
    spread = float(np.sqrt(np.average((ends - mean) ** 2, weights=side.weights)))
    return mean, spread / (1 - 2 * _TAIL)


def furthest_apart(side: Points, other: Points, rounded: float) -> float:
    """Kolmogorov's distance, where a value may be off by a share ``rounded`` of its size.

    Examples
    --------
    >>> was = points([10, 20, 40, 80])
    >>> furthest_apart(was, Points(was.values * 1.005, was.weights), 0.01)
    0.0
    >>> round(furthest_apart(was, Points(was.values * 2, was.weights), 0.01), 2)
    0.33
    """
    at = np.unique(np.concatenate((side.values, other.values)))
    off = rounded * np.abs(at)
    return max(
        0.0,
        float((_up_to(side, at - off) - _up_to(other, at)).max()),
        float((_up_to(other, at - off) - _up_to(side, at)).max()),
    )


def _up_to(side: Points, at: Floats) -> Floats:
    """Share of the rows up to each value."""
    order = np.argsort(side.values, kind="stable")
    reached = np.concatenate(([0.0], np.cumsum(side.weights[order])))
    found: Floats = reached[np.searchsorted(side.values[order], at, side="right")]
    return found


def _quantiles(side: Points, levels: Floats) -> Floats:
    order = np.argsort(side.values, kind="stable")
    reached = np.cumsum(side.weights[order])
    at = np.minimum(np.searchsorted(reached, levels * reached[-1]), order.size - 1)
    found: Floats = side.values[order][at]
    return found
