"""What holds for every pair of histograms."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from itertools import pairwise
from math import inf, isnan, log, nan, sqrt
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance
from scipy.special import rel_entr

from drift_exporter.statistics.distances import (
    ks_statistic,
    wasserstein_distance,
)
from drift_exporter.statistics.divergences import (
    bins_compared,
    hellinger_distance,
    js_distance,
    kl_divergence,
    pool_thin_bins,
    psi,
    total_variation,
)
from drift_exporter.statistics.pairs import Floats, StatisticsError
from drift_exporter.statistics.quality import missing_share, out_of_range_share, unseen_share

Statistic = Callable[..., Floats]
Pair = tuple[list[int], list[int]]

unpooled_psi = partial(psi, pool=False)

RAW: list[Statistic] = [js_distance, hellinger_distance, total_variation]
SYMMETRIC: list[Statistic] = [unpooled_psi, *RAW, ks_statistic]
UNORDERED: list[Statistic] = [psi, unpooled_psi, kl_divergence, *RAW]
ALL: list[Statistic] = [*UNORDERED, ks_statistic]

unhurried = settings(deadline=None)
"""A busy machine is no broken law."""

counts = st.one_of(st.integers(0, 12), st.integers(0, 10_000), st.integers(0, 10**15))


@st.composite
def pairs(draw: st.DrawFn, most: int = 12) -> Pair:
    """Two histograms over the same bins, each with at least one row."""
    bins = draw(st.integers(1, most))
    side = st.lists(counts, min_size=bins, max_size=bins).filter(any)
    return draw(side), draw(side)


@st.composite
def numeric_pairs(draw: st.DrawFn) -> tuple[list[int], list[int], list[float]]:
    """Two histograms and the edges of their bins, some of them without width."""
    reference, current = draw(pairs())
    whole = st.integers(-1000, 1000).map(float)
    size = len(reference) + 1
    return reference, current, sorted(draw(st.lists(whole, min_size=size, max_size=size)))


def _table(statistics: list[Statistic]) -> pytest.MarkDecorator:
    names = [getattr(s, "__name__", "unpooled_psi") for s in statistics]
    return pytest.mark.parametrize("statistic", statistics, ids=names)


@_table(SYMMETRIC)
@unhurried
@given(pair=pairs())
def test_swapping_the_sides_changes_nothing(statistic: Statistic, pair: Pair) -> None:
    """A distance does not know which side is the reference."""
    reference, current = pair

    there, back = statistic(reference, current), statistic(current, reference)

    assert float(there) == pytest.approx(float(back), rel=1e-9, abs=1e-14)


@_table(ALL)
@unhurried
@given(pair=pairs())
def test_no_value_is_below_zero_or_unbounded(statistic: Statistic, pair: Pair) -> None:
    """A divergence is finite and not negative, whatever is empty."""
    assert 0 <= float(statistic(*pair)) < inf


@_table([*RAW, ks_statistic])
@unhurried
@given(pair=pairs())
def test_a_distance_of_shares_is_at_most_one(statistic: Statistic, pair: Pair) -> None:
    """Nothing is further away than having no bin in common."""
    assert float(statistic(*pair)) <= 1


@_table([*RAW, ks_statistic])
@unhurried
@given(pair=pairs())
def test_disjoint_histograms_are_at_distance_one(statistic: Statistic, pair: Pair) -> None:
    """Without a bin in common, all rows of one side before the other's, the distance is 1."""
    left, right = pair

    found = statistic(left + [0] * len(right), [0] * len(left) + right)

    assert float(found) == pytest.approx(1, abs=1e-12)


@_table([*RAW, ks_statistic])
def test_rounding_takes_no_distance_above_one(statistic: Statistic) -> None:
    """Of 2000 disjoint pairs of 24 bins, some add up to a little more than 1 in floats."""
    some = np.random.default_rng(0).integers(0, 10_000, (2000, 24))
    none = np.zeros_like(some)

    found = statistic(np.hstack([some, none]), np.hstack([none, some[::-1]]))

    assert found.max() <= 1


@_table(ALL)
@unhurried
@given(pair=pairs())
def test_equal_counts_are_at_zero(statistic: Statistic, pair: Pair) -> None:
    """A histogram does not diverge from itself."""
    assert float(statistic(pair[0], pair[0])) == 0


@_table([*RAW, ks_statistic])
@unhurried
@given(pair=pairs(), times=st.integers(1, 1000))
def test_equal_shares_of_more_rows_are_at_zero(
    statistic: Statistic, pair: Pair, times: int
) -> None:
    """Raw shares do not know how many rows they were taken from."""
    fewer = [count // 1000 for count in pair[0]]
    fewer[0] += 1

    found = statistic(fewer, [count * times for count in fewer])

    assert float(found) == pytest.approx(0, abs=1e-12)


@_table(UNORDERED)
@unhurried
@given(pair=pairs(), random=st.randoms(use_true_random=False))
def test_the_order_of_the_bins_does_not_matter(
    statistic: Statistic, pair: Pair, random: Random
) -> None:
    """A divergence knows bins, not their order."""
    order = list(range(len(pair[0])))
    random.shuffle(order)
    shuffled = [[side[i] for i in order] for side in pair]

    found = statistic(*shuffled)

    assert float(found) == pytest.approx(float(statistic(*pair)), rel=1e-9, abs=1e-14)


@_table(ALL)
@unhurried
@given(pair=pairs(), more=st.integers(1, 60))
def test_padding_changes_nothing(statistic: Statistic, pair: Pair, more: int) -> None:
    """Columns that are empty on both sides do not exist, to the last bit."""
    padded = [side + [0] * more for side in pair]

    assert float(statistic(*padded)) == float(statistic(*pair))


@_table(ALL)
@unhurried
@given(batch=st.lists(pairs(), min_size=1, max_size=6))
def test_a_feature_does_not_see_its_neighbours(statistic: Statistic, batch: list[Pair]) -> None:
    """All features at once give each the number that it has alone, to the last bit."""
    width = max(len(reference) for reference, _ in batch)
    reference, current = (
        [pair[side] + [0] * (width - len(pair[side])) for pair in batch] for side in (0, 1)
    )

    found = statistic(reference, current)

    assert found.tolist() == [float(statistic(*pair)) for pair in batch]


@_table(RAW)
@unhurried
@given(pair=pairs(), at=st.integers(0, 10))
def test_merging_two_bins_never_adds_distance(statistic: Statistic, pair: Pair, at: int) -> None:
    """Coarser bins see less: the binned distance is a lower bound of the exact one."""
    at %= len(pair[0])
    coarse = [[*side[:at], sum(side[at : at + 2]), *side[at + 2 :]] for side in pair]

    assert float(statistic(*coarse)) <= float(statistic(*pair)) + 1e-7


@unhurried
@given(pair=pairs())
def test_the_distances_keep_their_order(pair: Pair) -> None:
    """KS is at most TV, and TV lies between the square of Hellinger and sqrt(2) times it."""
    ks, tv, hellinger = (
        float(f(*pair)) for f in (ks_statistic, total_variation, hellinger_distance)
    )

    assert ks <= tv + 1e-12
    assert hellinger**2 <= tv + 1e-12
    assert tv <= sqrt(2) * hellinger + 1e-12


@unhurried
@given(pair=pairs())
def test_psi_is_the_sum_of_both_divergences(pair: Pair) -> None:
    """Without pooling PSI is KL there plus KL back."""
    reference, current = pair
    both = float(kl_divergence(reference, current)) + float(kl_divergence(current, reference))

    assert float(unpooled_psi(reference, current)) == pytest.approx(both, rel=1e-9, abs=1e-14)


@unhurried
@given(pair=pairs())
def test_psi_is_that_of_exact_fractions(pair: Pair) -> None:
    """Pooling and smoothing are those of the definition, bin by bin."""
    reference, current = pair
    m, n = sum(reference), sum(current)
    kept = [(r, c) for r, c in zip(reference, current, strict=True) if r or c]
    thin = [(r, c) for r, c in kept if r * min(Fraction(1), Fraction(n, m)) < 5]
    bins = [pair for pair in kept if pair not in thin]
    if thin:
        bins.append((sum(r for r, _ in thin), sum(c for _, c in thin)))
    half = Fraction(1, 2)
    p = [(c + half) / (n + half * len(bins)) for _, c in bins]
    q = [(r + half) / (m + half * len(bins)) for r, _ in bins]
    expected = sum(float(a - b) * log(a / b) for a, b in zip(p, q, strict=True))

    assert int(bins_compared(reference, current)) == len(bins)
    assert float(psi(reference, current)) == pytest.approx(expected, rel=1e-6, abs=1e-13)


@unhurried
@given(pair=pairs())
def test_pooling_loses_no_row(pair: Pair) -> None:
    """Both sides keep their rows, and only the pool may still be thin."""
    reference, current = pool_thin_bins(*pair)
    share = min(Fraction(1), Fraction(sum(pair[1]), sum(pair[0])))

    assert [int(reference.sum()), int(current.sum())] == [sum(pair[0]), sum(pair[1])]
    assert all(
        r == c == 0 or int(r) * share >= 5
        for r, c in zip(reference[:-1], current[:-1], strict=True)
    )


@unhurried
@given(pair=pairs())
def test_divergences_are_those_of_scipy(pair: Pair) -> None:
    """A second implementation gives the same JS distance and KL divergence."""
    reference, current = (np.array(side, dtype=np.float64) for side in pair)
    kept = (reference > 0) | (current > 0)
    r, c = reference[kept] + 0.5, current[kept] + 0.5
    kl = rel_entr(c / c.sum(), r / r.sum()).sum()

    assert float(js_distance(*pair)) == pytest.approx(
        distance.jensenshannon(current, reference, base=2), abs=1e-7
    )
    assert float(kl_divergence(*pair)) == pytest.approx(kl, rel=1e-9, abs=1e-12)


@unhurried
@given(rows=st.integers(10**14, 10**15), moved=st.integers(10**9, 10**11))
def test_divergences_survive_huge_counts(rows: int, moved: int) -> None:
    """With shares q and q (1 + x), KL is the series of sum(q ((1 + x) ln(1 + x) - x))."""
    d = moved / rows
    series = [q * (x**2 / 2 - x**3 / 6 + x**4 / 12) for q, x in [(1 / 3, d), (2 / 3, -d / 2)]]

    found = kl_divergence([rows, 2 * rows], [rows + moved, 2 * rows - moved])

    assert float(found) == pytest.approx(sum(series), rel=1e-8, abs=0)


@unhurried
@given(rows=st.integers(10**14, 10**15), moved=st.integers(10**9, 10**11))
def test_js_distance_survives_huge_counts(rows: int, moved: int) -> None:
    """Where the formula as written loses all digits, the series of the formula is met."""
    d = moved / rows
    expected = sqrt((d**2 / 2 + d**4 / 12) / log(2))

    found = js_distance([rows - moved, rows + moved], [rows + moved, rows - moved])

    assert float(found) == pytest.approx(expected, rel=1e-8, abs=0)


@unhurried
@given(data=numeric_pairs())
def test_wasserstein_is_that_of_rows_lying_evenly(
    data: tuple[list[int], list[int], list[float]],
) -> None:
    """With each bin cut into slivers scipy's distance between points is met."""
    reference, current, edges = data
    slivers = 200
    points = np.concatenate(
        [
            left + (right - left) * (np.arange(slivers) + 0.5) / slivers
            for left, right in pairwise(edges)
        ]
    )
    weights = [np.repeat(np.array(side, dtype=np.float64), slivers) for side in data[:2]]
    widest = max(np.diff(edges))

    found = float(wasserstein_distance(reference, current, edges))

    expected = stats.wasserstein_distance(points, points, *weights)
    assert found == pytest.approx(expected, abs=widest / slivers + 1e-9)


@unhurried
@given(data=numeric_pairs(), more=st.integers(1, 20))
def test_padding_changes_no_distance(
    data: tuple[list[int], list[int], list[float]], more: int
) -> None:
    """Bins without rows and width do not exist."""
    reference, current, edges = data
    wider, none = edges + edges[-1:] * more, [0] * more

    w1 = wasserstein_distance(reference + none, current + none, wider)

    assert float(w1) == float(wasserstein_distance(*data))


@unhurried
@given(data=numeric_pairs(), power=st.integers(-30, 30))
def test_the_distance_has_the_unit_of_the_feature(
    data: tuple[list[int], list[int], list[float]], power: int
) -> None:
    """Metres or millimetres: the Wasserstein distance is the same length."""
    reference, current, edges = data
    other = [edge * 2.0**power for edge in edges]

    assert float(wasserstein_distance(reference, current, other)) == pytest.approx(
        float(wasserstein_distance(*data)) * 2.0**power
    )


@_table(ALL)
@pytest.mark.parametrize(
    ("reference", "current"),
    [
        pytest.param([0, 0], [1, 2], id="no reference"),
        pytest.param([1, 2], [0, 0], id="no current"),
        pytest.param([0, 0], [0, 0], id="neither"),
        pytest.param([], [], id="no bins"),
    ],
)
def test_no_rows_no_value(statistic: Statistic, reference: list[int], current: list[int]) -> None:
    """Without rows on both sides there is no number, and no warning either."""
    sides = np.array(reference, dtype=np.int64), np.array(current, dtype=np.int64)

    assert isnan(float(statistic(*sides)))


@_table(ALL)
def test_a_batch_has_one_value_per_feature(statistic: Statistic) -> None:
    """Shapes follow the features: none, one, many; an empty feature spoils no other."""
    some = np.array([[5, 5], [0, 0], [9, 1]])

    assert statistic(some[:0], some[:0]).shape == (0,)
    assert statistic(some[0], some[0]).shape == ()
    assert np.isnan(statistic(some, some)).tolist() == [False, True, False]
    assert statistic(some, some).dtype == np.float64


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_any_integer_type_counts(dtype: type[np.integer]) -> None:
    """Small and unsigned integers neither wrap around nor subtract below zero."""
    reference, current = np.array([200, 50], dtype), np.array([90, 250], dtype)

    assert float(total_variation(reference, current)) == pytest.approx(0.8 - 90 / 340)
    assert float(out_of_range_share(reference, current, [340, 340])[0]) == pytest.approx(290 / 340)


@_table(ALL)
@pytest.mark.parametrize(
    ("reference", "current", "message"),
    [
        pytest.param([1, 2], [1, 2, 3], r"reference has shape \(2,\), current \(3,\)", id="bins"),
        pytest.param([[1, 2]], [1, 2], r"\(1, 2\), current \(2,\)", id="features"),
        pytest.param([1, 2], [3, -1], "current: found a count of -1 at bin 1", id="negative"),
        pytest.param([[1, 2], [-3, 1]], [[1, 2], [1, 2]], "bin 0 of feature 1", id="where"),
        pytest.param([1.0, 2.0], [1, 2], "reference: .*float64.*integer counts", id="floats"),
        pytest.param(5, 5, r"shape \(\)", id="no bins at all"),
        pytest.param([2**61, 1], [1, 2], "must stay below", id="too many rows"),
    ],
)
def test_what_is_not_a_pair_of_counts_is_refused(
    statistic: Statistic, reference: object, current: object, message: str
) -> None:
    """The message names the side, the place and what to do."""
    with pytest.raises(StatisticsError, match=message):
        statistic(reference, current)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        pytest.param([0, 1], r"shape \(2,\), \(2,\) counts need \(3,\)", id="one too few"),
        pytest.param([0, 1, inf], "not all finite", id="open end"),
        pytest.param([0, nan, 2], "not all finite", id="nan"),
        pytest.param([0, 2, 1], "edges fall", id="falling"),
    ],
)
def test_edges_that_are_not_edges_are_refused(edges: list[float], message: str) -> None:
    """Edges are finite, rise, and are one more than the bins."""
    with pytest.raises(StatisticsError, match=message):
        wasserstein_distance([1, 2], [2, 1], edges)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: missing_share([3], [2]), "missing: found more", id="more than rows"),
        pytest.param(lambda: unseen_share([1, 2], [2]), r"unseen has shape \(2,\)", id="shapes"),
        pytest.param(lambda: out_of_range_share([1], [1, 2], [9]), "below has shape", id="sides"),
        pytest.param(
            lambda: out_of_range_share([1], [-1], [9]), "above: found a count of -1", id="-"
        ),
    ],
)
def test_shares_that_cannot_be_are_refused(call: Callable[[], Floats], message: str) -> None:
    """A part is never more than the whole, nor less than nothing."""
    with pytest.raises(StatisticsError, match=message):
        call()
