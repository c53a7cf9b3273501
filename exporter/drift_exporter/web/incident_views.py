"""What the pages show of incidents.

Pure: cases in, views out. Knows no markup. An analysis is read as JSON that another version may
have written: what is not there is not shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drift_exporter.incident import (
    ACTIVE,
    SEVERITIES,
    ActionState,
    Alert,
    Cause,
    Incident,
    IncidentState,
    Step,
    possible,
)
from drift_exporter.incident.approving import WAITING
from drift_exporter.incident.case import AskedAction, Case, Person

LEADING = 5
"""Features that are shown with their bins."""

MOST_FEATURES = 30
"""Features that are shown besides."""

MOST_STEPS = 200
MOST_ALERTS = 100
MOST_SEGMENTS = 12

_ORDER = {state: at for at, state in enumerate(IncidentState)}
_QUIET = ("none", "not_evaluated")


@dataclass(frozen=True)
class BinFound:
    """A bin that adds to the PSI of a feature."""

    interval: str
    reference_share: float
    current_share: float
    contribution: float


@dataclass(frozen=True)
class FeatureFound:
    """What the analysis found of a feature."""

    name: str
    role: str
    verdict: str
    sentence: str
    since: str
    psi: float | None
    limit: float | None
    share: float
    """Of the drift of all features."""

    bins: tuple[BinFound, ...]
    largest_share: float


@dataclass(frozen=True)
class SegmentFound:
    """A segment in which a feature shifted."""

    segment: str
    rows: int
    psi: float
    share: float


@dataclass(frozen=True)
class SplitFound:
    """A feature split by segments."""

    segment_by: str
    feature: str
    sentence: str
    segments: tuple[SegmentFound, ...]


@dataclass(frozen=True)
class AnalysisView:
    """What the analysis found."""

    headline: str
    recommendation: str
    leading: tuple[FeatureFound, ...]
    others: tuple[FeatureFound, ...]
    more: int
    """Features with findings that are not shown."""

    calm: int
    """Features in which nothing was found."""

    splits: tuple[SplitFound, ...]
    concept: str
    since: str
    rows: int | None
    reference_rows: int | None
    profile: str


@dataclass(frozen=True)
class ActionView:
    """An action, and what the person who looks may do with it."""

    asked: AskedAction
    answerable: bool
    """Whether the person may approve or reject it."""

    unsettled: bool
    """Whether the person may say what became of it."""

    filled: int
    """Approvals that were given."""

    request: str
    """Method and address of the request; empty where there is none."""

    body: str
    outcome: str
    dry_run: bool


@dataclass(frozen=True)
class IncidentView:
    """An incident as its page shows it."""

    incident: Incident
    analysis: AnalysisView | None
    actions: tuple[ActionView, ...]
    steps: tuple[Step, ...]
    earlier_steps: int
    alerts: tuple[Alert, ...]
    more_alerts: int
    firing: int
    moves: tuple[str, ...]
    """What the person who looks may do now."""

    may_ask: tuple[str, ...]
    """Actions that the person may ask for."""

    may_analyse: bool
    """Whether the person may have it judged once more."""


def in_order(incidents: Iterable[Incident]) -> list[Incident]:
    """Open ones first, the gravest of them first, then the oldest."""
    return sorted(
        incidents,
        key=lambda i: (_ORDER[i.state], -SEVERITIES.index(i.severity), i.opened, i.id),
    )


def incident_view(case: Case, person: Person, actions_to_ask: Sequence[str]) -> IncidentView:
    """An incident as a person may see and move it."""
    responder = person.may("responder")
    alerts = sorted(case.alerts, key=lambda a: (a.status != "firing", -a.starts_at))
    return IncidentView(
        incident=case.incident,
        analysis=analysis_view(case.incident.analysis),
        actions=tuple(_action(asked, person) for asked in reversed(case.actions)),
        steps=case.steps[-MOST_STEPS:],
        earlier_steps=max(len(case.steps) - MOST_STEPS, 0),
        alerts=tuple(alerts[:MOST_ALERTS]),
        more_alerts=max(len(alerts) - MOST_ALERTS, 0),
        firing=sum(alert.status == "firing" for alert in alerts),
        moves=possible(case.incident) if responder else (),
        may_ask=tuple(actions_to_ask) if responder else (),
        may_analyse=(
            responder and case.incident.state in ACTIVE and case.incident.cause is Cause.DRIFT
        ),
    )


def analysis_view(analysis: Mapping[str, Any] | None) -> AnalysisView | None:
    """What there is in an analysis."""
    if analysis is None:
        return None
    features = [_feature(each) for each in _list(analysis, "features")]
    told = [each for each in features if each.verdict not in _QUIET]
    shown = told[: LEADING + MOST_FEATURES]
    concept, since = _mapping(analysis, "concept"), _mapping(analysis, "since")
    return AnalysisView(
        headline=_text(analysis, "headline"),
        recommendation=_text(analysis, "recommendation"),
        leading=tuple(shown[:LEADING]),
        others=tuple(shown[LEADING:]),
        more=len(told) - len(shown),
        calm=len(features) - len(told),
        splits=tuple(_split(each) for each in _list(analysis, "segments")[:MOST_SEGMENTS]),
        concept=_text(concept, "sentence"),
        since=_text(since, "text"),
        rows=_count(analysis, "rows"),
        reference_rows=_count(analysis, "reference_rows"),
        profile=_text(analysis, "profile"),
    )


def _feature(found: Mapping[str, Any]) -> FeatureFound:
    bins = tuple(
        BinFound(
            _text(each, "interval"),
            _number(each, "reference_share") or 0.0,
            _number(each, "current_share") or 0.0,
            _number(each, "contribution") or 0.0,
        )
        for each in _list(found, "bins")
    )
    return FeatureFound(
        name=_text(found, "feature"),
        role=_text(found, "role"),
        verdict=_text(found, "verdict"),
        sentence=_text(found, "sentence").removeprefix(f"{_text(found, 'feature')}: "),
        since=_text(found, "since"),
        psi=_number(found, "psi"),
        limit=_number(found, "limit"),
        share=_number(found, "share") or 0.0,
        bins=bins,
        largest_share=max((max(b.reference_share, b.current_share) for b in bins), default=0.0),
    )


def _split(found: Mapping[str, Any]) -> SplitFound:
    return SplitFound(
        _text(found, "segment_by"),
        _text(found, "feature"),
        _text(found, "sentence"),
        tuple(
            SegmentFound(
                _text(each, "segment"),
                _count(each, "rows") or 0,
                _number(each, "psi") or 0.0,
                _number(each, "share") or 0.0,
            )
            for each in _list(found, "segments")[:LEADING]
        ),
    )


def _action(asked: AskedAction, person: Person) -> ActionView:
    action = asked.action
    answered = {one.who.casefold() for one in asked.approvals}
    request, outcome = _mapping(action.detail, "request"), _mapping(action.detail, "outcome")
    status = _number(outcome, "status")
    words = [f"status {status:.0f}"] if status is not None else []
    words += [_text(outcome, "answer") or _text(outcome, "text")]
    return ActionView(
        asked=asked,
        answerable=person.may("approver")
        and action.state in WAITING
        and person.name.casefold() not in answered,
        unsettled=person.may("responder") and action.state is ActionState.UNKNOWN,
        filled=sum(one.decision == "approve" for one in asked.approvals),
        request=f"{_text(request, 'method')} {_text(request, 'url')}".strip(),
        body=_text(request, "body"),
        outcome=", ".join(filter(None, words)),
        dry_run=bool(action.detail.get("dry_run")),
    )


def _list(found: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    value = found.get(key)
    items = value if isinstance(value, list | tuple) else ()
    return [each for each in items if isinstance(each, Mapping)]


def _mapping(found: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = found.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(found: Mapping[str, Any], key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def _number(found: Mapping[str, Any], key: str) -> float | None:
    value = found.get(key)
    return float(value) if isinstance(value, int | float) else None


def _count(found: Mapping[str, Any], key: str) -> int | None:
    value = _number(found, key)
    return None if value is None else int(value)
