"""backfill: past scores for Prometheus, so that graphs begin before the exporter did."""

import os
import sys
import tempfile
import time
from pathlib import Path

import click

from drift_exporter.cli.options import (
    CONFIG_FILE,
    HISTORY,
    MODEL,
    SINCE,
    STEP,
    chosen_models,
    errors_end_here,
    history_url,
    span_of,
    step_of,
    work_progress,
)
from drift_exporter.cli.serve import main

HEAD_SECONDS = 3 * 3600
"""How long Prometheus may keep what it scrapes in memory, where no block may meet it."""


@main.command()
@CONFIG_FILE
@MODEL
@HISTORY
@SINCE
@click.option(
    "--to",
    "until",
    default=None,
    help="Its end (ISO 8601), by default three hours ago; no sample is later.",
)
@STEP
@click.option(
    "--job", default="drift-exporter", show_default=True, help="Label job of the live series."
)
@click.option(
    "--instance",
    default="localhost:10033",
    show_default=True,
    help="Label instance of the live series: with it their graphs continue.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for a file per model and day; by default all goes to stdout.",
)
def backfill(
    config_file: Path,
    model: str | None,
    history: str,
    since: str,
    until: str | None,
    step: str | None,
    job: str,
    instance: str,
    output: Path | None,
) -> None:
    """Write past scores as OpenMetrics with timestamps, for Prometheus to load.

    Scores, thresholds and states of every window of the past, at the pace of the model's runs.
    Calibrated thresholds are of the config's file or the store, else of the past before --from.
    Load each file with `promtool tsdb create-blocks-from openmetrics FILE DATA_FOLDER`. Prometheus
    drops what it holds in memory from before the end of its newest block, of all its series: for
    one that is scraping already, end three hours ago or earlier, and where the live series begin.
    """
    from drift_exporter.app import load_config, store_url
    from drift_exporter.calibration.past_jobs import Look, past_to_judge
    from drift_exporter.metrics.families import PAST_FAMILIES
    from drift_exporter.replaying import openmetrics, openmetrics_files
    from drift_exporter.replaying.series import LOOKBACK_SECONDS

    labels = {"job": job, "instance": instance}
    with errors_end_here(), tempfile.TemporaryDirectory(prefix="drift-exporter-") as folder:
        config = load_config(config_file, os.environ)
        now = time.time()
        start, end = span_of(since, until, now - HEAD_SECONDS)
        if end > now - HEAD_SECONDS:
            click.echo(
                "warning: --to is within the last three hours; loaded into a Prometheus that is "
                "scraping, such blocks make it drop what it has scraped since",
                err=True,
            )
        pace = step_of(step)
        look = Look(config, Path(folder), now, history_url(history, store_url(config)))
        chosen = chosen_models(config, model)
        if output is None and len(chosen) > 1:
            raise click.UsageError(
                "stdout takes one model; choose it with --model, or use --output"
            )
        for found in chosen:
            with (
                past_to_judge(look, found, start, end, pace, work_progress) as ready,
                work_progress(f"scores of {found.name}") as told,
            ):
                for line in (ready.thresholds, *ready.notes):
                    click.echo(line, err=True)
                past = (
                    (at, snapshot)
                    for at, snapshot in ready.runs()
                    if told((at - ready.start) / (ready.end - ready.start)) is None
                )
                last = min(end, int(now))
                if output is None:
                    for text in openmetrics(
                        past,
                        PAST_FAMILIES,
                        labels=labels,
                        step_seconds=LOOKBACK_SECONDS,
                        last=last,
                    ):
                        sys.stdout.write(text)
                    continue
                for path in openmetrics_files(
                    past,
                    output / found.name,
                    PAST_FAMILIES,
                    labels=labels,
                    step_seconds=LOOKBACK_SECONDS,
                    last=last,
                ):
                    click.echo(str(path))
