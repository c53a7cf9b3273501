"""Scores of the past, as pages and documents ask for them.

Knows how much of the past is shown; never a page or a store.
"""

from drift_exporter.errors import StoreError
from drift_exporter.snapshot import Snapshot
from drift_exporter.web.parts import WebParts
from drift_exporter.web.views import FeatureView, Past, feature_view

SPARK_POINTS = 40
LINE_POINTS = 288
"""Points of the lines of a model's page and of a feature's."""

DAY_SECONDS = 86400
SPANS = {"1d": DAY_SECONDS, "7d": 7 * DAY_SECONDS, "30d": 30 * DAY_SECONDS}
"""How much of the past a feature's page may show."""

RUNS_AT_LEAST = 48
"""A model that runs once a day shows so many runs, not one day."""


def past_of(
    parts: WebParts, snapshot: Snapshot, seconds: int, points: int, feature: str | None = None
) -> tuple[Past, str]:
    """Scores of the past by window, of a feature or of all; and the error where there are none."""
    seconds = max(seconds, int(RUNS_AT_LEAST * snapshot.interval_seconds))
    only = None if feature is None else (feature,)
    try:
        return {
            window.window: list(
                parts.history(
                    snapshot.model,
                    window.window,
                    window.end - seconds,
                    window.end,
                    features=only,
                    most=points,
                )
            )
            for window in snapshot.windows
        }, ""
    except StoreError as error:
        return {}, str(error)


def feature_of(
    parts: WebParts, snapshot: Snapshot, name: str, seconds: int = DAY_SECONDS
) -> tuple[FeatureView | None, str]:
    """A feature with its past and its bins, and the error where the store cannot be read."""
    past, error = past_of(parts, snapshot, seconds, LINE_POINTS, name)
    try:
        detail = parts.detail(snapshot.model, name)
    except StoreError as failed:
        detail, error = None, str(failed)
    return feature_view(snapshot, name, past, detail), error
