"""The store keeps what it was given, on SQLite and on PostgreSQL alike."""

import threading
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, inspect, make_url, text

from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import StoreError
from drift_exporter.snapshot import Run
from drift_exporter.store import Store, open_store, schema, tables

WIDTH = 300
SERIES = ("churn", "abc", WIDTH)
DAY = 86400

RUN = Run(
    started=1000.25,
    finished=1002.5,
    success=True,
    rows_read=17,
    rows_rejected={"timestamp": 2, "parse": 1},
    phase_seconds={"read": 0.5, "score": 0.25},
    window_end=900,
)
FAILED = Run(3000.0, 3001.0, success=False, reason="source", error="s3://b/x: not there")
"""A run that found no data."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a store that is not there yet."""
    if request.param == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path")
        yield f"sqlite:///{folder}/made/store.db"
        return
    yield request.getfixturevalue("database")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An open store with nothing in it."""
    with open_store(url, now=0) as store:
        yield store


def vector(*cells: int) -> Vector:
    """Counts as the store takes them."""
    return np.array(cells, dtype=np.int64)


def plain(slices: Iterator[tuple[SliceKey, Vector]]) -> dict[SliceKey, list[int]]:
    """Slices in the order they came, as lists that compare."""
    return {key: counts.tolist() for key, counts in slices}


def count(store: Store, start: int, end: int, model: str = "churn", cells: int = 3) -> None:
    """Count one slice after the other, each with its place in the cells."""
    slices = {SliceKey(t): np.full(cells, t // WIDTH) for t in range(start, end, WIDTH)}
    store.replace_slices(model, "abc", WIDTH, (start, end), slices, counted_to=end)


def test_slices_come_back(store: Store) -> None:
    """What was written comes back in order of time, all of it or one column's segments."""
    slices = {
        SliceKey(600): vector(0, 0, 0),
        SliceKey(0, "region", "größe\n'; --"): vector(1, 2**40, 0),
        SliceKey(0): vector(255, 256, 65536),
        SliceKey(0, "region", ""): vector(3, 0, 0),
    }

    store.replace_slices(*SERIES, (0, 900), slices, RUN, counted_to=900)

    found = plain(store.read_slices(*SERIES, 0, 900))
    assert found == {key: counts.tolist() for key, counts in slices.items()}
    assert [key.start for key in found] == [0, 0, 0, 600]
    whole = plain(store.read_slices(*SERIES, 0, 900, segment_by=""))
    assert list(whole) == [SliceKey(0), SliceKey(600)]
    regions = plain(store.read_slices(*SERIES, 0, 900, segment_by="region"))
    assert {key.segment for key in regions} == {"", "größe\n'; --"}


def test_a_span_is_half_open(store: Store) -> None:
    """Reading takes the slice at its start and leaves the one at its end."""
    count(store, 0, 1200)

    assert [key.start for key in plain(store.read_slices(*SERIES, 300, 900))] == [300, 600]


@pytest.mark.parametrize(
    ("model", "bins_hash", "width"),
    [
        pytest.param("fraud", "abc", WIDTH, id="another model"),
        pytest.param("churn", "def", WIDTH, id="another profile"),
        pytest.param("churn", "abc", 60, id="another width"),
    ],
)
def test_series_are_apart(store: Store, model: str, bins_hash: str, width: int) -> None:
    """A series neither sees nor replaces the slices of another."""
    count(store, 0, 900)

    assert store.counted_to(model, bins_hash, width) is None
    assert store.first_slice(model, bins_hash, width) is None
    assert store.sum_slices(model, bins_hash, width, 0, 900) == {}
    store.replace_slices(model, bins_hash, width, (0, 900), {}, counted_to=900)
    assert len(plain(store.read_slices(*SERIES, 0, 900))) == 3


def test_replacing_is_idempotent(store: Store) -> None:
    """A span that is read again replaces what was counted, also where no row is left."""
    count(store, 0, 1200)
    again = {SliceKey(600): vector(7, 7, 7)}

    for _ in range(2):
        store.replace_slices(*SERIES, (600, 1500), again, counted_to=1500)

    found = plain(store.read_slices(*SERIES, 0, 9000))
    assert found == {SliceKey(0): [0] * 3, SliceKey(300): [1] * 3, SliceKey(600): [7] * 3}
    assert store.counted_to(*SERIES) == 1500
    assert store.first_slice(*SERIES) == 0


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 12), st.integers(1, 6), st.integers(0, 9)), min_size=1, max_size=6
    )
)
def test_the_last_count_of_a_slice_holds(store: Store, spans: list[tuple[int, int, int]]) -> None:
    """However spans overlap, each slice is what the last span over it counted; sums agree."""
    model = uuid.uuid4().hex
    expected: dict[int, int] = {}
    for first, length, rows in spans:
        starts = range(first * WIDTH, (first + length) * WIDTH, WIDTH)
        slices = {SliceKey(t): vector(rows, 1) for t in starts}
        span = (starts.start, starts.stop)
        store.replace_slices(model, "abc", WIDTH, span, slices, counted_to=starts.stop)
        expected.update(dict.fromkeys(starts, rows))

    found = {key.start: v[0] for key, v in store.read_slices(model, "abc", WIDTH, 0, 10**6)}
    assert found == expected
    total = store.sum_slices(model, "abc", WIDTH, 0, 10**6)[("", "")]
    assert total.tolist() == [sum(expected.values()), len(expected)]


def test_sums_by_segment(store: Store) -> None:
    """Slices add up, the segments of each column for themselves."""
    slices = {
        SliceKey(0): vector(1, 2),
        SliceKey(300): vector(10, 20),
        SliceKey(0, "region", "eu"): vector(1, 1),
        SliceKey(300, "region", "eu"): vector(5, 5),
        SliceKey(300, "region", "us"): vector(4, 4),
        SliceKey(900): vector(1000, 1000),
    }
    store.replace_slices(*SERIES, (0, 1200), slices, counted_to=1200)

    sums = store.sum_slices(*SERIES, 0, 900)

    assert {key: total.tolist() for key, total in sums.items()} == {
        ("", ""): [11, 22],
        ("region", "eu"): [6, 6],
        ("region", "us"): [4, 4],
    }
    assert list(store.sum_slices(*SERIES, 0, 900, segment_by="")) == [("", "")]


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        pytest.param([(600, 1200)], (600, 1200), id="first"),
        pytest.param([(600, 1200), (900, 1500)], (600, 1500), id="overlap"),
        pytest.param([(600, 1200), (1200, 1500)], (600, 1500), id="next"),
        pytest.param([(600, 1200), (1500, 1800)], (1500, 1800), id="gap"),
    ],
)
def test_counted_without_a_gap(
    store: Store, spans: list[tuple[int, int]], expected: tuple[int, int]
) -> None:
    """The counted span grows while spans touch, and starts anew behind a gap."""
    for start, end in spans:
        store.replace_slices(*SERIES, (start, end), {}, counted_to=end)

    assert store.counted(*SERIES) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        pytest.param((0, 600), (0, 1200), id="touches"),
        pytest.param((0, 300), (600, 1200), id="leaves a gap"),
    ],
)
def test_backfill(store: Store, span: tuple[int, int], expected: tuple[int, int]) -> None:
    """Counting earlier time moves the begin of what is counted, if nothing is left between."""
    count(store, 600, 1200)

    store.replace_slices(*SERIES, span, {}, counted_to=1200)

    assert store.counted(*SERIES) == expected


def test_a_slice_outside_of_its_span_is_refused(store: Store) -> None:
    """What no later count would replace is not written."""
    with pytest.raises(StoreError, match="at 900 is outside of the span from 0 to 900"):
        store.replace_slices(*SERIES, (0, 900), {SliceKey(900): vector(1)}, counted_to=900)

    assert store.counted_to(*SERIES) is None


def test_slices_of_other_bins_do_not_add_up(store: Store) -> None:
    """Vectors of different lengths are an error, never a wrong sum."""
    count(store, 0, 300, cells=3)
    count(store, 300, 600, cells=4)

    with pytest.raises(StoreError, match="slice at 300 has 4 cells, those before it 3"):
        store.sum_slices(*SERIES, 0, 600)


def test_runs(store: Store) -> None:
    """Runs come back as they were, the newest first, in pages."""
    store.replace_slices(*SERIES, (0, 900), {}, RUN, counted_to=900)
    store.record_run("fraud", RUN)
    store.record_run("churn", FAILED)

    newest = store.runs()
    assert [(r.model, r.run) for r in newest] == [
        ("churn", FAILED),
        ("fraud", RUN),
        ("churn", RUN),
    ]
    assert store.runs(limit=1, before=newest[0].id) == newest[1:2]
    assert [r.run for r in store.runs("churn", before=newest[0].id)] == [RUN]
    assert store.last_run("churn") == FAILED
    assert store.last_success("churn") == RUN
    assert store.last_run("unknown") is None
    assert store.last_success("unknown") is None


def test_history(store: Store) -> None:
    """Scores come back by window in order of time, with the features that each run had."""
    early = {"age": (0.125, "warning"), "größe": (None, "not_evaluated")}
    late = {"age": (0.25, "critical")}
    store.record_run("churn", RUN, scores={"1h": (7200, late), "24h": (7200, late)})
    store.replace_slices(*SERIES, (0, 300), {}, RUN, counted_to=300, scores={"1h": (3600, early)})

    assert list(store.history("churn", "1h", 3600, 7200)) == [(3600, early), (7200, late)]
    assert list(store.history("churn", "1h", 3601, 9000)) == [(7200, late)]
    assert list(store.history("churn", "1h", 0, 9000, features=["größe"])) == [
        (3600, {"größe": (None, "not_evaluated")}),
        (7200, {}),
    ]
    assert list(store.history("fraud", "1h", 0, 9000)) == []


def test_history_of_few_windows(store: Store) -> None:
    """Of many windows a few are read, evenly spread, the newest among them."""
    for end in range(0, 10 * 300, 300):
        store.record_run("churn", RUN, scores={"1h": (end, {"age": (end / 1000, "ok")})})

    ends = [end for end, _ in store.history("churn", "1h", 0, 9000, most=4)]
    every = list(store.history("churn", "1h", 0, 9000, most=10))

    assert ends == [0, 900, 1800, 2700]
    assert every == list(store.history("churn", "1h", 0, 9000))
    assert list(store.history("fraud", "1h", 0, 9000, most=4)) == []


def test_psi_of_all_features(store: Store) -> None:
    """PSI comes as one table of the newest window's features; what had none is not a number."""
    store.record_run("churn", RUN, scores={"1h": (300, {"gone": (9, "ok"), "age": (0.5, "ok")})})
    store.record_run("churn", RUN, scores={"1h": (600, {"age": (0.25, "ok"), "new": (None, "ok")})})
    store.record_run("churn", RUN, scores={"1h": (900, {"age": (0.75, "ok"), "new": (2, "ok")})})

    ends, names, psi = store.psi_history("churn", "1h", 0, 9000, most=10)

    assert (ends, names) == ([300, 600, 900], ["age", "new"])
    np.testing.assert_array_equal(psi, [[0.5, np.nan], [0.25, np.nan], [0.75, 2]])
    assert store.psi_history("churn", "1h", 0, 9000, most=1)[0] == [900]
    assert store.psi_history("fraud", "1h", 0, 9000, most=9)[:2] == ([], [])


def test_scores_of_a_window_are_replaced(store: Store) -> None:
    """A run that judges the same window again leaves one score."""
    for psi in (0.5, 0.75):
        store.record_run("churn", RUN, scores={"1h": (3600, {"age": (psi, "ok")})})

    assert list(store.history("churn", "1h", 0, 9000)) == [(3600, {"age": (0.75, "ok")})]


def test_a_failed_write_leaves_nothing(store: Store) -> None:
    """Slices, watermark, scores and run are written together or not at all."""
    count(store, 0, 600)
    # The run is written last, and no column takes this.
    bad = Run(1.0, 2.0, success=True, reason=None)  # type: ignore[arg-type]

    with pytest.raises(StoreError, match="write the slices of model 'churn'"):
        store.replace_slices(
            *SERIES,
            (300, 900),
            {SliceKey(300): vector(9, 9, 9)},
            bad,
            counted_to=900,
            scores={"1h": (900, {"age": (0.5, "ok")})},
        )

    assert plain(store.read_slices(*SERIES, 0, 900)) == {
        SliceKey(0): [0] * 3,
        SliceKey(300): [1] * 3,
    }
    assert store.counted_to(*SERIES) == 600
    assert store.runs() == []
    assert list(store.history("churn", "1h", 0, 9000)) == []


def test_it_outlives_the_process(url: str) -> None:
    """What was written is there after closing and opening."""
    with open_store(url, now=0) as store:
        store.replace_slices(*SERIES, (0, 300), {SliceKey(0): vector(1, 2)}, RUN, counted_to=300)

    with open_store(url, now=0) as store:
        assert plain(store.read_slices(*SERIES, 0, 300)) == {SliceKey(0): [1, 2]}
        assert store.last_success("churn") == RUN
        assert store.recreated is None


def test_a_closed_store_refuses(url: str) -> None:
    """A thread that is late does not write past the lock."""
    store = open_store(url, now=0)
    store.close()
    store.close()

    with pytest.raises(StoreError, match="the store is closed"):
        store.record_run("churn", RUN)


def test_only_one_process_has_it(url: str, store: Store) -> None:
    """A second opening fails, naming the holder, until the first is closed."""
    with pytest.raises(StoreError, match=r"in use by .*process \d+"):
        open_store(url, now=0)

    store.close()
    open_store(url, now=0).close()


@pytest.mark.usefixtures("store")
def test_no_password_in_a_message(url: str) -> None:
    """Messages name the store, without the password of its URL."""
    secret = make_url(url).set(password="tops3cret") if url.startswith("post") else make_url(url)

    with pytest.raises(StoreError) as caught:
        open_store(secret.render_as_string(hide_password=False), now=0)

    assert "tops3cret" not in str(caught.value)
    assert str(make_url(url).database) in str(caught.value)


def test_threads_share_it(store: Store) -> None:
    """Writers and readers of many threads neither fail nor see half a write."""
    models = [f"m{i}" for i in range(4)]
    rounds = 12
    writing = threading.Barrier(len(models) * 2)

    def write(model: str) -> None:
        writing.wait()
        for n in range(1, rounds + 1):
            slices = {SliceKey(t): vector(n, n) for t in range(0, 3000, WIDTH)}
            store.replace_slices(model, "abc", WIDTH, (0, 3000), slices, RUN, counted_to=3000 * n)

    def read(model: str) -> set[int]:
        writing.wait()
        seen = set()
        while store.counted_to(model, "abc", WIDTH) != 3000 * rounds:
            values = {int(v[0]) for _, v in store.read_slices(model, "abc", WIDTH, 0, 3000)}
            assert len(values) <= 1
            seen |= values
        return seen

    with ThreadPoolExecutor(len(models) * 2) as pool:
        readers = [pool.submit(read, model) for model in models]
        list(pool.map(write, models))
        assert all(reader.result() <= set(range(1, rounds + 1)) for reader in readers)

    assert len(store.runs(limit=1000)) == len(models) * rounds


def test_an_open_reader_does_not_stop_a_writer(store: Store) -> None:
    """Slices are streamed from one moment's state while another thread writes."""
    count(store, 0, 100 * WIDTH)
    reader = store.read_slices(*SERIES, 0, 100 * WIDTH)
    next(reader)

    store.replace_slices(*SERIES, (0, 100 * WIDTH), {}, counted_to=100 * WIDTH)

    assert len(plain(reader)) == 99
    assert plain(store.read_slices(*SERIES, 0, 100 * WIDTH)) == {}


def aged(store: Store) -> None:
    """Ten days of hourly runs of two models, each slice some 100 kB in size."""
    noise = np.random.default_rng(0).integers(0, 2**31, 25_000)
    for model in ("churn", "fraud"):
        for day in range(10):
            t = day * DAY
            run = Run(float(t), float(t), success=day < 5)
            store.replace_slices(
                model,
                "abc",
                WIDTH,
                (t, t + DAY),
                {SliceKey(t): noise},
                run,
                counted_to=t + DAY,
                scores={"1h": (t, {"age": (0.5, "ok")})},
            )


def kept_days(store: Store, model: str) -> list[int]:
    """Days of which slices are left."""
    return [key.start // DAY for key, _ in store.read_slices(model, "abc", WIDTH, 0, 20 * DAY)]


@pytest.mark.parametrize(
    ("keep_since", "churn", "fraud"),
    [
        pytest.param({"churn": 9 * DAY, "fraud": 9 * DAY}, 7, 7, id="age alone"),
        pytest.param({"churn": 3 * DAY, "fraud": 9 * DAY}, 3, 7, id="a long window"),
        pytest.param({"churn": 3 * DAY + 17, "fraud": 9 * DAY}, 3, 7, id="inside of a slice"),
        pytest.param({"churn": 0}, 0, 7, id="a model that is gone"),
    ],
)
def test_retention_by_age(
    store: Store, keep_since: Mapping[str, int], churn: int, fraud: int
) -> None:
    """What is older goes, but no slice that a window needs."""
    aged(store)

    deleted = store.prune(10 * DAY, 3 * DAY, 10**9, keep_since)

    assert kept_days(store, "churn") == list(range(churn, 10))
    assert kept_days(store, "fraud") == list(range(fraud, 10))
    assert store.counted("churn", "abc", WIDTH) == (churn * DAY, 10 * DAY)
    assert [end for end, _ in store.history("churn", "1h", 0, 20 * DAY)] == [
        7 * DAY,
        8 * DAY,
        9 * DAY,
    ]
    # Of runs go 0 to 6 without the newest success, of scores 0 to 6, of each model.
    assert deleted == churn + fraud + 2 * 6 + 2 * 7
    assert store.prune(10 * DAY, 3 * DAY, 10**9, keep_since) == 0


def test_the_newest_runs_stay(store: Store) -> None:
    """However old, the newest run and the newest success of a model are kept."""
    aged(store)

    store.prune(1000 * DAY, DAY, 10**9, {})

    assert [r.run.started // DAY for r in store.runs("churn")] == [9, 4]
    assert store.counted_to("churn", "abc", WIDTH) is None


def test_retention_by_size(store: Store) -> None:
    """Where the store is too large the oldest goes, until it fits and stays so."""
    aged(store)
    limit = 1_200_000
    assert store.used_bytes() > limit

    store.prune(10 * DAY, 100 * DAY, limit, {"churn": 9 * DAY, "fraud": 9 * DAY})

    assert store.used_bytes() <= limit
    left = kept_days(store, "churn")
    assert left == list(range(left[0], 10))
    assert len(left) >= 4
    assert kept_days(store, "fraud") == left
    assert store.first_slice("churn", "abc", WIDTH) == left[0] * DAY


def test_windows_go_before_size(store: Store) -> None:
    """A limit that is too small for the windows takes all else, and ends."""
    aged(store)

    store.prune(10 * DAY, 100 * DAY, 1, {"churn": 2 * DAY, "fraud": 9 * DAY})

    assert kept_days(store, "churn") == list(range(2, 10))
    assert kept_days(store, "fraud") == [9]
    assert list(store.history("churn", "1h", 0, 20 * DAY)) == []
    assert store.last_run("churn") is not None


def calibrated_days(store: Store, model: str = "churn") -> list[float]:
    """Days of which calibrations are left."""
    return sorted(created / DAY for created, _, _ in store.calibrations(model, 1000))


def test_a_self_test_takes_no_room_of_its_own(store: Store) -> None:
    """The same calibration told again is kept once, in its place and as it was told last."""
    for created, body in ((1.0, "first"), (2.0, "second"), (1.0, "first, tested")):
        store.record_calibration("churn", "abc", created, body)

    assert store.calibrations("churn", 9) == [
        (2.0, "abc", "second"),
        (1.0, "abc", "first, tested"),
    ]


def test_calibrations_are_kept_as_long_as_slices(store: Store) -> None:
    """What was in force at the oldest time that is kept stays, and what came since; of bins without
    slices nothing old does."""
    aged(store)
    for day in (0.5, 2.5, 6.5, 8.5):
        store.record_calibration("churn", "abc", day * DAY, "{}")
        store.record_calibration("churn", "other bins", day * DAY, "{}")
    store.record_calibration("fraud", "abc", DAY, "{}")

    store.prune(10 * DAY, 3 * DAY, 10**9, {"churn": 9 * DAY, "fraud": 9 * DAY})

    assert list(store.calibrations_by("churn", "abc", 7 * DAY)) == ["{}"]
    assert calibrated_days(store) == [6.5, 8.5, 8.5]
    assert calibrated_days(store, "fraud") == [1]


def test_calibrations_go_where_the_store_is_too_large(store: Store) -> None:
    """They go with slices of their time, and not all slices in their place."""
    aged(store)
    # Of random letters, as PostgreSQL compresses what repeats.
    letters = np.random.default_rng(1).integers(33, 127, (10, 200_000), dtype=np.uint8)
    for day in range(10):
        store.record_calibration("churn", "abc", day * DAY, letters[day].tobytes().decode())
    limit = 2_000_000
    assert store.used_bytes() > 1.5 * limit

    store.prune(10 * DAY, 100 * DAY, limit, {"churn": 9 * DAY, "fraud": 9 * DAY})

    assert store.used_bytes() <= limit
    left = kept_days(store, "churn")
    assert 4 <= len(left) < 10
    assert calibrated_days(store) == [left[0] - 1, *left], "the first was in force when they begin"


@pytest.mark.parametrize("migrated", [False, True], ids=["made new", "migrated"])
def test_the_schema_is_what_the_code_expects(url: str, migrated: bool) -> None:
    """A new store and the migrations, from the first on, have the tables that the code uses."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    if migrated:
        if engine.url.database and engine.dialect.name == "sqlite":
            Path(engine.url.database).parent.mkdir()
        with engine.begin() as connection:
            schema.migrate(connection, url, None)
    open_store(url, now=0).close()

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": tables.VERSION_TABLE,
                "compare_type": True,
                "include_object": lambda *args: args[1] != tables.VERSION_TABLE,
            },
        )
        assert compare_metadata(context, tables.metadata) == []
        assert context.get_current_revision() == schema.HEAD
        key = inspect(connection).get_pk_constraint(tables.VERSION_TABLE)
        (version,) = inspect(connection).get_columns(tables.VERSION_TABLE)
    assert (key["name"], key["constrained_columns"]) == ("drift_version_pkc", ["version_num"])
    assert (str(version["type"]), version["nullable"]) == ("VARCHAR(32)", False)
    engine.dispose()


def test_the_code_knows_its_newest_migration() -> None:
    """The version that needs no migration is the last one that there is."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")

    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def revise(url: str, revision: str) -> None:
    """Pretend that another version of drift-exporter migrated the store."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.execute(
            text(f"UPDATE {tables.VERSION_TABLE} SET version_num = :v"), {"v": revision}
        )
    engine.dispose()


def test_a_newer_schema_is_left_alone(url: str) -> None:
    """A store of a newer version is not touched, and the message says to upgrade."""
    with open_store(url, now=0) as store:
        store.record_run("churn", RUN)
    revise(url, "9999")

    with pytest.raises(StoreError, match=r"version '9999'.*upgrade drift-exporter"):
        open_store(url, now=0)

    revise(url, schema.HEAD)
    with open_store(url, now=0) as store:
        assert store.last_run("churn") == RUN


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param("mysql://u:tops3cret@h/db", "cannot be 'mysql'", id="engine"),
        pytest.param("sqlite://", "needs a file", id="memory"),
        pytest.param("sqlite:///:memory:", "needs a file", id="memory by name"),
        pytest.param("/var/lib/tops3cret.db", "cannot be read", id="no URL"),
        pytest.param("postgresql://u:tops3cret@[::1/db", "cannot be read", id="broken host"),
        pytest.param(
            "postgresql://u:tops3cret@127.0.0.1:1/db", "cannot migrate the schema", id="no server"
        ),
    ],
)
def test_urls_that_are_no_store(bad: str, message: str) -> None:
    """A URL that cannot be a store is refused, without its secrets."""
    with pytest.raises(StoreError, match=message) as caught:
        open_store(bad, now=0)

    assert "tops3cret" not in str(caught.value)
