"""Counts of a small model's past: drawn by the slice, without drift or with it, and a source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift_exporter.checking.job import Job
from drift_exporter.config import ModelConfig
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import RunStoppedError
from drift_exporter.profile import CategoryBins, Feature, NumericBins, Profile, SegmentColumn
from drift_exporter.reading.source import Column, Counted, Sketches, Span
from drift_exporter.store import Store

MONDAY = 1_767_571_200
"""Midnight in UTC of Monday, 5 January 2026."""

HOUR, DAY = 3600, 86_400
SLICE = 900
AGES = (0.3, 0.4, 0.3)
CITIES = (0.5, 0.3, 0.2)
OLDER = (0.15, 0.35, 0.5)
"""Ages after a drift: PSI 0.15 ln 2 + 0.05 ln 8/7 + 0.2 ln 5/3 = 0.21."""

Shares = Callable[[int], tuple[float, ...]]
"""Shares of the ages in the slice that starts at a time."""


def always(*shares: float) -> Shares:
    """The same ages at all times."""
    return lambda _: shares


def profile(*, rows: int = 10_000, segments: tuple[str, ...] = ()) -> Profile:
    """Age in three bins, city in two and other; a region where segments are named."""
    ages = [round(rows * share) for share in AGES]
    cities = [round(rows * share) for share in CITIES]
    counts = np.array([0, *ages, 0, 0, 0, 0, *cities, 0, 0, 0])
    return Profile(
        model="credit",
        features=(
            Feature("age", "feature", "numeric", NumericBins((30.0, 50.0), 18.0, 90.0, 10.0)),
            Feature("city", "feature", "categorical", CategoryBins(("x", "y"))),
        ),
        counts=counts,
        segments=(SegmentColumn("region", segments),) if segments else (),
        segment_counts={("region", name): counts // 2 for name in segments},
        created="2026-01-01T00:00:00+00:00",
    )


def drawn(
    start: int,
    end: int,
    *,
    rows: int = 150,
    ages: Shares = always(*AGES),  # noqa: B008  (a function of nothing)
    missing: float = 0.002,
    seed: int = 1,
    width: int = SLICE,
    regions: tuple[str, ...] = (),
) -> dict[SliceKey, Vector]:
    """Independent rows in every slice of ``[start, end)``, evenly in the regions."""
    rng = np.random.default_rng(seed)
    found: dict[SliceKey, Vector] = {}
    for at in range(start, end, width):
        ages_now = (*(share * (1 - missing) for share in ages(at)), missing)
        of_regions = [_vector(rng, rows // max(len(regions), 1), ages_now) for _ in regions or " "]
        found[SliceKey(at)] = np.sum(of_regions, axis=0)
        for region, vector in zip(regions, of_regions, strict=False):
            found[SliceKey(at, "region", region)] = vector
    return found


def _vector(rng: np.random.Generator, rows: int, ages: tuple[float, ...]) -> Vector:
    young, middle, old, missing = rng.multinomial(rows, ages)
    cities = rng.multinomial(rows, CITIES)
    return np.array([0, young, middle, old, 0, missing, 0, 0, *cities, 0, 0, 0])


@dataclass
class Ledger:
    """A source of slices that are written down; it answers as the protocol says."""

    slices: dict[SliceKey, Vector] = field(default_factory=dict)
    asked: list[Span] = field(default_factory=list)
    failure: Exception | None = None
    """What counting raises, where it fails."""

    closed: int = 0

    def add(self, start: int, vector: Vector, *split: str) -> None:
        """Let rows arrive in a slice, late ones too."""
        key = SliceKey(start, *split)
        self.slices[key] = self.slices[key] + vector if key in self.slices else vector

    def count(
        self,
        profile: Profile,
        span: Span,
        width: int,
        now: float,
        stop: Callable[[], bool] = lambda: False,
    ) -> Counted:
        """Count the written slices of a span."""
        assert span.end <= now
        assert span.start % width == span.end % width == 0
        assert all(key.start % width == 0 for key in self.slices)
        if stop():
            raise RunStoppedError("stopped")
        self.asked.append(span)
        if self.failure is not None:
            raise self.failure
        found = {k: v for k, v in self.slices.items() if span.start <= k.start < span.end}
        read = sum(profile.layout.rows(v) for k, v in found.items() if not k.segment_by)
        return Counted(found, rows_read=read)

    def columns(self) -> Mapping[str, Column]:
        """No column: the profile is given."""
        return {}

    def sketch(self, *_: object, **__: object) -> Sketches:
        """No sketch: the profile is given."""
        return Sketches({}, {})

    def count_all(self, *_: object, **__: object) -> Counted:
        """No reference: the profile is given."""
        return Counted({})

    def close(self) -> None:
        """Count how often it was closed."""
        self.closed += 1


def model(**settings: object) -> ModelConfig:
    """A model with windows of 1 h and 4 h on slices of a quarter of an hour."""
    return ModelConfig.model_validate(
        {
            "name": "credit",
            "reference": "reference.parquet",
            "current": {"url": "current/*.parquet", "lateness": "15m"},
            "windows": ["1h", "4h"],
            "slice": "15m",
            "interval": "15m",
            **settings,
        }
    )


def job(
    store: Store, source: Ledger | None = None, of: Profile | None = None, **settings: Any
) -> Job:
    """The model's job, once every quarter of an hour."""
    return Job(model(**settings), of or profile(), source or Ledger(), store, 900.0)


def keep(made: Job, slices: Mapping[SliceKey, Vector], start: int, end: int) -> None:
    """Put slices into the job's store as what was counted of ``[start, end)``."""
    within = {key: vector for key, vector in slices.items() if start <= key.start < end}
    made.store.replace_slices(
        made.model.name,
        made.profile.bins_hash,
        made.model.slice_seconds,
        (start, end),
        within,
        counted_to=end,
    )


def total(
    slices: Mapping[SliceKey, Vector], start: int, end: int, *split: str
) -> NDArray[np.int64]:
    """The sum of the slices that start in ``[start, end)``."""
    wanted = split or ("", "")
    found = profile().layout.zeros()
    for key, vector in slices.items():
        if start <= key.start < end and key[1:] == wanted:
            found += vector
    return found
