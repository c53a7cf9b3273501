"""Stands before every route: who may use it, asked before anything of the request is done.

Knows the table of needs and who asks; never what a route does.
"""

from fastapi import FastAPI
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from drift_exporter.incident.case import NOBODY
from drift_exporter.web.credentials import (
    PERSON,
    Shown,
    authorization_of,
    bearer_of,
    by_token,
    shown,
)
from drift_exporter.web.desk_parts import Desk, People
from drift_exporter.web.gate import Passes
from drift_exporter.web.roles import API, NEEDS, Need

ALERTS = "/alerts"
ALERTS_BODY_BYTES = 16 * 1024 * 1024
"""Largest body of a delivery: ten thousand alerts with long annotations."""

_ASK = (
    ("WWW-Authenticate", 'Basic realm="drift-exporter", charset="UTF-8"'),
    ("WWW-Authenticate", 'Bearer realm="drift-exporter"'),
)
_NOBODY_MAY = (
    "nobody may change incidents yet: name people under access.tokens or access.users "
    "in the config file"
)


def guard_routes(app: FastAPI, prefix: str, desk: Desk | None) -> None:
    """Put the guard before each route that the app has by now.

    Raises
    ------
    KeyError
        If a route stands not in the table of needs: it would be open to everybody.
    """
    for route in app.routes:
        if isinstance(route, Route):
            path = route.path.removeprefix(prefix)
            needs = {NEEDS[method, path] for method in (route.methods or ()) if method != "HEAD"}
            (need,) = needs
            route.app = _Guarded(route.app, need, desk, api=path.startswith(API))


def passes_of(prefix: str, desk: Desk | None) -> Passes:
    """What the gate has to let through for incidents."""
    if desk is None:
        return Passes()
    alerts = f"{prefix}{ALERTS}"

    def lets_in(path: str, authorization: str) -> bool:
        people = desk.people
        if by_token(people, authorization) is not None:
            return True
        token = bearer_of(authorization)
        return path == alerts and people.sender_known and people.may_send(token)

    return Passes({alerts: ALERTS_BODY_BYTES}, lets_in)


class _Guarded:
    """A route's app behind its need."""

    def __init__(self, app: ASGIApp, need: Need, desk: Desk | None, *, api: bool) -> None:
        self._app = app
        self._need = need
        self._desk = desk
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = None
        scope[PERSON] = NOBODY
        if self._desk is not None:
            people = self._desk.people
            found = shown(people, scope)
            scope[PERSON] = found.person
            refusal = self._refusal(scope, people, found)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope, people: People, found: Shown) -> Response | None:
        match self._need:
            case Need.PUBLIC | Need.LINK:
                return None
            case Need.SENDER:
                if people.may_send(bearer_of(authorization_of(scope))):
                    return None
                return self._no(401, "alerts are taken with the token of access.webhook_token_file")
            case Need.VIEWER if not people.restricted:
                return None
        if not people.restricted:
            return self._no(403, _NOBODY_MAY)
        person = found.person
        if not person.name:
            return self._no(401, f"this takes the role {self._need}: show a token or a password")
        if not person.may(self._need):
            has = person.role or "none"
            return self._no(403, f"this takes the role {self._need}; {person.name} has {has}")
        if self._api and scope["method"] == "POST" and not (found.by_itself or _is_json(scope)):
            # A page of another site can make a browser send the password, but no JSON with it.
            return self._no(415, "send it with the Content-Type application/json")
        return None

    def _no(self, code: int, why: str) -> Response:
        answer: Response
        if self._api:
            answer = JSONResponse({"detail": why}, code)
        else:
            answer = PlainTextResponse(f"{why}\n", code)
        if code == 401:
            for name, value in _ASK:
                answer.headers.append(name, value)
        return answer


def _is_json(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return bool(kinds) and kinds[0].partition(b";")[0].strip().lower() == b"application/json"
