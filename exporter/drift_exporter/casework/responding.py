"""An incident that asks for actions → people approve → sent once → outcome kept.

Knows the order of the steps. What is about to be sent is written down before it is sent, so
that whatever ends the exporter, nothing is lost and nothing is done twice: an action of which
nobody knows the outcome is called unknown, and a person looks.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drift_exporter.config.action import Action as Configured
from drift_exporter.config.response import Response
from drift_exporter.errors import DriftExporterError
from drift_exporter.exchange.building import Request, build
from drift_exporter.exchange.sending import Sent
from drift_exporter.exchange.templates import TemplateTextError
from drift_exporter.incident import (
    ACTIVE,
    MOVES,
    Action,
    ActionState,
    Approval,
    Incident,
    IncidentState,
    Step,
    mitigate,
)
from drift_exporter.incident.approving import WAITING
from drift_exporter.incident.deciding import (
    DAY_SECONDS,
    Asked,
    Past,
    asked,
    fingerprint,
    given_up,
    is_held,
    may_start,
    recovered,
    withdrawn,
)
from drift_exporter.incident.tally import DRY_RUN, RESENT
from drift_exporter.store.case_writing import Writing
from drift_exporter.store.cases import Cases

log = logging.getLogger(__name__)

ACTOR = "drift-exporter"
"""The actor of what nobody did by hand."""

MOST_INCIDENTS = 1000
"""Newest incidents of each kind that a round looks at."""

_ENDED = frozenset({IncidentState.RESOLVED, IncidentState.CLOSED})

STARTED_AT = "started"
"""Key of the detail of an action: when it was sent."""

Send = Callable[[Configured, Request], Sent]

# Two rounds at once would each take the other's started actions for lost ones.
_one_round = threading.Lock()


@dataclass(frozen=True)
class Duty:
    """Everything that a round needs."""

    cases: Cases
    response: Response
    tiers: Mapping[str, str]
    """Tier of each model of the config that this process answers for."""

    clock: Callable[[], float]
    send: Send
    ours: Callable[[str], bool] = lambda _: True
    """Whether this process answers for a model, also for one that the config has no more."""

    look_again: Callable[[Incident], bool] = lambda _: True
    """Before a retraining is sent: looks at the newest counts, and writes down where they are of
    bad quality by now. False where it cannot look."""

    actions: Mapping[str, Configured] = field(init=False)

    def __post_init__(self) -> None:
        by_name = {action.name: action for action in self.response.actions}
        object.__setattr__(self, "actions", by_name)


class Change(NamedTuple):
    """What a round did with an action."""

    action_id: int
    name: str
    model: str
    state: ActionState


def respond_once(duty: Duty) -> tuple[Change, ...]:
    """One round: what was interrupted, what is over, what is asked for, what may be sent.

    Raises
    ------
    StoreError
        If the store cannot be read or written; what was done so far is kept, and the next
        round goes on from there.
    """
    with _one_round:
        return (*_recover(duty), *_end(duty), *_propose(duty), *_start(duty))


def _recover(duty: Duty) -> Iterator[Change]:
    """Actions that were started and whose outcome nobody wrote down: the exporter ended."""
    for action, incident in _ours(duty, {ActionState.STARTED}):
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


def _end(duty: Duty) -> Iterator[Change]:
    """Actions that expired, or whose incident was closed before they were done."""
    for action, incident in _ours(duty, WAITING | {ActionState.APPROVED}):
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


def _start(duty: Duty) -> Iterator[Change]:
    """Actions that may be sent, one after the other."""
    for action, its_incident in _ours(duty, {ActionState.APPROVED}):
        known = its_incident.model in duty.tiers
        configured = duty.actions.get(action.name) if known else None
        if configured is not None and configured.retrain:
            if is_held(configured, its_incident) or not duty.look_again(its_incident):
                # Nobody can tell whether the data are good now: a later round will.
                continue
        with duty.cases.writing(f"start action {action.id}") as tx:
            now, incident = duty.clock(), tx.get(action.incident_id)
            if configured is not None and is_held(configured, incident):
                continue
            fresh, approvals = tx.action(action.id), tx.approvals(action.id)
            state, why = may_start(fresh, configured, approvals, incident, now)
            state = state if state == ActionState.STARTED else given_up(fresh, state)
            detail = {STARTED_AT: now} if state == ActionState.STARTED else {}
            if not tx.move_action(action.id, {ActionState.APPROVED}, state, now, detail):
                continue
            sent = "is tried, and not sent (dry run)" if fresh.detail.get("dry_run") else "is sent"
            text = f"{action.name} {sent}" if not why else f"{action.name} is not sent: {why}"
            kind = f"action_{state}"
            tx.record(incident.id, step_of(fresh, now, ACTOR, kind, text))
        # From here on it counts as sent, whatever happens.
        if state != ActionState.STARTED or configured is None:
            yield Change(action.id, action.name, incident.model, state)
            continue
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


def _ours(
    duty: Duty, states: set[ActionState] | frozenset[ActionState]
) -> Iterator[tuple[Action, Incident]]:
    """Actions in some states, with their incidents, of the models that we answer for."""
    for action in duty.cases.actions(states=states):
        incident = duty.cases.incident(action.incident_id)
        if incident is not None and duty.ours(incident.model):
            yield action, incident


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


def step_of(
    action: Action,
    at: float,
    actor: str,
    kind: str,
    text: str,
    detail: Mapping[str, Any] | None = None,
) -> Step:
    """A step of an action, which tells its id, name and key."""
    own = {"action": action.id, "name": action.name, "key": action.key}
    return Step(at, actor, kind, text, {**own, **(detail or {})})
