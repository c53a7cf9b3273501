"""The databases that a table is read from: connect, ask, and tell failures apart.

Knows drivers, sessions and the errors of each database; knows no feature, bin or count. A
connection lives for one answer: nothing stays locked or idle between runs, and after a lost
connection the next run connects anew. No message holds a password, the text of a query or
what the database says of a value: it may quote a row.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from drift_exporter import config
from drift_exporter.errors import DriftExporterError, SchemaError, SourceError
from drift_exporter.reading.source import Column, ColumnKind

Rows = list[tuple[Any, ...]]


class Typed(NamedTuple):
    """A column of a table: what it holds, and its type in the words of Ibis."""

    column: Column
    type: str


class Session(Protocol):
    """A connection with one consistent view of the data."""

    def columns(self, relation: str) -> dict[str, Typed]:
        """Columns of a relation, given as SQL of a FROM clause."""
        ...

    def rows(self, query: str) -> Rows:
        """The rows that a query gives."""
        ...


class Engine(Protocol):
    """A kind of database."""

    dialect: str
    """Its name in Ibis."""

    def session(self) -> Any:
        """A context in which the database is connected."""
        ...


_PLAIN_TYPES: dict[str, tuple[ColumnKind, str]] = {
    "bool": ("boolean", "boolean"),
    "boolean": ("boolean", "boolean"),
    **dict.fromkeys(("int2", "int4", "int8"), ("integer", "int64")),
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), ("integer", "int64")),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger"), ("integer", "int64")),
    **dict.fromkeys(("ubigint", "hugeint", "uhugeint"), ("integer", "decimal(38, 0)")),
    "float4": ("number", "float32"),
    "float": ("number", "float32"),
    "float8": ("number", "float64"),
    "double": ("number", "float64"),
    "numeric": ("number", "decimal"),
    "decimal": ("number", "decimal"),
    "text": ("text", "string"),
    "varchar": ("text", "string"),
    "date": ("time", "date"),
    "timestamp": ("time", "timestamp"),
    "timestamp_s": ("time", "timestamp"),
    "timestamp_ms": ("time", "timestamp"),
    "timestamp_ns": ("time", "timestamp"),
    "timestamptz": ("time", "timestamp('UTC')"),
    "timestamp with time zone": ("time", "timestamp('UTC')"),
}

_TEXT_LIKE = ("enum", "bpchar", "name", "uuid", "citext", "character")


def typed(type_name: str, *, text_like: bool = False) -> Typed:
    """The column of a type that a database names; what is not known is cast to text."""
    plain = type_name.lower().partition("(")[0].strip()
    if type_name.endswith("]"):
        plain = "array"
    if plain in _PLAIN_TYPES:
        kind, ibis_type = _PLAIN_TYPES[plain]
        return Typed(Column(kind, type_name), ibis_type)
    kind = "text" if text_like or plain in _TEXT_LIKE else "other"
    return Typed(Column(kind, type_name), "unknown")


def engine_of(
    where: config.Source, *, connect_timeout_seconds: float, statement_timeout_seconds: float
) -> Engine:
    """The database that a URL names.

    Raises
    ------
    SourceError
        If the driver is not installed, or the URL or the password's file cannot be read.
    """
    parts = urlsplit(where.url)
    place = config.masked_url(where.url)
    if parts.scheme.partition("+")[0] == "duckdb":
        driver = _driver("duckdb", "duckdb", place)
        path = unquote(parts.netloc + parts.path)
        # Four slashes are how SQLAlchemy writes an absolute path.
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        return DuckDB(driver, path, statement_timeout_seconds)
    driver = _driver("psycopg", "postgres", place)
    keywords = _keywords(driver, where, place)
    keywords["connect_timeout"] = max(2, round(connect_timeout_seconds))
    return PostgreSQL(driver, keywords, place, statement_timeout_seconds)


def _driver(name: str, extra: str, place: str) -> ModuleType:
    try:
        return __import__(name)
    except ImportError as error:
        raise SourceError(
            f"{place}: the package {name} is missing; pip install 'drift-exporter[{extra}]'"
        ) from error


def _keywords(driver: Any, where: config.Source, place: str) -> dict[str, Any]:
    url = "postgresql:" + where.url.partition(":")[2]
    try:
        keywords: dict[str, Any] = driver.conninfo.conninfo_to_dict(url)
    except driver.Error:
        # What libpq says quotes the part that it could not read: it may be the password.
        raise SourceError(
            f"{place}: not the URL of a PostgreSQL database; write "
            "postgresql://user@host:5432/database, special characters percent-encoded"
        ) from None
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
                # A thousand aggregates take seconds to compile, and milliseconds to run.
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


class DuckDB:
    """A DuckDB file, opened to read and let go of after each answer: a writer shuts us out."""

    dialect = "duckdb"

    def __init__(self, driver: Any, path: str, timeout_seconds: float) -> None:
        self._driver = driver
        self._path = path
        self._timeout_seconds = timeout_seconds

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A connection in UTC, inside a transaction."""
        connection = self._connected()
        timer = threading.Timer(self._timeout_seconds, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("BEGIN TRANSACTION")
            yield _DuckDBSession(connection)
        except self._driver.Error as error:
            raise self._named(error) from None
        finally:
            timer.cancel()
            connection.close()

    def _connected(self) -> Any:
        if not Path(self._path).is_file():
            raise SourceError(f"{self._path}: no such file; write duckdb:///absolute/path.db")
        try:
            return self._driver.connect(self._path, read_only=True)
        except self._driver.Error as error:
            if "lock" in str(error) or "different configuration" in str(error):
                raise SourceError(
                    f"{self._path}: another process has the file open to write; DuckDB lets in "
                    "either one writer or readers: let the writer close it between its writes"
                ) from error
            raise SourceError(
                f"{self._path}: DuckDB cannot open the file ({type(error).__name__}); check that "
                "it is a DuckDB database, that this version can read it, and its permissions"
            ) from error

    def _named(self, error: Exception) -> DriftExporterError:
        driver, path = self._driver, self._path
        if isinstance(error, driver.InterruptException):
            return SourceError(
                f"{path}: a query was cancelled after {self._timeout_seconds:g} s; raise the "
                "model's timeout"
            )
        if isinstance(error, driver.CatalogException):
            return SourceError(f"{path}: the table does not exist; check 'table' or 'query'")
        if isinstance(error, driver.BinderException):
            return SchemaError(f"{path}: a column or table is not there; check 'table' or 'query'")
        return SourceError(
            f"{path}: the query failed with {type(error).__name__}; run it in DuckDB's own shell "
            "to see the details"
        )


class _DuckDBSession:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def columns(self, relation: str) -> dict[str, Typed]:
        found = self._connection.execute(
            f"DESCRIBE SELECT * FROM {relation}"  # noqa: S608 - quoted by the caller
        ).fetchall()
        return {
            name: typed(type_name, text_like=type_name.startswith("ENUM"))
            for name, type_name, *_ in found
        }

    def rows(self, query: str) -> Rows:
        found: Rows = self._connection.execute(query).fetchall()
        return found
