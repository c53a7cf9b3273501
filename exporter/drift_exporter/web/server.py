"""The app's routes: metrics, health, pages and the JSON interface.

Knows paths and codes. Never a store, a scheduler or a metric: all it shows comes through the
callables of `WebParts`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, HTTPException, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from drift_exporter.snapshot import Run, Snapshot
from drift_exporter.web import pages
from drift_exporter.web.api import (
    ModelAnswer,
    ModelDetail,
    RunAnswer,
    model_answer,
    model_detail,
    run_answer,
)
from drift_exporter.web.negotiation import Format, accepts_gzip, negotiate

_RUNS = 100
"""Runs that a page shows."""


class Scrape(Protocol):
    """Gives the exposition of all models.

    Called on the server's own thread, so it must only hand out bytes that are there.
    """

    def __call__(self, *, openmetrics: bool, gzip: bool) -> bytes:
        """The exposition in a format and encoding."""


class Probe(Protocol):
    """Gives the exposition of one model, None where there is no such model."""

    def __call__(self, model: str, *, openmetrics: bool, gzip: bool) -> bytes | None:
        """The exposition of one model in a format and encoding."""


@dataclass(frozen=True)
class WebParts:
    """What the server shows, given by whoever builds it; all of it may be called on any thread."""

    scrape: Scrape
    probe: Probe
    snapshots: Callable[[], tuple[Snapshot, ...]]
    runs: Callable[[str | None, int], Sequence[tuple[str, Run]]]
    """Newest runs of a model, or of all; at most so many; the newest first."""

    config_text: Callable[[], str]
    """The running config as YAML, without secrets."""

    reload: Callable[[], str | None]
    """Reads the config again; the error where it is bad."""

    ready: Callable[[], str | None]
    """None, or why requests should not be sent here."""

    version: str
    revision: str = ""
    telemetry_path: str = "/metrics"
    route_prefix: str = "/"
    external_url: str = ""


def create_app(parts: WebParts) -> FastAPI:
    """Build the app: metrics, health, pages and the JSON interface."""
    prefix = _path(parts.route_prefix)
    telemetry = parts.telemetry_path.strip("/")
    app = _Exporter(
        f"{prefix}/{telemetry}",
        parts,
        title="drift-exporter",
        version=parts.version,
        openapi_url=f"{prefix}/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": parts.external_url}] if parts.external_url else None,
    )
    _add_health(app, prefix, parts)
    _add_pages(app, prefix, telemetry, parts)
    _add_api(app, f"{prefix}/api/v1", parts)
    return app


class _Exporter(FastAPI):
    """Answers scrapes itself, before anything of the framework runs."""

    def __init__(self, metrics_path: str, parts: WebParts, **settings: Any) -> None:
        super().__init__(**settings)
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


def _add_pages(app: FastAPI, prefix: str, telemetry: str, parts: WebParts) -> None:
    def landing(_: Request) -> Response:
        return HTMLResponse(
            pages.landing(
                [model_answer(snapshot) for snapshot in parts.snapshots()],
                version=parts.version,
                revision=parts.revision,
                telemetry=telemetry or "./",
            )
        )

    def runs(request: Request) -> Response:
        model = request.query_params.get("model")
        found = parts.runs(model, _RUNS)
        return HTMLResponse(pages.runs_page([run_answer(*run) for run in found], model=model))

    def config(_: Request) -> Response:
        return PlainTextResponse(parts.config_text())

    def probe(request: Request) -> Response:
        model = request.query_params.get("model")
        if not model:
            return PlainTextResponse("the parameter model is missing\n", 400)
        fmt, gzip = _asked(request.scope)
        body = parts.probe(model, openmetrics=fmt is Format.OPENMETRICS, gzip=gzip)
        if body is None:
            return PlainTextResponse("there is no such model\n", 404)
        return _exposition(body, fmt, gzip)

    def home(_: Request) -> Response:
        return RedirectResponse(f"{prefix}/", 302)

    app.add_route(f"{prefix}/", landing, methods=["GET"])
    app.add_route(f"{prefix}/runs", runs, methods=["GET"])
    app.add_route(f"{prefix}/config", config, methods=["GET"])
    app.add_route(f"{prefix}/probe", probe, methods=["GET"])
    if prefix:
        app.add_route("/", home, methods=["GET"])
        app.add_route(prefix, home, methods=["GET"])


def _add_api(app: FastAPI, base: str, parts: WebParts) -> None:
    def models() -> list[ModelAnswer]:
        """Every model in short."""
        return [model_answer(snapshot) for snapshot in parts.snapshots()]

    def model(name: str) -> ModelDetail:
        """One model with every feature of every window."""
        for snapshot in parts.snapshots():
            if snapshot.model == name:
                return model_detail(snapshot)
        raise HTTPException(404, "there is no such model")

    def runs(
        model: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = _RUNS
    ) -> list[RunAnswer]:
        """Recent runs, the newest first."""
        return [run_answer(*run) for run in parts.runs(model, limit)]

    app.add_api_route(f"{base}/models", models, methods=["GET"], response_model=list[ModelAnswer])
    app.add_api_route(f"{base}/models/{{name}}", model, methods=["GET"])
    app.add_api_route(f"{base}/runs", runs, methods=["GET"])


def _text(text: str) -> Response:
    return PlainTextResponse(text)


def _path(text: str) -> str:
    """A path with a slash before and none behind; empty for the root."""
    inner = text.strip("/")
    return f"/{inner}" if inner else ""
