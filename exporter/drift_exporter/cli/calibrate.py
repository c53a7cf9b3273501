"""calibrate: thresholds from a model's own past, with what they promise and what they find."""

import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drift_exporter.cli.options import (
    CONFIG_FILE,
    HISTORY,
    MODEL,
    chosen_models,
    errors_end_here,
    history_url,
    moment_of,
    work_progress,
)
from drift_exporter.cli.serve import main
from drift_exporter.config import (
    CALIBRATED,
    CAN_BE_CALIBRATED,
    ModelConfig,
    Thresholds,
    duration_of,
)
from drift_exporter.whole_file import whole_file

if TYPE_CHECKING:
    from rich.console import Console

    from drift_exporter.calibration.text import ColumnPower


@main.command()
@CONFIG_FILE
@MODEL
@HISTORY
@click.option(
    "--days",
    type=click.FloatRange(min=0.01, max=3650),
    default=None,
    help="How much of the past is looked at; by default calibration.history of the config.",
)
@click.option("--to", "until", default=None, help="End of that past (ISO 8601), by default now.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder for <model>.json, to be reviewed and named by calibration.file.",
)
def calibrate(
    config_file: Path,
    model: str | None,
    history: str,
    days: float | None,
    until: str | None,
    output: Path | None,
) -> None:
    """Calibrate thresholds on the past and print what they promise.

    For every column: the threshold of a usual window, the false alarms that it is expected to
    make in 90 days, the smallest shift that is found (all windows must agree), and whether it is
    too noisy to be monitored alone. Models are calibrated here as if their thresholds were all
    `calibrated`.
    """
    from rich.console import Console

    from drift_exporter.app import load_config, store_url
    from drift_exporter.calibration.calibrating import history_of
    from drift_exporter.calibration.lookback import made_anew
    from drift_exporter.calibration.past_jobs import Look, past_job
    from drift_exporter.calibration.text import powers, summary
    from drift_exporter.statistics.calibration import Method

    console = Console(soft_wrap=True, highlight=False)
    with errors_end_here(), tempfile.TemporaryDirectory(prefix="drift-exporter-") as folder:
        config = load_config(config_file, os.environ)
        today = time.time()
        now = moment_of(until, "--to") if until else today
        if now > today:
            raise click.BadParameter(
                f"found {until!r}, expected a time that is past", param_hint="--to"
            )
        look = Look(config, Path(folder), today, history_url(history, store_url(config)))
        for found in chosen_models(config, model):
            wanted = _all_calibrated(found, days)
            past = wanted.calibration.history.seconds + wanted.longest_window.seconds
            with (
                work_progress(f"history of {found.name}") as counting,
                past_job(look, wanted, int(now - past), int(now), counting) as job,
            ):
                span = history_of(job, now)
                with work_progress(f"calibrating {found.name}") as told:
                    made = made_anew(job, now, told)
                ready = replace(job, calibration=made)
                for line in summary(ready, span):
                    console.print(line, markup=False)
                _print_table(console, powers(ready, span))
                if output is not None:
                    output.mkdir(parents=True, exist_ok=True)
                    path = output / f"{found.name}.json"
                    # An exporter may read it at any time.
                    with whole_file(path) as file:
                        file.write(made.to_json().encode())
                    console.print(f"{path}: written; name it in calibration.file", markup=False)
                    if made.leading.method is Method.ANALYTIC:
                        console.print(
                            "warning: it is analytic; named in the config it stays so, however "
                            "long the history becomes",
                            markup=False,
                        )


def _print_table(console: "Console", found: "list[ColumnPower]") -> None:
    from rich.console import Console
    from rich.table import Table

    from drift_exporter.calibration.text import LEGEND, table

    rows = table(found)
    if not rows:
        return
    shown = Table(*rows[0], box=None, pad_edge=False)
    for row in rows[1:]:
        shown.add_row(*row)
    # A file or a pipe has no width: nothing may be cut off there.
    wide = console if sys.stdout.isatty() else Console(width=200, highlight=False)
    wide.print(shown, markup=False)
    console.print(LEGEND, markup=False)


def _all_calibrated(model: ModelConfig, days: float | None) -> ModelConfig:
    """The model with all its thresholds calibrated, over so many days."""
    settings = model.calibration.model_copy(update={"file": None})
    if days is not None:
        settings = settings.model_copy(update={"history": duration_of(days * 86400)})
    features = {
        name: one.model_copy(update={"thresholds": _without_fixed(one.thresholds)})
        for name, one in model.features.overrides.items()
    }
    return model.model_copy(
        update={
            "calibration": settings,
            "thresholds": {**model.thresholds, **dict.fromkeys(CAN_BE_CALIBRATED, CALIBRATED)},
            "features": model.features.model_copy(update={"overrides": features}),
        }
    )


def _without_fixed(thresholds: Thresholds) -> Thresholds:
    """A column's own thresholds, but those in whose place a calibrated one may stand."""
    return {
        statistic: found
        for statistic, found in thresholds.items()
        if found is None or statistic not in CAN_BE_CALIBRATED
    }
