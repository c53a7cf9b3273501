"""The exporter as users start it: a process, its log and its pages."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from prometheus_client.parser import text_string_to_metric_families

PATIENCE_SECONDS = 60.0
Found = TypeVar("Found")


def eventually(ask: Callable[[], Found | None], what: str) -> Found:
    """Ask again until there is an answer; fail when patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pause = threading.Event()
    while time.monotonic() < deadline:
        found = ask()
        if found:
            return found
        pause.wait(0.1)
    raise AssertionError(f"never came: {what}")


def fetch(
    url: str, method: str = "GET", content: bytes | None = None, **headers: str
) -> tuple[int, str]:
    """Status and text of a page."""
    request = urllib.request.Request(url, content, headers, method=method)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class ExporterProcess:
    """A running ``drift-exporter``, on a free port of the loopback."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.log_file = config.parent / "exporter.log"
        self._log = self.log_file.open("a")
        self._log_start = self.log_file.stat().st_size
        self.process = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "drift-exporter"),
                f"--config.file={config}",
                "--web.listen-address=127.0.0.1:0",
                *arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, "PYTHONFAULTHANDLER": "1"},
        )
        address = eventually(self._address, "the line that says where it listens")
        self.url = f"http://{address}"
        self.port = int(address.rpartition(":")[2])

    def _address(self) -> str | None:
        if self.process.poll() is not None:
            raise AssertionError(f"exporter ended with {self.process.returncode}:\n{self.log()}")
        found = re.search(r"msg=listening address=(\S+)", self.log())
        return found.group(1) if found else None

    def log(self) -> str:
        """What this process has logged."""
        return self.log_file.read_text()[self._log_start :]

    def values(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Samples of a family by their labels."""
        _, text = fetch(f"{self.url}/metrics")
        return {
            frozenset(sample.labels.items()): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The one sample that has these labels, among others."""
        wanted = frozenset(labels.items())
        found = [v for have, v in self.values(name).items() if wanted <= have]
        assert len(found) < 2, f"{name}{labels} is {len(found)} series"
        return found[0] if found else None

    def api(self, path: str) -> object:
        """An answer of the JSON interface."""
        return json.loads(fetch(f"{self.url}/api/v1/{path}")[1])

    def runs(self, model: str) -> float:
        """Runs that ended so far."""
        found = self.value("modeldrift_runs_total", model=model)
        return found or 0.0

    def wait_for_success(self, model: str) -> None:
        """Wait until the newest run of a model succeeded."""
        try:
            eventually(
                lambda: self.value("modeldrift_run_success", model=model) == 1.0,
                f"a successful run of {model}",
            )
        except AssertionError as error:
            # Abort it, so that its log ends with what each thread was doing.
            self.end(signal.SIGABRT)
            raise AssertionError(f"{error}; log:\n{self.log()}") from error

    def end(self, number: int = signal.SIGTERM) -> int:
        """End the process by a signal, and tell its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=30)
        self._log.close()
        return code


@contextmanager
def exporter(config: Path, *arguments: str) -> Iterator[ExporterProcess]:
    """A running exporter for the time of the body."""
    running = ExporterProcess(config, *arguments)
    try:
        yield running
    finally:
        running.end()
