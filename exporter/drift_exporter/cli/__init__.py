"""Command line: arguments, exit codes, progress."""

from drift_exporter.cli import (
    audit,
    backfill,
    calibrate,
    demo,
    incidents,
    once,
    profiles,
    replay,
    report,
    rules,
)
from drift_exporter.cli.serve import main

__all__ = [
    "audit",
    "backfill",
    "calibrate",
    "demo",
    "incidents",
    "main",
    "once",
    "profiles",
    "replay",
    "report",
    "rules",
]
