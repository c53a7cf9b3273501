"""What the JSON interface answers of incidents: plain documents.

Knows the shape of the answers; never a request, a page or a clock.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from drift_exporter.audit import Findings
from drift_exporter.incident import (
    Action,
    ActionState,
    Alert,
    Approval,
    Cause,
    Incident,
    IncidentState,
    Step,
    possible,
)
from drift_exporter.incident.case import AskedAction, Case
from drift_exporter.web.api import moment


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class IncidentAnswer(_Answer):
    """An incident in short."""

    id: int
    model: str
    cause: Cause
    state: IncidentState
    severity: str
    title: str
    classification: str
    """What the analysis found; empty before it."""

    opened: datetime
    updated: datetime
    acknowledged: datetime | None
    acknowledged_by: str
    resolved: datetime | None
    closed: datetime | None
    closed_by: str
    flaps: int
    """How often it came back after it was resolved."""

    possible: list[str]
    """What can be done with it now."""

    successor: dict[str, Any]
    """The model version or profile that ended it."""


class StepAnswer(_Answer):
    """Something that happened to an incident."""

    at: datetime
    actor: str
    kind: str
    text: str
    detail: dict[str, Any]


class AlertAnswer(_Answer):
    """An alert from its start to its end."""

    fingerprint: str
    name: str
    model: str
    status: str
    severity: str
    starts_at: datetime
    ends_at: datetime | None
    labels: dict[str, str]
    annotations: dict[str, str]


class ApprovalAnswer(_Answer):
    """Somebody's answer to an action."""

    who: str
    groups: list[str]
    decision: str
    at: datetime
    note: str


class ActionAnswer(_Answer):
    """What was proposed or done about an incident."""

    id: int
    incident_id: int
    name: str
    key: str
    state: ActionState
    created: datetime
    updated: datetime
    expires: datetime | None
    needs: list[str]
    """A group per approval that is needed; empty text for any approver."""

    reason: str
    detail: dict[str, Any]
    approvals: list[ApprovalAnswer]


class IncidentDetail(IncidentAnswer):
    """An incident with all that belongs to it."""

    analysis: dict[str, Any] | None
    step_count: int
    alert_count: int
    steps: list[StepAnswer]
    """The newest, in the order they happened."""

    alerts: list[AlertAnswer]
    """The newest, in the order they came."""

    actions: list[ActionAnswer]


class FaultAnswer(_Answer):
    """Where the audit log was changed, and how that shows."""

    id: int
    text: str


class VerifyAnswer(_Answer):
    """What the verification of the audit log found."""

    intact: bool
    entries: int
    first: int
    last: int
    faults: list[FaultAnswer]


def incident_answer(incident: Incident) -> IncidentAnswer:
    """An incident as a short document."""
    return IncidentAnswer(
        id=incident.id,
        model=incident.model,
        cause=incident.cause,
        state=incident.state,
        severity=incident.severity,
        title=incident.title,
        classification=incident.classification,
        opened=moment(incident.opened),
        updated=moment(incident.updated),
        acknowledged=_maybe(incident.acknowledged),
        acknowledged_by=incident.acknowledged_by,
        resolved=_maybe(incident.resolved),
        closed=_maybe(incident.closed),
        closed_by=incident.closed_by,
        flaps=incident.flaps,
        possible=list(possible(incident)),
        successor=dict(incident.successor),
    )


def incident_detail(case: Case, most: int) -> IncidentDetail:
    """An incident as a document, with at most so many of its steps and alerts."""
    analysis = case.incident.analysis
    return IncidentDetail(
        **dict(incident_answer(case.incident)),
        analysis=None if analysis is None else dict(analysis),
        step_count=len(case.steps),
        alert_count=len(case.alerts),
        steps=[_step(step) for step in case.steps[-most:]],
        alerts=[alert_answer(alert) for alert in case.alerts[-most:]],
        actions=[asked_answer(asked) for asked in case.actions],
    )


def alert_answer(alert: Alert) -> AlertAnswer:
    """An alert as a document."""
    return AlertAnswer(
        fingerprint=alert.fingerprint,
        name=alert.name,
        model=alert.model,
        status=alert.status,
        severity=alert.severity,
        starts_at=moment(alert.starts_at),
        ends_at=_maybe(alert.ends_at),
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
    )


def asked_answer(asked: AskedAction) -> ActionAnswer:
    """An action with its answers as a document."""
    action: Action = asked.action
    return ActionAnswer(
        id=action.id,
        incident_id=action.incident_id,
        name=action.name,
        key=action.key,
        state=action.state,
        created=moment(action.created),
        updated=moment(action.updated),
        expires=_maybe(action.expires),
        needs=list(action.needs),
        reason=action.reason,
        detail=dict(action.detail),
        approvals=[_approval(approval) for approval in asked.approvals],
    )


def verify_answer(found: Findings) -> VerifyAnswer:
    """What a verification found as a document."""
    return VerifyAnswer(
        intact=found.intact,
        entries=found.entries,
        first=found.first,
        last=found.last,
        faults=[FaultAnswer(id=fault.id, text=fault.text) for fault in found.faults],
    )


def _step(step: Step) -> StepAnswer:
    return StepAnswer(
        at=moment(step.at),
        actor=step.actor,
        kind=step.kind,
        text=step.text,
        detail=dict(step.detail),
    )


def _approval(approval: Approval) -> ApprovalAnswer:
    return ApprovalAnswer(
        who=approval.who,
        groups=list(approval.groups),
        decision=approval.decision,
        at=moment(approval.at),
        note=approval.note,
    )


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)
