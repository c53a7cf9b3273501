"""One feature in detail: its bins in the reference and in each window, and what each bin adds.

Pure: counts in, shares and contributions out. Knows no store, page or clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from drift_exporter.counts import Vector
from drift_exporter.profile import Feature, Profile
from drift_exporter.profile_text import bin_intervals
from drift_exporter.statistics.attribution import bin_contributions
from drift_exporter.verdicts.verdict import Integers


@dataclass(frozen=True)
class BinDetail:
    """One bin of a feature, in the reference and in a window."""

    interval: str
    """What the bin holds, to be read: ``[30, 40)``, a category, ``missing``."""

    reference_rows: int
    current_rows: int
    reference_share: float
    """Of the rows that came with the column; 0 where there are none."""

    current_share: float
    contribution: float | None
    """What the bin adds to PSI, in nats; None where it is thin, or a side has no rows."""

    thin: bool
    """Whether the bin has too few rows and was compared together with others."""


@dataclass(frozen=True)
class WindowDetail:
    """The bins of a feature in one window. All contributions add up to PSI."""

    window: str
    rows: int
    """Rows of the window that came with the column."""

    psi: float | None
    """From the same rows; None where a side has none."""

    bins: tuple[BinDetail, ...]
    thin_contribution: float | None
    """What the thin bins add to PSI together; None where there are none."""


@dataclass(frozen=True)
class FeatureDetail:
    """A feature's bins in all windows."""

    feature: str
    why: str
    """Why the column has its kind."""

    reference_rows: int
    """Rows of the profile that came with the column."""

    windows: tuple[WindowDetail, ...]


def feature_detail(
    profile: Profile,
    name: str,
    windows: Mapping[str, Vector],
    references: Mapping[str, Vector] = MappingProxyType({}),
) -> FeatureDetail:
    """A feature in detail.

    Parameters
    ----------
    profile
        The reference, whose bins the windows were counted on.
    name
        A feature of the profile.
    windows
        Counts of all rows by window, each of shape ``(cells,)``.
    references
        What windows were compared with, of the same shape; the profile's own counts where a
        window has none here.

    Raises
    ------
    KeyError
        If the profile has no such feature.
    """
    at = profile.layout.index[name]
    feature = profile.features[at]
    return FeatureDetail(
        feature=name,
        why=feature.why,
        reference_rows=int(_bins_of(profile, profile.counts, at).sum()),
        windows=tuple(
            _window(
                feature,
                window,
                _bins_of(profile, references.get(window, profile.counts), at),
                _bins_of(profile, counts, at),
            )
            for window, counts in windows.items()
        ),
    )


def _window(feature: Feature, window: str, reference: Integers, current: Integers) -> WindowDetail:
    terms, thin, together = bin_contributions(reference, current)
    if np.count_nonzero(thin) == 1:
        # Together with none: what the only thin bin adds is known.
        terms, thin, together = np.where(thin, together, terms), thin & False, together * 0
    known = bool(np.isfinite(together))
    rows = int(current.sum())
    return WindowDetail(
        window=window,
        rows=rows,
        psi=float(terms.sum() + together) if known else None,
        bins=tuple(
            BinDetail(
                interval=interval,
                reference_rows=int(reference[i]),
                current_rows=int(current[i]),
                reference_share=float(reference[i] / max(reference.sum(), 1)),
                current_share=float(current[i] / max(rows, 1)),
                contribution=float(terms[i]) if known and not thin[i] else None,
                thin=bool(thin[i]),
            )
            for i, interval in enumerate(bin_intervals(feature))
        ),
        thin_contribution=float(together) if known and thin.any() else None,
    )


def _bins_of(profile: Profile, counts: Vector, at: int) -> Integers:
    """Rows of one feature per bin, then missing, then unseen."""
    layout = profile.layout
    bins = layout.value_bins(counts)[at, : layout.blocks[at].bins]
    return np.concatenate((bins, [layout.missing(counts)[at], layout.unseen(counts)[at]]))
