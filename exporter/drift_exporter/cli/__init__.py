"""Command line: arguments, exit codes, progress."""

from drift_exporter.cli import calibrate, demo, once, profiles, rules
from drift_exporter.cli.serve import main

__all__ = ["calibrate", "demo", "main", "once", "profiles", "rules"]
