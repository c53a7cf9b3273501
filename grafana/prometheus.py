"""A Prometheus of our own on a folder of blocks, and the questions that Grafana would ask it.

Knows Prometheus' HTTP interface; never what a query is for.
"""

import http.client
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from drift_exporter.local_server import free_address, local_server

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
    address, log = free_address(), folder / "prometheus.log"
    command = [
        shutil.which("prometheus") or "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={address}",
        "--log.level=warn",
        *options,
    ]
    with local_server(command, address, log) as ready:
        if not ready:
            raise RuntimeError(f"Prometheus did not start: {log.read_text()}")
        yield Prometheus(address, start, end, step)
