"""The calibration of a model: written down and read back, split, and without a past."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_exporter.calibration.calibrating import calibrated, history_of
from drift_exporter.checking.judging import calibration_info
from drift_exporter.config import RATES
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import CalibrationError
from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.calibration import (
    Calibration,
    Episode,
    Method,
    SeriesCalibration,
    Shortage,
    analytic,
)
from drift_exporter.statistics.tail import Tail
from drift_exporter.statistics.timeline import Rule
from drift_exporter.store import Store, open_store
from drift_exporter.verdicts.promise import (
    ModelCalibration,
    SelfTest,
    SeriesName,
    Settings,
    column_names,
    from_json,
    series_name,
    without_history,
)
from past_counts import DAY, MONDAY, SLICE, drawn, job, keep, profile

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
numbers = st.floats(0, 1e6)
names = st.one_of(
    st.tuples(st.sampled_from(("psi", *RATES)), texts),
    st.tuples(st.just("psi"), texts, texts, st.just("") | texts),
).map(lambda parts: SeriesName(*parts))


def rules(window_seconds: st.SearchStrategy[int]) -> st.SearchStrategy[Rule]:
    """Rules of windows of these lengths."""
    whole = st.integers(1, 10**6)
    return st.builds(Rule, window_seconds, whole, whole, whole, st.floats(0.01, 1000), whole)


def calibrations() -> st.SearchStrategy[Calibration]:
    """Calibrations of any window."""
    series = st.builds(
        SeriesCalibration, names.map(str), numbers, st.sampled_from(Kind), st.integers(0, 10**6)
    )
    tail = st.builds(Tail, numbers, st.floats(1e-6, 1e3), numbers, st.none() | st.integers(1, 60))
    slices = st.integers(0, 10**6)
    return st.builds(
        Calibration,
        st.floats(1e-299, 0.9),
        st.sampled_from(Method),
        numbers,
        rules(st.integers(1, 10**8)),
        tail,
        st.lists(series, max_size=3).map(tuple),
        st.none() | st.sampled_from(Shortage),
        st.lists(st.builds(Episode, texts, slices, slices, numbers, numbers), max_size=2).map(
            tuple
        ),
    )


promises = st.builds(
    ModelCalibration,
    numbers,
    texts,
    st.dictionaries(texts, calibrations(), min_size=1, max_size=2),
    st.dictionaries(texts, calibrations(), max_size=2),
    st.none() | st.builds(SelfTest, numbers, numbers, numbers, st.booleans()),
    st.none()
    | st.builds(
        Settings,
        numbers,
        st.lists(st.tuples(st.integers(), st.integers()), max_size=2).map(tuple),
        texts,
        numbers,
        numbers,
    ),
)


@settings(max_examples=40)
@given(promises)
def test_a_promise_is_read_back_as_it_was_written(written: ModelCalibration) -> None:
    """A calibration survives its way through a file, whatever its columns are called."""
    assert from_json(written.to_json()) == written


@given(names)
def test_names_of_series_are_read_back(name: SeriesName) -> None:
    """The name of a series says again what it is of."""
    assert series_name(str(name)) == name


def written() -> str:
    """A calibration with everything in it, as text."""
    series = SeriesCalibration(str(SeriesName("psi", "age")), 0.01, Kind.SLOTS, 600)
    one = dataclasses.replace(
        analytic([series.name], Rule()),
        series=(series,),
        episodes=(Episode(series.name, 3, 9, 5.0, 0.2),),
    )
    test = SelfTest(1.0, 2.0, 28.0, in_sample=True)
    settings = Settings(28.0 * DAY, ((0, DAY),), "seasonal", 28.0 * DAY, 1.0 * DAY)
    windows, segments = {"1h": one, "4h": one}, {"1h": one}
    return ModelCalibration(1.0, "bins", windows, segments, test, settings).to_json()


def test_an_older_calibration_is_still_read() -> None:
    """What a release wrote that did not keep its settings is read without them."""
    document = json.loads(written())
    del document["settings"]

    assert from_json(json.dumps(document)) == dataclasses.replace(
        from_json(written()), settings=None
    )


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a JSON document."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


NO_STORE = cast(Store, None)
"""Rules and budgets are known before there is a store."""

PLACES = list(places(json.loads(written())))


def damaged(path: tuple[Any, ...], value: Any) -> str:
    """The written calibration with something else in one place."""
    document = json.loads(written())
    at = document
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: ".".join(map(str, path)))
def test_a_damaged_calibration_is_refused_or_harmless(path: tuple[Any, ...]) -> None:
    """Whatever stands in a file in place of a value: a named error, or thresholds all the same."""
    made = job(NO_STORE, thresholds="calibrated")
    values: list[Any] = ["?", [], {}, -1, float("nan"), float("inf"), None, True, 2]
    for value in values:
        text = damaged(path, value)
        try:
            found = from_json(text, "calibration.json")
        except CalibrationError:
            with pytest.raises(
                CalibrationError, match=r"^calibration\.json: .*'drift-exporter cal"
            ):
                from_json(text, "calibration.json")
            continue
        natural = found.natural(made.profile, "1h")
        assert 0 < natural.alpha < 1
        assert all((omega >= 0).all() for omega in natural.omega.values())
        assert found.slotted(made.profile).dtype == np.bool_
        assert 0 < found.budget_per_90_days < 10
        ready = dataclasses.replace(made, calibration=found)
        info = calibration_info(ready)
        assert info is not None
        assert info.for_seconds >= 0
        assert info.self_test_alarms_per_90_days in (None, 0, True, 2.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "not a calibration", id="empty"),
        pytest.param("[]", "not a calibration", id="no mapping"),
        pytest.param("{}", "format_version", id="no version"),
        pytest.param(written()[:200], "not a calibration", id="cut off"),
        pytest.param(damaged(("format_version",), 99), "this release reads 1", id="newer"),
        pytest.param(damaged(("windows",), {}), "no windows", id="no windows"),
        pytest.param(damaged(("windows", "1h", "alpha"), 0), "alpha", id="alpha of nothing"),
        pytest.param(damaged(("windows", "1h", "alpha"), 2), "alpha", id="alpha of 2"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_text_is_said(text: str, message: str) -> None:
    """A text that is no calibration says where, what was found, and what to do."""
    with pytest.raises(CalibrationError, match=message) as error:
        from_json(text, "calibration.json")
    assert str(error.value).startswith("calibration.json: ")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = open_store(f"sqlite:///{tmp_path / 'drift.db'}", now=MONDAY)
    yield opened
    opened.close()


def constant(start: int, end: int) -> dict[SliceKey, Vector]:
    """The same rows in every slice: one age, one city."""
    vector = np.array([0, 300, 0, 0, 0, 0, 0, 0, 300, 0, 0, 0, 0, 0])
    return {SliceKey(at): vector for at in range(start, end, SLICE)}


@pytest.mark.parametrize(
    ("slices", "counted_days", "reason"),
    [
        pytest.param({}, 0, Shortage.NO_HISTORY, id="never counted"),
        pytest.param({}, 28, Shortage.NO_HISTORY, id="counted, but empty"),
        pytest.param(drawn(MONDAY, MONDAY + SLICE), 28, Shortage.HISTORY_TOO_SHORT, id="one slice"),
        pytest.param(
            drawn(MONDAY, MONDAY + 13 * DAY), 13, Shortage.HISTORY_TOO_SHORT, id="13 days"
        ),
        pytest.param(
            drawn(MONDAY, MONDAY + 20 * DAY, rows=2), 20, Shortage.NO_HISTORY, id="too few rows"
        ),
        pytest.param(constant(MONDAY, MONDAY + 20 * DAY), 20, Shortage.NO_HISTORY, id="constant"),
    ],
)  # fmt: skip
def test_without_a_usable_past_the_form_is_analytic(
    store: Store, slices: dict[SliceKey, Vector], counted_days: int, reason: Shortage
) -> None:
    """Empty, tiny and constant pasts calibrate analytically, say why, and still give thresholds."""
    now = MONDAY + counted_days * DAY
    made = job(store, thresholds="calibrated", of=profile(segments=("north",)))
    if counted_days:
        last = max((key.start + SLICE for key in slices), default=now)
        keep(made, slices, MONDAY, max(last, now) if len(slices) != 1 else last)

    found = calibrated(made, history_of(made, now), now)

    assert [(c.method, c.reason) for c in found.windows.values()] == [(Method.ANALYTIC, reason)] * 2
    assert found.created == now
    ready = dataclasses.replace(made, calibration=found)
    assert all(0 < natural.alpha < 0.1 for natural in ready.naturals.values())
    assert not any(omega.any() for n in ready.naturals.values() for omega in n.omega.values())
    assert from_json(found.to_json()) == found


def test_before_the_first_look_independent_rows_are_assumed(store: Store) -> None:
    """A job without a calibration has the analytic one, made at no time, of its own rules."""
    made = job(store, thresholds="calibrated")

    promise = made.promise

    assert promise == without_history(made.model, made.profile, made.alert_rules, {})
    assert (promise.created, promise.leading.method) == (0.0, Method.ANALYTIC)
    assert made.slotted.all()


@settings(max_examples=30)
@given(
    st.floats(0.01, 1000),
    st.lists(st.sampled_from(["30m", "1h", "3h", "24h"]), min_size=1, unique=True),
    st.booleans(),
)
def test_budgets_add_up(budget: float, windows: list[str], split: bool) -> None:
    """What columns and segments may cost is together what the config allows, whatever the windows;
    without segments the columns have it all."""
    made = job(
        NO_STORE,
        of=profile(segments=("north", "south") if split else ()),
        thresholds="calibrated",
        calibration={"budget": budget},
        windows=windows,
    )

    promise = made.promise

    assert promise.budget_per_90_days == pytest.approx(budget)
    assert bool(promise.segments) == split
    own = {c.rule.budget_per_90_days for c in promise.windows.values()}
    assert len(own) == 1
    assert sum(own) == pytest.approx(budget / 2 if split else budget)


def test_fixed_segments_leave_the_budget_alone(store: Store) -> None:
    """Where no PSI is calibrated segments cannot alarm by it, and cost nothing."""
    made = job(
        store, of=profile(segments=("north",)), thresholds={"missing_ratio": "calibrated"}
    )  # fmt: skip

    assert made.segment_rules == {}
    assert made.promise.budget_per_90_days == made.model.calibration.budget


@pytest.mark.parametrize(
    ("by_history", "leading"),
    [
        pytest.param((), "1h", id="none: the shortest"),
        pytest.param(("4h",), "4h", id="the only one"),
        pytest.param(("24h", "4h"), "4h", id="the shorter of two"),
        pytest.param(("1h", "4h", "24h"), "1h", id="all: the shortest"),
    ],
)
def test_the_shortest_window_with_a_history_leads(
    by_history: tuple[str, ...], leading: str
) -> None:
    """A window that never has enough rows must not hide that longer ones know their past."""
    promise = job(NO_STORE, thresholds="calibrated", windows=["24h", "1h", "4h"]).promise
    windows = {
        text: dataclasses.replace(one, method=Method.HISTORY) if text in by_history else one
        for text, one in promise.windows.items()
    }

    found = dataclasses.replace(promise, windows=windows)

    assert found.leading_window == leading
    assert found.leading is windows[leading]


def test_all_windows_use_the_alpha_of_the_shortest(store: Store) -> None:
    """The alert asks all windows to agree, so the shortest one's promise is enough for all."""
    made = job(store, thresholds="calibrated", of=profile(segments=("north",)))
    found = ModelCalibration(
        1.0,
        made.profile.bins_hash,
        {
            "4h": _with(analytic([], made.alert_rules["4h"]), 1e-9, psi=0.5),
            "1h": _with(analytic([], made.alert_rules["1h"]), 1e-4, psi=0.25),
        },
        {
            "4h": _with(analytic([], made.segment_rules["4h"]), 1e-3, psi=1.5, region="north"),
            "1h": _with(analytic([], made.segment_rules["1h"]), 1e-6, psi=0.75, region="north"),
        },
    )

    short, long = (found.natural(made.profile, window) for window in ("1h", "4h"))

    assert (short.alpha, long.alpha) == (1e-4, 1e-4)
    assert (short.segments_alpha, long.segments_alpha) == (1e-6, 1e-6)
    assert short.omega["psi"].tolist() == [0.25, 0.0]
    assert long.omega["psi"].tolist() == [0.5, 0.0]
    assert short.segments_omega["region", "north"].tolist() == [0.75, 0.0]
    assert long.segments_omega["region", "north"].tolist() == [1.5, 0.0]


def test_segments_follow_the_window_that_their_past_fills(store: Store) -> None:
    """Where a segment is too small for the shortest window, the next one's alpha holds, and it
    varies as all rows do where it was never measured."""
    made = job(store, thresholds="calibrated", of=profile(segments=("north",)))
    never = analytic([str(SeriesName("psi", "age", "region", "north"))], made.segment_rules["1h"])
    long = _with(analytic([], made.segment_rules["4h"]), 1e-3, psi=1.5, region="north")
    found = ModelCalibration(
        1.0,
        made.profile.bins_hash,
        {
            window: _with(analytic([], rule), 1e-4, psi=0.25)
            for window, rule in made.alert_rules.items()
        },
        {"1h": never, "4h": dataclasses.replace(long, method=Method.HISTORY)},
    )

    short, four = (found.natural(made.profile, window) for window in ("1h", "4h"))

    assert found.leading_segments is found.segments["4h"]
    assert (short.segments_alpha, four.segments_alpha) == (1e-3, 1e-3)
    assert short.of_segment("region", "north").omega["psi"].tolist() == [0.25, 0.0]
    assert four.of_segment("region", "north").omega["psi"].tolist() == [1.5, 0.0]
    info = calibration_info(dataclasses.replace(made, calibration=found))
    assert info is not None
    assert (info.method, info.segments_method) == ("analytic", "history")


def _with(made: Calibration, alpha: float, *, psi: float, region: str = "") -> Calibration:
    split = ("region", region) if region else ()
    known = SeriesCalibration(str(SeriesName("psi", "age", *split)), psi, windows=600)
    gone = SeriesCalibration(str(SeriesName("psi", "a column that was dropped", *split)), 9.0)
    return dataclasses.replace(made, alpha=alpha, series=(known, gone))


def test_what_is_calibrated_is_what_can_alarm(store: Store) -> None:
    """Only calibrated statistics of a column are series; categories are never out of range."""
    overrides = {"city": {"thresholds": {"psi": {"warning": 0.2}}}}
    made = job(store, thresholds="calibrated", features={"overrides": overrides})

    assert {tuple(name[:2]) for name in column_names(made.model, made.profile)} == {
        ("psi", "age"),
        ("missing_ratio", "age"),
        ("unseen_ratio", "age"),
        ("out_of_range_ratio", "age"),
        ("missing_ratio", "city"),
        ("unseen_ratio", "city"),
    }
