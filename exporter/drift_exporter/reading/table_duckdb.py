"""DuckDB files: opened to read for one answer, and its errors by name.

Knows the driver; knows no expression. No message holds the text of a query or a value.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drift_exporter.errors import DriftExporterError, SchemaError, SourceError
from drift_exporter.reading.table_engines import Rows, Session, Typed, typed


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
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("BEGIN TRANSACTION")
            yield _DuckDBSession(connection, self._timeout_seconds)
        except self._driver.Error as error:
            raise self._named(error) from None
        finally:
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
    def __init__(self, connection: Any, timeout_seconds: float) -> None:
        self._connection = connection
        self._timeout_seconds = timeout_seconds

    def columns(self, relation: str) -> dict[str, Typed]:
        query = f"DESCRIBE SELECT * FROM {relation}"  # noqa: S608 - quoted by the caller
        return {
            name: typed(type_name, text_like=type_name.startswith("ENUM"))
            for name, type_name, *_ in self.rows(query)
        }

    def rows(self, query: str) -> Rows:
        # DuckDB has no timeout of its own.
        timer = threading.Timer(self._timeout_seconds, self._connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            found: Rows = self._connection.execute(query).fetchall()
        finally:
            timer.cancel()
        return found
