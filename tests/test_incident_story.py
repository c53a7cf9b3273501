"""From alert to closed incident on the real programs: two faults, two incidents, one retraining."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alerting_servers import alerting
from drift_exporter.config_file import dump_yaml, load
from drift_exporter.demo.receiver import Receiver, receiving
from drift_exporter.rules import Limits, Options, Trial, generate
from exporter_process import ExporterProcess, eventually, exporter
from recording_server import Recorder, recording_server

FEATURES = 8
SLICE = 4
ROWS = 800
FAULTY, SHIFTED = "lending", "pricing"
TOKENS = {"ann": "a" * 40, "bob": "b" * 40, "eve": "e" * 40}

CONFIG = """\
models:
{models}
response:
  public_url: http://drift.example.com
  actions:
    - name: retrain
      kind: http
      url: {target}/retrain
      method: POST
      body: '{{"model": {{{{ incident.model | tojson }}}}, "key": {{{{ key | tojson }}}}}}'
      retrain: true
      approvals: [data-science, clinicians]
      expires: 1h
      when: {{severities: [warning, critical]}}
access:
  tokens:
    - {{name: ann, role: approver, groups: [data-science], token_file: ann}}
    - {{name: bob, role: approver, groups: [clinicians], token_file: bob}}
    - {{name: eve, role: viewer, token_file: eve}}
"""

MODEL = """\
  - name: {name}
    owner: ann
    team: risk
    tier: high
    reference: {{url: reference.parquet, timestamp: ts}}
    current: {{url: "{name}-*.parquet", timestamp: ts, lateness: 0s}}
    interval: 2s
    slice: 4s
    windows: [4s, 8s]
    stale_after: 2m
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver for Slack's and PagerDuty's messages."""
    with receiving() as found:
        yield found


def write_rows(path: Path, start: int, end: int, what: str = "") -> None:
    """Rows in every slice of a span: as ever, of which a column lacks values, or of others."""
    slices = (end - start) // SLICE
    rng = np.random.default_rng(start)
    steps = np.arange(ROWS) * SLICE / ROWS
    times = (start + np.arange(slices)[:, None] * SLICE + steps).ravel()
    columns = {"ts": pa.array((times * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC"))}
    for i in range(FEATURES):
        values = rng.normal(50.0, 10.0, times.size)
        if what == SHIFTED and i in (1, 2):
            values += 12.0 if i == 1 else 8.0
        gone = rng.random(times.size) < (0.6 if what == FAULTY and i == 3 else 0.0)
        columns[f"f{i}"] = pa.array(values, mask=gone)
    pq.write_table(pa.table(columns), path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def asked(
    running: ExporterProcess, path: str, who: str, body: dict[str, Any] | None = None
) -> tuple[int, Any]:
    """What the API answers somebody, and its code."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{running.port}/api/v1{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKENS[who]}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            text = answer.read().decode()
            return answer.status, json.loads(text) if text[:1] in "{[" else text
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def incidents(running: ExporterProcess) -> dict[str, Any]:
    """The incidents of drift by model."""
    listed = asked(running, "/incidents", "eve")[1]
    return {one["model"]: one for one in listed if one["cause"] == "drift"}


def test_two_faults_become_two_incidents_and_one_retraining(
    tmp_path: Path, receiver: Receiver
) -> None:
    """Each opens one incident, rightly classified; one retraining waits for two people, is sent
    once, and all of it is in the report and in an audit log that verifies."""
    write_rows(tmp_path / "reference.parquet", 1_767_225_600, 1_767_225_640)
    now = int(time.time()) // SLICE * SLICE
    for name in (FAULTY, SHIFTED):
        write_rows(tmp_path / f"{name}-bad.parquet", now - 16, now + 160, name)
    for name, token in TOKENS.items():
        (tmp_path / name).write_text(token + "\n")
        (tmp_path / name).chmod(0o600)
    with recording_server() as target:
        models = "".join(MODEL.format(name=name) for name in (FAULTY, SHIFTED))
        config = tmp_path / "drift.yml"
        config.write_text(CONFIG.format(models=models, target=target.url))
        limits = Limits(widespread_share=2, slow_run_share=100, skipped_runs=100)
        rules = generate(load(config, {}), dump_yaml, Options(limits=limits))
        with exporter(config) as running:
            trial = Trial(
                receiver.slack_url,
                receiver.pagerduty_url,
                "3s",
                "2s",
                "1h",
                webhook_url=f"http://127.0.0.1:{running.port}/alerts",
            )
            with alerting(tmp_path, f"127.0.0.1:{running.port}", rules, receiver, trial):
                play(tmp_path, running, target)


def play(folder: Path, running: ExporterProcess, target: Recorder) -> None:
    """The story, from the first alert to the report."""
    eventually(
        lambda: sum(bool(one["classification"]) for one in incidents(running).values()) == 2,
        "two incidents are classified",
    )
    faulty, shifted = (incidents(running)[name] for name in (FAULTY, SHIFTED))
    assert faulty["classification"] == "data_quality"
    assert shifted["classification"] == "covariate_shift"
    stories = {
        name: asked(running, f"/incidents/{one['id']}", "eve")[1]
        for name, one in ((FAULTY, faulty), (SHIFTED, shifted))
    }
    features = {name: story["analysis"]["features"] for name, story in stories.items()}
    assert [features[FAULTY][0]["feature"], features[FAULTY][0]["verdict"]] == ["f3", "missing"]
    assert [one["feature"] for one in features[SHIFTED][:2]] == ["f1", "f2"]

    action = eventually(
        lambda: _action(asked(running, f"/incidents/{shifted['id']}", "eve")[1], "waiting"),
        "the retraining waits",
    )
    assert not _action(asked(running, f"/incidents/{faulty['id']}", "eve")[1], "waiting")
    approve = f"/actions/{action['id']}/approve"
    assert asked(running, approve, "eve", {"text": "yes"})[0] == 403
    assert asked(running, approve, "ann", {"text": "the new price list"})[0] == 200
    code, refusal = asked(running, approve, "ann", {"text": "again"})
    assert (code, json.loads(refusal)["detail"]) == (
        409,
        f"action {action['id']} (retrain): ann has answered already; it takes somebody else",
    )
    assert target.got == []
    assert asked(running, approve, "bob", {"text": "agreed"})[0] == 200
    eventually(
        lambda: _action(asked(running, f"/incidents/{shifted['id']}", "eve")[1], "succeeded"),
        "the retraining was sent",
    )
    assert [json.loads(one.body)["model"] for one in target.got] == [SHIFTED]

    turn = (int(time.time()) // SLICE + 4) * SLICE
    for name in (FAULTY, SHIFTED):
        write_rows(folder / f"{name}-calm.parquet", turn, turn + 160)
        write_rows(folder / f"{name}-bad.parquet", turn - 120, turn, name)
    eventually(
        lambda: {one["state"] for one in incidents(running).values()} == {"resolved"},
        "both incidents are resolved",
    )
    code, _ = asked(running, f"/incidents/{shifted['id']}/close", "ann", {"text": "retrained"})
    assert code == 200
    check_report(running, shifted["id"], action["id"])
    assert len(target.got) == 1
    code, findings = asked(running, "/audit/verify", "eve")
    assert code == 200
    assert findings["intact"] is True


def check_report(running: ExporterProcess, incident: int, action: int) -> None:
    """What the report says: what drifted, who approved, what was done, who closed it."""
    report = asked(running, f"/incidents/{incident}/report?format=json", "eve")[1]
    case, found = report["incident"], report["analysis"]
    assert (case["id"], case["model"], case["state"]) == (incident, SHIFTED, "closed")
    assert (case["classification"], case["closed_by"]) == ("covariate_shift", "ann")
    assert [one["feature"] for one in found["features"][:2]] == ["f1", "f2"]
    (done,) = (one for one in case["actions"] if one["state"] == "succeeded")
    assert (done["id"], done["name"], done["status"]) == (action, "retrain", 200)
    answers = [(one["who"], one["decision"], one["note"]) for one in done["approvals"]]
    assert answers == [("ann", "approve", "the new price list"), ("bob", "approve", "agreed")]

    code, text = asked(running, f"/incidents/{incident}/report?format=markdown", "eve")
    assert code == 200
    lines = text.splitlines()
    assert f"- Model: {SHIFTED}" in lines
    assert "- Classification: covariate shift (drift)" in lines


def _action(story: dict[str, Any], state: str) -> dict[str, Any] | None:
    """The retraining of an incident, where it is in a state."""
    found = [one for one in story["actions"] if (one["name"], one["state"]) == ("retrain", state)]
    return found[0] if found else None
