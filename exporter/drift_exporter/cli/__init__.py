"""Command line: arguments, exit codes, progress."""

from drift_exporter.cli import demo, once, profiles
from drift_exporter.cli.serve import main

__all__ = ["demo", "main", "once", "profiles"]
