"""When runs happen: interval or cron, one run of a model at a time, with a time limit.

Knows clocks and threads. Never knows what a run does, reads or finds.

APScheduler says when a run is due and does nothing else: its thread hands each run to a
daemon thread of its own, and a timer gives up on the run that takes too long. So there is
no pool that hung runs could fill. Python cannot end a thread; a hung one lives on, and as
long as it does its model has no second one.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MAX_INSTANCES, EVENT_JOB_MISSED
from apscheduler.executors.debug import DebugExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from drift_exporter.cron import longest_gap_seconds, parse_cron
from drift_exporter.errors import ConfigError, RunStoppedError

_log = logging.getLogger(__name__)

MISFIRE = "misfire"
"""Reason of a skip: the process could not run when the run was due (host asleep, clock set)."""

OVERLAP = "overlap"
"""Reason of a skip: the model's last run was still going."""


class Ticket:
    """What a run holds: whether to stop, and the right to publish, which it can lose."""

    def __init__(self) -> None:
        self._deciding = threading.Lock()
        self._stopped = False
        self._finished = False
        self._abandoned = False

    def stopped(self) -> bool:
        """Whether the run should end soon without a result."""
        return self._stopped

    def stop(self) -> None:
        """Ask the run to end; it may still publish."""
        self._stopped = True

    def finish(self) -> bool:
        """Claim the right to publish: false where the run was abandoned before.

        To be called just before publishing. From then on the run cannot be abandoned.
        """
        with self._deciding:
            self._finished = not self._abandoned
            return self._finished

    def abandon(self) -> bool:
        """Take the right to publish away: true the first time, false once it was claimed."""
        with self._deciding:
            if self._finished or self._abandoned:
                return False
            self._abandoned = self._stopped = True
            return True


Work = Callable[[Ticket], None]


@dataclass(eq=False)
class _Plan:
    work: Work
    trigger: Any
    timeout_seconds: float
    due: datetime


@dataclass(eq=False)
class _Run:
    name: str
    plan: _Plan
    ticket: Ticket = field(default_factory=Ticket)
    thread: threading.Thread = field(init=False)
    followed: bool = False


class Scheduler:
    """Runs the work of each model when it is due, one at a time, and reports what was not run.

    ``on_skip(name, reason)`` is called for a run that was due and not made, from the thread
    that starts all runs: it must be quick. ``on_timeout(name, seconds)`` for a run that was
    given up, ``on_error(name, exception)`` for one that raised. At most one of the two is
    called for a run. Calls of ``schedule`` and ``unschedule`` come one after another.
    """

    def __init__(
        self,
        *,
        on_skip: Callable[[str, str], None],
        on_timeout: Callable[[str, float], None],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._on_skip = on_skip
        self._on_timeout = on_timeout
        self._on_error = on_error
        # Never held while calling into APScheduler, whose thread holds its own lock in _due().
        self._lock = threading.Lock()
        self._plans: dict[str, _Plan] = {}
        self._running: dict[str, _Run] = {}
        self._closed = False
        self._jobs = BackgroundScheduler(timezone=UTC, executors={"default": DebugExecutor()})
        self._jobs.add_listener(
            self._heard, EVENT_JOB_ERROR | EVENT_JOB_MAX_INSTANCES | EVENT_JOB_MISSED
        )

    def schedule(
        self,
        name: str,
        work: Work,
        *,
        interval_seconds: float | None = None,
        cron: str | None = None,
        timeout_seconds: float,
        jitter_seconds: float | None = None,
        first_delay_seconds: float = 0.0,
        now: float | None = None,
    ) -> None:
        """Plan the runs of a model: the first one soon, then every interval or as cron says.

        A model that is planned already is planned anew; what it is running is abandoned.

        Parameters
        ----------
        interval_seconds
            Time from run to run, counted from the first.
        cron
            Five fields in UTC, instead of the interval. Only the first run is off its beat.
        timeout_seconds
            Time after which a run is given up.
        jitter_seconds
            The first runs of all models are spread over this time; by default a tenth of
            the longest gap, at most 30 seconds.
        first_delay_seconds
            Wait before the first run, besides the jitter.
        now
            Seconds since the epoch; by default the clock's.

        Raises
        ------
        ConfigError
            If the cron expression cannot be used, or neither it nor an interval is given.
        """
        beat = cron if cron is not None else interval_seconds
        if beat is None:
            raise ConfigError(f"model {name!r} has neither an interval nor a cron expression")
        gap_seconds = longest_gap_seconds(beat)
        if jitter_seconds is None:
            jitter_seconds = min(gap_seconds / 10, 30.0)
        delay_seconds = first_delay_seconds + spread_seconds(name, jitter_seconds)
        start = time.time() if now is None else now
        first = datetime.fromtimestamp(start + delay_seconds, tz=UTC)
        plan = _Plan(work, _trigger(beat, first), timeout_seconds, due=first)
        self.unschedule(name)
        with self._lock:
            self._plans[name] = plan
        self._jobs.add_job(
            self._due,
            plan.trigger,
            args=[name],
            id=name,
            next_run_time=first,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )

    def unschedule(self, name: str) -> None:
        """Plan no more runs of a model and abandon the one that it is running."""
        with self._lock:
            known = name in self._plans
        if not known:
            return
        self._jobs.remove_job(name)
        with self._lock:
            self._plans.pop(name, None)
            run = self._running.get(name)
        if run is not None:
            run.ticket.abandon()
            run.ticket.stop()

    def start(self) -> None:
        """Begin to run what is due."""
        self._jobs.start()

    def trigger(self, name: str) -> bool:
        """Run a model now, besides its plan; false where it is running already or all is shut.

        Raises
        ------
        KeyError
            If no such model is planned.
        """
        return self._launch(name, self._plans[name])

    def next_run(self, name: str) -> float | None:
        """When a model is due next, in seconds since the epoch; None where it is not planned."""
        job = self._jobs.get_job(name)
        return None if job is None else float(job.next_run_time.timestamp())

    def running(self) -> tuple[str, ...]:
        """The models that have a run, hung ones included."""
        with self._lock:
            return tuple(self._running)

    def shutdown(self, wait_seconds: float) -> tuple[str, ...]:
        """Start no more runs, ask all to stop, wait for them; the names of those still running.

        A run that has not ended by then is abandoned: it cannot publish any more.
        """
        with self._lock:
            self._closed = True
            runs = tuple(self._running.values())
        for run in runs:
            run.ticket.stop()
        if self._jobs.running:
            self._jobs.shutdown(wait=False)
        deadline = time.monotonic() + wait_seconds
        for run in runs:
            run.thread.join(max(0.0, deadline - time.monotonic()))
        left = tuple(run for run in runs if run.thread.is_alive())
        for run in left:
            run.ticket.abandon()
        return tuple(run.name for run in left)

    def _due(self, name: str) -> None:
        plan = self._plans.get(name)
        if plan is None:
            return
        missed, plan.due = fold(plan.trigger, plan.due, datetime.now(UTC))
        if missed:
            _log.warning("runs missed", extra={"model": name, "reason": MISFIRE, "runs": missed})
        for _ in range(missed):
            self._tell(self._on_skip, name, MISFIRE)
        if not self._launch(name, plan) and not self._closed:
            _log.warning("run skipped", extra={"model": name, "reason": OVERLAP})
            self._tell(self._on_skip, name, OVERLAP)

    def _launch(self, name: str, plan: _Plan) -> bool:
        with self._lock:
            if self._closed:
                return False
            last = self._running.get(name)
            if last is not None:
                # After a reload the old plan's run may take a while to see that it should
                # stop: the new plan's first run then follows it, not an interval later.
                last.followed = last.plan is not plan
                return False
            run = _Run(name, plan)
            run.thread = threading.Thread(
                target=self._execute, args=(run,), name=f"run-{name}", daemon=True
            )
            run.thread.start()
            self._running[name] = run
            return True

    def _execute(self, run: _Run) -> None:
        watch = threading.Timer(run.plan.timeout_seconds, self._give_up, (run,))
        watch.daemon = True
        try:
            watch.start()
            run.plan.work(run.ticket)
            run.ticket.finish()
        except BaseException as error:  # noqa: BLE001 - a library may even call sys.exit()
            self._failed(run, error)
        finally:
            watch.cancel()
            self._leave(run)

    def _give_up(self, run: _Run) -> None:
        if run.ticket.abandon():
            seconds = run.plan.timeout_seconds
            _log.error("run given up", extra={"model": run.name, "timeout_seconds": seconds})
            self._tell(self._on_timeout, run.name, seconds)

    def _failed(self, run: _Run, error: BaseException) -> None:
        asked = isinstance(error, RunStoppedError) and run.ticket.stopped()
        if run.ticket.finish() and not asked:
            _log.error("run failed", exc_info=error, extra={"model": run.name})
            self._tell(self._on_error, run.name, error)
        else:
            _log.info("stopped run ended", exc_info=error, extra={"model": run.name})

    def _leave(self, run: _Run) -> None:
        with self._lock:
            del self._running[run.name]
            plan = self._plans.get(run.name) if run.followed else None
        if plan is not None:
            self._launch(run.name, plan)

    def _heard(self, event: Any) -> None:
        if event.code == EVENT_JOB_ERROR:
            # The run could not even be started, for want of a thread for instance.
            _log.error("run not started", exc_info=event.exception, extra={"model": event.job_id})
            self._tell(self._on_error, event.job_id, event.exception)
            return
        # As the job ends at once and has no grace time, APScheduler has no reason to drop a
        # run. Should it find one, the run is still counted.
        reason = MISFIRE if event.code == EVENT_JOB_MISSED else OVERLAP
        _log.warning("run skipped", extra={"model": event.job_id, "reason": reason})
        self._tell(self._on_skip, event.job_id, reason)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:  # noqa: BLE001 - a report that fails must not end the scheduler
            _log.exception("report failed", extra={"model": arguments[0]})


def spread_seconds(name: str, limit_seconds: float) -> float:
    """A delay in ``[0, limit)`` that is always the same for a name and differs between names."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48 * limit_seconds


def fold(trigger: Any, due: datetime, now: datetime) -> tuple[int, datetime]:
    """How many runs were due after ``due`` until now, and when the next one is."""
    missed = 0
    following: datetime = trigger.get_next_fire_time(due, now)
    while following <= now:
        missed += 1
        following = trigger.get_next_fire_time(following, now)
    return missed, following


def _trigger(beat: float | str, first: datetime) -> Any:
    if not isinstance(beat, str):
        return IntervalTrigger(seconds=beat, start_date=first, timezone=UTC)
    minute, hour, day, month, weekday = parse_cron(beat)
    return CronTrigger(
        minute=_joined(minute, 60),
        hour=_joined(hour, 24),
        day=_joined(day, 31),
        month=_joined(month, 12),
        # Cron's week starts with Sunday, APScheduler's with Monday.
        day_of_week=_joined(tuple((number - 1) % 7 for number in weekday), 7),
        timezone=UTC,
    )


def _joined(numbers: tuple[int, ...], size: int) -> str:
    return "*" if len(numbers) == size else ",".join(map(str, numbers))
