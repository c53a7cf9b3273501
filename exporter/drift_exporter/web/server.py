"""The app's routes: metrics, health, pages and the JSON interface.

Knows paths and codes. Never a store, a scheduler or a metric: all it shows comes through the
callables of `WebParts`.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from drift_exporter.web.alerts_route import add_alerts
from drift_exporter.web.api_routes import add_api
from drift_exporter.web.gate import Passes
from drift_exporter.web.guard import guard_routes, passes_of
from drift_exporter.web.incident_api_routes import add_incident_api
from drift_exporter.web.incident_page_routes import IncidentPages
from drift_exporter.web.negotiation import Format, accepts_gzip, negotiate
from drift_exporter.web.page_routes import PageRoutes
from drift_exporter.web.parts import WebParts
from drift_exporter.web.refusals import told
from drift_exporter.web.roles import API


def create_app(parts: WebParts) -> FastAPI:
    """Build the app: metrics, health, pages and the JSON interface."""
    prefix = _path(parts.route_prefix)
    telemetry = parts.telemetry_path.strip("/")
    app = _Exporter(
        f"{prefix}/{telemetry}",
        parts,
        passes_of(prefix, parts.desk),
        title="drift-exporter",
        version=parts.version,
        openapi_url=f"{prefix}{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": parts.external_url}] if parts.external_url else None,
    )
    app.add_exception_handler(RequestValidationError, lambda _, error: told(error))
    _add_health(app, prefix, parts)
    _add_probe(app, prefix, parts)
    PageRoutes(parts, telemetry).add_to(app, prefix)
    add_api(app, f"{prefix}{API}", parts)
    if parts.desk is not None:
        add_alerts(app, prefix, parts, parts.desk)
        IncidentPages(parts, telemetry, parts.desk).add_to(app, prefix)
        add_incident_api(app, f"{prefix}{API}", parts, parts.desk)
    guard_routes(app, prefix, parts.desk)
    if prefix:
        _lead_to(app, prefix)
    return app


class _Exporter(FastAPI):
    """Answers scrapes itself, before anything of the framework runs."""

    def __init__(self, metrics_path: str, parts: WebParts, passes: Passes, **settings: Any) -> None:
        super().__init__(**settings)
        self.passes = passes
        self._metrics_path = metrics_path
        self._web_parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != self._metrics_path:
            await super().__call__(scope, receive, send)
        elif scope["method"] in ("GET", "HEAD"):
            fmt, gzip = _asked(scope)
            body = self._web_parts.scrape(openmetrics=fmt is Format.OPENMETRICS, gzip=gzip)
            await _exposition(body, fmt, gzip)(scope, receive, send)
        else:
            refusal = PlainTextResponse("Method Not Allowed\n", 405, {"Allow": "GET, HEAD"})
            await refusal(scope, receive, send)


def _asked(scope: Scope) -> tuple[Format, bool]:
    accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
    coding = b",".join(value for name, value in scope["headers"] if name == b"accept-encoding")
    return negotiate(accept.decode("latin-1")), accepts_gzip(coding.decode("latin-1"))


def _exposition(body: bytes, fmt: Format, gzip: bool) -> Response:
    headers = {"Content-Type": fmt.content_type, "Vary": "Accept, Accept-Encoding"}
    if gzip:
        headers["Content-Encoding"] = "gzip"
    return Response(body, headers=headers)


def _add_health(app: FastAPI, prefix: str, parts: WebParts) -> None:
    # Not on the threads that the others wait on: slow pages must not make us look dead.
    async def healthy(_: Request) -> Response:
        return PlainTextResponse("Healthy\n")

    def ready(_: Request) -> Response:
        why_not = parts.ready()
        return PlainTextResponse(f"Not ready: {why_not}\n", 503) if why_not else _text("Ready\n")

    def reload(_: Request) -> Response:
        error = parts.reload()
        return PlainTextResponse(f"{error}\n", 500) if error else _text("Reloaded\n")

    app.add_route(f"{prefix}/-/healthy", healthy, methods=["GET"])
    app.add_route(f"{prefix}/-/ready", ready, methods=["GET"])
    app.add_route(f"{prefix}/-/reload", reload, methods=["POST"])


def _add_probe(app: FastAPI, prefix: str, parts: WebParts) -> None:
    def probe(request: Request) -> Response:
        model = request.query_params.get("model")
        if not model:
            return PlainTextResponse("the parameter model is missing\n", 400)
        fmt, gzip = _asked(request.scope)
        body = parts.probe(model, openmetrics=fmt is Format.OPENMETRICS, gzip=gzip)
        if body is None:
            return PlainTextResponse("there is no such model\n", 404)
        return _exposition(body, fmt, gzip)

    app.add_route(f"{prefix}/probe", probe, methods=["GET"])


def _lead_to(app: FastAPI, prefix: str) -> None:
    """Lead from outside of the prefix into it."""

    def home(_: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    app.add_route("/", home, methods=["GET"])
    app.add_route(prefix, home, methods=["GET"])


def _text(text: str) -> Response:
    return PlainTextResponse(text)


def _path(text: str) -> str:
    """A path with a slash before and none behind; empty for the root."""
    inner = text.strip("/")
    return f"/{inner}" if inner else ""
