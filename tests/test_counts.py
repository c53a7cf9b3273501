"""The layout of counts: where cells stand and how they are read."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.counts import Block, layout_of
from drift_exporter.errors import CountsError

# Numeric with 2 bins: below, 2 bins, above, missing, unseen, absent.
# Categories a, b and other: 3 bins, missing, unseen, absent.
LAYOUT = layout_of([Block("age", numeric=True, bins=2), Block("city", numeric=False, bins=3)])
VECTOR = np.array([1, 20, 30, 4, 5, 6, 7, 40, 10, 5, 8, 3, 7], dtype=np.int64)


def test_the_outer_bins_hold_what_lies_outside() -> None:
    """Rows below the minimum count in the first bin, rows above the maximum in the last."""
    assert LAYOUT.value_bins(VECTOR).tolist() == [[21, 34, 0], [40, 10, 5]]
    assert LAYOUT.outside(VECTOR).tolist() == [5, 0]


def test_bins_end_with_missing_and_unseen() -> None:
    """Divergences see the value bins, then missing, then unseen; absent rows are not there."""
    assert LAYOUT.bins(VECTOR).tolist() == [[21, 34, 0, 5, 6], [40, 10, 5, 8, 3]]


def test_every_feature_counts_every_row() -> None:
    """Rows are the sum of any feature's cells; a feature's own rows leave out the absent."""
    assert LAYOUT.rows(VECTOR) == 73
    assert LAYOUT.absent(VECTOR).tolist() == [7, 7]
    assert LAYOUT.feature_rows(VECTOR).tolist() == [66, 66]


def test_counts_of_another_layout_are_refused() -> None:
    """A vector that was counted on other bins is an error, never a wrong number."""
    with pytest.raises(CountsError, match="layout of 13 cells"):
        LAYOUT.bins(np.zeros(12, dtype=np.int64))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, 6)), min_size=1, max_size=8),
    st.integers(0, 2**32 - 1),
)
def test_reading_adds_up(blocks: list[tuple[bool, int]], seed: int) -> None:
    """Whatever the layout, bins, missing, unseen and absent hold each row once, and sums add."""
    layout = layout_of([Block(str(i), numeric, bins) for i, (numeric, bins) in enumerate(blocks)])
    rng = np.random.default_rng(seed)
    one, two = rng.integers(0, 1000, (2, layout.size))

    for i in range(len(blocks)):
        cells = layout.cells(one, i).sum()
        assert layout.bins(one)[i].sum() + layout.absent(one)[i] == cells
    total = layout.total([one, two])
    assert (layout.bins(total) == layout.bins(one) + layout.bins(two)).all()
