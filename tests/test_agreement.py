"""The smallest shift that all windows find: against drawn windows, and that of a single one."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from drift_exporter.statistics.agreement import smallest_agreed_shift
from drift_exporter.statistics.divergences import psi
from drift_exporter.statistics.null_law import threshold
from drift_exporter.statistics.power import NUMERIC_SHARES, smallest_psi, smallest_shift

REFERENCE_ROWS = 200_000
ROWS = np.array([1000, 24_000])
"""Rows of a window of an hour, and of one of a day."""

BINS = len(NUMERIC_SHARES)
COUNTS = np.rint(np.array(NUMERIC_SHARES) * REFERENCE_ROWS)
LIMITS = threshold(2e-4, BINS, ROWS, REFERENCE_ROWS)
WANTED = smallest_psi(LIMITS, BINS, ROWS, REFERENCE_ROWS)


def found(hours: float, wanted: npt.ArrayLike = WANTED, other_rows: float = 0) -> float:
    """The smallest shift so many hours after it began."""
    held = [[1.0, hours / 24]]
    return float(smallest_agreed_shift(np.array([wanted]), [COUNTS], [other_rows], held)[0, 0])


@pytest.mark.parametrize("hours", [5, 8, 11])
def test_nine_in_ten_drawn_windows_are_over(hours: int) -> None:
    """Of a day's windows that hold so many hours of a drawn shift, nine in ten are over."""
    shift = found(hours)
    rng = np.random.default_rng(7)
    edges = stats.norm.ppf(np.cumsum(NUMERIC_SHARES)[:-1])
    draws = 400
    current = np.zeros((draws, BINS), np.int64)
    for i in range(draws):
        values = rng.normal(size=ROWS[1])
        values[: hours * ROWS[0]] += shift
        current[i] = np.bincount(np.searchsorted(edges, values), minlength=BINS)
    over = psi(np.tile(COUNTS.astype(np.int64), (draws, 1)), current) > LIMITS[1]
    assert over.mean() == pytest.approx(0.9, abs=0.06)
    assert shift > float(smallest_shift(LIMITS[0], ROWS[0], REFERENCE_ROWS))


def test_a_full_window_finds_what_it_finds_alone() -> None:
    """Once all windows are full, the one that finds the least decides."""
    alone = smallest_shift(LIMITS, ROWS, REFERENCE_ROWS)
    assert found(24) == pytest.approx(float(alone.max()), abs=1e-3)
    assert found(1, [WANTED[0], np.nan]) == pytest.approx(float(alone[0]), abs=1e-3)


def test_missing_rows_do_not_move() -> None:
    """With half of the rows missing, twice the PSI of the values is needed."""
    twice = found(24, WANTED * 2)
    assert found(24, WANTED, other_rows=REFERENCE_ROWS) == pytest.approx(twice, abs=1e-3)


@pytest.mark.parametrize(
    ("wanted", "counts", "shift"),
    [
        pytest.param([np.nan, np.nan], [5, 5], np.nan, id="no window judges"),
        pytest.param([0.1, 0.1], [0, 5], np.nan, id="a single value"),
        pytest.param([0.1, 50.0], [5, 5], np.inf, id="out of reach"),
        pytest.param([0.0, 0.0], [5, 5], 0.0, id="any at all"),
    ],
)
def test_what_has_no_shift(wanted: list[float], counts: list[int], shift: float) -> None:
    """Nothing to judge is no number, and what cannot be found is infinite."""
    (known,) = smallest_agreed_shift([wanted], [counts], [0], [[1.0, 0.1]])
    assert known == pytest.approx([shift], abs=1e-6, nan_ok=True)
