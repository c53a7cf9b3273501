"""What Alertmanager would have sent: groups, their waits, repeats and recoveries.

Pure: episodes of alerts in, messages out. Knows no clock, network or template, no silences and
no failure: each message arrives at the first try. A test holds it equal to Alertmanager.
"""

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from drift_exporter.replaying.routes import Alerting, Integration, Route

LabelSet = tuple[tuple[str, str], ...]
"""Labels in the order of their names."""

CLEANUP_SECONDS = 30.0
"""How often Alertmanager forgets groups without alerts."""


@dataclass(frozen=True)
class Episode:
    """An alert that fires for a while."""

    labels: LabelSet
    start: float
    """Seconds since the epoch."""

    end: float | None
    """None: it still fires at the end of what is known."""


@dataclass(frozen=True)
class Resending:
    """How long Prometheus goes on to say that an alert is resolved, and how often."""

    every_seconds: float = 120.0
    for_seconds: float = 900.0


@dataclass(frozen=True)
class Message:
    """One message to one receiver."""

    time: float
    receiver: str
    kind: str
    """Of the receiver: ``slack``, ``pagerduty``, ``webhook``."""

    group: LabelSet
    firing: tuple[LabelSet, ...]
    """Alerts that fire; without any it is the message of a recovery."""

    resolved: tuple[LabelSet, ...]
    opens: bool
    """Whether it is the first since the last recovery: a page, where it goes to a pager."""


def messages(
    alerting: Alerting,
    episodes: Sequence[Episode],
    until: float,
    resending: Resending | None = None,
) -> list[Message]:
    """All messages up to a time, in the order of time.

    Parameters
    ----------
    alerting
        Alertmanager's config.
    episodes
        What fired; of the same labels it is one alert, whichever rules it is of.
    until
        Time of the last message that may be sent, in seconds since the epoch.
    resending
        How Prometheus repeats that an alert is resolved; by default as it does with rules that
        are evaluated every minute.
    """
    alerts = _by_labels(episodes)
    muting = _Muting(alerting, alerts)
    log: _Log = {}
    grouped: dict[tuple[Route, LabelSet], list[LabelSet]] = defaultdict(list)
    for labels in alerts:
        found = dict(labels)
        for route in alerting.root.of(found):
            grouped[route, route.group(found)].append(labels)
    flushes = [
        (flush, index, route, group)
        for index, ((route, group), members) in enumerate(grouped.items())
        for flush in _flushes(
            route, {labels: alerts[labels] for labels in members}, until, resending or Resending()
        )
    ]
    # What a receiver was last told is known by the group's key, which several routes may share.
    flushes.sort(key=lambda found: (found[0].time, found[1]))
    sent: list[Message] = []
    for flush, _, route, group in flushes:
        sent += _notified(alerting, route, group, flush, muting, log)
    return sent


@dataclass(frozen=True)
class _Flush:
    """A look at a group: what fires, and what has resolved since the last look."""

    time: float
    firing: tuple[LabelSet, ...]
    resolved: tuple[LabelSet, ...]


@dataclass
class _Told:
    """What a receiver was last told of a group."""

    time: float
    firing: frozenset[LabelSet] = frozenset()
    resolved: frozenset[LabelSet] = frozenset()


_Log = dict[tuple[object, LabelSet, str, int], _Told]


def _by_labels(episodes: Sequence[Episode]) -> dict[LabelSet, list[Episode]]:
    found: dict[LabelSet, list[Episode]] = defaultdict(list)
    for episode in sorted(episodes, key=lambda e: e.start):
        same = found[episode.labels]
        if same and (same[-1].end is None or episode.start <= same[-1].end):
            ends = (same[-1].end, episode.end)
            end = None if None in ends else max(end for end in ends if end is not None)
            same[-1] = Episode(episode.labels, same[-1].start, end)
        else:
            same.append(episode)
    return dict(found)


def _fires(episodes: Sequence[Episode], time: float) -> bool:
    place = bisect_right(episodes, time, key=lambda e: e.start) - 1
    return place >= 0 and ((end := episodes[place].end) is None or time < end)


class _Muting:
    """Which alert is muted by others at a time."""

    def __init__(self, alerting: Alerting, alerts: Mapping[LabelSet, list[Episode]]) -> None:
        self._inhibitions = alerting.inhibitions
        self._alerts = alerts
        self._dicts = {labels: dict(labels) for labels in alerts}
        self._sources: dict[LabelSet, list[list[Episode]]] = {}

    def holds(self, labels: LabelSet, time: float) -> bool:
        """Whether the alert is muted at the time, firing or resolved."""
        if labels not in self._sources:
            self._sources[labels] = [
                self._alerts[source]
                for source, found in self._dicts.items()
                if any(rule.mutes(found, self._dicts[labels]) for rule in self._inhibitions)
            ]
        return any(_fires(episodes, time) for episodes in self._sources[labels])


@dataclass(frozen=True, order=True)
class _Post:
    """Prometheus tells of an alert."""

    time: float
    labels: LabelSet
    start: float = field(compare=False)


def _posts(members: Mapping[LabelSet, list[Episode]], resending: Resending) -> list[_Post]:
    found = []
    for labels, episodes in members.items():
        nexts = [*(episode.start for episode in episodes[1:]), math.inf]
        for episode, following in zip(episodes, nexts, strict=True):
            found.append(_Post(episode.start, labels, episode.start))
            time = math.inf if episode.end is None else episode.end
            last = min(time + resending.for_seconds, following)
            while time <= last and time < following:
                found.append(_Post(time, labels, episode.start))
                time += resending.every_seconds
    return sorted(found)


def _flushes(
    route: Route, members: Mapping[LabelSet, list[Episode]], until: float, resending: Resending
) -> Iterator[_Flush]:
    """When a group is looked at, from its first alert until nothing is left, and again."""
    posts = _posts(members, resending)
    place = 0
    while place < len(posts):
        inside: set[LabelSet] = set()
        flushed = False
        due = posts[place].time + route.group_wait
        gone = math.inf
        while due <= until:
            while place < len(posts) and posts[place].time <= min(due, gone):
                post = posts[place]
                inside.add(post.labels)
                gone = math.inf
                if not flushed and post.start + route.group_wait < post.time:
                    due = post.time
                place += 1
            if gone < due:
                break
            if inside:
                firing = tuple(sorted(a for a in inside if _fires(members[a], due)))
                resolved = tuple(sorted(inside.difference(firing)))
                yield _Flush(due, firing, resolved)
                inside.difference_update(resolved)
                if not inside:
                    gone = (due // CLEANUP_SECONDS + 1) * CLEANUP_SECONDS
            flushed = True
            due += route.group_interval
        else:
            return


def _notified(
    alerting: Alerting,
    route: Route,
    group: LabelSet,
    flush: _Flush,
    muting: _Muting,
    log: _Log,
) -> Iterator[Message]:
    firing = frozenset(a for a in flush.firing if not muting.holds(a, flush.time))
    resolved = frozenset(a for a in flush.resolved if not muting.holds(a, flush.time))
    if not (firing or resolved) or alerting.silent(route, flush.time):
        return
    for index, integration in enumerate(alerting.receivers[route.receiver]):
        key = (route.key, group, route.receiver, index)
        told = log.get(key)
        if not _is_news(told, firing, resolved, integration, flush.time - route.repeat_interval):
            continue
        log[key] = _Told(flush.time, firing, resolved)
        if firing or integration.resolved:
            yield Message(
                flush.time,
                route.receiver,
                integration.kind,
                group,
                tuple(sorted(firing)),
                tuple(sorted(resolved)) if integration.resolved else (),
                opens=bool(firing) and not (told and told.firing),
            )


def _is_news(
    told: _Told | None,
    firing: frozenset[LabelSet],
    resolved: frozenset[LabelSet],
    integration: Integration,
    repeat_before: float,
) -> bool:
    if told is None:
        return bool(firing)
    if not firing <= told.firing:
        return True
    if not firing:
        return bool(told.firing)
    if integration.resolved and not resolved <= told.resolved:
        return True
    # The log holds when a message had arrived, a moment after its group was looked at.
    return told.time < repeat_before
