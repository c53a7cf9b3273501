"""The thread that looks after incidents: it analyses the new ones and sends what was approved.

Knows the order of a round and what wakes it; never a request, a page or an alert. A round that
fails is logged, and the next one goes on from what is stored.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

from drift_exporter.analysis import Classification
from drift_exporter.casework.examining import ACTOR, examine, is_examined, keep, seen_of
from drift_exporter.casework.responding import MOST_INCIDENTS, Change, Duty, respond_once
from drift_exporter.checking.job import Job
from drift_exporter.errors import DriftExporterError
from drift_exporter.incident import ACTIVE, Incident
from drift_exporter.reading.source import Source
from drift_exporter.store import Store

log = logging.getLogger(__name__)

ROUND_SECONDS = 10.0
"""From round to round, where nothing wakes it."""


@dataclass(frozen=True)
class Watch:
    """What a round needs."""

    store: Store
    duty: Duty
    job_of: Callable[[str], Job | None]
    open_source: Callable[[Job], Source]
    related: Callable[[Job], Collection[str]]
    """Other models that share a model's source and drift too."""

    clock: Callable[[], float]


def one_round(watch: Watch) -> tuple[Change, ...]:
    """Analyse incidents that were not, then one round of actions.

    Raises
    ------
    StoreError
        If the store cannot be read or written.
    """
    for incident in watch.store.cases.incidents(states=ACTIVE, limit=MOST_INCIDENTS):
        if not is_examined(incident) and watch.duty.ours(incident.model):
            examine_one(watch, incident)
    return respond_once(replace(watch.duty, look_again=partial(look_again, watch)))


def look_again(watch: Watch, incident: Incident) -> bool:
    """Look at an incident's newest counts before a model is retrained on such data.

    What people approved stays as it was analysed, unless the data are of bad quality now: then
    that is written down, and forbids it. False where nobody can look.
    """
    job = watch.job_of(incident.model)
    if job is None or incident.analysis is None:
        return job is not None
    try:
        known = watch.store.last_success(incident.model)
        if known is None or known.window_end is None:
            return False
        if known.window_end <= incident.analysis.get("window", {}).get("end", 0):
            return True
        seen = seen_of(watch.store, incident)
        found = examine(job, lambda: watch.open_source(job))
        if found is None:
            return False
        if found.analysis.classification is Classification.DATA_QUALITY:
            related = tuple(watch.related(job))
            keep(watch.store, incident.id, found, watch.clock(), related, seen=seen)
        return True
    except DriftExporterError as error:
        log.error("incident not looked at", extra={"incident": incident.id, "err": str(error)})
    except Exception:
        # A defect in the look must not send what nobody has looked at, nor end the round.
        log.exception("analysis broke", extra={"incident": incident.id})
    return False


def examine_one(watch: Watch, incident: Incident, actor: str = ACTOR) -> Incident | None:
    """Analyse one incident, also one that was analysed; None where that failed."""
    job = watch.job_of(incident.model)
    if job is None:
        # Its profile is not there yet: a later round will find it, unless it is no model of ours.
        return None
    try:
        # Before the counts are read: an alert that comes meanwhile is news to the analysis.
        seen = seen_of(watch.store, incident)
        found = examine(job, lambda: watch.open_source(job))
        if found is None:
            # No run has succeeded yet: there is nothing to be judged, a later round looks again.
            return None
        related = tuple(watch.related(job))
        return keep(watch.store, incident.id, found, watch.clock(), related, actor, seen)
    except DriftExporterError as error:
        log.error("incident not analysed", extra={"incident": incident.id, "err": str(error)})
        return None
    except Exception:
        # A defect in the analysis of one incident must not keep the others without an answer.
        log.exception("analysis broke", extra={"incident": incident.id})
        return None


class Responder:
    """Runs rounds in a thread of its own until it is stopped."""

    def __init__(self, watch: Callable[[], Watch], done: Callable[[], None]) -> None:
        self._watch = watch
        self._done = done
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="responder", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self, _: Sequence[int] = ()) -> None:
        """Let the next round begin now."""
        self._woken.set()

    def stop(self, wait_seconds: float) -> None:
        """Begin no more rounds and wait for the one that runs."""
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(wait_seconds)

    def _run(self) -> None:
        while not self._stopped:
            try:
                for change in one_round(self._watch()):
                    log.info(
                        "action changed",
                        extra={
                            "action": change.name,
                            "model": change.model,
                            "state": str(change.state),
                        },
                    )
            except DriftExporterError as error:
                log.error("round of incidents failed", extra={"err": str(error)})
            except Exception:
                # A defect in one round must not end all the others.
                log.exception("round of incidents broke")
            self._done()
            self._woken.wait(ROUND_SECONDS)
            self._woken.clear()
