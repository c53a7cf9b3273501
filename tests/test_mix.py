"""A shift of the whole, its mix of segments and what is within them: laws and cases by hand."""

from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drift_exporter.errors import DriftExporterError
from drift_exporter.statistics.divergences import psi
from drift_exporter.statistics.mix import split_by_segment

tables = st.lists(
    st.lists(st.integers(0, 500), min_size=4, max_size=4), min_size=3, max_size=3
).filter(lambda rows: any(map(any, rows)))


@given(tables, tables)
def test_parts_add_up(reference: list[list[int]], current: list[list[int]]) -> None:
    """Mix and within make PSI of all rows, and the joint is never less."""
    split = split_by_segment(reference, current)
    whole = psi(np.sum(reference, axis=0), np.sum(current, axis=0), pool=False)

    assert split.marginal == pytest.approx(float(whole), abs=1e-9)
    assert split.mix + split.within.sum() == pytest.approx(split.marginal, abs=1e-9)
    assert split.joint >= split.marginal - 1e-9
    assert split.joint_mix >= 0


@given(tables, tables)
def test_joint_is_psi_of_the_pairs(reference: list[list[int]], current: list[list[int]]) -> None:
    """The chain rule: mix and within make the PSI of segment and bin together."""
    split = split_by_segment(reference, current)
    r, c = np.array(reference), np.array(current)
    kept = np.ix_((r + c).any(axis=1), (r + c).any(axis=0))
    q, p = ((side[kept] + 0.5 / kept[0].size) for side in (r, c))
    q, p = q / q.sum(), p / p.sum()

    # Rows of a segment that is empty on both sides are smoothed by the others' share only.
    if kept[0].size == len(r):
        assert split.joint == pytest.approx(float(((p - q) * np.log(p / q)).sum()), abs=1e-9)


def test_mix_only() -> None:
    """Simpson: the whole shifts though no segment does."""
    reference = np.array([[9000, 1000], [1000, 9000]])
    split = split_by_segment(reference, reference * np.array([[3], [1]]))

    # By hand: bins go from 1/2 to 0.7 and 0.3.
    assert split.marginal == pytest.approx(0.2 * log(1.4) - 0.2 * log(0.6), abs=1e-3)
    assert split.mix == pytest.approx(split.marginal, abs=1e-3)
    assert split.joint_within == pytest.approx([0, 0], abs=1e-3)


def test_one_segment_shifted() -> None:
    """What one segment did is within it, and the mix is nothing."""
    reference = np.array([[5000, 5000], [5000, 5000]])
    split = split_by_segment(reference, [[5000, 5000], [2000, 8000]])

    assert split.mix == pytest.approx(0, abs=1e-3)
    assert split.within == pytest.approx([0, split.marginal], abs=1e-3)


def test_segments_that_cancel_out() -> None:
    """Two opposite shifts are nothing in the whole, and plain in the joint."""
    split = split_by_segment([[5000, 5000], [5000, 5000]], [[8000, 2000], [2000, 8000]])

    assert split.marginal == pytest.approx(0, abs=1e-6)
    # By hand: half of PSI(50:50, 80:20) in each segment.
    assert split.joint_within == pytest.approx([0.15 * log(4)] * 2, abs=1e-3)


@pytest.mark.parametrize(
    ("reference", "current"),
    [
        pytest.param([[1, 2]], [[0, 0]], id="no rows"),
        pytest.param([1, 2], [1, 2], id="no segments"),
        pytest.param([[1, 2]], [[1, 2, 3]], id="other bins"),
    ],
)
def test_what_does_not_fit(reference: list[int], current: list[int]) -> None:
    """Tables that cannot be split are refused."""
    with pytest.raises(DriftExporterError):
        split_by_segment(reference, current)
