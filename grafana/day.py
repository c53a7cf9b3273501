"""A day of three models in a minute: real runs with the time as an argument, as Prometheus' blocks.

What a scrape would have got is written down every few minutes of the day, with its time. Knows
the play: a drift, a failing source, a new reference, a model that goes blind. Never a board.
"""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drift_exporter.checking import check
from drift_exporter.config import ModelConfig
from drift_exporter.config.response import Response
from drift_exporter.demo.credit_log import Drift, Traffic
from drift_exporter.demo.files import Tail, write_history
from drift_exporter.errors import SourceError
from drift_exporter.incident import ActionState, IncidentState
from drift_exporter.incident.tally import Sums, Took
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import IncidentMetrics, Standing
from drift_exporter.profile import Profile
from drift_exporter.profiles.current import make_profile
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Source, Span, Stop
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import Store, open_store
from drift_exporter.verdicts.verdict import State

HOUR, DAY = 3600, 86400
START = int(datetime(2026, 1, 14, tzinfo=UTC).timestamp())
END = START + 24 * HOUR
SCRAPE_SECONDS = 240
RUN_SECONDS = 1440
SEED = 7

TRAFFIC = Traffic(rows_per_second=0.35, chunk_seconds=60)
LONGEST_WINDOW_SECONDS = 12 * HOUR
REFERENCE = (START - 3 * 24 * HOUR, START - 13 * HOUR)

JOB, INSTANCE = "drift-exporter", "exporter.example:10033"

DRIFT = Drift(START + 13 * HOUR)
"""Of the model ``credit-risk``: to the end of the day, so that the pictures show it."""

NEW_REFERENCE = START + 25 * RUN_SECONDS
"""When ``fraud-screening`` gets a new reference, and the config is loaded again."""

DOWN = (START + 8 * HOUR, START + 8 * HOUR + 12 * 60)
"""When the exporter does not answer."""

SETTINGS: dict[str, dict[str, Any]] = {
    "credit-risk": {
        "version": "2.3",
        "owner": "ada",
        "team": "credit",
        "tier": "high",
        "trained": "2025-12-01",
        "retrain_every": "90d",
        "segments": ["region"],
        "prediction": "score",
        "features": {
            "exclude": ["application_id"],
            "overrides": {
                name: {"expose_bins": True} for name in ("age", "income", "purpose", "score")
            },
        },
        "thresholds": {
            "js_distance": {"warning": 0.15, "critical": 0.3},
            "ks_statistic": {"warning": 0.15},
        },
    },
    "fraud-screening": {
        "version": "7",
        "owner": "grace",
        "team": "payments",
        "prediction": "score",
        "thresholds": {"psi": "calibrated"},
        "features": {"include": ["age", "device", "loan_amount", "open_accounts", "savings"]},
    },
    "churn": {
        "version": "2026-01",
        "owner": "alan",
        "team": "growth",
        "tier": "low",
        "windows": ["1h"],
        "min_rows": 800,
        "features": {"include": ["age", "inquiries_6m", "device"]},
    },
}
"""Settings of each model over the common ones."""

FAILING = {
    "fraud-screening": [(START + 5 * HOUR, START + 6 * HOUR)],
    "churn": [(START + 22 * HOUR, END + HOUR)],
}
"""When a model's source does not answer."""

SKIPPED = {"churn": START + 38 * RUN_SECONDS}
"""When a run is due while the one before is still at it."""


RETRAIN = "retrain"
RESPONSE = Response.model_validate(
    {"actions": [{"name": RETRAIN, "kind": "http", "url": "https://ci.example.com/retrain"}]}
)
INCIDENTS = {
    "opened": DRIFT.start + 2 * HOUR,
    "acknowledged": DRIFT.start + 2 * HOUR + 1500,
    "proposed": DRIFT.start + 3 * HOUR,
    "retrained": START + 20 * HOUR,
    "blind": START + 23 * HOUR,
}
"""When people and actions answer the drift, and when the blind model's incident is opened."""


@dataclass
class _Unsteady:
    """A source that does not answer at times."""

    source: Source
    spans: list[tuple[int, int]]

    def count(self, profile: Profile, span: Span, width: int, now: float, stop: Stop) -> Any:
        if any(start <= now < end for start, end in self.spans):
            raise SourceError("warehouse.example: connection refused; is it up?")
        return self.source.count(profile, span, width, now, stop)


@dataclass
class _Actor:
    """A model in the play."""

    job: check.Job
    snapshot: Snapshot


@dataclass
class _Scene:
    """What the exporter holds in memory."""

    health: Health
    exposition: Exposition
    incidents: IncidentMetrics
    logs: dict[Path, Tail]
    actors: dict[str, _Actor] = field(default_factory=dict)


def write_day(folder: Path) -> Path:
    """Play the day and write its blocks; tell the folder that Prometheus reads them from."""
    samples, blocks = folder / "day.om", folder / "tsdb"
    with samples.open("w", encoding="utf-8") as file, ExitStack() as opened:
        scene = _scene(folder, opened)
        for now in range(START, END + 1, SCRAPE_SECONDS):
            _play(scene, now)
            file.writelines(f"{line} {now}\n" for line in _scraped(scene, now))
        file.write("# EOF\n")
    # One block of a day instead of twelve: the file is read once per block.
    made = subprocess.run(  # noqa: S603  (our own files)
        [  # noqa: S607
            "promtool",
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "--max-block-duration=48h",
            "--quiet",
            samples,
            blocks,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RuntimeError(f"promtool cannot make blocks: {made.stderr}")
    return blocks


def _scene(folder: Path, opened: ExitStack) -> _Scene:
    history = folder / "history.parquet"
    write_history(history, *REFERENCE, SEED, traffic=TRAFFIC)
    health = Health("1.0.0", "0123abc")
    incidents = IncidentMetrics(health.registry)
    incidents.configure(RESPONSE, {n: s.get("tier", "medium") for n, s in SETTINGS.items()})
    begin = START - LONGEST_WINDOW_SECONDS - HOUR
    logs = {
        path: Tail(path, begin, SEED, drift=drift, traffic=TRAFFIC)
        for path, drift in ((folder / "drifting.jsonl", DRIFT), (folder / "calm.jsonl", None))
    }
    scene = _Scene(health, Exposition(health.registry, 10_000), incidents, logs)
    store = opened.enter_context(open_store(f"sqlite:///{folder / 'day.db'}", now=START))
    for name, settings in SETTINGS.items():
        scene.actors[name] = _actor(folder, name, settings, store, opened)
        health.add_model(name)
    health.series_limit.set(10_000)
    _load_config(scene, START - 30 * HOUR)
    return scene


def _actor(
    folder: Path, name: str, settings: dict[str, Any], store: Store, opened: ExitStack
) -> _Actor:
    log = folder / ("drifting.jsonl" if name == "credit-risk" else "calm.jsonl")
    model = ModelConfig.model_validate(
        {
            "name": name,
            "reference": {"url": str(folder / "history.parquet"), "timestamp": "ts"},
            "current": {"url": str(log), "timestamp": "ts", "lateness": "5m"},
            "interval": f"{RUN_SECONDS}s",
            "slice": "12m",
            "windows": ["1h", "12h"],
            **settings,
        }
    )
    profile = make_profile(model, REFERENCE[1], lambda _: None)
    source = open_source(model.current, timeout_seconds=60)
    opened.callback(source.close)
    unsteady: Any = _Unsteady(source, FAILING.get(name, []))
    job = check.Job(model, profile, unsteady, store, RUN_SECONDS)
    return _Actor(job, check.empty_snapshot(job))


def _play(scene: _Scene, now: int) -> None:
    if now == NEW_REFERENCE:
        _load_config(scene, now)
        actor = scene.actors["fraud-screening"]
        created = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        actor.job = replace(actor.job, profile=replace(actor.job.profile, created=created))
    if now % RUN_SECONDS == 0:
        _grow(scene, now)
    for name, actor in scene.actors.items():
        if SKIPPED.get(name) == now:
            scene.health.skipped.labels(name, "overlap").inc()
        elif now % RUN_SECONDS == 0:
            _run(scene, name, actor, now)
    _answer(scene, now)
    scene.exposition.update([actor.snapshot for actor in scene.actors.values()], now)
    scene.health.series.set(scene.exposition.series)


def _standing(now: int) -> Standing:
    """What the store of the incidents would know: two of the past, and those of the day."""
    at = INCIDENTS
    drifts, blind = ("credit-risk", "critical"), ("churn", "warning")
    told, taken = now >= at["opened"], now >= at["acknowledged"]
    unseen, retrained = now >= at["blind"], now >= at["retrained"]
    counts: dict[tuple[str, str, IncidentState], int] = {}
    counts |= (
        {(*drifts, IncidentState.ACKNOWLEDGED if taken else IncidentState.OPEN): 1} if told else {}
    )
    counts |= {(*blind, IncidentState.OPEN): 1} if unseen else {}
    since: dict[tuple[str, str], float] = {}
    since |= {drifts: at["opened"]} if told and not taken else {}
    since |= {blind: at["blind"]} if unseen else {}
    waiting = at["proposed"] <= now
    return Standing(
        open_counts=counts,
        oldest_unacknowledged=since,
        oldest_open={**since, **({drifts: at["opened"]} if told else {})},
        sums=Sums(
            incidents={
                ("fraud-screening", "missing_values"): 1,
                ("churn", "monitoring"): 1 + int(unseen),
                ("credit-risk", "covariate_shift"): int(told),
            },
            actions={(RETRAIN, ActionState.SUCCEEDED): int(retrained)},
            to_acknowledge=(
                Took("fraud-screening", "warning", 300.0),
                Took("churn", "warning", 2400.0),
                *([Took(*drifts, at["acknowledged"] - at["opened"])] if taken else []),
            ),
            to_resolve=(
                Took("fraud-screening", "warning", 2 * 3600.0),
                Took("churn", "warning", 26 * 3600.0),
            ),
        ),
        # A second retraining is proposed when the first is done.
        waiting={RETRAIN: int(waiting)},
        oldest_waiting={RETRAIN: at["retrained" if retrained else "proposed"]} if waiting else {},
    )


def _answer(scene: _Scene, now: int) -> None:
    """What the incidents, actions and the audit log have come to."""
    scene.incidents.update(_standing(now))
    scene.incidents.received("accepted", now % 3)
    scene.incidents.audit(1000 + (now - START) // 600, True)
    scene.incidents.promoted(
        {"fraud-screening": (NEW_REFERENCE, NEW_REFERENCE + DAY)} if now >= NEW_REFERENCE else {}
    )


def _grow(scene: _Scene, now: int) -> None:
    for path, tail in scene.logs.items():
        tail.append(now - 60)
        if now % (4 * RUN_SECONDS) == 0:
            with path.open("a") as file:
                file.write('{"ts": "half past nine", "age": 44}\n')


def _load_config(scene: _Scene, now: int) -> None:
    scene.health.config_reload_successful.set(1)
    scene.health.config_reload_timestamp.set(now)
    scene.health.config_hash.set(now)


def _run(scene: _Scene, name: str, actor: _Actor, now: int) -> None:
    """A run that ends shortly before a scrape."""
    now -= 60
    health = scene.health
    health.runs.labels(name).inc()
    # Durations from the event time, not from a clock: the pictures are the same every time.
    ticks = iter(range(1000))
    found, keep = check.run(
        actor.job, actor.snapshot, now, clock=lambda: next(ticks) * (1.5 + now % 7 / 5)
    )
    keep()
    run = found.last_run
    assert run is not None  # noqa: S101  (a run leaves its record; tells the type checker)
    if run.success:
        health.rows_read.labels(name).inc(run.rows_read)
        for reason, rows in run.rows_rejected.items():
            health.rows_rejected.labels(name, reason).inc(rows)
    else:
        health.failures.labels(name, run.reason).inc()
    known = found.calibration
    if known is not None:
        # As a calibration on the past would leave it; there is none of so short a time.
        known = replace(
            known,
            created=START - 3 * DAY,
            self_test_alarms_per_90_days=0.4,
            self_test_at=START - 3 * DAY,
        )
    actor.snapshot = replace(found, next_run=now + RUN_SECONDS, calibration=known)


def _scraped(scene: _Scene, now: int) -> Iterator[str]:
    """What Prometheus holds of a scrape, and what it adds: ``up`` and the like, and alerts."""
    target = f'job="{JOB}",instance="{INSTANCE}"'
    up = not DOWN[0] <= now < DOWN[1]
    yield f"up{{{target}}} {int(up)}"
    yield f"scrape_duration_seconds{{{target}}} {0.004 + now % 11 / 10_000}"
    if not up:
        yield f"scrape_samples_scraped{{{target}}} 0"
        return
    text = scene.exposition.scrape(openmetrics=False, zipped=False).decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    yield f"scrape_samples_scraped{{{target}}} {len(lines)}"
    for line in lines:
        name, _, value = line.rpartition(" ")
        labelled = f"{name[:-1]},{target}}}" if name.endswith("}") else f"{name}{{{target}}}"
        yield f"{labelled} {value}"
    for actor in scene.actors.values():
        yield from _alerts(actor.snapshot, now)


def _alerts(snapshot: Snapshot, now: int) -> Iterator[str]:
    """What Prometheus writes of firing alerts; rules cannot be evaluated over the past."""
    firing = f'alertstate="firing",job="{JOB}",model="{snapshot.model}"'
    if snapshot.stale(now):
        yield f'ALERTS{{alertname="ModelDriftMonitorStale",severity="warning",{firing}}} 1'
        return
    for window in snapshot.windows:
        for column, verdict in zip(snapshot.features, window.verdicts, strict=True):
            if verdict.state in (State.WARNING, State.CRITICAL):
                label = "feature" if column.role == "feature" else "output"
                yield (
                    f'ALERTS{{alertname="ModelDrift{column.role.capitalize()}Drifted",'
                    f'severity="{verdict.state}",{label}="{column.name}",'
                    f'window="{window.window}",{firing}}} 1'
                )
