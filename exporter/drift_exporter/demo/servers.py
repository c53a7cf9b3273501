"""Prometheus and Alertmanager for the demo: started on loopback, ready, and gone afterwards.

Knows how the two are configured and called; never installs anything.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from drift_exporter.local_server import free_address, local_server

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
            address = free_address()
            (folder / name).mkdir(exist_ok=True)
            log = folder / name / "log"
            if not running.enter_context(local_server(command(program, address), address, log)):
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
