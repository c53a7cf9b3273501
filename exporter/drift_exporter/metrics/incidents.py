"""Incidents, actions and the audit log as metrics: numbers that a scrape only writes down.

Knows what is counted; asks no store: whoever changes something tells the numbers afterwards.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from drift_exporter.config.response import Response
from drift_exporter.incident import SEVERITIES, IncidentState
from drift_exporter.incident.tally import OUTCOMES, Sums, Took

Labels = tuple[str, ...]
Numbers = Mapping[Labels, float]
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
BUCKETS = (
    *(minutes * MINUTE for minutes in (1, 2, 5, 15, 30)),
    *(hours * HOUR for hours in (1, 2, 4, 8)),
    *(days * DAY for days in (1, 2, 4, 7)),
)
"""Upper bounds of the times of people, in seconds: a minute to a week."""

RECEIVED = ("accepted", "refused", "failed")
"""Values of the label ``outcome`` of alerts received."""

UNKNOWN_TIER = "medium"
"""Tier of a model that is not in the config any more."""

_EXPECTED = tuple(severity for severity in SEVERITIES if severity != "info")
_NOT_CLOSED = tuple(state for state in IncidentState if state is not IncidentState.CLOSED)


@dataclass(frozen=True)
class IncidentFamily:
    """Name, kind, labels and help of a metric family."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: Labels
    help: str


OPEN = IncidentFamily(
    "modeldrift_incidents_open",
    "gauge",
    ("model", "severity", "state"),
    "Incidents that are not closed, by how far they have come.",
)
UNACKNOWLEDGED = IncidentFamily(
    "modeldrift_incident_oldest_unacknowledged_timestamp_seconds",
    "gauge",
    ("model", "severity", "tier"),
    "When the oldest incident was opened that nobody has acknowledged; not there without one.",
)
OLDEST = IncidentFamily(
    "modeldrift_incident_oldest_open_timestamp_seconds",
    "gauge",
    ("model", "severity", "tier"),
    "When the oldest incident was opened that is not over; not there without one.",
)
TO_ACKNOWLEDGE = IncidentFamily(
    "modeldrift_incident_time_to_acknowledge_seconds",
    "histogram",
    ("model", "severity"),
    "How long it took until somebody had an incident in hand, since the store began.",
)
TO_RESOLVE = IncidentFamily(
    "modeldrift_incident_time_to_resolve_seconds",
    "histogram",
    ("model", "severity"),
    "How long it took until an incident was over, each time it was, since the store began.",
)
INCIDENTS = IncidentFamily(
    "modeldrift_incidents_total",
    "counter",
    ("model", "classification"),
    "Incidents since the store began: of drift by what the first analysis found, else by their "
    "cause.",
)
ACTIONS = IncidentFamily(
    "modeldrift_actions_total",
    "counter",
    ("action", "outcome"),
    "Actions that are over since the store began, by how they ended; what was settled later is "
    "unknown.",
)
WAITING = IncidentFamily(
    "modeldrift_actions_waiting",
    "gauge",
    ("action",),
    "Actions that wait for an approval.",
)
OLDEST_WAITING = IncidentFamily(
    "modeldrift_action_oldest_waiting_timestamp_seconds",
    "gauge",
    ("action",),
    "Since when the oldest action waits for an approval; not there without one.",
)
ALERTS = IncidentFamily(
    "modeldrift_alerts_received_total",
    "counter",
    ("outcome",),
    "Alerts that came by the webhook, by outcome; of what could not be read, one per request.",
)
AUDIT_ENTRIES = IncidentFamily(
    "modeldrift_audit_entries",
    "gauge",
    (),
    "Number of the newest entry of the audit log.",
)
AUDIT_INTACT = IncidentFamily(
    "modeldrift_audit_intact",
    "gauge",
    (),
    "1 if the audit log was whole when it was last verified and the records of incidents agreed "
    "with it, else 0; not there before.",
)
ACKNOWLEDGE_WITHIN = IncidentFamily(
    "modeldrift_incident_acknowledge_within_seconds",
    "gauge",
    ("tier",),
    "How soon somebody must have acknowledged an incident, as the config says.",
)
RESOLVE_WITHIN = IncidentFamily(
    "modeldrift_incident_resolve_within_seconds",
    "gauge",
    ("tier",),
    "How soon an incident must be over, as the config says.",
)
PROMOTED = IncidentFamily(
    "modeldrift_model_promoted_timestamp_seconds",
    "gauge",
    ("model",),
    "When a version or profile of the model was last promoted; not there before.",
)
QUIET_UNTIL = IncidentFamily(
    "modeldrift_model_quiet_until_timestamp_seconds",
    "gauge",
    ("model",),
    "Until when the drift of the model is not alerted on, because of a promotion.",
)

INCIDENT_FAMILIES = (
    OPEN,
    UNACKNOWLEDGED,
    OLDEST,
    TO_ACKNOWLEDGE,
    TO_RESOLVE,
    INCIDENTS,
    ACTIONS,
    WAITING,
    OLDEST_WAITING,
    ALERTS,
    AUDIT_ENTRIES,
    AUDIT_INTACT,
    ACKNOWLEDGE_WITHIN,
    RESOLVE_WITHIN,
    PROMOTED,
    QUIET_UNTIL,
)
"""All families, in the order of the paper."""


@dataclass(frozen=True)
class Standing:
    """What the store knows at one moment; times are seconds since the epoch."""

    open_counts: Mapping[tuple[str, str, IncidentState], int] = field(default_factory=dict)
    """Incidents that are not closed, by model, severity and state."""

    oldest_unacknowledged: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When the oldest one in the state ``open`` was opened, by model and severity."""

    oldest_open: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """When the oldest one was opened that is not over, by model and severity."""

    sums: Sums = field(default_factory=Sums)
    """What has happened to incidents and actions since the store began."""

    waiting: Mapping[str, int] = field(default_factory=dict)
    """How many actions wait for an approval, by name."""

    oldest_waiting: Mapping[str, float] = field(default_factory=dict)
    """When the oldest action was proposed that waits for an approval, by name."""


@dataclass(frozen=True)
class _Histogram:
    """How many took at most each bound and at all, and how long all of them took."""

    counts: tuple[float, ...] = (0.0,) * (len(BUCKETS) + 1)
    total_seconds: float = 0.0


Histograms = Mapping[Labels, _Histogram]


class IncidentMetrics:
    """Metrics of incidents on a registry; any thread may tell, scrapes read what was told.

    Counters and histograms are sums over steps that the store keeps, so a restart does not reset
    them, and they never fall.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._telling = threading.Lock()
        self._tiers: Mapping[str, str] = {}
        self._actions: tuple[str, ...] = ()
        self._standing = Standing()
        self._numbers: dict[str, Numbers] = {ALERTS.name: {(outcome,): 0 for outcome in RECEIVED}}
        self._histograms: dict[str, Histograms] = {}
        registry.register(self)

    def configure(self, response: Response, tiers: Mapping[str, str]) -> None:
        """Take over the config: limits by tier, names of actions, and each model's tier."""
        with self._telling:
            self._tiers = dict(tiers)
            self._actions = tuple(action.name for action in response.actions)
            for family, within in (
                (ACKNOWLEDGE_WITHIN, response.acknowledge_within),
                (RESOLVE_WITHIN, response.resolve_within),
            ):
                seconds = {tier: found.seconds for tier, found in iter(within)}
                self._numbers[family.name] = {(tier,): s for tier, s in seconds.items()}
            self._tell(self._standing)

    def update(self, standing: Standing) -> None:
        """Take over what the store knows now."""
        with self._telling:
            self._tell(standing)

    def audit(self, entries: int, intact: bool | None) -> None:
        """Tell the number of the newest audit entry, and what the last verification found."""
        with self._telling:
            self._numbers[AUDIT_ENTRIES.name] = {(): float(entries)}
            if intact is not None:
                self._numbers[AUDIT_INTACT.name] = {(): float(intact)}

    def promoted(self, times: Mapping[str, tuple[float, float]]) -> None:
        """Tell when each model was last promoted, and until when its drift is not alerted on."""
        with self._telling:
            self._numbers[PROMOTED.name] = {(m,): at for m, (at, _) in times.items()}
            self._numbers[QUIET_UNTIL.name] = {(m,): until for m, (_, until) in times.items()}

    def received(self, outcome: str, alerts: int = 1) -> None:
        """Count alerts that came by the webhook; the outcome is one of `RECEIVED`."""
        with self._telling:
            before = self._numbers[ALERTS.name]
            self._numbers[ALERTS.name] = {**before, (outcome,): before[(outcome,)] + alerts}

    def collect(self) -> Iterator[Metric]:
        """The families with what was told last."""
        with self._telling:
            numbers, histograms = dict(self._numbers), dict(self._histograms)
        for family in INCIDENT_FAMILIES:
            if family.kind == "histogram":
                yield _histogram(family, histograms.get(family.name, {}))
            else:
                yield _plain(family, numbers.get(family.name, {}))

    def _tell(self, standing: Standing) -> None:
        # Kept, so that a new config can be told of the same moment.
        self._standing, sums = standing, standing.sums
        numbers = self._numbers
        numbers[OPEN.name] = {
            **{
                (model, severity, str(state)): 0
                for model in self._tiers
                for severity in _EXPECTED
                for state in _NOT_CLOSED
            },
            **{(m, sev, str(state)): n for (m, sev, state), n in standing.open_counts.items()},
        }
        for family, oldest in (
            (UNACKNOWLEDGED, standing.oldest_unacknowledged),
            (OLDEST, standing.oldest_open),
        ):
            numbers[family.name] = {
                (model, severity, self._tiers.get(model, UNKNOWN_TIER)): at
                for (model, severity), at in oldest.items()
            }
        numbers[INCIDENTS.name] = {(*of,): n for of, n in sums.incidents.items()}
        ended: Numbers = {(name, str(out)): 0 for name in self._actions for out in OUTCOMES}
        numbers[ACTIONS.name] = {**ended, **{(*of,): n for of, n in sums.actions.items()}}
        numbers[WAITING.name] = {
            **{(name,): 0 for name in self._actions},
            **{(name,): n for name, n in standing.waiting.items()},
        }
        numbers[OLDEST_WAITING.name] = {(name,): at for name, at in standing.oldest_waiting.items()}
        self._histograms = {
            TO_ACKNOWLEDGE.name: _histograms(self._tiers, sums.to_acknowledge),
            TO_RESOLVE.name: _histograms(self._tiers, sums.to_resolve),
        }


def _histograms(models: Iterable[str], times: Iterable[Took]) -> Histograms:
    """Times by model and severity; empty ones where a model has had no incident."""
    by_labels: defaultdict[Labels, list[float]] = defaultdict(list)
    for model in models:
        for severity in _EXPECTED:
            by_labels[model, severity] = []
    for model, severity, seconds in times:
        by_labels[model, severity].append(seconds)
    return {labels: _counted(seconds) for labels, seconds in by_labels.items()}


def _counted(times: list[float]) -> _Histogram:
    within = (float(sum(seconds <= bound for seconds in times)) for bound in BUCKETS)
    return _Histogram((*within, float(len(times))), sum(times))


def _plain(family: IncidentFamily, numbers: Numbers) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in numbers.items():
        metric.add_metric(labels, value)
    return metric


def _histogram(family: IncidentFamily, found: Histograms) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels)
    bounds = (*(f"{bound:.1f}" for bound in BUCKETS), "+Inf")
    for labels, times in found.items():
        buckets = list(zip(bounds, times.counts, strict=True))
        metric.add_metric(labels, buckets, times.total_seconds)
    return metric
