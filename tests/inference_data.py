"""Inference data for tests: a reference, and current rows whose age may be shifted."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def table(start: float, end: float, rows: int, *, seed: int, older: float = 0.0) -> pa.Table:
    """Rows spread evenly over a span; ``older`` shifts their age in standard deviations."""
    rng = np.random.default_rng(seed)
    times = np.linspace(start, end, rows, endpoint=False)
    return pa.table(
        {
            "ts": pa.array((times * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC")),
            "age": rng.normal(40, 10, rows) + 10 * older,
            "income": rng.lognormal(3, 0.5, rows),
            "city": rng.choice(["north", "south", "west"], rows, p=[0.5, 0.3, 0.2]),
            "score": rng.beta(2, 5, rows),
        }
    )


def write_reference(path: Path, rows: int = 20_000) -> None:
    """A reference of January 2026."""
    pq.write_table(table(1_767_225_600, 1_769_904_000, rows, seed=1), path)


def append_lines(path: Path, found: pa.Table) -> None:
    """Append rows to a JSON Lines file."""
    rows = found.to_pylist()
    with path.open("a") as file:
        file.writelines(json.dumps({**row, "ts": row["ts"].isoformat()}) + "\n" for row in rows)
