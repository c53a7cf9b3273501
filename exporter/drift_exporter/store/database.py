"""An open database: transactions for the store's modules, and the border of its errors.

Knows URLs, transactions and failures; knows no table.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from drift_exporter.config import masked_url
from drift_exporter.errors import StoreError
from drift_exporter.store import schema
from drift_exporter.store.postgres import PostgresBackend
from drift_exporter.store.sqlite import WRITE, SqliteBackend

_POSTGRES = ("postgresql", "postgresql+psycopg")
_EXPECTED = "expected sqlite:////absolute/path.db or postgresql://user@host/database"


class Backend(Protocol):
    """What differs between SQLite and PostgreSQL."""

    @property
    def engine(self) -> Engine:
        """The pool of connections."""
        ...

    @property
    def recreated(self) -> str | None:
        """Why a new store was made in the place of a damaged one."""
        ...

    def hold(self) -> None:
        """Make sure that this process alone writes."""
        ...

    def before_migration(self, connection: Connection) -> None:
        """Wait until nobody else migrates."""
        ...

    def used_bytes(self, connection: Connection) -> int:
        """Size of what is stored."""
        ...

    def reclaim(self) -> None:
        """Give unused room back to the disk."""
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Database:
    """A database that is open, locked and migrated; threads share it."""

    def __init__(self, backend: Backend, where: str, *, shared: bool) -> None:
        self._backend = backend
        self._where = where
        self._turn = threading.Lock()
        self._closed = False
        self.recreated = backend.recreated
        self.shared = shared
        """Whether other shards keep their models in the same database."""

    @contextmanager
    def writing(self, operation: str) -> Iterator[Connection]:
        """A transaction that writes: all of it or nothing. One thread at a time has it."""
        # The turn makes threads wait here, in order and without limit, rather than in the
        # database, where the loser of a long wait would get an error.
        with self._border(operation), self._turn:
            self._backend.hold()
            with (
                self._backend.engine.connect().execution_options(**{WRITE: True}) as connection,
                connection.begin(),
            ):
                yield connection

    @contextmanager
    def reading(self, operation: str) -> Iterator[Connection]:
        """A transaction that reads; writers do not wait for it."""
        with (
            self._border(operation),
            self._backend.engine.connect() as connection,
            connection.begin(),
        ):
            yield connection

    def migrate(self) -> None:
        """Bring the schema to the version of this code."""
        with self.writing("migrate the schema") as connection:
            self._backend.before_migration(connection)
            schema.upgrade(connection, self._where)

    def used_bytes(self) -> int:
        """Size of what is stored, without room that is free again."""
        with self.reading("measure the store") as connection:
            return self._backend.used_bytes(connection)

    def reclaim(self) -> None:
        """Give unused room back to the disk."""
        with self._border("reclaim room"), self._turn:
            self._backend.reclaim()

    def close(self) -> None:
        """Let go of the database; later calls fail."""
        with self._turn:
            if not self._closed:
                self._closed = True
                self._backend.close()

    @contextmanager
    def _border(self, operation: str) -> Iterator[None]:
        if self._closed:
            raise StoreError(f"{self._where}: cannot {operation}: the store is closed")
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise StoreError(f"{self._where}: cannot {operation}: {_cause(error)}") from error


def open_database(url: str, *, now: float, shard: str) -> Database:
    """Open, lock, check and migrate the database of a URL.

    Raises
    ------
    StoreError
        If it cannot be opened, another process has it, or its schema is newer.
    """
    where, backend = _backend(url, now, shard)
    database = Database(backend, where, shared=bool(shard))
    try:
        database.migrate()
    except BaseException:
        # Whatever stopped it, the lock must not outlive a store that did not open.
        database.close()
        raise
    return database


def _backend(url: str, now: float, shard: str) -> tuple[str, Backend]:
    try:
        parsed, where = make_url(url), masked_url(url)
    except (ArgumentError, ValueError):
        # Without its cause, which may quote the URL.
        raise StoreError(f"the URL of the store cannot be read; {_EXPECTED}") from None
    if parsed.drivername in _POSTGRES:
        return where, PostgresBackend(parsed.set(drivername=_POSTGRES[-1]), where, shard)
    if parsed.drivername != "sqlite":
        raise StoreError(f"{where}: a store cannot be {parsed.drivername!r}; {_EXPECTED}")
    if not parsed.database or parsed.database.startswith((":", "file:")):
        raise StoreError(f"{where}: the store needs a file; {_EXPECTED}")
    return where, SqliteBackend(Path(parsed.database).resolve(), where, now)


def _cause(error: SQLAlchemyError | sqlite3.Error) -> str:
    """What the database said, without the statement, its parameters or a row."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        return f"{cause}; {_SQLITE_ADVICE.get(code, 'check the disk and the file')}"
    # The first line names the failure; the ones behind it may quote a row.
    first = str(cause).strip().partition("\n")[0]
    full = getattr(cause, "sqlstate", None) == "53100"
    return f"{first}; {_FULL if full else 'check that the server is there and the user may write'}"


_FULL = "free room on the disk or lower store.retention; nothing of this write was kept"

_SQLITE_ADVICE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: f"the disk is full or failing: {_FULL}",
    sqlite3.SQLITE_CORRUPT: "restart drift-exporter: it moves a damaged store aside",
    sqlite3.SQLITE_NOTADB: "restart drift-exporter: it moves a damaged store aside",
    sqlite3.SQLITE_BUSY: "another program has the file locked; stop it",
    sqlite3.SQLITE_READONLY: "let this user write to the file and its folder",
}
