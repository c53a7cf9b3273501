"""Generates ``docs/cli.md`` from the commands.

``python -m drift_exporter.papers.cli_docs [folder]`` writes it; a test holds the committed file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from drift_exporter.cli import main

HEAD = """\
# Command line

Generated from the code by `make docs`; commands, options and exit codes are public API.
"""


def markdown() -> str:
    """Write the paper of all commands."""
    return "\n".join([HEAD, *_pages(main, "drift-exporter", None)])


def _pages(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=96,
        # Of a parent they are inherited.
        help_option_names=command.context_settings.get("help_option_names"),
    )
    yield f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for child, found in sorted(command.commands.items()):
            yield from _pages(found, child, context)


def write(folder: Path) -> None:
    """Write the paper into a folder."""
    (folder / "cli.md").write_text(markdown(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
