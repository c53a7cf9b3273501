"""A store in a file survives kills, damage, a full disk and a second process."""

import multiprocessing
import os
import random
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from drift_exporter.counts import SliceKey
from drift_exporter.errors import StoreError
from drift_exporter.snapshot import Run
from drift_exporter.store import Store, open_store

WIDTH = 300
SERIES = ("churn", "abc", WIDTH)
SLICES_AT_ONCE = 6

# Processes that are made new, without the threads of the one that runs the tests.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["drift_exporter.store"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is to be."""
    return tmp_path / "store.db"


def opened(path: Path, now: float = 0) -> Store:
    """The store of a path."""
    return open_store(f"sqlite:///{path}", now=now)


def write(store: Store, n: int, cells: int = 200) -> None:
    """Write what all says ``n``: slices that overlap the last ones, watermark, scores, run."""
    start, end = n * WIDTH, (n + SLICES_AT_ONCE) * WIDTH
    slices = {SliceKey(t): np.full(cells, n) for t in range(start, end, WIDTH)}
    run = Run(float(n), float(n), success=True, rows_read=n)
    scores = {"1h": (n, {"age": (float(n), "ok")})}
    store.replace_slices(*SERIES, (start, end), slices, run, counted_to=end, scores=scores)


def written(store: Store) -> int:
    """The newest ``n`` that was written whole, after checking that all agree on it."""
    run = store.last_run("churn")
    if run is None:
        assert store.counted_to(*SERIES) is None
        assert list(store.read_slices(*SERIES, 0, 10**9)) == []
        return -1
    n = run.rows_read
    assert len(store.runs(limit=10**6)) == n + 1
    assert store.counted_to(*SERIES) == (n + SLICES_AT_ONCE) * WIDTH
    assert [end for end, _ in store.history("churn", "1h", 0, 10**9)] == list(range(n + 1))
    found = {key.start // WIDTH: set(v.tolist()) for key, v in store.read_slices(*SERIES, 0, 10**9)}
    assert found == {i: {min(i, n)} for i in range(n + SLICES_AT_ONCE)}
    return n


def hold(path: Path, told: Connection) -> None:
    """Open the store, say so, and wait to be stopped."""
    with opened(path):
        told.send(os.getpid())
        told.recv()


def write_on(path: Path, first: int, told: Connection) -> None:
    """Write without end, telling what was acknowledged."""
    store = opened(path)
    for n in range(first, 10**9):
        write(store, n)
        told.send(n)


@pytest.fixture
def started() -> Iterator[Callable[..., tuple[multiprocessing.process.BaseProcess, Connection]]]:
    """Starts a function in a process of its own; gives the process and what it tells."""
    running = []

    def start(
        work: Callable[..., None], *args: object
    ) -> tuple[multiprocessing.process.BaseProcess, Connection]:
        mine, its = PROCESSES.Pipe()
        process = PROCESSES.Process(target=work, args=(*args, its), daemon=True)
        process.start()
        its.close()
        running.append((process, mine))
        return process, mine

    yield start
    for process, mine in running:
        process.kill()
        process.join()
        process.close()
        mine.close()


Starter = Callable[..., tuple[multiprocessing.process.BaseProcess, Connection]]


def test_killed_at_any_moment(path: Path, started: Starter) -> None:
    """After SIGKILL slices, watermark, scores and runs agree, and hold what was acknowledged."""
    chance = random.Random(20)  # noqa: S311
    last = -1
    for _ in range(20):
        process, told = started(write_on, path, last + 1)
        acknowledged = told.recv()
        process.join(timeout=chance.uniform(0, 0.03))
        process.kill()
        process.join()
        with suppress(EOFError):
            while True:
                acknowledged = told.recv()

        with opened(path) as store:
            assert store.recreated is None
            last = written(store)
        assert acknowledged <= last <= acknowledged + 1


def test_a_second_process_is_refused(path: Path, started: Starter) -> None:
    """The message names the file and the process that has it; its end frees the store."""
    process, told = started(hold, path)
    pid = told.recv()

    with pytest.raises(StoreError, match=f"store.db: the store is in use by process {pid};"):
        opened(path)

    process.kill()
    process.join()
    opened(path).close()


def test_what_is_acknowledged_is_on_disk(path: Path) -> None:
    """Every connection syncs each transaction, waits for others and checks references."""
    with (
        opened(path) as store,
        store._database.reading("look") as one,
        store._database.reading("look") as other,
    ):
        for connection in (one, other):
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "auto_vacuum")
            }
            full, incremental = 2, 2
            assert found == {
                "journal_mode": "wal",
                "synchronous": full,
                "foreign_keys": 1,
                "auto_vacuum": incremental,
            }


def scribble(path: Path) -> None:
    """Overwrite the inner pages, not the header."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))


def cut(path: Path) -> None:
    """Cut the file in the middle."""
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    """Put something else in its place."""
    path.write_text("not a database, " * 1000)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(scribble, id="pages"),
        pytest.param(cut, id="cut"),
        pytest.param(replace, id="something else"),
    ],
)
def test_a_damaged_file_is_moved_aside(path: Path, damage: Callable[[Path], None]) -> None:
    """A damaged store is kept beside a new one, which works and says what happened."""
    with opened(path) as store:
        for n in range(5):
            write(store, n)
    damage(path)
    before = path.read_bytes()

    with opened(path, now=1234.5) as store:
        assert store.recreated is not None
        assert "store.db.corrupt-1234, a new one was made" in store.recreated
        assert store.runs() == []
        write(store, 0)
        assert written(store) == 0

    assert path.with_name("store.db.corrupt-1234").read_bytes() == before
    with opened(path) as store:
        assert store.recreated is None
        assert written(store) == 0


def test_a_journal_does_not_spoil_the_new_store(path: Path, tmp_path: Path) -> None:
    """What a crash left in the journal of a damaged store is gone with that store."""
    with opened(path) as store:
        write(store, 0)
    with opened(path) as store:
        write(store, 1)
        shutil.copy(path.with_name("store.db-wal"), tmp_path / "journal")
    scribble(path)
    (tmp_path / "journal").rename(path.with_name("store.db-wal"))

    with opened(path, now=7) as store:
        assert store.recreated is not None
        assert store.runs() == []
        write(store, 0)
        assert written(store) == 0


def test_an_empty_file_is_a_new_store(path: Path) -> None:
    """A file of no bytes, as a crash at first start leaves it, is not called damaged."""
    path.touch()

    with opened(path) as store:
        assert store.recreated is None
        write(store, 0)


def test_a_folder_is_no_store(path: Path) -> None:
    """What cannot be opened is not taken for damaged: it stays where it is."""
    path.mkdir()

    with pytest.raises(StoreError, match=r"store\.db: cannot be opened"):
        opened(path)

    assert path.is_dir()
    path.rmdir()
    opened(path).close()


def test_a_file_in_the_way(tmp_path: Path) -> None:
    """A folder that cannot be made is an error with the reason."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="cannot make the folder or the lock file"):
        opened(tmp_path / "file" / "store.db")


def fill(path: Path, told: Connection) -> None:
    """Write until the disk takes no more, look around, make room, write again."""
    store = opened(path)
    write(store, 0)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The kernel refuses each byte behind this one, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, unlimited[1]))
    n, message = 0, ""
    while not message and n < 1000:
        try:
            write(store, n + 1, cells=20_000)
            n += 1
        except StoreError as error:
            message = str(error)
    told.send((n, message, last_written(store)))
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    write(store, n + 1)
    told.send(last_written(store))
    store.close()


def last_written(store: Store) -> tuple[int, int | None]:
    """Number of the last run, and of the last slice."""
    run = store.last_run("churn")
    last = max(key.start // WIDTH for key, _ in store.read_slices(*SERIES, 0, 10**9))
    return (-1 if run is None else run.rows_read), last - SLICES_AT_ONCE + 1


def test_a_full_disk(path: Path, started: Starter) -> None:
    """A write that finds no room fails whole; reading goes on; later writes work again."""
    _, told = started(fill, path)

    n, message, meanwhile = told.recv()
    after = told.recv()

    assert n > 0
    assert "cannot write the slices of model 'churn'" in message
    assert "the disk is full or failing" in message
    assert meanwhile == (n, n)
    assert after == (n + 1, n + 1)
    told.close()


def test_no_page_left(path: Path) -> None:
    """SQLite's own word for a full disk is passed on with what to do."""
    with opened(path) as store:
        write(store, 0)
        # All idle connections of the pool: there is one.
        with store._database.reading("limit") as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")

        noise = np.random.default_rng(0).integers(0, 2**60, 20_000)
        with pytest.raises(StoreError, match="disk is full; free room") as caught:
            store.replace_slices(*SERIES, (300, 600), {SliceKey(300): noise}, counted_to=600)

        assert "INSERT" not in str(caught.value)
        assert written(store) == 0
        with store._database.reading("lift the limit") as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
        write(store, 1)
        assert written(store) == 1


def test_a_program_that_locks_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program's lock fails the write in the end, and leaves no trace."""
    monkeypatch.setattr(
        "drift_exporter.store.sqlite._PRAGMAS", ("busy_timeout = 1", "journal_mode = wal")
    )
    with opened(path) as store:
        write(store, 0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="database is locked; another program"):
                write(store, 1)
            assert written(store) == 0
            other.execute("ROLLBACK")
        write(store, 1)
        assert written(store) == 1


def test_the_file_shrinks(path: Path) -> None:
    """What retention deletes is given back to the disk."""
    noise = np.random.default_rng(0).integers(0, 2**60, 20_000)
    with opened(path) as store:
        slices = {SliceKey(t): noise for t in range(0, 40 * WIDTH, WIDTH)}
        store.replace_slices(*SERIES, (0, 40 * WIDTH), slices, counted_to=40 * WIDTH)

        store.prune(10**6, 0, 10**9, {"churn": 39 * WIDTH})

        assert path.stat().st_size < 5 * noise.nbytes
        assert store.used_bytes() < 2 * noise.nbytes
        assert len(list(store.read_slices(*SERIES, 0, 10**6))) == 1


def test_it_does_not_grow(path: Path) -> None:
    """Days of runs with retention take no more room than the first did."""
    noise = np.random.default_rng(0).integers(0, 2**60, 2_000)
    sizes = []
    with opened(path) as store:
        for n in range(300):
            span = (n * WIDTH, (n + 2) * WIDTH)
            slices = {SliceKey(t): noise for t in range(*span, WIDTH)}
            run = Run(float(n * WIDTH), float(n * WIDTH), success=True)
            store.replace_slices(*SERIES, span, slices, run, counted_to=span[1])
            if n % 20 == 19:
                store.prune(n * WIDTH, 20 * WIDTH, 10**9, {"churn": (n - 9) * WIDTH})
                sizes.append(path.stat().st_size)

    assert max(sizes[5:]) <= 1.1 * max(sizes[:5])
