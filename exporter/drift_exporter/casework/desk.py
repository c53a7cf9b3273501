"""What people and Alertmanager do with incidents, one call and one transaction each.

Knows who may do what; the rules of incidents and actions are those of the modules below. Never
a request, a page or a command line.
"""

import hmac
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drift_exporter.audit import Entry, Findings
from drift_exporter.casework import answering
from drift_exporter.casework.duty import Duty
from drift_exporter.casework.receiving import Inbox
from drift_exporter.config.access import Access
from drift_exporter.config.response import Response
from drift_exporter.errors import (
    DeliveryError,
    IncidentError,
    RoleError,
    StoreError,
)
from drift_exporter.exchange import links
from drift_exporter.exchange.sending import Sent
from drift_exporter.exchange.tokens import Holder, holders, identify, long_token
from drift_exporter.exchange.webhook import parse
from drift_exporter.incident import (
    ACTIVE,
    Action,
    Alert,
    Cause,
    Incident,
    IncidentState,
    Step,
    acknowledge,
    close,
    mitigate,
    note,
    resolve,
)
from drift_exporter.incident.approving import WAITING
from drift_exporter.incident.case import NOBODY, AskedAction, Case, Invitation, Person, Receipt
from drift_exporter.store import Store

__all__ = ["NOBODY", "Case", "Desk", "People", "Person", "Receipt", "Settings", "people_of"]

MOST_CHARACTERS = 10_000
"""Longest note."""

_MOVES: Mapping[str, Callable[[Incident, str, float, str], tuple[Incident, Step]]] = {
    "acknowledge": acknowledge,
    "mitigate": mitigate,
    "resolve": resolve,
    "close": close,
    "note": note,
}


@dataclass(frozen=True)
class People:
    """Who is known, and by what."""

    holders: tuple[Holder, ...] = ()
    users: Mapping[str, Person] = field(default_factory=dict)
    webhook_token: str | None = field(default=None, repr=False)

    @property
    def restricted(self) -> bool:
        """Whether incidents are shown to known people alone."""
        return bool(self.holders or self.users)

    def by_token(self, token: str) -> Person | None:
        """Who holds a token; as quick for a wrong one as for a right one."""
        found = identify(self.holders, token)
        return None if found is None else Person(found.name, found.role, found.groups)

    def by_user(self, name: str) -> Person:
        """Who a user is whose password was right; without a role where the config has none."""
        return self.users.get(name, Person(name, ""))

    @property
    def sender_known(self) -> bool:
        """Whether alerts are taken with a token alone."""
        return self.webhook_token is not None

    def may_send(self, token: str) -> bool:
        """Whether alerts may be sent with a token, empty for none."""
        if self.webhook_token is None:
            return True
        presented = token.encode("utf-8", "surrogatepass")
        return hmac.compare_digest(presented, self.webhook_token.encode())


def people_of(access: Access, environ: Mapping[str, str]) -> People:
    """Who is known to a config; tokens are read here.

    Raises
    ------
    ConfigError
        If a token cannot be read, is short, or two have the same.
    """
    webhook = None
    if access.webhook_token_file:
        where = "access.webhook_token_file"
        webhook = long_token(where, access.webhook_token_file, None, environ)
    users = {user.name: Person(user.name, user.role, user.groups) for user in access.users}
    return People(holders(access, environ), users, webhook)


@dataclass(frozen=True)
class Settings:
    """What the config says of incidents."""

    tiers: Mapping[str, str]
    """Tier of each model that alerts may name, those of other shards too."""

    response: Response = field(default_factory=Response)
    people: People = field(default_factory=People)


class Desk:
    """Incidents for faces; all threads may call it. Every method may raise ``StoreError``.

    Parameters
    ----------
    store
        Gives the store; raises ``StoreError`` where it is not open.
    settings
        Gives what the config says now.
    clock
        Seconds since the epoch.
    link_key
        Gives the key of signed links.
    changed
        Told the ids of incidents that were changed, after it is written: whoever analyses and
        acts need not wait for the next round.
    counted
        Told the outcome of each delivery and its number of alerts, 1 where nobody can know.
    analyse
        Judges an incident on the newest counts and writes it to the incident, in a person's
        name; None where that is not possible.
    """

    def __init__(
        self,
        store: Callable[[], Store],
        settings: Callable[[], Settings],
        clock: Callable[[], float],
        link_key: Callable[[], bytes],
        changed: Callable[[Sequence[int]], None] = lambda _: None,
        counted: Callable[[str, int], None] = lambda _outcome, _alerts: None,
        analyse: Callable[[Incident, str], Incident | None] = lambda _incident, _who: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._link_key = link_key
        self._changed = changed
        self._counted = counted
        self._analyse = analyse
        self._inbox: tuple[Store, float, Inbox] | None = None

    @property
    def people(self) -> People:
        """Who is known now."""
        return self._settings().people

    def receive(self, body: bytes, now: float) -> Receipt:
        """Take up what Alertmanager sent; on return it is stored.

        Raises
        ------
        DeliveryError
            If the body is not what Alertmanager sends.
        """
        try:
            delivery, settings = parse(body), self._settings()
        except DeliveryError:
            self._counted("refused", 1)
            raise
        try:
            inbox = self._inbox_of(settings.response.reopen_after.seconds)
            ids = inbox.receive(settings.tiers.keys(), delivery.alerts, now)
        except StoreError:
            self._counted("failed", len(delivery.alerts))
            raise
        self._counted("accepted", len(delivery.alerts))
        if ids:
            self._changed(ids)
        return Receipt(tuple(ids), len(delivery.alerts), delivery.truncated)

    def incidents(
        self,
        model: str | None = None,
        states: Collection[IncidentState] | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[Incident]:
        """The newest incidents first; of one model, in some states, older than that of an id."""
        return self._store().cases.incidents(model, states, limit, before)

    def unmatched_alerts(self, limit: int) -> list[Alert]:
        """The newest alerts that belong to no incident."""
        return self._store().cases.unmatched_alerts(limit)

    def incident(self, incident_id: int) -> Incident | None:
        """The incident of an id."""
        return self._store().cases.incident(incident_id)

    def action(self, action_id: int) -> Action | None:
        """The action of an id."""
        return self._store().cases.action(action_id)

    def case(self, incident_id: int) -> Case | None:
        """An incident with all that belongs to it."""
        cases = self._store().cases
        incident = cases.incident(incident_id)
        if incident is None:
            return None
        return Case(
            incident,
            tuple(cases.steps(incident_id)),
            tuple(cases.alerts(incident_id)),
            tuple(
                AskedAction(action, tuple(cases.approvals(action.id)))
                for action in cases.actions(incident_id)
            ),
        )

    def actions_to_ask(self, incident: Incident) -> tuple[str, ...]:
        """Names of the config's actions that somebody may ask for."""
        if incident.state is IncidentState.CLOSED:
            return ()
        return tuple(action.name for action in self._settings().response.actions)

    def move(self, incident_id: int, person: Person, move: str, text: str) -> Incident:
        """Acknowledge, mitigate, resolve, close or note.

        Raises
        ------
        RoleError
            If the person is no responder.
        IncidentError
            If there is no such incident, or it cannot be done in its state.
        """
        _must(person, "responder", f"{move} an incident")
        if move not in _MOVES:
            raise IncidentError(f"found the move {move!r}, expected one of {', '.join(_MOVES)}")
        _short(text)
        cases = self._store().cases
        with cases.writing(f"{move} incident {incident_id}") as tx:
            after, step = _MOVES[move](tx.get(incident_id), person.name, self._clock(), text)
            after = tx.save(after)
            tx.record(incident_id, step)
        self._changed([incident_id])
        return after

    def analyse(self, incident_id: int, person: Person) -> Incident:
        """Judge an incident once more, on what its model's windows hold now.

        Raises
        ------
        RoleError
            If the person is no responder.
        IncidentError
            If there is no such incident, it is over or of no drift, or it cannot be judged.
        """
        _must(person, "responder", "analyse an incident")
        incident = self.incident(incident_id)
        if incident is None:
            raise IncidentError(f"there is no incident {incident_id}")
        if incident.state not in ACTIVE:
            raise IncidentError(
                f"incident {incident_id} is {incident.state}; what it was judged on stays"
            )
        if incident.cause is not Cause.DRIFT:
            raise IncidentError(
                f"incident {incident_id} is of {incident.cause}, not of drift: there are no counts "
                "to be judged"
            )
        found = self._analyse(incident, person.name)
        if found is None:
            raise IncidentError(
                f"incident {incident_id} cannot be analysed here and now; the log says why"
            )
        self._changed([incident_id])
        return found

    def decide(self, action_id: int, person: Person, decision: str, note: str) -> Action:
        """Approve or reject an action.

        Raises
        ------
        RoleError
            If the person is no approver.
        IncidentError
            If there is no such action, it waits for no answer, or the answer does not count.
        """
        _must(person, "approver", f"{decision} an action")
        return self._answer(action_id, person.name, person.groups, decision, note)

    def request(self, incident_id: int, action_name: str, person: Person) -> Action:
        """Ask for an action of the config; it needs the same approvals as ever.

        Raises
        ------
        RoleError
            If the person is no responder.
        IncidentError
            If there is no such incident or action, or a guard, the cooldown or the budget
            forbids it.
        """
        _must(person, "responder", "ask for an action")
        settings = self._settings()
        duty = Duty(
            self._store().cases, settings.response, settings.tiers, self._clock, _not_sending
        )
        action = answering.request(duty, incident_id, action_name, person.name)
        self._changed([incident_id])
        return action

    def settle(self, action_id: int, person: Person, done: bool, note: str) -> Action:
        """Say what became of an action of which nobody knew the outcome.

        Raises
        ------
        RoleError
            If the person is no responder.
        IncidentError
            If there is no such action, or its outcome is known.
        """
        _must(person, "responder", "settle an action")
        _short(note)
        cases = self._store().cases
        action = answering.settle(cases, action_id, person.name, done, self._clock(), note)
        self._changed([action.incident_id])
        return action

    def audit(self, since_id: int = 0, limit: int | None = 1000) -> Iterator[Entry]:
        """Entries of the audit log after an id, the oldest first; of no limit, all."""
        return self._store().cases.audit(since_id, limit)

    def verify(self) -> Findings:
        """Find what was changed, removed or moved in the audit log."""
        return self._store().cases.verify_audit()

    def link(self, action_id: int, decision: str, who: str, group: str = "") -> str:
        """The text of a signed link, with which somebody answers an action without a token.

        Whoever can make links answers in any name: it is no business of the API.

        Raises
        ------
        IncidentError
            If there is no such action, or it waits for no answer any more.
        """
        action = self.action(action_id)
        if action is None or action.state not in WAITING or action.expires is None:
            raise IncidentError(f"there is no action {action_id} that waits for an answer")
        grant = links.Grant(action_id, decision, who, group, action.expires)
        return links.sign(self._link_key(), grant)

    def invitation(self, link: str) -> Invitation:
        """What a signed link lets its holder do.

        Raises
        ------
        RoleError
            If the link is not ours, was changed, or has expired.
        IncidentError
            If there is no such action any more.
        """
        try:
            grant = links.verify(self._link_key(), link, self._clock())
        except links.LinkError as error:
            raise RoleError(str(error)) from error
        action = self.action(grant.action_id)
        incident = None if action is None else self.incident(action.incident_id)
        if action is None or incident is None:
            raise IncidentError(f"there is no action {grant.action_id} any more")
        if action.expires != grant.expires:
            # Ids begin anew in a store that was made anew, and the key of links stays.
            raise RoleError("the link is of another action, of an earlier store; ask for a new one")
        return Invitation(action, incident, grant.decision, grant.who, grant.group, grant.expires)

    def answer(self, link: str, note: str) -> Action:
        """Do what a signed link is for.

        Raises
        ------
        RoleError
            If the link is not ours, was changed, or has expired.
        IncidentError
            If the action waits for no answer, or this one does not count.
        """
        found = self.invitation(link)
        groups = (found.group,) if found.group else ()
        return self._answer(found.action.id, found.who, groups, found.decision, note, by_link=True)

    def _answer(
        self,
        action_id: int,
        who: str,
        groups: Sequence[str],
        decision: str,
        note: str,
        *,
        by_link: bool = False,
    ) -> Action:
        _short(note)
        cases = self._store().cases
        action = answering.approve(
            cases, action_id, who, groups, decision, self._clock(), note, by_link=by_link
        )
        self._changed([action.incident_id])
        return action

    def _inbox_of(self, reopen_after_seconds: float) -> Inbox:
        store = self._store()
        found = self._inbox
        # Two threads may each make one at a reload: both are right, they only do not share.
        if found is None or found[0] is not store or found[1] != reopen_after_seconds:
            inbox = Inbox(store, reopen_after_seconds=reopen_after_seconds)
            found = self._inbox = store, reopen_after_seconds, inbox
        return found[2]


def _must(person: Person, role: str, what: str) -> None:
    if not person.name or not person.may(role):
        who = person.name or "nobody"
        raise RoleError(f"to {what} takes the role {role}; {who} has {person.role or 'none'}")


def _short(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise IncidentError(
            f"the text has {len(text)} characters, at most {MOST_CHARACTERS} are kept; shorten it"
        )


def _not_sending(*_: object) -> Sent:
    raise IncidentError("actions are sent by the rounds; please report this error")
