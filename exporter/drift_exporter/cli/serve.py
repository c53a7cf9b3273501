"""The command without a name: serve. And the checks of a config and of a running exporter."""

import os
import platform
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from drift_exporter import __version__, logs
from drift_exporter.cli.options import (
    CONFIG_FILE,
    EXIT_FAILED,
    errors_end_here,
    option,
    profile_progress,
)
from drift_exporter.config_file import STORAGE_PATH

EPILOG = """\
\b
Exit codes: 0 fine, 1 config, profile, store or address cannot be used,
2 wrong arguments, 3 a run failed, 4 drift at the severity of --fail-on.
Every option can be set by an environment variable: --web.listen-address is
DRIFT_EXPORTER_WEB_LISTEN_ADDRESS.
--config.file and --storage.path count for a command that they are given before.
"""


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@CONFIG_FILE
@option("--config.check", is_flag=True, show_default=False, help="Check the config and exit.")
@option(
    "--config.enable-auto-reload",
    is_flag=True,
    show_default=False,
    help="Reload the config when its file changes, besides SIGHUP and POST /-/reload.",
)
@option(
    "--config.auto-reload-interval",
    default="30s",
    help="How often the file is looked at.",
)
@option(
    "--web.listen-address",
    multiple=True,
    default=(":10033",),
    help="Address to listen on, repeatable: ':10033', '127.0.0.1:10033', '[::1]:10033'.",
)
@option("--web.telemetry-path", default="/metrics", help="Path of the metrics.")
@option(
    "--web.config.file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="TLS and authentication, the web config file of exporter-toolkit.",
)
@option("--web.route-prefix", default="", help="Prefix of all paths, behind a proxy.")
@option("--web.external-url", default="", help="URL under which people reach the exporter.")
@option(
    "--storage.path",
    type=click.Path(file_okay=False),
    default=None,
    help="Folder for the store and the profiles, of commands too; stronger than data_dir.",
)
@option("--shard", default="0/1", help="I/N: only models whose name's hash is I modulo N.")
@option(
    "--log.level",
    type=click.Choice(["debug", "info", "warn", "error"]),
    default="info",
    help="Least severity that is logged.",
)
@option(
    "--log.format",
    type=click.Choice(["logfmt", "json"]),
    default="logfmt",
    help="Format of the log, which goes to stderr.",
)
@click.version_option(
    __version__,
    message=f"drift-exporter, version %(version)s (Python {platform.python_version()})",
)
@click.pass_context
def main(context: click.Context, /, **options: Any) -> None:
    """Export the drift of machine-learning models to Prometheus.

    Without a command it serves: it runs every model of the config file on its schedule and
    exposes the scores on /metrics. SIGHUP reloads the config, SIGTERM ends it.
    """
    logs.setup(options["log_level"], options["log_format"])
    context.obj = options
    context.with_resource(_moved(options["storage_path"]))
    if context.invoked_subcommand is not None:
        if context.get_parameter_source("config_file") is not ParameterSource.DEFAULT:
            # Given before the command, it is meant for the command.
            context.default_map = _defaults(main, {"config_file": options["config_file"]})
        return
    if options["config_check"]:
        with errors_end_here():
            _check_config(options["config_file"])
        return
    with errors_end_here():
        _serve(options)


def _defaults(group: click.Group, values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _defaults(command, values) if isinstance(command, click.Group) else values
        for name, command in group.commands.items()
    }


def _serve(options: dict[str, Any]) -> None:
    from drift_exporter.app import App, Options
    from drift_exporter.config import parse_duration

    auto = options["config_enable_auto_reload"]
    app = App(
        Options(
            config_file=options["config_file"],
            listen_addresses=tuple(options["web_listen_address"]),
            web_config_file=options["web_config_file"],
            telemetry_path=options["web_telemetry_path"],
            route_prefix=options["web_route_prefix"],
            external_url=options["web_external_url"],
            shard=_shard(options["shard"]),
            auto_reload_seconds=(
                parse_duration(options["config_auto_reload_interval"]).seconds if auto else None
            ),
        ),
        os.environ,
        progress=profile_progress,
    )
    signal.signal(signal.SIGTERM, lambda *_: app.stop_soon())
    signal.signal(signal.SIGINT, lambda *_: app.stop_soon())
    signal.signal(signal.SIGHUP, lambda *_: app.reload_soon())
    try:
        app.start()
        app.wait()
    finally:
        app.stop()


@contextmanager
def _moved(storage: str | None) -> Iterator[None]:
    """Have every config be loaded with this folder, by commands too; None leaves all as it is."""
    before = os.environ.get(STORAGE_PATH)
    os.environ.update({STORAGE_PATH: storage} if storage else {})
    try:
        yield
    finally:
        os.environ.pop(STORAGE_PATH, None)
        os.environ.update({STORAGE_PATH: before} if before is not None else {})


def _shard(text: str) -> tuple[int, int]:
    mine, _, shards = text.partition("/")
    if not (mine.isdigit() and shards.isdigit() and int(mine) < int(shards)):
        raise click.BadParameter(
            f"found {text!r}, expected I/N with I below N, such as 0/2", param_hint="--shard"
        )
    return int(mine), int(shards)


def _check_config(path: Path) -> None:
    from drift_exporter.app import load_config

    config = load_config(path, os.environ)
    names = ", ".join(model.name for model in config.models)
    click.echo(f"{path}: fine, {len(config.models)} model(s): {names}")


@main.command("check-config")
@CONFIG_FILE
def check_config(config_file: Path) -> None:
    """Check the config file and print every error with its place."""
    with errors_end_here():
        _check_config(config_file)


@main.command()
@click.option("--url", default="http://127.0.0.1:10033", show_default=True, help="The exporter.")
def healthcheck(url: str) -> None:
    """Ask a running exporter whether it is healthy; for a container's health check."""
    try:
        with urllib.request.urlopen(f"{url}/-/healthy", timeout=5) as answer:  # noqa: S310
            click.echo(answer.read().decode().strip())
    except urllib.error.HTTPError as error:
        # An exporter that asks for a password is up.
        if error.code != 401:
            click.echo(f"error: {url} answered {error.code}", err=True)
            sys.exit(EXIT_FAILED)
    except OSError as error:
        click.echo(f"error: {url} does not answer ({error})", err=True)
        sys.exit(EXIT_FAILED)
