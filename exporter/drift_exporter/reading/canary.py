"""The canary: inference data that is made up, and drifts when its URL says so.

Knows its own law; reads nothing. Rows of a slice follow from its time alone, so what is counted
again is the same, on every machine.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtri

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import RunStoppedError, SourceError
from drift_exporter.profile import GRID, CategorySketch, NumericBins, NumericSketch, Profile
from drift_exporter.reading.source import Column, Counted, Progress, Sketches, Span, Stop

CANARY_SCHEME = "canary://"
COLUMN = "value"
ROWS_PER_SECOND = 4
REFERENCE_ROWS = 50_000
SHIFT = 1.0
"""By how many standard deviations the values move while it drifts."""


class CanarySource:
    """A model of one standard normal feature, whose mean moves from time to time."""

    def __init__(self, url: str) -> None:
        every, _, lasts = url.removeprefix(CANARY_SCHEME).partition("/")
        if not (every.isdigit() and lasts.isdigit() and 0 < int(lasts) < int(every)):
            raise SourceError(f"{url}: expected canary://SECONDS/SECONDS, the longer one first")
        self._every, self._lasts = int(every), int(lasts)

    def drifts(self, at: int) -> bool:
        """Whether it drifts at a time in seconds since the epoch."""
        return at % self._every < self._lasts

    def columns(self) -> Mapping[str, Column]:
        """The one feature."""
        return {COLUMN: Column("number", "double")}

    def sketch(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        between: tuple[float | None, float | None] = (None, None),  # noqa: ARG002
        progress: Progress = lambda _: None,
    ) -> Sketches:
        """Quantiles of the normal law."""
        shares = np.linspace(1e-6, 1 - 1e-6, GRID + 1)
        grid = tuple(float(x) for x in ndtri(shares))
        progress(1.0)
        sketch = NumericSketch(REFERENCE_ROWS, 0, GRID, False, 1.0, grid)
        nothing = CategorySketch(0, 0, 0, ())
        return Sketches(dict.fromkeys(numeric, sketch), dict.fromkeys(categorical, nothing))

    def count_all(
        self,
        profile: Profile,
        between: tuple[float | None, float | None] = (None, None),  # noqa: ARG002
        progress: Progress = lambda _: None,
    ) -> Counted:
        """The reference: it never drifts."""
        vector = _counts(profile, 0, REFERENCE_ROWS, 0.0)
        progress(1.0)
        return Counted({SliceKey(0, "", ""): vector}, REFERENCE_ROWS)

    def count(
        self, profile: Profile, span: Span, width: int, now: float, stop: Stop = lambda: False
    ) -> Counted:
        """The rows of a span; those of the drift are moved."""
        slices = {}
        for start in range(span.start, min(span.end, int(now)), width):
            if stop():
                raise RunStoppedError("told to stop")
            shift = SHIFT if self.drifts(start) else 0.0
            key = SliceKey(start, "", "")
            slices[key] = _counts(profile, start, ROWS_PER_SECOND * width, shift)
        return Counted(slices, sum(ROWS_PER_SECOND * width for _ in slices))

    def close(self) -> None:
        """There is nothing to let go of."""


def _counts(profile: Profile, seed: int, rows: int, shift: float) -> Vector:
    bins = profile.features[0].bins
    if not isinstance(bins, NumericBins):
        raise SourceError("the canary's profile is not its own; delete it")
    values = np.random.default_rng(seed).standard_normal(rows) + shift
    cells = profile.layout.zeros()
    # Cells: below, the bins, above.
    cuts = np.array([bins.low, *bins.edges, np.nextafter(bins.high, np.inf)])
    found = np.bincount(np.searchsorted(cuts, values, side="right"), minlength=len(cuts) + 1)
    cells[: len(found)] = found
    return cells
