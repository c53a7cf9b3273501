"""One incident as a report tells it: what happened, what was done, how long it took.

Knows the store's incidents and the limits of the config.
"""

from collections.abc import Mapping
from typing import Any

from drift_exporter.config import Config
from drift_exporter.config.response import Response
from drift_exporter.incident import Action, Alert, Incident, Step
from drift_exporter.reporting.facts import (
    ActionFacts,
    AlertFacts,
    ApprovalFacts,
    CaseFacts,
    StepFacts,
)
from drift_exporter.store import Store


def case_facts(store: Store, config: Config, incident: Incident, now: float) -> CaseFacts:
    """An incident in a line, with its actions and their approvals."""
    ack_limit, end_limit = _limits(config, incident.model)
    acknowledged = _since(incident.opened, incident.acknowledged)
    resolved = _since(incident.opened, incident.resolved)
    # Where nobody acknowledged it before it was over, it is not late any more.
    lasted = resolved if resolved is not None else now - incident.opened
    waited = acknowledged if acknowledged is not None else lasted
    return CaseFacts(
        id=incident.id,
        model=incident.model,
        cause=str(incident.cause),
        severity=incident.severity,
        state=str(incident.state),
        classification=incident.classification,
        headline=str((incident.analysis or {}).get("headline") or incident.title),
        title=incident.title,
        opened=incident.opened,
        acknowledged=incident.acknowledged,
        acknowledged_by=incident.acknowledged_by,
        resolved=incident.resolved,
        closed=incident.closed,
        closed_by=incident.closed_by,
        flaps=incident.flaps,
        to_acknowledge_seconds=acknowledged,
        to_resolve_seconds=resolved,
        acknowledge_within_seconds=ack_limit,
        resolve_within_seconds=end_limit,
        acknowledged_late=ack_limit is not None and waited > ack_limit,
        resolved_late=end_limit is not None and lasted > end_limit,
        successor=dict(incident.successor),
        actions=tuple(_action(store, action) for action in store.cases.actions(incident.id)),
    )


def alert_facts(alert: Alert) -> AlertFacts:
    """An alert as a report tells it."""
    return AlertFacts(
        name=alert.name,
        status=alert.status,
        severity=alert.severity,
        starts_at=alert.starts_at,
        ends_at=alert.ends_at,
        labels=dict(alert.labels),
        summary=alert.annotations.get("summary", ""),
    )


def step_facts(step: Step) -> StepFacts:
    """A step as a report tells it."""
    return StepFacts(step.at, step.actor, step.kind, step.text, _text(step.detail, "note"))


def _limits(config: Config, name: str) -> tuple[float | None, float | None]:
    response: Response = getattr(config, "response", None) or Response()
    tier = next((model.tier for model in config.watched if model.name == name), None)
    if tier is None:
        return None, None
    within = (response.acknowledge_within, response.resolve_within)
    soon, late = (getattr(limits, tier).seconds for limits in within)
    return soon, late


def _since(opened: float, then: float | None) -> float | None:
    return None if then is None else max(then - opened, 0.0)


def _action(store: Store, action: Action) -> ActionFacts:
    detail = action.detail
    request, outcome = _mapping(detail, "request"), _mapping(detail, "outcome")
    return ActionFacts(
        id=action.id,
        name=action.name,
        key=action.key,
        state=str(action.state),
        created=action.created,
        updated=action.updated,
        needs=action.needs,
        reason=action.reason,
        dry_run=bool(detail.get("dry_run")),
        retrain=bool(detail.get("retrain")),
        method=_text(request, "method"),
        url=_text(request, "url"),
        status=_number(outcome, "status"),
        attempts=_number(outcome, "attempts"),
        answer=_text(outcome, "answer"),
        approvals=tuple(
            ApprovalFacts(one.who, one.groups, one.decision, one.at, one.note)
            for one in store.cases.approvals(action.id)
        ),
    )


def _mapping(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _number(found: Mapping[str, Any], key: str) -> int | None:
    value = found.get(key)
    return value if isinstance(value, int) else None
