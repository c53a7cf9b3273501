"""A past span replayed: what fires is what Prometheus would have fired, and quiet is quiet."""

import json
import random
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from drift_exporter.checking import check
from drift_exporter.config import Config
from drift_exporter.config_file import dump_yaml, load_yaml
from drift_exporter.demo.credit_log import (
    DAY_SECONDS,
    DRIFTING,
    IDENTIFIER,
    PREDICTION,
    SAMPLED,
    TIMESTAMP,
    Drift,
    rows,
)
from drift_exporter.demo.files import write_history
from drift_exporter.demo.stage import SEED
from drift_exporter.errors import ReplayError
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.metrics.families import FAMILIES
from drift_exporter.profiles.current import make_profile
from drift_exporter.reading.opening import open_source
from drift_exporter.replaying import (
    Episode,
    Message,
    Outcome,
    compare,
    openmetrics,
    openmetrics_files,
    past,
    render,
    replay,
)
from drift_exporter.rules import generate
from drift_exporter.rules.routing import CONFIG, EXAMPLE
from drift_exporter.snapshot import FeatureInfo, Run, Snapshot, WindowResult
from drift_exporter.store import open_store
from drift_exporter.verdicts.verdict import Reason, State, Verdict
from yaml_text import parsed

# A Monday, 0:00 UTC.
MONDAY = 1_767_571_200
MINUTE, HOUR = 60, 3600
HOURS = 5

ALERTMANAGER = cast(Mapping[str, Any], load_yaml(EXAMPLE / CONFIG))
Timed = list[tuple[int, Snapshot]]

TWO_MODELS = Config.model_validate(
    {
        "models": [
            {"name": name, "reference": "r", "current": "c", "interval": "5m", "tier": tier}
            for name, tier in (("even", "high"), ("odd", "low"))
        ]
    }
)


def scored(name: str, tier: str, now: int, psi: np.ndarray[Any, Any], version: str) -> Snapshot:
    """What a run finds: a score per column and window; NaN is not evaluated."""
    size = psi.shape[1]
    columns = [FeatureInfo(f"f{i}", "feature", "numeric", "double", 12) for i in range(size - 1)]
    columns.append(FeatureInfo("score", "prediction", "numeric", "double", 12))
    few = Verdict(State.NOT_EVALUATED, Reason.TOO_FEW_ROWS)
    windows = tuple(
        WindowResult(
            window=window,
            start=now - seconds,
            end=now,
            rows=0 if np.isnan(row).all() else 5000,
            samples=np.full(size, 5000),
            scores={"psi": row, "missing_ratio": np.where(row > 0.3, 0.5, 0.01)},
            thresholds={
                ("psi", "warning"): np.full(size, 0.1),
                ("psi", "critical"): np.full(size, 0.25),
                ("missing_ratio", "warning"): np.full(size, 0.1),
            },
            verdicts=tuple(few if np.isnan(v) else Verdict(State.OK) for v in row),
        )
        for window, seconds, row in zip(("1h", "24h"), (HOUR, DAY_SECONDS), psi, strict=True)
    )
    return Snapshot(
        model=name,
        interval_seconds=300,
        stale_after_seconds=900,
        version=version,
        owner="ann" if version == "1" else "bob",
        tier=tier,
        features=tuple(columns),
        reference="r",
        reference_hash="f00d",
        reference_created=MONDAY - 91 * DAY_SECONDS + 2 * HOUR,
        windows=windows,
        last_run=Run(now, now, success=True),
        last_success=now,
    )


def wandering(
    name: str, tier: str, late: int, generator: random.Random
) -> Iterator[tuple[int, Snapshot]]:
    """Scores that wander over their thresholds and back, gaps, failures and a new version."""
    now = MONDAY + late
    level = np.full((2, 4), 0.02)
    shown: Snapshot | None = None
    while now < MONDAY + HOURS * HOUR:
        for column in range(4):
            if generator.random() < 0.15:
                high = generator.choice([0.02, 0.02, 0.15, 0.4])
                level[:, column] = high
                level[0, column] = generator.choice([high, high, 0.02, np.nan])
        if generator.random() < 0.02:
            level[:] = generator.choice([np.nan, 0.5])
        version = "1" if now < MONDAY + 9 * HOUR else "2"
        if shown is not None and generator.random() < 0.2:
            shown = replace(shown, last_run=Run(now, now, success=False, reason="source"))
        else:
            shown = scored(name, tier, now, level.copy(), version)
        yield now, shown
        # Mostly as planned, sometimes late, seldom so late that the scores are too old.
        planned = generator.choice([1] * 30 + [2, 3, 5, 14])
        now += 300 * planned + (generator.choice([0, 0, 0, 7]) if late else 0)


def samples(text: str) -> dict[str, str]:
    """Values of a scrape by their series; the clock of a unit test begins at 0."""
    found = {}
    for family in text_string_to_metric_families(text):
        shift = MONDAY if family.name.endswith("_timestamp_seconds") else 0
        for sample in family.samples:
            labels = {"job": "drift-exporter", "instance": "replay", **sample.labels}
            inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
            found[f"{sample.name}{{{inside}}}"] = repr(sample.value - shift)
    return found


def scrapes(snapshots: Timed, second: int = 0) -> dict[str, list[str]]:
    """The series as a scrape a minute finds them, as a unit test of rules writes them."""
    series: dict[str, list[str]] = defaultdict(list)
    exposition = Exposition(no_health(), 10_000)
    shown: dict[str, Snapshot] = {}
    left = list(snapshots)
    before, found = b"", dict[str, str]()
    for minute in range(HOURS * 60):
        now = MONDAY + minute * MINUTE + second
        while left and left[0][0] <= now:
            shown[left[0][1].model] = left[0][1]
            left.pop(0)
        exposition.update(list(shown.values()), now)
        scrape = exposition.scrape(openmetrics=False, zipped=False)
        if scrape != before:
            found, before = samples(scrape.decode() + "up 1\n"), scrape
        for name, value in found.items():
            values = series[name]
            values += ["stale"] * (minute - len(values))
            values.append(value)
    for values in series.values():
        values.extend(["stale"] * (HOURS * 60 - len(values)))
    return series


def two_models() -> Timed:
    """Two models that wander, one at whole minutes and one not."""
    generator = random.Random(SEED)  # noqa: S311 - a fixed seed, no secret
    even = wandering("even", "high", 0, generator)
    odd = wandering("odd", "low", 37, generator)
    return sorted([*even, *odd], key=lambda found: found[0])


def test_alerts_are_those_that_prometheus_fires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two models, all rules, hours: at each minute the same alerts fire as in Prometheus."""
    # What is evaluated at once ends in between, as it does after each day.
    monkeypatch.setattr(past, "LONGEST_SLICE_SECONDS", 2 * HOUR)
    snapshots = two_models()
    rules = generate(TWO_MODELS, dump_yaml)
    (tmp_path / "rules.yml").write_text(rules)

    outcome = replay(snapshots, rules, ALERTMANAGER, tmp_path / "replay")

    fires: dict[int, list[str]] = defaultdict(list)
    for episode in outcome.episodes:
        end = MONDAY + HOURS * HOUR if episode.end is None else int(episode.end)
        labels = dict(episode.labels, alertstate="firing")
        shown = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        for time in range(int(episode.start), end, MINUTE):
            fires[(time - MONDAY) // MINUTE].append(f"ALERTS{{{shown}}}")
    expected = [
        {
            "expr": 'ALERTS{alertstate="firing"}',
            "eval_time": f"{minute}m",
            "exp_samples": [{"labels": labels, "value": 1} for labels in sorted(fires[minute])],
        }
        for minute in range(min(HOURS * 60, (outcome.end - MONDAY) // MINUTE))
    ]
    series = [{"series": k, "values": " ".join(v)} for k, v in scrapes(snapshots).items()]
    unit = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "group_eval_order": [group["name"] for group in parsed(rules)["groups"]],
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": expected}],
    }
    # JSON is YAML, and quicker.
    (tmp_path / "test.yml").write_text(json.dumps(unit))
    command = ["promtool", "test", "rules", str(tmp_path / "test.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    # That there was something to compare.
    assert {dict(episode.labels)["alertname"] for episode in outcome.episodes} > {
        "ModelDriftFeatureDrifted",
        "ModelDriftPredictionDrifted",
        "ModelDriftWidespread",
        "ModelDriftMissingValuesHigh",
        "ModelDriftMonitorStale",
        "ModelDriftReferenceOld",
        "ModelDriftSustained",
    }


def dumped(blocks: Path) -> dict[str, list[tuple[float, str]]]:
    """Samples of blocks by their series: times in seconds and values."""
    # It wants to see a log that is not written yet, too.
    (blocks / "wal").mkdir()
    command = ["promtool", "tsdb", "dump", str(blocks)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for line in lines.splitlines():
        series, value, time = line.rsplit(" ", 2)
        found[series].append((int(time) / 1000, value))
    return found


def test_written_series_are_those_that_were_scraped(tmp_path: Path) -> None:
    """Each minute of the blocks shows what a scrape found; what ended, for five more at most."""
    snapshots = two_models()
    for path in openmetrics_files(snapshots, tmp_path / "text", file_seconds=2 * HOUR):
        command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(path)]
        subprocess.run([*command, str(tmp_path / "blocks")], capture_output=True, check=True)

    # Not at the second at which a series ends: there Prometheus 2 and 3 differ.
    asked = MONDAY + 30
    shown: dict[int, dict[str, float]] = defaultdict(dict)
    for series, found in dumped(tmp_path / "blocks").items():
        pairs = dict(pair.split("=", 1) for pair in series[1:-1].split(", "))
        name = json.loads(pairs.pop("__name__"))
        key = f"{name} {sorted((k, json.loads(v)) for k, v in pairs.items())}"
        for (time, value), (following, _) in zip(
            sorted(found), [*sorted(found)[1:], (np.inf, "")], strict=True
        ):
            first = -int((asked - time) // MINUTE)
            last = min(following - 1, time + 300)
            for minute in range(first, int((last - asked) // MINUTE) + 1):
                shown[minute][key] = float(value)
    expected: dict[int, dict[str, float]] = defaultdict(dict)
    for series, values in scrapes(snapshots, 30).items():
        name, _, rest = series.partition("{")
        labels = dict(pair.split("=", 1) for pair in rest[:-1].split(","))
        own = sorted((k, json.loads(v)) for k, v in labels.items())
        # A label without a value is none.
        key = f"{name} {[pair for pair in own if pair[1]]}"
        shift = MONDAY if name.endswith("_timestamp_seconds") else 0
        for minute, value in enumerate(values):
            if value != "stale" and name != "up":
                expected[minute][key] = float(value) + shift
    last = (max(time for time, _ in snapshots) - MONDAY) // MINUTE
    drawn: dict[str, int] = {}
    for minute in range(last):
        drawn_on = shown[minute].keys() - expected[minute].keys()
        # What lasted for less than five minutes is shown for five.
        drawn = {key: drawn.get(key, 0) + 1 for key in drawn_on}
        assert max(drawn.values(), default=0) <= 5, minute
        assert {**shown[minute], **expected[minute]} == shown[minute], minute


def test_the_text_is_one_stream() -> None:
    """The text as a whole has one head and one end, whatever spans it has."""
    lines = "".join(openmetrics(two_models())).splitlines()

    assert lines[-1] == "# EOF"
    assert sum(line.startswith("#") for line in lines) == 2 * len(FAMILIES) + 1
    assert {line.split("{")[0] for line in lines if not line.startswith("#")} <= {
        family.name for family in FAMILIES
    }


def credit_model(folder: Path) -> Config:
    """The demo's model at the pace of a real one, with the default windows."""
    places = {
        key: {"url": str(folder / f"{key}.parquet"), "timestamp": TIMESTAMP}
        for key in ("reference", "current")
    }
    model = {
        "name": "credit-risk",
        "tier": "high",
        "interval": "2h",
        "features": {"exclude": [IDENTIFIER]},
        "prediction": PREDICTION,
    }
    return Config.model_validate({"models": [{**model, **places}]})


def runs(config: Config, folder: Path, days: int) -> Iterator[tuple[int, Snapshot]]:
    """What each run finds."""
    model = config.models[0]
    store = open_store(f"sqlite:///{folder / 'drift.db'}", now=MONDAY)
    source = open_source(model.current, sample=model.sample, timeout_seconds=600)
    job = check.Job(model, make_profile(model, MONDAY, lambda _: None), source, store, 2 * HOUR)
    snapshot: Snapshot = check.empty_snapshot(job)
    try:
        for now in range(MONDAY, MONDAY + days * DAY_SECONDS, 2 * HOUR):
            snapshot, keep = check.run(job, snapshot, now)
            keep()
            yield now, replace(snapshot, next_run=now + 2 * HOUR)
    finally:
        source.close()
        store.close()


def write_log(path: Path, start: float, end: float, drift: Drift) -> None:
    """The demo's log with a drift."""
    columns = rows(start, end, SEED, drift, SAMPLED)
    times = pa.array(np.rint(columns[TIMESTAMP] * 1e6).astype(np.int64), pa.timestamp("us", "UTC"))
    others = {
        name: pa.array(values, from_pandas=True)
        for name, values in columns.items()
        if name != TIMESTAMP
    }
    pq.write_table(pa.table({TIMESTAMP: times, **others}), path)


def test_seven_quiet_days_are_silent_and_a_day_of_drift_is_told(tmp_path: Path) -> None:
    """Nothing for a week; then the features that drift, and no other, and a page for each line."""
    begin, end = MONDAY + 7 * DAY_SECONDS + 1800, MONDAY + 8 * DAY_SECONDS
    write_history(tmp_path / "reference.parquet", MONDAY - 7.0 * DAY_SECONDS, MONDAY, SEED)
    current = tmp_path / "current.parquet"
    write_log(current, MONDAY - DAY_SECONDS, MONDAY + 9 * DAY_SECONDS, Drift(begin, end))
    config = credit_model(tmp_path)

    outcome = replay(
        runs(config, tmp_path, 9), generate(config, dump_yaml), ALERTMANAGER, tmp_path / "replay"
    )

    assert (outcome.start, outcome.end) == (MONDAY, MONDAY + 9 * DAY_SECONDS)
    assert min(episode.start for episode in outcome.episodes) > begin
    # A day later it is over.
    assert all(episode.end is not None for episode in outcome.episodes)
    found = [dict(episode.labels) for episode in outcome.episodes]
    drifted = {f["feature"] for f in found if f["alertname"] == "ModelDriftFeatureDrifted"}
    assert drifted == set(DRIFTING)
    severities = {f["severity"] for f in found if f["alertname"] == "ModelDriftFeatureDrifted"}
    assert severities == {"warning", "critical"}
    assert {f["output"] for f in found if f["alertname"] == "ModelDriftPredictionDrifted"} == {
        PREDICTION
    }
    opened = {m.receiver for m in outcome.messages if m.opens and m.kind == "pagerduty"}
    assert opened == {"pagerduty", "pagerduty-second-line"}
    assert outcome.pages == 2
    told = [m for m in outcome.messages if m.kind in {"slack", "pagerduty"}]
    recoveries = [m.receiver for m in told if not m.firing]
    assert sorted(recoveries) == [
        "pagerduty",
        "pagerduty-second-line",
        "slack-critical",
        "slack-tickets",
    ]
    assert 4 <= outcome.slack_messages <= 12


def episode(name: str, severity: str, start: float, end: float | None) -> Episode:
    """An alert of a model ``m``."""
    labels = {"alertname": name, "feature": "f", "model": "m", "severity": severity}
    return Episode(tuple(labels.items()), start, end)


def outcome_of(*episodes: Episode, messages: tuple[Message, ...] = ()) -> Outcome:
    """An outcome of a day."""
    return Outcome(MONDAY, MONDAY + DAY_SECONDS, 60, episodes, messages)


DRIFT = episode("ModelDriftFeatureDrifted", "warning", MONDAY + HOUR, MONDAY + 3 * HOUR)
LASTING = episode("ModelDriftWidespread", "critical", MONDAY + 22.5 * HOUR, None)
TOLD = tuple(
    Message(MONDAY + HOUR, receiver, kind, (), (DRIFT.labels,) if opens else (), (), opens)
    for receiver, kind, opens in [
        ("pager", "pagerduty", True),
        ("pager", "pagerduty", False),
        ("team", "slack", True),
    ]
)


def test_an_outcome_reads_well() -> None:
    """When, how long, how bad, what; then how often, and who was told."""
    assert (
        render(outcome_of(DRIFT, LASTING, messages=TOLD))
        == """\
2026-01-05 00:00 to 2026-01-06 00:00 UTC, rules evaluated every 1m

begin (UTC)       for           severity  model  alert                     of
2026-01-05 01:00  2h            warning   m      ModelDriftFeatureDrifted  feature=f
2026-01-05 22:30  1h30m so far  critical  m      ModelDriftWidespread      feature=f

alert                     severity  times  in all
ModelDriftFeatureDrifted  warning   1      2h
ModelDriftWidespread      critical  1      1h30m

receiver  kind       alerts  recoveries  pages
pager     pagerduty  1       1           1
team      slack      1       0

Slack messages: 1. Pages: 1.
"""
    )


def test_two_outcomes_are_compared() -> None:
    """What each would have fired, side by side."""
    assert (
        compare(outcome_of(DRIFT, LASTING, messages=TOLD), outcome_of(DRIFT))
        == """\
alert                     severity  model  old  new  change
ModelDriftFeatureDrifted  warning   m      1    1
ModelDriftWidespread      critical  m      1    0    -1

                 old  new  change
Slack messages   1    0    -1
Pages            1    0    -1
Alerts           2    1    -1
Hours of alerts  3.5  2    -1.5
"""
    )


def test_nothing_is_told_as_nothing() -> None:
    """A quiet span reads so, alone and compared."""
    assert "No alert would have fired.\n" in render(outcome_of())
    assert "No alert would have fired, neither then nor now.\n" in compare(
        outcome_of(), outcome_of()
    )


RULE = {"record": "a:b", "expr": "up"}


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        pytest.param([], "no runs in this span", id="no snapshots"),
        pytest.param([{"record": "a:b"}], "'expr'", id="no expression"),
        pytest.param([{"alert": "A", "expr": "a:b > 1"}, RULE], "recorded after", id="order"),
        pytest.param(
            [{**RULE, "labels": {"a": "{{ $value }}"}}], "a label with a template", id="template"
        ),
    ],
)
def test_what_cannot_be_replayed_is_told(
    tmp_path: Path, rules: list[dict[str, Any]], said: str
) -> None:
    """The message names the rule and what to do."""
    text = dump_yaml({"groups": [{"name": "g", "rules": rules}]})

    with pytest.raises(ReplayError, match=said):
        replay([], text, ALERTMANAGER, tmp_path)


@pytest.mark.parametrize(
    ("group", "said"),
    [
        pytest.param({"interval": "30s"}, "g has interval, which", id="interval"),
        pytest.param({"interval": "2m"}, "every 60 s", id="a longer interval"),
        pytest.param({"query_offset": "1m"}, "g has query_offset", id="offset"),
        pytest.param({"limit": 5}, "g has limit", id="limit"),
        pytest.param({"labels": {"team": "a"}, "limit": 5}, "g has limit, labels", id="labels"),
        pytest.param(
            {"interval": "1m", "query_offset": "0s", "limit": 0, "labels": {}},
            "no runs in this span",
            id="what replay does anyway",
        ),
    ],
)
def test_what_a_group_asks_of_its_evaluation(
    tmp_path: Path, group: dict[str, Any], said: str
) -> None:
    """What Prometheus would evaluate in another way is refused, not left out silently."""
    text = dump_yaml({"groups": [{"name": "g", "rules": [RULE], **group}]})

    with pytest.raises(ReplayError, match=said):
        replay([], text, ALERTMANAGER, tmp_path)


def test_without_prometheus_it_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the program."""
    monkeypatch.setenv("PATH", str(tmp_path))
    text = dump_yaml({"groups": [{"name": "g", "rules": [RULE]}]})

    with pytest.raises(ReplayError, match="prometheus is not installed"):
        replay([], text, ALERTMANAGER, tmp_path)
