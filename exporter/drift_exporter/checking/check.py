"""Story one: new slices → windows → scores → verdicts → snapshot.

Knows the order of the steps and what is kept of each. A run reads only what is new, replaces
the slices of the last ``lateness`` and judges windows that are sums of slices.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from drift_exporter.checking.job import Job
from drift_exporter.checking.judging import calibration_info, judge_window, stored_counts
from drift_exporter.config import ModelConfig, moment
from drift_exporter.errors import DriftExporterError, RunStoppedError, RunTimeoutError, StoreError
from drift_exporter.reading.source import Counted, Span, Stop
from drift_exporter.snapshot import FeatureInfo, Run, Snapshot, WindowResult

__all__ = [
    "Clock",
    "Job",
    "blank_snapshot",
    "empty_snapshot",
    "failed_run",
    "history_of",
    "judge_windows",
    "restore",
    "run",
    "span_to_read",
    "timed_out",
]

log = logging.getLogger(__name__)

Clock = Callable[[], float]


@dataclass
class _Watch:
    """Times the phases of a run."""

    clock: Clock
    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = 0.0

    def start(self) -> None:
        self._since = self.clock()

    def lap(self, phase: str) -> None:
        now = self.clock()
        self.seconds[phase] = max(now - self._since, 0.0)
        self._since = now


def run(
    job: Job,
    before: Snapshot,
    now: float,
    stop: Stop = lambda: False,
    clock: Clock = lambda: 0.0,
    on_store_error: Callable[[StoreError], None] = lambda _: None,
) -> tuple[Snapshot, Callable[[], None]]:
    """Execute one run.

    Parameters
    ----------
    job
        The model's parts.
    before
        Its snapshot so far.
    now
        Seconds since the epoch; windows end at the newest slice that is complete by then.
    stop
        Whether the run was told to stop.
    clock
        Monotonic seconds, for durations only.
    on_store_error
        Told when what was found could not be stored; the scores hold all the same, and the
        next run reads the same span again.

    Returns
    -------
    Snapshot, callable
        What the run found, a failure too, and what stores it: called only if the run still
        counts (it was not given up meanwhile).
    """
    watch = _Watch(clock)
    watch.start()
    begun = clock()
    try:
        span = span_to_read(job, now)
        counted = job.source.count(job.profile, span, job.model.slice_seconds, now, stop)
        watch.lap("read")
        windows = judge_windows(job, span, counted)
        watch.lap("score")
    except RunStoppedError:
        raise
    except DriftExporterError as error:
        return _failed(job, before, now, now + clock() - begun, error)
    finished = Run(
        started=now,
        finished=now + clock() - begun,
        success=True,
        rows_read=counted.rows_read,
        rows_rejected=counted.rows_rejected,
        phase_seconds=watch.seconds,
        window_end=span.end,
    )
    snapshot = replace(
        empty_snapshot(job), windows=windows, last_run=finished, last_success=finished.finished
    )

    def keep() -> None:
        try:
            job.store.replace_slices(
                job.model.name,
                job.profile.bins_hash,
                job.model.slice_seconds,
                span,
                counted.slices,
                finished,
                counted_to=span.end,
                scores={w.window: (w.end, history_of(snapshot, w)) for w in windows},
            )
        except StoreError as error:
            on_store_error(error)

    return snapshot, keep


def _failed(
    job: Job, before: Snapshot, now: float, finished: float, error: DriftExporterError
) -> tuple[Snapshot, Callable[[], None]]:
    failed = failed_run(now, finished, error)

    def keep() -> None:
        job.store.record_run(job.model.name, failed)

    return replace(before, last_run=failed), keep


def timed_out(model: str, seconds: float) -> RunTimeoutError:
    """The failure of a run that was given up."""
    return RunTimeoutError(
        f"model {model!r}: the run took longer than {seconds:g} s and was given up; look at the "
        "source, or raise the model's timeout"
    )


def failed_run(started: float, finished: float, error: DriftExporterError) -> Run:
    """The record of a run that failed."""
    return Run(started, finished, success=False, reason=error.reason, error=str(error))


def span_to_read(job: Job, now: float) -> Span:
    """The span of event time that a run counts: what is new, and the last ``lateness`` again."""
    model, width = job.model, job.model.slice_seconds
    end = int(now // width) * width
    oldest = end - int(-(-model.backfill_seconds // width)) * width
    counted_to = job.store.counted_to(model.name, job.profile.bins_hash, width)
    if counted_to is None:
        return Span(oldest, end)
    # After a pause the hole is counted too, as far as the past is needed: what is stored before
    # it stays, though the source may have it no more.
    needed = end - int(-(-model.history_seconds // width)) * width
    late = int(-(-model.current.lateness.seconds // width)) * width
    return Span(max(min(counted_to, end) - late, min(needed, oldest)), end)


def judge_windows(job: Job, fresh: Span, counted: Counted) -> tuple[WindowResult, ...]:
    """Scores and verdicts of all windows that end where ``fresh`` ends.

    A window is the stored slices before the fresh span and the counted ones within it.
    """
    results = []
    for window in job.model.windows:
        start = fresh.end - int(window.seconds)
        counts = stored_counts(job, start, min(fresh.start, fresh.end))
        for key, vector in counted.slices.items():
            if start <= key.start < fresh.end:
                counts.add(job, key, vector)
        results.append(judge_window(job, window.text, start, fresh.end, counts))
    return tuple(results)


def restore(job: Job) -> Snapshot:
    """The snapshot as the last successful run left it, from the store alone."""
    snapshot = empty_snapshot(job)
    name = job.model.name
    success = job.store.last_success(name)
    last = job.store.last_run(name)
    width = job.model.slice_seconds
    known = job.store.counted_to(name, job.profile.bins_hash, width)
    if success is None or success.window_end is None or known is None:
        return replace(snapshot, last_run=last)
    end = success.window_end
    windows = tuple(
        judge_window(
            job,
            window.text,
            end - int(window.seconds),
            end,
            stored_counts(job, end - int(window.seconds), end),
        )
        for window in job.model.windows
    )
    return replace(snapshot, windows=windows, last_run=last, last_success=success.finished)


def history_of(snapshot: Snapshot, window: WindowResult) -> dict[str, tuple[float | None, str]]:
    """PSI and state of each column, as the store keeps them for graphs."""
    values = window.scores["psi"]
    return {
        f.name: (None if np.isnan(values[i]) else float(values[i]), str(window.verdicts[i].state))
        for i, f in enumerate(snapshot.features)
    }


def empty_snapshot(job: Job) -> Snapshot:
    """What is known of a model before any run."""
    profile = job.profile
    return replace(
        blank_snapshot(job.model, job.interval_seconds),
        features=tuple(
            FeatureInfo(
                f.name,
                f.role,
                f.kind,
                f.dtype,
                f.bins.bins,
                job.model.features.settings(f.name).importance,
            )
            for f in profile.features
        ),
        reference=profile.source,
        reference_hash=profile.hash,
        reference_created=(
            datetime.fromisoformat(profile.created).timestamp() if profile.created else None
        ),
        reference_samples=job.reference.rows,
        reference_missing_ratio=job.reference.rates["missing_ratio"],
        reference_bins=job.exposed_bins,
        reference_kind=job.model.reference.kind,
        calibration=calibration_info(job),
    )


def blank_snapshot(model: ModelConfig, interval_seconds: float) -> Snapshot:
    """What is known of a model whose profile is not there yet."""
    stale = model.stale_after.seconds if model.stale_after else 3 * interval_seconds
    return Snapshot(
        model=model.name,
        interval_seconds=interval_seconds,
        stale_after_seconds=stale,
        version=model.version,
        owner=model.owner,
        team=model.team,
        tier=model.tier,
        trained=moment(model.trained),
        retrain_every_seconds=model.retrain_every.seconds if model.retrain_every else None,
    )
