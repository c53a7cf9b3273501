"""A snapshot in one line: the worst state of a model, and the feature that is worst.

Pure: a snapshot in, a summary out. Knows no page and no clock.
"""

from dataclasses import dataclass
from math import isfinite

import numpy as np

from drift_exporter.snapshot import FeatureInfo, Snapshot, WindowResult
from drift_exporter.verdicts.verdict import Floats, State

_RANK = {State.NOT_EVALUATED: 0, State.OK: 1, State.WARNING: 2, State.CRITICAL: 3}


@dataclass(frozen=True)
class Worst:
    """The feature of a model that is furthest towards or over a threshold."""

    feature: str
    window: str
    state: State
    statistic: str
    """Empty where no score has a threshold."""

    score: float | None
    ratio: float | None
    """Score over its mildest threshold; above 1 it is drifting."""


def rank(state: State) -> int:
    """How bad a state is; what is not evaluated comes before what is ok."""
    return _RANK[state]


def model_state(snapshot: Snapshot) -> State:
    """The worst verdict of all features in all windows; not evaluated where there is none."""
    states = (verdict.state for window in snapshot.windows for verdict in window.verdicts)
    return max(states, key=rank, default=State.NOT_EVALUATED)


def worst_feature(snapshot: Snapshot) -> Worst | None:
    """The feature with the worst verdict, among equals the one nearest to its threshold.

    How near counts by importance. A prediction follows its features: it is named only where no
    feature is as bad.
    """
    found = [
        (_weight(info, worst), worst)
        for window in snapshot.windows
        for info, worst in zip(snapshot.features, window_features(snapshot, window), strict=True)
        if worst.state is not State.NOT_EVALUATED
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def _weight(info: FeatureInfo, worst: Worst) -> tuple[int, bool, float]:
    return rank(worst.state), info.role == "feature", info.importance * (worst.ratio or 0.0)


def window_features(snapshot: Snapshot, window: WindowResult) -> list[Worst]:
    """Each feature of a window with the statistic that is nearest to its threshold."""
    count = len(snapshot.features)
    ratio: Floats = np.full(count, -np.inf)
    statistic = np.full(count, "", dtype=object)
    for (name, _severity), limit in window.thresholds.items():
        if name not in window.scores:
            continue
        with np.errstate(invalid="ignore", divide="ignore"):
            over = np.nan_to_num(window.scores[name] / limit, nan=-np.inf)
        nearer = over > ratio
        ratio[nearer], statistic[nearer] = over[nearer], name
    return [
        Worst(
            feature=feature.name,
            window=window.window,
            state=window.verdicts[i].state,
            statistic=str(statistic[i]),
            score=finite(window.scores[statistic[i]][i]) if statistic[i] else None,
            ratio=finite(ratio[i]),
        )
        for i, feature in enumerate(snapshot.features)
    ]


def finite(value: float) -> float | None:
    """The value, or None where it is not a number or endless; JSON knows neither."""
    return float(value) if isfinite(value) else None
