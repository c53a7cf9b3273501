"""What the shipped rules would have told of a past span, before anybody is told.

PromQL is evaluated by Prometheus itself, on series that are written into one of our own; ``for``
and Alertmanager's grouping are ours, and tests hold them equal to the real programs. Counters of
the exporter's process are not in a snapshot, so only alerts about models are in question.
"""

from drift_exporter.replaying.messages import Episode, Message
from drift_exporter.replaying.outcome import Outcome, compare, render
from drift_exporter.replaying.past import replay
from drift_exporter.replaying.series import openmetrics, openmetrics_files

__all__ = [
    "Episode",
    "Message",
    "Outcome",
    "compare",
    "openmetrics",
    "openmetrics_files",
    "render",
    "replay",
]
