"""A Prometheus of our own on a folder of blocks, and the questions that Grafana would ask it.

Knows Prometheus' HTTP interface; never what a query is for.
"""

import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

READY_WITHIN_SECONDS = 60.0

Series = dict[str, Any]
"""One series as Prometheus answers: ``metric``, and ``value`` or ``values``."""


@dataclass(frozen=True)
class Prometheus:
    """Where a Prometheus answers, and of which time it is asked."""

    address: str
    start: float
    end: float
    step: float

    def instant(self, query: str) -> list[Series]:
        """What a query gives at the end of the range."""
        return self._result("query", {"query": query, "time": self.end})

    def over_time(self, query: str) -> list[Series]:
        """What a query gives over the range."""
        times = {"start": self.start, "end": self.end, "step": self.step}
        return self._result("query_range", {"query": query, **times})

    def label_values(self, selector: str, label: str) -> list[str]:
        """Values that a label has in the series of a selector."""
        times = {"match[]": selector, "start": self.start, "end": self.end}
        found: list[str] = self._asked(f"label/{label}/values", times)
        return found

    def _result(self, path: str, values: dict[str, object]) -> list[Series]:
        found: list[Series] = self._asked(path, values)["result"]
        return found

    def _asked(self, path: str, values: dict[str, object]) -> Any:
        # Not urllib: it would ask the proxy of the environment for a loopback address.
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(values)}")
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if answer["status"] != "success":
            raise ValueError(f"{values}: {answer['error']}")
        return answer["data"]


@contextmanager
def serving(
    folder: Path,
    start: float,
    end: float,
    step: float,
    config: str = "",
    options: Sequence[str] = (),
) -> Iterator[Prometheus]:
    """Run Prometheus on the blocks in ``tsdb`` of a folder; without a config it scrapes nothing."""
    (folder / "prometheus.yml").write_text(config or "global: {}\n", encoding="utf-8")
    address = f"127.0.0.1:{_free_port()}"
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(  # noqa: S603  (our own files)
            [  # noqa: S607
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address={address}",
                "--log.level=warn",
                *options,
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait(process, address, folder / "prometheus.log")
        yield Prometheus(address, start, end, step)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not _ready(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Prometheus did not start: {log.read_text()}")
        time.sleep(0.1)


def _ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
