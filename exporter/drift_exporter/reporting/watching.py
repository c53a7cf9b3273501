"""How well a model was watched: gaps between successful runs.

Pure: runs in, gaps out. Knows no store.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from drift_exporter.reporting.facts import Gap, MonitoringFacts
from drift_exporter.snapshot import Run


def watched(
    model: str,
    runs: Iterable[Run],
    since: float,
    until: float,
    stale_after_seconds: float,
    verdict_changes: int = 0,
) -> MonitoringFacts:
    """How well a model was watched in a span.

    Parameters
    ----------
    model
        Its name.
    runs
        Runs of the model in any order; of those before the span at least the last success.
    since, until
        The span, in seconds since the epoch.
    stale_after_seconds
        How long scores stay after a successful run; what is longer is a gap.
    verdict_changes
        Changes of verdicts in the span, to be told with the rest.

    Returns
    -------
    MonitoringFacts
        What lies before the first recorded run is neither watched nor a gap: nothing is known
        of it.
    """
    known = sorted((run for run in runs if run.started < until), key=lambda run: run.finished)
    inside = [run for run in known if since <= run.finished <= until]
    failed = [run for run in inside if not run.success]
    recorded = max(since, min((run.started for run in known), default=until))
    gaps = tuple(_gaps(known, recorded, until, stale_after_seconds)) if known else ()
    length = until - recorded
    return MonitoringFacts(
        model=model,
        stale_after_seconds=stale_after_seconds,
        runs=len(inside),
        failures=dict(Counter(run.reason for run in failed)),
        recorded_from=recorded if known else None,
        watched_ratio=1 - sum(gap.seconds for gap in gaps) / length
        if known and length > 0
        else None,
        verdict_changes=verdict_changes,
        gaps=gaps,
    )


def _gaps(
    known: Sequence[Run], recorded: float, until: float, stale_after_seconds: float
) -> Iterable[Gap]:
    times = [run.finished for run in known if run.success and run.finished <= until]
    # The first run of all has nothing before it that could have grown stale.
    first = max((at for at in times if at < recorded), default=recorded)
    marks = [first, *(at for at in times if at >= recorded), until]
    for start, end in pairwise(marks):
        begin = max(start, recorded)
        if end - start > stale_after_seconds and end > begin:
            yield Gap(
                start=begin,
                end=end,
                ongoing=end == until,
                failures=dict(
                    Counter(r.reason for r in known if not r.success and begin <= r.finished <= end)
                ),
            )
