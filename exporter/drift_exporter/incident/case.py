"""What faces ask of incidents and get: people, whole cases, receipts and invitations.

Pure: values only. Knows no store, request or page.
"""

from dataclasses import dataclass

from drift_exporter.config.access import may
from drift_exporter.incident.values import Action, Alert, Approval, Incident, Step


@dataclass(frozen=True)
class Person:
    """Somebody who asks."""

    name: str
    role: str
    """One of `ROLES`; empty for who may do nothing but what is public."""

    groups: tuple[str, ...] = ()

    def may(self, role: str) -> bool:
        """Whether the role is this one or above it."""
        return may(self.role, role)


NOBODY = Person("", "")
"""Who has not said who they are."""


@dataclass(frozen=True)
class AskedAction:
    """An action of an incident with the answers to it."""

    action: Action
    approvals: tuple[Approval, ...]


@dataclass(frozen=True)
class Case:
    """An incident with all that belongs to it."""

    incident: Incident
    steps: tuple[Step, ...]
    alerts: tuple[Alert, ...]
    actions: tuple[AskedAction, ...]


@dataclass(frozen=True)
class Receipt:
    """What became of a delivery of alerts."""

    incident_ids: tuple[int, ...]
    """Incidents that it changed."""

    alerts: int
    truncated: int
    """Alerts that Alertmanager left out."""


@dataclass(frozen=True)
class Invitation:
    """What a signed link lets its holder do, and with which action."""

    action: Action
    incident: Incident
    decision: str
    who: str
    group: str
    """Group that the answer counts for, empty for none."""

    expires: float
