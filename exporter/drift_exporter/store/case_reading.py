"""Incidents and what belongs to them, read.

Knows queries; changes nothing.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Select, func, select

from drift_exporter.incident import (
    ACTIVE,
    Action,
    ActionState,
    Alert,
    Approval,
    Cause,
    Incident,
    IncidentState,
    Step,
)
from drift_exporter.incident.tally import Told
from drift_exporter.store import tables
from drift_exporter.store.case_rows import (
    action_of,
    alert_of,
    approval_of,
    incident_of,
    step_of,
    storable,
)

_MOST_ID = 2**63


def incident(connection: Connection, incident_id: int) -> Incident | None:
    """The incident of an id."""
    row = _one(connection, select(tables.incidents), tables.incidents.c.id, incident_id)
    return None if row is None else incident_of(row)


def incidents(
    connection: Connection,
    model: str | None,
    states: Collection[IncidentState] | None,
    limit: int,
    before: int | None,
    since: float | None = None,
) -> list[Incident]:
    """The newest incidents first."""
    t = tables.incidents.c
    query = select(tables.incidents).order_by(t.id.desc()).limit(limit)
    if model is not None:
        query = query.where(t.model == storable(model))
    if states is not None:
        query = query.where(t.state.in_([state.value for state in states]))
    if before is not None:
        query = query.where(t.id < min(before, _MOST_ID - 1))
    if since is not None:
        query = query.where(t.updated >= since)
    return [incident_of(row) for row in connection.execute(query)]


def steps(connection: Connection, incident_id: int) -> list[Step]:
    """Steps of an incident in the order they happened."""
    t = tables.steps.c
    query = select(tables.steps).where(t.incident_id == incident_id).order_by(t.id)
    return [step_of(row) for row in connection.execute(query)] if _is_id(incident_id) else []


def alerts(connection: Connection, incident_id: int) -> list[Alert]:
    """Alerts of an incident in the order they came."""
    t = tables.alerts.c
    query = select(tables.alerts).where(t.incident_id == incident_id).order_by(t.id)
    return [alert_of(row) for row in connection.execute(query)] if _is_id(incident_id) else []


def unmatched_alerts(connection: Connection, limit: int) -> list[Alert]:
    """The newest alerts that belong to no incident."""
    t = tables.alerts.c
    query = select(tables.alerts).where(t.incident_id.is_(None)).order_by(t.id.desc())
    return [alert_of(row) for row in connection.execute(query.limit(limit))]


def unmatched_count(connection: Connection, since: float, until: float) -> int:
    """How many alerts that began in a span belong to no incident."""
    t = tables.alerts.c
    began = (t.starts_at >= since) & (t.starts_at < until)
    query = select(func.count()).where(t.incident_id.is_(None) & began)
    return int(connection.execute(query).scalar_one())


def action(connection: Connection, action_id: int) -> Action | None:
    """The action of an id."""
    row = _one(connection, select(tables.actions), tables.actions.c.id, action_id)
    return None if row is None else action_of(row)


def actions(
    connection: Connection, incident_id: int | None, states: Collection[ActionState] | None
) -> list[Action]:
    """Actions in the order they came; of one incident, or in some states."""
    t = tables.actions.c
    query = select(tables.actions).order_by(t.id)
    if incident_id is not None:
        query = query.where(t.incident_id == incident_id)
    if states is not None:
        query = query.where(t.state.in_([state.value for state in states]))
    if incident_id is not None and not _is_id(incident_id):
        return []
    return [action_of(row) for row in connection.execute(query)]


def approvals(connection: Connection, action_id: int) -> list[Approval]:
    """Answers to an action in the order they came."""
    t = tables.approvals.c
    query = select(tables.approvals).where(t.action_id == action_id).order_by(t.id)
    return [approval_of(row) for row in connection.execute(query)] if _is_id(action_id) else []


def open_counts(connection: Connection) -> dict[tuple[str, str, IncidentState], int]:
    """How many incidents are not closed, by model, severity and state."""
    t = tables.incidents.c
    query = (
        select(t.model, t.severity, t.state, func.count())
        .where(t.state != IncidentState.CLOSED.value)
        .group_by(t.model, t.severity, t.state)
    )
    rows = connection.execute(query)
    return {(model, severity, IncidentState(state)): n for model, severity, state, n in rows}


def oldest_unacknowledged(connection: Connection) -> dict[tuple[str, str], float]:
    """When the oldest incident was opened that nobody acknowledged, by model and severity."""
    t = tables.incidents.c
    query = (
        select(t.model, t.severity, func.min(t.opened))
        .where(t.state == IncidentState.OPEN.value)
        .group_by(t.model, t.severity)
    )
    return {(model, severity): at for model, severity, at in connection.execute(query)}


def oldest_open(connection: Connection) -> dict[tuple[str, str], float]:
    """When the oldest incident was opened that is not over, by model and severity."""
    t = tables.incidents.c
    query = (
        select(t.model, t.severity, func.min(t.opened))
        .where(t.state.in_([state.value for state in ACTIVE]))
        .group_by(t.model, t.severity)
    )
    return {(model, severity): at for model, severity, at in connection.execute(query)}


def waiting_counts(connection: Connection) -> dict[str, int]:
    """How many actions wait for an approval, by name."""
    t = tables.actions.c
    waiting = select(t.name, func.count()).where(t.state == ActionState.WAITING.value)
    return {row.name: row[1] for row in connection.execute(waiting.group_by(t.name))}


def oldest_waiting(connection: Connection) -> dict[str, float]:
    """When the oldest action was proposed that waits for an approval, by name."""
    t = tables.actions.c
    query = (
        select(t.name, func.min(t.created))
        .where(t.state == ActionState.WAITING.value)
        .group_by(t.name)
    )
    return {row.name: row[1] for row in connection.execute(query)}


def evidence(connection: Connection, incident_id: int) -> list[tuple[float, str]]:
    """What an incident was judged on, the oldest analysis first."""
    t = tables.evidence.c
    query = select(t.at, t.body).where(t.incident_id == incident_id).order_by(t.id)
    return [(row.at, row.body) for row in connection.execute(query)] if _is_id(incident_id) else []


def told(connection: Connection, since_id: int, limit: int) -> list[Told]:
    """Steps of all incidents after an id, the oldest first."""
    steps, incidents = tables.steps, tables.incidents.c
    query = (
        select(steps, incidents.model, incidents.cause)
        .join_from(steps, tables.incidents, steps.c.incident_id == incidents.id)
        .where(steps.c.id > since_id)
        .order_by(steps.c.id)
        .limit(limit)
    )
    return [
        Told(row.id, row.incident_id, row.model, Cause(row.cause), step_of(row))
        for row in connection.execute(query)
    ]


def _one(connection: Connection, query: Select[Any], key: Any, number: int) -> Any:
    return connection.execute(query.where(key == number)).one_or_none() if _is_id(number) else None


def _is_id(number: int) -> bool:
    """Whether the databases can hold the number."""
    return 0 < number < _MOST_ID
