"""Thresholds follow the law of PSI without drift, to the smallest probability asked for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from drift_exporter.statistics.divergences import psi
from drift_exporter.statistics.null_law import (
    neg_log10_p,
    noise_floor,
    p_value,
    quantile,
    threshold,
)
from drift_exporter.statistics.pairs import StatisticsError
from drift_exporter.statistics.power import NUMERIC_SHARES, smallest_psi, smallest_shift
from drift_exporter.statistics.rate_law import rate_threshold

Case = dict[str, Any]

CASES: list[Case] = json.loads((Path(__file__).parent / "golden.json").read_text())["thresholds"]
FIELDS = ("alpha", "bins", "n", "m", "omega", "delta")

bins_compared = st.integers(2, 60)
window_rows = st.integers(50, 10**7)
natural = st.floats(0, 0.5)
tolerated = st.floats(0, 0.5)
alphas = st.integers(2, 298).map(lambda exponent: 10.0**-exponent)


def _column(name: str) -> npt.NDArray[np.float64]:
    return np.array([np.nan if case[name] is None else case[name] for case in CASES])


def test_thresholds_equal_their_golden_values() -> None:
    """All golden thresholds at once, to nine digits; the noise floor as well."""
    alpha, bins, n, m, omega, delta = (_column(name) for name in FIELDS)
    given_delta = delta > 0

    assert noise_floor(bins, n, m) == pytest.approx(_column("noise_floor"), rel=1e-9)
    assert quantile(alpha, bins, n, m) == pytest.approx(_column("tau_central"), rel=1e-9)
    assert quantile(alpha, bins, n, m, omega) == pytest.approx(_column("tau_natural"), rel=1e-9)
    material = quantile(alpha, bins, n, m, 0.0, delta)
    assert material[given_delta] == pytest.approx(_column("tau_material")[given_delta], rel=1e-9)
    assert threshold(alpha, bins, n, m, omega, delta, 0) == pytest.approx(_column("tau"), rel=1e-9)


def test_the_match_is_close_to_the_exact_law() -> None:
    """Around a true PSI the matched quantile is within 2 % of the noncentral chi-square's."""
    alpha, bins, n, m, _, delta = (_column(name) for name in FIELDS)
    exact = _column("tau_material_exact_ncx2")
    known = ~np.isnan(exact)

    found = quantile(alpha, bins, n, m, 0.0, delta)

    assert found[known] == pytest.approx(exact[known], rel=0.02)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(100, 0.412, id="100 rows, 11 bins left"),
        pytest.param(1000, 0.079, id="1000 rows"),
        pytest.param(10_000, 0.051, id="10000 rows: the floor"),
    ],
)
def test_thresholds_of_the_table(rows: int, expected: float) -> None:
    """A window's threshold is that of the table in the statistics paper (D7)."""
    bins = 11 if rows < 500 else 12

    assert float(threshold(10**-3.68, bins, rows, 20 * rows)) == pytest.approx(expected, rel=0.02)


@given(alphas, bins_compared, window_rows, natural, tolerated)
def test_the_p_value_undoes_the_quantile(
    alpha: float, bins: int, rows: int, omega: float, delta: float
) -> None:
    """Down to 1e-298 the surprise of a quantile is the probability that it was asked for."""
    limit = quantile(alpha, bins, rows, 20 * rows, omega, delta)

    surprise = neg_log10_p(limit, bins, rows, 20 * rows, omega, delta)

    assert float(surprise) == pytest.approx(-np.log10(alpha), rel=1e-6)


@pytest.mark.parametrize(
    ("bins", "ln_p"),
    [
        pytest.param(3, lambda x: -x, id="2 degrees: exp(-x)"),
        pytest.param(5, lambda x: -x + np.log1p(x), id="4 degrees: exp(-x) (1 + x)"),
        pytest.param(7, lambda x: -x + np.log1p(x + x**2 / 2), id="6 degrees: one term more"),
    ],
)
@pytest.mark.parametrize("x", [0.5, 50.0, 660.0, 700.0, 1e4, 1e8])
def test_surprise_has_no_end(bins: int, ln_p: Any, x: float) -> None:
    """Where the p-value is too small for a float its logarithm is still that of the paper."""
    psi_without_drift = 2 * x * (1 / 1000 + 1 / 1000)

    found = float(neg_log10_p(psi_without_drift, bins, 1000, 1000))

    assert found == pytest.approx(-ln_p(x) / np.log(10), rel=1e-9)


def test_p_values_of_a_plain_chi_square() -> None:
    """Without natural variation PSI over the noise is a chi-square, and its p-value is SciPy's."""
    noise = 1 / 500 + 1 / 9000
    measured = np.array([0.0, 0.01, 0.03, 0.2])

    found = p_value(measured, 12, 500, 9000)

    assert found == pytest.approx(stats.chi2.sf(measured / noise, 11), rel=1e-9)


@pytest.mark.parametrize(
    ("bins", "rows", "reference_rows"),
    [
        pytest.param(1, 100, 100, id="one bin"),
        pytest.param(0, 100, 100, id="no bin"),
        pytest.param(12, 0, 100, id="empty window"),
        pytest.param(12, 100, 0, id="empty reference"),
    ],
)
def test_nothing_to_compare_has_no_threshold(bins: int, rows: int, reference_rows: int) -> None:
    """With one bin or an empty side every figure is NaN, beside features that have one."""
    k, n, m = [bins, 12], [rows, 1000], [reference_rows, 1000]

    for found in (
        noise_floor(k, n, m),
        quantile(0.001, k, n, m),
        neg_log10_p(0.1, k, n, m),
        p_value(0.1, k, n, m),
        threshold(0.001, k, n, m),
        smallest_psi(0.1, k, n, m),
    ):
        assert np.isnan(found).tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"alpha": 0.0}, "alpha: found 0", id="no probability"),
        pytest.param({"alpha": 1.0}, "alpha: found 1", id="certainty"),
        pytest.param({"alpha": 1e-300}, "alpha: found 1e-300", id="beyond the last label"),
        pytest.param({"alpha": np.nan}, "alpha: found nan", id="not a number"),
        pytest.param({"omega": -0.1}, "omega: found -0.1", id="negative variation"),
        pytest.param({"delta": -0.1}, "delta: found -0.1", id="negative tolerance"),
        pytest.param({"floor": -0.1}, "floor: found -0.1", id="negative floor"),
    ],
)
def test_arguments_without_meaning_are_named(arguments: dict[str, float], message: str) -> None:
    """An argument that no law has is refused by name and value."""
    with pytest.raises(StatisticsError, match=message):
        threshold(**{"alpha": 0.001, "bins": 12, "rows": 10, "reference_rows": 10, **arguments})


@given(
    st.one_of(
        st.tuples(st.floats(2, 6).map(lambda exponent: 10.0**-exponent), natural),
        st.tuples(alphas, st.just(0.0)),
    ),
    bins_compared,
    window_rows,
    tolerated,
    st.floats(1.01, 100),
)
def test_thresholds_fall_with_more_rows(
    alpha_and_omega: tuple[float, float], bins: int, rows: int, delta: float, times: float
) -> None:
    """More rows, in window or reference, never raise the threshold.

    So it is for every alpha without natural variation, and with it down to 1e-6; beyond, the
    match of three cumulants bends by some percent.
    """
    alpha, omega = alpha_and_omega
    few = threshold(alpha, bins, rows, 20 * rows, omega, delta)
    more = threshold(
        alpha, bins, [rows * times, rows], [20 * rows, 20 * rows * times], omega, delta
    )

    assert (more <= few * (1 + 1e-9)).all()


@given(alphas, bins_compared, window_rows, natural, tolerated, st.floats(0, 0.5))
def test_thresholds_never_fall_below_the_material_effect(
    alpha: float, bins: int, rows: int, omega: float, delta: float, floor: float
) -> None:
    """A threshold is above the floor, above what is tolerated, and above the noise."""
    found = threshold(alpha, bins, rows, 20 * rows, omega, delta, floor)

    assert found >= floor + noise_floor(bins, rows, 20 * rows)
    assert found >= delta
    assert found >= quantile(alpha, bins, rows, 20 * rows)


@given(alphas, bins_compared, window_rows, natural, tolerated)
def test_fewer_false_alarms_cost_a_higher_threshold(
    alpha: float, bins: int, rows: int, omega: float, delta: float
) -> None:
    """A smaller alpha, more natural variation or more tolerance raise the quantile."""
    least = quantile(alpha, bins, rows, 20 * rows, omega, delta)

    for raised in (
        quantile(alpha / 10, bins, rows, 20 * rows, omega, delta),
        quantile(alpha, bins, rows, 20 * rows, omega + 0.1, delta),
        quantile(alpha, bins, rows, 20 * rows, omega, delta + 0.1),
    ):
        assert raised > least


@pytest.mark.parametrize(
    ("rows", "alpha"),
    [
        pytest.param(200, 1e-2, id="200 rows, 1e-2"),
        pytest.param(1000, 1e-2, id="1000 rows, 1e-2"),
        pytest.param(1000, 1e-3, id="1000 rows, 1e-3"),
    ],
)
def test_counts_without_drift_stay_below_as_often_as_promised(rows: int, alpha: float) -> None:
    """Windows drawn from the reference alarm at the nominal rate, within a factor of 2."""
    rng = np.random.default_rng(7)
    reference = np.array([1000, 9000, *[10_000] * 8, 9000, 1000])
    windows = rng.multinomial(rows, reference / reference.sum(), size=60_000)
    rows_of_reference = np.broadcast_to(reference, windows.shape)
    bins = 11 if rows < 500 else 12

    alarms = psi(rows_of_reference, windows) > quantile(alpha, bins, rows, reference.sum())

    assert alpha / 2 < alarms.mean() < 2 * alpha


@pytest.mark.parametrize("omega", [0.0005, 0.005, 0.05])
def test_windows_that_wander_stay_below_as_often_as_promised(omega: float) -> None:
    """Drawn from the law itself, natural variation alarms at the nominal rate within 1.5."""
    rng = np.random.default_rng(11)
    noise = 1 / 1000 + 1 / 50_000
    draws = noise * rng.chisquare(10, 400_000) + (noise + omega) * rng.chisquare(1, 400_000)

    alarms = draws > quantile(1e-3, 12, 1000, 50_000, omega)

    assert 1e-3 / 1.5 < alarms.mean() < 1.5e-3


@given(
    st.integers(0, 2000),
    st.integers(200, 20_000),
    st.integers(2, 12).map(lambda exponent: 10.0**-exponent),
    st.sampled_from([0.0, 0.001, 0.05]),
)
def test_a_rate_above_its_threshold_is_psi_above_the_quantile(
    missing: int, rows: int, alpha: float, omega: float
) -> None:
    """The counts next to a rate's threshold lie on the two sides of the quantile of PSI."""
    reference = [20_000 - missing, missing]
    limit = float(rate_threshold(alpha, missing / 20_000, rows, 20_000, omega, tolerance=0))
    below = int(np.floor(limit * rows))
    if below + 1 > rows:
        return

    found = [
        float(psi(reference, [rows - count, count], pool=False)) for count in (below, below + 1)
    ]

    # Smoothing moves the share of equality, so the lower count can lie left of the valley.
    rises = below / rows >= missing / 20_000
    quiet = float(quantile(alpha, 2, rows, 20_000, omega))
    assert found[1] >= quiet * (1 - 1e-9)
    assert not rises or found[0] <= quiet * (1 + 1e-9)


def test_a_rate_has_to_rise_by_a_point() -> None:
    """With many rows the threshold is the reference plus one percentage point, but at most 1."""
    found = rate_threshold(1e-4, [0.0, 0.05, 0.995, 0.05], [10**9, 10**9, 10**9, 0], 10**9)

    assert found.tolist() == pytest.approx([0.01, 0.06, 1.0, np.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("rows", "shift"),
    [(100, 0.71), (200, 0.54), (500, 0.39), (1000, 0.31), (5000, 0.25), (100_000, 0.23)],
)
def test_the_smallest_shift_of_the_table(rows: int, shift: float) -> None:
    """The mean shift seen in 90 % of windows is that of the table in the statistics paper."""
    limit = threshold(10**-3.68, 11 if rows < 500 else 12, rows, 20 * rows)

    assert float(smallest_shift(limit, rows, 20 * rows)) == pytest.approx(shift, abs=0.015)


@given(st.floats(0.02, 2), st.integers(2, 40), window_rows, st.floats(0.5, 0.99))
def test_the_smallest_drift_is_found_so_often(
    limit: float, bins: int, rows: int, power: float
) -> None:
    """With the smallest PSI the noncentral chi-square is above the threshold so often."""
    noise = 1 / rows + 1 / (20 * rows)
    least = float(smallest_psi(limit, bins, rows, 20 * rows, power))

    found = float(stats.ncx2.sf(limit / noise, bins - 1, least / noise))

    assert found == pytest.approx(power, abs=1e-3) or (least == 0 and found > power)


@pytest.mark.parametrize("varies", [0.005, 0.02, 0.1])
def test_natural_variation_may_work_against_a_drift(varies: float) -> None:
    """Of windows that vary in the drift's own direction the smallest PSI is above the threshold
    nine times in ten; what suffices without variation is not."""
    limit, bins, rows, reference_rows = 0.1, 12, 1000, 20_000
    noise = 1 / rows + 1 / reference_rows
    rng = np.random.default_rng(1)
    direction = np.sqrt(noise + varies) * rng.standard_normal(200_000)
    others = noise * rng.chisquare(bins - 2, 200_000)

    def found(least: float) -> float:
        return float(np.mean((np.sqrt(least) + direction) ** 2 + others > limit))

    told = float(smallest_psi(limit, bins, rows, reference_rows, omega=varies))
    assert found(told) == pytest.approx(0.9, abs=0.02)
    assert found(float(smallest_psi(limit, bins, rows, reference_rows))) < 0.83


def test_no_shift_is_large_enough_for_a_threshold_out_of_reach() -> None:
    """A threshold that no shift of the mean can reach has no smallest shift."""
    assert smallest_shift([0.1, 1e6], 1000, 10_000, NUMERIC_SHARES)[1] == np.inf
