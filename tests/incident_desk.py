"""A desk on a real SQLite store with people, and a server that shows it."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from drift_exporter.casework.desk import Desk, People, Settings, people_of
from drift_exporter.config.access import Access
from drift_exporter.config.response import Response
from drift_exporter.incident import Action, ActionState, Incident
from drift_exporter.incident.case import Person
from drift_exporter.store import Store, open_store
from drift_exporter.web.parts import WebParts
from drift_exporter.web.server import create_app
from test_web import PARTS, serving

NOW = 1_800_000_000.0
KEY = b"k" * 32

ROLES = ("viewer", "responder", "approver")
TOKENS = {role: f"token-of-the-{role}-0123456789" for role in ROLES}
"""By role, the token of the person that is called like the role."""

GROUPS = {"approver": ["science"]}

RETRAIN: dict[str, Any] = {
    "name": "retrain",
    "kind": "http",
    "url": "http://127.0.0.1:9/train",
    "retrain": True,
    "approvals": ["science", "clinic"],
    "body": '{"incident": {{ incident.id }}}',
}
TELL: dict[str, Any] = {"name": "tell", "kind": "http", "url": "http://127.0.0.1:9/tell"}


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """Seconds since the epoch."""
        return self.now


def people(**keys: Any) -> People:
    """The people of the tokens, and whatever else a config of access says."""
    environ = {f"TOKEN_{role.upper()}": token for role, token in TOKENS.items()}
    tokens = [
        {
            "name": role,
            "role": role,
            "groups": GROUPS.get(role, []),
            "token_env": f"TOKEN_{role.upper()}",
        }
        for role in ROLES
    ]
    access = Access.model_validate({"tokens": tokens, **keys})
    return people_of(access, {**os.environ, **environ})


@dataclass
class Room:
    """A desk and what it works with."""

    desk: Desk
    store: Store
    clock: Clock
    settings: Settings

    @property
    def parts(self) -> WebParts:
        """Parts of a server that shows the desk."""
        return replace(PARTS, desk=self.desk, clock=self.clock, report=a_report)

    def deliver(self, *alerts: Mapping[str, Any]) -> tuple[int, ...]:
        """Let Alertmanager send alerts; the incidents that they changed."""
        return self.desk.receive(body(alerts), self.clock.now).incident_ids

    def analysed(self, incident_id: int, analysis: Mapping[str, Any], what: str) -> Incident:
        """Write an analysis to an incident, as the rounds do."""
        with self.store.cases.writing("analyse") as tx:
            found = replace(tx.get(incident_id), analysis=analysis, classification=what)
            return tx.save(found)

    def waiting(self, incident_id: int, **fields: Any) -> Action:
        """An action that waits for approvals."""
        defaults: dict[str, Any] = {
            "id": 0,
            "incident_id": incident_id,
            "name": "retrain",
            "key": f"key-{incident_id}-{len(self.store.cases.actions())}",
            "state": ActionState.WAITING,
            "created": self.clock.now,
            "updated": self.clock.now,
            "expires": self.clock.now + 86400,
            "needs": ("science", "clinic"),
            "reason": "the incident was classified as covariate_shift",
            "detail": {"request": {"method": "POST", "url": "http://airflow/train", "body": "{}"}},
        }
        with self.store.cases.writing("ask") as tx:
            return tx.save_action(Action(**{**defaults, **fields}))


def a_report(incident_id: int | None, since: float, until: float, kind: str) -> tuple[bytes, str]:
    """Bytes that say what was asked for."""
    return f"{incident_id} {since:.0f} {until:.0f} {kind}".encode(), "text/plain"


def alert(feature: str = "income", **keys: Any) -> dict[str, Any]:
    """An alert of the model credit as Alertmanager sends it."""
    name, model = keys.pop("name", "ModelDriftFeatureDrifted"), keys.pop("model", "credit")
    labels = {"alertname": name, "model": model, "feature": feature, "severity": "critical"}
    return {
        "status": "firing",
        "labels": {**labels, **keys.pop("labels", {})},
        "annotations": {"summary": f"{feature} of {model} drifts"},
        "startsAt": "2027-01-15T07:30:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        **keys,
    }


def body(alerts: Sequence[Mapping[str, Any]], **keys: Any) -> bytes:
    """A delivery of Alertmanager."""
    return json.dumps({"version": "4", "alerts": list(alerts), **keys}).encode()


@contextmanager
def room(folder: Path, known: People | None = None) -> Iterator[Room]:
    """A desk on a fresh store; by default with one person per role."""
    clock = Clock()
    response = Response.model_validate({"actions": [RETRAIN, TELL]})
    tiers = {"credit": "high", "churn": "low"}
    settings = Settings(tiers, response, people() if known is None else known)
    with open_store(f"sqlite:///{folder / 'drift.db'}", now=NOW) as store:
        desk = Desk(lambda: store, lambda: settings, clock, lambda: KEY)
        yield Room(desk, store, clock, settings)


@contextmanager
def served(found: Room, **changed: Any) -> Iterator[httpx.Client]:
    """A client of a server that shows a room."""
    with serving(create_app(replace(found.parts, **changed))) as client:
        yield client


def bearer(role: str) -> dict[str, str]:
    """Headers of the person of a role; none for nobody."""
    return {"Authorization": f"Bearer {TOKENS[role]}"} if role else {}


def person(role: str) -> Person:
    """The person of a role."""
    return Person(role, role, tuple(GROUPS.get(role, ())))


def plain(analysis: Any) -> dict[str, Any]:
    """An analysis as the store keeps it."""
    found: dict[str, Any] = json.loads(json.dumps(asdict(analysis)))
    return found
