"""Builds the parts, starts and stops them, and reloads the config.

Knows every part and none of their insides.
"""

import hashlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drift_exporter import __version__, config_file
from drift_exporter.casework.running import CONFIG_CHANGED, Casework, last_config, shard_of
from drift_exporter.checking.explain import explain
from drift_exporter.config import Config, ModelConfig
from drift_exporter.cron import check_cron
from drift_exporter.errors import ConfigError, DriftExporterError, StoreError
from drift_exporter.exchange.building import check_action
from drift_exporter.jobs import Jobs
from drift_exporter.metrics.exposition import Exposition
from drift_exporter.metrics.health import Health
from drift_exporter.metrics.incidents import IncidentMetrics
from drift_exporter.reading.source import Progress
from drift_exporter.snapshot import Board, Snapshot
from drift_exporter.store import Store, open_store
from drift_exporter.verdicts.detail import FeatureDetail
from drift_exporter.web.parts import WebParts
from drift_exporter.web.server import create_app
from drift_exporter.web.serving import Server

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
        self._checksum = _checksum(options.config_file)
        self._config = load_config(options.config_file, environ)
        self._reloading = threading.Lock()
        self._explaining = threading.Lock()
        self._woken = threading.Event()
        self._stop_wanted = threading.Event()
        self._reload_wanted = threading.Event()
        self.board = Board()
        self.health = Health(__version__, REVISION)
        self._casework = Casework(
            environ,
            self.board,
            IncidentMetrics(self.health.registry),
            options.shard,
            self._opened_store,
            lambda: self._jobs.jobs() if self._jobs is not None else {},
        )
        self._settings = self._casework.settings(self._config)
        self._exposition = Exposition(self.health.registry, self._config.max_series)
        self._store: Store | None = None
        self._jobs: Jobs | None = None
        self.server = Server(
            create_app(self._web_parts()),
            options.listen_addresses,
            options.web_config_file,
            config_file.load_yaml,
        )

    def start(self) -> None:
        """Open the store, restore the scores, listen, then start the runs.

        Raises
        ------
        DriftExporterError
            If the store, the web config or an address cannot be used.
        """
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        log.info("starting drift-exporter", extra={"version": __version__, "revision": REVISION})
        if os.geteuid() == 0:
            log.warning("running as root, which is not needed")
        mine, shards = self._options.shard
        name = f"{mine}/{shards}" if shards > 1 else ""
        self._store = open_store(store_url(self._config), now=time.time(), shard=name)
        if self._store.recreated:
            log.error("store made anew", extra={"err": self._store.recreated})
            self.health.store_recreated.set(1)
        self._jobs = Jobs(
            self._store,
            self.health,
            self.board,
            self._exposition,
            self._progress,
            self._casework.taken,
        )
        self._apply(self._config)
        self.server.start()
        self._casework.start()
        self._jobs.start()
        addresses = ",".join(f"{a.host}:{a.port}" for a in self.server.addresses)
        log.info("listening", extra={"address": addresses, "models": len(self._jobs)})

    def wait(self) -> None:
        """Block until ``stop_soon``; reload when asked or when the file changes, and prune."""
        pruned = time.monotonic()
        every = self._options.auto_reload_seconds
        while not self._stop_wanted.is_set():
            self._woken.wait(every or 60.0)
            self._woken.clear()
            changed = every and _checksum(self._options.config_file) != self._checksum
            if self._reload_wanted.is_set() or changed:
                self._reload_wanted.clear()
                self.reload()
            if self._jobs and time.monotonic() - pruned > PRUNE_SECONDS:
                pruned = time.monotonic()
                self._jobs.prune(time.time())
                self._casework.prune(time.time())

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
        if self._jobs is not None:
            self._jobs.stop(self._options.shutdown_seconds)
        self._casework.stop(self._options.shutdown_seconds)
        self.server.stop()
        if self._store is not None:
            self._store.close()
            self._store = None
        log.info("stopped")

    def reload(self) -> str | None:
        """Load the config file again and apply what changed; on an error the old one stays.

        Returns the error, or None. Jobs and scores of unchanged models are kept.
        """
        with self._reloading:
            path = self._options.config_file
            self._checksum = _checksum(path)
            try:
                config = load_config(path, self._environ)
                if store_url(config) != store_url(self._config):
                    raise ConfigError(
                        f"{path}: data_dir or store.url changed; restart the exporter to move "
                        "the store"
                    )
                self._settings = self._casework.settings(config)
            except DriftExporterError as error:
                self.health.config_reload_successful.set(0)
                log.error("config not reloaded, the old one stays", extra={"err": str(error)})
                return str(error)
            self._apply(config)
        log.info("config reloaded", extra={"models": len(config.models)})
        return None

    def _apply(self, config: Config) -> None:
        self._config = config
        self._casework.apply(config, self._settings)
        if self._jobs is not None:
            self._jobs.apply(config, self._ours(config))
            self._audit(config)
        self.health.config_reload_successful.set(1)
        self.health.config_reload_timestamp.set(time.time())
        self.health.config_hash.set(int(config_file.config_hash(config)[:12], 16))

    def _audit(self, config: Config) -> None:
        """Write down that another config runs than the last one that was written down."""
        now = config_file.config_hash(config)
        try:
            cases = self._opened_store().cases
            before = last_config(cases)
            if before != now:
                with cases.writing("audit the config") as tx:
                    body = {"from": before, "to": now, "models": [m.name for m in config.watched]}
                    tx.audit(time.time(), "drift-exporter", CONFIG_CHANGED, "config", body)
        except StoreError as error:
            log.error("config not audited", extra={"err": str(error)})

    def _ours(self, config: Config) -> list[ModelConfig]:
        mine, shards = self._options.shard
        return [model for model in config.watched if shard_of(model.name, shards) == mine]

    def _scrape(self, *, openmetrics: bool, gzip: bool) -> bytes:
        # Scores that went stale since the last run end here, without waiting for a run.
        self._exposition.update(self.board.all(), time.time(), wait=False)
        return self._exposition.scrape(openmetrics=openmetrics, zipped=gzip)

    def _probe(self, model: str, *, openmetrics: bool, gzip: bool) -> bytes | None:
        if self.board.get(model) is None:
            return None
        self._exposition.update(self.board.all(), time.time(), wait=False)
        return self._exposition.scrape(openmetrics=openmetrics, zipped=gzip, model=model)

    def _opened_store(self) -> Store:
        if self._store is None:
            raise StoreError("the store is not open")
        return self._store

    def _shown(self) -> tuple[Snapshot, ...]:
        # Pages end scores when the metrics do.
        now = time.time()
        return tuple(s.expired() if s.stale(now) else s for s in self.board.all())

    def _detail(self, model: str, feature: str) -> FeatureDetail | None:
        job = self._jobs.job(model) if self._jobs is not None else None
        snapshot = self.board.get(model)
        if job is None or snapshot is None:
            return None
        # One at a time: many that look at once must not keep a run or a scrape waiting.
        with self._explaining:
            return explain(job, snapshot, feature)

    def _web_parts(self) -> WebParts:
        return WebParts(
            scrape=self._scrape,
            probe=self._probe,
            snapshots=self._shown,
            history=lambda *what, **how: self._opened_store().history(*what, **how),
            psi_history=lambda *what, **how: self._opened_store().psi_history(*what, **how),
            detail=self._detail,
            runs=lambda model, limit: [
                (stored.model, stored.run)
                for stored in self._opened_store().runs(model, limit=limit)
            ],
            config_text=lambda: config_file.masked_yaml(self._config),
            reload=self.reload,
            ready=lambda: None if self._store is not None else "the store is not open",
            version=__version__,
            revision=REVISION,
            telemetry_path=self._options.telemetry_path,
            desk=self._casework.desk,
            report=self._casework.report,
            route_prefix=self._options.route_prefix,
            external_url=self._options.external_url,
        )


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """The config of a file, its cron expressions and the templates of its actions checked too.

    Raises
    ------
    ConfigError
        If the file cannot be used.
    """
    config = config_file.load(path, environ)
    for model in config.models:
        if model.cron is not None:
            check_cron(model.cron)
    for action in config.response.actions:
        check_action(action)
    return config


def store_url(config: Config) -> str:
    """The store of a config: SQLite in ``data_dir`` where none is named."""
    return config.store.url or f"sqlite:///{Path(config.data_dir).absolute() / 'drift.db'}"


def _checksum(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
