"""The analysis on real data with known drift: it says what the data is documented to be.

The data is no part of the project: ``real_data`` says where it is.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from drift_exporter.analysis import Analysis, Evidence, Kind, Slices, analyse, columns_to_sketch
from drift_exporter.config import ModelConfig
from drift_exporter.counts import Vector
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.profile_builder import build_profile
from drift_exporter.reading.source import Span
from real_data import dataset

DAY = 86400
DRIFTED = {"car_value", "loan_length", "repaid_loan_on_prev_car", "salary_range"}
DRIFT_DAY = datetime(2019, 3, 31, tzinfo=UTC).timestamp()


def analysed(
    settings: dict[str, Any], start: str, end: str, *, days: int, label: str = ""
) -> Analysis:
    """The analysis of a window of real rows, with so many days before it."""
    model = ModelConfig.model_validate(
        {"name": "real", "slice": "1d", "interval": "1d", "windows": ["7d"], **settings}
    )
    reference = open_source(model.reference, timeout_seconds=60)
    profile = build_profile(model, reference, now=0.0)
    reference.close()
    first, last = (
        int(datetime.fromisoformat(t).replace(tzinfo=UTC).timestamp()) for t in (start, end)
    )
    begin = first - days * DAY
    source = open_source(model.current, timeout_seconds=60)
    counted = source.count(profile, Span(begin, last), DAY, float(last))
    by_day = np.zeros(((last - begin) // DAY, profile.layout.size), dtype=np.int64)
    segments: dict[tuple[str, str], Vector] = {}
    for key, vector in counted.slices.items():
        if not key.segment_by:
            by_day[(key.start - begin) // DAY] += vector
        elif key.start >= first:
            pair = (key.segment_by, key.segment)
            segments[pair] = segments.get(pair, profile.layout.zeros()) + vector
    evidence = Evidence(
        profile, by_day[days:].sum(axis=0), segments, label, slices=Slices(begin, DAY, by_day)
    )
    sketches = source.sketch(*columns_to_sketch(evidence), (float(first), float(last)))
    source.close()
    return analyse(replace(evidence, numeric=sketches.numeric, categorical=sketches.categorical))


def car_loan(file: str) -> dict[str, Any]:
    """The car loan model, its label a column of segments."""
    path = dataset(file)
    return {
        "reference": {"url": path, "end": "2018-10-31"},
        "current": {"url": path, "lateness": "0s"},
        "prediction": "y_pred_proba",
        "segments": ["repaid"],
        "features": {"exclude": ["period", "y_pred", "repaid"]},
    }


@pytest.mark.parametrize("end", ["2019-04-05", "2019-04-11", "2019-05-01"])
def test_car_loan_is_a_covariate_shift(end: str) -> None:
    """The drifted columns lead, from 31 March on, and no control is among them."""
    found = analysed(car_loan("car_loan.parquet"), "2019-04-01", end, days=60, label="repaid")
    shifted = {f.feature for f in found.features if f.verdict is Kind.DISTRIBUTION_SHIFT}

    assert found.classification == "covariate_shift"
    assert found.features[0].feature == "car_value"
    assert shifted == DRIFTED | {"y_pred_proba"}
    assert found.since is not None
    assert found.since.start == DRIFT_DAY


def test_car_loan_before_its_drift() -> None:
    """Before the drift there is none."""
    found = analysed(
        car_loan("car_loan.parquet"), "2019-02-01", "2019-03-01", days=60, label="repaid"
    )
    assert found.classification == "none"


def test_car_loan_with_faults_is_data_quality() -> None:
    """Missing values and the unseen category come before the shift that is there too."""
    found = analysed(car_loan("car_loan_dq.parquet"), "2019-04-01", "2019-05-01", days=60)
    verdicts = {f.feature: f.verdict for f in found.features}

    assert found.classification == "data_quality"
    assert verdicts["salary_range"] is verdicts["driver_tenure"] is Kind.MISSING
    assert verdicts["size_of_downpayment"] is Kind.UNSEEN
    assert verdicts["car_value"] is Kind.DISTRIBUTION_SHIFT
    assert all(f.verdict.is_fault for f in found.features[:3])
    assert found.since is not None
    assert found.since.start == DRIFT_DAY


def test_an_unseen_category_alone() -> None:
    """Before the shift the category that the reference never had is all there is, by its name."""
    found = analysed(car_loan("car_loan_dq.parquet"), "2018-11-08", "2019-03-30", days=0)

    assert found.classification == "data_quality"
    assert found.features[0].verdict is Kind.UNSEEN
    assert "'50%'" in found.headline


def test_rides_that_grow() -> None:
    """The growth of 2012 is a shift of the rides: of inputs, or of the prediction if it is one."""
    path = dataset("bike_sharing_hourly.parquet")
    settings: dict[str, Any] = {
        "reference": {"url": path, "end": "2012-01-01"},
        "current": {"url": path, "lateness": "0s"},
        "features": {"exclude": ["yr"]},
    }
    found = analysed(settings, "2012-01-01", "2012-12-31", days=0)
    assert found.classification == "covariate_shift"
    assert {f.feature for f in found.features[:3]} == {"cnt", "registered", "casual"}

    settings["prediction"] = "cnt"
    settings["features"] = {"exclude": ["yr", "casual", "registered"]}
    found = analysed(settings, "2012-01-01", "2012-12-31", days=0)
    assert found.classification == "prediction_shift"


def test_weather_has_its_seasons_and_nothing_else() -> None:
    """A summer against its year: what follows the year shifted everywhere, the rest is quiet."""
    path = dataset("nyc_weather_2013.parquet")
    settings: dict[str, Any] = {
        "reference": path,
        "current": {"url": path, "lateness": "0s"},
        "segments": ["origin"],
        "features": {"exclude": ["year", "month", "day"]},
    }
    found = analysed(settings, "2013-06-01", "2013-09-01", days=0)
    assert found.classification == "covariate_shift"
    assert found.features[0].feature == "temp"
    assert {s.kind for s in found.segments} == {"within"}

    seasonal = ["temp", "dewp", "pressure", "wind_dir", "wind_speed", "wind_gust", "humid"]
    settings["features"] = {"exclude": ["year", "month", "day", *seasonal]}
    assert analysed(settings, "2013-06-01", "2013-09-01", days=0).classification == "none"
