"""What the commands share: options, errors that end a command, the choice of models, progress.

Exit codes: 0 fine; 1 the config, a profile, the store or an address cannot be used; 2 wrong
arguments; 3 a run failed; 4 drift at the severity of ``--fail-on``.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from drift_exporter.config import Config, ModelConfig, parse_duration, parse_moment
from drift_exporter.errors import ConfigError, DriftExporterError
from drift_exporter.whole_file import WriteError

Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_FAILED = 1
EXIT_RUN_FAILED = 3
EXIT_DRIFT = 4


def option(name: str, **settings: Any) -> Callable[[Command], Command]:
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


CONFIG_FILE = option(
    "--config.file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("drift.yml"),
    help="Config file, see docs/config.md.",
)
HISTORY = click.option(
    "--history",
    type=click.Choice(["source", "store"]),
    default="source",
    show_default=True,
    help="Where the past comes from: counted anew from the source, or what the exporter has kept.",
)
SINCE = click.option("--from", "since", required=True, help="Begin of the past span (ISO 8601).")
UNTIL = click.option("--to", "until", default=None, help="Its end (ISO 8601), by default now.")
STEP = click.option(
    "--step",
    default=None,
    help="From run to run, such as 1h; by default the model's own pace. A wider one is quicker: "
    "the model is looked at as if that were its interval.",
)
MODEL = click.option("--model", default=None, help="Only this model of the config.")


@contextlib.contextmanager
def errors_end_here() -> Iterator[None]:
    """Turn every named failure, and a file that cannot be used, into a message and exit code 1."""
    try:
        yield
    except DriftExporterError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except BrokenPipeError:
        # Whoever reads has enough; click ends quietly.
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        done = "written" if isinstance(error, WriteError) else "read or written"
        click.echo(f"error: {where}cannot be {done} ({error.strerror or error})", err=True)
        sys.exit(EXIT_FAILED)


def chosen_models(config: Config, name: str | None) -> list[ModelConfig]:
    """The models of a config, or the one that is named."""
    models = [model for model in config.watched if name in (None, model.name)]
    if not models:
        known = ", ".join(model.name for model in config.watched)
        raise ConfigError(f"no model is called {name!r}; the config has: {known}")
    return models


def profile_progress(model: str) -> Any:
    """Progress of one profile: a bar on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        return lambda _: None
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("profile of {task.description}"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(model, total=1.0)
    bar.start()

    def told(share: float) -> None:
        bar.update(task, completed=share)
        if share >= 1.0:
            bar.stop()

    return told


@contextlib.contextmanager
def work_progress(what: str) -> Iterator[Callable[[float], None]]:
    """Progress of long work: a bar on a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda share: bar.update(task, completed=share)


def history_url(history: str, store: str) -> str | None:
    """The store's URL where the past comes from it."""
    return store if history == "store" else None


def moment_of(text: str, hint: str) -> float:
    """Seconds since the epoch of a date or time that an argument gives."""
    try:
        return parse_moment(text).timestamp()
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=hint) from error


def span_of(since: str, until: str | None, newest: float) -> tuple[int, int]:
    """Begin and end of a past span in seconds since the epoch, up to a time where none is named."""
    start = int(moment_of(since, "--from"))
    end = int(moment_of(until, "--to") if until else newest)
    if start >= end:
        default = "" if until else f", which is {datetime.fromtimestamp(end, UTC):%Y-%m-%dT%H:%MZ}"
        raise click.BadParameter(
            f"found {since!r}, expected a time before --to{default}", param_hint="--from"
        )
    return start, end


def step_of(text: str | None) -> int | None:
    """Seconds from run to run, where the argument gives them."""
    if text is None:
        return None
    try:
        seconds = int(parse_duration(text).seconds)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--step") from error
    if seconds < 1:
        raise click.BadParameter(f"found {text!r}, expected at least 1s", param_hint="--step")
    return seconds
