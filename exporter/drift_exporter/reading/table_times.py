"""The timestamp column of a table: spans that an index finds, slices, the sample.

Knows the rules of ``source`` on event time, as Ibis expressions; knows no clock and no cell.
"""

import math
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import ibis

from drift_exporter.reading.source import SAMPLE_PRIME
from drift_exporter.reading.table_engines import Typed
from drift_exporter.reading.table_values import (
    MICRO,
    Expression,
    double,
    epoch_microseconds,
    text,
)

TIME_KINDS = ("integer", "number", "text", "time")
"""Kinds of columns that can hold event times."""

ALL_TIMES = (-62_135_596_800 * MICRO, 253_402_300_799 * MICRO)
"""From year 1 to year 9999, what databases and Python can both say."""

UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (2**63, 10**9))
"""Size below which a whole number is a time in a unit, and units per second."""

SAMPLE_FACTOR = 7919
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)

_LEAP = r"([0-9][0-9](0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"
_DATE = (
    r"([0-9]{4}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|(0[13-9]|1[0-2])-(29|30)"
    r"|(0[13578]|1[02])-31)|" + _LEAP + r"-02-29)"
)
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]+)?)?"
_MOMENT = r"^" + _DATE + r"([T ]" + _CLOCK + r"(Z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)?)?$"
_BELOW_MICROSECONDS = r"([.][0-9]{6})[0-9]+"


class EventTime:
    """The timestamp column of a table."""

    def __init__(self, dialect: str, column: Expression, typed: Typed) -> None:
        self._dialect = dialect
        self._typed = typed
        self._column = column
        if self.is_text:
            self._column = _parsed_moment(dialect, text(column, typed))

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
            day = _clamped(-(-moment // MICRO // 86_400) * 86_400 * MICRO)
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
            scale = Fraction(per_second, MICRO)
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
            if per_second <= MICRO:
                whole = column * (MICRO // per_second)
            elif kind == "integer":
                many = per_second // MICRO
                rest = (column % many + many) % many
                # A whole quotient below 2**53 survives division as floats, once rounded.
                whole = ((column - rest).cast("float64") / double(many)).round()
            else:
                whole = column / double(per_second // MICRO)
            whole = whole if kind == "integer" else whole.round()
            cases.append((_within(column, larger, kind), whole.cast("int64")))
        return ibis.cases(*cases)

    def slice_start(self, width: int) -> Expression:
        """Start of the slice of a row, in seconds since the epoch."""
        moment, slices = self.microseconds, width * MICRO
        # Engines differ in the sign of a remainder: this one is never negative.
        start = moment - (moment % slices + slices) % slices
        # Whole seconds, small enough to be divided as floats.
        return (start.cast("float64") / double(MICRO)).round().cast("int64")

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
