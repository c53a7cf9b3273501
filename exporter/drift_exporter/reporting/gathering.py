"""The facts of a report, gathered from store and config.

Knows what belongs into a report and where it is kept; not how it looks.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from drift_exporter import __version__
from drift_exporter.audit import PRUNED, Entry
from drift_exporter.config import CANARY, Config, ModelConfig
from drift_exporter.errors import IncidentError, StoreError
from drift_exporter.incident import Incident
from drift_exporter.incident.records import Compared
from drift_exporter.reporting.answers import times_of
from drift_exporter.reporting.cases import alert_facts, case_facts, step_facts
from drift_exporter.reporting.evidence import evidence
from drift_exporter.reporting.facts import (
    FORMAT_VERSION,
    CaseReport,
    ChangeFacts,
    Frozen,
    Head,
    IntegrityFacts,
    MonitoringFacts,
    Series,
    SpanReport,
)
from drift_exporter.reporting.models import model_facts, stale_after_seconds
from drift_exporter.reporting.proof import Log, all_incidents, last_id
from drift_exporter.reporting.retrospective import retrospective
from drift_exporter.reporting.watching import watched
from drift_exporter.snapshot import Run
from drift_exporter.store import Store

DRAWN_COLUMNS = 3
"""Columns of an incident whose PSI is drawn."""

DRAWN_POINTS = 300
AROUND_SECONDS = 86400.0
"""How much is drawn before and after an incident, at most."""

_AT_ONCE = 500


def facts(
    store: Store,
    config: Config,
    *,
    since: float,
    until: float,
    now: float,
    incident_id: int | None = None,
) -> SpanReport | CaseReport:
    """The facts of a span, or of an incident where one is named (then the span is of no use).

    Parameters
    ----------
    store, config
        Where they come from; both are read only.
    since, until
        The span ``[since, until)`` in seconds since the epoch; what lies after ``now`` is left
        out.
    now
        When the report is made.
    incident_id
        The incident that is told of.

    Raises
    ------
    IncidentError
        If there is no such incident, or the span is empty.
    StoreError
        If the store cannot be read.
    """
    if incident_id is not None:
        return _case(store, config, incident_id, now)
    until = min(until, now)
    if since >= until:
        raise IncidentError("the report's span is empty: its begin must be before its end and now")
    return _span(store, config, since, until, now)


def _span(store: Store, config: Config, since: float, until: float, now: float) -> SpanReport:
    last, known, found = last_id(store), set(), []
    for incident in all_incidents(store):
        known.add(incident.id)
        if _within(incident, since, until):
            found.append(incident)
    log = Log([incident.id for incident in found])
    changes, verdicts = _log(store, since, until, log)
    found.sort(key=lambda incident: (incident.opened, incident.id))
    cases = [case_facts(store, config, incident, now) for incident in found]
    return SpanReport(
        head=_head("span", now),
        since=since,
        until=until,
        models=tuple(model_facts(store, config, model, since) for model in config.watched),
        incidents=tuple(cases),
        unmatched_alerts=store.cases.unmatched_count(since, until),
        times=times_of([c for c in cases if since <= c.opened < until and c.model != CANARY]),
        monitoring=tuple(
            _monitoring(store, model, since, until, verdicts.get(model.name, 0))
            for model in config.watched
        ),
        changes=changes,
        integrity=_integrity(store, log.held(store) + log.removed(known, last)),
    )


def _case(store: Store, config: Config, incident_id: int, now: float) -> CaseReport:
    incident = store.cases.incident(incident_id)
    if incident is None:
        raise IncidentError(
            f"there is no incident {incident_id}; 'drift-exporter incidents list' shows them"
        )
    case = case_facts(store, config, incident, now)
    alerts = tuple(alert_facts(alert) for alert in store.cases.alerts(incident_id))
    timeline = tuple(step_facts(step) for step in store.cases.steps(incident_id))
    model = next((m for m in config.watched if m.name == incident.model), None)
    log = Log([incident_id])
    for entry in store.cases.audit(limit=None):
        log.take(entry)
    analysis = dict(incident.analysis) if incident.analysis is not None else None
    drawn = _drawn(analysis) or _labelled([alert.labels for alert in alerts])
    return CaseReport(
        head=_head("incident", now),
        incident=case,
        monitored=model_facts(store, config, model, incident.opened) if model else None,
        alerts=alerts,
        timeline=timeline,
        analysis=analysis,
        evidence=tuple(
            Frozen(at, hashlib.sha256(body.encode()).hexdigest(), body)
            for at, body in store.cases.evidence(incident_id)
        ),
        history=tuple(_history(store, model, incident, drawn, now)) if model else (),
        audit_entries=log.ids(incident_id),
        integrity=_integrity(store, log.held(store)),
        retrospective=retrospective(case, alerts, timeline, evidence(analysis)),
    )


def _head(kind: str, now: float) -> Head:
    return Head(FORMAT_VERSION, kind, now, f"drift-exporter {__version__}")


def _within(incident: Incident, since: float, until: float) -> bool:
    """Whether an incident went on at any time of a span."""
    ended = incident.closed if incident.closed is not None else incident.resolved
    return incident.opened < until and (ended is None or incident.active or ended >= since)


def _monitoring(
    store: Store, model: ModelConfig, since: float, until: float, verdicts: int
) -> MonitoringFacts:
    runs = _runs(store, model.name, since)
    return watched(model.name, runs, since, until, stale_after_seconds(model), verdicts)


def _runs(store: Store, model: str, since: float) -> Iterator[Run]:
    """Runs of a model, the newest first, back to the last success before the span."""
    before = None
    while found := store.runs(model, limit=_AT_ONCE, before=before):
        for stored in found:
            yield stored.run
            if stored.run.success and stored.run.finished < since:
                return
        before = found[-1].id


def _log(
    store: Store, since: float, until: float, log: Log
) -> tuple[tuple[ChangeFacts, ...], Mapping[str, int]]:
    """Changes of what is monitored, and changes of verdicts by model, from the audit log.

    Every entry goes to ``log`` too: the log is read once.
    """
    changes = []
    verdicts: dict[str, int] = {}
    for entry in store.cases.audit(limit=None):
        log.take(entry)
        try:
            if not since <= entry.at < until:
                continue
            kind, (about, _, name) = entry.kind, entry.subject.partition("/")
            if kind.startswith("verdict"):
                verdicts[name] = verdicts.get(name, 0) + 1
            elif about in ("model", "config") or kind == PRUNED:
                changes.append(_change(entry))
        except (StoreError, ValueError, TypeError):
            # Somebody changed it: the verification tells of it.
            continue
    return tuple(changes), verdicts


def _change(entry: Entry) -> ChangeFacts:
    body = entry.body
    text = body.get("text")
    if not isinstance(text, str) or not text:
        told = (f"{key} {value}" for key, value in body.items() if _short(value))
        text = ", ".join(told)
    return ChangeFacts(entry.id, entry.at, entry.actor, entry.kind, entry.subject, text)


def _short(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _integrity(store: Store, held: Compared) -> IntegrityFacts:
    found, head = store.cases.verify_audit(), store.cases.audit_head()
    return IntegrityFacts(
        intact=found.intact,
        entries=found.entries,
        first_id=found.first,
        last_id=found.last,
        head_hash=head.hash if head else "",
        faults=tuple(f"entry {fault.id}: {fault.text}" for fault in found.faults),
        records=held.records,
        records_differing=held.differing,
        records_left_out=held.left_out,
        differences=held.differences,
    )


def _drawn(analysis: Mapping[str, Any] | None) -> Mapping[str, float | None]:
    """Columns that lead the analysis, with the PSI up to which they have not shifted."""
    seen = evidence(analysis)
    leading = [one for one in seen.features if one.told] if seen else []
    return {one.feature: one.limit for one in leading[:DRAWN_COLUMNS]}


def _labelled(labels: Sequence[Mapping[str, str]]) -> Mapping[str, float | None]:
    """Columns that the alerts name."""
    names = [found.get("feature") or found.get("output") for found in labels]
    return {name: None for name in names if name}


def _history(
    store: Store,
    model: ModelConfig,
    incident: Incident,
    drawn: Mapping[str, float | None],
    now: float,
) -> Iterator[Series]:
    """PSI of the columns around the incident, in the shortest window."""
    window = min(model.windows)
    lasted = (incident.resolved or now) - incident.opened
    around = max(AROUND_SECONDS, lasted)
    since, until = incident.opened - around, min((incident.resolved or now) + AROUND_SECONDS, now)
    columns = list(drawn)[:DRAWN_COLUMNS]
    if not columns:
        return
    scores = list(
        store.history(
            model.name, window.text, int(since), int(until), features=columns, most=DRAWN_POINTS
        )
    )
    for column in columns:
        points = tuple((end, found.get(column, (None, ""))[0]) for end, found in scores)
        limit, text = drawn[column], "no shift up to"
        if limit is None:
            limit, text = model.threshold(column, "psi", "warning"), "warning above"
        if any(value is not None for _, value in points):
            yield Series(column, window.text, points, limit, text)
