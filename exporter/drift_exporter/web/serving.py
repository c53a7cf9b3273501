"""The server that carries an app: addresses, a thread, an event loop, start and stop.

Knows uvicorn and sockets; never a path, a page or a signal.
"""

import socket
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from starlette.types import ASGIApp

from drift_exporter.errors import WebConfigError
from drift_exporter.web import pages
from drift_exporter.web.gate import Gate
from drift_exporter.web.listen import Limits, PatientProtocol, bind
from drift_exporter.web.live_config import LiveWebConfig, NewestContext
from drift_exporter.web.web_config import LoadYaml


class Address(NamedTuple):
    """A place that is listened on."""

    host: str
    port: int


class Server:
    """Serves an app on addresses, from a thread and an event loop of its own.

    Whoever starts it owns the signals: none are handled here.
    """

    def __init__(
        self,
        app: ASGIApp,
        listen: Sequence[str],
        web_config: Path | None,
        load_yaml: LoadYaml,
        *,
        limits: Limits | None = None,
    ) -> None:
        self._app = app
        self._listen = listen
        self._web_config = web_config
        self._load_yaml = load_yaml
        self._limits = limits or Limits()
        self._running: _Running | None = None
        self.addresses: tuple[Address, ...] = ()
        """Where it listens, with the real port where 0 was asked for."""

        self.scheme = "http"
        """``http`` or ``https``."""

    def start(self) -> None:
        """Listen and serve; on return requests are answered.

        Raises
        ------
        WebConfigError
            If an address cannot be listened on or the web config file is bad; nothing is left
            behind then.
        """
        live = LiveWebConfig(self._web_config, self._load_yaml) if self._web_config else None
        encrypted = live is not None and live.context() is not None
        sockets: list[socket.socket] = []
        try:
            for address in self._listen:
                sockets.append(bind(address))
        except WebConfigError:
            for listener in sockets:
                listener.close()
            raise
        self.addresses = tuple(Address(*listener.getsockname()[:2]) for listener in sockets)
        self.scheme = "https" if encrypted else "http"
        gate = Gate(
            self._app,
            live,
            headers=pages.HEADERS,
            max_body_bytes=self._limits.body_bytes,
            passes=getattr(self._app, "passes", None),
        )
        context = NewestContext.of(live) if live and encrypted else None
        self._running = _Running(_config(gate, context, self._limits), gate, sockets)

    def stop(self) -> None:
        """Stop listening, finish what is being answered, and return when all is closed."""
        if self._running is not None:
            self._running.stop()
            self._running = None


class _Running:
    """A thread that serves until it is told to stop."""

    def __init__(self, config: uvicorn.Config, gate: Gate, sockets: list[socket.socket]) -> None:
        self._gate = gate
        self._uvicorn = _Announcing(config)
        # A daemon, so that a process that ends on an error does not hang on its server.
        self._thread = threading.Thread(
            target=self._uvicorn.run, args=(sockets,), name="web", daemon=True
        )
        self._thread.start()
        self._uvicorn.serving.wait()
        if not self._uvicorn.started:
            raise WebConfigError("the server did not start; its error stands in the log")

    def stop(self) -> None:
        self._uvicorn.should_exit = True
        self._thread.join()
        self._gate.close()


class _Announcing(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.serving.set()


def _config(app: ASGIApp, context: ssl.SSLContext | None, limits: Limits) -> uvicorn.Config:
    class Patient(PatientProtocol):
        request_seconds = limits.request_seconds

    def give_context(*_: Any) -> ssl.SSLContext:
        assert context is not None  # noqa: S101 - for the type checker; asked only where given
        return context

    return uvicorn.Config(
        app,
        loop="asyncio",
        http=Patient,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=limits.stop_seconds,
        h11_max_incomplete_event_size=limits.head_bytes,
        ssl_context_factory=give_context if context else None,
    )
