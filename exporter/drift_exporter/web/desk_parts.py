"""What the server asks of incidents, and of who asks: callables, given by whoever builds it.

Knows the shape of what is asked for; never where it comes from.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Literal, Protocol

from drift_exporter.audit import Entry, Findings
from drift_exporter.incident import Action, Alert, Incident, IncidentState
from drift_exporter.incident.case import Case, Invitation, Person, Receipt

ReportFormat = Literal["markdown", "html", "json"]

Report = Callable[[int | None, float, float, ReportFormat], tuple[bytes, str]]
"""A report of an incident, or of None over a span of seconds since the epoch, in a format: its
bytes and their media type."""


class People(Protocol):
    """Who is known, and by what."""

    @property
    def restricted(self) -> bool:
        """Whether incidents are shown to known people alone."""

    @property
    def sender_known(self) -> bool:
        """Whether alerts are taken with a token alone."""

    def by_token(self, token: str) -> Person | None:
        """Who holds a token."""

    def by_user(self, name: str) -> Person:
        """Who a user is whose password was right."""

    def may_send(self, token: str) -> bool:
        """Whether alerts may be sent with a token, empty for none."""


class Desk(Protocol):
    """What is done with incidents; refuses with ``IncidentError`` and ``StoreError``."""

    @property
    def people(self) -> People:
        """Who is known now."""

    def receive(self, body: bytes, now: float) -> Receipt:
        """Take up what Alertmanager sent, or refuse with ``DeliveryError``."""

    def incidents(
        self,
        model: str | None = None,
        states: Collection[IncidentState] | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[Incident]:
        """The newest incidents first."""

    def unmatched_alerts(self, limit: int) -> list[Alert]:
        """The newest alerts that belong to no incident."""

    def incident(self, incident_id: int) -> Incident | None:
        """The incident of an id."""

    def action(self, action_id: int) -> Action | None:
        """The action of an id."""

    def case(self, incident_id: int) -> Case | None:
        """An incident with all that belongs to it."""

    def actions_to_ask(self, incident: Incident) -> tuple[str, ...]:
        """Names of actions that somebody may ask for."""

    def move(self, incident_id: int, person: Person, move: str, text: str) -> Incident:
        """Acknowledge, mitigate, resolve, close or note."""

    def analyse(self, incident_id: int, person: Person) -> Incident:
        """Judge an incident once more, on the newest counts."""

    def decide(self, action_id: int, person: Person, decision: str, note: str) -> Action:
        """Approve or reject an action."""

    def request(self, incident_id: int, action_name: str, person: Person) -> Action:
        """Ask for an action of the config."""

    def settle(self, action_id: int, person: Person, done: bool, note: str) -> Action:
        """Say what became of an action of which nobody knew the outcome."""

    def audit(self, since_id: int = 0, limit: int | None = 1000) -> Iterable[Entry]:
        """Entries of the audit log after an id, the oldest first; of no limit, all."""

    def verify(self) -> Findings:
        """Find what was changed in the audit log."""

    def invitation(self, link: str) -> Invitation:
        """What a signed link lets its holder do."""

    def answer(self, link: str, note: str) -> Action:
        """Do what a signed link is for."""
