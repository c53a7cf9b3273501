"""Story one: a run reads what is new, replaces late slices, judges windows, survives failures."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from drift_exporter.checking import check
from drift_exporter.config import ModelConfig
from drift_exporter.counts import Vector
from drift_exporter.errors import RunStoppedError, SourceError, StoreError
from drift_exporter.profile import CategoryBins, Feature, NumericBins, Profile, SegmentColumn
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import Store, open_store
from drift_exporter.verdicts.verdict import Reason, State
from past_counts import Ledger

HOUR = 3600
NOON = 1_767_268_800
"""A noon in UTC, a multiple of every slice."""


def profile() -> Profile:
    """Age in three bins and city in two and other; 100 reference rows in each bin."""
    return Profile(
        model="credit",
        features=(
            Feature("age", "feature", "numeric", NumericBins((30.0, 50.0), 18.0, 90.0, 10.0)),
            Feature("city", "prediction", "categorical", CategoryBins(("x", "y"))),
        ),
        counts=np.array([0, 100, 100, 100, 0, 0, 0, 0, 100, 100, 100, 0, 0, 0]),
        segments=(SegmentColumn("region", ("north",)),),
        segment_counts={
            ("region", "north"): np.array([0, 50, 50, 50, 0, 0, 0, 0, 50, 50, 50, 0, 0, 0])
        },
        created="2026-01-01T00:00:00+00:00",
    )


def rows_of(young: int, middle: int, old: int) -> Vector:
    """Counts of rows by age; their cities are as the reference's, as far as they divide."""
    total = young + middle + old
    cities = [total // 3 + (i < total % 3) for i in range(3)]
    return np.array([0, young, middle, old, 0, 0, 0, 0, *cities, 0, 0, 0])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = open_store(f"sqlite:///{tmp_path / 'drift.db'}", now=NOON)
    yield opened
    opened.close()


def job(store: Store, source: Ledger, **settings: object) -> check.Job:
    """A job with windows of 1 h and 4 h on 5-minute slices."""
    model = ModelConfig.model_validate(
        {
            "name": "credit",
            "reference": "reference.parquet",
            "current": {"url": "current/*.parquet", "lateness": "10m"},
            "windows": ["1h", "4h"],
            **settings,
        }
    )
    return check.Job(model, profile(), source, store, interval_seconds=300)


def ran(job: check.Job, before: Snapshot, now: float) -> Snapshot:
    """Run and keep what was found."""
    snapshot, keep = check.run(job, before, now)
    keep()
    return snapshot


def window(snapshot: Snapshot, name: str) -> dict[str, object]:
    """What a window says of age."""
    (found,) = [w for w in snapshot.windows if w.window == name]
    return {
        "rows": found.rows,
        "psi": float(found.scores["psi"][0]),
        "state": found.verdicts[0].state,
        "reason": found.verdicts[0].reason,
    }


def test_windows_are_sums_of_slices(store: Store) -> None:
    """A shift of the last half hour weighs more in the short window than in the long one."""
    source = Ledger()
    for start in range(NOON - 4 * HOUR, NOON, 300):
        drifted = start >= NOON - HOUR // 2
        source.add(start, rows_of(10, 10, 70) if drifted else rows_of(30, 30, 30))
    made = job(store, source)

    snapshot = ran(made, check.empty_snapshot(made), NOON)

    # 540 rows in each third, then 6 slices of 60 young, 60 middle-aged and 420 old rows.
    short, long = window(snapshot, "1h"), window(snapshot, "4h")
    assert (short["rows"], long["rows"]) == (12 * 90, 48 * 90)
    assert short["state"] is State.WARNING
    assert long["state"] is State.OK
    shares = np.array([240, 240, 600]) / 1080
    by_hand = float(np.sum((shares - 1 / 3) * np.log(shares * 3)))
    assert short["psi"] == pytest.approx(by_hand, abs=0.01)


def test_a_run_reads_only_what_is_new_and_late(store: Store) -> None:
    """After the first run each run asks for the newest slice and the lateness before it."""
    source = Ledger()
    made = job(store, source)
    snapshot = check.empty_snapshot(made)
    for now in (NOON, NOON + 300, NOON + 601, NOON + 899):
        snapshot = ran(made, snapshot, now)

    assert source.asked == [
        (NOON - 4 * HOUR, NOON),
        (NOON - 600, NOON + 300),
        (NOON - 300, NOON + 600),
        (NOON, NOON + 600),
    ]


def test_late_rows_count_once(store: Store) -> None:
    """Rows that come late, but within the lateness, are in the window; nothing counts twice."""
    source = Ledger()
    source.add(NOON - 300, rows_of(50, 50, 50))
    made = job(store, source)
    snapshot = ran(made, check.empty_snapshot(made), NOON)
    assert window(snapshot, "1h")["rows"] == 150

    source.add(NOON - 300, rows_of(10, 10, 10))
    source.add(NOON, rows_of(1, 1, 1))
    snapshot = ran(made, snapshot, NOON + 300)
    assert window(snapshot, "1h")["rows"] == 183

    snapshot = ran(made, snapshot, NOON + 900)
    source.add(NOON - 300, rows_of(900, 0, 0))
    snapshot = ran(made, snapshot, NOON + 1200)
    assert window(snapshot, "1h")["rows"] == 183, "later than the lateness: not counted"


def test_a_failed_run_keeps_the_scores_and_its_reason(store: Store) -> None:
    """A source that fails is a kept, counted run; the scores before it stay."""
    source = Ledger()
    source.add(NOON - 300, rows_of(50, 50, 50))
    made = job(store, source)
    good = ran(made, check.empty_snapshot(made), NOON)

    source.failure = SourceError("pg.example: connection refused")
    bad = ran(made, good, NOON + 300)

    assert bad.windows == good.windows
    assert bad.last_success == good.last_success
    assert bad.last_run is not None
    assert (bad.last_run.success, bad.last_run.reason) == (False, "source")
    assert [stored.run.success for stored in store.runs("credit")] == [False, True]


def test_a_stopped_run_leaves_nothing(store: Store) -> None:
    """A run that is told to stop neither publishes nor stores."""
    made = job(store, Ledger())

    with pytest.raises(RunStoppedError):
        check.run(made, check.empty_snapshot(made), NOON, stop=lambda: True)
    assert store.last_run("credit") is None


def test_restored_scores_are_those_of_the_last_run(store: Store) -> None:
    """After a restart the store alone gives the scores again, without the source."""
    source = Ledger()
    for start in range(NOON - 4 * HOUR, NOON, 300):
        source.add(start, rows_of(20, 30, 40))
        source.add(start, rows_of(5, 5, 5), "region", "north")
    made = job(store, source)
    shown = ran(made, check.empty_snapshot(made), NOON)
    source.failure = SourceError("not asked")
    asked = len(source.asked)

    again = check.restore(job(store, source))

    assert len(source.asked) == asked
    assert again.last_success == shown.last_success
    for before, after in zip(shown.windows, again.windows, strict=True):
        assert (before.start, before.end, before.rows) == (after.start, after.end, after.rows)
        assert before.verdicts == after.verdicts
        for name, values in before.scores.items():
            assert np.array_equal(values, after.scores[name], equal_nan=True), name
        assert [s.rows for s in before.segments] == [s.rows for s in after.segments] != []


@pytest.mark.parametrize("lost_at", ["before the store", "after the store"])
def test_a_crash_anywhere_changes_no_score(store: Store, tmp_path: Path, lost_at: str) -> None:
    """A run that dies before or after it stored leaves later scores as if nothing had been."""
    source = Ledger()
    for start in range(NOON - 4 * HOUR, NOON + HOUR, 300):
        source.add(start, rows_of(20, 30 + start % 7, 40))
    made = job(store, source)
    snapshot = ran(made, check.empty_snapshot(made), NOON)

    _, keep = check.run(made, snapshot, NOON + 300)
    if lost_at == "after the store":
        keep()
    revived = check.restore(job(store, source))
    after = ran(job(store, source), revived, NOON + 600)

    undisturbed = open_store(f"sqlite:///{tmp_path / 'undisturbed.db'}", now=NOON)
    alone = job(undisturbed, source)
    expected = ran(alone, check.empty_snapshot(alone), NOON + 600)
    assert window(after, "4h") == window(expected, "4h")
    assert window(after, "1h") == window(expected, "1h")
    undisturbed.close()


def test_scores_hold_when_the_store_cannot_be_written(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk costs no score: the run is judged, and the next one reads the span again."""
    source = Ledger()
    source.add(NOON - 300, rows_of(50, 50, 50))
    made = job(store, source)
    first = ran(made, check.empty_snapshot(made), NOON)
    source.add(NOON, rows_of(60, 60, 60))
    told: list[StoreError] = []

    def full(*_: object, **__: object) -> None:
        raise StoreError("drift.db: disk full")

    with monkeypatch.context() as patched:
        patched.setattr(store, "replace_slices", full)
        second, keep = check.run(made, first, NOON + 300, on_store_error=told.append)
        keep()
    source.add(NOON + 300, rows_of(10, 10, 10))
    third = ran(made, second, NOON + 600)

    assert len(told) == 1
    assert window(second, "1h")["rows"] == 330
    assert window(third, "1h")["rows"] == 360
    assert source.asked[-1].start <= NOON


@pytest.mark.parametrize(
    ("vector", "reason"),
    [
        pytest.param(None, Reason.NO_DATA, id="empty window"),
        pytest.param(rows_of(33, 33, 33), Reason.TOO_FEW_ROWS, id="99 rows"),
        pytest.param(
            np.array([0, 0, 0, 0, 0, 0, 0, 500, 500, 0, 0, 0, 0, 0]),
            Reason.COLUMN_MISSING,
            id="vanished column",
        ),
    ],
)
def test_what_cannot_be_judged_says_why(
    store: Store, vector: Vector | None, reason: Reason
) -> None:
    """Without enough rows there is no score at all: not 0, not NaN in the exposition."""
    source = Ledger()
    if vector is not None:
        source.add(NOON - 300, vector)
    made = job(store, source)

    found = window(ran(made, check.empty_snapshot(made), NOON), "1h")

    assert found["state"] is State.NOT_EVALUATED
    assert found["reason"] is reason
    assert str(found["psi"]) == "nan"


def test_all_missing_is_a_score(store: Store) -> None:
    """A column that lost all its values is judged: missing is a bin, and critical drift."""
    source = Ledger()
    source.add(NOON - 300, np.array([0, 0, 0, 0, 0, 300, 0, 0, 100, 100, 100, 0, 0, 0]))
    made = job(store, source)

    snapshot = ran(made, check.empty_snapshot(made), NOON)

    assert window(snapshot, "1h")["state"] is State.CRITICAL
    assert snapshot.windows[0].scores["missing_ratio"][0] == 1.0
    assert np.isnan(snapshot.windows[0].scores["ks_statistic"][0])


def test_segments_are_judged_against_their_own_reference(store: Store) -> None:
    """A segment's PSI compares with the same segment; one with too few rows has none."""
    source = Ledger()
    source.add(NOON - 300, rows_of(100, 100, 100))
    source.add(NOON - 300, rows_of(90, 0, 60), "region", "north")
    source.add(NOON - 300, rows_of(10, 10, 0), "region", "(other)")
    made = job(store, source)

    segments = ran(made, check.empty_snapshot(made), NOON).windows[0].segments

    assert [(s.segment, s.rows) for s in segments] == [("(other)", 20), ("north", 150)]
    assert np.isnan(segments[0].psi[0])
    assert segments[1].psi[0] > 0.25


def test_the_clock_may_jump(store: Store) -> None:
    """A clock that jumps ahead and back again costs no row and counts none twice."""
    source = Ledger()
    source.add(NOON - 300, rows_of(50, 50, 50))
    made = job(store, source)
    snapshot = ran(made, check.empty_snapshot(made), NOON)
    snapshot = ran(made, snapshot, NOON + 2 * HOUR)
    source.add(NOON, rows_of(20, 20, 20))

    snapshot = ran(made, snapshot, NOON + 300)

    assert window(snapshot, "1h")["rows"] == 210
    snapshot = ran(made, snapshot, NOON + 600)
    assert window(snapshot, "1h")["rows"] == 210
