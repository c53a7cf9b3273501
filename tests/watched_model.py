"""A model with real counts in a desk's store: its incidents can be analysed, and acted upon."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from drift_exporter.casework.duty import Change, Duty
from drift_exporter.casework.responder import Watch, look_after, send_approved
from drift_exporter.checking.job import Job
from drift_exporter.config.response import Response
from drift_exporter.exchange.sending import send
from drift_exporter.incident import Incident
from drift_exporter.snapshot import Run
from incident_desk import NOW, Room
from past_counts import HOUR, OLDER, SLICE, Ledger, always, drawn, job, keep

SHIFTED: dict[str, Any] = {"ages": always(*OLDER)}
"""Older people than ever: a shift of the data."""

FAULTY: dict[str, Any] = {"missing": 0.6}
"""Most ages are gone: a fault of the data."""

MISSING = "ModelDriftMissingValuesHigh"
"""Another alert of drift than that of a desk's ``alert``."""

PEOPLE = (("ann", "science"), ("bob", "clinic"))

_QUIET: Callable[[], None] = lambda: None  # noqa: E731  (a default of the field below)


@dataclass
class Watched:
    """The model credit of a desk's room, and what the rounds need."""

    room: Room
    job: Job
    jobs: dict[str, Job] = field(default_factory=dict)
    """The models that have a profile by now."""

    actions: list[dict[str, Any]] = field(default_factory=list)
    """The actions of the config."""

    reading: Callable[[], None] = _QUIET
    """What happens while the source is asked."""

    def counts(self, **rows: Any) -> None:
        """Let the model's windows hold these rows now, and a run have succeeded on them."""
        now = int(self.room.clock.now) // SLICE * SLICE
        keep(self.job, drawn(now - 4 * HOUR, now, **rows), now - 4 * HOUR, now)
        run = Run(float(now), float(now), success=True, window_end=now)
        self.room.store.record_run("credit", run)

    @property
    def watch(self) -> Watch:
        """What a round needs, with real sending."""
        response = Response.model_validate({"actions": self.actions})
        room = self.room
        duty = Duty(
            room.store.cases,
            response,
            room.settings.tiers,
            room.clock,
            lambda configured, request: send(configured, request, {}),
        )
        return Watch(
            room.store, duty, self.jobs.get, self._opened, lambda _: ("churn",), room.clock
        )

    def round(self) -> tuple[Change, ...]:
        """One round, a minute after what was before."""
        self.room.clock.now += 60
        return (*look_after(self.watch), *send_approved(self.watch))

    def incident(self) -> Incident:
        """The one incident, as it is stored."""
        (found,) = self.room.desk.incidents()
        return found

    def evidence(self) -> int:
        """How often it was analysed on counts."""
        return len(self.room.store.cases.evidence(self.incident().id))

    def _opened(self, asked: Job) -> Ledger:
        assert asked is self.job
        self.reading()
        return Ledger()


def watched(room: Room, **rows: Any) -> Watched:
    """The model credit in a room, whose windows hold these rows."""
    assert room.clock.now == NOW
    found = Watched(room, job(room.store))
    found.jobs["credit"] = found.job
    found.counts(**rows)
    return found
