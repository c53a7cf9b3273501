"""What the JSON interface answers: snapshots and runs as plain documents.

Knows the shape of the answers; never a request, a page or a clock.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from drift_exporter.snapshot import Run, Snapshot, WindowResult
from drift_exporter.verdicts.verdict import State
from drift_exporter.web.summary import finite, model_state, window_features, worst_feature
from drift_exporter.web.views import FeatureView, WindowView


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class RunAnswer(_Answer):
    """One execution of a model's job."""

    model: str
    started: datetime
    finished: datetime
    success: bool
    reason: str
    """Label of the failure counter, where it failed."""

    error: str
    rows_read: int
    rows_rejected: dict[str, int]
    phase_seconds: dict[str, float]
    window_end: datetime | None


class WorstAnswer(_Answer):
    """The feature that is furthest towards or over a threshold."""

    feature: str
    window: str
    state: State
    statistic: str
    score: float | None
    ratio: float | None
    """Score over its mildest threshold."""


class ModelAnswer(_Answer):
    """What is known of a model now, in short."""

    model: str
    version: str
    owner: str
    state: State
    worst: WorstAnswer | None
    last_run: RunAnswer | None
    last_success: datetime | None
    next_run: datetime | None


class FeatureAnswer(_Answer):
    """One feature in one window."""

    feature: str
    role: str
    kind: str
    state: State
    reason: str | None
    """Why it was not evaluated."""

    statistic: str
    """The statistic nearest to its threshold."""

    ratio: float | None
    rows: int
    scores: dict[str, float]
    thresholds: dict[str, dict[str, float]]
    """By statistic and severity."""


class WindowAnswer(_Answer):
    """All features in one window."""

    window: str
    start: datetime
    end: datetime
    rows: int
    features: list[FeatureAnswer]


class ModelDetail(ModelAnswer):
    """What is known of a model now."""

    interval_seconds: float
    stale_after_seconds: float
    reference: str
    reference_hash: str
    reference_created: datetime | None
    windows: list[WindowAnswer]


class BinAnswer(_Answer):
    """One bin of a feature, in the reference and in a window."""

    interval: str
    """What the bin holds: `[30, 40)`, a category, `missing`."""

    reference_rows: int
    current_rows: int
    reference_share: float
    """Of the rows that came with the column."""

    current_share: float
    contribution: float | None
    """What the bin adds to PSI; null where it is thin, or a side has no rows."""

    thin: bool
    """Whether the bin has too few rows to be compared alone."""


class DistributionAnswer(_Answer):
    """Reference and current rows of a feature, bin by bin."""

    rows: int
    psi: float | None
    """Sum of all contributions."""

    thin_contribution: float | None
    """What the thin bins add to PSI together."""

    bins: list[BinAnswer]


class SegmentAnswer(_Answer):
    """A feature in one segment."""

    segment_by: str
    segment: str
    rows: int
    psi: float | None
    """Against the same segment of the reference."""

    state: State
    """By the feature's thresholds of PSI."""


class FeatureWindowAnswer(_Answer):
    """A feature in one window, with all that is known of it."""

    window: str
    start: datetime
    end: datetime
    rows: int
    state: State
    reason: str | None
    since: datetime | None
    """End of the window with which the state began, as far back as the last day shows."""

    scores: dict[str, float]
    thresholds: dict[str, dict[str, float]]
    distribution: DistributionAnswer | None
    segments: list[SegmentAnswer]


class FeatureDetailAnswer(_Answer):
    """A feature in all windows."""

    model: str
    feature: str
    role: str
    kind: str
    dtype: str
    state: State
    windows: list[FeatureWindowAnswer]


class PastScore(_Answer):
    """PSI and state of a feature then."""

    psi: float | None
    state: State


class PastAnswer(_Answer):
    """Scores of the window that ended then."""

    end: datetime
    features: dict[str, PastScore]


def feature_answer(snapshot: Snapshot, view: FeatureView) -> FeatureDetailAnswer:
    """A feature in detail as a document."""
    return FeatureDetailAnswer(
        model=snapshot.model,
        feature=view.info.name,
        role=view.info.role,
        kind=view.info.kind,
        dtype=view.info.dtype,
        state=view.state,
        windows=[_feature_window(view, window) for window in view.windows],
    )


def _feature_window(view: FeatureView, window: WindowView) -> FeatureWindowAnswer:
    detail = window.detail
    thresholds: dict[str, dict[str, float]] = {}
    for row in window.scores:
        limits = {"warning": row.warning, "critical": row.critical}
        found = {severity: limit for severity, limit in limits.items() if limit is not None}
        if found:
            thresholds[row.statistic] = found
    return FeatureWindowAnswer(
        window=window.window.window,
        start=moment(window.window.start),
        end=moment(window.window.end),
        rows=window.rows,
        state=window.state,
        reason=window.reason,
        since=_maybe(window.since),
        scores={row.statistic: row.score for row in window.scores},
        thresholds=thresholds,
        distribution=None
        if detail is None
        else DistributionAnswer(
            rows=detail.rows,
            psi=detail.psi,
            thin_contribution=detail.thin_contribution,
            bins=[BinAnswer(**vars(found)) for found in detail.bins],
        ),
        segments=[
            SegmentAnswer(
                segment_by=s.segment_by, segment=s.segment, rows=s.rows, psi=s.psi, state=s.state
            )
            for s in view.segments
            if s.window == window.window.window
        ],
    )


def past_answer(end: int, scores: Mapping[str, tuple[float | None, str]]) -> PastAnswer:
    """Scores of the past as a document."""
    return PastAnswer(
        end=moment(end),
        features={
            name: PastScore(psi=psi, state=State(state)) for name, (psi, state) in scores.items()
        },
    )


def run_answer(model: str, run: Run) -> RunAnswer:
    """A run as a document."""
    return RunAnswer(
        model=model,
        started=moment(run.started),
        finished=moment(run.finished),
        success=run.success,
        reason=run.reason,
        error=run.error,
        rows_read=run.rows_read,
        rows_rejected=dict(run.rows_rejected),
        phase_seconds=dict(run.phase_seconds),
        window_end=None if run.window_end is None else moment(run.window_end),
    )


def model_answer(snapshot: Snapshot) -> ModelAnswer:
    """A snapshot as a short document."""
    worst = worst_feature(snapshot)
    return ModelAnswer(
        model=snapshot.model,
        version=snapshot.version,
        owner=snapshot.owner,
        state=model_state(snapshot),
        worst=None if worst is None else WorstAnswer(**vars(worst)),
        last_run=run_answer(snapshot.model, snapshot.last_run) if snapshot.last_run else None,
        last_success=_maybe(snapshot.last_success),
        next_run=_maybe(snapshot.next_run),
    )


def model_detail(snapshot: Snapshot) -> ModelDetail:
    """A snapshot as a document with every feature of every window."""
    return ModelDetail(
        **dict(model_answer(snapshot)),
        interval_seconds=snapshot.interval_seconds,
        stale_after_seconds=snapshot.stale_after_seconds,
        reference=snapshot.reference,
        reference_hash=snapshot.reference_hash,
        reference_created=_maybe(snapshot.reference_created),
        windows=[_window(snapshot, window) for window in snapshot.windows],
    )


def _window(snapshot: Snapshot, window: WindowResult) -> WindowAnswer:
    nearest = window_features(snapshot, window)
    return WindowAnswer(
        window=window.window,
        start=moment(window.start),
        end=moment(window.end),
        rows=window.rows,
        features=[
            FeatureAnswer(
                feature=feature.name,
                role=feature.role,
                kind=feature.kind,
                state=window.verdicts[i].state,
                reason=window.verdicts[i].reason,
                statistic=nearest[i].statistic,
                ratio=nearest[i].ratio,
                rows=int(window.samples[i]),
                scores={
                    name: value
                    for name, values in window.scores.items()
                    if (value := finite(values[i])) is not None
                },
                thresholds=_thresholds(window, i),
            )
            for i, feature in enumerate(snapshot.features)
        ],
    )


def _thresholds(window: WindowResult, i: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for (statistic, severity), values in window.thresholds.items():
        value = finite(values[i])
        if value is not None:
            found.setdefault(statistic, {})[severity] = value
    return found


def moment(seconds: float) -> datetime:
    """Seconds since the epoch as a time in UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)
