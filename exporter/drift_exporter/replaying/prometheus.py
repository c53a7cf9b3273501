"""A Prometheus of our own for the past: fed with samples, asked by ranges, gone afterwards.

Knows its programs, flags and HTTP API; knows no rule and no metric. It listens on loopback,
scrapes nothing and reads no rule file.
"""

import http.client
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from drift_exporter.errors import ReplayError
from drift_exporter.local_server import free_address, local_server
from drift_exporter.replaying.remote_write import ABSENT, LabelPairs, absent, requests
from drift_exporter.verdicts.verdict import Floats

ANSWER_WITHIN_SECONDS = 600.0
BLOCK = "3d"
"""Half of it is how far back of the newest sample others may still be written."""

LONGEST_SLICE_SECONDS = 86_400
MOST_POINTS = 11_000
"""Of a series in an answer: Prometheus' own limit."""

MOST_SAMPLES = 500_000_000


@dataclass(frozen=True)
class Answer:
    """Values of an expression over a range."""

    labels: list[LabelPairs]
    values: Floats
    """Shape ``(series, times)``; ``ABSENT`` where there is none."""

    step: int
    """Seconds from a time to the next."""


class Prometheus:
    """A running Prometheus."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address, timeout=ANSWER_WITHIN_SECONDS)
        self._alive: dict[str, set[LabelPairs]] = {}
        self.samples = 0
        """Samples written so far."""

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def write(
        self,
        source: str,
        labels: Sequence[LabelPairs],
        times: NDArray[np.int64],
        values: Floats,
        tails: NDArray[np.bool_] | None = None,
    ) -> None:
        """Write series of one source, later than all that it wrote before.

        Parameters
        ----------
        source
            Series that it wrote before and that are not among these end at the first time.
        labels
            Labels with ``__name__`` of each series.
        times
            Seconds since the epoch, shape ``(times,)``.
        values
            Shape ``(series, times)``; a series ends where it becomes ``ABSENT``.
        tails
            Times of which a sample is only needed by series that end at the next one.
        """
        if not len(times):
            return
        before = self._alive.get(source, set())
        gone = absent(values)
        ended = np.empty_like(gone)
        ended[:, 0] = [found in before for found in labels]
        ended[:, 1:] = ~gone[:, :-1]
        ended &= gone
        sent = ~gone | ended
        if tails is not None:
            ending = np.zeros_like(gone)
            ending[:, :-1] = ended[:, 1:]
            sent &= ~tails | ending
        milliseconds = times * 1000
        series = [
            (found, milliseconds[chosen], row[chosen])
            for found, row, chosen in zip(labels, values, sent, strict=True)
            if chosen.any()
        ]
        lost = before.difference(labels)
        series += [(found, milliseconds[:1], np.array([ABSENT])) for found in lost]
        self._alive[source] = {found for found, g in zip(labels, gone[:, -1], strict=True) if not g}
        self.samples += int(sent.sum()) + len(lost)
        self._send(series)

    def _send(self, series: Iterable[tuple[LabelPairs, NDArray[np.int64], Floats]]) -> None:
        headers = {
            "Content-Type": "application/x-protobuf",
            "Content-Encoding": "snappy",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        for body in requests(series):
            self._asked("POST", "/api/v1/write", body, headers)

    def ask(self, expression: str, start: int, end: int, step: int) -> Answer:
        """Evaluate an expression at each step from ``start`` to before ``end``."""
        asked = {"query": expression, "start": start, "end": end - 1, "step": step}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._asked("POST", "/api/v1/query_range", urlencode(asked).encode(), headers)
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        values = np.full((len(found), -(-(end - start) // step)), ABSENT)
        for row, series in zip(values, found, strict=True):
            pairs = series["values"]
            places = (
                slice(None) if len(pairs) == len(row) else [(t - start) // step for t, _ in pairs]
            )
            row[places] = [float(value) for _, value in pairs]
        return Answer([tuple(sorted(series["metric"].items())) for series in found], values, step)

    def _asked(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ReplayError(
                f"Prometheus on the replayed data does not answer: {error}"
            ) from error
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            said = answer.decode(errors="replace").strip()[:500]
            raise ReplayError(f"Prometheus on the replayed data refuses: {said}")
        return answer


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """Run an empty Prometheus for the time of the body; its data stay in the folder.

    Raises
    ------
    ReplayError
        If it is not installed, or does not get ready.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise ReplayError(
            "prometheus is not installed, and the rules are evaluated by it; install it "
            "(Debian: apt-get install prometheus; others: https://prometheus.io/download)"
        )
    folder.mkdir(parents=True, exist_ok=True)
    data, config, log = folder / "tsdb", folder / "prometheus.yml", folder / "prometheus.log"
    shutil.rmtree(data, ignore_errors=True)
    config.write_text("{}\n", encoding="utf-8")
    address = free_address()
    command = [
        program,
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--storage.tsdb.min-block-duration={BLOCK}",
        f"--storage.tsdb.max-block-duration={BLOCK}",
        f"--query.max-samples={MOST_SAMPLES}",
        f"--query.timeout={ANSWER_WITHIN_SECONDS:.0f}s",
        "--web.enable-remote-write-receiver",
        f"--web.listen-address={address}",
    ]
    with local_server(command, address, log) as ready:
        if not ready:
            raise ReplayError(f"prometheus did not get ready; see {log}")
        found = Prometheus(address)
        try:
            yield found
        finally:
            found.close()
