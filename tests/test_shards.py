"""Two exporters with half of the models each: on one database, and on stores of their own."""

import json
import time
from functools import partial
from pathlib import Path

import pytest

from exporter_process import ExporterProcess, eventually, exporter, fetch
from incident_desk import alert, body
from inference_data import append_lines, table, write_reference

SHARD_OF = {"risk": 0, "credit": 1}
"""By model, the parity of its name's hash: of the first 8 bytes of SHA-256, the last bit."""

MODEL = """\
  - name: {name}
    reference: {{url: reference.parquet, timestamp: ts}}
    current: {{url: current.jsonl, timestamp: ts, lateness: 0s}}
    interval: 1h
    slice: 1m
    windows: [10m]
"""


def config(folder: Path, store: str = "") -> Path:
    """A config of both models, in a folder of its own."""
    folder.mkdir()
    write_reference(folder / "reference.parquet", rows=2000)
    minute = time.time() // 60 * 60
    append_lines(folder / "current.jsonl", table(minute - 600, minute, 1000, seed=2, older=1.0))
    path = folder / "drift.yml"
    models = "".join(MODEL.format(name=name) for name in SHARD_OF)
    path.write_text(
        f"models:\n{models}" + (f"store: {{url: {json.dumps(store)}}}\n" if store else "")
    )
    return path


def deliver(running: ExporterProcess) -> None:
    """Let Alertmanager tell one exporter of both models."""
    sent = body([alert("age", model=model) for model in SHARD_OF])
    assert fetch(f"{running.url}/alerts", "POST", sent)[0] == 200


def incident_models(running: ExporterProcess) -> dict[str, float]:
    """By model, how many incidents a scrape shows that are not closed."""
    found: dict[str, float] = {}
    for labels, value in running.values("modeldrift_incidents_open").items():
        model = dict(labels)["model"]
        found[model] = found.get(model, 0.0) + value
    return found


def alone(running: ExporterProcess, model: str) -> bool:
    """Whether a scrape shows one incident of the model, and nothing of another."""
    return incident_models(running) == {model: 1.0}


def analysed(running: ExporterProcess, number: int) -> list[str]:
    """Kinds of the steps of an incident; none before it is analysed."""
    story = json.loads(fetch(f"{running.url}/api/v1/incidents/{number}")[1])
    return [step["kind"] for step in story["steps"]] if story["classification"] else []


def listed(running: ExporterProcess, path: str) -> list[str]:
    """Models of what the API lists."""
    return [one["model"] for one in json.loads(fetch(f"{running.url}/api/v1/{path}")[1])]


def test_shards_of_one_database_share_the_incidents(tmp_path: Path, database: str) -> None:
    """Whichever is told of an alert, its incident is analysed by the model's own exporter, is
    in the metrics of that one alone, and is shown by both."""
    with (
        exporter(config(tmp_path / "0", database), "--shard=0/2") as first,
        exporter(config(tmp_path / "1", database), "--shard=1/2") as second,
    ):
        shards = {"risk": first, "credit": second}
        for model, running in shards.items():
            running.wait_for_success(model)
            assert incident_models(running) == {model: 0.0}
        deliver(first)
        # Its rounds begin every ten seconds, and after a reload.
        assert fetch(f"{second.url}/-/reload", "POST")[0] == 200

        for model, running in shards.items():
            eventually(partial(alone, running, model), f"the metrics of the incident of {model}")
            assert listed(running, "incidents") == ["credit", "risk"]
            assert listed(running, "alerts") == []
        for number in (1, 2):
            steps = eventually(partial(analysed, first, number), f"analysis of incident {number}")
            assert steps == ["opened", "analysed"]
        for model, running in shards.items():
            assert alone(running, model)
        assert json.loads(fetch(f"{second.url}/api/v1/audit/verify")[1])["intact"] is True


@pytest.mark.parametrize("shard", [0, 1])
def test_with_a_store_of_its_own_a_shard_knows_its_models_alone(tmp_path: Path, shard: int) -> None:
    """An alert of another shard's model is kept, and opens no incident that nobody looks after."""
    own, other = sorted(SHARD_OF, key=lambda model: SHARD_OF[model] != shard)
    with exporter(config(tmp_path / "own"), f"--shard={shard}/2") as running:
        deliver(running)

        eventually(partial(alone, running, own), f"the metrics of the incident of {own}")
        assert listed(running, "incidents") == [own]
        assert listed(running, "alerts") == [other]
