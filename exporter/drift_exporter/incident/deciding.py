"""Which actions an incident asks for, and whether an approved one may still start.

Pure: the incident, the config, what was asked for before and the time in; decisions out.
Knows no store, request, secret or clock.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from drift_exporter.config import duration_of
from drift_exporter.config.action import Action as Configured
from drift_exporter.config.when import DATA_QUALITY, NOTHING_FOUND, When
from drift_exporter.errors import IncidentError
from drift_exporter.incident.approving import APPROVE, REJECT, WAITING, open_needs, people
from drift_exporter.incident.values import (
    FAULTY,
    Action,
    ActionState,
    Approval,
    Incident,
    IncidentState,
)

DAY_SECONDS = 86400.0
MOST_RESENDS = 3
"""How often an action is sent again: one that ends the exporter must not end it for ever."""

OPEN = WAITING | {ActionState.APPROVED, ActionState.STARTED}
"""States from which an action still goes on by itself or by an answer."""

SENT = frozenset({ActionState.STARTED, ActionState.SUCCEEDED, ActionState.UNKNOWN})
"""States of actions that were done, as far as anybody knows."""

_SPENT = OPEN | SENT | {ActionState.FAILED}
"""States that use up a place of the day."""

_COOLING = OPEN | SENT
"""States after which there is a cooldown: what surely failed or was refused needs none."""


class Occasion(StrEnum):
    """On what an action is asked for."""

    OPENED = "opened"
    CLASSIFIED = "classified"
    RESOLVED = "resolved"
    PROMOTED = "promoted"
    REQUESTED = "requested"


class Past(NamedTuple):
    """An action of any incident that was asked for before."""

    name: str
    model: str
    state: ActionState
    at: float
    """When it was sent, or else asked for."""


@dataclass(frozen=True)
class Asked:
    """An action that an incident asks for, and what is to become of it."""

    action: Configured
    occasion: Occasion
    key: str
    """Idempotency key, new for each action that is asked for."""

    marks: tuple[str, ...]
    """What it is asked for: of each occasion there is, the same for the same action, incident and
    occasion."""

    state: ActionState
    """``waiting`` for approvals, ``approved`` where none is needed, or ``skipped``."""

    needs: tuple[str, ...]
    expires: float
    reason: str
    """Why it is asked for, or why it is skipped."""


def occasions(incident: Incident, now: float, longest_ago_seconds: float) -> tuple[Occasion, ...]:
    """What has happened to an incident that an action may answer.

    A resolution or a promotion counts for so long only: an action that is new in the config
    must not answer the incidents of last year.
    """
    found = []
    if incident.active:
        found.append(Occasion.OPENED)
        if incident.classification and not incident.outdated:
            found.append(Occasion.CLASSIFIED)
    elif incident.resolved is not None and now - incident.resolved <= longest_ago_seconds:
        found.append(Occasion.RESOLVED)
    if incident.successor and now - _promoted(incident) <= longest_ago_seconds:
        found.append(Occasion.PROMOTED)
    return tuple(found)


def asked(
    incident: Incident,
    tier: str,
    actions: Iterable[Configured],
    known: Sequence[Action],
    past: Mapping[str, Sequence[Past]],
    now: float,
) -> Iterator[Asked]:
    """The actions that an incident asks for now and has not asked for before.

    Parameters
    ----------
    incident, tier
        The incident, and the tier of its model.
    actions
        The actions of the config.
    known
        What this incident has asked for so far.
    past
        By name of the action, what any incident asked for, as far back as the longest of a
        day and the action's cooldown.
    now
        Seconds since the epoch.
    """
    for action in actions:
        there = [o for o in occasions(incident, now, action.expires.seconds) if o in action.when.on]
        marks = tuple(mark_of(incident, action.name, occasion) for occasion in there)
        answered = {mark for one in known for mark in _marks(one)}
        new = [o for o, mark in zip(there, marks, strict=True) if mark not in answered]
        if any(_rejected(one, action.name, incident) for one in known):
            # A look at the incident is no new reason, only a promotion or its end.
            new = [o for o in new if o not in (Occasion.OPENED, Occasion.CLASSIFIED)]
        if not new or not matches(action.when, incident, tier) or _going_on(action.name, known):
            continue
        if is_held(action, incident):
            continue
        # Several occasions at once are one reason to act.
        yield _asked(action, incident, new[0], marks, past.get(action.name, ()), now)


def requested(
    incident: Incident,
    action: Configured,
    known: Sequence[Action],
    past: Sequence[Past],
    who: str,
    now: float,
) -> Asked:
    """An action that a person asks for, whatever its ``when`` says.

    Raises
    ------
    IncidentError
        If the incident is closed, the action is under way, or a guard forbids it.
    """
    where = f"incident {incident.id}: action {action.name!r}"
    if incident.state == IncidentState.CLOSED:
        raise IncidentError(f"{where} cannot be asked for: the incident is closed")
    if _going_on(action.name, known):
        raise IncidentError(f"{where} is under way already; approve, reject or await that one")
    tries = sum(one.name == action.name for one in known)
    mark = mark_of(incident, action.name, Occasion.REQUESTED, f" {tries}")
    found = _asked(action, incident, Occasion.REQUESTED, (mark,), past, now)
    if found.state == ActionState.SKIPPED:
        raise IncidentError(f"{where} cannot be asked for: {found.reason}")
    return replace(found, reason=f"asked for by {who}")


def matches(when: When, incident: Incident, tier: str) -> bool:
    """Whether an action answers such an incident."""
    named = not when.classifications or any(
        fnmatchcase(incident.classification, glob) for glob in when.classifications
    )
    return (
        named
        and when.covers(incident.model)
        and (not when.tiers or tier in when.tiers)
        and incident.cause in when.causes
        and incident.severity in when.severities
    )


def mark_of(incident: Incident, name: str, occasion: Occasion, more: str = "") -> str:
    """What tells an occasion from others.

    A flap, another classification or another promotion is a new one.
    """
    if occasion == Occasion.PROMOTED:
        return f"{name} {occasion} {_promoted(incident)}"
    as_what = incident.classification if occasion == Occasion.CLASSIFIED else ""
    return f"{name} {occasion} {incident.flaps} {as_what}{more}"


def key_of(incident: Incident, marks: Sequence[str], now: float) -> str:
    """The idempotency key: lower-case letters, digits and hyphens, at most 63 of them.

    Fit for a header, for the id of a DAG run and for the name of a Kubernetes Job. The time is
    in it: the incident 1 of a test must not be taken for the incident 1 of production.
    """
    what = json.dumps([incident.id, incident.model, *marks, now])
    return f"drift-{incident.id}-{hashlib.sha256(what.encode()).hexdigest()[:20]}"


def guard(action: Configured, incident: Incident) -> str:
    """Why an action must not be done, whatever people approve; empty where nothing forbids it."""
    if not action.retrain:
        return ""
    classification = incident.classification
    if incident.outdated:
        return "more happened since the analysis; it is made anew first"
    if classification in ("", NOTHING_FOUND):
        return "a model is retrained only when the analysis has told what happened"
    if classification == DATA_QUALITY:
        return "a model is never retrained on data of bad quality: it would learn the fault"
    if incident.analysis is not None and incident.analysis.get(FAULTY):
        return (
            "data of this incident were of bad quality before, and a model would learn the fault; "
            "close it, and whatever still fires opens a new one"
        )
    return ""


def is_held(action: Configured, incident: Incident) -> bool:
    """Whether an action waits until the incident is analysed anew."""
    return action.retrain and incident.outdated


def may_start(
    action: Action,
    configured: Configured | None,
    approvals: Sequence[Approval],
    incident: Incident,
    now: float,
) -> tuple[ActionState, str]:
    """What becomes of an approved action now: ``started``, or why not, with the state for it."""
    if action.expires is not None and now >= action.expires:
        return ActionState.EXPIRED, "it was not sent in time"
    if configured is None:
        return ActionState.SKIPPED, "the config has no such action or model any more"
    if action.detail.get("config") != fingerprint(configured):
        return ActionState.SKIPPED, "the action was changed in the config since it was asked for"
    if withdrawn(action, incident):
        return ActionState.SKIPPED, "the incident was closed before"
    known_as = str(action.detail.get("classification") or "")
    forbidden = guard(configured, incident)
    if not forbidden and known_as not in ("", incident.classification):
        # People approved an answer to something else, and the request speaks of it.
        forbidden = (
            f"it was asked for as {known_as}, and the incident is "
            f"{incident.classification or 'not classified'} now; ask for it again"
        )
    if forbidden:
        return ActionState.SKIPPED, forbidden
    approved = [one.groups for one in approvals if one.decision == APPROVE]
    # Counted again from the answers themselves: the state alone must not be able to send.
    left = open_needs(action.needs, approved)
    if left or any(one.decision == REJECT for one in approvals):
        return ActionState.SKIPPED, f"it lacks the approval of {people(left)}"
    return ActionState.STARTED, ""


def given_up(action: Action, state: ActionState) -> ActionState:
    """The state of an action that is not sent any more: unknown if it was to be sent again."""
    return ActionState.UNKNOWN if action.detail.get("resends") else state


def recovered(action: Action, configured: Configured | None) -> ActionState:
    """What becomes of an action that was started and of which no outcome is known.

    ``approved`` where it is to be sent again with the same key, else ``unknown``.
    """
    again = (
        configured is not None
        and configured.after_unknown == "resend"
        and action.detail.get("config") == fingerprint(configured)
        and int(action.detail.get("resends", 0)) < MOST_RESENDS
    )
    return ActionState.APPROVED if again else ActionState.UNKNOWN


def withdrawn(action: Action, incident: Incident) -> bool:
    """Whether the incident was closed, so that what was asked for before is of no use."""
    after = (Occasion.RESOLVED, Occasion.PROMOTED)
    return incident.state == IncidentState.CLOSED and action.detail.get("occasion") not in after


def fingerprint(action: Configured) -> str:
    """What tells an action of the config from a changed one; no secret goes into it."""
    text = json.dumps(action.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _asked(
    action: Configured,
    incident: Incident,
    occasion: Occasion,
    marks: tuple[str, ...],
    past: Sequence[Past],
    now: float,
) -> Asked:
    reason = guard(action, incident) or _too_often(action, incident, past, now)
    state = ActionState.SKIPPED
    if not reason:
        state = ActionState.WAITING if action.needs else ActionState.APPROVED
        reason = f"the incident was {occasion}"
        if occasion == Occasion.CLASSIFIED:
            reason += f" as {incident.classification}"
    return Asked(
        action=action,
        occasion=occasion,
        key=key_of(incident, marks, now),
        marks=marks,
        state=state,
        needs=action.needs,
        expires=now + action.expires.seconds,
        reason=reason,
    )


def _too_often(action: Configured, incident: Incident, past: Sequence[Past], now: float) -> str:
    today = sum(one.state in _SPENT and now - one.at < DAY_SECONDS for one in past)
    if today >= action.most_per_day:
        return f"it was asked for {today} times in 24 hours, which is all that per_day allows"
    wait = action.cooldown or duration_of(action.cooldown_seconds)
    recent = any(
        one.state in _COOLING
        and one.model == incident.model
        and now - one.at < action.cooldown_seconds
        for one in past
    )
    if recent:
        return f"it was done or asked for this model less than {wait} ago (cooldown)"
    return ""


def _going_on(name: str, known: Sequence[Action]) -> bool:
    return any(one.name == name and one.state in OPEN for one in known)


def _marks(action: Action) -> Sequence[str]:
    found: Sequence[str] = action.detail.get("marks", ())
    return found


def _rejected(action: Action, name: str, incident: Incident) -> bool:
    """Whether people rejected an action while the incident was what it is now."""
    detail = action.detail
    return (
        action.name == name
        and action.state == ActionState.REJECTED
        and detail.get("flaps") == incident.flaps
        and detail.get("classification") in ("", incident.classification)
    )


def _promoted(incident: Incident) -> float:
    return float(incident.successor.get("at", incident.updated))
