"""The look back: what is due when, what it changes, and that its thresholds keep their word."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drift_exporter.calibration import calibrating
from drift_exporter.calibration.calibrating import calibrated, history_of, self_tested
from drift_exporter.calibration.chosen import in_force
from drift_exporter.calibration.hindsight import judged
from drift_exporter.calibration.lookback import (
    LookedBack,
    look_back,
    made_anew,
    put_off,
    wanted,
)
from drift_exporter.checking import check
from drift_exporter.checking.job import Job
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.errors import CalibrationError, RunStoppedError, StoreError
from drift_exporter.jobs import Jobs, _Held
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.health import Health
from drift_exporter.profile import NumericBins, Profile
from drift_exporter.reading.source import Counted
from drift_exporter.scheduler import Ticket
from drift_exporter.snapshot import Board, Snapshot
from drift_exporter.statistics.baselines import Kind
from drift_exporter.statistics.calibration import Method, Shortage
from drift_exporter.statistics.tail import analytic_tail
from drift_exporter.store import Store, open_store
from drift_exporter.store.case_writing import Writing
from drift_exporter.verdicts.promise import (
    ModelCalibration,
    SelfTest,
    SeriesName,
    from_json,
    series_name,
)
from past_counts import (
    AGES,
    DAY,
    HOUR,
    MONDAY,
    OLDER,
    SLICE,
    Ledger,
    always,
    drawn,
    job,
    keep,
    profile,
)

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
        pytest.param(29, {}, -9.0, Method.HISTORY, 0.1, True, id="made by a clock that was ahead"),
        pytest.param(29, {}, 1.0, Method.HISTORY, -9.0, True, id="tested by such a clock"),
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


SPAN = {"start": "2026-01-14T00:00Z", "end": "2026-01-16T00:00Z"}
"""Two days, from nine days after `MONDAY`."""


@pytest.mark.parametrize(
    ("first", "changed"),
    [
        pytest.param({}, {"calibration": {"budget": 5.0}}, id="another budget"),
        pytest.param({}, {"windows": ["1h", "6h"]}, id="another window"),
        pytest.param({}, {"min_rows": 500}, id="other rows"),
        pytest.param({}, {"thresholds": {"psi": "calibrated"}}, id="fewer calibrated thresholds"),
        pytest.param(
            {},
            {"features": {"overrides": {"city": {"thresholds": {"psi": {"warning": 0.2}}}}}},
            id="a column that is fixed now",
        ),
        pytest.param({}, {"calibration": {"exclude": [SPAN]}}, id="an incident left out"),
        pytest.param({"calibration": {"exclude": [SPAN]}}, {}, id="an incident taken in"),
        pytest.param({}, {"calibration": {"history": "21d"}}, id="another history"),
        pytest.param({}, {"reference": "seasonal"}, id="hours one by one"),
        pytest.param({"reference": "seasonal"}, {}, id="hours together"),
        pytest.param(
            {"reference": "rolling"},
            {"reference": {"kind": "rolling", "span": "14d"}},
            id="another span",
        ),
        pytest.param(
            {"reference": "rolling"}, {"reference": {"kind": "rolling", "gap": "0d"}}, id="no gap"
        ),
    ],
)
def test_another_promise_is_calibrated_at_once(
    store: Store, first: dict[str, object], changed: dict[str, object]
) -> None:
    """What was calibrated for other rules, columns or settings is not kept for the rest of its
    week."""
    made = known(counted(store, 28, **first), 1.0, Method.HISTORY, tested=0.1)
    assert made.calibration is not None
    read = from_json(made.calibration.to_json())
    same = replace(made, calibration=read)
    other = replace(counted(store, 0, **changed), calibration=read)
    keep(made, QUIET, MONDAY - 4 * DAY, NOW)

    assert wanted(same, NOW) is False
    assert wanted(other, NOW) is True


def test_a_calibration_that_does_not_say_its_settings_is_outdated(store: Store) -> None:
    """One that an older release stored is made anew at once."""
    made = known(counted(store, 28), 1.0, Method.HISTORY, tested=0.1)
    keep(made, QUIET, MONDAY - DAY, NOW)
    older = replace(made.promise, settings=None)

    assert not wanted(made, NOW)
    assert wanted(replace(made, calibration=older), NOW)


def test_another_effect_holds_without_calibrating(store: Store) -> None:
    """The smallest effect is no matter of the past: thresholds follow it in the next run."""
    made = known(counted(store, 28), 1.0, Method.HISTORY, tested=0.1)
    keep(made, QUIET, MONDAY - DAY, NOW)
    other = replace(
        counted(store, 0, calibration={"min_effect": 0.5}), calibration=made.calibration
    )

    assert not wanted(other, NOW)
    limits = [newest(one).windows[0].thresholds["psi", "warning"][0] for one in (made, other)]
    assert limits[0] < 0.5 < limits[1]


def newest(made: Job) -> Snapshot:
    """What a run at `NOW` finds in the stored slices."""
    return next(judged(made, NOW - SLICE, NOW, SLICE))[1]


FIXED = {"features": {"overrides": {"age": {"thresholds": {"psi": {"warning": 0.05}}}}}}
REGIONS = {"of": profile(segments=("north", "south")), "segments": "region"}


def of_north(slices: dict[SliceKey, Vector]) -> dict[SliceKey, Vector]:
    """The slices as those of a region alone."""
    return {SliceKey(key.start, "region", "north"): vector for key, vector in slices.items()}


@pytest.mark.parametrize(
    ("settings", "drifting", "waits"),
    [
        pytest.param({}, QUIET, False, id="nothing drifts"),
        pytest.param({}, drawn(NOW - 4 * HOUR, NOW, ages=lambda _: OLDER), True, id="drift"),
        pytest.param(
            {}, drawn(NOW - HOUR, NOW, ages=lambda _: OLDER), False, id="not in all windows"
        ),
        pytest.param({}, drawn(NOW - HOUR, NOW, missing=0.2), True, id="a fault of the data"),
        pytest.param(
            {},
            drawn(NOW - 4 * HOUR, NOW, missing=0.2) | drawn(NOW - HOUR, NOW, rows=20),
            True,
            id="a fault of the data in the shortest window that has rows enough",
        ),
        pytest.param(
            {},
            drawn(NOW - 4 * HOUR, NOW - HOUR, missing=0.2),
            False,
            id="no fault of the data any more",
        ),
        pytest.param(
            FIXED, drawn(NOW - 4 * HOUR, NOW, ages=lambda _: OLDER), False, id="a fixed threshold"
        ),
        pytest.param(
            REGIONS,
            of_north(drawn(NOW - 4 * HOUR, NOW, ages=lambda _: OLDER)),
            True,
            id="drift of a segment",
        ),
        pytest.param(
            REGIONS,
            of_north(drawn(NOW - 4 * HOUR, NOW) | drawn(NOW - HOUR, NOW, ages=lambda _: OLDER)),
            False,
            id="not in all windows of the segment",
        ),
        pytest.param(
            REGIONS,
            of_north(drawn(NOW - 4 * HOUR, NOW - HOUR, ages=lambda _: OLDER)),
            False,
            id="not in the window that the segment has no rows in",
        ),
    ],
)
def test_a_drift_is_not_calibrated_away(
    store: Store, settings: dict[str, Any], drifting: dict[SliceKey, Vector], waits: bool
) -> None:
    """While a shipped alert fires, or is about to, the calibration that found it stays; its
    promise is tested all the same, and the next one is made once the drift is over."""
    made = known(counted(store, 28, **settings), 8.0, Method.HISTORY, tested=0.1)
    keep(made, QUIET | drifting, MONDAY - DAY, NOW)
    seen = newest(made)

    assert put_off(made, NOW, seen) is waits
    assert wanted(made, NOW, seen) is not waits
    assert wanted(made, NOW + DAY, seen), "tested"
    found = look_back(made, Ledger, NOW, newest=seen)
    assert found.recalibrated is not waits
    keep(made, QUIET, MONDAY - DAY, NOW)
    assert wanted(made, NOW, newest(made))


def test_what_is_put_off_is_logged_once(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """The jobs say once that a calibration waits, not at each look back, and then make it."""
    caplog.set_level("INFO", "drift_exporter.jobs")
    now = int(time.time()) // SLICE * SLICE
    quiet = drawn(now - 29 * DAY, now)
    made = job(store, Ledger(), thresholds="calibrated")
    windows = {w: replace(c, method=Method.HISTORY) for w, c in made.promise.windows.items()}
    test = SelfTest(now, 0.0, 28.0, in_sample=False)
    week = replace(made.promise, created=now - 8 * DAY, windows=windows, self_test=test)
    made = replace(made, calibration=week)
    jobs, held, board = running(store, made)
    found = []
    for drifting in (drawn(now - 4 * HOUR, now, ages=lambda _: OLDER), {}, {}):
        keep(made, quiet | drifting, now - 30 * DAY, now)
        board.publish(next(judged(made, now - SLICE, now, SLICE))[1])
        for _ in range(2):
            jobs._look_back(held, Ticket())
        found.append(held.job is made)

    assert found == [True, False, False]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["calibration put off until no drift is left", "thresholds calibrated"]


def running(store: Store, made: Job) -> tuple[Jobs, _Held, Board]:
    """A model's jobs that nothing schedules."""
    board, health = Board(), Health("1", "unknown")
    exposition = Exposition(health.registry, 10_000)
    jobs = Jobs(store, health, board, exposition, lambda _: lambda _: None)
    health.add_model("credit")
    held = jobs._held["credit"] = _Held(made.model, 900.0, made.source, made)
    return jobs, held, board


def test_what_is_not_audited_is_not_in_force(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A calibration and its audit entry are written together: where the entry cannot be, the model
    goes on with what it had, and the next look back makes both."""
    now = int(time.time()) // SLICE * SLICE
    made = job(store, Ledger(), thresholds="calibrated")
    keep(made, drawn(now - 29 * DAY, now), now - 30 * DAY, now)
    jobs, held, _ = running(store, made)

    def full(*_: object) -> int:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Writing, "audit", full)
        jobs._look_back(held, Ticket())
    assert held.job is made
    assert store.calibrations("credit", 9) == []

    jobs._look_back(held, Ticket())
    assert held.job is not None
    assert held.job.calibration == in_force(made, time.time())
    assert held.job.calibration is not None
    (entry,) = store.cases.audit()
    assert (entry.kind, entry.subject) == ("calibrated", "model/credit")


@dataclass
class Meanwhile(Ledger):
    """A source that something happens beside while it is read."""

    happens: Callable[[], object] = object

    def count(self, *what: Any, **more: Any) -> Counted:
        """Count, while it happens."""
        self.happens()
        return super().count(*what, **more)


@pytest.mark.parametrize("during_run", [False, True], ids=["after a run", "during a run"])
def test_what_was_calibrated_is_shown_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, during_run: bool
) -> None:
    """Thresholds and verdicts are those of the new calibration, not first after the next run; what
    changed by that is in the audit log."""
    monkeypatch.setattr("time.time", lambda: NOW + 10.0)
    restless = drawn(MONDAY - DAY, NOW, ages=lambda at: OLDER if at // DAY % 2 else AGES)
    source = Meanwhile(restless)
    made = job(store, source, thresholds="calibrated")
    keep(made, restless, MONDAY - DAY, NOW - HOUR)
    jobs, held, board = running(store, made)
    jobs._run(held, Ticket())
    first = board.get("credit")
    if during_run:
        source.happens = lambda: jobs._look_back(held, Ticket())
        jobs._run(held, Ticket())
    else:
        jobs._look_back(held, Ticket())

    shown = board.get("credit")
    assert first is not None
    assert shown is not None
    assert held.job is not None
    assert held.job.calibration is not None
    assert shown.calibration is not None
    assert shown.calibration.created == held.job.calibration.created
    assert shown.last_run is not None
    assert shown.last_run.success
    judged_anew = check.restore(held.job)
    for window, expected, before in zip(
        shown.windows, judged_anew.windows, first.windows, strict=True
    ):
        limits = ("psi", "warning")
        assert np.array_equal(window.thresholds[limits], expected.thresholds[limits])
        assert window.thresholds[limits][0] > before.thresholds[limits][0]
        assert window.verdicts == expected.verdicts
    states = [[str(v.state) for v in w.verdicts] for w in (first.windows[0], shown.windows[0])]
    assert states == [["warning", "ok"], ["ok", "ok"]]
    kinds = [entry.kind for entry in store.cases.audit()]
    assert kinds == ["verdict_changed", "calibrated", "verdict_changed"]


@pytest.mark.parametrize(
    ("age", "method", "changed"),
    [
        pytest.param(1.0, Method.ANALYTIC, {}, id="analytic until now"),
        pytest.param(1.0, Method.HISTORY, {"min_rows": 50}, id="made for another config"),
    ],
)
def test_only_a_usable_calibration_waits(
    store: Store, age: float, method: Method, changed: dict[str, object]
) -> None:
    """A first calibration, and one for another config, is made though something drifts."""
    first = known(counted(store, 28), age, method, tested=0.1)
    made = replace(counted(store, 0, **changed), calibration=first.calibration)
    keep(made, QUIET | drawn(NOW - 4 * HOUR, NOW, ages=lambda _: OLDER), MONDAY - DAY, NOW)
    seen = newest(made)

    assert not put_off(made, NOW, seen)
    assert wanted(made, NOW, seen)
    assert not put_off(replace(made, calibration=None), NOW, seen)


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
    assert in_force(made, NOW) is None
    first = replace(made.promise, created=1.0)
    second = replace(made.promise, created=2.0)
    for one in (first, second):
        store.record_calibration("credit", one.bins_hash, one.created, one.to_json())

    assert in_force(made, NOW) == second
    assert [when for when, _, _ in store.calibrations("credit", 9)] == [2.0, 1.0]
    assert in_force(job(store, thresholds={}), NOW) is None, "fixed thresholds need none"


@pytest.mark.parametrize(
    "body",
    ['{"format_version": 99}', '{"format_version": 1}', "no JSON"],
)
def test_a_stored_calibration_that_cannot_be_read_stops_nothing(
    store: Store, caplog: pytest.LogCaptureFixture, body: str
) -> None:
    """Another release may have written it: it is told of, what was calibrated before holds, and
    without that the model is calibrated anew."""
    made = counted(store, 29)
    bins = made.profile.bins_hash
    store.record_calibration("credit", bins, 2.0, body)

    assert in_force(made, NOW) is None
    assert caplog.messages == ["stored calibration not used"]
    assert wanted(made, NOW)
    with pytest.raises(CalibrationError):
        from_json(body)

    before = replace(made.promise, created=1.0)
    store.record_calibration("credit", bins, before.created, before.to_json())
    store.record_calibration("credit", bins, 3.0, body)
    assert in_force(made, NOW) == before


def test_a_clock_that_was_ahead_is_forgotten(store: Store) -> None:
    """What was calibrated in the future is not in force at a start, is made anew, and what is made
    then counts."""
    made = counted(store, 29)
    for created in (float(NOW - DAY), float(NOW + 30 * DAY)):
        one = replace(made.promise, created=created)
        store.record_calibration("credit", one.bins_hash, created, one.to_json())
    found = in_force(made, NOW)
    assert found is not None
    assert found.created == NOW - DAY

    running = known(made, -30.0, Method.HISTORY, tested=-30.0)
    anew, _ = looked(running, NOW)

    assert anew.recalibrated
    assert anew.calibration is not None
    assert anew.calibration.created == NOW
    after = replace(running, calibration=anew.calibration)
    assert not wanted(after, NOW)


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

    assert in_force(job(store, of=other_bins(), thresholds="calibrated"), NOW) is None


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

    assert in_force(made, NOW) == reviewed
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
        in_force(made, NOW)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("made_for", "settings", "message"),
    [
        pytest.param({"calibration": {"budget": 5}}, {}, "budget was 5, is 1;", id="budget"),
        pytest.param({"min_rows": 500}, {}, "min_rows was 500, is 100;", id="min_rows"),
        pytest.param(
            {"thresholds": {"psi": "calibrated"}},
            {},
            "it lacks missing_ratio of 'age' and 4 more;",
            id="statistics",
        ),
        pytest.param({"reference": "seasonal"}, {}, "kind was seasonal, is data;", id="reference"),
        pytest.param(
            {**REGIONS, "thresholds": {"missing_ratio": "calibrated"}},
            REGIONS,
            "there were no segments, there are some;",
            id="segments",
        ),
    ],
)
def test_a_file_for_another_config_is_refused(
    store: Store,
    tmp_path: Path,
    made_for: dict[str, Any],
    settings: dict[str, Any],
    message: str,
) -> None:
    """The promise of a file made for other settings would not hold: the message says which."""
    path = tmp_path / "reviewed.json"
    path.write_text(counted(store, 0, **made_for).promise.to_json())

    with pytest.raises(CalibrationError, match=message) as error:
        in_force(file_job(store, path, **settings), NOW)
    assert str(error.value).startswith(f"{path}: not made for model 'credit'")


def test_a_file_of_all_thresholds_serves_some(store: Store, tmp_path: Path) -> None:
    """`calibrate` writes all that can be calibrated; a model that takes rates alone may use it."""
    path = tmp_path / "reviewed.json"
    path.write_text(counted(store, 0, **REGIONS).promise.to_json())
    rates = {**REGIONS, "thresholds": {"missing_ratio": "calibrated"}}

    found = in_force(file_job(store, path, **rates), NOW)

    assert found is not None
    assert found.budget_per_90_days == 1


def test_a_file_for_another_pace_is_refused(store: Store, tmp_path: Path) -> None:
    """A file holds for the `for` of its interval, which is told once for all windows."""
    path = tmp_path / "reviewed.json"
    path.write_text(counted(store, 0).promise.to_json())
    made = replace(file_job(store, path), interval_seconds=3600.0)

    with pytest.raises(CalibrationError) as error:
        in_force(made, NOW)
    # Two runs are the interval and a slack of 5 minutes.
    assert "interval was 900, is 3600; for was 1200, is 3960; keep" in str(error.value)
    assert str(error.value).count(" for was ") == 1


def test_a_file_may_have_more_windows(store: Store, tmp_path: Path) -> None:
    """Windows that the model has not are left out, and do not lead."""
    path = tmp_path / "reviewed.json"
    path.write_text(counted(store, 0, windows=["30m", "1h", "4h", "24h"]).promise.to_json())

    found = in_force(file_job(store, path), NOW)

    assert found is not None
    assert (list(found.windows), found.leading_window) == (["1h", "4h"], "1h")


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
    found: dict[str, ModelCalibration] = {}
    for name, slices, exclude in (
        ("clean", QUIET, [SPAN]),
        ("excluded", spoilt, [SPAN]),
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


@pytest.mark.parametrize("segments", [(), ("north", "south")])
@pytest.mark.parametrize("budget", [0.1, 1.0, 7.0])
def test_the_parts_of_the_budget_add_up(
    store: Store, segments: tuple[str, ...], budget: float
) -> None:
    """False alarms of columns and of segments add up, whatever the dependence: to the budget."""
    split: dict[str, Any] = {"segments": "region"} if segments else {}
    split |= {"thresholds": "calibrated"}
    calibration = {"budget": budget}
    made = job(store, of=profile(segments=segments), calibration=calibration, **split)

    for window, rule in made.alert_rules.items():
        parts = [rule, *([made.segment_rules[window]] if segments else [])]
        assert sum(part.budget_per_90_days for part in parts) == pytest.approx(budget)
    assert made.promise.budget_per_90_days == pytest.approx(budget)
    assert bool(made.segment_rules) is bool(segments)


def test_a_column_is_compared_in_one_way(store: Store) -> None:
    """Its rates, and longer windows, meet the rows that its PSI in the leading window meets, and
    that its windows meet from then on; each alone would choose otherwise."""
    wander = np.random.default_rng(5).random(60)

    def ages(at: int) -> tuple[float, ...]:
        return OLDER if wander[(at - MONDAY) // DAY] < 0.5 else AGES

    day = drawn(MONDAY, NOW, ages=ages)
    night = drawn(MONDAY, NOW, ages=ages, missing=0.05, seed=2)
    slices = {key: night[key] if key.start % DAY < 6 * HOUR else day[key] for key in day}
    made = counted(store, 0, reference="seasonal")
    keep(made, slices, MONDAY, NOW)

    found = replace(made, calibration=calibrated(made, history_of(made, NOW), NOW))

    kinds = {
        series_name(one.name).column: {
            other.baseline
            for window in found.promise.windows.values()
            for other in window.series
            if series_name(other.name).column == series_name(one.name).column
        }
        for one in found.promise.leading.series
    }
    age, city = found.slotted.tolist()
    assert kinds == {
        "age": {Kind.SLOTS if age else Kind.GLOBAL},
        "city": {Kind.SLOTS if city else Kind.GLOBAL},
    }


def test_segments_are_calibrated_with_their_part(store: Store) -> None:
    """Segments have half of the budget, an alpha of their own, and series by column and segment."""
    regions = ("north", "south")
    made = counted(store, 0, of=profile(segments=regions), segments="region")
    slices = drawn(MONDAY, MONDAY + 15 * DAY, regions=regions, rows=200)
    keep(made, slices, MONDAY, MONDAY + 15 * DAY)

    found = calibrated(made, history_of(made, NOW), NOW)

    assert list(found.segments) == ["1h", "4h"]
    for window, segments in found.segments.items():
        assert segments.method is Method.HISTORY
        assert {one.name for one in segments.series} == {
            str(SeriesName("psi", column, "region", region))
            for column in ("age", "city")
            for region in regions
        }
        assert found.windows[window].rule.budget_per_90_days == 0.5
        assert segments.rule.budget_per_90_days == 0.5


def test_small_segments_are_calibrated_where_they_have_rows_enough(store: Store) -> None:
    """Two regions of 80 rows an hour that drift to and fro against each other: the whole is
    quiet, the hour never judges a region, and four hours know how much each varies. The self-test
    counts the segments too."""
    regions = ("north", "south")
    made = counted(
        store, 0, of=profile(segments=regions), segments="region", calibration={"min_effect": 0}
    )
    rng = np.random.default_rng(3)
    wander, slices = 0.0, {}
    for at in range(MONDAY, NOW, SLICE):
        wander = 0.96 * wander + rng.normal(0, 0.1 * np.sqrt(1 - 0.96**2))
        for region, sign in zip(regions, (1, -1), strict=True):
            old = min(max(0.3 + sign * wander, 0.05), 0.6)
            one = drawn(at, at + SLICE, rows=20, ages=always(0.6 - old, 0.4, old), seed=at + sign)
            slices[SliceKey(at, "region", region)] = one[SliceKey(at)]
        north, south = (slices[SliceKey(at, "region", region)] for region in regions)
        slices[SliceKey(at)] = north + south
    keep(made, slices, MONDAY, NOW)
    history = history_of(made, NOW)

    found = calibrated(made, history, NOW)
    tested = self_tested(replace(made, calibration=found), history, NOW, in_sample=True)

    assert found.segments["1h"].reason is Shortage.NO_HISTORY
    assert found.leading_segments is found.segments["4h"]
    assert found.segments["4h"].method is Method.HISTORY
    omega = found.natural(made.profile, "4h").of_segment("region", "north").omega["psi"]
    assert omega[0] > 0.05, "as it varies"
    assert found.natural(made.profile, "4h").omega["psi"][0] < 0.01, "all rows do not"
    assert tested is not None
    assert tested.alarms_per_90_days < 10
    loose = {w: replace(one, alpha=0.05) for w, one in found.segments.items()}
    broken = replace(made, calibration=replace(found, segments=loose))
    of_broken = self_tested(broken, history, NOW, in_sample=True)
    assert of_broken is not None
    assert of_broken.alarms_per_90_days > 5 * max(tested.alarms_per_90_days, 1)


@pytest.mark.parametrize("days", [5, 15])
def test_too_many_segments_are_counted_all_the_same(
    store: Store, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """Segments that are too many to be looked at vary as all rows do; their alpha is that of so
    many series, not of one, however long the past is."""
    monkeypatch.setattr(calibrating, "MOST_SEGMENT_SERIES", 400)
    regions = tuple(f"r{i}" for i in range(400))
    made = counted(store, 0, of=profile(segments=regions), segments="region")
    keep(made, drawn(MONDAY, MONDAY + days * DAY), MONDAY, MONDAY + days * DAY)

    found = calibrated(made, history_of(made, NOW), NOW)

    segments = found.segments["1h"]
    assert (segments.method, segments.reason) == (Method.ANALYTIC, Shortage.TOO_MANY_SERIES)
    of_all = analytic_tail(segments.rule.for_seconds, 2 * 400)
    assert segments.neg_log10_alpha == pytest.approx(of_all.surprise_for(0.5))
    natural = found.natural(made.profile, "1h")
    assert natural.segments_omega == {}, "as all rows"


def test_segments_of_a_short_past_are_counted_from_the_profile(store: Store) -> None:
    """A segment that the past has no rows of can come, so it has its part of alpha."""
    made = counted(store, 0, of=profile(segments=("north", "south")), segments="region")
    slices = drawn(MONDAY, MONDAY + 5 * DAY, regions=("north",))
    keep(made, slices, MONDAY, MONDAY + 5 * DAY)

    found = calibrated(made, history_of(made, NOW), NOW)

    segments = found.segments["1h"]
    assert segments.reason is Shortage.HISTORY_TOO_SHORT
    of_all = analytic_tail(segments.rule.for_seconds, 4)
    assert segments.neg_log10_alpha == pytest.approx(of_all.surprise_for(0.5))


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


@pytest.mark.parametrize(
    ("hole", "days", "method"),
    [
        pytest.param((4, 24), 8, Method.ANALYTIC, id="eight days around a hole"),
        pytest.param((4, 12), 20, Method.HISTORY, id="twenty days around a hole"),
    ],
)
def test_days_without_a_row_are_no_history(
    store: Store, hole: tuple[int, int], days: int, method: Method
) -> None:
    """A model that was switched off alarms as often per day as one that was not: its days off
    are not counted."""
    made = counted(store, 0, calibration={"budget": 20})
    first, last = (MONDAY + day * DAY for day in hole)
    keep(made, {k: v for k, v in QUIET.items() if not first <= k.start < last}, MONDAY, NOW)

    found = made_anew(made, NOW)

    assert (found.leading.method, found.leading.history_days) == (method, days)
    assert found.self_test is not None
    assert found.self_test.history_days == days
    if method is Method.HISTORY:
        tail = found.leading.tail
        assert tail.peaks is not None
        # Its episodes are those of the tail's peaks, and three that were censored.
        assert tail.rate_per_90_days == pytest.approx((tail.peaks + 3) * 90 / days)


def test_a_calibration_of_few_windows_stays_for_its_week(store: Store) -> None:
    """Windows of a week know four of them: what was measured is not measured anew every day, and
    a drift is not taken into it."""
    made = counted(store, 0, windows=["7d"])
    keep(made, QUIET, NOW - 40 * DAY, NOW)
    found = made_anew(made, NOW)
    assert (found.leading.method, found.leading.reason) == (
        Method.ANALYTIC,
        Shortage.TOO_FEW_WINDOWS,
    )
    tested = found.tested(SelfTest(NOW + 2 * DAY, 0, 28, in_sample=True))
    ready = replace(made, calibration=tested)
    assert not wanted(ready, NOW + 2.5 * DAY)

    keep(ready, drawn(NOW - 7 * DAY, NOW, ages=lambda _: (0.05, 0.15, 0.8)), NOW - 7 * DAY, NOW)
    assert put_off(ready, NOW + 7.5 * DAY, newest(ready))


def test_a_window_that_never_fills_does_not_lead(store: Store) -> None:
    """With 24 rows an hour only the day is judged: its past is the calibration's, which is
    tested on it and stays for its week."""
    made = counted(store, 0, windows=["1h", "24h"], calibration={"min_effect": 0})
    keep(made, drawn(MONDAY - 2 * DAY, NOW, rows=6), MONDAY - 2 * DAY, NOW)

    found = made_anew(made, NOW)

    short, day = found.windows["1h"], found.windows["24h"]
    assert (short.method, short.reason) == (Method.ANALYTIC, Shortage.NO_HISTORY)
    assert day.method is Method.HISTORY
    assert found.leading is day
    ready = replace(made, calibration=found)
    assert {natural.alpha for natural in ready.naturals.values()} == {day.alpha}
    later = replace(ready, calibration=found.tested(SelfTest(NOW + 6 * DAY, 0, 28, in_sample=True)))
    assert not wanted(later, NOW + 6.5 * DAY)
    loose = {text: replace(one, alpha=0.5) for text, one in found.windows.items()}
    broken = replace(made, calibration=replace(found, windows=loose))
    tested = self_tested(broken, history_of(made, NOW), NOW, in_sample=True)
    assert tested is not None
    assert tested.alarms_per_90_days > 0
