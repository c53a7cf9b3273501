"""What the databases that a table is read from have in common: a session, and column types.

Knows what a session promises; knows no driver, feature, bin or count. A session lives for one
answer: nothing stays locked or idle between runs, and after a lost connection the next run
connects anew.
"""

from types import ModuleType
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from drift_exporter import config
from drift_exporter.errors import SourceError
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


def place_of(url: str) -> str:
    """A database's URL without a secret, also where the password is not encoded as it should."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "the URL"
    if "@" in parts.path + parts.query + parts.fragment:
        return f"{parts.scheme}://***"
    return config.masked_url(url)


def driver_of(name: str, extra: str, place: str) -> ModuleType:
    """The driver of a database; ``SourceError`` names the extra where it is not installed."""
    try:
        return __import__(name)
    except ImportError as error:
        raise SourceError(
            f"{place}: the package {name} is missing; pip install 'drift-exporter[{extra}]'"
        ) from error
