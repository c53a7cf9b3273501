"""run-once: one run of every model, printed."""

import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import click

from drift_exporter.cli.options import (
    CONFIG_FILE,
    EXIT_DRIFT,
    EXIT_RUN_FAILED,
    MODEL,
    chosen_models,
    errors_end_here,
    profile_progress,
)
from drift_exporter.cli.serve import main


@main.command("run-once")
@CONFIG_FILE
@MODEL
@click.option(
    "--at",
    "moment",
    default=None,
    help="Judge the windows that end at this time (ISO 8601), by default now.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["warning", "critical"]),
    default=None,
    help="Exit with 4 if a feature or prediction has this verdict, or a worse one.",
)
def run_once(config_file: Path, model: str | None, moment: str | None, fail_on: str | None) -> None:
    """Run every model once, without a server, and print the metrics.

    The windows are read from the source; nothing is stored. A profile that is missing is built
    and kept.
    """
    from drift_exporter import once
    from drift_exporter.config_file import load

    with errors_end_here():
        config = load(config_file, os.environ)
        at = _moment(moment)
        with tempfile.TemporaryDirectory(prefix="drift-exporter-") as folder:
            text, snapshots = once.run_all(
                config, folder, chosen_models(config, model), at, profile_progress
            )
    click.echo(text, nl=False)
    failed = [s for s in snapshots if s.last_run is None or not s.last_run.success]
    for snapshot in failed:
        reason = snapshot.last_run.error if snapshot.last_run else "not run"
        click.echo(f"error: model {snapshot.model!r}: {reason}", err=True)
    if failed:
        sys.exit(EXIT_RUN_FAILED)
    if fail_on and once.worst_is_at_least(snapshots, fail_on):
        sys.exit(EXIT_DRIFT)


def _moment(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(
            f"found {text!r}, expected a time such as 2024-01-31T12:00Z", param_hint="--at"
        ) from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
