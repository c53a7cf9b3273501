"""Looking back: the past is counted once, and judged as the runs of that time would have."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_exporter.calibration.calibrating import calibrated, history_of
from drift_exporter.calibration.hindsight import PIECE_SECONDS, fill, judged, missing
from drift_exporter.checking import check
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import RunStoppedError
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import Store, open_store
from past_counts import DAY, HOUR, MONDAY, OLDER, SLICE, Ledger, drawn, job, keep, profile

REGIONS = ("north", "south")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = open_store(f"sqlite:///{tmp_path / 'drift.db'}", now=MONDAY)
    yield opened
    opened.close()


def past(days: int) -> dict[SliceKey, Vector]:
    """Days whose nights are older, with holes, an empty half day and a drift at the end."""
    end = MONDAY + days * DAY

    def ages(at: int) -> tuple[float, ...]:
        if at >= end - 3 * HOUR:
            return (0.05, 0.15, 0.8)
        return OLDER if at % DAY < 6 * HOUR else (0.3, 0.4, 0.3)

    slices = drawn(MONDAY, end, ages=ages, regions=REGIONS, rows=120)
    gone = {at for at in range(MONDAY, end, SLICE) if at // SLICE % 11 == 0}
    gone |= set(range(end - 2 * DAY, end - 2 * DAY + 12 * HOUR, SLICE))
    return {key: vector for key, vector in slices.items() if key.start not in gone}


def assert_same(found: Snapshot, expected: Snapshot) -> None:
    """Both snapshots say the same of every window, column and segment, to the last bit."""
    assert found.features == expected.features
    assert found.calibration == expected.calibration
    assert found.reference_kind == expected.reference_kind
    for one, other in zip(found.windows, expected.windows, strict=True):
        assert (one.window, one.start, one.end, one.rows) == (
            other.window,
            other.start,
            other.end,
            other.rows,
        )
        assert one.reference_span == other.reference_span
        assert one.verdicts == other.verdicts
        same_arrays(one.scores, other.scores)
        same_arrays(one.thresholds, other.thresholds)
        named = ("samples", "noise_floor", "surprise")
        same_arrays(
            {n: getattr(one, n) for n in named if getattr(one, n) is not None},
            {n: getattr(other, n) for n in named if getattr(other, n) is not None},
        )
        segments, others = one.segments, other.segments
        assert [(s.segment_by, s.segment, s.rows) for s in segments] == [
            (s.segment_by, s.segment, s.rows) for s in others
        ]
        for segment, known in zip(segments, others, strict=True):
            assert np.array_equal(segment.psi, known.psi, equal_nan=True)
            same_arrays(segment.thresholds, known.thresholds)


def same_arrays(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
    """Arrays under the same names that are equal, NaN to NaN."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(found[name], values, equal_nan=True), name


@pytest.mark.parametrize(
    ("settings", "step"),
    [
        pytest.param({}, SLICE, id="data, fixed"),
        pytest.param({"thresholds": "calibrated"}, SLICE, id="data, calibrated"),
        pytest.param({"reference": {"kind": "rolling", "span": "3d"}}, 5 * HOUR, id="rolling"),
        pytest.param(
            {"reference": {"kind": "seasonal", "span": "14d"}, "thresholds": "calibrated"},
            SLICE,
            id="seasonal, calibrated",
        ),
    ],
)
def test_hindsight_is_what_the_runs_said(
    store: Store, tmp_path: Path, settings: dict[str, Any], step: int
) -> None:
    """A past span is judged as runs at the same times judged it: scores, thresholds, verdicts,
    segments, whatever windows are compared with."""
    slices, end = past(15), MONDAY + 15 * DAY
    start = end - (5 * HOUR if step == SLICE else 50 * HOUR)
    of = profile(segments=REGIONS)
    settings = {"segments": "region", "backfill": "6h", **settings}
    backwards = job(store, of=of, **settings)
    keep(backwards, slices, MONDAY, end)
    if backwards.model.calibrates:
        known = history_of(backwards, end)
        backwards = replace(backwards, calibration=calibrated(backwards, known, end))

    live = open_store(f"sqlite:///{tmp_path / 'live.db'}", now=MONDAY)
    forwards = replace(job(live, Ledger(slices), of, **settings), calibration=backwards.calibration)
    keep(forwards, slices, MONDAY, start)
    snapshot, times = check.empty_snapshot(forwards), []
    for at, found in judged(backwards, start, end, step):
        snapshot, remember = check.run(forwards, snapshot, at + SLICE // 2)
        remember()
        assert_same(found, snapshot)
        times.append(at)
    live.close()

    assert times == list(range(start + step, end + 1, step))
    assert {str(v.state) for v in snapshot.windows[0].verdicts} >= {"critical"}


def test_each_day_is_told_once(store: Store) -> None:
    """Whoever looks back over days is told of each when it begins."""
    made = job(store)
    keep(made, past(3), MONDAY, MONDAY + 3 * DAY)
    told: list[int] = []

    for _ in judged(made, MONDAY, MONDAY + 3 * DAY, HOUR, on_day=told.append):
        pass

    assert told == [MONDAY + HOUR, MONDAY + DAY, MONDAY + 2 * DAY, MONDAY + 3 * DAY]


def stored(made: check.Job, start: int, end: int) -> dict[SliceKey, list[int]]:
    """What the store has of a span."""
    which = (made.model.name, made.profile.bins_hash, made.model.slice_seconds, start, end)
    return {key: vector.tolist() for key, vector in made.store.read_slices(*which)}


@settings(max_examples=12)
@given(
    st.integers(0, 60), st.integers(1, 60),
    st.none() | st.tuples(st.integers(0, 80), st.integers(1, 30)),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_each_row_is_counted_once(
    tmp_path_factory: pytest.TempPathFactory,
    first: int,
    length: int,
    known: tuple[int, int] | None,
    seed: int,
) -> None:
    """Whatever was counted before, then each row of the span is in the store once, nothing that
    was counted is read again, and the counted span has no hole."""
    hour = 4 * SLICE
    start, end = MONDAY + first * hour, MONDAY + (first + length) * hour
    slices = drawn(MONDAY, MONDAY + 130 * hour, seed=seed, rows=3)
    source = Ledger(slices)
    folder = tmp_path_factory.mktemp("once")
    with open_store(f"sqlite:///{folder / 'drift.db'}", now=MONDAY) as opened:
        made = job(opened, source)
        spans = []
        if known is not None:
            spans = [(MONDAY + known[0] * hour, MONDAY + sum(known) * hour)]
            keep(made, slices, *spans[0])

        rows = fill(made, start, end, MONDAY + 130 * hour)

        low = min([start, *(a for a, _ in spans)])
        high = max([end, *(b for _, b in spans)])
        assert opened.counted("credit", made.profile.bins_hash, SLICE) == (low, high)
        expected = {k: v.tolist() for k, v in slices.items() if low <= k.start < high}
        assert stored(made, MONDAY, MONDAY + 130 * hour) == expected
        covered = sorted([*source.asked, *spans])
        assert all(a[1] == b[0] for a, b in pairwise(covered))
        assert rows == 3 * sum((span.end - span.start) // SLICE for span in source.asked)
        assert all(span.end - span.start <= PIECE_SECONDS for span in source.asked)
        assert missing(made, start, end) is None
        assert fill(made, start, end, MONDAY + 130 * hour) == 0


@pytest.mark.parametrize(
    "known",
    [
        pytest.param((0, 0), id="nothing counted yet: forwards"),
        pytest.param((9, 10), id="the end was counted: backwards"),
        pytest.param((0, 2), id="the begin was counted: forwards"),
    ],
)
def test_a_stopped_look_back_goes_on(store: Store, known: tuple[int, int]) -> None:
    """Told to stop it keeps the whole days that it has, and the next one reads only the rest."""
    slices, source = drawn(MONDAY, MONDAY + 10 * DAY, rows=3), Ledger()
    source.slices = slices
    made = job(store, source)
    if known[1]:
        keep(made, slices, *(MONDAY + day * DAY for day in known))

    with pytest.raises(RunStoppedError):
        fill(
            made,
            MONDAY,
            MONDAY + 10 * DAY,
            MONDAY + 10 * DAY,
            lambda: len(source.asked) >= 3,
            piece_seconds=DAY,
        )
    before = list(source.asked)
    span = store.counted("credit", made.profile.bins_hash, SLICE)
    fill(made, MONDAY, MONDAY + 10 * DAY, MONDAY + 10 * DAY, piece_seconds=DAY)

    assert span is not None
    assert span[1] - span[0] == (3 + known[1] - known[0]) * DAY
    assert len(before) == 3
    assert len(set(source.asked)) == len(source.asked) == 10 - (known[1] - known[0])
    assert len(stored(made, MONDAY, MONDAY + 10 * DAY)) == 10 * 96


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(None, [day / 10 for day in range(1, 11)], id="forwards"),
        pytest.param((9, 10), [day / 9 for day in range(1, 10)], id="backwards"),
        pytest.param((4, 6), [day / 8 for day in range(1, 9)], id="both"),
        pytest.param((0, 10), [], id="nothing to do"),
        pytest.param((12, 14), [day / 12 for day in range(1, 13)], id="over a gap"),
    ],
)
def test_progress_rises_to_the_whole(
    store: Store, known: tuple[int, int] | None, expected: list[float]
) -> None:
    """Who looks back is told the share of the work that is done, day by day, and 1 at the end."""
    made = job(store, Ledger())
    if known is not None:
        keep(made, {}, *(MONDAY + day * DAY for day in known))
    told: list[float] = []

    fill(
        made,
        MONDAY,
        MONDAY + 10 * DAY,
        MONDAY + 20 * DAY,
        progress=told.append,
        piece_seconds=DAY,
    )

    assert told == pytest.approx([*expected, 1.0])
