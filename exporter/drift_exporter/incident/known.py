"""The alerts of an incident as they are known, in whatever order they were told."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

from drift_exporter.incident.values import Alert


def fires(alert: Alert) -> bool:
    """Whether an alert fires."""
    return alert.status == "firing"


class Others(NamedTuple):
    """What is known of alerts in sum."""

    firing: int = 0
    ended: float | None = None
    """When the last one ended that has."""


class Known:
    """The alerts of one incident that are known so far, and whether any still fires.

    Of one fingerprint only the newest alert can fire, and only if no other one of it ended
    after it began. So it does not matter in which order alerts and their ends are told.

    Parameters
    ----------
    alerts
        All alerts of some fingerprints.
    others
        Finds how many alerts of other fingerprints fire, and when the last one ended that
        has. It is asked once, and only where that matters.
    """

    def __init__(
        self, alerts: Iterable[Alert] = (), others: Callable[[], Others] | None = None
    ) -> None:
        self._by_fingerprint: dict[str, dict[float, Alert]] = {}
        self._find_others = others
        self._firing = 0
        self._ended: float | None = None
        for alert in alerts:
            self.put(alert)

    @property
    def firing(self) -> int:
        """How many alerts fire."""
        return self._firing + self._others.firing

    @property
    def ended(self) -> float | None:
        """When the last alert ended that has; None where none has."""
        ends = [end for end in (self._ended, self._others.ended) if end is not None]
        return max(ends, default=None)

    @cached_property
    def _others(self) -> Others:
        return Others() if self._find_others is None else self._find_others()

    def get(self, alert: Alert) -> Alert | None:
        """The alert of this fingerprint and start as it is known."""
        return self._by_fingerprint.get(alert.fingerprint, {}).get(alert.starts_at)

    def same(self, fingerprint: str) -> list[Alert]:
        """All alerts of a fingerprint, the oldest first."""
        by_start = self._by_fingerprint.get(fingerprint, {})
        return [by_start[start] for start in sorted(by_start)]

    def put(self, alert: Alert) -> None:
        """Take an alert up, or what is new about it."""
        before = self.get(alert)
        self._firing += fires(alert) - (before is not None and fires(before))
        if alert.ends_at is not None:
            self._ended = max(alert.ends_at, self._ended or alert.ends_at)
        self._by_fingerprint.setdefault(alert.fingerprint, {})[alert.starts_at] = alert
