"""Tables and queries of a database, counted by the database itself.

Knows which questions make an answer; knows no driver. One aggregate query per run, and one
per batch of features where a table is wide, all within one snapshot of the data: only counts
come back. Ibis writes the SQL of every engine from the same expression.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import ibis
from ibis.expr import datatypes

from drift_exporter import config
from drift_exporter.counts import SliceKey
from drift_exporter.errors import SchemaError, SourceError
from drift_exporter.profile import Profile
from drift_exporter.reading.source import (
    Column,
    Counted,
    Progress,
    Sketches,
    Span,
    Stop,
    sampled_microseconds,
)
from drift_exporter.reading.table_duckdb import DuckDB
from drift_exporter.reading.table_engines import Engine, Rows, Session, Typed, driver_of, place_of
from drift_exporter.reading.table_plans import Cell, Plan, check, plan_of
from drift_exporter.reading.table_postgres import PostgreSQL, keywords_of
from drift_exporter.reading.table_sketches import sketch_categories, sketch_numbers
from drift_exporter.reading.table_times import ALL_TIMES, TIME_KINDS, EventTime
from drift_exporter.reading.table_values import MICRO, Expression

QUERY = "drift_exporter_query"
ROWS = "drift_exporter_rows"
"""Names that the query of the config and the rows that are counted go by."""

PLANS = 4
"""Plans that are kept: writing the SQL of 50 features takes a second, asking often less."""


class _Answers(NamedTuple):
    """An open session, and the table that its queries are about."""

    dialect: str
    session: Session
    columns: Mapping[str, Typed]
    table: Expression
    query: str
    """The query of the config as it was written: Ibis cannot parse all that engines can."""

    def rows(self, expression: Expression) -> Rows:
        """The rows of an expression on the table."""
        return self._with([], self.sql(expression))

    def rows_over(self, rows: Expression, sql: str) -> Rows:
        """The rows of a query about ``ROWS``, which stands for ``rows``."""
        return self._with([(ROWS, self.sql(rows))], sql)

    def sql(self, expression: Expression) -> str:
        """An expression in the engine's SQL."""
        return str(ibis.to_sql(expression, dialect=self.dialect, pretty=False))

    def _with(self, named: list[tuple[str, str]], sql: str) -> Rows:
        if self.query:
            named = [(QUERY, self.query), *named]
        if named:
            # On lines of their own: the query of the config may end in a comment.
            parts = ", ".join(f'"{name}" AS (\n{part}\n)' for name, part in named)
            more = sql.removeprefix("WITH ")
            sql = f"WITH {parts}{', ' if more != sql else ' '}{more}"
        return self.session.rows(sql)


class TableSource:
    """A table or query of a database.

    Parameters
    ----------
    where
        URL and table or query.
    sample
        Share of the rows that ``count`` counts.
    connect_timeout_seconds
        Longest wait for the database to let us in.
    statement_timeout_seconds
        Longest time of one query.
    """

    def __init__(
        self,
        where: config.Source,
        *,
        sample: float = 1.0,
        connect_timeout_seconds: float = 10.0,
        statement_timeout_seconds: float = 60.0,
    ) -> None:
        self._where = where
        self._sample = sample
        self._place = f"{place_of(where.url)} {where.table or 'query'}"
        self._plans: dict[Any, Plan] = {}
        self._engine = _engine_of(
            where,
            connect_timeout_seconds=connect_timeout_seconds,
            statement_timeout_seconds=statement_timeout_seconds,
        )

    def columns(self) -> Mapping[str, Column]:
        """The columns of the table."""
        with self._answers() as answers:
            return {name: typed.column for name, typed in answers.columns.items()}

    def sketch(
        self,
        numeric: Sequence[str],
        categorical: Sequence[str],
        between: tuple[float | None, float | None] = (None, None),
        progress: Progress = lambda _: None,
    ) -> Sketches:
        """Sketch columns over all rows, or over those between two event times."""
        with self._answers() as answers:
            rows = self._between(answers, between)
            done, wanted = 0, max(len(numeric) + len(categorical), 1)
            numbers, categories = {}, {}
            for name in numeric:
                typed = self._typed(answers, name)
                numbers[name] = sketch_numbers(answers.dialect, answers.rows, rows, name, typed)
                done += 1
                progress(done / wanted)
            for name in categorical:
                typed = self._typed(answers, name)
                categories[name] = sketch_categories(
                    answers.dialect, answers.rows, rows, name, typed
                )
                done += 1
                progress(done / wanted)
            start, end = self._first_and_last(answers, rows)
        return Sketches(numbers, categories, start, end)

    def count_all(
        self,
        profile: Profile,
        between: tuple[float | None, float | None] = (None, None),
        progress: Progress = lambda _: None,
    ) -> Counted:
        """Count all rows into one slice that starts at 0."""
        with self._answers() as answers:
            rows = self._between(answers, between)
            plan = self._plan(answers, profile, None)
            slices = plan.counted(lambda sql: answers.rows_over(rows, sql), lambda: False, progress)
        return _answer(slices)

    def count(
        self, profile: Profile, span: Span, width: int, now: float, stop: Stop = lambda: False
    ) -> Counted:
        """Count the rows of a span per slice and segment; a row counts once its time has come."""
        with self._answers() as answers:
            event = self._event_time(answers, answers.table)
            present = round(now * MICRO)
            start, end = span.start * MICRO, span.end * MICRO
            rows = answers.table.filter(event.between(start, min(end, present)))
            if self._sample < 1:
                event = self._event_time(answers, rows)
                rows = rows.filter(event.sampled(sampled_microseconds(self._sample)))
            plan = self._plan(answers, profile, width)
            slices = plan.counted(lambda sql: answers.rows_over(rows, sql), stop)
            check(stop)
            rejected = self._rejected(answers, present)
        last = span.end - width
        total: dict[SliceKey, Cell] = {}
        for key, cell in slices.items():
            # Rounding may carry a float over the end of the span that it was found in.
            moved = key._replace(start=min(max(key.start, span.start), last))
            total[moved] = total[moved].plus(cell) if moved in total else cell
        return _answer(total, rejected)

    def close(self) -> None:
        """Nothing to let go of: a connection lives for one answer."""

    @contextmanager
    def _answers(self) -> Iterator[_Answers]:
        where = self._where
        with self._engine.session() as session:
            query = (where.query or "").strip().rstrip(";")
            if query:
                columns = session.columns(f"(\n{query}\n) AS {QUERY}")
                names = [QUERY]
            else:
                names = (where.table or "").split(".", 1)
                quoted = ('"' + name.replace('"', '""') + '"' for name in names)
                columns = session.columns(".".join(quoted))
            if not columns:
                raise SourceError(f"{self._place}: there are no columns; check the table")
            table = ibis.table(
                _types(columns),
                name=names[-1],
                database=names[0] if len(names) > 1 else None,
            )
            yield _Answers(self._engine.dialect, session, columns, table, query)

    def _plan(self, answers: _Answers, profile: Profile, width: int | None) -> Plan:
        key = (profile.bins_hash, width, tuple(answers.columns.items()))
        if key not in self._plans:
            rows = ibis.table(_types(answers.columns), name=ROWS)
            start: Expression = ibis.literal(0)
            if width is not None:
                start = self._event_time(answers, rows).slice_start(width)
            while len(self._plans) >= PLANS:
                del self._plans[next(iter(self._plans))]
            self._plans[key] = plan_of(
                profile, rows, start, answers.columns, answers.dialect, answers.sql
            )
        return self._plans[key]

    def _typed(self, answers: _Answers, name: str) -> Typed:
        if name not in answers.columns:
            raise SchemaError(
                f"{self._place}: the column {name!r} is not there; "
                f"the columns are {sorted(answers.columns)}"
            )
        return answers.columns[name]

    def _event_time(self, answers: _Answers, rows: Expression) -> EventTime:
        name = self._where.timestamp
        typed = self._typed(answers, name)
        if typed.column.kind not in TIME_KINDS:
            raise SchemaError(
                f"{self._place}: the timestamp column {name!r} is of type {typed.column.dtype}; "
                "name a column of timestamps, epoch numbers or ISO 8601 text in 'timestamp'"
            )
        return EventTime(answers.dialect, rows[name], typed)

    def _between(self, answers: _Answers, between: tuple[float | None, float | None]) -> Expression:
        if between == (None, None):
            return answers.table
        start, end = (None if moment is None else round(moment * MICRO) for moment in between)
        return answers.table.filter(self._event_time(answers, answers.table).between(start, end))

    def _first_and_last(
        self, answers: _Answers, rows: Expression
    ) -> tuple[float | None, float | None]:
        typed = answers.columns.get(self._where.timestamp)
        if typed is None or typed.column.kind not in TIME_KINDS:
            return None, None
        # PostgreSQL's infinite timestamps lie outside, and have no epoch.
        rows = rows.filter(self._event_time(answers, rows).between(*ALL_TIMES))
        event = self._event_time(answers, rows).microseconds
        ((first, last),) = answers.rows(rows.aggregate(first=event.min(), last=event.max()))
        return (None, None) if first is None else (first / MICRO, last / MICRO)

    def _rejected(self, answers: _Answers, present: int) -> dict[str, int]:
        event = self._event_time(answers, answers.table)
        if not event.is_text:
            later = answers.table.filter(event.between(present, None))
            ((future,),) = answers.rows(later.aggregate(rows=later.count()))
            return {"future": int(future)} if future else {}
        found = answers.table.aggregate(
            future=answers.table.count(where=event.between(present, None)),
            timestamp=answers.table.count(where=event.unreadable),
        )
        ((future, unreadable),) = answers.rows(found)
        counts = {"future": int(future), "timestamp": int(unreadable)}
        return {reason: rows for reason, rows in counts.items() if rows}


def _types(columns: Mapping[str, Typed]) -> dict[str, Any]:
    # Ibis cannot parse the name of its own unknown type.
    return {
        name: datatypes.unknown if typed.type == "unknown" else typed.type
        for name, typed in columns.items()
    }


def _answer(slices: Mapping[SliceKey, Cell], rejected: Mapping[str, int] | None = None) -> Counted:
    return Counted(
        slices={key: cell.vector for key, cell in slices.items()},
        rows_read=sum(cell.rows for key, cell in slices.items() if not key.segment_by),
        rows_rejected=rejected or {},
    )


def _engine_of(
    where: config.Source, *, connect_timeout_seconds: float, statement_timeout_seconds: float
) -> Engine:
    parts = urlsplit(where.url)
    place = place_of(where.url)
    if parts.scheme.partition("+")[0] == "duckdb":
        driver = driver_of("duckdb", "duckdb", place)
        path = unquote(parts.netloc + parts.path)
        # Four slashes are how SQLAlchemy writes an absolute path.
        path = "/" + path.lstrip("/") if path.startswith("/") else path
        return DuckDB(driver, path, statement_timeout_seconds)
    driver = driver_of("psycopg", "postgres", place)
    keywords = keywords_of(driver, where, place)
    keywords.setdefault("connect_timeout", max(2, round(connect_timeout_seconds)))
    return PostgreSQL(driver, keywords, place, statement_timeout_seconds)
