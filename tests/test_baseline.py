"""What a window is compared with: its own past, in whole days, that it never overlaps."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drift_exporter.checking import check
from drift_exporter.checking.baseline import ALL_ROWS, Baseline, mixed_counts
from drift_exporter.checking.explain import explain
from drift_exporter.checking.job import Job
from drift_exporter.checking.judging import judge_window, stored_counts
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.statistics.divergences import psi
from drift_exporter.store import Store, open_store
from past_counts import (
    AGES,
    DAY,
    HOUR,
    MONDAY,
    OLDER,
    SLICE,
    Ledger,
    drawn,
    job,
    keep,
    profile,
    total,
)

NOON = MONDAY + 20 * DAY + 12 * HOUR
"""Noon of a Sunday."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = open_store(f"sqlite:///{tmp_path / 'drift.db'}", now=MONDAY)
    yield opened
    opened.close()


def day_and_night(at: int) -> tuple[float, ...]:
    """Old people come by day, young ones by night."""
    return OLDER if 8 <= at // HOUR % 24 < 20 else tuple(reversed(OLDER))


def baseline(made: Job, start: int, end: int) -> Baseline:
    """What a window of stored slices is compared with."""
    return made.baselines.of_window(start, stored_counts(made, start, end).slot_rows, made.slotted)


@pytest.mark.parametrize(
    ("reference", "first", "last"),
    [
        pytest.param({}, 20 - 1 - 28, 20 - 1, id="four weeks that end a day before"),
        pytest.param({"span": "3d"}, 16, 19, id="three days that end a day before"),
        pytest.param({"span": "3d", "gap": "0d"}, 17, 20, id="to the last midnight"),
        pytest.param({"span": "7d", "gap": "5d"}, 8, 15, id="a week that ends five days before"),
    ],
)
def test_a_rolling_reference_is_the_sum_of_its_days(
    store: Store, reference: dict[str, str], first: int, last: int
) -> None:
    """The past is the span of whole days that ends the gap before the window's day began."""
    slices = drawn(MONDAY, NOON, regions=("north", "south"))
    made = job(store, reference={"kind": "rolling", **reference})
    keep(made, slices, MONDAY, NOON)

    found = baseline(made, NOON - HOUR, NOON)

    start, end = MONDAY + first * DAY, MONDAY + last * DAY
    assert (found.start, found.end) == (start, end)
    assert found.counts[ALL_ROWS].tolist() == total(slices, start, end).tolist()
    for region in ("north", "south"):
        by_hand = total(slices, start, end, "region", region)
        assert found.counts["region", region].tolist() == by_hand.tolist()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    st.sampled_from(["rolling", "seasonal"]),
    st.integers(0, 30 * 96),
    st.sampled_from([1, 4, 16, 96, 7 * 96]),
    st.integers(1, 40),
    st.integers(0, 10),
)
def test_a_window_never_overlaps_its_reference(
    store: Store, kind: str, at: int, slices: int, span: int, gap: int
) -> None:
    """Whenever a window begins, its past has ended at least the gap before, at a midnight."""
    made = job(store, reference={"kind": kind, "span": f"{span}d", "gap": f"{gap}d"})
    start = MONDAY + at * SLICE
    keep(
        made, drawn(MONDAY - 60 * DAY, MONDAY - 60 * DAY + SLICE), MONDAY - 60 * DAY, start + SLICE
    )
    past = made.baselines._past(start)

    assert past.end <= start - gap * DAY < past.end + DAY
    assert past.end % DAY == 0
    assert past.end - past.start == span * DAY
    needed = start + slices * SLICE - made.model.history_seconds
    assert slices * SLICE != made.model.longest_window.seconds or past.start >= needed


@pytest.mark.parametrize("kind", ["rolling", "seasonal"])
def test_without_a_past_the_profile_stands_for_it(store: Store, kind: str) -> None:
    """A model younger than its gap, or with too few rows yet, is compared with its profile."""
    made = job(store, reference=kind, min_rows=100)
    young = baseline(made, NOON - HOUR, NOON)
    keep(made, drawn(NOON - 9 * DAY, NOON - 9 * DAY + SLICE, rows=99), NOON - 9 * DAY, NOON)
    made.baselines.forget()
    thin = baseline(made, NOON - HOUR, NOON)

    for found in (young, thin):
        assert found.counts[ALL_ROWS] is made.profile.counts
        assert (found.start, found.end) == (None, None)


@pytest.mark.parametrize("kind", ["rolling", "seasonal"])
@pytest.mark.parametrize(
    ("span", "first_row", "reached"),
    [
        pytest.param("28d", NOON - 2 * DAY + 11 * HOUR, False, id="half an hour of a night"),
        pytest.param("28d", NOON - 7 * DAY, False, id="six days before the gap"),
        pytest.param("28d", NOON - 8 * DAY, True, id="a week before the gap"),
        pytest.param("3d", NOON - 3 * DAY, False, id="two of three days"),
        pytest.param("3d", NOON - 4 * DAY, True, id="three of three days"),
    ],
)
def test_a_short_past_is_no_reference(
    store: Store, kind: str, span: str, first_row: int, reached: bool
) -> None:
    """The profile stands in until rows reach back over a week or the span, however far back was
    counted."""
    made = job(store, reference={"kind": kind, "span": span})
    keep(made, drawn(first_row, NOON), MONDAY, NOON)

    found = baseline(made, NOON - HOUR, NOON)

    assert (found.start is not None) is reached
    assert (found.counts[ALL_ROWS] is made.profile.counts) is not reached


@pytest.mark.parametrize("kind", ["rolling", "seasonal"])
@pytest.mark.parametrize(
    ("spans", "left_out"),
    [
        pytest.param([(10 * DAY, 12 * DAY)], [(10 * DAY, 12 * DAY)], id="two days"),
        pytest.param(
            [(10 * DAY + 60, 11 * DAY - 60)], [(10 * DAY, 11 * DAY)], id="slices that are touched"
        ),
        pytest.param(
            [(15 * DAY, 16 * DAY), (10 * DAY, 12 * DAY), (11 * DAY, 13 * DAY)],
            [(10 * DAY, 13 * DAY), (15 * DAY, 16 * DAY)],
            id="several, in any order",
        ),
        pytest.param(
            [(-40 * DAY, 8 * DAY), (18 * DAY, 40 * DAY)],
            [(-40 * DAY, 8 * DAY), (18 * DAY, 40 * DAY)],
            id="over both ends",
        ),
        pytest.param([(-9 * DAY, -8 * DAY), (20 * DAY, 21 * DAY)], [], id="outside"),
    ],
)
def test_known_incidents_are_no_reference(
    store: Store, kind: str, spans: list[tuple[int, int]], left_out: list[tuple[int, int]]
) -> None:
    """What the config excludes is in no past, and the past is what is left."""
    exclude = [
        {
            "start": f"{datetime.fromtimestamp(MONDAY + a, UTC):%Y-%m-%dT%H:%M}",
            "end": f"{datetime.fromtimestamp(MONDAY + b, UTC):%Y-%m-%dT%H:%M}",
        }
        for a, b in spans
    ]
    slices = drawn(MONDAY, NOON, regions=("north", "south"))
    made = job(store, reference={"kind": kind, "span": "14d"}, calibration={"exclude": exclude})
    keep(made, slices, MONDAY, NOON)

    past = made.baselines._past(NOON - HOUR)

    left = {
        key: vector
        for key, vector in slices.items()
        if not any(MONDAY + a <= key.start < MONDAY + b for a, b in left_out)
    }
    assert set(past.totals) == {ALL_ROWS, ("region", "north"), ("region", "south")}
    for split, found in past.totals.items():
        assert found.tolist() == total(left, MONDAY + 5 * DAY, MONDAY + 19 * DAY, *split).tolist()


def test_slices_that_came_late_count_once_forgotten(store: Store) -> None:
    """The past is added up once; a look back that counted more of it makes it anew."""
    slices = drawn(MONDAY, NOON)
    made = job(store, reference={"kind": "rolling", "span": "7d"})
    keep(made, slices, NOON - 3 * DAY, NOON)
    before = baseline(made, NOON - HOUR, NOON)
    keep(made, slices, MONDAY, NOON - 3 * DAY)

    kept = baseline(made, NOON - HOUR, NOON)
    made.baselines.forget()
    anew = baseline(made, NOON - HOUR, NOON)

    assert kept.counts[ALL_ROWS].tolist() == before.counts[ALL_ROWS].tolist()
    assert anew.start is not None
    assert anew.end is not None
    assert anew.counts[ALL_ROWS].tolist() == total(slices, anew.start, anew.end).tolist()


def test_a_seasonal_reference_is_the_same_hours(store: Store) -> None:
    """A window of one hour is compared with that hour of earlier weekend days, as it was."""
    slices = drawn(MONDAY, NOON, ages=day_and_night)
    made = job(store, reference="seasonal")
    keep(made, slices, MONDAY, NOON)

    found = baseline(made, NOON - HOUR, NOON)

    # Before Saturday's midnight: two whole weekends, 5 and 6 and 12 and 13 days after Monday.
    same = [day for day in range(19) if day % 7 >= 5]
    by_hand = [
        total(slices, MONDAY + d * DAY + 11 * HOUR, MONDAY + d * DAY + 12 * HOUR) for d in same
    ]
    assert found.counts[ALL_ROWS].tolist() == np.sum(by_hand, axis=0).tolist()


def test_a_seasonal_reference_is_mixed_as_the_window_is(store: Store) -> None:
    """Rows drawn from the past, hour by hour as the window has them, are distributed as it says."""
    slices = drawn(MONDAY, NOON, ages=day_and_night, rows=40)
    busy = drawn(NOON - 16 * HOUR, NOON, ages=day_and_night, rows=400)
    slices |= {key: vector for key, vector in busy.items() if key.start % (4 * HOUR) == 0}
    made = job(store, reference="seasonal", windows=["16h"])
    keep(made, slices, MONDAY, NOON)

    found = baseline(made, NOON - 16 * HOUR, NOON)

    assert found.end is not None
    rng, layout = np.random.default_rng(3), made.profile.layout
    ages = _ages_by_slot({k: v for k, v in slices.items() if k.start < found.end})
    drawn_ages = np.zeros(3, dtype=np.int64)
    for key, vector in slices.items():
        if key.start >= NOON - 16 * HOUR:
            past = ages[_slot(key.start)]
            drawn_ages += rng.multinomial(100 * layout.rows(vector), past / past.sum())
    mixed = found.counts[ALL_ROWS][1:4]
    assert mixed / mixed.sum() == pytest.approx(drawn_ages / drawn_ages.sum(), abs=0.003)
    assert 0 < found.counts[ALL_ROWS][:8].sum() <= sum(a.sum() for a in ages.values())


def _slot(start: int) -> tuple[int, bool]:
    return start // HOUR % 24, (start - MONDAY) // DAY % 7 >= 5


def _ages_by_slot(slices: dict[SliceKey, Vector]) -> dict[tuple[int, bool], Vector]:
    found: dict[tuple[int, bool], Vector] = {}
    for key, vector in slices.items():
        found[_slot(key.start)] = found.get(_slot(key.start), np.zeros(3, np.int64)) + vector[1:4]
    return found


def test_segments_are_mixed_by_their_own_hours(store: Store) -> None:
    """A segment's window meets the same hours of the segment, not of all rows."""
    regions = ("north", "south")
    slices = drawn(MONDAY, NOON, ages=day_and_night, regions=regions)
    made = job(store, reference="seasonal", of=profile(segments=regions), segments="region")
    keep(made, slices, MONDAY, NOON)

    found = baseline(made, NOON - HOUR, NOON)

    same = [MONDAY + d * DAY + 11 * HOUR for d in range(19) if d % 7 >= 5]
    for region in regions:
        by_hand = np.sum([total(slices, t, t + HOUR, "region", region) for t in same], axis=0)
        assert found.counts["region", region].tolist() == by_hand.tolist()


def test_an_hour_without_a_past_meets_the_whole_past(store: Store) -> None:
    """Where the window has an hour that the past never had, the whole past stands for it."""
    slices = {
        key: vector
        for key, vector in drawn(MONDAY, NOON).items()
        if key.start % DAY < 9 * HOUR or key.start >= NOON - HOUR
    }
    made = job(store, reference="seasonal")
    keep(made, slices, MONDAY, NOON)

    found = baseline(made, NOON - HOUR, NOON)

    assert found.start is not None
    assert found.end is not None
    assert found.counts[ALL_ROWS].tolist() == total(slices, found.start, found.end).tolist()


def test_only_slotted_columns_are_compared_hour_by_hour(store: Store) -> None:
    """A column without a rhythm keeps the whole past, which is more rows."""
    slices = drawn(MONDAY, NOON, ages=day_and_night)
    made = job(store, reference="seasonal")
    keep(made, slices, MONDAY, NOON)
    rows = stored_counts(made, NOON - HOUR, NOON).slot_rows

    found = made.baselines.of_window(NOON - HOUR, rows, np.array([True, False]))

    assert found.start is not None
    assert found.end is not None
    whole = total(slices, found.start, found.end)
    assert found.counts[ALL_ROWS][8:].tolist() == whole[8:].tolist()
    assert found.counts[ALL_ROWS][:8].sum() < whole[:8].sum()


@given(st.integers(0, 2**32 - 1))
def test_a_mix_is_never_more_rows_than_its_past(seed: int) -> None:
    """The mixed reference is worth at most the rows of the past, and has the shape of its hours."""
    rng, layout = np.random.default_rng(seed), profile().layout
    slots = np.zeros((48, layout.size), dtype=np.int64)
    for slot in range(48):
        rows = int(rng.integers(1, 500))
        ages, cities = rng.multinomial(rows, AGES), rng.multinomial(rows, (0.5, 0.3, 0.2))
        slots[slot] = [0, *ages, 0, 0, 0, 0, *cities, 0, 0, 0]
    window = rng.integers(0, 5, 48) * rng.integers(0, 50, 48)
    window[rng.integers(0, 48)] += 1

    mixed = mixed_counts(slots, window, slots.sum(axis=0), layout)

    rows_by_slot = slots[:, :8].sum(axis=1)
    assert 0 < mixed[:8].sum() <= rows_by_slot[window > 0].sum() + 4
    expected = window / window.sum() @ (slots[:, 1:4] / rows_by_slot[:, np.newaxis])
    assert mixed[1:4] == pytest.approx(expected * mixed[:8].sum(), abs=1.5)


def test_a_rhythm_is_drift_unless_the_reference_is_seasonal(store: Store) -> None:
    """Quiet days with a rhythm: every window drifts from the whole past, none from its hours."""
    slices = drawn(MONDAY, NOON, ages=day_and_night)
    states = {}
    for kind in ("rolling", "seasonal"):
        made = job(store, reference=kind, name=kind, windows=["1h"])
        keep(made, slices, MONDAY, NOON)
        source = Ledger(slices)
        made = job(store, source, reference=kind, name=kind, windows=["1h"])
        snapshot, _ = check.run(made, check.empty_snapshot(made), NOON)
        (window,) = snapshot.windows
        states[kind] = str(window.verdicts[0].state)
        assert window.reference_span == (MONDAY + 19 * DAY - 28 * DAY, MONDAY + 19 * DAY)

    # Against the mean of day and night: 0.175 (ln 0.325 / 0.15 + ln 0.5 / 0.325) = 0.21.
    assert states == {"rolling": "warning", "seasonal": "ok"}


def test_scores_are_against_the_past(store: Store) -> None:
    """PSI, rows and rates of a window are those of its past, not of the profile."""
    slices = drawn(MONDAY, NOON, ages=lambda _: OLDER, missing=0.2)
    made = job(store, reference="rolling")
    keep(made, slices, MONDAY, NOON)
    counts = stored_counts(made, NOON - HOUR, NOON)

    found = judge_window(made, "1h", NOON - HOUR, NOON, counts)

    past = total(slices, MONDAY, MONDAY + 19 * DAY)
    by_hand = psi(past[1:6], total(slices, NOON - HOUR, NOON)[1:6])
    assert found.scores["psi"][0] == pytest.approx(float(by_hand))
    missing = past[5] / past[:8].sum()
    assert found.thresholds["missing_ratio", "warning"][0] == pytest.approx(missing + 0.1)
    assert {str(v.state) for v in found.verdicts} == {"ok"}


@pytest.mark.parametrize("kind", ["data", "rolling", "seasonal"])
def test_a_closer_look_compares_with_the_same(store: Store, kind: str) -> None:
    """The bins of a column add up to the score that is shown, whatever the reference is."""
    slices = drawn(MONDAY, NOON, ages=day_and_night)
    data = {"kind": kind, "url": "reference.parquet"}
    made = job(store, reference=data if kind == "data" else {"kind": kind, "span": "14d"})
    keep(made, slices, MONDAY, NOON)
    judged = judge_window(made, "1h", NOON - HOUR, NOON, stored_counts(made, NOON - HOUR, NOON))
    snapshot = replace(check.empty_snapshot(made), windows=(judged,))

    found = explain(made, snapshot, "age")

    assert found is not None
    (window,) = found.windows
    assert window.psi == pytest.approx(judged.scores["psi"][made.profile.layout.index["age"]])


def test_a_past_that_changed_meanwhile_is_not_kept(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices that come in while a page adds the past up are in the next run's reference."""
    slices = drawn(MONDAY, NOON)
    made = job(store, reference={"kind": "rolling", "span": "14d"})
    keep(made, slices, MONDAY, NOON)
    late = {SliceKey(NOON - 3 * DAY): slices[SliceKey(NOON - 3 * DAY)] * 100}
    added = store.sum_slices

    def meanwhile(*which: Any, **more: Any) -> dict[tuple[str, str], Vector]:
        found = added(*which, **more)
        if late:
            keep(made, late, NOON - 3 * DAY, NOON - 3 * DAY + SLICE)
            late.clear()
            made.baselines.forget()
        return found

    monkeypatch.setattr(store, "sum_slices", meanwhile)
    slow, after = (made.baselines.of_window(NOON - HOUR, {}, made.slotted) for _ in range(2))

    assert after.counts[ALL_ROWS].sum() > slow.counts[ALL_ROWS].sum()
