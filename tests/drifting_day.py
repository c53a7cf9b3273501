"""A day of a model whose applicants changed four hours ago, run through in seconds.

The runs of the day are real ones, their times are told; then a real exporter takes over.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from drift_exporter.app import load_config, store_url
from drift_exporter.checking import check
from drift_exporter.demo.credit_log import SAMPLED, TIMESTAMP, Drift, rows
from drift_exporter.profiles.current import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.store import open_store
from exporter_process import ExporterProcess, exporter

ODD = 'rent/"net"\n<b>größe</b> {{ 7 }}'
"""A column whose name is fit to break a path, an attribute and a page."""

STEP_SECONDS = 1800
HOUR, DAY = 3600, 86400

CONFIG = """\
models:
  - name: credit-risk
    version: "7"
    owner: credit-team
    reference: {url: reference.parquet, timestamp: ts}
    current: {url: current.parquet, timestamp: ts}
    interval: 30m
    slice: 5m
    windows: [1h, 24h]
    features: {exclude: [application_id]}
    prediction: score
    segments: [region]
  - name: churn
    owner: crm-team
    reference: {url: reference.parquet, timestamp: ts}
    current: {url: nowhere.parquet, timestamp: ts}
    interval: 1h
"""


def write(path: Path, start: float, end: float, drift: Drift | None = None) -> None:
    """Write the rows of a span, with a column of an odd name."""
    found = pa.table({name: pa.array(v) for name, v in rows(start, end, 1, drift, SAMPLED).items()})
    at = found.schema.get_field_index(TIMESTAMP)
    found = found.set_column(at, TIMESTAMP, _times(found[TIMESTAMP]))
    pq.write_table(found.append_column(ODD, found["age"]), path)


def _times(column: pa.ChunkedArray) -> pa.Array:
    return pa.array((column.to_numpy() * 1e6).astype("int64"), pa.timestamp("us", tz="UTC"))


def run_through(config_file: Path, start: int, end: int) -> None:
    """Execute the runs of the first model from a time to another."""
    config = load_config(config_file, {})
    model = config.models[0]
    profile = profile_of(config, model, start, lambda _: None)
    source = open_source(model.current, timeout_seconds=60)
    try:
        with open_store(store_url(config), now=start) as store:
            job = check.Job(model, profile, source, store, model.interval.seconds)
            snapshot = check.empty_snapshot(job)
            for now in range(start, end + 1, STEP_SECONDS):
                snapshot, keep = check.run(job, snapshot, now)
                keep()
    finally:
        source.close()


@contextmanager
def drifting_day(folder: Path) -> Iterator[ExporterProcess]:
    """An exporter that has run for a day; the scores of its first model are there."""
    now = int(time.time()) // 300 * 300
    write(folder / "reference.parquet", now - 4 * DAY, now - 2 * DAY)
    write(folder / "current.parquet", now - 2 * DAY, now, Drift(now - 4 * HOUR))
    (folder / "drift.yml").write_text(CONFIG)
    run_through(folder / "drift.yml", now - DAY, now)
    with exporter(folder / "drift.yml") as running:
        running.wait_for_success("credit-risk")
        yield running
