"""The real Alertmanager with the example config tells the exporter of every alert and its end."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from alerting_servers import ALERTMANAGER, free_port, server
from drift_exporter.casework.receiving import receive
from drift_exporter.config_file import dump_yaml, load_yaml
from drift_exporter.exchange.webhook import parse
from drift_exporter.incident import Alert, Cause, IncidentState
from drift_exporter.rules import Trial, write_trial
from drift_exporter.store import open_store
from exporter_process import eventually
from recording_server import Recorder, recording_server
from yaml_text import parsed

FEATURES = 150
TOKEN = "only-for-this-test"


def alerts_of(recorder: Recorder) -> list[tuple[Alert, ...]]:
    """Alerts of each delivery to ``/alerts``, in the order they came."""
    return [parse(got.body).alerts for got in list(recorder.got) if got.path == "/alerts"]


def post(address: str, alerts: Sequence[dict[str, Any]]) -> None:
    """Give Alertmanager alerts as Prometheus does."""
    answer = requests.post(f"{address}/api/v2/alerts", json=list(alerts), timeout=10)

    assert answer.status_code == 200, answer.text


def drifted(begun: datetime, ended: datetime | None = None) -> list[dict[str, Any]]:
    """Many features of one model, and an alert of somebody else."""
    times = {"startsAt": begun.isoformat()} | ({"endsAt": ended.isoformat()} if ended else {})
    common = {"job": "drift-exporter", "model": "credit", "severity": "warning", "tier": "low"}
    found = [
        {
            "labels": {"alertname": "ModelDriftFeatureDrifted", "feature": f"f{i:03}", **common},
            "annotations": {"summary": "A feature has drifted from its reference."},
            **times,
        }
        for i in range(FEATURES)
    ]
    return [*found, {"labels": {"alertname": "DiskFull", "severity": "warning"}, **times}]


def told(recorder: Recorder, status: str) -> set[str]:
    """Fingerprints of the alerts that were told so; a busy Alertmanager tells them in parts."""
    return {a.fingerprint for d in alerts_of(recorder) for a in d if a.status == status}


def test_every_alert_and_its_end_arrive(tmp_path: Path) -> None:
    """A drift of many features is one incident with all of them, and is resolved with them."""
    begun = datetime.now(UTC) - timedelta(minutes=10)
    with recording_server() as recorder:
        trial = Trial(
            f"{recorder.url}/slack",
            f"{recorder.url}/pagerduty",
            "1s",
            "1s",
            webhook_url=f"{recorder.url}/alerts",
        )
        path = write_trial(tmp_path, trial, load_yaml, dump_yaml)
        with_token(path, tmp_path / "token")
        address = f"127.0.0.1:{free_port()}"
        command = [
            ALERTMANAGER,
            f"--config.file={path}",
            f"--storage.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
        with server(tmp_path, command, address) as alertmanager:
            post(alertmanager, drifted(begun))
            eventually(lambda: len(told(recorder, "firing")) == FEATURES, "the alerts that fire")
            post(alertmanager, drifted(begun, datetime.now(UTC) - timedelta(seconds=1)))
            eventually(lambda: len(told(recorder, "resolved")) == FEATURES, "their ends")
        deliveries = alerts_of(recorder)
        tokens = {g.headers.get("Authorization") for g in recorder.got if g.path == "/alerts"}

    assert told(recorder, "resolved") == told(recorder, "firing")
    assert {a.name for d in deliveries for a in d} == {"ModelDriftFeatureDrifted"}
    assert tokens == {f"Bearer {TOKEN}"}

    now = datetime.now(UTC).timestamp()
    with open_store(f"sqlite:///{tmp_path / 'store.db'}", now=now) as store:
        for alerts in deliveries:
            receive(store, ["credit"], alerts, now)
        (incident,) = store.cases.incidents()
        assert (incident.model, incident.cause) == ("credit", Cause.DRIFT)
        assert incident.state is IncidentState.RESOLVED
        assert incident.opened == begun.timestamp()
        assert len(store.cases.alerts(incident.id)) == FEATURES


def with_token(config: Path, file: Path) -> None:
    """Have Alertmanager send a token from a file, as the example's comment says."""
    file.write_text(TOKEN)
    found = parsed(config.read_text())
    (receiver,) = [r for r in found["receivers"] if r["name"] == "drift-exporter"]
    receiver["webhook_configs"][0]["http_config"] = {
        "authorization": {"credentials_file": str(file)}
    }
    config.write_text(dump_yaml(found))
