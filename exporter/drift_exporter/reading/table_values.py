"""Columns of a table as numbers, categories and event times: Ibis expressions.

Knows the rules of ``source`` and how each engine writes them; knows no cell, no connection.
Ibis writes and quotes every value; nothing is formatted into SQL.
"""

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ibis

from drift_exporter.reading.source import SAMPLE_PRIME
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

_LEAP = r"([0-9][0-9](0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DATE = (
    r"([0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)"
    r"|(0[13578]|1[02])-31)|" + _LEAP + r"-02-29)"
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?"
_MOMENT = r"^" + _DATE + r"([T ]" + _CLOCK + r"(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?$"
_BELOW_MICROSECONDS = r"([.][0-9]{6})[0-9]+"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_MICRO = 1_000_000
SAMPLE_FACTOR = 7919
UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (2**63, 10**9))
"""Size below which a whole number is a time in a unit, and units per second."""

MANY = 50
"""Categories from which a list is sent as one text: a literal each takes long to compile."""

_SEPARATORS = "\x1f\x1e\x1d\x1c\x01\x02"


@ibis.udf.scalar.builtin(name="date_part", signature=(("string", "timestamp"), "float64"))  # type: ignore[untyped-decorator]
def _date_part(part: str, moment: Any) -> float:  # type: ignore[empty-body]
    """PostgreSQL's epoch with its fraction."""


@ibis.udf.scalar.builtin(name="epoch_us", signature=(("timestamp",), "int64"))  # type: ignore[untyped-decorator]
def _epoch_us(moment: Any) -> int:  # type: ignore[empty-body]
    """DuckDB's epoch in microseconds."""


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
    return (_date_part("epoch", column) * double(_MICRO)).round().cast("int64")


def number(dialect: str, column: Expression, typed: Typed) -> Expression:
    """A column as float64; text that is no number is null."""
    if typed.column.kind in ("integer", "number"):
        return column if typed.type == "float64" else column.cast("float64")
    if typed.column.kind == "boolean":
        return column.cast("int32").cast("float64")
    if typed.column.kind == "time":
        if dialect == "duckdb":
            return epoch_microseconds(dialect, column).cast("float64") / double(_MICRO)
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


class EventTime:
    """The timestamp column of a table."""

    def __init__(self, dialect: str, column: Expression, typed: Typed) -> None:
        self._dialect = dialect
        self._typed = typed
        self._column = column
        if self.is_text:
            self._column = _parsed_moment(dialect, text(column, typed))

    @property
    def usable(self) -> bool:
        """Whether a column of such a type can hold times."""
        return self._typed.column.kind in ("integer", "number", "text", "time")

    @property
    def is_text(self) -> bool:
        """Whether times are text, so that some may be unreadable."""
        return self._typed.column.kind == "text"

    @property
    def unreadable(self) -> Expression:
        """Whether a row has no time, of a column of text."""
        return self._column.isnull()

    def between(self, start: int | None, end: int | None) -> Expression:
        """Whether an event lies in ``[start, end)``, in microseconds since the epoch.

        The column itself is compared with bounds in its own unit, so that an index can be used.
        """
        kind = self._typed.column.kind
        if kind in ("integer", "number"):
            return self._between_by_size(start, end)
        conditions = []
        if start is not None:
            conditions.append(self._column >= self._bound(start))
        if end is not None:
            conditions.append(self._column < self._bound(end))
        return ibis.and_(*conditions) if conditions else self._column.notnull()

    def _bound(self, moment: int) -> Expression:
        if self._typed.type == "date":
            day = _clamped(-(-moment // _MICRO // 86_400) * 86_400 * _MICRO)
            return ibis.literal(day.date().isoformat()).cast("date")
        if self._typed.type == "timestamp":
            naive = _clamped(moment).replace(tzinfo=None)
            return ibis.literal(naive.isoformat(sep=" ")).cast("timestamp")
        return ibis.literal(_clamped(moment).isoformat(sep=" ")).cast("timestamp('UTC')")

    def _between_by_size(self, start: int | None, end: int | None) -> Expression:
        ranges = []
        smaller = 0
        # A float is rounded to microseconds: half of one belongs to the next.
        half = Fraction(0 if self._typed.column.kind == "integer" else 1, 2)
        for larger, per_second in UNITS:
            scale = Fraction(per_second, _MICRO)
            first = -math.inf if start is None else (start - half) * scale
            last = math.inf if end is None else (end - half) * scale
            sizes = [(smaller, larger), (-larger, -smaller)] if smaller else [(-larger, larger)]
            ranges += [
                self._range(max(first, low), min(last, high))
                for low, high in sizes
                if max(first, low) < min(last, high)
            ]
            smaller = larger
        return ibis.or_(*ranges) if ranges else ibis.literal(False)

    def _range(self, first: Fraction | float, last: Fraction | float) -> Expression:
        if self._typed.column.kind == "integer":
            return (self._column >= math.ceil(first)) & (self._column <= math.ceil(last) - 1)
        column = self._column
        if self._typed.type != "float64":
            column = column.cast("float64")
        return (column >= double(float(first))) & (column < double(float(last)))

    @property
    def microseconds(self) -> Expression:
        """Whole microseconds since the epoch; null for a number beyond all sizes, or NaN."""
        kind = self._typed.column.kind
        if kind not in ("integer", "number"):
            return epoch_microseconds(self._dialect, self._column)
        column = self._column if kind == "integer" else self._column.cast("float64")
        cases = []
        for larger, per_second in UNITS:
            if per_second <= _MICRO:
                whole = column * (_MICRO // per_second)
            elif kind == "integer":
                many = per_second // _MICRO
                rest = (column % many + many) % many
                # A whole quotient below 2**53 survives division as floats, once rounded.
                whole = ((column - rest).cast("float64") / double(many)).round()
            else:
                whole = column / double(per_second // _MICRO)
            whole = whole if kind == "integer" else whole.round()
            cases.append((_within(column, larger, kind), whole.cast("int64")))
        return ibis.cases(*cases)

    def slice_start(self, width: int) -> Expression:
        """Start of the slice of a row, in seconds since the epoch."""
        moment, slices = self.microseconds, width * _MICRO
        # Engines differ in the sign of a remainder: this one is never negative.
        start = moment - (moment % slices + slices) % slices
        # Whole seconds, small enough to be divided as floats.
        return (start.cast("float64") / double(_MICRO)).round().cast("int64")

    def sampled(self, bound: int) -> Expression:
        """Whether a row belongs to the sample, see ``source.sampled_microseconds``."""
        rest = (self.microseconds % SAMPLE_PRIME + SAMPLE_PRIME) % SAMPLE_PRIME
        return rest * SAMPLE_FACTOR % SAMPLE_PRIME < bound


def _within(column: Expression, larger: int, kind: str) -> Expression:
    if kind == "integer":
        return (column >= 1 - larger) & (column <= larger - 1)
    return (column > double(-larger)) & (column < double(larger))


def _parsed_moment(dialect: str, column: Expression) -> Expression:
    shortened = column.re_replace(_BELOW_MICROSECONDS, r"\1")
    moment = "timestamp('UTC')"
    cast = shortened.try_cast(moment) if dialect == "duckdb" else shortened.cast(moment)
    readable = column.re_search(_MOMENT) & ~column.startswith("0000")
    return ibis.cases((readable, cast))


def _clamped(microseconds: int) -> datetime:
    first = datetime.min.replace(tzinfo=UTC)
    last = datetime.max.replace(tzinfo=UTC)
    lowest, highest = ((moment - _EPOCH) // _TICK for moment in (first, last))
    return _EPOCH + _TICK * min(max(microseconds, lowest), highest)


@ibis.udf.scalar.builtin(name="convert_to")  # type: ignore[untyped-decorator]
def _convert_to(words: str, encoding: str) -> bytes:  # type: ignore[empty-body]
    """PostgreSQL's text as bytes, which no collation sorts otherwise."""


def sort_key(dialect: str, column: Expression, typed: Typed) -> Expression:
    """What categories are sorted by so that text is sorted by its code points."""
    if dialect == "postgres" and typed.column.kind == "text":
        return _convert_to(column, "UTF8")
    return column
