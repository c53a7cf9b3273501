"""A retraining from proposal to outcome on a real store, that can be ended at every point.

As a program, ``response_story.py FOLDER URL POINTS``, it tells it once per point in a process of
its own, which ends itself with SIGKILL there. The store of a point is ``<point>.db`` in the folder.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from drift_exporter.casework.acting import act_once
from drift_exporter.casework.answering import approve
from drift_exporter.casework.duty import Change, Duty
from drift_exporter.casework.proposing import propose_once
from drift_exporter.config.action import Action as Configured
from drift_exporter.config.response import Response
from drift_exporter.errors import IncidentError
from drift_exporter.exchange.building import Request
from drift_exporter.exchange.sending import Sent, send
from drift_exporter.incident import ActionState, Cause, Incident, IncidentState
from drift_exporter.store.case_writing import Writing
from drift_exporter.store.cases import Cases
from drift_exporter.store.database import Database, open_database

NOW = 1_700_000_000.0
PEOPLE = (("ann", "science"), ("bob", "clinic"))

Reach = Callable[[str], None]
"""Told each point that the story reaches, by its name."""


class WatchedCases(Cases):
    """Incidents in the store; every transaction is told before, inside and after it."""

    def __init__(self, database: Database, reach: Reach) -> None:
        super().__init__(database)
        self._reach = reach

    @contextmanager
    def writing(self, what: str) -> Iterator[Writing]:
        """The transaction, and where it has come to."""
        self._reach(f"before: {what}")
        with super().writing(what) as tx:
            yield tx
            self._reach(f"inside: {what}")
        self._reach(f"after: {what}")


@contextmanager
def opened_cases(store: str, reach: Reach = lambda _: None) -> Iterator[WatchedCases]:
    """The cases of a SQLite file."""
    database = open_database(f"sqlite:///{store}", now=NOW, shard="")
    try:
        yield WatchedCases(database, reach)
    finally:
        database.close()


def open_incident(cases: Cases, **fields: Any) -> Incident:
    """A classified incident of the model credit, stored."""
    defaults: dict[str, Any] = {
        "id": 0,
        "model": "credit",
        "cause": Cause.DRIFT,
        "state": IncidentState.OPEN,
        "severity": "critical",
        "opened": NOW,
        "updated": NOW,
        "classification": "covariate_shift",
        "title": "income drifts",
    }
    with cases.writing("open an incident") as tx:
        return tx.save(Incident(**{**defaults, **fields}))


def action(url: str, **keys: Any) -> dict[str, Any]:
    """A retraining that needs two people, for the config."""
    defaults = {
        "name": "retrain",
        "kind": "http",
        "url": url,
        "retrain": True,
        "approvals": [group for _, group in PEOPLE],
        "backoff": "0s",
        "timeout": "5s",
    }
    return {**defaults, **keys}


def duty_of(
    cases: Cases,
    actions: list[dict[str, Any]],
    clock: Callable[[], float] = lambda: NOW,
    reach: Reach = lambda _: None,
) -> Duty:
    """What a round needs, with real sending."""

    def sending(configured: Configured, request: Request) -> Sent:
        reach("before: send")
        sent = send(configured, request, {})
        reach("after: send")
        return sent

    response = Response.model_validate({"actions": actions})
    return Duty(cases, response, {"credit": "high", "churn": "low"}, clock, sending)


def respond_once(duty: Duty) -> tuple[Change, ...]:
    """A round of each thread, one after the other."""
    return (*propose_once(duty), *act_once(duty))


def tell(store: str, url: str, mode: str, reach: Reach = lambda _: None) -> None:
    """The story, or what is left of it: proposed, approved by two people, sent."""
    with opened_cases(store, reach) as cases:
        duty = duty_of(cases, [action(url, after_unknown=mode)], reach=reach)
        respond_once(duty)
        for who, group in PEOPLE:
            for proposed in cases.actions(states={ActionState.WAITING}):
                with suppress(IncidentError):  # answered before the last restart
                    approve(cases, proposed.id, who, (group,), "approve", NOW)
        respond_once(duty)


class Stop(BaseException):
    """The end of a process, played by an exception that nothing catches."""


def count_to(point: int, end: Callable[[], None]) -> Reach:
    """Reaches that end the story at the given one, counted from 0."""
    reached = 0

    def reach(_: str) -> None:
        nonlocal reached
        if reached == point:
            end()
        reached += 1

    return reach


if __name__ == "__main__":
    FOLDER, URL, POINTS = sys.argv[1:]
    for number in range(int(POINTS)):
        child = os.fork()
        if child == 0:
            kill = partial(os.kill, os.getpid(), signal.SIGKILL)
            tell(f"{FOLDER}/{number}.db", f"{URL}/{number}", "manual", count_to(number, kill))
            os._exit(0)
        if os.waitpid(child, 0)[1] != signal.SIGKILL:
            sys.exit(f"the story came to its end before point {number}")
