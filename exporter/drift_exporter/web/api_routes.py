"""The routes of the JSON interface, the twin of the pages.

Knows paths, parameters and codes of the interface; never a page.
"""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query

from drift_exporter.errors import StoreError
from drift_exporter.snapshot import Snapshot
from drift_exporter.web.any_path import ANYTHING
from drift_exporter.web.api import (
    FeatureDetailAnswer,
    ModelAnswer,
    ModelDetail,
    PastAnswer,
    RunAnswer,
    feature_answer,
    model_answer,
    model_detail,
    past_answer,
    run_answer,
)
from drift_exporter.web.parts import WebParts
from drift_exporter.web.past import DAY_SECONDS, LINE_POINTS, feature_of

_RUNS = 100
_MOST = 1000


def add_api(app: FastAPI, base: str, parts: WebParts) -> None:
    """Add the routes below a path."""

    def models() -> list[ModelAnswer]:
        """Every model in short."""
        return [model_answer(snapshot) for snapshot in parts.snapshots()]

    def model(name: str) -> ModelDetail:
        """One model with every feature of every window."""
        return model_detail(_snapshot(parts, name))

    def feature(name: str, feature: str) -> FeatureDetailAnswer:
        """One feature: scores, distributions and segments in every window."""
        snapshot = _snapshot(parts, name)
        view, error = feature_of(parts, snapshot, feature)
        if error:
            raise HTTPException(503, error)
        if view is None:
            raise HTTPException(404, "there is no such feature")
        return feature_answer(snapshot, view)

    def history(
        name: str,
        window: str,
        feature: Annotated[list[str] | None, Query()] = None,
        since: int | None = None,
        until: int | None = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = LINE_POINTS,
    ) -> list[PastAnswer]:
        """PSI and state of past windows, the oldest first, at most so many, evenly spread.

        `since` and `until` are seconds since the epoch; by default the last day of scores.
        """
        snapshot = _snapshot(parts, name)
        ends = {found.window: found.end for found in snapshot.windows}
        if window not in ends:
            raise HTTPException(404, "there is no such window")
        last = ends[window] if until is None else until
        first = last - DAY_SECONDS if since is None else since
        try:
            found = parts.history(name, window, first, last, features=feature, most=limit)
            return [past_answer(end, scores) for end, scores in found]
        except StoreError as error:
            raise HTTPException(503, str(error)) from error

    def runs(
        model: str | None = None, limit: Annotated[int, Query(ge=1, le=_MOST)] = _RUNS
    ) -> list[RunAnswer]:
        """Recent runs, the newest first."""
        return [run_answer(*run) for run in parts.runs(model, limit)]

    routes: dict[str, Callable[..., Any]] = {
        "/models": models,
        "/models/{name}": model,
        f"/models/{{name}}/features/{{feature:{ANYTHING}}}": feature,
        "/models/{name}/history": history,
        "/runs": runs,
    }
    for path, answer in routes.items():
        app.add_api_route(f"{base}{path}", answer, methods=["GET"])


def _snapshot(parts: WebParts, name: str) -> Snapshot:
    for snapshot in parts.snapshots():
        if snapshot.model == name:
            return snapshot
    raise HTTPException(404, "there is no such model")
