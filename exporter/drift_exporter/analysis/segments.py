"""Which segments: a shift within them, or only another mix of them.

Pure: evidence in, findings out. Knows nothing of faults or labels.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drift_exporter.analysis.columns import ALPHA, MATERIAL
from drift_exporter.analysis.evidence import Evidence
from drift_exporter.analysis.findings import percent
from drift_exporter.statistics.divergences import bins_compared, psi
from drift_exporter.statistics.mix import split_by_segment
from drift_exporter.statistics.null_law import noise_floor, quantile
from drift_exporter.verdicts.scoring import kept_bins, score_psi

MIX_SHARE = 0.7
"""Share of the shift from which it is the mix of segments, or what is within them."""

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class SegmentShift:
    """One segment in which a column shifted."""

    segment: str
    rows: int
    psi: float
    share: float
    """Of all shifts within the column's segments, as the joint sees them."""


@dataclass(frozen=True)
class SegmentFinding:
    """One column split by the segments of one column."""

    segment_by: str
    feature: str
    kind: str
    """``mix``, ``within``, ``both`` or ``hidden``: within segments, but not in all rows."""

    psi: float
    """Of all rows, without pooling of thin bins."""

    mix: float
    """What the changed mix of the segments adds to it."""

    within: float
    """What changed within segments adds to it."""

    joint: float
    """PSI of segment and bin together; well above ``psi`` where segments cancel out."""

    mix_changed: bool
    """Whether the mix of segments itself has shifted."""

    segments: tuple[SegmentShift, ...]
    """Those in which the column shifted, the largest share first."""

    sentence: str


def segments_of(
    evidence: Evidence, features: Sequence[str], shifted: Collection[str]
) -> tuple[SegmentFinding, ...]:
    """The findings on segments: of the named columns, and of those that shifted only within.

    ``shifted`` are all columns that shifted, whether named or not.
    """
    found = []
    for by in _segment_columns(evidence):
        names = [name for name in _names(evidence, by) if (by, name) in evidence.segments]
        if len(names) < 2:
            continue
        shifts = _shifts(evidence, by, names)
        hidden = [
            name for name in evidence.profile.layout.names if shifts[name] and name not in shifted
        ]
        for feature in (*features, *hidden):
            finding = _finding(evidence, by, feature, shifts[feature], feature in hidden)
            if finding is not None:
                found.append(finding)
    return tuple(found)


def _segment_columns(evidence: Evidence) -> list[str]:
    columns = dict.fromkeys(by for by, _ in evidence.profile.segment_counts)
    return [by for by in columns if by != evidence.label]


def _names(evidence: Evidence, by: str) -> list[str]:
    names = dict.fromkeys(name for column, name in evidence.profile.segment_counts if column == by)
    new = (name for column, name in evidence.segments if column == by)
    return list(names | dict.fromkeys(new))


def _shifts(
    evidence: Evidence, by: str, names: Sequence[str]
) -> dict[str, list[tuple[str, int, float]]]:
    """By column, the segments in which it shifted: name, rows, PSI."""
    layout = evidence.profile.layout
    zeros = layout.zeros()
    found: dict[str, list[tuple[str, int, float]]] = {name: [] for name in layout.names}
    alpha = ALPHA / max(len(layout.blocks) * len(names), 1)
    omega = np.array([evidence.omega.get(name, 0.0) for name in layout.names])
    for name in names:
        before = evidence.profile.segment_counts.get((by, name), zeros)
        now = evidence.segments.get((by, name), zeros)
        n, m = layout.feature_rows(now), layout.feature_rows(before)
        values = score_psi(before, now, layout)
        pooled = kept_bins(before, now, layout)[1]
        limit = np.fmax(quantile(alpha, pooled, n, m, omega), noise_floor(pooled, n, m) + MATERIAL)
        told = (n >= evidence.min_rows) & (m >= evidence.min_rows) & (values > limit)
        for i in np.flatnonzero(told):
            found[layout.names[int(i)]].append((name, int(n[i]), float(values[i])))
    return found


def _finding(
    evidence: Evidence,
    by: str,
    feature: str,
    shifts: list[tuple[str, int, float]],
    hidden: bool,
) -> SegmentFinding | None:
    reference, current, names = _tables(evidence, by, feature)
    if not reference.sum() or not current.sum():
        return None
    split = split_by_segment(reference, current)
    within = float(split.within.sum())
    sides = (reference.sum(axis=1), current.sum(axis=1))
    bins = bins_compared(*sides)
    rows = (int(sides[1].sum()), int(sides[0].sum()))
    mix_changed = bool(psi(*sides) > noise_floor(bins, *rows) + MATERIAL)
    joint = dict(zip(names, split.joint_within, strict=True))
    whole = sum(joint.values()) or 1.0
    told = sorted(
        (SegmentShift(name, n, value, float(joint[name] / whole)) for name, n, value in shifts),
        key=lambda s: -s.share,
    )
    part = split.mix / split.marginal if split.marginal > 0 else 0.0
    kind = (
        "hidden"
        if hidden
        else "mix"
        if part >= MIX_SHARE and mix_changed
        else "within"
        if part <= 1 - MIX_SHARE or not mix_changed
        else "both"
    )
    return SegmentFinding(
        segment_by=by,
        feature=feature,
        kind=kind,
        psi=split.marginal,
        mix=split.mix,
        within=within,
        joint=split.joint,
        mix_changed=mix_changed,
        segments=tuple(told),
        sentence=_sentence(by, feature, kind, told, len(names), part),
    )


def _tables(evidence: Evidence, by: str, feature: str) -> tuple[Integers, Integers, list[str]]:
    """Rows per segment and bin of both sides."""
    profile = evidence.profile
    layout, names = profile.layout, _names(evidence, by)
    at = layout.index[feature]
    width = layout.blocks[at].bins
    tables = []
    for side in (profile.segment_counts, evidence.segments):
        bins = [layout.bins(side.get((by, name), layout.zeros()))[at] for name in names]
        tables.append(np.array([[*row[:width], *row[-2:]] for row in bins], dtype=np.int64))
    return tables[0], tables[1], names


def _sentence(
    by: str, feature: str, kind: str, told: list[SegmentShift], segments: int, part: float
) -> str:
    where = ", ".join(f"{s.segment!r}" for s in told[:3]) + (", …" if len(told) > 3 else "")
    if kind == "mix":
        return (
            f"{feature}: the mix of {by} changed, not what is within its segments "
            f"({percent(min(part, 1.0))} of the shift is the mix)"
        )
    if kind == "hidden":
        return f"{feature}: shifted within {by} {where}, which cancels out over all rows"
    if not told:
        return f"{feature}: shifted within the segments of {by}, in none of them for sure alone"
    spread = (
        f"in all {segments} segments of {by}"
        if len(told) == segments
        else f"within {len(told)} of {segments} segments of {by}: {where}"
    )
    also = f", and the mix of {by} changed too" if kind == "both" else ""
    return f"{feature}: shifted {spread}{also}"
