"""Since when: the beginning of a change is found, and none where there is none."""

import numpy as np
import numpy.typing as npt
import pytest

from drift_exporter.errors import DriftExporterError
from drift_exporter.statistics.change_point import change_point

Q = np.array([0.25, 0.25, 0.25, 0.25])
P = np.array([0.4, 0.25, 0.2, 0.15])
BASELINE = (Q * 20_000).astype(np.int64)


def slices(
    rng: np.random.Generator, before: int, after: int, rows: int = 150
) -> npt.NDArray[np.int64]:
    """Slices of which the last ones have other shares."""
    return np.concatenate(
        (rng.multinomial(rows, Q, before), rng.multinomial(rows, P, after))
    ).astype(np.int64)


@pytest.mark.parametrize("after", [4, 12, 30])
def test_the_beginning_is_found(after: int) -> None:
    """The slice is right to one, and the span that is not ruled out holds it."""
    rng = np.random.default_rng(11)
    near, inside = 0, 0
    for _ in range(60):
        found = change_point(slices(rng, 40 - after, after), BASELINE)
        assert found is not None
        near += abs(found.at - (40 - after)) <= 1
        inside += found.earliest <= 40 - after <= found.latest
    assert near >= 54
    assert inside >= 56


def test_no_change_is_found_where_there_is_none() -> None:
    """Of two thousand series without a change a handful at most has one."""
    rng = np.random.default_rng(12)
    wrong = sum(
        change_point(rng.multinomial(150, Q, 40), BASELINE) is not None for _ in range(2000)
    )
    # 2 are expected at 1e-3; 9 have a probability below 1e-3.
    assert wrong < 9


def test_slices_that_wander_anyway() -> None:
    """Slices that vary more than by chance are no change, and a change beside them is."""
    rng = np.random.default_rng(13)
    wrong, right = 0, 0
    for _ in range(100):
        quiet = np.array([rng.multinomial(300, rng.dirichlet(Q * 60)) for _ in range(40)])
        wrong += change_point(quiet, BASELINE) is not None
        quiet[25:] = [rng.multinomial(300, rng.dirichlet(P * 60)) for _ in range(15)]
        found = change_point(quiet, BASELINE)
        right += found is not None and abs(found.at - 25) <= 2
    assert wrong <= 2
    assert right >= 90


def test_the_end_of_a_drift_is_not_its_beginning() -> None:
    """Rows that came back to the reference began nothing."""
    rng = np.random.default_rng(14)
    assert change_point(slices(rng, 20, 20)[::-1], BASELINE) is None


def test_drift_from_the_first_slice_on() -> None:
    """Where all slices have drifted alike, none of them is the beginning."""
    rng = np.random.default_rng(15)
    assert change_point(rng.multinomial(150, P, 40), BASELINE) is None


def test_two_features_say_more_than_one() -> None:
    """Features that change together narrow the beginning down."""
    rng = np.random.default_rng(16)
    wide, narrow = 0, 0
    for _ in range(30):
        a, b = slices(rng, 20, 20, rows=60), slices(rng, 20, 20, rows=60)
        alone = change_point(a, BASELINE)
        together = change_point(np.stack((a, b)), np.stack((BASELINE, BASELINE)))
        assert alone is not None
        assert together is not None
        wide += alone.latest - alone.earliest
        narrow += together.latest - together.earliest
    assert narrow < wide


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param(np.zeros((10, 4), dtype=np.int64), id="no rows"),
        pytest.param(np.ones((1, 4), dtype=np.int64), id="one slice"),
        pytest.param(np.tile([9, 0, 0, 0], (10, 1)), id="one bin"),
    ],
)
def test_nothing_to_compare(counts: npt.NDArray[np.int64]) -> None:
    """Without two slices of rows in two bins there is no change."""
    assert change_point(counts, BASELINE) is None


def test_other_bins_are_refused() -> None:
    """Counts and baseline must have the same bins."""
    with pytest.raises(DriftExporterError, match="baseline"):
        change_point(np.ones((5, 3), dtype=np.int64), BASELINE)
