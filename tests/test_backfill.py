"""Backfill: what promtool loads is what a scrape of that time would have told."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from drift_exporter.calibration.hindsight import judged
from drift_exporter.cli import main
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.metrics.families import PAST_FAMILIES
from drift_exporter.replaying import openmetrics_files
from wide_past import MIDNIGHT, wide_job

HOUR = 3600
COLUMNS = 50
LABELS = {"job": "drift-exporter", "instance": "localhost:10033"}

Series = frozenset[tuple[str, str]]


def live(text: str) -> dict[tuple[str, Series], float]:
    """Samples of an exposition that a backfill has too."""
    names = {family.name for family in PAST_FAMILIES}
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in names
    }


def dumped(folder: Path, at: int) -> dict[tuple[str, Series], float]:
    """Samples of a moment in Prometheus' blocks."""
    milliseconds = str(at * 1000)
    done = subprocess.run(
        ["promtool", "tsdb", "dump", f"--min-time={milliseconds}", f"--max-time={milliseconds}",
         str(folder)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = {}
    for line in done.stdout.splitlines():
        pairs, value, _ = line.rsplit(" ", 2)
        labels = dict(part.split("=", 1) for part in pairs.strip("{}").split(", "))
        plain = {name: text.strip('"') for name, text in labels.items()}
        name = plain.pop("__name__")
        assert {key: plain.pop(key) for key in LABELS} == LABELS
        found[name, frozenset(plain.items())] = float(value)
    return found


def test_what_is_loaded_is_what_a_scrape_told(tmp_path: Path) -> None:
    """Fifty columns load with promtool; at any time all series and values are those of live."""
    start, end = MIDNIGHT + 24 * HOUR, MIDNIGHT + 27 * HOUR
    with wide_job(tmp_path, COLUMNS, 1.25) as job:
        runs = list(judged(job, start, end, 300))
        files = list(
            openmetrics_files(iter(runs), tmp_path / "files", PAST_FAMILIES, labels=LABELS,
                              step_seconds=300)
        )  # fmt: skip
    for file in files:
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file),
             str(tmp_path / "tsdb")],
            check=True, capture_output=True,
        )  # fmt: skip
    assert len(runs) == 36
    for at, snapshot in (runs[0], runs[17], runs[34]):
        exposition = Exposition(no_health(), max_series=1_000_000)
        exposition.update([snapshot], at)
        wanted = live(exposition.scrape(openmetrics=False, zipped=False).decode())
        found = dumped(tmp_path / "tsdb", at)
        assert len(found) > COLUMNS * 2 * 10
        assert found == wanted


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--from", "soon"], "expected a date or time", id="no time"),
        pytest.param(["--from", "2026-02-02", "--to", "2026-02-01"], "before --to", id="backward"),
        pytest.param(["--from", "2026-02-01", "--step", "often"], "expected a duration", id="step"),
    ],
)
def test_wrong_arguments_are_told(arguments: list[str], told: str, tmp_path: Path) -> None:
    """Exit code 2 and what was expected, before anything is read."""
    config = tmp_path / "drift.yml"
    config.write_text("models: [{name: a, reference: a.csv, current: b.csv}]")
    done = CliRunner().invoke(main, ["backfill", f"--config.file={config}", *arguments])
    assert done.exit_code == 2
    assert told in done.output
