"""Alerts on the real programs: exporter, Prometheus, Alertmanager, and a receiver on loopback."""

import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from alerting_servers import alerting
from drift_exporter.app import store_url
from drift_exporter.calibration.past_jobs import Look, past_job, runs
from drift_exporter.config import Config
from drift_exporter.config_file import dump_yaml, load, load_yaml
from drift_exporter.demo.receiver import Message, Receiver, receiving
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.replaying import Outcome, replay
from drift_exporter.rules import Limits, Options, Trial, generate
from drift_exporter.snapshot import FeatureInfo, Run, Snapshot, WindowResult
from drift_exporter.verdicts.verdict import State, Verdict
from exporter_process import ExporterProcess, eventually, exporter

FEATURES = 200
SLICE_SECONDS = 4
ROWS_PER_SLICE = 800
CALM, DRIFTED = 1.0, 0.4
"""Standard deviation of the features."""

CONFIG = """\
models:
  - name: credit
    owner: ann
    team: risk
    tier: low
    reference: {url: reference.parquet, timestamp: ts}
    current: {url: "current-*.parquet", timestamp: ts, lateness: 0s}
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


def write_rows(path: Path, start: int, end: int, spread: float) -> None:
    """Two hundred features, the same rows in every slice, within the reference's range."""
    slices = (end - start) // SLICE_SECONDS
    rng = np.random.default_rng(1)
    steps = np.arange(ROWS_PER_SLICE) * SLICE_SECONDS / ROWS_PER_SLICE
    times = (start + np.arange(slices)[:, None] * SLICE_SECONDS + steps).ravel()
    columns = {"ts": pa.array((times * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC"))}
    for i in range(FEATURES):
        block = rng.normal(0, spread, ROWS_PER_SLICE).astype(np.float32)
        columns[f"f{i:03}"] = pa.array(np.tile(block, slices))
    # Written aside and moved: the exporter must never see half a file.
    pq.write_table(pa.table(columns), path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def statuses(messages: list[Message]) -> list[str]:
    """Titles of Slack messages without the model: ``[WARNING]``, ``[RESOLVED]``."""
    return [message["attachments"][0]["title"].split()[0] for message in messages]


def test_many_drifted_features_are_one_message_and_its_recovery_another(
    tmp_path: Path, receiver: Receiver
) -> None:
    """Two hundred features drift: one message with ten lines; they recover: one message."""
    write_rows(tmp_path / "reference.parquet", 1_767_225_600, 1_767_225_640, CALM)
    now = int(time.time()) // SLICE_SECONDS * SLICE_SECONDS
    write_rows(tmp_path / "current-drifted.parquet", now - 16, now + 120, DRIFTED)
    config = tmp_path / "drift.yml"
    config.write_text(CONFIG)
    # All features drift, which would be a widespread drift and a single line; and a busy machine
    # may be too slow for runs every other second, which is no matter here.
    limits = Limits(widespread_share=2, slow_run_share=100, skipped_runs=100)
    rules = generate(load(config, {}), dump_yaml, Options(limits=limits))

    # Alertmanager waits no longer for the rest of a group whose first alert comes late: the wait
    # must outlast what a busy machine takes from an alert's beginning to its delivery.
    trial = hurried(receiver, "10s", "8s")

    with (
        exporter(config) as running,
        alerting(tmp_path, f"127.0.0.1:{running.port}", rules, receiver, trial),
    ):
        # The store has the minutes from here on: a busy machine takes long to start an exporter.
        begun = eventually(lambda: newest_run(running), "the first run")
        eventually(lambda: receiver.slack, "a message of the drift")
        # Far enough ahead to be written before its time comes, however busy the machine is.
        turn = (int(time.time()) // SLICE_SECONDS + 4) * SLICE_SECONDS
        write_rows(tmp_path / "current-calm.parquet", turn, turn + 120, CALM)
        write_rows(tmp_path / "current-drifted.parquet", now - 16, turn, DRIFTED)
        eventually(lambda: "[RESOLVED]" in statuses(receiver.slack), "a message of the recovery")
        # The turns of a replay begin with its own first alert: its recovery may be told one turn
        # of eight seconds after the real one, and there must have been runs until then.
        until = time.time() + 16
        eventually(lambda: (newest_run(running) or 0) > until, "runs after the recovery")

        told, *parts, recovered = receiver.slack
        assert statuses([told, recovered]) == ["[WARNING]", "[RESOLVED]"], [
            message["attachments"][0]["title"] for message in receiver.slack
        ]
        # Prometheus hands over 64 alerts at a time: where Alertmanager tells of the group just
        # between two of them, it tells of the rest with its next turn.
        assert len(parts) <= 1
        assert {told["channel"], recovered["channel"]} == {"#model-drift"}
        attachment = told["attachments"][0]
        assert attachment["title"].endswith(
            "credit: 200 features have drifted from their reference."
        )
        lines = attachment["text"].splitlines()
        assert len(lines) == 11
        assert lines[0].startswith("• f000: psi ")
        assert lines[-1] == "and 190 more"
        assert [action["text"] for action in attachment["actions"]] == [
            "Dashboard",
            "Runbook",
            "Silence",
        ]
        assert receiver.pagerduty == []

    # The same minutes once more, from the slices that the exporter has kept.
    span = [int(at) // SLICE_SECONDS * SLICE_SECONDS for at in (begun, time.time())]
    found = replayed(tmp_path, rules, (span[0], span[1]))
    assert [bool(m.firing) for m in found.messages if m.kind == "slack"] == [True, False]
    assert found.slack_messages == len(receiver.slack) - len(parts)
    assert found.pages == 0


def newest_run(running: ExporterProcess) -> float | None:
    """When a run succeeded last."""
    return running.value("modeldrift_run_last_success_timestamp_seconds")


def replayed(folder: Path, rules: str, span: tuple[int, int]) -> Outcome:
    """What a replay says of a span of the exporter's past, with Alertmanager's own config."""
    config = load(folder / "drift.yml", {})
    look = Look(config, folder / "replay", span[1], store_url(config))
    look.folder.mkdir()
    with past_job(look, config.models[0], *span, lambda _: None) as job:
        past = runs(job, *span, SLICE_SECONDS)
        alertmanager = load_yaml(folder / "alertmanager" / "alertmanager.yml")
        assert isinstance(alertmanager, dict)
        return replay(past, rules, alertmanager, look.folder / "data", evaluation_seconds=1)


def hurried(receiver: Receiver, group_wait: str = "3s", group_interval: str = "2s") -> Trial:
    """The example config with seconds instead of minutes and hours."""
    return Trial(receiver.slack_url, receiver.pagerduty_url, group_wait, group_interval, "1h")


class Played:
    """An exporter whose scores are set by hand."""

    def __init__(self) -> None:
        self._exposition = Exposition(no_health(), 10_000)
        self.text = b""

    def show(self, *snapshots: Snapshot) -> None:
        """Expose these, fresh or not."""
        self._exposition.update(snapshots, 0)
        self.text = self._exposition.scrape(openmetrics=False, zipped=False)


@contextmanager
def played(text: Played) -> Iterator[str]:
    """Serve what is played on a free port for the time of the body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.text)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        found.daemon_threads = True
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{found.server_address[1]}"
        finally:
            found.shutdown()
            thread.join()


def model(
    name: str, tier: str, psi: list[float], *, success: float | None = None, output: float = 0.0
) -> Snapshot:
    """A snapshot with a score per feature, the same in both windows, and one prediction."""
    now = time.time()
    columns = [FeatureInfo(f"f{i}", "feature", "numeric", "double", 12) for i in range(len(psi))]
    columns.append(FeatureInfo("score", "prediction", "numeric", "double", 12))
    size = len(columns)
    windows = tuple(
        WindowResult(
            window=window,
            start=int(now) - seconds,
            end=int(now),
            rows=5000,
            samples=np.full(size, 5000),
            scores={"psi": np.array([*psi, output])},
            thresholds={
                ("psi", "warning"): np.full(size, 0.1),
                ("psi", "critical"): np.full(size, 0.25),
            },
            verdicts=(Verdict(State.OK),) * size,
        )
        for window, seconds in (("1h", 3600), ("24h", 86400))
    )
    last = now + 3600 if success is None else success
    return Snapshot(
        model=name,
        interval_seconds=1,
        stale_after_seconds=3600,
        owner="ann",
        tier=tier,
        features=tuple(columns),
        reference="data/train.parquet",
        reference_hash="f00d",
        windows=windows,
        last_run=Run(now, now, success=True),
        last_success=last,
    )


RULES = Config.model_validate(
    {
        "models": [
            {"name": "any", "reference": "r", "current": "c", "interval": "1s", "tier": "high"}
        ]
    }
)


def titles(receiver: Receiver) -> dict[str, set[str]]:
    """Titles of all Slack messages by their channel."""
    found: dict[str, set[str]] = {}
    for message in receiver.slack:
        found.setdefault(message["channel"], set()).add(message["attachments"][0]["title"])
    return found


def test_who_is_told_what(tmp_path: Path, receiver: Receiver) -> None:
    """Each model's alerts reach whom its tier says, less what something greater explains."""
    source = Played()
    drifted = [
        # Half of the features: a page for the model, nothing for the features.
        model("wide", "high", [0.5, 0.5, 0.5, 0.01, 0.01, 0.01]),
        # One feature, critical, of a model whose monitor is stale: not muted.
        model(
            "blind", "medium", [0.5, 0.15, 0.01, 0.01, 0.01, 0.01, 0.01], success=time.time() - 5000
        ),
        # One prediction: a page in support hours.
        model("score", "medium", [0.01, 0.01], output=0.5),
        # A new version, silenced.
        model("fresh", "high", [0.5, 0.01, 0.01, 0.01]),
        model("calm", "high", [0.01, 0.01]),
    ]
    rules = generate(RULES, dump_yaml)
    with (
        played(source) as target,
        alerting(tmp_path, target, rules, receiver, hurried(receiver)) as at,
    ):
        silence(at.alertmanager, "fresh")
        source.show(*drifted)
        eventually(
            lambda: (
                {m["channel"] for m in receiver.slack} >= {"#model-drift", "#model-drift-critical"}
                and len(receiver.pagerduty) >= 2
                and len(receiver.slack) >= 4
            ),
            "two pages and four messages",
        )

        found = titles(receiver)
        assert found["#model-drift-critical"] == {
            "[CRITICAL] wide: Many features of the model have drifted at once.",
            "[CRITICAL] blind: A feature has drifted from its reference.",
            "[CRITICAL] score: A prediction of the model has drifted from its reference.",
        }
        # The warning of the second feature of "blind" is muted, the staleness is told.
        assert found["#model-drift"] == {
            "[WARNING] blind: The scores of the model are out of date, drift would go unnoticed."
        }
        pages = {event["payload"]["group"]: event for event in receiver.pagerduty}
        assert set(pages) == {"wide", "score"}
        assert pages["wide"]["routing_key"] == "pagerduty-key-trial"
        assert pages["score"]["routing_key"] == "pagerduty-office-hours-key-trial"
        page = pages["score"]["payload"]
        assert (page["severity"], page["class"]) == ("critical", "ModelDriftPredictionDrifted")
        assert page["component"] == "score"
        assert page["custom_details"]["owner"] == "ann"
        assert "threshold 0.25, 5000 rows" in page["custom_details"]["firing"]
        links = [link["text"] for link in pages["score"]["links"]]
        assert links == ["Dashboard", "Runbook", "Silence"]

        source.show(*(replace(m, windows=calm(m)) for m in drifted))
        eventually(
            lambda: (
                {e["dedup_key"] for e in receiver.pagerduty if e["event_action"] == "resolve"}
                == {e["dedup_key"] for e in pages.values()}
            ),
            "both pages resolved",
        )
        eventually(
            lambda: any(
                title.startswith("[RESOLVED] wide: ")
                for title in titles(receiver)["#model-drift-critical"]
            ),
            "the message of the recovery",
        )
        assert not any("fresh" in title for group in titles(receiver).values() for title in group)


def calm(snapshot: Snapshot) -> tuple[WindowResult, ...]:
    """The windows of a snapshot, without drift."""
    return tuple(
        replace(window, scores={"psi": np.full(len(snapshot.features), 0.01)})
        for window in snapshot.windows
    )


def silence(alertmanager: str, name: str) -> None:
    """Silence a model's drift as docs/alerting.md says for a new version."""
    command = ["amtool", f"--alertmanager.url={alertmanager}", "silence", "add"]
    command += ["--author=ann", "--duration=24h", "--comment=version 2", f"model={name}"]
    drift = (
        "alertname=~ModelDrift(Feature|Prediction|Segment)Drifted|ModelDrift(Widespread|Sustained)"
    )
    subprocess.run([*command, drift], check=True, capture_output=True)


def test_a_dead_exporter_is_told_and_no_recovery_that_nobody_saw(
    tmp_path: Path, receiver: Receiver
) -> None:
    """The exporter dies during a drift: its end is told, and that the drift is over is not."""
    source = Played()
    source.show(
        model("low", "low", [0.15, 0.01, 0.01, 0.01]),
        model("high", "high", [0.5, 0.01, 0.01, 0.01]),
    )
    trial = hurried(receiver)
    rules = generate(RULES, dump_yaml)
    with ExitStack() as running:
        alive = running.enter_context(ExitStack())
        target = alive.enter_context(played(source))
        running.enter_context(alerting(tmp_path, target, rules, receiver, trial))
        eventually(lambda: len(receiver.slack) >= 2, "both drifts are told")
        alive.close()
        eventually(
            lambda: len(receiver.pagerduty) >= 2 and len(receiver.slack) >= 3,
            "a page and a message of the exporter's end",
        )

        # The page has waited longer than a recovery would have taken.
        groups = {event["payload"]["group"] for event in receiver.pagerduty}
        assert groups == {"high", "drift-exporter"}
        assert titles(receiver)["#model-drift-critical"] == {
            "[CRITICAL] high: A feature has drifted from its reference.",
            "[CRITICAL] drift-exporter: The exporter cannot be scraped.",
        }
        assert titles(receiver)["#model-drift"] == {
            "[WARNING] low: A feature has drifted from its reference."
        }
