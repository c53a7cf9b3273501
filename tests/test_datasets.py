"""Real data with known drift: found when and where it is documented, and quiet elsewhere.

The exporter's own story is run over each timeline, with time as an argument: profile from the
reference, slices from the source, windows from the store. The data is no part of the project:
``real_data`` says where it is.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from drift_exporter.calibration.hindsight import judged
from drift_exporter.calibration.lookback import made_anew
from drift_exporter.checking import check
from drift_exporter.config import ModelConfig
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.profile_builder import build_profile
from drift_exporter.reading.source import Span
from drift_exporter.snapshot import Snapshot
from drift_exporter.statistics.calibration import Method
from drift_exporter.store import open_store
from real_data import dataset

OVER = ("warning", "critical")
Alarms = dict[date, dict[str, set[str]]]
"""By day and window, the columns with a verdict above ok."""


def snapshots(settings: dict[str, Any], first: str, last: str, days: int) -> Iterator[Snapshot]:
    """Run a model over its timeline, once every so many days, on a real store."""
    model = ModelConfig.model_validate(
        {"name": "real", "interval": f"{days}d", "slice": "1d", **settings}
    )
    reference = open_source(model.reference, timeout_seconds=60)
    profile = build_profile(model, reference, now=0.0)
    reference.close()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/drift.db", now=0.0)
        source = open_source(model.current, timeout_seconds=60)
        job = check.Job(model, profile, source, store, days * 86400)
        snapshot = check.empty_snapshot(job)
        day = datetime.fromisoformat(first).replace(tzinfo=UTC)
        while day <= datetime.fromisoformat(last).replace(tzinfo=UTC):
            snapshot, keep = check.run(job, snapshot, day.timestamp())
            keep()
            assert snapshot.last_run is not None
            assert snapshot.last_run.success, snapshot.last_run.error
            yield snapshot
            day += timedelta(days=days)
        source.close()
        store.close()


def alarms_of(found: Iterator[Snapshot]) -> Alarms:
    """The alarms of a timeline."""
    alarms: Alarms = {}
    for snapshot in found:
        for window in snapshot.windows:
            day = datetime.fromtimestamp(window.end, UTC).date()
            alarms.setdefault(day, {})[window.window] = {
                feature.name
                for feature, verdict in zip(snapshot.features, window.verdicts, strict=True)
                if verdict.evaluated and str(verdict.state) != "ok"
            }
    return alarms


def car_loan(file: str) -> dict[str, Any]:
    """The car loan model: reference to October 2018, one window of a day, one of a week."""
    path = dataset(file)
    return {
        "reference": {"url": path, "end": "2018-10-31"},
        "current": {"url": path, "lateness": "0s"},
        "windows": ["7d"],
        "prediction": "y_pred_proba",
        "label": "repaid",
        "features": {"exclude": ["period", "y_pred"]},
    }


DRIFT_DAY = date(2019, 3, 31)
DRIFTED = {"car_value", "loan_length", "repaid_loan_on_prev_car", "salary_range", "y_pred_proba"}
STABLE = {"debt_to_income_ratio", "driver_tenure", "size_of_downpayment"}


def test_car_loan_drifts_on_its_day_and_nowhere_else() -> None:
    """No alarm before 31 March 2019; all five drifted columns within a week; no stable one."""
    alarms = alarms_of(snapshots(car_loan("car_loan.parquet"), "2018-11-08", "2019-08-20", 1))

    before = {day: found["7d"] for day, found in alarms.items() if day <= DRIFT_DAY}
    after = {day: found["7d"] for day, found in alarms.items() if day > DRIFT_DAY}
    assert len(before) > 140
    assert set().union(*before.values()) == set()
    assert set().union(*after.values()) == DRIFTED
    assert all(found == DRIFTED for day, found in after.items() if day >= date(2019, 4, 7))
    assert min(day for day, found in after.items() if found) <= date(2019, 4, 3)


def test_car_loan_data_quality() -> None:
    """Missing values rise on the day of the drift; the unseen category is there from the start."""
    missing, unseen, quiet = {}, {}, set()
    found = snapshots(car_loan("car_loan_dq.parquet"), "2018-11-08", "2019-08-20", 7)
    for snapshot in found:
        (window,) = snapshot.windows
        day = datetime.fromtimestamp(window.end, UTC).date()
        names = [feature.name for feature in snapshot.features]
        tenure, payment = names.index("driver_tenure"), names.index("size_of_downpayment")
        missing[day] = float(window.scores["missing_ratio"][tenure])
        unseen[day] = float(window.scores["unseen_ratio"][payment])
        over = {n for n, v in zip(names, window.verdicts, strict=True) if str(v.state) != "ok"}
        if day <= DRIFT_DAY:
            quiet |= over

    late = [share for day, share in missing.items() if day >= date(2019, 4, 8)]
    early = [share for day, share in missing.items() if day <= DRIFT_DAY]
    assert max(early) < 0.14
    assert min(late) > 0.18
    assert sum(unseen.values()) / len(unseen) == pytest.approx(0.014, abs=0.004)
    assert quiet <= {"size_of_downpayment"}, "before the drift only the unseen category shows"


def test_weather_has_no_sudden_drift() -> None:
    """A year of real weather: what has no yearly rhythm is quiet, ragged missing values too.

    Temperature, dew point, pressure and wind follow the year; against one fixed reference that
    is drift, and a reference with seasons is the answer.
    """
    path = dataset("nyc_weather_2013.parquet")
    settings = {
        "reference": path,
        "current": {"url": path, "lateness": "0s"},
        "windows": ["91d"],
        "segments": ["origin"],
        "features": {"exclude": ["year", "month", "day"]},
    }
    seasonal = {"temp", "dewp", "pressure", "wind_dir", "wind_speed", "wind_gust", "humid"}
    runs = 0
    for snapshot in snapshots(settings, "2013-04-10", "2013-12-30", 7):
        (window,) = snapshot.windows
        runs += 1
        names = [feature.name for feature in snapshot.features]
        over = {n for n, v in zip(names, window.verdicts, strict=True) if str(v.state) != "ok"}
        assert over <= seasonal
        by_missing = {v.statistic for v in window.verdicts} & {"missing_ratio", "unseen_ratio"}
        assert not by_missing, "80 % missing gusts are the reference's own share"
        assert [s.segment for s in window.segments] == ["EWR", "JFK", "LGA"]
        hour = names.index("hour")
        assert all(segment.psi[hour] < 0.1 for segment in window.segments)
    assert runs > 35


def test_bike_rides_grow_and_the_calendar_does_not() -> None:
    """Against 2011, a sliding year shows the growth of the rides, and of nothing else."""
    path = dataset("bike_sharing_hourly.parquet")
    settings = {
        "reference": {"url": path, "end": "2012-01-01"},
        "current": {"url": path, "lateness": "0s"},
        "windows": ["364d"],
        "features": {"exclude": ["yr"]},
    }
    alarms = alarms_of(snapshots(settings, "2012-01-01", "2012-12-31", 7))
    by_day = {day: found["364d"] for day, found in sorted(alarms.items())}

    assert set().union(*by_day.values()) == {"cnt", "registered", "casual"}
    assert all(not found for day, found in by_day.items() if day < date(2012, 4, 1))
    assert all({"cnt", "registered"} <= f for day, f in by_day.items() if day > date(2012, 8, 1))


def seconds(day: str) -> int:
    """Midnight of a day."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def calibrated_snapshots(
    settings: dict[str, Any], first: str, calibrated: str, last: str, method: Method
) -> Iterator[Snapshot]:
    """Calibrate a model on its past from the first day on, with the default budget; then every
    run to the last day."""
    model = ModelConfig.model_validate({"name": "real", "thresholds": "calibrated", **settings})
    start, middle, end = (seconds(day) for day in (first, calibrated, last))
    reference = open_source(model.reference, timeout_seconds=60)
    profile = build_profile(model, reference, now=0.0)
    reference.close()
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:///{folder}/drift.db", now=0.0)
        source = open_source(model.current, timeout_seconds=60)
        job = check.Job(model, profile, source, store, model.interval.seconds)
        width, span = model.slice_seconds, Span(start, end)
        counted = source.count(profile, span, width, end)
        store.replace_slices(
            model.name, profile.bins_hash, width, span, counted.slices, counted_to=end
        )
        found = made_anew(job, middle)
        assert found.budget_per_90_days == 1.0
        assert found.leading.method is method
        for _, snapshot in judged(
            replace(job, calibration=found), middle, end, int(model.interval.seconds)
        ):
            yield snapshot
        source.close()
        store.close()


def test_car_loan_drifts_on_its_day_by_calibrated_thresholds() -> None:
    """Calibrated on 160 days before the drift: ten quiet weeks, then all five drifted columns
    within four days, and no stable one ever."""
    settings = {
        **car_loan("car_loan.parquet"),
        "slice": "1d",
        "interval": "1d",
        "calibration": {"history": "160d"},
    }
    found = calibrated_snapshots(settings, "2018-08-01", "2019-01-15", "2019-08-20", Method.HISTORY)
    by_day = {day: windows["7d"] for day, windows in alarms_of(found).items()}

    before = {day: found for day, found in by_day.items() if day <= DRIFT_DAY}
    after = {day: found for day, found in by_day.items() if day > DRIFT_DAY}
    assert len(before) == 75
    assert set().union(*before.values()) == set()
    assert set().union(*after.values()) == DRIFTED
    assert all(found == DRIFTED for day, found in after.items() if day >= date(2019, 4, 5))
    assert min(day for day, found in after.items() if found) <= date(2019, 4, 2)


def test_weather_alarms_within_twice_the_budget() -> None:
    """Three months of real weather, calibrated on four months before and compared with the month
    before: at most two alarms are held for as long as an alert waits."""
    path = dataset("nyc_weather_2013.parquet")
    settings = {
        "reference": {"url": path, "kind": "rolling"},
        "current": {"url": path, "lateness": "0s"},
        "windows": ["24h"],
        "slice": "6h",
        "interval": "6h",
        "min_rows": 60,
        "features": {"exclude": ["year", "month", "day"]},
        "calibration": {"history": "120d"},
    }
    found = calibrated_snapshots(settings, "2013-01-01", "2013-05-15", "2013-08-13", Method.HISTORY)
    over = [
        {i for i, verdict in enumerate(s.windows[0].verdicts) if str(verdict.state) in OVER}
        for s in found
    ]
    held = [bool(now & before) for before, now in pairwise(over)]

    assert len(over) == 90 * 4
    assert sum(now and not before for before, now in pairwise([False, *held])) <= 2


def test_bike_rides_grow_by_calibrated_thresholds() -> None:
    """Against 2011 a sliding year shows the growth of the rides; of all else humidity alone, by a
    PSI of 0.05 at the very end, and never the calendar."""
    path = dataset("bike_sharing_hourly.parquet")
    settings = {
        "reference": {"url": path, "end": "2012-01-01"},
        "current": {"url": path, "lateness": "0s"},
        "windows": ["364d"],
        "slice": "1d",
        "interval": "7d",
        "features": {"exclude": ["yr"]},
        "calibration": {"history": "365d"},
    }
    found = calibrated_snapshots(
        settings, "2011-01-01", "2012-01-01", "2012-12-31", Method.ANALYTIC
    )
    by_day = {day: windows["364d"] for day, windows in alarms_of(found).items()}

    rides = {"cnt", "registered", "casual"}
    assert set().union(*by_day.values()) == rides | {"hum"}
    assert all(not found for day, found in by_day.items() if day < date(2012, 4, 1))
    assert all("hum" not in found for day, found in by_day.items() if day < date(2012, 11, 1))
    assert all({"cnt", "registered"} <= f for day, f in by_day.items() if day > date(2012, 8, 1))
