"""A model's job over a past span, for the commands that look back.

Knows the source, the store and a passing store; never a schedule or a server. The exporter that
may run meanwhile is not disturbed: its store is copied, or the source is read anew.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from drift_exporter.calibration.chosen import in_force, in_force_then
from drift_exporter.calibration.hindsight import fill, judged
from drift_exporter.calibration.lookback import made_anew
from drift_exporter.checking.job import Job
from drift_exporter.config import Config, ModelConfig
from drift_exporter.cron import longest_gap_seconds
from drift_exporter.errors import CalibrationError, StoreError
from drift_exporter.profiles.current import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Progress
from drift_exporter.rules.alerts import Pace
from drift_exporter.snapshot import Snapshot
from drift_exporter.statistics.calibration import Method
from drift_exporter.store import Store, open_store
from drift_exporter.store.copying import readable_copy

LONGEST_COUNT_SECONDS = 3600.0
DAY_SECONDS = 86_400

Work = Callable[[str], AbstractContextManager[Progress]]
"""Begins long work of a name, and tells its progress until it ends."""


@dataclass(frozen=True)
class Look:
    """Where a command looks back to."""

    config: Config
    folder: Path
    """For passing files."""

    now: float
    store_url: str | None = None
    """The exporter's store, where its slices and calibration are to be used; else the source is
    counted anew."""


@dataclass(frozen=True)
class Past:
    """A span of a model's past that can be judged."""

    job: Job
    start: int
    end: int
    step_seconds: int
    """From run to run."""

    pace_seconds: float
    """Interval of the runs that rules must be made for: the model's, or a wider step."""

    thresholds: str
    """Where the thresholds that it is judged by come from, in a line."""

    notes: tuple[str, ...] = ()
    """What of it is not as it was asked for."""

    def runs(self) -> Iterator[tuple[int, Snapshot]]:
        """Every run of ``(start, end]``.

        Raises
        ------
        CalibrationError
            If there is none.
        """
        wait = int(Pace(self.pace_seconds).two_runs_seconds)
        at = None
        for at, found in runs(self.job, self.start, self.end, self.step_seconds):
            known = found.calibration
            if known is not None and self.pace_seconds > self.job.interval_seconds:
                # Rules of this pace wait longer, and are not outdated for that.
                known = replace(known, for_seconds=wait)
            yield at, replace(found, calibration=known)
        if at is None:
            raise CalibrationError(
                f"model {self.job.model.name!r}: there is no run between {_when(self.start)} and "
                f"{_when(self.end)}; choose a longer span or a shorter step"
            )


@contextmanager
def past_to_judge(
    look: Look, model: ModelConfig, start: int, end: int, step_seconds: int | None, work: Work
) -> Iterator[Past]:
    """A model's past ``[start, end)`` as far as it is known, with the thresholds of its begin.

    Raises
    ------
    DriftExporterError
        If profile, source or store cannot be used, or the store holds nothing of the span.
    """
    with ExitStack() as stack:
        with work(f"history of {model.name}") as counting:
            needed = needed_from(model, start)
            job = stack.enter_context(past_job(look, model, needed, end, counting))
        step = _step(job, step_seconds)
        wider = step_seconds is not None and step_seconds > job.interval_seconds
        pace = step if wider else job.interval_seconds
        start, end, notes = _known(look, job, start, end, step)
        with work(f"calibrating {model.name}") as told:
            job, thresholds = as_of(job, start, told)
        yield Past(job, start, end, step, pace, f"{model.name}: thresholds {thresholds}", notes)


@contextmanager
def past_job(
    look: Look, model: ModelConfig, start: int, end: int, progress: Progress
) -> Iterator[Job]:
    """A model's job whose store has the slices of ``[start, end)``, as far as there are rows.

    The calibration is that in force: of the config's file, or of the exporter's store.

    Raises
    ------
    DriftExporterError
        If profile, source or store cannot be used.
    """
    profile = profile_of(look.config, model, look.now, lambda _: None)
    source = open_source(model.current, sample=model.sample, timeout_seconds=LONGEST_COUNT_SECONDS)
    store = _opened(look, model)
    try:
        gap = longest_gap_seconds(model.cron or model.interval.seconds)
        job = Job(model, profile, source, store, gap)
        if look.store_url is None:
            fill(job, start, end, max(look.now, end), progress=progress)
        calibration = in_force(job, look.now)
        yield replace(job, calibration=calibration)
    finally:
        source.close()
        store.close()


def as_of(job: Job, at: int, progress: Progress = lambda _: None) -> tuple[Job, str]:
    """The job with its thresholds at a time, and where they come from.

    They are of the config's file, else of the newest stored calibration of that time that was made
    for this config; where there is none, the past before is calibrated on.

    Raises
    ------
    DriftExporterError
        If the past cannot be calibrated or the store not be read.
    """
    if not job.model.calibrates:
        return job, "fixed"
    file = job.model.calibration.file
    if file is None:
        job = replace(job, calibration=in_force_then(job, at))
    if job.calibration is not None:
        origin = (
            f"stored on {_when(job.calibration.created)}" if file is None else f"from file {file}"
        )
        analytic = _analytic(job)
        return job, f"{origin}, {analytic}" if analytic else origin
    job = replace(job, calibration=made_anew(job, at, progress))
    days = round(job.promise.leading.history_days, 1)
    made = _analytic(job) or f"calibrated on {days:g} days before {_when(at)}"
    if job.store.calibrations(job.model.name, 1):
        made += "; no stored calibration of before was made for this config"
    return job, made


def runs(
    job: Job, start: int, end: int, step_seconds: int | None
) -> Iterator[tuple[int, Snapshot]]:
    """Every run of ``(start, end]`` at the model's own pace, or at another."""
    width = job.model.slice_seconds
    step = _step(job, step_seconds)
    return judged(job, start // width * width, end // width * width, step)


def needed_from(model: ModelConfig, start: int) -> int:
    """From when on slices are needed to judge windows that end after ``start``."""
    longest = model.longest_window.seconds
    needed = longest
    if model.reference.kind != "data":
        needed += model.reference.span.seconds + model.reference.gap.seconds + 86400
    if model.calibrates and model.calibration.file is None:
        needed = max(needed, model.calibration.history.seconds)
    return start - int(needed)


def _step(job: Job, wanted: int | None) -> int:
    """Seconds from run to run in whole slices, the model's own where none are wanted."""
    width = job.model.slice_seconds
    return max(-(-int(job.interval_seconds if wanted is None else wanted) // width), 1) * width


def _known(
    look: Look, job: Job, start: int, end: int, step: int
) -> tuple[int, int, tuple[str, ...]]:
    """The part of a span of which there are slices, and what is to be said of it."""
    model, notes = job.model, []
    which = (model.name, job.profile.bins_hash, model.slice_seconds)
    longest = int(model.longest_window.seconds)
    first, last = start, int(look.now)
    if look.store_url is not None:
        counted = job.store.counted(*which)
        if counted is None:
            raise StoreError(
                f"model {model.name!r}: the store has no slices of it with the bins of its "
                "profile; take the history from the source"
            )
        # The first run after which windows were whole: no run was judged by less.
        first, last = counted[0] + longest - step, counted[1]
        if end <= first or start >= last or first >= last:
            raise StoreError(
                f"model {model.name!r}: the store begins at {_when(counted[0])}, ends at "
                f"{_when(last)}; from {_when(start)} to {_when(end)} it holds no whole window of "
                f"{model.longest_window.text}; take the history from the source"
            )
        if start < first:
            notes.append(
                f"{model.name}: the store begins at {_when(counted[0])}, so windows of "
                f"{model.longest_window.text} are judged from {_when(first + step)} on"
            )
    if end > last:
        ends = "it is" if look.store_url is None else "the store ends at"
        notes.append(f"{model.name}: {ends} {_when(last)}, so the span ends there")
    start, end = max(start, first), min(end, last)
    row = job.store.first_slice(*which)
    if row is not None and row - start > DAY_SECONDS:
        # Days of which there is nothing would be written, or told, as days without data.
        start = row // step * step
        notes.append(f"{model.name}: the data begin at {_when(row)}, so the span begins there")
        if start >= end:
            raise StoreError(
                f"model {model.name!r}: the data begin at {_when(row)}, after the span; begin later"
            )
    elif row is None or row > start + step - longest:
        found = "there is none" if row is None else f"the first is from {_when(row)} on"
        notes.append(f"{model.name}: no row lies before the first window of the span; {found}")
    return start, end, tuple(notes)


def _analytic(job: Job) -> str:
    """That thresholds are of the analytic form, and why; empty where they are of a history."""
    leading = job.promise.leading
    if leading.method is not Method.ANALYTIC:
        return ""
    return f"analytic ({leading.reason.replace('_', ' ')})" if leading.reason else "analytic"


def _when(seconds: float) -> str:
    at = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return at.removesuffix(" 00:00:00Z").replace(":00Z", "Z")


def _opened(look: Look, model: ModelConfig) -> Store:
    # Of its own, as the pasts of several models are open at once.
    folder = look.folder.absolute() / model.name
    folder.mkdir()
    if look.store_url is None:
        return open_store(f"sqlite:///{folder / 'passing.db'}", now=look.now)
    try:
        url = readable_copy(look.store_url, folder)
        return open_store(url, now=look.now, shard=f"reader of {model.name}")
    except StoreError as error:
        raise CalibrationError(str(error)) from error
