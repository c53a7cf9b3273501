"""A feature looked at closer: the windows that were judged, their slices added up again.

Knows job, snapshot and store; never a page. What segments say is in the snapshot.
"""

from drift_exporter.checking.baseline import ALL_ROWS
from drift_exporter.checking.job import Job
from drift_exporter.checking.judging import stored_counts
from drift_exporter.snapshot import Snapshot
from drift_exporter.verdicts.detail import FeatureDetail, feature_detail


def explain(job: Job, snapshot: Snapshot, feature: str) -> FeatureDetail | None:
    """A feature in detail, or None where the model has no such feature.

    Raises
    ------
    StoreError
        If the slices cannot be read.
    """
    layout = job.profile.layout
    if feature not in layout.index:
        return None
    windows, references = {}, {}
    for window in snapshot.windows:
        counts = stored_counts(job, window.start, window.end, segment_by="")
        baseline = job.baselines.of_window(window.start, counts.slot_rows, job.slotted)
        windows[window.window] = counts.sums.get(ALL_ROWS, layout.zeros())
        references[window.window] = baseline.counts[ALL_ROWS]
    return feature_detail(job.profile, feature, windows, references)
