"""Databases: every form of event time, wide tables, many categories, and all that can fail."""

import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
import ibis
import numpy as np
import pytest

from drift_exporter.config import Source as Where
from drift_exporter.counts import SliceKey
from drift_exporter.errors import DriftExporterError, RunStoppedError, SchemaError, SourceError
from drift_exporter.profile import (
    CategoryBins,
    Feature,
    NumericBins,
    Profile,
    SegmentColumn,
)
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Source, Span
from drift_exporter.reading.table_engines import typed
from drift_exporter.reading.table_times import EventTime
from drift_exporter.reading.tables import TableSource
from postgres import PASSWORD, Server

START = int(datetime(2024, 3, 10, 6, tzinfo=UTC).timestamp())
"""The hour in which New York, the zone of the server, puts its clocks forward."""

SPAN = Span(START, START + 3600)
NOW = float(START + 7200)
WIDTH = 300


def _profile(*features: Feature, segments: tuple[SegmentColumn, ...] = ()) -> Profile:
    cells = sum(feature.block.cells for feature in features)
    return Profile("m", features, np.zeros(cells, dtype=np.int64), segments)


def _numeric(name: str, *edges: float, low: float = 0.0, high: float = 10.0) -> Feature:
    return Feature(name, "feature", "numeric", NumericBins(edges, low, high))


X = _profile(_numeric("x", 5.0))

Database = Callable[[str], dict[str, Any]]
"""Runs SQL in a database of its own, and tells where it is."""


@pytest.fixture(params=["postgresql", "duckdb"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Server
) -> Iterator[Database]:
    """An empty database."""
    if request.param == "duckdb":

        def run_duckdb(sql: str) -> dict[str, Any]:
            with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(sql)
            return {"url": f"duckdb://{tmp_path / 'x.duckdb'}"}

        yield run_duckdb
        return

    def run_postgresql(sql: str) -> dict[str, Any]:
        with postgres.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(sql)
        return {"url": postgres.url}

    yield run_postgresql
    with postgres.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


@pytest.fixture
def empty(postgres: Server) -> Iterator[Server]:
    """A PostgreSQL server whose tables go after the test."""
    yield postgres
    with postgres.connect() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _count(source: Source, profile: Profile = X) -> dict[SliceKey, list[int]]:
    with closing(source):
        counted = source.count(profile, SPAN, WIDTH, NOW)
    return {key: vector.tolist() for key, vector in counted.slices.items()}


def _open(**where: Any) -> TableSource:
    return TableSource(
        Where(**{"timestamp": "at", **where}),
        connect_timeout_seconds=5.0,
        statement_timeout_seconds=30.0,
    )


MOMENTS = (START, START + 299, START + 300, START + 3599, START + 3600, START - 1)


@pytest.mark.parametrize(
    ("sql_type", "value"),
    [
        pytest.param("timestamp", "TIMESTAMP '{:%Y-%m-%d %H:%M:%S}'", id="timestamp"),
        pytest.param("timestamptz", "TIMESTAMPTZ '{:%Y-%m-%d %H:%M:%S}+00'", id="timestamptz"),
        pytest.param("bigint", "{0:%s}", id="seconds"),
        pytest.param("bigint", "{0:%s}999", id="milliseconds"),
        pytest.param("bigint", "{0:%s}999999", id="microseconds"),
        pytest.param("bigint", "{0:%s}999999999", id="nanoseconds"),
        pytest.param("double precision", "{0:%s}.25", id="float seconds"),
        pytest.param("double precision", "{0:%s}999", id="float milliseconds"),
        pytest.param("numeric(20, 3)", "{0:%s}.999", id="decimal seconds"),
        pytest.param("text", "'{:%Y-%m-%dT%H:%M:%SZ}'", id="text in UTC"),
        pytest.param("text", "'{:%Y-%m-%d %H:%M:%S.9999999}'", id="text without a zone"),
        pytest.param("text", "'{:%Y-%m-%dT%H:%M:%S+00:00}'", id="text with an offset"),
    ],
)
def test_every_form_of_event_time(database: Database, sql_type: str, value: str) -> None:
    """Event time may come in any form; the zone of the session does not matter."""
    rows = []
    for moment in MOMENTS:
        text = value.replace("{0:%s}", str(moment)).format(datetime.fromtimestamp(moment, UTC))
        rows.append(f"({text}, 1.0)")
    url = database(
        f"CREATE TABLE t (at {sql_type}, x double precision)".replace("(at", '("at"')
        + f"; INSERT INTO t VALUES {', '.join(rows)}, (NULL, 1.0)"
    )

    found = {key[0]: sum(cells) for key, cells in _count(_open(**url, table="t")).items()}

    assert found == {START: 2, START + 300: 1, START + 3300: 1}


def test_a_date_is_its_midnight(database: Database) -> None:
    """A date belongs to the slice that its day begins with."""
    url = database(
        """CREATE TABLE t ("at" date, x double precision);
        INSERT INTO t VALUES ('2024-03-09', 1), ('2024-03-10', 1), ('2024-03-11', 1)"""
    )
    day = START - 6 * 3600
    source = _open(**url, table="t")

    counted = source.count(X, Span(day, day + 86400), 3600, NOW + 10 * 86400)

    assert [key.start for key in counted.slices] == [day]
    assert counted.rows_read == 1


def test_text_that_is_no_time_is_refused(database: Database) -> None:
    """Text that cannot be read as a time is counted as refused, and stops nothing."""
    url = database(
        """CREATE TABLE t ("at" text, x double precision);
        INSERT INTO t VALUES ('2024-03-10 06:00:00', 1), ('2024-02-30', 1), ('soon', 1),
        (NULL, 1), ('0000-01-01', 1), ('2023-02-29', 1), ('2024-03-10T25:00:00', 1), ('', 1)"""
    )
    source = _open(**url, table="t")

    counted = source.count(X, SPAN, WIDTH, NOW)

    assert counted.rows_read == 1
    assert counted.rows_rejected == {"timestamp": 7}


@pytest.mark.parametrize(
    ("sql_type", "ibis_name", "value"),
    [
        pytest.param(
            "timestamp", "timestamp", "timestamp '2024-01-01' + i * interval '1 s'", id="timestamp"
        ),
        pytest.param(
            "timestamptz",
            "timestamptz",
            "timestamptz '2024-01-01' + i * interval '1 s'",
            id="timestamptz",
        ),
        pytest.param("date", "date", "date '1999-01-01' + i", id="date"),
        pytest.param("bigint", "int8", "1704067200 + i", id="seconds"),
        pytest.param("bigint", "int8", "(1704067200 + i) * 1000::bigint", id="milliseconds"),
        pytest.param("double precision", "float8", "1704067200.5 + i", id="float seconds"),
    ],
)
def test_the_filter_uses_an_index(empty: Server, sql_type: str, ibis_name: str, value: str) -> None:
    """A span is found by the index of the timestamp column, not by reading the table."""
    with empty.connect() as connection:
        connection.execute(f"CREATE TABLE t (at {sql_type}, x double precision)")
        connection.execute(f"INSERT INTO t SELECT {value}, i FROM generate_series(1, 20000) i")
        connection.execute("CREATE INDEX ON t (at)")
        connection.execute("ANALYZE t")
        kind = typed(ibis_name)
        table = ibis.table({"at": kind.type, "x": "float64"}, name="t")
        start = 1_704_067_200_000_000
        inside = EventTime("postgres", table["at"], kind).between(start, start + 300_000_000)
        query = ibis.to_sql(table.filter(inside).x.sum(), dialect="postgres")

        plan = connection.execute(f"EXPLAIN {query}").fetchall()

    lines = "\n".join(line for (line,) in plan)
    assert "Index" in lines
    assert "Seq Scan" not in lines


def test_cuts_are_exact(database: Database) -> None:
    """Any float64 is a cut, and its neighbours fall to either side of it."""
    bits = np.random.default_rng(7).integers(0, 2**64, size=150, dtype=np.uint64)
    wild = bits.view(np.float64)
    tame = np.random.default_rng(8).uniform(-3, 3, size=150)
    edges = np.concatenate((wild[np.isfinite(wild)], tame, [5e-324, -5e-324, 0.1, 1e22, 123456.7]))
    edges = np.unique(edges)
    rows = np.concatenate((np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)))
    bins = NumericBins(tuple(edges[1:-1].tolist()), float(edges[0]), float(edges[-1]))
    url = database(
        'CREATE TABLE t ("at" bigint, x double precision); INSERT INTO t VALUES '
        + ", ".join(f"(0, CAST('{x!r}' AS double precision))" for x in rows.tolist())
    )
    profile = _profile(Feature("x", "feature", "numeric", bins))

    counted = _open(**url, table="t").count_all(profile)

    (vector,) = counted.slices.values()
    cells = np.searchsorted(bins.cuts, rows, side="right")
    expected = np.bincount(cells, minlength=bins.bins + 2)
    assert vector[:-3].tolist() == expected.tolist()
    assert vector[-3:].tolist() == [0, 0, 0]


def test_many_categories_are_known(database: Database) -> None:
    """Thousands of remembered categories tell the other ones from those never seen."""
    words = tuple(f"it's \\ {i} ü" for i in range(5000))
    url = database(
        f"""CREATE TABLE t ("at" bigint, word text);
        INSERT INTO t SELECT {START}, 'it''s \\ ' || i || ' ü' FROM generate_series(0, 5999) s(i);
        INSERT INTO t VALUES ({START}, NULL), ({START}, '')"""
    )
    bins = CategoryBins(kept=words[:30], others=(*words[30:], ""))

    (cells,) = _count(
        _open(**url, table="t"), _profile(Feature("word", "feature", "categorical", bins))
    ).values()

    assert cells == [1] * 30 + [4971, 1, 1000, 0]


def test_text_that_no_database_holds(database: Database) -> None:
    """A category that a database cannot hold or be asked for is just not there."""
    url = database(
        f"""CREATE TABLE t ("at" bigint, word text);
        INSERT INTO t VALUES ({START}, 'a')"""
    )
    bins = CategoryBins(kept=("\0", "a"), others=("b\0",))
    profile = _profile(Feature("word", "feature", "categorical", bins))

    (cells,) = _count(_open(**url, table="t"), profile).values()

    assert cells == [0, 1, 0, 0, 0, 0]


def test_wide_tables_and_many_segments(database: Database) -> None:
    """More features and segments than one query takes are counted as if it took them."""
    names = [f"x{i}" for i in range(90)]
    columns = ", ".join(f"{name} integer" for name in names)
    values = ", ".join(f"(i * {k + 3}) % 13" for k in range(len(names)))
    url = database(
        f"""CREATE TABLE t ("at" bigint, a text, b integer, {columns});
        INSERT INTO t SELECT {START} + i, CAST(i % 17 AS text), i % 11, {values}
        FROM generate_series(0, 599) s(i)"""
    )
    features = tuple(_numeric(name, *map(float, range(1, 10))) for name in names)
    a = SegmentColumn("a", tuple(str(i) for i in range(15)))
    b = SegmentColumn("b", tuple(str(i) for i in range(8)))
    profile = _profile(*features, segments=(a, b))

    counted = _open(**url, table="t").count(profile, SPAN, WIDTH, NOW)

    expected: dict[SliceKey, Counter[int]] = {}
    for i in range(600):
        start = START + i // 300 * 300
        keys = [SliceKey(start)]
        keys.append(SliceKey(start, "a", str(i % 17) if i % 17 < 15 else "(other)"))
        keys.append(SliceKey(start, "b", str(i % 11) if i % 11 < 8 else "(other)"))
        # Below 0, ten bins of a whole number each (the last of two), above 10, and the tail.
        whole = [i * (k + 3) % 13 for k in range(len(names))]
        cells = [15 * k + (1 + min(x, 9) if x <= 10 else 11) for k, x in enumerate(whole)]
        for key in keys:
            expected.setdefault(key, Counter()).update(cells)
    found = {
        key: {int(at): int(vector[at]) for at in np.flatnonzero(vector)}
        for key, vector in counted.slices.items()
    }
    assert found == expected
    assert counted.rows_read == 600


def test_names_are_quoted(database: Database) -> None:
    """Names of schemas, tables and columns may hold anything."""
    url = database(
        """CREATE SCHEMA "sche ma";
        CREATE TABLE "sche ma"."Ta""b;le" ("at" bigint, "x ""%s" integer);
        INSERT INTO "sche ma"."Ta""b;le" VALUES """
        + f"({START}, 7)"
    )

    profile = _profile(_numeric('x "%s', 5.0))
    (cells,) = _count(_open(**url, table='sche ma.Ta"b;le'), profile).values()

    assert cells == [0, 0, 1, 0, 0, 0, 0]
    if url["url"].startswith("postgresql"):
        database('DROP SCHEMA "sche ma" CASCADE')


def test_a_query_instead_of_a_table(database: Database) -> None:
    """A query may be written as people write them, comments and semicolon included."""
    url = database(
        f"""CREATE TABLE t ("at" bigint, x integer);
        INSERT INTO t VALUES ({START}, 7), ({START}, 1)"""
    )
    query = 'WITH big AS (SELECT * FROM t WHERE x > 5) SELECT "at", x AS x FROM big -- 100 %;'
    source = _open(**url, query=query)

    (cells,) = _count(source).values()
    sketches = source.sketch(["x"], ["x"])

    assert cells == [0, 0, 1, 0, 0, 0, 0]
    assert sketches.numeric["x"].values == (7.0,)
    assert sketches.categorical["x"].counts == (("7", 1),)


def test_kinds_of_columns(database: Database) -> None:
    """What a column holds follows from its type; what cannot be judged is told apart."""
    url = database(
        """CREATE TYPE mood AS ENUM ('sad', 'ok');
        CREATE TABLE t (i smallint, r real, n numeric(9, 2), b boolean, s varchar(5), m mood,
        u uuid, d date, z timestamptz, j json, l integer[])"""
    )

    columns = _open(**url, table="t").columns()

    assert {name: column.kind for name, column in columns.items()} == {
        "i": "integer",
        "r": "number",
        "n": "number",
        "b": "boolean",
        "s": "text",
        "m": "text",
        "u": "text",
        "d": "time",
        "z": "time",
        "j": "other",
        "l": "other",
    }


def test_an_enumeration_is_text(database: Database) -> None:
    """Values of an enumeration are categories, those that its type does not have are not there."""
    url = database(
        f"""CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE t ("at" bigint, m mood);
        INSERT INTO t VALUES ({START}, 'ok'), ({START}, 'sad'), ({START}, NULL)"""
    )
    bins = CategoryBins(kept=("glad", "ok"), others=("angry",))
    source = _open(**url, table="t")

    (cells,) = _count(source, _profile(Feature("m", "feature", "categorical", bins))).values()

    assert cells == [0, 1, 0, 1, 1, 0]
    assert source.sketch([], ["m"]).categorical["m"].counts == (("ok", 1), ("sad", 1))


def test_infinite_timestamps(database: Database) -> None:
    """PostgreSQL's and DuckDB's infinite timestamps lie in no span, and break nothing."""
    url = database(
        """CREATE TABLE t ("at" timestamp, x double precision);
        INSERT INTO t VALUES ('infinity', 1), ('-infinity', 1), ('2024-03-10 06:00:00', 1)"""
    )
    source = _open(**url, table="t")

    counted = source.count(X, SPAN, WIDTH, NOW)
    sketches = source.sketch(["x"], [])

    assert counted.rows_read == 1
    assert (sketches.start, sketches.end) == (START, START)


def test_an_empty_table(database: Database) -> None:
    """A table without rows has no slices, and sketches of nothing."""
    url = database('CREATE TABLE t ("at" timestamp, x double precision, s text)')
    source = _open(**url, table="t")

    assert source.count(X, SPAN, WIDTH, NOW).slices == {}
    assert source.count_all(X).slices == {}
    sketches = source.sketch(["x"], ["s"])
    assert (sketches.numeric["x"].rows, sketches.numeric["x"].grid) == (0, ())
    assert (sketches.categorical["s"].rows, sketches.start) == (0, None)


def test_a_run_can_be_stopped(database: Database) -> None:
    """A run that is told to stop ends before its next query."""
    url = database('CREATE TABLE t ("at" timestamp, x double precision)')

    with pytest.raises(RunStoppedError):
        _open(**url, table="t").count(X, SPAN, WIDTH, NOW, lambda: True)


# What fails says where, what was found and what to do, and no secret.


def _said(call: Callable[[], Any], kind: type[DriftExporterError] = SourceError) -> str:
    """What a call that fails says, to the user and to the log; neither holds the password."""
    with pytest.raises(kind) as caught:
        call()
    log = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, quote(PASSWORD, safe=""), "row-of-data"):
        assert secret not in log.replace(__file__, "").split("Error: ", 1)[-1]
    return str(caught.value)


@pytest.mark.parametrize("missing", ["table", "timestamp"])
def test_what_is_not_there(database: Database, missing: str) -> None:
    """An unknown table or timestamp column is named as such."""
    url = database("CREATE TABLE t (x double precision)")
    table = "nowhere" if missing == "table" else "t"
    kind = SourceError if missing == "table" else SchemaError
    source = _open(**url, table=table)

    message = _said(lambda: source.count(X, SPAN, WIDTH, NOW), kind)

    assert ("the table does not exist" if missing == "table" else "'at'") in message


def test_a_column_that_is_no_time(database: Database) -> None:
    """A timestamp column of another type is refused with its type."""
    url = database('CREATE TABLE t ("at" boolean, x double precision)')

    message = _said(lambda: _open(**url, table="t").count(X, SPAN, WIDTH, NOW), SchemaError)

    assert "bool" in message.lower()


def test_a_value_never_shows(database: Database) -> None:
    """A query that fails on a row does not tell the row."""
    url = database("CREATE TABLE t (x text); INSERT INTO t VALUES ('row-of-data')")
    source = _open(**url, query='SELECT CAST(x AS integer) AS x, 1 AS "at" FROM t')

    message = _said(lambda: source.count_all(X))

    assert "the query failed" in message


def test_wrong_password(empty: Server) -> None:
    """A refused login says who and where."""
    source = _open(url=empty.url_with("wrong-word"), table="t")

    message = _said(source.columns)

    assert "password authentication failed" in message
    assert "wrong-word" not in message


def test_nobody_listens(empty: Server) -> None:
    """A refused connection says where, never the password."""
    url = empty.url.replace(f":{empty.port}/", ":1/")

    message = _said(_open(url=url, table="t").columns)

    assert "cannot connect" in message


@pytest.mark.parametrize(
    "password", ["row-of-data%zz", "1/row-of-data", "1?row-of-data", "#row-of-data"]
)
def test_a_url_that_cannot_be_read(password: str) -> None:
    """A password that is not percent-encoded is refused without being quoted."""
    url = f"postgresql://drift:{password}@127.0.0.1/postgres"

    message = _said(lambda: _open(url=url, table="t"))

    assert "percent-encoded" in message


def test_password_and_url_from_files(tmp_path: Path, empty: Server) -> None:
    """Mounted secrets hold the password, or the whole URL; a line's end is no part of them."""
    (tmp_path / "password").write_text(PASSWORD + "\n")
    (tmp_path / "url").write_text(empty.url + "\n")
    with empty.connect() as connection:
        connection.execute("CREATE TABLE t (x integer)")
    by_password = Where(
        url=empty.url_with(None), password_file=str(tmp_path / "password"), table="t"
    )
    by_url = Where(url_file=str(tmp_path / "url"), table="t")

    found = [open_source(w, timeout_seconds=30.0).columns() for w in (by_password, by_url)]

    assert [list(columns) for columns in found] == [["x"], ["x"]]


@pytest.mark.parametrize("key", ["password_file", "url_file"])
def test_a_secret_that_is_not_there(tmp_path: Path, key: str) -> None:
    """A file of a secret that cannot be read is named."""
    secret = {key: str(tmp_path / "nowhere"), "table": "t"}
    url = {} if key == "url_file" else {"url": "postgresql://drift@127.0.0.1/postgres"}
    where = Where(**secret, **url)

    assert "nowhere" in _said(lambda: open_source(where, timeout_seconds=30.0))


@pytest.mark.parametrize(
    ("url", "module", "extra"),
    [
        ("postgresql://drift@127.0.0.1/postgres", "psycopg", "postgres"),
        ("duckdb:///nowhere.duckdb", "duckdb", "duckdb"),
        ("duckdb:///nowhere.duckdb", "ibis", "duckdb"),
    ],
)
def test_an_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, url: str, module: str, extra: str
) -> None:
    """Without the extra of a database the message says what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    for name in [name for name in sys.modules if name.startswith("drift_exporter.reading.table")]:
        monkeypatch.delitem(sys.modules, name)
    where = Where(url=url, table="t")

    message = _said(lambda: open_source(where, timeout_seconds=30.0))

    assert f"pip install 'drift-exporter[{extra}]'" in message


def test_a_lost_connection(empty: Server) -> None:
    """A connection that is lost in a run ends the run; the next one connects again."""
    with empty.connect() as connection:
        connection.execute("CREATE TABLE t (at bigint, x integer)")
        connection.execute("INSERT INTO t VALUES (%s, 7)", (START,))
    source = _open(url=empty.url, table="t")

    def cut_off() -> bool:
        with empty.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'drift-exporter'"
            )
        return False

    message = _said(lambda: source.count(X, SPAN, WIDTH, NOW, cut_off))

    assert "the connection was lost" in message
    assert _count(source) == {SliceKey(START): [0, 0, 1, 0, 0, 0, 0]}


def test_a_query_that_takes_too_long(empty: Server) -> None:
    """A query is cancelled when its time is over."""
    where = Where(url=empty.url, query="SELECT 1 AS x, pg_sleep(60) AS y", timestamp="at")
    source = TableSource(where, statement_timeout_seconds=0.1)

    assert "cancelled, after at most 0.1 s" in _said(lambda: source.count_all(X))


def test_a_query_that_takes_too_long_in_duckdb(tmp_path: Path) -> None:
    """DuckDB has no limit of its own: the query is interrupted."""
    duckdb.connect(str(tmp_path / "x.duckdb")).close()
    where = Where(
        url=f"duckdb://{tmp_path / 'x.duckdb'}",
        query="SELECT sum(sin(a.i * b.i)) AS x FROM range(10000000) a(i), range(10000000) b(i)",
    )
    source = TableSource(where, statement_timeout_seconds=0.5)

    assert "cancelled after 0.5 s" in _said(lambda: source.count_all(X))


def test_nothing_is_written(empty: Server) -> None:
    """The database is only read, whatever a query calls."""
    with empty.connect() as connection:
        connection.execute("CREATE SEQUENCE numbers")
    source = _open(url=empty.url, query="SELECT nextval('numbers') AS x")

    message = _said(lambda: source.count_all(X))

    assert "ReadOnlySqlTransaction" in message
    with empty.connect() as connection:
        assert connection.execute("SELECT is_called FROM numbers").fetchone() == (False,)


def test_permission_denied(empty: Server) -> None:
    """A user who may not read is told what is missing."""
    with empty.connect() as connection:
        connection.execute("CREATE TABLE t (x integer)")
        connection.execute("CREATE ROLE nobody LOGIN PASSWORD 'row-of-data'")
        connection.execute("GRANT USAGE ON SCHEMA public TO nobody")
    url = f"postgresql://nobody:row-of-data@127.0.0.1:{empty.port}/postgres"
    try:
        message = _said(_open(url=url, table="t").columns)
    finally:
        with empty.connect() as connection:
            connection.execute("DROP OWNED BY nobody; DROP ROLE nobody")

    assert "GRANT SELECT" in message


def test_a_duckdb_file_is_let_go(tmp_path: Path) -> None:
    """Between two runs a writer may open the file."""
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t (x integer)")
    source = _open(url=f"duckdb://{path}", table="t")
    source.columns()

    with duckdb.connect(str(path)) as connection:
        connection.execute("INSERT INTO t VALUES (7)")

    assert source.count_all(X).rows_read == 1


def test_a_duckdb_file_that_is_written_to(tmp_path: Path) -> None:
    """A file that another process holds open to write says so."""
    path = tmp_path / "x.duckdb"
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"

        message = _said(_open(url=f"duckdb://{path}", table="t").columns)

        writer.communicate("\n")
    assert "another process has the file open to write" in message


@pytest.mark.parametrize("content", [None, b"not a database, but some text"])
def test_no_duckdb_file(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not there, or no database, is named."""
    path = tmp_path / "x.duckdb"
    if content is not None:
        path.write_bytes(content * 1000)

    message = _said(_open(url=f"duckdb://{path}", table="t").columns)

    assert str(path) in message
