"""The demo's log as files: a week of history in Parquet, a live tail in JSON Lines.

Knows the formats and how a file appears or grows; every time is an argument.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from drift_exporter.demo.credit_log import (
    DAY_SECONDS,
    LIVE,
    SAMPLED,
    TIMESTAMP,
    Columns,
    Drift,
    Traffic,
    rows,
)

APPENDED_AT_ONCE_SECONDS = 60
"""Longest span that is drawn at once: a laptop that slept must not fill its memory."""

Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1."""


def write_history(
    path: Path,
    start: float,
    end: float,
    seed: int,
    *,
    traffic: Traffic = SAMPLED,
    progress: Progress = lambda _: None,
) -> int:
    """Write the rows of ``[start, end)`` as one Parquet file, whole or not at all; tell how many.

    Parameters
    ----------
    path
        The file; what was there is replaced.
    start, end
        Seconds since the epoch.
    seed, traffic
        As for `credit_log.rows`.
    progress
        Told the share that is done, once per day of event time.

    Returns
    -------
    int
        Rows written.
    """
    begun = path.with_name(f".{path.name}.part")
    written = 0
    # An empty span has the columns and no row; it decides the schema.
    schema = _table(rows(start, start, seed, traffic=traffic)).schema
    try:
        with pq.ParquetWriter(begun, schema, compression="zstd") as writer:
            for day in np.arange(start, end, DAY_SECONDS):
                until = min(float(day) + DAY_SECONDS, end)
                table = _table(rows(float(day), until, seed, traffic=traffic))
                writer.write_table(table)
                written += table.num_rows
                progress((until - start) / (end - start))
        begun.replace(path)
    finally:
        begun.unlink(missing_ok=True)
    return written


class Tail:
    """The log as it grows: each append adds the rows since the one before."""

    def __init__(
        self,
        path: Path,
        start: float,
        seed: int,
        *,
        drift: Drift | None = None,
        traffic: Traffic = LIVE,
    ) -> None:
        self._path = path
        self._until = start
        self._seed = seed
        self._drift = drift
        self._traffic = traffic

    def append(self, until: float) -> int:
        """Append the rows up to an event time, whole lines only; tell how many.

        A time before the last one, as after a clock was set back, adds nothing.
        """
        added = 0
        # Without buffering each write is one call of the system, so that a reader sees
        # lines that are whole unless it comes in the middle of that call.
        with self._path.open("ab", buffering=0) as file:
            while self._until < until:
                end = min(self._until + APPENDED_AT_ONCE_SECONDS, until)
                columns = rows(self._until, end, self._seed, self._drift, self._traffic)
                remaining = memoryview(_lines(columns))
                while remaining:
                    remaining = remaining[file.write(remaining) :]
                self._until = end
                added += len(columns[TIMESTAMP])
        return added


def _table(columns: Columns) -> pa.Table:
    arrays = {}
    for name, values in columns.items():
        if name == TIMESTAMP:
            microseconds = np.rint(values * 1e6).astype(np.int64)
            arrays[name] = pa.array(microseconds, pa.timestamp("us", tz="UTC"))
        elif values.dtype == object:
            arrays[name] = pa.array(values, pa.string())
        else:
            arrays[name] = pa.array(values, from_pandas=True)
    return pa.table(arrays)


def _lines(columns: Columns) -> bytes:
    times = np.rint(columns[TIMESTAMP] * 1000).astype("datetime64[ms]")
    texts = np.datetime_as_string(times, unit="ms", timezone="UTC")
    cells = [_cells(values) for name, values in columns.items() if name != TIMESTAMP]
    names = list(columns)
    lines = [
        json.dumps(dict(zip(names, row, strict=True)), allow_nan=False, separators=(",", ":"))
        for row in zip(texts.tolist(), *cells, strict=True)
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _cells(values: NDArray[Any]) -> list[Any]:
    cells = values.astype(object)
    if values.dtype.kind == "f":
        # JSON has no NaN.
        cells[np.isnan(values)] = None
    listed: list[Any] = cells.tolist()
    return listed
