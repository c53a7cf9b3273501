"""A window's counts become scores, thresholds and verdicts.

Knows job and counts; never how rows became counts, nor when a run happens.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from drift_exporter.checking.baseline import ALL_ROWS, Baseline, SlotRows, Split
from drift_exporter.checking.job import Job
from drift_exporter.counts import SliceKey, Vector
from drift_exporter.snapshot import CalibrationInfo, SegmentResult, WindowResult
from drift_exporter.statistics.baselines import SLOTS, slot_of
from drift_exporter.verdicts.limits import Compared
from drift_exporter.verdicts.scoring import compared_with, kept_bins, score, score_psi
from drift_exporter.verdicts.verdict import Floats, Integers, judge, reasons


@dataclass
class WindowCounts:
    """Counts of a window, by segment column and segment; all rows under ``("", "")``."""

    sums: dict[Split, Vector] = field(default_factory=dict)
    slot_rows: SlotRows = field(default_factory=dict)
    """Rows per slot, where the reference is seasonal."""

    def add(self, job: Job, key: SliceKey, vector: Vector, times: int = 1) -> None:
        """Add a slice, or take it away with ``times`` of -1."""
        split = (key.segment_by, key.segment)
        more = vector * times if times != 1 else vector
        self.sums[split] = self.sums[split] + more if split in self.sums else more
        if job.baselines.seasonal:
            rows = self.slot_rows.setdefault(split, np.zeros(SLOTS, dtype=np.int64))
            rows[int(slot_of(key.start))] += times * job.profile.layout.rows(vector)


def stored_counts(job: Job, start: int, end: int, segment_by: str | None = None) -> WindowCounts:
    """Counts of the stored slices that start in ``[start, end)``.

    All slices, or those of one column's segments; ``""`` is the slices of all rows.
    """
    if start >= end:
        return WindowCounts()
    which = (job.model.name, job.profile.bins_hash, job.model.slice_seconds, start, end)
    if not job.baselines.seasonal:
        return WindowCounts(job.store.sum_slices(*which, segment_by=segment_by))
    return added(job, job.store.read_slices(*which, segment_by=segment_by))


def added(job: Job, slices: Iterable[tuple[SliceKey, Vector]]) -> WindowCounts:
    """Counts of slices."""
    counts = WindowCounts()
    for key, vector in slices:
        counts.add(job, key, vector)
    return counts


def judge_window(job: Job, window: str, start: int, end: int, counts: WindowCounts) -> WindowResult:
    """Scores and verdicts of one window from its counts."""
    layout = job.profile.layout
    total = counts.sums.get(ALL_ROWS, layout.zeros())
    baseline = job.baselines.of_window(start, counts.slot_rows, job.slotted)
    own = baseline.counts[ALL_ROWS]
    reference = job.reference if own is job.profile.counts else compared_with(job.reference, own)
    rows = layout.rows(total)
    samples = layout.feature_rows(total)
    kept = kept_bins(reference.counts, total, layout)
    why_not = reasons(rows, samples, reference.rows, kept, job.model.min_rows)
    scores = score(reference, total)
    off = np.array([reason is not None for reason in why_not], dtype=np.bool_)
    for values in scores.values():
        values[off] = np.nan
    natural = job.naturals[window]
    compared = Compared(kept[1], samples, reference.rows)
    thresholds = job.limits.of_window(compared, reference.rates, natural)
    noise = (
        job.limits.noise(scores["psi"], compared, natural) if job.limits.psi_calibrated else None
    )
    return WindowResult(
        window=window,
        start=start,
        end=end,
        rows=rows,
        samples=samples,
        scores=scores,
        thresholds=thresholds,
        verdicts=judge(scores, thresholds, why_not),
        segments=tuple(
            _segment(job, window, split, vector, baseline)
            for split, vector in sorted(counts.sums.items())
            if split[0] and job.model.is_segment(split[0]) and layout.rows(vector)
        ),
        bins=_exposed_rows(job, total),
        noise_floor=noise.floor if noise else None,
        surprise=noise.surprise if noise else None,
        reference_span=(
            None
            if baseline.start is None or baseline.end is None
            else (baseline.start, baseline.end)
        ),
    )


def calibration_info(job: Job) -> CalibrationInfo | None:
    """Where the calibrated thresholds of a model come from; None where all are fixed."""
    if not job.limits.any_calibrated:
        return None
    promise, leading = job.promise, job.promise.leading
    test, segments = promise.self_test, promise.leading_segments
    return CalibrationInfo(
        method=str(leading.method),
        reason=str(leading.reason or ""),
        created=promise.created,
        neg_log10_alpha=leading.neg_log10_alpha,
        history_seconds=leading.history_days * 86400,
        budget_per_90_days=promise.budget_per_90_days,
        for_seconds=leading.rule.for_seconds,
        self_test_alarms_per_90_days=test.alarms_per_90_days if test else None,
        self_test_at=test.at if test else None,
        segments_method=str(segments.method) if segments else "",
        segments_reason=str(segments.reason or "") if segments else "",
    )


def _exposed_rows(job: Job, total: Vector) -> dict[int, Integers]:
    if not job.exposed_bins:
        return {}
    bins = job.profile.layout.bins(total)
    return {i: job.bins_of(bins, i) for i in job.exposed_bins}


def _segment(
    job: Job, window: str, split: Split, vector: Vector, baseline: Baseline
) -> SegmentResult:
    layout = job.profile.layout
    known = baseline.counts.get(split, layout.zeros())
    values = score_psi(known, vector, layout)
    samples = layout.feature_rows(vector)
    kept = kept_bins(known, vector, layout)[1]
    values[(samples < job.model.min_rows) | (kept < 2)] = np.nan
    thresholds: Mapping[str, Floats] = {}
    if job.segmented:
        rows = layout.bins(known).sum(axis=1)
        thresholds = job.limits.of_segment(
            *split, Compared(kept, samples, rows), job.naturals[window]
        )
    return SegmentResult(*split, layout.rows(vector), values, thresholds)
