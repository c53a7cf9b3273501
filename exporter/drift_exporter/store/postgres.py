"""A store in a PostgreSQL database, which one process per shard holds.

Knows connections and advisory locks; knows only the names of tables to measure them.
"""

import hashlib
import os
import socket
import threading

from sqlalchemy import URL, Connection, bindparam, create_engine, event, func, select, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from drift_exporter.errors import StoreError
from drift_exporter.store import tables

_CONNECT = {
    "connect_timeout": "10",
    # A server that vanished must not hang a run for the two hours that TCP would.
    "tcp_user_timeout": "30000",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}

_MIGRATION_KEY = int.from_bytes(hashlib.sha256(b"drift-exporter migration").digest()[:8], "big")
_MIGRATION_KEY -= 1 << 63

_ROW_BYTES = 100
"""About what a row takes besides its bytes: header, keys and index."""

_HOLDER = text(
    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND l.classid::bigint = :high AND l.objid::bigint = :low"
)


class PostgresBackend:
    """One PostgreSQL database; an advisory lock keeps a second process of the shard out."""

    recreated: str | None = None

    def __init__(self, url: URL, where: str, shard: str) -> None:
        self._where = where
        self._shard = shard
        digest = hashlib.sha256(f"drift-exporter store {shard}".encode()).digest()
        self._key = int.from_bytes(digest[:8], "big", signed=True)
        self._holder: Connection | None = None
        self._holding = threading.Lock()
        try:
            self.engine = create_engine(
                url,
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=8,
                max_overflow=24,
                pool_timeout=30,
                connect_args={k: v for k, v in _CONNECT.items() if k not in url.query},
            )
        except ModuleNotFoundError as error:
            raise StoreError(
                f"{where}: {error.name} is not installed; install 'drift-exporter[postgres]'"
            ) from error

        event.listen(self.engine, "connect", _configure)

    def hold(self) -> None:
        """Take the lock of the shard, again where its connection was lost.

        Raises
        ------
        StoreError
            If another process has it.
        """
        with self._holding:
            if self._holder is not None:
                try:
                    self._holder.execute(select(1)).all()
                except SQLAlchemyError:
                    self._let_go()
                else:
                    return
            self._take()

    def before_migration(self, connection: Connection) -> None:
        """Wait until no other shard migrates; holds until the transaction ends."""
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_KEY)))

    def used_bytes(self, connection: Connection) -> int:
        """Size of what is stored, without what the server has yet to vacuum."""
        total = 0
        kept = (tables.slices.c.counts, tables.scores.c.scores, tables.calibrations.c.body)
        for column in kept:
            size = func.sum(func.length(column) + _ROW_BYTES)
            total += int(connection.execute(select(size)).scalar() or 0)
        return total

    def reclaim(self) -> None:
        """Nothing to do: the server's autovacuum does it."""

    def close(self) -> None:
        """Let go of the lock and close the connections."""
        with self._holding:
            self._let_go()
        self.engine.dispose()

    def _take(self) -> None:
        connection = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            name = f"drift-exporter process {os.getpid()} on {socket.gethostname()}"
            # Cut by the server at 63 bytes anyway, but with a notice.
            connection.execute(select(func.set_config("application_name", name[:63], False)))
            # The server must notice within a minute that the holder's machine is gone.
            for setting, value in (("idle", "30"), ("interval", "10"), ("count", "3")):
                connection.execute(
                    select(func.set_config(f"tcp_keepalives_{setting}", value, False))
                )
            if not connection.execute(select(func.pg_try_advisory_lock(self._key))).scalar_one():
                raise StoreError(
                    f"{self._where}: the store is in use by {self._found_holder(connection)}; "
                    "stop it, or give each process its own --shard or its own database"
                )
        except BaseException:
            # Not back to the pool: the session has settings of its own, perhaps the lock.
            connection.invalidate()
            connection.close()
            raise
        self._holder = connection

    def _found_holder(self, connection: Connection) -> str:
        unsigned = self._key % (1 << 64)
        key = {"high": unsigned >> 32, "low": unsigned & 0xFFFFFFFF}
        found = connection.execute(_HOLDER.bindparams(*map(bindparam, key)), key).scalar()
        return str(found) if found else "another process"

    def _let_go(self) -> None:
        if self._holder is not None:
            self._holder.invalidate()
            self._holder.close()
            self._holder = None


def _configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # A server may be set up to round floats, and times are floats of sixteen digits.
    cursor = connection.cursor()
    cursor.execute("SET extra_float_digits = 3")
    cursor.close()
    connection.commit()
