"""What is wrong with one column: the rules, first match wins.

Pure: a column in, a verdict with its numbers out. Knows no incident and no other column.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

import numpy as np
from scipy import special

from drift_exporter.analysis.columns import ALPHA, Column
from drift_exporter.analysis.relabelling import relabelled
from drift_exporter.profile import CategoryBins, NumericBins
from drift_exporter.statistics.divergences import bins_compared, psi, psi_terms
from drift_exporter.statistics.null_law import noise_floor, quantile
from drift_exporter.statistics.units import WHOLE, unit_change

MISSING_RISE = 0.01
"""Rise of the share of missing rows that is never a fault."""

OTHER_RISE = 0.005
"""Rise of the share of unseen or out-of-range rows that is never a fault."""

RELATIVE_RISE = 0.1
"""The same, as a part of the reference's own share: where most rows miss, a point is nothing."""

SENTINEL_SHARE = 0.5
"""Share of the out-of-range rows from which a single value among them is a sentinel."""

FAR = 0.5
"""Distance out of range, in widths of the range, that no shift of the column reaches."""

CARRIED = 0.5
"""Part of its PSI from which a shift is what a single bin did."""

INSIDE = 0.02
"""PSI beyond noise from which the rows within the range have shifted too."""


class Kind(StrEnum):
    """What happened to a column."""

    COLUMN_MISSING = "column_missing"
    UNIT_CHANGE = "unit_change"
    CONSTANT = "constant"
    CATEGORY_RELABELLED = "category_relabelled"
    MISSING = "missing"
    TYPE_CHANGE = "type_change"
    UNSEEN = "unseen"
    OUT_OF_RANGE = "out_of_range"
    DISTRIBUTION_SHIFT = "distribution_shift"
    NOT_EVALUATED = "not_evaluated"
    NONE = "none"

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault of the data rather than a change of the world."""
        return self not in (Kind.DISTRIBUTION_SHIFT, Kind.NOT_EVALUATED, Kind.NONE)


@dataclass(frozen=True)
class Fault:
    """A verdict on a column, and the numbers that a sentence needs."""

    kind: Kind
    numbers: Mapping[str, float] = field(default_factory=dict)
    text: str = ""
    """A unit, a value or names of categories."""


def fault_of(column: Column, *, alone: bool = True) -> Fault:
    """The verdict on a column; ``alone`` says whether other columns are as before."""
    for rule in (
        _column_missing,
        partial(_unit_change, alone=alone),
        _constant,
        _relabelled,
        _missing,
        _unseen,
        _out_of_range,
    ):
        found = rule(column)
        if found is not None:
            return found
    if not column.judged:
        return Fault(Kind.NOT_EVALUATED)
    if not column.shifted:
        return Fault(Kind.NONE)
    return _carried_by_tail(column) or Fault(Kind.DISTRIBUTION_SHIFT)


def _carried_by_tail(column: Column) -> Fault | None:
    """The fault that the shift is, where it is mostly one of rows without a known value."""
    r, c = (side[:-1] for side in (column.reference, column.current))
    terms = psi_terms(r, c, pool=False)
    words = ((-1, Kind.TYPE_CHANGE if column.feature.block.numeric else Kind.UNSEEN),)
    for at, kind in (*words, (-2, Kind.MISSING)):
        before, now = int(r[at]), int(c[at])
        if terms[at] > CARRIED * terms.sum() and now * r.sum() > before * c.sum():
            names = _unseen_names(column) if at == -1 else ""
            return Fault(kind, _shares(column, now, before), names)
    return None


def risen(part: int, rows: int, reference_part: float, reference_rows: int, rise: float) -> bool:
    """Whether a share of rows is above the reference's by more than ``rise``, beyond chance.

    The lower Clopper-Pearson limit of the window's share must be above it, and the rise above
    what the sampling of both sides gives.
    """
    if not rows or not reference_rows or not part:
        return False
    share, before = part / rows, min(reference_part / reference_rows, 1.0)
    limit = before + max(rise, RELATIVE_RISE * before)
    lower = float(special.betaincinv(part, rows - part + 1, ALPHA))
    error = np.sqrt(share * (1 - share) / rows + before * (1 - before) / reference_rows)
    return bool(lower > limit and share - limit > -special.ndtri(ALPHA) * error)


def _column_missing(column: Column) -> Fault | None:
    absent, rows = int(column.current[-1]), int(column.current.sum())
    before = int(column.reference[-1])
    if not risen(absent, rows, before, int(column.reference.sum()), MISSING_RISE):
        return None
    return Fault(Kind.COLUMN_MISSING, {"share": absent / rows})


PREDICTION_TIMES = 50.0
"""Least factor of a change of units in a prediction."""


def _unit_change(column: Column, alone: bool) -> Fault | None:
    if not column.shifted or column.numbers is None:
        return None
    rows = column.numbers.rows
    found = unit_change(
        column.reference_points,
        column.current_points,
        rows,
        int(column.values[0].sum()),
        omega=column.omega,
        alone=alone,
    )
    if found is None:
        return None
    # Inputs that shift move the odds of an output, and so small outputs by a common factor. Its
    # own unit changes with the model alone: from shares to per cent, by cents or thousands.
    if column.feature.role == "prediction" and _times(found.factor) < PREDICTION_TIMES:
        return None
    # A part of the rows at no factor that has a name, out of range: that much is sure, no more.
    if not found.unit and found.share < WHOLE and _out_of_range(column) is not None:
        return None
    numbers = {
        "factor": found.factor,
        "offset": found.offset,
        "share": found.share,
        "explained": found.explained,
    }
    return Fault(Kind.UNIT_CHANGE, numbers, found.unit)


def _times(factor: float) -> float:
    """By how much a factor multiplies or divides; a change of the sign counts as any."""
    return float("inf") if factor <= 0 else max(factor, 1 / factor)


def _constant(column: Column) -> Fault | None:
    before, now = column.values
    rows = int(now.sum())
    if not column.judged or np.count_nonzero(before) < 2 or not rows or column.current[-2]:
        return None
    cell = int(np.argmax(now))
    usual = float(before[cell] / before.sum())
    # So many rows in one cell by chance: the reference is nearly constant itself.
    if now[cell] < rows or (usual > 0 and rows * np.log(usual) > np.log(ALPHA)):
        return None
    bins = column.feature.bins
    if isinstance(bins, CategoryBins):
        if cell >= len(bins.kept) and (column.categories is None or column.categories.distinct > 1):
            return None
        text = bins.kept[cell] if cell < len(bins.kept) else "other"
        return Fault(Kind.CONSTANT, {"share": rows / column.rows}, text)
    if column.numbers is not None:
        grid = column.numbers.grid
        if not grid or grid[0] != grid[-1]:
            return None
        return Fault(Kind.CONSTANT, {"share": rows / column.rows}, f"{grid[0]:g}")
    outside = cell in (0, len(now) - 1)
    if outside or usual > SENTINEL_SHARE:
        return None
    return Fault(Kind.CONSTANT, {"share": rows / column.rows})


def _relabelled(column: Column) -> Fault | None:
    found = relabelled(column) if column.judged else None
    if found is None:
        return None
    share, pairs = found
    return Fault(Kind.CATEGORY_RELABELLED, {"share": share}, pairs)


def _missing(column: Column) -> Fault | None:
    missing, before = int(column.current[-3]), int(column.reference[-3])
    if not risen(missing, column.rows, before, column.reference_rows, MISSING_RISE):
        return None
    return Fault(Kind.MISSING, _shares(column, missing, before))


def _unseen(column: Column) -> Fault | None:
    unseen, before = int(column.current[-2]), int(column.reference[-2])
    numeric = isinstance(column.feature.bins, NumericBins)
    expected = before + (0.0 if numeric else _rare(column))
    if not risen(unseen, column.rows, expected, column.reference_rows, OTHER_RISE):
        return None
    kind = Kind.TYPE_CHANGE if numeric else Kind.UNSEEN
    return Fault(kind, _shares(column, unseen, before), _unseen_names(column))


def _rare(column: Column) -> float:
    """Categories that the reference had once, at least: so often a new one comes (Good, Turing)."""
    bins, cells = column.feature.bins, column.values[0]
    if not isinstance(bins, CategoryBins):
        return 0.0
    once = int(np.count_nonzero(cells[:-1] == 1))
    return float(once + max(2 * len(bins.others) - int(cells[-1]), 0))


def _unseen_names(column: Column) -> str:
    bins = column.feature.bins
    if column.categories is None or not isinstance(bins, CategoryBins):
        return ""
    new = [name for name, _ in column.categories.counts if name not in bins.codes]
    return ", ".join(repr(name) for name in new[:3]) + (", …" if len(new) > 3 else "")


def _out_of_range(column: Column) -> Fault | None:
    bins = column.feature.bins
    if not isinstance(bins, NumericBins):
        return None
    before, now = column.values
    outside = int(now[0] + now[-1])
    # The extremes of so many rows are not the last ones possible: 2 / (m + 1) is expected.
    expected = int(before[0] + before[-1]) + 2
    if not risen(outside, column.rows, expected, column.reference_rows, OTHER_RISE):
        return None
    shares = _shares(column, outside, int(before[0] + before[-1]))
    if column.numbers is not None and column.numbers.grid:
        grid = np.array(column.numbers.grid[1:])
        beyond = grid[(grid < bins.low) | (grid > bins.high)]
        values, repeats = np.unique(beyond, return_counts=True)
        if beyond.size > 1 and repeats.max() >= SENTINEL_SHARE * beyond.size:
            return Fault(Kind.OUT_OF_RANGE, shares, f"{values[np.argmax(repeats)]:g}")
        distance = np.where(beyond < bins.low, bins.low - beyond, beyond - bins.high)
        if beyond.size and np.median(distance) > FAR * (bins.high - bins.low):
            return Fault(Kind.OUT_OF_RANGE, shares)
    # Rows that slid over the edge took the rest along: the column shifted, and is whole.
    if column.shifted and _shifted_inside(column):
        return None
    return Fault(Kind.OUT_OF_RANGE, shares)


def _shifted_inside(column: Column) -> bool:
    before, now = (side[1:-1] for side in column.values)
    n, m = int(now.sum()), int(before.sum())
    if not n or not m:
        return False
    bins = bins_compared(before, now)
    least = quantile(ALPHA, bins, n, m, column.omega)
    floor = noise_floor(bins, n, m) + INSIDE
    return bool(psi(before, now) > np.fmax(least, floor))


def _shares(column: Column, part: int, before: int) -> dict[str, float]:
    return {
        "share": part / max(column.rows, 1),
        "reference_share": before / max(column.reference_rows, 1),
    }
