"""Files as a source: whatever the format, the split and the history, the same integers."""

import csv
import gzip
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drift_exporter.config import Source
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import RunStoppedError, SchemaError, SourceError
from drift_exporter.profile import (
    GRID,
    CategoryBins,
    Feature,
    NumericBins,
    Profile,
    SegmentColumn,
)
from drift_exporter.reading import counting, parts
from drift_exporter.reading.files import FileSource
from drift_exporter.reading.source import SAMPLE_PRIME, Counted, Span, sampled_microseconds

Row = dict[str, Any]
Slices = dict[SliceKey, list[int]]

T0 = 1_700_000_100
WIDTH = 300
FIRST = T0 // WIDTH * WIDTH
FAR = 2_000_000_000.0
ALL = Span(FIRST - 30 * WIDTH, FIRST + 400 * WIDTH)

X = Feature("x", "feature", "numeric", NumericBins((1.0, 2.0), 0.0, 3.0))
C = Feature("c", "feature", "categorical", CategoryBins(("a", "b"), ("d",)))


def profile_of(*features: Feature, segments: tuple[SegmentColumn, ...] = ()) -> Profile:
    """A profile without counts of its own."""
    return Profile("m", features, np.zeros(0, dtype=np.int64), segments)


PROFILE = profile_of(X, C)
SEGMENTED = profile_of(
    X, C, segments=(SegmentColumn("c", ("a",)), SegmentColumn("region", ("eu",)))
)


def cell_of_x(row: Row) -> int:
    """The cell of ``x`` by comparison."""
    if "x" not in row:
        return 7
    value = row["x"]
    if value is None or np.isnan(value):
        return 5
    return sum(value >= cut for cut in (0.0, 1.0, 2.0, np.nextafter(3.0, 4.0)))


def cell_of_c(row: Row) -> int:
    """The cell of ``c`` by look-up."""
    if "c" not in row:
        return 5
    return {"a": 0, "b": 1, "d": 2, None: 3}.get(row["c"], 4)


def by_hand(
    rows: Sequence[Row], span: Span = ALL, now: float = FAR, width: int = WIDTH, by: bool = False
) -> Slices:
    """Counts of a span, one row after the other."""
    total: dict[SliceKey, Vector] = {}
    for row in rows:
        time = row["timestamp"]
        if time >= now or not span.start <= time < span.end:
            continue
        start = int(time // width * width)
        keys = [SliceKey(start)]
        if by:
            segment = {"a": "a", None: "(missing)"}.get(row.get("c"), "(other)")
            region = {"eu": "eu", None: "(missing)"}.get(row.get("region"), "(other)")
            keys += [SliceKey(start, "c", segment), SliceKey(start, "region", region)]
        for key in keys:
            vector = total.setdefault(key, np.zeros(14, dtype=np.int64))
            vector[cell_of_x(row)] += 1
            vector[8 + cell_of_c(row)] += 1
    return {key: [int(n) for n in vector] for key, vector in total.items()}


def found(counted: Counted) -> Slices:
    """The slices of an answer as lists."""
    return {key: [int(n) for n in vector] for key, vector in counted.slices.items()}


def some_rows(many: int, seed: int = 0, step: float = 7.0, start: float = T0) -> list[Row]:
    """Rows in the order of time, with every kind of value."""
    draw = random.Random(seed)  # noqa: S311
    return [
        {
            "timestamp": start + i * step,
            "x": draw.choice([-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 9.25, None]),
            "c": draw.choice(["a", "b", "d", "new", "", None]),
            "region": draw.choice(["eu", "us", None]),
        }
        for i in range(many)
    ]


def iso(time: float) -> str:
    """A time in ISO 8601."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time)).isoformat()


def as_table(rows: Sequence[Row]) -> Any:
    """Rows as an Arrow table; columns that no row has are not there."""
    names = dict.fromkeys(name for row in rows for name in row)
    types = {"x": pa.float64(), "c": pa.string(), "region": pa.string()}
    columns = {
        name: pa.array([row.get(name) for row in rows], types.get(name))
        for name in names
        if name != "timestamp"
    }
    micros = pa.array([round(row["timestamp"] * 10**6) for row in rows], pa.int64())
    return pa.table({"timestamp": micros.cast(pa.timestamp("us", "UTC")), **columns})


def write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """A Parquet file of row groups of 100 rows."""
    pq.write_table(as_table(rows), path, row_group_size=100)


def csv_text(rows: Sequence[Row], header: bool = True) -> str:
    """Rows as CSV: null is nothing, an empty text is quoted."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [",".join(names)] if header else []
    for row in rows:
        fields = []
        for name in names:
            value = iso(row[name]) if name == "timestamp" else row.get(name)
            fields.append("" if value is None else '""' if value == "" else str(value))
        lines.append(",".join(fields))
    return "".join(line + "\n" for line in lines)


def json_text(rows: Sequence[Row]) -> str:
    """Rows as JSON Lines."""
    return "".join(json.dumps({**row, "timestamp": iso(row["timestamp"])}) + "\n" for row in rows)


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """A CSV file."""
    path.write_text(csv_text(rows))


def write_jsonl(path: Path, rows: Sequence[Row]) -> None:
    """A file of JSON Lines."""
    path.write_text(json_text(rows))


def write_csv_gz(path: Path, rows: Sequence[Row]) -> None:
    """A packed CSV file."""
    path.write_bytes(gzip.compress(csv_text(rows).encode()))


def write_jsonl_gz(path: Path, rows: Sequence[Row]) -> None:
    """A packed file of JSON Lines."""
    path.write_bytes(gzip.compress(json_text(rows).encode()))


def write_arrow(path: Path, rows: Sequence[Row]) -> None:
    """An Arrow file of batches of 100 rows."""
    table = as_table(rows)
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


def write_stream(path: Path, rows: Sequence[Row]) -> None:
    """An Arrow stream of batches of 100 rows."""
    table = as_table(rows)
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


WRITERS: dict[str, Callable[[Path, Sequence[Row]], None]] = {
    "parquet": write_parquet,
    "csv": write_csv,
    "jsonl": write_jsonl,
    "csv.gz": write_csv_gz,
    "jsonl.gz": write_jsonl_gz,
    "arrow": write_arrow,
    "arrows": write_stream,
}


def source_of(url: object, **more: Any) -> FileSource:
    """A source of files."""
    return FileSource(Source(url=str(url), **more))


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_counts_the_same(tmp_path: Path, ending: str) -> None:
    """Each format gives the counts that a reader finds row by row, by segment too."""
    rows = some_rows(950)
    WRITERS[ending](tmp_path / f"a.{ending}", rows)

    counted = source_of(tmp_path / f"*.{ending}").count(SEGMENTED, ALL, WIDTH, FAR)

    assert found(counted) == by_hand(rows, by=True)
    assert counted.rows_read == 950
    assert counted.rows_rejected == {}


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_counts_all_and_sketches(tmp_path: Path, ending: str) -> None:
    """All rows of the reference are counted, and sketched exactly, in each format."""
    rows = some_rows(450)
    WRITERS[ending](tmp_path / f"a.{ending}", rows)
    source = source_of(tmp_path / f"a.{ending}")
    shares: list[float] = []

    counted = source.count_all(SEGMENTED, progress=shares.append)
    sketches = source.sketch(["x"], ["c"])

    whole = {
        key._replace(start=0): cells for key, cells in by_hand(rows, width=10**9, by=True).items()
    }
    assert found(counted) == whole
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    x = sorted(row["x"] for row in rows if row["x"] is not None)
    places = [max(-(-k * len(x) // GRID), 1) - 1 for k in range(GRID + 1)]
    assert sketches.numeric["x"].grid == tuple(x[place] for place in places)
    assert sketches.numeric["x"].values == (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 9.25)
    assert sketches.numeric["x"].rows == len(x)
    assert sketches.numeric["x"].missing == 450 - len(x)
    assert sketches.numeric["x"].deviation == pytest.approx(np.std(x))
    assert not sketches.numeric["x"].integer
    named = [row["c"] for row in rows if row["c"] is not None]
    ranked = sorted(((word, named.count(word)) for word in set(named)), key=lambda p: (-p[1], p[0]))
    assert list(sketches.categorical["c"].counts) == ranked
    assert sketches.categorical["c"].missing == 450 - len(named)
    assert (sketches.start, sketches.end) == (rows[0]["timestamp"], rows[-1]["timestamp"])


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "arrow"])
def test_reference_between_two_times(tmp_path: Path, ending: str) -> None:
    """Of the reference only the rows between two times are counted and sketched."""
    rows = some_rows(400)
    WRITERS[ending](tmp_path / f"a.{ending}", rows)
    source = source_of(tmp_path / f"a.{ending}")
    between = (rows[50]["timestamp"], rows[300]["timestamp"])
    inside = rows[50:300]

    counted = source.count_all(PROFILE, between)
    sketches = source.sketch(["x"], ["c"], between)

    assert found(counted) == {
        SliceKey(0): [sum(c) for c in zip(*by_hand(inside).values(), strict=True)]
    }
    assert sketches.numeric["x"].rows == sum(row["x"] is not None for row in inside)
    assert sketches.categorical["c"].rows == sum(row["c"] is not None for row in inside)
    assert (sketches.start, sketches.end) == (inside[0]["timestamp"], inside[-1]["timestamp"])


def test_reference_without_a_timestamp(tmp_path: Path) -> None:
    """A reference needs no timestamp column, unless rows are chosen by time."""
    pq.write_table(pa.table({"x": [0.5, 1.5]}), tmp_path / "a.parquet")
    source = source_of(tmp_path / "a.parquet")

    assert found(source.count_all(profile_of(X))) == {SliceKey(0): [0, 1, 1, 0, 0, 0, 0, 0]}
    assert source.sketch(["x"], []).start is None
    with pytest.raises(SchemaError, match="'timestamp' is not there; name one of \\['x'\\]"):
        source.count_all(profile_of(X), (0.0, None))
    with pytest.raises(SchemaError, match="'timestamp' is not there"):
        source.sketch(["x"], [], (0.0, None))


BERLIN = timezone(timedelta(hours=1))
MOMENT = datetime(2023, 11, 14, 22, 15, 0, 250_000, tzinfo=UTC)
SECONDS = MOMENT.timestamp()


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(pa.array([int(SECONDS)]), id="epoch seconds"),
        pytest.param(pa.array([int(SECONDS)], pa.int32()), id="epoch seconds of 32 bits"),
        pytest.param(pa.array([int(SECONDS * 1e3)]), id="epoch milliseconds"),
        pytest.param(pa.array([int(SECONDS * 1e6)], pa.uint64()), id="epoch microseconds"),
        pytest.param(pa.array([int(SECONDS) * 10**9]), id="epoch nanoseconds"),
        pytest.param(pa.array([SECONDS]), id="fractions of a second"),
        pytest.param(pa.array([SECONDS * 1e3]), id="float milliseconds"),
        pytest.param(pa.array([MOMENT], pa.timestamp("s")), id="timestamp of seconds"),
        pytest.param(pa.array([MOMENT], pa.timestamp("ms")), id="naive timestamp"),
        pytest.param(
            pa.array([MOMENT], pa.timestamp("us", "Asia/Tokyo")), id="timestamp of a zone"
        ),
        pytest.param(pa.array([MOMENT], pa.timestamp("ns", "UTC")), id="timestamp of nanoseconds"),
        pytest.param(pa.array(["2023-11-14T22:15:00Z"]), id="text, Z"),
        pytest.param(pa.array(["2023-11-14T22:15:00"]), id="text, naive"),
        pytest.param(pa.array(["2023-11-14 22:15:00.25"]), id="text, space and fraction"),
        pytest.param(pa.array(["2023-11-14T23:15:00.250000+01:00"]), id="text, offset"),
        pytest.param(pa.array(["2023-11-14T22:15:00.250000123Z"]), id="text, nanoseconds"),
        pytest.param(pa.array(["2023-11-14T22:15"]), id="text, minutes"),
        pytest.param(pa.array(["2023-11-14 22:15:00"], pa.large_string()), id="large text"),
        pytest.param(
            pa.array(["2023-11-14T22:15:00Z"]).dictionary_encode(), id="dictionary of text"
        ),
    ],
)
def test_event_time_of_every_type(tmp_path: Path, times: Any) -> None:
    """Each spelling of a moment falls into the slice of the moment, beside nulls too."""
    both = pa.concat_arrays([times, times.cast(times.type), pa.nulls(1, times.type)])
    pq.write_table(pa.table({"timestamp": both, "x": [0.5, 1.5, 2.5]}), tmp_path / "a.parquet")

    counted = source_of(tmp_path / "a.parquet").count(profile_of(X), ALL, WIDTH, FAR)

    start = int(SECONDS // WIDTH * WIDTH)
    assert found(counted) == {SliceKey(start): [0, 1, 1, 0, 0, 0, 0, 0]}
    assert counted.rows_rejected == {"timestamp": 1}


def test_event_time_of_days(tmp_path: Path) -> None:
    """A date is its first moment."""
    day = datetime(2023, 11, 15, tzinfo=UTC)
    for kind in (pa.date32(), pa.date64()):
        times = pa.array([day.date()], kind)
        pq.write_table(pa.table({"timestamp": times, "x": [0.5]}), tmp_path / f"{kind}.parquet")

    counted = source_of(tmp_path).count(profile_of(X), ALL, WIDTH, FAR)

    assert found(counted) == {SliceKey(int(day.timestamp())): [0, 2, 0, 0, 0, 0, 0, 0]}


@pytest.mark.parametrize(
    ("name", "text", "rejected"),
    [
        pytest.param(
            "a.csv",
            f"timestamp,x\n{T0},0.5\n{T0}.5,0.5\n{T0}000,0.5\n{iso(T0)},0.5\nsoon,0.5\n,0.5\n",
            2,
            id="csv, numbers and texts",
        ),
        pytest.param("a.csv", f"timestamp,x\n{T0},0.5\n{T0}000,0.5\n", 0, id="csv, numbers"),
        pytest.param("a.csv", f"timestamp,x\n{T0},0.5\n{T0}.25,0.5\n", 0, id="csv, fractions"),
        pytest.param(
            "a.jsonl",
            f'{{"timestamp":{T0},"x":0.5}}\n{{"timestamp":"{iso(T0)}","x":0.5}}\n'
            f'{{"timestamp":{T0}000.5,"x":0.5}}\n{{"timestamp":null,"x":0.5}}\n'
            '{"timestamp":true,"x":0.5}\n{"timestamp":"1700000000","x":0.5}\n{"x":0.5}\n',
            4,
            id="json, numbers and texts",
        ),
        pytest.param(
            "a.jsonl",
            f'{{"timestamp":{T0},"x":0.5}}\n{{"timestamp":{T0}.5,"x":0.5}}\n',
            0,
            id="json, numbers",
        ),
    ],
)
def test_event_time_in_text_files(tmp_path: Path, name: str, text: str, rejected: int) -> None:
    """Times are read one by one where they are of several forms; others are rejected."""
    (tmp_path / name).write_text(text)

    counted = source_of(tmp_path / name).count(profile_of(X), ALL, WIDTH, FAR)

    good = counted.rows_read - rejected
    assert found(counted) == {SliceKey(FIRST): [0, good, 0, 0, 0, 0, 0, 0]}
    assert counted.rows_rejected.get("timestamp", 0) == rejected


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "jsonl.gz", "arrow"])
def test_future_rows_wait(tmp_path: Path, ending: str) -> None:
    """A row of the future is rejected until its time has come, in the same process."""
    rows = some_rows(200, step=10.0)
    WRITERS[ending](tmp_path / f"a.{ending}", rows)
    source = source_of(tmp_path / f"a.{ending}")
    half = rows[100]["timestamp"]

    before = source.count(PROFILE, ALL, WIDTH, half)
    same = source.count(PROFILE, ALL, WIDTH, half)
    after = source.count(PROFILE, ALL, WIDTH, FAR)
    back = source.count(PROFILE, ALL, WIDTH, half)

    assert before.rows_rejected == {"future": 100}
    assert found(before) == found(same) == found(back) == by_hand(rows, now=half)
    assert same.rows_read == 0
    assert found(after) == by_hand(rows)
    assert after.rows_rejected == {}


def test_a_sample_is_chosen_by_time(tmp_path: Path) -> None:
    """The rows of a sample are those that the rule of all sources names."""
    rows = some_rows(500, step=0.731)
    write_parquet(tmp_path / "a.parquet", rows)
    source = FileSource(Source(url=str(tmp_path / "a.parquet")), sample=0.3)
    bound = sampled_microseconds(0.3)

    counted = source.count(PROFILE, ALL, WIDTH, FAR)

    micros = [round(row["timestamp"] * 10**6) for row in rows]
    chosen = [
        r
        for r, t in zip(rows, micros, strict=True)
        if t % SAMPLE_PRIME * 7919 % SAMPLE_PRIME < bound
    ]
    assert 0 < len(chosen) < 500
    assert found(counted) == by_hand(chosen)


APPENDED = ("csv", "jsonl")


def append(path: Path, rows: Sequence[Row]) -> None:
    """Append rows to a text file."""
    fresh = not path.exists() or path.stat().st_size == 0
    text = csv_text(rows, header=fresh) if path.suffix == ".csv" else json_text(rows)
    with path.open("a") as file:
        file.write(text)


@pytest.mark.parametrize("ending", [*APPENDED, "parquet", "arrow", "jsonl.gz"])
def test_each_row_of_a_day_is_read_once(tmp_path: Path, ending: str) -> None:
    """Over a day of runs that read the last ten minutes again no row is decoded twice."""
    source = source_of(tmp_path / f"*.{ending}")
    draw = random.Random(1)  # noqa: S311
    total: list[Row] = []
    stored: Slices = {}
    read = 0
    for run in range(288):
        now = float(FIRST + (run + 1) * WIDTH)
        new = some_rows(12, seed=run, step=25.0, start=FIRST + run * WIDTH)
        for row in new:
            # Some come late, but not by more than a run waits for.
            row["timestamp"] -= draw.choice([0, 0, 0, 250])
        total += new
        if ending in APPENDED:
            append(tmp_path / f"log.{ending}", new)
        else:
            WRITERS[ending](tmp_path / f"{run:03}.{ending}", new)
        span = Span(int(now) - 3 * WIDTH, int(now))
        counted = source.count(SEGMENTED, span, WIDTH, now)
        read += counted.rows_read
        stored = {k: v for k, v in stored.items() if k.start < span.start} | found(counted)
        if run % 96 == 95:
            fresh = source_of(tmp_path / f"*.{ending}").count(SEGMENTED, span, WIDTH, now)
            assert found(counted) == found(fresh)
    assert read == len(total)
    assert stored == by_hand(total, by=True)


def test_only_row_groups_that_can_hold_new_rows_are_read(tmp_path: Path) -> None:
    """Statistics of the timestamp spare row groups that end before the span."""
    rows = some_rows(1000)
    write_parquet(tmp_path / "a.parquet", rows)
    span = Span(int(rows[650]["timestamp"]) // WIDTH * WIDTH, ALL.end)

    counted = source_of(tmp_path / "a.parquet").count(PROFILE, span, WIDTH, FAR)

    assert found(counted) == by_hand(rows, span)
    assert counted.rows_read == 400


@pytest.mark.parametrize(
    ("times", "read"),
    [
        pytest.param(pa.array([T0, T0 + 10**6]), 1, id="epoch seconds"),
        pytest.param(pa.array([T0 * 1000, (T0 + 10**6) * 1000]), 1, id="epoch milliseconds"),
        pytest.param(pa.array([T0 * 1000, T0 + 10**6]), 1, id="epoch of two units"),
        pytest.param(pa.array([T0, T0 + 10**6], pa.timestamp("s")), 1, id="timestamps"),
        pytest.param(pa.array([float(T0), T0 + 1e6]), 2, id="floats, not trusted"),
        pytest.param(pa.array([iso(T0), iso(T0 + 10**6)]), 2, id="texts, not trusted"),
    ],
)
def test_statistics_of_every_type(tmp_path: Path, times: Any, read: int) -> None:
    """Statistics are used where their order is that of time; the counts are the same."""
    table = pa.table({"timestamp": times, "x": [0.5, 0.5]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    span = Span((T0 + 10**6) // WIDTH * WIDTH, (T0 + 2 * 10**6) // WIDTH * WIDTH)

    counted = source_of(tmp_path / "a.parquet").count(profile_of(X), span, WIDTH, FAR)

    assert found(counted) == {SliceKey((T0 + 10**6) // WIDTH * WIDTH): [0, 1, 0, 0, 0, 0, 0, 0]}
    assert counted.rows_read == read


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_history_changes_nothing(data: st.DataObject) -> None:
    """Any split into files and appends, any spans and clocks: the counts are those by hand."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profile = data.draw(st.sampled_from([PROFILE, SEGMENTED]))
        sources = {ending: source_of(folder / f"*.{ending}") for ending in WRITERS}
        used = data.draw(st.lists(st.sampled_from(sorted(WRITERS)), min_size=1, max_size=2))
        rows: dict[str, list[Row]] = {ending: [] for ending in used}
        for step in range(data.draw(st.integers(1, 5))):
            ending = data.draw(st.sampled_from(used))
            draw = random.Random(data.draw(st.integers(0, 10**6)))  # noqa: S311
            new = some_rows(draw.choice([1, 5, 150]), seed=step, step=draw.choice([0.5, 11.0]))
            for row in new:
                row["timestamp"] += draw.randrange(-3, 12) * WIDTH + draw.choice([0, 100.25])
            if ending in APPENDED:
                append(folder / f"{draw.randrange(2)}.{ending}", new)
            else:
                WRITERS[ending](folder / f"{step}.{ending}", new)
            rows[ending] += new
            start = FIRST + data.draw(st.integers(-2, 10)) * WIDTH
            span = Span(start, start + data.draw(st.integers(1, 8)) * WIDTH)
            now = data.draw(st.sampled_from([FAR, span.end + 1.0, span.end - 150.5]))
            kept = sources[ending].count(profile, span, WIDTH, now)
            fresh = source_of(folder / f"*.{ending}").count(profile, span, WIDTH, now)
            expected = by_hand(rows[ending], span, now, by=profile is SEGMENTED)
            assert found(kept) == found(fresh) == expected


@pytest.mark.parametrize(
    ("module", "name"),
    [
        pytest.param(parts, "KEPT_BYTES", id="no room for counts"),
        pytest.param(counting, "BEYOND_BYTES", id="no room beyond the span"),
    ],
)
def test_memory_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> None:
    """Where counts may not be kept rows are read again, and counted the same."""
    monkeypatch.setattr(module, name, 0)
    rows = some_rows(400)
    write_parquet(tmp_path / "a.parquet", rows)
    source = source_of(tmp_path / "a.parquet")
    for start in (FIRST, FIRST, FIRST + WIDTH):
        span = Span(start, start + 2 * WIDTH)
        counted = source.count(PROFILE, span, WIDTH, FAR)
        assert found(counted) == by_hand(rows, span)
        assert counted.rows_read > 0


def test_another_profile_or_width_is_counted_anew(tmp_path: Path) -> None:
    """Kept counts are those of one profile's bins and one width."""
    rows = some_rows(100)
    write_parquet(tmp_path / "a.parquet", rows)
    source = source_of(tmp_path / "a.parquet")
    other = profile_of(Feature("x", "feature", "numeric", NumericBins((5.0,), 0.0, 10.0)))

    source.count(PROFILE, ALL, WIDTH, FAR)
    wider = source.count(PROFILE, Span(FIRST - 600, FIRST + 6000), 600, FAR)
    another = source.count(other, ALL, WIDTH, FAR)

    assert found(wider) == by_hand(rows, Span(FIRST - 600, FIRST + 6000), width=600)
    assert {len(vector) for vector in another.slices.values()} == {6 + 1}


@pytest.mark.parametrize("ending", APPENDED)
def test_half_a_line_waits(tmp_path: Path, ending: str) -> None:
    """A line without its end is read when it is complete, once; so is a header."""
    rows = some_rows(30)
    path = tmp_path / f"a.{ending}"
    text = csv_text(rows) if ending == "csv" else json_text(rows)
    source = source_of(path)
    read = 0
    for cut in (0, 5, 40, 300, 301, 777, len(text) - 1, len(text)):
        path.write_text(text[:cut])
        os.utime(path, ns=(cut, cut))
        complete = text[:cut].count("\n") - (ending == "csv")
        counted = source.count(PROFILE, ALL, WIDTH, FAR)
        read += counted.rows_read
        assert found(counted) == by_hand(rows[: max(complete, 0)])
    assert read == 30


@pytest.mark.parametrize("ending", APPENDED)
def test_a_reference_may_end_without_a_newline(tmp_path: Path, ending: str) -> None:
    """The last line of a reference counts although no newline follows."""
    rows = some_rows(30)
    text = csv_text(rows) if ending == "csv" else json_text(rows)
    (tmp_path / f"a.{ending}").write_text(text.rstrip("\n"))

    counted = source_of(tmp_path / f"a.{ending}").count_all(PROFILE)

    assert counted.rows_read == 30


@pytest.mark.parametrize("ending", APPENDED)
def test_rotation_reads_nothing_twice(tmp_path: Path, ending: str) -> None:
    """A file that is renamed is known again; the new one is read from its start."""
    rows = some_rows(90)
    path = tmp_path / f"log.{ending}"
    source = source_of(tmp_path / f"log.{ending}*")
    append(path, rows[:40])
    first = source.count(PROFILE, ALL, WIDTH, FAR)
    append(path, rows[40:50])
    path.rename(tmp_path / f"log.{ending}.1")
    append(path, rows[50:])

    second = source.count(PROFILE, ALL, WIDTH, FAR)

    assert (first.rows_read, second.rows_read) == (40, 50)
    assert found(second) == by_hand(rows)


@pytest.mark.parametrize("ending", APPENDED)
def test_rotation_out_of_the_glob(tmp_path: Path, ending: str) -> None:
    """What the URL no longer names is no longer counted; the new file is read whole."""
    rows = some_rows(90)
    path = tmp_path / f"log.{ending}"
    source = source_of(path)
    append(path, rows[:40])
    source.count(PROFILE, ALL, WIDTH, FAR)
    path.rename(tmp_path / f"old.{ending}")
    append(path, rows[40:])

    assert found(source.count(PROFILE, ALL, WIDTH, FAR)) == by_hand(rows[40:])


@pytest.mark.parametrize("more", [10, 40, 80], ids=["smaller", "same size", "larger"])
@pytest.mark.parametrize("ending", APPENDED)
def test_a_file_that_was_cut_is_read_anew(tmp_path: Path, ending: str, more: int) -> None:
    """After copytruncate the file is read from its start, even if it has grown again."""
    path = tmp_path / f"log.{ending}"
    source = source_of(path)
    append(path, some_rows(40))
    source.count(PROFILE, ALL, WIDTH, FAR)
    new = some_rows(more, seed=9, start=T0 + 1000)
    path.write_text("")
    append(path, new)
    os.utime(path, ns=(1, 1))

    assert found(source.count(PROFILE, ALL, WIDTH, FAR)) == by_hand(new)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda data: data[: len(data) * 2 // 3], id="cut off"),
        pytest.param(lambda data: data[:-8] + b"\0" * 8, id="wrong checksum"),
    ],
)
@pytest.mark.parametrize("ending", ["csv.gz", "jsonl.gz"])
def test_a_damaged_gzip_is_read_as_far_as_it_goes(
    tmp_path: Path, ending: str, harm: Callable[[bytes], bytes]
) -> None:
    """Of a gzip that is cut off the complete lines count, and all once it is whole."""
    rows = some_rows(5000, step=1.0)
    path = tmp_path / f"a.{ending}"
    WRITERS[ending](path, rows)
    whole = path.read_bytes()
    path.write_bytes(harm(whole))
    source = source_of(path)

    first = source.count(PROFILE, ALL, WIDTH, FAR)
    path.write_bytes(whole)
    second = source.count(PROFILE, ALL, WIDTH, FAR)

    assert 0 < first.rows_read <= 5000
    assert found(first) == by_hand(rows[: first.rows_read])
    assert first.rows_rejected == {}
    assert found(second) == by_hand(rows)


def test_a_gzip_damaged_inside_is_read_up_to_there(tmp_path: Path) -> None:
    """Bytes that were overwritten cost no row that stands before them."""
    rows = some_rows(5000, step=1.0)
    write_jsonl_gz(tmp_path / "a.jsonl.gz", rows)
    whole = (tmp_path / "a.jsonl.gz").read_bytes()
    (tmp_path / "a.jsonl.gz").write_bytes(whole[: len(whole) * 2 // 3] + b"\xff" * 500)
    before = Span(ALL.start, FIRST + 2400)

    counted = source_of(tmp_path / "a.jsonl.gz").count(PROFILE, before, WIDTH, FAR)

    assert found(counted) == by_hand(rows, before)


def test_files_without_rows_do_no_harm(tmp_path: Path) -> None:
    """Empty files and files without rows are passed over."""
    rows = some_rows(20)
    write_csv(tmp_path / "a.csv", rows)
    (tmp_path / "b.csv").write_text("")
    (tmp_path / "c.csv").write_text("timestamp,x,c,region\n")
    (tmp_path / "d.csv").write_text("\n")
    (tmp_path / "e.jsonl").write_text("\n\n")
    write_parquet(tmp_path / "f.parquet", [])
    write_arrow(tmp_path / "g.arrow", [])

    counted = source_of(tmp_path).count(PROFILE, ALL, WIDTH, FAR)

    assert found(counted) == by_hand(rows)
    assert counted.rows_rejected == {}


def test_a_file_that_is_being_written_waits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A Parquet file without its footer is left out, told once, and read when it is there."""
    rows = some_rows(40)
    write_parquet(tmp_path / "a.parquet", rows[:20])
    write_parquet(tmp_path / "b.parquet", rows[20:])
    whole = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-30])
    source = source_of(tmp_path / "*.parquet")

    with caplog.at_level(logging.WARNING):
        first = source.count(PROFILE, ALL, WIDTH, FAR)
        source.count(PROFILE, ALL, WIDTH, FAR)
    (tmp_path / "b.parquet").write_bytes(whole)
    second = source.count(PROFILE, ALL, WIDTH, FAR)

    assert found(first) == by_hand(rows[:20])
    assert [record.message.count("b.parquet") for record in caplog.records] == [1]
    assert found(second) == by_hand(rows)
    assert second.rows_read == 20


def test_a_stream_that_is_being_written(tmp_path: Path) -> None:
    """Of an Arrow stream that is cut off the batches that are whole count."""
    rows = some_rows(350)
    write_stream(tmp_path / "a.arrows", rows)
    whole = (tmp_path / "a.arrows").read_bytes()
    (tmp_path / "a.arrows").write_bytes(whole[: len(whole) * 3 // 4])

    counted = source_of(tmp_path / "a.arrows").count(PROFILE, ALL, WIDTH, FAR)

    assert 100 <= counted.rows_read < 350
    assert found(counted) == by_hand(rows[: counted.rows_read])


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.parquet", b"PAR1" + SECRET.encode(), id="parquet"),
        pytest.param("a.arrow", SECRET.encode() * 9, id="arrow"),
        pytest.param("a.csv.gz", SECRET.encode() * 9, id="gzip"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    """If no file can be read the error names one, and says nothing of what is in it."""
    (tmp_path / name).write_bytes(content)
    source = source_of(tmp_path / name)
    for call in (
        source.columns,
        lambda: source.count(PROFILE, ALL, WIDTH, FAR),
        lambda: source.count_all(PROFILE),
        lambda: source.sketch(["x"], []),
    ):
        with pytest.raises(SourceError, match=name) as error:
            call()
        assert SECRET not in str(error.value)


def test_files_that_must_not_be_read() -> None:
    """A file that this user may not read is named, with what to do."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        write_parquet(path, some_rows(3))
        Path(folder).chmod(0o755)
        path.chmod(0)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)
            with pytest.raises(SourceError, match=r"a\.parquet: permission denied; let"):
                source_of(path).count(PROFILE, ALL, WIDTH, FAR)
        finally:
            os.seteuid(user)


class _Vanishing(FileSource):
    """A source whose files go away between the list and the reading."""

    def __init__(self, url: str, gone: Sequence[Path]) -> None:
        super().__init__(Source(url=url))
        self.gone = gone

    def vanish(self) -> bool:
        for path in self.gone:
            path.unlink(missing_ok=True)
        return False


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl.gz", "arrow"])
def test_a_file_that_vanishes(tmp_path: Path, ending: str) -> None:
    """A file that is gone when its turn comes is left out, the others count."""
    rows = some_rows(40)
    WRITERS[ending](tmp_path / f"a.{ending}", rows[:20])
    WRITERS[ending](tmp_path / f"b.{ending}", rows[20:])
    source = _Vanishing(str(tmp_path / f"*.{ending}"), [tmp_path / f"b.{ending}"])

    # ``stop`` is asked before each piece of work: the moment to take a file away.
    counted = source.count(PROFILE, ALL, WIDTH, FAR, source.vanish)

    assert found(counted) == by_hand(rows[:20])
    source.gone = [tmp_path / f"a.{ending}"]
    with pytest.raises(SourceError, match="it is gone"):
        source_of(tmp_path / f"*.{ending}").count(PROFILE, ALL, WIDTH, FAR, source.vanish)


@pytest.mark.parametrize(
    ("name", "lines", "good", "bad"),
    [
        pytest.param(
            "a.csv",
            [f"timestamp,x,c\n{T0},0.5,a\n", f"{T0},0.5\n", f"{T0},0.5,a,b\n", f"{T0},0.5,a\n"],
            2,
            2,
            id="csv, too few and too many fields",
        ),
        pytest.param(
            "a.csv",
            [f'timestamp,x,c\n{T0},0.5,"a"\n', f'{T0},0.5,"a\n'],
            1,
            0,
            id="csv, open quote",
        ),
        pytest.param(
            "a.jsonl",
            [
                f'{{"timestamp":{T0},"x":0.5,"c":"a"}}\n',
                "oops\n",
                '{"timestamp"\n',
                "[1]\n",
                "null\n",
                "\n",
                f'{{"timestamp":{T0},"x":0.5,"c":"a"}}\n',
            ],
            2,
            4,
            id="json",
        ),
    ],
)
def test_malformed_lines(tmp_path: Path, name: str, lines: list[str], good: int, bad: int) -> None:
    """Lines that cannot be taken apart are rejected, the rest of the file counts."""
    (tmp_path / name).write_text("".join(lines))

    counted = source_of(tmp_path / name).count(PROFILE, ALL, WIDTH, FAR)

    cells = [0, good, 0, 0, 0, 0, 0, 0, good, 0, 0, 0, 0, 0]
    assert found(counted) == {SliceKey(FIRST): cells}
    assert counted.rows_rejected == ({"parse": bad} if bad else {})


@pytest.mark.parametrize("ending", APPENDED)
def test_one_bad_line_among_many(tmp_path: Path, ending: str) -> None:
    """A bad line costs only itself."""
    rows = some_rows(3000, step=1.0)
    text = csv_text(rows) if ending == "csv" else json_text(rows)
    lines = text.splitlines(keepends=True)
    lines.insert(1700, '{"broken\n')
    (tmp_path / f"a.{ending}").write_text("".join(lines))

    counted = source_of(tmp_path / f"a.{ending}").count(PROFILE, ALL, WIDTH, FAR)

    assert found(counted) == by_hand(rows)
    assert counted.rows_rejected == {"parse": 1}


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A byte that is not UTF-8 makes a category that is unseen, not a failure."""
    (tmp_path / "a.csv").write_bytes(b"timestamp,x,c\n%d,0.5,caf\xe9\n%d,0.5,a\n" % (T0, T0))
    (tmp_path / "b.jsonl").write_bytes(b'{"timestamp":%d,"x":0.5,"c":"caf\xe9"}\n' % T0)

    counted = source_of(tmp_path).count(PROFILE, ALL, WIDTH, FAR)

    assert found(counted) == {SliceKey(FIRST): [0, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0]}


X_MIXED = [0, 1, 1, 1, 0, 1, 1, 0]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(
            "a.csv",
            f'timestamp,x\n{T0},0.5\n{T0},"1.5"\n{T0},oops\n{T0},NULL\n{T0}, 2.5\n',
            id="csv",
        ),
        pytest.param(
            "a.jsonl",
            "".join(
                f'{{"timestamp":{T0},"x":{x}}}\n' for x in ("0.5", '"1.5"', '"oops"', "null", "2.5")
            ),
            id="json",
        ),
        pytest.param(
            "a.jsonl",
            "".join(f'{{"timestamp":{T0},"x":{x}}}\n' for x in ("false", "1", "[1]", "NaN", "2.5")),
            id="json, other types",
        ),
    ],
)
def test_numbers_that_became_text(tmp_path: Path, name: str, text: str) -> None:
    """Text is read as the number that it spells; what is no number is unseen."""
    (tmp_path / name).write_text(text)

    counted = source_of(tmp_path / name).count(profile_of(X), ALL, WIDTH, FAR)

    assert found(counted) == {SliceKey(FIRST): X_MIXED}


def test_types_that_change_between_files(tmp_path: Path) -> None:
    """A column counts by its value, whatever its type is in a file."""
    codes = Feature("c", "feature", "categorical", CategoryBins(("1", "true")))
    times = pa.array([T0, T0])
    for number, (x, c) in enumerate(
        [
            (pa.array([0.5, 1.5]), pa.array([1, 2])),
            (pa.array(["0.5", "x"]), pa.array(["1", None])),
            (pa.array([True, None]), pa.array([1.0, 1.5])),
            (pa.array([[1], None]), pa.array([True, False])),
        ]
    ):
        pq.write_table(
            pa.table({"timestamp": times, "x": x, "c": c}), tmp_path / f"{number}.parquet"
        )

    counted = source_of(tmp_path).count(profile_of(X, codes), ALL, WIDTH, FAR)

    assert found(counted) == {SliceKey(FIRST): [0, 2, 2, 0, 0, 2, 2, 0, 3, 1, 0, 1, 3, 0]}


@pytest.mark.parametrize("ending", WRITERS)
def test_columns_that_come_and_go(tmp_path: Path, ending: str) -> None:
    """Rows of a file that lacks a column are absent, of a segment missing."""
    rows = some_rows(30)
    without_x = [{k: v for k, v in row.items() if k != "x"} for row in some_rows(20, seed=1)]
    without_c = [{k: v for k, v in row.items() if k not in ("c", "region")} for row in rows]
    for number, some in enumerate((rows, without_x, without_c)):
        WRITERS[ending](tmp_path / f"{number}.{ending}", some)

    counted = source_of(tmp_path / f"*.{ending}").count(SEGMENTED, ALL, WIDTH, FAR)

    assert found(counted) == by_hand([*rows, *without_x, *without_c], by=True)


def test_keys_that_some_rows_lack(tmp_path: Path) -> None:
    """A key that a row of JSON lacks is absent, null is missing, however lines are split."""
    rows = some_rows(400)
    for i, row in enumerate(rows):
        if i % 3 == 0:
            del row["x"]
        if i > 200:
            del row["c"]
    write_jsonl(tmp_path / "a.jsonl", rows)

    counted = source_of(tmp_path / "a.jsonl").count(SEGMENTED, ALL, WIDTH, FAR)

    assert found(counted) == by_hand(rows, by=True)


def test_csv_of_every_spelling(tmp_path: Path) -> None:
    """Quotes, newlines inside them, CRLF, a byte order mark and blank lines are read."""
    words = CategoryBins(("a,b", "c\nd", 'e"f', ""))
    (tmp_path / "a.csv").write_bytes(
        b"\xef\xbb\xbf"
        + f'timestamp,x,c\r\n{T0},0.5,"a,b"\r\n{T0},,"c\nd"\r\n\r\n'.encode()
        + f'{T0},"",""\r\n{T0},0.5,"e""f"\r\n{T0},0.5,\r\n'.encode()
    )

    counted = source_of(tmp_path / "a.csv").count(
        profile_of(X, Feature("c", "feature", "categorical", words)), ALL, WIDTH, FAR
    )

    assert found(counted) == {SliceKey(FIRST): [0, 3, 0, 0, 0, 2, 0, 0, 1, 1, 1, 1, 0, 1, 0, 0]}


def test_links_count_once(tmp_path: Path) -> None:
    """A link beside the file that it leads to does not count its rows twice."""
    rows = some_rows(10)
    write_csv(tmp_path / "a.csv", rows)
    (tmp_path / "current.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "gone.csv")

    assert found(source_of(tmp_path / "*.csv").count(PROFILE, ALL, WIDTH, FAR)) == by_hand(rows)


@pytest.mark.parametrize(
    ("url", "files"),
    [
        pytest.param("{}/*.csv", ["a.csv"], id="glob"),
        pytest.param("{}/**/*.csv", ["a.csv", "day/b.csv", "day/hour/c.csv"], id="folders too"),
        pytest.param("{}/day", ["day/b.csv", "day/hour/c.csv"], id="folder"),
        pytest.param("file://{}/day/*.csv", ["day/b.csv"], id="file URL"),
        pytest.param("{}/a.csv", ["a.csv"], id="path"),
    ],
)
def test_urls_of_files(tmp_path: Path, url: str, files: list[str]) -> None:
    """Paths, globs, folders and file URLs name files; other endings are passed over."""
    (tmp_path / "day/hour").mkdir(parents=True)
    for number, name in enumerate(("a.csv", "day/b.csv", "day/hour/c.csv")):
        write_csv(tmp_path / name, some_rows(10 ** (number % 3)))
    (tmp_path / "day/_SUCCESS").write_text("")
    (tmp_path / "day/.part.csv").write_text("half")

    counted = source_of(url.format(tmp_path)).count(PROFILE, ALL, WIDTH, FAR)

    rows = {"a.csv": 1, "day/b.csv": 10, "day/hour/c.csv": 100}
    assert counted.rows_read == sum(rows[name] for name in files)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param("log.csv.1", None, id="rotated"),
        pytest.param("log.csv.2024-01-31", None, id="rotated by date"),
        pytest.param("log.CSV", None, id="capitals"),
        pytest.param("log", "csv", id="format given"),
        pytest.param("log.txt", "csv", id="another ending"),
    ],
)
def test_formats_by_ending(tmp_path: Path, name: str, form: Any) -> None:
    """The ending tells the format, or the config does."""
    write_csv(tmp_path / name, some_rows(10))

    counted = source_of(tmp_path / f"{name}*", format=form).count(PROFILE, ALL, WIDTH, FAR)

    assert counted.rows_read == 10


def test_errors_say_where_and_what_to_do(tmp_path: Path) -> None:
    """No file, no format, no such store: the error names the URL, without its secret."""
    with pytest.raises(SourceError, match=r"no file matches .*/gone/\*\.csv"):
        source_of(tmp_path / "gone" / "*.csv").columns()
    (tmp_path / "log.txt").write_text("x")
    with pytest.raises(SourceError, match=r"format of log\.txt; set format to one of parquet, csv"):
        source_of(tmp_path / "log.txt").count(PROFILE, ALL, WIDTH, FAR)
    with pytest.raises(SourceError, match="no object store of this kind") as error:
        source_of(f"ftp://me:{SECRET}@host/a.csv").columns()
    assert SECRET not in str(error.value)
    (tmp_path / "a.csv").write_text("")
    with pytest.raises(SourceError, match="the files are empty"):
        source_of(tmp_path / "a.csv").columns()


@pytest.mark.parametrize("ending", WRITERS)
def test_without_the_timestamp_column(tmp_path: Path, ending: str) -> None:
    """The error names the columns that are there, in every run, as long as none has it."""
    rows = some_rows(10)
    WRITERS[ending](tmp_path / f"a.{ending}", rows)
    source = FileSource(Source(url=str(tmp_path / f"*.{ending}"), timestamp="when"))
    columns = r"\['c', 'region', 'timestamp', 'x'\]"
    for _ in range(2):
        with pytest.raises(SchemaError, match=f"'when' is not there; name one of {columns}"):
            source.count(PROFILE, ALL, WIDTH, FAR)


def test_some_files_without_the_timestamp_column(tmp_path: Path) -> None:
    """Rows of a file that lacks the timestamp are rejected, where others have it."""
    write_parquet(tmp_path / "a.parquet", some_rows(10))
    pq.write_table(pa.table({"x": [0.5, 0.5]}), tmp_path / "b.parquet")

    counted = source_of(tmp_path).count(PROFILE, ALL, WIDTH, FAR)

    assert found(counted) == by_hand(some_rows(10))
    assert counted.rows_rejected == {"timestamp": 2}


@pytest.mark.parametrize(
    "times",
    [
        pytest.param(pa.array([True]), id="boolean"),
        pytest.param(pa.array([{"a": 1}]), id="struct"),
        pytest.param(pa.array([b"x"]), id="bytes"),
    ],
)
def test_a_timestamp_of_a_wrong_type(tmp_path: Path, times: Any) -> None:
    """A column that cannot be a time is an error that names its type."""
    pq.write_table(pa.table({"timestamp": times, "x": [0.5]}), tmp_path / "a.parquet")

    with pytest.raises(SchemaError, match=f"'timestamp' is of type {times.type}"):
        source_of(tmp_path / "a.parquet").count(profile_of(X), ALL, WIDTH, FAR)


@pytest.mark.parametrize("ending", WRITERS)
def test_a_run_can_be_stopped(tmp_path: Path, ending: str) -> None:
    """Between pieces of work a run stops when it is told to, and the next one is whole."""
    rows = some_rows(300)
    WRITERS[ending](tmp_path / f"a.{ending}", rows)
    source = source_of(tmp_path / f"a.{ending}")
    for allowed in range(3):
        left = [allowed]

        def stop(left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] < 0

        with pytest.raises(RunStoppedError):
            source.count(PROFILE, ALL, WIDTH, FAR, stop)

    assert found(source.count(PROFILE, ALL, WIDTH, FAR)) == by_hand(rows)


def test_kinds_of_columns(tmp_path: Path) -> None:
    """Inference is told what the columns of the newest file hold."""
    table = pa.table(
        {
            "i": pa.array([1], pa.int16()),
            "f": pa.array([1.5], pa.float32()),
            "d": pa.array([1], pa.decimal128(5, 2)),
            "b": [True],
            "s": ["x"],
            "v": pa.array(["x"], pa.large_string()),
            "e": pa.array(["x"]).dictionary_encode(),
            "t": pa.array([1], pa.timestamp("ms")),
            "day": pa.array([1], pa.date32()),
            "l": [[1]],
            "n": pa.nulls(1),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(pa.table({"old": [1]}), tmp_path / "b.parquet")
    os.utime(tmp_path / "b.parquet", (1, 1))

    columns = source_of(tmp_path).columns()

    kinds = {name: column.kind for name, column in columns.items()}
    assert kinds == {
        "i": "integer", "f": "number", "d": "number", "b": "boolean", "s": "text", "v": "text",
        "e": "text", "t": "time", "day": "time", "l": "other", "n": "other",
    }  # fmt: skip
    assert columns["i"].dtype == "int16"


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param(
            "a.csv", "i,f,b,s,t,n\n1,1.5,true,x,2024-01-31,\n2,2.5,false,y,2024-02-01,\n", id="csv"
        ),
        pytest.param(
            "a.jsonl", '{"i":1,"f":1,"b":true,"s":"x","t":"2024","n":null}\n{"f":1.5}\n', id="json"
        ),
    ],
)
def test_kinds_of_columns_of_text(tmp_path: Path, name: str, text: str, packed: bool) -> None:
    """Text files have no types; the first lines tell."""
    path = tmp_path / (name + (".gz" if packed else ""))
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    kinds = {name: column.kind for name, column in source_of(path).columns().items()}

    assert kinds == {
        "i": "integer", "f": "number", "b": "boolean", "s": "text", "n": "text",
        "t": "time" if name == "a.csv" else "text",
    }  # fmt: skip


def test_sketch_of_few_and_of_hard_values(tmp_path: Path) -> None:
    """Infinities are rows without a quantile, NaN is missing, zeros are one value."""
    values = [0.0, -0.0, 1.0, float("inf"), float("-inf"), float("nan"), None]
    table = pa.table(
        {"x": pa.array(values), "n": pa.nulls(7, pa.float64()), "i": pa.array(range(7))}
    )
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)

    sketches = source_of(tmp_path / "a.parquet").sketch(["x", "n", "i"], ["x", "n"])

    x, n, i = (sketches.numeric[name] for name in "xni")
    assert (x.rows, x.missing, x.distinct, x.values) == (5, 2, 2, (0.0, 1.0))
    assert (x.grid[0], x.grid[666], x.grid[667], x.grid[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert (n.rows, n.missing, n.distinct, n.grid, n.values) == (0, 7, 0, (), ())
    assert (i.integer, i.distinct) == (True, 7)
    assert i.deviation == pytest.approx(2.0)
    named = sketches.categorical["x"]
    assert named.counts == (("0", 2), ("-inf", 1), ("1", 1), ("inf", 1))
    assert (named.rows, named.missing) == (5, 2)
    assert sketches.categorical["n"].counts == ()


def test_sketch_of_identifiers(tmp_path: Path) -> None:
    """Of many categories the commonest are listed, and all are counted."""
    words = [f"id{i:06}" for i in range(12_000)] + ["id000005"] * 2 + ["id011999"]
    pq.write_table(pa.table({"c": words}), tmp_path / "a.parquet", row_group_size=5000)

    sketch = source_of(tmp_path / "a.parquet").sketch([], ["c"]).categorical["c"]

    assert (sketch.rows, sketch.distinct, len(sketch.counts)) == (12_003, 12_000, 10_000)
    assert sketch.counts[:3] == (("id000005", 3), ("id011999", 2), ("id000000", 1))
    assert sketch.counts[-1] == ("id009998", 1)


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl", "arrow"])
def test_many_columns(tmp_path: Path, ending: str) -> None:
    """A file of thousands of columns is counted in batches of them."""
    names = [f"x{i}" for i in range(2000)]
    features = tuple(Feature(n, "feature", "numeric", NumericBins((0.5,), 0.0, 1.0)) for n in names)
    rows: list[Row] = [
        {"timestamp": float(T0), **dict.fromkeys(names, value)} for value in (0.25, 0.75, None)
    ]
    WRITERS[ending](tmp_path / f"a.{ending}", rows)

    counted = source_of(tmp_path / f"a.{ending}").count(profile_of(*features), ALL, WIDTH, FAR)

    assert found(counted) == {SliceKey(FIRST): [0, 1, 1, 0, 1, 0, 0] * 2000}


def test_a_large_row_group(tmp_path: Path) -> None:
    """Row groups longer than a batch are counted across its bounds, in and out of order."""
    draw = np.random.default_rng(5)
    times = np.sort(draw.integers(T0, T0 + 3000, 300_000))
    x = draw.choice([0.5, 1.5, 2.5, np.nan], 300_000)
    words = draw.choice(["a", "b", "new"], 300_000)
    for name, order in (("sorted", np.arange(300_000)), ("mixed", draw.permutation(300_000))):
        table = pa.table({"timestamp": times[order], "x": x[order], "c": words[order]})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=300_000)

    answers = [
        found(source_of(tmp_path / f"{name}.parquet").count(PROFILE, ALL, WIDTH, FAR))
        for name in ("sorted", "mixed")
    ]

    expected = {}
    for start in np.unique(times // WIDTH * WIDTH):
        inside = times // WIDTH * WIDTH == start
        cells = [int(np.sum(x[inside] == value)) for value in (0.5, 1.5, 2.5)]
        named = [int(np.sum(words[inside] == word)) for word in ("a", "b", "new")]
        missing = int(np.sum(np.isnan(x[inside])))
        vector = [0, *cells, 0, missing, 0, 0, *named[:2], 0, 0, named[2], 0]
        expected[SliceKey(int(start))] = vector
    assert answers == [expected, expected]


IMPORTS = """
import sys
from drift_exporter.config import Source
from drift_exporter.reading.files import FileSource
from drift_exporter.profile import *
from drift_exporter.reading.source import Span
x = Feature("x", "feature", "numeric", NumericBins((1.0, 2.0), 0.0, 3.0))
c = Feature("c", "feature", "categorical", CategoryBins(("a", "b")))
profile = Profile("m", (x, c), np.zeros(0), (SegmentColumn("c", ("a",)),))
for path in sys.argv[1:]:
    source = FileSource(Source(url=path))
    source.columns()
    source.sketch(["x"], ["c"])
    source.count_all(profile)
    assert source.count(profile, Span(0, 2_000_000_100), 300, 2e9).slices
print(sorted({"pandas", "ibis", "duckdb", "pyarrow.dataset"} & set(sys.modules)))
"""


def test_no_heavy_library_is_imported(tmp_path: Path) -> None:
    """A sidecar on files pays for none of pandas, Ibis and DuckDB, even where they are."""
    for ending, write in WRITERS.items():
        write(tmp_path / f"a.{ending}", some_rows(50))
    paths = sorted(str(path) for path in tmp_path.iterdir())

    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, *paths], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_closing_forgets(tmp_path: Path) -> None:
    """A source that was closed reads anew."""
    write_csv(tmp_path / "a.csv", some_rows(10))
    source = source_of(tmp_path / "a.csv")
    source.count(PROFILE, ALL, WIDTH, FAR)

    source.close()

    assert source.count(PROFILE, ALL, WIDTH, FAR).rows_read == 10


def test_the_csv_of_these_tests_is_csv() -> None:
    """Python's own reader finds the same fields in the CSV that these tests write."""
    rows = some_rows(20)

    read = list(csv.DictReader(csv_text(rows).splitlines()))

    assert [r["x"] for r in read] == ["" if r["x"] is None else str(r["x"]) for r in rows]
