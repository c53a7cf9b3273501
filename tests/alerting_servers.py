"""Prometheus and Alertmanager with our rules and our example config, told to hurry."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drift_exporter.config_file import dump_yaml, load_yaml
from drift_exporter.demo.receiver import Receiver
from drift_exporter.rules import Trial, write_trial
from exporter_process import eventually, fetch

ALERTMANAGER = (
    "prometheus-alertmanager" if shutil.which("prometheus-alertmanager") else "alertmanager"
)


@dataclass(frozen=True)
class Alerting:
    """Where the two servers are."""

    prometheus: str
    alertmanager: str


def free_port() -> int:
    """A port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(folder: Path, command: Sequence[str], address: str) -> Iterator[str]:
    """A server for the time of the body, from when it is ready."""
    log = folder / f"{command[0]}.log"
    with log.open("w") as output:
        # One core each: several of these tests run side by side.
        environment = {**os.environ, "GOMAXPROCS": "1"}
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)

        def ready() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return fetch(f"http://{address}/-/ready")[0] == 200
            except OSError:
                return False

        try:
            eventually(ready, f"{command[0]} is ready")
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


@contextmanager
def alerting(
    folder: Path, target: str, rules: str, receiver: Receiver, trial: Trial | None = None
) -> Iterator[Alerting]:
    """Scrape ``target`` and evaluate ``rules`` every second; messages go to the receiver."""
    found = trial or Trial(receiver.slack_url, receiver.pagerduty_url, "2s", "2s", "1h")
    config = write_trial(folder / "alertmanager", found, load_yaml, dump_yaml)
    (folder / "rules.yml").write_text(rules)
    address = f"127.0.0.1:{free_port()}"
    command = [
        ALERTMANAGER,
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager' / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with server(folder, command, address) as alertmanager:
        (folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            "rule_files: [rules.yml]\n"
            f"alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{address}']}}]}}]}}\n"
            "scrape_configs:\n"
            "  - job_name: drift-exporter\n"
            f"    static_configs: [{{targets: ['{target}']}}]\n"
        )
        own = f"127.0.0.1:{free_port()}"
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address={own}",
        ]
        with server(folder, command, own) as prometheus:
            yield Alerting(prometheus, alertmanager)
