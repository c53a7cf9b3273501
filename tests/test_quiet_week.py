"""A week of the demo's model without drift, run by run through the real rules: silence."""

import subprocess
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from drift_exporter.checking import check
from drift_exporter.config import Config
from drift_exporter.config_file import dump_yaml
from drift_exporter.demo.credit_log import DAY_SECONDS, IDENTIFIER, PREDICTION, SEGMENT, TIMESTAMP
from drift_exporter.demo.files import write_history
from drift_exporter.demo.stage import SEED
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.profiles.current import make_profile
from drift_exporter.reading.opening import open_source
from drift_exporter.rules import generate
from drift_exporter.rules.recording import agreed_of
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import open_store
from yaml_text import parsed

# A Monday, 0:00 UTC.
MONDAY = 1_799_625_600
HOUR = 3600
DAYS = 7
SAMPLES_PER_RUN = 4
"""Prometheus is played at a sample and an evaluation every quarter of an hour."""


def model_config(folder: Path) -> Config:
    """The demo's model at the pace of a real one: hourly, with the default windows."""
    places = {
        key: {"url": str(folder / f"{key}.parquet"), "timestamp": TIMESTAMP}
        for key in ("reference", "current")
    }
    model = {
        "name": "credit-risk",
        "tier": "high",
        "interval": "1h",
        "features": {"exclude": [IDENTIFIER]},
        "prediction": PREDICTION,
        "segments": SEGMENT,
    }
    return Config.model_validate({"models": [{**model, **places}]})


def week(config: Config, folder: Path) -> list[str]:
    """What a scrape gets after each hourly run of the week."""
    model = config.models[0]
    store = open_store(f"sqlite:///{folder / 'drift.db'}", now=MONDAY)
    source = open_source(model.current, sample=model.sample, timeout_seconds=600)
    profile = make_profile(model, MONDAY, lambda _: None)
    job = check.Job(model, profile, source, store, HOUR)
    exposition = Exposition(no_health(), config.max_series)
    snapshot: Snapshot = check.empty_snapshot(job)
    texts = []
    try:
        for now in range(MONDAY, MONDAY + DAYS * DAY_SECONDS, HOUR):
            snapshot, keep = check.run(job, snapshot, now)
            keep()
            exposition.update([replace(snapshot, next_run=now + HOUR)], now)
            texts.append(exposition.scrape(openmetrics=False, zipped=False).decode())
    finally:
        source.close()
        store.close()
    return texts


def promtool_series(texts: list[str]) -> list[dict[str, str]]:
    """The scrapes as series of a unit test, whose clock begins at 0 on the Monday."""
    values: dict[str, list[str]] = defaultdict(list)
    for run, text in enumerate(texts):
        for family in text_string_to_metric_families(text):
            shift = MONDAY if family.name.endswith("_timestamp_seconds") else 0
            for sample in family.samples:
                labels = {"job": "drift-exporter", "instance": "a", **sample.labels}
                inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
                found = values[f"{sample.name}{{{inside}}}"]
                found += ["stale _ _ _"] * (run - len(found))
                found.append(f"{sample.value - shift!r}x{SAMPLES_PER_RUN - 1}")
    series = [{"series": name, "values": " ".join(held)} for name, held in values.items()]
    up = {"series": 'up{job="drift-exporter",instance="a"}'}
    return [*series, {**up, "values": f"1x{len(texts) * SAMPLES_PER_RUN}"}]


def test_a_week_without_drift_is_silent(tmp_path: Path) -> None:
    """No page, no ticket: nothing fires in seven days, though every feature has been judged."""
    monday = float(MONDAY)
    week_before = monday - DAYS * DAY_SECONDS
    write_history(tmp_path / "reference.parquet", week_before, monday, SEED)
    until = monday + DAYS * DAY_SECONDS
    write_history(tmp_path / "current.parquet", monday - DAY_SECONDS, until, SEED)
    config = model_config(tmp_path)
    rules = generate(config, dump_yaml)
    (tmp_path / "rules.yml").write_text(rules)
    series = promtool_series(week(config, tmp_path))
    judged = f'{agreed_of("feature")}{{severity="critical"}}'
    expected = [
        {
            "expr": 'count_over_time(ALERTS{alertstate="firing"}[7d])',
            "eval_time": f"{DAYS * 24 - 1}h",
            "exp_samples": [],
        },
        {
            "expr": f"count (count_over_time({judged}[7d]) > {DAYS * 20 * SAMPLES_PER_RUN})",
            "eval_time": f"{DAYS * 24 - 1}h",
            "exp_samples": [{"labels": "{}", "value": 14}],
        },
    ]
    unit = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "15m",
        "group_eval_order": [group["name"] for group in parsed(rules)["groups"]],
        "tests": [{"interval": "15m", "input_series": series, "promql_expr_test": expected}],
    }
    (tmp_path / "test.yml").write_text(dump_yaml(unit))

    command = ["promtool", "test", "rules", str(tmp_path / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
