"""Incidents: what they are made of, and how alerts and people move them.

Pure: values in, values out. Knows states and transitions; knows no store, clock or webhook.
"""

from drift_exporter.incident.alerts import (
    LATE_SECONDS,
    REOPEN_AFTER_SECONDS,
    Received,
    cause_of,
    fires_again,
    receive,
    severity_of,
)
from drift_exporter.incident.known import Known, Others
from drift_exporter.incident.moves import (
    MOVES,
    acknowledge,
    close,
    mitigate,
    note,
    possible,
    resolve,
)
from drift_exporter.incident.values import (
    ACTIVE,
    ALERT_NAMES,
    ALERTMANAGER,
    FAULTY,
    OUTDATED,
    SEVERITIES,
    Action,
    ActionState,
    Alert,
    Approval,
    Cause,
    Incident,
    IncidentState,
    Step,
    analysis_digest,
)

__all__ = [
    "ACTIVE",
    "ALERTMANAGER",
    "ALERT_NAMES",
    "Action",
    "ActionState",
    "Alert",
    "Approval",
    "Cause",
    "FAULTY",
    "Incident",
    "Known",
    "LATE_SECONDS",
    "MOVES",
    "OUTDATED",
    "Others",
    "REOPEN_AFTER_SECONDS",
    "Received",
    "SEVERITIES",
    "IncidentState",
    "Step",
    "acknowledge",
    "analysis_digest",
    "cause_of",
    "close",
    "fires_again",
    "mitigate",
    "note",
    "possible",
    "receive",
    "resolve",
    "severity_of",
]
