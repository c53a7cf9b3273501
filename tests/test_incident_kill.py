"""The exporter is killed again and again at random moments under a stream of alerts: nothing is
lost, and nothing is done twice."""

import json
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from exporter_process import ExporterProcess, eventually, exporter
from recording_server import recording_server

MODELS = 12
KILLS = 6
SEED = 20_261_123
TOKEN = "t" * 40

CONFIG = """\
models:
{models}
response:
  actions:
    - name: tell
      kind: http
      url: {target}/tell
      method: POST
      body: '{{"model": {{{{ incident.model | tojson }}}}, "key": {{{{ key | tojson }}}}}}'
      automatic: true
      cooldown: 0s
      per_day: 1000
      when: {{on: [opened]}}
access:
  tokens: [{{name: ann, role: viewer, token_file: ann}}]
"""


def write_files(folder: Path, target: str) -> Path:
    """A dozen models on one small file, and a config."""
    times = np.arange(1000) * 4_000_000 + 1_767_225_600_000_000
    columns = {"timestamp": pa.array(times, pa.timestamp("us")), "age": pa.array(np.arange(1000.0))}
    pq.write_table(pa.table(columns), folder / "rows.parquet")
    (folder / "ann").write_text(TOKEN)
    (folder / "ann").chmod(0o600)
    models = "".join(
        f"  - {{name: m{i}, reference: rows.parquet, current: rows.parquet, interval: 1h}}\n"
        for i in range(MODELS)
    )
    path = folder / "drift.yml"
    path.write_text(CONFIG.format(models=models, target=target))
    return path


def delivery(model: int, number: int) -> bytes:
    """What Alertmanager sends of one alert of a model."""
    begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(1_767_300_000 + number))
    alert = {
        "status": "firing",
        "labels": {
            "alertname": "ModelDriftFeatureDrifted",
            "model": f"m{model}",
            "feature": f"f{number}",
            "severity": "critical",
        },
        "annotations": {"summary": "A feature has drifted."},
        "startsAt": begin,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": f"{model:08x}{number:08x}",
    }
    body = {
        "version": "4",
        "groupKey": "g",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "drift-exporter",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "",
        "alerts": [alert],
    }
    return json.dumps(body).encode()


def sent(running: ExporterProcess, body: bytes) -> bool:
    """Whether the exporter acknowledged a delivery."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/alerts", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def api(running: ExporterProcess, path: str) -> Any:
    """What the API answers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/api/v1{path}",
        headers={"Authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.loads(answer.read())


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Every acknowledged alert is in an incident, every incident has its action, none was sent
    twice, and the audit log is whole."""
    rng = np.random.default_rng(SEED)
    acknowledged: set[str] = set()
    number = 0
    with recording_server() as target:
        config = write_files(tmp_path, target.url)
        for kill in range(KILLS):
            with exporter(config) as running:
                # A later kill comes later. The named moments are killed at elsewhere: of webhook
                # and analysis in test_alert_story.py, of actions in test_responding.py.
                until = time.monotonic() + 0.2 + rng.random() * (0.5 + kill)
                while time.monotonic() < until:
                    number += 1
                    model = (number + kill) % min(2 * (kill + 1), MODELS)
                    if sent(running, delivery(model, number)):
                        acknowledged.add(f"{model:08x}{number:08x}")
                running.process.kill()
                running.process.wait()
        with exporter(config) as running:
            eventually(
                lambda: all(_settled(api(running, f"/incidents/{i}")) for i in _ids(running)),
                "every incident has an action with an end",
            )
            stories = [api(running, f"/incidents/{i}") for i in _ids(running)]
            assert api(running, "/audit/verify")["intact"] is True
    stored = {alert["fingerprint"] for story in stories for alert in story["alerts"]}
    assert len(acknowledged) > 30
    assert acknowledged <= stored
    keys = Counter(json.loads(got.body)["key"] for got in target.got)
    assert set(keys.values()) == {1}
    names = [story["model"] for story in stories]
    assert len(names) == len(set(names)) == MODELS
    for story in stories:
        (action,) = story["actions"]
        if action["state"] == "succeeded":
            assert keys[action["key"]] == 1
        else:
            assert action["state"] == "unknown"


def _ids(running: ExporterProcess) -> list[int]:
    return [one["id"] for one in api(running, "/incidents?limit=100")]


def _settled(story: Any) -> bool:
    states = [one["state"] for one in story["actions"]]
    return bool(states) and all(state in ("succeeded", "unknown") for state in states)
