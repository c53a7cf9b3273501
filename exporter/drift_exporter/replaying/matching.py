"""Alertmanager's matchers and time intervals.

Pure: labels or a time in, yes or no out. Knows the notation of Alertmanager 0.25 and newer.
"""

import re
from calendar import monthrange
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from drift_exporter.errors import ReplayError

Labels = Mapping[str, str]

_MATCHER = re.compile(r'\s*([a-zA-Z_:][\w:]*)\s*(=~|!~|!=|=)\s*(?:"((?:[^"\\]|\\.)*)"|(.*?))\s*')
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS: tuple[str, ...] = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
)
_MONTHS += ("september", "october", "november", "december")
_FIELDS = {"times", "weekdays", "days_of_month", "months", "years", "location"}


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; a label that is not there is empty."""

    name: str
    value: str
    regex: re.Pattern[str] | None = None
    negative: bool = False

    def holds(self, labels: Labels) -> bool:
        """Whether the labels fulfil it."""
        found = labels.get(self.name, "")
        same = self.regex.fullmatch(found) is not None if self.regex else found == self.value
        return same != self.negative


def matcher(text: str) -> Matcher:
    """Read a matcher.

    Examples
    --------
    >>> matcher('tier!="high"').holds({})
    True
    """
    found = _MATCHER.fullmatch(text)
    if found is None:
        raise ReplayError(f"Alertmanager's config: matcher {text!r} is not understood")
    name, operator, quoted, bare = found.groups()
    value = bare if quoted is None else re.sub(r"\\([\\\"])", r"\1", quoted)
    return _made(name, value, operator.endswith("~"), operator.startswith("!"))


def matchers(found: Mapping[str, Any], prefix: str = "") -> tuple[Matcher, ...]:
    """The matchers of a route or of one side of an inhibition, in their three notations."""
    texts = found.get(f"{prefix}matchers", [])
    equal, regex = found.get(f"{prefix}match", {}), found.get(f"{prefix}match_re", {})
    return (
        *(matcher(text) for text in texts),
        *(_made(name, str(value), False, False) for name, value in equal.items()),
        *(_made(name, str(value), True, False) for name, value in regex.items()),
    )


def _made(name: str, value: str, regex: bool, negative: bool) -> Matcher:
    try:
        return Matcher(name, value, re.compile(value) if regex else None, negative)
    except re.error as error:
        raise ReplayError(f"Alertmanager's config: {value!r} is no regular expression") from error


def all_hold(conditions: Sequence[Matcher], labels: Labels) -> bool:
    """Whether the labels fulfil every condition."""
    return all(condition.holds(labels) for condition in conditions)


def within(intervals: Sequence[Mapping[str, Any]], seconds: float) -> bool:
    """Whether a time lies in any of the intervals that one name stands for."""
    return any(_in_one(interval, seconds) for interval in intervals)


def _in_one(interval: Mapping[str, Any], seconds: float) -> bool:
    if unknown := set(interval) - _FIELDS:
        raise ReplayError(f"Alertmanager's config: time interval with {', '.join(sorted(unknown))}")
    at = datetime.fromtimestamp(seconds, _zone(str(interval.get("location", "UTC"))))
    clock = f"{at:%H:%M}"
    times = interval.get("times")
    if times and not any(t["start_time"] <= clock < t["end_time"] for t in times):
        return False
    days = monthrange(at.year, at.month)[1]
    return (
        _any(interval.get("weekdays"), lambda text: _place(text, _DAYS, 0), at.isoweekday() % 7)
        and _any(interval.get("months"), lambda text: _place(text, _MONTHS, 1), at.month)
        and _any(interval.get("years"), int, at.year)
        and _any(interval.get("days_of_month"), lambda text: _day(text, days), at.day)
    )


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name in {"UTC", "Local"} else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ReplayError(f"Alertmanager's config: location {name!r} is not known here") from error


def _any(ranges: Sequence[object] | None, place: Any, found: int) -> bool:
    if not ranges:
        return True
    bounds = (str(text).partition(":") for text in ranges)
    return any(place(low) <= found <= place(high or low) for low, _, high in bounds)


def _place(text: str, names: Sequence[str], first: int) -> int:
    text = text.strip().lower()
    return names.index(text) + first if text in names else int(text)


def _day(text: str, days: int) -> int:
    day = int(text)
    return day if day > 0 else days + 1 + day
