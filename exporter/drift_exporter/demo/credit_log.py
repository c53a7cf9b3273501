"""The inference log of a credit model that does not exist, with drift on cue.

Pure: a span of time and a seed in, columns out; the same rows whichever way the span is cut.
Knows no file, format or clock, and nothing of how drift is measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]
"""Arrays of the same length by column; a missing number is NaN, a missing category None."""

DAY_SECONDS = 86_400

DRIFTING = ("income", "credit_utilisation", "purpose")
"""Features that the scripted drift changes; the prediction follows from them."""

PREDICTION = "score"
SEGMENT = "region"
TIMESTAMP = "ts"
IDENTIFIER = "application_id"

INCOME_LOG_MEAN, INCOME_LOG_DEVIATION = 10.4, 0.5

PURPOSES = {"car": 0.28, "home": 0.24, "debt_consolidation": 0.2, "education": 0.16}
PURPOSES |= {"business": 0.12}
DRIFTED_PURPOSES = {"car": 0.2, "home": 0.17, "debt_consolidation": 0.37, "education": 0.11}
DRIFTED_PURPOSES |= {"business": 0.08, "phone_contract": 0.07}
REGIONS = {"north": 0.4, "south": 0.35, "west": 0.25}
EMPLOYMENTS = {"employed": 0.62, "self_employed": 0.14, "retired": 0.12, "student": 0.07}
EMPLOYMENTS |= {"unemployed": 0.05}
INQUIRIES = {"0": 0.5, "1": 0.27, "2": 0.13, "3": 0.06, "4": 0.04}
ACCOUNTS = {"0": 0.04, "1": 0.12, "2": 0.2, "3": 0.21, "4": 0.17, "5": 0.11, "6": 0.07}
ACCOUNTS |= {"7": 0.04, "8": 0.02, "9": 0.01, "10": 0.006, "11": 0.003, "12": 0.001}

_SHARES, _NORMALS = 16, 8


@dataclass(frozen=True)
class Traffic:
    """How many rows there are, and the grain that they are drawn in."""

    rows_per_second: float
    """Mean of a weekday."""

    chunk_seconds: int
    """Span that is drawn at once; the share of the day that traffic follows is constant in it."""


LIVE = Traffic(rows_per_second=50, chunk_seconds=1)
"""What the model is asked: 900 rows a minute in a weekend's night, 4800 at a weekday's best."""

SAMPLED = Traffic(rows_per_second=0.55, chunk_seconds=600)
"""What was kept of earlier days: one row of ninety, 300 000 in a week."""


@dataclass(frozen=True)
class Drift:
    """When other people than before ask for credit: less income, more debt, new purposes."""

    start: float
    """Event time in seconds since the epoch from which rows differ."""

    end: float = np.inf
    """Event time from which they no longer do."""

    @property
    def ends(self) -> bool:
        """Whether the old people ever come back."""
        return bool(np.isfinite(self.end))

    def holds(self, times: Floats) -> NDArray[np.bool_]:
        """Which of the event times lie in the drift."""
        holds: NDArray[np.bool_] = (times >= self.start) & (times < self.end)
        return holds


def rhythm(time: float) -> float:
    """Traffic at an event time over its mean: 0.4 at 3:00 UTC to 1.6 at 15:00, less at weekends."""
    day = 1 + 0.6 * np.cos(_phase(np.array(time)))
    # The epoch began on a Thursday.
    weekend = (int(time // DAY_SECONDS) + 3) % 7 >= 5
    return float(day * (0.75 if weekend else 1.0))


def rows(
    start: float, end: float, seed: int, drift: Drift | None = None, traffic: Traffic = LIVE
) -> Columns:
    """The log's rows with an event time in ``[start, end)``, in the order of event time.

    Parameters
    ----------
    start, end
        Seconds since the epoch. Event times are whole milliseconds.
    seed
        Non-negative. Together with the traffic it decides every row, so that spans which
        are drawn one after the other fit together.
    drift
        When rows come from the drifted population; without drift the same rows are as ever.
    traffic
        Rows per second and the grain.

    Returns
    -------
    dict
        Columns of the same length: event time in seconds, features, prediction, identifier.
    """
    width = traffic.chunk_seconds
    first, last = int(start // width), int(np.ceil(end / width))
    chunks = [_drawn(chunk * width, seed, traffic) for chunk in range(first, last)]
    times = np.concatenate([np.empty(0), *(chunk[0] for chunk in chunks)])
    kept = (times >= start) & (times < end)
    ids = np.concatenate([np.empty(0, np.int64), *(chunk[1] for chunk in chunks)])[kept]
    shares = np.concatenate([np.empty((0, _SHARES)), *(chunk[2] for chunk in chunks)])[kept]
    normals = np.concatenate([np.empty((0, _NORMALS)), *(chunk[3] for chunk in chunks)])[kept]
    return _applications(times[kept], ids, shares.T, normals.T, drift)


def _drawn(
    chunk_start: int, seed: int, traffic: Traffic
) -> tuple[Floats, NDArray[np.int64], Floats, Floats]:
    width = traffic.chunk_seconds
    generator = np.random.default_rng([seed, width, chunk_start])
    number = generator.poisson(traffic.rows_per_second * width * rhythm(chunk_start + width / 2))
    milliseconds = np.sort(generator.integers(0, width * 1000, number))
    times = (chunk_start * 1000 + milliseconds) / 1000
    ids = chunk_start * 10_000 + np.arange(number)
    return (
        times,
        ids,
        generator.random((number, _SHARES)),
        generator.standard_normal((number, _NORMALS)),
    )


def _applications(
    times: Floats, ids: NDArray[np.int64], shares: Floats, normals: Floats, drift: Drift | None
) -> Columns:
    drifted = drift.holds(times) if drift else np.zeros(times.shape, dtype=np.bool_)
    evening = np.cos(_phase(times) - np.pi / 2)
    # Every column has draws of its own, drifted or not: a drift changes its features only.
    z_income, z_debt, z_usage, z_loan, z_age, z_savings, z_defaults, z_noise = normals

    log_income = INCOME_LOG_MEAN + INCOME_LOG_DEVIATION * (z_income - 0.95 * drifted)
    usage = -0.9 + 1.1 * (z_usage + 0.95 * drifted)
    debt = -0.75 + 0.6 * z_debt
    age = np.floor(18 + 67 * _sigmoid(0.9 * z_age - 0.55 - 0.06 * evening))
    # The loan follows the person, not the drift: its own distribution stays.
    loan = np.exp(9.2 + 0.6 * (0.4 * z_income + 0.92 * z_loan + 0.05 * evening))
    inquiries = _integers(INQUIRIES, shares[0])
    defaults = np.where(shares[1] < 0.85, 0.0, np.exp(6.5 + z_defaults))
    savings = np.where(shares[2] < 0.25, 0.0, np.exp(8.3 + 1.2 * z_savings))
    existing = shares[3] < 0.38
    purpose = np.where(
        drifted, _categories(DRIFTED_PURPOSES, shares[4]), _categories(PURPOSES, shares[4])
    )
    large = np.where(shares[5] < 0.92, "desktop", "tablet")
    device = np.where(shares[5] < 0.55 + 0.03 * evening, "mobile", large).astype(object)

    employment = _categories(EMPLOYMENTS, shares[12])
    employment[shares[11] < 0.02] = None

    log_odds = (
        -2.6
        - 0.55 * (log_income - INCOME_LOG_MEAN) / INCOME_LOG_DEVIATION
        + 0.6 * usage
        + 0.75 * debt
        + 0.25 * inquiries
        + 0.9 * (defaults > 0)
        + 0.3 * (purpose == "debt_consolidation")
        - 0.012 * (age - 42)
        - 0.3 * existing
        + 0.15 * z_noise
    )
    return {
        TIMESTAMP: times,
        IDENTIFIER: ids,
        "income": _with_gaps(np.exp(log_income).round(2), shares[6], 0.01),
        "age": age.astype(np.int64),
        "debt_ratio": _with_gaps(_sigmoid(debt).round(4), shares[7], 0.025),
        "loan_amount": (loan / 100).round() * 100,
        "credit_utilisation": _sigmoid(usage).round(4),
        "open_accounts": _integers(ACCOUNTS, shares[8]),
        "inquiries_6m": inquiries,
        "previous_defaults_amount": defaults.round(2),
        "savings": _with_gaps(savings.round(2), shares[9], 0.03),
        "purpose": purpose,
        SEGMENT: _categories(REGIONS, shares[10]),
        "employment": employment,
        "device": device,
        "is_existing_customer": existing,
        PREDICTION: _sigmoid(log_odds).round(5),
    }


def _phase(times: Floats) -> Floats:
    """The time of day as an angle, 0 at 15:00 UTC, when traffic is highest."""
    phase: Floats = 2 * np.pi * (times / DAY_SECONDS - 15 / 24)
    return phase


def _sigmoid(x: Floats) -> Floats:
    y: Floats = 1 / (1 + np.exp(-x))
    return y


def _places(mix: Mapping[str, float], shares: Floats) -> NDArray[np.intp]:
    return np.searchsorted(np.cumsum(list(mix.values()))[:-1], shares, side="right")


def _categories(mix: Mapping[str, float], shares: Floats) -> NDArray[np.object_]:
    return np.array(list(mix), dtype=object)[_places(mix, shares)]


def _integers(mix: Mapping[str, float], shares: Floats) -> NDArray[np.int64]:
    return np.array(list(mix), dtype=np.int64)[_places(mix, shares)]


def _with_gaps(values: Floats, shares: Floats, missing_share: float) -> Floats:
    return np.where(shares < missing_share, np.nan, values)
