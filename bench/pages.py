"""How long a page of a model with many features takes: ``python bench/pages.py``.

Starts the server with a model of 1 000 features in two windows and a store that holds a month
of its scores, asks for pages over loopback from the same process, prints medians as JSON.
"""

import argparse
import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from drift_exporter.config import STATISTICS
from drift_exporter.snapshot import FeatureInfo, Run, SegmentResult, Snapshot, WindowResult
from drift_exporter.store import Store, open_store
from drift_exporter.verdicts.verdict import judge
from drift_exporter.web.parts import WebParts
from drift_exporter.web.server import create_app
from drift_exporter.web.serving import Server

WINDOWS = {"1h": 3600, "24h": 86400}
INTERVAL_SECONDS = 300
SEGMENTS = 10


def window(name: str, seconds: int, now: int, features: int) -> WindowResult:
    """A window in which one feature in a hundred drifts."""
    rng = np.random.default_rng(seconds)
    scores = {statistic: rng.gamma(1, 0.01, features) for statistic in STATISTICS}
    scores["psi"][::100] += 0.2
    thresholds = {
        ("psi", "warning"): np.full(features, 0.1),
        ("psi", "critical"): np.full(features, 0.25),
        ("missing_ratio", "warning"): np.full(features, 0.1),
        ("unseen_ratio", "warning"): np.full(features, 0.05),
        ("out_of_range_ratio", "warning"): np.full(features, 0.05),
    }
    return WindowResult(
        window=name,
        start=now - seconds,
        end=now,
        rows=10_000,
        samples=np.full(features, 10_000),
        scores=scores,
        thresholds=thresholds,
        verdicts=judge(scores, thresholds, [None] * features),
        segments=tuple(
            SegmentResult("region", f"r{i}", 1000, scores["psi"]) for i in range(SEGMENTS)
        ),
    )


def snapshot_of(names: list[str], now: int) -> Snapshot:
    """A model with these features."""
    return Snapshot(
        model="fraud-detector",
        interval_seconds=INTERVAL_SECONDS,
        stale_after_seconds=3 * INTERVAL_SECONDS,
        features=tuple(FeatureInfo(n, "feature", "numeric", "double", 12) for n in names),
        windows=tuple(window(w, s, now, len(names)) for w, s in WINDOWS.items()),
        last_run=Run(now - 1.0, float(now), success=True),
        last_success=float(now),
    )


def fill(store: Store, snapshot: Snapshot, now: int, days: int) -> None:
    """Keep scores of as many days."""
    rng = np.random.default_rng(0)
    names = [feature.name for feature in snapshot.features]
    for end in range(now - days * 86400, now + 1, INTERVAL_SECONDS):
        psi = rng.gamma(1, 0.03, len(names))
        scores = {n: (float(v), "ok") for n, v in zip(names, psi, strict=True)}
        run = Run(end - 1.0, float(end), success=True, window_end=end)
        store.record_run(snapshot.model, run, scores=dict.fromkeys(WINDOWS, (end, scores)))


def parts(snapshot: Snapshot, store: Store) -> WebParts:
    """Parts that show one model and its past."""
    return WebParts(
        scrape=lambda *, openmetrics, gzip: b"",  # noqa: ARG005
        probe=lambda _model, *, openmetrics, gzip: None,  # noqa: ARG005
        snapshots=lambda: (snapshot,),
        runs=lambda _model, _limit: [],
        history=store.history,
        psi_history=store.psi_history,
        detail=lambda *_: None,
        config_text=str,
        reload=lambda: None,
        ready=lambda: None,
        version="bench",
    )


def taken_milliseconds(port: int, path: str, times: int) -> tuple[list[float], float, int]:
    """Milliseconds of each request, of the processor per request, and the bytes of the page."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    taken, size, processor = [], 0, time.process_time()
    for _ in range(times):
        before = time.perf_counter()
        connection.request("GET", path)
        size = len(connection.getresponse().read())
        taken.append((time.perf_counter() - before) * 1000)
    connection.close()
    return taken, (time.process_time() - processor) * 1000 / times, size


def main() -> None:
    """Measure each page and print its median and size."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--features", type=int, default=1000)
    arguments.add_argument("--days", type=int, default=30)
    arguments.add_argument("--times", type=int, default=50)
    given = arguments.parse_args()
    now = int(time.time()) // INTERVAL_SECONDS * INTERVAL_SECONDS
    names = [f"transaction_feature_{i:05}" for i in range(given.features)]
    snapshot = snapshot_of(names, now)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder) / 'drift.db'}", now=now) as store,
    ):
        fill(store, snapshot, now, given.days)
        server = Server(create_app(parts(snapshot, store)), ["127.0.0.1:0"], None, lambda _: None)
        server.start()
        try:
            for path in ("/", "/models/fraud-detector", f"/models/fraud-detector/{names[0]}"):
                port = server.addresses[0].port
                taken, processor, size = taken_milliseconds(port, path, given.times)
                result = {
                    "page": path,
                    "features": given.features,
                    "bytes": size,
                    "cpu_ms": round(processor, 1),
                    "median_ms": round(statistics.median(taken), 1),
                    "p90_ms": round(statistics.quantiles(taken, n=10)[-1], 1),
                }
                print(json.dumps(result), flush=True)  # noqa: T201
        finally:
            server.stop()


if __name__ == "__main__":
    main()
