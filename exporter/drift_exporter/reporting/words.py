"""Numbers and times as a report writes them.

Pure: values in, text out.
"""

from datetime import UTC, datetime

NONE = "–"  # noqa: RUF001

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def utc(seconds: float | None) -> str:
    """A time in UTC, to the second.

    Examples
    --------
    >>> utc(1_700_000_000.9), utc(0)
    ('2023-11-14 22:13:20 UTC', '1970-01-01 00:00:00 UTC')
    """
    if seconds is None:
        return NONE
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S} UTC"


def length(seconds: float | None) -> str:
    """A length of time in its two largest units.

    Examples
    --------
    >>> length(42.4), length(3600), length(5400), length(90061), length(0)
    ('42 s', '1 h', '1 h 30 min', '1 d 1 h', '0 s')
    """
    if seconds is None:
        return NONE
    left = max(round(seconds), 0)
    parts: list[str] = []
    for size, name in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {name}")
            left %= size
        elif parts:
            break
    return " ".join(parts) or "0 s"


def percent(share: float | None) -> str:
    """A share in per cent.

    Examples
    --------
    >>> percent(0.5), percent(0.0123), percent(0.99996), percent(1.0), percent(0.0)
    ('50 %', '1.2 %', '99.99 %', '100 %', '0 %')
    """
    if share is None:
        return NONE
    value = 100 * share
    if value > 99 and value < 100:
        # A gap must not be rounded away.
        return f"{int(value * 100) / 100:g} %"
    return f"{value:.0f} %" if value >= 10 or value == 0 else f"{value:.2g} %"


def number(value: float | None) -> str:
    """A number to three digits.

    Examples
    --------
    >>> number(0.25), number(1234.0), number(2e-7), number(12345.0)
    ('0.25', '1234', '2e-07', '12345')
    """
    if value is None:
        return NONE
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def named(word: str) -> str:
    """A name of the code as words.

    Examples
    --------
    >>> named("covariate_shift"), named("")
    ('covariate shift', '\\u2013')
    """
    return word.replace("_", " ") or NONE


def counts(found: dict[str, int]) -> str:
    """Counts by reason, the most first.

    Examples
    --------
    >>> counts({"schema": 1, "source": 4}), counts({})
    ('source 4, schema 1', 'none')
    """
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {many}" for reason, many in ranked) or "none"
