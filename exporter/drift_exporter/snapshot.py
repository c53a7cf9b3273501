"""What one run found, immutable; and the Board, the one mutable cell that holds it.

Pure: knows the shape of results, not how they are computed, stored or shown.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from drift_exporter.verdicts.verdict import Floats, Integers, Reason, State, Verdict


@dataclass(frozen=True)
class FeatureInfo:
    """What is fixed about a feature."""

    name: str
    role: Literal["feature", "prediction"]
    kind: Literal["numeric", "categorical"]
    dtype: str
    bins: int
    importance: float = 1.0
    """Weight where columns are ranked."""


@dataclass(frozen=True)
class ReferenceBins:
    """The bins of a feature that are exposed, and the rows that the reference has in them."""

    names: tuple[str, ...]
    """Label of each bin: its number, then ``missing`` and ``unseen``."""

    intervals: tuple[str, ...]
    """What each bin holds, to be read: ``[30, 40)``, or a category."""

    rows: Integers
    """Rows per bin, shape ``(bins + 2,)``."""


@dataclass(frozen=True)
class SegmentResult:
    """Scores of one segment in one window."""

    segment_by: str
    segment: str
    rows: int
    psi: Floats
    """Shape ``(features,)``, against the same segment of the reference; NaN: not evaluated."""

    thresholds: Mapping[str, Floats] = field(default_factory=dict)
    """Of PSI by severity, each ``(features,)``, where they are calibrated; else all rows' hold."""


@dataclass(frozen=True)
class WindowResult:
    """Scores, thresholds and verdicts of all features in one window."""

    window: str
    """The window as the config writes it, ``1h``."""

    start: int
    end: int
    """Bounds of event time in seconds since the epoch, ``[start, end)``."""

    rows: int
    samples: Integers
    """Rows that came with the column, shape ``(features,)``."""

    scores: Mapping[str, Floats]
    """By statistic (``config.STATISTICS``), each ``(features,)``; NaN: no value."""

    thresholds: Mapping[tuple[str, str], Floats]
    """By statistic and severity, each ``(features,)``; NaN: none."""

    verdicts: tuple[Verdict, ...]
    segments: tuple[SegmentResult, ...] = ()
    bins: Mapping[int, Integers] = field(default_factory=dict)
    """Rows per bin of the features whose bins are exposed, by position; as `ReferenceBins`."""

    noise_floor: Floats | None = None
    """PSI that sampling alone makes, ``(features,)``; None where nothing is calibrated."""

    surprise: Floats | None = None
    """``-log10`` of the p-value of PSI without drift, ``(features,)``."""

    reference_span: tuple[int, int] | None = None
    """Event time of the past that the window is compared with, where it is the past."""


@dataclass(frozen=True)
class CalibrationInfo:
    """Where calibrated thresholds come from, and what they promise."""

    method: str
    """``history`` or ``analytic``."""

    reason: str
    """Why it is analytic, where it is."""

    created: float
    """Seconds since the epoch; 0 where no past was looked at."""

    neg_log10_alpha: float
    history_seconds: float
    budget_per_90_days: float
    for_seconds: float
    """How long the alert must wait for the promise to hold."""

    self_test_alarms_per_90_days: float | None = None
    self_test_at: float | None = None
    segments_method: str = ""
    """The same of segments; empty where none are calibrated."""

    segments_reason: str = ""


@dataclass(frozen=True)
class Run:
    """One execution of a model's job."""

    started: float
    finished: float
    """Seconds since the epoch."""

    success: bool
    reason: str = ""
    """Label of the failure counter (``errors.*.reason``), where it failed."""

    error: str = ""
    """Message of the failure, fit to be shown."""

    rows_read: int = 0
    rows_rejected: Mapping[str, int] = field(default_factory=dict)
    """Rows refused, by reason: ``timestamp``, ``parse``, ``future``."""

    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    """Duration of ``read``, ``score`` and ``store``."""

    window_end: int | None = None
    """End of the windows that were judged."""


@dataclass(frozen=True)
class Snapshot:
    """What is known of one model now."""

    model: str
    interval_seconds: float
    """Longest gap between scheduled runs."""

    stale_after_seconds: float
    version: str = ""
    owner: str = ""
    team: str = ""
    tier: str = "medium"
    trained: float | None = None
    """When the deployed version was trained, in seconds since the epoch."""

    retrain_every_seconds: float | None = None
    features: tuple[FeatureInfo, ...] = ()
    reference: str = ""
    """Source of the reference, without secrets."""

    reference_kind: str = "data"
    """``data``, ``rolling`` or ``seasonal``."""

    reference_hash: str = ""
    reference_created: float | None = None
    reference_samples: Integers | None = None
    reference_missing_ratio: Floats | None = None
    """Of the reference, shape ``(features,)``."""

    reference_bins: Mapping[int, ReferenceBins] = field(default_factory=dict)
    """Of the features whose bins are exposed, by position."""

    calibration: CalibrationInfo | None = None
    """None where every threshold is fixed."""

    windows: tuple[WindowResult, ...] = ()
    """Empty before the first scores and after they went stale."""

    last_run: Run | None = None
    last_success: float | None = None
    """End of the last successful run in seconds since the epoch."""

    next_run: float | None = None

    def stale(self, now: float) -> bool:
        """Whether the scores are too old to be shown."""
        return self.last_success is None or now - self.last_success > self.stale_after_seconds

    def expired(self) -> "Snapshot":
        """The snapshot without its scores: what is shown once they are stale."""
        gone = Verdict(State.NOT_EVALUATED, Reason.STALE)
        windows = tuple(
            replace(
                w,
                scores={},
                segments=(),
                bins={},
                noise_floor=None,
                surprise=None,
                verdicts=(gone,) * len(w.verdicts),
            )
            for w in self.windows
        )
        return replace(self, windows=windows)

    def narrowed(self, columns: int) -> "Snapshot":
        """The snapshot with so many columns: predictions, then the highest PSI by importance.

        For a model that has more columns than may be shown; the order of those kept stays.
        """
        if columns >= len(self.features):
            return self
        worst = np.full(len(self.features), -np.inf)
        for window in self.windows:
            if "psi" in window.scores:
                worst = np.fmax(worst, window.scores["psi"])
        ranked = np.isfinite(worst)
        worst[ranked] *= np.array([f.importance for f in self.features])[ranked]
        worst[[f.role == "prediction" for f in self.features]] = np.inf
        kept = np.sort(np.argsort(-worst, kind="stable")[:columns])
        return replace(
            self,
            features=tuple(self.features[i] for i in kept),
            reference_samples=_some(self.reference_samples, kept),
            reference_missing_ratio=_some(self.reference_missing_ratio, kept),
            reference_bins=_moved(self.reference_bins, kept),
            windows=tuple(_some_of_window(window, kept) for window in self.windows),
        )


Kept = TypeVar("Kept", Floats, Integers)
Value = TypeVar("Value")


def _some(values: Kept | None, kept: NDArray[np.intp]) -> Kept | None:
    return None if values is None else values[kept]


def _some_of_window(window: WindowResult, kept: NDArray[np.intp]) -> WindowResult:
    return replace(
        window,
        samples=window.samples[kept],
        scores={name: values[kept] for name, values in window.scores.items()},
        thresholds={name: values[kept] for name, values in window.thresholds.items()},
        verdicts=tuple(window.verdicts[i] for i in kept),
        segments=tuple(
            replace(s, psi=s.psi[kept], thresholds={n: v[kept] for n, v in s.thresholds.items()})
            for s in window.segments
        ),
        bins=_moved(window.bins, kept),
        noise_floor=_some(window.noise_floor, kept),
        surprise=_some(window.surprise, kept),
    )


def _moved(by_position: Mapping[int, Value], kept: NDArray[np.intp]) -> dict[int, Value]:
    return {new: by_position[old] for new, old in enumerate(kept.tolist()) if old in by_position}


class Board:
    """The newest snapshot of each model: threads replace it whole, readers never wait."""

    def __init__(self) -> None:
        self._snapshots: Mapping[str, Snapshot] = {}
        self._writing = threading.Lock()

    def publish(self, snapshot: Snapshot) -> None:
        """Replace the snapshot of its model."""
        with self._writing:
            self._snapshots = {**self._snapshots, snapshot.model: snapshot}

    def keep(self, models: tuple[str, ...]) -> None:
        """Drop the snapshots of all other models; the order is that of ``models``."""
        with self._writing:
            known = self._snapshots
            self._snapshots = {name: known[name] for name in models if name in known}

    def get(self, model: str) -> Snapshot | None:
        """The snapshot of a model."""
        return self._snapshots.get(model)

    def all(self) -> tuple[Snapshot, ...]:
        """The snapshots of all models."""
        return tuple(self._snapshots.values())
