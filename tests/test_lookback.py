"""The look back: what is due when, what it changes, and that its thresholds keep their word."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drift_exporter import check
from drift_exporter.calibrating import calibrated, history_of, self_tested
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import CalibrationError, RunStoppedError
from drift_exporter.hindsight import judged
from drift_exporter.job import Job
from drift_exporter.lookback import LookedBack, in_force, look_back, made_anew, wanted
from drift_exporter.profile import NumericBins, Profile
from drift_exporter.promise import ModelCalibration, SelfTest, SeriesName
from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.calibration import Method, Shortage
from drift_exporter.store import Store, open_store
from past_counts import AGES, DAY, HOUR, MONDAY, OLDER, SLICE, Ledger, drawn, job, keep, profile

NOW = MONDAY + 28 * DAY
QUIET = drawn(MONDAY, MONDAY + 31 * DAY)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A real store in a file."""
    opened = open_store(f"sqlite:///{tmp_path / 'drift.db'}", now=MONDAY)
    yield opened
    opened.close()


def counted(store: Store, days: float, **settings: Any) -> Job:
    """A job whose store has so many quiet days before `NOW`."""
    made = job(store, Ledger(QUIET), **{"thresholds": "calibrated", **settings})
    if days:
        keep(made, QUIET, NOW - int(days * DAY), NOW)
    return made


def known(made: Job, age_days: float, method: Method, *, tested: float | None) -> Job:
    """The job with a calibration of that age, tested so many days ago."""
    promise = made.promise
    windows = {text: replace(one, method=method) for text, one in promise.windows.items()}
    test = None if tested is None else SelfTest(NOW - tested * DAY, 0.0, 28.0, in_sample=False)
    found = replace(promise, created=NOW - age_days * DAY, windows=windows, self_test=test)
    return replace(made, calibration=found)


@pytest.mark.parametrize(
    ("days", "settings", "age", "method", "tested", "due"),
    [
        pytest.param(0, {}, None, None, None, False, id="before the first run"),
        pytest.param(1, {}, None, None, None, True, id="the past is not counted"),
        pytest.param(29, {}, None, None, None, True, id="never calibrated"),
        pytest.param(29, {}, 6.9, Method.HISTORY, 0.5, False, id="a week is not over"),
        pytest.param(29, {}, 7.0, Method.HISTORY, 0.5, True, id="a week is over"),
        pytest.param(29, {}, 5.0, Method.HISTORY, 1.0, True, id="tested a day ago"),
        pytest.param(29, {}, 0.5, Method.HISTORY, None, False, id="made half a day ago"),
        pytest.param(29, {}, 0.5, Method.ANALYTIC, 0.1, False, id="analytic since half a day"),
        pytest.param(29, {}, 1.0, Method.ANALYTIC, 0.1, True, id="analytic, history has come"),
        pytest.param(
            29, {"calibration": {"every": "1d"}}, 1.0, Method.HISTORY, 0.1, True, id="daily"
        ),
        pytest.param(29, {"thresholds": {}}, None, None, None, False, id="fixed thresholds"),
        pytest.param(
            1, {"thresholds": {}, "reference": "rolling"}, None, None, None, True,
            id="the reference is not counted",
        ),
        pytest.param(
            31, {"thresholds": {}, "reference": "rolling"}, None, None, None, False,
            id="the reference is there",
        ),
    ],
)  # fmt: skip
def test_what_is_due(
    store: Store,
    days: float,
    settings: dict[str, Any],
    age: float | None,
    method: Method | None,
    tested: float | None,
    due: bool,
) -> None:
    """Counting, calibrating and testing are due by what is stored and by the time, and by
    nothing else."""
    made = job(store, **{"thresholds": "calibrated", **settings})
    if days:
        start = NOW - int(days * DAY)
        keep(made, drawn(start, NOW), start, NOW)
    if age is not None and method is not None:
        made = known(made, age, method, tested=tested)

    assert wanted(made, NOW) is due


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"calibration": {"budget": 5.0}}, id="another budget"),
        pytest.param({"windows": ["1h", "6h"]}, id="another window"),
        pytest.param({"min_rows": 500}, id="other rows"),
        pytest.param({"thresholds": {"psi": "calibrated"}}, id="fewer calibrated thresholds"),
        pytest.param(
            {"features": {"overrides": {"city": {"thresholds": {"psi": {"warning": 0.2}}}}}},
            id="a column that is fixed now",
        ),
    ],
)
def test_another_promise_is_calibrated_at_once(store: Store, changed: dict[str, object]) -> None:
    """What was calibrated for other rules or columns is not kept for the rest of its week."""
    made = known(counted(store, 28), 1.0, Method.HISTORY, tested=0.1)
    same = replace(made, model=made.model)
    other = replace(counted(store, 0, **changed), calibration=made.calibration)
    keep(made, QUIET, MONDAY - DAY, NOW)

    assert wanted(same, NOW) is False
    assert wanted(other, NOW) is True


def looked(made: Job, now: float) -> tuple[LookedBack, Ledger]:
    """What a look back changes, and the source that it opened."""
    assert isinstance(made.source, Ledger)
    source = Ledger(made.source.slices)
    return look_back(made, lambda: source, now), source


def test_the_past_is_counted_then_calibrated_then_tested(store: Store) -> None:
    """After the first run one look back counts what calibration needs, calibrates on it, and says
    what the thresholds would have cost; then nothing is due until a day and a week have gone."""
    made = counted(store, 0)
    _, remember = check.run(made, check.empty_snapshot(made), NOW + 100)
    remember()

    found, source = looked(made, NOW + 100)

    assert found.recalibrated
    assert found.rows_read == 150 * (28 * 96 - 16)
    assert source.closed == 1
    assert isinstance(made.source, Ledger)
    assert made.source.closed == 0, "the runs go on with theirs"
    made_now = found.calibration
    assert made_now is not None
    assert made_now.created == NOW + 100
    assert {c.method for c in made_now.windows.values()} == {Method.HISTORY}
    assert made_now.leading.history_days == pytest.approx(28)
    assert made_now.self_test is not None
    assert made_now.self_test.in_sample
    made = replace(made, calibration=made_now)
    assert not wanted(made, NOW + DAY)

    keep(made, QUIET, NOW, NOW + 3 * DAY)
    tested, source = looked(made, NOW + 100 + DAY)

    assert source.closed == 0, "nothing is left to be counted"
    assert not tested.recalibrated
    assert tested.calibration is not None
    assert tested.calibration.self_test is not None
    assert tested.calibration.self_test.at == NOW + 100 + DAY
    assert tested.calibration.windows == made_now.windows
    made = replace(made, calibration=tested.calibration)
    assert not wanted(made, NOW + 1.5 * DAY)
    again, _ = looked(made, NOW + 100 + 7 * DAY)
    assert again.recalibrated
    assert again.calibration is not None
    assert again.calibration.created == NOW + 100 + 7 * DAY


def test_a_rolling_reference_only_counts(store: Store) -> None:
    """With fixed thresholds a look back counts the past of the reference, and no more."""
    made = job(store, Ledger(QUIET), reference={"kind": "rolling", "span": "7d"})
    keep(made, QUIET, NOW - 4 * HOUR, NOW)
    before = made.baselines.of_window(NOW - HOUR, {}, made.slotted)

    found, source = looked(made, NOW)
    after = made.baselines.of_window(NOW - HOUR, {}, made.slotted)

    assert (before.start, after.start) == (None, NOW - 9 * DAY)
    assert (found.calibration, found.recalibrated) == (None, False)
    assert found.rows_read == sum(150 for span in source.asked for _ in range(*span, SLICE))


def test_a_stopped_look_back_goes_on(store: Store) -> None:
    """Told to stop it calibrates nothing; the next one counts the rest only."""
    made = counted(store, 1)
    source = Ledger(QUIET)

    with pytest.raises(RunStoppedError):
        look_back(made, lambda: source, NOW, lambda: len(source.asked) == 2)
    found, rest = looked(made, NOW)

    assert source.closed == 1
    assert found.recalibrated
    assert not set(source.asked) & set(rest.asked)


def test_a_calibration_is_in_force_once_it_is_stored(store: Store) -> None:
    """What was recorded last is what the next start uses; until then independent rows."""
    made = counted(store, 0)
    assert in_force(made) is None
    first = replace(made.promise, created=1.0)
    second = replace(made.promise, created=2.0)
    for one in (first, second):
        store.record_calibration("credit", one.bins_hash, one.created, one.to_json())

    assert in_force(made) == second
    assert [when for when, _, _ in store.calibrations("credit", 9)] == [2.0, 1.0]
    assert in_force(job(store, thresholds={})) is None, "fixed thresholds need none"


def other_bins() -> Profile:
    """The same columns, but ages split elsewhere."""
    age, city = profile().features
    return replace(
        profile(), features=(replace(age, bins=NumericBins((35.0, 55.0), 18.0, 90.0)), city)
    )


def test_other_bins_drop_the_calibration(store: Store) -> None:
    """A profile with other bins starts without calibration, as it starts without a past."""
    made = counted(store, 0)
    store.record_calibration("credit", made.profile.bins_hash, 1.0, made.promise.to_json())

    assert in_force(job(store, of=other_bins(), thresholds="calibrated")) is None


def file_job(store: Store, path: Path, **settings: object) -> Job:
    """A job that uses a file."""
    return counted(store, 0, calibration={"file": str(path)}, **settings)


def test_a_file_is_used_as_it_is(store: Store, tmp_path: Path) -> None:
    """A reviewed file is in force whatever is stored, and never made anew, however old it is."""
    path = tmp_path / "reviewed.json"
    made = file_job(store, path)
    reviewed = known(made, 400, Method.HISTORY, tested=0.1).promise
    path.write_text(reviewed.to_json())
    store.record_calibration("credit", made.profile.bins_hash, 1.0, made.promise.to_json())
    keep(made, QUIET, MONDAY - DAY, NOW)

    assert in_force(made) == reviewed
    ready = replace(made, calibration=reviewed)
    assert not wanted(ready, NOW)
    tested, _ = looked(ready, NOW + 2 * DAY)
    assert not tested.recalibrated
    assert tested.calibration is not None
    assert tested.calibration.windows == reviewed.windows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, r"cannot be read \(FileNotFoundError\)", id="not there"),
        pytest.param("{", "not a calibration", id="no JSON"),
        pytest.param(b"\xff\xfe\x00", "cannot be read", id="no text"),
        pytest.param("other bins", "calibrate again", id="of another profile"),
        pytest.param("other windows", "has the windows 1h, but not 4h", id="of other windows"),
    ],
)
def test_a_wrong_file_is_named(
    store: Store, tmp_path: Path, text: str | bytes | None, message: str
) -> None:
    """A file that cannot be used stops the model with its name and what to do."""
    path = tmp_path / "reviewed.json"
    made = file_job(store, path)
    promise = made.promise
    if text == "other bins":
        text = replace(promise, bins_hash=other_bins().bins_hash).to_json()
    elif text == "other windows":
        text = replace(promise, windows={"1h": promise.windows["1h"]}).to_json()
    if text is not None:
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    with pytest.raises(CalibrationError, match=message) as error:
        in_force(made)
    assert str(error.value).startswith(str(path))


def test_the_past_ends_when_the_look_back_is(store: Store) -> None:
    """Looking back from an earlier time sees nothing of what came after it."""
    made = counted(store, 28)

    found = history_of(made, NOW - 10 * DAY - 5)

    assert (found.start, found.end) == (NOW - 28 * DAY, NOW - 10 * DAY - SLICE)
    assert history_of(made, NOW - 40 * DAY).slices == 0


def states(made: Job, slices: dict[SliceKey, Vector], start: int, end: int) -> set[str]:
    """Verdicts of age in all runs of a span."""
    keep(made, slices, start, end)
    return {
        str(window.verdicts[0].state)
        for _, snapshot in judged(made, start, end, SLICE)
        for window in snapshot.windows
    }


def test_quiet_days_are_ok_and_drift_is_found(store: Store) -> None:
    """Calibrated on four quiet weeks a quiet half day stays ok, PSI 0.07 becomes a warning and
    never critical, and PSI 0.46 critical."""
    made = counted(store, 28)
    made = replace(made, calibration=made_anew(made, NOW))
    mild, wild = NOW + 12 * HOUR, NOW + 18 * HOUR

    assert states(made, QUIET, NOW, mild) == {"ok"}
    mildly = drawn(mild, wild, ages=lambda _: (0.2, 0.4, 0.4), seed=7)
    assert states(made, mildly, mild, wild) == {"ok", "warning"}
    wildly = drawn(wild, wild + 6 * HOUR, ages=lambda _: (0.1, 0.3, 0.6), seed=8)
    assert states(made, wildly, wild, wild + 6 * HOUR) == {"warning", "critical"}


def test_the_self_test_counts_what_alerts_would_have_said(store: Store) -> None:
    """On quiet data the alarms in 90 days are about the budget; with a wrong alpha many more."""
    made = counted(store, 28, calibration={"budget": 20, "min_effect": 0})
    history = history_of(made, NOW)
    ready = replace(made, calibration=calibrated(made, history, NOW))

    kept = self_tested(ready, history, NOW, in_sample=True)
    promise = ready.promise
    loose = {text: replace(one, alpha=0.1) for text, one in promise.windows.items()}
    broken = self_tested(
        replace(ready, calibration=replace(promise, windows=loose)), history, NOW, in_sample=True
    )

    assert kept is not None
    assert broken is not None
    assert kept.in_sample
    assert kept.history_days == pytest.approx(28)
    assert kept.alarms_per_90_days < 20 * 3
    assert broken.alarms_per_90_days > 20 * 10
    assert (
        self_tested(ready, history_of(counted(store, 0), NOW - 27.5 * DAY), NOW, in_sample=False)
        is None
    )


def test_excluded_incidents_are_not_the_past(store: Store) -> None:
    """An incident that the config excludes changes nothing; one that was left in is told."""
    spoilt = QUIET | drawn(MONDAY + 9 * DAY, MONDAY + 11 * DAY, ages=lambda _: OLDER, seed=5)
    span = {"start": "2026-01-14T00:00Z", "end": "2026-01-16T00:00Z"}
    found: dict[str, ModelCalibration] = {}
    for name, slices, exclude in (
        ("clean", QUIET, [span]),
        ("excluded", spoilt, [span]),
        ("left in", spoilt, []),
    ):
        made = counted(store, 0, calibration={"exclude": exclude})
        keep(made, slices, MONDAY, NOW)
        found[name] = calibrated(made, history_of(made, NOW), NOW)

    assert found["excluded"].windows == found["clean"].windows
    assert found["clean"].leading.history_days == pytest.approx(26)
    worst = found["left in"].leading.episodes[0]
    assert worst.series == str(SeriesName("psi", "age"))
    assert MONDAY + 9 * DAY < MONDAY + worst.first_slice * SLICE < MONDAY + 11 * DAY


def test_a_rhythm_is_learnt_for_a_seasonal_reference(store: Store) -> None:
    """With a daily rhythm in the ages their hours are compared one by one, those of the cities
    are not; against all rows the rhythm is natural variation instead."""
    slices = drawn(MONDAY, NOW, ages=lambda at: OLDER if at % DAY < 12 * HOUR else AGES)
    found = {}
    for kind in ("seasonal", "rolling"):
        made = counted(store, 0, reference=kind)
        keep(made, slices, MONDAY, NOW)
        found[kind] = replace(made, calibration=calibrated(made, history_of(made, NOW), NOW))

    assert found["seasonal"].slotted.tolist() == [True, False]
    age = {kind: one.promise.leading.series[0] for kind, one in found.items()}
    assert [age[kind].baseline for kind in ("seasonal", "rolling")] == [Kind.SLOTS, Kind.GLOBAL]
    assert age["rolling"].omega > 0.05 > 10 * age["seasonal"].omega


def test_segments_are_calibrated_with_their_part(store: Store) -> None:
    """Segments have half of the budget, an alpha of their own, and series by column and segment."""
    regions = ("north", "south")
    made = counted(store, 0, of=profile(segments=regions), segments="region")
    slices = drawn(MONDAY, MONDAY + 15 * DAY, regions=regions, rows=200)
    keep(made, slices, MONDAY, MONDAY + 15 * DAY)

    found = calibrated(made, history_of(made, NOW), NOW)

    assert found.segments is not None
    assert found.segments.method is Method.HISTORY
    assert {one.name for one in found.segments.series} == {
        str(SeriesName("psi", column, "region", region))
        for column in ("age", "city")
        for region in regions
    }
    assert found.leading.rule.budget_per_90_days == found.segments.rule.budget_per_90_days == 0.5


def test_a_young_model_says_what_it_lacks(store: Store) -> None:
    """Ten days of rows are ten days of history, however far back was counted."""
    made = counted(store, 0)
    slices = drawn(NOW - 10 * DAY, NOW)
    keep(made, slices, NOW - 28 * DAY, NOW)

    found = made_anew(made, NOW)

    assert (found.leading.method, found.leading.reason) == (
        Method.ANALYTIC,
        Shortage.HISTORY_TOO_SHORT,
    )
    assert found.leading.history_days == pytest.approx(10)
    assert found.self_test is not None, "ten days are enough for a test"
    assert np.isfinite(found.self_test.alarms_per_90_days)
