"""Thresholds of a window: fixed ones and calibrated ones, and what both never do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from drift_exporter.config import RATES, ModelConfig
from drift_exporter.verdicts.limits import Compared, Limits, Natural
from drift_exporter.verdicts.verdict import Floats

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text())[
    "thresholds"
]

alphas = st.floats(1, 12).map(lambda exponent: 10**-exponent)
omegas = st.floats(0, 0.5)
effects = st.sampled_from([0.0, 0.01, 0.05, 0.25, 2.0])
sizes = st.integers(100, 10**7)


def limits(*columns: str, **settings: object) -> Limits:
    """The limits of a model whose thresholds are all calibrated, unless told otherwise."""
    document = {"name": "m", "reference": "r.csv", "current": "c.csv", "thresholds": "calibrated"}
    return Limits(ModelConfig.model_validate({**document, **settings}), columns)


def compared(bins: Any, rows: Any, reference_rows: Any) -> Compared:
    """Sizes of a window, one for each column."""
    return Compared(np.atleast_1d(bins), np.atleast_1d(rows), np.atleast_1d(reference_rows))


def shares(*values: float) -> dict[str, Floats]:
    """The same shares of the reference for every rate."""
    return {rate: np.array(values or (0.0,)) for rate in RATES}


def of_column(
    effect: float, alpha: float, omega: float, bins: int, rows: int, reference_rows: int
) -> dict[tuple[str, str], float]:
    """Thresholds of the one column of a model."""
    made = limits("a", calibration={"min_effect": effect})
    natural = Natural(alpha, {name: np.array([omega]) for name in ("psi", *RATES)})
    found = made.of_window(compared(bins, rows, reference_rows), shares(0.03), natural)
    return {key: float(values[0]) for key, values in found.items()}


@given(effects, alphas, omegas, st.integers(2, 32), sizes, st.floats(1, 100))
def test_thresholds_fall_with_more_rows(
    effect: float, alpha: float, omega: float, bins: int, rows: int, times: float
) -> None:
    """More rows in the window never raise a threshold, of PSI or of a rate.

    The law is matched by three cumulants, which is exact to a few per cent.
    """
    few = of_column(effect, alpha, omega, bins, rows, 10**6)
    many = of_column(effect, alpha, omega, bins, round(rows * times), 10**6)

    assert few.keys() == many.keys()
    assert all(many[key] <= few[key] * 1.05 for key in few)


@given(effects, alphas, omegas, st.integers(2, 32), sizes, sizes)
def test_thresholds_are_never_below_what_matters(
    effect: float, alpha: float, omega: float, bins: int, rows: int, reference_rows: int
) -> None:
    """Warning is at least the smallest effect above the noise, critical five times as much; a
    rate may always rise by a percentage point."""
    found = of_column(effect, alpha, omega, bins, rows, reference_rows)

    least = min(effect, 0.02) if bins == 2 else effect
    noise = (bins - 1) * (1 / rows + 1 / reference_rows)
    assert found["psi", "warning"] >= (least + noise) * (1 - 1e-12)
    assert found["psi", "critical"] >= (5 * least + noise) * (1 - 1e-12)
    assert found["psi", "critical"] >= found["psi", "warning"]
    assert all(0.04 - 1e-12 <= found[rate, "warning"] <= 1 for rate in RATES)
    assert not any((rate, "critical") in found for rate in RATES)


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=str(i)) for i, case in enumerate(GOLDEN) if case["delta"] < 0.05]
)
def test_golden_thresholds(case: dict[str, Any]) -> None:
    """A column's warning is the golden threshold, or its smallest effect above the noise."""
    effect = 0.05 if case["delta"] else 0.0
    made = limits("a", features={"overrides": {"a": {"min_effect": effect}}})
    natural = Natural(case["alpha"], {"psi": np.array([case["omega"]])})

    found = made.of_window(compared(case["bins"], case["n"], case["m"]), shares(), natural)

    expected = max(case["tau"], effect + case["noise_floor"])
    assert found["psi", "warning"] == pytest.approx([expected], rel=1e-9)


@pytest.mark.parametrize(
    ("rows", "bins", "expected"),
    [
        pytest.param(100, 11, 0.412, id="100 rows"),
        pytest.param(1000, 12, 0.079, id="1000 rows"),
        pytest.param(10_000, 12, 0.051, id="10000 rows"),
        pytest.param(100_000, 12, 0.050, id="100000 rows"),
    ],
)
def test_the_default_is_the_table_of_the_paper(rows: int, bins: int, expected: float) -> None:
    """Without a word about effects the thresholds are those that statistics 3.1 prints."""
    natural = Natural(10**-3.68, {})

    found = limits("a").of_window(compared(bins, rows, 20 * rows), shares(), natural)

    assert found["psi", "warning"] == pytest.approx([expected], rel=0.025)


def test_fixed_and_calibrated_columns_side_by_side() -> None:
    """Each column has the threshold that its own settings ask for, or none."""
    made = limits(
        "follows", "fixed", "none", "by rate",
        thresholds={"psi": "calibrated", "unseen_ratio": None},
        features={
            "overrides": {
                "fixed": {"thresholds": {"psi": {"warning": 0.3, "critical": 0.6}}},
                "none": {"thresholds": {"psi": None, "missing_ratio": None}},
                "by rate": {"thresholds": {"psi": None, "missing_ratio": "calibrated"}},
            }
        },
    )  # fmt: skip
    sizes_of_all = compared([12] * 4, [10**9] * 4, [10**9] * 4)

    found = made.of_window(sizes_of_all, shares(0.2, 0.2, 0.2, 0.2), Natural(1e-4, {}))

    nan = np.nan
    expected = {
        ("psi", "warning"): [0.05, 0.3, nan, nan],
        ("psi", "critical"): [0.25, 0.6, nan, nan],
        ("missing_ratio", "warning"): [0.3, 0.3, nan, 0.21],
        ("out_of_range_ratio", "warning"): [0.25] * 4,
    }
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, abs=1e-3, nan_ok=True), key
    assert made.psi_calibrated
    assert made.any_calibrated


def test_without_calibrated_columns_nothing_follows() -> None:
    """Fixed thresholds are what they were: no law of noise touches them."""
    made = limits("a", thresholds={})

    few, many = (
        made.of_window(compared(12, rows, rows), shares(), Natural(1e-4, {}))
        for rows in (100, 10**6)
    )

    assert few == many == {
        ("psi", "warning"): 0.1,
        ("psi", "critical"): 0.25,
        ("missing_ratio", "warning"): 0.1,
        ("unseen_ratio", "warning"): 0.05,
        ("out_of_range_ratio", "warning"): 0.05,
    }  # fmt: skip
    assert not made.any_calibrated


@pytest.mark.parametrize(
    ("bins", "rows", "reference_rows"),
    [
        pytest.param(0, 0, 100, id="empty window"),
        pytest.param(0, 100, 0, id="empty reference"),
        pytest.param(1, 100, 100, id="constant column"),
    ],
)
def test_nothing_to_compare_has_no_threshold(bins: int, rows: int, reference_rows: int) -> None:
    """Where nothing can be compared there is no threshold of PSI, and no noise."""
    made = limits("a", "b")
    side_by_side = compared([bins, 12], [rows, 1000], [reference_rows, 1000])

    found = made.of_window(side_by_side, shares(np.nan, 0.0), Natural(1e-4, {}))
    noise = made.noise(np.array([np.nan, 0.1]), side_by_side, Natural(1e-4, {}))

    for key, values in found.items():
        assert np.isnan(values).tolist() == [True, False], key
    assert np.isnan(noise.floor).tolist() == np.isnan(noise.surprise).tolist() == [True, False]


@pytest.mark.parametrize(
    ("of_model", "own", "expected"),
    [
        pytest.param(0.05, None, 0.02, id="the default is too much for two bins"),
        pytest.param(0.01, None, 0.01, id="what the model asks for is less"),
        pytest.param(0.05, 0.1, 0.1, id="the column's own word holds"),
        pytest.param(0.0, None, 0.0, id="no effect is too small"),
    ],
)
def test_columns_of_two_bins(of_model: float, own: float | None, expected: float) -> None:
    """A column of two bins is worth a warning from a smaller PSI on, unless it says itself."""
    made = limits(
        "flag",
        calibration={"min_effect": of_model},
        features={"overrides": {"flag": {"min_effect": own}}},
    )

    found = made.of_window(compared(2, 10**10, 10**10), shares(), Natural(1e-4, {}))

    assert found["psi", "warning"] == pytest.approx([expected], abs=1e-4)


def test_surprise_is_that_of_a_chi_square() -> None:
    """Of independent rows PSI over its noise is a chi-square of one degree less than bins."""
    psi, bins, rows, reference_rows = np.array([0.02, 0.09]), 10, 1000, 50_000
    noise = limits("a", "b").noise(
        psi, compared([bins] * 2, [rows] * 2, [reference_rows] * 2), Natural(1e-4, {})
    )

    v = 1 / rows + 1 / reference_rows
    assert noise.floor == pytest.approx([9 * v] * 2)
    assert noise.surprise == pytest.approx(-np.log10(stats.chi2.sf(psi / v, bins - 1)))


def test_segments_have_their_own_alpha_and_variation() -> None:
    """A segment's threshold follows its own calibration; one that has none varies as all rows."""
    made = limits("a", "b", features={"overrides": {"b": {"thresholds": {"psi": None}}}})
    natural = Natural(
        1e-3,
        {"psi": np.array([0.01, 0.01])},
        segments_alpha=1e-6,
        segments_omega={("region", "north"): np.array([0.2, 0.2])},
    )
    many = compared([12, 12], [10**6] * 2, [10**6] * 2)

    north, south = (made.of_segment("region", name, many, natural) for name in ("north", "south"))
    plain = made.of_segment("region", "south", many, Natural(1e-6, natural.omega))

    # With so many rows only the variation is left: omega times a chi-square of one degree.
    assert north["warning"][0] == pytest.approx(0.2 * stats.chi2.isf(1e-6, 1), rel=0.01)
    assert south["warning"][0] == pytest.approx(0.01 * stats.chi2.isf(1e-6, 1), rel=0.01)
    assert np.array_equal(south["warning"], plain["warning"], equal_nan=True)
    assert north["critical"][0] >= north["warning"][0]
    assert np.isnan(north["warning"][1])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["psi", *RATES]), alphas)
def test_many_windows_meet_the_limits_of_each(seed: int, statistic: str, alpha: float) -> None:
    """What the self-test asks of many windows is what each window's verdict asks."""
    rng = np.random.default_rng(seed)
    made = limits("other", "a", "flag")
    windows = 5
    rows = rng.integers(50, 20_000, windows)
    bins = rng.integers(2, 13, windows)
    psi = rng.exponential(0.05, windows)
    share, reference = rng.uniform(0, 0.2, windows), rng.uniform(0, 0.1, windows)
    natural = Natural(alpha, {statistic: rng.exponential(0.01, 3)})

    over = made.over(
        statistic, 1, psi, share, reference, Compared(bins, rows, rows * 3), natural
    )  # fmt: skip

    for i in range(windows):
        sizes_of_all = compared([bins[i]] * 3, [rows[i]] * 3, [3 * rows[i]] * 3)
        limit = made.of_window(sizes_of_all, shares(*[reference[i]] * 3), natural)
        value = psi[i] if statistic == "psi" else share[i]
        assert over[i] == (value > limit[statistic, "warning"][1])
