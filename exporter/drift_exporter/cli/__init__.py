"""Command line: arguments, exit codes, progress."""

from drift_exporter.cli import backfill, calibrate, demo, once, profiles, replay, rules
from drift_exporter.cli.serve import main

__all__ = ["backfill", "calibrate", "demo", "main", "once", "profiles", "replay", "rules"]
