"""The records of incidents, held against the audit log.

Knows where records and entries are read, and in which order: others may write meanwhile. What
differs is the business of ``records``.
"""

import math
from collections.abc import Collection, Iterator

from drift_exporter.audit import Entry
from drift_exporter.errors import StoreError
from drift_exporter.incident import Incident
from drift_exporter.incident.records import (
    Begin,
    Compared,
    Logged,
    Records,
    compare,
    evidence_print,
    gone,
    incident_of,
    logged,
    unreadable,
)
from drift_exporter.store import Store

_AT_ONCE = 2000
"""Incidents whose entries are in memory together."""

_LISTED = 500


class Log:
    """What a pass over the audit log tells of some incidents.

    Parameters
    ----------
    incident_ids
        Those whose entries are kept; a few hundred bytes each.
    """

    def __init__(self, incident_ids: Collection[int]) -> None:
        self._entries: dict[int, list[Logged]] = {number: [] for number in incident_ids}
        self._begin: Begin | None = None
        self._last = 0
        self.others: dict[int, int] = {}
        """Other incidents that the log has, with the first entry of each."""

    def take(self, entry: Entry) -> None:
        """Take up the next entry."""
        self._last = entry.id
        if self._begin is None:
            self._begin = Begin(entry.id, _time(entry))
        number = incident_of(entry)
        if number is None:
            return
        if number not in self._entries:
            self.others.setdefault(number, entry.id)
            return
        found = logged(entry)
        if found is not None:
            self._entries[number].append(found)

    def ids(self, incident_id: int) -> tuple[int, ...]:
        """Ids of the entries about an incident."""
        return tuple(entry.id for entry in self._entries[incident_id])

    def held(self, store: Store) -> Compared:
        """Hold the records of the incidents against the entries that were taken up.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """
        found = Compared()
        for number in self._entries:
            found += self._one(store, number)
        return found

    def removed(self, known: Collection[int], last: int) -> Compared:
        """What is told of incidents that the log has and the store has not.

        Parameters
        ----------
        known
            All incidents that the store has.
        last
            The newest entry that was there before they were read.
        """
        known, found = set(known), Compared()
        for number, first in self.others.items():
            if number not in known and first <= last:
                found += gone(number)
        return found

    def _one(self, store: Store, number: int) -> Compared:
        try:
            records = _records(store, number)
            if records is None:
                return gone(number)
            entries = self._entries[number]
            found = compare(records, entries, self._begin)
            if found.agree:
                return found
            # What was written since the pass is in the records, and in the rest of the log.
            later = (logged(e) for e in store.cases.audit(self._last, None) if _is(e, number))
            fresh = [entry for entry in later if entry is not None]
            return compare(records, [*entries, *fresh], self._begin, self._last)
        except (ValueError, TypeError, LookupError):
            return unreadable(number)


def held(store: Store, most: int | None = None) -> Compared:
    """Hold the records of incidents against the audit log.

    Parameters
    ----------
    store
        What is read.
    most
        How many of the newest incidents; None: all.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    last = last_id(store)
    try:
        known = [incident.id for incident in all_incidents(store)]
    except (ValueError, TypeError):
        # One of them was changed so that none can be listed. Those of the log can be looked at.
        known = sorted(_pass(store, ()).others, reverse=True)
    found = Compared()
    asked = known[:most]
    for start in range(0, max(len(asked), 1), _AT_ONCE):
        log = _pass(store, asked[start : start + _AT_ONCE])
        found += log.held(store)
        if start == 0:
            found += log.removed(known, last)
    return found


def last_id(store: Store) -> int:
    """The newest entry of the log; of what comes after it no record needs to be there."""
    head = store.cases.audit_head()
    return head.id if head else 0


def all_incidents(store: Store) -> Iterator[Incident]:
    """All incidents, the newest first, a few at a time in memory."""
    before = None
    while found := store.cases.incidents(limit=_LISTED, before=before):
        yield from found
        before = found[-1].id


def _pass(store: Store, incident_ids: Collection[int]) -> Log:
    log = Log(incident_ids)
    for entry in store.cases.audit(limit=None):
        log.take(entry)
    return log


def _records(store: Store, number: int) -> Records | None:
    cases = store.cases
    incident = cases.incident(number)
    if incident is None:
        return None
    return Records(
        incident,
        cases.steps(number),
        [(at, evidence_print(body)) for at, body in cases.evidence(number)],
        [(action, cases.approvals(action.id)) for action in cases.actions(number)],
    )


def _is(entry: Entry, number: int) -> bool:
    return incident_of(entry) == number


def _time(entry: Entry) -> float:
    try:
        return entry.at
    except (StoreError, ValueError, TypeError):
        # Somebody changed it. Then nothing passes for older than the log.
        return -math.inf
