"""What the server shows: callables, given by whoever builds it.

Knows the shape of what is asked for; never where it comes from.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from drift_exporter.snapshot import Run, Snapshot
from drift_exporter.verdicts.detail import FeatureDetail
from drift_exporter.verdicts.verdict import Floats
from drift_exporter.web.desk_parts import Desk, Report

Score = tuple[float | None, str]
"""PSI of a feature, None where it has none, and its state."""


class Scrape(Protocol):
    """Gives the exposition of all models.

    Called on the server's own thread, so it must only hand out bytes that are there.
    """

    def __call__(self, *, openmetrics: bool, gzip: bool) -> bytes:
        """The exposition in a format and encoding."""


class Probe(Protocol):
    """Gives the exposition of one model, None where there is no such model."""

    def __call__(self, model: str, *, openmetrics: bool, gzip: bool) -> bytes | None:
        """The exposition of one model in a format and encoding."""


class History(Protocol):
    """Gives PSI and state of past windows, the oldest first."""

    def __call__(
        self,
        model: str,
        window: str,
        since: int,
        until: int,
        /,
        *,
        features: Collection[str] | None,
        most: int,
    ) -> Iterable[tuple[int, Mapping[str, Score]]]:
        """Scores of at most so many windows that end in ``[since, until]``, evenly spread."""


class PsiHistory(Protocol):
    """Gives PSI of all features in past windows."""

    def __call__(
        self, model: str, window: str, since: int, until: int, /, *, most: int
    ) -> tuple[list[int], list[str], Floats]:
        """Ends of windows, the oldest first, features, and PSI of shape ``(ends, features)``."""


@dataclass(frozen=True)
class WebParts:
    """What the server shows; all of it may be called on any thread."""

    scrape: Scrape
    probe: Probe
    snapshots: Callable[[], tuple[Snapshot, ...]]
    """Of each model; without scores where they are too old to be shown."""

    runs: Callable[[str | None, int], Sequence[tuple[str, Run]]]
    """Newest runs of a model, or of all; at most so many; the newest first."""

    history: History
    psi_history: PsiHistory
    detail: Callable[[str, str], FeatureDetail | None]
    """A feature of a model in detail; None where there is none yet, or no such feature."""

    config_text: Callable[[], str]
    """The running config as YAML, without secrets."""

    reload: Callable[[], str | None]
    """Reads the config again; the error where it is bad."""

    ready: Callable[[], str | None]
    """None, or why requests should not be sent here."""

    version: str
    revision: str = ""
    telemetry_path: str = "/metrics"
    route_prefix: str = "/"
    external_url: str = ""
    clock: Callable[[], float] = time.time
    """Seconds since the epoch, from which ages are told."""

    desk: Desk | None = None
    """Incidents; without it there is nothing of them."""

    report: Report | None = None
    """Writes reports."""
