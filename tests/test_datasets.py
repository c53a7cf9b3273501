"""Real data with known drift: found when and where it is documented, and quiet elsewhere.

The exporter's own story is run over each timeline, with time as an argument: profile from the
reference, slices from the source, windows from the store. The data is not part of the project;
DRIFT_DATASETS names the folder that has it.
"""

import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drift_exporter import check
from drift_exporter.config import ModelConfig
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.profile_builder import build_profile
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import open_store

DATASETS = Path(os.environ.get("DRIFT_DATASETS", Path(__file__).parents[2] / "shared" / "datasets"))
pytestmark = pytest.mark.skipif(
    not DATASETS.is_dir(),
    reason=f"the data sets are not in {DATASETS.name}/ beside the project; set DRIFT_DATASETS",
)

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
    path = str(DATASETS / file)
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
    path = str(DATASETS / "nyc_weather_2013.parquet")
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
    path = str(DATASETS / "bike_sharing_hourly.parquet")
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
