"""What windows are compared with: the profile, or the model's own past.

Knows how a rolling and a seasonal reference follow from stored slices; knows no score. The past
is whole days that end a gap before the window, so it is added up once a day and kept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from drift_exporter.config import ModelConfig
from drift_exporter.counts import Layout, Vector
from drift_exporter.profile import Profile
from drift_exporter.statistics.baselines import SLOTS, mixed_baseline, slot_of
from drift_exporter.store import Store
from drift_exporter.verdicts.verdict import Integers

DAY_SECONDS = 86_400

LEAST_PAST_SECONDS = 7 * DAY_SECONDS
"""How far the past must reach back before it is the reference, at most the span: half an hour of
a night is no reference, and weekends are not as other days."""

ALL_ROWS = ("", "")

Split = tuple[str, str]
SlotRows = dict[Split, Integers]
"""Rows of a window per slot, ``(48,)``, by segment column and segment."""


@dataclass(frozen=True)
class Past:
    """The slices of a span, added up, without those of known incidents."""

    start: int
    end: int
    long_enough: bool
    """Whether there were rows long enough before."""

    totals: Mapping[Split, Vector]
    slots: Mapping[Split, NDArray[np.int64]] = field(default_factory=dict)
    """Per slot, ``(48, cells)``; only of a seasonal reference."""


@dataclass(frozen=True)
class Baseline:
    """What one window is compared with."""

    counts: Mapping[Split, Vector]
    """By segment column and segment, all rows under ``("", "")``."""

    start: int | None = None
    end: int | None = None
    """Event time of the past, where it is the past."""


class Baselines:
    """The references of a model's windows.

    Runs, pages and analyses share it over threads: what is kept is only ever replaced whole, so at
    worst a past is added up twice.
    """

    def __init__(self, model: ModelConfig, profile: Profile, store: Store) -> None:
        self._model = model
        self._profile = profile
        self._store = store
        self._kept: dict[int, Past] = {}
        self._forgotten = 0
        self._own = Baseline({ALL_ROWS: profile.counts, **profile.segment_counts})

    @property
    def seasonal(self) -> bool:
        """Whether a window's hours count."""
        return self._model.reference.kind == "seasonal"

    def of_window(self, start: int, slot_rows: SlotRows, slotted: NDArray[np.bool_]) -> Baseline:
        """What the window that begins at ``start`` is compared with.

        Parameters
        ----------
        start
            Begin of the window in seconds since the epoch.
        slot_rows
            Rows of the window by slot; only looked at where the reference is seasonal.
        slotted
            Columns that are compared hour by hour, shape ``(columns,)``.

        Returns
        -------
        Baseline
            The profile's own counts where the reference is data, or as long as the past does not
            reach back over a week or the span, whichever is shorter.
        """
        if self._model.reference.kind == "data":
            return self._own
        past = self._past(start)
        total = past.totals.get(ALL_ROWS)
        past_rows = 0 if total is None else self._profile.layout.rows(total)
        if not past.long_enough or past_rows < self._model.min_rows:
            return self._own
        counts = dict(past.totals)
        if self.seasonal:
            layout = self._profile.layout
            for split, rows in slot_rows.items():
                if split in past.slots:
                    mixed = mixed_counts(past.slots[split], rows, past.totals[split], layout)
                    cells = np.repeat(slotted, np.diff(layout.offsets))
                    counts[split] = np.where(cells, mixed, past.totals[split])
        return Baseline(counts, past.start, past.end)

    def _past(self, window_start: int) -> Past:
        reference = self._model.reference
        end = (window_start - int(reference.gap.seconds)) // DAY_SECONDS * DAY_SECONDS
        found, forgotten = self._kept.get(end), self._forgotten
        if found is None:
            found = self._added(end - int(reference.span.seconds), end)
            # Windows of different lengths begin on different days. Replaced whole: another thread
            # may forget meanwhile.
            newest = sorted((*self._kept, end))[-len(self._model.windows) - 1 :]
            if forgotten != self._forgotten:
                # Slices came in while it was added up: good for this look, and not to be kept.
                return found
            self._kept = {**{e: p for e, p in self._kept.items() if e in newest}, end: found}
        return found

    def forget(self) -> None:
        """Add the past up again when it is asked for: slices came in late."""
        self._forgotten += 1
        self._kept = {}

    def _added(self, start: int, end: int) -> Past:
        model, profile = self._model, self._profile
        which = (model.name, profile.bins_hash, model.slice_seconds)
        first = self._store.first_slice(*which)
        reach = min(LEAST_PAST_SECONDS, end - start)
        # By whole days: what opens at eight has all of that day.
        long_enough = first is not None and first // DAY_SECONDS * DAY_SECONDS <= end - reach
        kept = _without(start, end, model.calibration.excluded, model.slice_seconds)
        if not self.seasonal:
            totals: dict[Split, Vector] = {}
            for part in kept:
                for split, vector in self._store.sum_slices(*which, *part).items():
                    totals[split] = totals[split] + vector if split in totals else vector
            return Past(start, end, long_enough, totals)
        slots: dict[Split, NDArray[np.int64]] = {}
        for part in kept:
            for key, vector in self._store.read_slices(*which, *part):
                split = (key.segment_by, key.segment)
                if split not in slots:
                    slots[split] = np.zeros((SLOTS, vector.size), dtype=np.int64)
                slots[split][int(slot_of(key.start))] += vector
        totals = {split: by_slot.sum(axis=0) for split, by_slot in slots.items()}
        return Past(start, end, long_enough, totals, slots)


def _without(
    start: int, end: int, excluded: Sequence[tuple[int, int]], width: int
) -> list[tuple[int, int]]:
    """What is left of a span of slices without those that touch an excluded span."""
    left = []
    for first, last in sorted(excluded):
        if start < first // width * width:
            left.append((start, min(first // width * width, end)))
        start = max(start, -(-last // width) * width)
        if start >= end:
            return left
    return [*left, (start, end)]


def mixed_counts(
    slots: NDArray[np.int64], window_rows: Integers, total: Vector, layout: Layout
) -> Vector:
    """The past in the window's mix of hours, as whole rows.

    Rounding moves less than half a row per cell, less than the noise of any reference. Where an
    hour of the window has no past, the whole past stands for it.

    Parameters
    ----------
    slots
        Rows of the past per slot and cell, ``(48, cells)``.
    window_rows
        Rows of the window per slot, ``(48,)``.
    total
        Rows of the past per cell.
    layout
        Where the cells of the columns stand.
    """
    used = window_rows > 0
    first = slice(layout.offsets[0], layout.offsets[1])
    # Every column has a cell for each row, so the rows of a slot are those of any column.
    _, worth = mixed_baseline(slots[used][:, first], window_rows[used])
    if not worth > 0:
        return total
    past_rows = slots[used][:, first].sum(axis=1)
    weights = window_rows[used] / window_rows.sum() / past_rows * worth
    mixed: Vector = np.rint(weights @ slots[used]).astype(np.int64)
    return mixed
