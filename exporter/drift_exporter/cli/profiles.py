"""profile build, show and diff: the reference as bins and counts."""

import os
import time
from pathlib import Path

import click

from drift_exporter.cli.options import (
    CONFIG_FILE,
    MODEL,
    chosen_models,
    errors_end_here,
    profile_progress,
)
from drift_exporter.cli.serve import main


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
    from drift_exporter.profiles import existing_profile, profile_path

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
    from drift_exporter.profiles import existing_profile

    with errors_end_here():
        click.echo(difference(existing_profile(old), existing_profile(new)), nl=False)
