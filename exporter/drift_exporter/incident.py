"""Incidents: what they are made of, and how alerts and people move them.

Pure: values in, values out. Knows states and transitions; knows no store, clock or webhook.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from drift_exporter.errors import IncidentError

REOPEN_AFTER_SECONDS = 3600.0
"""How long after its resolution an incident is taken up again when its alerts return."""

ALERTMANAGER = "alertmanager"
"""The actor of what alerts do."""

SEVERITIES = ("info", "warning", "critical")
"""From the least to the gravest; an alert with any other severity counts as ``warning``."""

_LONGEST_TITLE = 200

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class State(StrEnum):
    """How far an incident has come."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATING = "mitigating"
    RESOLVED = "resolved"
    CLOSED = "closed"


ACTIVE = frozenset({State.OPEN, State.ACKNOWLEDGED, State.MITIGATING})
"""States of an incident that goes on."""


ALERT_NAMES = "alert_names"
"""Key of an analysis: names of the alerts that the incident had when it was analysed."""

OUTDATED = "outdated"
"""Key of an analysis: there once something happened that it knows nothing of."""


class Cause(StrEnum):
    """What an incident is about: the data, the monitoring of it, or upkeep that is due."""

    DRIFT = "drift"
    MONITORING = "monitoring"
    UPKEEP = "upkeep"


_PREFIX = "ModelDrift"
_CAUSES = {
    **dict.fromkeys(
        (
            "FeatureDrifted",
            "PredictionDrifted",
            "SegmentDrifted",
            "Widespread",
            "Sustained",
            "MissingValuesHigh",
            "UnseenValuesHigh",
            "OutOfRangeHigh",
        ),
        Cause.DRIFT,
    ),
    **dict.fromkeys(
        (
            "RunFailing",
            "MonitorStale",
            "NeverSucceeded",
            "NoData",
            "TooFewRows",
            "FeatureNotEvaluated",
            "RunSlow",
            "RunsSkipped",
        ),
        Cause.MONITORING,
    ),
}


class ActionState(StrEnum):
    """How far an action has come."""

    PROPOSED = "proposed"
    WAITING = "waiting"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Alert:
    """One alert from its start to its end, as Alertmanager tells it."""

    fingerprint: str
    name: str
    model: str
    """Empty where the alert names none."""

    status: Literal["firing", "resolved"]
    severity: str
    starts_at: float
    ends_at: float | None = None
    """Seconds since the epoch, as all times here; None while it fires."""

    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, float]:
        """What tells it from all other alerts, earlier ones of the same labels too."""
        return self.fingerprint, self.starts_at


@dataclass(frozen=True)
class Incident:
    """What is wrong with a model for one cause, from the first alert to its closing."""

    id: int
    """0 where it is not stored yet."""

    model: str
    cause: Cause
    state: State
    severity: str
    """The gravest that its alerts had; one of `SEVERITIES`."""

    opened: float
    """When the first of its alerts began to fire."""

    updated: float
    acknowledged: float | None = None
    acknowledged_by: str = ""
    resolved: float | None = None
    """When the last of its alerts ended, or a person resolved it."""

    closed: float | None = None
    closed_by: str = ""
    flaps: int = 0
    """How often it came back after it was resolved."""

    classification: str = ""
    title: str = ""
    analysis: Mapping[str, Any] | None = None
    """The evidence, as JSON; None before the analysis."""

    successor: Mapping[str, Any] = field(default_factory=dict)
    """The model version or profile that ended it, as JSON."""

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.state in ACTIVE

    @property
    def outdated(self) -> bool:
        """Whether it came back, or an alert of another kind joined it, since the analysis."""
        return self.analysis is not None and bool(self.analysis.get(OUTDATED))


@dataclass(frozen=True)
class Step:
    """Something that happened to an incident."""

    at: float
    actor: str
    kind: str
    text: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Action:
    """What was proposed or done about an incident."""

    id: int
    """0 where it is not stored yet."""

    incident_id: int
    name: str
    key: str
    """Idempotency key: of one key there is one action."""

    state: ActionState
    created: float
    updated: float
    expires: float | None = None
    needs: tuple[str, ...] = ()
    """A group per approval that is needed; empty text for anybody who may approve."""

    reason: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """The request without secrets, then the answer, as JSON."""


@dataclass(frozen=True)
class Approval:
    """Somebody's answer to a proposed action."""

    action_id: int
    who: str
    groups: tuple[str, ...]
    decision: Literal["approve", "reject"]
    at: float
    note: str = ""


def cause_of(name: str) -> Cause | None:
    """What an alert of this name is about; None for alerts about incidents themselves.

    An incident opened by the alert that an incident is not acknowledged would call for the
    next one.
    """
    short = name.removeprefix(_PREFIX)
    if name != short and short.startswith("Incident"):
        return None
    return _CAUSES.get(short, Cause.UPKEEP) if name != short else Cause.UPKEEP


def severity_of(alert: Alert) -> str:
    """The severity of an alert, one of `SEVERITIES`."""
    return alert.severity if alert.severity in SEVERITIES else "warning"


class Others(NamedTuple):
    """What is known of alerts in sum."""

    firing: int = 0
    ended: float | None = None
    """When the last one ended that has."""


class Known:
    """The alerts of one incident that are known so far, and whether any still fires.

    Of one fingerprint only the newest alert can fire, and only if no other one of it ended
    after it began. So it does not matter in which order alerts and their ends are told.

    Parameters
    ----------
    alerts
        All alerts of some fingerprints.
    others
        Finds how many alerts of other fingerprints fire, and when the last one ended that
        has. It is asked once, and only where that matters.
    """

    def __init__(
        self, alerts: Iterable[Alert] = (), others: Callable[[], Others] | None = None
    ) -> None:
        self._by_fingerprint: dict[str, dict[float, Alert]] = {}
        self._find_others = others
        self._firing = 0
        self._ended: float | None = None
        for alert in alerts:
            self.put(alert)

    @property
    def firing(self) -> int:
        """How many alerts fire."""
        return self._firing + self._others.firing

    @property
    def ended(self) -> float | None:
        """When the last alert ended that has; None where none has."""
        ends = [end for end in (self._ended, self._others.ended) if end is not None]
        return max(ends, default=None)

    @cached_property
    def _others(self) -> Others:
        return Others() if self._find_others is None else self._find_others()

    def get(self, alert: Alert) -> Alert | None:
        """The alert of this fingerprint and start as it is known."""
        return self._by_fingerprint.get(alert.fingerprint, {}).get(alert.starts_at)

    def same(self, fingerprint: str) -> list[Alert]:
        """All alerts of a fingerprint, the oldest first."""
        by_start = self._by_fingerprint.get(fingerprint, {})
        return [by_start[start] for start in sorted(by_start)]

    def put(self, alert: Alert) -> None:
        """Take an alert up, or what is new about it."""
        before = self.get(alert)
        self._firing += _fires(alert) - (before is not None and _fires(before))
        if alert.ends_at is not None:
            self._ended = max(alert.ends_at, self._ended or alert.ends_at)
        self._by_fingerprint.setdefault(alert.fingerprint, {})[alert.starts_at] = alert


class Received(NamedTuple):
    """What an alert changes; nothing where there are no alerts to store."""

    incident: Incident | None
    """What it belongs to; a new one has the id 0."""

    steps: tuple[Step, ...] = ()
    alerts: tuple[Alert, ...] = ()
    """To be stored: the alert, and those that it proves to be over."""


def receive(
    incident: Incident | None,
    known: Known,
    alert: Alert,
    now: float,
    reopen_after_seconds: float = REOPEN_AFTER_SECONDS,
) -> Received:
    """What an alert does to the incident of its model and cause.

    What is known already changes nothing, however often and late it is told again.

    Parameters
    ----------
    incident
        The one that the alert is known to belong to, else the newest of the model and cause.
    known
        Alerts of the incident, all of the alert's fingerprint among them; takes up what is
        new. That of a new incident has to be empty.
    """
    before = known.get(alert)
    if before is not None and _tells_nothing(before, alert):
        return Received(incident)
    alert = _bounded(alert, now)
    if incident is None or (before is None and _is_past(incident, alert, reopen_after_seconds)):
        return _opened(alert, now)
    stored = _put(known, alert)
    told = stored[0]
    kind = "alert_firing" if told.status == "firing" else "alert_resolved"
    steps = [Step(now, ALERTMANAGER, kind, _alert_text(told), _evidence(told))]
    if before is not None and not _fires(before):
        # Only its end is told anew.
        steps = []
    after, more = _follow(incident, known, told, now)
    return Received(after, (*steps, *more), stored)


def _opened(alert: Alert, now: float) -> Received:
    cause = cause_of(alert.name)
    if cause is None:
        raise IncidentError(
            f"the alert {alert.name!r} is about an incident and cannot open one; "
            "this is an error of drift-exporter, please report it"
        )
    begun = min(alert.starts_at, now)
    over = alert.status == "resolved"
    incident = Incident(
        id=0,
        model=alert.model,
        cause=cause,
        state=State.RESOLVED if over else State.OPEN,
        severity=severity_of(alert),
        opened=begun,
        updated=now,
        resolved=alert.ends_at if over else None,
        title=(alert.annotations.get("summary") or alert.name)[:_LONGEST_TITLE],
    )
    texts = {"opened": f"{alert.name} opened the incident"}
    if over:
        texts["alert_resolved"] = _alert_text(alert)
        texts["resolved"] = "all alerts are resolved"
    steps = [Step(now, ALERTMANAGER, kind, text, _evidence(alert)) for kind, text in texts.items()]
    return Received(incident, tuple(steps), (alert,))


def _put(known: Known, alert: Alert) -> tuple[Alert, ...]:
    """Take an alert up; it as it is then, and those of its fingerprint that it ends."""
    known.put(alert)
    same = known.same(alert.fingerprint)
    newest = same[-1]
    ended = []
    for each in same:
        if each.status == "resolved":
            continue
        # Alertmanager may tell another start of what it tells the end of.
        ends = [o.ends_at for o in same if o.ends_at is not None and o.ends_at > each.starts_at]
        if ends or each is not newest:
            end = min(ends) if ends else newest.starts_at
            ended.append(replace(each, status="resolved", ends_at=end))
    for each in ended:
        known.put(each)
    told = known.get(alert) or alert
    return told, *(each for each in ended if each is not told)


def _follow(
    incident: Incident, known: Known, alert: Alert, now: float
) -> tuple[Incident, list[Step]]:
    """The incident after an alert that it is known to have."""
    steps = []
    evidence = _evidence(alert)
    if incident.state is State.CLOSED:
        return incident, []
    after = replace(incident, updated=now, opened=min(incident.opened, alert.starts_at, now))
    severity = severity_of(alert)
    if SEVERITIES.index(severity) > SEVERITIES.index(incident.severity):
        after = replace(after, severity=severity)
        text = f"{severity}, was {incident.severity}"
        steps.append(Step(now, ALERTMANAGER, "severity", text, evidence))
    if alert.status == "firing" and incident.state is State.RESOLVED:
        # Whoever had acknowledged it still has it in hand.
        state = State.OPEN if incident.acknowledged is None else State.ACKNOWLEDGED
        after = replace(after, state=state, resolved=None, flaps=incident.flaps + 1)
        text = f"{alert.name} fires again"
        steps.append(Step(now, ALERTMANAGER, "reopened", text, evidence))
    if alert.status == "firing":
        after = _outdated(after, alert, again=after.flaps > incident.flaps)
    if alert.status == "resolved" and known.firing == 0 and known.ended is not None:
        if incident.active:
            text = "all alerts are resolved"
            steps.append(Step(now, ALERTMANAGER, "resolved", text, evidence))
        ended = max(known.ended, incident.resolved or known.ended)
        after = replace(after, state=State.RESOLVED, resolved=ended)
    return after, steps


def _outdated(incident: Incident, alert: Alert, *, again: bool) -> Incident:
    """The incident with an analysis that counts no more, where the alert is news to it.

    What was a shift of the data may be a fault this time, and no model may be retrained on it.
    """
    analysis = incident.analysis
    if analysis is None or not (again or alert.name not in analysis.get(ALERT_NAMES, ())):
        return incident
    return replace(incident, analysis={**analysis, OUTDATED: True})


def _is_past(incident: Incident, alert: Alert, reopen_after_seconds: float) -> bool:
    """Whether an alert that is new came too late for an incident."""
    if incident.closed is not None:
        # Its end may be told late; whatever fires needs somebody.
        ends = alert.ends_at
        return ends is None or ends > incident.closed
    if incident.resolved is not None:
        return alert.starts_at > incident.resolved + reopen_after_seconds
    return False


def _tells_nothing(before: Alert, alert: Alert) -> bool:
    """Whether an alert that is known says no more than what is known."""
    if _fires(alert) or before.ends_at is None:
        return _fires(alert)
    return alert.ends_at is None or alert.ends_at <= before.ends_at


def _bounded(alert: Alert, now: float) -> Alert:
    """The alert with an end where it has one, not before its start."""
    if alert.status == "firing":
        return replace(alert, ends_at=None)
    # An end that is still to come would swallow what fires until then.
    end = now if alert.ends_at is None else min(alert.ends_at, now)
    return replace(alert, ends_at=max(end, alert.starts_at))


def _fires(alert: Alert) -> bool:
    return alert.status == "firing"


def _alert_text(alert: Alert) -> str:
    feature = alert.labels.get("feature")
    of = f" of {feature}" if feature else ""
    return f"{alert.name}{of} {'fires' if _fires(alert) else 'is resolved'}"


def _evidence(alert: Alert) -> dict[str, Any]:
    """What a step keeps of an alert: what tells it from others, and no free text."""
    found = {
        "alert": alert.name,
        "fingerprint": alert.fingerprint,
        "severity": alert.severity,
        "starts_at": alert.starts_at,
        "ends_at": alert.ends_at,
    }
    kept = ("feature", "output", "window", "segment_by", "segment")
    return {**found, **{label: alert.labels[label] for label in kept if label in alert.labels}}


def analysis_digest(analysis: Mapping[str, Any]) -> str:
    """SHA-256 of an analysis as it was made, in hexadecimal digits."""
    # What is outdated was not when it was made.
    made = {key: value for key, value in analysis.items() if key != OUTDATED}
    return hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()


MOVES: Mapping[str, frozenset[State]] = MappingProxyType(
    {
        "acknowledge": frozenset({State.OPEN}),
        "mitigate": frozenset({State.OPEN, State.ACKNOWLEDGED}),
        "resolve": ACTIVE,
        "close": frozenset({State.RESOLVED}),
        "note": frozenset(State),
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
    return _owned(incident, State.ACKNOWLEDGED, actor, now), step


def mitigate(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody works on the incident, and with that has acknowledged it.

    Raises
    ------
    IncidentError
        If it is neither open nor acknowledged.
    """
    step = _step("mitigate", "mitigating", incident, actor, now, text)
    return _owned(incident, State.MITIGATING, actor, now), step


def resolve(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody says that it is over, whatever the alerts say.

    Raises
    ------
    IncidentError
        If it is resolved or closed.
    """
    step = _step("resolve", "resolved", incident, actor, now, text)
    return replace(incident, state=State.RESOLVED, updated=now, resolved=now), step


def close(incident: Incident, actor: str, now: float, text: str) -> tuple[Incident, Step]:
    """Somebody puts a resolved incident to the files; alerts open a new one from then on.

    Raises
    ------
    IncidentError
        If it is not resolved.
    """
    step = _step("close", "closed", incident, actor, now, text)
    after = replace(incident, state=State.CLOSED, updated=now, closed=now, closed_by=actor)
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


def _owned(incident: Incident, state: State, actor: str, now: float) -> Incident:
    after = replace(incident, state=state, updated=now)
    if incident.acknowledged is None:
        after = replace(after, acknowledged=now, acknowledged_by=actor)
    return after


def _step(move: str, kind: str, incident: Incident, actor: str, now: float, text: str) -> Step:
    if not actor:
        raise IncidentError(f"incident {incident.id}: nobody wants to {move} it; say who does")
    if incident.state not in MOVES[move]:
        by = f" by {incident.acknowledged_by}" if incident.state is State.ACKNOWLEDGED else ""
        raise IncidentError(
            f"incident {incident.id} is {incident.state}{by}: cannot {move} it; "
            f"possible are {', '.join(possible(incident))}"
        )
    return Step(now, actor, kind, text)
