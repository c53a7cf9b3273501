"""Ninety days of fifty columns for Prometheus: ``python bench/backfill.py --days 90``.

Writes the score families of a model as OpenMetrics, a file a day, and loads them with promtool.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from drift_exporter.calibration.hindsight import judged
from drift_exporter.metrics.families import PAST_FAMILIES
from drift_exporter.replaying import openmetrics_files
from wide_past import MIDNIGHT, wide_job

DAY = 86_400


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--step", type=int, default=300, help="seconds from run to run")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="drift-bench-") as name:
        folder = Path(name)
        begun = time.perf_counter()
        with wide_job(folder, given.columns, given.days + 1) as job:
            drawn = time.perf_counter()
            runs = judged(job, MIDNIGHT + DAY, MIDNIGHT + (given.days + 1) * DAY, given.step)
            size = loading = 0.0
            for path in openmetrics_files(runs, folder / "files", PAST_FAMILIES, step_seconds=300):
                size += path.stat().st_size
                before = time.perf_counter()
                subprocess.run(  # noqa: S603
                    ["promtool", "tsdb", "create-blocks-from", "openmetrics",  # noqa: S607
                     "--max-block-duration=24h", str(path), str(folder / "tsdb")],
                    check=True, capture_output=True,
                )  # fmt: skip
                loading += time.perf_counter() - before
                path.unlink()
            seconds = time.perf_counter() - drawn - loading
        blocks = sum(f.stat().st_size for f in (folder / "tsdb").rglob("*") if f.is_file())
        sys.stdout.write(
            f"{given.days} days, {given.columns} columns, a run every {given.step} s: "
            f"{seconds:.0f} s to judge and write {size / 1e6:.0f} MB, {loading:.0f} s in promtool, "
            f"{blocks / 1e6:.0f} MB of blocks; {drawn - begun:.0f} s to draw the past\n"
        )


if __name__ == "__main__":
    main()
