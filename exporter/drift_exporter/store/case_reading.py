"""Incidents and what belongs to them, read.

Knows queries; changes nothing.
"""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select

from drift_exporter.incident import (
    ACTIVE,
    Action,
    ActionState,
    Alert,
    Approval,
    Incident,
    IncidentState,
    Step,
)
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


class ResponseTimes(NamedTuple):
    """How long people took to answer an incident, in seconds; None where they have not."""

    model: str
    severity: str
    to_acknowledge_seconds: float | None
    to_resolve_seconds: float | None


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


def classifications(connection: Connection) -> dict[tuple[str, str], int]:
    """How many incidents there were, by model and classification; by cause without one."""
    t = tables.incidents.c
    query = select(t.model, t.classification, t.cause, func.count()).group_by(
        t.model, t.classification, t.cause
    )
    found: dict[tuple[str, str], int] = {}
    for model, classification, cause, n in connection.execute(query):
        key = (model, classification or cause)
        found[key] = found.get(key, 0) + n
    return found


def action_counts(connection: Connection) -> dict[tuple[str, ActionState], int]:
    """How many actions there are, by name and state."""
    t = tables.actions.c
    rows = connection.execute(select(t.name, t.state, func.count()).group_by(t.name, t.state))
    return {(name, ActionState(state)): n for name, state, n in rows}


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


def response_times(connection: Connection) -> Iterator[ResponseTimes]:
    """How long it took to acknowledge and to resolve each incident."""
    t = tables.incidents.c
    query = select(t.model, t.severity, t.opened, t.acknowledged, t.resolved).order_by(t.id)
    for row in connection.execute(query):
        ack, end = (
            None if at is None else max(at - row.opened, 0.0)
            for at in (row.acknowledged, row.resolved)
        )
        yield ResponseTimes(row.model, row.severity, ack, end)


def _one(connection: Connection, query: Select[Any], key: Any, number: int) -> Any:
    return connection.execute(query.where(key == number)).one_or_none() if _is_id(number) else None


def _is_id(number: int) -> bool:
    """Whether the databases can hold the number."""
    return 0 < number < _MOST_ID
