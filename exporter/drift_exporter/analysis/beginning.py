"""Since when the columns have drifted, from the slices.

Pure: counts per slice in, seconds since the epoch out. Knows no clock.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from drift_exporter.analysis.evidence import Evidence, Slices
from drift_exporter.statistics.change_point import change_point


@dataclass(frozen=True)
class Since:
    """When a drift began."""

    start: float | None
    """Seconds since the epoch; None where it began before the slices that are known, or slowly."""

    earliest: float | None
    latest: float | None
    """Span in which it began, as far as the counts tell."""

    text: str


def since_of(evidence: Evidence, features: Sequence[str]) -> Since | None:
    """When the named columns began to drift together, or None without slices or columns."""
    slices = evidence.slices
    if slices is None or not features or not slices.counts.any():
        return None
    layout = evidence.profile.layout
    held = slices.features or layout.names
    offsets = np.cumsum([0, *(layout.blocks[layout.index[name]].cells for name in held)])
    known = [name for name in features if name in held]
    if not known:
        return None
    spans = [slice(offsets[i], offsets[i + 1]) for i in (held.index(name) for name in known)]
    width = max(span.stop - span.start for span in spans)
    counts = np.zeros((len(spans), len(slices.counts), width), dtype=np.int64)
    baseline = np.zeros((len(spans), width), dtype=np.int64)
    for row, (name, span) in enumerate(zip(known, spans, strict=True)):
        cells = layout.cells(evidence.profile.counts, layout.index[name])
        counts[row, :, : len(cells)] = slices.counts[:, span]
        baseline[row, : len(cells)] = cells
    found = change_point(counts, baseline)
    if found is None:
        return Since(None, None, None, f"no clear beginning since {_when(slices, 0)}")
    at, first, last = (_seconds(slices, i) for i in (found.at, found.earliest, found.latest))
    text = f"since {_when(slices, found.at)}"
    if last - first > 2 * slices.width:
        text += f" (between {_when(slices, found.earliest)} and {_when(slices, found.latest)})"
    return Since(at, first, last, text)


def _seconds(slices: Slices, at: int) -> float:
    return float(slices.start + at * slices.width)


def _when(slices: Slices, at: int) -> str:
    return f"{datetime.fromtimestamp(_seconds(slices, at), UTC):%Y-%m-%d %H:%M} UTC"
