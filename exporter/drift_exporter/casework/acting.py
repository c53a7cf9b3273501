"""What was approved is sent once, and its outcome kept.

Knows the order of the steps. What is about to be sent is written down before it is sent, so
that whatever ends the exporter, nothing is lost and nothing is done twice: an action of which
nobody knows the outcome is called unknown, and a person looks.
"""

import logging
import threading
from collections.abc import Iterator, Sequence, Set
from typing import Any

from drift_exporter.casework.duty import (
    ACTOR,
    STARTED_AT,
    Change,
    Duty,
    actions_of_ours,
    step_of,
)
from drift_exporter.config.action import HARMLESS
from drift_exporter.config.action import Action as Configured
from drift_exporter.errors import DriftExporterError
from drift_exporter.exchange.building import Request
from drift_exporter.exchange.sending import Sent
from drift_exporter.incident import MOVES, Action, ActionState, Approval, Incident, mitigate
from drift_exporter.incident.deciding import given_up, is_held, may_start, recovered
from drift_exporter.incident.tally import DRY_RUN, RESENT
from drift_exporter.store.case_writing import Writing

log = logging.getLogger(__name__)

# Two rounds at once would each take the other's started actions for lost ones.
_one_round = threading.Lock()


def act_once(duty: Duty) -> tuple[Change, ...]:
    """One round: what was interrupted, and what may be sent.

    Raises
    ------
    StoreError
        If the store cannot be read or written; what was done so far is kept, and the next
        round goes on from there.
    """
    with _one_round:
        return (*_recover(duty), *_start(duty))


def _recover(duty: Duty) -> Iterator[Change]:
    """Actions that were started and whose outcome nobody wrote down: the exporter ended."""
    for action, incident in actions_of_ours(duty, {ActionState.STARTED}):
        with duty.cases.writing(f"recover action {action.id}") as tx:
            now, state = duty.clock(), recovered(action, duty.actions.get(action.name))
            again = state == ActionState.APPROVED
            count = int(action.detail.get("resends", 0)) + again
            if not tx.move_action(
                action.id, {ActionState.STARTED}, state, now, {"resends": count} if again else {}
            ):
                continue
            text = f"{action.name} was interrupted: nobody knows whether it was done"
            text += "; it is sent again with the same key" if again else "; look at the receiver"
            detail = {RESENT: True} if again else {}
            tx.record(incident.id, step_of(action, now, ACTOR, "action_unknown", text, detail))
        log.warning("action interrupted", extra={"action": action.name, "key": action.key})
        yield Change(action.id, action.name, incident.model, state)


def _start(duty: Duty) -> Iterator[Change]:
    """Actions that may be sent, one after the other."""
    looked_at: set[int] = set()
    while action := _next(duty, looked_at):
        looked_at.add(action.id)
        incident = duty.cases.incident(action.incident_id)
        if incident is not None and duty.ours(incident.model):
            yield from _start_one(duty, action, incident)


def _next(duty: Duty, looked_at: Set[int]) -> Action | None:
    """The oldest that is left, pictures last: they hold up nothing, and what was approved while
    another was sent comes before them."""
    approved = duty.cases.actions(states={ActionState.APPROVED})
    left = [action for action in approved if action.id not in looked_at]
    return min(left, key=lambda action: (_is_picture(duty, action), action.id), default=None)


def _is_picture(duty: Duty, action: Action) -> bool:
    configured = duty.actions.get(action.name)
    return configured is not None and configured.kind in HARMLESS and not configured.retrain


def _start_one(duty: Duty, action: Action, its_incident: Incident) -> Iterator[Change]:
    configured = duty.actions.get(action.name) if its_incident.model in duty.tiers else None
    if configured is not None and configured.retrain:
        if is_held(configured, its_incident) or not duty.look_again(its_incident):
            # Nobody can tell whether the data are good now: a later round will.
            return
    with duty.cases.writing(f"start action {action.id}") as tx:
        now, incident = duty.clock(), tx.get(action.incident_id)
        if configured is not None and is_held(configured, incident):
            return
        fresh, approvals = tx.action(action.id), tx.approvals(action.id)
        state, why = may_start(fresh, configured, approvals, incident, now)
        state = state if state == ActionState.STARTED else given_up(fresh, state)
        detail = {STARTED_AT: now} if state == ActionState.STARTED else {}
        if not tx.move_action(action.id, {ActionState.APPROVED}, state, now, detail):
            return
        sent = "is tried, and not sent (dry run)" if fresh.detail.get("dry_run") else "is sent"
        text = f"{action.name} {sent}" if not why else f"{action.name} is not sent: {why}"
        tx.record(incident.id, step_of(fresh, now, ACTOR, f"action_{state}", text))
    # From here on it counts as sent, whatever happens.
    if state != ActionState.STARTED or configured is None:
        yield Change(action.id, action.name, incident.model, state)
        return
    yield from _finish(duty, fresh, configured, incident, approvals)


def _finish(
    duty: Duty,
    action: Action,
    configured: Configured,
    incident: Incident,
    approvals: Sequence[Approval],
) -> Iterator[Change]:
    sent = _sent(duty, action, configured)
    extra = {"action": action.name, "key": action.key, "state": sent.state, "status": sent.status}
    log.log(
        logging.INFO if sent.state == ActionState.SUCCEEDED else logging.ERROR,
        "action sent",
        extra=extra,
    )
    with duty.cases.writing(f"keep the outcome of action {action.id}") as tx:
        now = duty.clock()
        # A round of another process may have given it up as unknown: we know better.
        from_states = {ActionState.STARTED, ActionState.UNKNOWN}
        tx.move_action(action.id, from_states, sent.state, now, {"outcome": sent.record()})
        text = f"{action.name} {SAID[sent.state]}"
        if sent.status is not None:
            text += f" (status {sent.status})"
        detail: dict[str, Any] = sent.record()
        if configured.dry_run and sent.state == ActionState.SUCCEEDED:
            text, detail[DRY_RUN] = f"{action.name} was not done: it is a dry run", True
        kind = f"action_{sent.state}"
        tx.record(incident.id, step_of(action, now, ACTOR, kind, text, detail))
        if sent.state == ActionState.SUCCEEDED and configured.retrain and not configured.dry_run:
            _mitigating(tx, action, approvals, now)
    yield Change(action.id, action.name, incident.model, sent.state)


def _sent(duty: Duty, action: Action, configured: Configured) -> Sent:
    try:
        return duty.send(configured, Request(**action.detail["request"]))
    except (DriftExporterError, KeyError, TypeError) as error:
        # Before anything was sent: what is stored is no request.
        return Sent(ActionState.FAILED, None, 0, f"{type(error).__name__}: it cannot be sent")
    except Exception as error:
        # A defect in one request must not keep the others unsent; this one may have been done.
        log.exception("sending broke", extra={"action": action.name, "key": action.key})
        return Sent(ActionState.UNKNOWN, None, 1, f"sending broke: {type(error).__name__}")


SAID = {
    ActionState.SUCCEEDED: "was done",
    ActionState.FAILED: "was not done",
    ActionState.UNKNOWN: "may have been done: nobody knows; look at the receiver",
}


def _mitigating(tx: Writing, action: Action, approvals: Sequence[Approval], now: float) -> None:
    """A model that is being retrained is being worked on, by who approved it."""
    incident = tx.get(action.incident_id)
    people = [one.who for one in approvals if one.decision == "approve"]
    # Without people, a machine must not acknowledge what nobody has seen.
    if incident.state not in MOVES["mitigate"] or not (people or incident.acknowledged):
        return
    actor = people[-1] if people else ACTOR
    after, step = mitigate(incident, actor, now, f"{action.name} was started")
    tx.save(after)
    tx.record(incident.id, step)
