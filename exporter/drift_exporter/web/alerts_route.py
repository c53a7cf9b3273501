"""The webhook's route: a body in, an answer that Alertmanager understands out.

Knows codes: 4xx where sending it again is of no use, 503 where it is.
"""

import asyncio
from typing import Any

import anyio
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from drift_exporter.errors import DeliveryError, StoreError
from drift_exporter.incident.case import Receipt
from drift_exporter.web.desk_parts import Desk
from drift_exporter.web.guard import ALERTS
from drift_exporter.web.listen import Limits
from drift_exporter.web.parts import WebParts

_CODES = {"malformed": 400, "version": 400, "too_large": 413}
_LARGE_AT_ONCE = 4
"""Bodies over the usual limit that are taken at a time; the others wait where they are."""

_THREADS = 16
"""Deliveries that are worked on at a time, on threads that pages do not wait for."""


def add_alerts(app: FastAPI, prefix: str, parts: WebParts, desk: Desk) -> None:
    """Add the route below a prefix."""
    large = asyncio.Semaphore(_LARGE_AT_ONCE)
    threads = anyio.CapacityLimiter(_THREADS)

    async def receive(request: Request) -> Response:
        length = request.headers.get("content-length")
        if length is not None and int(length) <= Limits.body_bytes:
            return await answer(request)
        async with large:
            return await answer(request)

    async def answer(request: Request) -> Response:
        body = await request.body()
        try:
            receipt = await anyio.to_thread.run_sync(
                desk.receive, body, parts.clock(), limiter=threads
            )
        except DeliveryError as error:
            return _refused(request, _CODES[error.why], str(error), why=error.why)
        except StoreError as error:
            return _refused(request, 503, str(error), why="store")
        return _taken(request, receipt)

    app.add_route(f"{prefix}{ALERTS}", receive, methods=["POST"])


def _taken(request: Request, receipt: Receipt) -> Response:
    if _wants_json(request):
        content = {"alerts": receipt.alerts, "incidents": list(receipt.incident_ids)}
        return JSONResponse(content)
    return PlainTextResponse(f"{receipt.alerts} alerts taken\n")


def _refused(request: Request, code: int, reason: str, **more: Any) -> Response:
    headers = {"Retry-After": "10"} if code == 503 else None
    if _wants_json(request):
        return JSONResponse({"detail": reason, **more}, code, headers)
    return PlainTextResponse(f"{reason}\n", code, headers)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
