"""Numbers, times and words as a person reads them.

Pure: values in, text out. Knows no page and no clock.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

from drift_exporter.config import RATES
from drift_exporter.incident import Cause
from drift_exporter.verdicts.verdict import Reason, State

NARROW = "\N{NARROW NO-BREAK SPACE}"
NONE = "\N{EN DASH}"
"""Stands where there is no number."""

STATISTICS: Mapping[str, str] = {
    "psi": "PSI",
    "kl_divergence": "KL divergence",
    "js_distance": "JS distance",
    "hellinger_distance": "Hellinger distance",
    "total_variation": "Total variation",
    "ks_statistic": "KS statistic",
    "wasserstein_distance": "Wasserstein distance",
    "missing_ratio": "Missing",
    "unseen_ratio": "Unseen",
    "out_of_range_ratio": "Out of range",
}
"""Names of statistics for a person."""

STATES: Mapping[State, str] = {
    State.CRITICAL: "critical",
    State.WARNING: "warning",
    State.OK: "ok",
    State.NOT_EVALUATED: "not evaluated",
}
"""Words for states, the worst first."""

REASONS: Mapping[Reason, str] = {
    Reason.NO_DATA: "no rows in the window",
    Reason.TOO_FEW_ROWS: "too few rows",
    Reason.COLUMN_MISSING: "the column is missing",
    Reason.REFERENCE_EMPTY: "the reference has no rows",
    Reason.CONSTANT: "constant, nothing to compare",
    Reason.STALE: "stale, no run succeeded lately",
}
"""Why a feature was not evaluated, in words."""

CAUSES: Mapping[Cause, str] = {
    Cause.DRIFT: "drift of the data",
    Cause.MONITORING: "monitoring",
    Cause.UPKEEP: "upkeep",
}
"""What incidents are about, in words."""

CLASSIFICATIONS: Mapping[str, str] = {
    "data_quality": "data quality",
    "covariate_shift": "covariate shift",
    "prediction_shift": "prediction shift",
    "concept_drift": "concept drift",
    "none": "nothing found",
}
"""What an analysis calls incidents, in words."""

VERDICTS: Mapping[str, str] = {
    "column_missing": "column missing",
    "unit_change": "unit changed",
    "constant": "constant",
    "category_relabelled": "categories renamed",
    "missing": "missing values",
    "type_change": "type changed",
    "unseen": "unseen values",
    "out_of_range": "out of range",
    "distribution_shift": "shifted",
    "not_evaluated": "not evaluated",
    "none": "calm",
}
"""What an analysis says of features, in words."""

_UNITS = (
    (90, 1, "s"),
    (90 * 60, 60, "min"),
    (36 * 3600, 3600, "h"),
    (60 * 86400, 86400, "days"),
    (730 * 86400, 30 * 86400, "months"),
)
"""Up to how many seconds a unit is used, its seconds and its name."""


def number(value: float | None) -> str:
    """A score with as many digits as say something.

    Examples
    --------
    >>> number(0.03217), number(0.0002), number(0.0), number(12.345), number(None)
    ('0.032', '<0.001', '0', '12.3', '\\u2013')
    """
    if value is None:
        return NONE
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.001:
        return "<0.001" if value > 0 else ">-0.001"
    if size < 10:
        return f"{value:.3f}"
    return f"{value:.1f}" if size < 1000 else rows(round(value))


def limit(value: float | None) -> str:
    """A threshold as short as it is exact to three digits.

    Examples
    --------
    >>> limit(0.1), limit(0.25), limit(0.10049), limit(None)
    ('0.1', '0.25', '0.1', '\\u2013')
    """
    return NONE if value is None else f"{value:.3g}"


def share(value: float | None) -> str:
    """A share of rows in percent.

    Examples
    --------
    >>> share(0.1234), share(0.0), share(0.00004), share(1.0), share(None)
    ('12.3\\u202f%', '0\\u202f%', '<0.1\\u202f%', '100\\u202f%', '\\u2013')
    """
    if value is None:
        return NONE
    if 0 < value < 0.0005:
        return f"<0.1{NARROW}%"
    text = f"{100 * value:.1f}".removesuffix(".0")
    return f"{text}{NARROW}%"


def score(value: float | None, statistic: str) -> str:
    """The score of a statistic: a share in percent, all else as a number."""
    return share(value) if statistic in RATES else number(value)


def threshold(value: float | None, statistic: str) -> str:
    """The threshold of a statistic: a share in percent, all else as a number."""
    return share(value) if statistic in RATES else limit(value)


def rows(count: int) -> str:
    """A count, its digits in groups of three.

    Examples
    --------
    >>> rows(1234567)
    '1\\u202f234\\u202f567'
    """
    return f"{count:,}".replace(",", NARROW)


def age(seconds: float) -> str:
    """A length of time in its fitting unit.

    Examples
    --------
    >>> age(0.4), age(75), age(200), age(7200), age(86400 * 3), age(86400 * 800)
    ('0 s', '75 s', '3 min', '2 h', '3 days', '2.2 years')
    """
    for most, unit, name in _UNITS:
        if seconds < most:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / (365 * 86400):.1f} years"


def ago(then: float, now: float) -> str:
    """How long ago, or how soon.

    Examples
    --------
    >>> ago(100.0, 400.0), ago(400.0, 100.0)
    ('5 min ago', 'in 5 min')
    """
    return f"{age(now - then)} ago" if then <= now else f"in {age(then - now)}"


def utc(seconds: float) -> str:
    """A time in UTC, to the second.

    Examples
    --------
    >>> utc(1_700_000_000.9)
    '2023-11-14 22:13:20 UTC'
    """
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%d %H:%M:%S} UTC"


def between(start: float, end: float) -> str:
    """A span of time in UTC, a common date said once.

    Examples
    --------
    >>> between(1_700_000_000, 1_700_000_060)
    '2023-11-14 22:13:20 to 22:14:20 UTC'
    >>> between(1_700_000_000, 1_700_086_400)
    '2023-11-14 22:13:20 to 2023-11-15 22:13:20 UTC'
    """
    first, last = utc(start).removesuffix(" UTC"), utc(end)
    return f"{first} to {last[11:] if first[:10] == last[:10] else last}"


def machine_time(seconds: float) -> str:
    """A time for a machine, ISO 8601 in UTC, to the second."""
    return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"


def path_of(model: str, feature: str | None = None) -> str:
    """The path of a model's page, or of a feature's, from ``models/`` on.

    A name that a browser or a proxy would change as a part of a path stands in the query.

    Examples
    --------
    >>> path_of("fraud", "größe"), path_of("fraud", "a/b"), path_of("fraud", "..")
    ('fraud/gr%C3%B6%C3%9Fe', 'fraud/?feature=a%2Fb', 'fraud/?feature=..')
    """
    first = quote(model, safe="")
    if feature is None:
        return first
    last = quote(feature, safe="")
    if not feature.strip(".") or "/" in feature or "\\" in feature:
        return f"{first}/?feature={last}"
    return f"{first}/{last}"
