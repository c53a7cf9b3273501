"""Alerts of a delivery become incidents, in one transaction: what is acknowledged is stored.

Knows the order of things; the rules are those of ``incident``, the rows those of the store.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from drift_exporter.errors import DriftExporterError, StoreError
from drift_exporter.incident import (
    ALERTMANAGER,
    REOPEN_AFTER_SECONDS,
    Alert,
    Cause,
    Incident,
    Known,
    Others,
    cause_of,
    fires_again,
)
from drift_exporter.incident import (
    receive as received,
)
from drift_exporter.store import Store, StoredAlert, Writing

_MOST_TOGETHER = 100
"""Deliveries that are written together at most, so that none waits long for the others."""


class Delivery(NamedTuple):
    """Alerts that came together, and when."""

    known_models: frozenset[str]
    alerts: tuple[Alert, ...]
    now: float


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
    delivery = Delivery(frozenset(known_models), tuple(alerts), now)
    return _receive(store, [delivery], reopen_after_seconds)[0]


class Inbox:
    """Takes deliveries from many threads; those that wait for the store are written together.

    Most of what a small delivery costs is the commit. None is acknowledged before its own.
    """

    def __init__(self, store: Store, *, reopen_after_seconds: float = REOPEN_AFTER_SECONDS) -> None:
        self._store = store
        self._reopen_after_seconds = reopen_after_seconds
        self._changed = threading.Condition()
        self._writing = False
        self._waiting: deque[tuple[Delivery, Future[list[int]]]] = deque()

    def receive(
        self, known_models: Collection[str], alerts: Iterable[Alert], now: float
    ) -> list[int]:
        """As `receive`, perhaps together with deliveries of other threads."""
        mine: Future[list[int]] = Future()
        self._waiting.append((Delivery(frozenset(known_models), tuple(alerts), now), mine))
        while not mine.done():
            with self._changed:
                # The thread that writes may write this one too; else it is the next to.
                self._changed.wait_for(lambda: mine.done() or not self._writing)
                if mine.done():
                    break
                self._writing = True
            try:
                self._write()
            finally:
                with self._changed:
                    self._writing = False
                    self._changed.notify_all()
        return mine.result()

    def _write(self) -> None:
        some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_TOGETHER))]
        try:
            done = self._received([delivery for delivery, _ in some])
            for (_, future), ids in zip(some, done, strict=True):
                future.set_result(ids)
        except DriftExporterError:
            # One delivery that cannot be stored must not take the others down with it.
            for delivery, future in some:
                self._answer(delivery, future)
        finally:
            # Whatever happened, nobody may wait for an answer for ever.
            for _, future in some:
                if not future.done():
                    future.set_exception(StoreError("the delivery was not stored; send it again"))

    def _answer(self, delivery: Delivery, future: Future[list[int]]) -> None:
        try:
            future.set_result(self._received([delivery])[0])
        except DriftExporterError as error:
            future.set_exception(error)

    def _received(self, deliveries: Sequence[Delivery]) -> list[list[int]]:
        return _receive(self._store, deliveries, self._reopen_after_seconds)


def _receive(
    store: Store, deliveries: Sequence[Delivery], reopen_after_seconds: float
) -> list[list[int]]:
    """Ids of the incidents that each delivery changed."""
    if not any(delivery.alerts for delivery in deliveries):
        return [[] for _ in deliveries]
    with store.cases.writing("receive alerts") as tx:
        fingerprints = {alert.fingerprint for each in deliveries for alert in each.alerts}
        receiving = _Receiving(tx, fingerprints, reopen_after_seconds)
        changed = []
        for delivery in deliveries:
            receiving.begin(delivery)
            for alert in delivery.alerts:
                receiving.take(alert)
            changed.append(receiving.touched())
        receiving.write()
        return changed


class _Receiving:
    """What deliveries have changed so far, to be written at the end."""

    def __init__(
        self, tx: Writing, fingerprints: Collection[str], reopen_after_seconds: float
    ) -> None:
        self._tx = tx
        self._models: frozenset[str] = frozenset()
        self._now = 0.0
        self._reopen_after_seconds = reopen_after_seconds
        self._stored = tx.alerts_of(fingerprints)
        self._there = frozenset(self._stored)
        self._incidents: dict[int, Incident] = {}
        self._latest: dict[tuple[str, Cause], int | None] = {}
        self._known: dict[int, Known] = {}
        self._changed: dict[tuple[str, float], None] = {}
        self._touched: dict[int, None] = {}
        self._unsaved: set[int] = set()

    def begin(self, delivery: Delivery) -> None:
        """Go on with another delivery."""
        self._models = delivery.known_models
        self._now = delivery.now
        self._touched = {}

    def touched(self) -> list[int]:
        """Ids of the incidents that the delivery changed."""
        return list(self._touched)

    def take(self, alert: Alert) -> None:
        """Take up one alert."""
        cause = cause_of(alert.name)
        stored = self._stored.get(alert.key)
        if stored is not None and stored.incident_id is not None:
            incident: Incident | None = self._get(stored.incident_id)
        elif alert.model not in self._models or cause is None:
            self._keep(alert, stored)
            return
        elif stored is not None and self._is_over(stored, alert):
            # It came when its model was not known, and is over.
            return
        else:
            incident = self._newest(alert.model, cause)
        known = Known() if incident is None else self._known_of(incident)
        told = None if stored is None else stored.received
        change = received(incident, known, alert, self._now, self._reopen_after_seconds, told)
        if not change.alerts or change.incident is None:
            return
        after = change.incident
        if after.id == 0:
            after = self._tx.save(after)
            self._latest[after.model, after.cause] = after.id
            self._known[after.id] = Known(change.alerts)
        for each in change.alerts:
            self._put(StoredAlert(each, after.id, self._now))
        if change.steps or after != incident:
            self._touched[after.id] = None
            self._unsaved.add(after.id)
        self._incidents[after.id] = after
        for step in change.steps:
            self._tx.record(after.id, step)

    def write(self) -> None:
        """Write what is changed."""
        for incident_id in sorted(self._unsaved):
            self._tx.save(self._incidents[incident_id])
        new = self._changed.keys() - self._there
        changed = [self._stored[key] for key in self._changed]
        self._tx.save_alerts(changed, new=new)

    def _keep(self, alert: Alert, stored: StoredAlert | None) -> None:
        """Keep an alert that belongs to no incident."""
        if stored is not None:
            same = stored.alert.status == alert.status
            if same or self._is_over(stored, alert):
                return
        self._put(StoredAlert(alert, None, self._now))
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

    def _is_over(self, stored: StoredAlert, alert: Alert) -> bool:
        """Whether an alert is told as firing that is known to be over."""
        over = stored.alert.status == "resolved" and alert.status == "firing"
        return over and not fires_again(stored.alert, alert, self._now, stored.received)

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
