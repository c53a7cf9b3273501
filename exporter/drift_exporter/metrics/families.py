"""Every metric family: its name, help, labels, and how a snapshot fills it.

The names are public API: ``docs/metrics.md`` is generated from this table and a test holds it.
Knows snapshots; never how bytes are made or served.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from drift_exporter.snapshot import CalibrationInfo, FeatureInfo, Snapshot, WindowResult
from drift_exporter.verdicts.verdict import Floats

Labels = tuple[str, ...]
Sample = tuple[Labels, float]
Fill = Callable[[Snapshot], Iterator[Sample]]

ONCE = "Updated once per run, see modeldrift_run_last_success_timestamp_seconds."


@dataclass(frozen=True)
class Family:
    """A metric family that snapshots fill."""

    name: str
    help: str
    labels: Labels
    fill: Fill
    score: bool = False
    """Whether its series end when the scores are stale."""


STATISTIC_FAMILIES: Mapping[str, tuple[str, str]] = {
    "psi": (
        "psi",
        "Population stability index of the current window against the reference, natural "
        "logarithm, thin bins pooled.",
    ),
    "kl_divergence": (
        "kl_divergence_nats",
        "Kullback-Leibler divergence of the current window from the reference, in nats.",
    ),
    "js_distance": (
        "js_distance",
        "Jensen-Shannon distance of the current window and the reference, base 2, 0 to 1.",
    ),
    "ks_statistic": (
        "ks_statistic",
        "Two-sample Kolmogorov-Smirnov statistic on the bins, numeric columns only.",
    ),
    "missing_ratio": ("missing_ratio", "Share of rows of the window without a value."),
    "unseen_ratio": (
        "unseen_ratio",
        "Share of rows of the window with a category that the reference never had, or with "
        "no number in a numeric column.",
    ),
    "out_of_range_ratio": (
        "out_of_range_ratio",
        "Share of rows of the window below the minimum or above the maximum of the reference, "
        "numeric columns only.",
    ),
    "wasserstein_distance": (
        "wasserstein_distance",
        "Wasserstein distance on the bins, in standard deviations of the reference, numeric "
        "columns only.",
    ),
    "hellinger_distance": (
        "hellinger_distance",
        "Hellinger distance of the current window and the reference, 0 to 1.",
    ),
    "total_variation": (
        "total_variation_distance",
        "Total variation distance of the current window and the reference, 0 to 1.",
    ),
}
"""End of the family's name and help of each statistic of ``config.STATISTICS``, the most
important first: under a tight ``max_series`` the last go first."""

ROLES: Mapping[str, str] = {"feature": "feature", "prediction": "output"}
"""Roles of columns, and the label that names a column of the role."""


def _columns(snapshot: Snapshot, role: str) -> Iterator[tuple[int, FeatureInfo]]:
    return ((i, f) for i, f in enumerate(snapshot.features) if f.role == role)


def _statistic(role: str, statistic: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            values = window.scores.get(statistic)
            if values is None:
                continue
            for i, column in _columns(snapshot, role):
                value = float(values[i])
                if not math.isnan(value):
                    yield (snapshot.model, column.name, window.window), value

    return fill


def _per_window(role: str, value: Callable[[WindowResult, int], float]) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            for i, column in _columns(snapshot, role):
                yield (snapshot.model, column.name, window.window), value(window, i)

    return fill


def _thresholds(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            for (statistic, severity), values in window.thresholds.items():
                for i, column in _columns(snapshot, role):
                    value = float(values[i])
                    if not math.isnan(value):
                        labels = (snapshot.model, column.name, window.window, statistic, severity)
                        yield labels, value

    return fill


def _not_evaluated(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            for i, column in _columns(snapshot, role):
                reason = window.verdicts[i].reason
                if reason is not None:
                    yield (snapshot.model, column.name, window.window, str(reason)), 1.0

    return fill


def _reference_samples(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        if snapshot.reference_samples is not None:
            for i, column in _columns(snapshot, role):
                yield (snapshot.model, column.name), float(snapshot.reference_samples[i])

    return fill


def _reference_missing(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        if snapshot.reference_missing_ratio is not None:
            for i, column in _columns(snapshot, role):
                value = float(snapshot.reference_missing_ratio[i])
                if not math.isnan(value):
                    yield (snapshot.model, column.name), value

    return fill


def _info(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for _, column in _columns(snapshot, role):
            labels = (snapshot.model, column.name, column.kind, column.dtype, str(column.bins))
            yield labels, 1.0

    return fill


def _bin_rows(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            for i, column in _columns(snapshot, role):
                if i in window.bins:
                    names = snapshot.reference_bins[i].names
                    for name, rows in zip(names, window.bins[i], strict=True):
                        yield (snapshot.model, column.name, window.window, name), float(rows)

    return fill


def _reference_bin_rows(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for i, column in _columns(snapshot, role):
            known = snapshot.reference_bins.get(i)
            for name, rows in zip(known.names, known.rows, strict=True) if known else ():
                yield (snapshot.model, column.name, name), float(rows)

    return fill


def _bin_info(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for i, column in _columns(snapshot, role):
            known = snapshot.reference_bins.get(i)
            for name, interval in zip(known.names, known.intervals, strict=True) if known else ():
                yield (snapshot.model, column.name, name, interval), 1.0

    return fill


def _segment_psi(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            for segment in window.segments:
                for i, column in _columns(snapshot, role):
                    value = float(segment.psi[i])
                    if not math.isnan(value):
                        split = (segment.segment_by, segment.segment)
                        yield (snapshot.model, *split, column.name, window.window), value

    return fill


def _segment_thresholds(role: str) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            for segment in window.segments:
                split = (segment.segment_by, segment.segment)
                for severity, values in segment.thresholds.items():
                    for i, column in _columns(snapshot, role):
                        # Without a score there is nothing to hold to it.
                        if not math.isnan(segment.psi[i]) and not math.isnan(values[i]):
                            labels = (*split, column.name, window.window, "psi", severity)
                            yield (snapshot.model, *labels), float(values[i])

    return fill


def _of_noise(role: str, values: Callable[[WindowResult], Floats | None]) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            found = values(window)
            for i, column in _columns(snapshot, role) if found is not None else ():
                value = float(found[i]) if found is not None else math.nan
                if not math.isnan(value):
                    yield (snapshot.model, column.name, window.window), value

    return fill


def _calibration(value: Callable[[CalibrationInfo], float | None]) -> Fill:
    return _model(lambda s: None if s.calibration is None else value(s.calibration))


def _calibration_info(snapshot: Snapshot) -> Iterator[Sample]:
    found = snapshot.calibration
    if found is not None:
        yield (snapshot.model, found.method, found.reason), 1.0


def _segments_calibration_info(snapshot: Snapshot) -> Iterator[Sample]:
    found = snapshot.calibration
    if found is not None and found.segments_method:
        yield (snapshot.model, found.segments_method, found.segments_reason), 1.0


def _reference_span(side: int) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            if window.reference_span is not None:
                yield (snapshot.model, window.window), float(window.reference_span[side])

    return fill


def _segment_rows(snapshot: Snapshot) -> Iterator[Sample]:
    for window in snapshot.windows:
        for segment in window.segments:
            labels = (snapshot.model, segment.segment_by, segment.segment, window.window)
            yield labels, float(segment.rows)


def _window(value: Callable[[WindowResult], float]) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        for window in snapshot.windows:
            yield (snapshot.model, window.window), value(window)

    return fill


def _model(value: Callable[[Snapshot], float | None]) -> Fill:
    def fill(snapshot: Snapshot) -> Iterator[Sample]:
        found = value(snapshot)
        if found is not None:
            yield (snapshot.model,), float(found)

    return fill


def _phases(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.last_run is not None:
        for phase, seconds in snapshot.last_run.phase_seconds.items():
            yield (snapshot.model, phase), seconds


def _model_info(snapshot: Snapshot) -> Iterator[Sample]:
    yield (snapshot.model, snapshot.version, snapshot.owner, snapshot.team, snapshot.tier), 1.0


def _reference_info(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.reference_hash:
        labels = (snapshot.reference, snapshot.reference_hash, snapshot.reference_kind)
        yield (snapshot.model, *labels), 1.0


def _role_families(role: str) -> tuple[list[Family], list[Family], list[Family]]:
    """Families of one role: what comes first, the other statistics, and facts."""
    name = f"modeldrift_{role}_"
    labels: Labels = ("model", ROLES[role], "window")
    scores = [
        Family(f"{name}{ending}", f"{text} {ONCE}", labels, _statistic(role, statistic), score=True)
        for statistic, (ending, text) in STATISTIC_FAMILIES.items()
    ]
    state = [
        Family(
            f"{name}threshold",
            "Score from which a severity holds, by statistic; of shares, the share of the "
            "reference is added.",
            (*labels, "statistic", "severity"),
            _thresholds(role),
        ),
        Family(
            f"{name}evaluated",
            "1 if the last run scored this column in this window, else 0.",
            labels,
            _per_window(role, lambda window, i: float(window.verdicts[i].evaluated)),
        ),
        Family(
            f"{name}not_evaluated",
            "1 for the reason why this column was not scored in this window.",
            (*labels, "reason"),
            _not_evaluated(role),
        ),
        Family(
            f"{name}samples",
            f"Rows of the window that came with this column. {ONCE}",
            labels,
            _per_window(role, lambda window, i: float(window.samples[i])),
            score=True,
        ),
    ]
    facts = [
        Family(
            f"{name}reference_samples",
            "Rows of the reference that came with this column.",
            labels[:2],
            _reference_samples(role),
        ),
        Family(
            f"{name}reference_missing_ratio",
            "Share of rows of the reference without a value.",
            labels[:2],
            _reference_missing(role),
        ),
        Family(
            f"{name}info",
            "Kind, type in the source and number of bins of a column.",
            (*labels[:2], "kind", "dtype", "bins"),
            _info(role),
        ),
    ]
    noise = [
        Family(
            f"{name}psi_noise_floor",
            f"PSI that sampling alone makes, where thresholds are calibrated. {ONCE}",
            labels,
            _of_noise(role, lambda window: window.noise_floor),
            score=True,
        ),
        Family(
            f"{name}psi_surprise",
            "Minus log10 of the p-value of PSI without drift, where thresholds are calibrated. "
            f"{ONCE}",
            labels,
            _of_noise(role, lambda window: window.surprise),
            score=True,
        ),
    ]
    return [scores[0], *state], [*scores[1:], *noise], facts


def _bin_families(role: str) -> list[Family]:
    """Families of the bins of one role, where the config asks for them."""
    name = f"modeldrift_{role}_"
    label = ROLES[role]
    return [
        Family(
            f"{name}bin_rows",
            f"Rows of the window in one bin of a column, where expose_bins asks for it. {ONCE}",
            ("model", label, "window", "bin"),
            _bin_rows(role),
            score=True,
        ),
        Family(
            f"{name}reference_bin_rows",
            "Rows of the reference in one bin of a column.",
            ("model", label, "bin"),
            _reference_bin_rows(role),
        ),
        Family(
            f"{name}bin_info",
            "What a bin of a column holds: an interval, a category, missing or unseen values.",
            ("model", label, "bin", "interval"),
            _bin_info(role),
        ),
    ]


def _families() -> tuple[Family, ...]:
    first, others, facts = zip(*(_role_families(role) for role in ROLES), strict=True)
    segments = [
        Family(
            f"modeldrift_segment_{role}_psi",
            f"Population stability index within one segment of the rows. {ONCE}",
            ("model", "segment_by", "segment", label, "window"),
            _segment_psi(role),
            score=True,
        )
        for role, label in ROLES.items()
    ]
    segment_rows = Family(
        "modeldrift_segment_rows",
        f"Rows of the window in one segment. {ONCE}",
        ("model", "segment_by", "segment", "window"),
        _segment_rows,
        score=True,
    )
    segments += [
        Family(
            f"modeldrift_segment_{role}_threshold",
            "Score of a segment from which a severity holds, where thresholds are calibrated; "
            "else that of all rows holds.",
            ("model", "segment_by", "segment", label, "window", "statistic", "severity"),
            _segment_thresholds(role),
            score=True,
        )
        for role, label in ROLES.items()
    ]
    roles = chain(*first, *others, *facts)
    bins = chain(*(_bin_families(role) for role in ROLES))
    return (*MODEL_FAMILIES, *roles, *segments, segment_rows, *bins)


MODEL: Labels = ("model",)
MODEL_FAMILIES: tuple[Family, ...] = (
    Family(
        "modeldrift_model_info",
        "Version, owner, team and tier of a model, to join alerts with.",
        ("model", "version", "owner", "team", "tier"),
        _model_info,
    ),
    Family(
        "modeldrift_reference_info",
        "Source of a model's reference, hash of its profile, and what windows are compared with: "
        "data, or the rolling or seasonal past.",
        ("model", "reference", "reference_hash", "kind"),
        _reference_info,
    ),
    Family(
        "modeldrift_model_trained_timestamp_seconds",
        "When the deployed version was trained, as the config says.",
        MODEL,
        _model(lambda s: s.trained),
    ),
    Family(
        "modeldrift_model_retrain_interval_seconds",
        "How often the model is meant to be retrained, as the config says.",
        MODEL,
        _model(lambda s: s.retrain_every_seconds),
    ),
    Family(
        "modeldrift_run_success",
        "1 if the last run succeeded, else 0.",
        MODEL,
        _model(lambda s: None if s.last_run is None else float(s.last_run.success)),
    ),
    Family(
        "modeldrift_run_last_success_timestamp_seconds",
        "End of the last successful run; not there before the first.",
        MODEL,
        _model(lambda s: s.last_success),
    ),
    Family(
        "modeldrift_run_last_attempt_timestamp_seconds",
        "End of the last run, whatever its outcome.",
        MODEL,
        _model(lambda s: None if s.last_run is None else s.last_run.finished),
    ),
    Family(
        "modeldrift_run_duration_seconds",
        "Duration of the last run.",
        MODEL,
        _model(lambda s: None if s.last_run is None else s.last_run.finished - s.last_run.started),
    ),
    Family(
        "modeldrift_run_phase_duration_seconds",
        "Duration of a phase of the last run.",
        ("model", "phase"),
        _phases,
    ),
    Family(
        "modeldrift_run_interval_seconds",
        "Longest gap between scheduled runs.",
        MODEL,
        _model(lambda s: s.interval_seconds),
    ),
    Family(
        "modeldrift_run_next_timestamp_seconds",
        "When the next run is due.",
        MODEL,
        _model(lambda s: s.next_run),
    ),
    Family(
        "modeldrift_run_rows_read",
        "Rows that the last run read.",
        MODEL,
        _model(lambda s: None if s.last_run is None else float(s.last_run.rows_read)),
    ),
    Family(
        "modeldrift_scores_stale_after_seconds",
        "How long scores are exposed after the last successful run.",
        MODEL,
        _model(lambda s: s.stale_after_seconds),
    ),
    Family(
        "modeldrift_reference_created_timestamp_seconds",
        "When the reference profile was built.",
        MODEL,
        _model(lambda s: s.reference_created),
    ),
    Family(
        "modeldrift_reference_start_timestamp_seconds",
        "Begin of the past that a window is compared with, where the reference is the past.",
        ("model", "window"),
        _reference_span(0),
    ),
    Family(
        "modeldrift_reference_end_timestamp_seconds",
        "End of the past that a window is compared with, where the reference is the past.",
        ("model", "window"),
        _reference_span(1),
    ),
    Family(
        "modeldrift_calibration_info",
        "How calibrated thresholds were found: history, or analytic with the reason (independent "
        "rows are assumed; trust it after 14 days of history).",
        ("model", "method", "reason"),
        _calibration_info,
    ),
    Family(
        "modeldrift_calibration_segments_info",
        "The same of the segments' thresholds; where their method is analytic, segments may alarm "
        "more often than is promised.",
        ("model", "method", "reason"),
        _segments_calibration_info,
    ),
    Family(
        "modeldrift_calibration_timestamp_seconds",
        "When thresholds were calibrated.",
        MODEL,
        _calibration(lambda c: c.created or None),
    ),
    Family(
        "modeldrift_calibration_neg_log10_alpha",
        "Surprise from which a window is not noise: minus log10 of the probability of a false "
        "alarm in one evaluation of one series.",
        MODEL,
        _calibration(lambda c: c.neg_log10_alpha),
    ),
    Family(
        "modeldrift_calibration_history_seconds",
        "Length of the past that thresholds were calibrated on.",
        MODEL,
        _calibration(lambda c: c.history_seconds),
    ),
    Family(
        "modeldrift_calibration_for_seconds",
        "How long the drift alerts must wait for the promise to hold.",
        MODEL,
        _calibration(lambda c: c.for_seconds),
    ),
    Family(
        "modeldrift_calibration_budget_alarms",
        "False alarms in 90 days that calibrated thresholds promise at most.",
        MODEL,
        _calibration(lambda c: c.budget_per_90_days),
    ),
    Family(
        "modeldrift_self_test_alarms",
        "Alarms in 90 days that the thresholds in force make of the model's past compared with "
        "itself: false, but for drifts of then that are not in calibration.exclude.",
        MODEL,
        _calibration(lambda c: c.self_test_alarms_per_90_days),
    ),
    Family(
        "modeldrift_self_test_timestamp_seconds",
        "When the thresholds in force were tested on the model's past.",
        MODEL,
        _calibration(lambda c: c.self_test_at),
    ),
    Family(
        "modeldrift_window_rows",
        f"Rows of the window. {ONCE}",
        ("model", "window"),
        _window(lambda w: float(w.rows)),
        score=True,
    ),
    Family(
        "modeldrift_window_start_timestamp_seconds",
        "First event time of the window.",
        ("model", "window"),
        _window(lambda w: float(w.start)),
        score=True,
    ),
    Family(
        "modeldrift_window_end_timestamp_seconds",
        "Event time at which the window ends.",
        ("model", "window"),
        _window(lambda w: float(w.end)),
        score=True,
    ),
)
"""Families with a few series per model; ``max_series`` never withholds them."""

FAMILIES = _families()
"""All families that snapshots fill, the most important first."""

CORE_FAMILIES = frozenset(
    f"modeldrift_{role}_{ending}"
    for role in ROLES
    for ending in ("psi", "threshold", "evaluated", "not_evaluated", "samples")
)
"""Families without which no alert works; under a tight limit they are shown for fewer columns."""

PAST_FAMILIES = tuple(
    family
    for family in FAMILIES
    if family.score or family.name in CORE_FAMILIES or family.name.endswith("_threshold")
)
"""Families that are true of a past window too: its scores, and what they were held to."""
