"""The scheduled look back: the past is counted, thresholds are calibrated, the promise is tested.

Knows what is due and in which order; never a schedule, a metric or a page.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from drift_exporter.calibrating import calibrated, history_of, self_tested
from drift_exporter.errors import CalibrationError
from drift_exporter.hindsight import fill
from drift_exporter.job import Job
from drift_exporter.promise import ModelCalibration, column_names, from_json
from drift_exporter.reading.source import Progress, Source, Stop
from drift_exporter.statistics.calibration import LEAST_HISTORY_DAYS, Method

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class LookedBack:
    """What a look back changed."""

    rows_read: int = 0
    calibration: ModelCalibration | None = None
    """The calibration that is in force now, where it changed."""

    recalibrated: bool = False
    """Whether it is a new one, and not only tested anew."""


def in_force(job: Job) -> ModelCalibration | None:
    """The calibration that a model's config names, or the newest one that is stored.

    Raises
    ------
    CalibrationError
        If the file that the config names cannot be used.
    StoreError
        If the store cannot be read.
    """
    if not job.model.calibrates:
        return None
    file = job.model.calibration.file
    if file is None:
        stored = job.store.calibration(job.model.name, job.profile.bins_hash)
        return None if stored is None else from_json(stored[1], "the stored calibration")
    try:
        found = from_json(Path(file).read_text(encoding="utf-8"), file)
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(
            f"{file}: cannot be read ({type(error).__name__}); "
            "make it with 'drift-exporter calibrate --output'"
        ) from error
    if found.bins_hash != job.profile.bins_hash:
        raise CalibrationError(
            f"{file}: made for the bins {found.bins_hash}, the profile of model "
            f"{job.model.name!r} has {job.profile.bins_hash}; calibrate again"
        )
    lacking = [w.text for w in job.model.windows if w.text not in found.windows]
    if lacking:
        raise CalibrationError(
            f"{file}: has the windows {', '.join(found.windows)}, but not {', '.join(lacking)} of "
            f"model {job.model.name!r}; calibrate again"
        )
    return found


def wanted(job: Job, now: float) -> bool:
    """Whether there is anything to look back for: a past to count, or a calibration that is due."""
    return bool(_unread(job, now)) or _test_is_due(job, now) or _is_due(job, now)


def look_back(
    job: Job, open_source: Callable[[], Source], now: float, stop: Stop = lambda: False
) -> LookedBack:
    """Count the past that windows do not need but the reference or the calibration does; then
    calibrate and test the promise, where that is due.

    Parameters
    ----------
    job
        The model, after its first run.
    open_source
        Opens the inference data anew: the model's runs go on with their own.
    now
        Seconds since the epoch.
    stop
        Whether to stop between two days.

    Raises
    ------
    DriftExporterError
        If the source cannot be read, the counts not calibrated or the store not be written;
        what was counted before is kept.
    """
    rows = 0
    span = _unread(job, now)
    if span:
        source = open_source()
        try:
            rows = fill(replace(job, source=source), *span, now, stop)
        finally:
            source.close()
        job.baselines.forget()
    known = job.calibration
    if _test_is_due(job, now):
        known = _tested(job, now)
    if not _is_due(job, now):
        return LookedBack(rows, known if known is not job.calibration else None)
    return LookedBack(rows, made_anew(job, now), recalibrated=True)


def made_anew(job: Job, now: float, progress: Progress = lambda _: None) -> ModelCalibration:
    """The calibration on the stored past, with what it would have said of the same past."""
    history = history_of(job, now)
    made = calibrated(job, history, now, progress)
    found = self_tested(replace(job, calibration=made), history, now, in_sample=True)
    return made.tested(found) if found else made


def _tested(job: Job, now: float) -> ModelCalibration | None:
    known = job.calibration
    if known is None:
        return None
    history = history_of(job, now)
    # Until all of the past is newer than the calibration, it is tested on its own days too.
    found = self_tested(job, history, now, in_sample=known.created > history.start)
    return known.tested(found) if found else known


def _unread(job: Job, now: float) -> tuple[int, int] | None:
    """The past that was not counted: before what the runs have counted."""
    known = job.store.counted(job.model.name, job.profile.bins_hash, job.model.slice_seconds)
    width = job.model.slice_seconds
    start = int(now - job.model.history_seconds) // width * width
    if known is None or known[0] <= start:
        return None
    return start, known[0]


def _is_due(job: Job, now: float) -> bool:
    model = job.model
    if not model.calibrates or model.calibration.file is not None:
        return False
    # Before the first run the past is not counted: that is no reason to calibrate without it.
    if job.store.counted_to(model.name, job.profile.bins_hash, model.slice_seconds) is None:
        return False
    known = job.calibration
    if known is None or _is_outdated(job, known):
        return True
    age = now - known.created
    if known.leading.method is Method.ANALYTIC:
        days = history_of(job, now).timeline.history_days
        return age >= DAY_SECONDS and days >= LEAST_HISTORY_DAYS
    return age >= model.calibration.every.seconds


def _is_outdated(job: Job, known: ModelCalibration) -> bool:
    """Whether the config asks for other rules or other columns than were calibrated."""
    rules = {window: one.rule for window, one in known.windows.items()}
    of_segments = known.segments.rule if known.segments else None
    if (rules, of_segments) != (dict(job.alert_rules), job.segments_rule):
        return True
    names = {one.name for one in known.leading.series}
    return names != {str(name) for name in column_names(job.model, job.profile)}


def _test_is_due(job: Job, now: float) -> bool:
    known = job.calibration
    if known is None or not job.model.calibrates:
        return False
    last = known.self_test.at if known.self_test else known.created
    return now - last >= DAY_SECONDS
