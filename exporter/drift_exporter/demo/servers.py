"""Prometheus and Alertmanager for the demo: started on loopback, ready, and gone afterwards.

Knows how the two are configured and called; never installs anything and never outlives us.
Start them from the main thread: they are told to end when the thread that started them does.
"""

import http
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

READY_WITHIN_SECONDS = 20.0
ENDED_WITHIN_SECONDS = 10.0
POLL_SECONDS = 0.1

# The program becomes the server (same pid) after it asked the kernel for SIGTERM at its
# parent's death, so that not even a killed demo leaves servers behind. Not a preexec_fn:
# that may deadlock in a process with threads.
_ENDS_WITH_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the demo is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


SILENT = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
"""Config of an Alertmanager that shows alerts and tells nobody."""


@dataclass(frozen=True)
class Servers:
    """Where the servers are, and what is to be said of those that are not."""

    prometheus: str | None
    """URL without a slash at its end; none if it does not run."""

    alertmanager: str | None
    """URL without a slash at its end; none if it does not run."""

    notes: tuple[str, ...]
    """One line per server that does not run, with the reason."""


@contextmanager
def serving(
    folder: Path, exporter: str, alerting: Path | None = None, path: str | None = None
) -> Iterator[Servers]:
    """Run what is installed of Prometheus and Alertmanager, ready when the body begins.

    Parameters
    ----------
    folder
        Gets their configs, data and logs; rule files are read from ``rules/*.yml`` in it.
    exporter
        Host and port to scrape.
    alerting
        Config of Alertmanager; without one it tells nobody.
    path
        Folders to look for the programs in, by default ``$PATH``.

    Yields
    ------
    Servers
        A server that does not run is a note, not an error: the exporter can do without.
    """
    folder = folder.resolve()
    notes: list[str] = []
    with ExitStack() as running:

        def run(name: str, command: Callable[[str, str], Sequence[str]]) -> str | None:
            program = shutil.which(name, path=path)
            if program is None:
                notes.append(f"{name} is not installed; the demo runs without it")
                return None
            address = f"127.0.0.1:{_free_port()}"
            (folder / name).mkdir(exist_ok=True)
            log = folder / name / "log"
            process = running.enter_context(_process(command(program, address), log))
            if not _ready(process, address):
                notes.append(f"{name} did not get ready; see {log}")
                return None
            return address

        alerts = alerting or folder / "alertmanager.yml"
        if alerting is None:
            alerts.write_text(SILENT)
        alertmanager = run(
            "prometheus-alertmanager",
            lambda program, address: [
                program,
                f"--config.file={alerts}",
                f"--storage.path={folder / 'prometheus-alertmanager' / 'data'}",
                f"--web.listen-address={address}",
                "--cluster.listen-address=",
            ],
        )
        scrapes = folder / "prometheus.yml"
        scrapes.write_text(prometheus_config(exporter, alertmanager))
        prometheus = run(
            "prometheus",
            lambda program, address: [
                program,
                f"--config.file={scrapes}",
                f"--storage.tsdb.path={folder / 'prometheus' / 'data'}",
                "--storage.tsdb.retention.time=1d",
                f"--web.listen-address={address}",
            ],
        )
        yield Servers(
            prometheus=f"http://{prometheus}" if prometheus else None,
            alertmanager=f"http://{alertmanager}" if alertmanager else None,
            notes=tuple(notes),
        )


def prometheus_config(exporter: str, alertmanager: str | None) -> str:
    """Prometheus' config: scrape the exporter every 5 s, evaluate rules, send alerts."""
    alerting = (
        "alerting:\n"
        "  alertmanagers:\n"
        "    - static_configs:\n"
        f"        - targets: [{json.dumps(alertmanager)}]\n"
        if alertmanager
        else ""
    )
    return (
        "global:\n"
        "  scrape_interval: 5s\n"
        "  evaluation_interval: 5s\n"
        "rule_files:\n"
        '  - "rules/*.yml"\n'
        f"{alerting}"
        "scrape_configs:\n"
        "  - job_name: drift-exporter\n"
        "    static_configs:\n"
        f"      - targets: [{json.dumps(exporter)}]\n"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the program was found on the user's PATH
            [sys.executable, "-I", "-S", "-c", _ENDS_WITH_PARENT, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for the demo, which then ends its servers in order.
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(ENDED_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], address: str) -> bool:
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if _answers(address):
            return True
        time.sleep(POLL_SECONDS)
    return False


def _answers(address: str) -> bool:
    # Not urllib: it would ask the proxy of the environment for a loopback address.
    connection = http.client.HTTPConnection(address, timeout=1)
    try:
        connection.request("GET", "/-/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
