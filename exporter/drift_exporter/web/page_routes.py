"""The routes of the pages: what they ask of the parts, and which page answers.

Knows paths, parameters and codes of pages; never a template, a store or a clock of its own.
"""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from drift_exporter.errors import StoreError
from drift_exporter.incident import ACTIVE, Incident
from drift_exporter.snapshot import Snapshot
from drift_exporter.verdicts.verdict import State
from drift_exporter.web import pages
from drift_exporter.web.any_path import ANYTHING
from drift_exporter.web.credentials import PERSON
from drift_exporter.web.parts import WebParts
from drift_exporter.web.past import SPANS, feature_of, psi_of
from drift_exporter.web.roles import Need
from drift_exporter.web.views import fleet, model_view

MOST_RUNS = 100
"""Runs that a page shows."""


MOST_INCIDENTS = 1000


@dataclass(frozen=True)
class PageRoutes:
    """Answers requests for pages. The methods run on threads, not on the event loop."""

    parts: WebParts
    telemetry: str

    def add_to(self, app: FastAPI, prefix: str) -> None:
        """Add the routes below a prefix."""
        for path, answer in (
            ("/", self.first),
            ("/models/{model}", self.model),
            (f"/models/{{model}}/{{feature:{ANYTHING}}}", self.feature),
            ("/runs", self.runs),
            ("/config", self.config),
        ):
            app.add_route(f"{prefix}{path}", answer, methods=["GET"])

    def first(self, request: Request) -> Response:
        """All models."""
        going_on = Counter(incident.model for incident in self._going_on(request))
        models = fleet(self.parts.snapshots())
        return HTMLResponse(pages.fleet_page(self._frame("./"), models, going_on))

    def model(self, request: Request) -> Response:
        """One model: every feature."""
        snapshot = self._snapshot(request)
        if snapshot is None:
            return self._missing("../", "There is no such model.")
        asked = request.query_params
        known = {window.window for window in snapshot.windows}
        chosen = pages.Filter(
            window=asked.get("window", "") if asked.get("window") in known else "",
            state=State(asked["state"]) if asked.get("state") in list(State) else None,
            text=asked.get("text", ""),
        )
        past, error = psi_of(self.parts, snapshot)
        view = model_view(
            snapshot, past, window=chosen.window, state=chosen.state, text=chosen.text
        )
        ends = [end for found in past.values() for end in found[0]]
        seconds = max(ends, default=0) - min(ends, default=0)
        going_on = self._going_on(request, snapshot.model)
        return HTMLResponse(
            pages.model_page(self._frame("../"), snapshot, view, chosen, seconds, error, going_on)
        )

    def feature(self, request: Request) -> Response:
        """One feature: distributions, history, contributions and segments."""
        snapshot = self._snapshot(request)
        name = request.path_params["feature"] or request.query_params.get("feature")
        if name is None and snapshot is not None:
            return RedirectResponse(f"../{quote(snapshot.model, safe='')}", 302)
        if snapshot is None or name not in {feature.name for feature in snapshot.features}:
            return self._missing("../../", "There is no such feature.")
        span = request.query_params.get("span", "")
        span = span if span in SPANS else next(iter(SPANS))
        view, error = feature_of(self.parts, snapshot, name, SPANS[span])
        if view is None:
            return self._missing("../../", "There is no such feature.")
        return HTMLResponse(
            pages.feature_page(self._frame("../../"), snapshot, view, list(SPANS), span, error)
        )

    def runs(self, request: Request) -> Response:
        """Recent runs."""
        model = request.query_params.get("model")
        found = self.parts.runs(model, MOST_RUNS)
        return HTMLResponse(pages.runs_page(self._frame("./"), found, model=model))

    def config(self, request: Request) -> Response:
        """The running config: a page for browsers, plain text for all else."""
        text = self.parts.config_text()
        vary = {"Vary": "Accept"}
        if "text/html" in request.headers.get("accept", ""):
            page = pages.config_page(self._frame("./"), text)
            return HTMLResponse(page, headers=vary)
        return PlainTextResponse(text, headers=vary)

    def _snapshot(self, request: Request) -> Snapshot | None:
        name = request.path_params["model"]
        return next((s for s in self.parts.snapshots() if s.model == name), None)

    def _frame(self, root: str) -> pages.Frame:
        return frame_of(self.parts, root, self.telemetry)

    def _going_on(self, request: Request, model: str | None = None) -> list[Incident]:
        """Incidents that go on, as far as who asks may see them."""
        desk = self.parts.desk
        if desk is None or (desk.people.restricted and not request.scope[PERSON].may(Need.VIEWER)):
            return []
        try:
            return desk.incidents(model, ACTIVE, MOST_INCIDENTS)
        except StoreError:
            # Scores are in memory: they are shown whatever the store says.
            return []

    def _missing(self, root: str, what: str) -> Response:
        return HTMLResponse(pages.missing_page(self._frame(root), what), 404)


def frame_of(parts: WebParts, root: str, telemetry: str) -> pages.Frame:
    """What stands around a page of these parts."""
    return pages.Frame(
        root,
        parts.clock(),
        parts.version,
        parts.revision,
        telemetry,
        incidents=parts.desk is not None,
    )
