"""Config to Prometheus rules: recorded scores, alerts, and the files that Alertmanager needs.

Knows which rule watches what and how its patience follows a model's interval; knows no
threshold (thresholds are series that the exporter exposes).
"""

from drift_exporter.rules.generate import Options, generate, prometheus_rule
from drift_exporter.rules.recording import Limits
from drift_exporter.rules.routing import Trial, example_config, example_files, write_trial

__all__ = [
    "Limits",
    "Options",
    "Trial",
    "example_config",
    "example_files",
    "generate",
    "prometheus_rule",
    "write_trial",
]
