"""What incidents ask for is written down, and what is over is ended; nothing is sent here.

Knows the order of the steps. A request is made when it is asked for, so that people approve what
will be sent.
"""

import logging
from collections.abc import Iterator
from typing import Any

from drift_exporter.casework.duty import (
    ACTOR,
    MOST_INCIDENTS,
    STARTED_AT,
    Change,
    Duty,
    actions_of_ours,
    step_of,
)
from drift_exporter.config.action import Action as Configured
from drift_exporter.errors import DriftExporterError
from drift_exporter.exchange.building import build
from drift_exporter.exchange.templates import TemplateTextError
from drift_exporter.incident import ACTIVE, Action, ActionState, Incident, IncidentState
from drift_exporter.incident.approving import WAITING
from drift_exporter.incident.deciding import (
    DAY_SECONDS,
    Asked,
    Past,
    asked,
    fingerprint,
    given_up,
    withdrawn,
)
from drift_exporter.store.case_writing import Writing

log = logging.getLogger(__name__)

_ENDED = frozenset({IncidentState.RESOLVED, IncidentState.CLOSED})


def propose_once(duty: Duty) -> tuple[Change, ...]:
    """One round: what is over, and what is asked for.

    Raises
    ------
    StoreError
        If the store cannot be read or written; what was done so far is kept, and the next
        round goes on from there.
    """
    return (*_end(duty), *_propose(duty))


def _end(duty: Duty) -> Iterator[Change]:
    """Actions that expired, or whose incident was closed before they were done."""
    for action, incident in actions_of_ours(duty, WAITING | {ActionState.APPROVED}):
        now = duty.clock()
        if action.expires is not None and now >= action.expires:
            state, text = ActionState.EXPIRED, f"{action.name} was not approved or sent in time"
        elif withdrawn(action, incident):
            state, text = ActionState.SKIPPED, f"{action.name}: the incident was closed before"
        else:
            continue
        yield from _move(duty, action, incident, given_up(action, state), text)


def _propose(duty: Duty) -> Iterator[Change]:
    """Actions that incidents ask for."""
    if not duty.response.actions:
        return
    longest = max(action.expires.seconds for action in duty.response.actions)
    active = duty.cases.incidents(states=ACTIVE, limit=MOST_INCIDENTS)
    # A promotion can come to an incident that was over long ago, and moves it.
    ended = duty.cases.incidents(states=_ENDED, limit=MOST_INCIDENTS, since=duty.clock() - longest)
    for incident in reversed((*active, *ended)):
        tier = duty.tiers.get(incident.model)
        if tier is None:
            continue
        # Looked at without the store, then without a transaction: most rounds find nothing new.
        now, actions = duty.clock(), duty.response.actions
        if not any(asked(incident, tier, actions, (), {}, now)):
            continue
        if not any(asked(incident, tier, actions, duty.cases.actions(incident.id), {}, now)):
            continue
        try:
            saved = _saved(duty, incident, tier, now)
        except DriftExporterError:
            raise
        except Exception:
            # A defect in one incident must not keep all the others without an answer.
            log.exception("asking for actions broke", extra={"incident": incident.id})
            continue
        for action in saved:
            log.info("action asked for", extra={"action": action.name, "state": action.state})
            yield Change(action.id, action.name, incident.model, action.state)


def _saved(duty: Duty, incident: Incident, tier: str, now: float) -> list[Action]:
    actions = duty.response.actions
    with duty.cases.writing(f"ask for actions of incident {incident.id}") as tx:
        fresh = tx.get(incident.id)
        past = {action.name: past_of(tx, action, now) for action in actions}
        wanted = asked(fresh, tier, actions, tx.actions(fresh.id), past, now)
        return [save_asked(duty, tx, fresh, one, now, ACTOR) for one in wanted]


def _move(
    duty: Duty, action: Action, incident: Incident, state: ActionState, text: str
) -> Iterator[Change]:
    with duty.cases.writing(f"end action {action.id}") as tx:
        now = duty.clock()
        if not tx.move_action(action.id, {action.state}, state, now, {}):
            return
        tx.record(incident.id, step_of(action, now, ACTOR, f"action_{state}", text))
    yield Change(action.id, action.name, incident.model, state)


def past_of(tx: Writing, action: Configured, now: float) -> list[Past]:
    """What any incident asked for under the action's name, as far back as its limits look."""
    since = now - max(DAY_SECONDS, action.cooldown_seconds)
    found = tx.actions_since(action.name, since)
    models = {one.incident_id: "" for one in found}
    models = {incident_id: tx.get(incident_id).model for incident_id in models}
    return [Past(one.name, models[one.incident_id], one.state, _done_at(one)) for one in found]


def _done_at(action: Action) -> float:
    """When it was sent, or else asked for: who settles its outcome later does not do it again."""
    return float(action.detail.get(STARTED_AT, action.created))


def save_asked(
    duty: Duty, tx: Writing, incident: Incident, one: Asked, now: float, actor: str
) -> Action:
    """Write down an action that is asked for, with the request that people are to approve."""
    state, reason = one.state, one.reason
    detail: dict[str, Any] = {
        "occasion": str(one.occasion),
        "marks": list(one.marks),
        "flaps": incident.flaps,
        "config": fingerprint(one.action),
        "dry_run": one.action.dry_run,
        "retrain": one.action.retrain,
        "classification": incident.classification,
    }
    if state != ActionState.SKIPPED:
        try:
            made = build(one.action, incident, one.occasion, one.key, duty.response.public_url)
            detail["request"] = made.record()
        except TemplateTextError as error:
            state, reason = ActionState.FAILED, str(error)
    action = tx.save_action(
        Action(
            id=0,
            incident_id=incident.id,
            name=one.action.name,
            key=one.key,
            state=state,
            created=now,
            updated=now,
            expires=one.expires,
            needs=one.needs,
            reason=reason,
            detail=detail,
        )
    )
    if state in (ActionState.SKIPPED, ActionState.FAILED):
        kind, text = f"action_{state}", f"{action.name} is not asked for: {reason}"
    else:
        people = ", ".join(need or "any approver" for need in one.needs)
        kind, text = "action_proposed", f"{action.name} is asked for ({reason})"
        text += f"; it needs {people}" if people else "; it needs no approval"
    tx.record(incident.id, step_of(action, now, actor, kind, text, detail))
    return action
