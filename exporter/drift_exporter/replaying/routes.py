"""Alertmanager's config, as far as it decides who is told when.

Pure: a document in, routes, inhibitions and receivers out. Knows nothing of templates, secrets
and addresses; silences are not in a config.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from drift_exporter.config import parse_duration
from drift_exporter.errors import ReplayError
from drift_exporter.replaying.matching import Labels, Matcher, all_hold, matchers, within

RESOLVED_UNASKED = frozenset({"pagerduty", "webhook", "opsgenie", "victorops", "pushover"})
RESOLVED_UNASKED |= {"sns", "telegram", "discord", "msteams", "webex"}
"""Kinds of receivers that are told of recoveries where ``send_resolved`` is not set."""

ALL_LABELS = "..."


@dataclass(frozen=True)
class Route:
    """A node of the tree of routes, with what it has from its parents."""

    receiver: str
    group_by: tuple[str, ...] = ()
    group_wait: float = 30.0
    group_interval: float = 300.0
    repeat_interval: float = 14400.0
    key: tuple[tuple[Matcher, ...], ...] = ()
    """Matchers from the root to here: groups of routes with the same are one to a receiver."""

    goes_on: bool = False
    muted: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    """Names of time intervals."""

    children: tuple["Route", ...] = ()

    def of(self, labels: Labels) -> Iterator["Route"]:
        """The routes that an alert takes."""
        if not all_hold(self.key[-1], labels):
            return
        taken = False
        for child in self.children:
            found = list(child.of(labels))
            yield from found
            taken = taken or bool(found)
            if found and not child.goes_on:
                break
        if not taken:
            yield self

    def group(self, labels: Labels) -> tuple[tuple[str, str], ...]:
        """The labels that an alert is grouped by; those that it lacks are left out."""
        names = labels if ALL_LABELS in self.group_by else self.group_by
        return tuple(sorted((name, labels[name]) for name in names if name in labels))


@dataclass(frozen=True)
class Inhibition:
    """Alerts that mute others."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def mutes(self, source: Labels, target: Labels) -> bool:
        """Whether an alert mutes another while it fires."""
        if not (all_hold(self.target, target) and all_hold(self.source, source)):
            return False
        # What is both a source and a target is not muted by its like: it would mute itself.
        if all_hold(self.source, target) and all_hold(self.target, source):
            return False
        return all(source.get(name, "") == target.get(name, "") for name in self.equal)


@dataclass(frozen=True)
class Integration:
    """One way to tell somebody: a Slack channel, a PagerDuty service."""

    kind: str
    resolved: bool
    """Whether it is told of recoveries."""


@dataclass(frozen=True)
class Alerting:
    """Who is told when."""

    root: Route
    inhibitions: tuple[Inhibition, ...] = ()
    receivers: Mapping[str, tuple[Integration, ...]] = field(default_factory=dict)
    intervals: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    def silent(self, route: Route, seconds: float) -> bool:
        """Whether a route tells nobody at this time."""

        def any_of(names: Sequence[str]) -> bool:
            return any(within(self.intervals[name], seconds) for name in names)

        return any_of(route.muted) or (bool(route.active) and not any_of(route.active))


def alerting_of(config: Mapping[str, Any]) -> Alerting:
    """Read a config of Alertmanager.

    Raises
    ------
    ReplayError
        If it has no route, names what is not there, or has what is not understood here.
    """
    try:
        return _read(config)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReplayError(
            f"Alertmanager's config: not understood ({error}); check it with 'amtool check-config'"
        ) from error


def _read(config: Mapping[str, Any]) -> Alerting:
    receivers = {found["name"]: tuple(_integrations(found)) for found in config["receivers"]}
    named = [*config.get("time_intervals", ()), *config.get("mute_time_intervals", ())]
    intervals = {found["name"]: found["time_intervals"] for found in named}
    root = _route(config["route"], Route(config["route"]["receiver"]))
    for route in _all(root):
        for known, names in (
            (receivers, (route.receiver,)),
            (intervals, route.muted + route.active),
        ):
            for name in names:
                if name not in known:
                    raise ReplayError(
                        f"Alertmanager's config: a route names {name!r}, which is not there"
                    )
    inhibitions = tuple(
        Inhibition(
            matchers(rule, "source_"), matchers(rule, "target_"), tuple(rule.get("equal", ()))
        )
        for rule in config.get("inhibit_rules", ())
    )
    return Alerting(root, inhibitions, receivers, intervals)


def _route(found: Mapping[str, Any], parent: Route) -> Route:
    own: dict[str, Any] = {
        key: parse_duration(found[key]).seconds
        for key in ("group_wait", "group_interval", "repeat_interval")
        if key in found
    }
    route = replace(
        parent,
        receiver=found.get("receiver", parent.receiver),
        group_by=tuple(found.get("group_by", parent.group_by)),
        key=(*parent.key, matchers(found)),
        goes_on=found.get("continue", False),
        # Of these, and only of these, a child has nothing from its parent.
        muted=tuple(found.get("mute_time_intervals", ())),
        active=tuple(found.get("active_time_intervals", ())),
        **own,
    )
    return replace(route, children=tuple(_route(child, route) for child in found.get("routes", ())))


def _all(route: Route) -> Iterator[Route]:
    yield route
    for child in route.children:
        yield from _all(child)


def _integrations(receiver: Mapping[str, Any]) -> Iterator[Integration]:
    for key, entries in receiver.items():
        kind = key.removesuffix("_configs")
        if kind != key:
            for entry in entries:
                yield Integration(kind, entry.get("send_resolved", kind in RESOLVED_UNASKED))
