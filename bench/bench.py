"""What counting a file costs, beside the limit: decoding the same columns and counting nothing.

One command, ``python bench/bench.py``: writes a Parquet file once, measures each task in
processes of its own from start to exit, prints a Markdown table. 80 % of the features are
float64, 20 % texts of 5, 50 and 5000 categories; the rows are a day of events in order.
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DAY_START = 1_700_006_400
DAY_SECONDS = 86_400
WIDTH = 300
CARDINALITIES = (5, 50, 5000)
GROUP_ROWS = (1_000_000, 500_000, 122_880, 1_048_576)
"""Rows of the row groups, in turn: what common writers choose."""


def names_of(features: int) -> tuple[list[str], list[str]]:
    """Names of the numeric features and of the texts."""
    texts = features // 5
    return [f"n{i}" for i in range(features - texts)], [f"s{i}" for i in range(texts)]


def write(path: Path, rows: int, features: int) -> None:
    """The file that is measured."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    draw = np.random.default_rng(20240131)
    numeric, texts = names_of(features)
    writer = None
    at = group = 0
    half_written = path.with_suffix(".part")
    while at < rows:
        many = min(GROUP_ROWS[group % len(GROUP_ROWS)], rows - at)
        micros = DAY_START * 10**6 + np.arange(at, at + many) * (DAY_SECONDS * 10**6 // rows)
        columns = {"timestamp": pa.array(micros).cast(pa.timestamp("us", "UTC"))}
        for i, name in enumerate(numeric):
            columns[name] = pa.array(draw.normal(size=many) if i % 2 else draw.lognormal(size=many))
        for i, name in enumerate(texts):
            words = pa.array([f"category {k}" for k in range(CARDINALITIES[i % 3])])
            codes = pa.array(draw.integers(0, len(words), many, dtype=np.int32))
            columns[name] = pa.DictionaryArray.from_arrays(codes, words).cast(pa.string())
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(half_written, table.schema)
        writer.write_table(table, row_group_size=many)
        at, group = at + many, group + 1
    if writer is not None:
        writer.close()
    half_written.rename(path)


def task_limit(path: str, features: int) -> int:
    """Decode the columns one by one, count nothing."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    numeric, texts = names_of(features)
    parquet = pq.ParquetFile(path, read_dictionary=texts)
    rows = 0
    for group in range(parquet.num_row_groups):
        rows += parquet.metadata.row_group(group).num_rows
        for name in ["timestamp", *numeric, *texts]:
            for batch in parquet.iter_batches(
                131_072, row_groups=[group], columns=[name], use_threads=False
            ):
                del batch
    return int(rows)


def task_count(path: str, features: int) -> int:
    """Count the day in slices of five minutes on 12 bins or 30 categories a feature."""
    from drift_exporter.config import Source  # noqa: PLC0415
    from drift_exporter.reading.files import FileSource  # noqa: PLC0415
    from drift_exporter.reading.source import Span  # noqa: PLC0415

    span = Span(DAY_START, DAY_START + DAY_SECONDS)
    source = FileSource(Source(url=path))
    counted = source.count(_profile(features), span, WIDTH, float(span.end))
    rows = sum(int(_first_feature(vector)) for vector in counted.slices.values())
    if rows != counted.rows_read:
        raise SystemExit(f"{rows} rows counted, {counted.rows_read} read")
    return rows


def _first_feature(vector: Any) -> int:
    return int(vector[: 12 + 2 + 3].sum())


def _profile(features: int) -> Any:
    import numpy as np  # noqa: PLC0415

    from drift_exporter.profile import (  # noqa: PLC0415
        CategoryBins,
        Feature,
        NumericBins,
        Profile,
    )

    numeric, texts = names_of(features)
    normal = statistics.NormalDist()
    shares = [0.01, *(k / 10 for k in range(1, 10)), 0.99]
    edges = [normal.inv_cdf(share) for share in shares]
    found = []
    for i, name in enumerate(numeric):
        inner = tuple(edges) if i % 2 else tuple(math.exp(edge) for edge in edges)
        low, high = (-5.0, 5.0) if i % 2 else (math.exp(-5.0), math.exp(5.0))
        found.append(Feature(name, "feature", "numeric", NumericBins(inner, low, high)))
    for i, name in enumerate(texts):
        words = [f"category {k}" for k in range(CARDINALITIES[i % 3])]
        bins = CategoryBins(tuple(words[:30]), tuple(words[30:]))
        found.append(Feature(name, "feature", "categorical", bins))
    return Profile("bench", tuple(found), np.zeros(0, dtype=np.int64))


def task_run(path: str, _features: int) -> int:
    """Run the whole exporter once: config, profile, counts, store, scores, metrics."""
    from drift_exporter import config_file  # noqa: PLC0415
    from drift_exporter.checking import check  # noqa: PLC0415
    from drift_exporter.metrics.exposition import Exposition, no_health  # noqa: PLC0415
    from drift_exporter.store import open_store  # noqa: PLC0415

    end = float(DAY_START + DAY_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/bench.db", now=end)
        job = _job(config_file.load(_config(Path(path)), {}), store)
        snapshot, keep = check.run(job, check.empty_snapshot(job), end)
        keep()
        store.close()
    exposition = Exposition(no_health(), 10_000)
    exposition.update([snapshot], end)
    if snapshot.last_run is None or not exposition.series:
        raise SystemExit("the run found nothing")
    return snapshot.last_run.rows_read


def task_next(path: str, _features: int) -> int:
    """Time the runs that follow: each finds five minutes of new rows in a new file."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    from drift_exporter import config_file  # noqa: PLC0415
    from drift_exporter.checking import check  # noqa: PLC0415
    from drift_exporter.store import open_store  # noqa: PLC0415

    end = DAY_START + DAY_SECONDS
    new = _first_rows(path, WIDTH / DAY_SECONDS)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/bench.db", now=end)
        config = config_file.load(_config(Path(path)), {})
        (model,) = config.models
        current = model.current.model_copy(update={"url": f"{folder}/*.parquet"})
        model = model.model_copy(update={"current": current})
        Path(folder, "first.parquet").symlink_to(path)
        job = _job(config.model_copy(update={"models": (model,)}), store)
        snapshot, keep = check.run(job, check.empty_snapshot(job), float(end))
        keep()
        for step in range(3):
            _write_later(new, Path(folder, f"{step}.parquet"), DAY_SECONDS + step * WIDTH)
            began = time.perf_counter()
            snapshot, keep = check.run(job, snapshot, float(end + (step + 1) * WIDTH))
            keep()
            seconds.append(time.perf_counter() - began)
            run = snapshot.last_run
            if run is None or run.rows_read != new.num_rows:
                raise SystemExit(f"expected {new.num_rows} rows read, found {run}")
        store.close()
    sys.stderr.write(f"{new.num_rows} new rows: {statistics.median(seconds):.3f} s\n")
    return int(pq.read_metadata(path).num_rows)


def _first_rows(path: str, share: float) -> Any:
    """The first rows of a file, read column by column: together they cost a row group's memory."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    parquet = pq.ParquetFile(path, buffer_size=2**16)
    rows = int(parquet.metadata.num_rows * share)
    columns = {}
    for name in parquet.schema_arrow.names:
        (columns[name],) = next(parquet.iter_batches(rows, columns=[name], use_threads=False))
    return pa.table(columns)


def _write_later(batch: Any, path: Path, seconds: int) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    moved = pc.add(batch["timestamp"], pa.scalar(seconds * 10**6, pa.duration("us")))
    table = batch.set_column(0, "timestamp", moved)
    pq.write_table(table, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)


def _config(data: Path) -> Path:
    return data.parent / f"{data.stem}.yml"


def _job(config: Any, store: Any) -> Any:
    from drift_exporter.checking import check  # noqa: PLC0415
    from drift_exporter.profiles.current import profile_of  # noqa: PLC0415
    from drift_exporter.reading.opening import open_source  # noqa: PLC0415

    (model,) = config.models
    profile = profile_of(config, model, 0.0, lambda _: None)
    return check.Job(model, profile, open_source(model.current, timeout_seconds=600), store, 300)


def prepare(path: Path, rows: int, features: int) -> None:
    """Write what is missing: the data, a reference, a config, and the profile."""
    if not path.exists():
        write(path, rows, features)
    reference = path.with_suffix(".reference.parquet")
    if not reference.exists():
        write(reference, min(rows, 500_000), features)
    _config(path).write_text(
        f"data_dir: {path.stem}.data\n"
        "models:\n"
        "  - name: bench\n"
        f"    reference: {reference.name}\n"
        f"    current: {path.name}\n"
    )
    command = [str(Path(sys.executable).parent / "drift-exporter"), "profile", "build"]
    built = [*command, f"--config.file={_config(path)}"]
    subprocess.run(built, capture_output=True, check=True)  # noqa: S603


TASKS: dict[str, tuple[str, Callable[[str, int], int]]] = {
    "limit": ("limit: pyarrow decodes, nothing counted", task_limit),
    "count": ("drift-exporter counts a day in slices of 5 minutes", task_count),
    "run": ("the whole exporter: profile, counts, store, scores, metrics", task_run),
    "next": ("the same, and three runs with five minutes of new rows each", task_next),
}
"""Tasks by name: what the table calls them, and what they do."""


def measured(task: str, path: Path, features: int) -> dict[str, float]:
    """Seconds and peak memory of a task in a process of its own."""
    command = [sys.executable, __file__, "--task", task, "--data", str(path)]
    command += ["--features", str(features)]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    wall = time.perf_counter() - began
    return {"wall": wall, **json.loads(done.stdout)}


def child(task: str, path: str, features: int) -> None:
    """Do a task and tell what it used."""
    began = time.process_time()
    rows = TASKS[task][1](path, features)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "rows": rows,
        "work": time.process_time() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": _peak_mebibytes(),
    }
    sys.stdout.write(json.dumps(found))


def _peak_mebibytes() -> float:
    # Not ru_maxrss: before exec a child counts the memory of the process that started it.
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def report(path: Path, rows: int, features: int, repeats: int) -> Iterator[str]:
    """The lines of the table: medians of whole processes, the tasks in turn."""
    found: dict[str, list[dict[str, float]]] = {task: [] for task in TASKS}
    for _ in range(repeats):
        for task in TASKS:
            found[task].append(measured(task, path, features))
    for runs in found.values():
        if {run["rows"] for run in runs} != {rows}:
            raise SystemExit(f"{path}: a task did not see {rows} rows; delete the file")
    middle = {
        task: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for task, runs in found.items()
    }
    limit = middle["limit"]
    yield f"## {rows:,} rows by {features} features ({path.stat().st_size / 2**20:,.0f} MiB)\n"
    yield f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
    yield "| what | wall s | cpu s | peak MiB | wall / limit | cpu / limit |"
    yield "|---|---|---|---|---|---|"
    for task, (title, _) in TASKS.items():
        run = middle[task]
        ratios = f"{run['wall'] / limit['wall']:.2f} | {run['cpu'] / limit['cpu']:.2f}"
        yield f"| {title} | {run['wall']:.2f} | {run['cpu']:.2f} | {run['peak']:.0f} | {ratios} |"


def main() -> None:
    """Write the data where it is not there, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--data", help="folder for the data, kept; by default a temporary one")
    parser.add_argument("--out", help="file that the table is written to as well")
    parser.add_argument("--task", choices=list(TASKS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.task:
        child(asked.task, asked.data, asked.features)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.data or temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{asked.rows}x{asked.features}.parquet"
        prepare(path, asked.rows, asked.features)
        lines = list(report(path, asked.rows, asked.features, asked.repeats))
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if asked.out:
        Path(asked.out).write_text(text)


if __name__ == "__main__":
    main()
