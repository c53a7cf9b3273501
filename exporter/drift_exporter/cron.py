"""Cron expressions: five fields in UTC, read as crontab reads them.

Pure: text in, numbers out. Knows no clock and no scheduler.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import pairwise

from drift_exporter.errors import ConfigError

_DAY_SECONDS = 86400
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_CRON_FIELDS: dict[str, tuple[int, int, tuple[str, ...]]] = {
    "minute": (0, 59, ()),
    "hour": (0, 23, ()),
    "day of month": (1, 31, ()),
    "month": (1, 12, _MONTHS),
    "day of week": (0, 7, _WEEKDAYS),
}
_CRON_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d{1,4}))?", re.ASCII)


def check_cron(text: str) -> None:
    """Refuse a cron expression that cannot be used.

    Raises
    ------
    ConfigError
        If it is not five fields of numbers, names, lists, ranges and steps, gives both days
        (crontabs run on either, other programs on both), or never comes true.
    """
    parse_cron(text)


def longest_gap_seconds(beat: float | str) -> float:
    """The longest time between two planned runs, of an interval in seconds or of cron's text.

    Raises
    ------
    ConfigError
        If the cron expression cannot be used.
    """
    if not isinstance(beat, str):
        return beat
    fields = parse_cron(beat)
    minutes = sorted(60 * hour + minute for hour in fields[1] for minute in fields[0])
    between_days = max((later - day).days for day, later in pairwise(_cron_days(fields)))
    over_night = between_days * _DAY_SECONDS - 60 * (minutes[-1] - minutes[0])
    return float(max(over_night, *(60 * (b - a) for a, b in pairwise(minutes)), 0))


def parse_cron(text: str) -> tuple[tuple[int, ...], ...]:
    """The numbers of each field: minute, hour, day of month, month, day of week (0 is Sunday).

    Raises
    ------
    ConfigError
        As ``check_cron`` does.
    """
    # Not CronTrigger.from_crontab(): it takes 0 for Monday, drops the step of "mon-fri/2" and
    # searches up to the year 9999 for 31 February.
    parts = text.split()
    if len(parts) != len(_CRON_FIELDS):
        raise ConfigError(
            f"cron {text!r} has {len(parts)} fields, expected {len(_CRON_FIELDS)}, in UTC: "
            f"{', '.join(_CRON_FIELDS)}; for example '15 */6 * * *'"
        )
    found = [
        tuple(sorted({number for item in part.split(",") for number in _numbers(text, name, item)}))
        for name, part in zip(_CRON_FIELDS, parts, strict=True)
    ]
    found[4] = tuple(sorted({number % 7 for number in found[4]}))
    if len(found[2]) < 31 and len(found[4]) < 7:
        raise ConfigError(
            f"cron {text!r} names days of the month and days of the week, which programs "
            "read in different ways; write '*' for one of them"
        )
    fields = tuple(found)
    if next(_cron_days(fields), None) is None:
        raise ConfigError(f"cron {text!r} names days that no month has; no run would ever be due")
    return fields


def _numbers(text: str, name: str, item: str) -> range:
    low, high, names = _CRON_FIELDS[name]
    match = _CRON_ITEM.fullmatch(item)
    if match is not None:
        star, first, last, step = match.groups()
        start = low if star else _number(first, low, names)
        end = _number(last, low, names) if last else high if star or step else start
        if end == 0 and last and last.lower() == "sun":
            end = 7
        stride = int(step or 1)
        if low <= start <= end <= high and 1 <= stride <= high:
            return range(start, end + 1, stride)
    allowed = f"*, numbers from {low} to {high}" + (f", {', '.join(names)}" if names else "")
    raise ConfigError(
        f"cron {text!r}: found {item!r} as {name}, expected {allowed}, ranges such as "
        f"{low}-{high} with the lower end first, steps such as */2, or a list of these with commas"
    )


def _number(word: str, low: int, names: tuple[str, ...]) -> int:
    if word.lower() in names:
        return names.index(word.lower()) + low
    return int(word) if word.isdecimal() else -1


def _cron_days(fields: tuple[tuple[int, ...], ...]) -> Iterator[date]:
    # Dates and weekdays repeat after 28 years; 4 more hold the gap between two leap days.
    day, last = date(2024, 1, 1), date(2056, 1, 1)
    while day < last:
        if day.day in fields[2] and day.month in fields[3] and day.isoweekday() % 7 in fields[4]:
            yield day
        day += timedelta(days=1)
