"""Bins as series: opt-in, in the order of the bins, the first to go under a limit."""

import math
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pydantic import ValidationError

from drift_exporter.checking import check
from drift_exporter.config import ModelConfig
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.profile import CategoryBins, Feature, NumericBins, Profile
from drift_exporter.profile_text import bin_intervals, bin_names
from drift_exporter.reading.source import Counted
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import open_store

NOON = 1_767_268_800


def profile() -> Profile:
    """Age in three bins, city in two and other, and a prediction in two bins."""
    return Profile(
        model="credit",
        features=(
            Feature("age", "feature", "numeric", NumericBins((30.0, 50.0), 18.0, 90.0)),
            Feature("city", "feature", "categorical", CategoryBins(("x", "y"))),
            Feature("score", "prediction", "numeric", NumericBins((0.5,), 0.0, 1.0)),
        ),
        # below, bins, above, missing, unseen, absent; then the same without below and above.
        counts=np.array([0, 10, 20, 30, 0, 4, 0, 0, 30, 20, 10, 4, 0, 0, 0, 30, 30, 0, 4, 0, 0]),
    )


CURRENT: Vector = np.array([5, 10, 20, 30, 7, 3, 2, 0, 40, 20, 8, 4, 5, 0, 0, 50, 20, 0, 4, 3, 0])
"""77 rows: 5 are younger than the reference's youngest, 7 older than its oldest."""


class OneSlice:
    """A source of a single slice."""

    def count(self, *_: object, **__: object) -> Counted:
        """The slice before noon."""
        return Counted({SliceKey(NOON - 300): CURRENT}, rows_read=77)


def snapshot(folder: Path, settings: dict[str, object]) -> Snapshot:
    """What a run finds."""
    model = ModelConfig.model_validate(
        {"name": "credit", "reference": "r.csv", "current": "c.csv", "min_rows": 1, **settings}
    )
    with open_store(f"sqlite:///{folder / 'drift.db'}", now=NOON) as store:
        job = check.Job(model, profile(), OneSlice(), store, interval_seconds=300)  # type: ignore[arg-type]
        return check.run(job, check.empty_snapshot(job), NOON)[0]


def exposed(found: Snapshot, max_series: int = 10_000) -> tuple[dict[str, dict[str, float]], int]:
    """Values of the bins' families by their labels without the model, and what was withheld."""
    exposition = Exposition(no_health(), max_series)
    exposition.update([found], NOON)
    text = exposition.scrape(openmetrics=False, zipped=False).decode()
    values: dict[str, dict[str, float]] = {}
    for family in parse_text(text):
        if "_bin_" in family.name:
            for sample in family.samples:
                labels = sample.labels
                key = " ".join(labels[name] for name in sorted(labels) if name != "model")
                values.setdefault(family.name.removeprefix("modeldrift_"), {})[key] = sample.value
    return values, exposition.series_dropped


def test_bins_are_not_series_unless_asked_for(tmp_path: Path) -> None:
    """By default no series per bin is exposed, and the snapshot carries none."""
    found = snapshot(tmp_path, {})

    assert exposed(found)[0] == {}
    assert found.reference_bins == {}
    assert all(window.bins == {} for window in found.windows)


def test_rows_per_bin_by_hand(tmp_path: Path) -> None:
    """The outer bins are open, missing and unseen stand behind, and the reference beside it."""
    values, _ = exposed(snapshot(tmp_path, {"windows": ["1h"], "expose_bins": True}))

    assert values == {
        "feature_bin_rows": {
            **{"00 age 1h": 15, "01 age 1h": 20, "02 age 1h": 37},
            **{"missing age 1h": 3, "unseen age 1h": 2},
            **{"00 city 1h": 40, "01 city 1h": 20, "02 city 1h": 8},
            **{"missing city 1h": 4, "unseen city 1h": 5},
        },
        "feature_reference_bin_rows": {
            **{"00 age": 10, "01 age": 20, "02 age": 30, "missing age": 4, "unseen age": 0},
            **{"00 city": 30, "01 city": 20, "02 city": 10, "missing city": 4, "unseen city": 0},
        },
        "feature_bin_info": {
            **{"00 age < 30": 1, "01 age [30, 50)": 1, "02 age ≥ 50": 1},
            **{"missing age missing": 1, "unseen age unseen": 1},
            **{"00 city x": 1, "01 city y": 1, "02 city other": 1},
            **{"missing city missing": 1, "unseen city unseen": 1},
        },
        "prediction_bin_rows": {
            **{"00 score 1h": 50, "01 score 1h": 20, "missing score 1h": 4, "unseen score 1h": 3}
        },
        "prediction_reference_bin_rows": {
            **{"00 score": 30, "01 score": 30, "missing score": 4, "unseen score": 0}
        },
        "prediction_bin_info": {
            **{"00 < 0.5 score": 1, "01 ≥ 0.5 score": 1},
            **{"missing missing score": 1, "unseen unseen score": 1},
        },
    }


@pytest.mark.parametrize(
    ("settings", "columns"),
    [
        pytest.param({"expose_bins": True}, {"age", "city"}, id="the model says yes"),
        pytest.param(
            {"features": {"overrides": {"age": {"expose_bins": True}}}}, {"age"}, id="one does"
        ),
        pytest.param(
            {"expose_bins": True, "features": {"overrides": {"age": {"expose_bins": False}}}},
            {"city"},
            id="one does not",
        ),
        pytest.param(
            {"expose_bins": True, "features": {"overrides": {"age": {"bins": 5}}}},
            {"age", "city"},
            id="an override that says nothing of it",
        ),
    ],
)
def test_a_column_says_otherwise_than_its_model(
    tmp_path: Path, settings: dict[str, object], columns: set[str]
) -> None:
    """The column's own setting is stronger than the model's."""
    values, _ = exposed(snapshot(tmp_path, {"windows": ["1h"], **settings}))

    assert {key.split()[1] for key in values["feature_bin_rows"]} == columns


def test_bins_end_with_the_scores_and_the_reference_stays(tmp_path: Path) -> None:
    """Stale counts are no current distribution."""
    stale = snapshot(tmp_path, {"expose_bins": True}).expired()

    assert set(exposed(stale)[0]) == {
        "feature_reference_bin_rows",
        "feature_bin_info",
        "prediction_reference_bin_rows",
        "prediction_bin_info",
    }


def test_bins_are_the_first_to_go(tmp_path: Path) -> None:
    """Under a limit that everything else fits in, exactly the bins are withheld."""
    found, without = snapshot(tmp_path, {"expose_bins": True}), snapshot(tmp_path, {})
    just_enough = next(n for n in count(1) if exposed(without, n)[1] == 0)

    values, dropped = exposed(found, just_enough)

    assert values == {}
    assert dropped == (2 + 1 + 1) * 14, "14 bins in two windows, and twice for the reference"


@pytest.mark.parametrize("value", ["yes", 1, "true", 0.0])
def test_only_true_and_false_switch(value: object) -> None:
    """A text or a number in the place of a switch is an error, not a guess."""
    with pytest.raises(ValidationError):
        ModelConfig.model_validate(
            {"name": "m", "reference": "r.csv", "current": "c.csv", "expose_bins": value}
        )


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        pytest.param((), ["any number"], id="no edge"),
        pytest.param((0.5,), ["< 0.5", "≥ 0.5"], id="one edge"),
        pytest.param(
            (0.0, math.nextafter(0, 1), 40.0),
            ["< 0", "= 0", "(0, 40)", "≥ 40"],
            id="a single value",
        ),
        pytest.param((7.0, math.nextafter(7, 8)), ["< 7", "= 7", "> 7"], id="a constant reference"),
        pytest.param(
            (0.00001234, 12345.67, 2e16),
            ["< 1.234e-05", "[1.234e-05, 12350)", "[12350, 2e+16)", "≥ 2e+16"],
            id="four digits where they are enough",
        ),
        pytest.param(
            (1_700_000_000.0, 1_700_000_001.0),
            ["< 1700000000", "[1700000000, 1700000001)", "≥ 1700000001"],
            id="more where they are not",
        ),
    ],
)
def test_intervals_can_be_read(edges: tuple[float, ...], expected: list[str]) -> None:
    """Each bin says what falls into it, as a person would write it."""
    feature = Feature("x", "feature", "numeric", NumericBins(edges, 0.0, 1.0))

    assert list(bin_intervals(feature)) == [*expected, "missing", "unseen"]


def test_names_sort_as_the_bins_do() -> None:
    """Also with more than a hundred bins, and with the tail behind."""
    categories = tuple(f"c{i}" for i in range(150))
    names = bin_names(Feature("x", "feature", "categorical", CategoryBins(categories)))

    assert len(set(names)) == len(names) == 153
    assert list(names) == sorted(names)
    assert names[9] == "009"
