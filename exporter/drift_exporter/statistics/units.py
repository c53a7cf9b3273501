"""A change of unit, seen in two distributions of numbers: kilo for one, cents, Fahrenheit.

Pure: weighted points in, a fitted change out. Knows no column, threshold of drift or clock,
and never whether the change was meant.

A column whose unit changed is the reference's column with every number times a factor (or times
a factor plus an offset). Where only some producers changed, it is a mixture of both. So the
current points are fitted by ``(1 - w) R + w T(R)``, ``R`` being the reference and ``T`` the
change. Which factor is found on histograms of magnitudes, ten cells per decade, where a factor is
a shift; how well each change explains the current points is then compared on common cells.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from drift_exporter.statistics.pairs import Floats, StatisticsError

CELLS_PER_DECADE = 10
"""Cells of a magnitude histogram per factor of ten."""

WIDEST_SHIFT = 100
"""Cells by which magnitudes may have moved: ten decades to either side."""

LEAST_EXPLAINED = 0.85
"""Share of the divergence that a change must explain to be believed, if its factor is large."""

LEAST_EXPLAINED_NAMED = 0.9
"""The same for a factor below `LARGE_FACTOR`, which a named unit must have."""

LARGE_FACTOR = 4.0
"""Factor from which no natural shift of a whole column is as likely as a change of unit."""

SMALL_FACTOR = 1.99
"""Factor below which even a named unit is not told from a shift."""

NAMED_WITHIN = 0.04
"""A factor is that of a named unit when it is this close, relatively."""

LEAST_SHARE = 0.03
"""Share of the rows below which a change of unit is not looked for."""

_POINTS = 1000
_STEPS = 60
_SMOOTHING = 1e-3
_ONE_SIGN = 0.9

FACTORS: dict[str, float] = {
    "ten": 10.0,
    "a hundred (percent, cents, centimetres)": 100.0,
    "a thousand (kilo or milli)": 1e3,
    "a million (mega or micro)": 1e6,
    "a billion (giga or nano)": 1e9,
    "sixty (minutes, seconds)": 60.0,
    "3600 (hours, seconds)": 3600.0,
    "24 (days, hours)": 24.0,
    "86400 (days, seconds)": 86400.0,
    "12 (years, months; dozens)": 12.0,
    "365.25 (years, days)": 365.25,
    "2.54 (inches, centimetres)": 2.54,
    "2.205 (kilograms, pounds)": 1 / 0.45359237,
    "3.281 (metres, feet)": 1 / 0.3048,
    "3.6 (metres per second, kilometres per hour)": 3.6,
    "28.35 (ounces, grams)": 28.349523125,
    "18.02 (glucose: mmol/l, mg/dl)": 18.016,
    "88.4 (creatinine: mg/dl, µmol/l)": 88.42,
    "38.67 (cholesterol: mmol/l, mg/dl)": 38.67,
}
"""Factors between units that are mistaken for each other, in words."""

AFFINE: dict[str, tuple[float, float]] = {
    "Celsius to Fahrenheit": (1.8, 32.0),
    "Fahrenheit to Celsius": (1 / 1.8, -32 / 1.8),
    "Celsius to Kelvin": (1.0, 273.15),
    "Kelvin to Celsius": (1.0, -273.15),
    "Fahrenheit to Kelvin": (1 / 1.8, 273.15 - 32 / 1.8),
    "Kelvin to Fahrenheit": (1.8, 32 - 273.15 * 1.8),
    "the sign": (-1.0, 0.0),
}
"""Changes that are a factor and an offset, in words."""


class Points(NamedTuple):
    """A distribution of numbers as weighted points."""

    values: Floats
    """Shape ``(points,)``."""

    weights: Floats
    """Shares of the rows, of the same shape, adding up to 1."""


class UnitChange(NamedTuple):
    """A change of unit: ``factor * x + offset`` for a share of the rows."""

    unit: str
    """The change in words; empty where the factor is none that has a name."""

    factor: float
    offset: float
    share: float
    """Of the rows that changed."""

    explained: float
    """Share of the divergence from the reference that the change explains, at most 1."""


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
    each = -(-_POINTS // mass.size)
    at = (np.arange(each) + 0.5) / each
    values = low[:, np.newaxis] * (1 - at) + high[:, np.newaxis] * at
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(low > 0, high / low, low / high)
    steep = (low * high > 0) & (ratio > 2)
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
    return shift, 10 ** (_mean_log(current.values, weights) - _mean_log(*reference))


def explain(
    reference: Points, changed: Points, current: Points, noise_rows: float
) -> tuple[float, float]:
    """How much of the divergence a changed part explains, and the share of that part.

    Parameters
    ----------
    reference, changed, current
        The distribution before, the same after the change, and what there is now.
    noise_rows
        Rows whose sampling noise, ``(cells - 1) / (2 rows)``, nobody has to explain.

    Returns
    -------
    tuple of float
        Explained, at most 1 (below 0: worse than the reference alone), and the share.

    Examples
    --------
    >>> was = points([0, 1, 2, 3])
    >>> now = Points(was.values + 100, was.weights)
    >>> explained, share = explain(was, now, now, 1000)
    >>> round(explained, 2), round(share, 2)
    (1.0, 1.0)
    """
    levels = np.linspace(0, 1, 21)[1:-1]
    sides = (reference, changed, current)
    edges = np.unique(np.concatenate([_quantiles(side, levels) for side in sides]))
    old, other, new = (
        np.bincount(
            np.searchsorted(edges, side.values, "right"), side.weights, minlength=edges.size + 1
        )
        for side in sides
    )
    noise = (np.count_nonzero(new) - 1) / (2 * noise_rows)
    fit = _mixture(old, other[np.newaxis], new, noise)
    return float(fit.explained[0]), float(fit.share[0])


def unit_change(
    reference: Points, current: Points, rows: float, reference_rows: float
) -> UnitChange | None:
    """The change of unit that explains the current points, or None where none does.

    Believed is a factor of at least 4 that explains 85 % of the divergence, or a named unit
    that explains 90 %. A single value that came new is no change of unit.

    Parameters
    ----------
    reference, current
        The two distributions.
    rows, reference_rows
        Rows that they were taken from.

    Examples
    --------
    >>> was = points([150, 160, 170, 180, 195])
    >>> unit_change(was, Points(was.values / 2.54, was.weights), 5000, 5000).unit
    '2.54 (inches, centimetres)'
    >>> unit_change(was, Points(was.values + 20, was.weights), 5000, 5000) is None
    True
    """
    if not current.values.size or not reference.values.size:
        return None
    noise_rows = 1 / (1 / max(min(rows, _POINTS), 1) + 1 / max(min(reference_rows, _POINTS), 1))
    best: UnitChange | None = None
    for unit, factor, offset in _candidates(reference, current, noise_rows):
        changed = Points(reference.values * factor + offset, reference.weights)
        explained, share = explain(reference, changed, current, noise_rows)
        large = offset == 0 and max(factor, 1 / factor) >= LARGE_FACTOR if factor > 0 else False
        limit = LEAST_EXPLAINED if large else LEAST_EXPLAINED_NAMED
        if explained < limit or share < LEAST_SHARE or not (unit or large):
            continue
        # The factor as it was measured wins over a name only where it explains clearly more.
        ahead = explained + (0.02 if unit else 0.0)
        behind = best.explained + (0.02 if best.unit else 0.0) if best is not None else -np.inf
        if ahead > behind and not _new_atom(reference, changed, current, share):
            best = UnitChange(unit, factor, offset, share, explained)
    return best


def _candidates(
    reference: Points, current: Points, noise_rows: float
) -> Iterator[tuple[str, float, float]]:
    for unit, (factor, offset) in AFFINE.items():
        positive = float(reference.weights @ (reference.values > 0))
        negative = float(reference.weights @ (reference.values < 0))
        # A column around 0 that moved to the other side looks like one whose sign changed.
        if factor > 0 or max(positive, negative) >= _ONE_SIGN:
            yield unit, factor, offset
    shift, measured = scale_shift(reference, current)
    if shift == 0:
        return
    yield "", measured, 0.0
    spread = _log_spread(reference)
    near = np.clip(2 * np.log(10) * spread / np.sqrt(noise_rows), NAMED_WITHIN, 2 * NAMED_WITHIN)
    for unit, factor in FACTORS.items():
        for exact in (factor, 1 / factor):
            if max(exact, 1 / exact) > SMALL_FACTOR and abs(np.log(measured / exact)) <= near:
                yield unit, exact, 0.0


def _new_atom(reference: Points, changed: Points, current: Points, share: float) -> bool:
    """Whether what came new is a single value, as of a sentinel, where the reference has many."""

    def largest(side: Points) -> float:
        values, at = np.unique(side.values[side.values != 0], return_inverse=True)
        weights = side.weights[side.values != 0]
        return float(np.bincount(at, weights).max()) if values.size else 0.0

    low, high = (changed.values.min(), changed.values.max())
    inside = (current.values >= low) & (current.values <= high)
    moved = Points(current.values[inside], current.weights[inside])
    return largest(moved) > (largest(reference) + 0.3) * share


def _histogram(side: Points, cells: npt.NDArray[np.int64], width: int) -> Floats:
    """Weights by sign (negative, zero, positive) and magnitude, shape ``(3, width)``."""
    at = _sign_row(side.values) * width + cells
    return np.bincount(at, side.weights, minlength=3 * width).reshape(3, width)


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
    if before <= 2 * noise:
        return Mixture(share, np.zeros(len(changed)))
    return Mixture(share, np.minimum((before - after) / (before - noise), 1.0))


def _mean_log(values: Floats, weights: Floats) -> float:
    there = (values != 0) & (weights > 0)
    if not there.any():
        return 0.0
    return float(np.average(np.log10(np.abs(values[there])), weights=weights[there]))


def _log_spread(side: Points) -> float:
    there = side.values != 0
    logs = np.log10(np.abs(side.values[there]))
    weights = side.weights[there]
    middle = float(np.average(logs, weights=weights))
    return float(np.sqrt(np.average((logs - middle) ** 2, weights=weights)))


def _quantiles(side: Points, levels: Floats) -> Floats:
    order = np.argsort(side.values, kind="stable")
    reached = np.cumsum(side.weights[order])
    at = np.minimum(np.searchsorted(reached, levels * reached[-1]), order.size - 1)
    return side.values[order][at]
