"""A feature looked at closer: the windows that were judged, their slices added up again.

Knows job, snapshot and store; never a page. Reads the slices of all rows alone: what segments
say is in the snapshot.
"""

from drift_exporter.checking.check import Job
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
    windows = {}
    for window in snapshot.windows:
        sums = job.store.sum_slices(
            job.model.name,
            job.profile.bins_hash,
            job.model.slice_seconds,
            window.start,
            window.end,
            segment_by="",
        )
        windows[window.window] = sums.get(("", ""), layout.zeros())
    return feature_detail(job.profile, feature, windows)
