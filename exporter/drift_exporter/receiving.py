"""Alerts of a delivery become incidents, in one transaction: what is acknowledged is stored.

Knows the order of things; the rules are those of ``incident``, the rows those of the store.
"""

from collections.abc import Collection, Iterable

from drift_exporter.incident import (
    ALERTMANAGER,
    REOPEN_AFTER_SECONDS,
    Alert,
    Cause,
    Incident,
    Known,
    Others,
    cause_of,
)
from drift_exporter.incident import (
    receive as received,
)
from drift_exporter.store import Store, StoredAlert, Writing


def receive(
    store: Store,
    known_models: Collection[str],
    alerts: Iterable[Alert],
    now: float,
    *,
    reopen_after_seconds: float = REOPEN_AFTER_SECONDS,
) -> list[int]:
    """Take up the alerts of a delivery, all or none; returns the ids of incidents they changed.

    Raises
    ------
    StoreError
        If they could not be stored; nothing of them is.
    """
    alerts = list(alerts)
    if not alerts:
        return []
    with store.cases.writing("receive alerts") as tx:
        delivery = _Delivery(tx, frozenset(known_models), alerts, now, reopen_after_seconds)
        for alert in alerts:
            delivery.take(alert)
        return delivery.write()


class _Delivery:
    """What a delivery has changed so far."""

    def __init__(
        self,
        tx: Writing,
        known_models: frozenset[str],
        alerts: list[Alert],
        now: float,
        reopen_after_seconds: float,
    ) -> None:
        self._tx = tx
        self._models = known_models
        self._now = now
        self._reopen_after_seconds = reopen_after_seconds
        self._stored = tx.alerts_of({alert.fingerprint for alert in alerts})
        self._there = frozenset(self._stored)
        self._incidents: dict[int, Incident] = {}
        self._latest: dict[tuple[str, Cause], int | None] = {}
        self._known: dict[int, Known] = {}
        self._changed: dict[tuple[str, float], None] = {}
        self._touched: dict[int, None] = {}

    def take(self, alert: Alert) -> None:
        """Take up one alert."""
        cause = cause_of(alert.name)
        stored = self._stored.get(alert.key)
        if stored is not None and stored.incident_id is not None:
            incident: Incident | None = self._get(stored.incident_id)
        elif alert.model not in self._models or cause is None:
            self._keep(alert, stored)
            return
        elif stored is not None and stored.alert.status == "resolved" and alert.status == "firing":
            # It came when its model was not known, and is over.
            return
        else:
            incident = self._newest(alert.model, cause)
        known = Known() if incident is None else self._known_of(incident)
        change = received(incident, known, alert, self._now, self._reopen_after_seconds)
        if not change.alerts or change.incident is None:
            return
        after = change.incident
        if after.id == 0:
            after = self._tx.save(after)
            self._latest[after.model, after.cause] = after.id
            self._known[after.id] = Known(change.alerts)
        for each in change.alerts:
            self._put(StoredAlert(each, after.id))
        if change.steps or after != incident:
            self._touched[after.id] = None
        self._incidents[after.id] = after
        for step in change.steps:
            self._tx.record(after.id, step)

    def write(self) -> list[int]:
        """Write what is changed; the ids of the incidents that are."""
        for incident_id in self._touched:
            self._tx.save(self._incidents[incident_id])
        new = self._changed.keys() - self._there
        changed = [self._stored[key] for key in self._changed]
        self._tx.save_alerts(changed, self._now, new=new)
        return list(self._touched)

    def _keep(self, alert: Alert, stored: StoredAlert | None) -> None:
        """Keep an alert that belongs to no incident."""
        if stored is not None and (stored.alert.status == "resolved" or alert.status == "firing"):
            return
        self._put(StoredAlert(alert, None))
        body = {
            "alert": alert.name,
            "fingerprint": alert.fingerprint,
            "model": alert.model,
            "severity": alert.severity,
            "starts_at": alert.starts_at,
            "ends_at": alert.ends_at,
        }
        kind = f"alert_{alert.status}"
        self._tx.audit(self._now, ALERTMANAGER, kind, f"alert/{alert.fingerprint}", body)

    def _put(self, stored: StoredAlert) -> None:
        self._stored[stored.alert.key] = stored
        self._changed[stored.alert.key] = None

    def _get(self, incident_id: int) -> Incident:
        if incident_id not in self._incidents:
            self._incidents[incident_id] = self._tx.get(incident_id)
        return self._incidents[incident_id]

    def _newest(self, model: str, cause: Cause) -> Incident | None:
        if (model, cause) not in self._latest:
            found = self._tx.latest(model, cause)
            self._latest[model, cause] = None if found is None else found.id
            if found is not None:
                self._incidents.setdefault(found.id, found)
        number = self._latest[model, cause]
        return None if number is None else self._incidents[number]

    def _known_of(self, incident: Incident) -> Known:
        """The alerts of an incident: those of the delivery's fingerprints, and a sum of others."""
        if incident.id not in self._known:
            own = [s.alert for s in self._stored.values() if s.incident_id == incident.id]
            own_firing = sum(alert.status == "firing" for alert in own)

            def others() -> Others:
                # Alerts are written at the end: the store still has what `own` was.
                firing, ended = self._tx.firing(incident.id)
                return Others(firing - own_firing, ended)

            self._known[incident.id] = Known(own, others)
        return self._known[incident.id]
