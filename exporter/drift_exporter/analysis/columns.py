"""One column's side of the evidence: its cells, its PSI and what of it is not noise.

Pure: evidence in, numbers per column out. Knows no rule of what is a fault.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drift_exporter.analysis.evidence import Evidence
from drift_exporter.profile import CategorySketch, Feature, NumericBins, NumericSketch
from drift_exporter.statistics.magnitudes import Points, points
from drift_exporter.statistics.null_law import noise_floor, quantile
from drift_exporter.verdicts.scoring import kept_bins, score_psi

Integers = NDArray[np.int64]

ALPHA = 1e-3
"""Probability of a wrong verdict on a model of which nothing changed, all columns together."""

MATERIAL = 0.05
"""PSI beyond noise that is worth a word, however sure we are."""

STRANGE = 0.005
"""Share of unseen or out-of-range rows from which a column is looked at."""


@dataclass(frozen=True)
class Column:
    """One feature or prediction in the reference and in the window."""

    feature: Feature
    reference: Integers
    """Rows per cell, shape ``(cells,)``."""

    current: Integers
    psi: float
    """NaN where a side has no rows."""

    excess: float
    """PSI beyond noise and natural variation, at least 0."""

    limit: float
    """PSI up to which it is chance, usual variation or a trifle; no threshold of any alert."""

    alpha: float
    """Probability of a wrong verdict on this column."""

    omega: float
    judged: bool
    """Whether there are rows enough."""

    numbers: NumericSketch | None = None
    categories: CategorySketch | None = None
    grid: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The column's name."""
        return self.feature.name

    @property
    def rows(self) -> int:
        """Rows of the window that came with the column."""
        return int(self.current[:-1].sum())

    @property
    def reference_rows(self) -> int:
        """Rows of the reference that came with the column."""
        return int(self.reference[:-1].sum())

    @property
    def shifted(self) -> bool:
        """Whether PSI is beyond noise, and material."""
        return self.judged and self.psi > self.limit

    @property
    def values(self) -> tuple[Integers, Integers]:
        """Value cells of reference and window."""
        return self.reference[:-3], self.current[:-3]

    @cached_property
    def reference_points(self) -> Points:
        """The reference's numbers as points: from its quantiles, or spread over its bins."""
        bins = self.feature.bins
        if not isinstance(bins, NumericBins):
            return Points(np.empty(0), np.empty(0))
        if len(self.grid) > 1:
            return points(self.grid)
        cells = self.reference[:-3]
        folded = cells[1:-1].copy()
        folded[0] += cells[0]
        folded[-1] += cells[-1]
        return points(bins.ends, folded)

    @cached_property
    def current_points(self) -> Points:
        """The window's numbers as points; none without a sketch."""
        return points(self.numbers.grid if self.numbers is not None else ())


def columns_of(evidence: Evidence) -> tuple[Column, ...]:
    """The columns of the evidence, in the profile's order."""
    layout = evidence.profile.layout
    reference, current = evidence.profile.counts, evidence.current
    psi = score_psi(reference, current, layout)
    kept, pooled = kept_bins(reference, current, layout)
    n, m = layout.feature_rows(current), layout.feature_rows(reference)
    alpha = ALPHA / max(len(layout.blocks), 1)
    omega = _by_name(evidence, evidence.omega, 0.0)
    asked = _by_name(evidence, evidence.limits, np.nan)
    noise = noise_floor(pooled, n, m)
    least = np.fmin(asked, noise + MATERIAL)
    limit = np.fmax(quantile(alpha, pooled, n, m, omega), least)
    judged = (n >= evidence.min_rows) & (m > 0) & (kept >= 2) & (pooled >= 2)
    excess = np.where(judged, np.maximum(np.nan_to_num(psi - noise - omega), 0.0), 0.0)
    return tuple(
        Column(
            feature=feature,
            reference=layout.cells(reference, i),
            current=layout.cells(current, i),
            psi=float(psi[i]),
            excess=float(excess[i]),
            limit=float(limit[i]),
            alpha=alpha,
            omega=float(omega[i]),
            judged=bool(judged[i]),
            numbers=evidence.numeric.get(feature.name),
            categories=evidence.categorical.get(feature.name),
            grid=evidence.reference_grids.get(feature.name, ()),
        )
        for i, feature in enumerate(evidence.profile.features)
    )


def columns_to_sketch(evidence: Evidence) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The numeric and the categorical columns that the source is to be asked about once more.

    Those whose counts moved, and those with rows out of range or unseen: a sketch tells why.
    """
    suspicious = [c for c in columns_of(evidence) if c.rows and (c.shifted or _strange(c))]
    numeric = [c.name for c in suspicious if c.feature.kind == "numeric"]
    categorical = [c.name for c in suspicious if c.feature.kind == "categorical"]
    return tuple(numeric), tuple(categorical)


def _strange(column: Column) -> bool:
    strange = int(column.current[-2])
    if column.feature.kind == "numeric":
        strange += int(column.current[0] + column.current[-4])
    return strange > STRANGE * column.rows


def _by_name(
    evidence: Evidence, values: Mapping[str, float], default: float
) -> NDArray[np.float64]:
    names = [feature.name for feature in evidence.profile.features]
    return np.array([values.get(name, default) for name in names], dtype=np.float64)
