"""What answering incidents needs, and the words in which each step of an action is kept.

Knows the store and what this process answers for; never which action comes next.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drift_exporter.config.action import Action as Configured
from drift_exporter.config.response import Response
from drift_exporter.exchange.building import Request
from drift_exporter.exchange.sending import Sent
from drift_exporter.incident import Action, ActionState, Incident, Step
from drift_exporter.store.cases import Cases

ACTOR = "drift-exporter"
"""The actor of what nobody did by hand."""

MOST_INCIDENTS = 1000
"""Newest incidents of each kind that a round looks at."""

STARTED_AT = "started"
"""Key of the detail of an action: when it was sent."""

Send = Callable[[Configured, Request], Sent]


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


def actions_of_ours(
    duty: Duty, states: set[ActionState] | frozenset[ActionState]
) -> Iterator[tuple[Action, Incident]]:
    """Actions in some states, with their incidents, of the models that we answer for."""
    for action in duty.cases.actions(states=states):
        incident = duty.cases.incident(action.incident_id)
        if incident is not None and duty.ours(incident.model):
            yield action, incident


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
