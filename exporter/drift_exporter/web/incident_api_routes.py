"""The routes of the JSON interface for incidents, the audit log and reports.

Knows paths, parameters and codes. Who may come this far was asked before, by the guard.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from drift_exporter.audit import Entry
from drift_exporter.errors import DriftExporterError, StoreError
from drift_exporter.incident import MOVES, Action, IncidentState
from drift_exporter.incident.case import AskedAction, Person
from drift_exporter.web.credentials import PERSON
from drift_exporter.web.desk_parts import Desk, ReportFormat
from drift_exporter.web.incident_api import (
    ActionAnswer,
    AlertAnswer,
    IncidentAnswer,
    IncidentDetail,
    VerifyAnswer,
    alert_answer,
    asked_answer,
    incident_answer,
    incident_detail,
    verify_answer,
)
from drift_exporter.web.parts import WebParts
from drift_exporter.web.refusals import MOST_ID, code_of, seconds_of
from drift_exporter.web.roles import DECISIONS, OUTCOMES

_MOST = 1000
_MOST_ENTRIES = 100_000
_AT_ONCE = 1000
_LONGEST_TEXT = 10_000
_SPAN_SECONDS = 30 * 86400.0
"""How much of the past a report covers where nothing is said."""

REPORT_HEADERS = {
    # A report brings its own style and pictures, and is let do nothing else.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox"
    )
}


class Said(BaseModel):
    """What somebody says along with what they do."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(default="", max_length=_LONGEST_TEXT)


_NOTHING_SAID = Said()


def add_incident_api(app: FastAPI, base: str, parts: WebParts, desk: Desk) -> None:
    """Add the routes below a path."""
    _add_reading(app, base, desk)
    _add_moves(app, base, desk)
    _add_audit(app, base, desk)
    _add_reports(app, base, parts, desk)


def _add_reading(app: FastAPI, base: str, desk: Desk) -> None:
    def incidents(
        model: str | None = None,
        state: Annotated[list[IncidentState] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
        before: Annotated[int | None, Query(ge=1, le=MOST_ID)] = None,
    ) -> list[IncidentAnswer]:
        """The newest incidents first; `before` is the id of the last one of the page before."""
        with _told():
            return [incident_answer(i) for i in desk.incidents(model, state, limit, before)]

    def incident(
        incident_id: int, limit: Annotated[int, Query(ge=1, le=100_000)] = _MOST
    ) -> IncidentDetail:
        """An incident with its analysis and actions, and the newest of its steps and alerts."""
        with _told():
            found = desk.case(incident_id)
        if found is None:
            raise HTTPException(404, f"there is no incident {incident_id}")
        return incident_detail(found, limit)

    def alerts(limit: Annotated[int, Query(ge=1, le=_MOST)] = 100) -> list[AlertAnswer]:
        """The newest alerts that belong to no incident."""
        with _told():
            return [alert_answer(alert) for alert in desk.unmatched_alerts(limit)]

    app.add_api_route(f"{base}/incidents", incidents, methods=["GET"])
    app.add_api_route(f"{base}/incidents/{{incident_id}}", incident, methods=["GET"])
    app.add_api_route(f"{base}/alerts", alerts, methods=["GET"])


def _add_moves(app: FastAPI, base: str, desk: Desk) -> None:
    def move_by(move: str) -> Callable[..., IncidentAnswer]:
        def moved(request: Request, incident_id: int, said: Said = _NOTHING_SAID) -> IncidentAnswer:
            with _told(lambda: desk.incident(incident_id) is not None):
                return incident_answer(desk.move(incident_id, _asks(request), move, said.text))

        moved.__doc__ = f"{move.capitalize()} an incident."
        return moved

    def decide_by(decision: str) -> Callable[..., ActionAnswer]:
        def decided(request: Request, action_id: int, said: Said = _NOTHING_SAID) -> ActionAnswer:
            with _told(lambda: desk.action(action_id) is not None):
                return answer(desk.decide(action_id, _asks(request), decision, said.text))

        decided.__doc__ = f"{decision.capitalize()} an action."
        return decided

    def settle_by(outcome: str) -> Callable[..., ActionAnswer]:
        def settled(request: Request, action_id: int, said: Said = _NOTHING_SAID) -> ActionAnswer:
            done = outcome == "succeeded"
            with _told(lambda: desk.action(action_id) is not None):
                return answer(desk.settle(action_id, _asks(request), done, said.text))

        settled.__doc__ = f"Say that an action of unknown outcome has {outcome}."
        return settled

    def analyse(request: Request, incident_id: int) -> IncidentAnswer:
        """Judge an incident once more, on what its model's windows hold now."""
        with _told(lambda: desk.incident(incident_id) is not None):
            return incident_answer(desk.analyse(incident_id, _asks(request)))

    def request_action(request: Request, incident_id: int, name: str) -> ActionAnswer:
        """Ask for an action of the config; it needs the same approvals as ever."""
        with _told(lambda: desk.incident(incident_id) is not None):
            return answer(desk.request(incident_id, name, _asks(request)))

    def answer(action: Action) -> ActionAnswer:
        case = desk.case(action.incident_id)
        asked = [one for one in case.actions if one.action.id == action.id] if case else []
        return asked_answer(asked[0] if asked else AskedAction(action, ()))

    place = f"{base}/incidents/{{incident_id}}"
    for move in MOVES:
        app.add_api_route(f"{place}/{move}", move_by(move), methods=["POST"], name=move)
    for decision in DECISIONS:
        path = f"{base}/actions/{{action_id}}/{decision}"
        app.add_api_route(path, decide_by(decision), methods=["POST"], name=decision)
    for outcome in OUTCOMES:
        path = f"{base}/actions/{{action_id}}/{outcome}"
        app.add_api_route(path, settle_by(outcome), methods=["POST"], name=outcome)
    app.add_api_route(f"{place}/actions/{{name}}", request_action, methods=["POST"])
    app.add_api_route(f"{place}/analyse", analyse, methods=["POST"])


def _add_audit(app: FastAPI, base: str, desk: Desk) -> None:
    def audit(
        since: Annotated[int, Query(ge=0, le=MOST_ID)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST_ENTRIES)] = _MOST,
    ) -> Response:
        """Entries of the audit log after an id, one per line, the oldest first."""
        with _told():
            first = list(desk.audit(since, min(limit, _AT_ONCE)))
        lines = _lines(desk, first, limit)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    def verify() -> VerifyAnswer:
        """Whether the audit log was changed, and where."""
        with _told():
            return verify_answer(desk.verify())

    app.add_api_route(f"{base}/audit", audit, methods=["GET"], response_class=Response)
    app.add_api_route(f"{base}/audit/verify", verify, methods=["GET"])


def _lines(desk: Desk, some: list[Entry], left: int) -> Iterator[str]:
    # Read in parts: a client that reads slowly must not keep a transaction open.
    while some:
        yield "".join(f"{_line(entry)}\n" for entry in some)
        left -= len(some)
        some = list(desk.audit(some[-1].id, min(left, _AT_ONCE))) if left else []


def _line(entry: Entry) -> str:
    try:
        return entry.line
    except StoreError:
        # Somebody changed it; it is shown as it is, and no verification takes it for an entry.
        return json.dumps({"id": entry.id, "damaged": entry.text, "hash": entry.hash})


def _add_reports(app: FastAPI, base: str, parts: WebParts, desk: Desk) -> None:
    def of_incident(incident_id: int, format: ReportFormat = "markdown") -> Response:
        """The report of an incident."""
        with _told():
            incident = desk.incident(incident_id)
        if incident is None:
            raise HTTPException(404, f"there is no incident {incident_id}")
        return written(incident_id, incident.opened, parts.clock(), format)

    def of_span(
        since: str | None = None,
        until: str | None = None,
        format: ReportFormat = "markdown",
    ) -> Response:
        """The report of a span: `since` and `until` as ISO 8601 or seconds since the epoch."""
        try:
            end = parts.clock() if until is None else seconds_of(until)
            start = max(end - _SPAN_SECONDS, 0.0) if since is None else seconds_of(since)
        except ValueError as error:
            raise HTTPException(422, f"since and until: {error}") from error
        if start >= end:
            raise HTTPException(422, "since must be before until")
        return written(None, start, end, format)

    def written(
        incident_id: int | None, since: float, until: float, kind: ReportFormat
    ) -> Response:
        if parts.report is None:
            raise HTTPException(404, "this exporter writes no reports")
        with _told():
            body, media_type = parts.report(incident_id, since, until, kind)
        return Response(body, media_type=media_type, headers=REPORT_HEADERS)

    for path, answer in (
        ("/incidents/{incident_id}/report", of_incident),
        ("/report", of_span),
    ):
        app.add_api_route(f"{base}{path}", answer, methods=["GET"], response_class=Response)


@contextmanager
def _told(there: Callable[[], bool] = lambda: True) -> Iterator[None]:
    """Errors of the desk become answers."""
    try:
        yield
    except DriftExporterError as error:
        code = code_of(error, there=True)
        if code == 409 and not there():
            code = 404
        raise HTTPException(code, str(error)) from error


def _asks(request: Request) -> Person:
    person: Any = request.scope[PERSON]
    assert isinstance(person, Person)  # noqa: S101 - the guard has put it there
    return person
