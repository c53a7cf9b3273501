"""Reports: what was monitored, what happened, what was done about it, and whether that is proven.

Knows store, config and incidents; never a web page, a command or a clock.
"""

from drift_exporter.reporting.facts import CaseReport, SpanReport
from drift_exporter.reporting.gathering import facts
from drift_exporter.reporting.proof import held
from drift_exporter.reporting.rendering import (
    FORMATS,
    MEDIA_TYPES,
    Format,
    render,
    report,
)

__all__ = [
    "FORMATS",
    "MEDIA_TYPES",
    "CaseReport",
    "Format",
    "SpanReport",
    "facts",
    "held",
    "render",
    "report",
]
