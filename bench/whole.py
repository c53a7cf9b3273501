"""Measures the exporter on Parquet, whole processes from start to exit, beside the scan limit.

``python bench/whole.py [--rows N] [--features N] [--folder DIR] [--repeat N]`` writes the data
once (a day of event time in files of half a million rows, 80 % float64, 20 % text of 5, 50 and
5 000 values), then prints a Markdown table: wall, CPU (user and system) and peak resident memory
of child processes, medians. *Limit* decodes the same columns with pyarrow and counts nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

DAY = 86_400
START = 1_767_225_600
ROWS_PER_FILE = 500_000
ROWS_PER_GROUP = 131_072
NOW = START + DAY

LIMIT = """
import sys, pyarrow.parquet as pq
from pathlib import Path
for path in sorted(Path(sys.argv[1]).glob("*.parquet")):
    file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
    for group in range(file.num_row_groups):
        for name in file.schema_arrow.names:
            file.read_row_group(group, columns=[name], use_threads=False)
"""

INCREMENTAL = """
import json, sys, time
from pathlib import Path
from drift_exporter import check, config_file
from drift_exporter.profiles import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.store import open_store
folder, now = Path(sys.argv[1]), float(sys.argv[2])
config = config_file.load(folder / "drift.yml", {})
(model,) = config.models
profile = profile_of(config, model, now, lambda _: None)
(folder / "bench.db").unlink(missing_ok=True)
store = open_store(f"sqlite:///{folder / 'bench.db'}", now=now)
job = check.Job(model, profile, open_source(model.current, timeout_seconds=600), store, 300)
snapshot, seconds, rows = check.empty_snapshot(job), [], []
for moment in (now - 900, now - 600, now - 300, now):
    begun = time.perf_counter()
    snapshot, keep = check.run(job, snapshot, moment)
    keep()
    seconds.append(time.perf_counter() - begun)
    rows.append(snapshot.last_run.rows_read)
print(json.dumps({"seconds": seconds, "rows": rows}))
"""


def table(rows: int, features: int, start: float, end: float, seed: int) -> pa.Table:
    """Rows spread evenly over a span of event time."""
    rng = np.random.default_rng(seed)
    times = (np.linspace(start, end, rows, endpoint=False) * 1e6).astype(np.int64)
    columns: dict[str, pa.Array] = {"timestamp": pa.array(times, pa.timestamp("us"))}
    for i in range(features):
        if i % 5 < 4:
            values = rng.lognormal(3, 1, rows) if i % 5 == 3 else rng.normal(size=rows)
            columns[f"number_{i:03}"] = pa.array(values)
        else:
            distinct = (5, 50, 5_000)[i // 5 % 3]
            codes = np.minimum(rng.zipf(1.3, rows) - 1, distinct - 1)
            words = pa.array([f"value {n}" for n in range(distinct)])
            columns[f"text_{i:03}"] = words.take(pa.array(codes))
    return pa.table(columns)


def write(folder: Path, rows: int, features: int) -> None:
    """Write reference, current files and config, where they are not there yet."""
    current = folder / "current"
    done = folder / f"written-{rows}-{features}"
    if done.exists():
        return
    current.mkdir(parents=True, exist_ok=True)
    for old in current.glob("*.parquet"):
        old.unlink()
    files = max(rows // ROWS_PER_FILE, 1)
    for i in range(files):
        bounds = (START + DAY * i / files, START + DAY * (i + 1) / files)
        found = table(rows // files, features, *bounds, seed=i + 1)
        path = current / f"part-{i:03}.parquet"
        pq.write_table(found, path, row_group_size=ROWS_PER_GROUP)
    reference = table(min(rows, 500_000), features, START - DAY, START, seed=0)
    pq.write_table(reference, folder / "reference.parquet", row_group_size=ROWS_PER_GROUP)
    (folder / "drift.yml").write_text(
        "models:\n"
        "  - name: bench\n"
        "    reference: reference.parquet\n"
        "    current: current/*.parquet\n"
        "    windows: [1h, 24h]\n"
    )
    done.touch()


def measured(command: list[str]) -> tuple[float, float, float, str]:
    """Wall and CPU seconds, peak MiB and output of a child process."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    if child.returncode:
        raise SystemExit(f"{command[1:3]} ended with {child.returncode}")
    cpu = usage.ru_utime + usage.ru_stime
    return wall, cpu, usage.ru_maxrss / 1024, output


def median_of(command: list[str], repeat: int) -> tuple[float, float, float, str]:
    """Medians of several child processes, and the output of the last."""
    runs = [measured(command) for _ in range(repeat)]
    wall, cpu, peak = (statistics.median(run[i] for run in runs) for i in range(3))
    return wall, cpu, peak, runs[-1][3]


def main() -> None:
    """Write the data, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--folder", type=Path, default=Path("bench-data"))
    parser.add_argument("--repeat", type=int, default=3)
    wanted = parser.parse_args()
    folder = wanted.folder.absolute()
    write(folder, wanted.rows, wanted.features)
    exporter = str(Path(sys.executable).parent / "drift-exporter")
    config = f"--config.file={folder / 'drift.yml'}"
    measured([exporter, "profile", "build", config])

    limit = median_of([sys.executable, "-c", LIMIT, str(folder / "current")], wanted.repeat)
    at = f"--at={time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(NOW))}"
    whole = median_of([exporter, "run-once", config, at], wanted.repeat)
    runs = json.loads(measured([sys.executable, "-c", INCREMENTAL, str(folder), str(NOW)])[3])

    print(f"{wanted.rows:,} rows by {wanted.features} features\n")
    print("| what | wall s | cpu s | peak MiB | cpu / limit |")
    print("|---|---|---|---|---|")
    for name, (wall, cpu, peak, _) in (("limit: pyarrow decodes", limit), ("run-once", whole)):
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {peak:.0f} | {cpu / limit[1]:.2f} |")
    print("\n| run of one process, every 5 minutes | seconds | rows read |\n|---|---|---|")
    for number, (seconds, rows) in enumerate(zip(runs["seconds"], runs["rows"], strict=True)):
        print(f"| {'first' if not number else f'{number + 1}.'} | {seconds:.3f} | {rows:,} |")


if __name__ == "__main__":
    main()
