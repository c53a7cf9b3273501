"""The models' jobs: scheduled, run one at a time per model, published or counted as failed.

Knows scheduler, check, store, metrics and the Board; never a config file, a page or a signal.
A model's failure is its own: it is counted, logged, kept and shown, and the others go on.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from drift_exporter.calibration.chosen import in_force
from drift_exporter.calibration.lookback import look_back, put_off, wanted
from drift_exporter.changes import verdict_changes
from drift_exporter.checking import check
from drift_exporter.config import Config, ModelConfig
from drift_exporter.cron import longest_gap_seconds
from drift_exporter.errors import (
    CalibrationError,
    DriftExporterError,
    RunStoppedError,
    StoreError,
)
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.health import Health
from drift_exporter.profile import Profile
from drift_exporter.profiles.current import fitting_profile, other_profile, profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Progress, Source
from drift_exporter.scheduler import Scheduler, Ticket
from drift_exporter.snapshot import Board, Run, Snapshot
from drift_exporter.store import Store
from drift_exporter.verdicts.promise import ModelCalibration

log = logging.getLogger(__name__)

LOOK_BACK = " looks back"
"""Ends the scheduler's name of a model's look back; no model's name has a space."""

LOOK_BACK_SECONDS = 300.0
"""How often is asked whether there is a past to be counted or calibrated,"""

LONGEST_LOOK_BACK_SECONDS = 3600.0
"""and how long that may take."""

LONGEST_SPREAD_SECONDS = 30.0
"""First runs of many models are spread over a tenth of the interval, at most this long."""


@dataclass
class _Held:
    """A model of the config, and its job once the profile is there."""

    model: ModelConfig
    interval_seconds: float
    source: Source | None = None
    job: check.Job | None = None
    put_off: bool = False
    """Whether a calibration waits for the end of a drift."""

    publishing: threading.Lock = field(default_factory=threading.Lock)
    """Held where a run or a look back publishes, so that neither undoes the other."""


class Jobs:
    """The jobs of all models, and what they publish.

    Parameters
    ----------
    store, health, board, exposition
        Where runs are kept, counted and shown.
    progress
        Gives what is told of a long run of a model.
    taken
        Told each profile that a model goes on with, and again at each load of the config.
    """

    def __init__(
        self,
        store: Store,
        health: Health,
        board: Board,
        exposition: Exposition,
        progress: Callable[[str], Progress],
        taken: Callable[[ModelConfig, Profile], None] = lambda _model, _profile: None,
    ) -> None:
        self._store = store
        self._health = health
        self._board = board
        self._exposition = exposition
        self._progress = progress
        self._taken = taken
        self._held: dict[str, _Held] = {}
        self._writes_failed = 0
        self._config: Config | None = None
        self._scheduler = Scheduler(
            on_skip=self._skipped, on_timeout=self._timed_out, on_error=self._broke
        )

    def __len__(self) -> int:
        return len(self._held)

    def apply(self, config: Config, models: list[ModelConfig]) -> None:
        """Make these the models that run: what is unchanged keeps its job and its scores."""
        self._config = config
        wanted = {model.name: model for model in models}
        for name, held in list(self._held.items()):
            if wanted.get(name) != held.model or self._has_other_profile(held):
                self._scheduler.unschedule(name)
                self._scheduler.unschedule(name + LOOK_BACK)
                del self._held[name]
                # A run that is still reading keeps its source; it is abandoned and ends soon.
                if held.source is not None and name not in self._scheduler.running():
                    held.source.close()
                if name not in wanted:
                    self._health.remove_model(name)
            elif held.job is not None:
                # The same profile may have been promoted with another version of the model.
                self._taken(held.model, held.job.profile)
        new = [self._add(model) for name, model in wanted.items() if name not in self._held]
        self._board.keep(tuple(wanted))
        self._exposition.limit(config.max_series)
        self._health.series_limit.set(config.max_series)
        self._publish()
        for held in new:
            self._schedule(held)

    def job(self, name: str) -> check.Job | None:
        """The job of a model; None before it has a profile, or where there is no such model."""
        held = self._held.get(name)
        return held.job if held else None

    def jobs(self) -> dict[str, check.Job]:
        """The jobs of all models that have a profile."""
        return {name: held.job for name, held in self._held.items() if held.job is not None}

    def audit(self, at: float, kind: str, model: str, body: Mapping[str, Any]) -> None:
        """Write a change of a model down; a store that cannot be written is told as ever."""
        try:
            with self._store.cases.writing(f"audit model {model!r}") as tx:
                tx.audit(at, "drift-exporter", kind, f"model/{model}", body)
        except StoreError as error:
            self._store_failed(error)

    def start(self) -> None:
        """Begin to run what is due."""
        self._scheduler.start()

    def stop(self, wait_seconds: float) -> None:
        """Start no more runs, wait for those that run, and close the sources."""
        hung = self._scheduler.shutdown(wait_seconds)
        if hung:
            log.warning("runs given up", extra={"models": ",".join(hung)})
        for name, held in self._held.items():
            if held.source is not None and name not in hung:
                held.source.close()

    def prune(self, now: float) -> None:
        """Delete what is older than the store's retention and not needed by any window."""
        if self._config is None:
            return
        keep = {
            name: int(now - held.model.history_seconds - 86400) for name, held in self._held.items()
        }
        wanted = self._config.store
        try:
            gone = self._store.prune(
                now, wanted.retention.seconds, wanted.max_megabytes * 1024 * 1024, keep
            )
        except StoreError as error:
            self._store_failed(error)
        else:
            log.info("store pruned", extra={"rows": gone})

    def _add(self, model: ModelConfig) -> _Held:
        held = _Held(model, longest_gap_seconds(model.cron or model.interval.seconds))
        self._held[model.name] = held
        self._health.add_model(model.name)
        snapshot = check.blank_snapshot(model, held.interval_seconds)
        try:
            # Opened here, and not in the run's thread, so that libraries are loaded at the start.
            held.source = self._source(held)
            profile = fitting_profile(self._configured(), model)
            if profile is not None:
                held.job = self._job(held, profile)
                snapshot = check.restore(held.job)
        except DriftExporterError as error:
            # The first run meets the same error and counts it; the other models start meanwhile.
            log.error("model not restored", extra={"model": model.name, "err": str(error)})
        self._board.publish(snapshot)
        return held

    def _has_other_profile(self, held: _Held) -> bool:
        """Whether another profile than the job's was put into its place, and can be used."""
        if held.job is None:
            return False
        try:
            found = other_profile(self._configured(), held.model, held.job.profile)
        except DriftExporterError as error:
            log.error(
                "profile not taken up, the old one stays",
                extra={"model": held.model.name, "err": str(error)},
            )
            return False
        return found is not None

    def _source(self, held: _Held) -> Source:
        if held.source is None:
            model = held.model
            held.source = open_source(
                model.current, sample=model.sample, timeout_seconds=model.timeout_seconds
            )
        return held.source

    def _job(self, held: _Held, profile: Profile) -> check.Job:
        job = check.Job(held.model, profile, self._source(held), self._store, held.interval_seconds)
        job = replace(job, calibration=in_force(job, time.time()))
        self._taken(held.model, profile)
        return job

    def _profile(self, held: _Held, now: float) -> Profile:
        name = held.model.name
        return profile_of(self._configured(), held.model, now, self._progress(name))

    def _configured(self) -> Config:
        assert self._config is not None  # noqa: S101  (jobs exist only after apply())
        return self._config

    def _schedule(self, held: _Held) -> None:
        alone = len(self._held) == 1
        self._scheduler.schedule(
            held.model.name,
            lambda ticket: self._run(held, ticket),
            interval_seconds=None if held.model.cron else held.model.interval.seconds,
            cron=held.model.cron,
            timeout_seconds=held.model.timeout_seconds,
            jitter_seconds=0.0
            if alone
            else min(held.interval_seconds / 10, LONGEST_SPREAD_SECONDS),
        )
        if held.model.calibrates or held.model.reference.kind != "data":
            self._scheduler.schedule(
                held.model.name + LOOK_BACK,
                lambda ticket: self._look_back(held, ticket),
                interval_seconds=LOOK_BACK_SECONDS,
                timeout_seconds=LONGEST_LOOK_BACK_SECONDS,
                first_delay_seconds=min(held.interval_seconds, LOOK_BACK_SECONDS) / 10,
            )

    def _look_back(self, held: _Held, ticket: Ticket) -> None:
        job, now, model = held.job, time.time(), held.model
        newest = self._board.get(model.name)
        try:
            if job is None:
                return
            self._tell_put_off(held, put_off(job, now, newest))
            if not wanted(job, now, newest):
                return
            found = look_back(
                job,
                lambda: open_source(
                    model.current, sample=model.sample, timeout_seconds=LONGEST_LOOK_BACK_SECONDS
                ),
                now,
                ticket.stopped,
                newest,
            )
            if not ticket.finish() or self._held.get(model.name) is not held:
                return
            if found.calibration is not None:
                self._record(found.calibration, model.name, now, anew=found.recalibrated)
                with held.publishing:
                    held.job = replace(job, calibration=found.calibration)
                    snapshot = self._judged_anew(held.job, self._before(held))
                    self._audit_changes(held, snapshot, now)
                    self._board.publish(snapshot)
                self._publish()
        except RunStoppedError:
            return
        except DriftExporterError as error:
            self._look_back_failed(model.name, error)
            return
        if found.rows_read:
            log.info("past counted", extra={"model": model.name, "rows": found.rows_read})
        if found.calibration is not None and found.recalibrated:
            leading = found.calibration.leading
            self._health.calibrations.labels(model.name).inc()
            log.info(
                "thresholds calibrated",
                extra={
                    "model": model.name,
                    "method": str(leading.method),
                    "days": round(leading.history_days, 1),
                    "neg_log10_alpha": round(leading.neg_log10_alpha, 2),
                },
            )

    def _record(self, made: ModelCalibration, model: str, now: float, *, anew: bool) -> None:
        """Keep a calibration; a new one with its audit entry, or not at all."""
        kept = (model, made.bins_hash, made.created, made.to_json())
        if not anew:
            self._store.record_calibration(*kept)
            return
        leading = made.leading
        body = {
            "method": str(leading.method),
            "reason": str(leading.reason or ""),
            "history_days": leading.history_days,
            "neg_log10_alpha": leading.neg_log10_alpha,
            "budget_per_90_days": made.budget_per_90_days,
        }
        with self._store.cases.writing(f"record the calibration of model {model!r}") as tx:
            tx.calibration(*kept)
            tx.audit(now, "drift-exporter", "calibrated", f"model/{model}", body)

    def _tell_put_off(self, held: _Held, waits: bool) -> None:
        if waits and not held.put_off:
            log.info("calibration put off until no drift is left", extra={"model": held.model.name})
        held.put_off = waits

    def _look_back_failed(self, name: str, error: DriftExporterError) -> None:
        self._health.calibration_failures.labels(name).inc()
        log.error("look back failed", extra={"model": name, "err": str(error)})

    def _run(self, held: _Held, ticket: Ticket) -> None:
        name, now = held.model.name, time.time()
        self._health.runs.labels(name).inc()
        before, job = self._before(held), held.job
        try:
            if job is None:
                job = held.job = self._job(held, self._profile(held, now))
            snapshot, keep = check.run(
                job, before, now, ticket.stopped, time.monotonic, self._store_failed
            )
        except RunStoppedError:
            return
        except DriftExporterError as error:
            failed = check.failed_run(now, time.time(), error)
            snapshot, keep = replace(before, last_run=failed), self._keeping(name, failed)
        # From here on the run is not given up any more; a late one changes nothing.
        if not ticket.finish() or self._held.get(name) is not held:
            return
        with held.publishing:
            failed_before = self._writes_failed
            if held.job is None or held.job is job:
                self._audit_changes(held, snapshot, now)
                keep()
            else:
                # Calibrated during the run: only the new thresholds are told of.
                keep()
                snapshot = self._judged_anew(held.job, snapshot)
                self._audit_changes(held, snapshot, now)
            if self._writes_failed == failed_before:
                self._health.store_writable.set(1)
            self._finished(snapshot)

    def _judged_anew(self, job: check.Job, snapshot: Snapshot) -> Snapshot:
        """What was found, by the thresholds that are in force now."""
        try:
            found = check.restore(job)
        except StoreError as error:
            self._store_failed(error)
            return snapshot
        snapshot = replace(snapshot, calibration=found.calibration)
        # Where a run could not be stored, what is stored is older than what is shown.
        if _ends(found) == _ends(snapshot):
            snapshot = replace(snapshot, windows=found.windows)
        return snapshot

    def _audit_changes(self, held: _Held, snapshot: Snapshot, now: float) -> None:
        changed = verdict_changes(self._before(held), snapshot)
        if changed is not None:
            # Before the scores: what is shown was written down, at worst twice.
            self.audit(now, "verdict_changed", snapshot.model, changed)

    def _before(self, held: _Held) -> Snapshot:
        known = self._board.get(held.model.name)
        return known or check.blank_snapshot(held.model, held.interval_seconds)

    def _keeping(self, name: str, failed: Run) -> Callable[[], None]:
        def keep() -> None:
            try:
                self._store.record_run(name, failed)
            except StoreError as error:
                self._store_failed(error)

        return keep

    def _finished(self, snapshot: Snapshot) -> None:
        run, name = snapshot.last_run, snapshot.model
        if run is None:
            return
        if run.success:
            self._health.rows_read.labels(name).inc(run.rows_read)
            for reason, rows in run.rows_rejected.items():
                self._health.rows_rejected.labels(name, reason).inc(rows)
            seconds = round(run.finished - run.started, 3)
            log.info(
                "run finished",
                extra={"model": name, "rows_read": run.rows_read, "seconds": seconds},
            )
        else:
            self._health.failures.labels(name, run.reason).inc()
            log.error("run failed", extra={"model": name, "reason": run.reason, "err": run.error})
        self._board.publish(replace(snapshot, next_run=self._scheduler.next_run(name)))
        self._publish()

    def _publish(self) -> None:
        before = self._exposition.series_dropped
        self._exposition.update(self._board.all(), time.time())
        dropped = self._exposition.series_dropped
        self._health.series.set(self._exposition.series)
        self._health.series_dropped.set(dropped)
        if dropped and not before:
            log.warning(
                "series withheld; raise max_series or leave features out",
                extra={"dropped": dropped},
            )

    def _skipped(self, name: str, reason: str) -> None:
        if name in self._held:
            self._health.skipped.labels(name, reason).inc()

    def _timed_out(self, name: str, seconds: float) -> None:
        if name.endswith(LOOK_BACK):
            model = name.removesuffix(LOOK_BACK)
            why = f"the past was not counted within {seconds:g} s; the next look back goes on"
            self._look_back_failed(model, CalibrationError(why))
            return
        self._fail(name, check.timed_out(name, seconds))

    def _broke(self, name: str, error: BaseException) -> None:
        what = type(error).__name__
        if name.endswith(LOOK_BACK):
            model = name.removesuffix(LOOK_BACK)
            self._look_back_failed(model, CalibrationError(f"internal error ({what}), see the log"))
            return
        self._fail(name, DriftExporterError(f"internal error ({what}), see the log"))

    def _fail(self, name: str, error: DriftExporterError) -> None:
        held = self._held.get(name)
        if held is None:
            return
        now = time.time()
        failed = check.failed_run(now, now, error)
        self._keeping(name, failed)()
        self._finished(replace(self._before(held), last_run=failed))

    def _store_failed(self, error: StoreError) -> None:
        self._writes_failed += 1
        self._health.store_writable.set(0)
        log.error("store not written, scores are kept in memory", extra={"err": str(error)})


def _ends(snapshot: Snapshot) -> list[tuple[str, int]]:
    return [(window.window, window.end) for window in snapshot.windows]
