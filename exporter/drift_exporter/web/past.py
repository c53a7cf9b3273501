"""Scores of the past, as pages and documents ask for them.

Knows how much of the past is shown; never a page or a store.
"""

from drift_exporter.errors import StoreError
from drift_exporter.snapshot import Snapshot
from drift_exporter.web.parts import WebParts
from drift_exporter.web.views import FeatureView, Past, PastPsi, feature_view

SPARK_POINTS = 32
LINE_POINTS = 288
"""Points of the lines of a model's page and of a feature's."""

DAY_SECONDS = 86400
SPANS = {"1d": DAY_SECONDS, "7d": 7 * DAY_SECONDS, "30d": 30 * DAY_SECONDS}
"""How much of the past a feature's page may show."""

RUNS_AT_LEAST = 48
"""A model that runs once a day shows so many runs, not one day."""


def psi_of(parts: WebParts, snapshot: Snapshot) -> tuple[PastPsi, str]:
    """PSI of all features of late, and the error where there is none."""
    seconds = _at_least(snapshot, DAY_SECONDS)
    try:
        return {
            w.window: parts.psi_history(
                snapshot.model, w.window, w.end - seconds, w.end, most=SPARK_POINTS
            )
            for w in snapshot.windows
        }, ""
    except StoreError as error:
        return {}, str(error)


def feature_of(
    parts: WebParts, snapshot: Snapshot, name: str, seconds: int = DAY_SECONDS
) -> tuple[FeatureView | None, str]:
    """A feature with its past and its bins, and the error where the store cannot be read."""
    seconds = _at_least(snapshot, seconds)
    past: Past = {}
    detail, error = None, ""
    try:
        past = {
            w.window: list(
                parts.history(
                    snapshot.model,
                    w.window,
                    w.end - seconds,
                    w.end,
                    features=(name,),
                    most=LINE_POINTS,
                )
            )
            for w in snapshot.windows
        }
        detail = parts.detail(snapshot.model, name)
    except StoreError as failed:
        error = str(failed)
    return feature_view(snapshot, name, past, detail), error


def _at_least(snapshot: Snapshot, seconds: int) -> int:
    return max(seconds, int(RUNS_AT_LEAST * snapshot.interval_seconds))
