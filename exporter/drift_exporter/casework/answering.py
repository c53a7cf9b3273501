"""People answer actions, ask for them, and say what became of them.

Knows what is written down of it. Who may do what is asked by the faces before.
"""

from collections.abc import Sequence
from typing import Any

from drift_exporter.casework.acting import SAID
from drift_exporter.casework.duty import Duty, step_of
from drift_exporter.casework.proposing import past_of, save_asked
from drift_exporter.errors import IncidentError
from drift_exporter.incident import Action, ActionState, Approval
from drift_exporter.incident.approving import WAITING, answered, open_needs
from drift_exporter.incident.deciding import requested
from drift_exporter.incident.tally import SETTLED
from drift_exporter.store.cases import Cases


def approve(
    cases: Cases,
    action_id: int,
    who: str,
    groups: Sequence[str],
    decision: str,
    at: float,
    note: str = "",
    *,
    by_link: bool = False,
) -> Action:
    """Write down somebody's answer to an action; gives back the action as it is then.

    Parameters
    ----------
    cases, action_id
        The action.
    who, groups, decision, at, note
        The answer.
    by_link
        Whether it came by a signed link: the name is then the one that the link's maker gave.

    Raises
    ------
    IncidentError
        If there is no such action, it waits for no answer, or the answer does not count.
    """
    if not who.strip():
        raise IncidentError(f"action {action_id}: nobody answers; say who does")
    with cases.writing(f"answer action {action_id}") as tx:
        action, before = tx.action(action_id), tx.approvals(action_id)
        answer: Any = decision
        approval = Approval(action_id, who, tuple(groups), answer, at, note)
        state = answered(action, before, approval)
        if not tx.approve(action_id, who, groups, decision, at, note):
            raise IncidentError(f"action {action_id}: {who} has answered already")
        tx.move_action(action_id, WAITING, state, at, {})
        kind = "action_rejected" if state == ActionState.REJECTED else "action_approved"
        text = f"{who} {'rejected' if state == ActionState.REJECTED else 'approved'} {action.name}"
        if by_link:
            # Whoever made the link chose the name: who reads must be able to tell.
            text += " by a signed link"
        if state == ActionState.WAITING:
            groups_so_far = [one.groups for one in (*before, approval)]
            left = open_needs(action.needs, groups_so_far)
            text += f"; it still needs {', '.join(need or 'any approver' for need in left)}"
        more = {"note": note, "groups": list(groups), "by": "link" if by_link else "account"}
        tx.record(action.incident_id, step_of(action, at, who, kind, text, more))
        return tx.action(action_id)


def request(duty: Duty, incident_id: int, name: str, who: str) -> Action:
    """Ask by hand for an action of the config; it needs the same approvals as ever.

    Raises
    ------
    IncidentError
        If there is no such incident or action, or a guard, the cooldown or the budget forbids
        it.
    """
    configured = duty.actions.get(name)
    if configured is None:
        known = ", ".join(duty.actions) or "none"
        raise IncidentError(f"the config has no action {name!r}; it has {known}")
    with duty.cases.writing(f"ask for {name}") as tx:
        now = duty.clock()
        incident, known_actions = tx.get(incident_id), tx.actions(incident_id)
        past = past_of(tx, configured, now)
        found = requested(incident, configured, known_actions, past, who, now)
        return save_asked(duty, tx, incident, found, now, who)


def settle(cases: Cases, action_id: int, who: str, done: bool, at: float, note: str) -> Action:
    """Write down what somebody found out about an action of which nobody knew the outcome.

    Raises
    ------
    IncidentError
        If there is no such action, or its outcome is known.
    """
    with cases.writing(f"settle action {action_id}") as tx:
        action = tx.action(action_id)
        state = ActionState.SUCCEEDED if done else ActionState.FAILED
        if not tx.move_action(action_id, {ActionState.UNKNOWN}, state, at, {"settled_by": who}):
            raise IncidentError(
                f"action {action_id} ({action.name}) is {action.state}, not unknown"
            )
        text = f"{who} found that {action.name} {SAID[state]}"
        more = {"note": note, SETTLED: True}
        step = step_of(action, at, who, f"action_{state}", text, more)
        tx.record(action.incident_id, step)
        return tx.action(action_id)
