"""Whose approval an action needs, and what an answer changes.

Pure: the action, the answers so far and a new one in; its next state out. Knows no store, config
or clock, and no roles: who may answer at all is asked before.
"""

from collections.abc import Collection, Sequence

from drift_exporter.errors import IncidentError
from drift_exporter.incident.values import Action, ActionState, Approval

APPROVE, REJECT = "approve", "reject"

WAITING = frozenset({ActionState.PROPOSED, ActionState.WAITING})
"""States in which an action can be approved or rejected."""


def open_needs(needs: Sequence[str], groups: Sequence[Collection[str]]) -> tuple[str, ...]:
    """The needs that people with such groups leave open; each person fills one at most.

    Parameters
    ----------
    needs
        A group for each approval that is needed, ``""`` for anybody.
    groups
        The groups of each person that approved.

    Returns
    -------
    tuple
        As few as possible: people are placed so that most needs are filled.

    Examples
    --------
    >>> open_needs(("science", "clinic"), [{"science", "clinic"}])
    ('clinic',)
    >>> open_needs(("science", "clinic"), [{"science", "clinic"}, {"science"}])
    ()
    """
    placed: dict[int, int] = {}  # need -> person

    def place(person: int, tried: set[int]) -> bool:
        for i, need in enumerate(needs):
            if i in tried or (need and need not in groups[person]):
                continue
            tried.add(i)
            if i not in placed or place(placed[i], tried):
                placed[i] = person
                return True
        return False

    for person in range(len(groups)):
        place(person, set())
    return tuple(need for i, need in enumerate(needs) if i not in placed)


def answered(action: Action, before: Sequence[Approval], answer: Approval) -> ActionState:
    """The state of an action after somebody's answer.

    Raises
    ------
    IncidentError
        If it waits for no answer, has expired, was answered by the same person before, or
        needs nobody of these groups.
    """
    where = f"action {action.id} ({action.name})"
    if answer.decision not in (APPROVE, REJECT):
        raise IncidentError(f"{where}: {answer.decision!r} is no answer; {APPROVE} or {REJECT} it")
    if action.state not in WAITING:
        raise IncidentError(f"{where} is {action.state} and waits for no answer")
    if action.expires is not None and answer.at >= action.expires:
        raise IncidentError(f"{where} has expired; ask for it again")
    if any(_same(one.who, answer.who) for one in before):
        raise IncidentError(f"{where}: {answer.who} has answered already; it takes somebody else")
    approved = [one.groups for one in before if one.decision == APPROVE]
    left = open_needs(action.needs, approved)
    after = open_needs(action.needs, [*approved, answer.groups])
    if answer.decision == REJECT:
        # Who could approve can reject: anybody of a group that it needs, filled or not.
        if len(open_needs(action.needs, [answer.groups])) == len(action.needs):
            raise IncidentError(f"{where} can be rejected by {people(action.needs)} only")
        return ActionState.REJECTED
    if len(after) == len(left):
        raise IncidentError(f"{where} still needs {people(left)}; the answer fills no place")
    return ActionState.WAITING if after else ActionState.APPROVED


def people(needs: Sequence[str]) -> str:
    """Who is needed, in words."""
    named = [f"somebody of {need!r}" if need else "any approver" for need in needs]
    return " and ".join(dict.fromkeys(named)) or "nobody"


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
