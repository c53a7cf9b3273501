"""Changes of unit: found by name, told from shifts, and by hand where a hand suffices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.errors import DriftExporterError
from drift_exporter.statistics.magnitudes import Points, explain, magnitudes, points, scale_shift
from drift_exporter.statistics.units import AFFINE, FACTORS, UnitChange, unit_change

WEIGHTS = np.full(1000, 1e-3)


def sample(seed: int, rows: int = 4000) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Heights, say: positive, skewed, some three to one."""
    return np.random.default_rng(seed).gamma(9.0, 19.0, rows)


def of(x: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Points:
    """Numbers as a source's quantiles give them."""
    return points(np.quantile(x, np.linspace(0, 1, 1001), method="inverted_cdf"))


def found(factor: float, offset: float = 0.0, share: float = 1.0) -> UnitChange | None:
    """What is found of a change of other rows of the same kind."""
    x = sample(1)
    moved = np.where(np.random.default_rng(2).random(len(x)) < share, factor * x + offset, x)
    return unit_change(of(sample(0)), of(moved), len(x), 4000)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
@pytest.mark.parametrize("unit", FACTORS)
def test_every_named_factor_is_found(unit: str, up: bool) -> None:
    """A whole column in another unit is found by the unit's name, either way round."""
    factor = FACTORS[unit] if up else 1 / FACTORS[unit]
    change = found(factor)

    assert change is not None
    assert change.factor == pytest.approx(factor, rel=0.05)
    assert change.share == pytest.approx(1.0, abs=0.03)
    assert (change.unit, change.offset) == (unit, 0.0)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("factor", [1000.0, 0.01, 60.0])
def test_some_producers_changed(factor: float, share: float) -> None:
    """Where a part of the rows changed, the part is told."""
    change = found(factor, share=share)

    assert change is not None
    assert change.factor == pytest.approx(factor)
    assert change.share == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize("unit", AFFINE)
def test_temperatures_and_signs(unit: str) -> None:
    """Degrees of one scale read as another, and a sign turned round, are found by name."""
    rng = np.random.default_rng(3)
    before = {
        "Fahrenheit to Celsius": rng.normal(60, 9, 4000),
        "Fahrenheit to Kelvin": rng.normal(60, 9, 4000),
        "Kelvin to Celsius": rng.normal(288, 5, 4000),
        "Kelvin to Fahrenheit": rng.normal(288, 5, 4000),
    }.get(unit, rng.normal(15.5, 5, 4000))
    factor, offset = AFFINE[unit]
    change = unit_change(of(before[:2000]), of(factor * before[2000:] + offset), 2000, 2000)

    assert change is not None
    assert change.unit == unit


@pytest.mark.parametrize(
    ("factor", "offset", "share"),
    [
        pytest.param(1.0, 0.0, 1.0, id="nothing"),
        pytest.param(1.3, 0.0, 1.0, id="a third more"),
        pytest.param(1.0, 60.0, 1.0, id="a whole sd more"),
        pytest.param(1.8, -140.0, 1.0, id="wider"),
        pytest.param(0.5, 85.0, 1.0, id="narrower"),
        pytest.param(2.54, 0.0, 0.4, id="small factor of some rows: as well a shift"),
        pytest.param(0.0, -999.0, 0.1, id="a sentinel"),
        pytest.param(0.0, 20000.0, 0.2, id="a sentinel at a hundred times the mean"),
        pytest.param(0.0, 0.0, 1.0, id="all zero"),
    ],
)
def test_a_shift_is_no_unit(factor: float, offset: float, share: float) -> None:
    """Shifts, spreads, sentinels and constants are no changes of unit."""
    assert found(factor, offset, share) is None


def natural(factor: float, spread: float, rows: int, seed: int, *, alone: bool = True) -> bool:
    """Whether a skewed column that grew by a factor is said to have changed its unit."""
    rng = np.random.default_rng((seed, rows))
    before, now = (of(rng.lognormal(8, spread, rows)) for _ in range(2))
    current = Points(now.values * factor, now.weights)
    return unit_change(before, current, rows, rows, alone=alone) is not None


@pytest.mark.parametrize("rows", [300, 3000])
@pytest.mark.parametrize("spread", [0.5, 0.8, 1.2])
def test_a_skewed_column_that_grew_is_no_unit(spread: float, rows: int) -> None:
    """A natural factor is not that of the nearest name, nor one with an offset too small to see."""
    said = [natural(factor, spread, rows, seed) for factor in (1.8, 2.0) for seed in range(10)]
    assert sum(said) <= 1


def test_a_factor_near_a_name_needs_rows_that_tell_it() -> None:
    """A factor of 2.4 is told from 2.54 where there are rows enough; of few nothing is claimed."""
    assert not any(natural(2.4, 0.5, 20_000, seed) for seed in range(10))
    assert not any(natural(2.54, 0.8, 300, seed) for seed in range(10))
    assert sum(natural(2.54, 0.8, 20_000, seed) for seed in range(10)) >= 9


def test_a_small_factor_in_company() -> None:
    """Where other columns moved too, a factor within the column's spread is the world's."""
    assert not any(natural(2.2046, 0.8, 20_000, seed, alone=False) for seed in range(10))
    assert not any(natural(2.2046, 0.5, 20_000, seed, alone=False) for seed in range(10))
    # No world makes all bodies weigh twice as much.
    assert sum(natural(2.2046, 0.2, 20_000, seed, alone=False) for seed in range(10)) >= 9
    assert all(natural(1000, 1.2, 300, seed, alone=False) for seed in range(10))


def test_degrees_need_an_offset_that_shows() -> None:
    """Times 1.8 is Fahrenheit where the 32 degrees show, and no unit where they are a trifle."""
    rng = np.random.default_rng(4)
    air, money = rng.normal(12, 7, 8000), rng.normal(9000, 1800, 8000)
    changes = [unit_change(of(x[:4000]), of(1.8 * x[4000:] + 32), 4000, 4000) for x in (air, money)]

    assert changes[0] is not None
    assert changes[0].unit == "Celsius to Fahrenheit"
    assert changes[1] is None


def test_natural_variation_makes_a_factor_unsure() -> None:
    """What windows vary by anyway counts as error of the factor."""
    before, now = (of(np.random.default_rng(seed).lognormal(3, 0.5, 5000)) for seed in (5, 6))
    current = Points(now.values * 2.54, now.weights)

    assert unit_change(before, current, 5000, 5000) is not None
    assert unit_change(before, current, 5000, 5000, omega=0.02) is None


def test_a_large_factor_without_a_name() -> None:
    """A factor of no known unit is found where it is large and all rows have it."""
    change = found(7.3)

    assert change is not None
    assert change.unit == ""
    assert change.factor == pytest.approx(7.3, rel=0.03)


def test_bins_serve_where_there_are_no_quantiles() -> None:
    """Twelve bins of the reference, spread out, find a thousandfold."""
    x = sample(0)
    edges = np.quantile(x, [0, 0.01, *np.arange(0.1, 0.95, 0.1), 0.99, 1])
    coarse = points(edges, np.histogram(x, edges)[0])
    change = unit_change(coarse, of(sample(1) * 1000), 4000, 4000)

    assert change is not None
    assert change.factor == pytest.approx(1000)


def test_magnitudes_by_hand() -> None:
    """Ten cells per decade; powers of ten lie on edges, and signs do not count."""
    assert magnitudes([1, 10, 100, 0.001, -1, 1.26, 9.99]).tolist() == [0, 10, 20, -30, 0, 1, 9]
    assert magnitudes([10.0**k for k in range(-12, 13)]).tolist() == list(range(-120, 121, 10))


@given(st.integers(-60, 60), st.integers(0, 5))
def test_a_shift_of_cells_is_found(cells: int, seed: int) -> None:
    """Numbers times a power of a cell move by so many cells, zero staying where it is."""
    x = np.append(np.random.default_rng(seed).lognormal(2, 0.7, 800), np.zeros(200))
    factor = 10 ** (cells / 10)
    shift, measured = scale_shift(Points(x, WEIGHTS), Points(x * factor, WEIGHTS))

    assert shift == cells
    assert measured == pytest.approx(factor, rel=0.05)


def test_a_mixture_by_hand() -> None:
    """Of two parts that do not overlap the share is the share of the rows."""
    before = points([1.0, 2.0])
    after = points([101.0, 102.0])
    both = Points(
        np.concatenate((before.values, after.values)),
        np.concatenate((before.weights * 0.7, after.weights * 0.3)),
    )
    fit = explain(before, after, both, 1000)

    assert fit.share == pytest.approx(0.3, abs=1e-3)
    assert fit.explained == pytest.approx(1.0, abs=0.01)
    assert fit.misfit < 0.01


def test_points_of_an_atom_and_of_nothing() -> None:
    """An atom's points are its value exactly; without rows there are no points."""
    assert set(points([5.0, 5.0, 5.0]).values) == {5.0}
    assert points([1.0, 2.0], [0]).values.size == points([]).values.size == 0
    assert unit_change(points([]), points([1.0, 2.0]), 10, 10) is None
    with pytest.raises(DriftExporterError, match="one mass between two edges"):
        points([1.0, 2.0, 3.0], [1, 2, 3])
