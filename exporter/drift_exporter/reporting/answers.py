"""How fast people answered: median, nine in ten, and the worst.

Pure: incidents in, times out.
"""

import math
from collections.abc import Sequence

from drift_exporter.incident import SEVERITIES
from drift_exporter.reporting.facts import CaseFacts, TimesFacts


def times_of(cases: Sequence[CaseFacts]) -> tuple[TimesFacts, ...]:
    """Times to acknowledge and to resolve, of all incidents and of each severity there is."""
    groups = {"all": list(cases)}
    for severity in reversed(SEVERITIES):
        some = [case for case in cases if case.severity == severity]
        if some:
            groups[severity] = some
    return tuple(
        _times(what, severity, some)
        for what in ("acknowledge", "resolve")
        for severity, some in groups.items()
    )


def _times(what: str, severity: str, cases: Sequence[CaseFacts]) -> TimesFacts:
    if what == "acknowledge":
        found = [case.to_acknowledge_seconds for case in cases]
        late = sum(case.acknowledged_late for case in cases)
    else:
        found = [case.to_resolve_seconds for case in cases]
        late = sum(case.resolved_late for case in cases)
    done = sorted(seconds for seconds in found if seconds is not None)
    return TimesFacts(
        what=what,
        severity=severity,
        done=len(done),
        open=len(found) - len(done),
        late=late,
        median_seconds=quantile(done, 0.5),
        p90_seconds=quantile(done, 0.9),
        worst_seconds=done[-1] if done else None,
    )


def quantile(values: Sequence[float], share: float) -> float | None:
    """The smallest of the rising values that so large a share does not exceed; None of none.

    Examples
    --------
    >>> quantile([1, 2, 3, 10], 0.5), quantile([1, 2, 3, 10], 0.9), quantile([], 0.5)
    (2, 10, None)
    """
    if not values:
        return None
    return values[max(math.ceil(share * len(values)) - 1, 0)]
