"""PostgreSQL: connecting, one read-only snapshot per session, and its errors by name.

Knows psycopg; knows no expression. No message holds a password, the text of a query or what
the server says of a value: it may quote a row.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drift_exporter import config
from drift_exporter.errors import DriftExporterError, SchemaError, SourceError
from drift_exporter.reading.table_engines import Rows, Session, Typed, typed


def keywords_of(driver: Any, where: config.Source, place: str) -> dict[str, Any]:
    """What libpq is told: the parts of the URL, and the password where a file holds it.

    Raises
    ------
    SourceError
        If the URL or the password's file cannot be read.
    """
    url = "postgresql:" + where.url.partition(":")[2]
    unreadable = SourceError(
        f"{place}: not the URL of a PostgreSQL database; write "
        "postgresql://user@host:5432/database, special characters percent-encoded"
    )
    if place.endswith("://***"):
        raise unreadable
    try:
        keywords: dict[str, Any] = driver.conninfo.conninfo_to_dict(url)
    except driver.Error:
        # What libpq says quotes the part that it could not read: it may be the password.
        raise unreadable from None
    if where.password_file:
        try:
            password = Path(where.password_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{place}: password_file {where.password_file} cannot be read: "
                f"{type(error).__name__}"
            ) from error
        keywords["password"] = password.rstrip("\r\n")
    return keywords


class PostgreSQL:
    """A PostgreSQL database; read-only, one snapshot of the data per session."""

    dialect = "postgres"

    def __init__(
        self, driver: Any, keywords: dict[str, Any], place: str, timeout_seconds: float
    ) -> None:
        self._driver = driver
        self._keywords = keywords
        self._place = place
        self._timeout_seconds = timeout_seconds

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection in UTC, inside a read-only transaction."""
        connection = self._connected()
        try:
            yield _PostgreSQLSession(connection.cursor())
        except self._driver.Error as error:
            raise self._named(error) from None
        finally:
            connection.close()

    def _connected(self) -> Any:
        defaults = {
            "application_name": "drift-exporter",
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "client_encoding": "utf8",
        }
        try:
            connection = self._driver.connect(**{**defaults, **self._keywords})
        except self._driver.Error as error:
            found = self._without_password(str(error)).strip().replace("\n", "; ")
            # Not chained: what a server sends is not ours to vouch for.
            raise SourceError(
                f"{self._place}: cannot connect: {found}; check host, port, user, password "
                "and pg_hba.conf"
            ) from None
        connection.read_only = True
        connection.isolation_level = self._driver.IsolationLevel.REPEATABLE_READ
        try:
            for name, value in {
                "TimeZone": "UTC",
                "DateStyle": "ISO, YMD",
                "extra_float_digits": "1",
                "standard_conforming_strings": "on",
                # It compiles a thousand aggregates for longer than it runs them.
                "jit": "off",
                "statement_timeout": str(max(1, round(self._timeout_seconds * 1000))),
            }.items():
                # For the transaction only: a pooler may give the session to somebody else.
                connection.execute("SELECT set_config(%s, %s, true)", (name, value))
        except self._driver.Error as error:
            connection.close()
            raise self._named(error) from None
        return connection

    def _without_password(self, text: str) -> str:
        password = self._keywords.get("password")
        return text.replace(str(password), "***") if password else text

    def _named(self, error: Any) -> DriftExporterError:
        errors = self._driver.errors
        place = self._place
        if error.sqlstate is None or isinstance(
            error, errors.AdminShutdown | errors.CrashShutdown | errors.IdleSessionTimeout
        ):
            return SourceError(f"{place}: the connection was lost; the next run connects again")
        if isinstance(error, errors.QueryCanceled):
            return SourceError(
                f"{place}: a query was cancelled, after at most {self._timeout_seconds:g} s; add "
                "an index on the timestamp column, or raise the model's timeout"
            )
        if isinstance(error, errors.UndefinedTable | errors.InvalidSchemaName):
            return SourceError(f"{place}: the table does not exist; check 'table' and search_path")
        if isinstance(error, errors.InsufficientPrivilege):
            return SourceError(f"{place}: permission denied; GRANT SELECT to the user")
        if isinstance(error, errors.UndefinedColumn):
            return SchemaError(f"{place}: a column is not there any more; check 'query'")
        return SourceError(
            f"{place}: the query failed with {type(error).__name__} (SQLSTATE {error.sqlstate}); "
            "the log of the database has the details"
        )


class _PostgreSQLSession:
    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def columns(self, relation: str) -> dict[str, Typed]:
        # Not the catalog: this also holds for queries, views and the search path.
        found = (
            self._cursor.execute(
                f"SELECT * FROM {relation} LIMIT 0"  # noqa: S608 - quoted by the caller
            ).description
            or []
        )
        names = {c.type_code: c.type_display for c in found}
        unknown = [oid for oid, name in names.items() if name == str(oid)]
        text_like: set[int] = set()
        if unknown:
            self._cursor.execute(
                "SELECT oid, format_type(oid, NULL), typcategory IN ('E', 'S') "
                "FROM pg_catalog.pg_type WHERE oid = ANY(%s)",
                (unknown,),
            )
            for oid, name, is_text in self._cursor.fetchall():
                names[oid] = name
                text_like |= {oid} if is_text else set()
        return {
            c.name: typed(names[c.type_code], text_like=c.type_code in text_like) for c in found
        }

    def rows(self, query: str) -> Rows:
        found: Rows = self._cursor.execute(query).fetchall()
        return found
