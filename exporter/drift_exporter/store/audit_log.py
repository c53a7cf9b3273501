"""The audit log in its table: appended to, read, cut off at its old end.

Knows entries and the head; what makes them a chain is the business of ``audit``.
"""

import hashlib
from collections.abc import Collection, Generator, Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    cast,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from drift_exporter.audit import PRUNED, Entry, Findings, Head, canonical, checkpoint, entry, verify
from drift_exporter.errors import StoreError
from drift_exporter.store import tables
from drift_exporter.store.database import Database

_ROWS_AT_ONCE = 1000

_HEAD = 1
"""Id of the one row that the head has."""

_LOCK = int.from_bytes(hashlib.sha256(b"drift-exporter audit log").digest()[:8], "big", signed=True)


class Appending:
    """Entries that a transaction appends; nobody else may append until it ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored = head(connection)
        self._head = self._stored
        self._entries: list[Entry] = []
        last = connection.execute(select(func.max(tables.audit.c.id))).scalar()
        if last is not None and (self._head is None or self._head.id < last):
            # Somebody changed the head from outside. The log goes on, and the change
            # stays to be seen in it.
            self._head = Head(int(last), "")

    def add(self, at: float, actor: str, kind: str, subject: str, body: Mapping[str, Any]) -> Entry:
        """Append an entry."""
        try:
            added = entry(self._head, at, actor, kind, subject, body)
        except (TypeError, ValueError, RecursionError) as error:
            raise StoreError(
                f"what is to be audited cannot be written as JSON ({error}); "
                "this is an error of drift-exporter, please report it"
            ) from error
        self._entries.append(added)
        self._head = Head(added.id, added.hash)
        return added

    def flush(self) -> None:
        """Write what was appended."""
        if not self._entries or self._head is None:
            return
        rows = [{"id": e.id, "entry": e.text, "hash": e.hash} for e in self._entries]
        self._connection.execute(insert(tables.audit), rows)
        values = {"entry_id": self._head.id, "hash": self._head.hash}
        if self._stored is None:
            self._connection.execute(insert(tables.audit_head), {"id": _HEAD, **values})
        else:
            where = tables.audit_head.c.id == _HEAD
            self._connection.execute(update(tables.audit_head).where(where), values)
        self._stored = self._head
        self._entries = []


def see_one_moment(connection: Connection) -> None:
    """Let the transaction see one moment in all its statements, of which this is the first."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def lock(connection: Connection) -> None:
    """Wait until no other shard writes the log or what it is about, to the transaction's end."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))


def head(connection: Connection) -> Head | None:
    """The newest entry, as it is kept apart from the log."""
    t = tables.audit_head.c
    row = connection.execute(select(t.entry_id, t.hash).where(t.id == _HEAD)).one_or_none()
    return None if row is None else Head(int(row.entry_id), str(row.hash))


def read(
    connection: Connection, since_id: int | None, limit: int | None
) -> Generator[Entry, None, None]:
    """Entries after an id, the oldest first; of None, all that there are."""
    t = tables.audit.c
    columns: tuple[ColumnElement[Any], ...] = (t.entry, t.hash)
    if connection.dialect.name == "sqlite":
        # Whatever bytes somebody wrote into the file must be read, to be told of.
        columns = tuple(cast(column, LargeBinary).label(column.name) for column in columns)
    query = select(t.id, *columns).order_by(t.id)
    if since_id is not None:
        query = query.where(t.id > since_id)
    if limit is not None:
        query = query.limit(limit)
    streaming = connection.execution_options(yield_per=_ROWS_AT_ONCE)
    with streaming.execute(query) as found:
        for row in found:
            yield Entry(row.id, _text(row.entry), _text(row.hash))


def newest(
    connection: Connection, kinds: Collection[str], subject: str | None, limit: int
) -> list[Entry]:
    """The newest entries of some kinds, about one subject or any, the newest first."""
    t = tables.audit.c
    # The text is canonical, so a field is known by how it is written. What was changed from
    # outside may be missed here; the verification finds it.
    wanted = [t.entry.contains(f'"kind":{canonical(kind)}', autoescape=True) for kind in kinds]
    query = select(t.id, t.entry, t.hash).where(or_(*wanted)).order_by(t.id.desc())
    if subject is not None:
        about = f'"subject":{canonical(subject)}'
        query = query.where(t.entry.contains(about, autoescape=True))
    rows = connection.execute(query.limit(4 * limit))
    found = (Entry(row.id, _text(row.entry), _text(row.hash)) for row in rows)
    return [e for e in found if e.kind in kinds and subject in (None, e.subject)][:limit]


def verified(connection: Connection) -> Findings:
    """What the verification of the log finds; the transaction has to see one moment."""
    kept = head(connection)
    return verify(read(connection, None, None), kept)


def prune(database: Database, before: float, now: float, up_to: int | None) -> int:
    """Remove the oldest entries and append the checkpoint; returns how many were removed."""
    if before > now:
        raise StoreError(f"the audit log can be pruned up to now ({now}), not up to {before}")
    with database.reading("find old audit entries") as connection:
        see_one_moment(connection)
        last = _last_before(connection, before, up_to)
        if last is None:
            return 0
        found = verified(connection)
    if not found.intact:
        first = found.faults[0]
        raise StoreError(
            f"the audit log is not pruned, it was changed from outside (entry {first.id}: "
            f"{first.text}); see what 'drift-exporter audit verify' finds"
        )
    with database.writing("prune the audit log") as connection:
        lock(connection)
        t = tables.audit.c
        # Another shard may have pruned it since.
        removed = connection.execute(delete(tables.audit).where(t.id <= last.id)).rowcount
        if removed:
            appending = Appending(connection)
            appending.add(now, "drift-exporter", PRUNED, "audit", checkpoint(last, removed))
            appending.flush()
    return int(removed)


def _last_before(connection: Connection, before: float, up_to: int | None) -> Entry | None:
    """The last of the oldest entries that may go; clocks of shards may differ."""
    last = None
    for each in read(connection, None, None):
        if each.at >= before or (up_to is not None and each.id > up_to):
            break
        last = each
    return last


def _text(value: str | bytes) -> str:
    return value.decode(errors="surrogateescape") if isinstance(value, bytes) else value
