"""rules: Prometheus rules from the config, and the example config of Alertmanager."""

import os
from pathlib import Path

import click

from drift_exporter.cli.options import CONFIG_FILE, errors_end_here
from drift_exporter.cli.serve import main
from drift_exporter.rules import Options
from drift_exporter.whole_file import whole_file

DEFAULTS = Options()


@main.command()
@CONFIG_FILE
@click.option(
    "--default",
    "any_model",
    is_flag=True,
    help="Rules for any models of the default interval, without a config: alert_rules/.",
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["prometheus", "kubernetes"]),
    default="prometheus",
    show_default=True,
    help="A rule file, or a PrometheusRule object of the operator.",
)
@click.option(
    "--dashboards-url", default=DEFAULTS.dashboards_url, show_default=True, help="Grafana's root."
)
@click.option(
    "--runbooks-url", default=DEFAULTS.runbooks_url, show_default=True, help="Folder of <Alert>.md."
)
@click.option(
    "--exporter-url",
    default=None,
    help="The exporter's root as people reach it, for links to incidents; by default "
    "response.public_url of the config.",
)
@click.option(
    "--job", default=DEFAULTS.exporter_job, show_default=True, help="Job of the scrape config."
)
@click.option("--watchdog", is_flag=True, help="Add an alert that always fires.")
@click.option(
    "--alertmanager-folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Also write the example config of Alertmanager and its templates into this folder.",
)
def rules(
    config_file: Path,
    any_model: bool,
    shape: str,
    dashboards_url: str,
    runbooks_url: str,
    exporter_url: str | None,
    job: str,
    watchdog: bool,
    alertmanager_folder: Path | None,
) -> None:
    """Print recording and alerting rules that fit the config.

    How patient an alert is follows the interval of the model's runs; which score is too high
    is the exporter's own series, so no threshold stands in a rule.
    """
    from drift_exporter.app import load_config
    from drift_exporter.config_file import dump_yaml
    from drift_exporter.cron import longest_gap_seconds
    from drift_exporter.rules import example_files, generate, prometheus_rule

    with errors_end_here():
        config = None if any_model else load_config(config_file, os.environ)
    write = generate if shape == "prometheus" else prometheus_rule
    if exporter_url is None:
        exporter_url = config.response.public_url if config else ""
    text = write(
        config,
        dump_yaml,
        Options(dashboards_url, runbooks_url, job, exporter_url, watchdog),
        interval_of=lambda model: longest_gap_seconds(model.cron or model.interval.seconds),
    )
    click.echo(text, nl=False)
    if alertmanager_folder is not None:
        with errors_end_here():
            alertmanager_folder.mkdir(parents=True, exist_ok=True)
            for name, content in example_files().items():
                with whole_file(alertmanager_folder / name) as file:
                    file.write(content.encode())
