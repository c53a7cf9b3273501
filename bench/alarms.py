"""False pages and delays of calibrated thresholds: ``python bench/alarms.py --runs 2``.

A model of 50 features has 28 days of history and 90 days live, windows of 1 h every 5 minutes,
and nothing drifts: every page is false. Then one feature at a time is shifted at a random time.
All randomness comes from ``--seed``. The rules of other tools are surrogates of what they
document, on our own bins; none of their code runs.
"""

import argparse
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from alarm_scenarios import (
    SCENARIOS,
    SLICE_SECONDS,
    SLICES_PER_DAY,
    START_SECONDS,
    Feature,
    Traffic,
    features,
)
from scipy.special import chdtrc, kolmogorov

from drift_exporter.statistics.baselines import (
    SLOTS,
    Kind,
    counts_by_slot,
    mixed_baseline,
    psi_against_shares,
    slot_of,
)
from drift_exporter.statistics.calibration import Calibration, calibrate
from drift_exporter.statistics.distances import ks_statistic
from drift_exporter.statistics.divergences import js_distance
from drift_exporter.statistics.null_law import neg_log10_p, noise_floor, threshold
from drift_exporter.statistics.rate_law import rate_threshold
from drift_exporter.statistics.tail import Span, episodes, held
from drift_exporter.statistics.timeline import Rule, Series, Timeline

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Windows = tuple[Floats, Counts, Counts, Floats]

DAY = SLICES_PER_DAY
OURS, NOISE = "ours, default", "ours, noise only"
CHANGES = (("mean +0.2 sd", 0.2, 1.0), ("mean +0.3 sd", 0.3, 1.0), ("mean +0.5 sd", 0.5, 1.0),
           ("mean +1 sd", 1.0, 1.0), ("sd x1.5", 0.0, 1.5))  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What a run is made of."""

    scenario: str
    rows_per_hour: float
    features: int
    bins: int
    history_days: int
    live_days: int
    trials: int
    surrogates: bool
    slots: bool
    """Whether past windows may be compared by the hour of the day, as a seasonal reference is."""

    rates: bool
    rule: Rule


@dataclass
class Alarms:
    """A rule over the live days: pages of the model, alarms of its features, time in alarm."""

    model: npt.NDArray[np.bool_]
    alarms: int = 0

    def add(self, above: npt.NDArray[np.bool_], rule: Rule) -> None:
        """Count a feature whose score is above its threshold at these evaluations."""
        firing = held(above.astype(np.float64), rule.evaluations) > 0
        self.alarms += len(spans(firing, rule))
        self.model |= firing


def spans(firing: npt.NDArray[np.bool_], rule: Rule) -> tuple[Span, ...]:
    """Alarms, those closer than `keep_firing_for` being one."""
    return episodes(firing.astype(np.float64), 0.5, rule.keep_firing_seconds // rule.step_seconds)


class Compared:
    """One feature's windows against the baseline that the calibration chose for it."""

    def __init__(self, history: Counts, slots: Counts, kind: Kind, width: int) -> None:
        self.width = width
        self.kind = kind
        self.whole = history.sum(axis=0)
        self.by_slot = counts_by_slot(history, slots)

    def windows(self, counts: Counts) -> Counts:
        """Rows per window and bin."""
        total = np.concatenate([np.zeros_like(counts[:1]), np.cumsum(counts, axis=0)])
        windows: Counts = total[self.width :] - total[: -self.width]
        return windows

    def baseline(self, counts: Counts, slots: Counts) -> tuple[Floats, Counts, Floats]:
        """Shares of the baseline, rows, and effective reference rows per window."""
        n: Counts = self.windows(counts.sum(axis=1, keepdims=True))[:, 0]
        if self.kind is Kind.GLOBAL:
            return self.whole / self.whole.sum(), n, np.full(len(n), float(self.whole.sum()))
        in_slot = np.zeros((len(counts), SLOTS), dtype=np.int64)
        in_slot[np.arange(len(counts)), slots] = counts.sum(axis=1)
        q, m = mixed_baseline(self.by_slot, self.windows(in_slot))
        return q, n, m

    def psi(self, counts: Counts, slots: Counts) -> Windows:
        """PSI, bins, rows and effective reference rows per window."""
        q, n, m = self.baseline(counts, slots)
        return *psi_against_shares(q, m, self.windows(counts)), n, m


def above_ours(
    parts: Windows,
    calibration: Calibration,
    omega: float,
    min_rows: int,
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Evaluations above the default threshold, and above the natural part of it alone."""
    psi, bins, n, m = parts
    evaluable = (n >= min_rows) & (bins >= 2) & ~np.isnan(psi)
    surprise = np.zeros(len(psi))
    at = np.flatnonzero(evaluable)
    surprise[at] = neg_log10_p(psi[at], bins[at], n[at], m[at], omega)
    noise_only = surprise > calibration.neg_log10_alpha
    # The whole threshold is dear and cannot be passed below two of its parts.
    at = np.flatnonzero(noise_only & (psi > noise_floor(bins, n, m)))
    default = np.zeros(len(psi), dtype=np.bool_)
    default[at] = psi[at] > threshold(calibration.alpha, bins[at], n[at], m[at], omega)
    return default, noise_only


def above_rate(
    compared: Compared, counts: Counts, slots: Counts, calibration: Calibration, omega: float
) -> npt.NDArray[np.bool_]:
    """Evaluations in which the second of two bins is above its threshold."""
    windows = compared.windows(counts)
    q, n, m = compared.baseline(counts, slots)
    limit = rate_threshold(calibration.alpha, q[..., -1], n, m, omega)
    return (n >= calibration.rule.min_rows) & (windows[:, -1] > limit * n)


def surrogates(
    feature: Feature, history: Counts, now: Counts, compared: Compared, count: int
) -> dict[str, npt.NDArray[np.bool_]]:
    """What rules that other tools document would say, on our bins."""
    windows, past = compared.windows(now), compared.windows(history)
    whole = np.broadcast_to(compared.whole, windows.shape)
    p = p_values(feature, whole, windows)
    js = js_distance(whole, windows)
    chunks = js_distance(np.broadcast_to(compared.whole, past.shape), past)[:: compared.width]
    return {
        "KS/chi2 p < .05 (Evidently, small reference)": p < 0.05,
        "KS/chi2 p < .05/features (alibi-detect)": p < 0.05 / count,
        "JS >= .1 (Evidently, categories)": js >= 0.1,
        "JS > mean + 3 sd (NannyML)": js > np.nanmean(chunks) + 3 * np.nanstd(chunks),
    }


def p_values(feature: Feature, reference: Counts, windows: Counts) -> Floats:
    """p-value of KS where the bins have an order, else of chi-square."""
    n, m = windows.sum(axis=1), reference.sum(axis=1)
    p: Floats
    with np.errstate(divide="ignore", invalid="ignore"):
        if feature.kind in ("numeric", "zeros"):
            p = kolmogorov(np.sqrt(n * m / (n + m)) * ks_statistic(reference, windows))
        else:
            share = (reference + windows) / (n + m)[:, np.newaxis]
            apart = (windows - n[:, np.newaxis] * share) ** 2 / (n[:, np.newaxis] * share)
            apart += (reference - m[:, np.newaxis] * share) ** 2 / (m[:, np.newaxis] * share)
            p = chdtrc(windows.shape[1] - 1, apart.sum(axis=1))
    return np.nan_to_num(p, nan=1.0)


class Delays:
    """Hours until a page, for one feature that changes at a random time."""

    def __init__(self, settings: Settings, traffic: Traffic, rng: np.random.Generator) -> None:
        self.settings, self.traffic, self.rng = settings, traffic, rng
        self.hours: dict[str, list[float]] = {name: [] for name, _, _ in CHANGES}
        self.of = {
            name: rng.integers(0, numeric_count(settings.features), settings.trials)
            for name, _, _ in CHANGES
        }

    def feature(
        self,
        i: int,
        feature: Feature,
        compared: Compared,
        calibration: Calibration,
        omega: float,
        slots: Counts,
        past: int,
    ) -> None:
        """Run the trials that fall on this feature."""
        rule = calibration.rule
        before = compared.width + rule.evaluations - 1
        for name, shift, spread in CHANGES:
            for _ in range(np.count_nonzero(self.of[name] == i)):
                start = int(self.rng.integers(past + before, len(slots) - DAY))
                span = slice(start - before, start + DAY)
                changed = np.arange(span.start, span.stop) >= start
                moved: Floats = np.where(changed, shift, 0.0)
                scale: Floats = np.where(changed, spread, 1.0)
                counts = self.traffic.part(span).counts(feature, i, self.rng, moved, scale)
                parts = compared.psi(counts, slots[span])
                above, _ = above_ours(parts, calibration, omega, rule.min_rows)
                firing = np.flatnonzero(held(above.astype(np.float64), rule.evaluations) > 0)
                # The first evaluation ends `width` slices into the span; one slice was not new.
                delay = (firing + compared.width - before) * SLICE_SECONDS / 3600
                self.hours[name].append(float(delay[delay > 0].min(initial=np.inf)))


def numeric_count(count: int) -> int:
    """How many of the features are numeric: a shift in sd is meant for these."""
    return max(1, int(0.6 * count))


@dataclass(frozen=True)
class Outcome:
    """What one run found."""

    rules: dict[str, tuple[int, int, float]]
    """Pages of the model, alarms of its features, share of time in alarm, by rule."""

    hours: dict[str, list[float]]
    surprise: float
    threshold: float
    slotted: int


def one_run(settings: Settings, seed: int) -> Outcome:
    """Calibrate a model on its history and live with it for the days that follow."""
    rng = np.random.default_rng([seed, *settings.scenario.encode()])
    past = settings.history_days * DAY
    slices = past + settings.live_days * DAY
    made = features(rng, settings.features, settings.bins)
    traffic = SCENARIOS[settings.scenario](rng, slices, settings.features, settings.rows_per_hour)
    rule, width = settings.rule, settings.rule.window_seconds // SLICE_SECONDS
    counts = [traffic.counts(feature, i, rng).astype(np.int32) for i, feature in enumerate(made)]
    missing = [traffic.missing(i, rng) for i in range(len(made) if settings.rates else 0)]
    slotted = None if settings.slots else False
    series = [Series(f.name, c[:past], slotted=slotted) for f, c in zip(made, counts, strict=True)]
    series += [Series(f"missing_{i}", c[:past], rate=True) for i, c in enumerate(missing)]
    calibration = calibrate(series, Timeline.of(START_SECONDS, past, SLICE_SECONDS), rule)
    # Windows of the first live hour begin in the history, as they do in life.
    live = slice(past - width + 1, slices)
    slots = slot_of(START_SECONDS + SLICE_SECONDS * np.arange(slices, dtype=np.int64))
    evaluations = settings.live_days * DAY
    rules: dict[str, Alarms] = defaultdict(lambda: Alarms(np.zeros(evaluations, dtype=np.bool_)))
    thresholds = []
    delays = Delays(settings, traffic, rng)
    for i, (feature, one) in enumerate(zip(made, calibration.series, strict=False)):
        history, now = counts[i][:past].astype(np.int64), counts[i][live].astype(np.int64)
        compared = Compared(history, slots[:past], one.baseline, width)
        parts = compared.psi(now, slots[live])
        default, noise_only = above_ours(parts, calibration, one.omega, rule.min_rows)
        rules[OURS].add(default, rule)
        rules[NOISE].add(noise_only, rule)
        psi, bins, n, m = (part[:: DAY // 4] for part in parts)
        thresholds.append(np.nanmedian(threshold(calibration.alpha, bins, n, m, one.omega)))
        fixed = Compared(history, slots[:past], Kind.GLOBAL, width)
        psi = parts[0] if one.baseline is Kind.GLOBAL else fixed.psi(now, slots[live])[0]
        for limit in (0.1, 0.25):
            rules[f"PSI > {limit}"].add(psi > limit, rule)
        if settings.surrogates:
            for name, above in surrogates(feature, history, now, fixed, settings.features).items():
                rules[f"surrogate {name}"].add(above, rule)
        delays.feature(i, feature, compared, calibration, one.omega, slots, past)
    for one, both in zip(calibration.series[len(made) :], missing, strict=True):
        compared = Compared(both[:past], slots[:past], one.baseline, width)
        risen = above_rate(compared, both[live], slots[live], calibration, one.omega)
        for name in (OURS, NOISE, "ours, rates alone"):
            rules[name].add(risen, rule)
    return Outcome(
        {
            name: (len(spans(found.model, rule)), found.alarms, float(found.model.mean()))
            for name, found in rules.items()
        },
        delays.hours,
        calibration.neg_log10_alpha,
        float(np.median(thresholds)),
        sum(one.baseline is Kind.SLOTS for one in calibration.series[: len(made)]),
    )


def report(settings: Settings, outcomes: list[Outcome]) -> str:
    """The table of the runs of a scenario."""
    surprise, limit, slotted = (
        float(np.mean([getattr(one, name) for one in outcomes]))
        for name in ("surprise", "threshold", "slotted")
    )
    lines = [
        f"\n## {settings.scenario}, {settings.rows_per_hour:g} rows/h, {len(outcomes)} runs, "
        f"{settings.bins} bins",
        f"\nc* {surprise:.2f}, median threshold {limit:.3f}, slots for {slotted:.0f} features\n",
        "| rule | pages | se | worst | alarms of features | time in alarm |",
        "|---|---|---|---|---|---|",
    ]
    per_90 = 90 / settings.live_days
    for name in outcomes[0].rules:
        pages = np.array([o.rules[name][0] for o in outcomes]) * per_90
        alarms, share = (float(np.mean([o.rules[name][j] for o in outcomes])) for j in (1, 2))
        error = pages.std(ddof=1) / np.sqrt(len(pages)) if len(pages) > 1 else np.nan
        lines.append(
            f"| {name} | {pages.mean():.2f} | {error:.2f} | {pages.max():.0f} "
            f"| {alarms * per_90:.1f} | {share:.1%} |"
        )
    lines += ["\n| change of one feature | found within 24 h | median hours |", "|---|---|---|"]
    for name, _, _ in CHANGES if settings.trials else ():
        hours = np.array([h for o in outcomes for h in o.hours[name]])
        found = np.isfinite(hours)
        median = f"{np.median(hours[found]):.1f}" if found.any() else "-"
        lines.append(f"| {name} | {found.mean():.0%} | {median} |")
    return "\n".join(lines)


def say(line: str) -> None:
    """Print a line at once: a run takes its time."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the scenarios asked for and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--rows-per-hour", type=float, action="append")
    parser.add_argument("--scenario", choices=SCENARIOS, action="append")
    parser.add_argument("--features", type=int, default=50)
    parser.add_argument("--bins", type=int, choices=(10, 12), default=12)
    parser.add_argument("--history-days", type=int, default=28)
    parser.add_argument("--live-days", type=int, default=90)
    parser.add_argument("--for-minutes", type=float, default=7.5, help="as the shipped rules wait")
    parser.add_argument("--budget", type=float, default=1.0)
    parser.add_argument("--trials", type=int, default=12, help="changes of each kind and run")
    parser.add_argument("--surrogates", action="store_true", help="rules of other tools, too")
    parser.add_argument(
        "--no-slots", action="store_true", help="as with a reference of the kind data or rolling"
    )
    parser.add_argument("--rates", action="store_true", help="a missing rate per feature, too")
    parser.add_argument("--seed", type=int, default=1000)
    given = parser.parse_args()
    rule = Rule(for_seconds=int(60 * given.for_minutes), budget_per_90_days=given.budget)
    say("Pages per model, and alarms summed over its features, in 90 days without drift.")
    for rows_per_hour in given.rows_per_hour or [1000.0]:
        for scenario in given.scenario or SCENARIOS:
            settings = Settings(
                scenario, rows_per_hour, given.features, given.bins, given.history_days,
                given.live_days, given.trials, given.surrogates, not given.no_slots, given.rates,
                rule,
            )  # fmt: skip
            before = time.perf_counter()
            outcomes = [one_run(settings, given.seed + i) for i in range(given.runs)]
            say(report(settings, outcomes))
            say(f"\n{(time.perf_counter() - before) / given.runs:.1f} s per run")


if __name__ == "__main__":
    main()
