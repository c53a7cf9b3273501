"""A store in one SQLite file: opened, locked and checked; moved aside where it is damaged.

Knows files, locks and pragmas; knows no table.
"""

import fcntl
import os
import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from drift_exporter.errors import StoreError

_PRAGMAS = (
    # First, so that the others wait for a reader from outside, such as a backup.
    "busy_timeout = 10000",
    # Only takes effect before the first table is made.
    "auto_vacuum = incremental",
    "journal_mode = wal",
    # With NORMAL a power failure could take back what was acknowledged.
    "synchronous = full",
    "foreign_keys = on",
    # Sorting must not need room on a full disk.
    "temp_store = memory",
    "journal_size_limit = 67108864",
)

_RECLAIM_PAGES = 2000

WRITE = "store_write"
"""Execution option of a connection that will write."""


class SqliteBackend:
    """One SQLite file, held by this process alone."""

    def __init__(self, path: Path, where: str, now: float) -> None:
        self._where = where
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path, where)
        except OSError as error:
            raise StoreError(
                f"{where}: cannot make the folder or the lock file ({error.strerror}); "
                "check the path and that this user may write there"
            ) from error
        try:
            self.recreated = _set_aside_if_damaged(path, where, now)
        except BaseException:
            # Whatever stopped it, the lock must not outlive a store that did not open.
            os.close(self._lock)
            raise
        self.engine = create_engine(
            URL.create("sqlite", database=str(path)),
            hide_parameters=True,
            pool_size=8,
            max_overflow=24,
            pool_timeout=30,
        )
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "begin", _begin)

    def hold(self) -> None:
        """Nothing to do: the lock on a file lasts as long as the process."""

    def before_migration(self, connection: Connection) -> None:
        """Nothing to do: no other process has the file."""

    def used_bytes(self, connection: Connection) -> int:
        """Size of what is stored, without the pages that are free."""
        pages, free, size = (
            int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def reclaim(self) -> None:
        """Give free pages back to the disk, some at a time so that writers get their turn."""
        # Without SQLAlchemy, whose transaction would forbid the checkpoint.
        with closing(self.engine.raw_connection()) as pooled:
            connection = pooled.driver_connection
            assert isinstance(connection, sqlite3.Connection)  # noqa: S101
            free, before = _free_pages(connection), 0
            # A file that was made elsewhere may not be able to give pages back.
            while free and free != before:
                # As a script, because execute() stops after the first page.
                connection.executescript(f"PRAGMA incremental_vacuum({_RECLAIM_PAGES})")
                free, before = _free_pages(connection), free
            # Passive: one that truncates would wait for readers, and writers for it.
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close the file and let go of its lock."""
        self.engine.dispose()
        os.close(self._lock)


def _free_pages(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])


def _lock(path: Path, where: str) -> int:
    handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        pid = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        holder = f"process {pid}" if pid.isdigit() else "another process"
        raise StoreError(
            f"{where}: the store is in use by {holder}; stop it, or give each its own store"
        ) from error
    except OSError:
        os.close(handle)
        raise
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _set_aside_if_damaged(path: Path, where: str, now: float) -> str | None:
    try:
        damage = _damage(path)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(
            f"{where}: cannot be opened ({error}); check that it is a file that this user may "
            "read and write and that no other program has it locked"
        ) from error
    if damage is None:
        return None
    aside = path.with_name(f"{path.name}.corrupt-{int(now)}")
    try:
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StoreError(
            f"{where}: the store is damaged ({damage}) and cannot be moved aside "
            f"({error.strerror}); move it yourself and start again"
        ) from error
    return f"{where}: the store was damaged ({damage}); it is now {aside.name}, a new one was made"


def _damage(path: Path) -> str | None:
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        # The low byte is the kind of failure, whatever its detail.
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return str(error)
        raise
    return None if found == "ok" else "quick_check failed"


def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver must not begin transactions by its own rules; _begin does.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later could not wait for its turn.
    write = connection.get_execution_options().get(WRITE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
