"""A real HTTP server on loopback that keeps what it gets and answers as it is told."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Got:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Recorder:
    """What arrived, and what is answered: the answers in order, then the last one for ever."""

    url: str = ""
    got: list[Got] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, b"{}")])
    headers: dict[str, str] = field(default_factory=dict)
    stall: threading.Event | None = None
    """Where it is set up, requests are answered only once it is set."""

    endless: bool = False
    """Whether the body has no end until the client leaves."""

    drip: bool = False
    """Whether the head of the answer has no end, and comes a byte at a time."""


@contextmanager
def recording_server(tls: tuple[Path, Path] | None = None) -> Iterator[Recorder]:
    """Run the server on a free port of loopback; with a certificate and its key over TLS."""
    recorder = Recorder()
    lock, closed = threading.Lock(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            with lock:
                recorder.got.append(Got(self.command, self.path, dict(self.headers), body))
                last = len(recorder.answers) == 1
                status, text = recorder.answers[0] if last else recorder.answers.pop(0)
            if recorder.stall is not None:
                recorder.stall.wait(20)
            if status == 0:  # the connection is closed without an answer
                self.close_connection = True
                return
            if recorder.drip:
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
                self.pour(b"x", every_seconds=0.01)
                return
            self.send_response(status)
            for name, value in recorder.headers.items():
                self.send_header(name, value)
            if recorder.endless:
                self.end_headers()
                self.pour(text)
                return
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def pour(self, text: bytes, every_seconds: float = 0.0) -> None:
            try:
                while not closed.wait(every_seconds):
                    self.wfile.write(text)
            except OSError:
                self.close_connection = True

        do_POST = do_PUT = do_PATCH = do_GET = answer  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    recorder.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    try:
        yield recorder
    finally:
        closed.set()
        if recorder.stall is not None:
            recorder.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()
