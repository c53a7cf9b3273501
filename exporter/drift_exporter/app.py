"""Builds the parts, starts and stops them, and reloads the config.

Knows every part and none of their insides. A model's failure is its own: it is counted,
logged, kept and shown, and the other models go on.
"""

import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from drift_exporter import __version__, check, config_file
from drift_exporter.config import Config, ModelConfig
from drift_exporter.errors import ConfigError, DriftExporterError, RunStoppedError, StoreError
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.health import Health
from drift_exporter.profile import Profile
from drift_exporter.profiles import fitting_profile, profile_of
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Progress
from drift_exporter.scheduler import Scheduler, Ticket, check_cron, longest_gap_seconds
from drift_exporter.snapshot import Board, Run, Snapshot
from drift_exporter.store import Store, open_store
from drift_exporter.web.server import Server, WebParts, create_app

log = logging.getLogger(__name__)

REVISION = os.environ.get("DRIFT_EXPORTER_REVISION", "")
PRUNE_SECONDS = 3600.0
SWITCH_INTERVAL_SECONDS = 0.0005
"""How soon a thread that counts lets a scrape in; the interpreter's default is ten times that."""


@dataclass(frozen=True)
class Options:
    """What the command line says."""

    config_file: Path
    listen_addresses: tuple[str, ...] = (":10033",)
    web_config_file: Path | None = None
    telemetry_path: str = "/metrics"
    route_prefix: str = ""
    external_url: str = ""
    shard: tuple[int, int] = (0, 1)
    """Which models are ours: those whose name's hash is ``shard[0]`` modulo ``shard[1]``."""

    auto_reload_seconds: float | None = None
    shutdown_seconds: float = 10.0


@dataclass
class _Monitored:
    """A model of the config, and its job once the profile is there."""

    model: ModelConfig
    interval_seconds: float
    job: check.Job | None = None


class App:
    """The exporter: from a config file to a server with running jobs."""

    def __init__(
        self,
        options: Options,
        environ: Mapping[str, str],
        progress: Callable[[str], Progress] = lambda _: lambda _: None,
    ) -> None:
        self._options = options
        self._environ = environ
        self._progress = progress
        self._config = config_file.load(options.config_file, environ)
        self._checksum = _checksum(options.config_file)
        self._monitored: dict[str, _Monitored] = {}
        self._reloading = threading.Lock()
        self._woken = threading.Event()
        self._stop_wanted = threading.Event()
        self._reload_wanted = threading.Event()
        self.board = Board()
        self.health = Health(__version__, REVISION)
        self._exposition = Exposition(self.health.registry, self._config.max_series)
        self._store: Store | None = None
        self._scheduler = Scheduler(
            on_skip=self._skipped, on_timeout=self._timed_out, on_error=self._broke
        )
        self.server = Server(
            create_app(self._web_parts()),
            options.listen_addresses,
            web_config_file=options.web_config_file,
            load_yaml=config_file.load_yaml,
        )

    @property
    def store(self) -> Store:
        """The open store."""
        if self._store is None:
            raise StoreError("the store is not open; start the exporter first")
        return self._store

    def start(self) -> None:
        """Open the store, restore the scores, listen, then start the runs.

        Raises
        ------
        DriftExporterError
            If the config, the store, the web config or an address cannot be used.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        if os.geteuid() == 0:
            log.warning("running as root, which is not needed")
        for model in self._config.models:
            _interval(model)
        self._store = open_store(store_url(self._config), now=time.time())
        if self._store.recreated:
            log.error("store made anew", extra={"err": self._store.recreated})
            self.health.store_recreated.set(1)
        for model in self._ours(self._config):
            self._add(model)
        self._config_loaded()
        self._publish()
        self.server.start()
        self._scheduler.start()
        for held in self._monitored.values():
            self._schedule(held)
        log.info(
            "listening",
            extra={"address": self.server.addresses, "models": len(self._monitored)},
        )

    def wait(self) -> None:
        """Block until ``stop_soon``, pruning the store and watching the config meanwhile."""
        pruned = time.monotonic()
        every = self._options.auto_reload_seconds
        while not self._stop_wanted.is_set():
            self._woken.wait(every or 60.0)
            self._woken.clear()
            if self._reload_wanted.is_set():
                self._reload_wanted.clear()
                self.reload()
            elif every and _checksum(self._options.config_file) != self._checksum:
                self.reload()
            if time.monotonic() - pruned > PRUNE_SECONDS:
                pruned = time.monotonic()
                self._prune()

    def reload_soon(self) -> None:
        """Let ``wait`` reload the config; fit for a signal handler."""
        self._reload_wanted.set()
        self._woken.set()

    def stop_soon(self) -> None:
        """Let ``wait`` return; fit for a signal handler."""
        self._stop_wanted.set()
        self._woken.set()

    def stop(self) -> None:
        """Stop runs, server and store, in this order."""
        hung = self._scheduler.shutdown(self._options.shutdown_seconds)
        if hung:
            log.warning("runs given up", extra={"models": hung})
        self.server.stop()
        for held in self._monitored.values():
            if held.job is not None and held.model.name not in hung:
                held.job.source.close()
        if self._store is not None:
            self._store.close()

    def reload(self) -> str | None:
        """Load the config file again and apply what changed; on an error the old one stays.

        Returns the error, or None. Jobs and scores of unchanged models are kept.
        """
        with self._reloading:
            try:
                self._checksum = _checksum(self._options.config_file)
                config = config_file.load(self._options.config_file, self._environ)
                for model in config.models:
                    _interval(model)
                if store_url(config) != store_url(self._config):
                    raise ConfigError(
                        f"{self._options.config_file}: data_dir or store.url changed; "
                        "restart the exporter to move the store"
                    )
            except DriftExporterError as error:
                self.health.config_reload_successful.set(0)
                log.error("config not reloaded, the old one stays", extra={"err": str(error)})
                return str(error)
            self._apply(config)
        log.info("config reloaded", extra={"models": len(self._monitored)})
        return None

    def _apply(self, config: Config) -> None:
        wanted = {model.name: model for model in self._ours(config)}
        for name, held in list(self._monitored.items()):
            if wanted.get(name) != held.model:
                self._scheduler.unschedule(name)
                del self._monitored[name]
                if name not in wanted:
                    self.health.remove_model(name)
        self._config = config
        for name, model in wanted.items():
            if name not in self._monitored:
                self._schedule(self._add(model))
        self.board.keep(tuple(wanted))
        self._exposition.limit(config.max_series)
        self._config_loaded()
        self._publish()

    def _ours(self, config: Config) -> list[ModelConfig]:
        mine, shards = self._options.shard
        return [model for model in config.models if shard_of(model.name, shards) == mine]

    def _config_loaded(self) -> None:
        self.health.config_reload_successful.set(1)
        self.health.config_reload_timestamp.set(time.time())
        self.health.config_hash.set(int(config_file.config_hash(self._config)[:12], 16))
        self.health.series_limit.set(self._config.max_series)

    def _add(self, model: ModelConfig) -> _Monitored:
        held = _Monitored(model, _interval(model))
        self._monitored[model.name] = held
        self.health.add_model(model.name)
        snapshot = check.blank_snapshot(model, held.interval_seconds)
        try:
            profile = fitting_profile(self._config, model)
            if profile is not None:
                held.job = self._job(held, profile)
                snapshot = check.restore(held.job)
        except DriftExporterError as error:
            # The first run meets the same error and counts it; the others start meanwhile.
            log.error("model not restored", extra={"model": model.name, "err": str(error)})
        self.board.publish(snapshot)
        return held

    def _job(self, held: _Monitored, profile: Profile) -> check.Job:
        model = held.model
        source = open_source(
            model.current, sample=model.sample, timeout_seconds=model.timeout_seconds
        )
        return check.Job(model, profile, source, self.store, held.interval_seconds)

    def _schedule(self, held: _Monitored) -> None:
        model = held.model
        spread = min(held.interval_seconds / 10, 30.0)
        self._scheduler.schedule(
            model.name,
            lambda ticket: self._run(held, ticket),
            interval_seconds=None if model.cron else model.interval.seconds,
            cron=model.cron,
            timeout_seconds=model.timeout_seconds,
            jitter_seconds=0.0 if len(self._monitored) == 1 else spread,
        )

    def _run(self, held: _Monitored, ticket: Ticket) -> None:
        name, now = held.model.name, time.time()
        self.health.runs.labels(name).inc()
        before = self.board.get(name) or check.blank_snapshot(held.model, held.interval_seconds)
        try:
            if held.job is None:
                held.job = self._job(held, self._profile(held, now))
            snapshot, keep = check.run(
                held.job, before, now, ticket.stopped, time.monotonic, self._store_failed
            )
        except RunStoppedError:
            return
        except DriftExporterError as error:
            failed = check.failed_run(now, time.time(), error)
            snapshot, keep = replace(before, last_run=failed), self._keep_failure(name, failed)
        # From here on the run is not given up any more; a late one changes nothing.
        if not ticket.finish() or self._monitored.get(name) is not held:
            return
        keep()
        self._finished(snapshot)

    def _profile(self, held: _Monitored, now: float) -> Profile:
        return profile_of(self._config, held.model, now, self._progress(held.model.name))

    def _keep_failure(self, name: str, failed: Run) -> Callable[[], None]:
        def keep() -> None:
            try:
                self.store.record_run(name, failed)
            except StoreError as error:
                self._store_failed(error)

        return keep

    def _finished(self, snapshot: Snapshot) -> None:
        run, name = snapshot.last_run, snapshot.model
        if run is None:
            return
        if run.success:
            self.health.rows_read.labels(name).inc(run.rows_read)
            for reason, rows in run.rows_rejected.items():
                self.health.rows_rejected.labels(name, reason).inc(rows)
            seconds = round(run.finished - run.started, 3)
            log.info(
                "run finished",
                extra={"model": name, "rows_read": run.rows_read, "seconds": seconds},
            )
        else:
            self.health.failures.labels(name, run.reason).inc()
            log.error("run failed", extra={"model": name, "reason": run.reason, "err": run.error})
        self.board.publish(replace(snapshot, next_run=self._scheduler.next_run(name)))
        self._publish()

    def _publish(self) -> None:
        self._exposition.update(self.board.all(), time.time())
        self.health.series.set(self._exposition.series)
        dropped = self._exposition.series_dropped
        if dropped and not self.health.series_dropped._value.get():
            log.warning(
                "series withheld; raise max_series or leave features out",
                extra={"dropped": dropped, "max_series": self._config.max_series},
            )
        self.health.series_dropped.set(dropped)

    def _skipped(self, name: str, reason: str) -> None:
        if name in self._monitored:
            self.health.skipped.labels(name, reason).inc()
        log.warning("run skipped", extra={"model": name, "reason": reason})

    def _timed_out(self, name: str, seconds: float) -> None:
        self._fail(name, check.timed_out(name, seconds))

    def _broke(self, name: str, error: BaseException) -> None:
        log.error("run broke", extra={"model": name}, exc_info=error)
        self._fail(
            name, DriftExporterError(f"internal error ({type(error).__name__}), see the log")
        )

    def _fail(self, name: str, error: DriftExporterError) -> None:
        held = self._monitored.get(name)
        if held is None:
            return
        failed = check.failed_run(time.time(), time.time(), error)
        before = self.board.get(name) or check.blank_snapshot(held.model, held.interval_seconds)
        self._keep_failure(name, failed)()
        self._finished(replace(before, last_run=failed))

    def _store_failed(self, error: StoreError) -> None:
        self.health.store_writable.set(0)
        log.error("store not written, scores are kept in memory", extra={"err": str(error)})

    def _prune(self) -> None:
        now = time.time()
        keep = {
            name: int(now - held.model.backfill_seconds - 86400)
            for name, held in self._monitored.items()
        }
        store = self._config.store
        try:
            gone = self.store.prune(
                now, store.retention.seconds, store.max_megabytes * 1024 * 1024, keep
            )
        except StoreError as error:
            self._store_failed(error)
        else:
            log.info("store pruned", extra={"rows": gone})

    def _scrape(self, *, openmetrics: bool, zipped: bool, model: str | None = None) -> bytes:
        # Scores that went stale since the last run end here, without waiting for a run.
        self._exposition.update(self.board.all(), time.time(), wait=False)
        return self._exposition.scrape(openmetrics=openmetrics, zipped=zipped, model=model)

    def _web_parts(self) -> WebParts:
        return WebParts(
            scrape=self._scrape,
            snapshots=self.board.all,
            runs=lambda model, limit: [
                (name, run) for _, name, run in self.store.runs(model, limit=limit)
            ],
            config_text=lambda: config_file.masked_yaml(self._config),
            reload=self.reload,
            ready=lambda: None if self._store is not None else "the store is not open",
            version=__version__,
            revision=REVISION,
            telemetry_path=self._options.telemetry_path,
            route_prefix=self._options.route_prefix,
            external_url=self._options.external_url,
        )


def store_url(config: Config) -> str:
    """The store of a config: SQLite in ``data_dir`` where none is named."""
    return config.store.url or f"sqlite:///{Path(config.data_dir).absolute() / 'drift.db'}"


def shard_of(model: str, shards: int) -> int:
    """The shard that a model belongs to, the same on every machine."""
    return int.from_bytes(hashlib.sha256(model.encode()).digest()[:8]) % shards


def _interval(model: ModelConfig) -> float:
    if model.cron is None:
        return model.interval.seconds
    check_cron(model.cron)
    return longest_gap_seconds(model.cron)


def _checksum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
