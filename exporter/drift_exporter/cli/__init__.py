"""Command line: arguments, exit codes, progress."""

from drift_exporter.cli import demo, once, profiles, rules
from drift_exporter.cli.serve import main

__all__ = ["demo", "main", "once", "profiles", "rules"]
