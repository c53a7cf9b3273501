"""The demo's stage: a folder with history, a log that grows, a config, and servers beside it.

Knows the order in which things are set up and taken down; never starts the exporter, which
plays on it.
"""

import fcntl
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from drift_exporter.demo.credit_log import DAY_SECONDS, IDENTIFIER, PREDICTION, SEGMENT, Drift
from drift_exporter.demo.credit_log import TIMESTAMP as EVENT_TIME
from drift_exporter.demo.files import Progress, Tail, write_history
from drift_exporter.demo.servers import serving
from drift_exporter.demo.story import MODEL, story
from drift_exporter.errors import DemoError

log = logging.getLogger(__name__)

SEED = 20_260_101
HISTORY_SECONDS = 7 * DAY_SECONDS

BACKLOG_SECONDS = 420
"""The tail begins before the demo, so that the first run finds its longest window filled."""

APPEND_SECONDS = 1.0

MARKER = ".drift-demo"
"""File by which a folder is known to be the demo's own."""

HISTORY, LOG, CONFIG, DATA = "history.parquet", "live.jsonl", "drift.yml", "data"
RULES, ALERTING = "rules", "alerting"

Clock = Callable[[], float]


@dataclass(frozen=True)
class Stage:
    """What the exporter needs to play, and what its audience is told."""

    config: Path
    story: str
    drift: Drift


def config_text(exporter: str) -> str:
    """The demo's config file: short slices and windows, so that drift shows within minutes.

    Parameters
    ----------
    exporter
        Host and port that people reach the exporter by.
    """
    return f"""\
# The config of the demo; 'drift-exporter check-config' explains what is wrong after a change.
data_dir: {DATA}
models:
  - name: {MODEL}
    version: "1"
    owner: credit-team
    # Tickets, no pages: one message for the model (docs/alerting.md).
    tier: low
    reference:
      url: {HISTORY}
      timestamp: {EVENT_TIME}
    current:
      url: {LOG}
      timestamp: {EVENT_TIME}
      lateness: 5s
    # Short, so that drift shows within minutes. Hours and days are usual.
    interval: 10s
    slice: 10s
    windows: [1m, 5m]
    backfill: 5m
    stale_after: 1m
    features:
      exclude: [{IDENTIFIER}]
    prediction: {PREDICTION}
    segments: [{SEGMENT}]
    # For the pictures of distributions in Grafana; off by default.
    expose_bins: true
    # At night a region has fewer rows in a minute; its scores would be noise.
    min_rows: 300
response:
  # Slack's message links to the incident.
  public_url: http://{exporter}
"""


def prepare(folder: Path, exporter: str, now: float, progress: Progress = lambda _: None) -> Path:
    """Write the history before ``now`` and the config; tell where the config is.

    What an earlier demo left in the folder goes. The folder must have been claimed.
    """
    for name in (DATA, RULES, ALERTING, "prometheus", "prometheus-alertmanager"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / LOG).unlink(missing_ok=True)
    begin = now - BACKLOG_SECONDS
    write_history(folder / HISTORY, begin - HISTORY_SECONDS, begin, SEED, progress=progress)
    config = folder / CONFIG
    config.write_text(config_text(exporter), encoding="utf-8")
    return config


@contextmanager
def stage(
    folder: Path,
    exporter_address: str,
    *,
    drift_after_seconds: float = 60,
    drift_seconds: float | None = None,
    rules: Callable[[Path], str] | None = None,
    alerting: Callable[[Path], Path] | None = None,
    clock: Clock = time.time,
    progress: Progress = lambda _: None,
) -> Iterator[Stage]:
    """Set the demo up for the time of the body, and take down what runs afterwards.

    Enter it in the main thread, and start the exporter with the config in the body. The
    files stay for a look; the next demo in the folder replaces them.

    Parameters
    ----------
    folder
        New, empty, or of an earlier demo.
    exporter_address
        Listen address that the exporter will have, ``host:port`` or ``:port``.
    drift_after_seconds
        Time from now until the scripted drift.
    drift_seconds
        How long it lasts; by default to the end.
    rules
        Told the config's path before Prometheus starts, returns the text of a rule file.
    alerting
        Told a folder before Alertmanager starts, writes its config there and returns its path.
    clock
        Seconds since the epoch.
    progress
        Told the share of the history that is written.

    Yields
    ------
    Stage
        The config to run the exporter with, and the text to print.

    Raises
    ------
    DemoError
        If the folder holds something else, or another demo runs in it.
    """
    with _claimed(folder):
        now = clock()
        exporter = reachable(exporter_address)
        config = prepare(folder, exporter, now, progress)
        start = now + drift_after_seconds
        drift = Drift(start) if drift_seconds is None else Drift(start, start + drift_seconds)
        if rules is not None:
            (folder / RULES).mkdir()
            (folder / RULES / "drift.yml").write_text(rules(config), encoding="utf-8")
        alerts = alerting(folder.resolve() / ALERTING) if alerting is not None else None
        tail = Tail(folder / LOG, now - BACKLOG_SECONDS, SEED, drift=drift)
        with _growing(tail, clock), serving(folder, exporter, alerts) as servers:
            yield Stage(config, story(str(folder), exporter, servers, drift), drift)


def reachable(listen_address: str) -> str:
    """Host and port by which a server that listens on an address is reached from here."""
    host, _, port = listen_address.rpartition(":")
    return f"{'127.0.0.1' if host in {'', '0.0.0.0', '[::]'} else host}:{port}"  # noqa: S104


@contextmanager
def _growing(tail: Tail, clock: Clock) -> Iterator[None]:
    stop = threading.Event()
    tail.append(clock())

    def grow() -> None:
        while not stop.wait(APPEND_SECONDS):
            try:
                tail.append(clock())
            except OSError as error:
                log.error("demo: the live log no longer grows: %s", error)
                return

    thread = threading.Thread(target=grow, name="demo-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    marker = folder / MARKER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not marker.exists():
            raise DemoError(f"{folder}: not empty and not a demo's folder; name another one")
        held = marker.open("a")
    except OSError as error:
        raise DemoError(f"{folder}: {error.strerror}; name a folder to write to") from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(f"{folder}: another demo runs here; name another folder") from error
        yield
