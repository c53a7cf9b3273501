"""The threads that look after incidents: one analyses and asks, the other sends what was approved.

Knows the order of their rounds and what wakes them; never a request, a page or an alert. A round
that fails is logged, and the next one goes on from what is stored.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from drift_exporter.analysis import Classification
from drift_exporter.casework.acting import act_once
from drift_exporter.casework.duty import MOST_INCIDENTS, Change, Duty
from drift_exporter.casework.examining import ACTOR, examine, is_examined, keep, seen_of
from drift_exporter.casework.proposing import propose_once
from drift_exporter.checking.job import Job
from drift_exporter.errors import DriftExporterError
from drift_exporter.incident import ACTIVE, Incident
from drift_exporter.reading.source import Source
from drift_exporter.store import Store

log = logging.getLogger(__name__)

_Found = TypeVar("_Found")

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


def look_after(watch: Watch) -> tuple[Change, ...]:
    """Analyse incidents that were not, then write down what they ask for.

    In one round, so that what asks for an action at its opening and by its classification asks
    once.

    Raises
    ------
    StoreError
        If the store cannot be read or written.
    """
    for incident in watch.store.cases.incidents(states=ACTIVE, limit=MOST_INCIDENTS):
        if not is_examined(incident) and watch.duty.ours(incident.model):
            examine_one(watch, incident)
    return propose_once(watch.duty)


def send_approved(watch: Watch) -> tuple[Change, ...]:
    """Send what may be sent, a retraining only after a look at the newest counts.

    Raises
    ------
    StoreError
        If the store cannot be read or written.
    """
    return act_once(replace(watch.duty, look_again=partial(look_again, watch)))


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
    """Runs the rounds until it is stopped, in two threads: no receiver holds up an analysis."""

    def __init__(self, watch: Callable[[], Watch], done: Callable[[], None]) -> None:
        self._done = done
        self._looking = _Rounds("incidents", lambda: look_after(watch()), self._looked)
        self._sending = _Rounds("actions", lambda: send_approved(watch()), self._sent)

    def start(self) -> None:
        """Begin."""
        self._looking.start()
        self._sending.start()

    def wake(self, _: Sequence[int] = ()) -> None:
        """Let the next rounds begin now."""
        self._looking.wake()
        self._sending.wake()

    def stop(self, wait_seconds: float) -> None:
        """Begin no more rounds and wait for those that run."""
        end = time.monotonic() + wait_seconds
        for rounds in (self._looking, self._sending):
            rounds.end()
        for rounds in (self._looking, self._sending):
            rounds.wait(max(end - time.monotonic(), 0.0))

    def _looked(self, changes: Sequence[Change]) -> None:
        self._done()
        if changes:
            self._sending.wake()

    def _sent(self, changes: Sequence[Change]) -> None:
        # What happens without us is seen by whoever looks.
        if changes:
            self._done()


class _Rounds:
    """One round after the other in a thread of their own, when woken or after a while."""

    def __init__(
        self,
        name: str,
        once: Callable[[], Sequence[Change]],
        then: Callable[[Sequence[Change]], None],
    ) -> None:
        self._once = once
        self._then = then
        self._woken = threading.Event()
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def end(self) -> None:
        self._ended = True
        self._woken.set()

    def wait(self, seconds: float) -> None:
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ended:
            changes = _safely(self._once) or ()
            for change in changes:
                told = {"action": change.name, "model": change.model, "state": str(change.state)}
                log.info("action changed", extra=told)
            _safely(partial(self._then, changes))
            self._woken.wait(ROUND_SECONDS)
            self._woken.clear()


def _safely(work: Callable[[], _Found]) -> _Found | None:
    try:
        return work()
    except DriftExporterError as error:
        log.error("round of incidents failed", extra={"err": str(error)})
    except Exception:
        # A defect in one round must not end all the others.
        log.exception("round of incidents broke")
    return None
