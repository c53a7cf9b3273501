"""The analysis on counts that a hand can write: each rule, its limits, and what JSON holds."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_exporter.analysis import (
    Analysis,
    Classification,
    Evidence,
    Kind,
    Slices,
    analyse,
    columns_to_date,
    columns_to_sketch,
    from_mapping,
    slices_of,
    to_mapping,
)
from drift_exporter.analysis.faults import risen
from drift_exporter.counts import Vector
from drift_exporter.errors import CountsError, ProfileError
from drift_exporter.profile import (
    CategoryBins,
    CategorySketch,
    Feature,
    NumericBins,
    NumericSketch,
    Profile,
    SegmentColumn,
)

# Cells: age is below, three bins, above, missing, unseen, absent; city is three names, other,
# and the same three; risk is below, two bins, above, and the same three.
AGE = (0, 1000, 2000, 1000, 0, 0, 0, 0)
CITY = (2000, 1200, 800, 0, 0, 0, 0)
RISK = (0, 3000, 1000, 0, 0, 0, 0)


def vector(
    age: tuple[int, ...] = AGE, city: tuple[int, ...] = CITY, risk: tuple[int, ...] = RISK
) -> Vector:
    """Counts of all columns."""
    return np.array([*age, *city, *risk], dtype=np.int64)


PROFILE = Profile(
    model="credit",
    features=(
        Feature("age", "feature", "numeric", NumericBins((30.0, 40.0), 18.0, 90.0)),
        Feature("city", "feature", "categorical", CategoryBins(("north", "south", "west"))),
        Feature("risk", "prediction", "numeric", NumericBins((0.5,), 0.0, 1.0)),
    ),
    counts=vector(),
)


def sketch(*values: float, rows: int = 4000) -> NumericSketch:
    """A window's numbers, spread evenly between the values given."""
    spread = np.interp(np.linspace(0, 1, 1001), np.linspace(0, 1, len(values)), values)
    return NumericSketch(rows, 0, len(set(values)), False, float(spread.std()), tuple(spread))


def names(**rows: int) -> CategorySketch:
    """A window's categories."""
    return CategorySketch(sum(rows.values()), 0, len(rows), tuple(rows.items()))


@pytest.mark.parametrize(
    ("current", "feature", "kind", "classification"),
    [
        pytest.param(vector(), "age", Kind.NONE, "none", id="nothing"),
        pytest.param(
            vector(age=(0, 0, 0, 0, 0, 0, 0, 4000)),
            "age",
            Kind.COLUMN_MISSING,
            "data_quality",
            id="the column is gone",
        ),
        pytest.param(
            vector(age=(0, 0, 0, 4000, 0, 0, 0, 0)),
            "age",
            Kind.CONSTANT,
            "data_quality",
            id="one bin",
        ),
        pytest.param(
            vector(city=(4000, 0, 0, 0, 0, 0, 0)),
            "city",
            Kind.CONSTANT,
            "data_quality",
            id="one category",
        ),
        pytest.param(
            vector(city=(0, 1200, 800, 0, 0, 2000, 0)),
            "city",
            Kind.CATEGORY_RELABELLED,
            "data_quality",
            id="one category is another, its name not known",
        ),
        pytest.param(
            vector(age=(0, 900, 1800, 900, 0, 400, 0, 0)),
            "age",
            Kind.MISSING,
            "data_quality",
            id="missing values",
        ),
        pytest.param(
            vector(age=(0, 900, 1800, 900, 0, 0, 400, 0)),
            "age",
            Kind.TYPE_CHANGE,
            "data_quality",
            id="no numbers",
        ),
        pytest.param(
            vector(city=(1800, 1080, 720, 0, 0, 400, 0)),
            "city",
            Kind.UNSEEN,
            "data_quality",
            id="a new category",
        ),
        pytest.param(
            vector(age=(400, 900, 1800, 900, 0, 0, 0, 0)),
            "age",
            Kind.OUT_OF_RANGE,
            "data_quality",
            id="below the range, the rest as before",
        ),
        pytest.param(
            vector(age=(0, 200, 1000, 2500, 300, 0, 0, 0)),
            "age",
            Kind.DISTRIBUTION_SHIFT,
            "covariate_shift",
            id="slid over the edge of the range",
        ),
        pytest.param(
            vector(city=(800, 1200, 2000, 0, 0, 0, 0)),
            "city",
            Kind.DISTRIBUTION_SHIFT,
            "covariate_shift",
            id="other shares of categories",
        ),
        pytest.param(
            vector(risk=(0, 2000, 2000, 0, 0, 0, 0)),
            "risk",
            Kind.DISTRIBUTION_SHIFT,
            "prediction_shift",
            id="only the prediction",
        ),
        pytest.param(
            vector(risk=(0, 2400, 800, 0, 800, 0, 0)),
            "risk",
            Kind.MISSING,
            "data_quality",
            id="predictions missing",
        ),
        pytest.param(
            vector(risk=(0, 0, 4000, 0, 0, 0, 0)),
            "risk",
            Kind.CONSTANT,
            "data_quality",
            id="the prediction is constant",
        ),
        pytest.param(
            vector(age=(0, 500, 1000, 2500, 0, 0, 0, 0), risk=(0, 2400, 1600, 0, 0, 0, 0)),
            "age",
            Kind.DISTRIBUTION_SHIFT,
            "covariate_shift",
            id="a feature, and the prediction with it",
        ),
        pytest.param(
            vector(age=(0, 800, 1900, 1300, 0, 0, 0, 0), risk=(0, 1000, 3000, 0, 0, 0, 0)),
            "risk",
            Kind.DISTRIBUTION_SHIFT,
            "prediction_shift",
            id="the inputs moved too little for the prediction",
        ),
        pytest.param(
            vector(age=(0, 500, 1000, 2000, 0, 500, 0, 0), city=(800, 1200, 2000, 0, 0, 0, 0)),
            "age",
            Kind.MISSING,
            "data_quality",
            id="a fault before a larger shift",
        ),
        pytest.param(
            vector(age=(0, 5, 10, 5, 0, 0, 0, 0), city=(10, 6, 4, 0, 0, 0, 0)),
            "age",
            Kind.NOT_EVALUATED,
            "none",
            id="too few rows",
        ),
        pytest.param(vector() * 0, "age", Kind.NOT_EVALUATED, "none", id="no rows at all"),
    ],
)
def test_rules_on_counts_alone(
    current: Vector, feature: str, kind: Kind, classification: str
) -> None:
    """What counts tell without any sketch."""
    found = analyse(Evidence(PROFILE, current))
    by_name = {finding.feature: finding for finding in found.features}

    assert by_name[feature].verdict is kind
    assert found.classification == classification
    if classification != "none":
        assert found.features[0].feature == feature
        assert feature in found.headline


UP = vector(age=(0, 0, 0, 0, 4000, 0, 0, 0))


@pytest.mark.parametrize(
    ("current", "numbers", "kind", "words"),
    [
        pytest.param(
            UP,
            sketch(216, 360, 420, 480, 1080),
            Kind.UNIT_CHANGE,
            "12 times what they were, as between units by a factor of 12 (years, months",
            id="months for years",
        ),
        pytest.param(
            UP, sketch(120.0, 120.0), Kind.CONSTANT, "all values are 120", id="one value, out of it"
        ),
        pytest.param(
            vector(age=(400, 900, 1800, 900, 0, 0, 0, 0)),
            sketch(*[-1.0] * 10, *np.linspace(18, 90, 90)),
            Kind.OUT_OF_RANGE,
            "most of them are the value -1",
            id="a sentinel, by its value",
        ),
        pytest.param(
            vector(age=(0, 0, 0, 4000, 0, 0, 0, 0)),
            sketch(41, 60),
            Kind.DISTRIBUTION_SHIFT,
            "shifted",
            id="one bin, and many values",
        ),
        pytest.param(
            vector(age=(0, 200, 1000, 2300, 500, 0, 0, 0)),
            sketch(18, 30, 40, 90, 250),
            Kind.OUT_OF_RANGE,
            "outside the reference's range",
            id="far out, though the rest shifted",
        ),
    ],
)
def test_rules_that_need_a_sketch(
    current: Vector, numbers: NumericSketch, kind: Kind, words: str
) -> None:
    """What only the numbers themselves tell, and in which words."""
    evidence = Evidence(
        PROFILE, current, numeric={"age": numbers}, reference_grids={"age": (18, 30, 35, 40, 90)}
    )
    first = analyse(evidence).features[0]

    assert (first.feature, first.verdict) == ("age", kind)
    assert words in first.sentence


@pytest.mark.parametrize(
    ("current", "found", "kind"),
    [
        pytest.param(
            vector(city=(0, 0, 0, 0, 0, 4000, 0)),
            names(NORTH=2000, SOUTH=1200, WEST=800),
            Kind.CATEGORY_RELABELLED,
            id="another spelling of all",
        ),
        pytest.param(
            vector(city=(1000, 600, 400, 0, 0, 2000, 0)),
            names(north=1000, North_=1000, south=600, South_=600, west=400, West_=400),
            Kind.CATEGORY_RELABELLED,
            id="another spelling of half of the rows",
        ),
        pytest.param(
            vector(city=(0, 0, 0, 0, 0, 4000, 0)),
            names(a=2010, b=1190, c=800),
            Kind.CATEGORY_RELABELLED,
            id="codes of the same shares",
        ),
        pytest.param(
            vector(city=(0, 0, 0, 0, 0, 4000, 0)),
            names(a=1000, b=1000, c=1000, d=1000),
            Kind.UNSEEN,
            id="codes of other shares",
        ),
        pytest.param(
            vector(city=(1800, 1080, 720, 0, 0, 400, 0)),
            names(north=1800, south=1080, west=720, east=400),
            Kind.UNSEEN,
            id="a new one beside the old",
        ),
    ],
)
def test_new_names(current: Vector, found: CategorySketch, kind: Kind) -> None:
    """New names for what vanished are told from new categories."""
    evidence = Evidence(PROFILE, current, categorical={"city": found})
    assert analyse(evidence).features[0].verdict is kind


SHIFTED_AGE = (0, 500, 1000, 2500, 0, 0, 0, 0)
NEW_CITY = (1860, 1120, 740, 0, 0, 280, 0)


@pytest.mark.parametrize(
    ("current", "classification", "first"),
    [
        pytest.param(vector(city=NEW_CITY), "data_quality", "city", id="nothing else"),
        pytest.param(
            vector(age=SHIFTED_AGE, city=NEW_CITY, risk=(0, 2400, 1600, 0, 0, 0, 0)),
            "covariate_shift",
            "age",
            id="beside a strong shift",
        ),
        pytest.param(
            vector(age=(0, 800, 1900, 1300, 0, 0, 0, 0), city=NEW_CITY),
            "data_quality",
            "city",
            id="beside a slight shift",
        ),
        pytest.param(
            vector(age=(0, 700, 1800, 1500, 0, 0, 0, 0), city=(1980, 1190, 790, 0, 0, 40, 0)),
            "covariate_shift",
            "age",
            id="a few beside a larger shift",
        ),
        pytest.param(
            vector(city=NEW_CITY, risk=(0, 2400, 1600, 0, 0, 0, 0)),
            "data_quality",
            "city",
            id="beside a prediction that follows from them",
        ),
        pytest.param(
            vector(city=NEW_CITY, risk=(0, 200, 3800, 0, 0, 0, 0)),
            "prediction_shift",
            "risk",
            id="beside a prediction that they do not explain",
        ),
        pytest.param(
            vector(age=SHIFTED_AGE, city=(1200, 800, 600, 0, 0, 1400, 0)),
            "data_quality",
            "city",
            id="in a third of the rows",
        ),
        pytest.param(
            vector(age=SHIFTED_AGE, city=(1660, 1020, 640, 0, 400, 280, 0)),
            "data_quality",
            "city",
            id="in a column with missing values",
        ),
        pytest.param(
            vector(age=SHIFTED_AGE, city=NEW_CITY, risk=(0, 2700, 900, 0, 400, 0, 0)),
            "data_quality",
            "risk",
            id="beside a strong shift and another fault",
        ),
    ],
)
def test_new_categories(current: Vector, classification: str, first: str) -> None:
    """New categories are a fault by themselves, and a part of the change beside a strong shift."""
    known = names(north=1860, south=1120, west=740, east=280)
    found = analyse(Evidence(PROFILE, current, categorical={"city": known}))
    of_quality = classification == "data_quality"

    assert found.classification == classification
    assert found.features[0].feature == first
    assert "city" in found.headline or first == "risk"
    assert ("new category in city is meant" in found.recommendation) is not of_quality
    assert any(note.startswith("city: ") for note in found.notes)


def test_a_new_category_beside_a_shift_is_named() -> None:
    """The headline of a shift names what is new, and leads with what shifted."""
    current = vector(age=SHIFTED_AGE, city=NEW_CITY)
    known = names(north=1860, south=1120, west=740, east=280)
    headline = analyse(Evidence(PROFILE, current, categorical={"city": known})).headline

    assert headline.startswith("Covariate shift: age: shifted")
    assert "city: 7 % of the rows have a category that the reference never had" in headline
    assert "'east'" in headline


@pytest.mark.parametrize(
    ("part", "rows", "before", "expected"),
    [
        pytest.param(100, 1000, 50, True, id="5 to 10 %"),
        pytest.param(65, 1000, 50, False, id="within chance"),
        pytest.param(600, 10_000, 50, False, id="sure, by not much more than a point"),
        pytest.param(8300, 10_000, 800, False, id="most rows miss anyway"),
        pytest.param(9500, 10_000, 800, True, id="and now nearly all"),
        pytest.param(0, 0, 50, False, id="no rows"),
        pytest.param(5, 5, 0, True, id="all of a few"),
    ],
)
def test_a_share_has_risen(part: int, rows: int, before: int, expected: bool) -> None:
    """A rise counts beyond chance, and beyond a point or a tenth of what was."""
    assert risen(part, rows, before, 1000, 0.01) is expected


def test_false_alarms_of_shares() -> None:
    """Shares that did not rise are hardly ever said to have."""
    rng = np.random.default_rng(31)
    wrong = sum(
        risen(int(rng.binomial(2000, 0.1)), 2000, int(rng.binomial(800, 0.1)), 800, 0.01)
        for _ in range(3000)
    )
    assert wrong <= 3


def test_bins_say_where_and_which_way() -> None:
    """A shifted column tells its bins by what they add, with direction, and adds up."""
    found = analyse(Evidence(PROFILE, vector(age=(0, 500, 1000, 2500, 0, 0, 0, 0)))).features[0]

    assert [(b.interval, b.direction) for b in found.bins] == [
        ("≥ 40", "more"),
        ("[30, 40)", "fewer"),
        ("< 30", "fewer"),
    ]
    assert found.psi == pytest.approx(sum(b.contribution for b in found.bins))
    # By hand: shares 1/4, 1/2, 1/4 to 1/8, 1/4, 5/8.
    assert found.psi == pytest.approx((0.125 + 0.25) * np.log(2) + 0.375 * np.log(2.5), rel=0.01)
    assert found.share == pytest.approx(1.0, abs=1e-3)
    assert found.sentence == (
        "age: shifted, PSI 0.6 (up to 0.051 would be chance, usual variation or a trifle); "
        "more rows in ≥ 40: 25 % → 62 %"
    )


def segmented(table: Mapping[str, tuple[Vector, Vector]]) -> Evidence:
    """Evidence of rows that are split by region."""
    return Evidence(
        replace(
            PROFILE,
            counts=np.sum([before for before, _ in table.values()], axis=0),
            segments=(SegmentColumn("region", tuple(table)),),
            segment_counts={("region", name): before for name, (before, _) in table.items()},
        ),
        np.sum([now for _, now in table.values()], axis=0),
        {("region", name): now for name, (_, now) in table.items()},
    )


OLD = vector(age=(0, 200, 800, 3000, 0, 0, 0, 0))
YOUNG = vector(age=(0, 3000, 800, 200, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("table", "kind", "where", "classification"),
    [
        pytest.param(
            {"a": (OLD, 3 * OLD), "b": (YOUNG, YOUNG)}, "mix", [], "covariate_shift", id="mix"
        ),
        pytest.param(
            {"a": (vector(), vector()), "b": (vector(), OLD)},
            "within",
            ["b"],
            "covariate_shift",
            id="within one",
        ),
        pytest.param(
            {"a": (vector(), OLD), "b": (vector(), OLD)},
            "within",
            ["a", "b"],
            "covariate_shift",
            id="within all",
        ),
        pytest.param(
            {"a": (OLD, YOUNG), "b": (YOUNG, OLD)},
            "hidden",
            ["a", "b"],
            "covariate_shift",
            id="cancelling out",
        ),
        pytest.param(
            {"a": (vector(), 2 * vector()), "b": (vector(), vector())},
            None,
            [],
            "none",
            id="a mix that shifts nothing",
        ),
    ],
)
def test_segments(
    table: Mapping[str, tuple[Vector, Vector]],
    kind: str | None,
    where: list[str],
    classification: str,
) -> None:
    """A shift is the mix of segments, or within some of them, or hidden in them."""
    found = analyse(segmented(table))
    of_age = [finding for finding in found.segments if finding.feature == "age"]

    assert found.classification == classification
    assert [finding.kind for finding in of_age] == ([kind] if kind else [])
    for finding in of_age:
        assert sorted(segment.segment for segment in finding.segments) == where
        assert finding.mix + finding.within == pytest.approx(finding.psi)
        assert "region" in finding.sentence


def labelled(
    before: tuple[Vector, Vector], now: tuple[Vector, Vector], words: tuple[str, str] = ("0", "1")
) -> Evidence:
    """Evidence of rows without and with the event."""
    keys = [("paid", word) for word in words]
    profile = replace(
        PROFILE, counts=before[0] + before[1], segment_counts=dict(zip(keys, before, strict=True))
    )
    return Evidence(profile, now[0] + now[1], dict(zip(keys, now, strict=True)), label="paid")


BEFORE = (vector(risk=(0, 2900, 100, 0, 0, 0, 1000)), vector(risk=(0, 1100, 1900, 0, 0, 0, 1000)))


@pytest.mark.parametrize("words", [("0", "1"), ("false", "true"), ("0.0", "1.0"), ("no", "yes")])
def test_concept_drift(words: tuple[str, str]) -> None:
    """The same predictions end differently: concept drift, whatever the labels are called."""
    now = (vector(risk=(0, 2400, 300, 0, 0, 0, 1300)), vector(risk=(0, 1600, 1700, 0, 0, 0, 700)))
    found = analyse(labelled(BEFORE, now, words))

    assert found.classification is Classification.CONCEPT_DRIFT
    assert found.concept is not None
    assert (found.concept.by, found.concept.drifted) == ("risk", True)
    # By hand: shares 2/3, 1/3; means 0.275 to 0.4, and 0.95 to 0.85.
    assert found.concept.within == pytest.approx((0.125 * 2 - 0.1) / 3, abs=1e-3)
    assert "paid" in found.headline


@pytest.mark.parametrize(
    ("now", "words"),
    [
        pytest.param(BEFORE, ("0", "1"), id="labels as before"),
        pytest.param((BEFORE[0] * 0, BEFORE[1] * 0), ("0", "1"), id="no label known yet"),
        pytest.param(BEFORE, ("nan", "1"), id="labels that are no numbers"),
    ],
)
def test_no_concept_drift(now: tuple[Vector, Vector], words: tuple[str, str]) -> None:
    """Where labels are as before, or none is known, nothing is claimed."""
    assert analyse(labelled(BEFORE, now, words)).classification is Classification.NONE


def test_a_new_model_is_no_concept_drift() -> None:
    """Where only the prediction shifted, its bins hold other rows, and labels follow them."""
    now = (vector(risk=(0, 1400, 1600, 0, 0, 0, 1000)), vector(risk=(0, 600, 2400, 0, 0, 0, 1000)))
    found = analyse(labelled(BEFORE, now))

    assert found.classification is Classification.PREDICTION_SHIFT


def test_since_when() -> None:
    """The headline says since when, in UTC."""
    shifted = vector(
        age=(0, 50, 100, 250, 0, 0, 0, 0),
        city=(200, 120, 80, 0, 0, 0, 0),
        risk=(0, 300, 100, 0, 0, 0, 0),
    )
    calm = vector() // 10
    slices = Slices(1_767_225_600, 3600, np.array([calm] * 14 + [shifted] * 10))
    found = analyse(Evidence(PROFILE, 6 * shifted, slices=slices))

    assert found.since is not None
    assert found.since.start == 1_767_225_600 + 14 * 3600
    assert "since 2026-01-01 14:00 UTC" in found.headline
    assert found.features[0].since == "since 2026-01-01 14:00 UTC"


def test_slices_of_the_leading_columns_will_do() -> None:
    """The cells of the columns that lead tell the same beginning as those of all."""
    shifted = vector(age=(0, 500, 1000, 2500, 0, 0, 0, 0))
    vectors = [(i * 300, shifted if i >= 20 else vector()) for i in range(24)]
    evidence = Evidence(PROFILE, shifted)
    names_ = columns_to_date(evidence)
    some = slices_of(PROFILE, 0, 300, reversed(vectors), 24 * 300, names_)
    every = Slices(0, 300, np.array([counts for _, counts in vectors]))

    assert names_ == ("age",)
    assert some.counts.shape == (24, 8)
    assert (
        analyse(replace(evidence, slices=some)).since
        == analyse(replace(evidence, slices=every)).since
    )
    assert to_mapping(replace(evidence, slices=some))["slices"]["features"] == ["age"]


def test_since_before_all_slices() -> None:
    """What began before the slices that are known has no beginning, and the headline none."""
    shifted = vector(age=(0, 500, 1000, 2500, 0, 0, 0, 0))
    slices = Slices(1_767_225_600, 3600, np.array([shifted] * 24))
    found = analyse(Evidence(PROFILE, shifted, slices=slices))

    assert found.since is not None
    assert found.since.start is None
    assert "since" not in found.headline


def test_natural_variation_is_no_drift() -> None:
    """What a model's own windows do anyway is none, and neither is what a limit allows for."""
    current = vector(age=(0, 800, 1900, 1300, 0, 0, 0, 0))
    plain = analyse(Evidence(PROFILE, current, limits={"age": 0.02}))
    usual = analyse(Evidence(PROFILE, current, limits={"age": 0.02}, omega={"age": 0.05}))

    assert plain.features[0].verdict is Kind.DISTRIBUTION_SHIFT
    assert usual.classification is Classification.NONE


def test_only_suspicious_columns_are_sketched() -> None:
    """The source is asked for columns that moved or are strange, and for no other."""
    assert columns_to_sketch(Evidence(PROFILE, vector())) == ((), ())
    assert columns_to_sketch(Evidence(PROFILE, UP)) == (("age",), ())
    strange = vector(age=(40, 990, 1980, 990, 0, 0, 0, 0), city=(1980, 1190, 790, 0, 0, 40, 0))
    assert columns_to_sketch(Evidence(PROFILE, strange)) == (("age",), ("city",))


def full() -> Evidence:
    """Evidence with all that there can be."""
    evidence = segmented({"a": (vector(), vector()), "b": (vector(), OLD)})
    return replace(
        evidence,
        omega={"age": 0.001},
        limits={"age": 0.1},
        numeric={"age": replace(sketch(18, 90), deviation=float("inf"))},
        categorical={"city": names(north=4000, east=4000)},
        reference_grids={"age": (18.0, 30.0, 90.0)},
        slices=Slices(0, 300, np.array([vector(), OLD])),
        label="paid",
    )


WHOLE_VECTOR = st.lists(
    st.sampled_from([0, 0, 1, 3, 40, 700, 100_000]), min_size=22, max_size=22
).map(lambda cells: np.array(cells, dtype=np.int64))
NUMBERS = st.lists(
    st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, 18.0, 35.0, -999.0]),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40)
@given(WHOLE_VECTOR, WHOLE_VECTOR, WHOLE_VECTOR, NUMBERS)
def test_any_counts_are_judged(
    before: Vector, now: Vector, earlier: Vector, numbers: list[float]
) -> None:
    """Whatever the counts and numbers, there is an answer that JSON can hold."""
    grid = tuple(float(x) for x in np.sort(np.resize(numbers, 1001)))
    profile = replace(
        PROFILE,
        counts=before,
        segment_counts={("region", "a"): before, ("region", "b"): now, ("paid", "1"): before},
    )
    evidence = Evidence(
        profile,
        now,
        {("region", "a"): now, ("region", "b"): before, ("paid", "1"): now, ("paid", "0"): before},
        "paid",
        numeric={"age": NumericSketch(1000, 0, len(set(numbers)), False, 1.0, grid)},
        categorical={"city": names(North=5, east=70)},
        slices=Slices(0, 60, np.array([earlier, before, now, now])),
    )
    found = analyse(evidence)

    assert json.dumps(asdict(found), allow_nan=False)
    assert found.headline.endswith(".")
    assert {f.feature for f in found.features} == {"age", "city", "risk"}


def test_evidence_survives_json() -> None:
    """Evidence read back from JSON is judged the same, to the last digit."""
    evidence = full()
    back = from_mapping(json.loads(json.dumps(to_mapping(evidence), allow_nan=False)))

    assert analyse(back) == analyse(evidence)
    assert to_mapping(back) == to_mapping(evidence)


def test_analysis_is_json() -> None:
    """An analysis goes into JSON whole, without numbers that JSON has no word for."""
    found: Analysis = analyse(full())
    back = json.loads(json.dumps(asdict(found), allow_nan=False))

    assert back["headline"] == found.headline
    assert back["classification"] == "covariate_shift"
    assert back["features"][0]["verdict"] == "distribution_shift"
    assert json.dumps(asdict(analyse(Evidence(PROFILE, vector() * 0))), allow_nan=False)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param({"current": None}, CountsError, id="no counts"),
        pytest.param({"slices": {"shape": [1]}}, CountsError, id="slices without counts"),
        pytest.param({"profile": {}}, ProfileError, id="no profile"),
    ],
)
def test_broken_evidence(change: dict[str, object], error: type[Exception]) -> None:
    """Evidence that was damaged is refused by name."""
    with pytest.raises(error):
        from_mapping({**to_mapping(full()), **change})


@pytest.mark.parametrize("classification", Classification)
def test_each_classification_has_a_recommendation(classification: Classification) -> None:
    """Every incident says what to do, and only drift of labels says to retrain at once."""
    from drift_exporter.analysis.classify import RECOMMENDATIONS

    text = RECOMMENDATIONS[classification]
    assert text.endswith(".")
    assert text.startswith("Retrain") is (classification is Classification.CONCEPT_DRIFT)
    assert text.startswith("Do not retrain") is (classification is Classification.DATA_QUALITY)
