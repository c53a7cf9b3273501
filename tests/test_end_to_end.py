"""The whole exporter as a process: Prometheus scrapes it, it is killed, reloaded and misled."""

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from alerting_servers import free_port
from drift_exporter.audit import Entry, from_line
from drift_exporter.cli import main
from drift_exporter.profiles.files import read_profile
from exporter_process import ExporterProcess, eventually, exporter, fetch
from incident_desk import alert, body
from inference_data import append_lines, table, write_reference

CONFIG = """\
models:
  - name: credit
    reference: {{url: reference.parquet, timestamp: ts}}
    current: {{url: current.jsonl, timestamp: ts, lateness: 0s}}
    interval: {interval}
    slice: 1m
    windows: [10m, 30m]
    stale_after: 10m
    prediction: score
    segments: [city]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reference, half an hour of rows whose ages have shifted in the last ten minutes."""
    write_reference(tmp_path / "reference.parquet")
    minute = time.time() // 60 * 60
    calm = table(minute - 1800, minute - 600, 4000, seed=2)
    shifted = table(minute - 600, minute, 2000, seed=3, older=1.0)
    append_lines(tmp_path / "current.jsonl", calm)
    append_lines(tmp_path / "current.jsonl", shifted)
    (tmp_path / "drift.yml").write_text(CONFIG.format(interval="1h"))
    return tmp_path


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[str]:
    """A real Prometheus that scrapes a port of the loopback every second."""
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        "  - job_name: drift-exporter\n"
        f"    static_configs: [{{targets: ['127.0.0.1:{target}']}}]\n"
    )
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def asked(prometheus_url: str, expression: str) -> list[dict[str, object]]:
    """What Prometheus answers; nothing while it starts."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        status, text = fetch(f"{prometheus_url}/api/v1/query?{query}")
    except OSError:
        return []
    return json.loads(text)["data"]["result"] if status == 200 else []


def test_prometheus_scrapes_the_drift(folder: Path) -> None:
    """Prometheus holds the scores: the shifted column is over its threshold, no other is."""
    with (
        exporter(folder / "drift.yml") as running,
        prometheus(folder, running.port) as url,
    ):
        running.wait_for_success("credit")
        over = (
            "modeldrift_feature_psi > on (job, instance, model, feature, window) group_right () "
            'modeldrift_feature_threshold{statistic="psi"}'
        )
        found = eventually(lambda: asked(url, over), "scores over their threshold in Prometheus")

        labels = [series["metric"] for series in found]
        assert {label["feature"] for label in labels} == {"age"}  # type: ignore[index]
        assert {"10m"} <= {label["window"] for label in labels}  # type: ignore[index]
        assert asked(url, "up == 1")
        assert asked(url, 'modeldrift_prediction_psi{output="score",window="30m"} < 0.1')
        assert asked(url, 'modeldrift_segment_feature_psi{segment="north",feature="age"} > 0.25')


def test_both_formats_pass_the_strict_readers(folder: Path) -> None:
    """promtool and the strict OpenMetrics parser accept what a real exporter serves."""
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        _, text = fetch(f"{running.url}/metrics")
        _, openmetrics = fetch(
            f"{running.url}/metrics", Accept="application/openmetrics-text; version=1.0.0"
        )

    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    families = {family.name for family in parse_openmetrics(openmetrics)}  # type: ignore[no-untyped-call]
    assert {"modeldrift_feature_psi", "modeldrift_runs", "process_cpu_seconds"} <= families


def scores(running: ExporterProcess) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """All scores that are exposed."""
    names = ("psi", "kl_divergence_nats", "ks_statistic", "missing_ratio", "samples")
    return {name: running.values(f"modeldrift_feature_{name}") for name in names}


def test_after_kill_9_the_scores_are_back_without_the_source(folder: Path) -> None:
    """A killed exporter shows the same scores again before its first run, from the store."""
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        before = scores(running)
        success = running.value("modeldrift_run_last_success_timestamp_seconds")
        running.end(signal.SIGKILL)
    (folder / "current.jsonl").unlink()

    with exporter(folder / "drift.yml") as running:
        eventually(
            lambda: running.value("modeldrift_run_success", model="credit") == 0.0,
            "the run that misses its file",
        )
        assert before["psi"]
        assert scores(running) == before
        assert running.value("modeldrift_run_last_success_timestamp_seconds") == success
        failed = running.value("modeldrift_run_failures_total", model="credit", reason="source")
        assert failed == 1.0
        assert fetch(f"{running.url}/-/ready")[0] == 200


def test_reload_keeps_the_old_config_on_an_error(folder: Path) -> None:
    """A bad config file changes nothing but the reload gauge; a good one is applied."""
    config = folder / "drift.yml"
    good = config.read_text()
    with exporter(config) as running:
        running.wait_for_success("credit")
        before = scores(running)

        config.write_text(good.replace("windows: [10m, 30m]", "windows: [10m, 90x]"))
        status, text = fetch(f"{running.url}/-/reload", "POST")
        assert status == 500
        assert "drift.yml:7" in text
        assert "90x" in text
        assert running.value("modeldrift_exporter_config_last_reload_successful") == 0.0
        assert scores(running) == before

        config.write_text(good + good.split("\n", 1)[1].replace("credit", "second"))
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_success("second")
        assert running.value("modeldrift_exporter_config_last_reload_successful") == 1.0
        kept = {k: v for k, v in scores(running)["psi"].items() if ("model", "credit") in k}
        assert kept == before["psi"]
        assert running.runs("credit") == 1.0

        config.write_text(good)
        assert fetch(f"{running.url}/-/reload", "POST")[0] == 200
        assert running.value("modeldrift_run_interval_seconds", model="second") is None
        assert fetch(f"{running.url}/-/reload")[0] == 405


def test_a_hung_source_stops_no_other_model(folder: Path) -> None:
    """A database that never answers is a failed run after its timeout; the other model runs."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = folder / "drift.yml"
        hung = CONFIG.format(interval="2s").split("\n", 1)[1].replace("credit", "hung")
        hung = hung.replace(
            "current.jsonl, timestamp: ts",
            f'"postgresql://user:hunter2@127.0.0.1:{port}/db", table: rows, timestamp: ts',
        )
        config.write_text(
            CONFIG.format(interval="2s").replace("{{", "{").replace("}}", "}")
            + hung
            + "    timeout: 3s\n"
        )
        with exporter(config) as running:
            running.wait_for_success("credit")
            failed = eventually(
                lambda: running.value("modeldrift_run_success", model="hung") == 0.0,
                "the failure of the hung model",
            )
            begun = running.runs("credit")
            eventually(lambda: running.runs("credit") > begun + 1, "further runs of the other one")
            log = running.log() + fetch(f"{running.url}/runs")[1]

        assert failed
        assert "hunter2" not in log


def test_two_processes_do_not_share_a_store(folder: Path) -> None:
    """The second exporter on a store ends at once with a message that names the file."""
    with exporter(folder / "drift.yml"):
        second = subprocess.run(
            [
                str(Path(sys.executable).parent / "drift-exporter"),
                f"--config.file={folder / 'drift.yml'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert second.returncode == 1
    assert "drift.db" in second.stderr.splitlines()[-1]


def test_a_corrupt_store_is_set_aside(folder: Path) -> None:
    """A damaged store is moved aside and told of; the scores come from the source again."""
    data = folder / "drift-data"
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        before = scores(running)
        running.end()
    for log in data.glob("drift.db-*"):
        log.unlink()
    (data / "drift.db").write_bytes(b"not a database" * 1000)

    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        assert running.value("modeldrift_exporter_store_recreated") == 1.0
        assert scores(running)["psi"].keys() == before["psi"].keys()
        assert "store made anew" in running.log()
    assert list(data.glob("drift.db.corrupt-*"))


def test_a_store_that_cannot_be_written_costs_no_score(folder: Path) -> None:
    """While another process holds the store's write lock, runs go on and say so; then it heals."""
    config = folder / "drift.yml"
    config.write_text(CONFIG.format(interval="1s"))
    with exporter(config) as running:
        running.wait_for_success("credit")
        with closing(sqlite3.connect(folder / "drift-data" / "drift.db")) as holder:
            holder.execute("BEGIN IMMEDIATE")
            eventually(
                lambda: running.value("modeldrift_exporter_store_writable") == 0.0,
                "the gauge of the failed write",
            )
            assert running.value("modeldrift_run_success", model="credit") == 1.0
            assert scores(running)["psi"]
            holder.rollback()
        eventually(
            lambda: running.value("modeldrift_exporter_store_writable") == 1.0,
            "the gauge of the next write",
        )
        assert "store not written" in running.log()


def test_a_corrupt_profile_is_never_rebuilt_in_silence(folder: Path) -> None:
    """A profile that was cut off fails the run and says how to mend it."""
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        running.end()
    profile = folder / "drift-data" / "profiles" / "credit.json"
    profile.write_text(profile.read_text()[:500])

    with exporter(folder / "drift.yml") as running:
        eventually(
            lambda: running.value("modeldrift_run_success", model="credit") == 0.0,
            "the failed run",
        )
        failed = running.value("modeldrift_run_failures_total", model="credit", reason="profile")
        assert failed == 1.0
        assert "profile build" in running.log()


def by_command(*arguments: str, code: int = 0) -> str:
    """Give a command, and have it end with a code."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    return done.output


def user() -> str:
    """Name of whoever runs the tests, as ``id`` has it."""
    done = subprocess.run(["id", "-un"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or f"uid {os.getuid()}"


def reference_hash(running: ExporterProcess) -> str:
    """Hash of the profile that the model's scores are of."""
    (labels,) = running.values("modeldrift_reference_info")
    return dict(labels)["reference_hash"]


def promotions(running: ExporterProcess) -> list[Entry]:
    """What the audit log has of other profiles and versions."""
    text = fetch(f"{running.url}/api/v1/audit")[1]
    entries = map(from_line, text.splitlines())
    return [entry for entry in entries if entry.kind in ("profile_changed", "version_changed")]


def test_a_promotion_needs_no_restart(folder: Path) -> None:
    """A new profile is in force from the reload on: scores, metrics, incident and audit log tell
    of it, once."""
    config, new = f"--config.file={folder / 'drift.yml'}", folder / "new.json"
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        old, runs = reference_hash(running), running.runs("credit")
        alerts = body([alert("age")])
        assert fetch(f"{running.url}/alerts", "POST", alerts)[0] == 200
        assert running.value("modeldrift_model_promoted_timestamp_seconds") is None
        assert promotions(running) == []

        write_reference(folder / "reference.parquet", rows=10_000)
        by_command("profile", "build", config, f"--output={new}")
        begun = time.time()
        promote = ("profile", "promote", config, f"--url={running.url}", "--model=credit")
        by_command(*promote, f"--profile={new}", "--version=2", "--reason=retrained on January")

        promoted = eventually(
            lambda: running.value("modeldrift_model_promoted_timestamp_seconds", model="credit"),
            "the time of the promotion",
        )
        quiet = running.value("modeldrift_model_quiet_until_timestamp_seconds", model="credit")
        assert begun <= promoted <= time.time()
        assert quiet is not None
        assert quiet > promoted
        wanted = read_profile(new)
        assert wanted is not None
        assert wanted.hash != old
        assert reference_hash(running) == wanted.hash
        eventually(lambda: running.values("modeldrift_feature_psi"), "scores of the new profile")
        assert running.runs("credit") == runs + 1

        for _ in range(2):
            assert fetch(f"{running.url}/-/reload", "POST")[0] == 200
        (entry,) = promotions(running)
        assert (entry.kind, entry.actor, entry.subject) == (
            "profile_changed",
            user(),
            "model/credit",
        )
        assert entry.body["reason"] == "retrained on January"
        assert (entry.body["profile"], entry.body["previous_profile"]) == (wanted.hash, old)
        assert (entry.body["version"], entry.body["previous_version"]) == ("2", "")

        by_command(*promote, "--version=3", "--reason=a new threshold")
        _, entry = promotions(running)
        assert (entry.kind, entry.body["reason"]) == ("version_changed", "a new threshold")
        assert (entry.body["version"], entry.body["previous_version"]) == ("3", "2")
        assert running.runs("credit") == runs + 1
        incident = json.loads(fetch(f"{running.url}/api/v1/incidents/1")[1])
        told = [step["actor"] for step in incident["steps"] if step["kind"] == "promoted"]
        assert told == [user()] * 2
        assert json.loads(fetch(f"{running.url}/api/v1/audit/verify")[1])["intact"] is True


def test_who_promoted_the_config_s_version_is_said_afterwards(folder: Path) -> None:
    """A version that the config brought is nobody's word, until somebody gives theirs; once."""
    config = folder / "drift.yml"
    promote = ("profile", "promote", f"--config.file={config}", "--model=credit")
    text = config.read_text()
    with exporter(config) as running:
        running.wait_for_success("credit")
        by_command(*promote, f"--url={running.url}", "--version=2", "--reason=A")
        config.write_text(text + '    version: "3"\n')
        assert fetch(f"{running.url}/-/reload", "POST")[0] == 200
        said = [(entry.actor, entry.body["reason"]) for entry in promotions(running)]
        assert said == [(user(), "A"), ("drift-exporter", "")]

        by_command(*promote, f"--url={running.url}", "--version=3", "--reason=board")
        assert fetch(f"{running.url}/-/reload", "POST")[0] == 200
    with exporter(config) as running:
        running.wait_for_success("credit")
        entries = promotions(running)

    assert [entry.body["version"] for entry in entries] == ["2", "3", "3"]
    said = [(entry.actor, entry.body["reason"]) for entry in entries]
    assert said == [(user(), "A"), ("drift-exporter", ""), (user(), "board")]


def test_a_damaged_profile_leaves_the_running_one(folder: Path) -> None:
    """A profile that was cut off is told of at the reload; scores go on as they were."""
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit")
        before, old = scores(running), reference_hash(running)
        profile = folder / "drift-data" / "profiles" / "credit.json"
        profile.write_text(profile.read_text()[:500])

        assert fetch(f"{running.url}/-/reload", "POST")[0] == 200

        assert running.value("modeldrift_exporter_config_last_reload_successful") == 1.0
        (line,) = [line for line in running.log().splitlines() if "profile not taken up" in line]
        assert "model=credit" in line
        assert "credit.json" in line
        assert (scores(running), reference_hash(running)) == (before, old)
        assert (running.runs("credit"), promotions(running)) == (1.0, [])


def test_run_once_prints_and_judges(folder: Path) -> None:
    """run-once prints the metrics of one run and exits by its verdict, without a store."""
    command = [str(Path(sys.executable).parent / "drift-exporter"), "run-once"]
    config = f"--config.file={folder / 'drift.yml'}"

    fine = subprocess.run([*command, config], capture_output=True, text=True, check=False)
    bad = subprocess.run(
        [*command, config, "--fail-on=critical"], capture_output=True, text=True, check=False
    )
    shutil.move(folder / "current.jsonl", folder / "gone.jsonl")
    broken = subprocess.run([*command, config], capture_output=True, text=True, check=False)

    assert fine.returncode == 0, fine.stderr
    assert 'modeldrift_feature_psi{feature="age",model="credit",window="10m"}' in fine.stdout
    assert bad.returncode == 4
    assert broken.returncode == 3
    assert "current.jsonl" in broken.stderr
    assert not (folder / "drift-data" / "drift.db").exists()


def test_profile_commands(folder: Path) -> None:
    """profile build, show and diff work from a shell, and show says why."""
    command = [str(Path(sys.executable).parent / "drift-exporter"), "profile"]
    config = f"--config.file={folder / 'drift.yml'}"

    def run(*arguments: str) -> str:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "20000 rows" in run("build", config)
    shown = run("show", config)
    assert "age" in shown
    assert "double column" in shown
    built = str(folder / "drift-data" / "profiles" / "credit.json")
    assert "the same" in run("diff", built, built)
    write_reference(folder / "reference.parquet", rows=10_000)
    run("build", config, "--output", str(folder / "new.json"))
    assert "bins" in run("diff", built, str(folder / "new.json"))


def test_state_can_be_moved_away_from_the_config(folder: Path) -> None:
    """``--storage.path`` keeps store and profiles elsewhere, so the config may be read-only."""
    elsewhere, new = folder / "state", folder / "new.json"
    moved, config = f"--storage.path={elsewhere}", f"--config.file={folder / 'drift.yml'}"
    with exporter(folder / "drift.yml", moved) as running:
        running.wait_for_success("credit")
        old = reference_hash(running)
        write_reference(folder / "reference.parquet", rows=10_000)
        by_command("profile", "build", config, f"--output={new}")
        promote = ("profile", "promote", config, "--model=credit", f"--url={running.url}")
        given = (f"--profile={new}", "--version=2", "--reason=A")

        refused = by_command(*promote, *given, code=1)
        assert f"runs with profile {old}" in refused
        shutil.rmtree(folder / "drift-data")
        assert f"{running.url}: told" in by_command(moved, *promote, *given)
        (entry,) = promotions(running)
        assert entry.body["reason"] == "A"
        assert "intact" in by_command(moved, "audit", "verify", config)

    assert (elsewhere / "drift.db").exists()
    assert (elsewhere / "profiles" / "credit.json").exists()
    assert not (folder / "drift-data").exists()
