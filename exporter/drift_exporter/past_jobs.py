"""A model's job over a past span, for the commands that look back.

Knows the source, the store and a passing store; never a schedule or a server. The exporter that
may run meanwhile is not disturbed: its store is copied, or the source is read anew.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from drift_exporter.config import Config, ModelConfig
from drift_exporter.cron import longest_gap_seconds
from drift_exporter.errors import CalibrationError, StoreError
from drift_exporter.hindsight import fill, judged
from drift_exporter.job import Job
from drift_exporter.lookback import in_force
from drift_exporter.profiles import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Progress
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import Store, open_store
from drift_exporter.store.copying import readable_copy

LONGEST_COUNT_SECONDS = 3600.0


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
        calibration = in_force(job)
        yield replace(job, calibration=calibration)
    finally:
        source.close()
        store.close()


def runs(
    job: Job, start: int, end: int, step_seconds: int | None
) -> Iterator[tuple[int, Snapshot]]:
    """Every run of ``(start, end]`` at the model's own pace, or at another."""
    width = job.model.slice_seconds
    wanted = job.interval_seconds if step_seconds is None else step_seconds
    step = max(-(-int(wanted) // width), 1) * width
    return judged(job, start // width * width, end // width * width, step)


def needed_from(model: ModelConfig, start: int) -> int:
    """From when on slices are needed to judge windows that end after ``start``."""
    longest = int(model.longest_window.seconds)
    if model.reference.kind == "data":
        return start - longest
    return start - longest - int(model.reference.span.seconds + model.reference.gap.seconds) - 86400


def _opened(look: Look, model: ModelConfig) -> Store:
    passing = f"sqlite:///{look.folder.absolute() / f'{model.name}.db'}"
    if look.store_url is None:
        return open_store(passing, now=look.now)
    try:
        url = readable_copy(look.store_url, look.folder)
        return open_store(url, now=look.now, shard=f"reader of {model.name}")
    except StoreError as error:
        raise CalibrationError(str(error)) from error
