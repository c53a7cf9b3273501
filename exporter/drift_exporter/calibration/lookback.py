"""The scheduled look back: the past is counted, thresholds are calibrated, the promise is tested.

Knows what is due and in which order; never a schedule, a metric or a page.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from drift_exporter.calibration.calibrating import calibrated, history_of, self_tested
from drift_exporter.calibration.chosen import is_outdated
from drift_exporter.calibration.hindsight import fill
from drift_exporter.checking.job import Job
from drift_exporter.config import CAN_BE_CALIBRATED, RATES
from drift_exporter.reading.source import Progress, Source, Stop
from drift_exporter.snapshot import Snapshot
from drift_exporter.statistics.calibration import LEAST_HISTORY_DAYS
from drift_exporter.verdicts.promise import ModelCalibration
from drift_exporter.verdicts.verdict import Floats

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


def wanted(job: Job, now: float, newest: Snapshot | None = None) -> bool:
    """Whether there is anything to look back for: a past to count, or a calibration that is due
    and not put off."""
    if _unread(job, now) or _test_is_due(job, now):
        return True
    return _is_due(job, now) and not put_off(job, now, newest)


def put_off(job: Job, now: float, newest: Snapshot | None) -> bool:
    """Whether a calibration that is due waits, as something drifts: it would take the drift for
    natural variation and end its alert.

    Parameters
    ----------
    job
        The model. A calibration that measured no variation, or is made for another config, does
        not wait.
    now
        Seconds since the epoch.
    newest
        The model's newest snapshot; None: nothing is known to drift.
    """
    known = job.calibration
    if known is None or newest is None or not known.leading.measured:
        return False
    return _is_due(job, now) and not is_outdated(job, known) and _drifts(job, newest)


def look_back(
    job: Job,
    open_source: Callable[[], Source],
    now: float,
    stop: Stop = lambda: False,
    newest: Snapshot | None = None,
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
    newest
        The model's newest snapshot: while something drifts in it, no calibration is made.

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
    if not _is_due(job, now) or put_off(job, now, newest):
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
    if known is None or is_outdated(job, known):
        return True
    age = now - known.created
    if age < 0:
        # The clock was ahead: its rows were the future's, and it would hold until that comes.
        return True
    if not known.leading.measured:
        days = history_of(job, now).timeline.history_days
        return age >= DAY_SECONDS and days >= LEAST_HISTORY_DAYS
    return age >= model.calibration.every.seconds


def _drifts(job: Job, newest: Snapshot) -> bool:
    """Whether a column or segment is over a calibrated threshold as the shipped alerts ask."""
    names = [feature.name for feature in newest.features]
    return any(job.model.calibrated(names[i], statistic) for statistic, i in _over(newest))


def _over(newest: Snapshot) -> Iterator[tuple[str, int]]:
    """Statistic and position of columns over the warning threshold: in all windows that have a
    score, shares of rows in the shortest of them; segments in every window that has one of all
    rows."""
    if not newest.windows:
        return
    nothing = np.full(len(newest.features), np.nan)
    shortest_first = sorted(newest.windows, key=lambda window: window.end - window.start)
    for statistic in CAN_BE_CALIBRATED:
        ratios = np.stack(
            [
                _per_limit(
                    window.scores.get(statistic, nothing),
                    window.thresholds.get((statistic, "warning"), nothing),
                )
                for window in shortest_first
            ]
        )
        if statistic in RATES:
            first = (~np.isnan(ratios)).argmax(axis=0)
            ratios = np.take_along_axis(ratios, first[np.newaxis], axis=0)
        agreed = (ratios > 1).any(axis=0) & ~(ratios <= 1).any(axis=0)
        yield from ((statistic, i) for i in np.flatnonzero(agreed).tolist())
    known = ~np.isnan([window.scores.get("psi", nothing) for window in newest.windows])
    segments: dict[tuple[str, str], list[Floats]] = {}
    for at, window in enumerate(newest.windows):
        for one in window.segments:
            split = (one.segment_by, one.segment)
            found = segments.setdefault(split, [nothing] * len(newest.windows))
            found[at] = _per_limit(one.psi, one.thresholds.get("warning", nothing))
    for found in segments.values():
        over = np.stack(found) > 1
        agreed = over.any(axis=0) & (over | ~known).all(axis=0)
        yield from (("psi", i) for i in np.flatnonzero(agreed).tolist())


def _per_limit(score: Floats, limit: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return score / limit


def _test_is_due(job: Job, now: float) -> bool:
    known = job.calibration
    if known is None or not job.model.calibrates:
        return False
    last = known.self_test.at if known.self_test else known.created
    return not 0 <= now - last < DAY_SECONDS
