"""What incidents are made of: alerts, steps, actions, approvals, and the incident itself."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

ALERTMANAGER = "alertmanager"
"""The actor of what alerts do."""

SEVERITIES = ("info", "warning", "critical")
"""From the least to the gravest; an alert with any other severity counts as ``warning``."""


class IncidentState(StrEnum):
    """How far an incident has come."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATING = "mitigating"
    RESOLVED = "resolved"
    CLOSED = "closed"


ACTIVE = frozenset({IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.MITIGATING})
"""States of an incident that goes on."""


ALERT_NAMES = "alert_names"
"""Key of an analysis: names of the alerts that the incident had when it was analysed."""

OUTDATED = "outdated"
"""Key of an analysis: there once something happened that it knows nothing of."""


FAULTY = "data_quality_before"
"""Key of an analysis: there if an earlier one of the incident found data of bad quality."""


class Cause(StrEnum):
    """What an incident is about: the data, the monitoring of it, or upkeep that is due."""

    DRIFT = "drift"
    MONITORING = "monitoring"
    UPKEEP = "upkeep"


class ActionState(StrEnum):
    """How far an action has come."""

    PROPOSED = "proposed"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Alert:
    """One alert from its start to its end, as Alertmanager tells it."""

    fingerprint: str
    name: str
    model: str
    """Empty where the alert names none."""

    status: Literal["firing", "resolved"]
    severity: str
    starts_at: float
    ends_at: float | None = None
    """Seconds since the epoch, as all times here; None while it fires."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, float]:
        """What tells it from all other alerts, earlier ones of the same labels too."""
        return self.fingerprint, self.starts_at


@dataclass(frozen=True)
class Incident:
    """What is wrong with a model for one cause, from the first alert to its closing."""

    id: int
    """0 where it is not stored yet."""

    model: str
    cause: Cause
    state: IncidentState
    severity: str
    """The gravest that its alerts had; one of `SEVERITIES`."""

    opened: float
    """When the first of its alerts began to fire."""

    updated: float
    acknowledged: float | None = None
    acknowledged_by: str = ""
    resolved: float | None = None
    """When the last of its alerts ended, or a person resolved it."""

    closed: float | None = None
    closed_by: str = ""
    flaps: int = 0
    """How often it came back after it was resolved."""

    classification: str = ""
    title: str = ""
    analysis: Mapping[str, Any] | None = None
    """The evidence, as JSON; None before the analysis."""

    successor: Mapping[str, Any] = field(default_factory=dict)
    """The model version or profile that ended it, as JSON."""

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.state in ACTIVE

    @property
    def outdated(self) -> bool:
        """Whether it came back, or an alert of another kind joined it, since the analysis."""
        return self.analysis is not None and bool(self.analysis.get(OUTDATED))


@dataclass(frozen=True)
class Step:
    """Something that happened to an incident."""

    at: float
    actor: str
    kind: str
    text: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """What was proposed or done about an incident."""

    id: int
    """0 where it is not stored yet."""

    incident_id: int
    name: str
    key: str
    """Idempotency key: of one key there is one action."""

    state: ActionState
    created: float
    updated: float
    expires: float | None = None
    needs: tuple[str, ...] = ()
    """A group per approval that is needed; empty text for anybody who may approve."""

    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """The request without secrets, then the answer, as JSON."""


@dataclass(frozen=True)
class Approval:
    """Somebody's answer to a proposed action."""

    action_id: int
    who: str
    groups: tuple[str, ...]
    decision: Literal["approve", "reject"]
    at: float
    note: str = ""


def analysis_digest(analysis: Mapping[str, Any]) -> str:
    """SHA-256 of an analysis as it was made, in hexadecimal digits."""
    # What is outdated was not when it was made.
    made = {key: value for key, value in analysis.items() if key != OUTDATED}
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
