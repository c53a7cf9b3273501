"""What the pages show of models and features, worst first.

Pure: snapshots, scores of the past and details in, views out. Knows no markup and no clock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drift_exporter.config import SEVERITIES, STATISTICS
from drift_exporter.snapshot import FeatureInfo, Snapshot, WindowResult
from drift_exporter.verdicts.detail import FeatureDetail, WindowDetail
from drift_exporter.verdicts.verdict import Floats, Reason, State
from drift_exporter.web.charts import Line, Spark, line, sparks
from drift_exporter.web.parts import Score
from drift_exporter.web.summary import (
    Worst,
    finite,
    model_state,
    rank,
    window_features,
    worst_feature,
)

Past = Mapping[str, Sequence[tuple[int, Mapping[str, Score]]]]
"""By window, the ends of windows and the scores of features then, the oldest first."""


PastPsi = Mapping[str, tuple[Sequence[int], Sequence[str], Floats]]
"""By window, the ends of windows, features, and their PSI of shape ``(ends, features)``."""


@dataclass(frozen=True)
class ModelRow:
    """A model among others."""

    snapshot: Snapshot
    state: State
    worst: Worst | None
    drifting: int
    """Features and predictions over a threshold, in any window."""

    judged: int
    """Features and predictions that were evaluated, in any window."""

    window: WindowResult | None
    """The longest window."""


@dataclass(frozen=True)
class FeatureRow:
    """A feature among others, in the window where it is worst."""

    name: str
    kind: str
    state: State
    reason: Reason | None
    window: str
    statistic: str
    """The statistic that is nearest to its threshold; empty where none is known."""

    score: float | None
    warning: float | None
    critical: float | None
    ratio: float
    spark: Spark | None


@dataclass(frozen=True)
class SegmentRow:
    """A segment of a model in one window, with its worst feature."""

    segment_by: str
    segment: str
    window: str
    rows: int
    feature: str
    """Empty where no feature was evaluated."""

    psi: float | None
    state: State


@dataclass(frozen=True)
class ModelView:
    """A model's features, those that a filter left."""

    features: tuple[FeatureRow, ...]
    predictions: tuple[FeatureRow, ...]
    counts: Mapping[State, int]
    """Features and predictions by state, before the filter."""

    segments: tuple[SegmentRow, ...]


@dataclass(frozen=True)
class ScoreRow:
    """One statistic of a feature in a window."""

    statistic: str
    score: float
    warning: float | None
    critical: float | None


@dataclass(frozen=True)
class WindowView:
    """A feature in one window."""

    window: WindowResult
    state: State
    reason: Reason | None
    rows: int
    scores: tuple[ScoreRow, ...]
    psi: float | None
    past: tuple[tuple[int, float | None, str], ...]
    """End, PSI and state of windows, the oldest first."""

    line: Line | None
    since: int | None
    """End of the window with which the state began."""

    since_known: bool
    """Whether another state was seen before."""

    detail: WindowDetail | None
    complete: bool
    """Whether the details are of the same rows as the scores."""

    largest_share: float
    largest_contribution: float


@dataclass(frozen=True)
class SegmentScore:
    """A feature in one segment and window."""

    segment_by: str
    segment: str
    window: str
    rows: int
    psi: float | None
    state: State


@dataclass(frozen=True)
class FeatureView:
    """A feature in all windows."""

    info: FeatureInfo
    state: State
    why: str
    reference_rows: int | None
    windows: tuple[WindowView, ...]
    segments: tuple[SegmentScore, ...]


def fleet(snapshots: Iterable[Snapshot]) -> list[ModelRow]:
    """Every model, the worst first."""
    rows = [_model_row(snapshot) for snapshot in snapshots]
    return sorted(
        rows,
        key=lambda row: (
            -rank(row.state),
            -(row.worst.ratio or 0.0) if row.worst else 0.0,
            row.snapshot.model,
        ),
    )


def model_view(
    snapshot: Snapshot,
    past: PastPsi,
    *,
    window: str = "",
    state: State | None = None,
    text: str = "",
) -> ModelView:
    """A model's features, each in the window where it is worst, the worst first.

    Parameters
    ----------
    snapshot
        What is known of the model now.
    past
        Scores of the past, for small lines.
    window
        Show this window alone.
    state
        Show features in this state alone.
    text
        Show features whose name contains it, in any case.
    """
    windows = [w for w in snapshot.windows if window in ("", w.window)]
    found = _worst_windows(snapshot, windows)
    wanted = text.casefold()
    chosen = [
        i
        for i in sorted(found, key=lambda i: _order(snapshot.features[i], found[i]))
        if state in (None, found[i][0].state) and wanted in snapshot.features[i].name.casefold()
    ]
    lines = _sparks(snapshot, {i: found[i] for i in chosen}, past)
    rows = {i: _feature_row(snapshot, i, *found[i], lines.get(i)) for i in chosen}
    return ModelView(
        features=tuple(r for i, r in rows.items() if snapshot.features[i].role == "feature"),
        predictions=tuple(r for i, r in rows.items() if snapshot.features[i].role == "prediction"),
        counts=Counter(worst.state for worst, _ in found.values()),
        segments=tuple(_segment_rows(snapshot, windows)),
    )


def feature_view(
    snapshot: Snapshot, name: str, past: Past, detail: FeatureDetail | None
) -> FeatureView | None:
    """A feature in all windows, or None where the model has no such feature."""
    at = next((i for i, known in enumerate(snapshot.features) if known.name == name), None)
    if at is None:
        return None
    details = {w.window: w for w in detail.windows} if detail else {}
    windows = tuple(
        _window_view(snapshot, w, at, past.get(w.window, ()), details.get(w.window))
        for w in snapshot.windows
    )
    return FeatureView(
        info=snapshot.features[at],
        state=max((w.state for w in windows), key=rank, default=State.NOT_EVALUATED),
        why=detail.why if detail else "",
        reference_rows=detail.reference_rows if detail else None,
        windows=windows,
        segments=tuple(
            SegmentScore(s.segment_by, s.segment, w.window, s.rows, *_judged(w, at, s.psi[at]))
            for w in snapshot.windows
            for s in w.segments
        ),
    )


def _model_row(snapshot: Snapshot) -> ModelRow:
    states = [
        max((window.verdicts[i].state for window in snapshot.windows), key=rank)
        for i in range(len(snapshot.features))
        if snapshot.windows
    ]
    return ModelRow(
        snapshot=snapshot,
        state=model_state(snapshot),
        worst=worst_feature(snapshot),
        drifting=sum(state in (State.WARNING, State.CRITICAL) for state in states),
        judged=sum(state is not State.NOT_EVALUATED for state in states),
        window=max(snapshot.windows, key=lambda w: w.end - w.start, default=None),
    )


def _sparks(
    snapshot: Snapshot, found: Mapping[int, tuple[Worst, WindowResult]], past: PastPsi
) -> dict[int, Spark | None]:
    """The small line of each feature, of the window where it is worst."""
    lines: dict[int, Spark | None] = {}
    for window, (ends, names, psi) in past.items():
        column = {name: at for at, name in enumerate(names)}
        here = [
            i
            for i, (_, worst) in found.items()
            if worst.window == window and snapshot.features[i].name in column
        ]
        values = psi[:, [column[snapshot.features[i].name] for i in here]]
        limits = np.array([_mildest(found[i][1], i) for i in here], dtype=np.float64)
        lines |= zip(here, sparks(ends, values, limits), strict=True)
    return lines


def _worst_windows(
    snapshot: Snapshot, windows: Iterable[WindowResult]
) -> dict[int, tuple[Worst, WindowResult]]:
    """By feature, what is known of it in the window where it is worst."""
    found: dict[int, tuple[Worst, WindowResult]] = {}
    for window in windows:
        for i, worst in enumerate(window_features(snapshot, window)):
            known = found.get(i)
            if known is None or _weight(worst) > _weight(known[0]):
                found[i] = worst, window
    return found


def _weight(worst: Worst) -> tuple[int, float]:
    return rank(worst.state), -1.0 if worst.ratio is None else worst.ratio


def _order(info: FeatureInfo, found: tuple[Worst, WindowResult]) -> tuple[int, float, str]:
    """The worst state first, then what is nearest to its threshold, by importance."""
    state, ratio = _weight(found[0])
    return -state, -info.importance * max(ratio, 0.0), info.name


def _feature_row(
    snapshot: Snapshot, i: int, worst: Worst, window: WindowResult, spark: Spark | None
) -> FeatureRow:
    statistic = worst.statistic
    return FeatureRow(
        name=worst.feature,
        kind=snapshot.features[i].kind,
        state=worst.state,
        reason=window.verdicts[i].reason,
        window=window.window,
        statistic=statistic,
        score=worst.score,
        warning=_limit(window, statistic, "warning", i),
        critical=_limit(window, statistic, "critical", i),
        ratio=worst.ratio or 0.0,
        spark=spark,
    )


def _segment_rows(snapshot: Snapshot, windows: Iterable[WindowResult]) -> list[SegmentRow]:
    """Each segment in the window where it is worst, the worst first."""
    found: dict[tuple[str, str], SegmentRow] = {}
    for window in windows if snapshot.features else ():
        for segment in window.segments:
            at = _worst_of(window, segment.psi)
            psi, state = _judged(window, at, segment.psi[at])
            feature = "" if psi is None else snapshot.features[at].name
            row = SegmentRow(
                segment.segment_by,
                segment.segment,
                window.window,
                segment.rows,
                feature,
                psi,
                state,
            )
            key = (segment.segment_by, segment.segment)
            known = found.get(key)
            if known is None or (rank(state), psi or 0.0) > (rank(known.state), known.psi or 0.0):
                found[key] = row
    return sorted(found.values(), key=lambda r: (r.segment_by, -rank(r.state), -(r.psi or 0.0)))


def _worst_of(window: WindowResult, psi: Floats) -> int:
    """Position of the feature that is furthest over its thresholds of PSI."""
    over = np.isfinite(psi).astype(np.float64)
    for severity in SEVERITIES:
        limits = window.thresholds.get(("psi", severity))
        if limits is not None:
            over += psi > limits
    return int(np.lexsort((np.nan_to_num(psi, nan=-1.0), over))[-1])


def _window_view(
    snapshot: Snapshot,
    window: WindowResult,
    at: int,
    past: Sequence[tuple[int, Mapping[str, Score]]],
    detail: WindowDetail | None,
) -> WindowView:
    name = snapshot.features[at].name
    points = tuple((end, *scores[name]) for end, scores in past if name in scores)
    state = window.verdicts[at].state
    limits = [
        (severity, value)
        for severity in SEVERITIES
        if (value := _limit(window, "psi", severity, at)) is not None
    ]
    since, since_known = _since(points, state)
    psi = _score(window, "psi", at)
    bins = detail.bins if detail else ()
    return WindowView(
        window=window,
        state=state,
        reason=window.verdicts[at].reason,
        rows=int(window.samples[at]),
        scores=tuple(
            ScoreRow(s, value, _limit(window, s, "warning", at), _limit(window, s, "critical", at))
            for s in STATISTICS
            if (value := _score(window, s, at)) is not None
        ),
        psi=psi,
        past=points,
        line=line([(end, value) for end, value, _ in points], limits),
        since=since,
        since_known=since_known,
        detail=detail,
        complete=detail is None or detail.rows == int(window.samples[at]),
        largest_share=max((max(b.reference_share, b.current_share) for b in bins), default=0.0),
        largest_contribution=max(
            [b.contribution or 0.0 for b in bins]
            + [detail.thin_contribution or 0.0 if detail else 0.0]
        ),
    )


def _since(
    points: Sequence[tuple[int, float | None, str]], state: State
) -> tuple[int | None, bool]:
    """When the state began that holds now, and whether another one was seen before it."""
    since = None
    for end, _, held in reversed(points):
        if held != state:
            return since, True
        since = end
    return since, False


def _judged(window: WindowResult, i: int, value: float) -> tuple[float | None, State]:
    """PSI of a feature in a segment, and the state that the feature's thresholds give it."""
    psi = finite(value)
    if psi is None:
        return None, State.NOT_EVALUATED
    for state in (State.CRITICAL, State.WARNING):
        limit = _limit(window, "psi", state, i)
        if limit is not None and psi > limit:
            return psi, state
    return psi, State.OK


def _mildest(window: WindowResult, i: int) -> float | None:
    warning = _limit(window, "psi", "warning", i)
    return _limit(window, "psi", "critical", i) if warning is None else warning


def _limit(window: WindowResult, statistic: str, severity: str, i: int) -> float | None:
    values = window.thresholds.get((statistic, severity))
    return None if values is None else finite(values[i])


def _score(window: WindowResult, statistic: str, i: int) -> float | None:
    values = window.scores.get(statistic)
    return None if values is None else finite(values[i])
