"""All sources count the same rows into the same cells: by hand, from files and from databases."""

import json
import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet
import pytest

from drift_exporter.config import Source as Where
from drift_exporter.profile import (
    GRID,
    CategoryBins,
    Feature,
    NumericBins,
    Profile,
    SegmentColumn,
)
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import SAMPLE_PRIME, Source, Span
from postgres import Server

WIDTH = 300
START = int(datetime(2024, 2, 28, 23, 30, tzinfo=UTC).timestamp())
SPAN = Span(START, START + 12 * WIDTH)
NOW = START + 11 * WIDTH + 17.5
EPOCH = datetime(1970, 1, 1)
TICK = timedelta(microseconds=1)
SEGMENTS = ("region", "tier", "gone too")
SCHEMA = pa.schema(
    {
        "at": pa.timestamp("us"),
        "double": pa.float64(),
        "single": pa.float32(),
        "edge": pa.float64(),
        "integer": pa.int32(),
        "big": pa.int64(),
        "flag": pa.bool_(),
        "price": pa.decimal128(12, 3),
        "day": pa.date32(),
        "moment": pa.timestamp("us"),
        "numeral": pa.string(),
        "nothing": pa.float64(),
        "word": pa.string(),
        "code": pa.int64(),
        "ratio": pa.float64(),
        "region": pa.string(),
        "tier": pa.int16(),
    }
)
EDGES = (-1.5, 5e-324, 0.1, 1 / 3, 1e300)
WORDS = (
    "a",
    "A",
    "",
    " ",
    "it's",
    '"q"',
    "back\\slash",
    "a\\'b",
    "%s {x} $1 ?",
    "Ünï☃😀",
    "a;--",
    "1",
)
NUMERALS = (
    "1",
    "0.1",
    "-1e3",
    " 2.5 ",
    "1e400",
    "-1e400",
    "nan",
    "Infinity",
    "",
    "x",
    "1_0",
    "0x1",
)
SINGLE = float(np.float32(0.1))
DOUBLES = (0.0, -0.0, 1.0, -7.25, math.nan, math.inf, -math.inf, 1.7976931348623157e308, 5e-324)


def _edge_values() -> list[float]:
    around = [(np.nextafter(e, -np.inf), e, np.nextafter(e, np.inf)) for e in (*EDGES, -2.0, 1e301)]
    return [float(x) for values in around for x in values]


def _times() -> list[datetime | None]:
    inside = [START * 10**6 + step for step in range(0, 12 * WIDTH * 10**6, 37_123_457)]
    edges = [(START + k * WIDTH) * 10**6 + d for k in range(13) for d in (-1, 0, 1)]
    now = [round(NOW * 10**6) + d for d in (-1, 0, 1)]
    late = [(START - 86_400) * 10**6, (START + 10 * 86_400) * 10**6]
    return [EPOCH + TICK * us for us in [*inside, *edges, *now, *late]]


def _picked(values: Any, i: int, step: int) -> Any:
    options = [*values, None]
    return options[i * step % len(options)]


def _rows() -> list[dict[str, Any]]:
    return [
        {
            "at": at,
            "double": _picked(DOUBLES, i, 1),
            "single": _picked((SINGLE, 1.5, 16777216.0, -0.5), i, 3),
            "edge": _picked(_edge_values(), i, 1),
            "integer": _picked(range(-3, 9), i, 5),
            "big": _picked((2**53 + 1, 2**53, -(2**62) - 1, 2**63 - 1, 0), i, 1),
            "flag": _picked((True, False), i, 1),
            "price": _picked([Decimal("1.500"), Decimal("-0.001"), Decimal("999999999.999")], i, 1),
            "day": _picked([date(1969, 12, 31), date(2024, 2, 29), date(1970, 1, 1)], i, 1),
            "moment": _picked(
                [EPOCH, datetime(2024, 2, 29, 12, 0, 0, 5), datetime(1900, 1, 1)], i, 1
            ),
            "numeral": _picked(NUMERALS, i, 1),
            "nothing": None,
            "word": _picked((*WORDS, "new", "rare"), i, 1),
            "code": _picked((1, 2, 3, 10**18), i, 1),
            "ratio": _picked((1.0, 0.5, 1e16, 1e-7, math.nan, math.inf, -0.0), i, 1),
            "region": _picked(("eu", "us", "it's", "", "mars"), i, 7),
            "tier": _picked((1, 2, 3), i, 11),
        }
        for i, at in enumerate(_times())
    ]


ROWS = _rows()


def _numeric(name: str, *edges: float, low: float, high: float) -> Feature:
    return Feature(name, "feature", "numeric", NumericBins(edges, low, high))


def _categorical(name: str, *kept: str, others: tuple[str, ...] = (), all_: bool = True) -> Feature:
    return Feature(name, "feature", "categorical", CategoryBins(kept, others, all_))


MANY = tuple(f"it's {i} \\ ü" for i in range(200))
FEATURES = (
    _numeric("double", 0.0, 1.0, low=-7.25, high=1e308),
    _numeric("single", 0.1, SINGLE, 0.2, low=-0.5, high=2.0),
    _numeric("edge", *EDGES, low=-2.0, high=1e301),
    _numeric("integer", 0.0, 2.5, low=-2.0, high=6.0),
    _numeric("big", 2.0**53, 2.0**53 + 2, low=-1.0, high=2.0**62),
    _numeric("flag", 0.5, low=0.0, high=1.0),
    _numeric("price", -0.001, 1.5, low=-0.001, high=2.0),
    _numeric("day", 0.0, low=-86400.0, high=1709164800.0),
    _numeric("moment", 0.0, 1709208000.000005, low=-2208988800.0, high=1709208000.000005),
    _numeric("numeral", 0.1, 1.0, low=-1000.0, high=2.5),
    _numeric("nothing", low=0.0, high=0.0),
    _numeric("gone", 0.5, low=0.0, high=1.0),
    _categorical("word", *WORDS[:7], others=(*WORDS[7:], "rare", *MANY)),
    _categorical("code", "2", "1", "x", "1.0", others=(*MANY, "3")),
    _categorical("ratio", "1", "0.5", "0", "1e16", others=("10000000000000000", "1e-07", "inf")),
    _categorical("region", "eu", "", all_=False),
    _categorical("tier", "1", others=("2",)),
)
AS_CATEGORIES = (
    _categorical("flag", "true", others=("True",)),
    _categorical("price", "1.5", others=("999999999.999",)),
    _categorical("day", "2024-02-29", others=("1970-01-01T00:00:00",)),
    _categorical("moment", "2024-02-29T12:00:00.000005", others=("1970-01-01T00:00:00",)),
    _categorical("gone", "a"),
    _categorical("nothing", "a"),
)
SEGMENT_COLUMNS = (
    SegmentColumn("region", ("eu", "it's", "")),
    SegmentColumn("tier", ("1", "2")),
    SegmentColumn("gone too", ("1",)),
)


def _profile(features: tuple[Feature, ...]) -> Profile:
    cells = sum(feature.block.cells for feature in features)
    return Profile("m", features, np.zeros(cells, dtype=np.int64), SEGMENT_COLUMNS)


PROFILES = {"numbers and words": _profile(FEATURES), "as categories": _profile(AS_CATEGORIES)}


# The second method: one row at a time, in plain Python.


def _number(value: Any) -> float | None:
    """The number of a value; none where it is no number."""
    if isinstance(value, str):
        try:
            return None if "_" in value else float(value)
        except ValueError:
            return None
    if isinstance(value, datetime):
        return ((value - EPOCH) // TICK) / 10**6
    return float((value - EPOCH.date()).days * 86400 if isinstance(value, date) else value)


def _category(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | Decimal):
        if math.isnan(value):
            return None
        if math.isinf(value):
            return str(value)
        return str(int(value)) if value == int(value) else str(float(value))
    return value.isoformat() if isinstance(value, date) else str(value)


def _cell(feature: Feature, row: dict[str, Any]) -> int:
    missing, unseen, absent = range(feature.block.value_cells, feature.block.cells)
    if feature.name not in row:
        return absent
    value, bins = row[feature.name], feature.bins
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return missing
    if isinstance(bins, NumericBins):
        number = _number(value)
        at = unseen if number is None else bisect_right(list(bins.cuts), number)
        return missing if number is not None and math.isnan(number) else at
    word = _category(value)
    if word in bins.kept:
        return bins.kept.index(word)
    return len(bins.kept) if word in bins.others or not bins.complete else unseen


def _segment(by: SegmentColumn, row: dict[str, Any]) -> str:
    value = row.get(by.name)
    word = None if value is None else _category(value)
    return "(missing)" if word is None else word if word in by.values else "(other)"


def _by_hand(
    profile: Profile, *, whole: bool = False, sample: float = 1.0
) -> dict[tuple[int, str, str], list[int]]:
    found: dict[tuple[int, str, str], Counter[int]] = {}
    for row in ROWS:
        moment = (row["at"] - EPOCH) // TICK
        chosen = moment % SAMPLE_PRIME * 7919 % SAMPLE_PRIME < round(sample * SAMPLE_PRIME)
        inside = SPAN.start * 10**6 <= moment < min(SPAN.end, NOW) * 10**6
        if not whole and not (chosen and inside):
            continue
        start = 0 if whole else moment // (WIDTH * 10**6) * WIDTH
        cells = [
            offset + _cell(feature, row)
            for offset, feature in zip(profile.layout.offsets, profile.features, strict=False)
        ]
        keys = [(start, "", "")]
        keys += [(start, by.name, _segment(by, row)) for by in profile.segments]
        for key in keys:
            found.setdefault(key, Counter()).update(cells)
    return {key: [n[i] for i in range(profile.layout.size)] for key, n in found.items()}


# The same rows in every kind of source.


@dataclass(frozen=True)
class Kind:
    """A kind of source, and what it cannot carry."""

    write: Callable[[Path, Server], dict[str, Any]]
    lossy: frozenset[tuple[str, str]] = frozenset()
    """Kinds of features and columns that its format cannot tell as they are."""


def _table() -> pa.Table:
    return pa.Table.from_pylist(ROWS, SCHEMA)


def _parquet(folder: Path, _: Server) -> dict[str, Any]:
    pa.parquet.write_table(_table(), folder / "rows.parquet", row_group_size=17)
    return {"url": str(folder / "rows.parquet")}


def _arrow(folder: Path, _: Server) -> dict[str, Any]:
    with pa.ipc.new_file(folder / "rows.arrow", SCHEMA) as writer:
        writer.write_table(_table(), max_chunksize=19)
    return {"url": str(folder / "rows.arrow")}


def _csv(folder: Path, _: Server) -> dict[str, Any]:
    pa.csv.write_csv(_table(), folder / "rows.csv")
    return {"url": str(folder / "rows.csv")}


def _json_lines(folder: Path, _: Server) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, Decimal):
            return float(value)
        return value.isoformat() if isinstance(value, date) else value

    lines = [json.dumps({k: plain(v) for k, v in row.items()}) + "\n" for row in ROWS]
    (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    return {"url": str(folder / "rows.jsonl")}


SQL_TYPES = {
    "at": "timestamp",
    "single": "real",
    "integer": "integer",
    "big": "bigint",
    "flag": "boolean",
    "price": "numeric(12, 3)",
    "day": "date",
    "moment": "timestamp",
    "numeral": "text",
    "word": "text",
    "code": "bigint",
    "region": "text",
    "tier": "smallint",
}


def _create() -> str:
    columns = ", ".join(f'"{n}" {SQL_TYPES.get(n, "double precision")}' for n in SCHEMA.names)
    return f"CREATE TABLE scores ({columns})"


def _postgresql(_: Path, server: Server) -> dict[str, Any]:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS scores")
        cursor.execute(_create())
        with cursor.copy("COPY scores FROM STDIN") as copy:
            for row in ROWS:
                copy.write_row(list(row.values()))
    return {"url": server.url, "table": "scores"}


def _duckdb(folder: Path, _: Server) -> dict[str, Any]:
    with duckdb.connect(str(folder / "rows.duckdb")) as connection:
        connection.execute(_create())
        connection.register("arrow_rows", _table())
        connection.execute("INSERT INTO scores SELECT * FROM arrow_rows")
    return {"url": f"duckdb://{folder / 'rows.duckdb'}", "table": "scores"}


KINDS = {
    "parquet": Kind(_parquet),
    "arrow": Kind(_arrow),
    # Text is all that CSV has: 0.1 is no float32, 1.500 has its zeros, "" and "nan" are missing
    # numbers, and times look as they were written.
    "csv": Kind(
        _csv,
        frozenset(
            {("numeric", name) for name in ("single", "numeral")}
            | {("categorical", name) for name in ("price", "moment", "ratio")}
        ),
    ),
    # A time is text like any other.
    "json lines": Kind(_json_lines, frozenset({("numeric", "day"), ("numeric", "moment")})),
    "postgresql": Kind(_postgresql),
    "duckdb": Kind(_duckdb),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of source."""
    return str(request.param)


@pytest.fixture(scope="module")
def place(kind: str, tmp_path_factory: pytest.TempPathFactory, postgres: Server) -> Where:
    """Where the rows lie, in a source of that kind."""
    folder = tmp_path_factory.mktemp("rows")
    return Where(**KINDS[kind].write(folder, postgres), timestamp="at")


def _opened(place: Where, sample: float = 1.0) -> Source:
    return open_source(place, sample=sample, timeout_seconds=60.0)


def _differences(
    profile: Profile, found: Any, expected: Any, lossy: frozenset[tuple[str, str]]
) -> list[tuple[Any, ...]]:
    """Where counts differ: slice, feature, what was found, what was expected."""
    offsets = profile.layout.offsets
    differences: list[tuple[Any, ...]] = []
    for key in sorted({tuple(key) for key in found} | set(expected)):
        if key not in found or key not in expected:
            differences.append((key, "found" if key in found else "not found"))
            continue
        for i, feature in enumerate(profile.features):
            cells = slice(offsets[i], offsets[i + 1])
            left, right = list(map(int, found[key][cells])), list(expected[key][cells])
            if left != right and (feature.kind, feature.name) not in lossy:
                differences.append((key, feature.name, left, right))
    return differences


@pytest.mark.parametrize("sample", [1.0, 0.4])
@pytest.mark.parametrize("name", PROFILES)
def test_counts_of_a_span(kind: str, place: Where, name: str, sample: float) -> None:
    """Counts by slice and segment are those of one row at a time."""
    profile, lossy = PROFILES[name], KINDS[kind].lossy
    source = _opened(place, sample)

    counted = source.count(profile, SPAN, WIDTH, NOW)

    source.close()
    expected = _by_hand(profile, sample=sample)
    assert _differences(profile, counted.slices, expected, lossy) == []


@pytest.mark.parametrize("name", PROFILES)
def test_counts_of_everything(kind: str, place: Where, name: str) -> None:
    """Without a span all rows are counted into one slice."""
    profile, lossy = PROFILES[name], KINDS[kind].lossy
    source = _opened(place)

    counted = source.count_all(profile)

    source.close()
    expected = _by_hand(profile, whole=True)
    assert _differences(profile, counted.slices, expected, lossy) == []
    assert counted.rows_read == len(ROWS)


def test_future_rows_wait(place: Where) -> None:
    """Rows at now or later are refused, and told."""
    source = _opened(place)

    counted = source.count(_profile(FEATURES[:1]), SPAN, WIDTH, NOW)

    source.close()
    later = sum((row["at"] - EPOCH) // TICK >= NOW * 10**6 for row in ROWS)
    assert counted.rows_rejected.get("future") == later


NUMBERS = [f.name for f in FEATURES if f.kind == "numeric" and f.name != "gone"]
CATEGORIES = [
    "word",
    "code",
    "ratio",
    "region",
    "tier",
    "flag",
    "price",
    "day",
    "moment",
    "nothing",
]


def _faithful(of: str, names: list[str]) -> list[tuple[str, str]]:
    return [(kind, n) for kind, k in KINDS.items() for n in names if (of, n) not in k.lossy]


@pytest.mark.parametrize(("kind", "name"), _faithful("numeric", NUMBERS), indirect=["kind"])
def test_sketch_of_numbers(place: Where, name: str) -> None:
    """Quantiles are values of the column: the one that a sorted list has at that place."""
    source = _opened(place)

    sketch = source.sketch([name], []).numeric[name]

    source.close()
    there = [row[name] for row in ROWS if row[name] is not None]
    numbers = [_number(value) for value in there]
    known = [x for x in numbers if x is not None]
    finite = sorted(x for x in known if math.isfinite(x))
    grid = (
        [finite[max(-(-k * len(finite) // GRID), 1) - 1] for k in range(GRID + 1)] if finite else []
    )
    distinct = sorted(set(finite))
    assert sketch.grid == tuple(grid)
    assert sketch.distinct == len(distinct)
    assert sketch.values == (tuple(distinct) if len(distinct) <= 10 else ())
    assert sketch.missing == len(ROWS) - len(there) + sum(math.isnan(x) for x in known)
    assert sketch.rows + sketch.missing == len(ROWS)
    if finite:
        scale = max(abs(x) for x in finite) or 1.0
        deviation = np.std(np.array(finite) / scale) * scale
        assert sketch.deviation == pytest.approx(deviation, rel=1e-6)


@pytest.mark.parametrize(("kind", "name"), _faithful("categorical", CATEGORIES), indirect=["kind"])
def test_sketch_of_categories(place: Where, name: str) -> None:
    """Categories come with their rows, the commonest first, ties by code points."""
    source = _opened(place)

    sketch = source.sketch([], [name]).categorical[name]

    source.close()
    words = [None if row[name] is None else _category(row[name]) for row in ROWS]
    counts = Counter(word for word in words if word is not None)
    assert sketch.counts == tuple(sorted(counts.items(), key=lambda c: (-c[1], c[0])))
    assert sketch.distinct == len(counts)
    assert sketch.rows == sum(counts.values())
    assert sketch.missing == len(ROWS) - sum(counts.values())


def test_sketch_between_two_times(place: Where) -> None:
    """Only the rows between two event times are sketched; they tell the first and the last."""
    source = _opened(place)

    sketches = source.sketch(["integer"], [], (float(SPAN.start), float(SPAN.end)))

    source.close()
    moments = [(row["at"] - EPOCH) // TICK for row in ROWS]
    inside = [us for us in moments if SPAN.start * 10**6 <= us < SPAN.end * 10**6]
    assert sketches.numeric["integer"].rows + sketches.numeric["integer"].missing == len(inside)
    assert sketches.start == pytest.approx(min(inside) / 10**6, abs=1e-6)
    assert sketches.end == pytest.approx(max(inside) / 10**6, abs=1e-6)
