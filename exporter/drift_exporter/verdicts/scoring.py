"""All scores of a window at once: the profile's counts against the window's counts.

Pure: knows how a profile's bins feed each statistic; no threshold, window, clock or source.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from drift_exporter.counts import Layout, Vector
from drift_exporter.profile import NumericBins, Profile
from drift_exporter.statistics.distances import ks_statistic, wasserstein_distance
from drift_exporter.statistics.divergences import (
    bins_compared,
    hellinger_distance,
    js_distance,
    kl_divergence,
    psi,
    total_variation,
)
from drift_exporter.statistics.quality import missing_share, out_of_range_share, unseen_share
from drift_exporter.verdicts.verdict import Floats, Integers


@dataclass(frozen=True)
class Reference:
    """A profile made ready for scoring."""

    layout: Layout
    counts: Vector
    """Rows per cell, ``(cells,)``."""

    bins: Vector
    """Rows per bin, missing and unseen, ``(features, max_bins + 2)``."""

    value_bins: Vector
    """Rows per value bin, ``(features, max_bins)``."""

    rows: Integers
    """Rows that came with the column, ``(features,)``."""

    numeric: NDArray[np.intp]
    """Positions of the numeric features."""

    edges: Floats
    """Edges of the numeric features with both ends, ``(numeric, max_bins + 1)``."""

    sigma: Floats
    """Spread of the numeric features, ``(numeric,)``."""

    complete: NDArray[np.bool_]
    """Features whose unseen values are told apart, ``(features,)``."""

    rates: Mapping[str, Floats]
    """Shares of missing, unseen and out-of-range rows of the reference."""


def prepare(profile: Profile) -> Reference:
    """Make a profile ready for scoring."""
    layout = profile.layout
    numeric = [i for i, f in enumerate(profile.features) if isinstance(f.bins, NumericBins)]
    width = layout.max_bins + 1
    edges = np.zeros((len(numeric), width))
    sigma = np.ones(len(numeric))
    complete = np.ones(len(profile.features), dtype=np.bool_)
    for row, i in enumerate(numeric):
        bins = profile.features[i].bins
        assert isinstance(bins, NumericBins)  # noqa: S101  (chosen above; tells the type checker)
        ends = bins.ends
        edges[row] = np.pad(ends, (0, width - ends.size), mode="edge")
        sigma[row] = bins.sigma
    for i, feature in enumerate(profile.features):
        if not isinstance(feature.bins, NumericBins):
            complete[i] = feature.bins.complete
    empty = layout.zeros()
    bare = Reference(
        layout=layout,
        counts=empty,
        bins=layout.bins(empty),
        value_bins=layout.value_bins(empty),
        rows=layout.feature_rows(empty),
        numeric=np.array(numeric, dtype=np.intp),
        edges=edges,
        sigma=sigma,
        complete=complete,
        rates={},
    )
    return compared_with(bare, profile.counts)


def compared_with(reference: Reference, counts: Vector) -> Reference:
    """The reference with other counts on the same bins, such as those of the model's past.

    The columns' rows may differ, as they do where some are compared hour by hour.
    """
    layout = reference.layout
    bins = layout.bins(counts)
    return replace(
        reference,
        counts=counts,
        bins=bins,
        value_bins=layout.value_bins(counts),
        rows=bins.sum(axis=1),
        rates=_rates(reference, counts, bins.sum(axis=1)),
    )


def score(reference: Reference, window: Vector) -> dict[str, Floats]:
    """Every statistic of every feature.

    Parameters
    ----------
    reference
        The prepared profile.
    window
        Counts of the window, shape ``(cells,)``.

    Returns
    -------
    dict
        Scores by statistic (``config.STATISTICS``), each of shape ``(features,)``; NaN where
        there is no value.
    """
    layout = reference.layout
    sides = (reference.bins, layout.bins(window))
    scores: dict[str, Floats] = {
        "psi": psi(*sides),
        "kl_divergence": kl_divergence(*sides),
        "js_distance": js_distance(*sides),
        "hellinger_distance": hellinger_distance(*sides),
        "total_variation": total_variation(*sides),
        "ks_statistic": np.full(len(layout.blocks), np.nan),
        "wasserstein_distance": np.full(len(layout.blocks), np.nan),
    }
    at = reference.numeric
    if at.size:
        values = (reference.value_bins[at], layout.value_bins(window)[at])
        scores["ks_statistic"][at] = ks_statistic(*values)
        moved = wasserstein_distance(*values, reference.edges)
        scores["wasserstein_distance"][at] = moved / reference.sigma
    return scores | _rates(reference, window, layout.feature_rows(window))


def score_psi(reference: Vector, current: Vector, layout: Layout) -> Floats:
    """PSI of every feature of two vectors of counts, for segments."""
    return psi(layout.bins(reference), layout.bins(current))


def kept_bins(reference: Vector, current: Vector, layout: Layout) -> tuple[Integers, Integers]:
    """Bins that are compared, before and after thin bins are pooled, each ``(features,)``.

    One bin leaves nothing to compare: the column is constant, or, where pooling did it, the
    window has too few rows for its bins.
    """
    sides = (layout.bins(reference), layout.bins(current))
    return bins_compared(*sides, pool=False), bins_compared(*sides)


def _rates(reference: Reference, window: Vector, rows: Integers) -> dict[str, Floats]:
    layout = reference.layout
    unseen = unseen_share(layout.unseen(window), rows)
    unseen[~reference.complete] = np.nan
    # The layout adds both sides up; the share is of their sum.
    outside = np.full(rows.shape, np.nan)
    at = reference.numeric
    if at.size:
        beyond = layout.outside(window)[at]
        outside[at] = out_of_range_share(beyond, np.zeros_like(beyond), rows[at])
    return {
        "missing_ratio": missing_share(layout.missing(window), rows),
        "unseen_ratio": unseen,
        "out_of_range_ratio": outside,
    }
