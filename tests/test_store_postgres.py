"""A store in PostgreSQL is shared by shards and survives the server's restarts."""

import numpy as np
import psycopg
import pytest

from drift_exporter.counts import SliceKey
from drift_exporter.errors import StoreError
from drift_exporter.snapshot import Run
from drift_exporter.store import Store, open_store

WIDTH = 300
DAY = 86400


def cut_off(url: str) -> None:
    """End all connections to the database, as a restart of the server does."""
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def count(store: Store, model: str, days: int) -> None:
    """Count one slice a day."""
    for day in range(days):
        slices = {SliceKey(day * DAY): np.arange(5)}
        span = (day * DAY, (day + 1) * DAY)
        run = Run(float(span[1]), float(span[1]), success=True)
        store.replace_slices(model, "abc", WIDTH, span, slices, run, counted_to=span[1])


def days(store: Store, model: str) -> list[int]:
    """Days of which a slice is left."""
    return [key.start // DAY for key, _ in store.read_slices(model, "abc", WIDTH, 0, 99 * DAY)]


def test_after_a_restart_of_the_server(database: str) -> None:
    """Reads and writes go on, and the lock is taken again."""
    with open_store(database, now=0) as store:
        count(store, "churn", 2)

        cut_off(database)

        assert days(store, "churn") == [0, 1]
        count(store, "churn", 3)
        assert days(store, "churn") == [0, 1, 2]
        with pytest.raises(StoreError, match="in use by drift-exporter process"):
            open_store(database, now=0)


def test_whoever_lost_the_lock_does_not_write(database: str) -> None:
    """A process that was cut off while another took over fails its writes, and says why."""
    with open_store(database, now=0) as old:
        count(old, "churn", 1)
        cut_off(database)
        with open_store(database, now=0) as new:
            count(new, "churn", 2)

            with pytest.raises(StoreError, match="in use by drift-exporter process"):
                count(old, "churn", 5)

            assert days(old, "churn") == [0, 1]
        count(old, "churn", 3)
        assert days(old, "churn") == [0, 1, 2]


def test_shards_share_a_database(database: str) -> None:
    """Shards open side by side; a full store costs the others nothing before its age."""
    with (
        open_store(database, now=0, shard="0/2") as one,
        open_store(database, now=0, shard="1/2") as other,
    ):
        with pytest.raises(StoreError, match="its own --shard"):
            open_store(database, now=0, shard="1/2")
        count(one, "churn", 10)
        count(other, "fraud", 10)

        one.prune(10 * DAY, 2 * DAY, 1, {"churn": 9 * DAY})

        assert days(one, "churn") == [9]
        assert days(one, "fraud") == list(range(10))
        assert [stored.run.finished // DAY for stored in one.runs("fraud")] == [10, 9, 8]
        one.prune(30 * DAY, 2 * DAY, 10**9, {"churn": 9 * DAY})
        assert days(one, "fraud") == []


def test_text_that_the_server_refuses(database: str) -> None:
    """The message of a failure is kept, without the bytes that no text of the server holds."""
    with open_store(database, now=0) as store:
        store.record_run("churn", Run(1.0, 2.0, success=False, error="a\0b\udcff"))

        assert [stored.run.error for stored in store.runs()] == ["ab?"]


def test_times_are_exact(database: str) -> None:
    """Times keep their microseconds, also on a server that is set up to round floats."""
    run = Run(1_700_000_000.123457, 1_700_000_001.654321, success=True)
    with open_store(database, now=0) as store:
        store.record_run("churn", run)

        assert store.last_run("churn") == run


def test_a_reader_that_stops_early(database: str) -> None:
    """What a reader leaves unread does not spoil the connection for the next one."""
    with open_store(database, now=0) as store:
        count(store, "churn", 40)
        for _ in range(40):
            reader = store.read_slices("churn", "abc", WIDTH, 0, 99 * DAY)
            assert next(reader)[0].start == 0
            reader.close()  # type: ignore[attr-defined]

        assert days(store, "churn") == list(range(40))
