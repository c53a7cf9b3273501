"""How people move incidents: take in hand, resolve, close, write something down."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from drift_exporter.errors import IncidentError
from drift_exporter.incident.values import ACTIVE, Incident, IncidentState, Step

MOVES: Mapping[str, frozenset[IncidentState]] = MappingProxyType(
    {
        "acknowledge": frozenset({IncidentState.OPEN}),
        "mitigate": frozenset({IncidentState.OPEN, IncidentState.ACKNOWLEDGED}),
        "resolve": ACTIVE,
        "close": frozenset({IncidentState.RESOLVED}),
        "note": frozenset(IncidentState),
    }
)
"""What people can do, and in which states."""


def possible(incident: Incident) -> tuple[str, ...]:
    """What people can do with an incident now."""
    return tuple(move for move, states in MOVES.items() if incident.state in states)


def acknowledge(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody takes the incident in hand.

    Raises
    ------
    IncidentError
        If it is not open.
    """
    step = _step("acknowledge", "acknowledged", incident, actor, now, text)
    return _owned(incident, IncidentState.ACKNOWLEDGED, actor, now), step


def mitigate(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody works on the incident, and with that has acknowledged it.

    Raises
    ------
    IncidentError
        If it is neither open nor acknowledged.
    """
    step = _step("mitigate", "mitigating", incident, actor, now, text)
    return _owned(incident, IncidentState.MITIGATING, actor, now), step


def resolve(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody says that it is over, whatever the alerts say.

    Raises
    ------
    IncidentError
        If it is resolved or closed.
    """
    step = _step("resolve", "resolved", incident, actor, now, text)
    return replace(incident, state=IncidentState.RESOLVED, updated=now, resolved=now), step


def close(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody puts a resolved incident to the files; alerts open a new one from then on.

    Raises
    ------
    IncidentError
        If it is not resolved.
    """
    step = _step("close", "closed", incident, actor, now, text)
    after = replace(incident, state=IncidentState.CLOSED, updated=now, closed=now, closed_by=actor)
    return after, step


def note(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody writes something down.

    Raises
    ------
    IncidentError
        If there is nothing written.
    """
    if not text.strip():
        raise IncidentError(f"incident {incident.id}: the note is empty; write what is to be kept")
    return replace(incident, updated=now), _step("note", "note", incident, actor, now, text)


def _owned(incident: Incident, state: IncidentState, actor: str, now: float) -> Incident:
    after = replace(incident, state=state, updated=now)
    if incident.acknowledged is None:
        after = replace(after, acknowledged=now, acknowledged_by=actor)
    return after


def _step(move: str, kind: str, incident: Incident, actor: str, now: float, text: str) -> Step:
    if not actor:
        raise IncidentError(f"incident {incident.id}: nobody wants to {move} it; say who does")
    if incident.state not in MOVES[move]:
        by = (
            f" by {incident.acknowledged_by}"
            if incident.state is IncidentState.ACKNOWLEDGED
            else ""
        )
        raise IncidentError(
            f"incident {incident.id} is {incident.state}{by}: cannot {move} it; "
            f"possible are {', '.join(possible(incident))}"
        )
    return Step(now, actor, kind, text)
