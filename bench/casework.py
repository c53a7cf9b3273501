"""Alerts, audit log and reports in bulk: ``python bench/casework.py``.

Ten thousand alerts go through a real server into a store on disk; then a store with 90 days of
runs and a long audit log is verified and reported on.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import httpx

from drift_exporter.config import Config
from drift_exporter.reporting import report
from drift_exporter.snapshot import Run
from drift_exporter.store import Store, open_store
from incident_desk import room, served
from test_webhook_burst import burst

DAY = 86_400
NOW = 1_800_000_000.0


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alerts", type=int, default=10_000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--entries", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drift-bench-") as name:
        for bodies, senders in ((1, 1), (200, 8)):
            folder = Path(name) / str(bodies)
            folder.mkdir()
            _burst(folder, given.alerts, bodies, senders)
        with open_store(f"sqlite:///{Path(name) / 'drift.db'}", now=NOW) as store:
            _fill(store, given.days, given.entries)
            _timed(f"verify {given.entries} audit entries", store.cases.verify_audit)
            for form in ("markdown", "html"):
                _timed(
                    f"report of {given.days} days, {form}",
                    lambda: report(
                        store,
                        _config(),
                        since=NOW - given.days * DAY,
                        until=NOW,
                        now=NOW,
                        format=form,  # noqa: B023 - called at once
                    ),
                )


def _burst(folder: Path, alerts: int, bodies: int, senders: int) -> None:
    each = alerts // bodies
    sent = [burst(i * each, each) for i in range(bodies)]
    with room(folder) as found, served(found) as client, ThreadPoolExecutor(senders + 1) as pool:
        client.timeout = httpx.Timeout(120)
        scrapes: list[float] = []
        ended = False

        def scrape() -> None:
            while not ended:
                before = time.perf_counter()
                client.get("/metrics").raise_for_status()
                scrapes.append(time.perf_counter() - before)

        beside = pool.submit(scrape)
        begun = time.perf_counter()
        for answer in pool.map(lambda content: client.post("/alerts", content=content), sent):
            answer.raise_for_status()
        seconds = time.perf_counter() - begun
        ended = True
        beside.result()
    sys.stdout.write(
        f"{alerts} alerts in {bodies} bodies from {senders} senders: {seconds:.1f} s; "
        f"longest of {len(scrapes)} scrapes beside it {max(scrapes):.2f} s\n"
    )


def _config() -> Config:
    reference = {"url": "reference.parquet"}
    current = {"url": "current.parquet", "timestamp": "ts"}
    model = {"name": "credit", "reference": reference, "current": current}
    return Config.model_validate({"models": [model]})


def _fill(store: Store, days: int, entries: int) -> None:
    runs = days * 288
    for i in range(runs):
        at = NOW - (runs - i) * 300.0
        store.record_run("credit", Run(at, at + 1, success=True, window_end=int(at), rows_read=83))
    for first in range(0, entries, 1000):
        with store.cases.writing("fill the audit log") as tx:
            for i in range(first, min(first + 1000, entries)):
                at = NOW - days * DAY * (1 - i / entries)
                body = {
                    "text": f"feature_{i % 50} of the window 1h",
                    "feature": f"feature_{i % 50}",
                }
                tx.audit(at, "drift-exporter", "verdict_changed", "model/credit", body)


def _timed(what: str, do: Callable[[], object]) -> None:
    begun = time.perf_counter()
    do()
    sys.stdout.write(f"{what}: {time.perf_counter() - begun:.1f} s\n")


if __name__ == "__main__":
    main()
