"""How long a scrape takes while the same process counts: ``python bench/scrape.py``.

Starts the server with an exposition of some 10 000 series and a thread that counts as a run
does (numpy) or worse (pure Python), then scrapes from another process over loopback.
"""

import argparse
import gzip
import http.client
import json
import multiprocessing
import statistics
import sys
import threading
import time
from multiprocessing.connection import Connection

import numpy as np

from drift_exporter.web.parts import WebParts
from drift_exporter.web.server import create_app
from drift_exporter.web.serving import Server


def exposition(series: int) -> bytes:
    """A body of so many series, about 100 bytes each."""
    name = "modeldrift_feature_psi"
    lines = [f"# HELP {name} Population stability index.", f"# TYPE {name} gauge"]
    lines += [
        f'{name}{{model="fraud-detector",feature="transaction_feature_{i:05}",window="24h"}} '
        f"{0.1 + i / series:.16f}"
        for i in range(series)
    ]
    return ("\n".join(lines) + "\n").encode()


def parts(series: int) -> WebParts:
    """Parts that serve one body from memory, as the exporter does."""
    plain = exposition(series)
    bodies = {False: plain, True: gzip.compress(plain, 3)}
    return WebParts(
        scrape=lambda *, openmetrics, gzip: bodies[gzip],  # noqa: ARG005
        probe=lambda _model, *, openmetrics, gzip: None,  # noqa: ARG005
        snapshots=tuple,
        runs=lambda _model, _limit: [],
        history=lambda *_, **__: [],
        psi_history=lambda *_, **__: ([], [], np.zeros((0, 0))),
        detail=lambda *_: None,
        config_text=str,
        reload=lambda: None,
        ready=lambda: None,
        version="bench",
    )


def count_with_numpy(stop: threading.Event) -> None:
    """Count values below edges over blocks that stay in the cache, as reading does."""
    values = np.random.default_rng(0).normal(size=1 << 21)
    below = np.empty(1 << 15, dtype=bool)
    edges = np.linspace(-3, 3, 13)
    while not stop.is_set():
        for start in range(0, len(values), len(below)):
            block = values[start : start + len(below)]
            for edge in edges:
                np.less_equal(block, edge, out=below)
                np.count_nonzero(below)


def count_in_python(stop: threading.Event) -> None:
    """Hold the interpreter as long as it lets a thread hold it."""
    while not stop.is_set():
        sum(range(100_000))


BUSY = {"idle": None, "numpy": count_with_numpy, "python": count_in_python}


def scrape(port: int, scrapes: int, encoding: str, keep: bool, answer: Connection) -> None:
    """Scrape so many times and send the milliseconds of each."""
    taken = []
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(scrapes):
        time.sleep(0.01)
        before = time.perf_counter()
        connection.request("GET", "/metrics", headers={"Accept-Encoding": encoding})
        response = connection.getresponse()
        response.read()
        taken.append((time.perf_counter() - before) * 1000)
        if not keep:
            connection.close()
    connection.close()
    answer.send(taken)


def burn(_: int) -> None:
    """Keep one core busy from another process."""
    while True:
        sum(range(100_000))


def main() -> None:
    """Measure each way of being busy, with and without gzip, and print medians."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=10_000)
    arguments.add_argument("--scrapes", type=int, default=300)
    arguments.add_argument("--busy", choices=BUSY, action="append")
    arguments.add_argument("--threads", type=int, default=1, help="threads that count")
    arguments.add_argument("--burners", type=int, default=0, help="other processes that burn")
    arguments.add_argument("--switch-interval", type=float, default=0.0005)
    arguments.add_argument("--new-connections", action="store_true")
    given = arguments.parse_args()
    sys.setswitchinterval(given.switch_interval)
    server = Server(create_app(parts(given.series)), ["127.0.0.1:0"], None, lambda _: None)
    server.start()
    spawn = multiprocessing.get_context("spawn")
    burners = [spawn.Process(target=burn, args=(i,), daemon=True) for i in range(given.burners)]
    for burner in burners:
        burner.start()
    try:
        for busy in given.busy or list(BUSY):
            for encoding in ("identity", "gzip"):
                taken = measure(server, spawn, busy, encoding, given)
                hundredths = statistics.quantiles(taken, n=100)
                result = {
                    "busy": busy,
                    "encoding": encoding,
                    "series": given.series,
                    "median_ms": round(statistics.median(taken), 2),
                    "p99_ms": round(hundredths[98], 2),
                }
                print(json.dumps(result), flush=True)  # noqa: T201
    finally:
        for burner in burners:
            burner.kill()
        server.stop()


def measure(server: Server, spawn, busy: str, encoding: str, given) -> list[float]:  # type: ignore[no-untyped-def]
    """Milliseconds of each scrape."""
    stop = threading.Event()
    counting = BUSY[busy]
    threads = [
        threading.Thread(target=counting, args=(stop,)) for _ in range(given.threads) if counting
    ]
    for thread in threads:
        thread.start()
    here, there = spawn.Pipe()
    port = server.addresses[0].port
    arguments = (port, given.scrapes, encoding, not given.new_connections, there)
    client = spawn.Process(target=scrape, args=arguments)
    client.start()
    taken: list[float] = here.recv()
    client.join()
    stop.set()
    for thread in threads:
        thread.join()
    return taken


if __name__ == "__main__":
    main()
