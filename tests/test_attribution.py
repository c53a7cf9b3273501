"""What bins add to PSI, and a feature in detail."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift_exporter.counts import Vector
from drift_exporter.profile import CategoryBins, Feature, NumericBins, Profile
from drift_exporter.statistics.attribution import bin_contributions
from drift_exporter.statistics.divergences import psi
from drift_exporter.verdicts.detail import feature_detail

sides = st.lists(st.integers(0, 2000), min_size=7, max_size=7)


@settings(deadline=None)
@given(sides, sides)
def test_contributions_add_up_to_psi(reference: list[int], current: list[int]) -> None:
    """The bins and the thin ones together make PSI; none takes anything away."""
    found = bin_contributions(reference, current)
    whole = float(psi(reference, current))

    assert float(found.bins.sum() + found.together) == pytest.approx(whole, abs=1e-12, nan_ok=True)
    if any(reference) and any(current):
        assert found.bins.min() >= 0
        assert not found.bins[found.thin].any()
        assert found.thin.any() or found.together == 0


def test_contributions_by_hand() -> None:
    """Each bin adds (p - q) ln(p / q) of the smoothed shares."""
    found = bin_contributions([[100, 100, 0]], [[150, 50, 0]])

    # Shares (c + 1/2) / 201 with two bins that are not empty.
    assert found.bins[0] == pytest.approx([50 / 201 * log(301 / 201), 50 / 201 * log(201 / 101), 0])
    assert found.together[0] == 0


PROFILE = Profile(
    model="credit",
    features=(
        Feature("age", "feature", "numeric", NumericBins((30.0, 40.0), 18, 90), why="float64"),
        Feature("city", "feature", "categorical", CategoryBins(("north", "south"))),
    ),
    # age: below, three bins, above, missing, unseen, absent; city: two, other, and the same.
    counts=np.array([0, 100, 200, 100, 0, 0, 0, 0, 200, 195, 3, 2, 0, 0]),
)


def current(*cells: int) -> Vector:
    """Counts of a window."""
    return np.array(cells, dtype=np.int64)


def test_a_feature_in_detail() -> None:
    """Bins carry their names, rows and shares; rows out of range are in the outer bins."""
    window = current(10, 30, 50, 0, 10, 0, 0, 0, 50, 49, 0, 0, 1, 0)
    found = feature_detail(PROFILE, "age", {"1h": window})
    bins = found.windows[0].bins

    assert (found.reference_rows, found.windows[0].rows) == (400, 100)
    assert [b.interval for b in bins] == ["< 30", "[30, 40)", "≥ 40", "missing", "unseen"]
    assert [b.current_rows for b in bins] == [40, 50, 10, 0, 0]
    assert [b.reference_share for b in bins] == [0.25, 0.5, 0.25, 0, 0]
    whole = sum(b.contribution or 0.0 for b in bins)
    assert whole == found.windows[0].psi == pytest.approx(float(psi([100, 200, 100], [40, 50, 10])))


@pytest.mark.parametrize(
    ("cells", "thin", "together"),
    [
        pytest.param((50, 48, 1, 1, 0, 0), ["other", "missing"], True, id="several thin bins"),
        pytest.param((50, 0, 0, 0, 50, 0), ["other", "missing", "unseen"], True, id="new ones too"),
    ],
)
def test_thin_bins_add_together(cells: tuple[int, ...], thin: list[str], together: bool) -> None:
    """Of bins that are compared together it is said what they add together."""
    window = current(0, 25, 50, 25, 0, 0, 0, 0, *cells)
    found = feature_detail(PROFILE, "city", {"1h": window}).windows[0]

    assert [b.interval for b in found.bins if b.thin] == thin
    assert all(b.contribution is None for b in found.bins if b.thin)
    assert (found.thin_contribution is not None) is together


def test_a_single_thin_bin_is_named() -> None:
    """Where only one bin is thin, what it adds is its own."""
    window = current(0, 25, 50, 20, 0, 0, 5, 0, 50, 50, 0, 0, 0, 0)
    found = feature_detail(PROFILE, "age", {"1h": window}).windows[0]
    largest = max(found.bins, key=lambda b: b.contribution or 0.0)

    assert (largest.interval, largest.thin, found.thin_contribution) == ("unseen", False, None)
    assert found.psi == pytest.approx(sum(b.contribution or 0.0 for b in found.bins))


def test_a_window_without_rows_has_no_contributions() -> None:
    """Without rows there are shares of 0 and no PSI, and no error."""
    found = feature_detail(PROFILE, "age", {"1h": PROFILE.layout.zeros()}).windows[0]

    assert (found.psi, found.rows, found.thin_contribution) == (None, 0, None)
    assert {b.contribution for b in found.bins} == {None}
