"""Sockets and how patiently connections are served.

Knows addresses, timeouts and uvicorn's protocol for HTTP/1.1; never a request's content.
"""

import asyncio
import socket
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from drift_exporter.errors import WebConfigError

_BACKLOG = 512


@dataclass(frozen=True)
class Limits:
    """What a client may take of the server."""

    body_bytes: int = 1024 * 1024
    """Largest body of a request."""

    head_bytes: int = 16 * 1024
    """Largest request line and headers."""

    request_seconds: float = 10.0
    """Longest time from a connection, or from its next request's first byte, to the request's
    last byte."""

    keep_alive_seconds: int = 65
    """How long a connection may be idle: longer than the usual scrape interval, so that TLS is
    not negotiated anew for each scrape."""

    connections: int = 512
    """Most connections; over it requests are answered with 503."""

    stop_seconds: int = 5
    """How long stopping waits for answers that are being sent."""


def bind(address: str) -> socket.socket:
    """Listen on ``HOST:PORT``, ``[IPv6]:PORT`` or, on all interfaces, ``:PORT``.

    Raises
    ------
    WebConfigError
        If the address is none, or cannot be listened on.
    """
    host, port = _split(address)
    try:
        if host:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            # As in Go, a name that has both gives the IPv4 address.
            family, _, _, _, place = min(found, key=lambda entry: entry[0] != socket.AF_INET)
            return _listen(family, place)
        if socket.has_dualstack_ipv6():
            return _listen(socket.AF_INET6, ("::", port))
        return _listen(socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 - what ":PORT" means
    except OSError as error:
        why = error.strerror or str(error)
        raise WebConfigError(
            f"cannot listen on {address!r}: {why}; choose another --web.listen-address"
        ) from error


def _listen(family: int, place: Any) -> socket.socket:
    # asyncio turns Nagle's algorithm off only where the protocol is named; with it each small
    # answer waits 40 ms for the client's acknowledgement of its headers.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, place[0] != "::")
        listener.bind(place)
        # At once: two sockets that are bound but do not listen see no conflict.
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _split(address: str) -> tuple[str, int]:
    host, colon, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise WebConfigError(f"listen address {address!r}: an IPv6 address goes in brackets")
    if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        raise WebConfigError(f"listen address {address!r} is not HOST:PORT, [IPv6]:PORT or :PORT")
    return host, int(port)


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with an end to its patience.

    A connection that does not finish its request in time is closed: uvicorn itself waits for
    ever, so a few hundred silent clients could keep everybody else out.
    """

    request_seconds: float = Limits.request_seconds
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read, and stop waiting once the request is complete."""
        if self._deadline is None:
            self._wait()
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting for a client that is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, at once if the client never took its answer."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.request_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        self.transport.abort()
