"""Columns of a table as numbers, categories and segments: Ibis expressions.

Knows the rules of ``source`` and how each engine writes them; knows no cell, no connection.
Ibis writes and quotes every value; nothing is formatted into SQL.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import ibis

from drift_exporter.reading.table_engines import Typed

Expression = Any
"""An Ibis expression; Ibis has no types of its own."""

_MANTISSA = r"([0-9]+[.]?[0-9]*|[.][0-9]+)"
_NUMBER = (
    r"^[[:space:]]*[+-]?(" + _MANTISSA + r"([eE][+-]?[0-9]+)?"
    r"|[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN])[[:space:]]*$"
)
_ZERO = r"^[[:space:]]*[+-]?(0+[.]?0*|[.]0+)([eE][+-]?[0-9]+)?[[:space:]]*$"
_IN_RANGE = (
    r"^[[:space:]]*[+-]?("
    r"([0-9]{1,200}[.]?[0-9]{0,200}|[.][0-9]{1,200})([eE][+-]?0{0,9}[0-9]{1,2})?"
    r"|[1-9]([.][0-9]{0,200})?[eE][+]?([12][0-9][0-9]|30[0-7])"
    r"|1([.][0-6][0-9]{0,200})?[eE][+]?308"
    r"|[1-9]([.][0-9]{0,200})?[eE]-([12][0-9][0-9]|30[0-9]|31[0-9]|32[0-3])"
    r"|[3-9]([.][0-9]{0,200})?[eE]-324"
    r"|[iI][nN][fF]([iI][nN][iI][tT][yY])?|[nN][aA][nN])[[:space:]]*$"
)
"""Text that PostgreSQL casts without an error: it has no cast that may fail."""

MICRO = 1_000_000
"""Microseconds of a second."""

MANY = 50
"""Categories from which a list is sent as one text: a literal each takes long to compile."""

_SEPARATORS = "\x1f\x1e\x1d\x1c\x01\x02"


@ibis.udf.scalar.builtin(name="date_part", signature=(("string", "timestamp"), "float64"))  # type: ignore[untyped-decorator]
def _date_part(part: str, moment: Any) -> float:  # type: ignore[empty-body]
    """PostgreSQL's epoch with its fraction."""


@ibis.udf.scalar.builtin(name="epoch_us", signature=(("timestamp",), "int64"))  # type: ignore[untyped-decorator]
def _epoch_us(moment: Any) -> int:  # type: ignore[empty-body]
    """DuckDB's epoch in microseconds."""


@ibis.udf.scalar.builtin(name="convert_to")  # type: ignore[untyped-decorator]
def _convert_to(words: str, encoding: str) -> bytes:  # type: ignore[empty-body]
    """PostgreSQL's text as bytes, which no collation sorts otherwise."""


def double(value: float) -> Expression:
    """A float64 as a literal, exact."""
    if math.isfinite(value):
        return ibis.literal(float(value), type="float64")
    return ibis.literal(repr(float(value))).cast("float64")


def is_number(column: Expression) -> Expression:
    """Whether a float is neither missing nor NaN, on engines that sort NaN above all too."""
    return (column >= double(-math.inf)) & (column <= double(math.inf))


def is_finite(column: Expression) -> Expression:
    """Whether a float is finite."""
    return (column > double(-math.inf)) & (column < double(math.inf))


def tally(dialect: str, where: Expression, rows: Expression) -> Expression:
    """The number of rows for which a condition holds, in the form that the engine is fast in.

    ``count(where)`` costs DuckDB ten times a sum of casts, and the other way round PostgreSQL
    a third more.
    """
    if dialect == "duckdb":
        return where.cast("int32").sum()
    return rows.count(where=where)


def epoch_microseconds(dialect: str, column: Expression) -> Expression:
    """Microseconds since the epoch of a date or timestamp."""
    if dialect == "duckdb":
        return _epoch_us(column)
    return (_date_part("epoch", column) * double(MICRO)).round().cast("int64")


def number(dialect: str, column: Expression, typed: Typed) -> Expression:
    """A column as float64; text that is no number is null."""
    if typed.column.kind in ("integer", "number"):
        return column if typed.type == "float64" else column.cast("float64")
    if typed.column.kind == "boolean":
        return column.cast("int32").cast("float64")
    if typed.column.kind == "time":
        if dialect == "duckdb":
            return epoch_microseconds(dialect, column).cast("float64") / double(MICRO)
        return _date_part("epoch", column)
    if typed.column.kind == "text":
        return _parsed(dialect, text(column, typed))
    return ibis.null().cast("float64")


def _parsed(dialect: str, column: Expression) -> Expression:
    if dialect == "duckdb":
        return ibis.cases((column.re_search(_NUMBER), column.try_cast("float64")))
    return ibis.cases(
        (column.re_search(_IN_RANGE), column.cast("float64")),
        (column.re_search(_ZERO), double(0.0)),
        (column.re_search(_NUMBER) & column.re_search("[eE]-"), double(0.0)),
        (column.re_search(_NUMBER) & column.re_search("^[[:space:]]*-"), double(-math.inf)),
        (column.re_search(_NUMBER), double(math.inf)),
    )


def text(column: Expression, typed: Typed) -> Expression:
    """A column of text as text, enumerations among them."""
    return column if typed.type == "string" else column.cast("string")


def present(column: Expression, typed: Typed) -> Expression:
    """Whether a category is there: not null, and not NaN."""
    if typed.column.kind == "number":
        return is_number(column.cast("float64"))
    return column.notnull()


def category(value: Any) -> str:
    """The category that a value of a driver is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and math.isfinite(value) and value == int(value):
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        return format(value.normalize(), "f")
    if isinstance(value, float | Decimal):
        return repr(float(value))
    if isinstance(value, datetime):
        moment = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat()
    return value.isoformat() if isinstance(value, date) else str(value)


def comparable(column: Expression, typed: Typed) -> Expression:
    """A column in the form that categories are compared in."""
    if typed.column.kind == "text":
        return text(column, typed)
    return column.cast("float64") if typed.column.kind == "number" else column


def castable(words: Sequence[str], typed: Typed) -> dict[str, str]:
    """Of some categories those that the column can hold, with the text that is cast to it."""
    found = {word: _castable(word, typed) for word in words}
    return {word: castable for word, castable in found.items() if castable is not None}


def _castable(word: str, typed: Typed) -> str | None:
    kind = typed.column.kind
    if kind == "text":
        # No database text holds them, and no query could.
        return None if "\0" in word or re.search("[\ud800-\udfff]", word) else word
    if kind == "boolean":
        return word if word in ("true", "false") else None
    try:
        value: Any = _value(word, typed)
        if value is None or category(value) != word:
            return None
    except (ValueError, OverflowError, ArithmeticError):
        return None
    return word if isinstance(value, date) else str(value)


def _value(word: str, typed: Typed) -> Any:
    if typed.column.kind == "integer":
        value = int(word)
        return value if abs(value) < 2**63 or "decimal" in typed.type else None
    if typed.column.kind == "number":
        # A decimal's category may have more digits than a float.
        return Decimal(word) if typed.type == "decimal" else float(word)
    if typed.type == "date":
        return date.fromisoformat(word)
    return datetime.fromisoformat(word) if typed.column.kind == "time" else None


def literal(castable_text: str, typed: Typed) -> Expression:
    """A category's text as a value that ``comparable`` is compared with."""
    return _as_comparable(ibis.literal(castable_text), typed)


def _as_comparable(value: Expression, typed: Typed) -> Expression:
    kind = typed.column.kind
    if kind == "text":
        return value
    return value.cast("float64" if kind == "number" else typed.type)


def is_any_of(column: Expression, texts: Sequence[str], typed: Typed) -> Expression:
    """Whether a column (see ``comparable``) is one of many categories."""
    if not texts:
        return ibis.literal(False)
    joined = "".join(texts)
    separator = next((mark for mark in _SEPARATORS if mark not in joined), None)
    if len(texts) < MANY or separator is None:
        return column.isin([literal(one, typed) for one in texts])
    many = ibis.literal(separator.join(texts)).split(separator).unnest().name("word").as_table()
    return column.isin(many.select(word=_as_comparable(many.word, typed)).word)


def segment_code(column: Expression, typed: Typed, values: tuple[str, ...]) -> Expression:
    """The position of a row's segment among the values of the profile; groups stay bounded.

    Returns
    -------
    Expression
        ``len(values)`` for any other value, ``len(values) + 1`` where it is missing.
    """
    compared = comparable(column, typed)
    known = castable(values, typed)
    return ibis.cases(
        (~present(column, typed), len(values) + 1),
        (present(column, typed).isnull(), len(values) + 1),
        *(
            (compared == literal(known[value], typed), position)
            for position, value in enumerate(values)
            if value in known
        ),
        else_=len(values),
    )


def sort_key(dialect: str, column: Expression, typed: Typed) -> Expression:
    """What categories are sorted by so that text is sorted by its code points."""
    if dialect == "postgres" and typed.column.kind == "text":
        return _convert_to(column, "UTF8")
    return column
