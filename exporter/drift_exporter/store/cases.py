"""Incidents, their steps, alerts and actions, and the audit log, kept in the store.

Knows what is read and written together; the queries are the business of the modules below.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import delete

from drift_exporter.audit import Entry, Findings, Head
from drift_exporter.incident import (
    Action,
    ActionState,
    Alert,
    Approval,
    Incident,
    IncidentState,
    Step,
)
from drift_exporter.incident.tally import Told
from drift_exporter.store import audit_log, case_reading, tables
from drift_exporter.store.case_writing import Writing
from drift_exporter.store.database import Database


class Cases:
    """Incidents in the store. Every method may raise ``StoreError``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def writing(self, what: str) -> Iterator[Writing]:
        """A transaction: all of it or nothing. One thread of all shards at a time has it."""
        with self._database.writing(what) as connection:
            audit_log.lock(connection)
            tx = Writing(connection)
            yield tx
            tx.flush()

    def incidents(
        self,
        model: str | None = None,
        states: Collection[IncidentState] | None = None,
        limit: int = 100,
        before: int | None = None,
        since: float | None = None,
    ) -> list[Incident]:
        """The newest incidents first.

        Of one model, in some states, older than that of an id, changed since a time.
        """
        with self._database.reading("read the incidents") as connection:
            return case_reading.incidents(connection, model, states, limit, before, since)

    def incident(self, incident_id: int) -> Incident | None:
        """The incident of an id."""
        with self._database.reading(f"read incident {incident_id}") as connection:
            return case_reading.incident(connection, incident_id)

    def steps(self, incident_id: int) -> list[Step]:
        """Steps of an incident in the order they happened."""
        with self._database.reading(f"read the steps of incident {incident_id}") as connection:
            return case_reading.steps(connection, incident_id)

    def alerts(self, incident_id: int) -> list[Alert]:
        """Alerts of an incident in the order they came."""
        with self._database.reading(f"read the alerts of incident {incident_id}") as connection:
            return case_reading.alerts(connection, incident_id)

    def unmatched_alerts(self, limit: int = 100) -> list[Alert]:
        """The newest alerts that belong to no incident."""
        with self._database.reading("read the alerts without an incident") as connection:
            return case_reading.unmatched_alerts(connection, limit)

    def unmatched_count(self, since: float, until: float) -> int:
        """How many alerts that began in a span belong to no incident."""
        with self._database.reading("count the alerts without an incident") as connection:
            return case_reading.unmatched_count(connection, since, until)

    def action(self, action_id: int) -> Action | None:
        """The action of an id."""
        with self._database.reading(f"read action {action_id}") as connection:
            return case_reading.action(connection, action_id)

    def actions(
        self, incident_id: int | None = None, states: Collection[ActionState] | None = None
    ) -> list[Action]:
        """Actions in the order they came; of one incident, or in some states."""
        with self._database.reading("read the actions") as connection:
            return case_reading.actions(connection, incident_id, states)

    def approvals(self, action_id: int) -> list[Approval]:
        """Answers to an action in the order they came."""
        with self._database.reading(f"read the approvals of action {action_id}") as connection:
            return case_reading.approvals(connection, action_id)

    def open_counts(self) -> dict[tuple[str, str, IncidentState], int]:
        """How many incidents are not closed, by model, severity and state."""
        with self._database.reading("count the incidents") as connection:
            return case_reading.open_counts(connection)

    def oldest_unacknowledged(self) -> dict[tuple[str, str], float]:
        """When the oldest incident was opened that nobody acknowledged, by model and severity."""
        with self._database.reading("find the oldest incidents") as connection:
            return case_reading.oldest_unacknowledged(connection)

    def oldest_open(self) -> dict[tuple[str, str], float]:
        """When the oldest incident was opened that is not over, by model and severity."""
        with self._database.reading("find the oldest incidents") as connection:
            return case_reading.oldest_open(connection)

    def waiting_counts(self) -> dict[str, int]:
        """How many actions wait for an approval, by name."""
        with self._database.reading("count the actions") as connection:
            return case_reading.waiting_counts(connection)

    def oldest_waiting(self) -> dict[str, float]:
        """When the oldest action was proposed that waits for an approval, by name."""
        with self._database.reading("find the oldest actions") as connection:
            return case_reading.oldest_waiting(connection)

    def evidence(self, incident_id: int) -> list[tuple[float, str]]:
        """When an incident was analysed, and the counts it was judged on; the oldest first."""
        with self._database.reading(f"read the evidence of incident {incident_id}") as connection:
            return case_reading.evidence(connection, incident_id)

    def told(self, since_id: int, limit: int = 1000) -> list[Told]:
        """Steps of all incidents after an id, the oldest first."""
        with self._database.reading("read the steps of the incidents") as connection:
            return case_reading.told(connection, since_id, limit)

    def audit(self, since_id: int = 0, limit: int | None = 1000) -> Iterator[Entry]:
        """Entries of the audit log after an id, the oldest first; of no limit, all."""
        with self._database.reading("read the audit log") as connection:
            yield from audit_log.read(connection, since_id, limit)

    def newest_audit(
        self, kinds: Collection[str], subject: str | None = None, limit: int = 1
    ) -> list[Entry]:
        """The newest audit entries of some kinds, about one subject or any, the newest first."""
        with self._database.reading("search the audit log") as connection:
            return audit_log.newest(connection, kinds, subject, limit)

    def audit_head(self) -> Head | None:
        """The newest entry of the audit log, as it is kept apart from it."""
        with self._database.reading("read the head of the audit log") as connection:
            return audit_log.head(connection)

    def verify_audit(self) -> Findings:
        """Find what was changed, removed or moved in the audit log."""
        with self._database.reading("verify the audit log") as connection:
            audit_log.see_one_moment(connection)
            return audit_log.verified(connection)

    def prune_unmatched(self, before: float) -> int:
        """Delete alerts of no incident that were received before a time; how many there were.

        That they came stays in the audit log.
        """
        with self._database.writing("delete old alerts without an incident") as connection:
            t = tables.alerts.c
            old = t.incident_id.is_(None) & (t.received < before)
            return connection.execute(delete(tables.alerts).where(old)).rowcount

    def prune_audit(self, before: float, now: float, *, up_to: int | None = None) -> int:
        """Remove entries older than ``before`` that come before all others.

        The log goes on from a checkpoint and verifies as before. A log that does not verify
        is not pruned.

        Parameters
        ----------
        before, now
            Seconds since the epoch.
        up_to
            Id of the last entry that was exported; none after it is removed.

        Returns
        -------
        int
            How many were removed.
        """
        return audit_log.prune(self._database, before, now, up_to)
