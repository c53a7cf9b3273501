"""How alerts move incidents, in whatever order and however often they are told."""

from dataclasses import replace
from typing import Any, NamedTuple

from drift_exporter.errors import IncidentError
from drift_exporter.incident.known import Known, fires
from drift_exporter.incident.values import (
    ALERT_NAMES,
    ALERTMANAGER,
    OUTDATED,
    SEVERITIES,
    Alert,
    Cause,
    Incident,
    IncidentState,
    Step,
)

REOPEN_AFTER_SECONDS = 3600.0
"""How long after its resolution an incident is taken up again when its alerts return."""

LATE_SECONDS = 300.0
"""How long after its end an alert may be told as firing by a delivery that is late.

Later it fires again: Prometheus goes on with the same start when Alertmanager has taken an alert
for over because nothing came of it for a while.
"""

_LONGEST_TITLE = 200

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
    told: float | None = None,
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
    alert
        The alert as it was told.
    now
        Seconds since the epoch.
    reopen_after_seconds
        How long after its resolution the incident is taken up again.
    told
        When something new was told of this very alert last; None where that is not known.
    """
    before = known.get(alert)
    again = before is not None and fires_again(before, alert, now, told)
    again = again and before is known.same(alert.fingerprint)[-1]
    if before is not None and not again and _tells_nothing(before, alert):
        return Received(incident)
    alert = _bounded(alert, now)
    new = before is None or again
    begun = now if again else alert.starts_at
    if incident is None or (new and _is_past(incident, alert, begun, reopen_after_seconds)):
        return _opened(alert, begun, now)
    stored = _put(known, alert, now)
    told_now = stored[0]
    kind = "alert_firing" if told_now.status == "firing" else "alert_resolved"
    steps = [Step(now, ALERTMANAGER, kind, _alert_text(told_now), _evidence(told_now))]
    if before is not None and not again and not fires(before):
        # Only its end is told anew.
        steps = []
    after, more = _follow(incident, known, told_now, before, now)
    return Received(after, (*steps, *more), stored)


def fires_again(before: Alert, alert: Alert, now: float, told: float | None) -> bool:
    """Whether an alert that was over goes on, and is not just told late."""
    return fires(alert) and not fires(before) and told is not None and now - told > LATE_SECONDS


def _opened(alert: Alert, begun: float, now: float) -> Received:
    cause = cause_of(alert.name)
    if cause is None:
        raise IncidentError(
            f"the alert {alert.name!r} is about an incident and cannot open one; "
            "this is an error of drift-exporter, please report it"
        )
    over = alert.status == "resolved"
    incident = Incident(
        id=0,
        model=alert.model,
        cause=cause,
        state=IncidentState.RESOLVED if over else IncidentState.OPEN,
        severity=severity_of(alert),
        opened=min(begun, now),
        updated=now,
        resolved=alert.ends_at if over else None,
        title=(alert.annotations.get("summary") or alert.name)[:_LONGEST_TITLE],
    )
    told = _evidence(alert)
    texts = {
        "opened": (
            f"{alert.name}{_of(alert)} opened the incident",
            {**told, "opened": incident.opened},
        )
    }
    if over:
        texts["alert_resolved"] = (_alert_text(alert), told)
        texts["resolved"] = ("all alerts are resolved", {**told, "resolved": alert.ends_at})
    steps = [Step(now, ALERTMANAGER, kind, *said) for kind, said in texts.items()]
    return Received(incident, tuple(steps), (alert,))


def _put(known: Known, alert: Alert, now: float) -> tuple[Alert, ...]:
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
            ended.append(replace(each, status="resolved", ends_at=min(end, now)))
    for each in ended:
        known.put(each)
    told = known.get(alert) or alert
    return told, *(each for each in ended if each is not told)


def _follow(
    incident: Incident, known: Known, alert: Alert, before: Alert | None, now: float
) -> tuple[Incident, list[Step]]:
    """The incident after an alert that it is known to have, and what that was before."""
    steps = []
    evidence = _evidence(alert)
    if incident.state is IncidentState.CLOSED:
        return incident, []
    after = replace(incident, updated=now, opened=min(incident.opened, alert.starts_at, now))
    severity = severity_of(alert)
    if SEVERITIES.index(severity) > SEVERITIES.index(incident.severity):
        after = replace(after, severity=severity)
        text = f"{severity}, was {incident.severity}"
        steps.append(Step(now, ALERTMANAGER, "severity", text, evidence))
    if alert.status == "firing" and incident.state is IncidentState.RESOLVED:
        # Whoever had acknowledged it still has it in hand.
        state = IncidentState.OPEN if incident.acknowledged is None else IncidentState.ACKNOWLEDGED
        after = replace(after, state=state, resolved=None, flaps=incident.flaps + 1)
        text = f"{alert.name} fires again"
        steps.append(Step(now, ALERTMANAGER, "reopened", text, evidence))
    if alert.status == "firing":
        after = _outdated(after, alert, again=after.flaps > incident.flaps)
    if alert.status == "resolved" and known.firing == 0 and known.ended is not None:
        if incident.active:
            text = "all alerts are resolved"
            told = {**evidence, "resolved": known.ended}
            steps.append(Step(now, ALERTMANAGER, "resolved", text, told))
        ended = max(known.ended, known.ended if incident.resolved is None else incident.resolved)
        if not incident.active and before is not None and fires(before):
            # A person resolved it while the alert fired: that is when it was over.
            ended = incident.resolved if incident.resolved is not None else ended
        after = replace(after, state=IncidentState.RESOLVED, resolved=ended)
    return after, steps


def _outdated(incident: Incident, alert: Alert, *, again: bool) -> Incident:
    """The incident with an analysis that counts no more, where the alert is news to it.

    What was a shift of the data may be a fault this time, and no model may be retrained on it.
    """
    analysis = incident.analysis
    if analysis is None or not (again or alert.name not in analysis.get(ALERT_NAMES, ())):
        return incident
    return replace(incident, analysis={**analysis, OUTDATED: True})


def _is_past(incident: Incident, alert: Alert, begun: float, reopen_after_seconds: float) -> bool:
    """Whether an alert that is new, and fires since then, came too late for an incident."""
    if incident.closed is not None:
        # Its end may be told late; whatever fires needs somebody.
        ends = alert.ends_at
        return ends is None or ends > incident.closed
    if incident.resolved is not None:
        return begun > incident.resolved + reopen_after_seconds
    return False


def _tells_nothing(before: Alert, alert: Alert) -> bool:
    """Whether an alert that is known says no more than what is known."""
    if fires(alert) or before.ends_at is None:
        return fires(alert)
    return alert.ends_at is None or alert.ends_at <= before.ends_at


def _bounded(alert: Alert, now: float) -> Alert:
    """The alert with an end where it has one: not before its start, and never still to come."""
    if alert.status == "firing":
        return replace(alert, ends_at=None)
    end = now if alert.ends_at is None else max(alert.ends_at, alert.starts_at)
    # An end that is still to come would swallow what fires until then.
    return replace(alert, ends_at=min(end, now))


def _alert_text(alert: Alert) -> str:
    return f"{alert.name}{_of(alert)} {'fires' if fires(alert) else 'is resolved'}"


def _of(alert: Alert) -> str:
    """Which column and segment an alert is about, as part of a sentence."""
    column = alert.labels.get("feature") or alert.labels.get("output")
    by, segment = alert.labels.get("segment_by"), alert.labels.get("segment")
    return (f" of {column}" if column else "") + (f" where {by} is {segment}" if by else "")


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
