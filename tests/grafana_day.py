"""The day of the dashboards' tests, played once for all workers of a test run."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from grafana import day
from grafana.prometheus import Prometheus, serving


@contextmanager
def day_of_drift(factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that holds the day; whoever comes first plays it, the others wait."""
    own = factory.mktemp("prometheus")
    # With xdist the folder above is that of the whole run; without, there is no one to share with.
    shared = factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    played = shared / "day"
    with (shared / "day.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not played.exists():
            begun = factory.mktemp("day")
            day.write_day(begun)
            begun.rename(played)
    shutil.copytree(played / "tsdb", own / "tsdb")
    with serving(own, day.START, day.END, day.SCRAPE_SECONDS) as prometheus:
        yield prometheus
