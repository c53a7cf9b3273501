"""replay: what the rules would have told of a past span, before anybody is told."""

import heapq
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drift_exporter.cli.options import (
    CONFIG_FILE,
    HISTORY,
    MODEL,
    SINCE,
    STEP,
    UNTIL,
    chosen_models,
    errors_end_here,
    history_url,
    span_of,
    step_of,
    work_progress,
)
from drift_exporter.cli.serve import main
from drift_exporter.config import ModelConfig, duration_of
from drift_exporter.errors import ReplayError

if TYPE_CHECKING:
    from drift_exporter.replaying import Outcome


@main.command()
@CONFIG_FILE
@MODEL
@HISTORY
@SINCE
@UNTIL
@STEP
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A second config file; what differs is told.",
)
@click.option(
    "--rules",
    "rule_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A rule file of your own; by default what the command rules prints.",
)
@click.option(
    "--alertmanager-config",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="Alertmanager's config; by default the shipped example.",
)
def replay(
    config_file: Path,
    model: str | None,
    history: str,
    since: str,
    until: str | None,
    step: str | None,
    against: Path | None,
    rule_file: Path | None,
    alertmanager_config: Path | None,
) -> None:
    """Run the alerting rules over the past and print what would have fired.

    When, for how long, at which severity, and how many messages each receiver would have got.
    Calibrated thresholds are of the config's file or the store, else of the past before --from.
    Needs prometheus and promtool, which evaluate the rules; nothing is sent to anybody. With a
    --step above a model's interval the rules are made for runs so far apart: what drifts for less
    than two of them is not seen.
    """
    from drift_exporter.replaying import compare, render

    now = time.time()
    start, end = span_of(since, until, now)
    with errors_end_here():
        outcomes = [
            _outcome(
                path,
                model,
                history,
                (start, end, now),
                step_of(step),
                rule_file,
                alertmanager_config,
            )
            for path in (config_file, against)
            if path is not None
        ]
    for place, (thresholds, outcome) in enumerate(outcomes):
        if place:
            click.echo(f"\n{against}\n")
        click.echo("\n".join(thresholds))
        click.echo(render(outcome), nl=False)
    if len(outcomes) > 1:
        click.echo()
        click.echo(compare(*(outcome for _, outcome in outcomes)), nl=False)


def _outcome(
    config_file: Path,
    model: str | None,
    history: str,
    span: tuple[int, int, float],
    step_seconds: int | None,
    rule_file: Path | None,
    alertmanager_config: Path | None,
) -> "tuple[list[str], Outcome]":
    from drift_exporter.app import load_config, store_url
    from drift_exporter.calibration.past_jobs import Look, past_to_judge
    from drift_exporter.config_file import dump_yaml, load_yaml
    from drift_exporter.cron import longest_gap_seconds
    from drift_exporter.replaying import replay as replayed
    from drift_exporter.rules import example_config, generate

    start, end, now = span
    config = load_config(config_file, os.environ)
    paces = {m.name: longest_gap_seconds(m.cron or m.interval.seconds) for m in config.watched}
    if rule_file is not None:
        _check_step(chosen_models(config, model), paces, step_seconds)
    alerting = load_yaml(alertmanager_config or example_config())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="drift-exporter-")))
        look = Look(config, folder, now, history_url(history, store_url(config)))
        pasts = []
        for found in chosen_models(config, model):
            past = stack.enter_context(
                past_to_judge(look, found, start, end, step_seconds, work_progress)
            )
            for note in past.notes:
                click.echo(note, err=True)
            pasts.append(past)
            paces[found.name] = past.pace_seconds
        rules = (
            rule_file.read_text(encoding="utf-8")
            if rule_file is not None
            else generate(config, dump_yaml, interval_of=lambda m: paces[m.name])
        )
        told = stack.enter_context(work_progress("replay"))
        merged = (
            run
            for run in heapq.merge(*(past.runs() for past in pasts), key=lambda run: run[0])
            if told((run[0] - start) / (end - start)) is None
        )
        outcome = replayed(merged, rules, alerting, folder / "prometheus")  # type: ignore[arg-type]
        return [past.thresholds for past in pasts], outcome


def _check_step(
    models: list[ModelConfig], intervals: Mapping[str, float], step_seconds: int | None
) -> None:
    """Refuse a step that rules of one's own do not wait for: one run would do for an alert."""
    for model in models:
        if step_seconds is not None and step_seconds > intervals[model.name]:
            raise ReplayError(
                f"model {model.name!r}: --step is above its interval of "
                f"{duration_of(intervals[model.name])}, for which the rules of --rules wait; "
                "leave one of the two options out"
            )
