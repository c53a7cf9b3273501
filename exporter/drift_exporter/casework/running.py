"""The exporter's side of incidents: the desk, the thread behind it, and their metrics.

Knows how these parts belong together and to the jobs; never a route, a page or a signal.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from drift_exporter.casework import examining
from drift_exporter.casework.desk import Desk, Settings, people_of
from drift_exporter.casework.duty import Duty
from drift_exporter.casework.promoting import noticed, promoted_at
from drift_exporter.casework.responder import Responder, Watch, examine_one
from drift_exporter.checking.job import Job
from drift_exporter.config import Config, ModelConfig
from drift_exporter.errors import DriftExporterError, IncidentError, StoreError
from drift_exporter.exchange.links import link_key
from drift_exporter.exchange.sending import send
from drift_exporter.incident import Incident
from drift_exporter.incident.tally import Sums, Tally
from drift_exporter.metrics.incidents import IncidentMetrics, Standing
from drift_exporter.profile import Profile
from drift_exporter.profiles.current import profile_path
from drift_exporter.profiles.promotion_notes import read_note
from drift_exporter.reading.opening import open_source
from drift_exporter.reading.source import Source
from drift_exporter.reporting import MEDIA_TYPES, held, report
from drift_exporter.reporting.rendering import Format
from drift_exporter.snapshot import Board
from drift_exporter.store import Store
from drift_exporter.store.cases import Cases
from drift_exporter.verdicts.verdict import State

log = logging.getLogger(__name__)

CONFIG_CHANGED = "config_changed"
"""Kind of the audit entry of a config that another one took the place of."""

VERIFY_SECONDS = 3600.0
"""How often the audit log is verified by itself."""

MOST_HELD = 1000
"""Newest incidents whose records are held against the log each time: a few seconds' work."""

_Of = TypeVar("_Of", bound=tuple[Any, ...])
_Number = TypeVar("_Number")

SKETCH_SECONDS = 120.0
"""Longest that the source may take to answer an analysis."""


class Casework:
    """Incidents from the webhook to the last action, for one running exporter."""

    def __init__(
        self,
        environ: Mapping[str, str],
        board: Board,
        metrics: IncidentMetrics,
        shard: tuple[int, int],
        store: Callable[[], Store],
        jobs: Callable[[], Mapping[str, Job]],
    ) -> None:
        self._environ = environ
        self._board = board
        self._metrics = metrics
        self._shard = shard
        self._store = store
        self._jobs = jobs
        self._config: Config | None = None
        self._settings = Settings({})
        self._verified = 0.0
        self._tally = Tally()
        self._tallied_cases: Cases | None = None
        self._analysing = threading.Lock()
        self._telling = threading.Lock()
        self._responder = Responder(self._watch, self._tell)
        self.desk = Desk(
            store,
            lambda: self._settings,
            time.time,
            self._key,
            changed=self._responder.wake,
            counted=metrics.received,
            analyse=self._analyse,
        )

    def settings(self, config: Config) -> Settings:
        """What a config says of incidents; its tokens are read.

        Raises
        ------
        ConfigError
            If a token cannot be read.
        """
        # In a store that shards share, any of them may be told of any model.
        shared = config.store.url.startswith("postgresql")
        tiers = {m.name: m.tier for m in config.watched if shared or self._ours(m.name)}
        return Settings(tiers, config.response, people_of(config.access, self._environ))

    def apply(self, config: Config, settings: Settings) -> None:
        """Make this the config that incidents are answered by."""
        self._config, self._settings = config, settings
        own = {name: tier for name, tier in settings.tiers.items() if self._ours(name)}
        self._metrics.configure(config.response, own)
        self._responder.wake()

    def start(self) -> None:
        """Begin to look after incidents."""
        self._responder.start()

    def stop(self, wait_seconds: float) -> None:
        """Begin nothing new, and wait for what is being done."""
        self._responder.stop(wait_seconds)

    def taken(self, model: ModelConfig, profile: Profile) -> None:
        """Write down that a model goes on with a profile or version that is new."""
        note = read_note(profile_path(self._configured(), model))
        try:
            found = noticed(self._store(), model, profile, time.time(), note=note)
        except StoreError as error:
            # The next load of the config tries again.
            log.error("promotion not kept", extra={"model": model.name, "err": str(error)})
            return
        if found is not None:
            log.info(found.text, extra={"model": model.name, "incident": found.incident_id or ""})
            self._responder.wake()

    def prune(self, now: float) -> None:
        """Delete what is older than the config keeps: audit entries, alerts of no model."""
        kept = self._configured().store
        try:
            cases = self._store().cases
            # Alerts first: a log that was changed is not pruned, and must not keep them.
            alerts = cases.prune_unmatched(now - kept.retention.seconds)
            entries = cases.prune_audit(now - kept.audit_retention.seconds, now)
        except StoreError as error:
            log.error("cases not pruned", extra={"err": str(error)})
        else:
            log.info("cases pruned", extra={"audit_entries": entries, "alerts": alerts})

    def report(
        self, incident_id: int | None, since: float, until: float, form: Format
    ) -> tuple[bytes, str]:
        """A report of an incident or of a span: its bytes and their media type."""
        text = report(
            self._store(),
            self._configured(),
            since=since,
            until=until,
            now=time.time(),
            incident_id=incident_id,
            format=form,
        )
        return text.encode(), MEDIA_TYPES[form]

    def _configured(self) -> Config:
        if self._config is None:
            raise StoreError("the exporter has not started yet")
        return self._config

    def _key(self) -> bytes:
        return link_key(Path(self._configured().data_dir))

    def _watch(self) -> Watch:
        store, jobs = self._store(), self._jobs()
        duty = Duty(
            store.cases,
            self._settings.response,
            {name: tier for name, tier in self._settings.tiers.items() if self._ours(name)},
            time.time,
            partial(send, environ=self._environ),
            self._ours,
        )
        return Watch(
            store,
            duty,
            jobs.get,
            _sketched,
            lambda job: examining.sharing(job, jobs, self._drifting()),
            time.time,
        )

    def _ours(self, model: str) -> bool:
        mine, shards = self._shard
        return shard_of(model, shards) == mine

    def _analyse(self, incident: Incident, who: str) -> Incident | None:
        if not self._analysing.acquire(blocking=False):
            raise IncidentError("another incident is being analysed; try again in a minute")
        try:
            return examine_one(self._watch(), incident, who)
        finally:
            self._analysing.release()

    def _drifting(self) -> Collection[str]:
        bad = (State.WARNING, State.CRITICAL)
        return {
            snapshot.model
            for snapshot in self._board.all()
            for window in snapshot.windows
            if any(verdict.state in bad for verdict in window.verdicts)
        }

    def _tell(self) -> None:
        """Take over what the store knows now into the metrics; one after the other."""
        with self._telling:
            try:
                cases = self._store().cases
                # Of what shards share each tells its own models; actions have none in their names.
                first = self._shard[0] == 0 or not self._store().shared
                self._metrics.update(
                    Standing(
                        open_counts=self._of_ours(cases.open_counts()),
                        oldest_unacknowledged=self._of_ours(cases.oldest_unacknowledged()),
                        oldest_open=self._of_ours(cases.oldest_open()),
                        sums=self._sums(cases),
                        waiting=cases.waiting_counts() if first else {},
                        oldest_waiting=cases.oldest_waiting() if first else {},
                    )
                )
                self._metrics.promoted(self._promotions())
                head, intact = cases.audit_head(), None
                if time.monotonic() - self._verified > VERIFY_SECONDS or not self._verified:
                    intact = self._verify()
                    self._verified = time.monotonic()
                self._metrics.audit(head.id if head else 0, intact)
            except DriftExporterError as error:
                log.error("incidents not counted", extra={"err": str(error)})

    def _sums(self, cases: Cases) -> Sums:
        """The sums over all steps of our models; only those are read that are new."""
        if self._tallied_cases is not cases:
            # Another store, with other steps under the same ids.
            self._tallied_cases, self._tally = cases, Tally()
        while some := cases.told(self._tally.last_id):
            self._tally.take(told for told in some if self._ours(told.model))
            self._tally.last_id = some[-1].id
        return self._tally.sums()

    def _verify(self) -> bool:
        """Whether the audit log is whole, and the newest incidents are as it has them."""
        found, records = self._store().cases.verify_audit(), held(self._store(), MOST_HELD)
        if not (found.intact and records.agree):
            log.error(
                "audit log not intact",
                extra={"faults": len(found.faults), "records_differing": records.differing},
            )
        return found.intact and records.agree

    def _of_ours(self, found: Mapping[_Of, _Number]) -> dict[_Of, _Number]:
        return {of: number for of, number in found.items() if self._ours(of[0])}

    def _promotions(self) -> dict[str, tuple[float, float]]:
        quiet = self._settings.response.quiet_after_promotion.seconds
        found = {}
        for name in filter(self._ours, self._settings.tiers):
            at = promoted_at(self._store(), name)
            if at is not None:
                found[name] = (at, at + quiet)
        return found


def _sketched(job: Job) -> Source:
    return open_source(job.model.current, sample=job.model.sample, timeout_seconds=SKETCH_SECONDS)


def shard_of(model: str, shards: int) -> int:
    """The shard that a model belongs to, the same on every machine."""
    return int.from_bytes(hashlib.sha256(model.encode()).digest()[:8]) % shards


def last_config(cases: Cases) -> str | None:
    """Hash of the config that was written down last."""
    found = cases.newest_audit({CONFIG_CHANGED}, "config")
    return str(found[0].body.get("to", "")) if found else None
