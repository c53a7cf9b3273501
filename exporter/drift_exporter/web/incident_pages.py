"""The pages of incidents, as HTML from templates.

Knows views and their looks; never where they come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drift_exporter.incident import Alert, Incident, IncidentState
from drift_exporter.incident.case import Invitation, Person
from drift_exporter.web.incident_views import IncidentView
from drift_exporter.web.pages import Frame, page

CHOICES: Mapping[str, frozenset[IncidentState] | None] = {
    "": None,
    **{state.value: frozenset({state}) for state in IncidentState},
}
"""States that the list can be narrowed to, by name; the first shows all, what goes on first."""

LABELS: Mapping[str, str] = {
    "acknowledge": "Acknowledge",
    "mitigate": "Mitigating",
    "resolve": "Resolve",
    "close": "Close",
    "note": "Add note",
}
"""Words on the buttons of moves."""


@dataclass(frozen=True)
class Listing:
    """What a list of incidents shows."""

    going_on: Sequence[Incident]
    others: Sequence[Incident]
    unmatched: Sequence[Alert]
    model: str
    state: str
    older: int | None
    """Id before which there are more."""

    owners: Mapping[str, str]
    """Owner of each model that has one."""


@dataclass(frozen=True)
class Signed:
    """Who looks, and what their forms must carry."""

    person: Person
    token: str
    open_to_all: bool
    """Whether nobody is known, so that nobody may change anything."""


def incidents_page(frame: Frame, listing: Listing) -> str:
    """All incidents, what goes on first."""
    return page("incidents.html", frame, listing=listing, choices=CHOICES)


def incident_page(frame: Frame, view: IncidentView, signed: Signed, error: str) -> str:
    """One incident: what happened, what is to be done, and what was done."""
    return page(
        "incident.html",
        frame,
        view=view,
        incident=view.incident,
        analysis=view.analysis,
        signed=signed,
        error=error,
        labels=LABELS,
    )


def approve_page(frame: Frame, invitation: Invitation, link: str) -> str:
    """What a signed link asks, with one button."""
    return page("approve.html", frame, invitation=invitation, link=link)


def said_page(frame: Frame, title: str, text: str) -> str:
    """A page that says one thing."""
    return page("said.html", frame, title=title, text=text)
