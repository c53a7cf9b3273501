"""One run of every model, without a server: what ``run-once`` prints.

Knows the parts that a run needs; never a schedule or a page.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from drift_exporter.calibration.chosen import in_force
from drift_exporter.checking import check
from drift_exporter.config import SEVERITIES, Config, ModelConfig
from drift_exporter.cron import longest_gap_seconds
from drift_exporter.errors import CalibrationError, DriftExporterError
from drift_exporter.metrics.exposition import Exposition, no_health
from drift_exporter.profiles.current import profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Progress
from drift_exporter.snapshot import Snapshot
from drift_exporter.store import Store, open_store

log = logging.getLogger(__name__)


def run_all(
    config: Config,
    folder: str,
    models: Sequence[ModelConfig],
    now: float,
    progress: Callable[[str], Progress],
) -> tuple[str, list[Snapshot]]:
    """Run models once and render their metrics; ``folder`` holds the passing store."""
    store = open_store(f"sqlite:///{Path(folder) / 'once.db'}", now=now)
    try:
        snapshots = [_run(config, model, store, now, progress(model.name)) for model in models]
    finally:
        store.close()
    exposition = Exposition(no_health(), config.max_series)
    exposition.update(snapshots, now)
    return exposition.scrape(openmetrics=False, zipped=False).decode(), snapshots


def _run(
    config: Config, model: ModelConfig, store: Store, now: float, progress: Progress
) -> Snapshot:
    if model.reference.kind != "data":
        log.warning(
            "run-once has no past: windows are compared with the profile",
            extra={"model": model.name, "reference": model.reference.kind},
        )
    # As the server does: `for` and alpha follow from it.
    gap = longest_gap_seconds(model.cron or model.interval.seconds)
    blank = check.blank_snapshot(model, gap)
    try:
        profile = profile_of(config, model, now, progress)
        source = open_source(
            model.current, sample=model.sample, timeout_seconds=model.timeout_seconds
        )
    except DriftExporterError as error:
        return replace(blank, last_run=check.failed_run(now, now, error))
    try:
        job = check.Job(model, profile, source, store, gap)
        job = replace(job, calibration=in_force(job, now))
        if model.calibrates and job.calibration is None:
            log.warning(
                "run-once has no calibration: thresholds are of the analytic form",
                extra={"model": model.name},
            )
        return check.run(job, blank, now, clock=time.monotonic)[0]
    except CalibrationError as error:
        return replace(blank, last_run=check.failed_run(now, now, error))
    finally:
        source.close()


def worst_is_at_least(snapshots: Sequence[Snapshot], severity: str) -> bool:
    """Whether any column of any window has this verdict or a worse one."""
    bad = SEVERITIES[SEVERITIES.index(severity) :]
    return any(
        str(verdict.state) in bad
        for snapshot in snapshots
        for window in snapshot.windows
        for verdict in window.verdicts
    )
