"""Labels by bin: the split by hand, and the test's errors of both kinds."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.errors import DriftExporterError
from drift_exporter.statistics.concept import LabelChange, label_change

SHARES = np.full(10, 0.1)
RATES = np.linspace(0.05, 0.5, 10)

tables = st.lists(
    st.lists(st.integers(0, 200), min_size=5, max_size=5), min_size=2, max_size=2
).filter(lambda rows: any(map(any, rows)))


def drawn(
    rng: np.random.Generator, rows: int, shares: npt.NDArray[np.float64], rates: npt.ArrayLike
) -> npt.NDArray[np.int64]:
    """Rows by label value and bin."""
    bins = rng.multinomial(rows, shares)
    events = rng.binomial(bins, np.asarray(rates))
    return np.stack((bins - events, events)).astype(np.int64)


def surprises(
    rng: np.random.Generator, shares: npt.NDArray[np.float64], rates: npt.ArrayLike, rows: int
) -> int:
    """How many of 300 windows are beyond 1e-3."""
    found = 0
    for _ in range(300):
        reference = drawn(rng, 20_000, SHARES, RATES)
        change = label_change(reference, drawn(rng, rows, shares, rates), [0, 1])
        found += change.neg_log10_p > 3
    return found


@given(tables, tables)
def test_parts_add_up(reference: list[list[int]], current: list[list[int]]) -> None:
    """Covariate and within make the change of the mean over the bins that both have."""
    found = label_change(reference, current, [0, 1])
    if math.isnan(found.within):
        return
    change = found.current_mean - found.reference_mean
    assert found.covariate + found.within == pytest.approx(change, abs=1e-12)
    assert found.exchanged >= abs(found.covariate) - 1e-12


def test_by_hand() -> None:
    """Two bins on paper."""
    # Shares 1/2, 1/2 to 1/4, 3/4; means 0.1, 0.5 to 0.2, 0.5.
    found: LabelChange = label_change([[900, 500], [100, 500]], [[400, 750], [100, 750]], [0, 1])

    assert (found.reference_mean, found.current_mean) == pytest.approx((0.3, 0.425))
    assert found.covariate == pytest.approx(-0.25 * 0.15 + 0.25 * 0.5)
    assert found.within == pytest.approx(0.375 * 0.1)
    assert found.bins == pytest.approx([0.1, 0.0])
    assert found.tested == 2


def test_rows_shift_between_bins() -> None:
    """A covariate shift, however large, is no concept drift."""
    other = np.linspace(0.2, 1.8, 10) / 10
    assert surprises(np.random.default_rng(21), other, RATES, 2000) <= 3


def test_labels_change_within_bins() -> None:
    """A rate times 1.3 in the top four bins is found in nine of ten windows of 2000 rows."""
    rates = np.where(np.arange(10) >= 6, 1.3, 1.0) * RATES
    assert surprises(np.random.default_rng(22), SHARES, rates, 2000) >= 270


def test_opposite_changes_do_not_cancel() -> None:
    """Where some bins gain what others lose, the mean stands still and the effect does not."""
    rates = RATES + np.tile([0.15, -0.15], 5) * (RATES > 0.16)
    reference, current = (np.rint([100_000 * (1 - r), 100_000 * r]) for r in (RATES, rates))
    found = label_change(reference, current, [0, 1])

    assert found.within == pytest.approx(float((rates - RATES).mean()), abs=1e-6)
    assert found.effect == pytest.approx(float(np.abs(rates - RATES).mean()), rel=0.01)
    assert found.neg_log10_p > 100


def test_few_valued_labels() -> None:
    """Labels may be any few numbers."""
    found = label_change([[50], [30], [20]], [[20], [30], [50]], [1, 2, 5])

    assert found.reference_mean == pytest.approx(2.1)
    assert found.within == pytest.approx(3.3 - 2.1)


def test_without_common_rows() -> None:
    """Where no bin has rows on both sides nothing is known, and nothing is claimed."""
    found = label_change([[5, 0], [5, 0]], [[0, 5], [0, 5]], [0, 1])

    assert math.isnan(found.within)
    assert (found.tested, found.neg_log10_p) == (0, 0.0)


def test_what_does_not_fit() -> None:
    """There is a value for each row of the tables."""
    with pytest.raises(DriftExporterError, match="values"):
        label_change([[1], [2]], [[1], [2]], [0, 1, 2])
