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

from drift_exporter.statistics.magnitudes import (
    POINTS,
    Explanation,
    Points,
    explain,
    furthest_apart,
    lies_apart,
    lies_beyond,
    mean_log,
    median_size,
    middle,
    scale_shift,
)

LEAST_EXPLAINED = 0.85
"""Share of the divergence that a change must explain to be believed, if its factor is large."""

LEAST_EXPLAINED_NAMED = 0.9
"""The same for a factor below `LARGE_FACTOR`, which a named unit must have."""

LEAST_EXPLAINED_AFFINE = 0.95
"""The same for a change with an offset, which fits many a shift half."""

WHOLE = 0.9
"""Share of the rows from which the whole column changed."""

MOST_MISFIT = 0.04
"""Kolmogorov's distance, beyond chance, that a changed part may have from the reference's shape."""

LARGE_FACTOR = 4.0
"""Factor from which no natural shift of a whole column is as likely as a change of unit."""

SMALL_FACTOR = 1.99
"""Factor below which even a named unit is not told from a shift."""

NAMED_WITHIN = 0.04
"""A factor is that of a named unit when it is this close, relatively; a large one, twice."""

UNSURE = 0.04
"""Standard error, relatively, beyond which the rows do not tell a small factor from others."""

ROUNDED = 0.01
"""Relative error that rounding may bring into a value."""

COARSE = 0.02
"""Kolmogorov's distance that few stored quantiles may bring."""

CONVERTED = 0.005
"""Relative error that a factor itself may have: 2.2 for 2.205."""

LEAST_SHARE = 0.03
"""Share of the rows below which a change of unit is not looked for."""

_ONE_SIGN = 0.9
# Quantiles of 95 % and 99 %: Kolmogorov's, and the normal law's to both sides.
_KOLMOGOROV, _KOLMOGOROV_SURE = 1.36, 1.63
_NORMAL, _NORMAL_SURE = 1.96, 2.58
# Standard error of a normal column's logarithm of `middle`'s deviation, times the root of the rows.
_SPREAD_ERROR = 0.8
_NAME_WORTH = 0.02

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


def unit_change(
    reference: Points,
    current: Points,
    rows: float,
    reference_rows: float,
    *,
    omega: float = 0.0,
    alone: bool = True,
) -> UnitChange | None:
    """The change of unit that explains the current points, or None where none does.

    Believed is a factor of at least 4 that explains 85 % of the divergence, a smaller one of a
    named unit that explains 90 %, or one with an offset that explains 95 %. The world changes by
    small factors too: of a whole column they, and those with an offset, must agree with it from
    end to end, and the rows must tell them from others. Where only a part of the rows changed, it
    must lie apart from the reference and be of its shape, and the factor must be large. A single
    value that came new is no change of unit.

    Parameters
    ----------
    reference, current
        The two distributions.
    rows, reference_rows
        Rows that they were taken from.
    omega
        Natural variation of PSI between windows in which nothing changed.
    alone
        Whether other columns are as before. Where they are not, a change of the world is at work:
        believed is then a small factor, or one with an offset, only beyond the reference's spread.

    Examples
    --------
    >>> from drift_exporter.statistics.magnitudes import points
    >>> was = points([150, 160, 170, 180, 195])
    >>> unit_change(was, Points(was.values / 2.54, was.weights), 5000, 5000).unit
    '2.54 (inches, centimetres)'
    >>> unit_change(was, Points(was.values + 20, was.weights), 5000, 5000) is None
    True
    """
    if not current.values.any() or not reference.values.any():
        return None
    noise_rows = 1 / (1 / max(min(rows, POINTS), 1) + 1 / max(min(reference_rows, POINTS), 1))
    variance = 1 / max(rows, 1) + 1 / max(reference_rows, 1) + omega
    best: UnitChange | None = None
    most = -np.inf
    for unit, factor, offset in _candidates(reference, current, noise_rows):
        with np.errstate(over="ignore"):
            changed = Points(reference.values * factor + offset, reference.weights)
        fit = explain(reference, changed, current, noise_rows)
        if not _believed(fit, unit, factor, offset, (rows, reference_rows)):
            continue
        if fit.share < WHOLE and not lies_apart(changed, reference):
            continue
        if _passes_for_natural(factor, offset):
            if not alone and not lies_beyond(changed, reference):
                continue
            sides = (reference, changed, current)
            if fit.share >= WHOLE and not _agrees(sides, factor, offset, variance):
                continue
        # The factor as it was measured wins over a name only where it fits clearly better.
        rank = fit.explained - fit.misfit + (_NAME_WORTH if unit else 0.0)
        if rank > most and not _new_atom(reference, changed, current, fit.share):
            best, most = UnitChange(unit, factor, offset, fit.share, fit.explained), rank
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
    # Cells are coarse: where all rows changed, the medians alone are closer.
    whole = median_size(current) / median_size(reference)
    yield "", measured, 0.0
    spread = _log_spread(reference)
    near = np.clip(2 * np.log(10) * spread / np.sqrt(noise_rows), NAMED_WITHIN, 2 * NAMED_WITHIN)
    for unit, factor in FACTORS.items():
        for exact in (factor, 1 / factor):
            off = min(abs(np.log(found / exact)) for found in (measured, whole))
            size = max(exact, 1 / exact)
            # Of a few rows the measure is coarse; a large factor need not be exact to be one.
            if size > SMALL_FACTOR and off <= (near if size < LARGE_FACTOR else 2 * NAMED_WITHIN):
                yield unit, exact, 0.0


def _believed(
    fit: Explanation, unit: str, factor: float, offset: float, rows: tuple[float, float]
) -> bool:
    scaled = offset == 0 and factor > 0
    large = scaled and max(factor, 1 / factor) >= LARGE_FACTOR
    limit = (
        LEAST_EXPLAINED if large else LEAST_EXPLAINED_NAMED if scaled else LEAST_EXPLAINED_AFFINE
    )
    if not (unit or large) or fit.explained < limit or fit.share < LEAST_SHARE:
        return False
    if fit.share >= WHOLE:
        return True
    # A part of the rows may have moved for many reasons: it must look like the reference.
    moved = min(rows[0], POINTS) * fit.share
    chance = _KOLMOGOROV * np.sqrt(1 / (rows[0] * fit.share) + 1 / rows[1]) + 1 / moved
    return (large or not scaled) and fit.misfit <= MOST_MISFIT + chance


def _passes_for_natural(factor: float, offset: float) -> bool:
    """Whether the world may change a column so, without any change of unit."""
    return factor > 0 and (offset != 0 or max(factor, 1 / factor) < LARGE_FACTOR)


def _agrees(
    sides: tuple[Points, Points, Points], factor: float, offset: float, variance: float
) -> bool:
    """Whether a whole column is the reference's after this change and no other.

    It must have its shape from end to end, and location and spread must give the factor and the
    offset, within an error that is small enough for them to be told from others. ``variance`` is
    that of a mean of standard deviation 1.
    """
    reference, changed, current = sides
    sure = np.sqrt(variance)
    if furthest_apart(changed, current, ROUNDED) > _KOLMOGOROV_SURE * sure + COARSE:
        return False
    if offset == 0:
        (was, spread), (found, other) = (middle(_sizes(side)) for side in (reference, current))
        if was == 0 or found == 0:
            return False
        error = sure * max(spread / was, other / found)
        off = abs(np.log(found / was / factor))
        return bool(error <= UNSURE and off <= _NORMAL_SURE * error + CONVERTED)
    (was, spread), (asked, wide), (found, other) = map(middle, sides)
    if min(spread, wide, other) == 0:
        return False
    found_offset = found - other / spread * was
    error = _NORMAL * sure * other * np.hypot(1, _SPREAD_ERROR * was / spread)
    return bool(
        abs(found - asked) <= other * (_NORMAL_SURE * sure + ROUNDED)
        and abs(np.log(other / wide)) <= _SPREAD_ERROR * _NORMAL_SURE * sure + ROUNDED
        # A factor alone must not do as well, nor the rows be too few to tell.
        and error < min(abs(found_offset), abs(offset))
    )


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


def _log_spread(side: Points) -> float:
    there = side.values != 0
    logs = np.log10(np.abs(side.values[there]))
    weights = side.weights[there]
    return float(np.sqrt(np.average((logs - mean_log(*side)) ** 2, weights=weights)))


def _sizes(side: Points) -> Points:
    return Points(np.abs(side.values), side.weights)
