"""profile build, show, diff and promote: the reference as bins and counts."""

import os
import pwd
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drift_exporter.cli.asking import AskingError, asking, exporter_of, part, shown
from drift_exporter.cli.options import (
    CONFIG_FILE,
    MODEL,
    chosen_models,
    errors_end_here,
    profile_progress,
)
from drift_exporter.cli.serve import main
from drift_exporter.errors import ConfigError, ProfileError

if TYPE_CHECKING:
    from drift_exporter.cli.asking import Exporter
    from drift_exporter.config import ModelConfig
    from drift_exporter.profile import Profile


@main.group()
def profile() -> None:
    """Build, show, compare and promote profiles: the reference as bins and counts."""


@profile.command("build")
@CONFIG_FILE
@MODEL
@click.option("--output", type=click.Path(path_type=Path), default=None, help="File to write.")
def profile_build(config_file: Path, model: str | None, output: Path | None) -> None:
    """Read the reference and write the profile, over an older one too."""
    from drift_exporter.config_file import load
    from drift_exporter.profiles.current import make_profile, profile_path
    from drift_exporter.profiles.files import write_profile

    with errors_end_here():
        config = load(config_file, os.environ)
        chosen = chosen_models(config, model)
        if output is not None and len(chosen) > 1:
            raise click.UsageError("--output takes one profile; choose it with --model")
        for found in chosen:
            built = make_profile(found, time.time(), profile_progress(found.name))
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
    from drift_exporter.profiles.current import existing_profile, profile_path

    with errors_end_here():
        if file is not None:
            click.echo(shown(existing_profile(file)), nl=False)
            return
        config = load(config_file, os.environ)
        for found in chosen_models(config, model):
            click.echo(shown(existing_profile(profile_path(config, found))), nl=False)


@profile.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
def profile_diff(old: Path, new: Path) -> None:
    """Compare two profiles: columns, bins, and how far the counts lie apart."""
    from drift_exporter.profile_text import difference
    from drift_exporter.profiles.current import existing_profile

    with errors_end_here():
        click.echo(difference(existing_profile(old), existing_profile(new)), nl=False)


@profile.command("promote")
@CONFIG_FILE
@asking
@click.option("--model", required=True, help="The model that goes on with it.")
@click.option(
    "--profile",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="The new profile; by default the one that is in place, with a new version of the model.",
)
@click.option(
    "--version",
    "version",
    required=True,
    help="Version of the model from now on, as the config has it.",
)
@click.option("--reason", required=True, help="Why; for the incident and the audit log.")
def profile_promote(
    config_file: Path,
    url: str,
    token_file: Path | None,
    model: str,
    file: Path | None,
    version: str,
    reason: str,
) -> None:
    """Put a new profile into its place, and tell the exporter.

    The old profile is kept beside it, named by its hash. The exporter links the model's open
    drift incident to the new version and profile, writes both to the audit log, and is quiet on
    the model's drift for response.quiet_after_promotion. Where no exporter runs, it does so at
    its next start. An exporter that was started with --storage.path needs the same one given
    before this command.

    Where the exporter has noticed the new version before, as the config has it, who promoted it
    and why are added.
    """
    from drift_exporter.config_file import load
    from drift_exporter.profiles.current import existing_profile, profile_path
    from drift_exporter.profiles.promotion_notes import Note, promote

    with errors_end_here():
        exporter = exporter_of(url, token_file)
        config = load(config_file, os.environ)
        (found,) = chosen_models(config, model)
        path = profile_path(config, found)
        new = existing_profile(file or path)
        _check_promotion(found, new, version)
        note = Note(new.hash, version, reason, _user(), time.time())
        kept = promote(path, new, note)
        click.echo(f"{path}: profile {new.hash}, version {version}")
        if kept is not None:
            click.echo(f"{kept}: the profile before it")
        if _reload(exporter):
            click.echo(f"{url}: {_in_force(exporter, model, new)}")


def _reload(exporter: "Exporter") -> bool:
    """Have a running exporter take the profile up; whether one runs."""
    try:
        exporter.text("/-/reload", method="POST")
    except AskingError as error:
        if error.code is None:
            click.echo(f"{error}; it takes the profile up when it starts", err=True)
            return False
        raise AskingError(
            f"the profile is in place, but the exporter has not taken it up ({error}); "
            "restart it, or give the command again"
        ) from error
    return True


def _in_force(exporter: "Exporter", model: str, profile: "Profile") -> str:
    """What can be said of an exporter after its reload.

    Raises
    ------
    AskingError
        If it goes on with another profile, or knows no such model.
    """
    try:
        found = exporter.document(f"/api/v1/models/{part(model)}")
    except AskingError as error:
        if error.code in (401, 403):
            return "reloaded"
        raise AskingError(
            f"the profile is in place, and the exporter was reloaded, but does not tell of model "
            f"{model!r} ({error})"
        ) from error
    running = found.get("reference_hash") if isinstance(found, dict) else None
    if running == "":
        return "reloaded; it has no profile in force before the model's next run"
    if running != profile.hash:
        raise AskingError(
            f"the exporter runs with profile {shown(running) or 'none'}, not {profile.hash}: is "
            "--storage.path the same, or data_dir? Its log may say more"
        )
    return "told"


def _check_promotion(model: "ModelConfig", profile: "Profile", version: str) -> None:
    from drift_exporter.reading.profile_builder import settings_hash

    if profile.model != model.name:
        raise ProfileError(
            f"the profile is of model {profile.model!r}, not of {model.name!r}; build one with "
            "'drift-exporter profile build'"
        )
    if profile.settings != settings_hash(model):
        raise ProfileError(
            f"the profile of model {model.name!r} was built with other settings than the config "
            "has; build it anew with 'drift-exporter profile build --output'"
        )
    if model.version not in ("", version):
        raise ConfigError(
            f"model {model.name!r} has version {model.version!r} in the config, {version!r} is to "
            f"be promoted; write 'version: \"{version}\"' there first, or leave it out"
        )


def _user() -> str:
    """Who gives the command, as the system knows: the environment may say anything."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        # A container's user need not have a name.
        return f"uid {os.getuid()}"
