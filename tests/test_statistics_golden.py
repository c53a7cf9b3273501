"""Every statistic equals vectors that were computed with fractions and 60 digits."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drift_exporter.statistics.distances import ks_statistic, wasserstein_distance
from drift_exporter.statistics.divergences import (
    bins_compared,
    hellinger_distance,
    js_distance,
    kl_divergence,
    pool_thin_bins,
    psi,
    total_variation,
)
from drift_exporter.statistics.pairs import Floats
from drift_exporter.statistics.quality import missing_share, unseen_share

Case = dict[str, Any]

CASES: list[Case] = json.loads((Path(__file__).parent / "golden.json").read_text())["cases"]
ORDERED = [case for case in CASES if case["edges"] is not None]

to_nine_digits = partial(pytest.approx, rel=1e-9, abs=1e-15, nan_ok=True)

DIVERGENCES: dict[str, Callable[..., Floats]] = {
    "psi_pooled": psi,
    "psi": partial(psi, pool=False),
    "kl": kl_divergence,
    "js_distance": js_distance,
    "hellinger": hellinger_distance,
    "tvd": total_variation,
}


def _all_bins(case: Case, side: int) -> list[int]:
    values = case["ref" if side == 0 else "cur"]
    return [*values, case["missing"][side], case["unseen"][side]]


def _expected(case: Case, name: str) -> float:
    value = case["expected"][name]
    return np.nan if value is None else float(value)


def _padded(rows: list[list[int]]) -> list[list[int]]:
    width = max(len(row) for row in rows)
    return [row + [0] * (width - len(row)) for row in rows]


def _named(cases: list[Case]) -> list[Any]:
    return [pytest.param(case, id=case["id"]) for case in cases]


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("case", _named(CASES))
def test_a_divergence_equals_its_golden_value(case: Case, name: str) -> None:
    """A divergence over values, missing and unseen is the exact one to nine digits."""
    found = DIVERGENCES[name](_all_bins(case, 0), _all_bins(case, 1))

    assert float(found) == to_nine_digits(_expected(case, name))


@pytest.mark.parametrize("name", DIVERGENCES)
def test_all_golden_cases_at_once(name: str) -> None:
    """Features of 1 to 100 bins in one array, filled up with zeros, get the same values."""
    reference, current = (_padded([_all_bins(c, side) for c in CASES]) for side in (0, 1))

    found = DIVERGENCES[name](reference, current)

    assert found.tolist() == to_nine_digits([_expected(c, name) for c in CASES])


@pytest.mark.parametrize("case", _named(CASES))
def test_the_bins_compared_are_the_golden_ones(case: Case) -> None:
    """As many bins are left after pooling as in exact arithmetic, none without rows."""
    found = bins_compared(_all_bins(case, 0), _all_bins(case, 1))

    assert int(found) == (case["expected"]["pooled_bins"] or 0)


@pytest.mark.parametrize("case", _named(CASES))
def test_the_reverse_divergence_is_the_golden_one(case: Case) -> None:
    """KL(reference||current) is the same function with the sides swapped."""
    found = kl_divergence(_all_bins(case, 1), _all_bins(case, 0))

    assert float(found) == to_nine_digits(_expected(case, "kl_ref_cur"))


@pytest.mark.parametrize("case", _named(ORDERED))
def test_distances_of_numbers_equal_their_golden_values(case: Case) -> None:
    """KS and Wasserstein see the values alone, whatever is missing."""
    ks = ks_statistic(case["ref"], case["cur"])
    w1 = wasserstein_distance(case["ref"], case["cur"], case["edges"])

    assert float(ks) == to_nine_digits(_expected(case, "ks"))
    assert float(w1) == to_nine_digits(_expected(case, "wasserstein"))


def test_all_ordered_golden_cases_at_once() -> None:
    """Narrow features are filled up with zero counts and their last edge."""
    width = max(len(case["ref"]) for case in ORDERED)
    edges = [c["edges"] + c["edges"][-1:] * (width + 1 - len(c["edges"])) for c in ORDERED]
    reference, current = (_padded([c[side] for c in ORDERED]) for side in ("ref", "cur"))

    ks = ks_statistic(reference, current)
    w1 = wasserstein_distance(reference, current, edges)

    assert ks.tolist() == to_nine_digits([_expected(c, "ks") for c in ORDERED])
    assert w1.tolist() == to_nine_digits([_expected(c, "wasserstein") for c in ORDERED])


@pytest.mark.parametrize(
    ("case_id", "missing", "unseen"),
    [
        pytest.param("ord-missing-jump", 0.1, 0.0, id="100 of 1000 missing"),
        pytest.param("ord-all-missing", 1.0, 0.0, id="all missing"),
        pytest.param("cat-missing-and-unseen", 0.12, 0.08, id="120 and 80 of 1000"),
        pytest.param("ord-empty-window", np.nan, np.nan, id="no rows"),
    ],
)
def test_shares_of_golden_windows(case_id: str, missing: float, unseen: float) -> None:
    """Missing and unseen are shares of all rows of the window."""
    case = next(case for case in CASES if case["id"] == case_id)
    rows = sum(_all_bins(case, 1))

    found = missing_share(case["missing"][1], rows), unseen_share(case["unseen"][1], rows)

    assert [float(share) for share in found] == pytest.approx([missing, unseen], nan_ok=True)


def test_missing_rows_may_share_the_pool() -> None:
    """Missing is a bin like any other: thin in the reference, it is merged with unseen."""
    case = next(case for case in CASES if case["id"] == "cat-missing-and-unseen")

    reference, current = pool_thin_bins(_all_bins(case, 0), _all_bins(case, 1))

    assert reference.tolist() == [5000, 3000, 2000, 0, 0, 50]
    assert current.tolist() == [380, 260, 160, 0, 0, 200]
