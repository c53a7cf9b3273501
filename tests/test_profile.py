"""Profiles: bins from sketches, JSON and hashes."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from drift_exporter.errors import ProfileError
from drift_exporter.profile import (
    FEW_VALUES,
    GRID,
    CategoryBins,
    CategorySketch,
    Feature,
    NumericBins,
    NumericSketch,
    Profile,
    SegmentColumn,
    category_bins,
    from_json,
    numeric_bins,
    to_json,
)


def sketch(values: Sequence[float] | NDArray[np.float64], integer: bool = False) -> NumericSketch:
    """Sketch values by the definition: the inverse ECDF, counted on fingers."""
    finite = sorted(float(v) for v in values if np.isfinite(v))
    distinct = sorted(set(finite))
    at = [max(-(-k * len(finite) // GRID) - 1, 0) for k in range(GRID + 1)] if finite else []
    with np.errstate(over="ignore"):
        deviation = float(np.std(finite)) if finite else 0.0
    return NumericSketch(
        rows=len(finite),
        missing=0,
        distinct=len(distinct),
        integer=integer,
        deviation=deviation,
        grid=tuple(finite[i] for i in at),
        values=tuple(distinct) if len(distinct) <= FEW_VALUES else (),
    )


def after(value: float) -> float:
    """The next number above."""
    return float(np.nextafter(value, np.inf))


@pytest.mark.parametrize(
    ("values", "edges"),
    [
        pytest.param(
            list(range(1, 1001)),
            [10, 100, 200, 300, 400, 500, 600, 700, 800, 900, 990],
            id="12 bins: deciles and the 1 % tails",
        ),
        pytest.param([0, 0, 1, 1, 1], [1], id="few values: one bin per value"),
        pytest.param([7.5] * 40, [7.5, after(7.5)], id="constant: below, the value, above"),
        pytest.param(
            [0] * 600 + list(range(1, 401)),
            [0, after(0), 100, 200, 300],
            id="zero inflation: the atom, and round(10 x 0.4) bins of the rest",
        ),
        pytest.param(
            list(range(500)) + [1000] * 500,
            [100, 200, 300, 400, 1000, after(1000)],
            id="an atom at the top",
        ),
        pytest.param([], [], id="no value at all: one bin"),
    ],
)
def test_quantile_bins_by_hand(values: list[float], edges: list[float]) -> None:
    """Edges are observed values that a reader can count off."""
    found = numeric_bins(sketch(values)).edges

    assert list(found) == pytest.approx(edges, abs=1.01)
    assert [e for e in found if e in (0, after(0), 7.5, after(7.5), 1000, after(1000))] == [
        e for e in edges if e in (0, after(0), 7.5, after(7.5), 1000, after(1000))
    ]


@pytest.mark.parametrize(
    ("binning", "edges", "low", "high"),
    [
        pytest.param("uniform", [2.5, 5, 7.5], 0, 10, id="uniform"),
        pytest.param((3.0, 4.0), [3, 4], 0, 10, id="explicit"),
        pytest.param((-5.0, 20.0), [-5, 20], -5, 20, id="explicit edges widen the range"),
    ],
)
def test_other_binnings(
    binning: str | tuple[float, ...], edges: list[float], low: float, high: float
) -> None:
    """Uniform bins split the range; explicit edges are taken as they are."""
    bins = numeric_bins(sketch(list(range(11))), binning, 4)

    assert list(bins.edges) == edges
    assert (bins.low, bins.high) == (low, high)


@given(
    st.lists(
        st.one_of(
            st.floats(allow_nan=True, allow_infinity=True, width=64),
            st.integers(-5, 5).map(float),
            st.just(0.0),
        ),
        max_size=200,
    ),
    st.integers(2, 40),
)
def test_bins_are_sound_for_any_reference(values: list[float], bins: int) -> None:
    """Edges rise strictly, cuts never fall, and no finite value of the reference lies outside."""
    found = numeric_bins(sketch(values), bins=bins)

    assert all(a < b for a, b in zip(found.edges, found.edges[1:], strict=False))
    assert (found.cuts[1:] >= found.cuts[:-1]).all()
    assert (found.ends[1:] >= found.ends[:-1]).all()
    assert found.sigma > 0
    finite = [v for v in values if np.isfinite(v)]
    cells = np.searchsorted(found.cuts, finite, side="right")
    assert ((cells >= 1) & (cells <= found.bins)).all()


def test_rare_categories_share_a_bin() -> None:
    """The commonest categories get bins, the others are remembered and share one."""
    counts = (("a", 50), ("b", 30), ("c", 2), ("d", 1))

    bins = category_bins(CategorySketch(83, 0, 4, counts), categories=2)

    assert bins.kept == ("a", "b")
    assert bins.codes == {"a": 0, "b": 1, "c": 2, "d": 2}
    assert bins.bins == 3


def example() -> Profile:
    """A profile with one column of each kind and a segment."""
    return Profile(
        model="credit",
        features=(
            Feature("age", "feature", "numeric", NumericBins((30.0, 40.0), 18.0, 90.0, 9.5)),
            Feature("città", "prediction", "categorical", CategoryBins(("Zürich", '"'), ("x",))),
        ),
        counts=np.arange(14, dtype=np.int64),
        segments=(SegmentColumn("region", ("north",)),),
        segment_counts={("region", "north"): np.arange(14, dtype=np.int64) * 2},
        source="reference.parquet",
        settings="abc",
        created="2026-01-02T03:04:05+00:00",
        left_out={"id": "looks like an identifier"},
    )


def test_a_profile_survives_its_json() -> None:
    """What is written is what is read, hash and all."""
    text = to_json(example())
    again = from_json(text)

    assert to_json(again) == text
    assert again.hash == example().hash
    assert again.bins_hash == example().bins_hash
    assert again.segment_counts["region", "north"].tolist() == list(range(0, 28, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda d: d.update(format_version=9), "format version 9", id="newer format"),
        pytest.param(
            lambda d: d["features"][0]["counts"].__setitem__(0, 99),
            "does not match its hash",
            id="counts changed by hand",
        ),
        pytest.param(
            lambda d: d["features"][0]["edges"].__setitem__(0, 31.0),
            "does not match its hash",
            id="edge changed by hand",
        ),
        pytest.param(lambda d: d["features"][0]["counts"].pop(), "has 7 cells", id="a cell less"),
        pytest.param(lambda d: d.pop("hash"), "not a profile", id="no hash"),
        pytest.param(lambda d: d.update(features=7), "not a profile", id="no list of features"),
    ],
)
def test_a_damaged_profile_is_refused(change: object, message: str) -> None:
    """Any damage is an error that says what to do."""
    document = json.loads(to_json(example()))
    change(document)  # type: ignore[operator]

    with pytest.raises(ProfileError, match=message) as caught:
        from_json(json.dumps(document), "credit.json")
    assert "credit.json" in str(caught.value)
    assert "profile build" in str(caught.value) or "9" in message


@pytest.mark.parametrize("cut", [0, 1, 40, 400])
def test_half_a_profile_is_refused(cut: int) -> None:
    """A file that was cut off is no profile."""
    with pytest.raises(ProfileError, match="not a profile"):
        from_json(to_json(example())[:cut])
