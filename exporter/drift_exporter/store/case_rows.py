"""Incidents, steps, alerts, actions and approvals as rows, and back.

Knows columns; knows no query.
"""

import json
from typing import Any

from sqlalchemy import Row

from drift_exporter.errors import StoreError
from drift_exporter.incident import (
    Action,
    ActionState,
    Alert,
    Approval,
    Cause,
    Incident,
    IncidentState,
    Step,
)


def incident_row(incident: Incident) -> dict[str, object]:
    """An incident as a row, without its id."""
    return {
        "model": storable(incident.model),
        "cause": incident.cause.value,
        "state": incident.state.value,
        "severity": storable(incident.severity),
        "opened": incident.opened,
        "updated": incident.updated,
        "acknowledged": incident.acknowledged,
        "acknowledged_by": storable(incident.acknowledged_by),
        "resolved": incident.resolved,
        "closed": incident.closed,
        "closed_by": storable(incident.closed_by),
        "flaps": incident.flaps,
        "classification": storable(incident.classification),
        "title": storable(incident.title),
        "analysis": None if incident.analysis is None else packed(incident.analysis),
        "successor": packed(incident.successor),
    }


def incident_of(row: Row[Any]) -> Incident:
    """The incident of a row."""
    values = dict(row._mapping)
    values["cause"] = Cause(row.cause)
    values["state"] = IncidentState(row.state)
    values["analysis"] = None if row.analysis is None else json.loads(row.analysis)
    values["successor"] = json.loads(row.successor)
    return Incident(**values)


def step_row(incident_id: int, step: Step) -> dict[str, object]:
    """A step as a row."""
    return {
        "incident_id": incident_id,
        "at": step.at,
        "actor": storable(step.actor),
        "kind": step.kind,
        "text": storable(step.text),
        "detail": packed(step.detail),
    }


def step_of(row: Row[Any]) -> Step:
    """The step of a row."""
    return Step(row.at, row.actor, row.kind, row.text, json.loads(row.detail))


def alert_row(alert: Alert, incident_id: int | None, received: float) -> dict[str, object]:
    """An alert as a row."""
    return {
        "fingerprint": storable(alert.fingerprint),
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
        "incident_id": incident_id,
        "name": storable(alert.name),
        "model": storable(alert.model),
        "status": alert.status,
        "severity": storable(alert.severity),
        "labels": packed(alert.labels),
        "annotations": packed(alert.annotations),
        "received": received,
    }


def alert_of(row: Row[Any]) -> Alert:
    """The alert of a row."""
    return Alert(
        fingerprint=row.fingerprint,
        name=row.name,
        model=row.model,
        status=row.status,
        severity=row.severity,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        labels=json.loads(row.labels),
        annotations=json.loads(row.annotations),
    )


def action_row(action: Action) -> dict[str, object]:
    """An action as a row, without its id."""
    return {
        "incident_id": action.incident_id,
        "name": storable(action.name),
        "key": storable(action.key),
        "state": action.state.value,
        "created": action.created,
        "updated": action.updated,
        "expires": action.expires,
        "needs": packed(action.needs),
        "reason": storable(action.reason),
        "detail": packed(action.detail),
    }


def action_of(row: Row[Any]) -> Action:
    """The action of a row."""
    values = dict(row._mapping)
    values["state"] = ActionState(row.state)
    values["needs"] = tuple(json.loads(row.needs))
    values["detail"] = json.loads(row.detail)
    return Action(**values)


def approval_row(approval: Approval) -> dict[str, object]:
    """An approval as a row."""
    return {
        "action_id": approval.action_id,
        "who": storable(approval.who),
        "groups": packed(approval.groups),
        "decision": approval.decision,
        "at": approval.at,
        "note": storable(approval.note),
    }


def approval_of(row: Row[Any]) -> Approval:
    """The approval of a row."""
    groups = tuple(json.loads(row.groups))
    return Approval(row.action_id, row.who, groups, row.decision, row.at, row.note)


def packed(value: object) -> str:
    """A value as JSON.

    Raises
    ------
    StoreError
        If JSON has no way to write it.
    """
    # Mappings that are no dict are read-only ones.
    plain = value if isinstance(value, str | tuple | list) else dict(value)  # type: ignore[call-overload]
    try:
        return json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise StoreError(
            f"what is to be kept of an incident cannot be written as JSON ({error}); "
            "this is an error of drift-exporter, please report it"
        ) from error


def storable(text: str) -> str:
    """The text without what PostgreSQL refuses."""
    return text.replace("\0", "").encode(errors="replace").decode()
