"""Made-up traffic for ``bench/alarms.py``: rows per 5-minute slice and bin, without any drift.

Every feature is a normal latent variable cut into bins, so a "shift" is in its standard
deviations whatever the feature is. Counts are drawn per slice, not row by row, except where the
rows themselves depend on each other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from scipy.special import ndtr, ndtri

from drift_exporter.statistics.baselines import slot_of

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

SLICE_SECONDS = 300
SLICES_PER_HOUR = 12
SLICES_PER_DAY = 288
# A Monday, so that every run has the same weekends.
START_SECONDS = 19_723 * 86_400
ROW_CORRELATION = 0.9
MISSING = (0.0, 0.001, 0.01, 0.05, 0.2)


@dataclass(frozen=True)
class Feature:
    """A feature of the model: its kind, and the edges of its bins on the latent variable."""

    name: str
    kind: str
    edges: Floats


def features(rng: np.random.Generator, count: int, bins: int) -> list[Feature]:
    """Mixed features: 60 % numeric, 10 % zero-inflated, 20 % of 8 categories, 10 % binary."""
    made = []
    for i in range(count):
        place = i / count
        if place < 0.6:
            kind, q = "numeric", numeric_shares(bins)
        elif place < 0.7:
            zero = rng.uniform(0.5, 0.9)
            kind, q = "zeros", np.array([zero, *[(1 - zero) / 5] * 5])
        elif place < 0.9:
            kind, q = "categories", rng.dirichlet(np.full(8, 2.0)) * 0.92 + 0.01
        else:
            share = rng.uniform(0.1, 0.5)
            kind, q = "binary", np.array([1 - share, share])
        made.append(Feature(f"{kind}_{i}", kind, ndtri(np.cumsum(q)[:-1])))
    return made


def numeric_shares(bins: int) -> Floats:
    """Deciles, or deciles and tails of 1 %."""
    if bins == 10:
        return np.full(10, 0.1)
    return np.array([0.01, 0.09, *[0.1] * 8, 0.09, 0.01])


def bin_shares(feature: Feature, shift: Floats, spread: Floats) -> Floats:
    """Share of the rows per bin when the latent variable is moved, shape ``(slices, bins)``."""
    below = ndtr((feature.edges - shift[:, np.newaxis]) / spread[:, np.newaxis])
    ends = np.zeros((len(shift), 1)), np.ones((len(shift), 1))
    shares: Floats = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
    return shares


@dataclass(frozen=True)
class Traffic:
    """A scenario over all slices: how many rows, and how far each feature has wandered."""

    rows: Counts
    shifts: Callable[[int], Floats]
    """Shift per slice of a feature, by its position; the same at every call."""

    rows_depend: bool = False

    def part(self, span: slice) -> "Traffic":
        """The traffic of some of the slices."""
        return Traffic(self.rows[span], lambda i: self.shifts(i)[span], self.rows_depend)

    def counts(
        self,
        feature: Feature,
        i: int,
        rng: np.random.Generator,
        change: Floats | float = 0.0,
        spread: Floats | float = 1.0,
    ) -> Counts:
        """Rows per slice and bin, the feature being moved and spread by so much in each slice."""
        shift = self.shifts(i) + change
        scale = np.broadcast_to(np.asarray(spread, dtype=np.float64), shift.shape)
        if self.rows_depend:
            return self._dependent(feature, shift, scale, rng)
        return rng.multinomial(self.rows, bin_shares(feature, shift, scale))

    def missing(self, i: int, rng: np.random.Generator) -> Counts:
        """Rows per slice with and without a value; the share wanders as the feature does."""
        share = ndtr(ndtri(MISSING[i % len(MISSING)]) + self.shifts(i) / 2)
        gone = rng.binomial(self.rows, share)
        return np.column_stack([self.rows - gone, gone])

    def _dependent(
        self, feature: Feature, shift: Floats, spread: Floats, rng: np.random.Generator
    ) -> Counts:
        total, bins = int(self.rows.sum()), len(feature.edges) + 1
        noise = rng.standard_normal(total) * np.sqrt(1 - ROW_CORRELATION**2)
        latent = lfilter([1.0], [1.0, -ROW_CORRELATION], noise)
        which = np.repeat(np.arange(len(self.rows)), self.rows)
        latent = latent * spread[which] + shift[which]
        cell = which * bins + np.searchsorted(feature.edges, latent, side="right")
        return np.bincount(cell, minlength=len(self.rows) * bins).reshape(-1, bins)


def iid(rng: np.random.Generator, slices: int, _features: int, rows_per_hour: float) -> Traffic:
    """Independent rows, the same every hour."""
    return Traffic(_rows(rng, np.ones(slices), rows_per_hour), lambda _: np.zeros(slices))


def ar1(rng: np.random.Generator, slices: int, features: int, rows_per_hour: float) -> Traffic:
    """Means that wander by .03 to .12 sd, correlated over 0.5 to 12 hours and over features."""
    wander = _wander(rng, slices, features, 0.03, 0.12)
    return Traffic(_rows(rng, np.ones(slices), rows_per_hour), wander)


def season(rng: np.random.Generator, slices: int, features: int, rows_per_hour: float) -> Traffic:
    """Days of up to .5 sd, other weekends, traffic of x .3 to x 1.7, and wandering means."""
    amplitude, phase = rng.uniform(0, 0.5, features), rng.uniform(0, 2 * np.pi, features)
    weekend_shift = rng.normal(0, 0.1, features)
    wander = _wander(rng, slices, features, 0.0, 0.05)
    angle = 2 * np.pi * np.arange(slices) / SLICES_PER_DAY
    weekend = _weekend(slices)

    def shift(i: int) -> Floats:
        daily: Floats = amplitude[i] * np.sin(angle + phase[i])
        moved: Floats = daily + weekend_shift[i] * weekend + wander(i)
        return moved

    return Traffic(_rows(rng, 1 - 0.7 * np.cos(angle), rows_per_hour), shift)


def rows_ar1(
    rng: np.random.Generator, slices: int, _features: int, rows_per_hour: float
) -> Traffic:
    """Rows of which each resembles the one before (correlation .9)."""
    rows = _rows(rng, np.ones(slices), rows_per_hour)
    return Traffic(rows, lambda _: np.zeros(slices), rows_depend=True)


def bursty(rng: np.random.Generator, slices: int, features: int, rows_per_hour: float) -> Traffic:
    """Five times a day one of the features is off by .2 to .5 sd for 20 to 60 minutes."""
    bursts = rng.poisson(5 * slices / SLICES_PER_DAY)
    start, which = rng.integers(0, slices, bursts), rng.integers(0, features, bursts)
    length, size = rng.integers(4, 13, bursts), rng.uniform(0.2, 0.5, bursts)
    size *= rng.choice([-1, 1], bursts)

    def shift(i: int) -> Floats:
        moved = np.zeros(slices)
        for burst in np.flatnonzero(which == i):
            moved[start[burst] : start[burst] + length[burst]] += size[burst]
        return moved

    return Traffic(_rows(rng, np.ones(slices), rows_per_hour), shift)


def trend(rng: np.random.Generator, slices: int, features: int, rows_per_hour: float) -> Traffic:
    """Means that move by up to .1 sd from the first day to the last: less than is worth a page."""
    slope = rng.uniform(-0.1, 0.1, features)
    along = np.linspace(0, 1, slices)
    return Traffic(_rows(rng, np.ones(slices), rows_per_hour), lambda i: slope[i] * along)


def traffic(rng: np.random.Generator, slices: int, features: int, rows_per_hour: float) -> Traffic:
    """Wandering means, nights with a tenth of the rows, weekends with half, bursts of x 3."""
    wander = _wander(rng, slices, features, 0.0, 0.05)
    angle = 2 * np.pi * np.arange(slices) / SLICES_PER_DAY
    factor = np.maximum(0.1, 1 - 1.1 * np.cos(angle)) * (1 - 0.5 * _weekend(slices))
    for start in rng.integers(0, slices, rng.poisson(2 * slices / SLICES_PER_DAY)):
        factor[start : start + 6] *= 3
    return Traffic(_rows(rng, factor, rows_per_hour), wander)


SCENARIOS: dict[str, Callable[[np.random.Generator, int, int, float], Traffic]] = {
    "iid": iid,
    "ar1": ar1,
    "season": season,
    "rows_ar1": rows_ar1,
    "bursty": bursty,
    "trend": trend,
    "traffic": traffic,
}


def _rows(rng: np.random.Generator, factor: Floats, rows_per_hour: float) -> Counts:
    return rng.poisson(factor * rows_per_hour / SLICES_PER_HOUR)


def _weekend(slices: int) -> Floats:
    starts = START_SECONDS + SLICE_SECONDS * np.arange(slices)
    return (slot_of(starts) >= 24).astype(np.float64)


def _wander(
    rng: np.random.Generator, slices: int, features: int, least: float, most: float
) -> Callable[[int], Floats]:
    """Means that wander, half of their variance in common."""
    sd, hours = rng.uniform(least, most, features), rng.uniform(0.5, 12, features)
    seeds = rng.integers(0, 2**62, features)
    common = _ar1_path(rng, slices, 4.0)

    def shift(i: int) -> Floats:
        own = _ar1_path(np.random.default_rng(seeds[i]), slices, hours[i])
        moved: Floats = sd[i] * np.sqrt(0.5) * (common + own)
        return moved

    return shift


def _ar1_path(rng: np.random.Generator, slices: int, hours: float) -> Floats:
    """A path of variance 1 whose correlation falls to 1/e in so many hours."""
    kept = np.exp(-1 / (hours * SLICES_PER_HOUR))
    noise = rng.standard_normal(slices) * np.sqrt(1 - kept**2)
    noise[0] = rng.standard_normal()
    path: Floats = lfilter([1.0], [1.0, -kept], noise)
    return path
