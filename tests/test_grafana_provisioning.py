"""Provisioning, ConfigMaps and the compose file: what one names, another has."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from grafana.build import dashboards

from yaml_text import documents, parsed

ROOT = Path(__file__).parent.parent
GRAFANA = ROOT / "grafana"
COMPOSE: dict[str, Any] = parsed((ROOT / "compose.yml").read_text())
SERVICES = COMPOSE["services"]


def mounts(service: str) -> dict[str, Path]:
    """Files and folders of the project by their place in a container."""
    found = {}
    for volume in SERVICES[service].get("volumes", ()):
        source, target, *_ = volume.split(":")
        if source.startswith("./"):
            found[target] = ROOT / source
    return found


def test_configmaps_hold_the_dashboards() -> None:
    """The sidecar finds a label, and under each key the board as committed."""
    found = documents((GRAFANA / "kubernetes" / "dashboards.yaml").read_text())

    assert {c["metadata"]["name"] for c in found} == {b["uid"] for b in dashboards()}
    for configmap in found:
        assert (configmap["apiVersion"], configmap["kind"]) == ("v1", "ConfigMap")
        assert configmap["metadata"]["labels"]["grafana_dashboard"] == "1"
        ((name, text),) = configmap["data"].items()
        assert json.loads(text) == json.loads((GRAFANA / "dashboards" / name).read_text())
        # kubectl apply keeps the whole in an annotation of at most 256 KiB.
        assert len(json.dumps(configmap)) < 200_000


def test_what_compose_mounts_is_there() -> None:
    """Every file and folder that a service is given exists, and is given read-only."""
    for name, service in SERVICES.items():
        for path in mounts(name).values():
            assert path.exists(), path
        volumes = [v for v in service.get("volumes", ()) if v.startswith("./")]
        assert all(volume.endswith(":ro") for volume in volumes), name


def test_services_call_each_other_by_their_names() -> None:
    """Every host in a config is a service, on a port that it listens on."""
    texts = [
        (GRAFANA / "compose" / "prometheus.yml").read_text(),
        (GRAFANA / "compose" / "alertmanager.yml").read_text(),
        (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text(),
    ]
    called = {
        match for text in texts for match in re.findall(r"(?:http://|[\[ ])(\w+:\d+)\b", text)
    }
    listening = {
        f"{name}:{port.rpartition(':')[2]}"
        for name, service in SERVICES.items()
        for port in service["ports"]
    }

    assert called == {"exporter:10033", "alertmanager:9093", "receiver:5001", "prometheus:9090"}
    assert called <= listening


def test_nothing_is_open_to_the_network() -> None:
    """The demo has no passwords: its ports are those of this machine only."""
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_grafana_finds_boards_and_data_source() -> None:
    """The provider's folder is where the boards are mounted; Grafana's home is one of them."""
    given = mounts("grafana")
    (provider,) = parsed(
        (GRAFANA / "provisioning" / "dashboards" / "drift-exporter.yml").read_text()
    )["providers"]
    (source,) = parsed((GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    scrapes = parsed((GRAFANA / "compose" / "prometheus.yml").read_text())

    assert given[provider["options"]["path"]] == ROOT / "grafana/dashboards"
    assert (given[str(Path(home).parent)] / Path(home).name).exists()
    assert given["/etc/grafana/provisioning"] == ROOT / "grafana/provisioning"
    assert source["uid"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scrapes["global"]["scrape_interval"]


def test_prometheus_accepts_its_config(tmp_path: Path) -> None:
    """promtool finds nothing wrong, with the rules where the container has them."""
    given = mounts("prometheus")
    config = given["/etc/prometheus/prometheus.yml"].read_text()
    (tmp_path / "rules").mkdir()
    for target, source in given.items():
        if "/rules/" in target:
            shutil.copy(source, tmp_path / "rules" / Path(target).name)
    file = tmp_path / "prometheus.yml"
    file.write_text(config.replace("/etc/prometheus/rules", str(tmp_path / "rules")))

    done = subprocess.run(
        ["promtool", "check", "config", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout


def test_alertmanager_accepts_its_config(tmp_path: Path) -> None:
    """amtool finds nothing wrong, with the templates where the container has them."""
    given = mounts("alertmanager")
    config = given["/etc/alertmanager/alertmanager.yml"].read_text()
    templates = given["/etc/alertmanager/templates"]
    file = tmp_path / "alertmanager.yml"
    file.write_text(config.replace("/etc/alertmanager/templates", str(templates)))

    done = subprocess.run(
        ["amtool", "check-config", file], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 templates" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("alertname=ModelDriftFeatureDrifted severity=warning", "incidents,slack"),
        ("alertname=ModelDriftIncidentUnacknowledged severity=critical", "incidents,slack"),
        ("alertname=ModelDriftReferenceOld severity=info", "incidents,nobody"),
        ("alertname=Other severity=warning", "slack"),
    ],
)
def test_who_is_told_by_compose(labels: str, told: str) -> None:
    """The exporter is told of all of its alerts; people of those that need them."""
    file = mounts("alertmanager")["/etc/alertmanager/alertmanager.yml"]

    done = subprocess.run(
        ["amtool", "config", "routes", "test", f"--config.file={file}", *labels.split()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == told, done.stdout + done.stderr


def test_the_demo_command_exists() -> None:
    """The exporter's arguments are those of `drift-exporter demo`."""
    from click.testing import CliRunner

    from drift_exporter.cli import main

    command = SERVICES["exporter"]["command"]
    options = CliRunner().invoke(main, [command[0], "--help"]).output

    for argument in command[1:]:
        assert argument.partition("=")[0] in options
