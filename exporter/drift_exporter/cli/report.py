"""report: what was monitored, what happened, what was done, and whether the records are whole."""

import time
from pathlib import Path

import click

from drift_exporter.cli.asking import asking, exporter_of
from drift_exporter.cli.copies import copied_store
from drift_exporter.cli.options import (
    CONFIG_FILE,
    errors_end_here,
    moment_of,
    span_of,
)
from drift_exporter.cli.serve import main
from drift_exporter.whole_file import whole_file

_PAST_SECONDS = 30 * 86400


@main.command()
@CONFIG_FILE
@asking
@click.option(
    "--incident", type=click.IntRange(min=1), default=None, help="The report of one incident."
)
@click.option("--from", "since", default=None, help="Begin (ISO 8601), by default 30 days ago.")
@click.option("--to", "until", default=None, help="End (ISO 8601), by default now.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "html", "json"]),
    default="markdown",
    show_default=True,
    help="HTML has pictures and needs nothing but itself.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="File to write; by default all goes to stdout.",
)
@click.option(
    "--history",
    type=click.Choice(["exporter", "store"]),
    default="exporter",
    show_default=True,
    help="From a running exporter, or from a copy of the store that the config names.",
)
def report(
    config_file: Path,
    url: str,
    token_file: Path | None,
    incident: int | None,
    since: str | None,
    until: str | None,
    form: str,
    output: Path | None,
    history: str,
) -> None:
    """Write the report of a span or of an incident.

    It tells how each model is monitored, with its thresholds and where they come from; incidents,
    what was done about them and how fast; gaps in monitoring; changes; and whether the audit log
    is as it was written. See docs/compliance.md.
    """
    if incident is not None and (since or until):
        raise click.UsageError("--incident has its own span; leave out --from and --to")
    now = time.time()
    start, end = _span(since, until, now)
    with errors_end_here():
        if history == "exporter":
            exporter = exporter_of(url, token_file)
            if incident is not None:
                text = exporter.text(f"/api/v1/incidents/{incident}/report", format=form)
            else:
                text = exporter.text("/api/v1/report", since=start, until=end, format=form)
        else:
            text = _from_store(config_file, (start, end, now), incident, form)
        _write(output, text)


def _span(since: str | None, until: str | None, now: float) -> tuple[int, int]:
    if since is not None:
        return span_of(since, until, now)
    end = int(moment_of(until, "--to") if until else now)
    return end - _PAST_SECONDS, end


def _from_store(
    config_file: Path, span: tuple[int, int, float], incident: int | None, form: str
) -> str:
    from drift_exporter.reporting import FORMATS
    from drift_exporter.reporting import report as reported

    start, end, now = span
    kind = next(each for each in FORMATS if each == form)
    with copied_store(config_file, "reader of a report") as (config, store):
        return reported(
            store,
            config,
            since=start,
            until=end,
            now=now,
            incident_id=incident,
            format=kind,
        )


def _write(output: Path | None, text: str) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    # As the audit log's: for its owner alone.
    with whole_file(output, mode=0o600) as file:
        file.write(text.encode())
    click.echo(f"{output}: written")
