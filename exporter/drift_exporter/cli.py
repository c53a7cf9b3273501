"""Command line: arguments, exit codes, progress.

Exit codes: 0 fine; 1 the config, a profile, the store or an address cannot be used; 2 wrong
arguments; 3 a run failed; 4 drift at the severity of ``--fail-on``.
"""

import contextlib
import os
import platform
import signal
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from drift_exporter import __version__

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_FAILED = 1
EXIT_RUN_FAILED = 3
EXIT_DRIFT = 4

EPILOG = """\
\b
Exit codes: 0 fine, 1 config, profile, store or address cannot be used,
2 wrong arguments, 3 a run failed, 4 drift at the severity of --fail-on.
Every option can be set by an environment variable: --web.listen-address is
DRIFT_EXPORTER_WEB_LISTEN_ADDRESS.
"""


def _option(name: str, **settings: Any) -> Callable[[Command], Command]:
    """An option as exporter-toolkit writes it, with its environment variable."""
    plain = name.lstrip("-").replace(".", "_").replace("-", "_")
    return click.option(
        name,
        plain,
        envvar=f"DRIFT_EXPORTER_{plain.upper()}",
        show_envvar=False,
        show_default=settings.pop("show_default", True),
        **settings,
    )


CONFIG_FILE = _option(
    "--config.file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("drift.yml"),
    help="Config file, see docs/config.md.",
)
MODEL = click.option("--model", default=None, help="Only this model of the config.")


@contextlib.contextmanager
def _errors_end_here() -> Iterator[None]:
    """Turn every named failure into a message and exit code 1."""
    from drift_exporter.errors import DriftExporterError

    try:
        yield
    except DriftExporterError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_FAILED)


@click.group(
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)
@CONFIG_FILE
@_option("--config.check", is_flag=True, show_default=False, help="Check the config and exit.")
@_option(
    "--config.enable-auto-reload",
    is_flag=True,
    show_default=False,
    help="Reload the config when its file changes, besides SIGHUP and POST /-/reload.",
)
@_option(
    "--config.auto-reload-interval",
    default="30s",
    help="How often the file is looked at.",
)
@_option(
    "--web.listen-address",
    multiple=True,
    default=(":10033",),
    help="Address to listen on, repeatable: ':10033', '127.0.0.1:10033', '[::1]:10033'.",
)
@_option("--web.telemetry-path", default="/metrics", help="Path of the metrics.")
@_option(
    "--web.config.file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="TLS and authentication, the web config file of exporter-toolkit.",
)
@_option("--web.route-prefix", default="", help="Prefix of all paths, behind a proxy.")
@_option("--web.external-url", default="", help="URL under which people reach the exporter.")
@_option("--shard", default="0/1", help="I/N: only models whose name's hash is I modulo N.")
@_option(
    "--log.level",
    type=click.Choice(["debug", "info", "warn", "error"]),
    default="info",
    help="Least severity that is logged.",
)
@_option(
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
    from drift_exporter import logs

    logs.setup(options["log_level"], options["log_format"])
    context.obj = options
    if context.invoked_subcommand is not None:
        return
    if options["config_check"]:
        with _errors_end_here():
            _check_config(options["config_file"])
        return
    with _errors_end_here():
        _serve(options)


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
        progress=_profile_progress,
    )
    signal.signal(signal.SIGTERM, lambda *_: app.stop_soon())
    signal.signal(signal.SIGINT, lambda *_: app.stop_soon())
    signal.signal(signal.SIGHUP, lambda *_: app.reload_soon())
    try:
        app.start()
        app.wait()
    finally:
        app.stop()


def _shard(text: str) -> tuple[int, int]:
    mine, _, shards = text.partition("/")
    if not (mine.isdigit() and shards.isdigit() and int(mine) < int(shards)):
        raise click.BadParameter(
            f"found {text!r}, expected I/N with I below N, such as 0/2", param_hint="--shard"
        )
    return int(mine), int(shards)


def _profile_progress(model: str) -> Any:
    """Progress of one profile: a bar on a terminal, silence elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("profile of {task.description}"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(model, total=1.0)
    bar.start()

    def told(share: float) -> None:
        bar.update(task, completed=share)
        if share >= 1.0:
            bar.stop()

    return told


def _check_config(path: Path) -> None:
    from drift_exporter.app import load_config

    config = load_config(path, os.environ)
    names = ", ".join(model.name for model in config.models)
    click.echo(f"{path}: fine, {len(config.models)} model(s): {names}")


@main.command("check-config")
@CONFIG_FILE
def check_config(config_file: Path) -> None:
    """Check the config file and print every error with its place."""
    with _errors_end_here():
        _check_config(config_file)


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

    with _errors_end_here():
        config = load(config_file, os.environ)
        at = _moment(moment)
        with tempfile.TemporaryDirectory(prefix="drift-exporter-") as folder:
            text, snapshots = once.run_all(
                config, folder, _chosen(config, model), at, _profile_progress
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


def _chosen(config: Any, name: str | None) -> list[Any]:
    from drift_exporter.errors import ConfigError

    models = [model for model in config.models if name in (None, model.name)]
    if not models:
        known = ", ".join(model.name for model in config.models)
        raise ConfigError(f"no model is called {name!r}; the config has: {known}")
    return models


@main.group()
def profile() -> None:
    """Build, show and compare profiles: the reference as bins and counts."""


@profile.command("build")
@CONFIG_FILE
@MODEL
@click.option("--output", type=click.Path(path_type=Path), default=None, help="File to write.")
def profile_build(config_file: Path, model: str | None, output: Path | None) -> None:
    """Read the reference and write the profile, over an older one too."""
    from drift_exporter.config_file import load
    from drift_exporter.profile_files import write_profile
    from drift_exporter.profiles import make_profile, profile_path

    with _errors_end_here():
        config = load(config_file, os.environ)
        chosen = _chosen(config, model)
        if output is not None and len(chosen) > 1:
            raise click.UsageError("--output takes one profile; choose it with --model")
        for found in chosen:
            built = make_profile(found, time.time(), _profile_progress(found.name))
            path = output or profile_path(config, found)
            write_profile(path, built)
            click.echo(
                f"{path}: {built.rows} rows, {len(built.features)} columns, hash {built.hash}"
            )


@profile.command("show")
@CONFIG_FILE
@MODEL
@click.argument("file", type=click.Path(path_type=Path), required=False)
def profile_show(config_file: Path, model: str | None, file: Path | None) -> None:
    """Show a profile: each column's kind and why, its bins, and what was left out."""
    from drift_exporter.config_file import load
    from drift_exporter.profile_text import shown
    from drift_exporter.profiles import existing_profile, profile_path

    with _errors_end_here():
        if file is not None:
            click.echo(shown(existing_profile(file)), nl=False)
            return
        config = load(config_file, os.environ)
        for found in _chosen(config, model):
            click.echo(shown(existing_profile(profile_path(config, found))), nl=False)


@profile.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def profile_diff(old: Path, new: Path) -> None:
    """Compare two profiles: columns, bins, and how far the counts lie apart."""
    from drift_exporter.profile_text import difference
    from drift_exporter.profiles import existing_profile

    with _errors_end_here():
        click.echo(difference(existing_profile(old), existing_profile(new)), nl=False)


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
