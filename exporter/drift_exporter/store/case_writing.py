"""What one transaction reads and writes of incidents, and of what is audited beside them.

Knows rows; knows not when an incident moves or an action starts.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from drift_exporter.errors import IncidentError
from drift_exporter.incident import Action, ActionState, Alert, Approval, Cause, Incident, Step
from drift_exporter.store import calibrations, case_reading, tables
from drift_exporter.store.audit_log import Appending
from drift_exporter.store.case_rows import (
    action_of,
    action_row,
    alert_of,
    alert_row,
    approval_row,
    incident_of,
    incident_row,
    packed,
    step_row,
    storable,
)

_ASKED_AT_ONCE = 500


class StoredAlert(NamedTuple):
    """An alert, and the incident that it belongs to."""

    alert: Alert
    incident_id: int | None
    received: float
    """When something new was told of it last."""


class Writing:
    """A transaction: all of it or nothing; no other thread or shard writes incidents meanwhile."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._steps: list[dict[str, object]] = []
        self._appending: Appending | None = None

    def get(self, incident_id: int) -> Incident:
        """The incident of an id.

        Raises
        ------
        IncidentError
            If there is none.
        """
        found = case_reading.incident(self._connection, incident_id)
        if found is None:
            raise IncidentError(
                f"there is no incident {incident_id}; 'drift-exporter incidents list' shows them"
            )
        return found

    def latest(self, model: str, cause: Cause) -> Incident | None:
        """The newest incident of a model and cause, in whatever state."""
        t = tables.incidents.c
        query = select(tables.incidents).where(t.model == storable(model), t.cause == cause.value)
        row = self._connection.execute(query.order_by(t.id.desc()).limit(1)).one_or_none()
        return None if row is None else incident_of(row)

    def open_incident(self, model: str, cause: Cause) -> Incident | None:
        """The newest incident of a model and cause, unless it is closed."""
        found = self.latest(model, cause)
        return None if found is None or found.closed is not None else found

    def save(self, incident: Incident) -> Incident:
        """Write an incident; a new one gets its id."""
        row = incident_row(incident)
        if incident.id:
            where = tables.incidents.c.id == incident.id
            self._connection.execute(update(tables.incidents).where(where), row)
            return incident
        done = self._connection.execute(insert(tables.incidents), row)
        return replace(incident, id=_number(done.inserted_primary_key))

    def save_evidence(self, incident_id: int, at: float, body: str) -> None:
        """Keep the counts that an incident was judged on."""
        row = {"incident_id": incident_id, "at": at, "body": body}
        self._connection.execute(insert(tables.evidence), row)

    def step(self, incident_id: int, step: Step) -> None:
        """Append a step to an incident; `record` audits it too."""
        self._steps.append(step_row(incident_id, step))

    def record(self, incident_id: int, step: Step) -> None:
        """Append a step to an incident and to the audit log."""
        self.step(incident_id, step)
        body = {"text": step.text, **step.detail}
        self.audit(step.at, step.actor, step.kind, f"incident/{incident_id}", body)

    def alert(self, fingerprint: str, starts_at: float) -> StoredAlert | None:
        """The alert of a fingerprint and start."""
        return self.alerts_of([fingerprint]).get((fingerprint, starts_at))

    def alerts(self, incident_id: int) -> list[Alert]:
        """Alerts of an incident in the order they came."""
        return case_reading.alerts(self._connection, incident_id)

    def alerts_of(self, fingerprints: Collection[str]) -> dict[tuple[str, float], StoredAlert]:
        """All alerts of these fingerprints, by fingerprint and start."""
        t = tables.alerts.c
        found = {}
        for some in _parts(sorted(fingerprints)):
            query = select(tables.alerts).where(t.fingerprint.in_(some))
            for row in self._connection.execute(query):
                alert = alert_of(row)
                found[alert.key] = StoredAlert(alert, row.incident_id, row.received)
        return found

    def firing(self, incident_id: int) -> tuple[int, float | None]:
        """How many alerts of an incident fire, and when the last of the others ended."""
        t = tables.alerts.c
        own = t.incident_id == incident_id
        firing = select(func.count()).where(own, t.status == "firing")
        ended = select(func.max(t.ends_at)).where(own, t.status == "resolved")
        return (
            int(self._connection.execute(firing).scalar_one()),
            self._connection.execute(ended).scalar(),
        )

    def save_alerts(
        self, alerts: Iterable[StoredAlert], *, new: Collection[tuple[str, float]]
    ) -> None:
        """Write many alerts, of which those with a key in ``new`` are not there yet."""
        rows: dict[bool, list[dict[str, object]]] = {True: [], False: []}
        for alert, incident_id, received in alerts:
            rows[alert.key in new].append(alert_row(alert, incident_id, received))
        if rows[True]:
            self._connection.execute(insert(tables.alerts), rows[True])
        if rows[False]:
            t = tables.alerts.c
            # The names of columns may not be those of the parameters that find the row.
            statement = update(tables.alerts).where(
                t.fingerprint == bindparam("its_fingerprint"), t.starts_at == bindparam("its_start")
            )
            kept = ("ends_at", "incident_id", "status", "received")
            statement = statement.values({name: bindparam(f"new_{name}") for name in kept})
            self._connection.execute(
                statement,
                [
                    {
                        "its_fingerprint": row["fingerprint"],
                        "its_start": row["starts_at"],
                        **{f"new_{name}": row[name] for name in kept},
                    }
                    for row in rows[False]
                ],
            )

    def save_action(self, action: Action) -> Action:
        """Write an action; where one of its key is there already, that is given back.

        Of what is there the expiry, needs, reason and detail can be written anew; its state
        changes by `move_action` alone.
        """
        t = tables.actions.c
        row = action_row(action)
        if action.id:
            found = self.action(action.id)
            kept = {name: row[name] for name in ("expires", "needs", "reason", "detail")}
            kept["updated"] = max(found.updated, action.updated)
            self._connection.execute(update(tables.actions).where(t.id == action.id), kept)
            return self.action(action.id)
        there = self._connection.execute(
            select(tables.actions).where(t.key == row["key"])
        ).one_or_none()
        if there is not None:
            return action_of(there)
        done = self._connection.execute(insert(tables.actions).values(row))
        return replace(action, id=_number(done.inserted_primary_key))

    def action(self, action_id: int) -> Action:
        """The action of an id.

        Raises
        ------
        IncidentError
            If there is none.
        """
        found = case_reading.action(self._connection, action_id)
        if found is None:
            raise IncidentError(
                f"there is no action {action_id}; 'drift-exporter incidents show' lists them"
            )
        return found

    def actions(self, incident_id: int) -> list[Action]:
        """Actions of an incident in the order they came."""
        return case_reading.actions(self._connection, incident_id, None)

    def actions_since(self, name: str, since: float) -> list[Action]:
        """Actions of a name that were made or moved since then, the oldest first."""
        t = tables.actions.c
        query = select(tables.actions).where(t.name == storable(name), t.updated >= since)
        return [action_of(row) for row in self._connection.execute(query.order_by(t.id))]

    def move_action(
        self,
        action_id: int,
        from_states: Collection[ActionState],
        to_state: ActionState,
        now: float,
        detail: Mapping[str, Any],
    ) -> bool:
        """Move an action on if it is in one of these states; ``detail`` is added to its own.

        False: it was not, and nothing is changed.
        """
        found = self.action(action_id)
        if found.state not in from_states:
            return False
        values = {
            "state": to_state.value,
            "updated": now,
            "detail": packed({**found.detail, **detail}),
        }
        where = tables.actions.c.id == action_id
        self._connection.execute(update(tables.actions).where(where).values(values))
        return True

    def approve(
        self,
        action_id: int,
        who: str,
        groups: Sequence[str],
        decision: str,
        at: float,
        note: str = "",
    ) -> bool:
        """Write down an answer to an action; False: who answers had done so already.

        Raises
        ------
        IncidentError
            If it is no answer, or there is no such action.
        """
        if decision not in ("approve", "reject"):
            raise IncidentError(f"found the answer {decision!r}, expected approve or reject")
        self.action(action_id)
        if any(known.who == storable(who) for known in self.approvals(action_id)):
            return False
        answer: Any = decision
        row = approval_row(Approval(action_id, who, tuple(groups), answer, at, note))
        self._connection.execute(insert(tables.approvals).values(row))
        return True

    def approvals(self, action_id: int) -> list[Approval]:
        """Answers to an action in the order they came."""
        return case_reading.approvals(self._connection, action_id)

    def audit(self, at: float, actor: str, kind: str, subject: str, body: Mapping[str, Any]) -> int:
        """Append to the audit log; returns the id of the entry."""
        if self._appending is None:
            self._appending = Appending(self._connection)
        return self._appending.add(at, actor, kind, subject, body).id

    def calibration(self, model: str, bins_hash: str, created: float, body: str) -> None:
        """Keep a calibration of a model over these bins, as the text that it wrote."""
        calibrations.record(self._connection, model, bins_hash, created, body)

    def flush(self) -> None:
        """Write the steps and entries that are not written yet."""
        if self._steps:
            self._connection.execute(insert(tables.steps), self._steps)
            self._steps = []
        if self._appending is not None:
            self._appending.flush()


def _parts(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), _ASKED_AT_ONCE):
        yield values[start : start + _ASKED_AT_ONCE]


def _number(key: Any) -> int:
    return int(key[0])
